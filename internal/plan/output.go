package plan

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"sync"

	"golang.org/x/sync/errgroup"

	"ingot/internal/artifact"
	"ingot/internal/cache"
	"ingot/internal/definition"
	"ingot/internal/digest"
	"ingot/internal/distro"
	"ingot/internal/fault"
	"ingot/internal/tree"
	"ingot/internal/ui"
)

// atOnce is how many outputs are written at a time: one waits for the disk, or hashes, with
// one core, while another has the rest.
const atOnce = 2

// writeAll makes outputs and gives those that were made, in their order. The first that
// fails ends the others.
func (w *worker) writeAll(ctx context.Context, todo []Output, seal digest.Digest) ([]Artifact, error) {
	w.about = sync.OnceValues(func() (artifact.Image, error) { return w.aboutTree(ctx) })
	for _, o := range todo {
		if err := w.foreseeInit(o); err != nil {
			return nil, fmt.Errorf("cannot write %s: %w", o.Name(), err)
		}
	}
	made := make([]*Artifact, len(todo))
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(atOnce)
	for i, o := range todo {
		g.Go(func() error {
			if err := ctx.Err(); err != nil {
				return err
			}
			t := w.Progress.Start(ui.Step{ID: "output:" + o.Format, Name: o.Name(), Unit: ui.Bytes})
			a, err := w.write(ctx, o, seal, t)
			t.Done(err)
			if err != nil {
				return w.plan.asking(unfit(fmt.Errorf("cannot write %s: %w", o.Name(), err)))
			}
			made[i] = &a
			return nil
		})
	}
	err := g.Wait()
	var out []Artifact
	for _, a := range made {
		if a != nil {
			out = append(out, *a)
		}
	}
	return out, err
}

// unfit gives what has no place in a format a hint, where nobody has given one.
func unfit(err error) error {
	if fault.CodeOf(err) != fault.Preflight || fault.HintOf(err) != "" || isFull(err) {
		return err
	}
	return fault.Newf(fault.Preflight, "%w", err).WithHint("leave it out of the image, or choose another format")
}

// write makes one output and its papers. A directory gets its name after them: they say
// that it is ingot's, and may be replaced.
func (w *worker) write(ctx context.Context, o Output, seal digest.Digest, t *ui.Task) (a Artifact, err error) {
	a = Artifact{Output: o, Seal: seal, Chain: w.chain, Path: filepath.Join(w.To, o.Name())}
	give, err := w.takeRoom(o)
	if err != nil {
		return a, err
	}
	defer give()
	var dir *artifact.PendingDir
	defer func() {
		if dir != nil {
			err = errors.Join(err, dir.Abort())
		}
	}()
	switch {
	case o.Format == Beside:
		a.Files = w.sideFiles()
		if len(a.Files) == 0 {
			return a, fault.Newf(fault.Failed, "no script left a file beside the image, and nothing else was asked for").
				WithHint("a script of cleanup.d can write $IMAGE_NAME.initramfs; or ask for an archive of the tree with -t tar")
		}
		a.Path = filepath.Join(w.To, a.Files[0].Name)
	case o.Format == "oci-layout":
		dir, err = w.writeLayout(ctx, &a, t)
	case o.Kind().Dir:
		dir, err = w.writeDir(ctx, &a)
	default:
		err = w.writeFiles(ctx, &a, t)
	}
	if err == nil && dir != nil {
		err = dir.Flush() // papers say what is there
	}
	if err != nil {
		return a, err
	}
	if err := w.foreseePlace(o); err != nil { // it may have come meanwhile
		return a, err
	}
	if err := w.writeSeal(); err != nil {
		return a, err
	}
	beside, err := w.writePapers(a)
	if err != nil {
		return a, err
	}
	beside[w.plan.sealName(w.chain)] = seal
	if err := w.sumSide(beside); err != nil {
		return a, err
	}
	if dir != nil {
		if err := dir.Commit(); err != nil {
			return a, err
		}
	}
	return a, w.remember(a, beside)
}

func (w *worker) writeDir(ctx context.Context, a *Artifact) (*artifact.PendingDir, error) {
	d, skipped, err := artifact.FillDir(ctx, a.Path, w.tree, w.reader)
	if err != nil {
		return nil, err
	}
	switch {
	case skipped > 0 && os.Geteuid() == 0:
		w.Progress.Warnf("%s is without %d devices and attributes that root may not make in this container", a.Name(), skipped)
	case skipped > 0:
		w.Progress.Warnf("%s belongs to you: owners, and %d devices and attributes that only root can make, are left out", a.Name(), skipped)
	}
	a.Files = []artifact.File{{Name: a.Name(), Size: w.tree.Size(), SHA256: w.tree.Seal()}}
	return d, nil
}

