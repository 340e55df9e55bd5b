package sandbox

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"ingot/internal/digest"
	"ingot/internal/fault"
	"ingot/internal/sparse"
	"ingot/internal/tree"
)

// An original is what the box knows of an inode that it made or has seen at a
// capture: where its bytes lie, and the change time at which that was true. The
// kernel moves the change time at every write, rename and change of metadata,
// and no program can set it.
type original struct {
	content tree.Content
	owner   string
	ctime   syscall.Timespec
}

// remember notes inode and change time of all that was put since the last time,
// before programs can touch it.
func (in *box) remember() error {
	if len(in.puts) == 0 {
		return nil
	}
	for p, o := range in.puts {
		var st syscall.Stat_t
		err := syscall.Lstat(full(p), &st) // its parents are no links
		if errors.Is(err, syscall.ENOENT) {
			continue // removed again
		}
		if err != nil {
			return fmt.Errorf("cannot look at /%s: %w", p, err)
		}
		o.ctime = st.Ctim
		in.known[inodeOf(&st)] = o
	}
	in.puts = map[string]original{}
	waitForTick()
	return nil
}

// waitForTick returns when the clock that stamps files has moved on, so that a
// later change cannot bear the same stamp (the coarse clock ticks every 1 to
// 10 ms).
func waitForTick() {
	var start, now unix.Timespec
	_ = unix.ClockGettime(unix.CLOCK_REALTIME_COARSE, &start)
	for {
		_ = unix.ClockGettime(unix.CLOCK_REALTIME_COARSE, &now)
		if now != start {
			return
		}
		time.Sleep(500 * time.Microsecond)
	}
}

// capture reads the tree back as data.
func (in *box) capture(r *captureRequest, pack *os.File) (reply, error) {
	if err := in.remember(); err != nil {
		return reply{}, err
	}
	at, err := pack.Seek(0, io.SeekEnd)
	if err != nil {
		return reply{}, fmt.Errorf("cannot find the pack's end: %w", err)
	}
	c := capturer{box: in, request: r, pack: pack, start: at, at: at, links: map[inode]string{}, seen: make(map[inode]original, len(in.known))}
	if err := c.dir("", treeDir); err != nil {
		return reply{}, err
	}
	if in.station != nil {
		if err := c.dir(Aside, asideDir); err != nil {
			return reply{}, err
		}
	}
	c.entries = withDevices(c.entries, in.devices)
	c.fixLinks()
	in.known = c.seen
	return reply{Entries: tree.AppendEntries(nil, c.entries), Size: c.at - c.start}, nil
}

// withDevices sorts what was found and adds the devices whose directories are
// still there. A file at a device's path means that a program replaced it.
func withDevices(found []tree.Entry, devices devices) []tree.Entry {
	byPath := func(a, b tree.Entry) int { return strings.Compare(a.Path, b.Path) }
	slices.SortFunc(found, byPath)
	out := found
	for p, e := range devices {
		if i, ok := slices.BinarySearchFunc(found, tree.Entry{Path: tree.Parent(p)}, byPath); ok && found[i].Kind == tree.Dir {
			out = append(out, e)
		}
	}
	slices.SortStableFunc(out, byPath) // found ones first
	return slices.CompactFunc(out, func(a, b tree.Entry) bool { return a.Path == b.Path })
}

type capturer struct {
	box     *box
	request *captureRequest
	pack    *os.File
	start   int64
	at      int64
	entries []tree.Entry
	links   map[inode]string // first path of a file with several
	seen    map[inode]original
}

// dir walks in the order of readdir sorted by name; the whole is sorted by path
// at the end, since "a-b" stands between "a" and "a/b".
func (c *capturer) dir(path, full string) error {
	var st syscall.Stat_t
	if err := syscall.Lstat(full, &st); err != nil {
		return fmt.Errorf("cannot look at /%s: %w", path, err)
	}
	e, err := c.entry(path, full, &st)
	if err != nil {
		return err
	}
	e.Owner = c.owner(path)
	c.entries = append(c.entries, e)
	names, err := readNames(full)
	if err != nil {
		return fmt.Errorf("cannot read directory /%s: %w", path, err)
	}
	for _, name := range names {
		child, childFull := name, full+"/"+name
		if path != "" {
			child = path + "/" + name
		}
		var st syscall.Stat_t
		if err := syscall.Lstat(childFull, &st); err != nil {
			return fmt.Errorf("cannot look at /%s: %w", child, err)
		}
		if st.Mode&syscall.S_IFMT == syscall.S_IFDIR {
			if err := c.dir(child, childFull); err != nil {
				return err
			}
			continue
		}
		if st.Mode&syscall.S_IFMT == syscall.S_IFSOCK {
			continue // means nothing without the process that listened
		}
		e, err := c.entry(child, childFull, &st)
		if err != nil {
			return err
		}
		c.entries = append(c.entries, e)
	}
	return nil
}

func readNames(full string) ([]string, error) {
	d, err := os.Open(full)
	if err != nil {
		return nil, err
	}
	names, err := d.Readdirnames(-1)
	_ = d.Close()
	slices.Sort(names)
	return names, err
}

// owner of a directory, link or pipe: whoever put the path there, else the step.
func (c *capturer) owner(path string) string {
	if o, ok := c.box.owners[path]; ok {
		return o
	}
	return c.request.Owner
}

