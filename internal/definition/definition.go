// Package definition reads ingot.yaml: what a person writes.
//
// A definition is validated whole, with its includes merged, before any other
// room sees it; nothing downstream reads the file again.
package definition

import "time"

// A Definition is a whole, valid ingot.yaml with its includes merged and its
// defaults filled in.
type Definition struct {
	Version    int
	Name       string
	Distro     string   // "debian"
	Release    string   // a code name or suite: "bookworm"
	Arch       []string // Debian's names; default: the host's
	Start      string   // "minbase" (default), "essential", "standard"
	Archives   []Archive
	Packages   []string
	Remove     []string
	Recommends bool
	Hostname   string
	Locale     string
	Timezone   string
	Users      []User
	UnixGroups []UnixGroup
	Files      []File
	Services   Services
	Scripts    []Script
	Kernel     Kernel
	Boot       Boot
	Outputs    []Output
	Tests      []Test

	// Dir is the absolute directory of the definition's file; sources of files
	// and scripts are below it.
	Dir string
	// Inputs is every file that the definition was read from, itself first, by
	// absolute path: what a lock's digest of the definition covers.
	Inputs []Input
}

// An Input is a file that was read, with its bytes.
type Input struct {
	Path string
	Data []byte
}

// An Archive is where packages come from.
type Archive struct {
	URL             string
	Suites          []string
	Components      []string
	Key             string // path of an OpenPGP keyring, absolute once read; "" is the distribution's own keys
	CheckValidUntil bool   // default true
}

// A User is an account of the image.
type User struct {
	Name         string
	UID          *uint32
	Groups       []string
	Shell        string
	Home         string
	SSHKeys      []string
	PasswordHash string
	Sudo         bool // may become root without a password
}

// A UnixGroup is a group of the image.
type UnixGroup struct {
	Name string
	GID  *uint32
}

// A File is put into the image after the packages.
type File struct {
	Path    string // absolute, in the image
	Content *string
	Source  string // a file or directory, absolute once read
	Mode    *uint32
	Owner   string
	Group   string
}

// Services names units to enable, disable or mask.
type Services struct {
	Enable  []string
	Disable []string
	Mask    []string
}

// A Script runs in the sandbox.
type Script struct {
	Name    string
	Run     string   // path of the script, absolute once read
	Reads   []string // files and directories it may read, absolute once read
	Network bool
	After   string // "packages" (default), "files" or "services": which part it follows
}

// A Kernel says what a bootable output boots.
type Kernel struct {
	None      bool // "kernel: none"
	Package   string
	Arguments []string
	Console   string // "ttyS0"
}

// Boot says how a bootable output starts.
type Boot struct {
	Firmware []string // "bios", "uefi"
	Loader   string   // "grub"
	Secure   bool
}

// An Output is one artifact to make.
type Output struct {
	Format string // "dir", "tar", "tar.gz", "tar.xz", "tar.zst", "raw", "qcow2"
	Free   int64  // bytes of free space in the root file system
}

// Bootable says whether the output's format is one that boots by itself.
func (o Output) Bootable() bool { return o.Format == "raw" || o.Format == "qcow2" }

// A Test is run in the booted image by "ingot build --test".
type Test struct {
	Run     string
	Expect  string // a regular expression for its output
	Timeout time.Duration
}
