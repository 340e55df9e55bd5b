// Package distro is what a distribution can do, as four effects and no more:
// [Distro.Resolve] chooses packages, [Distro.Unpack] turns one package into a
// tree, [Distro.Configure] runs what the packages bring to run, in a sandbox, and
// [Distro.Describe] says what a package is.
//
// There is no "install into this directory" on purpose: it would spoil caching,
// foreign architectures and knowing which package a path came from.
package distro

import (
	"context"
	"io"
	"strings"

	"ingot/internal/digest"
	"ingot/internal/sandbox"
	"ingot/internal/tree"
)

// A Ref names one exact package as an archive offers it. It is what the lock
// records.
type Ref struct {
	Name     string
	Version  string        // in full, with epoch
	Arch     string        // of the package: "amd64", "all"
	Archive  string        // which of the lock's archives it lies in, by name
	Location string        // path below the archive's root, never a URL
	Size     int64         // bytes of the package file
	SHA256   digest.Digest // of the package file
}

// A Request is what a resolution is asked for.
type Request struct {
	Arch       string   // Debian's name of the image's architecture
	Start      string   // "essential", "minbase" or "standard"; "" adds nothing
	Packages   []string // as a user writes them: "nginx", "curl=7.88.1-10", "foo/bookworm-backports", "libc6:i386"
	Remove     []string // names that must not be chosen, even where something recommends them
	Recommends bool
}

// A Package is what a package says of itself.
type Package struct {
	Ref Ref
	// Control holds what the distribution's own installer needs beside the
	// files: Debian's control.tar members by name ("control", "postinst",
	// "triggers", …).
	Control map[string]ControlFile
}

// Refs are the references of packages.
func Refs(pkgs []Package) []Ref {
	out := make([]Ref, len(pkgs))
	for i, p := range pkgs {
		out[i] = p.Ref
	}
	return out
}

// An Unpacked package: what it holds, as data.
type Unpacked struct {
	Package
	Tree tree.Tree // its files, contents in a pack of the cache
	// Order is the paths in the order of the package: some installers record it.
	Order []string
}

// A Pack takes the contents of files, one after the other.
type Pack interface {
	io.Writer
	Name() string // in the cache: what tree.Content.Pack will say
	Size() int64  // bytes written so far: the offset of the next
}

// A ControlFile is one of a package's control members.
type ControlFile struct {
	Mode uint32
	Data []byte
}

// An Install is what Configure is asked for.
type Install struct {
	// First says that the sandbox is empty; else it holds a tree that has
	// packages, made by Configure or by the distribution's own installer, and
	// these come on top of it. What cannot be done just as that installer would is
	// refused before anything is changed (debian.ErrAsk).
	First    bool
	Packages []Package
	// Unpacked gives packages with their files, once those are there: while some are
	// configured already, others are still being unpacked.
	Unpacked func(ctx context.Context, refs []Ref) ([]Unpacked, error)
	Contents *tree.Reader      // reads the packages' packs
	Arch     string            // Debian's name of the image's architecture
	Release  string            // code name
	Asked    map[string]bool   // names that somebody asked for; the others are dependencies
	Early    map[string]string // files that must be there before any script runs, by path
	Epoch    int64             // the image's clock, seconds since 1970
	Log      func(line string)
	// Foreign says that programs of the tree run under emulation: what the installer itself
	// does is done by a native one ([sandbox.Command.Native]).
	Foreign bool
	// Keep says whose file stays where several packages bring one and none of them
	// replaces the other.
	Keep []Keep
}

// A Keep is the package whose file stays at a path, or whose files stay below it.
type Keep struct{ Path, Package string } // Path is absolute

// A Description says what a package is, for manifests and SBOMs.
type Description struct {
	Purl       string // a package URL, such as pkg:deb/debian/bash@5.2.15-2+b7?arch=amd64
	Source     string // source package and its version: "bash 5.2.15-2"
	Maintainer string
	Homepage   string
	Summary    string
	Licences   []string // SPDX identifiers found in the package, or none
	Installed  int64    // bytes, as the package says
	// Starts are the starting sets that have the package by themselves.
	Starts   []string
	Needs    []Need
	Provides []Provided
}

// A Box is the sandbox that Configure works in: a tree made real.
type Box = sandbox.Box

// A Distro is a family of distributions that share package format and tools.
type Distro interface {
	// Inspect reads what a package file, whose digest the caller has verified,
	// says of itself, and none of its files.
	Inspect(ctx context.Context, ref Ref, file io.ReaderAt) (Package, error)
	// Unpack reads the files of a package into a tree; their contents go to the
	// pack. It runs nothing.
	Unpack(ctx context.Context, p Package, file io.ReaderAt, pack Pack) (Unpacked, error)
	// Configure makes the packages installed: it puts their files and the
	// installer's records into the sandbox and runs their scripts there, in
	// the order that the distribution's installer would. The caller captures
	// what it left as a delta.
	Configure(ctx context.Context, box *Box, in Install) error
	// Lay is the files of packages, one tree, as they are after unpacking and
	// without any script: what a tools tree is.
	Lay(pkgs []Unpacked, arch string, epoch int64) (tree.Tree, error)
	// Describe says what a package is.
	Describe(p Package) Description
}

// EarlyMode is the mode of one of [Install.Early]: a script can be run.
func EarlyMode(text string) uint32 {
	if strings.HasPrefix(text, "#!") {
		return 0o755
	}
	return 0o644
}