func (c *capturer) entry(path, full string, st *syscall.Stat_t) (tree.Entry, error) {
	e := tree.Entry{Path: path, Mode: st.Mode & 0o7777, UID: st.Uid, GID: st.Gid, Mtime: tree.At(st.Mtim.Sec, int32(st.Mtim.Nsec)), Owner: c.owner(path)}
	if e.Mtime.Sec >= c.request.Epoch {
		e.Mtime = tree.Time{Sec: c.request.Epoch}
	}
	var err error
	switch st.Mode & syscall.S_IFMT {
	case syscall.S_IFDIR:
		e.Kind = tree.Dir
	case syscall.S_IFLNK:
		e.Kind, e.Mode = tree.Symlink, 0o777
		e.Link, err = os.Readlink(full)
	case syscall.S_IFIFO:
		e.Kind = tree.Fifo
	case syscall.S_IFREG:
		if first, ok := c.links[inodeOf(st)]; ok && st.Nlink > 1 {
			e.Kind, e.Link = tree.Hardlink, first
			return e, nil
		}
		c.links[inodeOf(st)] = path
		e.Kind = tree.File
		e.Content, e.Owner, err = c.content(full, st)
	default:
		return e, fmt.Errorf("/%s is of a type that an image cannot hold (mode %o)", path, st.Mode)
	}
	if err != nil {
		return e, fmt.Errorf("cannot read /%s: %w", path, err)
	}
	e.Xattrs, err = xattrs(full)
	if err != nil {
		return e, fmt.Errorf("cannot read the attributes of /%s: %w", path, err)
	}
	return e, nil
}

// content finds where a file's bytes lie: where they lay, if nothing touched
// the inode; else they are read, and written to the pack if they are new.
func (c *capturer) content(full string, st *syscall.Stat_t) (tree.Content, string, error) {
	id := inodeOf(st)
	old, known := c.box.known[id]
	if known && old.ctime == st.Ctim && old.content.Size == st.Size {
		c.seen[id] = old
		return old.content, old.owner, nil
	}
	if st.Size > tree.MaxFile {
		return tree.Content{}, "", fault.Newf(fault.Failed, "it is larger than %d GiB, holes counted, and no file of an image may be", tree.MaxFile>>30).
			WithHint("make it smaller here, and let the machine grow it when it starts")
	}
	f, err := os.Open(full)
	if err != nil {
		return tree.Content{}, "", err
	}
	defer func() { _ = f.Close() }()
	owner := c.request.Owner
	var content tree.Content
	if known && old.content.Size == st.Size {
		d, err := sparse.Digest(f, 0, st.Size)
		if err != nil {
			return content, "", err
		}
		if d == old.content.Digest {
			content, owner = old.content, old.owner
		}
	}
	if content == (tree.Content{}) {
		h := sha256.New()
		if err := sparse.Copy(c.pack, c.at, f, 0, st.Size, h); err != nil {
			return content, "", err
		}
		content = tree.Content{Digest: digest.From(h), Size: st.Size}
		if st.Size > 0 {
			content.Pack, content.Offset = c.request.Pack, c.at
		}
		c.at += st.Size
	}
	c.seen[id] = original{content: content, owner: owner, ctime: st.Ctim}
	return content, owner, nil
}

// fixLinks makes the first path in sorting order the file, whichever the walk met
// first.
func (c *capturer) fixLinks() {
	first := map[string]int{} // by the path that the walk took for the file
	for i := range c.entries {
		e := &c.entries[i]
		target := e.Path
		if e.Kind == tree.Hardlink {
			target = e.Link
		} else if e.Kind != tree.File {
			continue
		}
		j, ok := first[target]
		if !ok {
			first[target] = i
			continue
		}
		if e.Kind == tree.File { // a link sorts before it: swap their roles
			link := &c.entries[j]
			path, owner := link.Path, link.Owner
			*link = *e
			link.Path = path
			*e = tree.Entry{Path: target, Kind: tree.Hardlink, Mode: link.Mode, UID: link.UID, GID: link.GID, Mtime: link.Mtime, Owner: link.Owner}
			link.Owner = owner
		}
		e.Kind, e.Link = tree.Hardlink, c.entries[j].Path
	}
}

// kept are the attributes that belong to the image; what the host's security
// module adds does not.
func kept(name string) bool {
	return name == "security.capability" || strings.HasPrefix(name, "user.") || strings.HasPrefix(name, "system.posix_acl_")
}

func xattrs(full string) ([]tree.Xattr, error) {
	var space [1024]byte
	buf := space[:]
	n, err := unix.Llistxattr(full, buf)
	if errors.Is(err, unix.ERANGE) {
		buf = make([]byte, 1<<16)
		n, err = unix.Llistxattr(full, buf)
	}
	if err != nil {
		if errors.Is(err, unix.ENOTSUP) {
			return nil, nil
		}
		return nil, err
	}
	var out []tree.Xattr
	for name := range strings.SplitSeq(string(buf[:n]), "\x00") {
		if !kept(name) {
			continue
		}
		value := make([]byte, 1<<16)
		m, err := unix.Lgetxattr(full, name, value)
		if err != nil {
			return nil, err
		}
		out = append(out, tree.Xattr{Name: name, Value: string(value[:m])})
	}
	slices.SortFunc(out, func(a, b tree.Xattr) int { return strings.Compare(a.Name, b.Name) })
	return out, nil
}
