package host

import (
	"fmt"
	"slices"
)

// An Action is what a step does. Each can be done again, after all of it or any part.
type Action string

// The actions.
const (
	Adopt    Action = "adopt"    // a volume's group and pool: they are this host's
	Create   Action = "create"   // a volume for a base, not whole
	Fill     Action = "fill"     // a base with an image's files, flushed and read back
	Seal     Action = "seal"     // a base: read-only, not activated by itself, and then whole
	Snapshot Action = "snapshot" // a layer of a base or a layer, not whole
	Merge    Action = "merge"    // a layer: what persists of another is carried over
	Finish   Action = "finish"   // a layer is whole
	Retire   Action = "retire"   // it is to be removed, whatever comes between
	Keep     Action = "keep"     // that is taken back
	Delete   Action = "delete"   // a volume
	Pin      Action = "pin"      // never garbage
	Unpin    Action = "unpin"
	Restart  Action = "restart" // remember that a good layer failed and the host was restarted for it
	Settle   Action = "settle"  // forget that
	Condemn  Action = "condemn" // an image: it is not tried again
	Absolve  Action = "absolve" // an image
	Unstick  Action = "unstick" // a pool: what it has done of a transaction counts

	Copy  Action = "copy"  // kernel and initramfs of a layer to the boot partition, flushed and read back
	Drop  Action = "drop"  // those
	Enter Action = "enter" // an entry: from here on the loader has it
	Leave Action = "leave" // that
	Sweep Action = "sweep" // drafts on the boot partition
)

// A Step is one change of a host, as data.
type Step struct {
	Do     Action `json:"do"`
	Name   Name   `json:"name,omitzero"`
	Of     Name   `json:"of,omitzero"`      // of a snapshot: its origin; of a merge: the layer whose things are carried over, or none
	From   string `json:"from,omitempty"`   // of a snapshot: its origin where that is no base or layer
	Image  string `json:"image,omitempty"`  // as [Volume.Image]
	Size   int64  `json:"size,omitempty"`   // of a volume, in bytes
	Device int    `json:"device,omitempty"` // of unstick
	Entry  Entry  `json:"entry,omitzero"`
}

// String is the step as people read it.
func (s Step) String() string {
	switch s.Do {
	case Adopt:
		return fmt.Sprintf("adopt the group and the pool of %s", s.From)
	case Create:
		return fmt.Sprintf("create volume %s of %d bytes", s.Name, s.Size)
	case Fill:
		return fmt.Sprintf("fill %s", s.Name)
	case Seal:
		return fmt.Sprintf("seal base %s", s.Name)
	case Snapshot:
		return fmt.Sprintf("snapshot %s as %s", s.origin(), s.Name)
	case Merge:
		if s.Of.IsZero() {
			return fmt.Sprintf("make %s a layer of its own", s.Name)
		}
		return fmt.Sprintf("carry over to %s what persists of %s", s.Name, s.Of)
	case Finish:
		return fmt.Sprintf("finish layer %s", s.Name)
	case Retire:
		return fmt.Sprintf("begin to remove %s", s.Name)
	case Keep:
		return fmt.Sprintf("take back that %s is to be removed", s.Name)
	case Delete:
		return fmt.Sprintf("delete volume %s", s.Name)
	case Pin, Unpin:
		return fmt.Sprintf("%s %s", s.Do, s.Name)
	case Restart:
		return fmt.Sprintf("note that %s failed and gets one restart", s.Name)
	case Settle:
		return fmt.Sprintf("note that %s is well again", s.Name)
	case Condemn:
		return fmt.Sprintf("mark image %s as bad", s.Image)
	case Absolve:
		return fmt.Sprintf("take image %s for good again", s.Image)
	case Unstick:
		return fmt.Sprintf("have the thin pool note that it is done with device %d", s.Device)
	case Copy:
		return fmt.Sprintf("copy kernel and initramfs of %s to the boot partition", s.Name)
	case Drop:
		return fmt.Sprintf("remove kernel and initramfs of %s from the boot partition", s.Name)
	case Enter, Leave:
		verb := map[Action]string{Enter: "write", Leave: "remove"}[s.Do]
		if s.Entry.Counted {
			return fmt.Sprintf("%s boot entry %d of %s, %d tries left", verb, s.Entry.Seq, s.Entry.Layer, s.Entry.Left)
		}
		return fmt.Sprintf("%s boot entry %d of %s", verb, s.Entry.Seq, s.Entry.Layer)
	case Sweep:
		return "remove drafts from the boot partition"
	}
	return string(s.Do)
}

