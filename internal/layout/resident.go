package layout

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"

	"ingot/internal/blockdevice"
	"ingot/internal/boot"
	"ingot/internal/digest"
	"ingot/internal/ext4"
	"ingot/internal/tree"
)

// A loader may have files of its own in the file system of /boot, and have to know where
// on the disk they lie. They are in a pack of their own, in memory: the file system is
// planned with their sizes, and what they hold is written there once their places
// are known, before any of it is read.

// residentPack is what that pack is called, with a number: a reader has one for each image
// that is being written.
const residentPack = "boot loader"

// addResident adds the loader's files to the tree.
func (b *builder) addResident() error {
	x := b.Loader.Extlinux()
	if x == nil {
		return nil
	}
	fd, err := unix.MemfdCreate(residentPack, unix.MFD_CLOEXEC)
	if err != nil {
		return fmt.Errorf("layout: memory for the boot loader's files: %w", err)
	}
	b.pack = fmt.Sprintf("%s %d", residentPack, fd)
	b.kept = os.NewFile(uintptr(fd), b.pack)
	b.Reader.Hold(b.pack, b.kept) // which closes it in time
	system, module := x.Files()
	var d tree.Delta
	var at int64
	for _, f := range []boot.File{system, module} {
		if _, err := b.kept.WriteAt(f.Data, at); err != nil {
			return fmt.Errorf("layout: the boot loader's files: %w", err)
		}
		n := int64(len(f.Data))
		d.Set = append(d.Set, tree.Entry{
			Path: f.Path, Kind: f.Kind, Mode: f.Mode, Mtime: tree.Time{Sec: b.Epoch}, Owner: "boot loader",
			Content: tree.Content{Digest: digest.Of(f.Data), Size: n, Pack: b.pack, Offset: at},
		})
		at += n
	}
	if b.Tree, err = b.Tree.Apply(d); err != nil {
		return fmt.Errorf("layout: the boot loader's files: %w", err)
	}
	return nil
}

// fillResident ties the loader to the places that its files have now.
func (b *builder) fillResident() error {
	x := b.Loader.Extlinux()
	if x == nil {
		return nil
	}
	m := b.Holding("/boot")
	p, ok := m.FS.Device.(*blockdevice.Partition)
	if !ok || m.FS.Type != "ext4" {
		return fmt.Errorf("layout: extlinux needs /boot on a partition with ext4, and %s is none", m.FS.Name)
	}
	for _, part := range b.image.parts {
		c, ok := part.content.(fsContent)
		fs, is := c.planned.(*ext4.FS)
		if !ok || !is || part.name != m.FS.Name {
			continue
		}
		var sectors []int64
		for _, e := range fs.Where(b.pack, 0) {
			for at := e.Off; at < e.Off+e.Len; at += leastSector {
				sectors = append(sectors, at/leastSector)
			}
		}
		system, _ := x.Files()
		n := len(system.Data) / leastSector
		if len(sectors) < n {
			return fmt.Errorf("layout: extlinux's files have no place in %s", m.FS.Name)
		}
		_, place := b.fitted.Place(p)
		code, data, err := x.Install(sectors[:n], place.Off/leastSector)
		if err != nil {
			return err
		}
		if _, err := b.kept.WriteAt(data, 0); err != nil {
			return fmt.Errorf("layout: the boot loader's files: %w", err)
		}
		return fs.SetBoot(code)
	}
	return fmt.Errorf("layout: no file system was planned for /boot")
}

// starting is the partition that a BIOS' code in the first sector starts, or nil: the
// one of the loader that lives in it.
func (b *builder) starting() *blockdevice.Partition {
	if b.Loader.Extlinux() == nil {
		return nil
	}
	p, _ := b.Holding("/boot").FS.Device.(*blockdevice.Partition)
	return p
}
