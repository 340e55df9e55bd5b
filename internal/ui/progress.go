// Package ui tells what a run is doing, while it does it: to a person at a
// terminal as bars, in a log as lines with a time, to a program as JSON lines.
//
// A room that works for a while takes a [*Progress], starts a [Task] for each
// step and adds what was done to it; it does not know who watches. A nil
// *Progress and a nil *Task are fine and silent. All methods are safe for many
// goroutines and adding costs one atomic addition.
//
//	task := p.Start(ui.Step{ID: "fetch", Name: "fetch 122 packages", Unit: ui.Bytes, Total: total})
//	task.Add(n)
//	task.Done(nil)
//
// Progress is talk and goes to standard error. Whoever prints results to
// standard output calls [Progress.Close] first, so that nothing interleaves.
package ui

import (
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"time"
)

// A Unit is what a step counts.
type Unit string

// The units.
const (
	Bytes Unit = "bytes"
	Items Unit = "items"
)

// A Step is a piece of work that is shown on its own.
type Step struct {
	ID    string // for programs, the same in every run: "fetch", "script:setup"
	Name  string // for people: "fetch 122 packages"
	Unit  Unit   // what Total and Add count; "" for a step that counts nothing
	Total int64  // how much there is to do; 0 is "not known"
}

// A Mode is a way of showing progress.
type Mode string

// The modes. Quiet shows warnings only.
const (
	Terminal Mode = "terminal"
	Plain    Mode = "plain"
	JSON     Mode = "json"
	Quiet    Mode = "quiet"
)

// Options say how a [Progress] shows things. Out and Mode are needed; what else
// is missing has a default.
type Options struct {
	Out     io.Writer
	Mode    Mode
	Color   bool
	Verbose bool                    // shows the notes of a terminal's steps as lines that stay
	Now     func() time.Time        // time.Now
	Size    func() (cols, rows int) // of the terminal; 80 by 24
	// Interrupted, when set, says whether what ends now was stopped by the user.
	Interrupted func() bool
	// Tick, when set, is called instead of starting a goroutine that repaints:
	// a test keeps the function and repaints by calling it.
	Tick func(repaint func())
}

// A Progress shows the steps of one run.
type Progress struct {
	now         func() time.Time
	interrupted func() bool
	view        view

	mu     sync.Mutex // holds the view still
	active []*Task    // in the order of starting
	closed bool
	stop   chan struct{}
	done   chan struct{}
}

// A view shows events. Its methods are called one at a time.
type view interface {
	period() time.Duration
	start(t *Task, now time.Time)
	note(t *Task, now time.Time, text string) // t is nil for a note of the run
	warn(now time.Time, text string)
	finish(t *Task, now time.Time)
	tick(active []*Task, now time.Time)
	summary(now time.Time, s Summary)
	close(active []*Task, now time.Time)
}

// New starts showing progress. The caller closes it.
func New(o Options) *Progress {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Size == nil {
		o.Size = func() (int, int) { return 80, 24 }
	}
	if o.Interrupted == nil {
		o.Interrupted = func() bool { return false }
	}
	p := &Progress{now: o.Now, interrupted: o.Interrupted}
	switch o.Mode {
	case Terminal:
		p.view = &terminal{out: o.Out, size: o.Size, paint: paint(o.Color), verbose: o.Verbose}
	case JSON:
		p.view = newJSONLines(o.Out)
	case Quiet:
		p.view = &quiet{plain{out: o.Out}}
	case Plain:
		p.view = &plain{out: o.Out}
	default:
		p.view = &plain{out: o.Out}
	}
	if o.Tick != nil {
		o.Tick(p.tick)
		return p
	}
	p.stop, p.done = make(chan struct{}), make(chan struct{})
	go p.run(p.view.period())
	return p
}

func (p *Progress) run(period time.Duration) {
	defer close(p.done)
	t := time.NewTicker(period)
	defer t.Stop()
	for {
		select {
		case <-p.stop:
			return
		case <-t.C:
			p.tick()
		}
	}
}

func (p *Progress) tick() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.closed {
		p.view.tick(p.active, p.now())
	}
}

// Start shows that a step has begun. Its task ends with [Task.Done].
func (p *Progress) Start(s Step) *Task {
	if p == nil {
		return nil
	}
	t := &Task{p: p, step: s, begun: p.now()}
	t.total.Store(s.Total)
	t.rate.add(t.begun, 0)
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return t
	}
	p.active = append(p.active, t)
	p.view.start(t, t.begun)
	return t
}

