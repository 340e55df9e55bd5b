package sandbox

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"

	"golang.org/x/sys/unix"

	"ingot/internal/tree"
)

// A Spot is what is at a path of the root.
type Spot struct {
	Path  string // free of symbolic links, but for its last part
	There bool   // something is, if only a link that leads nowhere
	Link  bool   // it is a symbolic link
	Dir   bool   // it is a directory, or leads to one
}

// Look says what is at paths, all by one call, in their order.
func (b *Box) Look(ctx context.Context, paths []string) ([]Spot, error) {
	if len(paths) == 0 {
		return nil, nil
	}
	a, err := b.call(ctx, request{Look: paths}, nil)
	return a.Spots, err
}

func look(paths []string) (a reply, err error) {
	err = confined(treeDir, func() error {
		links := resolver{}
		a.Spots = make([]Spot, len(paths))
		for i, p := range paths {
			if err := tree.CheckPath(p); err != nil {
				return err
			}
			s := &a.Spots[i]
			if s.Path, err = links.resolve(p); err != nil {
				return err
			}
			info, err := os.Lstat("/" + s.Path)
			if errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ENOTDIR) {
				continue
			}
			if err != nil {
				return fmt.Errorf("cannot look at /%s: %w", p, err)
			}
			s.There, s.Link, s.Dir = true, info.Mode()&fs.ModeSymlink != 0, info.IsDir()
			if s.Link {
				to, err := os.Stat("/" + s.Path)
				s.Dir = err == nil && to.IsDir()
			}
		}
		return nil
	})
	return a, err
}

// Files gives the bytes of all regular files of a directory whose names end in suffix, by
// name, at most 256 MiB together. A directory that is not there has none.
func (b *Box) Files(ctx context.Context, dir, suffix string) (map[string][]byte, error) {
	a, err := b.call(ctx, request{Texts: &textsRequest{Dir: dir, Suffix: suffix}}, nil)
	return a.Texts, err
}

func texts(r *textsRequest) (a reply, err error) {
	a.Texts = map[string][]byte{}
	err = confined(treeDir, func() error {
		found, err := os.ReadDir("/" + r.Dir)
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		left := int64(readLimit)
		for _, f := range found {
			if !f.Type().IsRegular() || !strings.HasSuffix(f.Name(), r.Suffix) {
				continue
			}
			data, err := readUpTo("/"+r.Dir+"/"+f.Name(), left)
			if err != nil {
				return fmt.Errorf("cannot read the files of /%s: %w", r.Dir, err)
			}
			a.Texts[f.Name()] = data
			left -= int64(len(data))
		}
		return err
	})
	return a, err
}

func readUpTo(full string, most int64) ([]byte, error) {
	f, err := os.OpenFile(full, os.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	data, err := io.ReadAll(io.LimitReader(f, most+1))
	if int64(len(data)) > most {
		return nil, fmt.Errorf("they are larger than %d bytes", readLimit)
	}
	return data, err
}

// Rename gives what is at a path another one, in place of what is there; a file keeps its
// owner.
func (b *Box) Rename(ctx context.Context, from, to string) error {
	_, err := b.call(ctx, request{Rename: []string{from, to}}, nil)
	return err
}

func (in *box) rename(paths []string) error {
	if err := in.remember(); err != nil { // by the old path
		return err
	}
	return confined(treeDir, func() error {
		for _, p := range paths {
			if err := tree.CheckPath(p); err != nil {
				return err
			}
		}
		if err := os.Rename("/"+paths[0], "/"+paths[1]); err != nil {
			return fmt.Errorf("cannot rename: %w", err)
		}
		return nil
	})
}
