package debian

import (
	"sync"
	"sync/atomic"
	"unsafe"
)

// A Universe is all packages that a resolution may choose from: several indexes
// merged in order, the first one first.
//
// It holds what apt's cache holds, because apt's choices depend on it in places
// where one would not expect it: between two otherwise equal providers of a name
// the one whose name was seen *last* wins, whether it was seen as a package or
// only in somebody's Suggests; and where conflicts are repaired, packages of the
// same score are taken in the order of apt's hash table. So names become packages
// here in the same order as there.
//
// A package is a name and an architecture; a name that is only depended on or
// provided is a package without versions. A dependency on "python3:any" is one on
// a package of that name (of the architecture "any") which every version of
// python3 that is Multi-Arch: allowed provides.
//
// A Universe is not changed by resolving and may be used by many at once.
type Universe struct {
	indexes    []*Index
	pins       []int // of the indexes: apt's priority of what they hold
	archs      []string
	configured int // so many of archs may be installed: the native one, which is the first, and the foreign ones

	chunks [][]byte
	names  symbols // all names; a name's symbol is its group

	groups []group
	pkgs   []pkg
	vers   []ver
	deps   []dep
	provs  []prov
	files  []file

	revStart []int32 // by package, into revDeps: the dependencies on it
	revDeps  []depID

	// last is by dependency the version of its target that was last held against its bound, and
	// whether it lies within.
	last []atomic.Uint32

	order func() []pkgID // all packages in the order of apt's hash table; made when first needed
}

type (
	pkgID  int32
	verID  int32
	depID  int32
	provID int32
	fileID int32
	archID uint16
)

// none is no package, version, provision or file.
const none = -1

// native is the architecture of the image.
const native archID = 0

// A group is the packages of one name.
type group struct {
	first, last pkgID
}

type pkg struct {
	name  uint32 // symbol, and its group
	arch  archID
	flags stanzaFlags
	next  pkgID  // of the same group
	vers  verID  // newest first
	provs provID // who provides it, the latest seen first
}

type ver struct {
	pkg      pkgID
	next     verID // the next older one of the package
	text     textAt
	deps     depID // its dependencies, from here to depEnd
	depEnd   depID
	provs    provID // what it provides, the last first
	files    fileID // where it lies
	multi    multiArch
	priority priority
	all      bool
}

// A textAt is a stretch of the universe's text.
type textAt struct {
	chunk uint32
	off   uint32
	len   uint16
}

// A dep is one alternative of one dependency of a version. Alternatives follow
// each other and have the bit "more" in their kind, but for the last.
type dep struct {
	ver     verID
	target  pkgID
	version span16 // in the chunk of the version
	op      Op
	kind    kind
}

// More bits of a dep's kind.
const (
	archSpecific kind = 1 << 5 // names an architecture
	implicit     kind = 1 << 6 // between packages of one name and different architectures
	kindMask     kind = 1<<4 - 1
)

// critical says whether a package cannot be installed without the dependency.
func (d *dep) critical() bool { return d.kind&kindMask <= breaks }

// negative says whether the dependency excludes its target.
func (d *dep) negative() bool {
	k := d.kind & kindMask
	return k == conflicts || k == breaks
}

// A prov says that a version provides a package's name.
type prov struct {
	owner   verID
	target  pkgID
	version span16 // in the owner's chunk; without length where none is given
	flags   kind   // implicit and archSpecific
	ofPkg   provID // the next that provides the same
	ofVer   provID // the next of the same version
}

// A file says where a version lies.
type file struct {
	index  uint16
	stanza uint32
	next   fileID
}

// Options say what a Universe is for.
type Options struct {
	Arch    string   // Debian's name of the image's architecture
	Foreign []string // other architectures that may be installed beside it
	// TargetRelease is a suite, codename or version that is preferred to all
	// others, as apt's Default-Release; empty for none.
	TargetRelease string
}

// NewUniverse merges indexes. Their order is that of apt's sources.
func NewUniverse(o Options, indexes ...*Index) (*Universe, error) {
	u := &Universe{indexes: indexes, archs: append([]string{o.Arch}, o.Foreign...)}
	u.configured = len(u.archs)
	b := builder{Universe: u, extra: map[verID][]dep{}, negative: map[pkgID][]depID{}}
	b.any = b.arch("any")
	// The first chunk holds the names that no index spells out.
	u.chunks = [][]byte{nil}
	var stanzas, rels, names int
	for _, x := range indexes {
		stanzas, rels, names = stanzas+len(x.stanzas), rels+len(x.rels), max(names, len(x.symbols.at))
		u.pins = append(u.pins, x.Source.pin(o.TargetRelease))
	}
	u.vers = make([]ver, 0, stanzas)
	u.files = make([]file, 0, stanzas)
	u.deps = make([]dep, 0, rels)
	u.provs = make([]prov, 0, stanzas)
	names += names / 16
	u.pkgs = make([]pkg, 0, names)
	u.groups = make([]group, 0, names)
	b.colon = make([]bool, 0, names)
	b.names.expect(names)
	b.exact = exactNames(indexes)
	for i, x := range indexes {
		if err := b.merge(uint16(i), x); err != nil {
			return nil, err
		}
	}
	b.finish()
	u.last = make([]atomic.Uint32, len(u.deps))
	u.order = sync.OnceValue(u.hashOrder)
	return u, nil
}

