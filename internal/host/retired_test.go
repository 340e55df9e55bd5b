package host_test

import (
	"testing"

	"ingot/internal/fault"
	"ingot/internal/host"
)

// brokenRemoval is a host whose layer 2 runs although its removal has begun: it was being
// removed while 3 was what boots, that was broken off, and 3 did not come up.
func brokenRemoval(t *testing.T) (one, two host.Name, s host.State) {
	t.Helper()
	one, two = name(t, "Base-1-0+1"), name(t, "Base-2-0+1")
	s = host.State{Loader: true}
	steps, err := s.Init(one.Base(), "vg/root", 0)
	if err != nil {
		t.Fatal(err)
	}
	do(&s, steps)
	boot(&s, one)
	if steps, err = s.Confirm(2); err != nil {
		t.Fatal(err)
	}
	do(&s, steps)
	for _, of := range []string{"Base-2-0", "Base-3-0"} {
		if _, steps, err = s.Update(host.Update{Image: image(t, of)}); err != nil {
			t.Fatal(err)
		}
		do(&s, steps)
	}
	if steps, err = s.Remove(two); err != nil {
		t.Fatal(err)
	}
	if steps[0].Do != host.Retire {
		t.Fatalf("the removal begins with: %s", steps[0])
	}
	do(&s, steps[:1])
	s = machine{State: s}.restart(t, func(v host.Volume) bool { return v.Name.Base() == name(t, "Base-3-0") })
	if s.Booted != two {
		t.Fatalf("%s runs", s.Booted)
	}
	return one, two, s
}

// TestRetiredRuns has a layer that was to be removed run after all. To confirm it takes its
// removal back: what a host falls back to is nothing that a repair removes.
func TestRetiredRuns(t *testing.T) {
	one, two, s := brokenRemoval(t)
	if v, _ := s.Volume(two); !v.Retired {
		t.Fatalf("%+v", v)
	}
	if _, _, err := s.Update(host.Update{Image: image(t, "Base-4-0")}); fault.CodeOf(err) != fault.Choice {
		t.Errorf("an update from a layer that is to be removed: %v", err)
	}
	steps, err := s.Confirm(1)
	if err != nil {
		t.Fatal(err)
	}
	crash(t, "confirm", machine{State: s}, steps)
	do(&s, steps)
	if v, _ := s.Volume(two); v.Retired || !s.Good(two) {
		t.Errorf("confirmed it is %+v, good %t", v, s.Good(two))
	}
	if steps := s.Repair(); len(steps) > 0 {
		t.Errorf("a repair has to %v", steps)
	}
	if _, ok := s.Volume(one); ok {
		t.Error("1 is garbage, and is there")
	}
	// And it is fallen back to.
	_, steps, err = s.Update(host.Update{Image: image(t, "Base-4-0")})
	if err != nil {
		t.Fatal(err)
	}
	crash(t, "update", machine{State: s}, steps)
	do(&s, steps)
	boot(&s, name(t, "Base-4-0+1"))
	steps, err = s.Pin(two, true)
	if err != nil {
		t.Fatal(err)
	}
	crash(t, "pin", machine{State: s}, steps)
}

// TestGoodRetiredFalls has a confirmed layer whose removal was broken off come up where the
// newest fails: it is whole as long as it has an entry.
func TestGoodRetiredFalls(t *testing.T) {
	one, two, s := brokenRemoval(t)
	steps, err := s.Confirm(3)
	if err != nil {
		t.Fatal(err)
	}
	do(&s, steps)
	if _, steps, err = s.Rollback(one); err != nil {
		t.Fatal(err)
	}
	do(&s, steps)
	boot(&s, one)
	for _, verb := range []func() ([]host.Step, error){
		func() ([]host.Step, error) { _, steps, err := s.Rollback(two); return steps, err },
		func() ([]host.Step, error) {
			_, steps, err := s.Update(host.Update{Image: image(t, "Base-5-0")})
			return steps, err
		},
		func() ([]host.Step, error) { steps, err := s.Remove(two); return steps[:1], err },
		func() ([]host.Step, error) { return s.Pin(one, true) },
		func() ([]host.Step, error) { return s.Repair(), nil },
	} {
		steps, err := verb()
		if err != nil {
			t.Fatal(err)
		}
		crash(t, steps[0].String(), machine{State: s}, steps)
		do(&s, steps)
	}
	if _, ok := s.Volume(two); ok || s.Booted != one {
		t.Errorf("repaired, 2 is there: %t; %s runs", ok, s.Booted)
	}
}
