// Package dib is diskimage-builder's door: its command line, its environment and
// its file format as a value. [Parse] reads what disk-image-create and
// ramdisk-image-create are called with, [ParseFiles] what diskimage-builder is; both
// give a [Request], which says all that a build has to know, and read nothing else
// of the process they run in.
//
// What elements are is another room's matter; what a request asks of them stands
// here by name only.
package dib

import (
	"time"
)

// The commands, by the names that they are called by.
const (
	ImageCommand   = "disk-image-create"
	RamdiskCommand = "ramdisk-image-create"
	FilesCommand   = "diskimage-builder"
)

// A Request is one image to build. Where nothing was said it holds diskimage-builder's
// default; where that depends on what is built, the zero value.
type Request struct {
	Command string   `json:"command"` // ImageCommand or RamdiskCommand
	Ramdisk bool     `json:"ramdisk"` // no image of a disk is written, whatever Outputs says
	Args    []string `json:"args"`    // as given, without the command's name

	// What it is made of.
	Elements       []string `json:"elements"`                 // as named, in that order; see [Request.Roots]
	ElementsPath   []string `json:"elements_path"`            // directories of elements, the first that has one wins
	SkipBase       bool     `json:"skip_base"`                // "base" is not added
	RamdiskElement string   `json:"ramdisk_element,omitzero"` // added to a ramdisk
	InstallType    string   `json:"install_type"`             // "source" or "package", or a word of the elements' own
	Packages       []string `json:"packages"`                 // installed after install.d
	Arch           string   `json:"arch"`                     // as scripts see it in ARCH: "amd64", but "x86_64" where it was asked for so
	DebianArch     string   `json:"debian_arch"`              // the same in Debian's words

	// What comes out.
	Name        string   `json:"name"`         // IMAGE_NAME: a path without the type, relative to the working directory
	Outputs     []Output `json:"outputs"`      // in the order asked for, each once
	Checksums   []string `json:"checksums"`    // "md5", "sha256": files beside each output
	Overwrite   bool     `json:"overwrite"`    // an old output is replaced; else it is renamed
	ACIManifest string   `json:"aci_manifest"` // path

	// The disk and its root file system.
	FSType          string  `json:"fs_type"`
	RootLabel       string  `json:"root_label"`
	BlockDevice     string  `json:"block_device,omitzero"`      // YAML of the layout, as text
	BlockDeviceFile string  `json:"block_device_file,omitzero"` // or the path of a file that holds it
	BlockSize       int     `json:"block_size,omitzero"`        // bytes of a sector
	ImageSize       int64   `json:"image_size,omitzero"`        // bytes; 0 is what the content needs
	ExtraSize       *int64  `json:"extra_size,omitzero"`        // bytes beside the content, instead of a share of it
	JournalSize     int64   `json:"journal_size,omitzero"`      // MiB; 0 is 64
	MaxOnlineResize string  `json:"max_online_resize,omitzero"` // blocks, for mkfs -E resize=
	MkfsOptions     string  `json:"mkfs_options,omitzero"`      // of the root file system
	NoTmpfs         bool    `json:"no_tmpfs"`
	MinTmpfs        float64 `json:"min_tmpfs"` // GiB

	// How it is built.
	Offline       bool          `json:"offline"`
	CacheDir      string        `json:"cache_dir,omitzero"`      // of downloads; "" is ~/.cache/image-create
	LocksDir      string        `json:"locks_dir,omitzero"`      // "" is ~/.cache/dib/lockfiles
	TempDir       string        `json:"temp_dir,omitzero"`       // "" is the system's
	Trace         int           `json:"trace"`                   // 1: each command of a script; 2: deeper
	Logfile       string        `json:"logfile,omitzero"`        // appended to
	Quiet         bool          `json:"quiet"`                   // what scripts say goes to Logfile alone
	Timestamps    bool          `json:"timestamps"`              // before each line of what scripts say
	Usage         int           `json:"usage"`                   // 1: say what in the image is large; 2: all of it
	Break         []string      `json:"break"`                   // "before-install.d", "after-error": where a shell is opened
	BreakCommand  string        `json:"break_command"`           // what is started there
	BreakOutside  bool          `json:"break_outside"`           // on the host's side even in the target's phases
	ScriptTimeout time.Duration `json:"script_timeout"`          // of one script, in nanoseconds; 0 is none
	Locked        bool          `json:"locked"`                  // nothing but what the lock names
	NoCache       bool          `json:"no_cache,omitzero"`       // every script runs again
	Compat        bool          `json:"compat,omitzero"`         // lists of packages mean what they mean to diskimage-builder, mistakes and all
	Mirror        string        `json:"mirror,omitzero"`         // of Debian's packages
	AcceptExpired bool          `json:"accept_expired,omitzero"` // indexes past their Valid-Until
	DryRun        bool          `json:"dry_run"`                 // say what would be done
	JSON          bool          `json:"json"`                    // results for programs
	Progress      string        `json:"progress,omitzero"`       // "auto", "plain" or "json"
	Clear         bool          `json:"clear"`                   // the caller's environment was not looked at
	InheritEnv    bool          `json:"inherit_environment"`     // all of it passes, but for credentials

	// Environment are the caller's variables that scripts see. What else they see is
	// the driver's own; see [Request.Variables].
	Environment map[string]string `json:"environment"`
	// Lend are files of the machine that builds which scripts may read: PATH or PATH:AT.
	Lend []string `json:"lend,omitzero"`
	// Secrets are the names in Environment whose values are nobody's business: no
	// log, lock, manifest or JSON shows them.
	Secrets []string `json:"secrets,omitzero"`

	// Declared are the variables that a file of diskimage-builder declares for the
	// image. Those among them that every build sets itself are in no Environment.
	Declared map[string]string `json:"-"`

	// Asked is "help" or "version" where that is all that was asked for.
	Asked string `json:"-"`

	options map[string]string // what options said, by the variable that says the same
}

// An Output is one type of image.
type Output struct {
	Type     string `json:"type"`              // diskimage-builder's word: "tgz"
	Format   string `json:"format"`            // ingot's: "tar.gz"
	Compress string `json:"compress,omitzero"` // one of the format's compressions
	Kind     string `json:"kind,omitzero"`     // one of the format's types
	Adapter  string `json:"adapter,omitzero"`  // of a vmdk
	Tag      string `json:"tag,omitzero"`      // of a docker image
	// Suffixes are what its files are called behind the image's name, the artifact
	// first: ".tgz".
	Suffixes []string `json:"suffixes"`
}
