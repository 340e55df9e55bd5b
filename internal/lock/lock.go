// Package lock holds ingot.lock: all inputs of one definition, exact and
// complete before a byte is unpacked.
//
// # The file
//
// A lock's file is text that diffs well: one line a package, sorted, so that an
// update of three packages is a diff of three lines and its sums. It has a form of
// its own and not YAML's, because everything in it is written and read by ingot
// alone: a line form needs no rules for types, quotes and indentation that a
// version such as 1.10 could fall foul of, reads ten thousand packages in
// milliseconds, and has exactly one text for one lock, which [Decode] insists on.
//
//	ingot lock 1
//	digest DIGEST of the lock: all but this line, the seals and the sum
//	definition DIGEST
//	request DIGEST                   of what chooses packages in it
//	distro NAME
//	release NAME
//	epoch SECONDS TIME
//	archive NAME
//	  url URL
//	  suites NAME...
//	  components NAME...
//	  key PATH                       if a keyring is given
//	  expired                        if Valid-Until was waived
//	  beside                         if it only has packages of groups
//	index ARCHIVE SUITE COMPONENT ARCH DATE SIZE SHA256 PATH
//	file SHA256 PATH                 or: program SHA256 PATH, link PATH TARGET, directory PATH
//	group LABEL USE SPEC VERSION DIGEST   of a group's lock
//	set ARCH PURPOSE [FLAVOR]
//	  start NAME                     of the starting set, if there is one
//	  asked PACKAGE                  one a line: strong references; all others are weak
//	  NAME VERSION ARCH SIZE SHA256 ARCHIVE LOCATION [LABEL of a group]
//	set ARCH PURPOSE FLAVOR          or as another set, but for some lines
//	  as ARCH PURPOSE FLAVOR
//	  - NAME ARCH                    or: - asked PACKAGE, - start NAME
//	  + one of a set's lines
//	tools                            and in the same form: station
//	  NAME VERSION ARCH SIZE SHA256 ARCHIVE LOCATION
//	seal ARCH PURPOSE [FLAVOR] SHA256
//	download SIZE SHA256 ADDRESS     or: missing ADDRESS
//	sum SHA256 of all lines above
//
// Words are separated by single spaces; one that holds anything but visible ASCII
// is quoted as in Go. Empty lines separate the parts. A set of a flavor is written as
// what differs from the first one of its architecture and purpose wherever that takes
// fewer lines, so a package that moves in all flavors is one line of a diff. The digest
// is the lock's identity; the sum finds a file that was cut off, merged or edited by hand.
// Neither is a signature.
package lock

import (
	"strings"

	"ingot/internal/digest"
	"ingot/internal/distro"
)

// A Lock is the content of an ingot.lock.
type Lock struct {
	Definition digest.Digest // of the definition and all that it includes
	// Request is the digest of the part of the definition that chooses packages:
	// while it stays, packages need not be chosen anew.
	Request digest.Digest
	Distro  string
	Release string
	// Epoch is the image's clock, seconds since 1970: the newest Date of the
	// indexes. It is SOURCE_DATE_EPOCH for all that runs and the newest time
	// stamp in an artifact.
	Epoch    int64
	Archives []Archive
	Indexes  []Index
	Groups   []Group
	Sets     []Set
	Tools    []distro.Ref // the tools tree's packages, unpacked only; sorted as a Set's
	// Station is the packages of the programs that scripts of elements run beside the
	// image, unpacked only.
	Station []distro.Ref
	// Files is each file that the definition names, as [Files] finds them:
	// scripts, what they may read, sources of files.
	Files []File
	// Seals is written by the first build and is not part of the lock's digest.
	Seals []Seal
	// Downloads are the files that scripts asked for, by address; written by the first
	// build, as the seals are.
	Downloads []Download
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
	// Beside says that the image's own sources do not name it: it only has packages of
	// groups, which are held against their digests, so neither indexes nor keys are needed.
	Beside bool `json:",omitzero"`
}

// Address is the archive's URL as others may read it: without a name or password, which
// locks of old may have got from a mirror's.
func (a Archive) Address() string {
	scheme, rest, ok := strings.Cut(a.URL, "://")
	if !ok {
		return a.URL
	}
	end := strings.IndexAny(rest+"/", "/?#")
	return scheme + "://" + rest[strings.LastIndexByte(rest[:end], '@')+1:]
}

