package plan

import (
	"context"
	"errors"
	"os"

	"ingot/internal/appliance"
	"ingot/internal/artifact"
	"ingot/internal/definition"
	"ingot/internal/digest"
	"ingot/internal/disk"
	"ingot/internal/fault"
	"ingot/internal/layout"
	"ingot/internal/qcow2"
	"ingot/internal/tree"
	"ingot/internal/ui"
	"ingot/internal/vdi"
	"ingot/internal/vhd"
	"ingot/internal/vhdx"
	"ingot/internal/vmdk"
)

// writeDisk makes a disk image of the tree.
func (w *worker) writeDisk(ctx context.Context, o Output, files []*artifact.Pending, _ *ui.Task) error {
	image, err := w.compose(ctx, o)
	if err != nil {
		return err
	}
	d, err := w.createDisk(o, files[0].File(), image)
	if err != nil {
		return err
	}
	if o.Format == "openstack" {
		if err := w.writeGlance(o, files[1], d.Size()); err != nil {
			return errors.Join(err, d.Close())
		}
	}
	return errors.Join(image.Write(ctx, d), d.Finish(ctx), d.Close())
}

// compose plans the disk of an output.
func (w *worker) compose(ctx context.Context, o Output) (*layout.Image, error) {
	l, err := w.plan.layout(w.chain)
	if err != nil {
		return nil, err
	}
	loader, err := w.loader(ctx, l)
	if err != nil {
		return nil, err
	}
	parts := layout.Parts{Tree: w.tree, Reader: w.reader, Loader: loader, Epoch: w.plan.Lock.Epoch, Free: o.Free}
	if o.Format == "gce" {
		parts.Unit = appliance.GCESize(1)
	}
	return l.Compose(parts)
}

// Draw draws the disk of an output of a chain, with the places that it has where the
// tree was built before, else as far as the definition says them; exact says which.
func (r *Runner) Draw(ctx context.Context, p *Plan, c Chain, o Output) (d layout.Drawing, exact bool, err error) {
	w := &worker{Runner: r, plan: p, chain: c, reader: tree.NewReader(r.Supply.Cache)}
	defer w.close()
	var built bool
	if w.tree, built = r.Tree(c); built && w.packsThere() {
		image, err := w.compose(ctx, o)
		if err != nil {
			return d, false, err
		}
		return image.Draw(), true, nil
	}
	l, err := p.layout(c)
	if err != nil {
		return d, false, err
	}
	return l.Draw(), false, nil
}

// DrawDefinition draws the disks of a definition that has no lock.
func DrawDefinition(def *definition.Definition, arch string) (layout.Drawing, error) {
	l, err := resolved(def, arch, digest.Digest{})
	if err != nil {
		return layout.Drawing{}, err
	}
	return l.Draw(), nil
}

// createDisk makes an empty file a disk of an output's format.
func (w *worker) createDisk(o Output, f *os.File, image *layout.Image) (disk.Image, error) {
	size, extents := image.Size(), image.Extents()
	if most := o.Kind().Most; most > 0 && size > most {
		return nil, fault.Newf(fault.Preflight, "the disk has %d GiB, and a %s at most %d GiB", size>>30, o.Format, most>>30).WithHint("choose another format, or a layout of less")
	}
	// Identities of the file, beside those in the disk.
	id := func(what string) [16]byte { return image.Derive(o.Format + " " + what) }
	switch o.Format {
	case "raw", "xen":
		return disk.NewRaw(f, size)
	case "qcow2", "openstack", "incus-vm":
		compression := map[string]qcow2.Compression{"": qcow2.None, "zlib": qcow2.Zlib, "zstd": qcow2.Zstd}[o.Compress]
		return qcow2.Create(f, size, extents, qcow2.Options{Compression: compression})
	case "vmdk":
		kind := vmdk.MonolithicSparse
		if o.Type == "stream-optimized" {
			kind = vmdk.StreamOptimized
		}
		return vmdk.Create(f, size, extents, vmdk.Options{Kind: kind, Adapter: vmdk.Adapter(o.Adapter), ID: id("content"), Name: o.Name()})
	case "vhd":
		return vhd.Create(f, size, extents, vhd.Options{Fixed: o.Type != "dynamic", WholeMiB: o.Type == "azure", ID: id("disk"), Time: w.plan.Lock.Epoch})
	case "vhdx":
		return vhdx.Create(f, size, extents, vhdx.Options{ID: id("disk"), Content: id("content")})
	case "vdi":
		return vdi.Create(f, size, extents, vdi.Options{ID: id("image"), Changed: id("content")})
	}
	return w.appliance(o, f, image)
}