func (s Step) origin() string {
	if s.From != "" {
		return s.From
	}
	return s.Of.String()
}

// After is the state when a step has been done.
func (s State) After(step Step) State {
	s = s.clone()
	set := func(change func(*Volume)) {
		for i := range s.Volumes {
			if s.Volumes[i].Name == step.Name {
				change(&s.Volumes[i])
			}
		}
	}
	without := func() {
		s.Volumes = slices.DeleteFunc(s.Volumes, func(v Volume) bool { return v.Name == step.Name })
	}
	switch step.Do {
	case Adopt: // tags that no volume has
	case Fill, Merge: // what is in a volume that is not whole is nobody's
	case Create, Snapshot:
		without()
		v := Volume{Name: step.Name, Image: step.Image, Size: step.Size, Building: true, Writable: true}
		s.Volumes = append(s.Volumes, v)
		slices.SortFunc(s.Volumes, func(a, b Volume) int { return a.Name.Compare(b.Name) })
	case Seal:
		set(func(v *Volume) { v.Building, v.Writable = false, false })
	case Finish:
		set(func(v *Volume) { v.Building = false })
	case Retire, Keep:
		set(func(v *Volume) { v.Retired = step.Do == Retire })
	case Delete:
		without()
	case Pin, Unpin:
		set(func(v *Volume) { v.Pinned = step.Do == Pin })
	case Restart, Settle:
		set(func(v *Volume) { v.Restarted = step.Do == Restart })
	case Condemn:
		s.Bad = insert(s.Bad, step.Image)
	case Absolve:
		s.Bad = slices.DeleteFunc(s.Bad, func(d string) bool { return d == step.Image })
	case Unstick:
		s.Stuck = slices.DeleteFunc(s.Stuck, func(d int) bool { return d == step.Device })
	case Copy, Drop:
		s.Kernels = slices.DeleteFunc(s.Kernels, func(k Kernel) bool { return k.Layer == step.Name })
		if step.Do == Copy {
			s.Kernels = append(s.Kernels, Kernel{step.Name, true})
		}
	case Enter, Leave:
		s.Entries = slices.DeleteFunc(s.Entries, func(e Entry) bool { return e == step.Entry })
		if step.Do == Enter {
			s.Entries = append(s.Entries, step.Entry)
			SortEntries(s.Entries)
		}
	case Sweep:
		s.Litter = nil
	}
	return s
}

// Partly are the states that a step may leave which is broken off, beside those before and
// after it. What LVM leaves at a power cut was measured: a snapshot that the group lists and
// the pool has not got, or one that the pool has made under a transaction that the group has
// not noted. A change of tags and flags is one write of the group's metadata each.
func (s State) Partly(step Step) []State {
	after := s.After(step)
	ghost, stuck := after.clone(), after.clone()
	stuck.Stuck = append(stuck.Stuck, 1)
	switch step.Do {
	case Create, Snapshot:
		for i := range ghost.Volumes {
			if ghost.Volumes[i].Name == step.Name {
				ghost.Volumes[i].Ghost = true
			}
		}
		return []State{ghost, stuck}
	case Delete:
		ghost = s.clone()
		for i := range ghost.Volumes {
			if ghost.Volumes[i].Name == step.Name {
				ghost.Volumes[i].Ghost = true
			}
		}
		return []State{ghost, stuck}
	case Seal:
		readOnly := s.clone()
		for i := range readOnly.Volumes {
			if readOnly.Volumes[i].Name == step.Name {
				readOnly.Volumes[i].Writable = false
			}
		}
		return []State{readOnly}
	case Copy, Drop:
		part := s.clone()
		part.Kernels = slices.DeleteFunc(part.Kernels, func(k Kernel) bool { return k.Layer == step.Name })
		part.Kernels = append(part.Kernels, Kernel{step.Name, false})
		return []State{part}
	case Enter:
		draft := s.clone()
		draft.Litter = append(draft.Litter, "draft")
		return []State{draft}
	case Leave:
		after.Litter = append(after.Litter, "draft")
		return []State{after}
	default:
		return nil
	}
}

// loads says whether a step is the boot loader's.
func (s Step) loads() bool {
	switch s.Do {
	case Copy, Drop, Enter, Leave, Sweep:
		return true
	default:
		return false
	}
}
