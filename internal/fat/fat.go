// Package fat writes FAT16 and FAT32 file systems from a few files: what an EFI
// system partition holds.
//
// A volume is planned whole, then written: the same files and options give the
// same bytes, whatever the clock or the order of the files. Long names (VFAT) are
// kept, each with a short alias. Sectors have 512 bytes, or 4096 for a disk of such.
// Only what holds something is written, so a volume costs little in a sparse file.
//
// The facts are those of Microsoft's "FAT: General Overview of On-Disk Format"
// (FAT32 File System Specification 1.03).
package fat

import (
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"strings"
	"time"

	"ingot/internal/disk"
	"ingot/internal/fault"
)

const (
	// The specification tells FAT types apart by the number of clusters alone,
	// and asks writers to stay 16 clusters away from the limits.
	leastFAT16 = 4085 + 16
	mostFAT16  = 65524 - 16
	leastFAT32 = 65525 + 16
	mostFAT32  = 0x0FFFFFF4
	rootSlots  = 512 // directory entries of FAT16's fixed root
	mostSlots  = 1 << 16
)

// MinFAT32 is the smallest round size at which a volume becomes FAT32, which is
// what firmware expects of an EFI system partition on a disk. Smaller ones are
// FAT16. With sectors of 4096 bytes it is eight times as much.
const MinFAT32 = 34 << 20

// MinSize is the size of the smallest volume, in bytes.
const MinSize = 3 << 20

// MinSectors is how many sectors a volume has at the least, in round numbers: a FAT16
// of clusters of one.
const MinSectors = 5000

// MaxSize bounds the size of a volume, in bytes.
const MaxSize = 1<<41 - 1<<20

// A File is one file of the volume; its directories are made as needed.
type File struct {
	Path string // relative, slash-separated: "EFI/BOOT/BOOTX64.EFI"
	Data []byte
	// Dir says that it is a directory, which may have nothing in it.
	Dir bool
	// Open, where it is set, gives the content of a file that is not kept in memory, of
	// Size bytes, each time from its beginning. Data says nothing then.
	Open func() (io.Reader, error)
	Size int64
}

// Len is how many bytes the file has.
func (f File) Len() int64 {
	if f.Open != nil {
		return f.Size
	}
	return int64(len(f.Data))
}

// Options say how a volume is made.
type Options struct {
	Size   int64  // of the volume, in bytes: a multiple of its sectors, at least [MinSize]
	ID     uint32 // the volume's serial number: 0x1234ABCD is "1234-ABCD"
	Label  string // up to 11 characters of upper-case ASCII, or empty
	Epoch  int64  // all times, seconds since 1970; FAT can say 1980 to 2107, in UTC here
	Hidden uint32 // sectors before the volume on its disk, as BIOS code may want to know
	// SectorSize is the disk's: 512 or 4096; 0 is 512.
	SectorSize int64
}

// A Volume is a file system ready to be written.
type Volume struct {
	o        Options
	fat32    bool
	spc      int64 // sectors in a cluster
	reserved int64 // sectors before the first FAT
	fatSize  int64 // sectors of one FAT
	rootSize int64 // sectors of FAT16's fixed root directory
	clusters int64 // in the data area
	used     int64 // clusters that hold something
	chains   []chain
	root     []byte // FAT16's root directory
}

// A chain is a run of clusters that one file or directory fills.
type chain struct {
	first   int64
	count   int64
	content File
}

// FAT32 says whether the volume is FAT32 rather than FAT16.
func (v *Volume) FAT32() bool { return v.fat32 }

// Size is the volume's size in bytes.
func (v *Volume) Size() int64 { return v.o.Size }

// Plan lays out a volume with these files. It refuses names that FAT cannot say,
// names that differ by case only, and more content than fits.
func Plan(files []File, o Options) (*Volume, error) {
	v := &Volume{o: o}
	if err := v.measure(); err != nil {
		return nil, err
	}
	if err := CheckLabel(o.Label); err != nil {
		return nil, err
	}
	root, err := newTree(files)
	if err != nil {
		return nil, err
	}
	if err := v.place(root); err != nil {
		return nil, err
	}
	return v, nil
}

