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
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"ingot/internal/catalog"
	"ingot/internal/digest"
	"ingot/internal/fault"
	"ingot/internal/fetch"
	"ingot/internal/place"
)

// An Upstream is the server that a [Cache] is of.
type Upstream interface {
	// Name is what messages call it.
	Name() string
	// Refresh gives its catalog, verified, by keys that are known, and not older than one that was
	// seen before.
	Refresh(ctx context.Context) (catalog.Catalog, error)
	// Believed are the keys by which the catalog of the last Refresh is believed; the last one signed it.
	Believed() []string
	// Believes says whether what was believed by some keys is believed now too. Nobody is asked.
	Believes(chain []string) (bool, error)
	// File gets a small file of it, unverified; one that is not there is fs.ErrNotExist.
	File(ctx context.Context, name string, most int64) ([]byte, error)
	// Blob gets a blob; the error says whether it was the right one.
	Blob(ctx context.Context, f catalog.File, to fetch.Sink) error
}

// A Cache has a [Handler] serve another server's tree. Indexes come from there when they have changed,
// all of one time at once; a blob comes when somebody asks for it first, and he gets it while it comes.
// Nothing is given out that is not verified, but for the bytes of a blob on its way, whose
// last one is kept back until all are known to be right. Where the other server does not answer, what is
// here goes on.
//
// The tree is its directory, with indexes and blobs; names of versions' files are looked up in the
// catalog. A cache has no key, and publishes nothing.
type Cache struct {
	Upstream Upstream
	Dir      *Dir
	// Fresh is how long indexes are given out without a question; 0 means a minute.
	Fresh time.Duration
	// Size bounds the blobs that are kept, in bytes; 0 is any number. Those go that nobody asked for
	// longest.
	Size int64
	// Note is told of trouble.
	Note func(text string)
	Now  func() time.Time // time.Now

	ctx context.Context //nolint:containedctx // of the whole service: blobs come also for who has gone

	refreshing sync.Mutex
	asked      time.Time // when the other server was asked last

	mu      sync.Mutex
	catalog catalog.Catalog
	names   map[string]catalog.File // of the catalog
	filling map[digest.Digest]*filling
	slots   chan struct{}
}

const (
	cacheFresh = time.Minute
	// cacheWait is how long a request waits for what the other server says of its indexes, where there are
	// some to go on with.
	cacheWait = 10 * time.Second
	// cacheFillings is how many blobs come at a time.
	cacheFillings = 16
)

// Start reads what the directory has, and asks the other server. Where neither gives anything that can be
// served it is an error.
func (c *Cache) Start(ctx context.Context) error {
	c.ctx, c.filling, c.slots = ctx, map[digest.Digest]*filling{}, make(chan struct{}, cacheFillings)
	there, by, err := c.there()
	if err != nil {
		return err
	}
	known := false // else it is another server's, or of a key that is believed no more
	if there.Serial > 0 {
		if known, err = c.Upstream.Believes(by); err != nil {
			return err
		}
	}
	if known {
		c.take(there)
	}
	c.asked = c.now()
	if err := c.update(ctx); err != nil {
		if !known || fault.CodeOf(err) == fault.Verification {
			return err
		}
		c.note("goes on with what is here: " + err.Error())
	}
	return nil
}

// there is the catalog that the directory has, and the keys by which who believes one of them believes it:
// the one that signed it, and those that say that it follows them.
func (c *Cache) there() (catalog.Catalog, []string, error) {
	there, m, _, err := c.Dir.own(c.now())
	if err != nil || there.Serial == 0 {
		return there, nil, err
	}
	by := []string{m.Signers[0].Fingerprint}
	for _, r := range slices.Backward(there.Rotations) {
		old := catalog.RotatedFrom(r)
		ring, err := catalog.RotatedKey([]byte(r), old)
		if err != nil {
			break
		}
		next, err := catalog.Rotated(there.Tree, []byte(r), ring, c.now().Add(catalog.Skew))
		if err != nil || next.Fingerprints()[0] != by[0] {
			break
		}
		by = append([]string{old}, by...)
	}
	return there, by, nil
}

func (c *Cache) now() time.Time {
	if c.Now != nil {
		return c.Now()
	}
	return time.Now()
}

func (c *Cache) note(text string) {
	if c.Note != nil {
		c.Note(text)
	}
}

