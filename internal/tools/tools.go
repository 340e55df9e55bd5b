// Package tools keeps trees of other people's programs that ingot runs and that
// shape no artifact: QEMU and its firmware for boots, judges for tests.
//
// A tools tree is locked as an image is: its packages are chosen once, written to
// a lock in $INGOT_HOME/tools, fetched, verified and unpacked, and no script of
// theirs ever runs. The tree lies in the cache as plain files of the user's own.
// Programs run straight from there, through the tree's own dynamic loader with the
// tree's own libraries, so they need neither root nor a namespace, and nothing of
// the host but its kernel.
package tools

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"ingot/internal/artifact"
	"ingot/internal/cache"
	"ingot/internal/compiler"
	"ingot/internal/digest"
	"ingot/internal/distro"
	"ingot/internal/draft"
	"ingot/internal/fault"
	"ingot/internal/lock"
	"ingot/internal/store"
	"ingot/internal/supply"
	"ingot/internal/tree"
	"ingot/internal/ui"
)

// A Set says which programs a tree holds.
type Set struct {
	Name     string   // of its lock: "qemu"
	Packages []string // Debian's; what they depend on comes along
	Alone    bool     // only these packages are laid out
	// Drop, if not nil, says which files are not laid out.
	Drop func(path string) bool
}

// Release is the one that tools come from: the stable release of the day, since
// what they make is looked at and not shipped.
const Release = "trixie"

// A Keeper makes and keeps tools trees.
type Keeper struct {
	Home     string // $INGOT_HOME
	Cache    *cache.Cache
	Compiler *compiler.Compiler
	Supply   func(*lock.Lock) *supply.Supply
	Distro   distro.Distro
	Progress *ui.Progress
	Epoch    int64
}

// A Dir is a tools tree on disk.
type Dir struct {
	Path   string
	loader string
	libs   []string
}

// Dir gives a set's tree, made first if it is not there.
func (k *Keeper) Dir(ctx context.Context, s Set) (Dir, error) {
	path, err := k.Path(ctx, s)
	if err != nil {
		return Dir{}, err
	}
	return open(path)
}

// Lock gives the packages of a set, chosen first if they were not.
func (k *Keeper) Lock(ctx context.Context, s Set) (*lock.Lock, error) {
	l, err := k.lock(ctx, s, filepath.Join(k.Home, "tools", s.Name+".lock"))
	if err != nil {
		return nil, fmt.Errorf("tools %s: %w", s.Name, err)
	}
	return l, nil
}

// Path gives the directory of a set's tree, made first if it is not there.
func (k *Keeper) Path(ctx context.Context, s Set) (string, error) {
	lockPath := filepath.Join(k.Home, "tools", s.Name+".lock")
	l, err := k.lock(ctx, s, lockPath)
	if err != nil {
		return "", fmt.Errorf("tools %s: %w", s.Name, err)
	}
	// Also where the tree is there: the cache may be emptied.
	release, err := k.Supply(l).Hold(ctx, lockPath, l)
	if err != nil {
		return "", fmt.Errorf("tools %s: %w", s.Name, err)
	}
	defer release()
	base, err := k.Cache.Sub("tools")
	if err != nil {
		return "", err
	}
	path := filepath.Join(base, s.Name+"-"+l.Digest().String()[:16])
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		if err := k.fill(ctx, s, l, path); err != nil {
			return "", fmt.Errorf("tools %s: %w", s.Name, err)
		}
	}
	return path, nil
}

// lock reads the set's lock, or writes it when it is missing or of other
// packages.
func (k *Keeper) lock(ctx context.Context, s Set, path string) (*lock.Lock, error) {
	l, err := lock.Read(path)
	want := digest.Of([]byte(Release + " " + strings.Join(s.Packages, " ")))
	if err == nil && l.Request == want {
		return l, nil
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	// Before indexes are read, whose dates are remembered beside it.
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return nil, draft.Explain(fmt.Errorf("cannot keep the lock: %w", err), store.Variable)
	}
	if l, err = k.Compiler.Tools(ctx, Release, s.Packages); err != nil {
		return nil, err
	}
	l.Request = want
	if s.Alone {
		l.Tools = slices.DeleteFunc(l.Tools, func(r distro.Ref) bool { return !slices.Contains(s.Packages, r.Name) })
	}
	return l, lock.Write(path, *l)
}

// fill fetches, unpacks and lays out the packages of a lock.
func (k *Keeper) fill(ctx context.Context, s Set, l *lock.Lock, path string) error {
	source := k.Supply(l)
	var bytes int64
	missing := source.Missing(l.Tools)
	for _, ref := range missing {
		bytes += ref.Size
	}
	task := k.Progress.Start(ui.Step{ID: "tools:" + s.Name, Name: fmt.Sprintf("fetch tools %s, %d packages", s.Name, len(missing)), Unit: ui.Bytes, Total: bytes})
	pkgs, err := source.Unpacked(ctx, l.Tools, supply.Meter{Fetched: task.Add})
	if err == nil {
		var t tree.Tree
		if t, err = k.Distro.Lay(pkgs, k.Compiler.HostArch, l.Epoch); err == nil && s.Drop != nil {
			t, err = tree.New(slices.DeleteFunc(t.Entries(), func(e tree.Entry) bool { return s.Drop(e.Path) }))
		}
		if err == nil {
			r := tree.NewReader(k.Cache)
			err = artifact.WriteDir(ctx, path, t, r)
			_ = r.Close()
		}
	}
	task.Done(err)
	return err
}

// open finds the loader and the directories of libraries in a tree.
func open(path string) (Dir, error) {
	d := Dir{Path: path}
	loaders, _ := filepath.Glob(filepath.Join(path, "usr/lib*/ld-linux*.so*"))
	more, _ := filepath.Glob(filepath.Join(path, "usr/lib/*-linux-gnu*/ld-linux*.so*"))
	loaders = append(more, loaders...)
	if len(loaders) == 0 {
		return d, fault.Newf(fault.Failed, "tools tree %s has no dynamic loader", path)
	}
	slices.Sort(loaders)
	d.loader = loaders[0]
	for _, pattern := range []string{"usr/lib/*-linux-gnu*", "usr/lib", "usr/lib/*-linux-gnu*/*"} {
		dirs, _ := filepath.Glob(filepath.Join(path, pattern))
		for _, dir := range dirs {
			if libs, _ := filepath.Glob(filepath.Join(dir, "lib*.so*")); len(libs) > 0 {
				d.libs = append(d.libs, dir)
			}
		}
	}
	return d, nil
}

// Program gives what to put before the arguments of a program of the tree.
func (d Dir) Program(name string) (argv []string, err error) {
	for _, dir := range []string{"usr/bin", "usr/sbin", "usr/games"} {
		full := filepath.Join(d.Path, dir, name)
		if info, err := os.Stat(full); err == nil && info.Mode().IsRegular() {
			return append(d.Loader(), full), nil
		}
	}
	return nil, fault.Newf(fault.NotFound, "tools tree %s has no program %s", filepath.Base(d.Path), name)
}

// Loader is the command that runs a program of the tree with the tree's
// libraries.
func (d Dir) Loader() []string {
	return []string{d.loader, "--library-path", strings.Join(d.libs, ":")}
}
