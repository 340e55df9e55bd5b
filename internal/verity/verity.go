// Package verity makes what dm-verity checks a device by: a tree of hashes of its blocks,
// written without device-mapper and without any other program.
//
// Blocks have 4096 bytes. The lowest level holds the SHA-256 of each block of data behind
// a salt, 128 of them in a block, the next the hashes of these blocks, until one block is
// left: its hash is the root hash. Whoever knows the root hash, and has it from where
// nobody else can write, knows when any bit of the data differs. [Signature] gives the
// root hash an author.
//
//	superblock   4096 bytes: sizes, salt, an identity
//	top level    one block
//	…
//	lowest       one block for each 128 blocks of data
//
// Facts are from the kernel's documentation (Documentation/admin-guide/device-mapper/
// verity.rst), and the on-disk format in cryptsetup's wiki (DMVerity).
package verity

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"runtime"
	"slices"

	"golang.org/x/sync/errgroup"

	"ingot/internal/disk"
)

const (
	// BlockSize is that of data and of hashes, in bytes.
	BlockSize = 4096
	perBlock  = BlockSize / sha256.Size
	maxData   = 1 << 44
	maxSalt   = 256
	superAt   = 0
)

// Options say what the data does not.
type Options struct {
	// UUID names the tree.
	UUID [16]byte
	// Salt goes before each block: at most 256 bytes, and no secret.
	Salt []byte
}

// A Tree is the hashes of a device.
type Tree struct {
	o      Options
	blocks int64
	levels [][]byte // from the lowest to the top, whole blocks
	root   [sha256.Size]byte
}

// Size is how many bytes the tree of so many bytes of data takes, superblock and all.
func Size(data int64) int64 {
	size := int64(BlockSize)
	for n := data / BlockSize; n > 1; {
		n = (n + perBlock - 1) / perBlock
		size += n * BlockSize
	}
	return size
}

// New hashes data of a size, which is a multiple of [BlockSize] and at least two of it.
// Outside of the extents data is zero, and not read.
func New(ctx context.Context, data io.ReaderAt, size int64, extents []disk.Extent, o Options) (*Tree, error) {
	if size%BlockSize != 0 || size < 2*BlockSize || size > maxData {
		return nil, fmt.Errorf("verity: %d bytes of data are not whole blocks of %d, from 2 to %d", size, BlockSize, int64(maxData/BlockSize))
	}
	if len(o.Salt) > maxSalt {
		return nil, fmt.Errorf("verity: a salt of %d bytes is longer than %d", len(o.Salt), maxSalt)
	}
	t := &Tree{o: o, blocks: size / BlockSize}
	lowest := make([]byte, (t.blocks+perBlock-1)/perBlock*BlockSize)
	if err := t.hashData(ctx, data, disk.Round(extents, BlockSize), lowest); err != nil {
		return nil, err
	}
	t.levels = [][]byte{lowest}
	for level := lowest; ; level = t.levels[len(t.levels)-1] {
		n := len(level) / BlockSize
		if n == 1 {
			t.root = t.hash(level)
			return t, nil
		}
		above := make([]byte, (n+perBlock-1)/perBlock*BlockSize)
		for i := range n {
			sum := t.hash(level[i*BlockSize:][:BlockSize])
			copy(above[i*sha256.Size:], sum[:])
		}
		t.levels = append(t.levels, above)
	}
}

func (t *Tree) hash(block []byte) (out [sha256.Size]byte) {
	h := sha256.New()
	h.Write(t.o.Salt)
	h.Write(block)
	h.Sum(out[:0])
	return out
}

// chunk is how many bytes are read at once.
const chunk = 1 << 20

// hashData fills the lowest level, on all cores.
func (t *Tree) hashData(ctx context.Context, data io.ReaderAt, extents []disk.Extent, out []byte) error {
	zero := t.hash(make([]byte, BlockSize))
	for i := range t.blocks {
		copy(out[i*sha256.Size:], zero[:])
	}
	var chunks []disk.Extent
	for _, e := range extents {
		e.Len = min(e.Len, t.blocks*BlockSize-e.Off)
		for ; e.Len > 0; e.Off, e.Len = e.Off+chunk, e.Len-chunk {
			chunks = append(chunks, disk.Extent{Off: e.Off, Len: min(e.Len, chunk)})
		}
	}
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(runtime.GOMAXPROCS(0))
	for some := range slices.Chunk(chunks, 64) {
		group.Go(func() error {
			buf := make([]byte, chunk)
			for _, c := range some {
				if err := ctx.Err(); err != nil {
					return err
				}
				if n, err := data.ReadAt(buf[:c.Len], c.Off); int64(n) < c.Len {
					return fmt.Errorf("verity: cannot read %d bytes at %d: %w", c.Len, c.Off, errors.Join(err, io.ErrUnexpectedEOF))
				}
				for i := int64(0); i < c.Len; i += BlockSize {
					sum := t.hash(buf[i : i+BlockSize])
					copy(out[(c.Off+i)/BlockSize*sha256.Size:], sum[:])
				}
			}
			return nil
		})
	}
	return group.Wait()
}

// Root is the root hash.
func (t *Tree) Root() [sha256.Size]byte { return t.root }

// RootHash is the root hash as programs take it: in hexadecimal digits.
func (t *Tree) RootHash() string { return fmt.Sprintf("%x", t.root) }

// Size is the tree's size in bytes.
func (t *Tree) Size() int64 { return Size(t.blocks * BlockSize) }

// Extents are the ranges that WriteTo writes: all.
func (t *Tree) Extents() []disk.Extent { return []disk.Extent{{Off: superAt, Len: t.Size()}} }

// WriteTo writes the tree at the start of w.
func (t *Tree) WriteTo(ctx context.Context, w io.WriterAt) error {
	at := int64(superAt)
	for _, b := range append([][]byte{t.super()}, backwards(t.levels)...) {
		if err := ctx.Err(); err != nil {
			return err
		}
		if _, err := w.WriteAt(b, at); err != nil {
			return fmt.Errorf("verity: %w", err)
		}
		at += int64(len(b))
	}
	return nil
}

func backwards(list [][]byte) [][]byte {
	out := slices.Clone(list)
	slices.Reverse(out)
	return out
}

// super is the superblock, in a block of its own.
func (t *Tree) super() []byte {
	var b bytes.Buffer
	put := func(v any) { _ = binary.Write(&b, binary.LittleEndian, v) } // a buffer takes all
	text := func(s string, size int) { b.Write(append([]byte(s), make([]byte, size-len(s))...)) }
	text("verity", 8)
	put([]uint32{1, 1}) // version, and hashes with the salt in front
	b.Write(t.o.UUID[:])
	text("sha256", 32)
	put([]uint32{BlockSize, BlockSize})
	put(uint64(t.blocks))
	put(uint16(len(t.o.Salt)))
	text("", 6)
	text(string(t.o.Salt), maxSalt)
	text("", BlockSize-b.Len())
	return b.Bytes()
}
