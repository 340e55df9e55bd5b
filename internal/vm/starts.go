package vm

import (
	"bytes"
	"compress/flate"
	"encoding/binary"
	"io"
	"os"

	"github.com/klauspost/compress/zstd"
)

// FirmwareOf is the firmware that a disk starts by, as far as its first sectors show: UEFI
// of a GPT without a program for a BIOS, which would run into nothing and never say so;
// else BIOS, as with what cannot be read here.
func FirmwareOf(d Disk) Firmware {
	img, err := openImage(d)
	if err != nil {
		return BIOS
	}
	defer img.file.Close()
	head := firstBytes(img)
	switch {
	case img.as == CD:
		return BIOS // El Torito has a program for each
	case hasGPT(head, 4096) && !hasGPT(head, 512):
		return UEFI // no BIOS reads such sectors
	case hasGPT(head, 512) && len(bytes.Trim(head[:bootCode], "\x00")) == 0:
		return UEFI
	}
	return BIOS
}

const (
	bootCode  = 440  // bytes of an MBR's program, which a GPT leaves as they are
	firstSize = 8192 // bytes of a disk that hold its first two sectors, whatever their size
)

// firstBytes are the first bytes of a disk, or nil. Only of some formats are they known:
// those whose files have them in front, and qcow2.
func firstBytes(img image) []byte {
	head := make([]byte, firstSize)
	n, _ := img.file.ReadAt(head, 0)
	if head = head[:n]; img.format == Qcow2 {
		return qcow2Head(img.file, head)
	}
	return head
}

// qcow2Head reads the first cluster of a qcow2 by its tables (QEMU's
// docs/interop/qcow2.txt), or gives nil.
func qcow2Head(file *os.File, head []byte) []byte {
	const offsets, compressed, subclusters = 0x00fffffffffffe00, 1 << 62, 1 << 4
	be := binary.BigEndian
	if len(head) < 112 {
		return nil
	}
	bits, version := be.Uint32(head[20:]), be.Uint32(head[4:])
	if bits < 9 || bits > 21 || version == 3 && be.Uint64(head[72:])&subclusters != 0 {
		return nil
	}
	entry := func(at uint64) uint64 {
		var b [8]byte
		if _, err := file.ReadAt(b[:], int64(at&offsets)); err != nil || at&offsets == 0 {
			return 0
		}
		return be.Uint64(b[:])
	}
	e := entry(entry(be.Uint64(head[40:])))
	out := make([]byte, firstSize)
	if e&compressed == 0 {
		if e&offsets == 0 {
			return nil
		}
		n, _ := file.ReadAt(out, int64(e&offsets))
		return out[:min(n, 1<<bits)]
	}
	width := 62 - (bits - 8)
	at := int64(e & (1<<width - 1))
	size := int64(e>>width&(1<<(bits-8)-1)+1)*512 - at%512
	var r io.Reader = flate.NewReader(io.NewSectionReader(file, at, size))
	if version == 3 && be.Uint32(head[100:]) > 104 && head[104] == 1 {
		z, err := zstd.NewReader(io.NewSectionReader(file, at, size), zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(16<<20))
		if err != nil {
			return nil
		}
		defer z.Close()
		r = z
	}
	n, _ := io.ReadFull(r, out)
	return out[:n]
}
