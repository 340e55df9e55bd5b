package vm

import (
	"io"
	"strings"
	"time"

	"ingot/internal/fault"
)

// A Firmware is what starts a machine before its disk does.
type Firmware string

// The firmwares.
const (
	BIOS   Firmware = "bios"   // SeaBIOS
	UEFI   Firmware = "uefi"   // OVMF without Secure Boot
	Secure Firmware = "secure" // OVMF that starts only what Microsoft's keys have signed
)

// IsUEFI says whether a firmware is UEFI's.
func (f Firmware) IsUEFI() bool { return f == UEFI || f == Secure }

// A Network says what the guest reaches. In each case a network card is there and
// DHCP answers.
type Network string

// The kinds of network.
const (
	Isolated Network = ""    // DHCP and nothing more
	NAT      Network = "nat" // whatever the host reaches, as one of its processes
)

// Defaults of a Spec, and of who waits for a machine. A boot under TCG takes twenty seconds,
// on a busy machine minutes: what is broken mostly says so at once, and a machine that is
// merely slow is not broken.
const (
	DefaultMemory  int64 = 1 << 30
	DefaultCPUs          = 2
	DefaultTimeout       = 10 * time.Minute
)

// A Spec says which machine to run.
type Spec struct {
	Disk     Disk     // what it boots
	Drives   []Disk   // further disks, in order; the guest's writes to them vanish too
	Arch     string   // Debian's name; "" is amd64
	Firmware Firmware // "" is BIOS
	Trust    []byte   // with [Secure]: a certificate (DER) that is trusted in place of Microsoft's; nil is Microsoft's
	Direct   Direct   // what is started in place of the disk's boot loader
	Memory   int64    // bytes; 0 is DefaultMemory
	CPUs     int      // 0 is DefaultCPUs
	Network  Network
	Forward  []uint16 // TCP ports of the guest that get a free port of the host's loopback
	Agent    bool     // commands will be run in the guest
	Accel    string   // "kvm" or "tcg"; "" probes

	Tools   Toolbox   // where QEMU and firmware come from; nil is the host
	Scratch string    // directory for the overlays; "" is $TMPDIR or /var/tmp
	Cache   string    // directory that keeps the probe's answer; "" keeps none
	Log     io.Writer // gets the console's bytes as they come, or nil
}

// A Direct kernel is started by the machine itself, as hypervisors do: the disk needs
// no boot loader.
type Direct struct {
	Kernel, Initrd string // paths; no kernel is what the firmware finds on the disk
	CommandLine    string
}

// A Disk is a file that a machine reads as a disk.
type Disk struct {
	Path   string
	Format Format // "" is found by looking
	As     Medium // "" is [CD] for an ISO image, [HardDisk] for all else
	bare   bool   // it may have no boot sector: a raw one then
	// SectorSize is in how many bytes the machine reads it: 512 or 4096. 0 is what
	// the partition table of a raw disk says, else 512.
	SectorSize int
}

func words(media []Medium) string {
	var out []string
	for _, m := range media {
		out = append(out, string(m))
	}
	return strings.Join(out, ", ")
}

// settled is the spec with its defaults filled in, or why it cannot run.
func (s Spec) settled() (Spec, error) {
	if s.Arch == "" {
		s.Arch = "amd64"
	}
	if s.Firmware == "" {
		s.Firmware = BIOS
	}
	if s.Memory == 0 {
		s.Memory = DefaultMemory
	}
	if s.CPUs == 0 {
		s.CPUs = DefaultCPUs
	}
	if s.Tools == nil {
		s.Tools = Host()
	}
	switch {
	case s.Arch != "amd64":
		return s, fault.Newf(fault.Usage, "machine of architecture %q: not supported yet", s.Arch).
			WithHint("machines of amd64 can be booted")
	case s.Firmware != BIOS && !s.Firmware.IsUEFI():
		return s, fault.Newf(fault.Usage, "firmware %q: not known", s.Firmware).
			WithHint("the firmwares are bios, uefi and secure")
	case s.Trust != nil && s.Firmware != Secure:
		return s, fault.Newf(fault.Usage, "firmware %s trusts no certificate: it starts anything", s.Firmware).
			WithHint("the firmware secure does")
	case s.Direct.Kernel == "" && (s.Direct.Initrd != "" || s.Direct.CommandLine != ""):
		return s, fault.Newf(fault.Usage, "an initramfs or a command line, and no kernel").
			WithHint("a machine takes all of them from its disk, or none")
	case s.Disk.As != "" && !s.Disk.As.known():
		return s, fault.Newf(fault.Usage, "medium %q: not known", s.Disk.As).
			WithHint("the media are %s", words(Media()))
	case s.Disk.SectorSize != 0 && s.Disk.SectorSize != 512 && s.Disk.SectorSize != 4096:
		return s, fault.Newf(fault.Usage, "sectors of %d bytes: neither 512 nor 4096", s.Disk.SectorSize)
	case s.Memory < 64<<20:
		return s, fault.Newf(fault.Usage, "memory of %d bytes: less than 64 MiB", s.Memory)
	case s.Memory%(1<<20) != 0:
		return s, fault.Newf(fault.Usage, "memory of %d bytes: not a whole number of MiB", s.Memory)
	case s.CPUs < 1 || s.CPUs > 255:
		return s, fault.Newf(fault.Usage, "%d processors: not between 1 and 255", s.CPUs)
	case s.Network != Isolated && s.Network != NAT:
		return s, fault.Newf(fault.Usage, "network %q: not known", s.Network)
	case s.Accel != "" && s.Accel != KVM && s.Accel != TCG:
		return s, fault.Newf(fault.Usage, "acceleration %q: not known", s.Accel)
	}
	return s, nil
}
