// Package compiler makes locks: from a definition and the archives as they are
// now, to all inputs of a build, exact and complete.
//
// A [Compiler] reads indexes only when it must. [Compiler.Settle] decides: a lock
// that fits its definition stays; one whose definition changed in nothing that
// chooses packages is brought up to date from the definition alone; any other is
// resolved anew, keeping the versions it has wherever the archives still offer
// them.
package compiler

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"time"

	"ingot/internal/definition"
	"ingot/internal/digest"
	"ingot/internal/distro"
	"ingot/internal/distro/debian"
	"ingot/internal/fault"
	"ingot/internal/fetch"
	"ingot/internal/format"
	"ingot/internal/input"
	"ingot/internal/lock"
	"ingot/internal/plan"
	"ingot/internal/sign"
	"ingot/internal/spell"
	"ingot/internal/supply"
	"ingot/internal/ui"
)

// A Compiler makes locks.
type Compiler struct {
	Client        *fetch.Client
	Mirrors       debian.Mirrors
	Indexes       string // directory of the cache that keeps indexes
	Seen          string // directory below $INGOT_HOME that remembers dates
	Now           time.Time
	HostArch      string // whose programs the tools tree holds
	AcceptExpired bool   // for all archives
	Progress      *ui.Progress
	Offline       bool // a lock that must read indexes is refused
}

// A Move says which packages may change their versions.
type Move struct {
	All      bool
	Packages []string // or these alone
	// Like, if not nil, is the lock to stay close to in place of the old one: what both have comes in
	// the version that it has there, and nothing is added for it.
	Like *lock.Lock
	// From, if not nil, is what packages are chosen from in place of the archives' indexes.
	From *Snapshot
	// Latest refuses what is older than the newest there is.
	Latest bool
}

// Request is the digest of all that chooses packages in a definition, in all of its
// flavors: two definitions with one request have the same lock but for their files.
func Request(def *definition.Definition) digest.Digest {
	variants := def.Variants()
	if len(variants) == 1 && variants[0].FlavorLabel() == "" {
		return request(variants[0])
	}
	var text strings.Builder
	for _, v := range variants {
		fmt.Fprintf(&text, "%s %s\n", request(v), v.FlavorLabel())
	}
	return digest.Of([]byte(text.String()))
}

// request is that of one variant.
func request(def *definition.Definition) digest.Digest {
	type kernel struct {
		None    bool
		Package string
		Chosen  bool `json:",omitzero"` // where it matters: a live system's default differs
		All     bool `json:",omitzero"`
	}
	data, err := json.Marshal(struct {
		Distro, Release string
		Arch            []string
		Archives        []definition.Archive
		Start           string
		Packages        []string
		Remove          []string
		Recommends      bool
		Purposes        []string
		Formats         []string
		Kernel          kernel
		Boot            definition.Boot
		Implied         []string
		Layout          []string `json:",omitempty"`
		Station         []string `json:",omitempty"` // digests
		Listed          []string `json:",omitempty"` // packages of elements
	}{
		def.Distro, def.Release, def.Arch, relativeKeys(def), def.Start, def.Packages, def.Remove, def.Recommends, plan.Purposes(def), toolFormats(def),
		kernel{def.Kernel.None, def.Kernel.Package, def.Kernel.Chosen && slices.Contains(plan.Purposes(def), format.Live), def.Kernel.All}, def.Boot, plan.Implied(def),
		plan.LayoutPackages(def), station(def), listed(def),
	})
	if err != nil {
		panic(err) // plain data
	}
	return digest.Of(data)
}

// station is what the packages of a definition's station are.
func station(def *definition.Definition) []string {
	if def.Elements == nil {
		return nil
	}
	var out []string
	for _, r := range def.Elements.Station {
		out = append(out, r.SHA256.String())
	}
	slices.Sort(out) // a lock has them in an order of its own
	return out
}

