package host_test

import (
	"testing"

	"ingot/internal/fault"
	"ingot/internal/host"
)

// TestReplace makes another layer of what runs and of its base, each tried in its place: where
// it does not come up, what ran before does.
func TestReplace(t *testing.T) {
	one := name(t, "Base-1-0+1")
	s := host.State{Loader: true}
	steps, err := s.Init(one.Base(), "vg/root", 0)
	if err != nil {
		t.Fatal(err)
	}
	do(&s, steps)
	boot(&s, one)
	if _, _, err := s.Replace(one, 0, 0); fault.CodeOf(err) != fault.Choice {
		t.Errorf("of what is not confirmed: %v", err)
	}
	if steps, err = s.Confirm(2); err != nil {
		t.Fatal(err)
	}
	do(&s, steps)
	for _, c := range []struct {
		tries int
		of    host.Name
		code  fault.Code
	}{{1, one, fault.Usage}, {100, one, fault.Usage}, {0, name(t, "Base-9-0"), fault.NotFound}} {
		if _, _, err := s.Replace(c.of, c.tries, 0); fault.CodeOf(err) != c.code {
			t.Errorf("%d tries of %s: %v", c.tries, c.of, err)
		}
	}
	full := s
	full.Boot = host.Room{Size: 100, Free: 10}
	if _, _, err := full.Replace(one, 0, 50); fault.CodeOf(err) != fault.Preflight {
		t.Errorf("a boot partition without room: %v", err)
	}
	for i, of := range []host.Name{one, one.Base()} {
		layer, steps, err := s.Replace(of, 2, 0)
		if err != nil || layer.Layer != i+2 {
			t.Fatal(layer, err)
		}
		crash(t, "replace", machine{State: s}, steps)
		said := do(&s, steps)
		if i == 0 {
			expect(t, said, `
			snapshot Base-1-0+1 as Base-1-0+2
			make Base-1-0+2 a layer of its own
			finish layer Base-1-0+2
			copy kernel and initramfs of Base-1-0+2 to the boot partition
			write boot entry 2 of Base-1-0+2, 2 tries left
			`)
		}
		if _, _, err := s.Replace(one, 0, 0); fault.CodeOf(err) != fault.Choice {
			t.Errorf("once more before it was tried: %v", err)
		}
		s = machine{State: s}.restart(t, func(v host.Volume) bool { return v.Name == layer })
		if s.Booted != one {
			t.Fatalf("%s runs", s.Booted)
		}
		steps, _ = s.Health(true)
		do(&s, steps)
	}
}
