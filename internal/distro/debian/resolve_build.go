package debian

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
)

// A builder makes a Universe.
type builder struct {
	*Universe
	any      archID
	extra    map[verID][]dep   // dependencies that came up after a version's own
	negative map[pkgID][]depID // Conflicts and Breaks on a package, without an architecture
	sym      []uint32          // of the index at hand: symbol+1 of its names here
	base     uint32            // of the index at hand: its first chunk
	colon    []bool            // by symbol: an architecture stands behind the name
	buf      []byte            // for names that are put together
	exact    map[string]bool   // names that only exact indexes offer
}

func (b *builder) arch(name string) archID {
	if i := slices.Index(b.archs, name); i >= 0 {
		return archID(i)
	}
	b.archs = append(b.archs, name)
	return archID(len(b.archs) - 1)
}

// spell makes a name that no index spells out.
func (b *builder) spell(name string) uint32 {
	if sym, ok := b.names.find(b.chunks, []byte(name)); ok {
		return sym
	}
	off := len(b.chunks[0])
	b.chunks[0] = append(b.chunks[0], name...)
	return b.intern(b.chunks[0][off:], 0, uint32(off))
}

func (b *builder) intern(name []byte, chunk, off uint32) uint32 {
	sym := b.names.intern(b.chunks, name, chunk, off)
	for int(sym) >= len(b.groups) {
		b.groups = append(b.groups, group{none, none})
		b.colon = append(b.colon, bytes.IndexByte(name, ':') >= 0)
	}
	return sym
}

// global is the symbol here of a name of the index at hand.
func (b *builder) global(x *Index, local uint32) uint32 {
	if s := b.sym[local]; s != 0 {
		return s - 1
	}
	at := &x.symbols.at[local]
	s := b.intern(at.text(x.chunks), at.chunk+b.base, at.off)
	b.sym[local] = s + 1
	return s
}

// merge adds an index.
func (b *builder) merge(n uint16, x *Index) error {
	b.base = uint32(len(b.chunks))
	b.chunks = append(b.chunks, x.chunks...)
	b.sym = make([]uint32, len(x.symbols.at))
	rels := uint32(0)
	for i := range x.stanzas {
		s := &x.stanzas[i]
		arch := native
		if s.flags&flagAll == 0 {
			name := string(x.chunks[s.chunk][s.arch.off : s.arch.off+s.arch.len])
			if arch = b.arch(name); int(arch) >= b.configured {
				return fmt.Errorf("index of %s: package %s is for %q, which is not asked for",
					x.Source.label(), x.symbols.at[s.name].text(x.chunks), name)
			}
		}
		own := x.rels[rels:s.relEnd]
		rels = s.relEnd
		if b.exact != nil && !x.Source.Exact && b.exact[string(x.symbols.at[s.name].text(x.chunks))] {
			continue
		}
		p := b.pkg(b.global(x, s.name), arch)
		v, found := b.place(p, x, s)
		if !found {
			v = b.add(p, v, x, s, own)
		}
		b.mark(p, s)
		b.seen(v, n, uint32(i))
		if !found {
			b.separate(v)
		}
	}
	return nil
}

// place finds the version of a stanza, or else the version of the package that it
// stands behind (none: before all).
func (b *builder) place(p pkgID, x *Index, s *stanza) (verID, bool) {
	if b.pkgs[p].vers == none {
		return none, false
	}
	version := b.str(textAt{b.base + s.chunk, s.version.off, uint16(s.version.len)})
	last := verID(none)
	for v := b.pkgs[p].vers; v != none; last, v = v, b.vers[v].next {
		c := CompareVersions(version, b.version(v))
		if c > 0 {
			break
		}
		if c == 0 && b.same(v, x, s) {
			return v, true
		}
	}
	return last, false
}

// same says whether a stanza of the same version as v is the same package. What
// is compared is what apt compares: two archives may offer packages that differ
// under one version.
func (b *builder) same(v verID, x *Index, s *stanza) bool {
	_, have := b.stanza(v)
	other := Stanza(x.chunks[s.chunk][s.off:s.end])
	for _, f := range [...]string{"Installed-Size", "Depends", "Pre-Depends", "Conflicts", "Breaks", "Replaces"} {
		h, _ := have.Field(f)
		o, _ := other.Field(f)
		if h != o && squeeze(h) != squeeze(o) {
			return false
		}
	}
	h, _ := have.Field("Size")
	o, _ := other.Field("Size")
	return (h == o || h == "" || o == "") && b.vers[v].multi == s.multi && b.vers[v].all == (s.flags&flagAll != 0)
}

