package sandbox

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"runtime"
	"sync"

	"golang.org/x/sys/unix"

	"ingot/internal/sparse"
	"ingot/internal/tree"
)

// devices are the entries that cannot be made real in a user namespace; they
// stay data and join the capture.
type devices map[string]tree.Entry

// put makes entries real: directories first, then files on all cores, then what
// refers to files, last the times of directories.
func (in *box) put(p *putRequest, files []*os.File) error {
	entries, _, err := tree.DecodeEntries(string(p.Entries))
	if err != nil {
		return err
	}
	packs := map[string]*os.File{}
	for i, name := range p.Packs {
		packs[name] = files[i]
	}
	if err := confined(func() error { return in.putSkeleton(entries) }); err != nil {
		return err
	}
	if err := in.putFiles(entries, packs); err != nil {
		return err
	}
	return confined(func() error { return in.putRest(entries) })
}

// putSkeleton makes directories and symbolic links, in order, and turns the path
// of each entry into its canonical one.
func (in *box) putSkeleton(entries []tree.Entry) error {
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
			in.devices[e.Path] = *e
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
func (in *box) putRest(entries []tree.Entry) error {
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
func (in *box) putDir(e *tree.Entry) error {
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

// putFiles makes regular files and pipes, split over the cores in runs of
// neighbours so that two of them seldom want the same directory.
func (in *box) putFiles(entries []tree.Entry, packs map[string]*os.File) error {
	workers := max(runtime.GOMAXPROCS(0), 1)
	const run = 64
	jobs := make(chan []tree.Entry, len(entries)/run+1)
	for i := 0; i < len(entries); i += run {
		jobs <- entries[i:min(i+run, len(entries))]
	}
	close(jobs)
	errs := make([]error, workers)
	var wg sync.WaitGroup
	for w := range workers {
		wg.Go(func() {
			errs[w] = confined(func() error {
				for chunk := range jobs {
					for i := range chunk {
						if err := putFile(&chunk[i], packs); err != nil {
							return err
						}
					}
				}
				return nil
			})
		})
	}
	wg.Wait()
	return errors.Join(errs...)
}

func putFile(e *tree.Entry, packs map[string]*os.File) error {
	switch e.Kind {
	case tree.File:
		return putRegular(e, packs)
	case tree.Fifo:
		if err := replace(e.Path, func(full string) error { return unix.Mkfifo(full, e.Mode) }); err != nil {
			return fmt.Errorf("cannot make pipe /%s: %w", e.Path, err)
		}
		if err := meta("/"+e.Path, e); err != nil {
			return err
		}
		return setTime("/"+e.Path, e.Mtime)
	case tree.Dir, tree.Symlink, tree.Hardlink, tree.Char, tree.Block:
	}
	return nil
}

func putRegular(e *tree.Entry, packs map[string]*os.File) (err error) {
	const flags = unix.O_WRONLY | unix.O_CREAT | unix.O_EXCL | unix.O_NOFOLLOW | unix.O_CLOEXEC
	var fd int
	if err := replace(e.Path, func(full string) error {
		var err error
		fd, err = unix.Open(full, flags, 0o600)
		return err
	}); err != nil {
		return fmt.Errorf("cannot make file /%s: %w", e.Path, err)
	}
	f := os.NewFile(uintptr(fd), e.Path)
	defer func() {
		if closeErr := f.Close(); err == nil && closeErr != nil {
			err = fmt.Errorf("cannot finish file /%s: %w", e.Path, closeErr)
		}
	}()
	if e.Content.Size > 0 {
		pack, ok := packs[e.Content.Pack]
		if !ok {
			return fmt.Errorf("file /%s lies in pack %q, which was not passed", e.Path, e.Content.Pack)
		}
		if err := sparse.Copy(f, 0, pack, e.Content.Offset, e.Content.Size, nil); err != nil {
			return fmt.Errorf("cannot fill file /%s: %w", e.Path, err)
		}
	}
	if e.UID != 0 || e.GID != 0 {
		if err := unix.Fchown(fd, int(e.UID), int(e.GID)); err != nil {
			return fmt.Errorf("cannot set the owner of /%s: %w", e.Path, err)
		}
	}
	if err := unix.Fchmod(fd, e.Mode); err != nil {
		return fmt.Errorf("cannot set the mode of /%s: %w", e.Path, err)
	}
	for _, x := range e.Xattrs {
		if err := unix.Fsetxattr(fd, x.Name, []byte(x.Value), 0); err != nil {
			return fmt.Errorf("cannot set %s of /%s: %w", x.Name, e.Path, err)
		}
	}
	return setTime("/"+e.Path, e.Mtime)
}

// note keeps what a capture will want to know of a path. Bytes without a digest
// came from no pack of the cache: a capture must read them.
func (in *box) note(e *tree.Entry) {
	if e.Owner != "" {
		in.owners[e.Path] = e.Owner
	}
	if e.Kind == tree.File && !e.Content.Digest.IsZero() {
		in.puts[e.Path] = original{content: e.Content, owner: e.Owner}
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