// take makes a catalog the one that names are looked up in.
func (c *Cache) take(next catalog.Catalog) {
	names := map[string]catalog.File{}
	for _, i := range next.Images {
		for _, v := range i.Versions {
			dir := v.Dir(i) + "/"
			for as, f := range named(v) {
				names[dir+as], names[f.Path()] = f, f
			}
		}
	}
	for _, r := range next.Retired { // for who reads an older catalog
		for _, f := range r.Files {
			names[f.Path()], names[r.Dir+"/"+f.Name] = f, f
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.catalog, c.names = next, names
}

// believed is the catalog that names are looked up in.
func (c *Cache) believed() catalog.Catalog {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.catalog
}

// Refresh asks the other server whether its indexes have changed, if it was not asked lately. One request
// asks, and those that come meanwhile get what is here.
func (c *Cache) Refresh(ctx context.Context) {
	if !c.refreshing.TryLock() {
		return
	}
	defer c.refreshing.Unlock()
	fresh := c.Fresh
	if fresh == 0 {
		fresh = cacheFresh
	}
	if c.now().Sub(c.asked) < fresh {
		return
	}
	c.asked = c.now()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), cacheWait) // others wait for the answer too
	defer cancel()
	if err := c.update(ctx); err != nil {
		c.note("goes on with what is here: " + err.Error())
	}
}

// update takes over the other server's state if it has a later one.
func (c *Cache) update(ctx context.Context) error {
	for tries := 1; ; tries++ {
		next, err := c.Upstream.Refresh(ctx)
		if err != nil {
			return err
		}
		if now := c.believed(); next.Tree == now.Tree && next.Serial == now.Serial {
			return nil
		}
		err = c.adopt(ctx, next)
		if !errors.Is(err, place.ErrChanged) || tries == 3 {
			return err
		}
	}
}

// adopt makes a state of the other server the directory's.
func (c *Cache) adopt(ctx context.Context, next catalog.Catalog) error {
	files, err := c.state(ctx, next)
	if err != nil {
		return err
	}
	release, err := c.Dir.Lock(ctx, func() {})
	if err != nil {
		return err
	}
	defer release()
	j, err := c.Dir.judge(files, c.now(), true)
	if err != nil {
		return fault.Newf(fault.CodeOf(err), "%s: %w", c.Upstream.Name(), err).
			WithHint("is %s a cache of that server? start with another directory else; what it has comes again", fault.File(c.Dir.String()))
	}
	// What was verified by the keys that are believed, and not only by what lies in the directory.
	if !reflect.DeepEqual(j.next, next) {
		return fmt.Errorf("%s has another index: %w", c.Upstream.Name(), place.ErrChanged)
	}
	if by := c.Upstream.Believed(); len(by) == 0 || !slices.Equal(j.ring.Fingerprints(), by[len(by)-1:]) {
		return fault.Newf(fault.Verification, "%s shows another key than the one that signed its index", c.Upstream.Name()).
			WithHint("nothing of it was kept; somebody changes what it sends: name another mirror with --cache-of")
	}
	if j.next.Serial != j.old.Serial {
		if err := c.Dir.Switch(next.Serial, j.state); err != nil {
			return err
		}
	}
	c.take(next)
	_, _, err = remove(ctx, c.Dir, next, nil, c.now().Add(-Grace), false)
	return err
}

// state fetches all indexes that belong to a catalog.
func (c *Cache) state(ctx context.Context, next catalog.Catalog) (map[string][]byte, error) {
	names := []string{catalog.Path, "key.asc", "pks/lookup", builderIndex}
	for _, r := range next.Rotations {
		names = append(names, catalog.RotationPath(catalog.RotatedFrom(r)))
	}
	for name := range lxcIndexes(next) {
		names = append(names, name, name+".asc")
	}
	streams, err := streamsPlain(next)
	if err != nil {
		return nil, err
	}
	for _, name := range slices.Sorted(maps.Keys(streams)) {
		names = append(names, name)
		if strings.HasSuffix(name, ".json") {
			names = append(names, name+".gpg")
		}
	}
	files := map[string][]byte{}
	var mu sync.Mutex
	g, inner := errgroup.WithContext(ctx)
	g.SetLimit(atOnce)
	for _, name := range names {
		g.Go(func() error {
			data, err := c.Upstream.File(inner, name, catalog.MaxSize)
			if errors.Is(err, fs.ErrNotExist) {
				return nil // an older ingot made the tree; what must be there is asked for later
			}
			mu.Lock()
			defer mu.Unlock()
			files[name] = data
			return err
		})
	}
	if err := g.Wait(); err != nil {
		return nil, err
	}
	// All of one time, if the catalog is the same before and after.
	again, err := c.Upstream.File(ctx, catalog.Path, catalog.MaxSize)
	if err == nil && !bytes.Equal(again, files[catalog.Path]) {
		err = fmt.Errorf("%s publishes just now: %w", c.Upstream.Name(), place.ErrChanged)
	}
	return files, err
}

