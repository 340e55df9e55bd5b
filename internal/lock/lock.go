// Package lock holds ingot.lock: all inputs of one definition, exact and
// complete before a byte is unpacked.
package lock

import (
	"ingot/internal/digest"
	"ingot/internal/distro"
)

// A Lock is the content of an ingot.lock.
type Lock struct {
	Definition digest.Digest // of the definition and all that it includes
	Distro     string
	Release    string
	// Epoch is the image's clock, seconds since 1970: the newest Date of the
	// indexes. It is SOURCE_DATE_EPOCH for all that runs and the newest time
	// stamp in an artifact.
	Epoch    int64
	Archives []Archive
	Indexes  []Index
	Sets     []Set
	Tools    []distro.Ref // the tools tree's packages, unpacked only
	// Files is the digest of each file that the definition names: scripts,
	// what they may read, sources of files; by path relative to the
	// definition's directory.
	Files []File
	// Seals is written by the first build and is not part of the lock's digest.
	Seals []Seal
}

// An Archive is a named place of packages. The URL is what the image's own
// sources will say; packages may be fetched from a mirror of it.
type Archive struct {
	Name       string // "debian", "debian-security", "archive-3"
	URL        string
	Suites     []string
	Components []string
	Key        string // of a given keyring, relative to the definition; "" is built in
	// Expired says that check-valid-until was off and an index was past its
	// Valid-Until when it was read.
	Expired bool
}

// An Index is one package index that the lock was made from.
type Index struct {
	Archive   string
	Suite     string
	Component string
	Arch      string
	Path      string // below the archive's root
	Date      int64  // of its Release file, seconds since 1970
	Size      int64
	SHA256    digest.Digest
}

// A Set is the packages of one variant of the image, in the resolver's order.
type Set struct {
	Arch    string
	Purpose string // "container" or "machine"
	Refs    []distro.Ref
}

// A File is the digest of something that a build reads beside packages.
type File struct {
	Path   string
	SHA256 digest.Digest
}

// A Seal is the digest of a set's final tree, made by the first build.
type Seal struct {
	Arch    string
	Purpose string
	SHA256  digest.Digest
}
