package host

import (
	"fmt"
	"slices"

	"ingot/internal/fault"
)

// A Problem is what is wrong with a host, and what mends it.
type Problem struct {
	Kind string `json:"kind"`
	Name string `json:"name,omitempty"`
	Text string `json:"text"`
	Hint string `json:"hint,omitempty"`
}

const hintRepair = "ingot host repair"

// Check lists what is wrong. What [State.Repair] mends has its command as hint.
func (s State) Check() []Problem {
	problems := []Problem{}
	add := func(kind, name, hint, format string, args ...any) {
		problems = append(problems, Problem{Kind: kind, Name: name, Text: fmt.Sprintf(format, args...), Hint: hint})
	}
	for _, d := range s.Stuck {
		add("stuck-pool", "", hintRepair, "the thin pool refuses all changes: it has not noted that it is done with device %d", d)
	}
	for _, v := range s.Volumes {
		n := v.Name.String()
		switch {
		case v.Ghost && (v.Building || v.Retired):
			add("ghost", n, hintRepair, "%s is listed by the volume group, and the pool has not got it", n)
		case v.Ghost:
			add("lost", n, "ingot host remove "+n, "%s is lost: the volume group lists it, and the pool has not got it", n)
		case v.Building:
			add("unfinished", n, hintRepair, "%s is not whole: what made it was broken off", n)
		case v.Retired && v.Name == s.Booted:
			add("retired", n, "ingot host confirm keeps it; or boot another layer, then "+hintRepair, "%s runs, and is to be removed", n)
		case v.Retired:
			add("retired", n, hintRepair, "the removal of %s was broken off", n)
		case v.Name.Layer == 0 && v.Writable:
			add("writable", n, hintRepair, "base %s can be written to", n)
		case v.Name.Layer > 0 && !s.whole(v.Name.Base()):
			add("orphan", n, "", "layer %s has no base", n)
		}
		if v.Restarted {
			add("degraded", n, "", "%s was good, and failed its health checks when it booted", n)
		}
	}
	if len(s.Litter) > 0 {
		add("litter", "", hintRepair, "the boot partition has %d drafts", len(s.Litter))
	}
	for _, k := range s.Kernels {
		if v, ok := s.Volume(k.Layer); !ok || v.Building || v.Ghost {
			add("kernel", k.Layer.String(), hintRepair, "the boot partition has a kernel of %s, which is not there", k.Layer)
		} else if !k.Whole && !v.Retired {
			add("kernel", k.Layer.String(), hintRepair, "the kernel of %s on the boot partition is not whole", k.Layer)
		}
	}
	for i, e := range s.Entries {
		n := e.Layer.String()
		v, ok := s.Volume(e.Layer)
		switch {
		case !ok || v.Ghost || v.Building:
			add("entry", n, hintRepair, "boot entry %d is of %s, which is not there", e.Seq, n)
		case !s.hasKernel(e.Layer):
			add("entry", n, hintRepair, "boot entry %d of %s has no kernel", e.Seq, n)
		case s.superseded(i):
			add("entry", n, hintRepair, "%s has boot entry %d beside a newer one", n, e.Seq)
		case e.exhausted() && e.Layer != s.Booted:
			add("failed", n, hintRepair, "%s did not boot in %d tries", n, e.Done)
		}
	}
	if s.Pool.Size > 0 && s.Pool.Free < s.Pool.Size/100*freeData {
		add("space", "", "ingot host remove NAME", "the thin pool has %d of %d bytes free", s.Pool.Free, s.Pool.Size)
	}
	if s.Meta.Size > 0 && s.Meta.Free < s.Meta.Size/100*freeMeta {
		add("space", "", "lvextend --poolmetadatasize +SIZE GROUP/POOL", "the thin pool's metadata has %d of %d bytes free", s.Meta.Free, s.Meta.Size)
	}
	if s.Preset != "" && len(s.Entries) > 0 {
		add("preset", "", hintPreset, "the boot loader was told to prefer %q to the order of entries", s.Preset)
	}
	if s.Loader && len(s.Volumes) > 0 {
		if _, ok := s.Falls(); !ok {
			add("no-fallback", "", "ingot host confirm", "no good layer would boot if the newest failed")
		}
	}
	return problems
}

// superseded says whether an entry is of a layer that has a better one: the twin that was not
// removed when the counter came off, or what a rollback left.
func (s State) superseded(i int) bool {
	e := s.Entries[i]
	return slices.ContainsFunc(s.Entries, func(o Entry) bool {
		if o.Layer != e.Layer || o == e {
			return false
		}
		if o.good() != e.good() {
			return o.good()
		}
		return o.Seq > e.Seq || o.Seq == e.Seq && compareEntries(o, e) < 0
	})
}

