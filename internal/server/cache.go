package server

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"math"
	"path"
	"reflect"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"

	"ingot/internal/catalog"
	"ingot/internal/digest"
	"ingot/internal/fault"
	"ingot/internal/fetch"
	"ingot/internal/place"
	"ingot/internal/sign"
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

	space func() int64 // a test's: how many bytes are free

	ctx context.Context //nolint:containedctx // of the whole service: blobs come also for who has gone

	wait time.Duration // instead of cacheWait; a test is more impatient

	refreshing sync.Mutex
	asked      time.Time // when the other server was asked last

	mu      sync.Mutex
	catalog catalog.Catalog
	ring    *sign.Keyring           // by which it is signed
	names   map[string]catalog.File // of the catalog
	vetted  map[string]bool         // files beside versions' that are known to be right
	filling map[digest.Digest]*filling
	slots   chan struct{}
}

const (
	cacheFresh = time.Minute
	// cacheWait is how long a request waits for what the other server says of its indexes, where there are
	// some to go on with.
	cacheWait = 10 * time.Second
	// cacheUpdate is how long that may take at all.
	cacheUpdate = 15 * time.Minute
	// cacheFillings is how many blobs come at a time.
	cacheFillings = 16
)

// Start reads what the directory has, and asks the other server. Where neither gives anything that can be
// served it is an error.
func (c *Cache) Start(ctx context.Context) error {
	var end context.CancelFunc
	c.ctx, end = context.WithCancel(context.WithoutCancel(ctx))
	context.AfterFunc(ctx, func() { time.AfterFunc(graceTime, end) }) // as Service gives answers under way their time
	c.filling, c.slots = map[digest.Digest]*filling{}, make(chan struct{}, cacheFillings)
	there, ring, by, err := c.there()
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
		c.take(there, ring)
		limited, cancel := context.WithTimeout(ctx, c.patience())
		defer cancel()
		ctx = limited
	}
	c.asked = c.now()
	if err := c.update(ctx); err != nil {
		if !known || fault.CodeOf(err) == fault.Verification {
			if hint := fault.HintOf(err); hint != "" { // the other server's client says how it names servers
				return fault.Newf(fault.CodeOf(err), "%w", err).WithHint("%s", strings.ReplaceAll(hint, "--from", "--cache-of"))
			}
			return err
		}
		c.note("goes on with what is here: " + err.Error())
	}
	return nil
}

// there is the catalog that the directory has, and the keys by which who believes one of them believes it:
// the one that signed it, and those that say that it follows them.
func (c *Cache) there() (there catalog.Catalog, ring *sign.Keyring, by []string, err error) {
	there, m, ring, err := c.Dir.own(c.now())
	if err != nil || there.Serial == 0 {
		return there, ring, nil, err
	}
	by = []string{m.Signers[0].Fingerprint}
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
	return there, ring, by, nil
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
func (c *Cache) take(next catalog.Catalog, ring *sign.Keyring) {
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
			for _, format := range []string{"lxc", "incus", "incus-vm"} { // one of which it was
				if as := dialectName(format, f.Name); as != "" {
					names[r.Dir+"/"+as] = f
				}
			}
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.catalog, c.ring, c.names, c.vetted = next, ring, names, map[string]bool{}
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
	fresh := c.Fresh
	if fresh == 0 {
		fresh = cacheFresh
	}
	if c.now().Sub(c.asked) < fresh {
		c.refreshing.Unlock()
		return
	}
	c.asked = c.now()
	done := make(chan struct{})
	// Of the service and not of the request: others wait for it too, and what comes slowly is to come at last.
	go func() {
		defer close(done)
		defer c.refreshing.Unlock()
		ctx, cancel := context.WithTimeout(c.ctx, cacheUpdate)
		defer cancel()
		if err := c.update(ctx); err != nil {
			c.note("goes on with what is here: " + err.Error())
		}
	}()
	select {
	case <-done:
	case <-ctx.Done():
	case <-time.After(c.patience()):
	}
}

// patience is how long something waits for the other server's indexes, that has some to go on with.
func (c *Cache) patience() time.Duration { return cmp.Or(c.wait, cacheWait) }

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
		if err := c.behind(j); err != nil {
			return err
		}
		if err := c.Dir.Switch(next.Serial, j.state); err != nil {
			return err
		}
	}
	c.take(next, j.ring)
	_, _, err = remove(ctx, c.Dir, next, nil, c.now().Add(-Grace), false)
	return err
}

// behind says whether an index is still the one that is here, though the catalog gives another than the one
// before did: in S3 the others follow the catalog.
func (c *Cache) behind(j commit) error {
	if j.old.Serial == 0 {
		return nil
	}
	was, err := plain(j.old)
	if err != nil {
		return err
	}
	is, err := plain(j.next)
	if err != nil {
		return err
	}
	for name, data := range is {
		if bytes.Equal(data, was[name]) || j.state[name] == nil {
			continue
		}
		if here, err := c.Dir.Read(name, catalog.MaxSize); err == nil && bytes.Equal(here, j.state[name]) {
			return fmt.Errorf("%s of %s is not yet that of its catalog: %w", name, c.Upstream.Name(), place.ErrChanged)
		}
	}
	return nil
}

