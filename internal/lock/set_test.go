package lock

import (
	"bytes"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"ingot/internal/distro"
)

// flavored is a lock of three flavors, two of which share most of their packages.
func flavored() Lock {
	l := sample()
	base := []distro.Ref{ref("bash", "5.2.15-2+b7", "amd64"), ref("curl", "7.88.1-10", "amd64"), ref("dash", "0.5.12-2", "amd64"), ref("grep", "3.8-5", "amd64"), ref("sed", "4.9-1", "amd64")}
	vmware := append(slices.Clone(base), ref("open-vm-tools", "2:12.2.0-1", "amd64"))
	vmware[1] = ref("curl", "7.88.1-11", "amd64")
	vmware = slices.DeleteFunc(vmware, func(r distro.Ref) bool { return r.Name == "sed" })
	l.Sets = []Set{
		{Arch: "amd64", Purpose: "machine", Flavor: "~kernel,vmware", Start: "minbase", Asked: []string{"open-vm-tools", "curl"}, Refs: vmware},
		{Arch: "amd64", Purpose: "system", Flavor: "!kernel,~!vmware", Start: "minbase", Asked: []string{"curl"}, Refs: base[:2]},
		{Arch: "amd64", Purpose: "machine", Flavor: "~kernel,~!vmware", Start: "minbase", Asked: []string{"sed", "curl"}, Refs: base},
		{Arch: "amd64", Purpose: "machine", Flavor: "kernel,~!vmware", Start: "minbase", Asked: []string{"sed", "curl"}, Refs: base},
		{Arch: "amd64", Purpose: "machine", Flavor: "!ssl", Start: "essential", Refs: base[:1]},
	}
	l.Seals = []Seal{
		{Arch: "amd64", Purpose: "machine", Flavor: "~kernel,vmware", SHA256: of("vmware")},
		{Arch: "amd64", Purpose: "machine", Flavor: "~kernel,~!vmware", SHA256: of("machine")},
	}
	return l
}

// Sets of flavors are written as what differs from the first one where that is shorter,
// and read back whole, in the order that every set has: a build whose lock was read asks for the
// steps of the one that wrote it.
func TestFlavorsShareLines(t *testing.T) {
	got := Encode(flavored())
	want, err := os.ReadFile("testdata/flavors.lock")
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(string(want), string(got)); d != "" {
		t.Errorf("-want +got:\n%s", d)
	}
	l, err := Decode(want)
	if err != nil {
		t.Fatal(err)
	}
	if again := Encode(*l); !bytes.Equal(again, want) {
		t.Errorf("read and written again:\n%s", cmp.Diff(string(want), string(again)))
	}
	for _, s := range flavored().Sets {
		read, ok := l.Set(s.Arch, s.Purpose, s.Flavor)
		slices.Sort(s.Asked)
		slices.SortFunc(s.Refs, compareRefs)
		if d := cmp.Diff(s, read); d != "" || !ok {
			t.Errorf("set %s, -written +read:\n%s", s.Name(), d)
		}
	}
	if _, ok := l.Set("amd64", "machine", ""); ok {
		t.Error("a set of no flavor is there")
	}
}

// What of a set is written as another's is held as strictly as the rest.
func TestSharedLinesAreHeld(t *testing.T) {
	good := string(Encode(flavored()))
	const as = "  as amd64 machine ~kernel,~!vmware\n"
	for _, c := range []struct{ name, old, with, want string }{
		{"as itself", as, "  as amd64 machine ~kernel,vmware\n", "which is not there"},
		{"as one further down", as, "  as amd64 machine !ssl\n", "which is not there"},
		{"as nothing", as, "  as amd64\n", "as has 1 words, want 2 or 3"},
		{"lacks what is not there", "  - sed amd64\n", "  - sud amd64\n", `lacks "sud amd64", which it does not have`},
		{"lacks too little", "  - sed amd64\n", "  - sed\n", "what a set lacks has 1 words, want 2"},
		{"no difference at all", "  - sed amd64\n", "", "its digest is"},
		{"a flavor that is none", "~kernel,vmware", "vmware,~kernel", "of a flavor that is none"},
		{"a flavor with an architecture", "set amd64 machine ~kernel,vmware", `set amd64 machine "~kernel,vmware is: x86_64"`, "of a flavor that is none"},
		{"a seal of another flavor", "seal amd64 machine ~kernel,vmware", "seal amd64 machine ~kernel,xen", "but no such set"},
		{"asked for twice", "+ asked open-vm-tools\n", "+ asked curl\n", "asked for badly or twice"},
	} {
		if !strings.Contains(good, c.old) {
			t.Fatalf("%s: no %q in\n%s", c.name, c.old, good)
		}
		_, err := Decode([]byte(reseal(strings.Replace(good, c.old, c.with, 1))))
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want %s", c.name, err, c.want)
		}
	}
}

// A few lines cannot ask for more memory than there is.
func TestSharingIsBounded(t *testing.T) {
	p := newParser("")
	p.l.Sets = []Set{{Arch: "a", Purpose: "machine", Refs: make([]distro.Ref, maxShared/2)}}
	var err error
	for i := 0; i < 3; i++ {
		p.l.Sets = append(p.l.Sets, Set{Arch: "a", Purpose: "live"})
		err = p.set([]string{"as", "a", "machine"})
	}
	if err == nil || !strings.Contains(err.Error(), "packages of each other") {
		t.Errorf("got %v", err)
	}
}

// A package that moves in all flavors is one change, and one line of the file.
func TestMovesInAllFlavors(t *testing.T) {
	before, after := flavored(), flavored()
	for _, s := range after.Sets {
		for i := range s.Refs {
			if s.Refs[i].Name == "bash" {
				s.Refs[i] = ref("bash", "5.2.15-3", "amd64")
			}
		}
	}
	if got := Compare(&before, &after).Text(); got != "bash 5.2.15-2+b7 -> 5.2.15-3\n" {
		t.Errorf("in words:\n%s", got)
	}
	after = flavored()
	after.Sets[0].Refs = append(slices.Clone(after.Sets[0].Refs), ref("zip", "3.0-1", "amd64"))
	after.Sets = after.Sets[:4]
	want := "removed set amd64 machine !ssl (1 packages)\nadded zip 3.0-1 (amd64 machine ~kernel,vmware)\n"
	if got := Compare(&before, &after).Text(); got != want {
		t.Errorf("in words:\n%s", got)
	}
}

func TestReferenceShowsFlavors(t *testing.T) {
	doc, err := os.ReadFile("../../docs/reference/lock.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(doc), "## Flavors")
	_, block, _ := strings.Cut(rest, "```text\n")
	block, _, ok := strings.Cut(block, "```")
	real := "\n" + string(Encode(flavored()))
	for line := range strings.Lines(block) {
		if !strings.Contains(real, "\n"+line) {
			t.Errorf("no lock has the line %q", line)
		}
	}
	if !ok || len(block) < 300 {
		t.Error("the reference shows no lock of flavors")
	}
}
