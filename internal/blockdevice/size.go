package blockdevice

import (
	"fmt"
	"math"
	"regexp"
	"strconv"
	"strings"
)

const (
	kib = 1 << 10
	mib = 1 << 20
	// maxSize bounds every size, so that sums of them are numbers too.
	maxSize = 1 << 56
)

// A SizeForm is how a size was said.
type SizeForm int

// The forms of a size.
const (
	Unsaid   SizeForm = iota
	Absolute          // so many bytes
	Percent           // of what is left when its turn comes
	ToFit             // what the content needs: "fit"
)

// A Size is the size of a partition or a logical volume, as it was written.
type Size struct {
	Form    SizeForm
	Bytes   int64   // of Absolute
	Percent float64 // of Percent: more than 0, at most 100
	Text    string
}

func (s Size) String() string { return s.Text }

// of is the size in bytes where so much is left; not for ToFit.
//
// Percentages are computed in floating point, as diskimage-builder does, so that
// the places of its partitions are ours to the byte.
func (s Size) of(left int64) int64 {
	if s.Form == Percent {
		return min(max(left, 0), int64(float64(left)*s.Percent/100))
	}
	return s.Bytes
}

// units are all there are. Case matters, and a letter alone is decimal.
var units = []struct {
	name  string
	bytes int64
}{
	{"TiB", 1 << 40}, {"GiB", 1 << 30}, {"MiB", 1 << 20}, {"KiB", 1 << 10},
	{"TB", 1e12}, {"GB", 1e9}, {"MB", 1e6}, {"KB", 1e3},
	{"T", 1e12}, {"G", 1e9}, {"M", 1e6}, {"K", 1e3}, {"B", 1}, {"", 1},
}

var sizePattern = regexp.MustCompile(`^([0-9]{1,20}(?:\.[0-9]{0,20})?|\.[0-9]{1,20}) ?([A-Za-z]{0,8}|%)$`)

// ParseBytes reads a number of bytes: a number, which may have a fraction, perhaps
// a blank, and perhaps a unit: KiB, MiB, GiB and TiB are powers of 1024; KB, MB,
// GB, TB, K, M, G and T powers of 1000; B is bytes. Case matters. A fraction of a
// byte is dropped.
func ParseBytes(s string) (int64, error) {
	v, why, suggestion := parseBytes(s)
	if why != "" && suggestion != "" {
		why += fmt.Sprintf("; did you mean %q?", suggestion)
	}
	if why != "" {
		return 0, fmt.Errorf("%q %s", s, why)
	}
	return v, nil
}

func parseBytes(s string) (v int64, why, suggestion string) {
	m := sizePattern.FindStringSubmatch(s)
	if m == nil {
		return 0, "is not a size: want a number and a unit such as MiB, GiB, M or G, or bytes", ""
	}
	if m[2] == "%" {
		return 0, "is a percentage: want a number of bytes", ""
	}
	for _, u := range units {
		if u.name != m[2] {
			continue
		}
		if n, err := strconv.ParseInt(m[1], 10, 64); err == nil && n <= maxSize/u.bytes {
			return n * u.bytes, "", ""
		}
		f, err := strconv.ParseFloat(m[1], 64)
		if f *= float64(u.bytes); err != nil || f > maxSize {
			return 0, "is more than 64 PiB", ""
		}
		return int64(f), "", ""
	}
	for _, u := range units {
		if strings.EqualFold(u.name, m[2]) {
			suggestion = m[1] + u.name
			break
		}
	}
	return 0, "has a unit that is none: there are KiB, MiB, GiB, TiB, KB, MB, GB, TB, K, M, G, T and B", suggestion
}

// parseSize reads a size in any of its forms.
func parseSize(s string) (size Size, why, suggestion string) {
	switch {
	case s == "fit":
		return Size{Form: ToFit, Text: s}, "", ""
	case strings.EqualFold(s, "fit"):
		return Size{}, "is not a size", "fit"
	case strings.HasSuffix(s, "%"):
		m := sizePattern.FindStringSubmatch(s)
		if m == nil {
			return Size{}, "is not a percentage: want a number and %", ""
		}
		f, err := strconv.ParseFloat(m[1], 64)
		if err != nil || f <= 0 || f > 100 || math.IsNaN(f) {
			return Size{}, "is not more than 0% and at most 100%", ""
		}
		return Size{Form: Percent, Percent: f, Text: s}, "", ""
	}
	v, why, suggestion := parseBytes(s)
	if why == "" && v == 0 {
		why = "is nothing"
	}
	return Size{Form: Absolute, Bytes: v, Text: s}, why, suggestion
}

// An ExtentsForm is what a number of extents is counted of.
type ExtentsForm string

// The forms of a number of extents, by the words of lvcreate.
const (
	ExtentsUnsaid ExtentsForm = ""
	ExtentsCount  ExtentsForm = "extents"
	ExtentsOfVG   ExtentsForm = "VG"   // percent of the whole group
	ExtentsOfFree ExtentsForm = "FREE" // percent of what is left of the group
	ExtentsOfPVs  ExtentsForm = "PVS"  // percent of the physical volumes: the group, as no volume names any
)

// Extents is the size of a logical volume as lvcreate's --extents says it.
type Extents struct {
	Form ExtentsForm
	N    int64 // extents, or percent
	Text string
}

func (e Extents) String() string { return e.Text }

var extentsPattern = regexp.MustCompile(`^([0-9]{1,12})(?:%([A-Za-z]{1,8}))?$`)

func parseExtents(s string) (e Extents, why, suggestion string) {
	m := extentsPattern.FindStringSubmatch(s)
	if m == nil {
		return e, "is not a number of extents: want such as 100, 50%VG or 100%FREE", ""
	}
	n, err := strconv.ParseInt(m[1], 10, 64)
	if err != nil || n == 0 || n > 1<<32 {
		return e, "is not a number of extents from 1 to 4294967296", ""
	}
	e = Extents{Form: ExtentsCount, N: n, Text: s}
	if m[2] == "" {
		return e, "", ""
	}
	e.Form = ExtentsForm(strings.ToUpper(m[2]))
	switch e.Form {
	case ExtentsOfVG, ExtentsOfFree, ExtentsOfPVs:
	default:
		return e, "is a share of what ingot does not know: there are %VG, %FREE and %PVS", ""
	}
	if m[2] != string(e.Form) {
		return e, "is not a number of extents", m[1] + "%" + string(e.Form)
	}
	if n > 100 {
		return e, "is more than 100%", ""
	}
	return e, "", ""
}

// of is the number of extents in a group of so many, of which some are free. A
// share is an upper limit to lvcreate, which takes what there is, unless it is to
// be exact.
func (e Extents) of(all, free int64, exact bool) int64 {
	switch e.Form {
	case ExtentsOfVG, ExtentsOfPVs:
		if share := all * e.N / 100; exact || share < free {
			return share
		}
		return free
	case ExtentsOfFree:
		return free * e.N / 100
	default:
		return e.N
	}
}

// human is a size for messages: exact.
func human(n int64) string {
	switch {
	case n >= 1<<30 && n%(1<<30) == 0:
		return fmt.Sprintf("%d GiB", n>>30)
	case n >= mib && n%mib == 0:
		return fmt.Sprintf("%d MiB", n>>20)
	case n >= mib:
		return fmt.Sprintf("%.1f MiB (%d bytes)", float64(n)/mib, n)
	default:
		return fmt.Sprintf("%d bytes", n)
	}
}

func roundUp(n, unit int64) int64   { return (n + unit - 1) / unit * unit }
func roundDown(n, unit int64) int64 { return n / unit * unit }