// plain are the indexes of other dialects that a catalog gives, unsigned.
func plain(c catalog.Catalog) (map[string][]byte, error) {
	out, err := streamsPlain(c)
	if err != nil {
		return nil, err
	}
	maps.Copy(out, lxcIndexes(c))
	out[builderIndex] = builderPlain(c)
	return out, nil
}

// state fetches all indexes that belong to a catalog.
func (c *Cache) state(ctx context.Context, next catalog.Catalog) (map[string][]byte, error) {
	// Nobody has said of these that they are believed, so they are not to be larger than they need be; who
	// made them may be another ingot.
	const small = 1 << 20
	about := func(data []byte) int64 { return min(catalog.MaxSize, int64(4*len(data)+small)) }
	text, err := next.Encode()
	if err != nil {
		return nil, err
	}
	names := map[string]int64{catalog.Path: about(text), "key.asc": small, "pks/lookup": small, builderIndex: about(builderPlain(next))}
	for _, r := range next.Rotations {
		names[catalog.RotationPath(catalog.RotatedFrom(r))] = small
	}
	for name, data := range lxcIndexes(next) {
		names[name], names[name+".asc"] = about(data), small
	}
	streams, err := streamsPlain(next)
	if err != nil {
		return nil, err
	}
	for name, data := range streams {
		names[name] = about(data)
		if strings.HasSuffix(name, ".json") {
			names[name+".gpg"] = small
		}
	}
	files := map[string][]byte{}
	var mu sync.Mutex
	g, inner := errgroup.WithContext(ctx)
	g.SetLimit(atOnce)
	for name, most := range names {
		g.Go(func() error {
			data, err := c.Upstream.File(inner, name, most)
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
	again, err := c.Upstream.File(ctx, catalog.Path, names[catalog.Path])
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
		if r, _, err := c.Dir.Open(f.Path()); !errors.Is(err, fs.ErrNotExist) { // else it went just now
			return r, err
		}
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
	if err := c.room(g.want.Size); err != nil {
		return err
	}
	return c.Dir.Put(g.want.Path(), func(w io.Writer) error { return c.Upstream.Blob(c.ctx, g.want, g.into(w)) })
}

// room makes room for a blob: those go that nobody asked for longest, until with it there are no more than the
// bound, if others can go for it, and the disk takes it. One that the disk could not take all the same is not begun.
func (c *Cache) room(coming int64) error {
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
	if err != nil {
		return err
	}
	free := c.free()
	if free+total < coming {
		return fault.Newf(fault.Preflight, "no room: %d MiB are needed and %d MiB are free", coming>>20, free>>20).WithHint("make room where %s lies", c.Dir)
	}
	slices.SortFunc(all, func(a, b blob) int { return a.used.Compare(b.used) })
	for _, b := range all {
		if (c.Size == 0 || total+coming <= c.Size) && coming <= free {
			break
		}
		if err := c.Dir.Remove(b.name); err != nil {
			return err
		}
		total -= b.size
		free += b.size
	}
	return nil
}

// free is how many bytes the directory's disk has.
func (c *Cache) free() int64 {
	if c.space != nil {
		return c.space()
	}
	var st unix.Statfs_t
	if err := unix.Statfs(c.Dir.path, &st); err != nil {
		return math.MaxInt64 / 2 // then it shows when there is none
	}
	return int64(st.Bavail) * st.Bsize
}

// beside gets a small file that lies beside a version's: checksums and signatures, verified by the catalog
// that is believed now.
func (c *Cache) beside(name string) ([]byte, error) {
	c.mu.Lock()
	now, ring, vetted := c.catalog, c.ring, c.vetted
	good := vetted[name]
	c.mu.Unlock()
	b := newBesides(c.Dir, ring, c.now().Add(catalog.Skew))
	dir := path.Dir(name)
	for _, i := range now.Images {
		for _, v := range i.Versions {
			if v.Dir(i) == dir {
				b.version(dir, v)
			}
		}
	}
	for _, r := range now.Retired {
		if r.Dir == dir && b.texts[dir+"/SHA256SUMS"] == nil {
			b.sums(dir, r.Files)
			b.lxc(dir, r.Files)
		}
	}
	if text := b.texts[name]; text != nil {
		return text, nil
	}
	if b.signed[name] == nil {
		return nil, fs.ErrNotExist
	}
	data, err := c.Dir.Read(name, maxPaper)
	if err == nil && good {
		return data, nil
	}
	// A signature of a file is verified with it, so that comes first.
	if f, ok := c.lookup(strings.TrimSuffix(name, ".asc")); ok {
		r, err := c.open(f)
		if err != nil {
			return nil, err
		}
		if _, comes := r.(*filled); comes {
			_, err = io.Copy(io.Discard, r)
		}
		if err = errors.Join(err, r.Close()); err != nil {
			return nil, err
		}
	}
	// What is here may be of a catalog before.
	if err != nil || b.verify(name, data) != nil {
		if data, err = c.Upstream.File(c.ctx, name, maxHeadFile); err != nil {
			return nil, err
		}
		if err = b.verify(name, data); err != nil {
			return nil, fmt.Errorf("%s: %s: %w", c.Upstream.Name(), name, err)
		}
		if err = c.Dir.Put(name, func(w io.Writer) error { _, err := w.Write(data); return err }); err != nil {
			return nil, err
		}
	}
	c.mu.Lock()
	vetted[name] = true
	c.mu.Unlock()
	return data, nil
}
