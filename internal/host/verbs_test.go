package host_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"ingot/internal/fault"
	"ingot/internal/host"
)

func name(t *testing.T, text string) host.Name {
	t.Helper()
	n, err := host.ParseName(text)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// do does steps, and says them.
func do(s *host.State, steps []host.Step) string {
	var said strings.Builder
	for _, step := range steps {
		*s = s.After(step)
		fmt.Fprintln(&said, step)
	}
	return said.String()
}

func expect(t *testing.T, got, want string) {
	t.Helper()
	if want = strings.TrimPrefix(strings.ReplaceAll(want, "\t", ""), "\n"); got != want {
		t.Errorf("the steps are\n%sand not\n%s", got, want)
	}
}

// boot is a boot that comes up: a counted entry loses a try.
func boot(s *host.State, layer host.Name) {
	for i := range s.Entries {
		if e := &s.Entries[i]; e.Layer == layer {
			if e.Counted {
				e.Left, e.Done = e.Left-1, e.Done+1
			}
			break
		}
	}
	host.SortEntries(s.Entries)
	s.Booted = layer
}

func image(t *testing.T, text string) host.Image {
	return host.Image{Name: name(t, text), Digest: fmt.Sprintf("%012x", len(text)*1000+int(text[len(text)-3])), Size: 1 << 30}
}

// TestStory installs 1, updates to 2, boots and confirms it; 3 does not come up and 2 comes
// back by itself; then back to 1.
func TestStory(t *testing.T) {
	one, two, three := name(t, "Base-1-0+1"), name(t, "Base-2-0+1"), name(t, "Base-3-0+1")
	s := host.State{Loader: true}
	steps, err := s.Init(one.Base(), "vg/root", 0)
	if err != nil {
		t.Fatal(err)
	}
	expect(t, do(&s, steps), `
	adopt the group and the pool of vg/root
	snapshot vg/root as Base-1-0
	seal base Base-1-0
	snapshot Base-1-0 as Base-1-0+1
	make Base-1-0+1 a layer of its own
	finish layer Base-1-0+1
	copy kernel and initramfs of Base-1-0+1 to the boot partition
	write boot entry 1 of Base-1-0+1, 3 tries left
	`)
	boot(&s, one)
	if _, _, err := s.Update(host.Update{Image: image(t, "Base-2-0")}); fault.CodeOf(err) != fault.Choice {
		t.Errorf("an update of what is not confirmed: %v", err)
	}
	steps, err = s.Confirm(2)
	if err != nil {
		t.Fatal(err)
	}
	expect(t, do(&s, steps), `
	write boot entry 1 of Base-1-0+1
	remove boot entry 1 of Base-1-0+1, 2 tries left
	`)
	layer, steps, err := s.Update(host.Update{Image: image(t, "Base-2-0")})
	if err != nil || layer != two {
		t.Fatal(layer, err)
	}
	expect(t, do(&s, steps), `
	create volume Base-2-0 of 1073741824 bytes
	fill Base-2-0
	seal base Base-2-0
	snapshot Base-2-0 as Base-2-0+1
	carry over to Base-2-0+1 what persists of Base-1-0+1
	finish layer Base-2-0+1
	copy kernel and initramfs of Base-2-0+1 to the boot partition
	write boot entry 2 of Base-2-0+1, 3 tries left
	`)
	if _, steps, err = s.Update(host.Update{Image: image(t, "Base-2-0")}); err != nil || len(steps) > 0 {
		t.Errorf("the same update again: %v, %v", steps, err)
	}
	boot(&s, two)
	if steps, verdict := s.Health(true); verdict != host.Healthy || len(steps) > 0 {
		t.Errorf("%s, %v", verdict, steps)
	}
	if steps, err = s.Confirm(2); err != nil {
		t.Fatal(err)
	}
	do(&s, steps)
	if !slices.Equal(s.Layers(), []host.Name{one, two}) {
		t.Fatalf("the layers are %v", s.Layers())
	}
	// 3 comes up twice and fails its checks, then not at all.
	bad := host.Update{Image: image(t, "Base-3-0")}
	if _, steps, err = s.Update(bad); err != nil {
		t.Fatal(err)
	}
	do(&s, steps)
	boot(&s, three)
	for range 2 {
		if steps, verdict := s.Health(false); verdict != host.Reboot || len(steps) > 0 {
			t.Errorf("%s, %v", verdict, steps)
		}
		boot(&s, three)
	}
	steps, verdict := s.Health(false)
	if verdict != host.Reboot {
		t.Error(verdict)
	}
	expect(t, do(&s, steps), "mark image "+bad.Image.Digest+" as bad\n")
	if next, ok := s.Boots(); !ok || next != two {
		t.Fatalf("then boots %s", next)
	}
	boot(&s, two)
	steps, verdict = s.Health(true)
	if verdict != host.Healthy {
		t.Error(verdict)
	}
	expect(t, do(&s, steps), "remove boot entry 3 of Base-3-0+1, 0 tries left\n")
	if _, _, err := s.Update(bad); fault.CodeOf(err) != fault.Health {
		t.Errorf("an image that did not boot is taken again: %v", err)
	}
	again := bad
	again.Again = true
	if _, steps, err := s.Update(again); err != nil || steps[0].Do != host.Absolve {
		t.Errorf("%v, %v", steps, err)
	}
	if steps, err = s.GC(2); err != nil {
		t.Fatal(err)
	}
	expect(t, do(&s, steps), `
	begin to remove Base-3-0+1
	remove kernel and initramfs of Base-3-0+1 from the boot partition
	delete volume Base-3-0+1
	begin to remove Base-3-0
	delete volume Base-3-0
	`)
	to, steps, err := s.Rollback(host.Name{})
	if err != nil || to != one {
		t.Fatal(to, err)
	}
	expect(t, do(&s, steps), `
	write boot entry 3 of Base-1-0+1
	remove boot entry 1 of Base-1-0+1
	`)
	boot(&s, one)
	// 1 was good. When it fails it is restarted once, and then stays up.
	steps, verdict = s.Health(false)
	if do(&s, steps); verdict != host.Reboot {
		t.Error(verdict)
	}
	boot(&s, one)
	for range 2 {
		steps, verdict = s.Health(false)
		if do(&s, steps); verdict != host.Degraded {
			t.Error(verdict)
		}
	}
	steps, _ = s.Health(true)
	do(&s, steps)
	if steps, verdict = s.Health(false); verdict != host.Reboot || len(steps) != 1 {
		t.Errorf("well again, and then failing: %s, %v", verdict, steps)
	}
	// Back from the oldest layer is not a turn to the newest that failed: 2 is the other good one.
	if to, _, err := s.Rollback(host.Name{}); err != nil || to != two {
		t.Error(to, err)
	}
	if problems := s.Check(); len(problems) > 0 {
		t.Errorf("%+v", problems)
	}
}

// TestRefusals is what is found before anything is written.
func TestRefusals(t *testing.T) {
	one := name(t, "Base-1-0+1")
	ready := host.State{Loader: true}
	steps, _ := ready.Init(one.Base(), "vg/root", 0)
	do(&ready, steps)
	boot(&ready, one)
	steps, _ = ready.Confirm(2)
	do(&ready, steps)
	with := func(change func(*host.State)) host.State {
		s := ready.After(host.Step{})
		change(&s)
		return s
	}
	update := func(s host.State, text string) error {
		i := image(t, text)
		i.Needs, i.Kernel = 100, 50
		_, _, err := s.Update(host.Update{Image: i})
		return err
	}
	remove := func(s host.State, text string) error {
		_, err := s.Remove(name(t, text))
		return err
	}
	for _, c := range []struct {
		what string
		err  error
		code fault.Code
		says string
	}{
		{"full pool", update(with(func(s *host.State) { s.Pool = host.Room{Size: 1000, Free: 199} }), "Base-2-0"), fault.Preflight, "thin pool has 199 bytes free"},
		{"room enough", update(with(func(s *host.State) { s.Pool = host.Room{Size: 1000, Free: 200} }), "Base-2-0"), fault.Done, ""},
		{"full metadata", update(with(func(s *host.State) { s.Meta = host.Room{Size: 1000, Free: 249} }), "Base-2-0"), fault.Preflight, "metadata"},
		{"full boot partition", update(with(func(s *host.State) { s.Boot = host.Room{Size: 1000, Free: 49} }), "Base-2-0"), fault.Preflight, "boot partition"},
		{"name of others", update(with(func(s *host.State) { s.Foreign = []string{"Base-2-0"} }), "Base-2-0"), fault.Preflight, "no base or layer"},
		{"layer's name of others", update(with(func(s *host.State) { s.Foreign = []string{"Base-2-0+1"} }), "Base-2-0"), fault.Preflight, "no base or layer"},
		{"stuck pool", update(with(func(s *host.State) { s.Stuck = []int{3} }), "Base-2-0"), fault.Preflight, "device 3"},
		{"older", update(ready, "Base-0.9-0"), fault.Choice, "older"},
		{"another image", update(ready, "Aaa-0.9-0"), fault.Done, ""},
		{"nothing of ours runs", update(with(func(s *host.State) { s.Booted = host.Name{} }), "Base-2-0"), fault.Preflight, "no layer"},
		{"what runs", remove(ready, "Base-1-0+1"), fault.Choice, "runs"},
		{"base of what runs", remove(ready, "Base-1-0"), fault.Choice, "runs"},
		{"last good", remove(with(func(s *host.State) {
			s.Booted = host.Name{}
			s.Entries = append([]host.Entry{{Seq: 9, Layer: name(t, "Base-2-0+1"), Counted: true, Left: 3}}, s.Entries...)
			s.Volumes = append(s.Volumes, host.Volume{Name: name(t, "Base-2-0+1")})
			s.Kernels = append(s.Kernels, host.Kernel{Layer: name(t, "Base-2-0+1"), Whole: true})
		}), "Base-1-0+1"), fault.Choice, "last good"},
		{"nothing", remove(ready, "Base-7-0"), fault.NotFound, "no Base-7-0"},
	} {
		if got := fault.CodeOf(c.err); got != c.code || c.err != nil && !strings.Contains(c.err.Error(), c.says) {
			t.Errorf("%s: %v, exit code %d", c.what, c.err, got)
		}
	}
	if _, _, err := ready.Rollback(host.Name{}); fault.CodeOf(err) != fault.NotFound {
		t.Errorf("back from the only layer: %v", err)
	}
	if err := ready.Prove([]host.Step{{Do: host.Leave, Entry: ready.Entries[0]}}); err == nil {
		t.Error("steps that leave nothing to boot are taken for right")
	}
}

// TestBlame marks no image that another layer of is good: a layer that an administrator
// derived and spoilt says nothing of it.
func TestBlame(t *testing.T) {
	one, spoilt := name(t, "Base-1-0+1"), name(t, "Base-1-0+2")
	s := host.State{
		Loader:  true,
		Volumes: []host.Volume{{Name: one.Base(), Image: "000000000001"}, {Name: one, Image: "000000000001"}, {Name: spoilt, Image: "000000000001"}},
		Entries: []host.Entry{{Seq: 1, Layer: one}, {Seq: 2, Layer: spoilt, Counted: true, Done: 3}},
		Kernels: []host.Kernel{{Layer: one, Whole: true}, {Layer: spoilt, Whole: true}},
		Booted:  one,
	}
	steps, _ := s.Health(true)
	expect(t, do(&s, steps), "remove boot entry 2 of Base-1-0+2, 0 tries left\n")
}