// lookup finds the blob that a name means.
func (c *Cache) lookup(name string) (catalog.File, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	f, ok := c.names[name]
	return f, ok
}

// Open opens a file of a version, by its name or as a blob, as far as the catalog has it; it comes from
// the other server if it is not here. One that is nowhere is fs.ErrNotExist.
func (c *Cache) Open(name string) (io.ReadSeekCloser, digest.Digest, error) {
	if f, ok := c.lookup(name); ok {
		r, err := c.open(f)
		return r, f.SHA256, err
	}
	data, err := c.beside(name)
	if err != nil {
		return nil, digest.Digest{}, err
	}
	return text{bytes.NewReader(data)}, digest.Of(data), nil
}

type text struct{ *bytes.Reader }

func (text) Close() error { return nil }

// open opens a blob. It is fetched, if it is not here, when somebody reads it.
func (c *Cache) open(f catalog.File) (io.ReadSeekCloser, error) {
	if n, err := c.Dir.Size(f.Path()); err == nil && n == f.Size { // which also says that it is of use
		r, _, err := c.Dir.Open(f.Path())
		return r, err
	}
	whole := func() (io.ReadSeekCloser, error) {
		r, _, err := c.Dir.Open(f.Path())
		return r, err
	}
	return &filled{size: f.Size, begin: func() *filling { return c.begin(f) }, open: whole}, nil
}

// begin begins to fetch a blob, if it is not on its way already.
func (c *Cache) begin(f catalog.File) *filling {
	c.mu.Lock()
	defer c.mu.Unlock()
	g := c.filling[f.SHA256]
	if g == nil {
		g = newFilling(f)
		if n, err := c.Dir.Size(f.Path()); err == nil && n == f.Size { // it came just now
			g.over = true
			return g
		}
		c.filling[f.SHA256] = g
		go func() {
			err := c.fill(g)
			if err != nil {
				c.note(fmt.Sprintf("%s: %v", f.Name, err))
			}
			c.mu.Lock()
			delete(c.filling, f.SHA256)
			c.mu.Unlock()
			g.end(err)
		}()
	}
	return g
}

// fill fetches a blob into the tree.
func (c *Cache) fill(g *filling) error {
	select {
	case c.slots <- struct{}{}:
	case <-c.ctx.Done():
		return c.ctx.Err()
	}
	defer func() { <-c.slots }()
	err := c.Dir.Put(g.want.Path(), func(w io.Writer) error { return c.Upstream.Blob(c.ctx, g.want, g.into(w)) })
	if err != nil || c.Size == 0 {
		return err
	}
	return c.evict(g.want.Path())
}

// evict lets blobs go until those that stay are not more than the bound; the newest stays.
func (c *Cache) evict(newest string) error {
	type blob struct {
		name string
		size int64
		used time.Time
	}
	var all []blob
	total := int64(0)
	err := c.Dir.Walk("blobs", func(name string, size int64, used time.Time) error {
		all = append(all, blob{name, size, used})
		total += size
		return nil
	})
	slices.SortFunc(all, func(a, b blob) int { return a.used.Compare(b.used) })
	for _, b := range all {
		if err != nil || total <= c.Size {
			return err
		}
		if b.name != newest {
			err = c.Dir.Remove(b.name)
			total -= b.size
		}
	}
	return err
}

// beside gets a small file that lies beside a version's: checksums and signatures, verified.
func (c *Cache) beside(name string) ([]byte, error) {
	if !strings.HasPrefix(name, "images/") || path.Base(name) != "SHA256SUMS" && !strings.HasSuffix(name, ".asc") {
		return nil, fs.ErrNotExist
	}
	if data, err := c.Dir.Read(name, maxPaper); err == nil {
		return data, nil
	}
	data, err := c.Upstream.File(c.ctx, name, maxPaper)
	if err != nil {
		return nil, err
	}
	// A signature of a file is verified with it, so that comes first.
	if f, ok := c.lookup(strings.TrimSuffix(name, ".asc")); ok {
		r, err := c.open(f)
		if err == nil {
			_, err = io.Copy(io.Discard, r)
			_ = r.Close()
		}
		if err != nil {
			return nil, err
		}
	}
	_, _, ring, err := c.Dir.own(c.now())
	if err != nil {
		return nil, err
	}
	j := commit{next: c.believed(), ring: ring, beside: map[string][]byte{name: data}}
	if err := j.versions(c.Dir, c.now().Add(catalog.Skew)); err != nil {
		return nil, fmt.Errorf("%s: %w", c.Upstream.Name(), err)
	}
	return data, c.Dir.Put(name, func(w io.Writer) error { _, err := w.Write(data); return err })
}
