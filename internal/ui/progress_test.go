package ui

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"ingot/internal/digest"
)

// play runs one story in a mode, with a clock that the story moves, and gives
// what was written.
func play(o Options) string {
	var out bytes.Buffer
	now := time.Date(2024, 2, 3, 10, 0, 0, 0, time.UTC)
	pass := func(d time.Duration) { now = now.Add(d) }
	var repaint func()
	o.Out, o.Now, o.Tick = &out, func() time.Time { return now }, func(f func()) { repaint = f }
	p := New(o)
	defer p.Close()

	p.Notef("definition web, bookworm, amd64")
	p.Cached(Step{ID: "resolve", Name: "resolve packages"})
	fetch := p.Start(Step{ID: "fetch", Name: "fetch 122 packages", Unit: Bytes, Total: 64 << 20})
	repaint()
	pass(2 * time.Second)
	fetch.Add(16 << 20)
	unpack := p.Start(Step{ID: "unpack", Name: "unpack packages", Unit: Items})
	unpack.Add(7)
	repaint()
	pass(10 * time.Second)
	fetch.Add(32 << 20)
	unpack.Add(40)
	unpack.Notef("perl-base\x1b[2J")
	repaint()
	p.Warnf("suite %s has expired", "testing")
	pass(1 * time.Second)
	fetch.Add(16 << 20)
	fetch.Done(nil)
	unpack.Done(nil)
	unpack.Done(errors.New("a second end does not count"))
	script := p.Start(Step{ID: "script:setup", Name: "script setup"})
	repaint()
	pass(400 * time.Millisecond)
	script.Notef("line\nof output")
	repaint()
	script.Done(errors.New("exit code 3"))
	p.Summarize(Summary{Artifacts: []Artifact{{Format: "qcow2", Path: "out/web.qcow2", Size: 400 << 20, SHA256: digest.Of(nil)}}, Seconds: 13.4})
	p.Start(Step{Name: "never ends"})
	p.Close()
	p.Notef("too late")
	return out.String()
}

func TestPlain(t *testing.T) {
	want := `10:00:00 definition web, bookworm, amd64
10:00:00 resolve packages: cached
10:00:00 fetch 122 packages: start, 64.0 MiB
10:00:02 unpack packages: start
10:00:12 fetch 122 packages: 75 %, 48.0 MiB of 64.0 MiB, 4.0 MiB/s
10:00:12 unpack packages: 47, 5/s
10:00:12 warning: suite testing has expired
10:00:13 fetch 122 packages: done, 64.0 MiB, 13.0 s, 4.9 MiB/s
10:00:13 unpack packages: done, 47, 11.0 s, 4/s
10:00:13 script setup: start
10:00:13 script setup: line of output
10:00:13 script setup: failed after 0.4 s
`
	want = strings.Replace(want, "10:00:12 fetch", "10:00:12 unpack packages: perl-base?[2J\n10:00:12 fetch", 1)
	if d := cmp.Diff(want, play(Options{Mode: Plain})); d != "" {
		t.Error(d)
	}
}

func TestQuiet(t *testing.T) {
	if d := cmp.Diff("10:00:12 warning: suite testing has expired\n", play(Options{Mode: Quiet})); d != "" {
		t.Error(d)
	}
}

