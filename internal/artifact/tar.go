package artifact

import (
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"os"
	"runtime"

	"golang.org/x/sync/errgroup"

	"ingot/internal/digest"
	"ingot/internal/tree"
)

// A PieceCache keeps compressed pieces by key. Losing one costs time only.
type PieceCache interface {
	// Get gives a piece, or false.
	Get(key digest.Digest) ([]byte, bool)
	// Put keeps a piece; it may as well not.
	Put(key digest.Digest, piece []byte)
}

// TarOptions say how a tree becomes a tar archive.
type TarOptions struct {
	Tree     tree.TarOptions
	Compress Compressor // nil for a plain archive
	Cache    PieceCache // nil for none
	Workers  int        // how many pieces are compressed at a time; 0 is one a core, 16 at most
	// For progress: how many bytes the archive has, told once before the first of them, and
	// how many of these are written. They are counted before compression, since nobody knows
	// what it will make of them. Nil is nobody to tell.
	Expect, Wrote func(n int64)
}

// WriteTar writes a tree as a tar archive, compressed or not. A compressed
// archive is a row of independent pieces, each of one member of the archive
// ([tree.Members]), so that pieces are compressed on all cores, and those that a
// change of the tree leaves alone are taken from the cache. The bytes do not
// depend on cores, workers or cache.
func WriteTar(ctx context.Context, w io.Writer, t tree.Tree, r *tree.Reader, o TarOptions) error {
	if o.Wrote == nil {
		o.Wrote = func(int64) {}
	}
	if o.Expect != nil {
		size, err := tarSize(t, o.Tree)
		if err != nil {
			return err
		}
		o.Expect(size)
	}
	if o.Compress == nil {
		w = counted(w, o.Wrote)
		return tree.WriteTar(ctx, w, t, r, o.Tree)
	}
	if o.Workers <= 0 {
		o.Workers = min(runtime.GOMAXPROCS(0), 16)
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	row := &pieces{o: o, ctx: ctx, fail: cancel, queue: make(chan piece, o.Workers)}
	row.workers.SetLimit(o.Workers)
	var all errgroup.Group
	all.Go(func() error {
		defer close(row.queue)
		err := row.archive(t, r)
		if err2 := row.workers.Wait(); err == nil {
			err = err2
		}
		if err != nil {
			cancel(err)
		}
		return err
	})
	all.Go(func() error {
		err := row.writeTo(w)
		if err != nil {
			cancel(err)
		}
		return err
	})
	if err := all.Wait(); err != nil {
		// Whatever stopped first stopped the others, who say only that.
		return context.Cause(ctx)
	}
	return nil
}

// tarSize is how many bytes a tree's archive has.
func tarSize(t tree.Tree, o tree.TarOptions) (int64, error) {
	all := int64(len(tree.TarEnd))
	for _, m := range tree.Members(t, o) {
		n, err := m.Size()
		if err != nil {
			return 0, err
		}
		all += n
	}
	return all, nil
}

// tarEndKey is the key of the end mark, which is no member.
var tarEndKey = digest.Of([]byte(tree.TarEnd))

// pieces makes the row of compressed pieces, in order, several at a time.
type pieces struct {
	o       TarOptions
	ctx     context.Context // ends, with its cause, when anything fails
	fail    context.CancelCauseFunc
	workers errgroup.Group
	queue   chan piece
}

// A piece is on its way to the output.
type piece struct {
	size int64       // of the archive, before compression
	made chan []byte // gives its bytes
}

func (p *pieces) archive(t tree.Tree, r *tree.Reader) error {
	for _, m := range tree.Members(t, p.o.Tree) {
		if err := p.member(m, r); err != nil {
			return err
		}
	}
	if n, err := p.cached(tarEndKey, int64(len(tree.TarEnd))); n > 0 || err != nil {
		return err
	}
	return p.put(pieceKey(p.o.Compress, tarEndKey, 0), []byte(tree.TarEnd))
}

func (p *pieces) writeTo(w io.Writer) error {
	for piece := range p.queue {
		select {
		case b := <-piece.made:
			if _, err := w.Write(b); err != nil {
				return err
			}
			p.o.Wrote(piece.size)
		case <-p.ctx.Done():
			return context.Cause(p.ctx)
		}
	}
	return nil
}

// member adds a member's pieces, from the cache as long as it has them.
func (p *pieces) member(m tree.Member, r *tree.Reader) error {
	key, err := m.Key()
	if err != nil {
		return err
	}
	size, err := m.Size()
	if err != nil {
		return err
	}
	have, err := p.cached(key, size)
	if have == p.count(size) || err != nil {
		return err
	}
	c := &cutter{row: p, key: key, skip: have, left: size}
	if err := m.Write(p.ctx, c, r); err != nil {
		return err
	}
	return c.flush()
}

// count is how many pieces so many bytes make.
func (p *pieces) count(size int64) int {
	piece := int64(p.o.Compress.Piece())
	return int((size + piece - 1) / piece)
}

// cached adds the first pieces of a member of some size to the row, as many as the cache
// has, and says how many that were.
func (p *pieces) cached(key digest.Digest, size int64) (int, error) {
	n, whole := p.count(size), int64(p.o.Compress.Piece())
	if p.o.Cache == nil {
		return 0, nil
	}
	for i := range n {
		b, ok := p.o.Cache.Get(pieceKey(p.o.Compress, key, i))
		if !ok {
			return i, nil
		}
		done := make(chan []byte, 1)
		done <- b
		if err := p.enqueue(piece{min(whole, size-int64(i)*whole), done}); err != nil {
			return i, err
		}
	}
	return n, nil
}

// put compresses a piece in the background and adds it to the row.
func (p *pieces) put(key digest.Digest, raw []byte) error {
	done := make(chan []byte, 1)
	if err := p.enqueue(piece{int64(len(raw)), done}); err != nil {
		return err
	}
	p.workers.Go(func() error {
		b, err := p.o.Compress.Compress(p.ctx, raw)
		if err != nil {
			err = fmt.Errorf("cannot compress: %w", err)
			p.fail(err)
			return err
		}
		if p.o.Cache != nil {
			p.o.Cache.Put(key, b)
		}
		done <- b
		return nil
	})
	return nil
}

func (p *pieces) enqueue(next piece) error {
	select {
	case p.queue <- next:
		return nil
	case <-p.ctx.Done():
		return context.Cause(p.ctx)
	}
}

func pieceKey(c Compressor, member digest.Digest, i int) digest.Digest {
	return sha256.Sum256(fmt.Appendf(nil, "ingot tar piece 1\n%s\n%d\n%s %d\n", c.Name(), c.Piece(), member, i))
}

// A cutter cuts what is written to it into pieces, and drops the first of them
// that the row has already.
type cutter struct {
	row  *pieces
	key  digest.Digest
	skip int
	left int64 // bytes to come
	n    int
	next []byte
}

func (c *cutter) Write(b []byte) (int, error) {
	size := c.row.o.Compress.Piece()
	for rest := b; len(rest) > 0; {
		if c.next == nil {
			c.next = make([]byte, 0, min(int64(size), c.left))
		}
		n := min(len(rest), size-len(c.next))
		c.next = append(c.next, rest[:n]...)
		c.left -= int64(n)
		rest = rest[n:]
		if len(c.next) == size {
			if err := c.flush(); err != nil {
				return 0, err
			}
		}
	}
	return len(b), nil
}

func (c *cutter) flush() error {
	piece, i := c.next, c.n
	if len(piece) == 0 {
		return nil
	}
	c.n++
	if i < c.skip {
		c.next = piece[:0]
		return nil
	}
	c.next = nil
	return c.row.put(pieceKey(c.row.o.Compress, c.key, i), piece)
}

// counted tells what is written, also what the kernel copies.
func counted(w io.Writer, wrote func(int64)) io.Writer {
	c := countedWriter{w, wrote}
	if f, ok := w.(tree.FileCopier); ok {
		return countedCopier{c, f}
	}
	return c
}

type countedWriter struct {
	io.Writer
	wrote func(int64)
}

type countedCopier struct {
	countedWriter
	copier tree.FileCopier
}

func (c countedCopier) CopyFile(from *os.File, offset, size int64) (int64, error) {
	n, err := c.copier.CopyFile(from, offset, size)
	c.wrote(n)
	return n, err
}

func (c countedWriter) Write(b []byte) (int, error) {
	n, err := c.Writer.Write(b)
	c.wrote(int64(n))
	return n, err
}
