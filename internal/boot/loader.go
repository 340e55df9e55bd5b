package boot

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"path"
	"slices"

	"ingot/internal/blockdevice"
	"ingot/internal/fat"
)

// Tools runs programs of the tools tree. The sandbox is one; in tests, the host.
type Tools interface {
	// Run runs argv in an empty directory that holds the inputs, and gives the
	// files that it left under the names of outputs.
	Run(ctx context.Context, argv []string, stdin []byte, inputs map[string][]byte, outputs []string) (map[string][]byte, error)
	// ReadFile reads a file of the tools tree, by absolute path.
	ReadFile(path string) ([]byte, error)
}

// LoaderOptions say which loader is made.
type LoaderOptions struct {
	Arch     string
	Loader   string   `json:",omitempty"` // one of the loaders' names; "" is [GRUB], the one that is made here
	Firmware []string // "bios", "uefi"; none is all that the architecture has
	Places   Places
	Secure   bool // the UEFI programs come from elsewhere: [Loader.Secure]
	Live     bool // for a medium, CD or stick, in place of a disk: Places say nothing
}

// The loaders, by the names that definitions have for them.
const (
	GRUB          = "grub"
	SDBoot        = "systemd-boot"
	UnifiedKernel = "uki"
	Syslinux      = "extlinux"
	None          = "none" // the kernel is started from outside of the disk
)

// A Loader is a boot loader's images, not yet tied to a place on a disk.
type Loader struct {
	bootImage []byte     // boot.img, or nil without BIOS
	cd        []byte     // cdboot.img, of a medium's
	core      []byte     // core.img
	esp       []fat.File // what the EFI system partition holds; nil without UEFI
	room      int64      // bytes that should be free there
	ext       *Extlinux  // nil without
}

// modules are what grub.cfg may ask for: ours, and the ones that Debian's
// update-grub writes. Debian's signed GRUB has about the same.
var modules = []string{
	"all_video", "boot", "cat", "chain", "configfile", "echo", "eval", "ext2", "fat", "font", "gettext", "gfxmenu",
	"gfxterm", "gfxterm_background", "gzio", "halt", "help", "keystatus", "linux", "loadenv", "ls", "minicmd",
	"normal", "part_gpt", "part_msdos", "password_pbkdf2", "png", "probe", "read", "reboot", "regexp", "search",
	"search_fs_file", "search_fs_uuid", "search_label", "serial", "sleep", "terminal", "test", "true", "video", "zstd",
}

var (
	biosModules = []string{"biosdisk", "vbe", "vga"}
	efiModules  = []string{"efi_gop", "efifwsetup"}
	newModules  = []string{"bli"} // on UEFI: GRUB 2.12's grub.cfg asks for it; 2.06 has none
)

// MakeLoader has grub-mkimage make the images. The same tools and options give
// the same bytes.
func MakeLoader(ctx context.Context, tools Tools, o LoaderOptions) (Loader, error) {
	a, err := lookupArch(o.Arch)
	if err != nil {
		return Loader{}, err
	}
	if slices.Contains(o.Firmware, blockdevice.Direct) {
		return Loader{}, nil
	}
	if o.Loader == Syslinux {
		ext, err := makeExtlinux(ctx, tools, o.Places)
		return Loader{ext: ext}, err
	}
	own, format := o.Places.modules(), "i386-pc"
	var prefix, efiPrefix string
	if o.Live {
		// Without a device: where GRUB came from, which a BIOS calls by the number of the
		// CD or the disk.
		own, format, prefix, efiPrefix = []string{"iso9660"}, "i386-pc-eltorito", "/boot/grub", "/"+path.Dir(grubLead)
	} else {
		if prefix, err = o.Places.prefix(); err != nil {
			return Loader{}, err
		}
		efiPrefix = prefix
	}
	var l Loader
	if a.bios && wants(o.Firmware, "bios") {
		const dir = "/usr/lib/grub/i386-pc"
		if l.bootImage, err = tools.ReadFile(dir + "/boot.img"); err != nil {
			return Loader{}, fmt.Errorf("boot: cannot read GRUB's first sector: %w", err)
		}
		if l.core, err = mkimage(ctx, tools, format, dir, prefix, slices.Concat(own, biosModules)); err != nil {
			return Loader{}, err
		}
		if o.Live {
			n := min(cdSector, len(l.core))
			l.cd, l.core = l.core[:n], l.core[n:]
		}
		if err := l.check(); err != nil {
			return Loader{}, err
		}
	}
	if wants(o.Firmware, "uefi") && !o.Secure {
		dir := "/usr/lib/grub/" + a.efiPlatform
		list, err := tools.ReadFile(dir + "/moddep.lst") // a line a module: "bli: part_gpt"
		if err != nil {
			return Loader{}, fmt.Errorf("boot: cannot read GRUB's list of modules: %w", err)
		}
		more := slices.DeleteFunc(slices.Clone(newModules), func(m string) bool {
			return !bytes.Contains(append([]byte("\n"), list...), []byte("\n"+m+":"))
		})
		efi, err := mkimage(ctx, tools, a.efiPlatform, dir, efiPrefix, slices.Concat(own, more, efiModules))
		if err != nil {
			return Loader{}, err
		}
		if !bytes.HasPrefix(efi, []byte("MZ")) {
			return Loader{}, fmt.Errorf("boot: grub-mkimage for %s made something else than a UEFI program", a.efiPlatform)
		}
		l.esp = []fat.File{{Path: a.efiFile, Data: efi}}
	}
	return l, nil
}

