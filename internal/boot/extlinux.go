package boot

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"io"

	"ingot/internal/fat"
)

// Syslinux's loader for a BIOS, as extlinux installs it on a partition with ext4: code in
// the disk's first sector starts the first sector of the active partition, which knows
// where the first sector of the file ldlinux.sys lies; that one has a list of where the
// rest of the file lies, which reads the file system and in it ldlinux.c32, the
// configuration and the kernel. So both must be told places when those are known: what
// lies where is the file system's to say, and [Extlinux.Install] writes it down.
//
// extlinux itself wants a mounted file system. Its images come from its sister for FAT,
// syslinux, which works on files: it installs them on a small volume, and they are
// taken from there.
//
// The places to fill in are those that Syslinux's installers fill in (syslinux.h, struct
// patch_area and ext_patch_area of Syslinux 6).

// An Extlinux is Syslinux's loader, not yet tied to a place.
type Extlinux struct {
	sector  []byte // of the partition: 512 bytes
	system  []byte // ldlinux.sys
	module  []byte // ldlinux.c32
	gpt     []byte // code for the first sector of a disk with GPT
	mbr     []byte // and with MBR
	home    string // of the loader's files, in the file system of /boot
	inTree  string
	patches extPatches
}

// extlinuxHome is where the loader's files lie.
const extlinuxHome = "boot/extlinux"

// Places in ldlinux.sys, from its patch area on and in the area behind it.
const (
	syslinuxMagic   = 0x3EB202FE
	patchData       = 8  // u16: sectors of the file
	patchAux        = 10 // u16: of these, sectors that keep settings, at the end
	patchDwords     = 12 // u32: what the checksum is of
	patchSum        = 16 // u32
	patchExtended   = 22 // u16: where the extended area lies
	auxSectors      = 2
	extentSize      = 10 // u64 sector, u16 count
	mostInExtent    = 127
	bytesPerSector  = 0x0B // in a boot sector, what stands between jump and code is the file system's
	sectorsPerTrack = 0x18
	heads           = 0x1A
	hiddenSectors   = 0x1C
	sectorCode      = 0x5A
)

// extPatches are where the extended area says that things lie.
type extPatches struct {
	Aux            uint16 // in ldlinux.sys: two u64, where settings are kept
	Dir, DirLen    uint16 // the loader's directory, as text
	Subvol, SubLen uint16
	Sectors, Count uint16 // a list of extents
	First0, First1 uint16 // in the boot sector: u32 and u32, the first sector of ldlinux.sys
	RAID           uint16
	area           int // where the patch area lies
}

// makeExtlinux has syslinux bring its images forth.
func makeExtlinux(ctx context.Context, tools Tools, places Places) (*Extlinux, error) {
	x := &Extlinux{inTree: extlinuxHome, home: places.BootDir + "/extlinux"}
	v, err := fat.Plan(nil, fat.Options{Size: 4 << 20})
	if err != nil {
		return nil, err
	}
	volume := make(inMemory, v.Size())
	if err := v.WriteTo(ctx, volume); err != nil {
		return nil, err
	}
	out, err := tools.Run(ctx, []string{"syslinux", "--install", "image"}, nil, map[string][]byte{"image": volume}, []string{"image"})
	if err != nil {
		return nil, fmt.Errorf("boot: syslinux: %w", err)
	}
	image := out["image"]
	for name, to := range map[string]*[]byte{"ldlinux.sys": &x.system, "ldlinux.c32": &x.module} {
		out, err := tools.Run(ctx, []string{"mcopy", "-n", "-i", "image", "::" + name, name}, nil, map[string][]byte{"image": image}, []string{name})
		if err != nil {
			return nil, fmt.Errorf("boot: mcopy of %s: %w", name, err)
		}
		*to = out[name]
	}
	x.sector = bytes.Clone(image[:sectorSize])
	for path, to := range map[string]*[]byte{"gptmbr.bin": &x.gpt, "mbr.bin": &x.mbr} {
		if *to, err = tools.ReadFile("/usr/lib/SYSLINUX/" + path); err != nil {
			return nil, fmt.Errorf("boot: cannot read Syslinux's code for a disk: %w", err)
		}
		if len(*to) > bootCodeSize {
			return nil, fmt.Errorf("boot: Syslinux's %s of %d bytes does not fit in front of a table", path, len(*to))
		}
	}
	return x, x.find()
}

// inMemory is a disk in memory.
type inMemory []byte

func (m inMemory) WriteAt(b []byte, off int64) (int, error) {
	if off < 0 || off > int64(len(m)) {
		return 0, io.ErrShortWrite
	}
	if n := copy(m[off:], b); n < len(b) {
		return n, io.ErrShortWrite
	}
	return len(b), nil
}

// find finds the places to fill in, and refuses images of another Syslinux.
func (x *Extlinux) find() error {
	le := binary.LittleEndian
	bad := fmt.Errorf("boot: ldlinux.sys of %d bytes is not of a Syslinux that is known here", len(x.system))
	at := bytes.Index(x.system, le.AppendUint32(nil, syslinuxMagic))
	if at < 0 || at%4 != 0 || at+patchExtended+2 > len(x.system) || len(x.system)%sectorSize != 0 || len(x.system) > 1<<20 {
		return bad
	}
	area := x.system[at:]
	ext := int(le.Uint16(area[patchExtended:]))
	p := &x.patches
	p.area = at
	fields := []*uint16{&p.Aux, &p.Dir, &p.DirLen, &p.Subvol, &p.SubLen, &p.Sectors, &p.Count, &p.First0, &p.First1, &p.RAID}
	if ext+2*len(fields) > len(x.system) {
		return bad
	}
	for i, f := range fields {
		*f = le.Uint16(x.system[ext+2*i:])
	}
	n := len(x.system)
	switch {
	case int(le.Uint16(area[patchData:]))+auxSectors != n/sectorSize, le.Uint16(area[patchAux:]) != auxSectors,
		int(p.Aux)+16 > n, int(p.Dir)+int(p.DirLen) > n, int(p.Sectors)+int(p.Count)*extentSize > n, int(p.First0) > sectorSize-4, int(p.First1) > sectorSize-4,
		int(le.Uint32(area[patchDwords:]))*4 > n-auxSectors*sectorSize, sum(x.system, at) != le.Uint32(area[patchSum:]):
		return bad
	}
	return nil
}