// exactNames are the names that exact indexes stand for, nil if there are none.
func exactNames(indexes []*Index) map[string]bool {
	var out map[string]bool
	for _, x := range indexes {
		if !x.Source.Exact {
			continue
		}
		for i := range x.stanzas {
			if out == nil {
				out = map[string]bool{}
			}
			out[string(x.symbols.at[x.stanzas[i].name].text(x.chunks))] = true
		}
	}
	return out
}

// pin is the priority that apt gives to an index.
func (s Source) pin(target string) int {
	switch {
	case target != "" && (target == s.Suite || target == s.Codename || target == s.Version):
		return 990
	case s.ButAutomaticUpgrades:
		return 100
	case s.NotAutomatic:
		return 1
	}
	return 500
}

// str is a stretch of text as a string, without a copy: the chunks of an index
// never change.
func (u *Universe) str(t textAt) string {
	if t.len == 0 {
		return ""
	}
	return unsafe.String(&u.chunks[t.chunk][t.off], int(t.len))
}

func (u *Universe) nameText(sym uint32) string {
	s := &u.names.at[sym]
	return u.str(textAt{s.chunk, s.off, s.len})
}

// name is a package's name, with the architecture behind it unless it is the
// native one.
func (u *Universe) name(p pkgID) string {
	n := u.nameText(u.pkgs[p].name)
	if a := u.pkgs[p].arch; a != native && u.archs[a] != "any" {
		n += ":" + u.archs[a]
	}
	return n
}

func (u *Universe) version(v verID) string { return u.str(u.vers[v].text) }

// bound is the version that a dependency asks for.
func (u *Universe) bound(d *dep) string {
	return u.str(textAt{u.vers[d.ver].text.chunk, d.version.off, d.version.len})
}

// provided is the version in which a name is provided.
func (u *Universe) provided(p *prov) string {
	return u.str(textAt{u.vers[p.owner].text.chunk, p.version.off, p.version.len})
}

// stanza is the text of where a version was first seen.
func (u *Universe) stanza(v verID) (*Index, Stanza) {
	f := u.files[u.vers[v].files]
	x := u.indexes[f.index]
	s := &x.stanzas[f.stanza]
	return x, Stanza(x.chunks[s.chunk][s.off:s.end])
}

// relation is a dependency as its field spells it.
func (u *Universe) relation(d *dep) Relation {
	return Relation{Name: u.name(d.target), Op: d.op, Version: u.bound(d)}
}

// group is the group of a name, if there is one.
func (u *Universe) group(name string) (uint32, bool) {
	sym, ok := u.names.find(u.chunks, []byte(name))
	return sym, ok && u.groups[sym].first != none
}

// inGroup is the package of a name and an architecture.
func (u *Universe) inGroup(g uint32, a archID) pkgID {
	for p := u.groups[g].first; p != none; p = u.pkgs[p].next {
		if u.pkgs[p].arch == a {
			return p
		}
	}
	return none
}

// preferred is the package that a name without an architecture means: the native
// one, else one of the others, in their order; if real is set, rather one that
// has versions.
func (u *Universe) preferred(g uint32, real bool) pkgID {
	for a := range u.configured {
		if p := u.inGroup(g, archID(a)); p != none && (!real || u.pkgs[p].vers != none) {
			return p
		}
	}
	if real {
		return u.preferred(g, false)
	}
	return none
}

// satisfied says whether a version lies within a dependency's bound.
func (u *Universe) satisfied(d *dep, version string) bool {
	if d.op == OpAny {
		return true
	}
	return version != "" && d.op.holds(CompareVersions(version, u.bound(d)))
}

// within is satisfied for a version of the dependency's target. It remembers the last answer: most
// packages have one version, resolving asks for the same again and again, and the flavors of an image
// ask for much the same.
func (u *Universe) within(id depID, v verID) bool {
	d := &u.deps[id]
	if d.op == OpAny {
		return true
	}
	key := uint32(v+1) << 1 //nolint:gosec // a version's place, of which there are far fewer
	if known := u.last[id].Load(); known&^1 == key {
		return known&1 != 0
	}
	ok := u.satisfied(d, u.version(v))
	if ok {
		u.last[id].Store(key | 1)
	} else {
		u.last[id].Store(key)
	}
	return ok
}

// ignores says whether a negative dependency does not apply to a package: no
// package conflicts with itself, and those that may be installed for several
// architectures at once do not conflict with their like.
func (u *Universe) ignores(d *dep, target pkgID) bool {
	if !d.negative() {
		return false
	}
	owner := u.vers[d.ver].pkg
	if u.pkgs[owner].name != u.pkgs[target].name {
		return false
	}
	if owner == target {
		return true
	}
	return u.vers[d.ver].multi == multiSame && d.kind&implicit == 0
}

// ignoresProvided is ignores for a package that provides the target: one never
// conflicts with what its own group provides, nor, for being of several
// architectures, with others.
func (u *Universe) ignoresProvided(d *dep, p *prov) bool {
	if !d.negative() {
		return false
	}
	if u.pkgs[u.vers[d.ver].pkg].name == u.pkgs[u.vers[p.owner].pkg].name {
		return true
	}
	return d.kind&implicit != 0
}

// revs are the dependencies on a package.
func (u *Universe) revs(p pkgID) []depID { return u.revDeps[u.revStart[p]:u.revStart[p+1]] }

// alternatives is the end of the group of alternatives that begins at d.
func (u *Universe) alternatives(d depID) depID {
	for u.deps[d].kind&more != 0 {
		d++
	}
	return d + 1
}