// listed are the packages of a definition's elements.
func listed(def *definition.Definition) []string {
	if def.Elements == nil {
		return nil
	}
	return slices.Concat(def.Elements.Listed, def.Elements.Packages)
}

// relativeKeys are the archives with keys named relative to the definition: where
// it lies does not matter.
func relativeKeys(def *definition.Definition) []definition.Archive {
	out := slices.Clone(def.Archives)
	for i := range out {
		if out[i].Key != "" {
			out[i].Key = relative(def.Dir, out[i].Key)
		}
	}
	return out
}

func relative(dir, path string) string {
	rel, err := filepath.Rel(dir, path)
	if err != nil {
		return path
	}
	return filepath.ToSlash(rel)
}

// toolFormats are the outputs that need tools of their own.
func toolFormats(def *definition.Definition) []string {
	var out []string
	for _, o := range def.Outputs {
		if len(o.Kind().Tools) > 0 {
			out = append(out, o.Format)
		}
	}
	return out
}

// Compile makes a lock. Old, if not nil, is the lock to stay close to.
func (c *Compiler) Compile(ctx context.Context, def *definition.Definition, old *lock.Lock, move Move) (*lock.Lock, error) {
	if err := known(def, old, move.Packages); err != nil {
		return nil, err
	}
	files, err := lock.Files(def)
	if err != nil {
		return nil, err
	}
	l := &lock.Lock{Definition: def.Digest(), Request: Request(def), Distro: def.Distro, Release: def.Release, Files: files}
	l.Station = def.Station()
	indexes, read, err := c.offers(ctx, def, l, move.From)
	if err != nil {
		return nil, err
	}
	task := c.Progress.Start(ui.Step{ID: "resolve", Name: "choose packages"})
	err = c.resolve(ctx, def, l, indexes, read, old, move)
	if err == nil {
		err = ctx.Err() // whoever asked does not want it any more
	}
	if move.From != nil && fault.CodeOf(err) == fault.NotFound {
		err = fault.Newf(fault.NotFound, "%w", err).WithHint("there are only the packages of the lock to choose from; it must have been made with that one")
	}
	task.Done(err)
	if err != nil {
		return nil, err
	}
	l.Downloads = downloads(old, l, move)
	return l, nil
}

// offers are the indexes that packages are chosen from, which the lock records.
func (c *Compiler) offers(ctx context.Context, def *definition.Definition, l *lock.Lock, from *Snapshot) ([]debian.IndexFile, map[string]*debian.Index, error) {
	if from != nil {
		return from.indexes(def, c.HostArch, l)
	}
	archives, err := c.archives(def)
	if err != nil {
		return nil, nil, err
	}
	return c.readIndexes(ctx, archives, append(slices.Clone(def.Arch), c.HostArch), l)
}

// downloads are what of an old lock's files that scripts asked for stays in a new one. Where
// all is to move nothing stays, and the next build asks anew. What an archive gave with
// other indexes does not go with these.
func downloads(old, l *lock.Lock, move Move) []lock.Download {
	if old == nil || move.All {
		return nil
	}
	out := slices.Clone(old.Downloads)
	if !slices.Equal(old.Indexes, l.Indexes) {
		out = slices.DeleteFunc(out, func(d lock.Download) bool {
			return strings.Contains(d.Address, "/dists/") || strings.Contains(d.Address, "/pool/")
		})
	}
	return out
}

// known refuses packages to move that are neither locked nor asked for.
func known(def *definition.Definition, old *lock.Lock, move []string) error {
	var locked []string
	if old != nil {
		for _, r := range supply.Packages(old) {
			locked = append(locked, r.Name)
		}
	}
	for _, name := range move {
		asked := slices.ContainsFunc(def.Variants(), func(v *definition.Definition) bool {
			return slices.ContainsFunc(v.Packages, func(token string) bool { return plan.PackageName(token) == name })
		})
		if asked || slices.Contains(locked, name) {
			continue
		}
		err := fault.Newf(fault.NotFound, "package %q cannot be moved: it is neither in the lock nor asked for", name).
			WithHint("name packages as the lock does, without version or architecture")
		if near := spell.Nearest(name, locked); near != "" {
			err = err.WithHint("did you mean %q?", near)
		}
		return err
	}
	return nil
}

