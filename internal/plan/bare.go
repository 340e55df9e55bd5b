package plan

import (
	"context"
	"errors"
	"fmt"
	"io"

	"golang.org/x/sync/errgroup"

	"github.com/klauspost/compress/zstd"

	"ingot/internal/artifact"
	"ingot/internal/btrfs"
	"ingot/internal/cpio"
	"ingot/internal/erofs"
	"ingot/internal/ext4"
	"ingot/internal/fault"
	"ingot/internal/gzip"
	"ingot/internal/tree"
	"ingot/internal/ui"
	"ingot/internal/xfs"
)

// writeFilesystem makes a file of a file system with the tree.
func (w *worker) writeFilesystem(ctx context.Context, o Output, files []*artifact.Pending, _ *ui.Task) error {
	var fs interface {
		Size() int64
		WriteTo(ctx context.Context, w io.WriterAt, r *tree.Reader) error
	}
	var err error
	id, label, epoch := w.plan.derive(w.chain, o, "file system"), w.plan.Definition.Name, w.plan.Lock.Epoch
	switch o.Format {
	case "ext4":
		fs, err = ext4.Plan(w.tree, ext4.Options{UUID: id, HashSeed: w.plan.derive(w.chain, o, "hash seed"), Label: label[:min(len(label), 16)], Epoch: epoch, Free: o.Free})
	case "xfs":
		fs, err = xfs.Plan(w.tree, xfs.Options{UUID: id, Label: label[:min(len(label), 12)], Epoch: epoch, Free: o.Free})
	case "btrfs":
		fs, err = btrfs.Plan(w.tree, btrfs.Options{UUID: id, Label: label, Epoch: epoch, Free: o.Free})
	default:
		err = fmt.Errorf("no writer for format %s", o.Format)
	}
	if err != nil {
		return err
	}
	if err := files[0].Truncate(fs.Size()); err != nil {
		return err
	}
	return fs.WriteTo(ctx, files[0], w.reader)
}

// writeEROFS makes a file of a read-only file system.
func (w *worker) writeEROFS(ctx context.Context, o Output, files []*artifact.Pending, _ *ui.Task) error {
	label := w.plan.Definition.Name
	fs, err := erofs.Plan(w.tree, erofs.Options{UUID: w.plan.derive(w.chain, o, "file system"), Label: label[:min(len(label), 15)], Epoch: w.plan.Lock.Epoch})
	if err != nil {
		return err
	}
	return fs.WriteTo(ctx, files[0].File(), w.reader)
}

// writeCPIO makes a cpio archive of the tree.
func (w *worker) writeCPIO(ctx context.Context, o Output, files []*artifact.Pending, t *ui.Task) error {
	return w.archive(ctx, o, files[0], w.tree, t)
}

// foreseeInit refuses an initramfs of which no kernel starts anything: before any output is
// written, as others take minutes.
func (w *worker) foreseeInit(o Output) error {
	if _, ok := w.tree.Lookup("init"); o.Format != "initramfs" || ok || w.needInit() == nil {
		return nil
	}
	return fault.Newf(fault.Failed, "the image has neither /init nor /sbin/init, one of which a kernel starts").
		WithHint("add the package systemd-sysv, or a program of your own: files: [{path: /init, source: ./init}]")
}

// writeInitramfs makes an archive that a kernel unpacks and starts /init of.
func (w *worker) writeInitramfs(ctx context.Context, o Output, files []*artifact.Pending, t *ui.Task) error {
	root := w.tree
	if _, ok := root.Lookup("init"); !ok {
		var err error
		if root, err = root.Apply(tree.Delta{Set: []tree.Entry{{Path: "init", Kind: tree.Symlink, Mode: 0o777, Link: "sbin/init", Mtime: tree.Time{Sec: w.plan.Lock.Epoch}, Owner: "output"}}}); err != nil {
			return err
		}
	}
	return w.archive(ctx, o, files[0], root, t)
}

// archive writes a cpio archive, compressed as one stream: kernels want each of several
// to be an archive of its own.
func (w *worker) archive(ctx context.Context, o Output, to *artifact.Pending, root tree.Tree, t *ui.Task) error {
	write := func(out io.Writer) error {
		r, err := cpio.Write(ctx, out, root, w.reader)
		if r.Dropped > 0 {
			w.Progress.Warnf("cpio has no place for %d attributes of the tree, such as capabilities: they are left out", r.Dropped)
		}
		return err
	}
	out := &meter{to, t}
	switch o.Compress {
	case "":
		return write(out)
	case "zstd":
		// One after the other: what blocks find in those before them makes them smaller.
		z, err := zstd.NewWriter(out, zstd.WithEncoderLevel(zstd.SpeedDefault), zstd.WithEncoderConcurrency(1))
		if err != nil {
			return err
		}
		return errors.Join(write(z), z.Close())
	case "gzip":
		return piped(write, func(in io.Reader) error { return gzip.Write(ctx, out, in, 0) })
	case "xz":
		// The check is the one that kernels know.
		return piped(write, func(in io.Reader) error {
			return w.tools.Filter(ctx, in, out, "xz", "--format=xz", "--check=crc32", "--threads=2", "-6", "--stdout")
		})
	}
	return fmt.Errorf("no program for compression %s", o.Compress)
}

// piped has what one writes read by another.
func piped(write func(io.Writer) error, read func(io.Reader) error) error {
	r, w := io.Pipe()
	var both errgroup.Group
	both.Go(func() error {
		err := write(w)
		_ = w.CloseWithError(err) // it always succeeds
		return err
	})
	both.Go(func() error {
		err := read(r)
		_ = r.CloseWithError(errors.Join(err, io.ErrClosedPipe))
		return err
	})
	return both.Wait()
}

// A meter tells a task what is written.
type meter struct {
	io.Writer
	t *ui.Task
}

func (m *meter) Write(b []byte) (int, error) {
	n, err := m.Writer.Write(b)
	m.t.Add(int64(n))
	return n, err
}

// writeNspawn makes an archive that machinectl imports, of a system that
// systemd-nspawn starts.
func (w *worker) writeNspawn(ctx context.Context, o Output, files []*artifact.Pending, t *ui.Task) error {
	if err := w.needInit(); err != nil {
		return err
	}
	options, err := w.tarOptions(o.Compress, t)
	if err != nil {
		return err
	}
	return artifact.WriteTar(ctx, files[0], w.tree, w.reader, options)
}
