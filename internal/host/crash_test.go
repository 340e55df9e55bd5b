package host_test

import (
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"

	"ingot/internal/host"
	"ingot/internal/judge"
)

// A machine is a host as it would be observed, and what nobody observes: which layers work.
type machine struct {
	host.State
	broken map[string]bool // images that do not come up
}

// restart lets the loader choose until a layer comes up, as systemd-boot does: it counts
// before it starts a kernel.
func (m machine) restart(t *testing.T, broken func(host.Volume) bool) host.State {
	t.Helper()
	s := m.State
	s.Entries = slices.Clone(s.Entries)
	for range 100 {
		if len(s.Entries) == 0 {
			t.Fatal("the loader has no entry")
		}
		e := &s.Entries[0]
		layer := e.Layer
		kernel := slices.Contains(s.Kernels, host.Kernel{Layer: layer, Whole: true})
		v, there := s.Volume(layer)
		if e.Counted && e.Left == 0 {
			t.Fatalf("the loader has nothing but %s, which used up its tries", layer)
		}
		uncounted := !e.Counted
		if e.Counted {
			e.Left--
			e.Done++
			host.SortEntries(s.Entries)
		}
		if kernel && there && !v.Building && !v.Ghost && !broken(v) {
			s.Booted = layer
			return s
		}
		if uncounted {
			t.Fatalf("the loader stays at %s, which does not come up: kernel %t, volume %+v", layer, kernel, v)
		}
	}
	t.Fatal("the host restarts for ever")
	return s
}

// goods are the layers that a host could fall back to, as the test sees it.
func goods(s host.State) []host.Name {
	var out []host.Name
	for _, e := range s.Entries {
		if v, ok := s.Volume(e.Layer); ok && !e.Counted && !v.Building && !v.Ghost && !v.Retired &&
			slices.Contains(s.Kernels, host.Kernel{Layer: e.Layer, Whole: true}) {
			out = append(out, e.Layer)
		}
	}
	return out
}

// confirmed are the layers that come up where nothing else does: those whose boots are not
// counted, also where their removal has begun.
func confirmed(s host.State) []host.Name {
	var out []host.Name
	for _, e := range s.Entries {
		if v, ok := s.Volume(e.Layer); ok && !e.Counted && !v.Building && !v.Ghost {
			out = append(out, e.Layer)
		}
	}
	return out
}

// points are all states that a power cut may leave.
func points(s host.State, steps []host.Step) []host.State {
	all := []host.State{s}
	for _, step := range steps {
		all = append(all, s.Partly(step)...)
		s = s.After(step)
		all = append(all, s)
	}
	return all
}

// settled repairs a host until nothing is left to do, and holds it to what repair owes.
func settled(t *testing.T, s host.State) host.State {
	t.Helper()
	steps := s.Repair()
	for _, step := range steps {
		s = s.After(step)
	}
	if more := s.Repair(); len(more) > 0 {
		t.Fatalf("a second repair has still to %s; the first: %v", more[0], steps)
	}
	for _, p := range s.Check() {
		if strings.HasSuffix(p.Hint, "repair") && p.Kind != "retired" {
			t.Fatalf("after the repair: %s", p.Text)
		}
	}
	return s
}

