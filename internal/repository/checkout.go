package repository

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sync/errgroup"

	"ingot/internal/digest"
	"ingot/internal/fault"
	"ingot/internal/flavor"
	"ingot/internal/lock"
	"ingot/internal/store"
	"ingot/internal/tree"
)

// Unpack writes a group's definition and lock into a directory that is empty or not there,
// and says where they are.
func (g *Group) Unpack(ctx context.Context, dir string) (definitionPath, lockPath string, err error) {
	source, err := g.Read(ctx, g.Content.Definition)
	if err != nil {
		return "", "", err
	}
	text, err := g.Read(ctx, g.Content.Lock)
	if err != nil {
		return "", "", err
	}
	if tree.CheckPath(g.Content.Main) != nil || g.Content.Main == "" || strings.Contains(g.Content.Main, "/") {
		return "", "", fault.Newf(fault.Verification, "%s calls its definition %q", g, g.Content.Main)
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", "", fault.Newf(fault.Preflight, "cannot make the directory: %w", err)
	}
	if list, err := os.ReadDir(dir); err != nil {
		return "", "", err
	} else if len(list) > 0 {
		return "", "", fault.Newf(fault.Choice, "%s is not empty", dir).WithHint("name a new directory: nothing is overwritten")
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return "", "", err
	}
	defer root.Close() //nolint:errcheck // each file was
	if err := unpack(root, source); err != nil {
		return "", "", fmt.Errorf("the definition of %s: %w", g, err)
	}
	name := strings.TrimSuffix(g.Content.Main, filepath.Ext(g.Content.Main)) + ".lock"
	if err := root.WriteFile(name, text, 0o644); err != nil {
		return "", "", err
	}
	return filepath.Join(dir, g.Content.Main), filepath.Join(dir, name), nil
}

// Fetch brings what a build of the group reads into a store: packages, downloads, lists of
// seals. The caller holds them.
func (g *Group) Fetch(ctx context.Context, s *store.Store, fetched func(bytes int64)) error {
	list := append([]ContentBlob{}, g.Content.Blobs...)
	for _, t := range g.Content.Trees {
		list = append(list, ContentBlob{t.Files, "the list of files of " + (lock.Set{Arch: t.Arch, Purpose: t.Purpose, Flavor: t.Flavor}).Name()})
	}
	eg, ctx := errgroup.WithContext(ctx)
	eg.SetLimit(4)
	for _, b := range list {
		eg.Go(func() error {
			err := g.fetch(ctx, s, b.Blob)
			if err != nil {
				return fmt.Errorf("%s of %s: %w", b.Label, g, err)
			}
			fetched(b.Size)
			return nil
		})
	}
	if err := eg.Wait(); err != nil {
		return err
	}
	return s.Flush()
}

func (g *Group) fetch(ctx context.Context, s *store.Store, b Blob) error {
	if s.Has(b.SHA256, b.Size) {
		return nil
	}
	f, err := g.repository.Open(ctx, b)
	if err != nil {
		return err
	}
	defer f.Close()
	p, err := s.Create()
	if err != nil {
		return err
	}
	defer p.Discard()
	if _, err := io.Copy(p, f); err != nil {
		return err
	}
	return p.Commit(b.SHA256)
}

// Needs are the digests of what Fetch brings.
func (g *Group) Needs() []digest.Digest {
	var out []digest.Digest
	for _, b := range g.Content.Blobs {
		out = append(out, b.SHA256)
	}
	for _, t := range g.Content.Trees {
		out = append(out, t.Files.SHA256)
	}
	return out
}

// Candidate is the group as it is, to be committed elsewhere: promoted or cloned.
func (g *Group) Candidate(ctx context.Context) (Candidate, error) {
	c := Candidate{Name: g.Statement.Name, Content: g.Content}
	c.Statement.Lock, c.Statement.Definition, c.Statement.From = g.Statement.Lock, g.Statement.Definition, g.Statement.Version
	for _, b := range g.Content.all() {
		c.Uploads = append(c.Uploads, Upload{b.Blob, b.Label, func() (*io.SectionReader, func(), error) {
			return g.spool(ctx, b.Blob)
		}})
	}
	for _, text := range g.Statement.Flavors {
		f, err := flavor.Parse(text)
		if err != nil {
			return c, fmt.Errorf("%s: %w", g, err)
		}
		c.Flavors = append(c.Flavors, f)
	}
	return c, nil
}

// spool keeps a blob in a file without a name, since bodies are read more than once.
func (g *Group) spool(ctx context.Context, b Blob) (*io.SectionReader, func(), error) {
	in, err := g.repository.Open(ctx, b)
	if err != nil {
		return nil, nil, err
	}
	defer in.Close()
	f, err := os.CreateTemp("", "ingot-blob-")
	if err != nil {
		return nil, nil, err
	}
	_ = os.Remove(f.Name())
	if _, err := io.Copy(f, in); err != nil {
		_ = f.Close()
		return nil, nil, err
	}
	return io.NewSectionReader(f, 0, b.Size), func() { _ = f.Close() }, nil
}
