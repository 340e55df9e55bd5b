package server

import (
	"archive/tar"
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/mikelolasagasti/xz"

	"ingot/internal/artifact"
	"ingot/internal/catalog"
	"ingot/internal/digest"
	"ingot/internal/fault"
	"ingot/internal/input"
)

// A Wish says how artifacts are to be published.
type Wish struct {
	Artifacts []Artifact
	Channel   string // "" is stable
	// As, when it is not empty, is the name instead of the definition's.
	As string
	// Expires, when it is not zero, is from when on nobody should use the images.
	Expires time.Time
	// Differ, when it is not nil, makes deltas from what the channel points to until now.
	Differ Differ
	// Progress is told how many bytes of artifacts were looked at or copied.
	Progress func(n int64)
}

// Published is one image that a publication touched.
type Published struct {
	Name, Arch string
	Version    catalog.Version
	New        bool // it is a new version
	Joined     bool // artifacts joined a version that was there
}

// Size is how many bytes a publication reads: each file, and again what is signed or has a
// fingerprint.
func (w Wish) Size() int64 {
	var n int64
	for _, a := range w.Artifacts {
		for _, f := range a.Files() {
			n += f.Size
			if dialectName(a.Manifest.Format, f.Name) != "" || isDisk(a.Manifest.Format) {
				n += f.Size
			}
		}
	}
	return n
}

// An upload is a version whose blobs are in the tree.
type upload struct {
	name, arch string
	version    catalog.Version
	// signatures are of files, by the name that a dialect gives them.
	signatures map[string][]byte
	// here are files of this machine, by what they hold: those need not be read from the tree.
	here map[digest.Digest]string
}

func newUpload(name, arch string, v catalog.Version) upload {
	return upload{name, arch, v, map[string][]byte{}, map[digest.Digest]string{}}
}

// Publish puts artifacts into the tree, one version for each image, and makes a
// channel point to it. What is published already is not published twice.
func (p *Publisher) Publish(ctx context.Context, w Wish) ([]Published, error) {
	if w.Progress == nil {
		w.Progress = func(int64) {}
	}
	w.Channel = cmp.Or(w.Channel, catalog.Stable)
	// Before anything is copied: a tree that cannot be signed gets nothing.
	if c, err := p.load(); err != nil {
		return nil, err
	} else if _, err := p.timely(c.Created); err != nil {
		return nil, err
	}
	ups, err := p.uploads(ctx, w)
	if err != nil {
		return nil, err
	}
	if w.Differ != nil {
		if err := p.deltas(ctx, w, ups); err != nil {
			return nil, err
		}
	}
	var out []Published
	_, err = p.change(ctx, func(c catalog.Catalog) (catalog.Catalog, error) {
		out = nil
		changed := false
		for _, u := range ups {
			var done catalog.Addition
			c, done = c.Add(u.name, u.arch, w.Channel, u.version, p.now())
			if err := p.name(done, u); err != nil {
				return c, err
			}
			changed = changed || done.New || done.Joined
			out = append(out, Published{u.name, u.arch, done.Version, done.New, done.Joined})
		}
		if !changed {
			return c, errUnchanged
		}
		return c, nil
	})
	return out, err
}

// uploads copies the artifacts' blobs, verified on their way, and says which versions
// come of them.
func (p *Publisher) uploads(ctx context.Context, w Wish) ([]upload, error) {
	var out []upload
	for _, a := range w.Artifacts {
		name, m := cmp.Or(w.As, a.Name()), a.Manifest
		at := slices.IndexFunc(out, func(u upload) bool {
			return u.name == name && u.arch == m.Arch && u.version.Lock == m.Lock
		})
		if at < 0 {
			if slices.ContainsFunc(out, func(u upload) bool { return u.name == name && u.arch == m.Arch }) {
				return nil, fault.Newf(fault.Choice, "the artifacts of %s for %s are of two locks, so they are not one image", name, m.Arch).
					WithHint("publish them one after another, the newest last")
			}
			at = len(out)
			out = append(out, newUpload(name, m.Arch, catalog.Version{
				Distro: m.Distro, Release: m.Release, Flavor: m.Flavor, Epoch: m.Epoch, Lock: m.Lock, Expires: w.Expires,
			}))
		}
		u := &out[at]
		if _, twice := u.version.Artifact(m.Format); twice {
			return nil, fault.Newf(fault.Choice, "there are two artifacts of %s for %s in the format %s", name, m.Arch, m.Format).WithHint("publish one of them")
		}
		made, err := p.upload(ctx, a, u, w.Progress)
		if err != nil {
			return nil, err
		}
		u.version.Artifacts = append(u.version.Artifacts, made)
	}
	return out, nil
}

