package rpm

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"ingot/internal/digest"
	"ingot/internal/distro"
	"ingot/internal/fault"
	"ingot/internal/sandbox"
	"ingot/internal/tree"
)

// Configure installs packages as rpm would. The tools tree's rpm checks them,
// orders them and records them; then, package by package in its order, %pre runs,
// the files are put and %post runs, with every %pretrans before and every
// %posttrans after. A %pre that fails stops all; a %post that fails is logged,
// as rpm does it.
func (f Family) Configure(ctx context.Context, box *distro.Box, in distro.Install) error {
	i := installer{family: f, box: box, in: in, placed: map[string]bool{}}
	return i.run(ctx)
}

// A pkg is a package while it is installed.
type pkg struct {
	distro.Unpacked
	files   map[string]fileInfo
	sets    map[[2]uint64]fileInfo // the last name of each file
	scripts map[string]scriptlet
	foreign bool // some of its files are not root's
}

func newPkg(u distro.Unpacked) (*pkg, error) {
	h, err := controlHeader(u.Package)
	if err != nil {
		return nil, fmt.Errorf("package %s: %w", u.Ref.Name, err)
	}
	files, err := h.files()
	if err != nil {
		return nil, fmt.Errorf("package %s: %w", u.Ref.Name, err)
	}
	p := &pkg{Unpacked: u, files: make(map[string]fileInfo, len(files)), sets: map[[2]uint64]fileInfo{}}
	if p.scripts, err = h.scriptlets(u.Ref); err != nil {
		return nil, err
	}
	for _, f := range files {
		p.files[f.path] = f
		if f.kind == tree.File && !f.ghost() {
			p.sets[f.set] = f
		}
		p.foreign = p.foreign || !f.ghost() && (f.user != "root" || f.group != "root")
	}
	return p, nil
}

// owner says whose owners count: of a file with several names the last one's.
func (p *pkg) owner(f fileInfo) fileInfo {
	if f.kind == tree.File {
		return p.sets[f.set]
	}
	return f
}

type installer struct {
	family  Family
	box     *sandbox.Box
	in      distro.Install
	pkgs    []*pkg
	pending []tree.Entry    // of packages that nothing had to run for yet
	placed  map[string]bool // what the packages brought so far
}

func (i *installer) run(ctx context.Context) error {
	if i.family.Tools == nil {
		return fault.Newf(fault.Failed, "no tools tree with rpm is at hand, which must record the packages")
	}
	us, err := i.in.Unpacked(ctx, distro.Refs(i.in.Packages))
	if err != nil {
		return err
	}
	for _, u := range us {
		p, err := newPkg(u)
		if err != nil {
			return err
		}
		if want := arches[i.in.Arch]; u.Ref.Arch != want && u.Ref.Arch != noarch {
			return fmt.Errorf("package %s is of architecture %s, the image of %s", u.Ref.Name, u.Ref.Arch, want)
		}
		i.pkgs = append(i.pkgs, p)
	}
	slices.SortFunc(i.pkgs, func(a, b *pkg) int {
		return strings.Compare(a.Ref.Name+" "+a.Ref.Arch, b.Ref.Name+" "+b.Ref.Arch)
	})
	database, pkgs, err := i.record(ctx)
	if err != nil {
		return err
	}
	i.pkgs = pkgs
	if err := i.begin(ctx); err != nil {
		return err
	}
	if err := i.all(ctx, "pretrans"); err != nil {
		return err
	}
	for _, p := range i.pkgs {
		if err := i.install(ctx, p); err != nil {
			return fmt.Errorf("package %s: %w", p.Ref.Name, err)
		}
	}
	if err := i.flush(ctx); err != nil {
		return err
	}
	// No scriptlet before %posttrans can rely on what rpm has written so far, and
	// by now the directory may be a package's.
	if err := i.write(ctx, i.database(), 0o644, database); err != nil {
		return err
	}
	return i.all(ctx, "posttrans")
}

// begin lays the ground: what the sandbox mounts on, and what must be there
// before any script.
func (i *installer) begin(ctx context.Context) error {
	if i.in.First {
		if err := i.box.Put(ctx, skeleton(i.in.Epoch), nil); err != nil {
			return err
		}
	}
	for _, path := range slices.Sorted(maps.Keys(i.in.Early)) {
		if err := i.write(ctx, path, distro.EarlyMode(i.in.Early[path]), []byte(i.in.Early[path])); err != nil {
			return err
		}
	}
	return nil
}

// skeleton is the least that programs run in. All else is packages' to bring.
func skeleton(epoch int64) []tree.Entry {
	var out []tree.Entry
	for _, path := range []string{"", "dev", "proc"} {
		out = append(out, tree.Entry{Path: path, Kind: tree.Dir, Mode: 0o755, Mtime: tree.Time{Sec: epoch}, Owner: "step:install"})
	}
	return out
}

// write puts one of root's files, and the directories that lack.
func (i *installer) write(ctx context.Context, path string, mode uint32, data []byte) error {
	var lack []tree.Entry
	for d := tree.Parent(path); d != ""; d = tree.Parent(d) {
		there, err := i.box.Exists(ctx, d)
		if err != nil {
			return err
		}
		if there {
			break
		}
		lack = append(lack, tree.Entry{Path: d, Kind: tree.Dir, Mode: 0o755, Mtime: tree.Time{Sec: i.in.Epoch}})
	}
	slices.Reverse(lack)
	if err := i.box.Put(ctx, lack, nil); err != nil {
		return err
	}
	return i.box.Write(ctx, sandbox.NewFile{Path: path, Mode: mode, Data: data, Mtime: i.in.Epoch})
}

