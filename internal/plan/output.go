package plan

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"

	"ingot/internal/artifact"
	"ingot/internal/cache"
	"ingot/internal/digest"
	"ingot/internal/disk"
	"ingot/internal/distro"
	"ingot/internal/ext4"
	"ingot/internal/layout"
	"ingot/internal/qcow2"
	"ingot/internal/tree"
	"ingot/internal/ui"
)

// write makes one output and its papers.
func (w *worker) write(ctx context.Context, o Output, seal digest.Digest, t *ui.Task) (Artifact, error) {
	a := Artifact{Output: o, Seal: seal, Chain: w.chain, Path: filepath.Join(w.To, o.Name)}
	if err := w.checkRoom(o); err != nil {
		return a, err
	}
	if o.Format == "dir" {
		skipped, err := artifact.WriteDir(ctx, a.Path, w.tree, w.reader)
		if err != nil {
			return a, err
		}
		if skipped > 0 {
			w.Progress.Warnf("%s belongs to you: owners, and %d devices and attributes that only root can make, are left out", o.Name, skipped)
		}
		a.Size, a.SHA256 = w.tree.Size(), w.tree.Seal()
	} else {
		f, err := artifact.Create(a.Path)
		if err != nil {
			return a, err
		}
		defer f.Abort()
		switch o.Format {
		case "raw", "qcow2":
			err = w.writeDisk(ctx, o, f.File())
		default:
			err = w.writeTar(ctx, o, f, t)
		}
		if err != nil {
			return a, err
		}
		if a.Size, a.SHA256, err = f.Commit(); err != nil {
			return a, err
		}
	}
	if err := w.writeSeal(); err != nil {
		return a, err
	}
	beside, err := w.writePapers(ctx, a)
	if err != nil {
		return a, err
	}
	beside[w.sealName()] = seal
	return a, w.remember(a, beside)
}

// Image is what papers say of a chain's tree.
func (r *Runner) Image(ctx context.Context, p *Plan, c Chain, t tree.Tree) (artifact.Image, error) {
	descriptions, err := r.Supply.Describe(ctx, append(append([]distro.Ref{}, c.Set.Refs...), p.Lock.Tools...))
	if err != nil {
		return artifact.Image{}, err
	}
	return artifact.Image{
		Name: p.Definition.Name, Arch: c.Arch, Purpose: c.Purpose, Lock: p.Lock, Tree: t, Version: r.Version,
		Describe: func(ref distro.Ref) distro.Description { return descriptions[ref.SHA256] },
	}, nil
}

// writePapers puts manifest, SBOM and provenance beside an artifact, and all of
// them into the directory's checksums. It gives the papers' digests.
func (w *worker) writePapers(ctx context.Context, a Artifact) (map[string]digest.Digest, error) {
	image, err := w.Image(ctx, w.plan, w.chain, w.tree)
	if err != nil {
		return nil, err
	}
	papers, err := image.Papers(artifact.Output{Format: a.Format, File: a.Name, Size: a.Size, SHA256: a.SHA256})
	if err != nil {
		return nil, err
	}
	written := map[string]digest.Digest{}
	for _, p := range papers {
		if err := artifact.WriteFile(filepath.Join(w.To, p.File), p.Data); err != nil {
			return nil, err
		}
		written[p.File] = digest.Of(p.Data)
	}
	sums := maps.Clone(written)
	if a.Format != "dir" {
		sums[a.Name] = a.SHA256
	}
	return written, artifact.UpdateSums(w.To, sums)
}

// writeTar makes an archive, compressed as the format's suffix says.
func (w *worker) writeTar(ctx context.Context, o Output, f io.Writer, t *ui.Task) error {
	options := artifact.TarOptions{Cache: pieces{w.Supply.Cache}, Wrote: t.Add}
	switch o.Format {
	case "tar":
	case "tar.gz":
		options.Compress = artifact.Gzip(0)
	case "tar.zst":
		options.Compress = artifact.Zstd(0)
	case "tar.xz":
		tools := &toolbox{runner: w.Runner, refs: w.plan.Lock.Tools, arch: w.HostArch, epoch: w.plan.Lock.Epoch}
		defer tools.close()
		options.Compress = artifact.XZ(tools.Filter, 0, version(w.plan.Lock.Tools, "xz-utils"))
	default:
		return fmt.Errorf("no writer for format %s", o.Format)
	}
	return artifact.WriteTar(ctx, f, w.tree, w.reader, options)
}

func version(refs []distro.Ref, name string) string {
	for _, r := range refs {
		if r.Name == name {
			return r.Version
		}
	}
	return ""
}

// pieces keeps compressed pieces in the cache.
type pieces struct{ cache *cache.Cache }

func (p pieces) Get(key digest.Digest) ([]byte, bool) {
	data, err := p.cache.Get("pieces/" + key.String())
	return data, err == nil
}

func (p pieces) Put(key digest.Digest, piece []byte) {
	_ = p.cache.Put("pieces/"+key.String(), piece) // losing one costs time only
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
	return errors.Join(image.Write(ctx, d), d.Finish(ctx), d.Close())
}