// Room is how many bytes a volume needs for files, as far as they decide it: whole
// clusters, which have at most 4 KiB where the files have less than 1 TiB.
func Room(files []File, sector int64) (int64, error) {
	root, err := newTree(files)
	if err != nil {
		return 0, err
	}
	const cluster = 4096
	var clusters int64
	root.walk(func(n *node) {
		size := n.content.Len()
		if n.names != nil {
			size = n.dirSize(true)
		}
		clusters += (size + cluster - 1) / cluster
	})
	// Both tables have an entry for each cluster, and of small clusters there are more.
	need := clusters * (cluster + 2*4*cluster/512)
	if root.dirSize(true) > rootSlots*slot {
		need = max(need, MinFAT32*sector/512)
	}
	return need, nil
}

// measure chooses the type, the cluster size and the size of the FATs.
func (v *Volume) measure() error {
	size := v.o.Size
	if v.o.SectorSize == 0 {
		v.o.SectorSize = 512
	}
	if v.o.SectorSize != 512 && v.o.SectorSize != 4096 {
		return fmt.Errorf("FAT volume: sectors of %d bytes are neither 512 nor 4096", v.o.SectorSize)
	}
	if size%v.o.SectorSize != 0 || size < MinSize || size > 1<<41-v.o.SectorSize {
		return fmt.Errorf("FAT volume: size of %d bytes is not a multiple of %d from 3 MiB to 2 TiB", size, v.o.SectorSize)
	}
	total := size / v.o.SectorSize
	v.fat32 = size >= MinFAT32*(v.o.SectorSize/512)
	entry, least, most := int64(2), int64(leastFAT16), int64(mostFAT16)
	v.reserved, v.rootSize = 1, rootSlots*32/v.o.SectorSize
	if v.fat32 {
		entry, least, most = 4, leastFAT32, mostFAT32
		v.reserved, v.rootSize = 32, 0
	}
	for v.spc = 1; v.spc*v.o.SectorSize <= 32<<10; v.spc *= 2 {
		// As if the FATs took no room themselves: up to 2 % too long, and right.
		v.fatSize = ((total/v.spc+2)*entry + v.o.SectorSize - 1) / v.o.SectorSize
		// Data begins at a multiple of 4 KiB, as flash and caches like it.
		before := v.reserved + v.rootSize + 2*v.fatSize
		unit := 4096 / v.o.SectorSize
		pad := (unit - before%unit) % unit
		v.clusters = (total - before - pad) / v.spc
		// Clusters of 512 bytes up to 260 MiB and of 4 KiB up to 8 GiB are what
		// other formatters choose; beyond, the smallest that the type allows.
		small := v.fat32 && v.spc*v.o.SectorSize < 4096 && size > 260<<20
		if v.clusters <= most && !small {
			v.reserved += pad
			break
		}
	}
	if v.clusters < least || v.clusters > most {
		return fmt.Errorf("FAT volume of %d bytes: %d clusters are not within %d to %d", size, v.clusters, least, most)
	}
	return nil
}

// place gives every directory and file its clusters, directories before what
// they hold, and writes the directories' bytes.
func (v *Volume) place(root *node) error {
	next := int64(2)
	take := func(size int64) (first, count int64) {
		count = (size + v.spc*v.o.SectorSize - 1) / (v.spc * v.o.SectorSize)
		first = next
		next += count
		return first, count
	}
	var err error
	root.walk(func(n *node) {
		if n.names != nil && n.dirSize(v.o.Label != "") > mostSlots*slot {
			err = fault.Newf(fault.Preflight, "FAT volume: directory %s has more than %d entries, of which a long name takes several", n.name, mostSlots)
		}
		switch {
		case n.parent == nil && !v.fat32:
			if size := n.dirSize(v.o.Label != ""); size > v.rootSize*v.o.SectorSize {
				err = fault.Newf(fault.Preflight, "FAT16 volume: root directory has more than %d entries", rootSlots)
			}
		case n.names != nil:
			n.first, n.count = take(n.dirSize(v.o.Label != ""))
		case n.content.Len() > 0:
			n.first, n.count = take(n.content.Len())
		}
	})
	if err != nil {
		return err
	}
	v.used = next - 2
	if v.used > v.clusters {
		return fmt.Errorf("FAT volume of %d bytes is too small: content takes %d bytes and %d are there",
			v.o.Size, v.used*v.spc*v.o.SectorSize, v.clusters*v.spc*v.o.SectorSize)
	}
	stamp := dosTime(v.o.Epoch)
	root.walk(func(n *node) {
		content := n.content
		if n.names != nil {
			content = File{Data: n.directory(v.o.Label, stamp)}
		}
		switch {
		case n.parent == nil && !v.fat32:
			v.root = content.Data
		case n.count > 0:
			v.chains = append(v.chains, chain{n.first, n.count, content})
		}
	})
	return nil
}

