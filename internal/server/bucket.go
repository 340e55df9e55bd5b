package server

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"ingot/internal/catalog"
	"ingot/internal/fault"
	"ingot/internal/place"
)

// A Bucket is a server tree in S3, whose objects any client reads by http. There is no link that
// could be changed for all names at once, so a publication is the one object that ingot's clients
// read, the catalog: it is written on condition that it is the one that was changed. What
// other clients read is derived from it and written after it, each index before what points to
// it. Whoever dies between leaves them an older state, whose files are all there, until the next publisher
// comes: it sees that, and writes them again.
//
//	ingot/v1/index.asc    the publication
//	ingot/v1/settled      the serial whose other indexes are all written
//	ingot/v1/lease        who publishes now
//
// Names are copies that S3 makes, so a file takes its size once for each.
type Bucket struct {
	place place.Bucket
	ctx   context.Context //nolint:containedctx // Place is of one verb, and ends with it

	mu   sync.Mutex
	held *lease
	mark string // of the catalog as it was read last
}

// settledPath says whether the other indexes are those of the catalog.
const settledPath = "ingot/v1/settled"

// atOnce is how many small objects are written at a time.
const atOnce = 8

// OpenTree opens the server tree that a text names: a directory, or s3://BUCKET/PREFIX. New says
// that it need not be there yet.
func OpenTree(ctx context.Context, text string, env place.Getenv, fresh bool) (Place, error) {
	if !strings.HasPrefix(text, "s3://") {
		if fresh {
			return CreateDir(text)
		}
		return OpenDir(text)
	}
	p, err := place.Open(text, env)
	if err != nil {
		return nil, err
	}
	b, ok := p.(place.Bucket)
	if !ok {
		return nil, fault.Newf(fault.Usage, "%s cannot hold a server tree", p).WithHint("a server tree is a directory or s3://BUCKET/PREFIX")
	}
	return &Bucket{place: b, ctx: ctx}, nil
}

func (b *Bucket) String() string { return b.place.String() }

// context is what requests run under: that of the lease while there is one.
func (b *Bucket) context() context.Context {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.held != nil {
		return b.held.ctx
	}
	return b.ctx
}

// why is an error of what was done under a lease: where that was lost, it is the reason.
func (b *Bucket) why(err error) error {
	b.mu.Lock()
	held := b.held
	b.mu.Unlock()
	if held != nil && errors.Is(err, context.Canceled) {
		return context.Cause(held.ctx)
	}
	return err
}

// Lock takes the lease.
func (b *Bucket) Lock(ctx context.Context, wait func()) (func(), error) {
	l, err := takeLease(ctx, b.place, wait)
	if err != nil {
		return nil, err
	}
	b.mu.Lock()
	b.held = l
	b.mu.Unlock()
	return func() {
		b.mu.Lock()
		b.held = nil
		b.mu.Unlock()
		l.release()
	}, nil
}

func (b *Bucket) Read(name string, limit int64) ([]byte, error) {
	data, info, err := place.Read(b.context(), b.place, name, limit)
	if name == catalog.Path && (err == nil || errors.Is(err, fs.ErrNotExist)) {
		b.mu.Lock()
		b.mark = info.Mark
		b.mu.Unlock()
	}
	return data, b.why(err)
}

// Open opens an object; who goes back to its start reads it anew.
func (b *Bucket) Open(name string) (io.ReadSeekCloser, int64, error) {
	r, info, err := b.place.Open(b.context(), name)
	if err != nil {
		return nil, 0, err
	}
	return &rewound{b: b, name: name, ReadCloser: r}, info.Size, nil
}

type rewound struct {
	io.ReadCloser
	b     *Bucket
	name  string
	begun bool
}

func (r *rewound) Read(p []byte) (int, error) {
	r.begun = true
	return r.ReadCloser.Read(p)
}

// Seek goes back to the start, and nowhere else.
func (r *rewound) Seek(offset int64, whence int) (int64, error) {
	if offset != 0 || whence != io.SeekStart {
		return 0, errors.ErrUnsupported
	}
	if !r.begun {
		return 0, nil
	}
	again, _, err := r.b.place.Open(r.b.context(), r.name)
	if err != nil {
		return 0, err
	}
	_ = r.Close()
	r.ReadCloser, r.begun = again, false
	return 0, nil
}

