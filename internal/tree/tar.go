package tree

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"ingot/internal/digest"
	"ingot/internal/sparse"
)

// TarOptions say how a tree is written as a tar archive.
type TarOptions struct {
	Order Order
	// Nanoseconds keeps the fractions of times, in pax records. Without it times
	// are whole seconds, rounded down, as in mmdebstrap's archives.
	Nanoseconds bool
}

// TarEnd is the end mark of a tar archive: two blocks of zeros.
var TarEnd = string(make([]byte, 1024))

// WriteTar writes a tree as a canonical tar archive: the members of [Members] and
// the end mark. The same tree always gives the same bytes.
//
// The form is ustar, with pax records only where a value has no room: long
// names, great numbers, attributes (as SCHILY.xattr). Names begin with "./",
// directories end with "/", owners are numbers.
//
// When w is an *os.File or a [FileCopier], big contents go from the pack to it
// inside the kernel.
func WriteTar(ctx context.Context, w io.Writer, t Tree, r *Reader, o TarOptions) error {
	out := newTarOutput(w)
	for _, m := range Members(t, o) {
		if err := m.write(ctx, out, r); err != nil {
			return err
		}
	}
	out.buf = append(out.buf, TarEnd...)
	return out.flush()
}

// Write writes the member's part of the archive.
func (m Member) Write(ctx context.Context, w io.Writer, r *Reader) error {
	out := newTarOutput(w)
	if err := m.write(ctx, out, r); err != nil {
		return err
	}
	return out.flush()
}

func (m Member) write(ctx context.Context, out *tarOutput, r *Reader) error {
	for i := range m.entries {
		e := &m.entries[i]
		if err := ctx.Err(); err != nil {
			return err
		}
		var err error
		if out.buf, err = appendTarHeader(out.buf, e, m.nanoseconds); err != nil {
			return err
		}
		if e.Kind == File && e.Content.Size > 0 {
			if err := out.content(e.Content, r); err != nil {
				return fmt.Errorf("cannot write %q to the archive: %w", "/"+e.Path, err)
			}
			out.buf = append(out.buf, zeros[:padding(e.Content.Size)]...)
		}
		if len(out.buf) >= tarBuffer-tarSmall {
			if err := out.flush(); err != nil {
				return err
			}
		}
	}
	return nil
}

// Size is how many bytes of an archive the member is.
func (m Member) Size() (int64, error) {
	var n int64
	var b []byte
	for i := range m.entries {
		e := &m.entries[i]
		var err error
		if b, err = appendTarHeader(b[:0], e, m.nanoseconds); err != nil {
			return 0, err
		}
		n += int64(len(b)) + e.Content.Size + padding(e.Content.Size)
	}
	return n, nil
}

// Key names the member's bytes without making them: it is a digest of its
// headers with each content's digest in place of the content.
func (m Member) Key() (digest.Digest, error) {
	h := sha256.New()
	var b []byte
	for i := range m.entries {
		e := &m.entries[i]
		var err error
		if b, err = appendTarHeader(b[:0], e, m.nanoseconds); err != nil {
			return digest.Digest{}, err
		}
		h.Write(b)
		if e.Kind == File {
			h.Write(e.Content.Digest[:])
		}
	}
	return digest.From(h), nil
}

func padding(size int64) int64 { return -size & 511 }

var zeros [512]byte

// The sizes of writing: contents up to tarSmall are gathered in a buffer.
const (
	tarBuffer = 1 << 20
	tarSmall  = 128 << 10
)

// tarOutput gathers what is small and passes on what is big.
type tarOutput struct {
	w      io.Writer
	copier FileCopier // w when the kernel can copy into it
	buf    []byte
}

// A FileCopier is a writer that can take bytes of a file without bringing them
// through memory: see [CopyFile].
type FileCopier interface {
	CopyFile(from *os.File, offset, size int64) (int64, error)
}

type fileWriter struct{ *os.File }

func (f fileWriter) CopyFile(from *os.File, offset, size int64) (int64, error) {
	return CopyFile(f.File, from, offset, size)
}

func newTarOutput(w io.Writer) *tarOutput {
	o := &tarOutput{w: w, buf: make([]byte, 0, tarBuffer+tarSmall)}
	if f, ok := w.(*os.File); ok {
		w = fileWriter{f}
	}
	o.copier, _ = w.(FileCopier)
	return o
}

func (o *tarOutput) flush() error {
	_, err := o.w.Write(o.buf)
	o.buf = o.buf[:0]
	return err
}

