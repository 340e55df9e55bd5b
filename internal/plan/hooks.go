package plan

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"

	"ingot/internal/digest"
	"ingot/internal/element"
	"ingot/internal/lock"
	"ingot/internal/sandbox"
	"ingot/internal/tree"
)

// putHooks makes what lies beside an empty image.
func (w *worker) putHooks(ctx context.Context) error {
	box := w.box
	hooks := w.plan.Definition.Elements.Hooks
	entries := []tree.Entry{
		w.made(sandbox.Aside), w.made(sandbox.Aside + "/build"), w.made(sandbox.Aside + "/image"), w.made(asideOut),
		w.made(sandbox.Aside + "/build/mnt"), w.made(asideHooks),
	}
	// Where $IMAGE_NAME is a path, its directory is there, as it is for who builds.
	for dir := path.Dir(path.Join(asideOut, w.plan.Definition.Elements.Environment["IMAGE_NAME"])); dir != asideOut && strings.HasPrefix(dir, asideOut+"/"); dir = path.Dir(dir) {
		entries = append(entries, w.made(dir))
	}
	var files []sandbox.NewFile
	for _, f := range hooks.Files {
		if element.InPhase(f.Path) && !f.Mode.IsDir() {
			continue
		}
		if err := w.hook(f, &entries, &files); err != nil {
			return err
		}
	}
	locked := map[string]digest.Digest{}
	for _, f := range w.plan.Lock.Files {
		locked[f.Path] = f.SHA256
	}
	for _, e := range hooks.Set.Elements {
		more, err := e.OwnFiles()
		if err != nil {
			return fmt.Errorf("element %s: %w", e.Name, err)
		}
		top := sandbox.Aside + "/elements/" + e.Name
		entries = append(entries, w.made(path.Dir(top)), w.made(top))
		for _, f := range more {
			at := path.Join(top, f.Path)
			if f.Mode.IsDir() {
				entries = append(entries, w.made(at))
				continue
			}
			if same, ok := hooks.Get(f.Path); ok && same.Element == e.Name && same.Host() != "" && same.Mode.IsRegular() {
				if err := sameAsLocked(same.Host(), f.Digest, same.Digest); err != nil {
					return err
				}
			} else if want, ok := locked[lock.OwnDir+"/"+e.Name+"/"+f.Path]; ok {
				if err := sameAsLocked(e.At(f.Path), f.Digest, want); err != nil {
					return err
				}
			}
			files = append(files, sandbox.NewFile{Path: at, Mode: uint32(f.Mode.Perm()), Data: f.Data, Mtime: w.plan.Lock.Epoch})
		}
	}
	// Where the certificate is shown in the image.
	entries = append(entries, w.made(asideHooks+"/"+element.PreparedDir))
	files = append(files, sandbox.NewFile{Path: asideHooks + strings.TrimPrefix(targetCertificate, targetDir), Mode: 0o644, Mtime: w.plan.Lock.Epoch})
	slices.SortFunc(entries, func(a, b tree.Entry) int { return strings.Compare(a.Path, b.Path) })
	entries = slices.CompactFunc(entries, func(a, b tree.Entry) bool { return a.Path == b.Path })
	if err := box.Put(ctx, entries, w.reader); err != nil {
		return err
	}
	if err := box.Write(ctx, files...); err != nil {
		return err
	}
	return w.putScripts(ctx)
}

// made is a directory of root's.
func (w *worker) made(path string) tree.Entry {
	return tree.Entry{Path: path, Kind: tree.Dir, Mode: 0o755, Mtime: tree.Time{Sec: w.plan.Lock.Epoch}}
}

// hook adds what makes a file of the hooks real.
func (w *worker) hook(f element.File, entries *[]tree.Entry, files *[]sandbox.NewFile) error {
	path := asideHooks + "/" + f.Path
	e := tree.Entry{Path: path, Kind: tree.Dir, Mode: uint32(f.Mode.Perm()), Mtime: tree.Time{Sec: w.plan.Lock.Epoch}}
	switch {
	case f.Mode.IsDir():
		*entries = append(*entries, e)
	case f.Mode&fs.ModeSymlink != 0:
		e.Kind, e.Mode, e.Link = tree.Symlink, 0o777, f.Target
		*entries = append(*entries, e)
	default:
		data, err := w.plan.Definition.Elements.Hooks.Read(f.Path, element.MaxFile)
		if err == nil {
			err = sameAsLocked(or(f.Host(), f.Path), digest.Of(data), f.Digest)
		}
		if err != nil {
			return err
		}
		*files = append(*files, sandbox.NewFile{Path: path, Mode: e.Mode, Data: data, Mtime: w.plan.Lock.Epoch})
	}
	return nil
}

// putScripts brings the scripts of all phases up to date: the results of cached steps have
// those of the build that ran them.
func (w *worker) putScripts(ctx context.Context) error {
	const list = sandbox.Aside + "/state/scripts"
	entries := []tree.Entry{w.made(sandbox.Aside), w.made(sandbox.Aside + "/state")}
	old, err := w.box.Read(ctx, list)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	var files []sandbox.NewFile
	var names strings.Builder
	hooks := w.plan.Definition.Elements.Hooks
	for _, f := range hooks.Files {
		dir := f.Mode.IsDir()
		if dir && strings.Contains(f.Path, "/") || !dir && !element.InPhase(f.Path) {
			continue
		}
		if err := w.hook(f, &entries, &files); err != nil {
			return err
		}
		if !dir {
			names.WriteString(asideHooks + "/" + f.Path + "\n")
		}
	}
	if len(old) > 0 {
		if err := w.box.Remove(ctx, strings.Split(strings.TrimSuffix(string(old), "\n"), "\n")...); err != nil {
			return err
		}
	}
	files = append(files, sandbox.NewFile{Path: list, Mode: 0o644, Data: []byte(names.String()), Mtime: w.plan.Lock.Epoch})
	slices.SortFunc(entries, func(a, b tree.Entry) int { return strings.Compare(a.Path, b.Path) })
	if err := w.box.Put(ctx, entries, w.reader); err != nil {
		return err
	}
	return w.box.Write(ctx, files...)
}
