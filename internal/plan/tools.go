package plan

import (
	"bytes"
	"context"
	"encoding/gob"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"

	"golang.org/x/sync/errgroup"

	"ingot/internal/boot"
	"ingot/internal/distro"
	"ingot/internal/fault"
	"ingot/internal/layout"
	"ingot/internal/sandbox"
	"ingot/internal/supply"
	"ingot/internal/tree"
)

// A toolbox runs programs of the locked tools tree: packages that were unpacked
// and nothing more, in sandboxes that start at the first use. A sandbox runs one
// program at a time, so there are as many as programs run at once.
type toolbox struct {
	runner *Runner
	refs   []distro.Ref
	arch   string
	epoch  int64
	mu     sync.Mutex
	idle   []*sandbox.Box
}

var _ boot.Tools = (*toolbox)(nil)

func (t *toolbox) close() {
	for _, box := range t.idle {
		_ = box.Close()
	}
	t.idle = nil
}

// lend runs f with a sandbox that nobody else uses meanwhile.
func (t *toolbox) lend(ctx context.Context, f func(*sandbox.Box) error) error {
	t.mu.Lock()
	var box *sandbox.Box
	if n := len(t.idle); n > 0 {
		box, t.idle = t.idle[n-1], t.idle[:n-1]
	}
	t.mu.Unlock()
	if box == nil {
		var err error
		if box, err = t.start(ctx); err != nil {
			return err
		}
	}
	err := f(box)
	t.mu.Lock()
	t.idle = append(t.idle, box)
	t.mu.Unlock()
	return err
}

func (t *toolbox) start(ctx context.Context) (*sandbox.Box, error) {
	pkgs, err := t.runner.Supply.Unpacked(ctx, t.refs, supply.Meter{})
	if err != nil {
		return nil, fmt.Errorf("tools tree: %w", err)
	}
	laid, err := t.runner.Distro.Lay(pkgs, t.arch, t.epoch)
	if err != nil {
		return nil, fmt.Errorf("tools tree: %w", err)
	}
	box, err := sandbox.New(ctx, sandbox.Options{})
	if err != nil {
		return nil, err
	}
	r := tree.NewReader(t.runner.Supply.Cache)
	defer func() { _ = r.Close() }()
	entries := laid.Entries()
	if _, ok := laid.Lookup("proc"); !ok {
		// Without base-files nothing has it; a sandbox shows /proc where it is.
		entries = append(entries, tree.Entry{Path: "proc", Kind: tree.Dir, Mode: 0o555})
	}
	if err := box.Put(ctx, entries, r); err != nil {
		_ = box.Close()
		return nil, fmt.Errorf("tools tree: %w", err)
	}
	return box, nil
}

// Run runs a program in an empty directory that holds the inputs, and gives the
// files that it left under the names of outputs.
func (t *toolbox) Run(ctx context.Context, argv []string, stdin []byte, inputs map[string][]byte, outputs []string) (result map[string][]byte, err error) {
	err = t.lend(ctx, func(box *sandbox.Box) error {
		result, err = runIn(ctx, box, t.epoch, argv, stdin, inputs, outputs)
		return err
	})
	return result, err
}

func runIn(ctx context.Context, box *sandbox.Box, epoch int64, argv []string, stdin []byte, inputs map[string][]byte, outputs []string) (map[string][]byte, error) {
	const dir = "ingot"
	if err := box.Put(ctx, []tree.Entry{{Path: dir, Kind: tree.Dir, Mode: 0o755}}, nil); err != nil {
		return nil, err
	}
	for name, data := range inputs {
		if err := box.Write(ctx, sandbox.NewFile{Path: dir + "/" + name, Mode: 0o644, Data: data}); err != nil {
			return nil, err
		}
	}
	in, err := sandbox.Memory("stdin", stdin)
	if err != nil {
		return nil, err
	}
	defer func() { _ = in.Close() }()
	if _, err := in.Seek(0, 0); err != nil {
		return nil, err
	}
	program, err := find(ctx, box, argv[0])
	if err != nil {
		return nil, err
	}
	out, err := box.Output(ctx, sandbox.Command{
		Argv: append([]string{program}, argv[1:]...), Dir: "/" + dir, Stdin: in,
		Env: []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C.UTF-8", "TZ=UTC0", "TMPDIR=/" + dir, fmt.Sprintf("SOURCE_DATE_EPOCH=%d", epoch)},
	}, nil)
	if err != nil {
		return nil, fmt.Errorf("%w%s", err, sandbox.Quote(out))
	}
	result := map[string][]byte{}
	for _, name := range outputs {
		if result[name], err = box.Read(ctx, dir+"/"+name); err != nil {
			return nil, err
		}
	}
	return result, box.Remove(ctx, dir)
}

// Filter runs a program with its standard input and output elsewhere. It may be
// called by several goroutines.
func (t *toolbox) Filter(ctx context.Context, in io.Reader, out io.Writer, argv ...string) error {
	return t.lend(ctx, func(box *sandbox.Box) error { return filterIn(ctx, box, in, out, argv) })
}

