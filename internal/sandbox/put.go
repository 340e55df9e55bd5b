package sandbox

import (
	"errors"
	"fmt"
	"io/fs"
	"os"

	"golang.org/x/sys/unix"

	"ingot/internal/tree"
)

// devices are the entries that cannot be made real in a user namespace; they
// stay data and join the capture.
type devices map[string]tree.Entry

// put makes entries real: directories first, then files, filled on all cores, then what
// refers to files, last the times of directories. All are made in the order of the entries,
// since a script can see it: a tmpfs lists and numbers what it holds as it was made.
func (in *box) put(p *putRequest, files []*os.File) error {
	entries, _, err := tree.DecodeEntries(string(p.Entries))
	if err != nil {
		return err
	}
	packs := map[string]*os.File{}
	for i, name := range p.Packs {
		packs[name] = files[i]
	}
	image, aside := partition(entries)
	if err := (&putter{box: in, dir: treeDir}).put(image, packs); err != nil || len(aside) == 0 {
		return err
	}
	return (&putter{box: in, dir: asideDir, prefix: Aside + "/"}).put(aside, packs)
}

// partition takes apart what is the image's and what lies aside, whose paths are made
// relative to where that lies.
func partition(entries []tree.Entry) (image, aside []tree.Entry) {
	for _, e := range entries {
		dir, rest := place(e.Path)
		if dir == treeDir {
			image = append(image, e)
			continue
		}
		if e.Path = rest; e.Kind == tree.Hardlink {
			_, e.Link = place(e.Link)
		}
		aside = append(aside, e)
	}
	return image, aside
}

// A putter makes entries real below one directory.
type putter struct {
	*box
	dir    string
	prefix string // of the paths by which the box knows what lies there
}

func (p *putter) put(entries []tree.Entry, packs map[string]*os.File) error {
	if err := confined(p.dir, func() error { return p.putSkeleton(entries) }); err != nil {
		return err
	}
	if err := p.putFiles(entries, packs); err != nil {
		return err
	}
	return confined(p.dir, func() error { return p.putRest(entries) })
}

// putSkeleton makes directories and symbolic links, in order, and turns the path
// of each entry into its canonical one.
func (in *putter) putSkeleton(entries []tree.Entry) error {
	links := resolver{}
	for i := range entries {
		e := &entries[i]
		err := tree.CheckPath(e.Path)
		if err == nil {
			e.Path, err = links.resolve(e.Path)
		}
		if err != nil {
			return err
		}
		switch e.Kind {
		case tree.Dir:
			err = in.putDir(e)
		case tree.Symlink:
			err = putSymlink(e)
		case tree.Hardlink:
			e.Link, err = links.resolve(e.Link)
		case tree.Char, tree.Block:
			if in.prefix == "" {
				in.devices[e.Path] = *e
			}
		case tree.File, tree.Fifo:
		}
		if err != nil {
			return err
		}
		in.note(e)
	}
	return nil
}

// putRest makes what needs the files to be there: hard links, and the times of
// directories.
func (in *putter) putRest(entries []tree.Entry) error {
	for i := range entries {
		if e := &entries[i]; e.Kind == tree.Hardlink {
			if err := replace(e.Path, func(full string) error { return os.Link("/"+e.Link, full) }); err != nil {
				return fmt.Errorf("cannot make hard link /%s: %w", e.Path, err)
			}
		}
	}
	for i := range entries {
		if e := &entries[i]; e.Kind == tree.Dir {
			if err := setTime("/"+e.Path, e.Mtime); err != nil {
				return err
			}
		}
	}
	return nil
}

// putDir makes a directory, or gives an existing one the entry's metadata. A
// symbolic link to a directory stays, as dpkg leaves it: merged /usr rests on it.
func (in *putter) putDir(e *tree.Entry) error {
	full := "/" + e.Path
	err := unix.Mkdir(full, e.Mode)
	if errors.Is(err, unix.EEXIST) {
		info, statErr := os.Lstat(full)
		if statErr != nil {
			return statErr
		}
		if info.Mode()&fs.ModeSymlink != 0 {
			if target, err := os.Stat(full); err == nil && target.IsDir() {
				return nil
			}
		}
		if !info.IsDir() {
			return fmt.Errorf("cannot make directory /%s: a file is in the way", e.Path)
		}
		err = nil
	}
	if err != nil {
		return fmt.Errorf("cannot make directory /%s: %w", e.Path, err)
	}
	return meta(full, e)
}

// meta sets owner, mode and attributes of what is not a link.
func meta(full string, e *tree.Entry) error {
	if err := os.Lchown(full, int(e.UID), int(e.GID)); err != nil {
		return fmt.Errorf("cannot set the owner of /%s: %w", e.Path, err)
	}
	if e.Kind != tree.Symlink {
		if err := unix.Chmod(full, e.Mode); err != nil {
			return fmt.Errorf("cannot set the mode of /%s: %w", e.Path, err)
		}
	}
	for _, x := range e.Xattrs {
		if err := unix.Lsetxattr(full, x.Name, []byte(x.Value), 0); err != nil {
			return fmt.Errorf("cannot set %s of /%s: %w", x.Name, e.Path, err)
		}
	}
	return nil
}

func setTime(full string, t tree.Time) error {
	at := unix.Timespec{Sec: t.Sec, Nsec: int64(t.Nsec)}
	if err := unix.UtimesNanoAt(unix.AT_FDCWD, full, []unix.Timespec{at, at}, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return fmt.Errorf("cannot set the time of %s: %w", full, err)
	}
	return nil
}

// putSymlink makes a link. A directory in its place stays, as dpkg leaves it.
func putSymlink(e *tree.Entry) error {
	err := replace(e.Path, func(full string) error { return unix.Symlink(e.Link, full) })
	if errors.Is(err, unix.EISDIR) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("cannot make symbolic link /%s: %w", e.Path, err)
	}
	if err := meta("/"+e.Path, e); err != nil {
		return err
	}
	return setTime("/"+e.Path, e.Mtime)
}

// note keeps what a capture will want to know of a path. Bytes without a digest
// came from no pack of the cache: a capture must read them.
func (in *putter) note(e *tree.Entry) {
	if e.Owner != "" {
		in.owners[in.prefix+e.Path] = e.Owner
	}
	if e.Kind == tree.File && !e.Content.Digest.IsZero() {
		in.puts[in.prefix+e.Path] = original{content: e.Content, owner: e.Owner}
	}
}

// replace makes something at a path, in place of what is there already. A
// directory in the way stays, and that is EISDIR.
func replace(p string, make func(full string) error) error {
	full := "/" + p
	err := make(full)
	if !errors.Is(err, unix.EEXIST) {
		return err
	}
	if err := unix.Unlink(full); err != nil {
		return err
	}
	return make(full)
}
