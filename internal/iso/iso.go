// Package iso writes ISO 9660 images that start a machine from a CD and, the same
// file, from a USB stick, by BIOS and by UEFI.
//
// # The file system
//
// Blocks have 2048 bytes. Behind a system area of 16 blocks that nobody has laid
// claim to stand the volume descriptors, from block 16; one names a tree of
// directories, whose records say where files lie. Files lie in one piece each; one
// of 4 GiB or more is several pieces with a record for each (ECMA-119, level 3).
// Identifiers are upper case with eight characters and three, as every reader takes
// them. Names, permissions and owners as a POSIX system has them stand behind them
// in the same records (SUSP, and Rock Ridge: IEEE P1282); a second tree of the same
// files has names in UCS-2 (Joliet), for Windows.
//
// # How a machine starts from it
//
// From a CD: a descriptor leads to the boot catalog (El Torito 1.0), which names
// for a BIOS a program, of which four sectors are loaded, and for UEFI a FAT volume
// (UEFI 2.10, 13.3.2.1). The program learns by a table within itself, which the
// writer of the image fills in, where the rest of it lies.
//
// From a disk: the system area holds what a disk's first sectors do. A BIOS starts
// the code in the first of them, UEFI finds the FAT volume by a GUID partition
// table. One partition covers the file system behind the table, one the FAT volume,
// which therefore lies behind all files. Linux mounts the file system from the whole
// device.
//
// # In one go
//
// Whatever is to be read first stands in front: descriptors, boot catalog,
// directories, then files in the order of their names. A file whose size nobody
// knows before it is written (a compressed file system) says how large it may get,
// so that its directory has room for all its records; it stands behind all others,
// and is written straight into the image.
package iso

import (
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"os"

	"ingot/internal/fault"
	"ingot/internal/gpt"
)

// The measures of the format.
const (
	block     = 2048
	sector    = 512
	system    = 16 // blocks before the descriptors
	maxExtent = 1<<32 - block
	// A drive that reads ahead meets the end of what was burnt, and some fail there:
	// what is read had better not be the last 300 KiB.
	runOut = 150
)

// A File is one file of the image. Its directories are made as needed.
type File struct {
	Path string // relative, slash-separated: "boot/grub/grub.cfg"
	Mode uint32 // permissions; 0 is 0644
	Data []byte
	// Write, if set, writes the content in place of Data, at an offset of the image's
	// file, and gives its size: at most Most.
	Write func(ctx context.Context, f *os.File, at int64) (size int64, err error)
	Most  int64
}

// A Program is what a BIOS starts.
type Program struct {
	Path string // of the file that it becomes
	Size int64  // bytes
	// At gives the program's bytes for the offset of the image where they will lie, and
	// up to 440 bytes of code for the image's first sector, which start it from a disk.
	At func(offset int64) (code, program []byte)
}

// A Volume is a file system that is written whole.
type Volume interface {
	Size() int64
	WriteTo(ctx context.Context, w io.WriterAt) error
}

// Options say what an image is besides its files.
type Options struct {
	Label string // 1 to 16 characters of A to Z, 0 to 9 and _
	Epoch int64  // all times, in seconds since 1970

	BIOS *Program // nil: no BIOS starts the image
	UEFI Volume   // a FAT volume; nil: no UEFI starts it

	// Of the GUID partition table.
	Disk, ISOPart, UEFIPart gpt.GUID
}

// An Image is planned, and can be written.
type Image struct {
	o       Options
	root    *node
	files   []*node // in the order in which they lie
	dirs    []*node // each before those in it, those of one in the order of their names
	trees   []*names
	catalog int64 // blocks: where the boot catalog lies
	program *node // of the BIOS, or nil
	end     int64 // block behind all files whose size is known
}

// Plan places files. It refuses names that cannot be said, paths that are taken
// twice and images that are too large.
func Plan(files []File, o Options) (*Image, error) {
	if err := o.check(); err != nil {
		return nil, fmt.Errorf("ISO image: %w", err)
	}
	im := &Image{o: o}
	if o.BIOS != nil {
		files = append(files[:len(files):len(files)], File{Path: o.BIOS.Path, Most: o.BIOS.Size})
	}
	var err error
	if im.root, err = newTree(files); err != nil {
		return nil, fmt.Errorf("ISO image: %w", err)
	}
	im.collect()
	rock, joliet, err := im.name()
	if err != nil {
		return nil, fmt.Errorf("ISO image: %w", err)
	}
	im.trees = []*names{rock, joliet}
	if o.BIOS != nil {
		im.program = im.root.find(o.BIOS.Path)
	}
	im.place()
	if im.end >= 1<<31 {
		return nil, fault.Newf(fault.Preflight, "ISO image: files of %d blocks are more than the format can say", im.end)
	}
	return im, nil
}

func (o Options) check() error {
	if err := checkLabel(o.Label); err != nil {
		return err
	}
	if _, err := dateOf(o.Epoch); err != nil {
		return err
	}
	if p := o.BIOS; p != nil && (p.Size < 64 || p.Size > 4<<20 || p.At == nil) {
		// Its length stands in the table within it; and a BIOS reads it into the memory
		// of 1981.
		return fmt.Errorf("a BIOS cannot start a program of %d bytes", p.Size)
	}
	if v := o.UEFI; v != nil && (v.Size() <= 0 || v.Size()%sector != 0 || v.Size() > 1<<31) {
		return fmt.Errorf("a volume of %d bytes is none for UEFI", v.Size())
	}
	return nil
}

// checkLabel holds a volume's name against what both trees can say.
func checkLabel(s string) error {
	if s == "" || len(s) > 16 {
		return fmt.Errorf("label %q has not 1 to 16 characters", s)
	}
	for _, c := range s {
		if !dCharacter(c) {
			return fmt.Errorf("label %q has a character other than A to Z, 0 to 9 and _", s)
		}
	}
	return nil
}

// dCharacter says whether an identifier may have a character (ECMA-119, 7.4.1).
func dCharacter(c rune) bool {
	return c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '_'
}

// place gives all that has a size its blocks.
func (im *Image) place() {
	next := int64(system + 4) // descriptors: of both trees, of what boots, and of their end
	if im.boots() {
		im.catalog = next
		next++
	} else {
		next--
	}
	for _, t := range im.trees {
		t.tableSize = int64(len(t.table(binary.LittleEndian)))
		t.tableL = next
		t.tableM = next + blocks(t.tableSize)
		next += 2 * blocks(t.tableSize)
	}
	for _, t := range im.trees {
		for _, d := range im.dirs {
			t.at[d] = next
			t.size[d] = t.measure(d)
			next += blocks(t.size[d])
		}
	}
	for _, f := range im.files {
		f.at = next
		if f.file.Write == nil {
			next += blocks(f.most)
		}
	}
	im.end = next
}

func (im *Image) boots() bool { return im.o.BIOS != nil || im.o.UEFI != nil }

// blocks is how many a number of bytes fills.
func blocks(n int64) int64 { return (n + block - 1) / block }
