// Package repository keeps groups: locks with their seals, under versions, with all that
// it takes to build them again years later.
//
// A repository is a [place.Place] with these objects:
//
//	ingot-repository     says what this is
//	blobs/ab/abcd…       content, by its SHA-256: packages as they were signed, definitions,
//	                     lists of files, statements
//	groups/NAME/index    which versions there are of a group: the only objects that change
//	writing/ID           somebody is writing
//	collecting           somebody removes blobs that no version names
//
// A version is a line of its group's index: what it is called, its flavors, and the digest of
// a statement. The statement says what the version is, and may be signed: which lock, whose digest is the
// group's identity, and which content. The content lists every blob. Whoever has a
// statement that he believes can trust nobody else: all below it is held against digests.
//
// Blobs come first and the index last, on condition that nobody has changed it since it
// was read. So an interrupted commit leaves blobs that nothing names and nothing that anybody
// sees; of two commits at once one is later than the other. Versions of a group are ordered by a
// time that is the clock's only as long as that goes forward: it is never less than the newest
// version's and a millisecond.
package repository

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"ingot/internal/digest"
	"ingot/internal/fault"
	"ingot/internal/place"
	"ingot/internal/sign"
)

// A Repository is a place that holds groups.
type Repository struct {
	Place place.Place
	// Keys are those that statements must be signed by. Without any, whoever can write to
	// the place is believed.
	Keys *sign.Keyring
	Now  func() time.Time
	// Seen is the directory of this machine in which it remembers what it has seen: see
	// [Repository.Fresh]. "" remembers nothing.
	Seen string
	// Accept takes what is older than what was seen, or past its date.
	Accept bool
}

const (
	mark     = "ingot-repository"
	markText = "ingot repository 1\n"
)

// A Blob is content of the repository.
type Blob struct {
	SHA256 digest.Digest `json:"sha256"`
	Size   int64         `json:"size"`
}

// BlobOf is what some bytes are called.
func BlobOf(b []byte) Blob { return Blob{digest.Of(b), int64(len(b))} }

func (b Blob) object() string { h := b.SHA256.String(); return "blobs/" + h[:2] + "/" + h }

// check holds that the place is a repository; make says whether it may become one.
func (r *Repository) check(ctx context.Context, make bool) error {
	text, _, err := place.Read(ctx, r.Place, mark, 1<<10)
	switch {
	case err == nil && string(text) == markText:
		return nil
	case err == nil:
		return fault.Newf(fault.Failed, "%s is a repository of another form", r.Place).WithHint("use a newer ingot")
	case !errors.Is(err, fs.ErrNotExist):
		return err
	case !make:
		return fault.Newf(fault.NotFound, "there is no repository in %s", r.Place).WithHint("make one with: ingot group commit --to %s", fault.File(fmt.Sprint(r.Place)))
	}
	_, err = r.Place.Put(ctx, mark, place.Text([]byte(markText)), place.Always)
	return err
}

// Open opens a blob whose bytes are held against its digest as they are read: the last
// read fails where they differ.
func (r *Repository) Open(ctx context.Context, b Blob) (io.ReadCloser, error) {
	f, _, err := r.Place.Open(ctx, b.object())
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fault.Newf(fault.NotFound, "%s lacks blob %s", r.Place, b.SHA256)
	}
	if err != nil {
		return nil, err
	}
	return &verified{ReadCloser: f, what: b, at: r.Place, hash: newHash()}, nil
}

// maxRead bounds what is read whole.
const maxRead = 512 << 20

// Read reads a whole blob and holds it against its digest.
func (r *Repository) Read(ctx context.Context, b Blob) ([]byte, error) {
	var out bytes.Buffer
	if err := r.readInto(ctx, b, &out); err != nil {
		return nil, err
	}
	return out.Bytes(), nil
}

func (r *Repository) readInto(ctx context.Context, b Blob, out *bytes.Buffer) error {
	if b.Size < 0 || b.Size > maxRead {
		return fault.Newf(fault.Verification, "blob %s claims a size of %d bytes", b.SHA256, b.Size)
	}
	f, err := r.Open(ctx, b)
	if err != nil {
		return err
	}
	defer f.Close()
	out.Reset()
	out.Grow(int(min(b.Size, 16<<20)) + bytes.MinRead) // with room for the read that finds the end
	_, err = out.ReadFrom(f)
	return err
}

// has says whether the place has a blob. Of this machine's it looks at the bytes, so that a
// damaged one is brought anew; of others at the size: bytes are looked at by who reads it.
func (r *Repository) has(ctx context.Context, b Blob) (bool, error) {
	i, err := r.Place.Stat(ctx, b.object())
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil || i.Size != b.Size || r.Place.Remote() {
		return err == nil && i.Size == b.Size, err
	}
	f, err := r.Open(ctx, b)
	if err != nil {
		return false, err
	}
	defer f.Close()
	_, err = io.Copy(io.Discard, f)
	if fault.CodeOf(err) == fault.Verification {
		return false, nil
	}
	return err == nil, err
}

// An Upload is content on its way in.
type Upload struct {
	Blob
	Label string // for messages: "package bash 5.2"
	// Open gives the bytes; the caller calls close.
	Open func() (body *io.SectionReader, close func(), err error)
}

// UploadOf is an upload of bytes at hand.
func UploadOf(label string, b []byte) Upload {
	return Upload{BlobOf(b), label, func() (*io.SectionReader, func(), error) { return place.Text(b), func() {}, nil }}
}

// upload brings what the place lacks, some at a time.
func (r *Repository) upload(ctx context.Context, list []Upload, brought func(Upload)) error {
	list = slices.Clone(list)
	slices.SortFunc(list, func(a, b Upload) int { return bytes.Compare(a.SHA256[:], b.SHA256[:]) })
	list = slices.CompactFunc(list, func(a, b Upload) bool { return a.SHA256 == b.SHA256 })
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(4)
	for _, u := range list {
		g.Go(func() error {
			ok, err := r.has(ctx, u.Blob)
			if err != nil {
				return err
			}
			if !ok {
				body, done, err := u.Open()
				if err != nil {
					return fmt.Errorf("cannot read %s: %w", u.Label, err)
				}
				defer done()
				if body.Size() != u.Size {
					return fault.Newf(fault.Verification, "%s has %d bytes, not %d", u.Label, body.Size(), u.Size)
				}
				if _, err := r.Place.Put(ctx, u.object(), body, place.Always); err != nil {
					return err
				}
			}
			if brought != nil {
				brought(u)
			}
			return nil
		})
	}
	return g.Wait()
}

// Names are those of the groups.
func (r *Repository) Names(ctx context.Context) ([]string, error) {
	if err := r.check(ctx, false); err != nil {
		return nil, err
	}
	list, err := r.Place.List(ctx, "groups/")
	if err != nil {
		return nil, err
	}
	var out []string
	for _, o := range list {
		if name, ok := strings.CutSuffix(strings.TrimPrefix(o, "groups/"), "/index"); ok && IsName(name) {
			out = append(out, name)
		}
	}
	return out, nil
}

// IsName says whether a group can be called so: what a definition is called.
func IsName(name string) bool {
	for _, c := range []byte(name) {
		if (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && !strings.ContainsRune("._+-", rune(c)) {
			return false
		}
	}
	return name != "" && len(name) <= 64 && name[0] != '.' && name[0] != '-'
}
