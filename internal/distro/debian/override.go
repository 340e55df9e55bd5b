package debian

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"ingot/internal/tree"
)

const overridesPath = adminDir + "statoverride"

// An override is dpkg-statoverride's: who owns a file and its mode, whatever its package says.
type override struct{ uid, gid, mode uint32 }

// readOverrides reads dpkg's record of overrides (lib/dpkg/db-fsys-override.c): user, group, mode and
// path a line, users and groups by name or as "#" and a number. A script may have added one since the
// last phase.
func (i *installer) readOverrides(ctx context.Context) (map[string]override, error) {
	text, err := i.read(ctx, overridesPath)
	if err != nil || len(text) == 0 {
		return nil, err
	}
	users, err := i.read(ctx, "etc/passwd")
	if err != nil {
		return nil, err
	}
	groups, err := i.read(ctx, "etc/group")
	if err != nil {
		return nil, err
	}
	return parseOverrides(string(text), string(users), string(groups))
}

func parseOverrides(text, users, groups string) (map[string]override, error) {
	out := map[string]override{}
	for line := range strings.Lines(text) {
		f := strings.SplitN(strings.TrimSuffix(line, "\n"), " ", 4)
		if len(f) != 4 || !strings.HasPrefix(f[3], "/") {
			return nil, fmt.Errorf("dpkg's record of overrides has the line %q", clip([]byte(line)))
		}
		uid, ok := numberOf(users, f[0])
		gid, ok2 := numberOf(groups, f[1])
		mode, err := strconv.ParseUint(f[2], 8, 12)
		if !ok || !ok2 || err != nil {
			return nil, fmt.Errorf("dpkg's record of overrides has the line %q, whose user, group or mode there is not", clip([]byte(line)))
		}
		out[f[3][1:]] = override{uid, gid, uint32(mode)}
	}
	return out, nil
}

// numberOf is the number of a name in passwd(5) or group(5).
func numberOf(accounts, name string) (uint32, bool) {
	if digits, ok := strings.CutPrefix(name, "#"); ok {
		n, err := strconv.ParseUint(digits, 10, 32)
		return uint32(n), err == nil
	}
	for line := range strings.Lines(accounts) {
		if f := strings.Split(line, ":"); len(f) > 2 && f[0] == name {
			n, err := strconv.ParseUint(f[2], 10, 32)
			return uint32(n), err == nil
		}
	}
	return 0, false
}

// apply gives an entry its owner and mode; a symbolic link has no mode of its own.
func (o override) apply(e *tree.Entry) {
	e.UID, e.GID = o.uid, o.gid
	if e.Kind != tree.Symlink {
		e.Mode = o.mode
	}
}
