package plan

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/url"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sync/errgroup"

	"ingot/internal/digest"
	"ingot/internal/distro"
	"ingot/internal/distro/debian"
	"ingot/internal/format"
	"ingot/internal/relay"
	"ingot/internal/sandbox"
	"ingot/internal/supply"
)

// aptGet is the path of the image's program that the build stands before.
const aptGet = "usr/bin/apt-get"

// asideUpdated is where a build notes for which sources the image's apt has its lists.
const asideUpdated = sandbox.Aside + "/state/updated"

// apt does for a script what the image's apt-get does, and has it do most of that: it
// decides what is to be installed, by its own rules, options and sources. What it would
// only unpack and configure is installed by ingot, which has unpacked it already. Lists
// that the image has are not fetched again: the lock's do not change.
func (w *worker) apt(ctx context.Context, c relay.Calling, out io.Writer) int {
	if err := w.cover(ctx, false); err != nil {
		_, _ = fmt.Fprintf(out, "E: %v\n", err)
		return 100
	}
	code, err := w.aptServed(ctx, c, out)
	if coverErr := w.cover(ctx, true); err == nil {
		err = coverErr
	}
	if err != nil {
		_, _ = fmt.Fprintf(out, "E: %v\n", err)
		return 100
	}
	return code
}

// errNotServed says that apt-get has to do itself what was asked.
var (
	errNotServed = errors.New("apt-get does more than to install")
	errSelf      = fmt.Errorf("%w: nobody asked it to", errNotServed)
)

func (w *worker) aptServed(ctx context.Context, c relay.Calling, out io.Writer) (int, error) {
	err := errSelf
	switch verb(c.Args) {
	case "update":
		return w.aptUpdate(ctx, c, out)
	case "install", "upgrade", "dist-upgrade", "full-upgrade":
		err = w.aptInstall(ctx, c, out)
	}
	if errors.Is(err, errNotServed) || errors.Is(err, debian.ErrAsk) {
		if w.log != nil && !errors.Is(err, errSelf) {
			w.log("ingot leaves this to apt-get: " + err.Error())
		}
		return w.aptItself(ctx, c, c.Args, out)
	}
	return 0, err
}

// verb is the first argument that is no option.
func verb(args []string) string {
	for i := 0; i < len(args); i++ {
		switch a := args[i]; {
		case a == "-o" || a == "--option" || a == "-c" || a == "--config-file" || a == "-t" || a == "--target-release" || a == "-a" || a == "--host-architecture":
			i++
		case !strings.HasPrefix(a, "-"):
			return a
		}
	}
	return ""
}

// aptItself runs the image's apt-get.
func (w *worker) aptItself(ctx context.Context, c relay.Calling, args []string, out io.Writer) (int, error) {
	dir := c.Dir
	if ok, err := w.box.Exists(ctx, strings.TrimPrefix(dir, "/")); err != nil || !ok {
		dir = "/" // a place that only the script sees
	}
	r, pipe, err := os.Pipe()
	if err != nil {
		return 0, err
	}
	copied := make(chan error, 1)
	go func() { _, err := io.Copy(out, r); copied <- err }()
	err = w.box.Run(ctx, sandbox.Command{Argv: append([]string{"/" + aptGet}, args...), Env: c.Env, Dir: dir, Stdout: pipe, Stderr: pipe})
	_ = pipe.Close()
	copyErr := <-copied
	_ = r.Close()
	var exit *sandbox.ExitError
	if errors.As(err, &exit) && exit.Code > 0 {
		return exit.Code, copyErr
	}
	return 0, errors.Join(err, copyErr)
}

// aptUpdate fetches the lists of the image's sources, unless it has them.
func (w *worker) aptUpdate(ctx context.Context, c relay.Calling, out io.Writer) (int, error) {
	sources, err := w.aptSources(ctx)
	if err != nil {
		return 0, err
	}
	if known, err := w.box.Read(ctx, asideUpdated); err == nil && string(known) == sources {
		_, err := fmt.Fprintln(out, "All lists are there, as the lock has them.")
		return 0, err
	}
	code, err := w.aptItself(ctx, c, c.Args, out)
	if code != 0 || err != nil {
		return code, err
	}
	if sources, err = w.aptSources(ctx); err != nil { // now with lists
		return 0, err
	}
	return 0, w.box.Write(ctx, sandbox.NewFile{Path: asideUpdated, Mode: 0o644, Data: []byte(sources), Mtime: w.plan.Lock.Epoch})
}

