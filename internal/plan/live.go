package plan

import (
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"ingot/internal/artifact"
	"ingot/internal/boot"
	"ingot/internal/definition"
	"ingot/internal/fat"
	"ingot/internal/fault"
	"ingot/internal/gpt"
	"ingot/internal/iso"
	"ingot/internal/squashfs"
	"ingot/internal/tree"
	"ingot/internal/ui"
)

// live gives a live system its files.
func (e *edit) live() error {
	kernels := boot.Kernels(e.tree)
	if len(kernels) == 0 {
		return noKernel()
	}
	if len((boot.Medium{}).On(kernels).Kernels) == 0 {
		return fault.Newf(fault.Failed, "no kernel of the image has an initramfs in /boot").
			WithHint("a live system needs one: it mounts what the system runs from")
	}
	return e.put(append(boot.LiveFiles(), e.serviceFiles()...))
}

func noKernel() error {
	return fault.Newf(fault.Failed, "the image has no kernel in /boot").
		WithHint("name one with 'kernel: {package: …}', or say 'kernel: none' for an image that does not boot by itself")
}

// derive is an identity of one of a chain's outputs, in the form of a version 8 UUID
// (RFC 9562).
func (p *Plan) derive(c Chain, o Output, label string) gpt.GUID {
	sum := identityOf("derive", p.identity(c), []string{o.Format, label})
	g := gpt.GUID(sum[:16])
	g[6] = g[6]&0x0F | 0x80
	g[8] = g[8]&0x3F | 0x80
	return g
}

// writeISO makes a medium that a live system starts from: the tree as a squashfs
// file, its kernels, and loaders.
func (w *worker) writeISO(ctx context.Context, o Output, files []*artifact.Pending, t *ui.Task) error {
	def := w.plan.Definition
	id := func(label string) gpt.GUID { return w.plan.derive(w.chain, o, label) }
	loader, err := w.liveLoader(ctx)
	if err != nil {
		return err
	}
	medium := boot.Medium{ID: id("medium").String()}.On(boot.Kernels(w.tree))
	title := w.osRelease(w.tree, "PRETTY_NAME")
	k := def.Kernel.On(w.chain.Arch)
	small, err := medium.Files(boot.Params{Arch: w.chain.Arch, Console: k.Console, Arguments: k.Arguments, Title: title, Timeout: def.Boot.Timeout})
	if err != nil {
		return err
	}
	var list []iso.File
	for _, f := range small {
		list = append(list, iso.File{Path: f.Path, Data: f.Data})
	}
	list = append(list, iso.File{Path: ".disk/info", Data: fmt.Appendf(nil, "%s %s %s\n", def.Name, w.chain.Arch, title)})
	for _, k := range medium.Kernels {
		for _, name := range [][2]string{{k.Kernel.Image, k.Image}, {k.Kernel.Initrd, k.Initrd}} {
			f, err := w.copied(name[0], name[1], t)
			if err != nil {
				return err
			}
			list = append(list, f)
		}
	}
	list = append(list, iso.File{Path: boot.ImageFile, Most: squashfs.Most(w.tree), Write: func(ctx context.Context, f *os.File, at int64) (int64, error) {
		r, err := squashfs.Write(ctx, f, w.tree, w.reader, squashfs.Options{Compress: o.Compress, Epoch: w.plan.Lock.Epoch, Wrote: t.Add, At: at})
		w.warnDropped(r)
		return r.Size, err
	}})
	options := iso.Options{
		Label: liveLabel(def.Name, id("label")), Epoch: w.plan.Lock.Epoch,
		Disk: id("disk"), ISOPart: id("partition iso"), UEFIPart: id("partition esp"),
	}
	if n := loader.CDSize(); n > 0 {
		options.BIOS = &iso.Program{Path: "boot/grub/eltorito.img", Size: n, At: loader.CD}
	}
	if esp := medium.EFI(loader); esp != nil {
		if options.UEFI, err = liveESP(esp, id("esp"), w.plan.Lock.Epoch); err != nil {
			return err
		}
	}
	image, err := iso.Plan(list, options)
	if err != nil {
		return err
	}
	return image.Write(ctx, files[0].File())
}

// liveLabel is a volume's name of up to 16 characters: the image's, and what tells
// it from others of that name.
func liveLabel(name string, id gpt.GUID) string {
	name = strings.Map(func(c rune) rune {
		if c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' {
			return c
		}
		return '_'
	}, strings.ToUpper(name))
	return fmt.Sprintf("%.7s_%X", name, id[:4])
}

// liveESP is the FAT volume with what UEFI starts: no larger than it must be.
func liveESP(files []fat.File, id gpt.GUID, epoch int64) (*fat.Volume, error) {
	size := int64(512 << 10)
	for _, f := range files {
		size += int64(len(f.Data)+8191) &^ 4095
	}
	size += size / 32 // for tables: two entries of 4 bytes for each 512
	size = max((size+1<<20-1)>>20<<20, 4<<20)
	return fat.Plan(files, fat.Options{Size: size, ID: binary.BigEndian.Uint32(id[:4]), Epoch: epoch})
}

// copied is a file of the tree on the medium.
func (w *worker) copied(from, to string, t *ui.Task) (iso.File, error) {
	e, ok := w.tree.Lookup(from)
	if !ok || e.Kind != tree.File {
		return iso.File{}, fmt.Errorf("the tree has no file %s", from)
	}
	return iso.File{Path: to, Most: e.Content.Size, Write: func(ctx context.Context, f *os.File, at int64) (int64, error) {
		if err := ctx.Err(); err != nil {
			return 0, err
		}
		r, err := w.reader.Content(e.Content)
		if err != nil {
			return 0, err
		}
		n, err := io.Copy(io.NewOffsetWriter(f, at), r)
		t.Add(n)
		return n, err
	}}, nil
}

// liveFirmware is what starts a medium. What a layout or a loader of disks says is not
// said of it: a disk may have no boot loader at all. A medium has GRUB.
func liveFirmware(def *definition.Definition) []string {
	if l := def.Boot.Loader; l != "" && l != boot.GRUB {
		return nil
	}
	return slices.DeleteFunc(slices.Clone(def.Boot.Firmware), func(f string) bool { return f != "bios" && f != "uefi" })
}

// liveLoader makes GRUB's images for a medium.
func (w *worker) liveLoader(ctx context.Context) (boot.Loader, error) {
	b := w.plan.Definition.Boot
	l, err := w.ownLoader(ctx, boot.LoaderOptions{Arch: w.chain.Arch, Firmware: liveFirmware(w.plan.Definition), Secure: b.Secure, Live: true})
	if err != nil || !b.Secure {
		return l, err
	}
	return l.Secure(boot.Signed{Arch: w.chain.Arch, Live: true, Read: func(path string) ([]byte, error) { return w.tools.ReadFile("/" + path) }})
}
