package compiler

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	diff "github.com/google/go-cmp/cmp"

	"ingot/internal/lock"
)

// sets are a lock's sets, as text.
func sets(l *lock.Lock) string {
	var b strings.Builder
	for _, s := range l.Sets {
		var refs []string
		for _, r := range s.Refs {
			refs = append(refs, r.Name+" "+r.Version)
		}
		slices.Sort(refs)
		fmt.Fprintf(&b, "%s: start %s, asked %s: %s\n", s.Name(), s.Start, strings.Join(s.Asked, " "), strings.Join(refs, ", "))
	}
	return b.String()
}

// TestCompileFlavors locks all flavors at once.
func TestCompileFlavors(t *testing.T) {
	b := newBench(t, "aa 1 Depends: bb", "bb 2", "cc 3", "dd 4")
	const flavors = `flavors: {vmware: {packages: [cc]}, "!ssl": {without: {packages: [aa]}}, "!ssl,vmware": {remove: [dd]}}`
	def := b.define(t, "packages: [aa, {name: dd, when: ssl}]", flavors)
	l, err := b.compiler.Compile(t.Context(), def, nil, Move{})
	if err != nil {
		t.Fatal(err)
	}
	want := `amd64 container ~ssl,~!vmware: start essential, asked aa dd: aa 1, base-files 12, bb 2, dd 4
amd64 container ~ssl,vmware: start essential, asked aa cc dd: aa 1, base-files 12, bb 2, cc 3, dd 4
amd64 container !ssl,~!vmware: start essential, asked : base-files 12
amd64 container !ssl,vmware: start essential, asked aa: aa 1, base-files 12, bb 2
`
	if d := diff.Diff(want, sets(l)); d != "" {
		t.Errorf("-want +got:\n%s", d)
	}
	if state, err := Compare(def, l); err != nil || state != Fits {
		t.Errorf("the lock fits: %v, %v", state, err)
	}
	// What only another flavor says does not move it, and a flavor more is packages more.
	for more, want := range map[string]State{
		`flavors: {vmware: {packages: [cc], hostname: x}, "!ssl": {without: {packages: [aa]}}, "!ssl,vmware": {remove: [dd]}}`:           Files,
		`flavors: {vmware: {packages: [bb]}, "!ssl": {without: {packages: [aa]}}, "!ssl,vmware": {remove: [dd]}}`:                        Stale,
		`flavors: {vmware: {packages: [cc]}, "!ssl": {without: {packages: [aa]}}, "!ssl,vmware": {remove: [dd]}, xen: {packages: [cc]}}`: Stale,
	} {
		if state, err := Compare(b.define(t, "packages: [aa, {name: dd, when: ssl}]", more), l); err != nil || state != want {
			t.Errorf("%s: %v, %v", more, state, err)
		}
	}
	// A new flavor keeps the versions that the others have.
	b.archive.Offer(t, then, debs("aa 1 Depends: bb", "aa 2 Depends: bb", "bb 2", "bb 3", "cc 3", "cc 4", "dd 4")...)
	l, err = b.compiler.Compile(t.Context(), b.define(t, "packages: [aa]", "flavors: {xen: {packages: [cc]}}"), l, Move{})
	if err != nil {
		t.Fatal(err)
	}
	want = `amd64 container ~!xen: start essential, asked aa: aa 1, base-files 12, bb 2
amd64 container xen: start essential, asked aa cc: aa 1, base-files 12, bb 2, cc 4
`
	if d := diff.Diff(want, sets(l)); d != "" {
		t.Errorf("-want +got:\n%s", d)
	}
	// What cannot be had says in which flavor.
	_, err = b.compiler.Compile(t.Context(), b.define(t, "flavors: {xen: {packages: [nothing]}}"), nil, Move{})
	if err == nil || !strings.HasPrefix(err.Error(), "flavor xen: ") {
		t.Errorf("got %v", err)
	}
}
