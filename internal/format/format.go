// Package format says what an output can be: the one table that the definition's
// rules, the schema, help, completion and the plan go by.
//
// A format stands here when a program of somebody else's has read what ingot
// writes of it and, if it boots, it has booted.
package format

import "slices"

// The purposes: what an output's tree is for. Outputs of one purpose share one
// tree.
const (
	Container = "container" // the packages asked for, and nothing that starts them
	System    = "system"    // a container that runs an init of its own, and its network
	Live      = "live"      // a machine that runs from what it was started from, and has no disk
	Machine   = "machine"   // kernel, boot loader and all that boots by itself
)

// Purposes are all of them, in the order in which their trees are made.
func Purposes() []string { return []string{Container, System, Live, Machine} }

// An Option is a key that an output takes beside its format.
type Option string

// The options.
const (
	Free     Option = "free"     // free space in the root file system
	Compress Option = "compress" // how it is compressed
	Type     Option = "type"     // which of several kinds of the format
	Adapter  Option = "adapter"  // the controller that a disk says it hangs on

	// What machine an appliance is of.
	CPUs     Option = "cpus"
	Memory   Option = "memory"
	Card     Option = "network-card"
	Hardware Option = "hardware" // version of VMware's
	GuestOS  Option = "guest-os" // VMware's name of the system

	Expiry  Option = "expiry"         // when it should no longer be used
	Message Option = "create-message" // for who makes a container of it

	// What an application container starts, and how.
	Entrypoint  Option = "entrypoint"
	Command     Option = "command"
	Environment Option = "environment"
	User        Option = "user"
	Workdir     Option = "workdir"
	Ports       Option = "ports"
	Volumes     Option = "volumes"
	Labels      Option = "labels"
	StopSignal  Option = "stop-signal"
)

// run are the options of what starts in a container.
var run = []Option{Entrypoint, Command, Environment, User, Workdir, Ports, Volumes, Labels, StopSignal}

// IsOption says whether a word is one of the options.
func IsOption(o Option) bool {
	return slices.Contains(append([]Option{Free, Compress, Type, Adapter, CPUs, Memory, Card, Hardware, GuestOS, Expiry, Message}, run...), o)
}

// A Format is one way to write a tree or a disk.
type Format struct {
	Name    string // as definitions say it: "tar.zst"
	About   string // in a few words, for help and the reference
	Purpose string // what its tree is for
	// Files are what its files are called behind NAME-ARCH. The first is the
	// artifact's path and names its papers.
	Files []string
	Dir   bool // its one file is a directory
	// Suffixed says that a suffix follows for the compression: .gz, .xz or .zst.
	Suffixed bool
	Options  []Option // what it takes
	// Compress are the compressions that it can have, the default first.
	Compress []string
	// Types are the kinds of it that there are, the default first.
	Types []string
	Tools []string // Debian packages whose programs write parts of it
	Most  int64    // bytes of the largest disk that it can say; 0 is no bound
	Small bool     // it is compressed: nobody knows beforehand how much room it takes
	// Packed says that its disk stands in an archive, which a machine does not start
	// from as it is.
	Packed bool
	// Tree says that it is a machine's tree without a disk.
	Tree bool
	Arch []string // Debian's names of those it is for; none is all
}

// Disk says whether the format is of a whole disk.
func (f Format) Disk() bool { return f.Purpose == Machine && !f.Tree }

// Boots says whether a machine starts from the format by itself.
func (f Format) Boots() bool { return f.Purpose == Machine || f.Purpose == Live }

// Starts says whether QEMU starts from the format's file as it is.
func (f Format) Starts() bool { return f.Boots() && !f.Packed && !f.Tree }

// For says whether the format is for an architecture.
func (f Format) For(arch string) bool { return len(f.Arch) == 0 || slices.Contains(f.Arch, arch) }

// Takes says whether an output of the format takes an option.
func (f Format) Takes(o Option) bool { return slices.Contains(f.Options, o) }

// All are the formats, in the order of help.
func All() []Format { return slices.Clone(table) }

// Names are the names of all formats, in the order of help.
func Names() []string {
	var out []string
	for _, f := range table {
		out = append(out, f.Name)
	}
	return out
}

// Lookup finds a format by its name.
func Lookup(name string) (Format, bool) {
	i := slices.IndexFunc(table, func(f Format) bool { return f.Name == name })
	if i < 0 {
		return Format{}, false
	}
	return table[i], true
}
