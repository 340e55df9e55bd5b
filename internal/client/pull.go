package client

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"

	"ingot/internal/catalog"
	"ingot/internal/digest"
	"ingot/internal/draft"
	"ingot/internal/fault"
	"ingot/internal/fetch"
	"ingot/internal/input"
)

// A Pulled is a file that is here, verified.
type Pulled struct {
	File catalog.File
	Path string
	New  bool // it was not here before
}

// partPrefix begins the names of files on their way; the digest of what they will be
// follows.
const partPrefix = ".ingot-pull-"

// parallel is how many files come at once.
const parallel = 4

// Pull brings files into a directory, under their names. Each is there whole and verified, or
// as it was before. What has such a name and is another file is replaced if that is asked for,
// else it is a [fault.Choice] before anything is fetched. What came of a file when a transfer breaks stays beside, under a
// hidden name, and the next pull goes on there. Two pulls of one file at once fetch it once.
func (s *Server) Pull(ctx context.Context, files []catalog.File, to string, replace bool) ([]Pulled, error) {
	if err := os.MkdirAll(to, 0o755); err != nil {
		return nil, fault.Newf(fault.Preflight, "cannot write to %s: %w", to, err).WithHint("choose another directory with --to")
	}
	sweepParts(to, s.now())
	out := make([]Pulled, len(files))
	var missing []catalog.File
	for n, f := range files {
		out[n] = Pulled{File: f, Path: filepath.Join(to, f.Name)}
		same, err := out[n].there(replace)
		if err != nil {
			return nil, err
		}
		if !same {
			missing = append(missing, f)
		}
	}
	if err := room(to, missing); err != nil {
		return nil, err
	}
	g, inner := errgroup.WithContext(ctx)
	g.SetLimit(parallel)
	// Files of one digest come one after another.
	busy := map[digest.Digest]*sync.Mutex{}
	for n, f := range files {
		if !slices.Contains(missing, f) {
			continue
		}
		if busy[f.SHA256] == nil {
			busy[f.SHA256] = new(sync.Mutex)
		}
		one := busy[f.SHA256]
		g.Go(func() error {
			one.Lock()
			defer one.Unlock()
			return s.pull(inner, &out[n], to, replace)
		})
	}
	if err := g.Wait(); err != nil {
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		return nil, err
	}
	return out, nil
}

// Is says whether a file is one that a catalog names.
func Is(path string, f catalog.File) (bool, error) {
	r, err := input.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	defer func() { _ = r.Close() }()
	info, err := r.Stat()
	if err != nil || info.Size() != f.Size {
		return false, err
	}
	d, _, err := digest.Reader(r)
	return d == f.SHA256, err
}

// there says whether a file is here already, the same one; another one is an error, unless it is
// to be replaced.
func (p Pulled) there(replace bool) (bool, error) {
	same, err := Is(p.Path, p.File)
	if same || err != nil && !errors.Is(err, input.ErrKind) {
		return same, err
	}
	if _, err := os.Lstat(p.Path); err != nil || replace {
		return false, nil //nolint:nilerr // nothing is there
	}
	return false, p.conflict()
}

func (p Pulled) conflict() error {
	return fault.Newf(fault.Choice, "%s is there, and is another file", p.Path).
		WithHint("have it replaced with --replace, or choose another directory with --to")
}

// pull brings one file.
func (s *Server) pull(ctx context.Context, done *Pulled, to string, replace bool) error {
	part, err := lockPart(ctx, filepath.Join(to, partPrefix+done.File.SHA256.String()))
	if err != nil {
		return full(err)
	}
	defer func() { _ = part.Close() }()
	// Another pull may have brought it while this one waited.
	if same, err := done.there(replace); same || err != nil {
		_ = os.Remove(part.Name())
		return err
	}
	if err := s.fill(ctx, done.File, part); err != nil {
		if info, e := part.Stat(); e == nil && info.Size() == 0 {
			_ = os.Remove(part.Name()) // nothing to go on from
		}
		return err
	}
	if err := part.Chmod(0o644); err != nil {
		return err
	}
	if err := part.Sync(); err != nil {
		return full(fmt.Errorf("cannot flush %s: %w", done.File.Name, err))
	}
	if err := name(part.Name(), done.Path, replace); errors.Is(err, fs.ErrExist) {
		return done.conflict() // it came meanwhile; what was fetched stays for the next pull
	} else if err != nil {
		return fmt.Errorf("cannot name %s: %w", done.File.Name, err)
	}
	done.New = true
	return draft.SyncDir(to)
}