func TestJSON(t *testing.T) {
	want := `{"schema":1,"time":"2024-02-03T10:00:00.000Z","event":"note","text":"definition web, bookworm, amd64"}
{"schema":1,"time":"2024-02-03T10:00:00.000Z","event":"start","step":"resolve","name":"resolve packages"}
{"schema":1,"time":"2024-02-03T10:00:00.000Z","event":"done","step":"resolve","cached":true,"seconds":0}
{"schema":1,"time":"2024-02-03T10:00:00.000Z","event":"start","step":"fetch","name":"fetch 122 packages","unit":"bytes","total":67108864}
{"schema":1,"time":"2024-02-03T10:00:02.000Z","event":"start","step":"unpack","name":"unpack packages","unit":"items"}
{"schema":1,"time":"2024-02-03T10:00:02.000Z","event":"progress","step":"fetch","unit":"bytes","done":16777216,"total":67108864,"rate":8388608}
{"schema":1,"time":"2024-02-03T10:00:02.000Z","event":"progress","step":"unpack","unit":"items","done":7}
{"schema":1,"time":"2024-02-03T10:00:12.000Z","event":"note","step":"unpack","text":"perl-base\u001b[2J"}
{"schema":1,"time":"2024-02-03T10:00:12.000Z","event":"progress","step":"fetch","unit":"bytes","done":50331648,"total":67108864,"rate":3355443.2}
{"schema":1,"time":"2024-02-03T10:00:12.000Z","event":"progress","step":"unpack","unit":"items","done":47,"rate":4}
{"schema":1,"time":"2024-02-03T10:00:12.000Z","event":"warning","text":"suite testing has expired"}
{"schema":1,"time":"2024-02-03T10:00:13.000Z","event":"done","step":"fetch","unit":"bytes","done":67108864,"total":67108864,"cached":false,"seconds":13}
{"schema":1,"time":"2024-02-03T10:00:13.000Z","event":"done","step":"unpack","unit":"items","done":47,"cached":false,"seconds":11}
{"schema":1,"time":"2024-02-03T10:00:13.000Z","event":"start","step":"script:setup","name":"script setup"}
{"schema":1,"time":"2024-02-03T10:00:13.400Z","event":"note","step":"script:setup","text":"line\nof output"}
{"schema":1,"time":"2024-02-03T10:00:13.400Z","event":"done","step":"script:setup","cached":false,"seconds":0.4,"error":"exit code 3"}
{"schema":1,"time":"2024-02-03T10:00:13.400Z","event":"summary","seconds":13.4,"artifacts":[{"format":"qcow2","path":"out/web.qcow2","size":419430400,"sha256":"e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"}]}
{"schema":1,"time":"2024-02-03T10:00:13.400Z","event":"start","name":"never ends"}
`
	got := play(Options{Mode: JSON})
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
	reference, err := os.ReadFile("../../docs/reference/progress.md")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(got) {
		var keys map[string]any
		if err := json.Unmarshal([]byte(line), &keys); err != nil {
			t.Fatal(err)
		}
		for _, word := range append(mapKeys(keys), keys["event"].(string)) {
			if !strings.Contains(string(reference), "`"+word+"`") {
				t.Errorf("docs/reference/progress.md does not know %q", word)
			}
		}
	}
}

func mapKeys(m map[string]any) []string {
	var keys []string
	for k := range m {
		keys = append(keys, k)
	}
	return keys
}

// screen is a terminal that understands what the view sends: it keeps lines,
// moves up, and clears to the end.
type screen struct {
	lines []string
	row   int
}

func (s *screen) write(text string) {
	for text != "" {
		switch {
		case strings.HasPrefix(text, "\x1b["):
			end := strings.IndexAny(text, "AJm")
			switch n := int(text[2] - '0'); text[end] {
			case 'A':
				s.row -= n
			case 'J':
				s.lines = s.lines[:s.row]
			}
			text = text[end+1:]
		case text[0] == '\r':
			text = text[1:]
		default:
			line, rest, _ := strings.Cut(text, "\n")
			s.lines = append(s.lines[:s.row], line)
			s.row++
			text = rest
		}
	}
}

