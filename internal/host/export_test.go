package host

import "slices"

// SortEntries is the loader's order, for tests that count boots.
func SortEntries(e []Entry) { slices.SortFunc(e, compareEntries) }
