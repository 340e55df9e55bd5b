// Package blockdevice reads the language in which disks are described:
// diskimage-builder's block-device configuration, with a few words more.
//
// A description is a list of nodes. Each has a kind, a name, and a base on which it
// stands, and together they are a graph without rings:
//
//	local_loop ─▶ partition ─▶ mkfs ─▶ mount ─▶ fstab
//	     │            └─▶ pv ─▶ vg ─▶ lv ─▶ mkfs …
//	     └─▶ mkfs …
//
// and wherever a file system or a pv can stand, a luks can stand below it.
//
// It may be written as a graph, where every node is an item of the list and names
// its base, or as a tree, where a node stands within its base, or as any mixture:
//
//	# as a graph
//	- local_loop: {name: disk}
//	- partitioning: {base: disk, label: gpt, partitions: [{name: root, size: 100%}]}
//	- mkfs: {name: mkfs_root, base: root, type: ext4}
//	- mount: {name: mount_mkfs_root, base: mkfs_root, mount_point: /}
//
//	# as a tree
//	- local_loop:
//	    name: disk
//	    partitioning:
//	      label: gpt
//	      partitions: [{name: root, size: 100%, mkfs: {type: ext4, mount: {mount_point: /}}}]
//
// A node within another has that one's name for its base, and KIND_BASE for its
// name unless it says another. The file system called mkfs_root is special: it
// takes its type, label and options from [Params] where it says none.
//
// [Parse] checks all of it and gives a [Config], whose nodes are linked to each
// other and stand in an order in which they can be made. [Config.Fit] gives each
// device its place, once it is known how large the contents are. Nothing here writes
// a byte or derives an identity.
//
// # What differs from diskimage-builder
//
// Sizes are computed as diskimage-builder computes them, to the byte. But what it
// ignores is an error here: unknown keys (warnings if [Params].Lenient is set),
// types that MBR cannot say, a second use of one device, partitions that do not
// fit. Several swaps may be mounted at none.
//
// Ours are further: a short form instead of the list ([Forms]); a local_loop without
// size, which becomes as large as its content needs; more than one local_loop; the
// size fit, and least, of partitions and logical volumes; percentages as sizes of
// logical volumes; types of partitions by name; uuid of partitions and tables; nodes
// within items of lvs; linear and striped among the types of lvs, with stripes and
// stripe-size; extent-size of vgs; luks and verity; free and
// subvolumes of mkfs; by and discard of fstab.
package blockdevice

import (
	"go.yaml.in/yaml/v4"

	"ingot/internal/gpt"
)

// A Kind is what a node is, by the word of the language.
type Kind string

// The kinds. PVs, VGs and LVs are items of the lists of an lvm node, and partitions
// items of a partitioning, which itself is no node of the graph.
const (
	KindLoop         Kind = "local_loop"
	KindPartitioning Kind = "partitioning"
	KindPartition    Kind = "partition"
	KindLVM          Kind = "lvm"
	KindPV           Kind = "pv"
	KindVG           Kind = "vg"
	KindLV           Kind = "lv"
	KindLUKS         Kind = "luks"
	KindVerity       Kind = "verity"
	KindMkfs         Kind = "mkfs"
	KindSubvolume    Kind = "subvolume"
	KindMount        Kind = "mount"
	KindFstab        Kind = "fstab"
)

// one is the kind with its article, for messages.
func (k Kind) one() string {
	switch k {
	case KindLVM, KindLV, KindMkfs:
		return "an " + string(k)
	default:
		return "a " + string(k)
	}
}

// A Config is a description that was found to be whole.
type Config struct {
	// Form is the short form that was written, or "".
	Form string
	// Nodes are all nodes in an order in which they can be made: a base before what
	// stands on it, partitions as in their table, mounts by mount point, and
	// otherwise as in the text.
	Nodes []Node
	// Disks are the local_loops, in the order of the text. The first is the disk
	// that is started from.
	Disks []*LocalLoop
	// Groups are the volume groups of all lvm nodes, in the order of the text.
	Groups []*VG
	// Containers are in the order of the text.
	Containers []*LUKS
	// Verities are in the order of the text.
	Verities []*Verity
	// Filesystems are in the order of the text.
	Filesystems []*Mkfs
	// Mounts are in mount order: by mount point, as strings.
	Mounts []*Mount
	// Fstab is in mount order.
	Fstab []*Fstab
	// Warnings are what is odd and does not matter.
	Warnings []Problem

	arch string
}

// Root is the file system that is mounted at /.
func (c *Config) Root() *Mkfs {
	for _, m := range c.Mounts {
		if m.Point == "/" {
			return m.FS
		}
	}
	return nil
}

// Find is the node of a name, or nil.
func (c *Config) Find(name string) Node {
	for _, n := range c.Nodes {
		if n.Head().Name == name {
			return n
		}
	}
	return nil
}

// A Node is one of *[LocalLoop], *[Partition], *[LVM], *[PV], *[VG], *[LV],
// *[LUKS], *[Verity], *[Mkfs], *[Subvolume], *[Mount] and *[Fstab].
type Node interface {
	// Head is what all nodes have.
	Head() *Header
	// keys are what may be written of the node, bound to its fields.
	keys() []key
}