func TestTerminal(t *testing.T) {
	size := func() (int, int) { return 80, 24 }
	var s screen
	s.write(play(Options{Mode: Terminal, Size: size}))
	want := `definition web, bookworm, amd64
cached resolve packages
warning: suite testing has expired
done   fetch 122 packages        64.0 MiB  13.0 s  4.9 MiB/s
done   unpack packages           47  11.0 s  4/s
failed script setup              0.4 s`
	if d := cmp.Diff(want, strings.Join(s.lines, "\n")); d != "" {
		t.Error(d)
	}

	frames := strings.Split(play(Options{Mode: Terminal, Size: size, Color: true}), "\r\x1b[J")
	for i, f := range frames {
		for line := range strings.Lines(f) {
			plain := line
			for _, code := range []string{"\x1b[0m", "\x1b[31m", "\x1b[32m", "\x1b[33m", "\x1b[90m", "\x1b[1A", "\x1b[2A"} {
				plain = strings.ReplaceAll(plain, code, "")
			}
			if strings.ContainsRune(plain, '\x1b') {
				t.Errorf("frame %d lets an escape through: %q", i, line)
			}
			if n := len([]rune(strings.TrimSuffix(plain, "\n"))); n >= 80 {
				t.Errorf("frame %d has a line of %d columns: %q", i, n, line)
			}
		}
	}
}

func TestTerminalFrames(t *testing.T) {
	for _, c := range []struct {
		name       string
		cols, rows int
		steps      []Step
		done       int64
		note       string
		want       string
	}{
		{
			name: "all", cols: 120, rows: 24, steps: []Step{{Name: "fetch", Unit: Bytes, Total: 100 << 20}}, done: 25 << 20,
			want: "  ...  fetch                             [=====                  ]  25 %  25.0 MiB of 100.0 MiB  12.5 MiB/s  6.0 s left\n",
		},
		{
			name: "less", cols: 80, rows: 24, steps: []Step{{Name: "fetch", Unit: Bytes, Total: 100 << 20}}, done: 25 << 20,
			want: "  ...  fetch                     [===            ]  25 %  25.0 MiB of 100.0 MiB\n",
		},
		{
			name: "no room for a bar", cols: 60, rows: 24, steps: []Step{{Name: "fetch", Unit: Bytes, Total: 100 << 20}}, done: 25 << 20,
			want: "  ...  fetch               25 %  25.0 MiB of 100.0 MiB\n",
		},
		{
			name: "total not known", cols: 80, rows: 24, steps: []Step{{Name: "unpack", Unit: Items}}, done: 30, note: "perl",
			want: "  ...  unpack                    30  15/s  perl\n",
		},
		{
			name: "nothing counted", cols: 80, rows: 24, steps: []Step{{Name: "configure"}}, note: "Setting up \x07perl",
			want: "  ...  configure                 2.0 s  Setting up ?perl\n",
		},
		{
			name: "few rows, few columns", cols: 20, rows: 5, steps: []Step{{Name: "a step of many words"}, {Name: "b"}, {Name: "c"}, {Name: "d"}},
			want: "  ...  a step of… …\n  ...  b          …\n       and 2 more\n",
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			now := time.Unix(0, 0)
			var out bytes.Buffer
			var repaint func()
			p := New(Options{Out: &out, Mode: Terminal, Now: func() time.Time { return now }, Size: func() (int, int) { return c.cols, c.rows }, Tick: func(f func()) { repaint = f }})
			var tasks []*Task
			for _, s := range c.steps {
				tasks = append(tasks, p.Start(s))
			}
			repaint()
			now = now.Add(2 * time.Second)
			tasks[0].Add(c.done)
			if c.note != "" {
				tasks[0].Notef("%s", c.note)
			}
			out.Reset()
			repaint()
			_, got, _ := strings.Cut(out.String(), "\r\x1b[J")
			if d := cmp.Diff(c.want, got); d != "" {
				t.Error(d)
			}
		})
	}
}

// TestSilent: rooms may be given no progress at all.
func TestSilent(t *testing.T) {
	var p *Progress
	task := p.Start(Step{Name: "x"})
	task.SetTotal(1)
	task.Add(1)
	task.Notef("x")
	task.Done(nil)
	p.Cached(Step{})
	p.Notef("x")
	p.Warnf("x")
	p.Summarize(Summary{})
	p.Close()
}

