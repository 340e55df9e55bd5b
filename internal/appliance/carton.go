package appliance

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"os"
	"time"

	"ingot/internal/digest"
	"ingot/internal/disk"
	"ingot/internal/sparse"
)

const (
	record = 512 // bytes of a tar header, and what files are filled up to
	// The end of an archive: two records of zeros, and as much as fills the blocks
	// that GNU's tar reads and writes.
	tarBlock = 20 * record
)

// A paper is a small file that stands in front of a disk.
type paper struct {
	name string
	data []byte
}

// contents are what papers say of the disk's file. Their length does not depend on
// it.
type contents struct {
	size int64 // bytes of the file
	sum  digest.Digest
}

// A carton is an archive with papers and one disk, being written.
type carton struct {
	disk.Image
	f      *os.File
	start  int64 // where the disk's file begins
	name   string
	epoch  int64
	papers func(contents) ([]paper, error)
}

// newCarton begins an archive in an empty file. What create makes is the disk.
func newCarton(f *os.File, c carton, create func(disk.File) (disk.Image, error)) (disk.Image, error) {
	c.f = f
	head, err := c.head(contents{})
	if err != nil {
		return nil, err
	}
	c.start = int64(len(head))
	if err := f.Truncate(c.start); err != nil {
		return nil, err
	}
	if c.Image, err = create(disk.Behind(f, c.start)); err != nil {
		return nil, err
	}
	return &c, nil
}

// head is all that stands in front of the disk's bytes.
func (c *carton) head(of contents) ([]byte, error) {
	papers, err := c.papers(of)
	if err != nil {
		return nil, err
	}
	var b []byte
	for _, p := range papers {
		if b, err = appendFile(b, p.name, p.data, c.epoch); err != nil {
			return nil, err
		}
	}
	h, err := header(c.name, of.size, c.epoch)
	return append(b, h...), err
}

// Finish writes what is left of the disk, then the papers.
func (c *carton) Finish(ctx context.Context) error {
	if err := c.Image.Finish(ctx); err != nil {
		return err
	}
	info, err := c.f.Stat()
	if err != nil {
		return err
	}
	of := contents{size: info.Size() - c.start}
	h := sha256.New()
	if err := sparse.Hash(h, c.f, c.start, of.size); err != nil {
		return err
	}
	of.sum = digest.From(h)
	head, err := c.head(of)
	if err != nil {
		return err
	}
	if int64(len(head)) != c.start {
		return fmt.Errorf("the papers of %s have %d bytes in place of %d", c.name, len(head), c.start)
	}
	if _, err := c.f.WriteAt(head, 0); err != nil {
		return err
	}
	return c.f.Truncate(tarEnd(info.Size()))
}

// tarEnd is how long an archive is whose last file ends at a byte.
func tarEnd(at int64) int64 { return roundUp(roundUp(at, record)+2*record, tarBlock) }

func roundUp(n, unit int64) int64 { return (n + unit - 1) / unit * unit }

// appendFile adds a file to an archive.
func appendFile(b []byte, name string, data []byte, epoch int64) ([]byte, error) {
	h, err := header(name, int64(len(data)), epoch)
	if err != nil {
		return nil, err
	}
	b = append(append(b, h...), data...)
	return append(b, make([]byte, roundUp(int64(len(b)), record)-int64(len(b)))...), nil
}

// header is the one record in front of a file: USTAR's (POSIX.1-1988), as DSP0243
// asks for, but for a file of 8 GiB or more, whose size it cannot tell and GNU's can.
func header(name string, size, epoch int64) ([]byte, error) {
	if size >= 1<<33 {
		return gnuHeader(name, size, epoch)
	}
	return oneRecord(name, size, epoch, tar.FormatUSTAR)
}

func gnuHeader(name string, size, epoch int64) ([]byte, error) {
	return oneRecord(name, size, epoch, tar.FormatGNU)
}

func oneRecord(name string, size, epoch int64, format tar.Format) ([]byte, error) {
	h := tar.Header{Name: name, Mode: 0o644, Size: size, ModTime: time.Unix(epoch, 0), Typeflag: tar.TypeReg, Format: format}
	var b bytes.Buffer
	if err := tar.NewWriter(&b).WriteHeader(&h); err != nil {
		return nil, fmt.Errorf("tar header of %s: %w", name, err)
	}
	if b.Len() != record {
		return nil, fmt.Errorf("tar header of %s has %d bytes", name, b.Len())
	}
	return b.Bytes(), nil
}
