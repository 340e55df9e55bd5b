package ui

import (
	"fmt"
	"io"
	"strings"
	"time"
)

// plain writes lines with the time of day: what a log keeps. A step that ends
// before it was worth a line has only its last one.
type plain struct{ out io.Writer }

const plainEvery = 10 * time.Second // between two lines of one step

func (p *plain) period() time.Duration { return time.Second / 4 }

func (p *plain) line(now time.Time, format string, args ...any) {
	_, _ = fmt.Fprintf(p.out, "%s %s\n", now.Format(time.TimeOnly), fmt.Sprintf(format, args...))
}

func (p *plain) start(*Task, time.Time) {}

func (p *plain) begun(t *Task, now time.Time) {
	if t.shown.start {
		return
	}
	t.shown.start, t.shown.at = true, now
	if total := t.total.Load(); total > 0 {
		p.line(now, "%s: start, %s", clean(t.step.Name), amount(total, t.step.Unit))
	} else {
		p.line(now, "%s: start", clean(t.step.Name))
	}
}

func (p *plain) note(t *Task, now time.Time, text string) {
	if t == nil {
		p.line(now, "%s", clean(text))
		return
	}
	p.begun(t, now)
	p.line(now, "%s: %s", clean(t.step.Name), clean(text))
}

func (p *plain) warn(now time.Time, text string) { p.line(now, "warning: %s", clean(text)) }

func (p *plain) finish(t *Task, now time.Time) {
	name := clean(t.step.Name)
	switch {
	case t.cached:
		p.line(now, "%s: cached", name)
	case t.err != nil:
		p.line(now, "%s: %s after %s", name, t.verdict(), Seconds(now.Sub(t.begun)))
	default:
		p.line(now, "%s: done%s", name, strings.Join(append([]string{""}, result(t)...), ", "))
	}
}

// result is how much a step did, how long it took and how fast it was.
func result(t *Task) []string {
	var parts []string
	d := t.endAt.Sub(t.begun)
	n := t.count.Load()
	if n > 0 && t.step.Unit != "" {
		parts = append(parts, amount(n, t.step.Unit))
	}
	parts = append(parts, Seconds(d))
	if n > 0 && t.step.Unit != "" && d >= time.Second/10 {
		parts = append(parts, speed(float64(n)/d.Seconds(), t.step.Unit))
	}
	return parts
}

func (p *plain) tick(active []*Task, now time.Time) {
	for _, t := range active {
		if !t.shown.start {
			p.begun(t, now)
			continue
		}
		if now.Sub(t.shown.at) < plainEvery {
			continue
		}
		t.shown.at = now
		n, total := t.count.Load(), t.total.Load()
		if t.step.Unit == "" || n == 0 {
			p.line(now, "%s: still running after %s", clean(t.step.Name), Seconds(now.Sub(t.begun)))
			continue
		}
		r := t.rate.add(now, n)
		text := amount(n, t.step.Unit)
		if total > 0 {
			text = fmt.Sprintf("%d %%, %s of %s", percent(n, total), text, amount(total, t.step.Unit))
		}
		p.line(now, "%s: %s, %s", clean(t.step.Name), text, speed(r, t.step.Unit))
	}
}

func percent(n, total int64) int64 {
	if n >= total {
		return 100
	}
	return int64(float64(n) / float64(total) * 100)
}

func (p *plain) summary(time.Time, Summary) {}

func (p *plain) close([]*Task, time.Time) {}

// quiet says warnings and nothing else.
type quiet struct{ plain }

func (*quiet) period() time.Duration         { return time.Hour }
func (*quiet) note(*Task, time.Time, string) {}
func (*quiet) finish(*Task, time.Time)       {}
func (*quiet) tick([]*Task, time.Time)       {}