// chooses is a line of apt's configuration that says what it chooses of its lists, and
// nothing of which lists there are.
var chooses = regexp.MustCompile(`(?mi)^[ \t]*APT::(Install-Recommends|Install-Suggests|AutoRemove::[\w-]+|Periodic::[\w-]+)[ \t]+"?[\w.-]*"?[ \t]*;[ \t]*\n`)

// aptSources is a digest of all that apt goes by when it fetches lists.
func (w *worker) aptSources(ctx context.Context) (string, error) {
	var all bytes.Buffer
	add := func(path string) error {
		data, err := w.box.Read(ctx, path)
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if strings.HasPrefix(path, "etc/apt/apt.conf") {
			if data = chooses.ReplaceAll(data, nil); len(data) == 0 {
				return err
			}
		}
		fmt.Fprintf(&all, "%s %d\n%s\n", path, len(data), data)
		return err
	}
	for _, file := range []string{"etc/apt/sources.list", "etc/apt/apt.conf", "etc/apt/preferences", "var/lib/dpkg/arch"} {
		if err := add(file); err != nil {
			return "", err
		}
	}
	for _, dir := range []string{"etc/apt/sources.list.d", "etc/apt/apt.conf.d", "etc/apt/preferences.d", "etc/apt/trusted.gpg.d", "etc/apt/keyrings"} {
		names, err := w.box.List(ctx, dir)
		if err != nil {
			return "", err
		}
		slices.SortFunc(names, func(a, b sandbox.Name) int { return strings.Compare(a.Name, b.Name) })
		for _, n := range names {
			if n.Mode.IsRegular() {
				if err := add(dir + "/" + n.Name); err != nil {
					return "", err
				}
			}
		}
	}
	// Lists that somebody removed are to be fetched again.
	lists, err := w.box.List(ctx, "var/lib/apt/lists")
	fmt.Fprintln(&all, len(lists) > 0)
	return digest.Of(all.Bytes()).String(), err
}

// What apt-get says with --simulate of what it would do.
var (
	simulated = regexp.MustCompile(`(?m)^(Inst|Remv|Purg) (\S+) (\[[^\]]*\] )?\(?(\S+)`)
	archOf    = regexp.MustCompile(`\[(\S+)\]\)`)
	marks     = regexp.MustCompile(`(?m) set to (manually|automatically) installed`)
)

// aptInstall installs what apt-get would install, if that is all it would do.
func (w *worker) aptInstall(ctx context.Context, c relay.Calling, out io.Writer) error {
	for _, a := range c.Args {
		switch a {
		case "-d", "--download-only", "-s", "--simulate", "--print-uris", "--reinstall", "--dry-run", "--just-print", "--no-act", "--recon":
			return errSelf
		}
	}
	var said bytes.Buffer
	code, err := w.aptItself(ctx, c, append([]string{"--simulate"}, c.Args...), &said)
	if err != nil {
		return err
	}
	if code != 0 {
		return errSelf // it says why
	}
	wants, err := w.simulated(said.String())
	if err != nil {
		return err
	}
	refs, err := w.refsOf(ctx, c, wants)
	if err != nil {
		return err
	}
	if len(refs) == 0 && marks.Match(said.Bytes()) {
		return errSelf // it notes who asked for what is there
	}
	_, _ = out.Write(said.Bytes()[:before(said.Bytes(), "\nInst ")])
	if len(refs) == 0 {
		return nil
	}
	asked := map[string]bool{}
	for _, a := range c.Args {
		asked[PackageName(a)] = true
	}
	return w.onTop(ctx, refs, asked, out)
}

// before is where a text begins, or the end.
func before(data []byte, text string) int {
	if i := bytes.Index(data, []byte(text)); i >= 0 {
		return i + 1
	}
	return len(data)
}

// A want is a package that apt-get would install.
type want struct{ name, version, arch string }

// simulated are the packages that apt-get would install. Where it would do anything else,
// it does so itself.
func (w *worker) simulated(said string) ([]want, error) {
	var out []want
	for line := range strings.Lines(said) {
		m := simulated.FindStringSubmatch(line)
		if m == nil {
			continue
		}
		if m[1] != "Inst" || m[3] != "" {
			return nil, fmt.Errorf("%w: %s", errNotServed, strings.TrimSpace(line))
		}
		name, _, _ := strings.Cut(m[2], ":")
		arch := w.chain.Arch
		if a := archOf.FindStringSubmatch(line); a != nil {
			arch = a[1]
		}
		out = append(out, want{name, m[4], arch})
	}
	return out, nil
}