// squeeze drops what dpkg may change in a field when it writes it again.
func squeeze(s string) string {
	var out []byte
	for i := 0; i < len(s); i++ {
		switch {
		case s[i] == '0' && i+1 < len(s) && s[i+1] == ':':
			i++
		case isBlank(s[i]) || s[i] == '=':
		default:
			out = append(out, lower(s[i]))
		}
	}
	return string(out)
}

// seen records that a version lies in an index.
func (b *builder) seen(v verID, index uint16, stanza uint32) {
	b.files = append(b.files, file{index, stanza, none})
	id := fileID(len(b.files) - 1)
	at := &b.vers[v].files
	for *at != none {
		at = &b.files[*at].next
	}
	*at = id
}

// mark notes what a stanza says of the package as a whole.
func (b *builder) mark(p pkgID, s *stanza) {
	b.pkgs[p].flags |= s.flags & (flagEssential | flagProtected)
	// apt holds itself to be essential.
	if b.nameText(b.pkgs[p].name) == "apt" {
		b.pkgs[p].flags |= flagEssential | flagProtected
	}
}

// pkg finds or makes the package of a name and an architecture.
func (b *builder) pkg(name uint32, arch archID) pkgID {
	if arch == b.any {
		if p := b.groups[name].first; p != none {
			return p
		}
	} else if p := b.inGroup(name, arch); p != none {
		return p
	}
	id := pkgID(len(b.pkgs))
	b.pkgs = append(b.pkgs, pkg{name: name, arch: arch, next: none, vers: none, provs: none})
	if b.groups[name].first == none {
		b.groups[name].first = id
	} else {
		b.sibling(id, name)
		b.pkgs[b.groups[name].last].next = id
	}
	b.groups[name].last = id
	if arch == b.any {
		b.qualified(id, name)
	}
	return id
}

// sibling makes good what a package has missed that comes up after others of its
// name: what Multi-Arch: foreign packages provide, they provide for it too, and
// who excludes the name excludes it as well.
func (b *builder) sibling(p pkgID, name uint32) {
	m := b.preferred(name, false)
	if m != none {
		for v := b.pkgs[m].provs; v != none; v = b.provs[v].ofPkg {
			pr := b.provs[v]
			if pr.flags == 0 && b.vers[pr.owner].multi == multiForeign {
				b.provide(pr.owner, p, pr.version, pr.flags)
			}
		}
	}
	for s := b.groups[name].first; s != none; s = b.pkgs[s].next {
		for v := b.pkgs[s].vers; v != none; v = b.vers[v].next {
			if b.vers[v].multi == multiForeign {
				b.provide(v, p, b.own(v), implicit)
			}
		}
	}
	if m != none {
		for _, d := range b.negative[m] {
			c := b.deps[d]
			c.target = p
			b.extra[c.ver] = append(b.extra[c.ver], c)
		}
	}
}

// qualified lets the packages of one architecture provide their name with the
// architecture behind it, once somebody asks for that: "libc6:i386".
func (b *builder) qualified(p pkgID, name uint32) {
	text := b.nameText(name)
	i := strings.LastIndexByte(text, ':')
	if i < 0 || text[i+1:] == "any" {
		return
	}
	arch := b.arch(text[i+1:])
	real := b.pkg(b.spell(text[:i]), arch)
	for v := b.pkgs[real].provs; v != none; v = b.provs[v].ofPkg {
		pr := b.provs[v]
		if pr.flags&implicit == 0 && b.pkgs[b.vers[pr.owner].pkg].arch == arch {
			b.provide(pr.owner, p, b.own(pr.owner), implicit|archSpecific)
		}
	}
	for v := b.pkgs[real].vers; v != none; v = b.vers[v].next {
		b.provide(v, p, b.own(v), implicit|archSpecific)
	}
}

// own is a version's own text, in its chunk.
func (b *builder) own(v verID) span16 { return span16{b.vers[v].text.off, b.vers[v].text.len} }