// readIndexes fetches, verifies and reads archives' indexes, and records them in
// the lock.
func (c *Compiler) readIndexes(ctx context.Context, archives []debian.Archive, arches []string, l *lock.Lock) ([]debian.IndexFile, map[string]*debian.Index, error) {
	if c.Offline {
		return nil, nil, fault.Newf(fault.Unreachable, "choosing packages needs the archives' indexes, and this run is offline").
			WithHint("run 'ingot lock' once with a network")
	}
	task := c.Progress.Start(ui.Step{ID: "indexes", Name: "read package indexes"})
	updater := debian.Updater{Client: c.Client, Cache: c.Indexes, Seen: c.Seen, Now: c.Now, Note: func(s string) { task.Notef("%s", s) }}
	slices.Sort(arches)
	indexes, err := updater.Update(ctx, archives, slices.Compact(arches))
	var read map[string]*debian.Index
	if err == nil {
		read, err = readAll(ctx, indexes)
	}
	task.Done(err)
	if err != nil {
		return nil, nil, err
	}
	for _, a := range archives {
		for _, x := range indexes {
			if x.Expired && x.Archive == a.Name {
				a.Expired = true
				c.Progress.Warnf("%s %s is past its Valid-Until, which was accepted", a.Name, x.Asked)
			}
		}
		l.Archives = append(l.Archives, a.Archive)
	}
	for _, x := range indexes {
		l.Indexes = append(l.Indexes, x.Lock())
		l.Epoch = max(l.Epoch, x.Date.Unix())
	}
	return indexes, read, nil
}

// Tools makes a lock of a tools tree: packages of a release, for this machine.
func (c *Compiler) Tools(ctx context.Context, release string, packages []string) (*lock.Lock, error) {
	def := &definition.Definition{Distro: "debian", Release: release}
	l := &lock.Lock{Definition: digest.Of([]byte(strings.Join(packages, " "))), Distro: def.Distro, Release: release}
	archives, err := c.archives(def)
	if err != nil {
		return nil, err
	}
	files, read, err := c.readIndexes(ctx, archives, []string{c.HostArch}, l)
	if err != nil {
		return nil, err
	}
	u, err := universe(files, read, c.HostArch)
	if err != nil {
		return nil, err
	}
	l.Tools, err = resolve(ctx, u, distro.Request{Arch: c.HostArch, Packages: packages})
	return l, err
}

// maxKeyring bounds an archive's keys, in bytes; Debian's own are some 60 KiB.
const maxKeyring = 8 << 20

// archives are the definition's, or the release's own, with the places to fetch
// them from and the keys to trust.
func (c *Compiler) archives(def *definition.Definition) ([]debian.Archive, error) {
	builtIn, err := debian.ArchiveKeys()
	if err != nil {
		return nil, err
	}
	var out []debian.Archive
	if len(def.Archives) == 0 {
		for _, a := range debian.DefaultArchives(def.Release) {
			roots := c.Mirrors.Roots(a)
			a.URL = roots[0] // what is in force when the lock is written
			out = append(out, debian.Archive{Archive: a, Roots: roots, Keys: builtIn, AcceptExpired: c.AcceptExpired})
		}
		return out, nil
	}
	names := archiveNames(def.Archives)
	for i, d := range def.Archives {
		a := lock.Archive{Name: names[i], URL: d.URL, Suites: d.Suites, Components: d.Components}
		keys := builtIn
		if d.Key != "" {
			a.Key = relative(def.Dir, d.Key)
			data, err := input.Read(d.Key, maxKeyring)
			if err != nil {
				return nil, fault.Newf(fault.Definition, "cannot read the archive's key: %w", err)
			}
			if keys, err = sign.ReadKeyring(a.Key, data); err != nil {
				return nil, fault.Newf(fault.Definition, "archive key %s: %w", a.Key, err)
			}
		}
		out = append(out, debian.Archive{Archive: a, Roots: c.Mirrors.Roots(a), Keys: keys, AcceptExpired: c.AcceptExpired || !d.CheckValidUntil})
	}
	return out, nil
}

