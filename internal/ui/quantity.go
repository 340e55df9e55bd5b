package ui

import (
	"fmt"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// Size writes a number of bytes for people, in powers of 1024.
func Size(n int64) string {
	if n < 1024 && n > -1024 {
		return fmt.Sprintf("%d B", n)
	}
	f := float64(n)
	for _, unit := range []string{"KiB", "MiB", "GiB", "TiB"} {
		f /= 1024
		if f < 999.95 && f > -999.95 || unit == "TiB" {
			return fmt.Sprintf("%.1f %s", f, unit)
		}
	}
	return ""
}

// Seconds writes a duration for people: "0.3 s", "42.0 s", "2 min 05 s".
func Seconds(d time.Duration) string {
	if d < 100*time.Second {
		return fmt.Sprintf("%.1f s", d.Seconds())
	}
	s := int64(d.Round(time.Second) / time.Second)
	if s < 3600 {
		return fmt.Sprintf("%d min %02d s", s/60, s%60)
	}
	return fmt.Sprintf("%d h %02d min", s/3600, s%3600/60)
}

// amount writes a count in a unit.
func amount(n int64, u Unit) string {
	if u == Bytes {
		return Size(n)
	}
	return fmt.Sprint(n)
}

// speed writes a rate.
func speed(perSecond float64, u Unit) string {
	if u == Bytes {
		return Size(int64(perSecond)) + "/s"
	}
	return fmt.Sprintf("%.0f/s", perSecond)
}

// clean makes a text safe for a terminal and a log: one line, no control
// characters, whatever a script or a package's maintainer put there.
func clean(s string) string {
	s = strings.TrimSpace(s)
	return strings.Map(func(r rune) rune {
		switch {
		case r == '\n' || r == '\t':
			return ' '
		case r == utf8.RuneError || unicode.IsControl(r) || unicode.Is(unicode.Bidi_Control, r):
			return '?'
		}
		return r
	}, s)
}

// cut shortens a text to a width in characters.
func cut(s string, width int) string {
	if width < 1 {
		return ""
	}
	if utf8.RuneCountInString(s) <= width {
		return s
	}
	r := []rune(s)
	return string(r[:width-1]) + "…"
}

// pad fills a text with spaces up to a width.
func pad(s string, width int) string {
	if n := width - utf8.RuneCountInString(s); n > 0 {
		return s + strings.Repeat(" ", n)
	}
	return s
}