func mkimage(ctx context.Context, tools Tools, format, dir, prefix string, more []string) ([]byte, error) {
	argv := []string{"grub-mkimage", "--format=" + format, "--directory=" + dir, "--prefix=" + prefix, "--output=image"}
	argv = append(append(argv, modules...), more...)
	out, err := tools.Run(ctx, argv, nil, nil, []string{"image"})
	if err != nil {
		return nil, fmt.Errorf("boot: grub-mkimage for %s: %w", format, err)
	}
	return out["image"], nil
}

// Places in boot.img and in the first sector of core.img (diskboot.img), from
// GRUB's boot.S, diskboot.S and offsets.h.
const (
	sectorSize     = 512
	kernelSector   = 0x5C       // boot.img: u64, where core.img begins
	driveCheck     = 0x66       // boot.img: a jump over code that trusts the BIOS about the drive
	firstBlockList = 0x200 - 12 // diskboot.img: u64 start, u16 length, u16 segment
	bootCodeSize   = 440        // of boot.img, what is not partition table
	coreSegment    = 0x800 + 0x200/16
)

// check refuses images whose places hold other than a GRUB's would.
func (l Loader) check() error {
	b, c := l.bootImage, l.core
	switch {
	case len(b) != sectorSize || b[510] != 0x55 || b[511] != 0xAA:
		return fmt.Errorf("boot: boot.img of %d bytes is not a boot sector", len(b))
	case binary.LittleEndian.Uint64(b[kernelSector:]) != 1 || b[driveCheck] != 0xEB:
		return fmt.Errorf("boot: boot.img is not of a GRUB that is known here")
	case len(c) <= sectorSize || int(binary.LittleEndian.Uint16(c[firstBlockList+8:])) != (len(c)-1)/sectorSize:
		return fmt.Errorf("boot: core.img of %d bytes does not list its own sectors", len(c))
	case binary.LittleEndian.Uint16(c[firstBlockList+10:]) != coreSegment:
		return fmt.Errorf("boot: core.img is not of a GRUB that is known here")
	}
	return nil
}

// CoreSize is how many bytes of BIOS boot partition the loader needs, 0 without
// BIOS.
func (l Loader) CoreSize() int64 { return int64(len(l.core)) }

// At ties the loader to a place: core, to be written at the byte offset of the
// disk that is given, a multiple of 512; and code for the disk's first 440 bytes
// that loads it from there. Both are nil without BIOS.
func (l Loader) At(offset int64) (code, core []byte) {
	if l.core == nil {
		return nil, nil
	}
	le := binary.LittleEndian
	start := uint64(offset / sectorSize)
	code = bytes.Clone(l.bootImage[:bootCodeSize])
	le.PutUint64(code[kernelSector:], start)
	// Some BIOSes give a wrong drive number for the first hard disk. GRUB's
	// installer replaces the jump on every disk that is no floppy.
	code[driveCheck], code[driveCheck+1] = 0x90, 0x90
	core = bytes.Clone(l.core)
	le.PutUint64(core[firstBlockList:], start+1)
	return code, core
}

// ESP is what the EFI system partition holds; nothing without UEFI.
func (l Loader) ESP() []fat.File { return l.esp }

// Extlinux is the loader's part that lies in the file system of /boot, or nil.
func (l Loader) Extlinux() *Extlinux { return l.ext }

// Room is how many bytes of the EFI system partition should be free for what an update
// brings.
func (l Loader) Room() int64 { return l.room }