func (o *tarOutput) content(c Content, r *Reader) error {
	from, err := r.Content(c)
	if err != nil {
		return err
	}
	if c.Size <= tarSmall {
		n := len(o.buf)
		o.buf = slices.Grow(o.buf, int(c.Size))[:n+int(c.Size)]
		_, err := io.ReadFull(from, o.buf[n:])
		return err
	}
	if err := o.flush(); err != nil {
		return err
	}
	if o.copier != nil {
		pack, err := r.Pack(c.Pack)
		if err != nil {
			return err
		}
		done, err := o.copier.CopyFile(pack, c.Offset, c.Size)
		if err != nil {
			return err
		}
		from = io.NewSectionReader(pack, c.Offset+done, c.Size-done)
	}
	for {
		b := o.buf[:tarBuffer]
		n, err := from.Read(b)
		if n > 0 {
			if _, err := o.w.Write(b[:n]); err != nil {
				return err
			}
		}
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
	}
	if at, _ := from.Seek(0, io.SeekCurrent); at < from.Size() {
		return io.ErrUnexpectedEOF
	}
	return nil
}

// CopyFile copies as much of a part of a file to the end of another as the kernel
// is willing to move by itself, and says how much that was; the rest is for the
// caller. Holes stay holes. Only a failure to write or read is an error.
func CopyFile(to, from *os.File, offset, size int64) (int64, error) {
	var done int64
	for done < size {
		at := offset + done
		start, stop, err := sparse.Next(from, at, offset+size)
		if err != nil {
			return done, err
		}
		if start > at {
			if !extend(to, start-at) {
				return done, nil
			}
			done += start - at
			continue
		}
		n, err := unix.CopyFileRange(int(from.Fd()), &at, int(to.Fd()), nil, int(min(stop-at, 1<<30)), 0)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EDQUOT) || errors.Is(err, unix.EIO) || errors.Is(err, unix.EFBIG) {
			return done, os.NewSyscallError("copy_file_range", err)
		}
		if err != nil || n == 0 {
			return done, nil //nolint:nilerr // another file system, a pipe, an old kernel: bytes go by hand
		}
		done += int64(n)
	}
	return done, nil
}

// extend makes a file longer by a hole, where the file is one that can have holes.
func extend(f *os.File, n int64) bool {
	at, err := f.Seek(0, io.SeekCurrent)
	if err != nil || f.Truncate(at+n) != nil {
		return false
	}
	_, err = f.Seek(at+n, io.SeekStart)
	return err == nil
}

// The fields of a ustar header (POSIX.1-2017, pax, "ustar Interchange Format").
const (
	tarName, tarNameLen = 0, 100
	tarMode             = 100
	tarUID              = 108
	tarGID              = 116
	tarSize             = 124
	tarMtime            = 136
	tarChecksum         = 148
	tarType             = 156
	tarLink, tarLinkLen = 157, 100
	tarMagic            = 257
	tarMajor            = 329
	tarMinor            = 337
	tarPrefix           = 345
	tarPrefixLen        = 155
)

var tarTypes = [...]byte{File: '0', Hardlink: '1', Symlink: '2', Char: '3', Block: '4', Dir: '5', Fifo: '6'}

// appendTarHeader encodes an entry's header, with its pax header before it where
// one is needed.
func appendTarHeader(b []byte, e *Entry, nanoseconds bool) ([]byte, error) {
	name := "./" + e.Path
	if e.Kind == Dir && e.Path != "" {
		name += "/"
	}
	link := e.Link
	if e.Kind == Hardlink {
		link = "./" + link
	}
	prefix, rest, fits := splitName(name)
	needs := !fits || len(link) > tarLinkLen || len(e.Xattrs) > 0 || e.UID > 0o7777777 || e.GID > 0o7777777 ||
		e.Content.Size > 0o77777777777 || e.Mtime.Sec < 0 || e.Mtime.Sec > 0o77777777777 || nanoseconds && e.Mtime.Nsec != 0
	if needs {
		records, err := paxRecords(e, name, link, fits, nanoseconds)
		if err != nil {
			return b, err
		}
		b = appendUstar(b, "", paxName(name), 'x', "", &Entry{Mode: 0o644, Content: Content{Size: int64(len(records))}})
		b = append(b, records...)
		b = append(b, zeros[:padding(int64(len(records)))]...)
		// What has no room is cut here and whole in the record.
		if !fits {
			prefix, rest = "", name[:tarNameLen]
		}
		link = link[:min(len(link), tarLinkLen)]
	}
	return appendUstar(b, prefix, rest, tarTypes[e.Kind], link, e), nil
}