// sum is the checksum of ldlinux.sys.
func sum(system []byte, area int) uint32 {
	le := binary.LittleEndian
	s := uint32(syslinuxMagic)
	for i := range int(le.Uint32(system[area+patchDwords:])) {
		if at := 4 * i; at != area+patchSum {
			s -= le.Uint32(system[at:])
		}
	}
	return s
}

// Files are the loader's files in the tree. What ldlinux.sys holds is known when
// its place is.
func (x *Extlinux) Files() (system, module File) {
	system, module = file(x.inTree+"/ldlinux.sys", ""), file(x.inTree+"/ldlinux.c32", "")
	system.Data, module.Data = x.system, x.module
	system.Mode = 0o444
	return system, module
}

// Code is what the first sector of a disk has in front of its table.
func (x *Extlinux) Code(gpt bool) []byte {
	if gpt {
		return x.gpt
	}
	return x.mbr
}

// Install ties the loader to its places: sectors are those of ldlinux.sys, in order,
// counted from the partition's start, which lies at the disk's sector start. It gives
// the partition's first sector, and ldlinux.sys.
func (x *Extlinux) Install(sectors []int64, start int64) (sector, system []byte, err error) {
	le := binary.LittleEndian
	p := x.patches
	if len(sectors) != len(x.system)/sectorSize {
		return nil, nil, fmt.Errorf("boot: ldlinux.sys has %d sectors, and places for %d", len(x.system)/sectorSize, len(sectors))
	}
	if len(x.home) >= int(p.DirLen) {
		return nil, nil, fmt.Errorf("boot: %s is too long a name for Syslinux", x.home)
	}
	system = bytes.Clone(x.system)
	copy(clearOf(system[p.Dir:][:p.DirLen]), x.home)
	list := clearOf(system[p.Sectors:][:int(p.Count)*extentSize])
	data := sectors[:len(sectors)-auxSectors]
	for i := 1; i < len(data); {
		n := 1
		for i+n < len(data) && n < mostInExtent && data[i+n] == data[i]+int64(n) {
			n++
		}
		if len(list) < extentSize {
			return nil, nil, fmt.Errorf("boot: ldlinux.sys lies in too many pieces")
		}
		le.PutUint64(list, uint64(data[i]))
		le.PutUint16(list[8:], uint16(n))
		list = list[extentSize:]
		i += n
	}
	for i, s := range sectors[len(data):] {
		le.PutUint64(system[int(p.Aux)+8*i:], uint64(s))
	}
	le.PutUint32(system[p.area+patchSum:], sum(system, p.area))
	sector = bytes.Clone(x.sector)
	clear(sector[bytesPerSector:sectorCode])
	le.PutUint16(sector[bytesPerSector:], sectorSize)
	le.PutUint16(sector[sectorsPerTrack:], 63) // what nothing has any more, and BIOSes still ask for
	le.PutUint16(sector[heads:], 255)
	le.PutUint32(sector[hiddenSectors:], uint32(start))
	le.PutUint32(sector[p.First0:], uint32(sectors[0]))
	le.PutUint32(sector[p.First1:], uint32(sectors[0]>>32))
	return sector, system, nil
}

func clearOf(b []byte) []byte {
	clear(b)
	return b
}

// extlinuxConfig starts the kernel that the distribution's links lead to. Its hooks
// (linux-update-symlinks) keep them when kernels come and go.
func (p Params) extlinuxConfig() (string, error) {
	line, err := p.commandLine()
	if err != nil {
		return "", err
	}
	var b bytes.Buffer
	if unit := p.serialUnit(); unit >= 0 {
		fmt.Fprintf(&b, "SERIAL %d 115200\n", unit)
	}
	prompt := 0
	if p.Timeout > 0 {
		prompt = 1
	}
	fmt.Fprintf(&b, "DEFAULT linux\nPROMPT %d\nTIMEOUT %d\nLABEL linux\n  MENU LABEL %s\n  LINUX %s\n  APPEND %s\n", prompt, 10*p.Timeout, p.entryTitle(0, ""), p.onBoot("boot/vmlinuz"), line)
	if p.Kernels[0].Initrd != "" {
		fmt.Fprintf(&b, "  INITRD %s\n", p.onBoot("boot/initrd.img"))
	}
	return b.String(), nil
}

// extlinuxFiles are the configuration, and links to the newest kernel beside kernels:
// the loader reads no other file system.
func (p Params) extlinuxFiles() ([]File, error) {
	config, err := p.extlinuxConfig()
	if err != nil {
		return nil, err
	}
	k := p.Kernels[0]
	out := []File{
		dir(extlinuxHome),
		file(extlinuxHome+"/extlinux.conf", config),
		file("etc/kernel-img.conf", "# linux-update-symlinks reads this: the boot loader reads the links.\ndo_symlinks = yes\nlink_in_boot = yes\n"),
		link("boot/vmlinuz", k.Image[len("boot/"):]),
	}
	if k.Initrd != "" {
		out = append(out, link("boot/initrd.img", k.Initrd[len("boot/"):]))
	}
	return out, nil
}
