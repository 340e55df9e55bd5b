package server

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"path"
	"reflect"
	"slices"
	"strings"
	"time"

	"ingot/internal/catalog"
	"ingot/internal/fault"
	"ingot/internal/place"
	"ingot/internal/sign"
)

// Commit makes a state that a publisher elsewhere signed the tree's own: all indexes, and the
// signatures and checksums of versions, by their names in the tree. A directory believes nobody:
// everything in it is signed by the tree's key, or by one that the tree's key says follows it,
// and is of the catalog that comes next; each blob that the catalog names is there. A tree
// without an index takes that of the key in its key.asc, or, if it has none, the first that comes.
//
// Where another publisher was first it is [place.ErrChanged]. The catalog that is there already mends
// the names of the versions of which files come.
func (d *Dir) Commit(ctx context.Context, files map[string][]byte, now time.Time) (serial int64, err error) {
	release, err := d.Lock(ctx, func() {})
	if err != nil {
		return 0, err
	}
	defer release()
	c, err := d.judge(files, now, false)
	if err != nil {
		return 0, err
	}
	if err := d.furnish(c, now); err != nil {
		return 0, err
	}
	if c.next.Serial == c.old.Serial {
		return c.next.Serial, nil
	}
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	return c.next.Serial, d.Switch(c.next.Serial, c.state)
}

// A commit is a publication that is signed as it should be.
type commit struct {
	old, next catalog.Catalog
	ring      *sign.Keyring     // the key that signed the next one
	state     map[string][]byte // indexes
	beside    map[string][]byte // files of versions, by name
}

// refusal is why a commit is none of the tree's.
func refusal(format string, args ...any) error {
	return fault.Newf(fault.Verification, format, args...).WithHint("publish with the key that signs this tree: --sign-key")
}

// own is the tree's catalog, its document, and the keys that are believed: none where a tree has
// neither.
func (d *Dir) own(now time.Time) (c catalog.Catalog, m sign.Message, ring *sign.Keyring, err error) {
	switch key, err := d.Read("key.asc", 1<<20); {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return c, m, nil, fmt.Errorf("cannot read the tree's key: %w", err)
	default:
		if ring, err = sign.ReadKeyring("the tree's key.asc", key); err != nil {
			return c, m, nil, err
		}
	}
	data, err := d.Read(catalog.Path, catalog.MaxSize)
	if errors.Is(err, fs.ErrNotExist) {
		return c, m, ring, nil
	}
	if err != nil {
		return c, m, nil, fmt.Errorf("cannot read the tree's index: %w", err)
	}
	if ring == nil {
		return c, m, nil, fault.Newf(fault.Verification, "the tree has an index and no key.asc").WithHint("publish to it on the machine where it lies: that writes both")
	}
	c, m, err = readOwn("the tree's index", data, ring, now)
	return c, m, ring, err
}

// vet says whether the catalog at the beginning of a state is one that may be the tree's next, or is the
// present one. Nothing else of the state is looked at.
func (d *Dir) vet(files map[string][]byte, now time.Time) error {
	old, _, ring, err := d.own(now)
	if err != nil {
		return err
	}
	if ring == nil {
		if ring, err = sign.ReadKeyring("key.asc", files["key.asc"]); err != nil {
			return refusal("%w", err)
		}
	}
	c := commit{old: old, state: files}
	if _, _, err := c.read(ring, now.Add(catalog.Skew)); err != nil {
		return refusal("%w", err)
	}
	return nil
}

// judge holds files against the tree's catalog and keys: of the next catalog, or of whatever comes
// later, for who has not seen those between. Nothing is written.
func (d *Dir) judge(files map[string][]byte, now time.Time, later bool) (commit, error) {
	old, was, ring, err := d.own(now)
	if err != nil {
		return commit{}, err
	}
	c := commit{old: old, state: map[string][]byte{}, beside: map[string][]byte{}}
	for name, data := range files {
		if strings.HasPrefix(name, "images/") {
			c.beside[name] = data
		} else {
			c.state[name] = data
		}
	}
	if ring == nil {
		if ring, err = sign.ReadKeyring("key.asc", c.state["key.asc"]); err != nil {
			return c, refusal("%w", err)
		}
	}
	ahead := now.Add(catalog.Skew) // the publisher's clock may be
	next, m, err := c.read(ring, ahead)
	if err != nil {
		return c, refusal("%w", err)
	}
	switch {
	case old.Serial > 0 && next.Tree != old.Tree && (later || next.Serial != 1): // two may both have begun the tree
		return c, refusal("the new index is of another server tree")
	case next.Serial == old.Serial && bytes.Equal(was.Text, m.Text):
	case next.Serial != old.Serial+1 && (!later || next.Serial <= old.Serial):
		return c, fmt.Errorf("the tree's index has the serial %d, and %d would follow: %w", old.Serial, next.Serial, place.ErrChanged)
	case next.Created.Before(old.Created):
		return c, refusal("the new index is older than the tree's")
	case len(next.Rotations) < len(old.Rotations) || !slices.Equal(next.Rotations[:len(old.Rotations)], old.Rotations):
		return c, refusal("the new index forgets which keys the tree had")
	}
	if err := next.Fresh(now); err != nil {
		return c, err
	}
	if err := c.indexes(ahead); err != nil {
		return c, err
	}
	return c, c.versions(d, ahead)
}

