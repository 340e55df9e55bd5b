package vm

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"golang.org/x/sys/unix"

	"ingot/internal/fault"
)

// A Format is how a disk's content lies in its file.
type Format string

// The formats that a machine can boot, by QEMU's names.
const (
	Raw   Format = "raw"
	Qcow2 Format = "qcow2"
	VMDK  Format = "vmdk"
	VHD   Format = "vpc"
	VHDX  Format = "vhdx"
	VDI   Format = "vdi"
)

// An image is an open disk file.
type image struct {
	file   *os.File
	format Format
	as     Medium
	sector int
	size   int64 // of the disk that the guest sees, in bytes
}

// openImage opens a disk for reading and finds its format and size. A qcow2
// that names another file is refused: its content would choose which files of the
// host are read.
func openImage(d Disk) (image, error) {
	// Not a FIFO: opening one would wait for a writer.
	file, err := os.OpenFile(d.Path, os.O_RDONLY|unix.O_NONBLOCK, 0)
	if err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return image{}, fault.Newf(fault.NotFound, "disk %s: no such file", d.Path)
		}
		return image{}, fmt.Errorf("disk: %w", err)
	}
	img, err := readImage(file, d)
	if err != nil {
		file.Close()
		return image{}, err
	}
	return img, nil
}

func readImage(file *os.File, d Disk) (image, error) {
	info, err := file.Stat()
	if err != nil {
		return image{}, fmt.Errorf("disk: %w", err)
	}
	if !info.Mode().IsRegular() {
		return image{}, fault.Newf(fault.Usage, "disk %s: not a regular file", d.Path).
			WithHint(takes)
	}
	head := make([]byte, headSize)
	n, err := file.ReadAt(head, 0)
	if err != nil && !errors.Is(err, io.EOF) {
		return image{}, fmt.Errorf("disk: %w", err)
	}
	head = head[:n]
	found := sniff(head)
	if tail := tailOf(file, info.Size()); found == "" || found == Raw {
		if bytes.HasPrefix(tail, vhdMagic) {
			found, head = VHD, tail
		}
	}
	isISO := (found == "" || found == Raw) && hasISO(head)
	if found == "" && isISO {
		found = Raw // from a CD alone
	}
	if found == "" && d.bare {
		found = Raw
	}
	format := d.Format
	if format == "" {
		if format = found; format == "" {
			return image{}, fault.Newf(fault.Usage, "disk %s: neither of a format that is known here nor a disk with a boot sector", d.Path).
				WithHint(takes)
		}
	}
	img := image{file: file, format: format, as: d.As, sector: d.SectorSize, size: info.Size()}
	if img.sector == 0 && format == Raw && hasGPT(head, 4096) && !hasGPT(head, 512) {
		img.sector = 4096
	}
	if img.as == "" {
		img.as = HardDisk
		if isISO {
			img.as = CD
		}
	}
	switch format {
	case Qcow2:
		if img.size, err = qcow2Size(head); err != nil {
			return image{}, fault.Newf(fault.Usage, "disk %s: %w", d.Path, err)
		}
	case Raw:
		if img.size == 0 || img.size%512 != 0 {
			return image{}, fault.Newf(fault.Usage, "disk %s: %d bytes are no whole number of sectors", d.Path, img.size).
				WithHint("the file may be truncated; build or pull it again")
		}
	case VMDK, VHD, VHDX, VDI:
		if img.size, err = sizeOf(format, file, head); err != nil {
			return image{}, fault.Newf(fault.Usage, "disk %s: %w", d.Path, err)
		}
	default:
		return image{}, fault.Newf(fault.Usage, "disk %s: format %q: not supported", d.Path, format)
	}
	return img, nil
}

// takes is what to boot instead.
const takes = "boot takes a disk image: raw, qcow2, vmdk, vhd, vhdx, vdi or iso; the disk of an appliance is unpacked by tar first"

// isoMagic stands at the start of an ISO image's first descriptor, behind its type
// (ECMA-119, 8.1.2).
var isoMagic = []byte("CD001")

const (
	isoAt    = 16*2048 + 1
	headSize = 17 * 2048
)

// hasGPT says whether a disk of sectors of a size has a GPT, whose header is the second
// sector (UEFI specification, 5.3.2).
func hasGPT(head []byte, sector int) bool {
	return len(head) > sector && bytes.HasPrefix(head[sector:], []byte("EFI PART"))
}

func hasISO(head []byte) bool {
	return len(head) >= headSize && bytes.HasPrefix(head[isoAt:], isoMagic)
}

var qcow2Magic = []byte("QFI\xfb")

