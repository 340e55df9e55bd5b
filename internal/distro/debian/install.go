package debian

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"strings"

	"ingot/internal/distro"
	"ingot/internal/sandbox"
	"ingot/internal/tree"
)

// Configure installs packages the way dpkg would, but for the unpacking: files go
// into the sandbox on all cores at once, dpkg's records are written as dpkg would
// have left them after "dpkg --unpack", and dpkg itself configures. Scripts that
// run before unpacking (preinst) run in dpkg's order. The packages of a phase are
// asked for when its turn comes.
func (Debian) Configure(ctx context.Context, box *distro.Box, in distro.Install) error {
	i := installer{box: box, in: in, ground: ground{}, configured: map[string]bool{}, held: map[string]bool{}}
	return i.run(ctx)
}

type installer struct {
	box        *sandbox.Box
	in         distro.Install
	triggers   triggers
	diversions []diversion
	policy     bool // the policy that is there is our stand-in
	ground     ground
	unpacked   []*deb
	configured map[string]bool
	held       map[string]bool // the programs that stand-ins replace for now
}

func (i *installer) run(ctx context.Context) error {
	var pkgs []*deb
	for _, u := range i.in.Packages {
		p, err := newDeb(u)
		if err == nil && i.in.First {
			err = checkArch(p, i.in.Arch)
		}
		if err != nil {
			return err
		}
		pkgs = append(pkgs, p)
	}
	slices.SortFunc(pkgs, func(a, b *deb) int { return strings.Compare(a.Ref.Name, b.Ref.Name) })
	if !i.in.First {
		return i.onTop(ctx, pkgs)
	}
	if err := i.begin(ctx); err != nil {
		return err
	}
	for n, phase := range phases(pkgs, true) {
		if err := i.phase(ctx, phase, n == 0); err != nil {
			return err
		}
	}
	if err := i.makeInitramfs(ctx); err != nil {
		return err
	}
	return i.finish(ctx, pkgs)
}

// environment is what scripts and dpkg see; nothing of the caller's.
func (i *installer) environment(more ...string) []string {
	return append([]string{
		"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
		"HOME=/root",
		"LC_ALL=C.UTF-8", "LANG=C.UTF-8", "LANGUAGE=C.UTF-8",
		"TZ=UTC0",
		"DEBIAN_FRONTEND=noninteractive", "DEBCONF_NONINTERACTIVE_SEEN=true",
		"SYSTEMD_OFFLINE=1", // it cannot tell by /proc/1/root, which is shut
		fmt.Sprintf("SOURCE_DATE_EPOCH=%d", i.in.Epoch),
	}, more...)
}

// begin lays the ground: an empty tree gets its skeleton.
func (i *installer) begin(ctx context.Context) error {
	if err := i.box.Put(ctx, skeleton(i.in.Arch, i.in.Epoch), i.in.Contents); err != nil {
		return err
	}
	i.policy = true
	if err := i.write(ctx, map[string]record{
		policyPath:         i.standIn(policyPath),
		statusPath:         {0o644, nil},
		adminDir + "arch":  {0o644, []byte(i.in.Arch + "\n")},
		infoDir + "format": {0o644, []byte("1\n")},
		unincorpPath:       {0o644, nil},
	}); err != nil {
		return err
	}
	return i.early(ctx)
}

// early writes the files that must be there before any script runs.
func (i *installer) early(ctx context.Context) error {
	files := map[string]record{}
	var parents []tree.Entry
	for path, text := range i.in.Early {
		files[path] = record{distro.EarlyMode(text), []byte(text)}
		for d := tree.Parent(path); d != ""; d = tree.Parent(d) {
			parents = append(parents, tree.Entry{Path: d, Kind: tree.Dir, Mode: 0o755, Mtime: tree.Time{Sec: i.in.Epoch}})
		}
	}
	slices.SortFunc(parents, func(a, b tree.Entry) int { return strings.Compare(a.Path, b.Path) })
	if err := i.put(ctx, parents); err != nil {
		return err
	}
	return i.write(ctx, files)
}

// put makes entries real. What a tree that has packages has of their directories stays.
func (i *installer) put(ctx context.Context, entries []tree.Entry) error {
	if !i.in.First {
		var err error
		if entries, err = i.withoutPresent(ctx, entries); err != nil {
			return err
		}
	}
	return i.box.Put(ctx, entries, i.in.Contents)
}

func (i *installer) write(ctx context.Context, files map[string]record) error {
	var list []sandbox.NewFile
	for _, path := range slices.Sorted(maps.Keys(files)) {
		list = append(list, sandbox.NewFile{Path: path, Mode: files[path].mode, Data: files[path].data, Mtime: i.in.Epoch})
	}
	return i.box.Write(ctx, list...)
}