// Repair ends what was broken off. Done as often as one likes, it comes to nothing more to
// do; it removes no layer that is whole and was not to be removed.
func (s State) Repair() []Step {
	var steps []Step
	do := func(more ...Step) {
		for _, step := range more {
			steps = append(steps, step)
			s = s.After(step)
		}
	}
	for _, d := range slices.Clone(s.Stuck) {
		do(Step{Do: Unstick, Device: d})
	}
	if len(s.Litter) > 0 {
		do(Step{Do: Sweep})
	}
	// First what starts the host, then what does not.
	for _, k := range slices.Clone(s.Kernels) {
		if v, ok := s.Volume(k.Layer); ok && !k.Whole && !v.Retired && !v.Building && !v.Ghost && len(s.entriesOf(k.Layer)) > 0 {
			do(Step{Do: Copy, Name: k.Layer})
		}
	}
	for _, e := range slices.Clone(s.Entries) {
		if v, ok := s.Volume(e.Layer); ok && !v.Building && !v.Ghost && !v.Retired && !s.hasKernel(e.Layer) {
			do(Step{Do: Copy, Name: e.Layer})
		}
	}
	for _, e := range slices.Clone(s.Entries) {
		i := slices.Index(s.Entries, e)
		if v, ok := s.Volume(e.Layer); !ok || v.Ghost || v.Building || s.superseded(i) {
			do(Step{Do: Leave, Entry: e})
		}
	}
	do(s.condemned()...)
	for _, v := range slices.Backward(slices.Clone(s.Volumes)) {
		switch {
		case v.Building || v.Retired && v.Name != s.Booted:
			do(s.away([]Name{v.Name})...)
		case v.Name.Layer == 0 && v.Writable && !v.Ghost && !v.Retired:
			do(Step{Do: Seal, Name: v.Name})
		}
	}
	for _, k := range slices.Clone(s.Kernels) {
		if !s.usable(Entry{Layer: k.Layer}) {
			do(Step{Do: Drop, Name: k.Layer})
		}
	}
	return steps
}

// through is the state when all steps have been done.
func (s State) through(steps []Step) State {
	for _, step := range steps {
		s = s.After(step)
	}
	return s
}

// Prove holds a verb's steps to what every verb owes, at each point at which it could be broken
// off: the host boots what it would have booted before or what it will boot after, it falls
// back to a good layer as long as there was one, and the running layer stays. An error is a
// fault of ingot's own, found before the first step is done.
func (s State) Prove(steps []Step) error {
	if err := s.loadable(steps); err != nil {
		return err
	}
	before, booted := s.Boots()
	after, boots := s.through(steps).Boots()
	_, fell := s.Falls()
	at := s
	for i, step := range steps {
		next := at.After(step)
		for _, p := range append(at.Partly(step), next) {
			now, ok := p.Boots()
			_, falls := p.Falls()
			v, there := p.Volume(s.Booted)
			var what string
			switch {
			case booted && boots && (!ok || now != before && now != after):
				what = fmt.Sprintf("would boot neither %s nor %s", before, after)
			case booted && !boots:
				what = "would boot nothing in the end"
			case fell && !falls:
				what = "would have no good layer to fall back to"
			case s.whole(s.Booted) && (!there || v.Building || v.Ghost || v.Retired):
				what = "would lose what runs"
			default:
				continue
			}
			return fault.Newf(fault.Failed, "step %d of %d (%s) is refused: broken off there, the host %s", i+1, len(steps), step, what).
				WithHint("nothing was changed; this is a fault in ingot, please report it with the output of \"ingot host status --json\"")
		}
		at = next
	}
	return nil
}

const hintPreset = "bootctl set-default '', and take \"default\" out of loader.conf"

// loadable refuses steps that the boot partition does not take, or whose entries the loader
// would not go by.
func (s State) loadable(steps []Step) error {
	for _, step := range steps {
		switch {
		case !step.loads():
		case !s.Loader:
			return fault.Newf(fault.Preflight, "there is no boot loader whose entries could be changed").WithHint("systemd-boot is looked for on an EFI system partition at /efi, /boot and /boot/efi")
		case s.BootReadOnly:
			return fault.Newf(fault.Preflight, "the boot partition %s is mounted read-only", s.BootDir).WithHint("mount -o remount,rw %s", s.BootDir)
		case s.Preset != "" && step.Do == Enter:
			return fault.Newf(fault.Preflight, "the boot loader was told to prefer %q to the order of entries, so no layer could be tried", s.Preset).WithHint("%s", hintPreset)
		}
	}
	return nil
}