// archiveNames are the last parts of archives' URLs, made unique with numbers.
func archiveNames(all []definition.Archive) []string {
	names := make([]string, len(all))
	count := map[string]int{}
	for i, a := range all {
		n := strings.TrimRight(a.URL, "/")
		n = strings.ToLower(n[strings.LastIndexByte(n, '/')+1:])
		n = strings.Map(func(r rune) rune {
			if r >= 'a' && r <= 'z' || r >= '0' && r <= '9' || r == '-' {
				return r
			}
			return '-'
		}, n)
		names[i] = strings.Trim(n, "-")
		count[names[i]]++
	}
	for i, base := range slices.Clone(names) {
		if base != "" && count[base] == 1 {
			continue
		}
		for number := i + 1; ; number++ {
			names[i] = strings.Trim(fmt.Sprintf("%s-%d", base, number), "-")
			if count[names[i]] == 0 {
				break
			}
		}
		count[names[i]]++
	}
	return names
}

// readAll reads indexes, each once, by file.
func readAll(ctx context.Context, files []debian.IndexFile) (map[string]*debian.Index, error) {
	out := map[string]*debian.Index{}
	for _, x := range files {
		f, err := os.Open(x.File)
		if err != nil {
			return nil, fmt.Errorf("cannot open index: %w", err)
		}
		out[x.File], err = debian.ReadIndex(until{ctx, f}, x.Source)
		_ = f.Close()
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		if err != nil {
			return nil, fault.Newf(fault.Verification, "%s of %s: %w", x.Path, x.Archive, err)
		}
	}
	return out, nil
}

// An until reads until its context ends.
type until struct {
	ctx  context.Context
	from io.Reader
}

func (u until) Read(b []byte) (int, error) {
	if err := u.ctx.Err(); err != nil {
		return 0, err
	}
	return u.from.Read(b)
}

// universe is the packages of one architecture, from indexes in the order of the
// archives.
func universe(files []debian.IndexFile, read map[string]*debian.Index, arch string) (*debian.Universe, error) {
	var indexes []*debian.Index
	for _, x := range files {
		if x.Arch == arch || x.Arch == "all" {
			indexes = append(indexes, read[x.File])
		}
	}
	return debian.NewUniverse(debian.Options{Arch: arch}, indexes...)
}

// resolve fills in the lock's sets and tools.
func (c *Compiler) resolve(ctx context.Context, def *definition.Definition, l *lock.Lock, files []debian.IndexFile, read map[string]*debian.Index, old *lock.Lock, move Move) error {
	if move.Like != nil {
		old = move.Like
	}
	r := resolution{old: old, move: move, universes: map[string]*debian.Universe{}, open: func(arch string) (*debian.Universe, error) {
		return universe(files, read, arch)
	}}
	var tools []string
	for _, v := range def.Variants() {
		for _, arch := range v.Arch {
			sets, err := r.sets(ctx, v, arch)
			if err != nil {
				if v.FlavorName != "" {
					return fmt.Errorf("flavor %s: %w", v.FlavorName, err)
				}
				return err
			}
			l.Sets = append(l.Sets, sets...)
		}
		more, err := plan.ToolPackages(v)
		if err != nil {
			return err
		}
		tools = append(tools, more...)
	}
	if err := r.judge(c.Progress); err != nil {
		return err
	}
	slices.Sort(tools)
	if tools = slices.Compact(tools); len(tools) == 0 {
		return nil
	}
	u, err := r.universe(c.HostArch)
	if err != nil {
		return err
	}
	if l.Tools, err = resolve(ctx, u, distro.Request{Arch: c.HostArch, Packages: tools}); err != nil {
		return fmt.Errorf("tools tree: %w", err)
	}
	return nil
}