// name gives a file another name. Where it is not to replace what has it, that is fs.ErrExist.
func name(from, to string, replace bool) error {
	if replace {
		return os.Rename(from, to)
	}
	err := unix.Renameat2(unix.AT_FDCWD, from, unix.AT_FDCWD, to, unix.RENAME_NOREPLACE)
	if errors.Is(err, unix.EINVAL) || errors.Is(err, unix.ENOSYS) { // a file system that cannot
		if err = os.Link(from, to); err == nil {
			err = os.Remove(from)
		}
	}
	return err
}

// fill fetches a file's bytes, from where an earlier transfer broke.
func (s *Server) fill(ctx context.Context, f catalog.File, part *os.File) error {
	if f.Size == 0 {
		return part.Truncate(0)
	}
	_, err := s.Fetch.GetParallel(ctx, s.want(f), part)
	if fetch.IsMissing(err) {
		return fault.Newf(fault.Unreachable, "%w", err).WithHint("the image may have gone from the server meanwhile: run the command again")
	}
	return s.explain(err)
}

// want is a blob, by all mirrors.
func (s *Server) want(f catalog.File) fetch.Want {
	w := fetch.Want{Name: f.Name, Size: f.Size, SHA256: f.SHA256}
	for _, m := range s.Mirrors {
		w.URLs = append(w.URLs, m+"/"+f.Path())
	}
	return w
}

// lockPart opens the file of a transfer, alone.
func lockPart(ctx context.Context, name string) (*os.File, error) {
	for {
		// A link that somebody laid is not followed.
		f, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0o600)
		if err != nil {
			return nil, err
		}
		info, err := f.Stat()
		if err == nil && !info.Mode().IsRegular() {
			err = fmt.Errorf("%s is not a file", name)
		}
		if err != nil {
			_ = f.Close()
			return nil, err
		}
		err = unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		if err == nil {
			there, err := os.Lstat(name)
			if err == nil && os.SameFile(info, there) {
				return f, nil
			}
		}
		_ = f.Close() // another has it, or has named it meanwhile
		if err != nil && !errors.Is(err, unix.EWOULDBLOCK) && !errors.Is(err, unix.EINTR) {
			return nil, fmt.Errorf("cannot lock %s: %w", name, err)
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// full gives errors of writing here their exit code.
func full(err error) error {
	if errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EDQUOT) || errors.Is(err, unix.EROFS) || errors.Is(err, fs.ErrPermission) {
		return fault.Newf(fault.Preflight, "%w", err).WithHint("make room there, or choose another directory with --to")
	}
	return err
}

// room refuses, before anything is fetched, what has no space.
func room(to string, files []catalog.File) error {
	var st unix.Statfs_t
	if err := unix.Statfs(to, &st); err != nil {
		return nil //nolint:nilerr // then it shows when there is none
	}
	var need int64
	for _, f := range files {
		need += f.Size
		if info, err := os.Stat(filepath.Join(to, partPrefix+f.SHA256.String())); err == nil {
			need -= info.Size()
		}
	}
	if have := int64(st.Bavail) * int64(st.Bsize); need > have {
		return fault.Newf(fault.Preflight, "%s has no room: %d MiB are needed and %d MiB are free", to, need>>20, have>>20).
			WithHint("make room there, or choose another directory with --to")
	}
	return nil
}

// partsKept is how long what came of a transfer that broke is kept.
const partsKept = 7 * 24 * time.Hour

// sweepParts removes what came of transfers that nobody went on with.
func sweepParts(dir string, now time.Time) {
	found, err := filepath.Glob(filepath.Join(strings.NewReplacer(`\`, `\\`, `*`, `\*`, `?`, `\?`, `[`, `\[`).Replace(dir), partPrefix+"*"))
	if err != nil {
		return
	}
	for _, name := range found {
		info, err := os.Lstat(name)
		if err != nil || !info.Mode().IsRegular() || now.Sub(info.ModTime()) < partsKept {
			continue
		}
		if _, err := digest.Parse(strings.TrimPrefix(filepath.Base(name), partPrefix)); err != nil {
			continue
		}
		f, err := os.OpenFile(name, os.O_RDWR|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
		if err != nil {
			continue
		}
		if unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB) == nil {
			_ = os.Remove(name)
		}
		_ = f.Close()
	}
}
