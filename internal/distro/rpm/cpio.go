package rpm

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
)

// A cpioReader reads a payload: a cpio archive of the "new ASCII" form, where
// every file has a header with name and size, or, in packages with files of 4 GiB
// and more, of rpm's stripped form, where it has the file's number in the
// package's header and no size.
type cpioReader struct {
	r    *bufio.Reader
	n    int64 // bytes read
	left int64 // of the file at hand
}

// A cpioFile is what a payload says of a file.
type cpioFile struct {
	name  string // without the leading "." or "/"
	size  int64
	index int // in the package's header, or -1
}

const (
	newcSize     = 110 // magic and 13 numbers of 8 digits
	maxCpioName  = 4097
	maxTrailing  = 1 << 20
	cpioTrailer  = "TRAILER!!!"
	magicNewc    = "070701"
	magicNewcSum = "070702"
	magicStrip   = "07070X"
)

func (c *cpioReader) fill(b []byte) error {
	n, err := io.ReadFull(c.r, b)
	c.n += int64(n)
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return fmt.Errorf("%w: its payload ends early", errPackage)
	}
	return err
}

// Read gives the bytes of the file at hand.
func (c *cpioReader) Read(b []byte) (int, error) {
	if c.left == 0 {
		return 0, io.EOF
	}
	n, err := c.r.Read(b[:min(int64(len(b)), c.left)])
	c.n += int64(n)
	c.left -= int64(n)
	if errors.Is(err, io.EOF) && c.left > 0 {
		return n, fmt.Errorf("%w: its payload ends early", errPackage)
	}
	return n, err
}

// pad skips to the next multiple of four.
func (c *cpioReader) pad() error {
	return c.fill(make([]byte, -c.n&3))
}

// next reads the header of the next file, of which all bytes have been read; at
// the end of the archive it is io.EOF.
func (c *cpioReader) next() (cpioFile, error) {
	if c.left > 0 {
		return cpioFile{}, fmt.Errorf("%w: %d bytes of a file were not read", errPackage, c.left)
	}
	if err := c.pad(); err != nil {
		return cpioFile{}, err
	}
	h := make([]byte, newcSize)
	if err := c.fill(h[:14]); err != nil {
		return cpioFile{}, err
	}
	switch magic := string(h[:6]); magic {
	case magicStrip:
		index, err := hex(h[6:14])
		if err != nil {
			return cpioFile{}, err
		}
		return cpioFile{index: int(index)}, c.pad()
	case magicNewc, magicNewcSum:
	default:
		return cpioFile{}, fmt.Errorf("%w: its payload has %q where a file should begin", errPackage, magic)
	}
	if err := c.fill(h[14:]); err != nil {
		return cpioFile{}, err
	}
	size, err := hex(h[54:62])
	if err != nil {
		return cpioFile{}, err
	}
	length, err := hex(h[94:102])
	if err != nil {
		return cpioFile{}, err
	}
	if length == 0 || length > maxCpioName {
		return cpioFile{}, fmt.Errorf("%w: its payload has a name of %d bytes", errPackage, length)
	}
	name := make([]byte, length)
	if err := c.fill(name); err != nil {
		return cpioFile{}, err
	}
	if err := c.pad(); err != nil {
		return cpioFile{}, err
	}
	text, ok := bytes.CutSuffix(name, []byte{0})
	if !ok || bytes.IndexByte(text, 0) >= 0 {
		return cpioFile{}, fmt.Errorf("%w: its payload has a name that no NUL ends", errPackage)
	}
	if string(text) == cpioTrailer {
		return cpioFile{}, c.finish()
	}
	path := strings.TrimPrefix(strings.TrimPrefix(string(text), "."), "/")
	return cpioFile{name: path, size: int64(size), index: -1}, nil
}

// finish reads to the end, so that a decompressor below sees its checksum, and
// allows no more than padding.
func (c *cpioReader) finish() error {
	buf := make([]byte, 4096)
	for left := maxTrailing; left > 0; {
		n, err := c.r.Read(buf)
		if len(bytes.Trim(buf[:n], "\x00")) > 0 {
			break
		}
		if err != nil {
			return err // io.EOF is what next says at the end
		}
		left -= n
	}
	return fmt.Errorf("%w: bytes follow the end of its payload", errPackage)
}

func hex(b []byte) (uint32, error) {
	n, err := strconv.ParseUint(string(b), 16, 32)
	if err != nil {
		return 0, fmt.Errorf("%w: its payload has %q for a number", errPackage, b)
	}
	return uint32(n), nil
}