// add makes a version of a stanza and puts it behind another.
func (b *builder) add(p pkgID, behind verID, x *Index, s *stanza, rels []rel) verID {
	v := verID(len(b.vers))
	b.vers = append(b.vers, ver{
		pkg: p, next: none, provs: none, files: none,
		text:     textAt{b.base + s.chunk, s.version.off, uint16(s.version.len)},
		multi:    s.multi,
		priority: s.priority,
		all:      s.flags&flagAll != 0,
	})
	if behind == none {
		b.vers[v].next = b.pkgs[p].vers
		b.pkgs[p].vers = v
	} else {
		b.vers[v].next = b.vers[behind].next
		b.vers[behind].next = v
	}
	b.vers[v].deps = depID(len(b.deps))
	for i := range rels {
		r := &rels[i]
		if r.kind&^more == provides {
			rels = rels[i:]
			break
		}
		b.depend(v, b.global(x, r.name), r)
		if i == len(rels)-1 {
			rels = nil
		}
	}
	b.vers[v].depEnd = depID(len(b.deps))
	b.provideAll(v, x, rels)
	return v
}

// depend adds a relation of a version. What it names becomes a package also where
// the relation itself is not needed any further.
func (b *builder) depend(v verID, name uint32, r *rel) {
	arch := b.pkgs[b.vers[v].pkg].arch
	k := r.kind &^ more
	var spec kind
	if b.colon[name] {
		text := b.nameText(name)
		arch = b.any
		if !strings.HasSuffix(text, ":any") {
			spec = archSpecific
			if base, ok := strings.CutSuffix(text, ":native"); ok {
				name = b.spell(base + ":" + b.archs[native])
			}
		}
	}
	put := func(p pkgID) {
		if k == replaces || k == enhances {
			return
		}
		d := dep{ver: v, target: p, version: r.version, op: r.op, kind: r.kind | spec}
		if d.negative() {
			d.kind &^= more
			if spec == 0 {
				b.negative[p] = append(b.negative[p], depID(len(b.deps)))
			}
		}
		b.deps = append(b.deps, d)
	}
	excludes := k == conflicts || k == breaks || k == replaces
	if !excludes || spec != 0 || b.groups[name].first == none {
		put(b.pkg(name, arch))
		return
	}
	for p := b.groups[name].first; p != none; p = b.pkgs[p].next {
		put(p)
	}
}

// provideAll adds what a version provides: what its field says, and its own name
// in the forms that others may ask for.
func (b *builder) provideAll(v verID, x *Index, rels []rel) {
	p := b.vers[v].pkg
	arch := b.pkgs[p].arch
	ownName := b.nameText(b.pkgs[p].name)
	multi := b.vers[v].multi
	// The package may have come to provide "name:arch" while its own
	// dependencies were read.
	already := false
	for id := b.vers[v].provs; id != none; id = b.provs[id].ofVer {
		already = already || b.provs[id].flags == implicit|archSpecific
	}
	for i := range rels {
		r := &rels[i]
		if r.op != OpAny && r.op != OpEQ {
			continue // apt ignores these
		}
		name := b.global(x, r.name)
		text := b.nameText(name)
		if at := strings.LastIndexByte(text, ':'); at >= 0 {
			if text[at+1:] != "any" {
				b.provideName(v, b.spell(text[:at]), b.arch(text[at+1:]), r.version, implicit|archSpecific)
			}
			b.provideName(v, name, b.any, r.version, archSpecific)
			continue
		}
		if multi == multiForeign {
			b.provideEverywhere(v, name, r.version, 0)
		} else {
			if multi == multiAllowed {
				b.provideName(v, b.spell(text+":any"), b.any, r.version, implicit)
			}
			b.provideName(v, name, arch, r.version, 0)
		}
		if sym, ok := b.asked(text, arch); ok {
			b.provideName(v, sym, b.any, r.version, implicit|archSpecific)
		}
	}
	switch multi {
	case multiAllowed:
		b.provideName(v, b.spell(ownName+":any"), b.any, b.own(v), implicit)
	case multiForeign:
		b.provideEverywhere(v, b.pkgs[p].name, b.own(v), implicit)
	case multiNo, multiSame:
	}
	if sym, ok := b.asked(ownName, arch); ok && !already {
		b.provideName(v, sym, b.any, b.own(v), implicit|archSpecific)
	}
	if isKernel(ownName) {
		b.provideName(v, b.spell("$kernel"), b.any, b.own(v), implicit)
	}
}