// crash breaks steps off wherever they can be, and once more in the repair.
func crash(t *testing.T, what string, m machine, steps []host.Step) int {
	t.Helper()
	if err := m.Prove(steps); err != nil {
		t.Fatalf("%s: %v", what, err)
	}
	none := func(host.Volume) bool { return false }
	after := m
	for _, step := range steps {
		after.State = after.After(step)
	}
	bootable := len(goods(m.State)) > 0
	var may []host.Name
	if bootable {
		may = []host.Name{m.restart(t, none).Booted, after.restart(t, none).Booted}
	}
	n := 0
	check := func(p host.State) {
		n++
		if !bootable {
			return
		}
		at := machine{p, nil}
		if got := at.restart(t, none).Booted; !slices.Contains(may, got) {
			t.Fatalf("%s, broken off: boots %s, neither of %v", what, got, may)
		}
		// Whatever has not been confirmed fails: a layer that was good comes up.
		old := confirmed(m.State)
		fell := at.restart(t, func(v host.Volume) bool { return !slices.Contains(old, v.Name) && v.Name != m.Booted })
		if !slices.Contains(old, fell.Booted) && fell.Booted != m.Booted {
			t.Fatalf("%s, broken off: falls back to %s", what, fell.Booted)
		}
		if len(goods(p)) == 0 {
			t.Fatalf("%s, broken off: no good layer is left", what)
		}
		if was, ok := m.Volume(m.Booted); ok {
			if is, _ := p.Volume(m.Booted); is.Name != was.Name || is.Building != was.Building || is.Ghost || is.Retired && !was.Retired {
				t.Fatalf("%s, broken off: what runs became %+v", what, is)
			}
		}
	}
	for _, p := range points(m.State, steps) {
		check(p)
		end := settled(t, p)
		for _, n := range goods(m.State) {
			if v, ok := end.Volume(n); ok && !v.Retired && !slices.Contains(goods(end), n) {
				t.Fatalf("%s, broken off and repaired: %s is there and would not boot", what, n)
			}
		}
		for _, q := range points(p, p.Repair()) {
			check(q)
			if got := settled(t, q); !same(got, end) {
				t.Fatalf("%s, broken off: a repair that was broken off too comes to\n%+v\nand else to\n%+v", what, got, end)
			}
		}
	}
	return n
}

// same says whether two states are one, whatever their lists' order.
func same(a, b host.State) bool {
	tidy := func(s host.State) string {
		var lines []string
		for _, v := range s.Volumes {
			lines = append(lines, fmt.Sprintf("%+v", v))
		}
		for _, e := range s.Entries {
			lines = append(lines, fmt.Sprintf("%+v", e))
		}
		for _, k := range s.Kernels {
			lines = append(lines, fmt.Sprintf("%+v", k))
		}
		slices.Sort(lines)
		return fmt.Sprint(lines, s.Bad, s.Stuck, s.Litter)
	}
	return reflect.DeepEqual(tidy(a), tidy(b))
}

// walker does verbs by chance.
type walker struct {
	*rand.Rand
	machine
	version int
}

func (w *walker) image() host.Image {
	n := w.version - w.IntN(3)
	if w.IntN(3) > 0 {
		w.version++
		n = w.version
	}
	n = max(n, 1)
	name, _ := host.ParseName(fmt.Sprintf("Base-%d-0", n))
	digest := fmt.Sprintf("%012x", n)
	if _, known := w.broken[digest]; !known {
		w.broken[digest] = w.IntN(3) == 0
	}
	return host.Image{Name: name, Digest: digest, Size: 1 << 30}
}

func (w *walker) any() host.Name {
	if len(w.Volumes) == 0 {
		return host.Name{}
	}
	return w.Volumes[w.IntN(len(w.Volumes))].Name
}