// upload copies one artifact and its papers.
func (p *Publisher) upload(ctx context.Context, a Artifact, u *upload, progress func(int64)) (catalog.Artifact, error) {
	made := catalog.Artifact{Format: a.Manifest.Format, Seal: a.Manifest.Seal}
	for _, f := range a.Files() {
		file, err := p.blob(ctx, filepath.Join(a.Dir, f.Name), &f, progress)
		if err != nil {
			return made, err
		}
		made.Files = append(made.Files, file)
		u.here[file.SHA256] = filepath.Join(a.Dir, f.Name)
	}
	for _, name := range a.Papers {
		file, err := p.blob(ctx, filepath.Join(a.Dir, name), nil, progress)
		if err != nil {
			return made, err
		}
		made.Papers = append(made.Papers, file)
	}
	if err := p.sign(ctx, made, u, progress); err != nil {
		return made, err
	}
	if err := p.disk(ctx, &made, u, progress); err != nil {
		return made, err
	}
	return made, p.fingerprint(ctx, &made, u, progress)
}

// xzMagic begins a file of xz (The .xz File Format, 2.1.1.1).
const xzMagic = "\xfd7zXZ\x00"

// sign signs the files that LXC's older clients verify one by one. A file's signature says nothing of
// what the file is for, and those clients take an index by one too: so only what cannot be read as
// an index gets one.
func (p *Publisher) sign(ctx context.Context, a catalog.Artifact, u *upload, progress func(int64)) error {
	if a.Format != "lxc" {
		return nil
	}
	for _, f := range a.Files {
		r, err := p.open(ctx, f, u, progress)
		if err != nil {
			return err
		}
		var head prefix
		asc, err := p.Key.Detach(io.TeeReader(r, &head), p.now())
		_ = r.Close()
		if err != nil {
			return err
		}
		if string(head) != xzMagic {
			return fault.Newf(fault.Verification, "%s is no file of xz, so LXC could not unpack it", f.Name).WithHint("build the artifact again")
		}
		u.signatures[dialectName(a.Format, f.Name)+".asc"] = asc
	}
	return nil
}

// A prefix keeps the first bytes of what is written, as many as xz's magic has.
type prefix []byte

func (p *prefix) Write(b []byte) (int, error) {
	*p = append(*p, b[:min(len(b), len(xzMagic)-len(*p))]...)
	return len(b), nil
}

// fingerprint works out by what Incus and LXD know an image, and reads what it says of
// itself.
func (p *Publisher) fingerprint(ctx context.Context, a *catalog.Artifact, u *upload, progress func(int64)) error {
	if a.Format != "incus" && a.Format != "incus-vm" {
		return nil
	}
	if len(a.Files) == 1 {
		a.Fingerprint = a.Files[0].SHA256
		return nil
	}
	// Metadata first; they stand last among the files.
	h := sha256.New()
	for _, f := range []catalog.File{a.Files[1], a.Files[0]} {
		r, err := p.open(ctx, f, u, progress)
		if err != nil {
			return err
		}
		_, err = io.Copy(h, r)
		_ = r.Close()
		if err != nil {
			return err
		}
	}
	a.Fingerprint = digest.From(h)
	r, err := p.open(ctx, a.Files[1], u, func(int64) {})
	if err != nil {
		return err
	}
	defer func() { _ = r.Close() }()
	meta, err := metadata(r)
	if err != nil {
		return fault.Newf(fault.Verification, "%s: %w", a.Files[1].Name, err).WithHint("build the artifact again")
	}
	a.Insecure = bytes.Contains(meta, []byte("requirements.secureboot: \"false\""))
	return nil
}

