package plan

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"regexp"
	"slices"
	"strings"

	"ingot/internal/digest"
	"ingot/internal/distro"
	"ingot/internal/distro/debian"
	"ingot/internal/relay"
	"ingot/internal/sandbox"
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
var errNotServed = errors.New("left to apt-get")

func (w *worker) aptServed(ctx context.Context, c relay.Calling, out io.Writer) (int, error) {
	var code int
	err := errNotServed
	switch verb(c.Args) {
	case "update":
		return w.aptUpdate(ctx, c, out)
	case "install", "upgrade", "dist-upgrade", "full-upgrade":
		code, err = w.aptInstall(ctx, c, out)
	}
	if errors.Is(err, errNotServed) || errors.Is(err, debian.ErrAsk) {
		return w.aptItself(ctx, c, c.Args, out)
	}
	return code, err
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
	return 0, w.box.Write(ctx, sandbox.NewFile{Path: asideUpdated, Mode: 0o644, Data: []byte(sources), Mtime: w.plan.Lock.Epoch})
}

// aptSources is a digest of all that apt goes by when it fetches lists.
func (w *worker) aptSources(ctx context.Context) (string, error) {
	var all bytes.Buffer
	add := func(path string) error {
		data, err := w.box.Read(ctx, path)
		if errors.Is(err, fs.ErrNotExist) {
			return nil
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
func (w *worker) aptInstall(ctx context.Context, c relay.Calling, out io.Writer) (int, error) {
	for _, a := range c.Args {
		switch a {
		case "-d", "--download-only", "-s", "--simulate", "--print-uris", "--reinstall", "--dry-run", "--just-print", "--no-act", "--recon":
			return 0, errNotServed
		}
	}
	var said bytes.Buffer
	code, err := w.aptItself(ctx, c, append([]string{"--simulate"}, c.Args...), &said)
	if err != nil {
		return 0, err
	}
	if code != 0 || marks.Match(said.Bytes()) {
		return 0, errNotServed
	}
	refs, err := w.simulatedRefs(said.String())
	if err != nil {
		return 0, err
	}
	_, _ = out.Write(said.Bytes()[:before(said.Bytes(), "\nInst ")])
	if len(refs) == 0 {
		return 0, nil
	}
	asked := map[string]bool{}
	for _, a := range c.Args {
		asked[PackageName(a)] = true
	}
	return 0, w.onTop(ctx, refs, asked, out)
}

// before is where a text begins, or the end.
func before(data []byte, text string) int {
	if i := bytes.Index(data, []byte(text)); i >= 0 {
		return i + 1
	}
	return len(data)
}

// simulatedRefs are the packages that apt-get would install. Where it would do anything
// else, or install what the lock does not have, it does so itself.
func (w *worker) simulatedRefs(said string) ([]distro.Ref, error) {
	var out []distro.Ref
	for line := range strings.Lines(said) {
		m := simulated.FindStringSubmatch(line)
		if m == nil {
			continue
		}
		if m[1] != "Inst" || m[3] != "" {
			return nil, errNotServed
		}
		name, _, _ := strings.Cut(m[2], ":")
		arch := w.chain.Arch
		if a := archOf.FindStringSubmatch(line); a != nil {
			arch = a[1]
		}
		i := slices.IndexFunc(w.chain.Set.Refs, func(r distro.Ref) bool { return r.Name == name && r.Version == m[4] && r.Arch == arch })
		if i < 0 {
			return nil, errNotServed
		}
		out = append(out, w.chain.Set.Refs[i])
	}
	return out, nil
}

// onTop installs packages on top of the image.
func (w *worker) onTop(ctx context.Context, refs []distro.Ref, asked map[string]bool, out io.Writer) error {
	pkgs, err := w.delivery.Packages(ctx, refs)
	if err != nil {
		return err
	}
	return w.Distro.Configure(ctx, w.box, distro.Install{
		Packages: pkgs, Unpacked: w.delivery.Unpacked, Contents: w.reader, Arch: w.chain.Arch, Release: w.plan.Lock.Release,
		Asked: asked, Epoch: w.plan.Lock.Epoch, Log: func(line string) { _, _ = fmt.Fprintln(out, line) },
	})
}

// cover puts the build before the image's apt-get, for the scripts alone, or takes it
// away again.
func (w *worker) cover(ctx context.Context, on bool) error {
	if there, err := w.box.Exists(ctx, aptGet); err != nil || !there {
		return err
	}
	return w.box.Cover(ctx, relay.Program, aptGet, on)
}
