// Package host decides how a host of bases and layers changes: which steps an update, a
// rollback, a confirmation, a repair are.
//
// It touches nothing. A [State] is all that was observed of a host: its volumes, its boot
// entries, the kernel's command line. A verb (a method of State) gives an ordered list of
// [Step] values or why it must not be. [Store] and [Loader] observe, and do steps.
//
// There is no database and no journal. What a host is follows from its volumes and entries;
// what was broken off is seen in them, and [State.Repair] gives the steps that end it. That
// holds because of the order of steps, which [State.Prove] checks before the first of them
// is done: whatever happens between two steps, or within one, the host boots as before or as
// after, and a layer that was confirmed remains.
package host

import (
	"slices"
)

// A Volume is a base or a layer.
type Volume struct {
	Name      Name   `json:"name"`
	Image     string `json:"image,omitempty"` // first 12 hexadecimal digits of the image's SHA-256; "" is unknown
	Size      int64  `json:"size,omitempty"`  // bytes, as it says of itself
	Building  bool   `json:"building,omitempty"`
	Writable  bool   `json:"writable,omitempty"` // of a base: it should not be
	Pinned    bool   `json:"pinned,omitempty"`
	Retired   bool   `json:"retired,omitempty"`   // its removal has begun
	Restarted bool   `json:"restarted,omitempty"` // it was good, failed, and got the one restart
	Ghost     bool   `json:"ghost,omitempty"`     // the group lists it and the pool has not got it
}

// An Entry is what the boot loader offers. Entries are tried newest first, those whose
// tries are used up last.
type Entry struct {
	Seq     int  `json:"seq"` // higher is preferred
	Layer   Name `json:"layer"`
	Counted bool `json:"counted,omitempty"` // its layer has yet to be confirmed
	Left    int  `json:"left,omitempty"`    // of a counted one: tries left
	Done    int  `json:"done,omitempty"`    // and used
}

// good says that the layer was confirmed.
func (e Entry) good() bool { return !e.Counted }

// exhausted says that no try is left.
func (e Entry) exhausted() bool { return e.Counted && e.Left == 0 }

// Kernel is a directory of the boot partition with what a layer is started by.
type Kernel struct {
	Layer Name `json:"layer"`
	Whole bool `json:"whole"` // all files are there, with their digests
}

// Room is space, in bytes; a zero Size is one that nobody knows.
type Room struct {
	Size int64 `json:"size"`
	Free int64 `json:"free"`
}

// State is what was observed of a host.
type State struct {
	Volumes []Volume `json:"volumes"` // by name
	Foreign []string `json:"foreign"` // names that volumes of others have
	Bad     []string `json:"bad"`     // images that did not boot, as [Volume.Image]
	Stuck   []int    `json:"stuck"`   // devices that the pool has made without noting it: it refuses all changes
	Pool    Room     `json:"pool"`
	Meta    Room     `json:"pool_metadata"`

	Loader  bool     `json:"loader"`  // there is a boot loader whose entries are ours to write
	Entries []Entry  `json:"entries"` // in the loader's order
	Kernels []Kernel `json:"kernels"`
	Litter  []string `json:"litter"` // drafts of files on the boot partition
	Boot    Room     `json:"boot"`
	BootDir string   `json:"boot_dir,omitempty"` // where the boot partition is mounted
	// BootReadOnly says that nothing can be written there.
	BootReadOnly bool `json:"boot_read_only,omitempty"`
	// Preset is what the loader was told to prefer to the order of entries, or "".
	Preset string `json:"preset,omitempty"`

	Booted Name `json:"booted"` // the layer that runs; of another system, no name
}

// clone is a state that can be changed.
func (s State) clone() State {
	s.Volumes, s.Bad, s.Stuck = slices.Clone(s.Volumes), slices.Clone(s.Bad), slices.Clone(s.Stuck)
	s.Entries, s.Kernels, s.Litter = slices.Clone(s.Entries), slices.Clone(s.Kernels), slices.Clone(s.Litter)
	return s
}

// Volume finds a base or layer.
func (s State) Volume(n Name) (Volume, bool) {
	i := slices.IndexFunc(s.Volumes, func(v Volume) bool { return v.Name == n })
	if i < 0 {
		return Volume{}, false
	}
	return s.Volumes[i], true
}

// whole says whether a base or layer is there, complete and not on its way out.
func (s State) whole(n Name) bool {
	v, ok := s.Volume(n)
	return ok && !v.Building && !v.Ghost && !v.Retired
}

// Bases are the whole bases, oldest first.
func (s State) Bases() []Name { return s.list(func(n Name) bool { return n.Layer == 0 }) }

// Layers are the whole layers, oldest first.
func (s State) Layers() []Name { return s.list(func(n Name) bool { return n.Layer > 0 }) }

// LayersOf are the whole layers of a base, oldest first.
func (s State) LayersOf(base Name) []Name {
	return s.list(func(n Name) bool { return n.Layer > 0 && n.Base() == base })
}

func (s State) list(want func(Name) bool) []Name {
	var out []Name
	for _, v := range s.Volumes {
		if want(v.Name) && s.whole(v.Name) {
			out = append(out, v.Name)
		}
	}
	slices.SortFunc(out, Name.Compare)
	return out
}

// hasKernel says whether what starts a layer is whole.
func (s State) hasKernel(layer Name) bool {
	return slices.Contains(s.Kernels, Kernel{Layer: layer, Whole: true})
}

// usable says whether an entry's layer would start: it is there, whatever becomes of it, and
// so is its kernel.
func (s State) usable(e Entry) bool {
	v, ok := s.Volume(e.Layer)
	return ok && !v.Building && !v.Ghost && s.hasKernel(e.Layer)
}

// entriesOf are a layer's entries, in the loader's order.
func (s State) entriesOf(layer Name) []Entry {
	var out []Entry
	for _, e := range s.Entries {
		if e.Layer == layer {
			out = append(out, e)
		}
	}
	return out
}

// Good says whether a layer was confirmed, and would start.
func (s State) Good(layer Name) bool {
	return slices.ContainsFunc(s.entriesOf(layer), func(e Entry) bool { return e.good() && s.usable(e) })
}

// goods are the layers that were confirmed and stay, the loader's first one first.
func (s State) goods() []Name {
	var out []Name
	for _, e := range s.Entries {
		if s.Good(e.Layer) && s.whole(e.Layer) && !slices.Contains(out, e.Layer) {
			out = append(out, e.Layer)
		}
	}
	return out
}

// nextSeq is above all there are.
func (s State) nextSeq() int {
	seq := 0
	for _, e := range s.Entries {
		seq = max(seq, e.Seq)
	}
	return seq + 1
}

// insert puts a word into a sorted list that has each once.
func insert(list []string, word string) []string {
	if i, found := slices.BinarySearch(list, word); !found {
		return slices.Insert(list, i, word)
	}
	return list
}
