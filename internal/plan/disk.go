package plan

import (
	"context"
	"errors"
	"path"
	"slices"
	"strings"

	"ingot/internal/appliance"
	"ingot/internal/artifact"
	"ingot/internal/boot"
	"ingot/internal/definition"
	"ingot/internal/digest"
	"ingot/internal/disk"
	"ingot/internal/fault"
	"ingot/internal/layout"
	"ingot/internal/qcow2"
	"ingot/internal/ui"
	"ingot/internal/vdi"
	"ingot/internal/vhd"
	"ingot/internal/vhdx"
	"ingot/internal/vmdk"
)

// writeDisk makes a disk image of the tree.
func (w *worker) writeDisk(ctx context.Context, o Output, files []*artifact.Pending, t *ui.Task) error {
	image, err := w.compose(ctx, o)
	if err != nil {
		return err
	}
	var total int64
	for i := range image.Disks {
		for _, e := range image.ExtentsOf(i) {
			total += e.Len
		}
	}
	t.SetTotal(total)
	var disks []disk.Disk
	var finish []func() error
	for i, f := range files[:len(image.Disks)] {
		d, err := w.createDisk(o, i, f, image)
		if err != nil {
			return err
		}
		defer func() { _ = d.Close() }()
		disks = append(disks, metered{d, t})
		finish = append(finish, func() error { return d.Finish(ctx) }, d.Close)
	}
	if o.Format == "openstack" {
		if err := w.writeGlance(o, files[1], disks[0].Size()); err != nil {
			return err
		}
	}
	err = image.Write(ctx, disks...)
	for _, f := range finish {
		err = errors.Join(err, f())
	}
	if plain(o.Format) {
		for i, text := range rootFiles(image.Roots) {
			if err == nil {
				_, err = files[len(image.Disks)+i].File().Write(text)
			}
		}
	}
	return err
}

// A metered disk tells a task what is written to it.
type metered struct {
	disk.Disk
	t *ui.Task
}

func (m metered) WriteAt(b []byte, at int64) (int, error) {
	n, err := m.Disk.WriteAt(b, at)
	m.t.Add(int64(n))
	return n, err
}

// plain says whether a format is a file for each disk, with nothing around it.
func plain(name string) bool {
	return slices.Contains([]string{"raw", "qcow2", "vmdk", "vhd", "vhdx", "vdi"}, name)
}

// rootNames are what the files are called that have the root hashes of an image, and
// their signatures. systemd's programs look for them beside a raw disk.
func rootNames(first string, l layout.Resolved) []string {
	var out []string
	for _, v := range l.Verities {
		base := strings.TrimSuffix(first, ".raw")
		if len(l.Verities) > 1 {
			base += "." + v.Name
		}
		out = append(out, base+".roothash")
		if v.Key.File != "" {
			out = append(out, base+".roothash.p7s")
		}
	}
	return out
}

// rootFiles are the contents of these files.
func rootFiles(roots []layout.Root) [][]byte {
	var out [][]byte
	for _, r := range roots {
		out = append(out, []byte(r.Hash+"\n"))
		if r.Signature != nil {
			out = append(out, r.Signature)
		}
	}
	return out
}

// diskNames are what the files of an output's further disks are called.
func diskNames(first string, l layout.Resolved) []string {
	var out []string
	suffix := path.Ext(first)
	for _, d := range l.Disks[1:] {
		out = append(out, strings.TrimSuffix(first, suffix)+"-"+d.Name+suffix)
	}
	return out
}

// compose plans the disk of an output.
func (w *worker) compose(ctx context.Context, o Output) (*layout.Image, error) {
	l, err := w.plan.layout(w.chain)
	if err != nil {
		return nil, err
	}
	var rooted func(hash string) (boot.Loader, error)
	hash := ""
	if l.HeldTo() && w.plan.Definition.Boot.Loader == boot.UnifiedKernel {
		hash, rooted = unknownHash, func(hash string) (boot.Loader, error) { return w.loader(ctx, l, hash) }
	}
	loader, err := w.loader(ctx, l, hash)
	if err != nil {
		return nil, err
	}
	parts := layout.Parts{Tree: w.tree, Reader: w.reader, Loader: loader, Rooted: rooted, Epoch: w.plan.Lock.Epoch, Free: o.Free, Secret: w.plan.secret}
	if e := w.plan.Definition.Elements; e != nil && e.Free != nil {
		parts.Free = e.Free(w.tree.Size())
	}
	if o.Format == "gce" {
		parts.Unit = appliance.GCESize(1)
	}
	return l.Compose(parts)
}

// Draw draws the disk of an output of a chain, with the places that it has where the
// tree was built before, else as far as the definition says them; exact says which.
func (r *Runner) Draw(ctx context.Context, p *Plan, c Chain, o Output) (d layout.Drawing, exact bool, err error) {
	w := newWorker(r, p, c)
	defer w.close()
	var built bool
	if w.tree, built = r.Tree(c); built && w.packsThere() {
		image, err := w.compose(ctx, o)
		if err == nil {
			return image.Draw(), true, nil
		}
		// Whoever only looks may have no key to sign the loader with.
		if p.foreseeSecrets(c, []Output{o}) == nil {
			return d, false, err
		}
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

// createDisk makes an empty file one of the disks of an output's format.
func (w *worker) createDisk(o Output, n int, pending *artifact.Pending, image *layout.Image) (disk.Image, error) {
	size, extents := image.SizeOf(n), image.ExtentsOf(n)
	if most := o.Kind().Most; most > 0 && size > most {
		return nil, fault.Newf(fault.Preflight, "the disk has %d GiB, and a %s at most %d GiB", size>>30, o.Format, most>>30).WithHint("choose another format, or a layout of less")
	}
	// Identities of the file, beside those in the disk.
	id := func(what string) [16]byte {
		if n > 0 {
			what += " " + image.Disks[n].Name
		}
		return image.Derive(o.Format + " " + what)
	}
	if o.Format == "raw" || o.Format == "xen" {
		return disk.NewRaw(pending, size)
	}
	f := pending.File() // these write their tables when all else is written
	switch o.Format {
	case "qcow2", "openstack", "incus-vm":
		compression := map[string]qcow2.Compression{"": qcow2.None, "zlib": qcow2.Zlib, "zstd": qcow2.Zstd}[o.Compress]
		return qcow2.Create(f, size, extents, qcow2.Options{Compression: compression})
	case "vmdk":
		kind := vmdk.MonolithicSparse
		if o.Type == "stream-optimized" {
			kind = vmdk.StreamOptimized
		}
		return vmdk.Create(f, size, extents, vmdk.Options{Kind: kind, Adapter: vmdk.Adapter(o.Adapter), ID: id("content"), Name: o.Names[n]})
	case "vhd":
		return vhd.Create(f, size, extents, vhd.Options{Fixed: o.Type != "dynamic", WholeMiB: o.Type == "azure", ID: id("disk"), Time: w.plan.Lock.Epoch})
	case "vhdx":
		return vhdx.Create(f, size, extents, vhdx.Options{ID: id("disk"), Content: id("content")})
	case "vdi":
		return vdi.Create(f, size, extents, vdi.Options{ID: id("image"), Changed: id("content")})
	}
	return w.appliance(o, f, image)
}
