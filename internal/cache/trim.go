package cache

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"ingot/internal/draft"
)

// A Kind is what the cache keeps of one kind.
type Kind struct {
	Name    string // "packages", "steps", "indexes", …
	Entries int
	Size    int64 // bytes
}

// A unit is what is removed at once: an entry, or what lies directly in a room's
// own directory, with all below it.
type unit struct {
	path string
	size int64
	used time.Time
}

// Kinds says what the cache holds, by name.
func (c *Cache) Kinds() ([]Kind, error) {
	return c.walk(func(unit) (bool, error) { return true, nil })
}

// Trim removes what was not used since a time, and gives what it removed. It may
// run while others use the cache: it spares then what they may be using, which is all that
// was used in the last two days. A dry run removes nothing.
func (c *Cache) Trim(before time.Time, dry bool) ([]Kind, error) {
	// If so, nobody can begin meanwhile.
	alone := c.use != nil && unix.Flock(int(c.use.Fd()), unix.LOCK_EX|unix.LOCK_NB) == nil
	if c.use != nil {
		defer func() { _ = unix.Flock(int(c.use.Fd()), unix.LOCK_SH) }()
	}
	if !alone {
		var now unix.Timespec
		if err := unix.ClockGettime(unix.CLOCK_REALTIME, &now); err != nil {
			return nil, err
		}
		if spared := time.Unix(now.Unix()).Add(-2 * useStep); spared.Before(before) {
			before = spared
		}
	}
	return c.walk(func(u unit) (bool, error) {
		if !u.used.Before(before) {
			return false, nil
		}
		if dry {
			return true, nil
		}
		if err := os.RemoveAll(u.path); err != nil {
			return false, draft.Explain(err, Variable)
		}
		return true, nil
	})
}

// walk counts the units that f takes, by kind.
func (c *Cache) walk(f func(unit) (bool, error)) ([]Kind, error) {
	kinds := map[string]*Kind{}
	each := func(kind string, u unit) error {
		ok, err := f(u)
		if err != nil || !ok {
			return err
		}
		if kinds[kind] == nil {
			kinds[kind] = &Kind{Name: kind}
		}
		kinds[kind].Entries++
		kinds[kind].Size += u.size
		return nil
	}
	entries := filepath.Join(c.dir, "entries")
	if err := eachIn(entries, func(kind string) error {
		return eachUnit(filepath.Join(entries, kind), func(u unit) error { return each(kind, u) })
	}); err != nil {
		return nil, err
	}
	if err := eachIn(c.dir, func(kind string) error {
		if kind == "entries" || kind == "tmp" || kind == "work" || kind == "lock" {
			return nil
		}
		return eachUnit(filepath.Join(c.dir, kind), func(u unit) error { return each(kind, u) })
	}); err != nil {
		return nil, err
	}
	out := make([]Kind, 0, len(kinds))
	for _, k := range kinds {
		out = append(out, *k)
	}
	slices.SortFunc(out, func(a, b Kind) int {
		if a.Name < b.Name {
			return -1
		}
		return 1
	})
	return out, nil
}

// eachIn calls f with the names in a directory; one that is gone has none.
func eachIn(dir string, f func(name string) error) error {
	names, err := readNames(dir)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ENOTDIR) {
		return nil
	}
	for _, n := range names {
		if err := f(n); err != nil {
			return err
		}
	}
	return err
}

// eachUnit calls f with what lies directly in a directory.
func eachUnit(dir string, f func(unit) error) error {
	return eachIn(dir, func(name string) error {
		u := unit{path: filepath.Join(dir, name)}
		err := filepath.WalkDir(u.path, func(_ string, d fs.DirEntry, err error) error {
			if errors.Is(err, fs.ErrNotExist) {
				return nil
			}
			if err != nil {
				return err
			}
			info, err := d.Info()
			if errors.Is(err, fs.ErrNotExist) {
				return nil
			}
			if err != nil {
				return err
			}
			if info.Mode().IsRegular() {
				u.size += info.Size()
			}
			// Whichever is later: entries are marked, other files read.
			used := info.ModTime()
			if st, ok := info.Sys().(*syscall.Stat_t); ok && time.Unix(st.Atim.Unix()).After(used) && !info.IsDir() {
				used = time.Unix(st.Atim.Unix())
			}
			if used.After(u.used) {
				u.used = used
			}
			return nil
		})
		if err != nil {
			return err
		}
		return f(u)
	})
}