// verb is one verb, its steps, and whether it may remove layers that are whole.
func (w *walker) verb(t *testing.T) (what string, steps []host.Step, removes bool) {
	t.Helper()
	var err error
	switch k := w.IntN(14); k {
	case 0, 1, 2:
		i := w.image()
		bad := slices.Contains(w.Bad, i.Digest)
		u := host.Update{Image: i, Older: w.IntN(2) == 0, Again: w.IntN(4) == 0}
		_, steps, err = w.Update(u)
		if bad && !u.Again && err == nil && len(steps) > 0 {
			t.Fatalf("bad image %s is tried again", i.Digest)
		}
		what = "update to " + i.Name.String()
	case 3:
		i := w.image()
		steps, err = w.Add(i)
		what = "add " + i.Name.String()
	case 4:
		n := w.any()
		_, steps, err = w.Derive(n, w.Booted)
		what = "derive " + n.String()
	case 5:
		n := host.Name{}
		if w.IntN(2) == 0 {
			n = w.any()
		}
		_, steps, err = w.Rollback(n)
		what = "rollback to " + n.String()
	case 6, 7:
		removes = w.Good(w.Booted)
		steps, err = w.Confirm(1 + w.IntN(3))
		what = "confirm"
		removes = removes || err == nil // what runs is good from the first step on
	case 8, 9:
		var verdict host.Verdict
		steps, verdict = w.Health(w.IntN(2) == 0)
		what = "health"
		if verdict == host.Reboot {
			defer func() { w.State = w.restart(t, w.fails) }()
		}
	case 10:
		n := w.any()
		steps, err = w.Pin(n, w.IntN(2) == 0)
		what = "pin " + n.String()
	case 11:
		n := w.any()
		steps, err = w.Remove(n)
		what, removes = "remove "+n.String(), true
	case 12:
		steps, err = w.GC(1 + w.IntN(3))
		what, removes = "gc", err == nil
		if err == nil && !w.Good(w.Booted) {
			t.Fatal("garbage is collected and nothing is confirmed")
		}
	case 13:
		steps = w.Repair()
		what = "repair"
	}
	if err != nil {
		steps = nil
	}
	return what, steps, removes
}

// fails says which layers do not come up: those of broken images.
func (w *walker) fails(v host.Volume) bool { return w.broken[v.Image] && v.Name != w.Booted }

// TestCrashes walks hosts from verb to verb, and at each breaks off the verb wherever it can
// be, and its repair too.
func TestCrashes(t *testing.T) {
	seen := map[string]int{}
	states := 0
	for seed := range uint64(walks()) {
		w := &walker{Rand: rand.New(rand.NewPCG(seed, 8)), machine: machine{broken: map[string]bool{}}, version: 1}
		w.Loader = true
		first, _ := host.ParseName("Base-1-0")
		steps, err := w.Init(first, "vg/root", 0)
		if err != nil {
			t.Fatal(err)
		}
		states += crash(t, "init", w.machine, steps)
		for _, step := range steps {
			w.State = w.After(step)
		}
		w.State = w.restart(t, w.fails)
		for range 60 {
			if len(goods(w.State)) == 0 { // the first layer is not confirmed yet
				steps, err := w.Confirm(2)
				if err != nil {
					t.Fatal(err)
				}
				states += crash(t, "first confirm", w.machine, steps)
				for _, step := range steps {
					w.State = w.After(step)
				}
			}
			before := w.State
			what, steps, removes := w.verb(t)
			if len(steps) == 0 {
				continue
			}
			seen[strings.Fields(what)[0]]++
			for _, step := range steps {
				if v, ok := before.Volume(step.Name); step.Do == host.Delete && !removes && ok && !v.Building && !v.Retired && !v.Ghost {
					t.Fatalf("%s removes %s", what, step.Name)
				}
			}
			states += crash(t, what, machine{before, w.broken}, steps)
			after := before
			end := len(steps)
			if w.IntN(4) == 0 { // and goes on from where it was broken off
				end = w.IntN(len(steps) + 1)
			}
			for _, step := range steps[:end] {
				after = after.After(step)
			}
			if end < len(steps) && w.IntN(2) == 0 {
				if parts := after.Partly(steps[end]); len(parts) > 0 {
					after = parts[w.IntN(len(parts))]
				}
			}
			w.State = after
			if end < len(steps) || w.IntN(3) == 0 {
				w.State = w.restart(t, w.fails)
			}
		}
	}
	t.Logf("%d states, verbs %v", states, seen)
	for _, verb := range []string{"update", "add", "derive", "rollback", "confirm", "health", "pin", "remove", "gc", "repair"} {
		if seen[verb] == 0 {
			t.Errorf("no %s had anything to do", verb)
		}
	}
}

func walks() int {
	if judge.At() == judge.Full {
		return 400
	}
	return 20
}
