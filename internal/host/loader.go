package host

import (
	"cmp"
	"slices"
)

// SortEntries brings entries into the loader's order.
func SortEntries(e []Entry) { slices.SortFunc(e, compareEntries) }

// compareEntries is the order in which the boot loader prefers entries, as the Boot Loader
// Specification (UAPI.1, Sorting) has it for entries with one sort key: those without tries
// last, then by version, the highest first, and ours have the sequence number as version.
// What is left is the file's name; an entry without counter is listed before its twin.
func compareEntries(a, b Entry) int {
	flag := func(b bool) int {
		if b {
			return 1
		}
		return 0
	}
	return cmp.Or(
		cmp.Compare(flag(a.exhausted()), flag(b.exhausted())),
		cmp.Compare(b.Seq, a.Seq),
		cmp.Compare(flag(a.Counted), flag(b.Counted)),
		b.Layer.Compare(a.Layer),
		cmp.Compare(b.Left, a.Left), cmp.Compare(a.Done, b.Done),
	)
}

// Boots follows the boot loader: which layer runs in the end where entries that cannot start
// use up their tries. It is not ok where it ends at one that nothing counts, or at none.
func (s State) Boots() (layer Name, ok bool) {
	for _, e := range s.Entries {
		switch {
		case e.exhausted():
			return Name{}, false
		case s.usable(e):
			return e.Layer, true
		case e.good():
			return Name{}, false
		}
	}
	return Name{}, false
}

// Falls is Boots where every layer that has yet to be confirmed fails.
func (s State) Falls() (layer Name, ok bool) {
	for _, e := range s.Entries {
		if e.good() {
			return e.Layer, s.usable(e)
		}
	}
	return Name{}, false
}
