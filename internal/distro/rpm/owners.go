package rpm

import (
	"context"
	"errors"
	"io/fs"
	"strconv"
	"strings"

	"ingot/internal/distro"
	"ingot/internal/tree"
)

// ids are the numbers of a tree's users or groups by name.
type ids map[string]uint32

// readIDs reads passwd(5) or group(5) of the box, both of which have the name
// first and the number third. Without the file there is only root.
func readIDs(ctx context.Context, box *distro.Box, path string) (ids, error) {
	data, err := box.Read(ctx, path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	out := ids{}
	for line := range strings.Lines(string(data)) {
		part := strings.Split(strings.TrimSuffix(line, "\n"), ":")
		if len(part) < 3 {
			continue
		}
		n, err := strconv.ParseUint(part[2], 10, 32)
		if _, ok := out[part[0]]; err == nil && !ok {
			out[part[0]] = uint32(n)
		}
	}
	out["root"] = 0
	return out, nil
}

// own gives an entry its owners' numbers. As in rpm, what belongs to nobody that
// the tree knows becomes root's and loses the set-id bit that would make it
// root's in earnest; unknown says so.
func own(e *tree.Entry, f fileInfo, users, groups ids, unknown func(kind, name string)) {
	var ok bool
	if e.UID, ok = users[f.user]; !ok {
		unknown("user", f.user)
		e.Mode &^= 0o4000
	}
	if e.GID, ok = groups[f.group]; !ok {
		unknown("group", f.group)
		e.Mode &^= 0o2000
	}
}