// metadata is the file metadata.yaml of an archive, which comes first in it.
func metadata(r io.Reader) ([]byte, error) {
	const most = 1 << 20
	x, err := xz.NewReader(io.LimitReader(r, 16<<20), 64<<20)
	if err != nil {
		return nil, err
	}
	t := tar.NewReader(io.LimitReader(x, 64<<20))
	for {
		h, err := t.Next()
		if errors.Is(err, io.EOF) {
			return nil, errors.New("has no metadata.yaml")
		}
		if err != nil {
			return nil, err
		}
		if strings.TrimPrefix(h.Name, "./") == "metadata.yaml" && h.Size <= most {
			return io.ReadAll(t)
		}
	}
}

// counted reads, ends with a context and says how much was read.
type counted struct {
	ctx  context.Context
	r    io.Reader
	tell func(int64)
}

func (c counted) Read(b []byte) (int, error) {
	if err := c.ctx.Err(); err != nil {
		return 0, err
	}
	n, err := c.r.Read(b)
	c.tell(int64(n))
	return n, err
}

// A held is a blob on its way to be signed or hashed. Where it is another than its digest says its
// last read fails: others may write to a tree, and what they put there is not signed.
type held struct {
	io.Closer
	r    io.Reader
	want catalog.File
	from string
	hash hash.Hash
	n    int64
}

// open opens a blob and holds it to its digest: as a file of this machine, if the upload has one,
// else that of the tree.
func (p *Publisher) open(ctx context.Context, f catalog.File, u *upload, progress func(int64)) (*held, error) {
	var r io.ReadCloser
	var err error
	path, ok := u.here[f.SHA256]
	if ok {
		r, err = input.Open(path)
	} else {
		path = fmt.Sprintf("blob %s of the tree, %s,", f.SHA256, f.Name)
		r, _, err = p.Place.Open(f.Path())
	}
	if err != nil {
		return nil, err
	}
	return &held{r, counted{ctx, r, progress}, f, path, sha256.New(), 0}, nil
}

func (h *held) Read(b []byte) (int, error) {
	n, err := h.r.Read(b)
	h.n += int64(n)
	_, _ = h.hash.Write(b[:n]) // never fails
	if h.n > h.want.Size || errors.Is(err, io.EOF) && (h.n != h.want.Size || digest.From(h.hash) != h.want.SHA256) {
		return 0, fault.Newf(fault.Verification, "%s was changed or damaged", h.from).
			WithHint("publish its artifact again: that puts the right one there")
	}
	return n, err
}

// has says whether the tree has a blob that is what its name says.
func (p *Publisher) has(ctx context.Context, f catalog.File, progress func(int64)) (bool, error) {
	if far, ok := p.Place.(*Remote); ok {
		return far.Has(f.SHA256, f.Size)
	}
	return has(ctx, p.Place, f, progress)
}

// has says whether a place has a blob that is what its name says.
func has(ctx context.Context, place Place, f catalog.File, progress func(int64)) (bool, error) {
	n, err := place.Size(f.Path())
	if err != nil || n != f.Size {
		return false, nil //nolint:nilerr // it is put there, and that fails if it cannot be
	}
	p := Publisher{Place: place}
	r, err := p.open(ctx, f, &upload{}, progress)
	if err != nil {
		return false, err
	}
	_, err = io.Copy(io.Discard, r)
	_ = r.Close()
	if fault.CodeOf(err) == fault.Verification {
		return false, nil
	}
	return err == nil, err
}

// blob puts a file into the tree by its digest. want is what its manifest says of it,
// or nil for a paper.
func (p *Publisher) blob(ctx context.Context, from string, want *artifact.File, progress func(int64)) (catalog.File, error) {
	got := catalog.File{Name: filepath.Base(from)}
	if want != nil {
		got.Size, got.SHA256 = want.Size, want.SHA256
		if ok, err := p.has(ctx, got, progress); ok || err != nil {
			return got, err
		}
	}
	f, err := input.Open(from)
	if err != nil {
		return got, fault.Newf(fault.NotFound, "cannot read %s: %w", from, inner(err)).WithHint("build the artifact again")
	}
	defer func() { _ = f.Close() }()
	if want == nil {
		if got.SHA256, got.Size, err = digest.Reader(io.LimitReader(f, maxPaper+1)); err == nil && got.Size > maxPaper {
			err = fmt.Errorf("larger than %d MiB", maxPaper>>20)
		}
		if err == nil {
			_, err = f.Seek(0, io.SeekStart)
		}
		if err != nil {
			return got, fmt.Errorf("cannot read %s: %w", from, err)
		}
		progress = func(int64) {}
		if ok, err := p.has(ctx, got, progress); ok || err != nil {
			return got, err
		}
	}
	return got, p.copy(ctx, f, from, got, progress)
}