// read verifies the next catalog by a tree's keys, or by those that they say follow them.
func (c *commit) read(ring *sign.Keyring, now time.Time) (catalog.Catalog, sign.Message, error) {
	const name = "the new index"
	next, m, err := catalog.Read(name, c.state[catalog.Path], ring, now)
	for n := 0; err != nil && n < mostTries; n++ {
		at := slices.IndexFunc(ring.Fingerprints(), func(f string) bool { return c.state[catalog.RotationPath(f)] != nil })
		if at < 0 {
			return next, m, err
		}
		follows, rerr := catalog.Rotated(c.old.Tree, c.state[catalog.RotationPath(ring.Fingerprints()[at])], ring, now)
		if rerr != nil {
			return next, m, rerr
		}
		ring = follows
		next, m, err = catalog.Read(name, c.state[catalog.Path], ring, now)
	}
	if err == nil {
		c.next, c.ring = next, ring.Select(m.Signers[0].Fingerprint)
	}
	return next, m, err
}

// isState says whether a name is one of those that a state may have.
func isState(name string) bool {
	switch name {
	case "key.asc", "pks/lookup", builderIndex, catalog.Path:
		return true
	}
	dir, base := path.Split(name)
	return catalog.IsName(base) && (dir == "meta/1.0/" || dir == "streams/v1/" || dir == "ingot/v1/" && strings.HasPrefix(base, "rotation-"))
}

// indexes verifies every index: nothing of a state is there that the key has not signed. Whether
// they are what this ingot would make of the catalog is not asked: the publisher's may be another.
func (c *commit) indexes(now time.Time) error {
	var public []byte
	for _, name := range slices.Sorted(maps.Keys(c.state)) {
		data := c.state[name]
		if !isState(name) {
			return refusal("%q is no file of a server tree", name)
		}
		var err error
		switch {
		case name == catalog.Path: // is verified
		case name == "key.asc", name == "pks/lookup":
			public = data
			var shown *sign.Keyring
			if shown, err = sign.ReadKeyring(name, data); err == nil && !slices.Equal(shown.Fingerprints(), c.ring.Fingerprints()) {
				err = fmt.Errorf("%s is another key than the one that signed the new index", name)
			}
		case strings.HasPrefix(name, "ingot/v1/rotation-"):
			if !slices.ContainsFunc(c.next.Rotations, func(r string) bool {
				return r == string(data) && catalog.RotationPath(catalog.RotatedFrom(r)) == name
			}) {
				err = fmt.Errorf("%s is no change of keys of the new index", name)
			}
		case name == builderIndex, strings.HasSuffix(name, ".sjson"):
			_, err = c.ring.Clearsigned(name, data, now)
		case strings.HasSuffix(name, ".asc"), strings.HasSuffix(name, ".gpg"):
			if c.state[name[:len(name)-4]] == nil {
				err = fmt.Errorf("%s is a signature of nothing", name)
			}
		default:
			suffix := ".asc"
			if strings.HasSuffix(name, ".json") {
				suffix = ".gpg"
			}
			_, err = c.ring.Detached(name, data, c.state[name+suffix], now)
		}
		if err != nil {
			return refusal("%w", err)
		}
	}
	if public == nil {
		return refusal("the new state has no key")
	}
	return nil
}

// versions verifies what comes beside versions: checksums that are the catalog's, and signatures of
// them and of files that LXC verifies one by one.
func (c *commit) versions(d *Dir, now time.Time) error {
	b := newBesides(d, c.ring, now)
	for _, i := range c.next.Images {
		for _, v := range i.Versions {
			b.version(v.Dir(i), v)
		}
	}
	for name, data := range c.beside {
		if err := b.verify(name, data); err != nil {
			return refusal("%s: %w", name, inner(err))
		}
	}
	return nil
}

// Besides are the files that may lie beside those of versions, and how they are verified.
type besides struct {
	dir    *Dir
	ring   *sign.Keyring
	now    time.Time
	texts  map[string][]byte
	signed map[string]func(asc []byte) error // by the name of the signature
}