// Extents are the byte ranges that WriteTo writes.
func (v *Volume) Extents() []disk.Extent {
	var out []disk.Extent
	_ = v.each(func(off int64, f File) error {
		out = append(out, disk.Extent{Off: off, Len: f.Len()})
		return nil
	}) // the function never fails
	return out
}

// WriteTo writes the volume at the start of w, and nothing where it is empty.
func (v *Volume) WriteTo(ctx context.Context, w io.WriterAt) error {
	return v.each(func(off int64, f File) error {
		if err := ctx.Err(); err != nil {
			return err
		}
		if f.Open == nil {
			_, err := w.WriteAt(f.Data, off)
			return err
		}
		return f.copyTo(ctx, io.NewOffsetWriter(w, off))
	})
}

// step is how much of a file that is not in memory is written at once, in bytes.
const step = 1 << 20

// copyTo writes what the file was said to have, and neither more nor less.
func (f File) copyTo(ctx context.Context, w io.Writer) error {
	r, err := f.Open()
	if err != nil {
		return fmt.Errorf("FAT: cannot read %s: %w", f.Path, err)
	}
	b := make([]byte, min(step, f.Size))
	for left := f.Size; left > 0; left -= int64(len(b)) {
		if err := ctx.Err(); err != nil {
			return err
		}
		b = b[:min(left, int64(len(b)))]
		if _, err := io.ReadFull(r, b); err != nil {
			return fmt.Errorf("FAT: cannot read %d bytes of %s: %w", f.Size, f.Path, err)
		}
		if _, err := w.Write(b); err != nil {
			return err
		}
	}
	return nil
}

func (v *Volume) each(write func(off int64, f File) error) error {
	boot := v.bootSectors()
	table := v.table()
	data := v.reserved + 2*v.fatSize + v.rootSize
	parts := []struct {
		off int64
		b   []byte
	}{
		{0, boot},
		{v.reserved * v.o.SectorSize, table},
		{(v.reserved + v.fatSize) * v.o.SectorSize, table},
		{(v.reserved + 2*v.fatSize) * v.o.SectorSize, v.root},
	}
	for _, p := range parts {
		if len(p.b) == 0 {
			continue
		}
		if err := write(p.off, File{Data: p.b}); err != nil {
			return err
		}
	}
	for _, c := range v.chains {
		if err := write((data+(c.first-2)*v.spc)*v.o.SectorSize, c.content); err != nil {
			return err
		}
	}
	return nil
}

