package client

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
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
// as it was before. What came of a file when a transfer breaks stays beside, under a
// hidden name, and the next pull goes on there. Two pulls of one file at once fetch it once.
func (s *Server) Pull(ctx context.Context, files []catalog.File, to string) ([]Pulled, error) {
	if err := os.MkdirAll(to, 0o755); err != nil {
		return nil, fault.Newf(fault.Preflight, "cannot write to %s: %w", to, err).WithHint("choose another directory with --to")
	}
	sweepParts(to, s.now())
	if err := room(to, files); err != nil {
		return nil, err
	}
	out := make([]Pulled, len(files))
	g, inner := errgroup.WithContext(ctx)
	g.SetLimit(parallel)
	// Files of one digest come one after another.
	busy := map[digest.Digest]*sync.Mutex{}
	for n, f := range files {
		if busy[f.SHA256] == nil {
			busy[f.SHA256] = new(sync.Mutex)
		}
		one := busy[f.SHA256]
		g.Go(func() error {
			one.Lock()
			defer one.Unlock()
			var err error
			out[n], err = s.pull(inner, f, to)
			return err
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

// pull brings one file.
func (s *Server) pull(ctx context.Context, f catalog.File, to string) (Pulled, error) {
	done := Pulled{File: f, Path: filepath.Join(to, f.Name)}
	if same, err := Is(done.Path, f); same || err != nil && !errors.Is(err, input.ErrKind) {
		return done, err
	}
	part, err := lockPart(ctx, filepath.Join(to, partPrefix+f.SHA256.String()))
	if err != nil {
		return done, full(err)
	}
	defer func() { _ = part.Close() }()
	// Another pull may have brought it while this one waited.
	if same, err := Is(done.Path, f); same || err != nil && !errors.Is(err, input.ErrKind) {
		_ = os.Remove(part.Name())
		return done, err
	}
	if err := s.fill(ctx, f, part); err != nil {
		if info, e := part.Stat(); e == nil && info.Size() == 0 {
			_ = os.Remove(part.Name()) // nothing to go on from
		}
		return done, err
	}
	if err := part.Chmod(0o644); err != nil {
		return done, err
	}
	if err := part.Sync(); err != nil {
		return done, full(fmt.Errorf("cannot flush %s: %w", f.Name, err))
	}
	if err := os.Rename(part.Name(), done.Path); err != nil {
		return done, fmt.Errorf("cannot name %s: %w", f.Name, err)
	}
	done.New = true
	return done, draft.SyncDir(to)
}

// fill fetches a file's bytes, from where an earlier transfer broke.
func (s *Server) fill(ctx context.Context, f catalog.File, part *os.File) error {
	w := fetch.Want{Name: f.Name, Size: f.Size, SHA256: f.SHA256}
	for _, m := range s.Mirrors {
		w.URLs = append(w.URLs, m+"/"+f.Path())
	}
	if f.Size == 0 {
		return part.Truncate(0)
	}
	_, err := s.Fetch.GetParallel(ctx, w, part)
	if fetch.IsMissing(err) {
		return fault.Newf(fault.Unreachable, "%w", err).WithHint("the image may have gone from the server meanwhile: run the command again")
	}
	return s.explain(err)
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
		if info, err := os.Stat(filepath.Join(to, f.Name)); err == nil && info.Size() == f.Size {
			continue // it may well be the same
		}
		need += f.Size
		if info, err := os.Stat(filepath.Join(to, partPrefix+f.SHA256.String())); err == nil {
			need -= info.Size()
		}
	}
	if have := int64(st.Bavail) * st.Bsize; need > have {
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