// A resolution chooses the packages of one lock.
type resolution struct {
	old       *lock.Lock
	move      Move
	open      func(arch string) (*debian.Universe, error)
	universes map[string]*debian.Universe
	done      []chosen
	// behind are packages that are older than the newest that the indexes offer, and unlike those that
	// are in another version than in the lock to be like.
	behind, unlike []string
}

// judge refuses older packages than there are, if that is wished, and tells which could not be as
// in the lock to be like.
func (r *resolution) judge(progress *ui.Progress) error {
	sorted := func(list []string) []string { return slices.Compact(slices.Sorted(slices.Values(list))) }
	if list := sorted(r.behind); r.move.Latest && len(list) > 0 {
		return fault.Newf(fault.Choice, "not the newest there are: %s", some(list)).
			WithHint("'ingot lock --update' moves packages; a version that 'packages' asks for, or that another package needs, holds them back")
	}
	if list := sorted(r.unlike); len(list) > 0 {
		progress.Warnf("in another version than in the lock to be like: %s", some(list))
	}
	return nil
}

// some is a list that a message has room for.
func some(list []string) string {
	const most = 20
	if len(list) > most {
		return strings.Join(list[:most], ", ") + fmt.Sprintf(" and %d more", len(list)-most)
	}
	return strings.Join(list, ", ")
}

// A chosen set is the answer to one request. Flavors often ask for the same.
type chosen struct {
	request distro.Request
	old     []distro.Ref
	refs    []distro.Ref
}

func (r *resolution) universe(arch string) (*debian.Universe, error) {
	u := r.universes[arch]
	if u != nil {
		return u, nil
	}
	u, err := r.open(arch)
	if err == nil {
		r.universes[arch] = u
	}
	return u, err
}

// sets chooses the packages of a variant.
func (r *resolution) sets(ctx context.Context, def *definition.Definition, arch string) ([]lock.Set, error) {
	var out []lock.Set
	add := func(purpose string, req distro.Request) error {
		set := lock.Set{Arch: arch, Purpose: purpose, Flavor: def.FlavorLabel(), Start: req.Start, Asked: slices.Compact(slices.Sorted(slices.Values(req.Packages)))}
		var err error
		set.Refs, err = r.choose(ctx, req, oldSet(r.old, set))
		out = append(out, set)
		return err
	}
	if def.Elements != nil && def.Elements.Root {
		if err := add(lock.Bootstrap, distro.Request{Arch: arch, Start: "minbase"}); err != nil {
			return nil, err
		}
	}
	for _, purpose := range plan.Purposes(def) {
		req := distro.Request{Arch: arch, Start: def.Start, Packages: append(slices.Clone(def.Packages), plan.Implied(def)...), Remove: def.Remove, Recommends: def.Recommends}
		more, err := plan.PurposePackages(def, arch, purpose)
		if err != nil {
			return nil, fault.Wrap(fault.Definition, err)
		}
		req.Packages = append(req.Packages, more...)
		e := def.Elements
		if e == nil || e.Root {
			if err := add(purpose, req); err != nil {
				return nil, err
			}
			continue
		}
		// What elements' lists name comes on top of the rest, and changes nothing of it.
		if err := add(lock.Base(purpose), req); err != nil {
			return nil, err
		}
		base := out[len(out)-1].Refs
		req.Packages = slices.Concat(req.Packages, e.Listed, e.Packages)
		asked := slices.Compact(slices.Sorted(slices.Values(req.Packages)))
		for _, ref := range base {
			req.Packages = append(req.Packages, ref.Name+"="+ref.Version)
		}
		if err := add(purpose, req); err != nil {
			return nil, fmt.Errorf("packages of elements: %w", err)
		}
		out[len(out)-1].Asked = asked // the rest follows from the base
	}
	return out, nil
}

