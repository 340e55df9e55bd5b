package server

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

	"ingot/internal/catalog"
	"ingot/internal/digest"
	"ingot/internal/sign"
)

// A Report is what a walk through a whole tree found.
type Report struct {
	Catalog  catalog.Catalog
	Blobs    int   // that were read
	Size     int64 // bytes of them
	Problems []string
}

// Verify reads all of a tree: the index and its signature, every blob, every name, and the
// indexes of other dialects, which must be those that the catalog gives. Only an index that
// cannot be believed is an error; the rest are problems.
func Verify(ctx context.Context, place Place, ring *sign.Keyring, p *Publisher, progress func(total, n int64)) (Report, error) {
	var r Report
	data, err := place.Read(catalog.Path, catalog.MaxSize)
	if errors.Is(err, fs.ErrNotExist) {
		return r, noTree(place)
	}
	if err != nil {
		return r, err
	}
	now := p.now()
	var m sign.Message
	if r.Catalog, m, err = catalog.Read("the index of "+place.String(), data, ring, now); err != nil {
		return r, err
	}
	bad := func(format string, args ...any) { r.Problems = append(r.Problems, fmt.Sprintf(format, args...)) }
	if err := r.Catalog.Fresh(now); err != nil {
		bad("%v", err)
	}
	if err := r.blobs(ctx, place, bad, progress); err != nil {
		return r, err
	}
	for _, i := range r.Catalog.Images {
		for _, v := range i.Versions {
			checkNames(place, ring, i, v, now, bad)
		}
	}
	checkKeys(place, m.Signers[0].Fingerprint, bad)
	r.dialects(place, ring, p, bad)
	slices.Sort(r.Problems)
	return r, nil
}

// blobs reads every blob.
func (r *Report) blobs(ctx context.Context, place Place, bad func(string, ...any), progress func(total, n int64)) error {
	blobs := r.Catalog.Blobs()
	var total int64
	for _, size := range blobs {
		total += size
	}
	for d, size := range blobs {
		if err := ctx.Err(); err != nil {
			return err
		}
		f, n, err := place.Open(catalog.BlobPath(d))
		if err != nil {
			bad("blob %s: %v", d, inner(err))
			continue
		}
		if n != size {
			bad("blob %s has %d bytes instead of %d", d, n, size)
		}
		got, _, err := digest.Reader(counted{ctx, f, func(n int64) { progress(total, n) }})
		_ = f.Close()
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case err != nil:
			bad("blob %s: %v", d, inner(err))
		case got != d:
			bad("blob %s has the digest %s", d, got)
		}
		r.Blobs++
		r.Size += size
	}
	return nil
}

// checkNames looks at the files of a version by their names. Their bytes are the blobs'
// where they are one file; else they are read.
func checkNames(place Place, ring *sign.Keyring, i catalog.Image, v catalog.Version, now time.Time, bad func(string, ...any)) {
	dir := v.Dir(i) + "/"
	for as, f := range named(v) {
		if err := sameAs(place, dir+as, f); err != nil {
			bad("%s%s: %v", dir, as, inner(err))
		}
	}
	for _, a := range v.Artifacts {
		if a.Format != "lxc" {
			continue
		}
		for _, f := range a.Files {
			as := dialectName(a.Format, f.Name)
			if err := detached(place, ring, dir+as, now); err != nil {
				bad("%s%s.asc: %v", dir, as, err)
			}
		}
	}
	if text, err := place.Read(dir+"SHA256SUMS", maxPaper); err == nil && !bytes.Equal(text, sums(v)) {
		bad("%sSHA256SUMS is another than the catalog gives", dir)
	}
	if err := detached(place, ring, dir+"SHA256SUMS", now); err != nil {
		bad("%sSHA256SUMS.asc: %v", dir, err)
	}
}

// checkKeys looks whether the key that a tree shows is the one that signs it.
func checkKeys(place Place, signer string, bad func(string, ...any)) {
	for _, name := range []string{"key.asc", "pks/lookup"} {
		data, err := place.Read(name, 1<<20)
		if err != nil {
			bad("%s: %v", name, inner(err))
			continue
		}
		shown, err := sign.ReadKeyring(name, data)
		if err != nil {
			bad("%v", err)
		} else if got := shown.Fingerprints(); len(got) != 1 || got[0] != signer {
			bad("%s is another key than %s, which signed the index", name, signer)
		}
	}
}

// sameAs says whether a named file is a blob.
func sameAs(place Place, name string, f catalog.File) error {
	if same, ok := place.(interface{ Same(a, b string) bool }); ok && same.Same(name, f.Path()) {
		return nil
	}
	r, _, err := place.Open(name)
	if err != nil {
		return err
	}
	defer func() { _ = r.Close() }()
	got, n, err := digest.Reader(io.LimitReader(r, f.Size+1))
	if err == nil && (n != f.Size || got != f.SHA256) {
		err = fmt.Errorf("is another file than the blob %s", f.SHA256)
	}
	return err
}

// detached verifies a file by the signature beside it.
func detached(place Place, ring *sign.Keyring, name string, now time.Time) error {
	asc, err := place.Read(name+".asc", 1<<20)
	if err != nil {
		return err
	}
	f, _, err := place.Open(name)
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }()
	_, err = ring.DetachedReader(name, f, asc, now)
	return err
}

// dialects compares the indexes of other dialects with those that the catalog gives,
// and verifies their signatures.
func (r *Report) dialects(place Place, ring *sign.Keyring, p *Publisher, bad func(string, ...any)) {
	want := lxcIndexes(r.Catalog)
	plain, err := streamsPlain(r.Catalog)
	if err != nil {
		bad("%v", err)
	}
	for name, data := range plain {
		want[name] = data
	}
	want[builderIndex] = builderPlain(r.Catalog)
	for name, data := range want {
		got, err := place.Read(name, catalog.MaxSize)
		if err != nil {
			bad("%s: %v", name, inner(err))
			continue
		}
		around := strings.HasSuffix(name, ".sjson") || name == builderIndex // the signature
		if around {
			m, err := ring.Clearsigned(name, got, p.now())
			if err != nil {
				bad("%v", err)
				continue
			}
			got = m.Text
		}
		if !bytes.Equal(got, data) {
			bad("%s is another than the catalog gives", name)
		}
		suffix := ".asc"
		switch {
		case around:
			continue
		case strings.HasSuffix(name, ".json"):
			suffix = ".gpg"
		}
		asc, err := place.Read(name+suffix, 1<<20)
		if err == nil {
			_, err = ring.Detached(name, got, asc, p.now())
		}
		if err != nil {
			bad("%s%s: %v", name, suffix, inner(err))
		}
	}
}