// paxRecords are the values that have no room in a ustar header, in the order of
// their keys' bytes.
func paxRecords(e *Entry, name, link string, nameFits, nanoseconds bool) ([]byte, error) {
	type record struct{ key, value string }
	var records []record
	add := func(key, value string) { records = append(records, record{key, value}) }
	for _, x := range e.Xattrs {
		if x.Name == "" || strings.ContainsAny(x.Name, "=\x00") {
			return nil, fmt.Errorf("cannot write the attribute %q of %q to a tar archive", x.Name, "/"+e.Path)
		}
		add(xattrPrefix+x.Name, x.Value)
	}
	if e.GID > 0o7777777 {
		add("gid", strconv.FormatUint(uint64(e.GID), 10))
	}
	if len(link) > tarLinkLen {
		add("linkpath", link)
	}
	if m := paxTime(e.Mtime, nanoseconds); m != "" {
		add("mtime", m)
	}
	if !nameFits {
		add("path", name)
	}
	if e.Content.Size > 0o77777777777 {
		add("size", strconv.FormatInt(e.Content.Size, 10))
	}
	if e.UID > 0o7777777 {
		add("uid", strconv.FormatUint(uint64(e.UID), 10))
	}
	slices.SortFunc(records, func(a, b record) int { return strings.Compare(a.key, b.key) })
	var b []byte
	for _, r := range records {
		b = appendPaxRecord(b, r.key, r.value)
	}
	return b, nil
}

// paxTime writes a time that ustar cannot hold, or nothing.
func paxTime(t Time, nanoseconds bool) string {
	if !nanoseconds {
		t.Nsec = 0
	}
	if t.Nsec == 0 && t.Sec >= 0 && t.Sec <= 0o77777777777 {
		return ""
	}
	if t.Nsec == 0 {
		return strconv.FormatInt(t.Sec, 10)
	}
	sign, sec, nsec := "", t.Sec, int64(t.Nsec)
	if sec < 0 { // -1 s and 0.25 s is -0.75 s
		sign, sec, nsec = "-", -sec-1, 1e9-nsec
	}
	return strings.TrimRight(fmt.Sprintf("%s%d.%09d", sign, sec, nsec), "0")
}

// appendPaxRecord writes "LENGTH KEY=VALUE\n", where the length counts itself.
func appendPaxRecord(b []byte, key, value string) []byte {
	n := len(key) + len(value) + 3
	size := n + len(strconv.Itoa(n))
	size = n + len(strconv.Itoa(size))
	b = strconv.AppendInt(b, int64(size), 10)
	b = append(b, ' ')
	b = append(b, key...)
	b = append(b, '=')
	b = append(b, value...)
	return append(b, '\n')
}

// paxName is the name of a pax header, for readers that do not know one.
func paxName(name string) string {
	base := strings.TrimSuffix(name, "/")
	base = base[strings.LastIndexByte(base, '/')+1:]
	return "./PaxHeaders/" + base[:min(len(base), 80)]
}

// splitName cuts a name at a slash so that both parts have room, with as much as
// fits in the second one.
func splitName(name string) (prefix, rest string, ok bool) {
	if len(name) <= tarNameLen {
		return "", name, true
	}
	// The slash between the parts is in neither, and the rest is not empty.
	from := max(len(name)-tarNameLen-1, 1)
	i := strings.IndexByte(name[from:], '/')
	if i < 0 || from+i > tarPrefixLen || from+i == len(name)-1 {
		return "", "", false
	}
	return name[:from+i], name[from+i+1:], true
}

// appendUstar writes one header block. Numbers without room are zero: their pax
// record says them.
func appendUstar(b []byte, prefix, name string, kind byte, link string, e *Entry) []byte {
	start := len(b)
	b = append(b, zeros[:]...)
	h := b[start:]
	copy(h[tarName:], name)
	copy(h[tarLink:], link)
	copy(h[tarPrefix:], prefix)
	octal(h[tarMode:tarMode+8], uint64(e.Mode))
	octal(h[tarUID:tarUID+8], uint64(e.UID))
	octal(h[tarGID:tarGID+8], uint64(e.GID))
	octal(h[tarSize:tarSize+12], uint64(e.Content.Size))
	octal(h[tarMtime:tarMtime+12], uint64(max(e.Mtime.Sec, 0)))
	h[tarType] = kind
	copy(h[tarMagic:], "ustar\x0000")
	octal(h[tarMajor:tarMajor+8], uint64(e.Major))
	octal(h[tarMinor:tarMinor+8], uint64(e.Minor))
	copy(h[tarChecksum:], "        ")
	var sum uint64
	for _, c := range h {
		sum += uint64(c)
	}
	octal(h[tarChecksum:tarChecksum+7], sum)
	return b
}

// octal fills a field with digits and a closing NUL; a number without room is
// written as zero.
func octal(field []byte, n uint64) {
	last := len(field) - 1
	field[last] = 0
	if n>>(3*last) != 0 {
		n = 0
	}
	for i := last - 1; i >= 0; i-- {
		field[i] = '0' + byte(n&7)
		n >>= 3
	}
}