// install runs what a package brings and puts its files. Files wait until
// something has to run, or has to be looked up in the tree.
func (i *installer) install(ctx context.Context, p *pkg) error {
	if err := i.script(ctx, p, "pre"); err != nil {
		return err
	}
	if err := i.files(ctx, p); err != nil {
		return err
	}
	return i.script(ctx, p, "post")
}

// files adds a package's files to what will be put.
func (i *installer) files(ctx context.Context, p *pkg) error {
	var users, groups ids
	if p.foreign {
		err := i.flush(ctx)
		if err == nil {
			users, err = readIDs(ctx, i.box, "etc/passwd")
		}
		if err == nil {
			groups, err = readIDs(ctx, i.box, "etc/group")
		}
		if err != nil {
			return err
		}
	}
	warned := map[string]bool{}
	unknown := func(kind, name string) {
		if what := kind + " " + name; !warned[what] {
			warned[what] = true
			i.log(fmt.Sprintf("package %s: %s does not exist, root is used", p.Ref.Name, what))
		}
	}
	for e := range p.Tree.All() {
		f, explicit := p.files[e.Path]
		if !explicit {
			there, err := i.there(ctx, e.Path)
			if err != nil {
				return err
			}
			if there {
				continue // a directory that the package only lies in
			}
			e.Mtime = tree.Time{Sec: i.in.Epoch}
		}
		if explicit && p.foreign {
			own(&e, p.owner(f), users, groups, unknown)
		}
		if f.flags&flagConfig != 0 && e.Kind == tree.File && !i.placed[e.Path] {
			if err := i.config(ctx, &e, f); err != nil {
				return err
			}
		}
		i.placed[e.Path] = true
		i.pending = append(i.pending, e)
	}
	return nil
}

// there says whether a directory is there or will be.
func (i *installer) there(ctx context.Context, path string) (bool, error) {
	if path == "" || i.placed[path] {
		return true, nil
	}
	return i.box.Exists(ctx, path)
}

// config keeps a configuration file that was there before the package: beside
// the package's, under the name that rpm gives it, or in its place, as the package
// wishes.
func (i *installer) config(ctx context.Context, e *tree.Entry, f fileInfo) error {
	there, err := i.box.Exists(ctx, e.Path)
	if err != nil || !there {
		return err
	}
	old, err := i.box.Read(ctx, e.Path)
	if err != nil || digest.Of(old) == e.Content.Digest {
		return err
	}
	if f.flags&flagNoReplace != 0 {
		e.Path += ".rpmnew"
		return nil
	}
	return i.write(ctx, e.Path+".rpmorig", 0o644, old)
}

// flush puts the files that wait. Of two packages' directories the later one's
// metadata count, as with rpm, which has found everything else that two
// packages have in common to be the same.
func (i *installer) flush(ctx context.Context) error {
	if len(i.pending) == 0 {
		return nil
	}
	last := make(map[string]tree.Entry, len(i.pending))
	for _, e := range i.pending {
		last[e.Path] = e
	}
	i.pending = nil
	entries := make([]tree.Entry, 0, len(last))
	for _, path := range slices.Sorted(maps.Keys(last)) {
		entries = append(entries, last[path])
	}
	return i.box.Put(ctx, entries, i.in.Contents)
}

// all runs one moment's scriptlets of all packages.
func (i *installer) all(ctx context.Context, moment string) error {
	for _, p := range i.pkgs {
		if err := i.script(ctx, p, moment); err != nil {
			return fmt.Errorf("package %s: %w", p.Ref.Name, err)
		}
	}
	return nil
}

// script runs a package's scriptlet of one moment, if it has one.
func (i *installer) script(ctx context.Context, p *pkg, moment string) error {
	s, ok := p.scripts[moment]
	if !ok {
		return nil
	}
	if err := i.flush(ctx); err != nil {
		return err
	}
	if s.text != "" {
		if err := i.write(ctx, scriptPath, 0o600, []byte(s.text)); err != nil {
			return err
		}
	}
	out, err := i.box.Output(ctx, sandbox.Command{Argv: s.argv(), Env: i.environment()}, i.in.Log)
	if s.text != "" {
		if err := i.box.Remove(ctx, scriptPath); err != nil {
			return err
		}
	}
	if err == nil {
		return nil
	}
	if ctx.Err() == nil && (moment == "post" || moment == "posttrans") {
		i.log(fmt.Sprintf("package %s: its %s failed: %v", p.Ref.Name, s, err))
		return nil
	}
	return fmt.Errorf("%s: %w%s", s, err, sandbox.Quote(out))
}

// environment is what scriptlets see: rpm's path, and what makes a build the same
// everywhere.
func (i *installer) environment() []string {
	return []string{
		"PATH=/sbin:/bin:/usr/sbin:/usr/bin",
		"HOME=/root", "LC_ALL=C.UTF-8", "TZ=UTC0",
		fmt.Sprintf("SOURCE_DATE_EPOCH=%d", i.in.Epoch),
	}
}

func (i *installer) log(line string) {
	if i.in.Log != nil {
		i.in.Log(line)
	}
}

// sortedValues gives a map's values in the order of their keys.
func sortedValues[V any](m map[uint64]V) []V {
	out := make([]V, 0, len(m))
	for _, k := range slices.Sorted(maps.Keys(m)) {
		out = append(out, m[k])
	}
	return out
}