func newBesides(d *Dir, ring *sign.Keyring, now time.Time) *besides {
	return &besides{d, ring, now, map[string][]byte{}, map[string]func([]byte) error{}}
}

// version adds those of a version.
func (b *besides) version(dir string, v catalog.Version) {
	b.sums(dir, v.All())
	for _, a := range v.Artifacts {
		if a.Format == "lxc" {
			b.lxc(dir, a.Files)
		}
	}
}

// sums adds checksums of files, and their signature.
func (b *besides) sums(dir string, files []catalog.File) {
	text := sumsOf(files)
	b.texts[dir+"/SHA256SUMS"] = text
	b.signed[dir+"/SHA256SUMS.asc"] = func(asc []byte) error {
		_, err := b.ring.Detached("SHA256SUMS", text, asc, b.now)
		return err
	}
}

// lxc adds the signatures of files that LXC verifies one by one.
func (b *besides) lxc(dir string, files []catalog.File) {
	for _, f := range files {
		as := dialectName("lxc", f.Name)
		if as == "" {
			continue
		}
		b.signed[dir+"/"+as+".asc"] = func(asc []byte) error {
			r, _, err := b.dir.Open(f.Path())
			if err != nil {
				return err
			}
			defer func() { _ = r.Close() }()
			_, err = b.ring.DetachedReader(f.Name, r, asc, b.now)
			return err
		}
	}
}

// verify says why a file is none that may lie there.
func (b *besides) verify(name string, data []byte) error {
	switch verify, ok := b.signed[name]; {
	case ok:
		return verify(data)
	case b.texts[name] == nil:
		return errors.New("it is no file that a publisher writes")
	case !bytes.Equal(b.texts[name], data):
		return errors.New("it is another than the catalog gives")
	}
	return nil
}

// furnish gives the files of versions that are new, or of which something came, their names.
func (d *Dir) furnish(c commit, now time.Time) error {
	var problems []string
	before := c.old.Blobs()
	for digest, size := range c.next.Blobs() {
		if _, ok := before[digest]; ok {
			continue
		}
		if n, err := d.Size(catalog.BlobPath(digest)); err != nil || n != size {
			return fault.Newf(fault.NotFound, "the tree has no blob %s of %d bytes, which the new index names", digest, size).
				WithHint("run the command again: it uploads what is missing")
		}
	}
	came := map[string][]string{} // names of files, by their directory
	for name := range c.beside {
		came[path.Dir(name)] = append(came[path.Dir(name)], name)
	}
	for _, i := range c.next.Images {
		was, _ := c.old.Image(i.Name, i.Arch)
		for _, v := range i.Versions {
			dir := v.Dir(i) + "/"
			for _, name := range came[v.Dir(i)] {
				data := c.beside[name]
				if now, err := d.Read(name, maxPaper); err == nil && bytes.Equal(now, data) {
					continue
				}
				if err := d.Put(name, func(w io.Writer) error { _, err := w.Write(data); return err }); err != nil {
					return err
				}
			}
			if old, ok := was.Version(v.Version); ok && len(came[v.Dir(i)]) == 0 && reflect.DeepEqual(old, v) {
				continue
			}
			for as, f := range named(v) {
				if err := d.Link(f.Path(), dir+as); err != nil {
					return fmt.Errorf("cannot name %s: %w", as, err)
				}
			}
			checkNames(d, c.ring, i, v, now.Add(catalog.Skew), func(format string, args ...any) { problems = append(problems, fmt.Sprintf(format, args...)) })
		}
	}
	if len(problems) > 0 {
		return fault.Newf(fault.Verification, "what was published would not be whole: %s", strings.Join(problems[:min(len(problems), 3)], "; ")).
			WithHint("run the command again: it sends what is missing")
	}
	return nil
}

// Sweep removes the files of versions that the tree's index let go longer ago than a grace
// period, and what nobody names: see [Publisher.Prune].
func (d *Dir) Sweep(ctx context.Context, grace time.Duration, now time.Time, dry bool) (removed int, freed int64, err error) {
	release, err := d.Lock(ctx, func() {})
	if err != nil {
		return 0, 0, err
	}
	defer release()
	c, _, _, err := d.own(now)
	if err != nil {
		return 0, 0, err
	}
	var kept, done []catalog.Retired
	for _, r := range c.Retired {
		if now.Sub(r.Since) >= grace {
			done = append(done, r)
		} else {
			kept = append(kept, r)
		}
	}
	c.Retired = kept
	return remove(ctx, d, c, done, now.Add(-grace), dry)
}
