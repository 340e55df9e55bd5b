// Package tree holds a root filesystem as data.
//
// A [Tree] is an immutable value: entries sorted by path, each with its
// metadata and, for a regular file, a [Content] that says where the bytes lie:
// at an offset of a pack. Installing a package into a tree writes no bytes. What
// a step does to a tree is a [Delta], data as well. A real directory exists only
// inside a sandbox while target programs run.
//
// Paths are relative to the root, slash-separated and clean: "usr/bin/env". The
// root directory itself has the path "". Sorting by bytes puts every parent
// before its children.
package tree

import (
	"fmt"
	"math"
	"strings"

	"ingot/internal/digest"
)

// A Kind is the type of an entry.
type Kind uint8

// The kinds. A hard link is an entry of its own that names the first path, in
// sorting order, of the same file.
const (
	Dir Kind = iota + 1
	File
	Symlink
	Hardlink
	Char
	Block
	Fifo
)

var kindNames = [...]string{Dir: "dir", File: "file", Symlink: "symlink", Hardlink: "hardlink", Char: "char", Block: "block", Fifo: "fifo"}

// String is the kind's word in seals and tests.
func (k Kind) String() string {
	if int(k) < len(kindNames) && kindNames[k] != "" {
		return kindNames[k]
	}
	return fmt.Sprintf("kind(%d)", uint8(k))
}

// An Entry is one path of a tree. Entries are values: copy them, never share a
// changed Xattrs slice.
type Entry struct {
	Path  string
	Kind  Kind
	Mode  uint32 // permission bits with setuid, setgid and sticky: 0 to 07777
	UID   uint32 // as the image sees it
	GID   uint32
	Mtime Time
	// Xattrs is sorted by name. ACLs are in the kernel's own form,
	// "system.posix_acl_access" version 2; capabilities as vfs_cap_data version 2.
	Xattrs []Xattr
	Link   string // target of a symlink, or path of a hard link's first entry
	Major  uint32 // device numbers of Char and Block
	Minor  uint32
	// Content is set for File only, and for an empty file is the zero Content
	// with the digest of nothing.
	Content Content
	// Owner names what put the entry there: "deb:bash" or "step:users". It
	// groups files in compressed outputs and answers "ingot why"; it is not part
	// of a tree's identity.
	Owner string
}

// A Time is a modification time: seconds since 1970 and nanoseconds.
type Time struct {
	Sec  int64
	Nsec int32
}

// At is a time as every format holds it: in 32 bits of seconds since 1970, which are all
// that squashfs and cpio have. What lies before or behind is the nearest there is, so that
// all artifacts of a tree say the same.
func At(sec int64, nsec int32) Time {
	switch {
	case sec < 0:
		return Time{}
	case sec > math.MaxUint32:
		return Time{Sec: math.MaxUint32}
	}
	return Time{Sec: sec, Nsec: nsec}
}

// An Xattr is one extended attribute.
type Xattr struct {
	Name  string
	Value string // raw bytes
}

// A Content says what a regular file holds and where the bytes lie.
type Content struct {
	Digest digest.Digest // of the file's bytes
	Size   int64
	Pack   string // names the pack to read from; not part of identity
	Offset int64  // where in the pack the bytes begin; not part of identity
}

// MaxFile bounds one file of an image, in bytes, holes counted: each artifact is
// made, hashed and mostly shipped with its zeros.
const MaxFile = 64 << 30

// Parent is the path of the directory that holds path; the root's is itself.
func Parent(path string) string {
	i := strings.LastIndexByte(path, '/')
	if i < 0 {
		return ""
	}
	return path[:i]
}

// Names at the top that no image has: builds use them for themselves.
const (
	// Aside is a directory: what a tree holds below it lies beside the image's files.
	Aside = ".station"
	// Scripts is a directory: where scripts and what they read lie while they run.
	Scripts = ".ingot-script"
)

// Reserved says whether a path lies where builds keep what is their own.
func Reserved(path string) bool {
	top, _, _ := strings.Cut(path, "/")
	return top == Aside || top == Scripts
}

// CheckPath refuses a path that is not relative, clean and bounded: the rule
// that keeps "..", absolute names and NUL bytes of a hostile archive out of
// every tree. The root's "" is fine.
func CheckPath(path string) error {
	if path == "" {
		return nil
	}
	if len(path) > 4095 {
		return fmt.Errorf("path of %d bytes is longer than 4095", len(path))
	}
	for part := range strings.SplitSeq(path, "/") {
		switch {
		case part == "":
			return fmt.Errorf("path %q has an empty part", path)
		case part == "." || part == "..":
			return fmt.Errorf("path %q has a part %q", path, part)
		case len(part) > 255:
			return fmt.Errorf("path %q has a part longer than 255 bytes", path)
		case strings.IndexByte(part, 0) >= 0:
			return fmt.Errorf("path %q has a NUL byte", path)
		}
	}
	return nil
}
