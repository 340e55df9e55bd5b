package plan

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"syscall"

	"ingot/internal/digest"
	"ingot/internal/disk"
	"ingot/internal/draft"
	"ingot/internal/ext4"
	"ingot/internal/layout"
	"ingot/internal/qcow2"
	"ingot/internal/tree"
	"ingot/internal/ui"
)

// write makes one output.
func (w *worker) write(ctx context.Context, o Output, t *ui.Task) (Artifact, error) {
	a := Artifact{Output: o, Chain: w.chain, Path: filepath.Join(w.To, o.Name)}
	if err := os.MkdirAll(w.To, 0o755); err != nil {
		return a, fmt.Errorf("cannot make the directory of the artifacts: %w", err)
	}
	draft.Sweep(w.To)
	f, err := draft.Create(w.To)
	if err != nil {
		return a, err
	}
	defer f.Discard()
	switch o.Format {
	case "raw", "qcow2":
		err = w.writeDisk(ctx, o, f.File)
	case "tar":
		h := sha256.New()
		err = tree.WriteTar(ctx, io.MultiWriter(f, h, t), w.tree, w.reader, tree.TarOptions{})
		a.SHA256 = digest.From(h)
	default:
		err = fmt.Errorf("format %s is not there yet", o.Format)
	}
	if err != nil {
		return a, err
	}
	if a.SHA256.IsZero() {
		if a.SHA256, _, err = digest.Reader(io.NewSectionReader(f.File, 0, 1<<62)); err != nil {
			return a, fmt.Errorf("cannot read back: %w", err)
		}
	}
	if err := f.Sync(); err != nil {
		return a, fmt.Errorf("cannot flush: %w", err)
	}
	if err := f.Publish(a.Path, 0o644); err != nil {
		return a, err
	}
	info, err := os.Stat(a.Path)
	if err != nil {
		return a, err
	}
	a.Size = info.Size()
	return a, w.remember(a, info)
}

// writeDisk makes a disk image of the tree.
func (w *worker) writeDisk(ctx context.Context, o Output, f *os.File) error {
	l, err := w.plan.layout(w.chain)
	if err != nil {
		return err
	}
	loader, err := w.loader(ctx, l.Root().Number)
	if err != nil {
		return err
	}
	root := l.Root()
	fs, err := ext4.Plan(w.tree, ext4.Options{
		UUID: root.FSID, HashSeed: l.Derive("hash seed root"), Label: root.Label, Epoch: w.plan.Lock.Epoch, Free: o.Free,
	})
	if err != nil {
		return err
	}
	image, err := l.Bootable(layout.Ext4(fs, w.reader), loader, w.plan.Lock.Epoch)
	if err != nil {
		return err
	}
	var d disk.Image
	if o.Format == "qcow2" {
		d, err = qcow2.Create(f, image.Size(), image.Extents(), qcow2.Options{})
	} else {
		d, err = disk.NewRaw(f, image.Size())
	}
	if err != nil {
		return err
	}
	defer func() { _ = d.Close() }()
	if err := image.Write(ctx, d); err != nil {
		return err
	}
	return d.Finish(ctx)
}

// A note says what an artifact was when it was written, so that a build that
// finds it untouched need not make it again.
type note struct {
	Path         string
	Size         int64
	SHA256       digest.Digest
	Device       uint64
	Inode        uint64
	Mtime, Ctime syscall.Timespec
}

// noteName is the cache's name of a note: of the artifact at this place.
func (r *Runner) noteName(o Output) (string, error) {
	path, err := filepath.Abs(filepath.Join(r.To, o.Name))
	return "outputs/" + keyOf("note", o.Key, path).String(), err
}

func (r *Runner) remember(a Artifact, info os.FileInfo) error {
	name, err := r.noteName(a.Output)
	if err != nil {
		return err
	}
	st := info.Sys().(*syscall.Stat_t) //nolint:forcetypeassert // on Linux it is
	data, err := json.Marshal(note{a.Path, a.Size, a.SHA256, st.Dev, st.Ino, st.Mtim, st.Ctim})
	if err != nil {
		return err
	}
	return r.Supply.Cache.Put(name, data)
}

// fresh finds an output that is in its place already. The kernel's change time
// cannot be set, so a file that somebody wrote to does not pass.
func (r *Runner) fresh(o Output) (Artifact, bool) {
	name, err := r.noteName(o)
	if err != nil {
		return Artifact{}, false
	}
	data, err := r.Supply.Cache.Get(name)
	if err != nil {
		return Artifact{}, false
	}
	var n note
	if json.Unmarshal(data, &n) != nil {
		return Artifact{}, false
	}
	path := filepath.Join(r.To, o.Name)
	info, err := os.Stat(path)
	if err != nil {
		return Artifact{}, false
	}
	st := info.Sys().(*syscall.Stat_t) //nolint:forcetypeassert // on Linux it is
	if st.Dev != n.Device || st.Ino != n.Inode || st.Size != n.Size || st.Mtim != n.Mtime || st.Ctim != n.Ctime {
		return Artifact{}, false
	}
	return Artifact{Output: o, Path: path, Size: n.Size, SHA256: n.SHA256}, true
}
