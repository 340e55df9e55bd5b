package sandbox

import (
	"bufio"
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"strconv"
	"strings"

	"ingot/internal/fault"
)

// ids is how many user and group ids exist inside a box: 0 to 65535.
const ids = 65536

// An extent maps a range of ids inside to one outside, as a line of
// /proc/PID/uid_map does (user_namespaces(7)).
type extent struct{ inside, outside, count int64 }

// An idMap is how a box's ids are mapped and who writes the map.
type idMap struct {
	uid, gid []extent
	helper   bool // newuidmap and newgidmap write it
}

// rootBase is where root's boxes lie when all ids may be mapped: high enough
// that no file or process of the host has such an owner.
const rootBase = 0x70000000

// chooseIDs decides the maps for whoever runs ingot.
func chooseIDs() (idMap, error) {
	if os.Geteuid() == 0 {
		uid, err := rootExtents("/proc/self/uid_map")
		if err != nil {
			return idMap{}, err
		}
		gid, err := rootExtents("/proc/self/gid_map")
		return idMap{uid: uid, gid: gid}, err
	}
	me, err := user.Current()
	if err != nil {
		return idMap{}, fmt.Errorf("cannot tell who runs ingot: %w", err)
	}
	for _, program := range []string{"newuidmap", "newgidmap"} {
		if _, err := exec.LookPath(program); err != nil {
			return idMap{}, fault.Newf(fault.Preflight, "%s is not installed, which an ordinary user needs", program).
				WithHint("as root: apt-get install uidmap")
		}
	}
	uid, err := userExtents("/etc/subuid", me, int64(os.Geteuid()))
	if err != nil {
		return idMap{}, err
	}
	gid, err := userExtents("/etc/subgid", me, int64(os.Getegid()))
	return idMap{uid: uid, gid: gid, helper: true}, err
}

// rootExtents finds 65536 ids that root may map, by preference ones that own
// nothing.
func rootExtents(path string) ([]extent, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("cannot read id map: %w", err)
	}
	base := int64(-1)
	for line := range strings.Lines(string(data)) {
		var first, outside, count int64
		if _, err := fmt.Sscan(line, &first, &outside, &count); err != nil {
			return nil, fmt.Errorf("cannot read %s: %w", path, err)
		}
		switch {
		case first <= rootBase && rootBase+ids <= first+count:
			base = rootBase
		case base != rootBase && count >= ids && first+count-ids > base:
			base = first + count - ids // the highest ones, farthest from those in use
		}
	}
	if base < 0 {
		return nil, fault.Newf(fault.Preflight, "this container has fewer than %d user or group ids (%s)", ids, path).
			WithHint("start the container with an id range of at least 65536")
	}
	return []extent{{0, base, ids}}, nil
}

// userExtents maps the user to 0 and 65535 subordinate ids above.
func userExtents(path string, me *user.User, own int64) ([]extent, error) {
	data, err := os.ReadFile(path)
	if err != nil && !os.IsNotExist(err) {
		return nil, fmt.Errorf("cannot read subordinate ids: %w", err)
	}
	start, ok := subordinate(data, me.Username, me.Uid)
	if !ok {
		return nil, fault.Newf(fault.Preflight, "user %s has no range of %d subordinate ids in %s", me.Username, ids-1, path).
			WithHint("as root: usermod --add-subuids %[1]d-%[2]d --add-subgids %[1]d-%[2]d %[3]s", freeRange(), freeRange()+ids-1, me.Username)
	}
	return []extent{{0, own, 1}, {1, start, ids - 1}}, nil
}

// freeRange is where subordinate ids begin that nobody has.
func freeRange() int64 {
	free := int64(100000) // as useradd begins (login.defs(5), SUB_UID_MIN)
	for _, file := range []string{"/etc/subuid", "/etc/subgid"} {
		data, err := os.ReadFile(file)
		if err != nil {
			continue
		}
		for line := range strings.Lines(string(data)) {
			f := strings.Split(strings.TrimSpace(line), ":")
			if len(f) != 3 {
				continue
			}
			first, err1 := strconv.ParseInt(f[1], 10, 64)
			count, err2 := strconv.ParseInt(f[2], 10, 64)
			if err1 == nil && err2 == nil && first < 1<<31 && count < 1<<31 {
				free = max(free, first+count)
			}
		}
	}
	return free
}

// subordinate finds a large enough range of a user in the text of subuid(5).
func subordinate(data []byte, name, uid string) (start int64, ok bool) {
	lines := bufio.NewScanner(bytes.NewReader(data))
	for lines.Scan() {
		f := strings.Split(strings.TrimSpace(lines.Text()), ":")
		if len(f) != 3 || f[0] != name && f[0] != uid {
			continue
		}
		first, err1 := strconv.ParseInt(f[1], 10, 64)
		count, err2 := strconv.ParseInt(f[2], 10, 64)
		if err1 == nil && err2 == nil && count >= ids-1 {
			return first, true
		}
	}
	return 0, false
}

// write gives the map to the process.
func (m idMap) write(pid int) error {
	for _, side := range []struct {
		file, helper string
		extents      []extent
	}{{"uid_map", "newuidmap", m.uid}, {"gid_map", "newgidmap", m.gid}} {
		if m.helper {
			args := []string{strconv.Itoa(pid)}
			for _, e := range side.extents {
				args = append(args, strconv.FormatInt(e.inside, 10), strconv.FormatInt(e.outside, 10), strconv.FormatInt(e.count, 10))
			}
			//nolint:noctx // a set-uid program that ends at once
			if out, err := exec.Command(side.helper, args...).CombinedOutput(); err != nil {
				return fault.Newf(fault.Preflight, "%s refused the id map: %s: %w", side.helper, bytes.TrimSpace(out), err).
					WithHint("look at /etc/subuid and /etc/subgid, and whether %s is set-uid root", side.helper)
			}
			continue
		}
		var text strings.Builder
		for _, e := range side.extents {
			fmt.Fprintln(&text, e.inside, e.outside, e.count)
		}
		if err := os.WriteFile(fmt.Sprintf("/proc/%d/%s", pid, side.file), []byte(text.String()), 0); err != nil {
			return fmt.Errorf("cannot map ids: %w", err)
		}
	}
	return nil
}