// phase unpacks some packages and configures them. The essential set's files go
// first, for its own scripts need them; any other preinst script runs before the
// files of its package are there.
func (i *installer) phase(ctx context.Context, pkgs []*deb, essential bool) error {
	if err := i.fill(ctx, pkgs); err != nil {
		return err
	}
	if essential {
		if err := i.unpack(ctx, pkgs); err != nil {
			return err
		}
	}
	if err := i.register(ctx, pkgs); err != nil {
		return err
	}
	if err := i.preinst(ctx, pkgs); err != nil {
		return err
	}
	if !essential {
		if err := i.unpack(ctx, pkgs); err != nil {
			return err
		}
	}
	if err := i.status(ctx, pkgs); err != nil {
		return err
	}
	if err := i.hold(ctx, pkgs); err != nil {
		return err
	}
	if err := i.configure(ctx); err != nil {
		return err
	}
	for _, p := range pkgs {
		i.configured[p.base()] = true
	}
	return nil
}

// unpack puts the files of packages into the sandbox. What they take from others,
// or others from them, goes from the lists of those.
func (i *installer) unpack(ctx context.Context, pkgs []*deb) error {
	diverted, err := i.read(ctx, diversionsPath)
	if err != nil {
		return err
	}
	i.diversions = parseDiversions(diverted)
	entries, err := i.ground.merge(pkgs, unpackedNames(i.diversions), i.in.Keep)
	if err != nil {
		return err
	}
	overrides, err := i.readOverrides(ctx)
	if err != nil {
		return err
	}
	for n := range entries {
		// As packages name their files: before diversions, and without dpkg's suffix.
		if o, ok := overrides[i.ground[entries[n].Path].path]; ok {
			o.apply(&entries[n])
		}
	}
	if err := i.put(ctx, entries); err != nil {
		return err
	}
	i.unpacked = append(i.unpacked, pkgs...)
	return i.write(ctx, lists(slices.DeleteFunc(slices.Clone(i.unpacked), func(p *deb) bool { return len(p.lost) == 0 })))
}

// register writes the records of packages but for their status.
func (i *installer) register(ctx context.Context, pkgs []*deb) error {
	files := records(pkgs)
	i.triggers.add(pkgs)
	maps.Copy(files, i.triggers.records())
	return i.write(ctx, files)
}

// status adds the packages to dpkg's status file as unpacked, and notes whom that
// triggers.
func (i *installer) status(ctx context.Context, pkgs []*deb) error {
	text, err := i.read(ctx, statusPath)
	if err != nil {
		return err
	}
	for _, p := range pkgs {
		text = append(text, p.statusStanza()...)
	}
	return i.write(ctx, map[string]record{
		statusPath:   {0o644, text},
		unincorpPath: {0o644, i.triggers.activated(pkgs, i.configured)},
	})
}

// asDPKG begins the shell program that runs preinst scripts: in the root directory, and
// telling them what the dpkg that configures does (dpkg(1), "Internal environment"). Which
// version that is, it says itself; an image without it has none.
const asDPKG = `cd /
v=$(dpkg --version 2>/dev/null); v=${v#*version }
export DPKG_RUNNING_VERSION=${v%% *} DPKG_FORCE=security-mac,downgrade,unsafe-io,confold
`

// preinst runs the scripts that go before unpacking, all by one shell. As under
// dpkg, a script finds its package's control members beside it in tmp.ci: debconf
// tells from there whose questions it asks. It runs in the root directory.
func (i *installer) preinst(ctx context.Context, pkgs []*deb) error {
	var b strings.Builder
	files := map[string]record{}
	var dirs []tree.Entry
	for _, p := range pkgs {
		if !p.has("preinst") {
			continue
		}
		dirs = append(dirs, tree.Entry{Path: adminDir + "ci." + p.base(), Kind: tree.Dir, Mode: 0o755})
		for name, f := range p.Control {
			if name != "" {
				files[adminDir+"ci."+p.base()+"/"+name] = record{f.Mode, f.Data}
			}
		}
		fmt.Fprintf(&b, `mv /var/lib/dpkg/ci.%[1]s /var/lib/dpkg/tmp.ci
DPKG_MAINTSCRIPT_PACKAGE=%[2]s DPKG_MAINTSCRIPT_ARCH=%[3]s DPKG_MAINTSCRIPT_NAME=preinst DPKG_MAINTSCRIPT_PACKAGE_REFCOUNT=1 DPKG_MAINTSCRIPT_DEBUG=0 /var/lib/dpkg/tmp.ci/preinst install || {
	e=$?; echo "preinst of %[2]s exited with code $e" >&2; exit $e; }
mv /var/lib/dpkg/tmp.ci /var/lib/dpkg/ci.%[1]s
`, p.base(), p.Ref.Name, p.Ref.Arch)
	}
	if len(dirs) == 0 {
		return nil
	}
	if err := i.box.Put(ctx, dirs, i.in.Contents); err != nil {
		return err
	}
	if err := i.write(ctx, files); err != nil {
		return err
	}
	if err := i.script(ctx, "preinst scripts", asDPKG+b.String()); err != nil {
		return err
	}
	var gone []string
	for _, d := range dirs {
		gone = append(gone, d.Path)
	}
	return i.box.Remove(ctx, gone...)
}