func filterIn(ctx context.Context, box *sandbox.Box, in io.Reader, out io.Writer, argv []string) error {
	program, err := find(ctx, box, argv[0])
	if err != nil {
		return err
	}
	inR, inW, err := os.Pipe()
	if err != nil {
		return err
	}
	outR, outW, err := os.Pipe()
	if err != nil {
		return errors.Join(err, inR.Close(), inW.Close())
	}
	var copies errgroup.Group
	copies.Go(func() error { _, err := io.Copy(inW, in); return errors.Join(err, inW.Close()) })
	copies.Go(func() error { _, err := io.Copy(out, outR); return errors.Join(err, outR.Close()) })
	err = box.Run(ctx, sandbox.Command{
		Argv: append([]string{program}, argv[1:]...), Stdin: inR, Stdout: outW,
		Env: []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C.UTF-8"},
	})
	return errors.Join(err, outW.Close(), inR.Close(), copies.Wait())
}

// ReadFile reads a file of the tools tree, by absolute path.
func (t *toolbox) ReadFile(path string) ([]byte, error) {
	ctx := context.Background()
	var data []byte
	err := t.lend(ctx, func(box *sandbox.Box) (err error) {
		data, err = box.Read(ctx, strings.TrimPrefix(path, "/"))
		return err
	})
	return data, err
}

func find(ctx context.Context, box *sandbox.Box, name string) (string, error) {
	if strings.HasPrefix(name, "/") {
		return name, nil
	}
	for _, dir := range []string{"usr/bin/", "usr/sbin/"} {
		if ok, err := box.Exists(ctx, dir+name); err != nil || ok {
			return "/" + dir + name, err
		}
	}
	return "", fmt.Errorf("the tools tree has no program %s", name)
}

// unknownHash is as long as a root hash.
var unknownHash = strings.Repeat("0", 64)

// loader makes the boot loader of a chain for a disk, whose root is held to a hash where
// there is one.
func (w *worker) loader(ctx context.Context, l layout.Resolved, hash string) (boot.Loader, error) {
	params, err := w.params(l, w.tree)
	if err != nil {
		return boot.Loader{}, err
	}
	params.Places.RootHash = hash
	b := w.plan.Definition.Boot
	switch b.Loader {
	case boot.None:
		return boot.Loader{}, nil
	case boot.SDBoot:
		return boot.SystemdBoot(params, contents{w})
	case boot.UnifiedKernel:
		signer, err := w.plan.signer()
		if err != nil {
			return boot.Loader{}, err
		}
		return boot.UKI(ctx, params, contents{w}, signer)
	}
	own, err := w.ownLoader(ctx, boot.LoaderOptions{Arch: w.chain.Arch, Loader: made(b.Loader), Firmware: b.Firmware, Places: params.Places, Secure: b.Secure})
	if err != nil || !b.Secure {
		return own, err
	}
	return own.Secure(boot.Signed{
		Arch: w.chain.Arch, Places: params.Places,
		Read: func(path string) ([]byte, error) {
			r, err := contents{w}.Open(path)
			if err != nil {
				return nil, err
			}
			if r.Size() > maxLoader {
				return nil, fault.Newf(fault.Failed, "/%s of the image is too large for a boot loader", path)
			}
			return io.ReadAll(r)
		},
	})
}

// made is the loader that is made with the tools tree's programs; "" is GRUB.
func made(loader string) string {
	if loader == boot.GRUB {
		return ""
	}
	return loader
}

// contents are a worker's tree, for boot loaders that come from it.
type contents struct{ w *worker }

// Open gives what a file of the tree holds.
func (c contents) Open(path string) (*io.SectionReader, error) {
	e, ok := c.w.tree.Lookup(path)
	if !ok || e.Kind != tree.File {
		return nil, fault.Newf(fault.Failed, "the image has no file /%s", path).WithHint("the boot loader needs it: grub needs what shim-signed and grub-efi-*-signed bring for Secure Boot, systemd-boot the package systemd-boot-efi")
	}
	return c.w.reader.Content(e.Content)
}

// maxLoader bounds a UEFI program, in bytes: Debian's have 1 to 3 MB.
const maxLoader = 64 << 20

// ownLoader makes a GRUB with the tools tree's, or takes it from the cache.
func (w *worker) ownLoader(ctx context.Context, o boot.LoaderOptions) (boot.Loader, error) {
	o.Places.Root, o.Places.RootFlags, o.Places.BootUUID = "", "", "" // are not in it, and differ with each lock
	name := "loaders/" + keyOf("loader", keyOf("tools", [32]byte{}, refIDs(w.plan.Lock.Tools)), o).String()
	var l boot.Loader
	if data, err := w.Supply.Cache.Get(name); err == nil {
		if err := gob.NewDecoder(bytes.NewReader(data)).Decode(&l); err == nil {
			return l, nil
		}
	}
	l, err := boot.MakeLoader(ctx, w.tools, o)
	if err != nil {
		return l, err
	}
	var b bytes.Buffer
	if err := gob.NewEncoder(&b).Encode(&l); err != nil {
		return l, fmt.Errorf("cannot encode the boot loader: %w", err)
	}
	return l, w.Supply.Cache.Put(name, b.Bytes())
}