// Cached shows a step that had nothing to do because its result is known.
func (p *Progress) Cached(s Step) {
	t := p.Start(s)
	t.end(true, nil)
}

// Notef says something about the run that is of no step.
func (p *Progress) Notef(format string, args ...any) {
	if p == nil {
		return
	}
	p.show(func(now time.Time) { p.view.note(nil, now, fmt.Sprintf(format, args...)) })
}

// Warnf says something that the user should know and act on; it is shown in
// every mode.
func (p *Progress) Warnf(format string, args ...any) {
	if p == nil {
		return
	}
	p.show(func(now time.Time) { p.view.warn(now, fmt.Sprintf(format, args...)) })
}

// Summarize shows, to programs that read JSON lines, what the run made. For
// people the results are the business of standard output: see [Summary.WriteTo].
func (p *Progress) Summarize(s Summary) {
	if p == nil {
		return
	}
	p.show(func(now time.Time) { p.view.summary(now, s) })
}

func (p *Progress) show(f func(time.Time)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.closed {
		f(p.now())
	}
}

// Close stops showing progress and leaves the terminal clean. Later calls do
// nothing.
func (p *Progress) Close() {
	if p == nil {
		return
	}
	p.mu.Lock()
	if p.closed {
		p.mu.Unlock()
		return
	}
	p.closed = true
	p.view.close(p.active, p.now())
	p.mu.Unlock()
	if p.stop != nil {
		close(p.stop)
		<-p.done
	}
}

// A Task is a step that has begun.
type Task struct {
	p     *Progress
	step  Step
	begun time.Time
	total atomic.Int64
	count atomic.Int64

	// Under the Progress's lock.
	ended  bool
	endAt  time.Time
	cached bool
	err    error
	last   string   // the last note
	rate   rate     // of a view that shows one
	shown  struct { // what a view has said about the task
		start bool
		at    time.Time
	}
}

// SetTotal says how much there is to do, once that is known.
func (t *Task) SetTotal(n int64) {
	if t != nil {
		t.total.Store(n)
	}
}

// AddTotal says that there are n more to do.
func (t *Task) AddTotal(n int64) {
	if t != nil {
		t.total.Add(n)
	}
}

// Add says that n more bytes or items are done.
func (t *Task) Add(n int64) {
	if t != nil {
		t.count.Add(n)
	}
}

// Write counts the bytes of p, so that a task can stand behind an
// io.MultiWriter or io.TeeReader. It never fails.
func (t *Task) Write(p []byte) (int, error) {
	t.Add(int64(len(p)))
	return len(p), nil
}

// Notef says what the step is at: the package that it configures, a line that a
// script printed.
func (t *Task) Notef(format string, args ...any) {
	if t == nil {
		return
	}
	t.p.show(func(now time.Time) {
		if !t.ended {
			t.last = fmt.Sprintf(format, args...)
			t.p.view.note(t, now, t.last)
		}
	})
}

// verdict is the word for a step that ended with an error.
func (t *Task) verdict() string {
	if t.p.interrupted() {
		return "interrupted"
	}
	return "failed"
}

// Done ends the step, well or with an error. Calling it again does nothing, so
// that it can be deferred.
func (t *Task) Done(err error) { t.end(false, err) }

func (t *Task) end(cached bool, err error) {
	if t == nil {
		return
	}
	t.p.show(func(now time.Time) {
		if t.ended {
			return
		}
		t.ended, t.endAt, t.cached, t.err = true, now, cached, err
		for i, a := range t.p.active {
			if a == t {
				t.p.active = append(t.p.active[:i:i], t.p.active[i+1:]...)
				break
			}
		}
		t.p.view.finish(t, now)
	})
}

// seconds is how long an ended task took.
func (t *Task) seconds() float64 { return t.endAt.Sub(t.begun).Seconds() }

// A rate is an average over the last few seconds.
type rate struct {
	samples []sample
}

type sample struct {
	at   time.Time
	done int64
}

const rateWindow = 5 * time.Second

// add takes a sample and gives what was done a second.
func (r *rate) add(now time.Time, done int64) float64 {
	r.samples = append(r.samples, sample{now, done})
	for len(r.samples) > 2 && now.Sub(r.samples[1].at) >= rateWindow {
		r.samples = r.samples[1:]
	}
	first := r.samples[0]
	d := now.Sub(first.at).Seconds()
	if d <= 0 {
		return 0
	}
	return float64(done-first.done) / d
}
