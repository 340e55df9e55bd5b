package host

import (
	"slices"

	"ingot/internal/fault"
)

// DefaultKeep is how many good layers are no garbage, what runs counted.
const DefaultKeep = 2

// Pin makes a base or layer never garbage, or again like any.
func (s State) Pin(n Name, on bool) ([]Step, error) {
	v, ok := s.Volume(n)
	if !ok || !s.whole(n) {
		return nil, s.missing(n)
	}
	if err := s.orderly(); err != nil || v.Pinned == on {
		return nil, err
	}
	if on {
		return []Step{{Do: Pin, Name: n}}, nil
	}
	return []Step{{Do: Unpin, Name: n}}, nil
}

// Remove removes a layer, or a base with its layers. What runs stays, and what would boot,
// and the last good layer.
func (s State) Remove(n Name) ([]Step, error) {
	if _, ok := s.Volume(n); !ok {
		return nil, s.missing(n)
	}
	if err := s.orderly(); err != nil {
		return nil, err
	}
	var gone []Name
	for _, v := range s.Volumes {
		if v.Name == n || n.Layer == 0 && v.Name.Base() == n {
			gone = append(gone, v.Name)
		}
	}
	slices.SortFunc(gone, func(a, b Name) int { return b.Compare(a) }) // layers before their base
	boots, _ := s.Boots()
	for _, g := range gone {
		v, _ := s.Volume(g)
		switch {
		case g == s.Booted:
			return nil, fault.Newf(fault.Choice, "%s runs", g).WithHint("boot another layer first")
		case g == boots:
			return nil, fault.Newf(fault.Choice, "%s is what the host boots next", g).WithHint("have another layer boot first")
		case v.Pinned:
			return nil, fault.Newf(fault.Choice, "%s is pinned", g).WithHint("\"ingot host unpin %s\" first", g)
		}
	}
	if goods := s.goods(); len(goods) > 0 && !slices.ContainsFunc(goods, func(n Name) bool { return !slices.Contains(gone, n) }) {
		return nil, fault.Newf(fault.Choice, "%s is the last good layer", goods[0]).WithHint("confirm another layer first")
	}
	return s.away(gone), nil
}

// away removes volumes: first it is said that they go, so that what is broken off goes too;
// then the loader forgets them, then their kernels go, and the volumes last.
func (s State) away(gone []Name) []Step {
	var steps []Step
	for _, n := range gone {
		if v, _ := s.Volume(n); !v.Retired && !v.Building {
			steps = append(steps, Step{Do: Retire, Name: n})
		}
		for _, e := range s.entriesOf(n) {
			steps = append(steps, Step{Do: Leave, Entry: e})
		}
		if slices.ContainsFunc(s.Kernels, func(k Kernel) bool { return k.Layer == n }) {
			steps = append(steps, Step{Do: Drop, Name: n})
		}
		steps = append(steps, Step{Do: Delete, Name: n})
	}
	return steps
}

// GC removes garbage: all but what runs, what is pinned, on trial, or was added and never
// booted, and the newest keep good layers. There is none until what runs is confirmed and is
// what boots.
func (s State) GC(keep int) ([]Step, error) {
	if keep < 1 {
		return nil, fault.Newf(fault.Usage, "%d layers to keep: at least what runs is kept", keep)
	}
	if err := s.orderly(); err != nil {
		return nil, err
	}
	if !s.Loader || !s.standing() {
		return nil, s.unconfirmed()
	}
	if next, ok := s.Boots(); !ok || next != s.Booted {
		return nil, fault.Newf(fault.Choice, "%s runs, and the host boots another layer next", s.Booted).WithHint("boot it, and collect when it is confirmed")
	}
	return s.garbage(keep), nil
}

// garbage are the steps of GC, where the running layer is good and is what boots.
func (s State) garbage(keep int) []Step {
	kept := map[Name]bool{s.Booted: true}
	for _, n := range s.goods() {
		if len(kept) < max(keep, 1) {
			kept[n] = true
		}
	}
	var gone []Name
	for _, v := range s.Volumes {
		n := v.Name
		own := s.entriesOf(n)
		trial := slices.ContainsFunc(own, func(e Entry) bool { return e.Counted && e.Left > 0 })
		fresh := len(own) == 0 && !slices.Contains(s.Bad, v.Image)
		if n.Layer == 0 || v.Building || v.Ghost || v.Retired || kept[n] || v.Pinned || trial || fresh {
			if n.Layer > 0 {
				kept[n.Base()] = true
			}
			continue
		}
		gone = append(gone, n)
	}
	for _, v := range s.Volumes {
		if v.Name.Layer > 0 || v.Pinned || v.Building || v.Retired || kept[v.Name] {
			continue
		}
		// A base without layers is waiting for one, unless its image is bad or it is older
		// than what runs.
		older := v.Name.Name == s.Booted.Name && v.Name.Compare(s.Booted.Base()) < 0
		if older || slices.Contains(s.Bad, v.Image) || slices.ContainsFunc(gone, func(n Name) bool { return n.Base() == v.Name }) {
			gone = append(gone, v.Name)
		}
	}
	slices.SortStableFunc(gone, func(a, b Name) int { return b.Compare(a) })
	return s.away(gone)
}