// A Header is what all nodes have.
type Header struct {
	Kind Kind
	Name string
	At   *yaml.Node // the node's keys and values; nil if it was not written by the user

	bases  []string              // names
	values map[string]*yaml.Node // by key
	index  int                   // in the order of the text
}

// Head is the header itself.
func (h *Header) Head() *Header { return h }

// Where is the value of a key, or the node where the key is not written.
func (h *Header) Where(key string) *yaml.Node {
	if v := h.values[key]; v != nil {
		return v
	}
	return h.At
}

// A LocalLoop is a disk. The name comes from how diskimage-builder makes one.
type LocalLoop struct {
	Header
	Size      int64         // bytes, a multiple of BlockSize; 0 is as large as its content needs
	BlockSize int64         // bytes of a sector: 512 or 4096
	Table     *Partitioning // nil if the disk as a whole is the base of something, or of nothing

	said      int64 // Size as it was written
	directory string
}

// A Label is a kind of partition table.
type Label string

// The kinds of partition tables.
const (
	GPT Label = "gpt"
	MBR Label = "mbr"
)

// A Partitioning is a partition table. It is no node of the graph.
type Partitioning struct {
	Header
	Disk       *LocalLoop
	Label      Label
	Align      int64  // bytes; 1 MiB on GPT
	UUID       string // of the table: a GUID on GPT, 8 hexadecimal digits on MBR; "" is derived
	Partitions []*Partition
}

// A Partition is one of a table.
type Partition struct {
	Header
	Table   *Partitioning
	Number  int // as the kernel counts: MBR's logical partitions from 5
	Size    Size
	Least   int64 // bytes that it must have at the least
	Boot    bool  // MBR's active flag
	Primary bool  // on MBR
	Type    PartitionType
	UUID    string // on GPT; "" is derived
	flags   []string
}

// A PartitionType is the type as a table says it.
type PartitionType struct {
	Text string   // as it was written, or the default
	GPT  gpt.GUID // on GPT
	MBR  byte     // on MBR
}

// An LVM is the point at which volumes are made: behind all devices that they lie
// on.
type LVM struct {
	Header
	PVs []*PV
	VGs []*VG
	LVs []*LV
}

// A PV is a physical volume.
type PV struct {
	Header
	Device  Node // a *LocalLoop, a *Partition, or a *LUKS on one of these
	VG      *VG  // nil if no group has it
	Options []string
}

// A VG is a volume group.
type VG struct {
	Header
	PVs        []*PV
	LVs        []*LV
	ExtentSize int64 // bytes: a power of two
	Options    []string
}

// An LVType is how a logical volume lies on its group.
type LVType string

// The types of logical volumes.
const (
	Linear   LVType = "linear"
	Striped  LVType = "striped"
	Thin     LVType = "thin"      // has its blocks in a pool when they are written
	ThinPool LVType = "thin-pool" // what thin volumes have their blocks in
)

// An LV is a logical volume.
type LV struct {
	Header
	VG         *VG
	Type       LVType
	Pool       *LV // of a thin volume
	Size       Size
	Extents    Extents // instead of Size
	Least      int64   // bytes that it must have at the least
	Stripes    int64   // of a striped volume
	StripeSize int64   // bytes
	Options    []string
	pool       string
}

// A Mkfs is a file system, or swap.
type Mkfs struct {
	Header
	Device  Node   // a *LocalLoop, a *Partition, an *LV or a *LUKS
	Type    string // one of [FilesystemTypes]
	Label   string // never empty
	Options []string
	UUID    string // "" is derived; a vfat's has the form ABCD-1234
	Free    int64  // bytes that are to be free in it, where its device takes its size from it; 0 is not said
	Mount   *Mount // nil if it is not mounted, or its subvolumes are
	// Subvolumes are a btrfs's, in the order of the text.
	Subvolumes []*Subvolume
}

// A Subvolume is a part of a btrfs that is mounted by itself.
type Subvolume struct {
	Header
	FS    *Mkfs
	Path  string // in the file system, relative and clean; never empty
	Mount *Mount // nil if it is not mounted
}

// A Mount is a place at which a file system is mounted.
type Mount struct {
	Header
	FS    *Mkfs
	Sub   *Subvolume // nil for all of the file system
	Point string     // absolute and clean; "none" for swap
	Fstab *Fstab     // nil if fstab does not have it
}

// A By is how fstab names a file system.
type By string

// The ways to name a file system.
const (
	ByLabel By = "label"
	ByUUID  By = "uuid"
)

// A Fstab is a line of /etc/fstab.
type Fstab struct {
	Header
	Mount   *Mount
	Options string // complete: with discard and subvol, and "sw" for swap
	Dump    int
	Pass    int
	By      By
	discard bool
}

// on is what fills a disk, a partition, a logical volume or a container: a *Mkfs, a
// *PV, a *LUKS, a *Verity, or nil.
func (c *Config) on(device Node) Node {
	for _, n := range c.Nodes {
		switch n := n.(type) {
		case *Mkfs:
			if n.Device == device {
				return n
			}
		case *PV:
			if n.Device == device {
				return n
			}
		case *LUKS:
			if n.Device == device {
				return n
			}
		case *Verity:
			if n.Device != nil && Node(n.Device) == device {
				return n
			}
		}
	}
	return nil
}
