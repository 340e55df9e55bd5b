package debian

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"ingot/internal/digest"
	"ingot/internal/distro"
	"ingot/internal/fault"
	"ingot/internal/tree"
)

// Bounds of a package. The largest packages of Debian (game data, debug symbols)
// unpack to about 10 GB and hold about 100,000 files.
const (
	maxControl = 64 << 20 // all of control.tar
	maxData    = 64 << 30 // all of data.tar
)

// Inspect reads a .deb's control members (deb(5)). A damaged or hostile package is
// a fault.Verification that names it.
func (Debian) Inspect(ctx context.Context, ref distro.Ref, file io.ReaderAt) (distro.Package, error) {
	p := distro.Package{Ref: ref}
	control, _, err := parts(file, ref.Size)
	if err == nil {
		if p.Control, err = readControl(ctx, control); err != nil {
			err = fmt.Errorf("%s: %w", control.name, err)
		}
	}
	if err == nil {
		err = checkControl(p)
	}
	return p, damaged(ctx, ref, err)
}

// Unpack reads a .deb's files into a tree; their contents go to the pack. A
// damaged or hostile package is a fault.Verification that names it.
func (Debian) Unpack(ctx context.Context, p distro.Package, file io.ReaderAt, pack distro.Pack) (distro.Unpacked, error) {
	u := distro.Unpacked{Package: p}
	_, data, err := parts(file, p.Ref.Size)
	if err == nil {
		if u.Tree, u.Order, err = readData(ctx, p.Ref, data, pack); err != nil {
			err = fmt.Errorf("%s: %w", data.name, err)
		}
	}
	if err == nil {
		var list []conffile
		if list, err = parseConffiles(p.Control["conffiles"].Data); err == nil {
			err = checkConffiles(list, u.Tree)
		}
		if err != nil {
			err = fmt.Errorf("conffiles: %w", err)
		}
	}
	return u, damaged(ctx, p.Ref, err)
}

// damaged says of an error in a package which package it is.
func damaged(ctx context.Context, ref distro.Ref, err error) error {
	if err == nil || ctx.Err() != nil {
		return err
	}
	return fault.Newf(fault.Verification, "cannot unpack %s %s: %w", ref.Name, ref.Version, err).
		WithHint("the package's digest is as the index says, so its archive offers a damaged package; look at another mirror or version")
}

// parts finds a package's two members, which stand in this order.
func parts(file io.ReaderAt, size int64) (control, data member, err error) {
	members, err := readAr(file, size)
	if err != nil {
		return control, data, err
	}
	if len(members) == 0 || members[0].name != "debian-binary" {
		return control, data, fmt.Errorf("%w: the first member is not debian-binary", errPackage)
	}
	version, err := io.ReadAll(io.LimitReader(members[0].data, 64))
	if err != nil || !bytes.HasPrefix(version, []byte("2.")) {
		return control, data, fmt.Errorf("%w: it has format version %q, not 2", errPackage, bytes.TrimSpace(version))
	}
	for _, m := range members[1:] {
		switch {
		case strings.HasPrefix(m.name, "_"):
			// deb(5): such members may stand before data.tar and are ignored.
		case strings.HasPrefix(m.name, "control.tar") && control.data == nil:
			control = m
		case strings.HasPrefix(m.name, "data.tar") && control.data != nil && data.data == nil:
			data = m
		}
	}
	if control.data == nil || data.data == nil {
		return control, data, fmt.Errorf("%w: it lacks control.tar or data.tar", errPackage)
	}
	return control, data, nil
}

// interruptible stops a long decompression when the context ends.
type interruptible struct {
	ctx context.Context
	r   io.Reader
}

func (i interruptible) Read(p []byte) (int, error) {
	if err := i.ctx.Err(); err != nil {
		return 0, err
	}
	return i.r.Read(p)
}

func readControl(ctx context.Context, m member) (map[string]distro.ControlFile, error) {
	r, err := openMember(m)
	if err != nil {
		return nil, err
	}
	defer func() { _ = r.Close() }()
	contents := map[digest.Digest][]byte{}
	entries, err := tree.ReadTar(interruptible{ctx, r}, tree.Limits{Entries: 1000, FileSize: maxControl, Total: maxControl}, func(_ tree.Entry, r io.Reader) (tree.Content, error) {
		data, err := io.ReadAll(r)
		c := tree.Content{Size: int64(len(data)), Digest: digest.Of(data)}
		contents[c.Digest] = data
		return c, err
	})
	if err != nil {
		return nil, err
	}
	slices.SortFunc(entries, func(a, b tree.Entry) int { return strings.Compare(a.Path, b.Path) }) // hard links after what they lead to
	out := map[string]distro.ControlFile{}
	for _, e := range entries {
		switch e.Kind {
		case tree.Dir:
		case tree.File:
			out[e.Path] = distro.ControlFile{Mode: e.Mode, Data: contents[e.Content.Digest]}
		case tree.Hardlink:
			out[e.Path] = out[e.Link]
		default:
			return nil, fmt.Errorf("%w: control member %s is a %s", errPackage, e.Path, e.Kind)
		}
	}
	// dpkg ignores what lies deeper.
	maps.DeleteFunc(out, func(path string, _ distro.ControlFile) bool { return strings.Contains(path, "/") })
	return out, nil
}

// readData unpacks the files. The order is that of the archive: dpkg's list of a
// package's files keeps it.
func readData(ctx context.Context, ref distro.Ref, m member, pack distro.Pack) (tree.Tree, []string, error) {
	r, err := openMember(m)
	if err != nil {
		return tree.Tree{}, nil, err
	}
	defer func() { _ = r.Close() }()
	owner := "deb:" + ref.Name
	buf := make([]byte, 256<<10)
	entries, err := tree.ReadTar(interruptible{ctx, r}, tree.Limits{Total: maxData, Parents: true}, func(_ tree.Entry, r io.Reader) (tree.Content, error) {
		c := tree.Content{Pack: pack.Name(), Offset: pack.Size()}
		h := sha256.New()
		n, err := io.CopyBuffer(io.MultiWriter(pack, h), struct{ io.Reader }{r}, buf)
		c.Size, c.Digest = n, digest.From(h)
		return c, err
	})
	if err != nil {
		return tree.Tree{}, nil, err
	}
	order := make([]string, len(entries))
	for i := range entries {
		if err := checkFile(entries[i]); err != nil {
			return tree.Tree{}, nil, err
		}
		entries[i].Owner = owner
		order[i] = entries[i].Path
	}
	t, err := tree.New(entries)
	return t, order, err
}