// refsOf are the packages of the lock that are wanted. Those that it does not have, such as
// what is recommended where nobody foresaw it, apt-get finds in the image's own lists; they
// come as any other download.
func (w *worker) refsOf(ctx context.Context, c relay.Calling, wants []want) ([]distro.Ref, error) {
	var out []distro.Ref
	var more map[want]distro.Ref
	for _, x := range wants {
		i := slices.IndexFunc(w.chain.Set.Refs, func(r distro.Ref) bool { return r.Name == x.name && r.Version == x.version && r.Arch == x.arch })
		if i >= 0 {
			out = append(out, w.chain.Set.Refs[i])
			continue
		}
		if more == nil {
			var err error
			if more, err = w.located(ctx, c); err != nil {
				return nil, err
			}
		}
		ref, ok := more[x]
		if !ok {
			return nil, fmt.Errorf("%w: it does not say where %s %s is", errNotServed, x.name, x.version)
		}
		out = append(out, ref)
	}
	return out, nil
}

// uris is a line of what apt-get says with --print-uris.
var uris = regexp.MustCompile(`(?m)^'(http://[^']+)' ([^_ ]+)_([^_ ]+)_([^_ ]+)\.deb ([0-9]+) SHA256:([0-9a-f]{64})`)

// located are the packages that apt-get would fetch, and brings those that the lock does
// not have.
func (w *worker) located(ctx context.Context, c relay.Calling) (map[want]distro.Ref, error) {
	var said bytes.Buffer
	if code, err := w.aptItself(ctx, c, append([]string{"--print-uris", "--yes", "-o", "Acquire::ForceHash=sha256"}, c.Args...), &said); err != nil || code != 0 {
		return nil, errors.Join(fmt.Errorf("%w: it does not say where packages are", errNotServed), err)
	}
	out := map[want]distro.Ref{}
	var wanted []string
	for _, m := range uris.FindAllStringSubmatch(said.String(), -1) {
		version, err := url.PathUnescape(m[3])
		if err != nil {
			return nil, fmt.Errorf("%w: %w", errNotServed, err)
		}
		sum, err := digest.Parse(m[6])
		if err != nil {
			return nil, err
		}
		_, place, found := strings.Cut(m[1], "/pool/")
		size, err := strconv.ParseInt(m[5], 10, 64)
		if !found || err != nil {
			return nil, fmt.Errorf("%w: %s is in no pool", errNotServed, m[1])
		}
		if place, err = url.PathUnescape("pool/" + place); err != nil {
			return nil, fmt.Errorf("%w: %w", errNotServed, err)
		}
		ref := distro.Ref{Name: m[2], Version: version, Arch: m[4], Archive: w.plan.Lock.Archives[0].Name, Location: place, Size: size, SHA256: sum}
		out[want{ref.Name, ref.Version, ref.Arch}] = ref
		if _, known := w.downs.packageAt(m[1]); !known {
			wanted = append(wanted, m[1])
		}
	}
	g, inner := errgroup.WithContext(ctx)
	g.SetLimit(16)
	for _, address := range wanted {
		g.Go(func() error {
			f, err := w.downs.open(inner, canonicalAddress(address), relay.Question{})
			if err != nil {
				return err
			}
			return f.Close()
		})
	}
	return out, g.Wait()
}

// canonicalAddress is an address as the relay names it.
func canonicalAddress(address string) string {
	u, err := url.Parse(address)
	if err != nil {
		return address
	}
	return relay.Canonical(u)
}

// onTop installs packages on top of the image.
func (w *worker) onTop(ctx context.Context, refs []distro.Ref, asked map[string]bool, out io.Writer) error {
	d := w.Supply.Deliver(ctx, refs, supply.Meter{})
	defer d.Close()
	pkgs, err := d.Packages(ctx, refs)
	if err != nil {
		return err
	}
	return w.Distro.Configure(ctx, w.box, distro.Install{
		Packages: pkgs, Unpacked: d.Unpacked, Contents: w.reader, Arch: w.chain.Arch, Release: w.plan.Lock.Release,
		Asked: asked, Epoch: w.plan.Lock.Epoch, Keep: w.plan.keeps(), Log: func(line string) { _, _ = fmt.Fprintln(out, line) },
	})
}

// covered are the programs of the image that the build stands before, where there are
// such.
var covered = []string{aptGet, "usr/sbin/grub-install", "usr/sbin/grub-probe", "usr/bin/grub-mkrelpath"}

// cover puts the build before them, for the scripts alone, or takes it away again: a
// program that is covered cannot be replaced.
func (w *worker) cover(ctx context.Context, on bool) error {
	for _, path := range covered {
		if path != aptGet && w.chain.Purpose != format.Machine {
			continue
		}
		there, err := w.box.Exists(ctx, path)
		if err == nil && there {
			err = w.box.Cover(ctx, relay.Program, path, on)
		}
		if err != nil {
			return err
		}
	}
	return nil
}