// TestManyGoroutines is for the race detector.
func TestManyGoroutines(t *testing.T) {
	for _, mode := range []Mode{Terminal, Plain, JSON, Quiet} {
		p := New(Options{Out: io.Discard, Mode: mode})
		var wg sync.WaitGroup
		for range 8 {
			wg.Go(func() {
				for range 50 {
					task := p.Start(Step{ID: "x", Unit: Bytes, Total: 10})
					task.Add(5)
					task.SetTotal(20)
					task.Notef("x")
					task.Done(nil)
				}
			})
		}
		wg.Wait()
		p.Close()
		p.Close()
	}
}

func TestChoice(t *testing.T) {
	env := func(string) string { return "" }
	for _, c := range []struct {
		choice Choice
		mode   Mode
		err    string
	}{
		{Choice{}, Plain, ""},
		{Choice{Progress: "auto"}, Plain, ""}, // not a terminal
		{Choice{Progress: "plain", Quiet: true}, Quiet, ""},
		{Choice{Progress: "json", Quiet: true}, JSON, ""},
		{Choice{Progress: "bars"}, "", "none of auto, plain, json"},
		{Choice{Color: "yes"}, "", "none of auto, always, never"},
	} {
		o, err := c.choice.Options(io.Discard, env)
		if c.err != "" {
			if err == nil || !strings.Contains(err.Error(), c.err) {
				t.Errorf("%+v: error %v, want one with %q", c.choice, err, c.err)
			}
			continue
		}
		if err != nil || o.Mode != c.mode || o.Color {
			t.Errorf("%+v: %+v, %v", c.choice, o, err)
		}
	}
}

func TestQuantities(t *testing.T) {
	for n, want := range map[int64]string{0: "0 B", 1023: "1023 B", 1024: "1.0 KiB", 1<<20 - 1: "1.0 MiB", 5 << 30: "5.0 GiB", 1 << 50: "1024.0 TiB"} {
		if got := Size(n); got != want {
			t.Errorf("Size(%d) = %q, want %q", n, got, want)
		}
	}
	for d, want := range map[time.Duration]string{0: "0.0 s", 99 * time.Second: "99.0 s", 100 * time.Second: "1 min 40 s", 3*time.Hour + 5*time.Minute: "3 h 05 min"} {
		if got := Seconds(d); got != want {
			t.Errorf("Seconds(%v) = %q, want %q", d, got, want)
		}
	}
}

func TestSummary(t *testing.T) {
	var b strings.Builder
	s := Summary{Artifacts: []Artifact{{Path: "out/web\x1b.tar", Size: 3 << 20, SHA256: digest.Of(nil)}}, Seconds: 1.25}
	if _, err := s.WriteTo(&b); err != nil {
		t.Fatal(err)
	}
	want := "out/web?.tar  3.0 MiB  sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855  1.2 s\n"
	if b.String() != want {
		t.Errorf("got %q, want %q", b.String(), want)
	}
}

// What an interrupt ends did not fail.
func TestInterrupted(t *testing.T) {
	for mode, want := range map[Mode]string{Plain: "10:00:00 script setup: interrupted after 0.0 s\n", Terminal: "interrupted script setup"} {
		var out bytes.Buffer
		p := New(Options{
			Out: &out, Mode: mode, Now: func() time.Time { return time.Date(2024, 2, 3, 10, 0, 0, 0, time.UTC) },
			Tick: func(func()) {}, Interrupted: func() bool { return true },
		})
		p.Start(Step{Name: "script setup"}).Done(errors.New("signal: killed"))
		p.Close()
		if got := out.String(); !strings.Contains(got, want) || strings.Contains(got, "failed") {
			t.Errorf("%v: %q", mode, got)
		}
	}
}
