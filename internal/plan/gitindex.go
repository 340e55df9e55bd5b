package plan

import (
	"crypto/sha1" //nolint:gosec // what git's format says
	"encoding/binary"
	"path"

	"ingot/internal/tree"
)

// A git repository remembers of each file that it checked out when it was changed, and
// its inode, to find out faster what differs (gitformat-index(5)). No two builds have the
// same, and in the image none of it holds: git finds out by itself.

// maxIndex bounds an index that is looked at, in bytes.
const maxIndex = 256 << 20

// settleIndexes takes that out of all repositories of a tree.
func (e *edit) settleIndexes() error {
	var set []tree.Entry
	for n := range e.tree.All() {
		if n.Kind != tree.File || path.Base(n.Path) != "index" || path.Base(path.Dir(n.Path)) != ".git" || n.Content.Size > maxIndex {
			continue
		}
		data, err := e.read(e.tree, n.Path)
		if err != nil {
			return err
		}
		if !settleIndex(data) {
			continue
		}
		f, err := e.file(n.Path, n.Mode, data)
		if err != nil {
			return err
		}
		n.Content = f.Content
		set = append(set, n)
	}
	t, err := e.tree.Apply(tree.Delta{Set: set})
	if err == nil {
		e.tree = t
	}
	return err
}

// settleIndex takes times and inodes out of an index. It leaves alone what it does not
// know, and says so.
func settleIndex(data []byte) bool {
	const header, fixed = 12, 62
	body := len(data) - sha1.Size
	if body < header || string(data[:4]) != "DIRC" {
		return false
	}
	if sum := sha1.Sum(data[:body]); string(sum[:]) != string(data[body:]) { //nolint:gosec // see above
		return false
	}
	version, entries := binary.BigEndian.Uint32(data[4:]), binary.BigEndian.Uint32(data[8:])
	if version != 2 && version != 3 {
		return false
	}
	at, starts := header, []int(nil)
	for range entries {
		if at+fixed > body {
			return false
		}
		name := at + fixed
		if binary.BigEndian.Uint16(data[at+60:])&0x4000 != 0 {
			name += 2
		}
		end := name
		for end < body && data[end] != 0 {
			end++
		}
		starts = append(starts, at)
		at += (end - at + 8) &^ 7
	}
	if at > body {
		return false
	}
	for _, s := range starts {
		clear(data[s : s+24])    // ctime, mtime, device, inode
		clear(data[s+28 : s+36]) // user and group, which are root's
	}
	sum := sha1.Sum(data[:body]) //nolint:gosec // see above
	copy(data[body:], sum[:])
	return true
}
