package ui

import (
	"fmt"
	"io"
	"strings"
	"time"
)

// terminal keeps a line with a bar for each running step at the bottom, and
// writes a line that stays above them when a step ends.
type terminal struct {
	out     io.Writer
	size    func() (cols, rows int)
	paint   paint
	verbose bool
	live    int // lines of bars on the screen now
	above   strings.Builder
}

func (v *terminal) period() time.Duration { return time.Second / 10 }

// paint says whether to colour.
type paint bool

const (
	red    = "31"
	green  = "32"
	yellow = "33"
	grey   = "90"
)

func (p paint) in(color, s string) string {
	if !p {
		return s
	}
	return "\x1b[" + color + "m" + s + "\x1b[0m"
}

func (v *terminal) start(*Task, time.Time) {}

func (v *terminal) note(t *Task, _ time.Time, text string) {
	switch {
	case t == nil:
		v.stay("%s", clean(text))
	case v.verbose:
		v.stay("%s %s", v.paint.in(grey, clean(t.step.Name)+":"), clean(text))
	}
}

func (v *terminal) warn(_ time.Time, text string) {
	v.stay("%s %s", v.paint.in(yellow, "warning:"), clean(text))
	v.draw(nil) // at once: a warning must not wait for a repaint that may not come
}

// stay adds a line above the bars, shown at the next repaint.
func (v *terminal) stay(format string, args ...any) {
	fmt.Fprintf(&v.above, format+"\n", args...)
}

func (v *terminal) finish(t *Task, _ time.Time) {
	cols, _ := v.size()
	name := pad(cut(clean(t.step.Name), nameWidth(cols)), nameWidth(cols))
	switch {
	case t.cached:
		v.stay("%s %s", v.paint.in(grey, "cached"), v.paint.in(grey, strings.TrimSpace(name)))
	case t.err != nil:
		v.stay("%s %s  %s", v.paint.in(red, t.verdict()), name, Seconds(t.endAt.Sub(t.begun)))
	default:
		v.stay("%s %s  %s", v.paint.in(green, "done  "), name, strings.Join(result(t), "  "))
	}
}

// nameWidth is how much of a line a step's name gets.
func nameWidth(cols int) int { return min(max(cols*3/10, 10), 32) }

func (v *terminal) tick(active []*Task, now time.Time) {
	cols, rows := v.size()
	most := max(rows-2, 1)
	var lines []string
	for i, t := range active {
		if i == most-1 && len(active) > most {
			lines = append(lines, v.paint.in(grey, fmt.Sprintf("       and %d more", len(active)-i)))
			break
		}
		lines = append(lines, v.bar(t, now, cols-1))
	}
	v.draw(lines)
}

// draw replaces the bars on the screen, in one write.
func (v *terminal) draw(lines []string) {
	if v.live == 0 && v.above.Len() == 0 && len(lines) == 0 {
		return
	}
	var b strings.Builder
	if v.live > 0 {
		fmt.Fprintf(&b, "\x1b[%dA", v.live)
	}
	b.WriteString("\r\x1b[J")
	b.WriteString(v.above.String())
	v.above.Reset()
	for _, l := range lines {
		b.WriteString(l)
		b.WriteByte('\n')
	}
	v.live = len(lines)
	_, _ = io.WriteString(v.out, b.String())
}

const narrowest = 6 // columns of a bar

// bar is the line of a running step: name, bar, amounts, rate, time left, and
// what it is at.
func (v *terminal) bar(t *Task, now time.Time, width int) string {
	n, total := t.count.Load(), t.total.Load()
	name := pad(cut(clean(t.step.Name), nameWidth(width+1)), nameWidth(width+1))
	head := "  ...  " + name + "  "
	var tail string
	switch {
	case t.step.Unit == "" || n == 0 && total == 0:
		tail = Seconds(now.Sub(t.begun))
		if t.last != "" {
			tail += "  " + clean(t.last)
		}
		return cut(head+tail, width)
	case total == 0:
		r := t.rate.add(now, n)
		return cut(head+amount(n, t.step.Unit)+"  "+speed(r, t.step.Unit)+"  "+clean(t.last), width)
	}
	r := t.rate.add(now, n)
	tail = fmt.Sprintf(" %3d %%  %s of %s", percent(n, total), amount(n, t.step.Unit), amount(total, t.step.Unit))
	room := func() int { return width - len([]rune(head)) - len([]rune(tail)) - 2 }
	if r > 0 && n < total {
		// What has no room beside a bar is left out.
		for _, more := range []string{speed(r, t.step.Unit), Seconds(time.Duration(float64(total-n)/r*float64(time.Second))) + " left"} {
			if room()-len([]rune(more))-2 >= narrowest {
				tail += "  " + more
			}
		}
	}
	if room() < narrowest {
		return cut(head+strings.TrimSpace(tail), width)
	}
	wide := min(room(), 30)
	filled := int(float64(min(n, total)) / float64(total) * float64(wide))
	return head + "[" + v.paint.in(green, strings.Repeat("=", filled)) + strings.Repeat(" ", wide-filled) + "]" + tail
}

func (v *terminal) summary(time.Time, Summary) {}

func (v *terminal) close([]*Task, time.Time) { v.draw(nil) }
