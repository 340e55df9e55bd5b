package rpm

import (
	"fmt"
	"math"
	"strings"

	"ingot/internal/tree"
)

// Flags of a file (rpm's manual, "file attributes").
const (
	flagConfig    = 1 << 0
	flagNoReplace = 1 << 4
	flagGhost     = 1 << 6
)

// digestSHA256 is OpenPGP's number of SHA-256 (RFC 4880), which all families
// use for files by now.
const digestSHA256 = 8

// A fileInfo is what a header says of one path.
type fileInfo struct {
	path   string // relative, as in trees
	kind   tree.Kind
	mode   uint32
	size   int64
	mtime  int64
	major  uint32
	minor  uint32
	digest string // SHA-256 in hexadecimal, or "" where the package has another
	link   string
	flags  uint64
	user   string
	group  string
	caps   string
	set    [2]uint64 // device and inode: equal for the names of one file
}

func (f fileInfo) ghost() bool { return f.flags&flagGhost != 0 }

// column is one tag of the file list: each has as many values as there are files.
func column[T any](t tag, n int, need bool, read func(tag) ([]T, error)) ([]T, error) {
	v, err := read(t)
	if err != nil {
		return nil, err
	}
	if len(v) == 0 && !need {
		return make([]T, n), nil
	}
	if len(v) != n {
		return nil, fmt.Errorf("%w: tag %d has %d values for %d files", errPackage, t, len(v), n)
	}
	return v, nil
}

// files reads the header's file list, in its order, which is that of paths as rpm
// sorts them.
func (h header) files() ([]fileInfo, error) {
	base, err := h.words(tagBaseNames)
	if err != nil {
		return nil, err
	}
	if h.has(tagOldFileNames) {
		return nil, fmt.Errorf("%w: its file list has the form of rpm 3", errPackage)
	}
	n := len(base)
	if n == 0 {
		return nil, nil
	}
	dirs, err := h.words(tagDirNames)
	if err != nil {
		return nil, err
	}
	sizeTag := tagFileSizes
	if h.has(tagLongFileSizes) {
		sizeTag = tagLongFileSizes
	}
	var first error
	num := func(t tag, need bool) []uint64 {
		v, err := column(t, n, need, h.numbers)
		if err != nil && first == nil {
			first = err
		}
		return v
	}
	str := func(t tag, need bool) []string {
		v, err := column(t, n, need, h.words)
		if err != nil && first == nil {
			first = err
		}
		return v
	}
	dirIndex, sizes, modes := num(tagDirIndexes, true), num(sizeTag, true), num(tagFileModes, true)
	rdevs, mtimes, flags := num(tagFileRdevs, false), num(tagFileMtimes, true), num(tagFileFlags, false)
	devices, inodes := num(tagFileDevices, true), num(tagFileInodes, true)
	links, digests, caps := str(tagFileLinkTos, true), str(tagFileDigests, false), str(tagFileCaps, false)
	users, groups := str(tagFileUserName, true), str(tagFileGroupName, true)
	algorithm, err := h.number(tagFileDigestAlgo)
	if err != nil || first != nil {
		return nil, firstError(first, err)
	}
	out := make([]fileInfo, n)
	seen := make(map[string]bool, n)
	var total int64 // of names: 65536 paths may share one long directory
	for i := range out {
		if dirIndex[i] >= uint64(len(dirs)) {
			return nil, fmt.Errorf("%w: file %q lies in directory %d of %d", errPackage, base[i], dirIndex[i], len(dirs))
		}
		dir := dirs[dirIndex[i]]
		if total += int64(len(dir) + len(base[i])); total > maxNames {
			return nil, fmt.Errorf("%w: its names take more than %d bytes", errPackage, maxNames)
		}
		f := fileInfo{
			mode: uint32(modes[i]) & 0o7777, size: int64(sizes[i]), mtime: int64(mtimes[i]), flags: flags[i], link: links[i],
			user: users[i], group: groups[i], caps: caps[i], set: [2]uint64{devices[i], inodes[i]},
		}
		if f.path, err = cleanName(dir, base[i]); err != nil {
			return nil, err
		}
		if seen[f.path] {
			return nil, fmt.Errorf("%w: %q is there twice", errPackage, "/"+f.path)
		}
		seen[f.path] = true
		if f.kind, err = kindOf(modes[i]); err != nil {
			return nil, fmt.Errorf("%q: %w", "/"+f.path, err)
		}
		if f.size < 0 || f.size > maxFile {
			return nil, fmt.Errorf("%w: %q has %d bytes", errPackage, "/"+f.path, sizes[i])
		}
		if f.kind == tree.Char || f.kind == tree.Block { // the kernel's old form of device numbers
			f.major, f.minor = uint32(rdevs[i])>>8&0xff, uint32(rdevs[i])&0xff
		}
		if algorithm == digestSHA256 {
			f.digest = digests[i]
		}
		out[i] = f
	}
	return out, nil
}

func firstError(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// Bounds of a package's files.
const (
	maxFile  = math.MaxInt64 >> 16 // 128 TiB: ext4 has no larger file; the archive must hold it anyway
	maxNames = 256 << 20
)

// cleanName joins a directory, "/usr/bin/", and a name to a tree's path.
func cleanName(dir, base string) (string, error) {
	if !strings.HasPrefix(dir, "/") || !strings.HasSuffix(dir, "/") || strings.Contains(base, "/") {
		return "", fmt.Errorf("%w: %q in directory %q is no path", errPackage, base, dir)
	}
	path := strings.TrimPrefix(dir+base, "/")
	if err := tree.CheckPath(path); err != nil {
		return "", fmt.Errorf("%w: %w", errPackage, err)
	}
	return path, nil
}

// kindOf reads the type in a mode (stat(2)).
func kindOf(mode uint64) (tree.Kind, error) {
	switch mode & 0o170000 {
	case 0o040000:
		return tree.Dir, nil
	case 0o100000:
		return tree.File, nil
	case 0o120000:
		return tree.Symlink, nil
	case 0o020000:
		return tree.Char, nil
	case 0o060000:
		return tree.Block, nil
	case 0o010000:
		return tree.Fifo, nil
	}
	return 0, fmt.Errorf("%w: mode %o is of no type that an image can hold", errPackage, mode)
}