// configure has dpkg configure what is unpacked. For a foreign tree a native dpkg does, and
// runs the packages' scripts, which alone are emulated, with the tree as their root.
func (i *installer) configure(ctx context.Context) error {
	const what = "dpkg --configure"
	options := []string{"--force-unsafe-io", "--force-confold", "--configure", "--pending"}
	if !i.in.Foreign {
		return i.script(ctx, what, "dpkg "+strings.Join(options, " "))
	}
	said, err := i.read(ctx, archNativePath)
	if err != nil {
		return err
	}
	if said == nil {
		if err := i.write(ctx, map[string]record{archNativePath: {0o644, []byte(i.in.Arch + "\n")}}); err != nil {
			return err
		}
	}
	// It looks for programs that unpacking needs, of which nothing is done.
	argv := append([]string{"/usr/bin/dpkg", "--root=" + sandbox.NativeTree, "--force-bad-path"}, options...)
	err = i.command(ctx, what, sandbox.Command{Argv: argv, Env: i.environment("DPKG_COLORS=never"), Native: true})
	if err != nil || said != nil {
		return err
	}
	// Since trixie dpkg's own postinst makes it, and then it stays.
	if postinst, err := i.read(ctx, infoDir+"dpkg.postinst"); err != nil || bytes.Contains(postinst, []byte("arch-native")) {
		return err
	}
	return i.box.Remove(ctx, archNativePath)
}

// archNativePath tells a dpkg of another architecture which one is the tree's own (dpkg 1.22.16 and
// newer).
const archNativePath = adminDir + "arch-native"

// script runs a shell script in the sandbox; what it says goes to the log.
func (i *installer) script(ctx context.Context, what, text string) error {
	return i.command(ctx, what, sandbox.Command{
		Argv: []string{"/bin/sh", "-c", text},
		Env:  i.environment("DPKG_ROOT=", "DPKG_ADMINDIR=/var/lib/dpkg", "DPKG_COLORS=never"),
	})
}

// command runs a program in the sandbox; what it says goes to the log.
func (i *installer) command(ctx context.Context, what string, c sandbox.Command) error {
	out, err := i.box.Output(ctx, c, i.in.Log)
	if err != nil {
		return fmt.Errorf("%s: %w%s", what, err, tail(out))
	}
	return nil
}

// tail is the end of a program's output, for an error.
func tail(out []byte) string {
	const most = 30
	lines := bytes.Split(bytes.TrimSpace(out), []byte("\n"))
	if len(lines) == 1 && len(lines[0]) == 0 {
		return ""
	}
	if len(lines) > most {
		lines = lines[len(lines)-most:]
	}
	return "\n    " + string(bytes.Join(lines, []byte("\n    ")))
}

// read gives a file of the sandbox, or nothing where there is none.
func (i *installer) read(ctx context.Context, path string) ([]byte, error) {
	data, err := i.box.Read(ctx, path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return data, err
}

// finish writes which packages nobody asked for, so that apt can say later which
// are not needed any more, and removes what only the installation needed or what
// differs from one run to the next without meaning.
func (i *installer) finish(ctx context.Context, pkgs []*deb) error {
	hasApt := slices.ContainsFunc(pkgs, func(p *deb) bool { return p.Ref.Name == "apt" })
	if !hasApt {
		// Nobody would read it.
	} else if err := i.write(ctx, map[string]record{extendedStatesPath: {0o644, extendedStates(pkgs, i.in.Asked, i.in.Arch)}}); err != nil {
		return err
	}
	if err := i.restore(ctx); err != nil {
		return err
	}
	return i.box.Remove(ctx, Traces()...)
}

// Traces are files in which dpkg, apt and ldconfig note when they ran, or where by the
// file system's own numbers: they differ from one run to the next without meaning.
func Traces() []string {
	return []string{"var/log/dpkg.log", "var/log/alternatives.log", "var/log/apt/term.log", "var/log/apt/history.log", "var/cache/ldconfig/aux-cache"}
}
