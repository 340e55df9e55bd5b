package dib

import (
	"fmt"
	"strings"
)

// roundUp is a number of KiB as a multiple of 64: compressed images of others were
// known to be bad (diskimage-builder's disk-image-create says of which program).
func roundUp(kib int64) int64 { return (kib + 63) / 64 * 64 }

const (
	usualJournal = 64        // MiB of the root file system's journal
	efiRoom      = 525 << 10 // KiB beside the content for the ESP of block-device-efi*
)

// DiskSize is the size in bytes of the disk for a tree that takes so many KiB, as
// du counts, with a root file system of a type: the size asked for; else the content
// and what was asked for beside it; else the content is to be 0.6 of it. What was not
// asked for exactly also gets room for ext4's journal. Where an element is called
// block-device-efi*, room for its ESP comes on top of any of them.
func (r Request) DiskSize(usedKiB int64, fsType string, elements []string) int64 {
	if r.ImageSize != 0 {
		return r.ImageSize + efi(elements)<<10
	}
	kib := int64(float64(usedKiB) / 0.6)
	if r.ExtraSize != nil {
		kib = usedKiB + *r.ExtraSize>>10
	}
	if fsType == "ext4" {
		kib += r.journal() << 10
	}
	return roundUp(kib+efi(elements)) << 10
}

func efi(elements []string) int64 {
	if strings.Contains(strings.Join(elements, " "), "block-device-efi") {
		return efiRoom
	}
	return 0
}

func (r Request) journal() int64 {
	if r.JournalSize == 0 {
		return usualJournal
	}
	return r.JournalSize
}

// RootOptions are the options of mkfs for a root file system of a type, which is
// the layout's: ext4 gets inodes and a journal that leave it room to grow.
func (r Request) RootOptions(fsType string) string {
	var all []string
	if r.MaxOnlineResize != "" {
		all = append(all, "-E resize="+r.MaxOnlineResize)
	}
	if fsType == "ext4" {
		all = append(all, fmt.Sprintf("-i 4096 -J size=%d", r.journal()))
	}
	if r.MkfsOptions != "" {
		all = append(all, r.MkfsOptions)
	}
	return strings.Join(all, " ")
}
