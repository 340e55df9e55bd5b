package vm

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
)

// How the formats of other hypervisors begin; a fixed VHD ends that way.
var (
	vmdkMagic = []byte("KDMV")
	vhdMagic  = []byte("conectix")
	vhdxMagic = []byte("vhdxfile")
)

const vdiMagic = 0xbeda107f

// tailOf is the last sector of a file, or nothing.
func tailOf(file *os.File, size int64) []byte {
	b := make([]byte, 512)
	if size < 512 {
		return nil
	}
	if _, err := file.ReadAt(b, size-512); err != nil {
		return nil
	}
	return b
}

// sizeOf reads the disk's size from a file of another hypervisor's format. Their
// places are from VMware's Virtual Disk Format 5.0, Microsoft's VHD specification and
// MS-VHDX, and VirtualBox's VDICore.h.
func sizeOf(f Format, file io.ReaderAt, head []byte) (int64, error) {
	var size uint64
	le := binary.LittleEndian
	switch f {
	case VMDK:
		if len(head) < 512 {
			return 0, errors.New("no whole vmdk header")
		}
		size = le.Uint64(head[12:])
		if size > maxDisk/512 {
			return 0, fmt.Errorf("vmdk of %d sectors: not supported", size)
		}
		size *= 512
	case VHD:
		if len(head) < 512 {
			return 0, errors.New("no whole vhd footer")
		}
		if kind := binary.BigEndian.Uint32(head[60:]); kind != 2 && kind != 3 {
			return 0, fmt.Errorf("vhd of type %d: not supported", kind) // 4 names another file
		}
		size = binary.BigEndian.Uint64(head[48:])
	case VDI:
		if len(head) < 0x178 {
			return 0, errors.New("no whole vdi header")
		}
		size = le.Uint64(head[0x170:])
	case VHDX:
		var err error
		if size, err = vhdxSize(file); err != nil {
			return 0, err
		}
	default:
		return 0, fmt.Errorf("format %q: not supported", f)
	}
	if size == 0 || size%512 != 0 || size > maxDisk {
		return 0, fmt.Errorf("%s of %d bytes: not supported", f, size)
	}
	return int64(size), nil
}

// Identities in a VHDX file: of its metadata region, and in that of the disk's size.
var (
	vhdxMetadata = []byte{0x06, 0xa2, 0x7c, 0x8b, 0x90, 0x47, 0x9a, 0x4b, 0xb8, 0xfe, 0x57, 0x5f, 0x05, 0x0f, 0x88, 0x6e}
	vhdxDiskSize = []byte{0x24, 0x42, 0xa5, 0x2f, 0x1b, 0xcd, 0x76, 0x48, 0xb2, 0x11, 0x5d, 0xbe, 0xd8, 0x3b, 0xf4, 0xb8}
)

// vhdxSize finds the disk's size by way of the region table at 192 KiB and the
// metadata table.
func vhdxSize(file io.ReaderAt) (uint64, error) {
	le := binary.LittleEndian
	region := make([]byte, 64<<10)
	if _, err := file.ReadAt(region, 192<<10); err != nil || !bytes.HasPrefix(region, []byte("regi")) {
		return 0, errors.New("no region table of a vhdx")
	}
	at, ok := vhdxEntry(region, 16, int(le.Uint32(region[8:])), 32, vhdxMetadata)
	if !ok {
		return 0, errors.New("vhdx without metadata")
	}
	base := int64(le.Uint64(at[16:]))
	table := make([]byte, 64<<10)
	if base < 0 || base > maxDisk {
		return 0, errors.New("vhdx without metadata")
	}
	if _, err := file.ReadAt(table, base); err != nil || !bytes.HasPrefix(table, []byte("metadata")) {
		return 0, errors.New("no metadata table of a vhdx")
	}
	item, ok := vhdxEntry(table, 32, int(le.Uint16(table[10:])), 32, vhdxDiskSize)
	if !ok {
		return 0, errors.New("vhdx does not say its size")
	}
	b := make([]byte, 8)
	if _, err := file.ReadAt(b, base+int64(le.Uint32(item[16:]))); err != nil {
		return 0, errors.New("vhdx does not say its size")
	}
	return le.Uint64(b), nil
}

// vhdxEntry finds the entry of a table that begins with an identity.
func vhdxEntry(table []byte, from, count, size int, id []byte) ([]byte, bool) {
	for i := range min(count, (len(table)-from)/size) {
		if e := table[from+i*size:][:size]; bytes.Equal(e[:16], id) {
			return e, true
		}
	}
	return nil, false
}