// writeFiles makes an output's files; all of them are whole before one has its
// name.
func (w *worker) writeFiles(ctx context.Context, a *Artifact, t *ui.Task) error {
	var files []*artifact.Pending
	for _, name := range a.Names {
		f, err := artifact.Create(filepath.Join(w.To, name))
		if err != nil {
			return err
		}
		defer f.Abort()
		files = append(files, f)
	}
	if err := w.writer(a.Format)(ctx, a.Output, files, t); err != nil {
		return err
	}
	// The artifact itself last: where it is, the rest is.
	a.Files = make([]artifact.File, len(files))
	for i, f := range slices.Backward(files) {
		size, sum, err := f.Commit()
		if err != nil {
			return err
		}
		a.Files[i] = artifact.File{Name: a.Names[i], Size: size, SHA256: sum}
	}
	return nil
}

// A writer writes the files of one format.
type writer func(ctx context.Context, o Output, files []*artifact.Pending, t *ui.Task) error

// writer is what writes a format.
func (w *worker) writer(name string) writer {
	switch name {
	case "raw", "qcow2", "vmdk", "vhd", "vhdx", "vdi", "ova", "vagrant", "xva", "gce", "openstack":
		return w.writeDisk
	case "ext4", "xfs", "btrfs":
		return w.writeFilesystem
	case "erofs":
		return w.writeEROFS
	case "cpio":
		return w.writeCPIO
	case "initramfs":
		return w.writeInitramfs
	case "nspawn":
		return w.writeNspawn
	case "xen":
		return w.writeXen
	case "netboot":
		return w.writeNetboot
	case "incus-vm":
		return w.writeIncusMachine
	case "lxc":
		return w.writeLXC
	case "incus":
		return w.writeIncus
	case "openvz":
		return w.writeOpenVZ
	case "squashfs":
		return w.writeSquashfs
	case "iso":
		return w.writeISO
	case "oci", "docker":
		return w.writeImage
	}
	return w.writeTar
}

// Image is what papers say of a chain's tree.
func (r *Runner) Image(ctx context.Context, p *Plan, c Chain, t tree.Tree) (artifact.Image, error) {
	found, about, err := r.found(p, c, t)
	if err != nil {
		return artifact.Image{}, err
	}
	described := slices.Concat(p.Lock.Tools, p.Lock.Station)
	if found == nil || p.Definition.Elements == nil {
		described = append(described, c.Set.Refs...)
	}
	descriptions, err := r.Supply.Describe(ctx, described)
	if err != nil {
		return artifact.Image{}, err
	}
	return artifact.Image{
		Name: p.Definition.Name, Flavor: c.Set.Flavor, Arch: c.Arch, Purpose: c.Purpose, Lock: p.Lock, Tree: t, Version: r.Version, Found: found, Network: networked(c.Definition),
		Describe: func(ref distro.Ref) distro.Description {
			if d, ok := about[ref]; ok {
				return d
			}
			return descriptions[ref.SHA256]
		},
	}, nil
}

// aboutTree is what papers say of the tree at the end of the chain.
func (w *worker) aboutTree(ctx context.Context) (artifact.Image, error) {
	p := w.plan
	if w.downs != nil {
		l, with := *p.Lock, *p
		l.Downloads = w.downs.came() // the lock gets them when all is built
		with.Lock = &l
		p = &with
	}
	return w.Image(ctx, p, w.chain, w.tree)
}

// networked are the scripts of a definition that may use the network.
func networked(def *definition.Definition) []string {
	var out []string
	for _, s := range def.Scripts {
		if s.Network {
			out = append(out, s.Name)
		}
	}
	return out
}

// writePapers puts manifest, SBOM and provenance beside an artifact, and all of
// them into the directory's checksums. It gives the papers' digests.
func (w *worker) writePapers(a Artifact) (map[string]digest.Digest, error) {
	image, err := w.about()
	if err != nil {
		return nil, err
	}
	papers, err := image.Papers(artifact.Output{Format: a.Format, Files: a.Files})
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
	for _, f := range a.Files {
		if !a.Kind().Dir {
			sums[f.Name] = f.SHA256
		}
	}
	return written, artifact.UpdateSums(w.To, sums)
}

// writeTar makes an archive, compressed as the format's suffix says.
func (w *worker) writeTar(ctx context.Context, o Output, files []*artifact.Pending, t *ui.Task) error {
	compression, ok := map[string]string{"tar": "", "tar.gz": "gzip", "tar.xz": "xz", "tar.zst": "zstd", "base": "zstd"}[o.Format]
	if !ok {
		return fmt.Errorf("no writer for format %s", o.Format)
	}
	options, err := w.tarOptions(compression, t)
	if err != nil {
		return err
	}
	return artifact.WriteTar(ctx, files[0], w.tree, w.reader, options)
}

// tarOptions are those of archives with a compression, or with none.
func (w *worker) tarOptions(compression string, t *ui.Task) (artifact.TarOptions, error) {
	options := artifact.TarOptions{Cache: pieces{w.Supply.Cache}, Expect: t.AddTotal, Wrote: t.Add}
	switch compression {
	case "":
	case "gzip":
		options.Compress = artifact.Gzip(0)
	case "zstd":
		options.Compress = artifact.Zstd(0)
	case "xz":
		options.Compress = artifact.XZ(w.tools.Filter, 0, version(w.plan.Lock.Tools, "xz-utils"))
	default:
		return options, fmt.Errorf("no program for compression %s", compression)
	}
	return options, nil
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
