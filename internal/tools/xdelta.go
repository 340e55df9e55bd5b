package tools

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"math/bits"
	"os"
	"os/exec"
	"strings"

	"ingot/internal/digest"
	"ingot/internal/fault"
	"ingot/internal/sandbox"
)

// Xdelta is the program by which Incus and LXD apply deltas, and which makes them.
var Xdelta = Set{Name: "xdelta", Packages: []string{"xdelta3"}}

// A VCDIFF makes deltas by xdelta3. It is server.Differ.
type VCDIFF struct {
	Tools *Keeper
	Dir   string // where files without names lie meanwhile
	// Note is told what is left out, and why.
	Note func(format string, args ...any)
}

// maxBase bounds what a delta starts from, in bytes: xdelta3 keeps as much in memory.
const maxBase = 1 << 30

// Spool gives a file without a name.
func (v VCDIFF) Spool() (*os.File, error) {
	f, err := os.CreateTemp(v.Dir, ".delta-")
	if err != nil {
		return nil, fmt.Errorf("cannot make a delta: %w", err)
	}
	return f, os.Remove(f.Name())
}

// Delta makes target out of base, both read from the start, and tries the result. It is nil where
// it is not much smaller than target.
func (v VCDIFF) Delta(ctx context.Context, base, target *os.File) (*os.File, error) {
	info, err := base.Stat()
	if err != nil {
		return nil, err
	}
	if info.Size() > maxBase {
		v.Note("no delta from a root file system of more than %d MiB", maxBase>>20)
		return nil, nil
	}
	d, err := v.Tools.Dir(ctx, Xdelta)
	if err != nil {
		return nil, err
	}
	argv, err := d.Program("xdelta3")
	if err != nil {
		return nil, err
	}
	// The source window is a power of two; with less than the whole of base, what moved far is new.
	argv = append(argv, "-q", "-c", "-B", fmt.Sprint(max(1<<19, uint64(1)<<bits.Len64(uint64(max(info.Size(), 1)-1)))), "-s", "/proc/self/fd/3")
	want, size, err := digest.Reader(target)
	if err != nil {
		return nil, err
	}
	out, err := v.Spool()
	if err != nil {
		return nil, err
	}
	ok := false
	defer func() {
		if !ok {
			_ = out.Close()
		}
	}()
	// Without -A it would hold the names of files.
	if err := xdelta(ctx, append(argv, "-e", "-9", "-A="), base, target, out); err != nil {
		return nil, err
	}
	made, err := out.Seek(0, io.SeekCurrent)
	if err != nil {
		return nil, err
	}
	if made > size/4*3 {
		v.Note("no delta: it would have %d %% of the bytes of the whole", made*100/max(size, 1))
		return nil, nil
	}
	r, w := io.Pipe()
	var got digest.Digest
	read := make(chan error, 1)
	go func() {
		var err error
		got, _, err = digest.Reader(r)
		_ = r.CloseWithError(err)
		read <- err
	}()
	err = xdelta(ctx, append(argv, "-d"), base, out, w)
	_ = w.CloseWithError(err)
	if rerr := <-read; err == nil {
		err = rerr
	}
	if err != nil {
		return nil, err
	}
	if got != want {
		return nil, fault.Newf(fault.Failed, "xdelta3 made a delta that gives another file").WithHint("publish without --delta")
	}
	_, err = out.Seek(0, io.SeekStart)
	ok = err == nil
	return out, err
}

// xdelta runs it on whole files.
func xdelta(ctx context.Context, argv []string, base, in *os.File, out io.Writer) error {
	for _, f := range []*os.File{base, in} {
		if _, err := f.Seek(0, io.SeekStart); err != nil {
			return err
		}
	}
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	var said bytes.Buffer
	cmd.Env, cmd.Stdin, cmd.Stdout, cmd.Stderr, cmd.ExtraFiles = []string{}, in, out, &said, []*os.File{base}
	if err := cmd.Run(); err != nil {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		return fmt.Errorf("xdelta3: %w%s", err, sandbox.Quote([]byte(strings.TrimSpace(said.String()))))
	}
	return nil
}
