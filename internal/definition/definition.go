// Package definition reads ingot.yaml: what a person writes.
//
// A definition is validated whole, with its includes merged, before any other
// room sees it; nothing downstream reads the file again. [Load] gives either a
// [Definition] with its defaults filled in or everything that is wrong with it at
// once, as [*Problems].
//
// The keys, their meaning, defaults and types stand in one place, the structs of
// document.go; which texts a key takes stands in rules.go. The strict decoder,
// the JSON schema ([Schema]) and the reference ([Reference]) are made from them.
package definition

import (
	"strings"
	"time"

	"ingot/internal/fault"
	"ingot/internal/flavor"
	"ingot/internal/template"
)

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
	Groups     []Group
	Recommends bool
	Hostname   string
	Locale     string
	Timezone   string
	Users      []User
	UnixGroups []UnixGroup
	Files      []File
	Services   Services
	Conflicts  []PathConflict
	Scripts    []Script
	Kernel     Kernel // as given; see [Kernel.On]
	Boot       Boot
	Layout     Layout
	Warnings   []string // what is odd and does not matter: file:line:column and why
	Outputs    []Output
	Tests      []Test
	Elements   *Elements // nil is none
	// Template is what machines made from the image are asked for; nil is nothing. No
	// step of a build reads it.
	Template *template.Template `json:"-"`

	// Dir is the absolute directory of the definition's file; sources of files
	// and scripts are below it.
	Dir string
	// Inputs is every file that the definition was read from, itself first, by
	// absolute path: what a lock's digest of the definition covers.
	Inputs []Input

	// Flavor is, of a variant, what it is built for, with its architecture: what its
	// flavor says, and of all other flags that the definition tests what is declared.
	Flavor flavor.Flavor
	// FlavorName is what the flavor is called in names of files, such as "vmware" or
	// "no-kernel"; "" is the definition's own.
	FlavorName string

	entries  []Source
	asked    map[asked]fault.Position
	variants []*Definition // nil is itself
	declared *flavor.Declared
}

// An Input is a file that was read, with its bytes.
type Input struct {
	Path string
	Data []byte
}

// An Archive is where packages come from.
type Archive struct {
	URL             string
	Suites          []string // default: the release
	Components      []string // default: main
	Key             string   // path of an OpenPGP keyring, absolute once read; "" is the distribution's own keys
	CheckValidUntil bool     // default true
}

// A Group is a group of a repository that packages are taken from.
type Group struct {
	Spec    string // as group.ParseSpec reads it
	Use     string // Include, Patch or Subtract
	Purpose string // of the group's set; "" is the purpose at hand, else the only one
}

// The uses of a group.
const (
	Include  = "include"  // all its packages are in the image
	Patch    = "patch"    // what is in the image comes in its version
	Subtract = "subtract" // its packages do not come with those that are included
)

// A User is an account of the image.
type User struct {
	Name         string
	UID          *uint32
	Groups       []string
	Shell        string // "": /bin/bash for a new user, else what he has
	Home         string // "" is what an account has that is there, /home/NAME of a new one
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
	Source  string  // a file or directory, absolute once read
	Mode    *uint32 // nil: 0644, or 0755 for a source that its owner may execute
	Owner   string  // a name or a number; default: root
	Group   string
}

// A PathConflict says whose file stays where several packages bring one.
type PathConflict struct {
	Path string // absolute, in the image: a file, or a directory that it lies in
	Keep string // the package
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
	None      bool   // "kernel: none"
	Package   string // filled in when the definition has one architecture
	All       bool   `json:",omitzero"` // one with all drivers where nothing else is asked for
	Chosen    bool   `json:"-"`         // the package is what the definition says
	Arguments []string
	Console   string // "ttyS0"; filled in like Package
}

// On gives the kernel with what was left open filled in for an architecture.
// Package stays empty where Debian has no kernel of its own for it.
func (k Kernel) On(arch string) Kernel {
	if k.None {
		return k
	}
	if k.Package == "" {
		if k.Package = defaultKernel(arch); k.All {
			k.Package = strings.Replace(k.Package, "-cloud-", "-", 1)
		}
	}
	if k.Console == "" {
		k.Console = defaultConsole(arch)
	}
	return k
}

// Live is the kernel package of a live system. Where none was chosen it is Debian's
// for real machines: the one for virtual machines drives no USB stick.
func (k Kernel) Live(arch string) string {
	if k.Chosen {
		return k.Package
	}
	switch arch {
	case "amd64", "arm64":
		return "linux-image-" + arch
	}
	return defaultKernel(arch)
}

// defaultKernel names Debian's meta package of the architecture's kernel, the
// one for virtual machines where there is one.
func defaultKernel(arch string) string {
	switch arch {
	case "amd64", "arm64":
		return "linux-image-cloud-" + arch
	case "i386":
		return "linux-image-686"
	case "armhf":
		return "linux-image-armmp"
	case "armel":
		return "linux-image-marvell"
	case "ppc64el":
		return "linux-image-powerpc64le"
	case "loong64", "riscv64", "s390x":
		return "linux-image-" + arch
	case "mips64el":
		return "linux-image-5kc-malta"
	}
	return ""
}

// defaultConsole names the serial console of QEMU's usual machine.
func defaultConsole(arch string) string {
	switch arch {
	case "arm64", "armhf", "armel":
		return "ttyAMA0"
	case "ppc64el":
		return "hvc0"
	case "s390x":
		return "ttysclp0"
	}
	return "ttyS0"
}

// Boot says how a bootable output starts.
type Boot struct {
	Firmware []string // "bios", "uefi"
	Loader   string   // "grub", "systemd-boot", "uki"
	Secure   bool
	Timeout  int   `json:"-"` // seconds that the menu waits; it chooses no packages
	Sign     *Sign `json:"-"` // what starts is signed; nil is not
	Signed   bool  `json:",omitzero"`
}

// A Sign says whose signature the firmware looks for under Secure Boot.
type Sign struct {
	// Key is the path of the private key's file: absolute, or relative to Dir. It is a
	// secret, and no input of the lock.
	Key         string
	Certificate string // path, absolute once read
}

// A Test is run in the booted image by "ingot build --test".
type Test struct {
	Run     string
	Expect  string // a regular expression for its output, to compile with (?m); "" asks for exit code 0
	Timeout time.Duration
}