// A Group is a version of a group that packages were taken from, or that says which are not.
type Group struct {
	Label   string        // what lines of packages call it: its name, with a number if that is taken
	Use     string        // as the definition says: "include", "patch" or "subtract"
	Spec    string        // as the definition says
	Version string        // whole: "/images.example@acme:devel/4-1-1"
	Lock    digest.Digest // the group's identity
}

// Name is the group's name.
func (g Group) Name() string {
	name, _, _ := strings.Cut(g.Spec, "[")
	name, _, _ = strings.Cut(name, "=")
	return name
}

// String is the group with its version.
func (g Group) String() string { return g.Name() + "=" + g.Version }

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

// A Set is the packages of one tree of the image. Their order has no meaning;
// a lock that was read has them by name, architecture and version.
type Set struct {
	Arch    string
	Purpose string // "container", "system", "machine" or "live", or [Bootstrap], or a [Base] of the others
	Flavor  string // canonical, without the architecture: "~kernel,vmware"; "" of a definition without flavors
	Start   string // the starting set, if there is one: "minbase"
	// Asked are the packages that somebody asked for, as they were written, sorted: the
	// definition, or what its outputs need. They are strong references; that any other
	// package is there follows from them and from what packages say of each other.
	Asked []string
	Refs  []distro.Ref
	// Of are the labels of the groups that packages are of, by name and architecture.
	Of map[[2]string]string
}

// Group is the group that a package of the set is of, if it is of one.
func (l *Lock) Group(s Set, r distro.Ref) (Group, bool) {
	label := s.Of[keyOf(r)]
	for _, g := range l.Groups {
		if g.Label == label {
			return g, true
		}
	}
	return Group{}, false
}

// keyOf is what packages of a set are told apart by.
func keyOf(r distro.Ref) [2]string { return [2]string{r.Name, r.Arch} }

// SetGroup notes the group that a package of the set is of.
func (s *Set) SetGroup(r distro.Ref, label string) {
	if s.Of == nil {
		s.Of = map[[2]string]string{}
	}
	s.Of[keyOf(r)] = label
}

// Name is what people call the set: "amd64 machine", "amd64 machine ~kernel,vmware".
func (s Set) Name() string { return setName(s.Arch, s.Purpose, s.Flavor) }

func setName(arch, purpose, flavor string) string {
	return strings.TrimSpace(arch + " " + purpose + " " + flavor)
}

// IsImage says whether the set is the packages of an image: a tree is made of it, and sealed.
func (s Set) IsImage() bool {
	return s.Purpose != Bootstrap && !strings.HasSuffix(s.Purpose, baseSuffix)
}

// Bootstrap is the purpose of a set that is no image's: what a script gets that calls
// debootstrap.
const Bootstrap = "bootstrap"

// Base is the purpose of the set that is in a tree before the elements of its definition
// add to it: a part of the set of that purpose.
func Base(purpose string) string { return purpose + baseSuffix }

const baseSuffix = "-base"

// IsPart says whether a set is no whole image's.
func (s Set) IsPart() bool { return s.Purpose == Bootstrap || strings.HasSuffix(s.Purpose, baseSuffix) }

// A Download is a file that a script asked for and that no package is.
type Download struct {
	Address string // http://HOST/PATH
	Size    int64
	SHA256  digest.Digest // zero for one that was not there
}

// Own are the names of archives that the packages of a station may be of although the
// lock's image has no such archive.
var Own = []string{"debian", "debian-security"}

// A File is something that a build reads beside packages.
type File struct {
	Path       string        // relative to the definition's directory, with slashes
	SHA256     digest.Digest // of its bytes; none for links and directories
	Executable bool
	Link       string // a symbolic link's target
	EmptyDir   bool   // an empty directory; others follow from what they hold
}

// A Seal is the digest of a set's final tree, made by the first build.
type Seal struct {
	Arch    string
	Purpose string
	Flavor  string
	SHA256  digest.Digest
}

// Name is that of its set.
func (s Seal) Name() string { return setName(s.Arch, s.Purpose, s.Flavor) }

// Set gives a set, and whether there is one.
func (l *Lock) Set(arch, purpose, flavor string) (Set, bool) {
	for _, s := range l.Sets {
		if s.Arch == arch && s.Purpose == purpose && s.Flavor == flavor {
			return s, true
		}
	}
	return Set{}, false
}