// choose answers one request.
func (r *resolution) choose(ctx context.Context, req distro.Request, old []distro.Ref) ([]distro.Ref, error) {
	for _, c := range r.done {
		if reflect.DeepEqual(c.request, req) && slices.Equal(c.old, old) {
			return c.refs, nil
		}
	}
	u, err := r.universe(req.Arch)
	if err != nil {
		return nil, err
	}
	refs, err := resolve(ctx, u, req)
	if err != nil {
		return nil, err
	}
	for _, ref := range refs {
		if slices.Contains(req.Remove, ref.Name) {
			return nil, fault.Newf(fault.NotFound, "package %s cannot be removed: the starting set %q needs it", ref.Name, req.Start).
				WithHint("%s", remedy(ctx, u, req, ref.Name))
		}
	}
	refs = hold(ctx, u, req, refs, old, r.move)
	for _, ref := range refs {
		if v := u.Newest(ref.Name); v != "" && v != ref.Version {
			r.behind = append(r.behind, fmt.Sprintf("%s %s (%s)", ref.Name, ref.Version, v))
		}
		if r.move.Like != nil && slices.ContainsFunc(old, func(o distro.Ref) bool { return o.Name == ref.Name && o.Version != ref.Version && o.Arch == ref.Arch }) {
			r.unlike = append(r.unlike, ref.Name+" "+ref.Version)
		}
	}
	r.done = append(r.done, chosen{req, old, refs})
	return refs, nil
}

// remedy says what to do for an image without a package that its starting set needs: the
// least set is one only where it can do without.
func remedy(ctx context.Context, u *debian.Universe, req distro.Request, name string) string {
	const out = "take it out of 'remove'"
	req.Start = "essential"
	refs, err := resolve(ctx, u, req)
	if err != nil || slices.ContainsFunc(refs, func(r distro.Ref) bool { return r.Name == name }) {
		return out
	}
	return out + ", or start from 'essential'"
}

// resolve chooses packages, unless nobody wants them any more.
func resolve(ctx context.Context, u *debian.Universe, req distro.Request) ([]distro.Ref, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	return u.Resolve(req)
}

// oldSet is what an old lock has in a set's place: the same set, else, of a flavor that is
// new, the first of its architecture and purpose.
func oldSet(old *lock.Lock, set lock.Set) []distro.Ref {
	if old == nil {
		return nil
	}
	if s, ok := old.Set(set.Arch, set.Purpose, set.Flavor); ok {
		return s.Refs
	}
	for _, s := range old.Sets {
		if s.Arch == set.Arch && s.Purpose == set.Purpose {
			return s.Refs
		}
	}
	return nil
}

// hold keeps the old lock's versions of packages that are chosen again and that
// may not move, as far as the archives still offer them, the request says nothing
// of their versions, and they fit together.
func hold(ctx context.Context, u *debian.Universe, req distro.Request, fresh, old []distro.Ref, move Move) []distro.Ref {
	if move.All {
		return fresh
	}
	versions := map[string]string{}
	for _, r := range old {
		versions[r.Name] = r.Version
	}
	for _, token := range req.Packages {
		if i := strings.IndexAny(token, "=/"); i >= 0 {
			delete(versions, token[:i])
		}
	}
	var held []string
	for _, r := range fresh {
		v, ok := versions[r.Name]
		if !ok || v == r.Version || slices.Contains(move.Packages, r.Name) || !u.Has(r.Name, v) {
			continue
		}
		held = append(held, r.Name+"="+v)
	}
	// Where all of them do not fit, each half of them may.
	var try func(held []string)
	try = func(held []string) {
		if len(held) == 0 || ctx.Err() != nil {
			return
		}
		more := req
		more.Packages = append(slices.Clone(req.Packages), held...)
		if refs, err := resolve(ctx, u, more); err == nil {
			req, fresh = more, refs
			return
		}
		if half := len(held) / 2; half > 0 {
			try(held[:half])
			try(held[half:])
		}
	}
	try(held)
	return fresh
}