// asked finds the package "name:arch", if somebody has asked for it in this form.
func (b *builder) asked(name string, arch archID) (uint32, bool) {
	b.buf = append(append(append(b.buf[:0], name...), ':'), b.archs[arch]...)
	sym, ok := b.names.find(b.chunks, b.buf)
	return sym, ok && b.groups[sym].first != none
}

// isKernel says whether a name is that of a kernel: linux-image-6.1.0-9-amd64.
// apt lets these provide a name of its own.
func isKernel(name string) bool {
	for _, prefix := range [...]string{"linux-image-", "kfreebsd-image-", "gnumach-image-"} {
		rest, ok := strings.CutPrefix(name, prefix)
		if !ok || strings.HasSuffix(name, "-dbgsym") || strings.HasSuffix(name, "-dbg") {
			continue
		}
		n := digits(rest)
		return n > 0 && n < len(rest) && rest[n] == '.'
	}
	return false
}

// provideName lets a version provide a name, unless that is itself.
func (b *builder) provideName(v verID, name uint32, arch archID, version span16, flags kind) {
	own := b.vers[v].pkg
	if b.pkgs[own].name == name && b.pkgs[own].arch == arch {
		chunk := b.chunks[b.vers[v].text.chunk]
		is := chunk[version.off : version.off+uint32(version.len)]
		if len(is) == 0 || bytes.Equal(is, []byte(b.version(v))) {
			return
		}
	}
	b.provide(v, b.pkg(name, arch), version, flags)
}

// provideEverywhere lets a version provide a name for all architectures of it.
func (b *builder) provideEverywhere(v verID, name uint32, version span16, flags kind) {
	if b.groups[name].first == none {
		b.provideName(v, name, native, version, flags)
		return
	}
	for p := b.groups[name].first; p != none; p = b.pkgs[p].next {
		if flags&implicit != 0 && p == b.vers[v].pkg {
			continue
		}
		b.provide(v, p, version, flags)
	}
}

func (b *builder) provide(v verID, p pkgID, version span16, flags kind) {
	id := provID(len(b.provs))
	b.provs = append(b.provs, prov{owner: v, target: p, version: version, flags: flags,
		ofPkg: b.pkgs[p].provs, ofVer: b.vers[v].provs})
	b.pkgs[p].provs, b.vers[v].provs = id, id
}

// separate makes a new version and the packages of its name for other
// architectures exclude each other: altogether, or, if they may be installed
// together, in different versions.
func (b *builder) separate(v verID) {
	p := b.vers[v].pkg
	name := b.pkgs[p].name
	if b.groups[name].first == b.groups[name].last {
		return
	}
	exclude := func(v verID, target pkgID) {
		d := dep{ver: v, target: target, op: OpAny, kind: conflicts | implicit}
		if b.vers[v].multi == multiSame {
			d.op, d.kind, d.version = OpOther, breaks|implicit, b.own(v)
		}
		b.extra[v] = append(b.extra[v], d)
	}
	if b.vers[b.pkgs[p].vers].next == none {
		for s := b.groups[name].first; s != none; s = b.pkgs[s].next {
			if s == p {
				continue
			}
			for w := b.pkgs[s].vers; w != none; w = b.vers[w].next {
				exclude(w, p)
			}
		}
	}
	for s := b.groups[name].first; s != none; s = b.pkgs[s].next {
		if b.pkgs[s].arch != b.pkgs[p].arch && b.pkgs[s].vers != none {
			exclude(v, s)
		}
	}
}

// finish puts each version's dependencies together and indexes them by target.
func (b *builder) finish() {
	if len(b.extra) > 0 {
		all := make([]dep, 0, len(b.deps)+len(b.extra))
		for i := range b.vers {
			v := &b.vers[i]
			from := depID(len(all))
			all = append(all, b.deps[v.deps:v.depEnd]...)
			all = append(all, b.extra[verID(i)]...)
			v.deps, v.depEnd = from, depID(len(all))
		}
		b.deps = all
	}
	b.revStart = make([]int32, len(b.pkgs)+1)
	for i := range b.deps {
		b.revStart[b.deps[i].target+1]++
	}
	for p := range b.pkgs {
		b.revStart[p+1] += b.revStart[p]
	}
	at := slices.Clone(b.revStart)
	b.revDeps = make([]depID, len(b.deps))
	for i := range b.deps {
		t := b.deps[i].target
		b.revDeps[at[t]] = depID(i)
		at[t]++
	}
}
