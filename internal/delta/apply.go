package delta

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"io"

	"github.com/klauspost/compress/zstd"

	"ingot/internal/digest"
	"ingot/internal/fault"
)

// A Target takes the new file: in order, with holes where it has zeros.
type Target interface {
	io.WriterAt
	Truncate(size int64) error
}

// Apply writes the new file. The old one must be exactly the one that the change set was made
// from, and what is written is held against its digest: an error says that the target is
// worth nothing.
func Apply(ctx context.Context, set io.Reader, old io.ReaderAt, size int64, to Target) (Header, error) {
	whole := sha256.New()
	tail := &tailed{r: set, hash: whole}
	h, err := readHeader(tail)
	if err != nil {
		return h, err
	}
	if size != h.Old.Size {
		return h, wrongBase(h)
	}
	// The old file is hashed while it is read: nothing is published before.
	base := make(chan error, 1)
	go func() {
		got, _, err := digest.Reader(interruptible{ctx, io.NewSectionReader(old, 0, size)})
		if err == nil && got != h.Old.SHA256 {
			err = wrongBase(h)
		}
		base <- err
	}()
	err = apply(ctx, h, tail, old, to)
	if e := <-base; e != nil { // it explains what followed
		return h, e
	}
	return h, err
}

// interruptible reads as long as a context lasts.
type interruptible struct {
	ctx context.Context
	r   io.Reader
}

func (i interruptible) Read(b []byte) (int, error) {
	if err := i.ctx.Err(); err != nil {
		return 0, err
	}
	return i.r.Read(b)
}

func wrongBase(h Header) error {
	return fault.Newf(fault.Verification, "this is not the file that the change set was made from, which has %d bytes and digest %s", h.Old.Size, h.Old.SHA256).
		WithHint("take the whole new image instead, or the change set from this one")
}

func apply(ctx context.Context, h Header, in *tailed, old io.ReaderAt, to Target) error {
	z, err := zstd.NewReader(in, zstd.WithDecoderMaxMemory(64<<20), zstd.WithDecoderMaxWindow(64<<20), zstd.WithDecoderConcurrency(1))
	if err != nil {
		return err
	}
	defer z.Close()
	a := &applier{r: bufio.NewReaderSize(z, 1<<16), old: old, header: h, to: to, hash: sha256.New(), buffer: make([]byte, 1<<20)}
	for a.at < h.New.Size {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := a.step(ctx); err != nil {
			return err
		}
	}
	if _, err := a.r.ReadByte(); !errors.Is(err, io.EOF) {
		return bad("something follows its end")
	}
	if err := in.finish(); err != nil {
		return err
	}
	if got := digest.From(a.hash); got != h.New.SHA256 {
		return bad("it gives a file with digest %s and not %s", got, h.New.SHA256)
	}
	return to.Truncate(h.New.Size)
}

// An applier writes the new file operation by operation.
type applier struct {
	r      *bufio.Reader
	old    io.ReaderAt
	header Header
	to     Target
	hash   hash.Hash
	at     int64
	buffer []byte
}

func (a *applier) step(ctx context.Context) error {
	op, err := a.r.ReadByte()
	if err != nil {
		return short(err)
	}
	var from int64
	if op == opCopy || op == opAdd {
		if from, err = a.number(a.header.Old.Size); err != nil {
			return err
		}
	}
	length, err := a.number(a.header.New.Size - a.at)
	if err != nil {
		return err
	}
	if length == 0 || op > opZero || (op == opCopy || op == opAdd) && length > a.header.Old.Size-from {
		return bad("it has an operation that cannot be")
	}
	for length > 0 {
		if err := ctx.Err(); err != nil {
			return err
		}
		b := a.buffer[:min(length, int64(len(a.buffer)))]
		switch op {
		case opCopy:
			err = a.read(b, from)
		case opData:
			_, err = io.ReadFull(a.r, b)
			err = short(err)
		case opAdd:
			half := a.buffer[:min(len(b), len(a.buffer)/2)]
			b = half
			more := a.buffer[len(a.buffer)/2:][:len(b)]
			if err = a.read(b, from); err == nil {
				_, err = io.ReadFull(a.r, more)
				err = short(err)
			}
			for i := range b {
				b[i] += more[i]
			}
		case opZero:
			clear(b)
		}
		if err != nil {
			return err
		}
		a.hash.Write(b)
		if op != opZero {
			if _, err := a.to.WriteAt(b, a.at); err != nil {
				return fmt.Errorf("cannot write the new file: %w", err)
			}
		}
		n := int64(len(b))
		a.at, from, length = a.at+n, from+n, length-n
	}
	return nil
}

func (a *applier) read(b []byte, from int64) error {
	if _, err := a.old.ReadAt(b, from); err != nil && !errors.Is(err, io.EOF) {
		return fmt.Errorf("cannot read the old file: %w", err)
	}
	return nil
}

func (a *applier) number(most int64) (int64, error) {
	n, err := binary.ReadUvarint(a.r)
	if err != nil {
		return 0, short(err)
	}
	if n > uint64(most) {
		return 0, bad("it has an operation that cannot be")
	}
	return int64(n), nil
}

// short says what an end in the middle means; errors of the file itself stay.
func short(err error) error {
	if err == nil {
		return nil
	}
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return bad("%w", errShort)
	}
	if fault.CodeOf(err) != fault.Failed {
		return err
	}
	return bad("%w", err)
}

// tailed reads a change set up to its last 32 bytes, which are the digest of what stands
// before.
type tailed struct {
	r    io.Reader
	hash hash.Hash
	held []byte // read, and perhaps the digest
	end  bool
}

func (t *tailed) Read(b []byte) (int, error) {
	const tail = sha256.Size
	for !t.end && len(t.held) <= tail {
		more := make([]byte, max(len(b), 4096))
		n, err := t.r.Read(more)
		t.held = append(t.held, more[:n]...)
		if errors.Is(err, io.EOF) {
			t.end = true
		} else if err != nil {
			return 0, err
		}
	}
	n := copy(b, t.held[:max(0, len(t.held)-tail)])
	if n == 0 && len(b) > 0 {
		return 0, io.EOF
	}
	t.hash.Write(b[:n])
	t.held = t.held[n:]
	return n, nil
}

// finish holds the digest at the end.
func (t *tailed) finish() error {
	if _, err := io.Copy(io.Discard, t); err != nil {
		return short(err)
	}
	if len(t.held) != sha256.Size || string(t.held) != string(t.hash.Sum(nil)) {
		return bad("%w", errShort)
	}
	return nil
}