// copy writes a blob, if it is what it should be.
func (p *Publisher) copy(ctx context.Context, f *os.File, from string, want catalog.File, progress func(int64)) error {
	return p.Place.Put(want.Path(), func(w io.Writer) error {
		if _, err := f.Seek(0, io.SeekStart); err != nil { // a Put may try more than once
			return fmt.Errorf("cannot read %s: %w", from, err)
		}
		h := sha256.New()
		n, err := io.Copy(io.MultiWriter(w, h), counted{ctx, io.LimitReader(f, want.Size+1), progress})
		if err != nil {
			return fmt.Errorf("cannot copy %s: %w", from, err)
		}
		if got := digest.From(h); n != want.Size || got != want.SHA256 {
			return fault.Newf(fault.Verification, "%s is not what its manifest says: it has SHA-256 %s", from, got).
				WithHint("it was changed or damaged since it was built: build it again")
		}
		return nil
	})
}

// name gives the files of a version their names, and puts signatures and checksums beside
// them, where they are not there as they should be. Under the tree's lock; the blobs may have
// been pruned since they were uploaded only if nobody needed them for the grace period.
func (p *Publisher) name(a catalog.Addition, u upload) error {
	dir := a.Version.Dir(a.Image) + "/"
	for _, f := range a.Version.All() {
		if n, err := p.Place.Size(f.Path()); err != nil || n != f.Size {
			if err == nil {
				err = fmt.Errorf("it has %d bytes instead of %d", n, f.Size)
			}
			if errors.Is(err, fs.ErrNotExist) {
				err = errors.New("it is gone")
			}
			return fmt.Errorf("blob %s of %s: %w", f.SHA256.Short(), f.Name, err)
		}
	}
	for as, f := range named(a.Version) {
		if err := p.Place.Link(f.Path(), dir+as); err != nil {
			return fmt.Errorf("cannot name %s: %w", as, err)
		}
	}
	ring, err := p.Key.Keyring()
	if err != nil {
		return err
	}
	for name, asc := range u.signatures {
		// A server knows itself whether it has a good one, and would have to send the file.
		if _, far := p.Place.(*Remote); !far && detached(p.Place, ring, dir+strings.TrimSuffix(name, ".asc"), p.now()) == nil {
			continue
		}
		if err := p.put(dir+name, asc); err != nil {
			return err
		}
	}
	if good, err := p.signed(dir, a.Version, ring); good || err != nil {
		return err
	}
	return p.checksums(dir, a.Version)
}

// sums are the lines of a version's SHA256SUMS.
func sums(v catalog.Version) []byte { return sumsOf(v.All()) }

func sumsOf(files []catalog.File) []byte {
	var lines []string
	for _, f := range files {
		lines = append(lines, fmt.Sprintf("%s  %s\n", f.SHA256, f.Name))
	}
	slices.SortFunc(lines, func(a, b string) int { return strings.Compare(a[66:], b[66:]) })
	return []byte(strings.Join(lines, ""))
}

// checksums writes SHA256SUMS and its signature beside a version's files.
func (p *Publisher) checksums(dir string, v catalog.Version) error {
	text := sums(v)
	asc, err := p.Key.Detach(bytes.NewReader(text), p.now())
	if err != nil {
		return err
	}
	if err := p.put(dir+"SHA256SUMS", text); err != nil {
		return err
	}
	return p.put(dir+"SHA256SUMS.asc", asc)
}

func (p *Publisher) put(name string, data []byte) error {
	return p.Place.Put(name, func(w io.Writer) error {
		_, err := w.Write(data)
		return err
	})
}