// bootSectors are the sectors in front of the FATs: on FAT32 with the free
// cluster summary and a copy of both.
func (v *Volume) bootSectors() []byte {
	b := make([]byte, v.o.SectorSize)
	le := binary.LittleEndian
	copy(b[3:], "INGOT   ")
	le.PutUint16(b[11:], uint16(v.o.SectorSize))
	b[13] = byte(v.spc)
	le.PutUint16(b[14:], uint16(v.reserved))
	b[16] = 2 // FATs
	if total := v.o.Size / v.o.SectorSize; total < 1<<16 && !v.fat32 {
		le.PutUint16(b[19:], uint16(total))
	} else {
		le.PutUint32(b[32:], uint32(total))
	}
	b[21] = 0xF8              // a fixed disk
	le.PutUint16(b[24:], 63)  // sectors in a track: what BIOSes assume
	le.PutUint16(b[26:], 255) // heads
	le.PutUint32(b[28:], v.o.Hidden)
	ext := b[36:]
	kind := "FAT16   "
	if v.fat32 {
		kind = "FAT32   "
		le.PutUint32(b[36:], uint32(v.fatSize))
		le.PutUint32(b[44:], 2) // root directory's cluster
		le.PutUint16(b[48:], 1) // free cluster summary's sector
		le.PutUint16(b[50:], 6) // copy of the boot sector
		ext = b[64:]
	} else {
		le.PutUint16(b[17:], rootSlots)
		le.PutUint16(b[22:], uint16(v.fatSize))
	}
	ext[0] = 0x80 // BIOS drive
	ext[2] = 0x29 // the next three are there
	le.PutUint32(ext[3:], v.o.ID)
	copy(ext[7:], padded(v.o.Label, "NO NAME"))
	copy(ext[18:], kind)
	// Code that gives the turn to the BIOS's next boot device, then halts:
	// int 0x18; hlt; jmp to the hlt.
	code := len(b) - len(ext) + 26
	b[0], b[1], b[2] = 0xEB, byte(code-2), 0x90
	copy(b[code:], "\xCD\x18\xF4\xEB\xFD")
	b[510], b[511] = 0x55, 0xAA
	if !v.fat32 {
		return b
	}
	info := make([]byte, v.o.SectorSize)
	copy(info, "RRaA")
	copy(info[484:], "rrAa")
	le.PutUint32(info[488:], uint32(v.clusters-v.used))
	le.PutUint32(info[492:], uint32(v.used+2)) // where to look for a free one
	info[510], info[511] = 0x55, 0xAA
	out := make([]byte, 8*v.o.SectorSize)
	copy(out, b)
	copy(out[v.o.SectorSize:], info)
	copy(out[6*v.o.SectorSize:], b)
	copy(out[7*v.o.SectorSize:], info)
	return out
}

// table is the part of a FAT that is not zero.
func (v *Volume) table() []byte {
	le := binary.LittleEndian
	var b []byte
	put := func(n uint32) {
		if v.fat32 {
			b = le.AppendUint32(b, n&0x0FFFFFFF)
		} else {
			b = le.AppendUint16(b, uint16(n))
		}
	}
	put(0xFFFFFFF8) // the media byte
	put(0xFFFFFFFF) // last used cleanly
	for _, c := range v.chains {
		for i := c.first + 1; i < c.first+c.count; i++ {
			put(uint32(i))
		}
		put(0xFFFFFFFF)
	}
	return b
}

// CheckLabel refuses labels that a volume cannot have.
func CheckLabel(s string) error {
	if len(s) > 11 || strings.TrimSpace(s) != s {
		return fmt.Errorf("FAT label %q: want at most 11 characters without blanks around", s)
	}
	for _, c := range []byte(s) {
		if !shortChar(c) && c != ' ' {
			return fmt.Errorf("FAT label %q: character %q is not upper-case ASCII that a label can have", s, c)
		}
	}
	return nil
}

// padded is a label in the 11 bytes of a boot sector or directory entry.
func padded(label, none string) string {
	if label == "" {
		label = none
	}
	return fmt.Sprintf("%-11s", label)
}

// A stamp is a point in time as FAT says it.
type stamp struct{ date, time uint16 }

func dosTime(epoch int64) stamp {
	t := time.Unix(epoch, 0).UTC()
	switch y := t.Year(); {
	case y < 1980:
		t = time.Date(1980, 1, 1, 0, 0, 0, 0, time.UTC)
	case y > 2107:
		t = time.Date(2107, 12, 31, 23, 59, 58, 0, time.UTC)
	}
	return stamp{
		date: uint16((t.Year()-1980)<<9 | int(t.Month())<<5 | t.Day()),
		time: uint16(t.Hour()<<11 | t.Minute()<<5 | t.Second()/2),
	}
}
