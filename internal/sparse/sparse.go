// Package sparse copies and hashes files without touching their holes. A program
// that makes a file of 50 GiB with truncate(2) has used no disk, and neither may
// keeping what it made: holes stay holes in every copy, and to a hash they are
// zeros out of memory.
//
// Facts: lseek(2), SEEK_DATA and SEEK_HOLE.
package sparse

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"

	"golang.org/x/sys/unix"

	"ingot/internal/digest"
)

const (
	chunk = 1 << 20  // bytes read at once
	small = 64 << 10 // below this nobody looks for holes
	large = 16 << 20 // from this on it is asked first whether there is room
)

var (
	zeros   [64 << 10]byte
	buffers = sync.Pool{New: func() any { return new([chunk]byte) }}
)

// Next finds the first run of data of a file at or behind an offset: the bytes
// before start are a hole, and stop is at most end. Where nothing but hole is left,
// both are end. On a file system without holes all is data. It moves the file's
// position.
func Next(f *os.File, at, end int64) (start, stop int64, err error) {
	fd := int(f.Fd())
	start, err = unix.Seek(fd, at, unix.SEEK_DATA)
	switch {
	case errors.Is(err, unix.ENXIO):
		return end, end, nil
	case errors.Is(err, unix.EINVAL), errors.Is(err, unix.EOPNOTSUPP), errors.Is(err, unix.ESPIPE):
		return at, end, nil
	case err != nil:
		return 0, 0, os.NewSyscallError("lseek", err)
	case start >= end:
		return end, end, nil
	}
	stop, err = unix.Seek(fd, start, unix.SEEK_HOLE)
	if err != nil {
		return 0, 0, os.NewSyscallError("lseek", err)
	}
	return start, min(stop, end), nil
}

// Copy copies a part of a file to an offset of another, behind which that has
// nothing yet. All bytes go to h as well, unless it is nil. What would not fit is
// not begun: then the error is ENOSPC.
func Copy(to *os.File, at int64, from *os.File, offset, size int64, h io.Writer) error {
	if err := checkRoom(to, from, offset, size); err != nil {
		return err
	}
	hole := false
	err := walk(from, offset, size, func(p, n int64, data []byte) error {
		hole = data == nil
		if data != nil {
			if _, err := to.WriteAt(data, at+p); err != nil {
				return err
			}
		}
		return feed(h, data, n)
	})
	if err == nil && hole {
		err = to.Truncate(at + size)
	}
	return err
}

// Hash gives all bytes of a part of a file to h.
func Hash(h io.Writer, f *os.File, offset, size int64) error {
	return walk(f, offset, size, func(_, n int64, data []byte) error { return feed(h, data, n) })
}

// Digest is the digest of a part of a file.
func Digest(f *os.File, offset, size int64) (digest.Digest, error) {
	h := sha256.New()
	err := Hash(h, f, offset, size)
	return digest.From(h), err
}

// walk visits a part of a file, piece by piece in order: n bytes at p from the
// part's begin, with no data where they are a hole.
func walk(f *os.File, offset, size int64, visit func(p, n int64, data []byte) error) error {
	buf := buffers.Get().(*[chunk]byte) //nolint:forcetypeassert // it holds nothing else
	defer buffers.Put(buf)
	for p := int64(0); p < size; {
		start, stop := p, size
		if size > small {
			from, to, err := Next(f, offset+p, offset+size)
			if err != nil {
				return err
			}
			start, stop = from-offset, to-offset
		}
		if start > p {
			if err := reaches(f, offset+start); err != nil {
				return err
			}
			if err := visit(p, start-p, nil); err != nil {
				return err
			}
		}
		for p = start; p < stop; {
			n, err := f.ReadAt(buf[:min(stop-p, chunk)], offset+p)
			if n == 0 {
				return ended(err)
			}
			if err := visit(p, int64(n), buf[:n]); err != nil {
				return err
			}
			p += int64(n)
		}
	}
	return nil
}

// reaches says whether a hole is one, and not what lies behind the file's end.
func reaches(f *os.File, end int64) error {
	info, err := f.Stat()
	if err == nil && info.Size() < end {
		err = io.ErrUnexpectedEOF
	}
	return err
}

func ended(err error) error {
	if err == nil || errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

// feed gives a hash data, or n zeros.
func feed(h io.Writer, data []byte, n int64) error {
	if h == nil {
		return nil
	}
	if data != nil {
		_, err := h.Write(data)
		return err
	}
	for n > 0 {
		m, err := h.Write(zeros[:min(n, int64(len(zeros)))])
		if err != nil {
			return err
		}
		n -= int64(m)
	}
	return nil
}

// checkRoom says beforehand whether a large part fits: a full disk is everybody's
// trouble.
func checkRoom(to, from *os.File, offset, size int64) error {
	if size < large {
		return nil
	}
	need, err := Data(from, offset, size)
	if err != nil {
		return err
	}
	return Fits(to, need)
}

// Data is how many bytes of a part of a file are no holes.
func Data(f *os.File, offset, size int64) (int64, error) {
	if size < small {
		return size, nil
	}
	var n int64
	for p := offset; p < offset+size; {
		start, stop, err := Next(f, p, offset+size)
		if err != nil {
			return 0, err
		}
		n += stop - start
		p = stop
	}
	return n, nil
}

// Fits says whether the disk of a file or directory has so many bytes free; if not,
// the error is ENOSPC.
func Fits(on *os.File, need int64) error {
	var st unix.Statfs_t
	if err := unix.Fstatfs(int(on.Fd()), &st); err != nil {
		return os.NewSyscallError("fstatfs", err)
	}
	if st.Blocks == 0 {
		return nil // it does not say
	}
	if free := int64(st.Bavail) * int64(st.Bsize); need > free {
		return fmt.Errorf("%d bytes are needed where %d are free: %w", need, free, unix.ENOSPC)
	}
	return nil
}