// sniff tells a disk's format by its first sector, or "".
func sniff(head []byte) Format {
	switch {
	case bytes.HasPrefix(head, qcow2Magic):
		return Qcow2
	case bytes.HasPrefix(head, vmdkMagic):
		return VMDK
	case bytes.HasPrefix(head, vhdMagic):
		return VHD
	case bytes.HasPrefix(head, vhdxMagic):
		return VHDX
	case len(head) >= 0x44 && binary.LittleEndian.Uint32(head[0x40:]) == vdiMagic:
		return VDI
	case len(head) >= 512 && head[510] == 0x55 && head[511] == 0xaa:
		return Raw
	}
	return ""
}

// maxDisk is the largest disk that is run, so that sizes cannot overflow and an
// overlay's table stays small.
const maxDisk = 16 << 40

// qcow2Size reads the disk's size from a qcow2 header (QEMU's
// docs/interop/qcow2.txt) and refuses one that needs other files or keys.
func qcow2Size(head []byte) (int64, error) {
	if len(head) < 72 || !bytes.HasPrefix(head, qcow2Magic) {
		return 0, errors.New("no qcow2 header")
	}
	be := binary.BigEndian
	version := be.Uint32(head[4:])
	if version != 2 && version != 3 {
		return 0, fmt.Errorf("qcow2 of version %d: not supported", version)
	}
	if be.Uint64(head[8:]) != 0 {
		return 0, errors.New("qcow2 has a backing file: not supported")
	}
	if be.Uint32(head[32:]) != 0 {
		return 0, errors.New("qcow2 is encrypted: not supported")
	}
	if version == 3 {
		if len(head) < 104 {
			return 0, errors.New("no whole qcow2 header")
		}
		if be.Uint64(head[72:])&(1<<2) != 0 {
			return 0, errors.New("qcow2 has an external data file: not supported")
		}
	}
	size := be.Uint64(head[24:])
	if size == 0 || size%512 != 0 || size > maxDisk {
		return 0, fmt.Errorf("qcow2 of %d bytes: not supported", size)
	}
	return int64(size), nil
}

// The overlay's geometry: clusters of 64 KiB, references of 8 bytes, counts of
// 16 bits, which are QEMU's own defaults.
const (
	clusterBits = 16
	cluster     = 1 << clusterBits
	perTable    = cluster / 8               // references in one cluster
	perL1       = int64(cluster) * perTable // bytes of disk that one first-level entry covers
)

// overlayHeader is an empty qcow2 of a disk's size: a header, one cluster of
// refcount table, one of refcounts, and the first-level table. It names no backing
// file; QEMU is told on its command line what lies below.
func overlayHeader(size int64) []byte {
	entries := (size + perL1 - 1) / perL1
	tables := (entries*8 + cluster - 1) / cluster
	out := make([]byte, (3+tables)*cluster)
	be := binary.BigEndian
	copy(out, qcow2Magic)
	be.PutUint32(out[4:], 3)
	be.PutUint32(out[20:], clusterBits)
	be.PutUint64(out[24:], uint64(size))
	be.PutUint32(out[36:], uint32(entries))
	be.PutUint64(out[40:], 3*cluster) // first-level table
	be.PutUint64(out[48:], 1*cluster) // refcount table
	be.PutUint32(out[56:], 1)         // of one cluster
	be.PutUint32(out[96:], 4)         // counts of 2^4 bits
	be.PutUint32(out[100:], 104)      // header's length
	be.PutUint64(out[cluster:], 2*cluster)
	for i := range 3 + tables {
		be.PutUint16(out[2*cluster+2*i:], 1)
	}
	return out
}

// newOverlay makes an overlay without a name in a directory.
func newOverlay(dir string, size int64) (*os.File, error) {
	fd, err := unix.Open(dir, unix.O_TMPFILE|unix.O_RDWR|unix.O_CLOEXEC, 0o600)
	var file *os.File
	if err == nil {
		file = os.NewFile(uintptr(fd), dir+"/overlay")
	} else {
		// Not every file system has O_TMPFILE.
		if file, err = os.CreateTemp(dir, "ingot-overlay-"); err != nil {
			return nil, fmt.Errorf("overlay: %w", err)
		}
		if err := os.Remove(file.Name()); err != nil {
			file.Close()
			return nil, fmt.Errorf("overlay: %w", err)
		}
	}
	if _, err := file.WriteAt(overlayHeader(size), 0); err != nil {
		file.Close()
		if errors.Is(err, unix.ENOSPC) {
			return nil, fault.Newf(fault.Preflight, "overlay in %s: %w", dir, err).
				WithHint("set TMPDIR to a directory with space")
		}
		return nil, fmt.Errorf("overlay: %w", err)
	}
	return file, nil
}

// memory makes a file that lies in memory only, with the content of r.
func memory(name string, r io.Reader) (*os.File, error) {
	fd, err := unix.MemfdCreate(name, unix.MFD_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("memory file %s: %w", name, err)
	}
	file := os.NewFile(uintptr(fd), name)
	if _, err := io.Copy(file, r); err != nil {
		file.Close()
		return nil, fmt.Errorf("memory file %s: %w", name, err)
	}
	return file, nil
}
