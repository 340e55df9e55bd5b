package plan

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path"
	"strings"

	"ingot/internal/artifact"
	"ingot/internal/disk"
	"ingot/internal/layout"
	"ingot/internal/qcow2"
	"ingot/internal/ui"
	"ingot/internal/vdi"
	"ingot/internal/vhd"
	"ingot/internal/vhdx"
	"ingot/internal/vmdk"
)

// writeDisk makes a disk image of the tree.
func (w *worker) writeDisk(ctx context.Context, o Output, files []*artifact.Pending, _ *ui.Task) error {
	l, err := w.plan.layout(w.chain)
	if err != nil {
		return err
	}
	places, err := l.Places()
	if err != nil {
		return err
	}
	loader, err := w.loader(ctx, places)
	if err != nil {
		return err
	}
	image, err := l.Compose(layout.Parts{Tree: w.tree, Reader: w.reader, Loader: loader, Epoch: w.plan.Lock.Epoch, Free: o.Free, Secret: w.plan.secret})
	if err != nil {
		return err
	}
	var disks []disk.Disk
	var finish []func() error
	for i, f := range files[:len(l.Disks)] {
		d, err := w.createDisk(o, i, f.File(), l, image)
		if err != nil {
			return err
		}
		defer func() { _ = d.Close() }()
		disks = append(disks, d)
		finish = append(finish, func() error { return d.Finish(ctx) }, d.Close)
	}
	err = image.Write(ctx, disks...)
	for _, f := range finish {
		err = errors.Join(err, f())
	}
	for i, text := range rootFiles(image.Roots) {
		if err == nil {
			_, err = files[len(l.Disks)+i].File().Write(text)
		}
	}
	return err
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

// createDisk makes an empty file one of the disks of an output's format.
func (w *worker) createDisk(o Output, n int, f *os.File, l layout.Resolved, image *layout.Image) (disk.Image, error) {
	size, extents := image.SizeOf(n), image.ExtentsOf(n)
	// Identities of the file, beside those in the disk.
	id := func(what string) [16]byte {
		if n > 0 {
			what += " " + l.Disks[n].Name
		}
		return l.Derive(o.Format + " " + what)
	}
	switch o.Format {
	case "raw":
		return disk.NewRaw(f, size)
	case "qcow2":
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
	return nil, fmt.Errorf("no writer for format %s", o.Format)
}