// Size looks at an object. That it is of use now is not noted: who reuses what nobody names any
// more may find it gone when it is named, and publishes again.
func (b *Bucket) Size(name string) (int64, error) {
	info, err := b.place.Stat(b.context(), name)
	return info.Size, err
}

// Put writes an object by way of a temporary file: S3 wants to know its size first.
func (b *Bucket) Put(name string, write func(io.Writer) error) error {
	f, err := os.CreateTemp("", "ingot-publish-")
	if err != nil {
		return explain(err)
	}
	defer func() { _ = f.Close() }()
	_ = os.Remove(f.Name())
	if err := write(f); err != nil {
		return explain(err)
	}
	n, err := f.Seek(0, io.SeekEnd)
	if err != nil {
		return err
	}
	return b.put(name, io.NewSectionReader(f, 0, n), place.Always)
}

func (b *Bucket) put(name string, body *io.SectionReader, when place.Condition) error {
	_, err := b.place.Put(b.context(), name, body, when)
	return b.why(err)
}

// Link copies an object, unless its copy is there.
func (b *Bucket) Link(from, to string) error {
	if b.Same(from, to) {
		return nil
	}
	return b.why(b.place.Copy(b.context(), from, to))
}

// Same says whether two names are known to be of the same bytes.
func (b *Bucket) Same(one, other string) bool {
	same, err := b.place.Same(b.context(), one, other)
	return err == nil && same
}

// Remove removes an object, and those whose names it begins as a directory.
func (b *Bucket) Remove(name string) error {
	ctx := b.context()
	all, err := b.place.List(ctx, name+"/")
	if err != nil {
		return err
	}
	for _, one := range append(all, name) {
		if err := b.place.Remove(ctx, one); err != nil {
			return b.why(err)
		}
	}
	return nil
}

// Walk gives the objects below a name; of use they were when they were written.
func (b *Bucket) Walk(under string, found func(name string, size int64, used time.Time) error) error {
	return b.place.Walk(b.context(), under+"/", found)
}

// Settled says whether all indexes are those of a serial.
func (b *Bucket) Settled(serial int64) (bool, error) {
	data, _, err := place.Read(b.context(), b.place, settledPath, 100)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil && string(data) == strconv.FormatInt(serial, 10), err
}

// Switch writes the catalog, and then what others read.
func (b *Bucket) Switch(serial int64, files map[string][]byte) error {
	b.mu.Lock()
	mark := b.mark
	b.mu.Unlock()
	names := slices.Sorted(maps.Keys(files))
	slices.SortStableFunc(names, func(x, y string) int { return cmp.Compare(rank(x), rank(y)) })
	for len(names) > 0 {
		n := 1
		for n < len(names) && rank(names[n]) == rank(names[0]) {
			n++
		}
		g := new(errgroup.Group)
		g.SetLimit(atOnce)
		for _, name := range names[:n] {
			g.Go(func() error {
				when := place.Always
				if name == catalog.Path {
					when = place.Was(mark)
				}
				err := b.put(name, place.Text(files[name]), when)
				if errors.Is(err, place.ErrChanged) {
					return fault.Newf(fault.Busy, "another ingot has published to %s meanwhile", b).WithHint("run the command again")
				}
				return err
			})
		}
		if err := g.Wait(); err != nil {
			return fmt.Errorf("cannot publish: %w", err)
		}
		names = names[n:]
	}
	return b.put(settledPath, place.Text(strconv.AppendInt(nil, serial, 10)), place.Always)
}

// rank orders the small files of a tree: what an index points to comes before it, but the
// publication itself comes before what is derived from it.
func rank(name string) int {
	switch {
	case strings.HasPrefix(name, "ingot/v1/rotation-"):
		return 0 // a client that finds the new key's catalog asks for it
	case name == catalog.Path:
		return 1
	case name == builderIndex, strings.HasPrefix(name, "streams/v1/index."), strings.HasPrefix(name, "meta/") && !strings.HasSuffix(name, ".asc"):
		return 3
	}
	return 2
}
