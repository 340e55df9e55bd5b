package host

import (
	"slices"

	"ingot/internal/fault"
)

// unconfirmed is why nothing may be built on what runs.
func (s State) unconfirmed() error {
	if s.Booted.IsZero() {
		return fault.Newf(fault.Preflight, "no layer of this host runs").WithHint("boot one of its layers first")
	}
	if v, _ := s.Volume(s.Booted); v.Retired {
		return fault.Newf(fault.Choice, "%s runs, and is to be removed", s.Booted).
			WithHint("\"ingot host confirm\" keeps it, \"ingot host rollback\" goes to another layer")
	}
	return fault.Newf(fault.Choice, "%s, which runs, has not been confirmed", s.Booted).
		WithHint("\"ingot host confirm\" says that it is good, \"ingot host rollback\" goes back")
}

// standing says whether the running layer was confirmed, and stays: what follows may fall back
// to it.
func (s State) standing() bool { return s.whole(s.Booted) && s.Good(s.Booted) }

// running is the entry that the running layer was started by: its newest.
func (s State) running() (Entry, bool) {
	own := s.entriesOf(s.Booted)
	if s.Booted.IsZero() || len(own) == 0 {
		return Entry{}, false
	}
	return own[0], true
}

// Confirm says that the running layer is good: its boots are counted no more. Then images
// that used up their tries are marked, and garbage is collected, of which keep good layers are
// not. Where its removal had begun, that is taken back: it would be fallen back to until a repair
// removes it.
func (s State) Confirm(keep int) ([]Step, error) {
	e, ok := s.running()
	if !ok {
		return nil, s.unconfirmed()
	}
	if !s.usable(e) {
		return nil, fault.Newf(fault.Preflight, "%s runs, and would not start again", s.Booted).WithHint("\"ingot host repair\" mends what starts it")
	}
	if err := s.orderly(); err != nil {
		return nil, err
	}
	var steps []Step
	if !s.whole(s.Booted) {
		steps = append(steps, Step{Do: Keep, Name: s.Booted})
	}
	steps = append(steps, s.bless(e)...)
	steps = append(steps, s.settle()...)
	s = s.through(steps)
	steps = append(steps, s.condemned()...)
	s = s.through(steps)
	if next, ok := s.Boots(); ok && next == s.Booted {
		steps = append(steps, s.garbage(keep)...)
	}
	return steps, nil
}

// bless takes the counter off an entry: FAT knows no renaming that a power cut could not
// break, so the new entry is there before the old one goes.
func (s State) bless(e Entry) []Step {
	if e.good() {
		return nil
	}
	return append(s.tidy(),
		Step{Do: Enter, Entry: Entry{Seq: e.Seq, Layer: e.Layer}},
		Step{Do: Leave, Entry: e})
}

func (s State) settle() []Step {
	if v, ok := s.Volume(s.Booted); ok && v.Restarted {
		return []Step{{Do: Settle, Name: s.Booted}}
	}
	return nil
}

// condemned marks the images of layers that used up their tries, and takes them from the
// loader. An image that a good layer is of is not to blame.
func (s State) condemned() []Step {
	var steps []Step
	for _, e := range s.Entries {
		if !e.exhausted() || e.Layer == s.Booted {
			continue
		}
		steps = append(steps, s.condemn(e)...)
		steps = append(steps, Step{Do: Leave, Entry: e})
	}
	return steps
}

func (s State) condemn(e Entry) []Step {
	v, _ := s.Volume(e.Layer)
	good := slices.ContainsFunc(s.goods(), func(n Name) bool {
		other, _ := s.Volume(n)
		return other.Image == v.Image
	})
	if v.Image == "" || good || slices.Contains(s.Bad, v.Image) {
		return nil
	}
	return []Step{{Do: Condemn, Image: v.Image}}
}

// A Verdict is what becomes of a host whose health was checked.
type Verdict string

// The verdicts.
const (
	Healthy  Verdict = "healthy"  // it may be confirmed
	Reboot   Verdict = "reboot"   // restart it: another try, or another layer
	Degraded Verdict = "degraded" // it stays up as it is: another restart would not help
)

// Health judges the running layer by whether all that is required of it is there. A layer on
// trial that fails is restarted until its tries are used up, and then another one runs. One
// that was good is restarted once. No host restarts for ever.
func (s State) Health(passed bool) ([]Step, Verdict) {
	e, ok := s.running()
	v, there := s.Volume(s.Booted)
	orderly := s.orderly() == nil
	switch {
	case passed && orderly:
		return append(s.settle(), s.condemned()...), Healthy
	case passed:
		return nil, Healthy
	case !ok || !there || !orderly:
		return nil, Degraded
	case e.good() && v.Restarted:
		return nil, Degraded
	case e.good():
		return []Step{{Do: Restart, Name: s.Booted}}, Reboot
	case e.Left > 0:
		return nil, Reboot
	case len(s.goods()) == 0:
		return nil, Degraded
	}
	return s.condemn(e), Reboot
}

// Rollback makes the loader prefer another layer: to, or with no name the newest good one
// besides what runs. A layer that was never confirmed is tried as after an update.
func (s State) Rollback(to Name) (Name, []Step, error) {
	if !s.Loader {
		return Name{}, nil, fault.Newf(fault.Preflight, "there is no boot loader whose entries could be changed")
	}
	if to.IsZero() {
		for _, n := range s.goods() {
			if n != s.Booted {
				to = n
				break
			}
		}
	}
	if to.IsZero() {
		return Name{}, nil, fault.Newf(fault.NotFound, "there is no other good layer to go back to").WithHint("\"ingot host status\" lists the layers")
	}
	if to.Layer == 0 {
		return Name{}, nil, fault.Newf(fault.Usage, "%s is a base, and layers boot", to).WithHint("\"ingot host derive %s\" makes a layer of it", to)
	}
	v, ok := s.Volume(to)
	if !ok || !s.whole(to) {
		return Name{}, nil, s.missing(to)
	}
	good := s.Good(to) || slices.ContainsFunc(s.entriesOf(to), Entry.good)
	if slices.Contains(s.Bad, v.Image) && !good {
		return Name{}, nil, fault.Newf(fault.Health, "the image of %s did not boot on this host", to).WithHint("\"ingot host update --again\" tries it once more")
	}
	if next, ok := s.Boots(); ok && next == to {
		return to, nil, nil
	}
	steps := s.tidy()
	if !s.hasKernel(to) {
		steps = append(steps, Step{Do: Copy, Name: to})
	}
	e := Entry{Seq: s.nextSeq(), Layer: to}
	if !good {
		e.Counted, e.Left = true, DefaultTries
	}
	steps = append(steps, Step{Do: Enter, Entry: e})
	for _, old := range s.entriesOf(to) {
		steps = append(steps, Step{Do: Leave, Entry: old})
	}
	return to, steps, nil
}
