package tree

import (
	"archive/tar"
	"bytes"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strings"

	"ingot/internal/digest"
)

// ErrRefused is in the chain of every error that [ReadTar] returns because of
// what an archive says, as opposed to a failing disk, network or sink.
var ErrRefused = errors.New("archive refused")

// Limits says how much of a foreign archive [ReadTar] believes. A zero number
// means the default.
type Limits struct {
	Entries  int   // most entries; default 1<<20
	FileSize int64 // most bytes of one file; default 64 GiB
	Total    int64 // most bytes of all files; default 256 GiB
	Meta     int64 // most bytes of all names, link targets and attributes; default 256 MiB
	Xattrs   int   // most bytes of one entry's attributes; default 64 KiB, ext4's bound for a block and the kernel's for a value

	// Devices allows character and block devices and fifos.
	Devices bool
	// Parents adds directories that the archive leaves out, root-owned, 0755,
	// with the time of the first entry below them. Without it the result may
	// lack parents, which [New] refuses.
	Parents bool
	// IDs, when set, maps the owner names and numbers of an entry to the image's
	// numbers, as dpkg does: a name that the image knows wins over the number.
	IDs func(user string, uid uint32, group string, gid uint32) (uint32, uint32)
}

func (l Limits) withDefaults() Limits {
	setDefault(&l.Entries, 1<<20)
	setDefault(&l.FileSize, 64<<30)
	setDefault(&l.Total, 256<<30)
	setDefault(&l.Meta, 256<<20)
	setDefault(&l.Xattrs, 64<<10)
	return l
}

func setDefault[T int | int64](v *T, d T) {
	if *v == 0 {
		*v = d
	}
}

// A Sink takes the bytes of one regular, non-empty file out of an archive: it
// reads r to its end and says where the bytes lie now. The entry is complete but
// for its Content, whose Size alone is set.
type Sink func(e Entry, r io.Reader) (Content, error)

// ReadTar reads a tar archive, GNU or pax, into entries, in the archive's order.
// Nothing touches a file system: contents go to the sink. Names lose a leading
// "./" and a trailing slash. Hard links are made canonical: the path that sorts
// first is the file, all others are links to it with its metadata.
//
// An archive is foreign bytes. Refused, with [ErrRefused], are: absolute names,
// "..", "." or empty parts and NUL bytes in names; a path twice (a directory may
// be repeated, the last one counts); anything below what is not a directory, so
// that no symbolic link can be a parent; hard links to what the archive does not
// hold before them; devices unless allowed; sparse files, whose size says
// nothing about the archive's; ACLs in text form; more than the limits; an
// archive without its end, or with anything but zeros after it.
func ReadTar(r io.Reader, limits Limits, sink Sink) ([]Entry, error) {
	in := &counter{r: r}
	tr := &tarReader{
		limits: limits.withDefaults(),
		sink:   sink,
		at:     map[string]int{},
		links:  map[int][]int{},
	}
	if err := tr.run(in); err != nil {
		return nil, err
	}
	if err := drainZeros(in); err != nil {
		return nil, err
	}
	tr.canonicalLinks()
	return tr.entries, nil
}

const implied = -1 // in tarReader.at: a directory that only its children name

type tarReader struct {
	limits  Limits
	sink    Sink
	entries []Entry
	at      map[string]int // where in entries a path is, or implied
	links   map[int][]int  // hard links by the entry that they lead to
	meta    int64
	total   int64
}

func refuse(format string, args ...any) error {
	return fmt.Errorf("%w: %w", ErrRefused, fmt.Errorf(format, args...))
}

func (t *tarReader) run(in *counter) error {
	tr := tar.NewReader(in)
	for {
		// The reader skips the padding of the file before, then reads a header.
		start := in.n + (-in.n & 511)
		h, err := tr.Next()
		if errors.Is(err, io.EOF) {
			if in.n < start+512 {
				return refuse("it ends without an end mark after %d entries", len(t.entries))
			}
			return nil
		}
		if err != nil {
			return readError(in, err, len(t.entries))
		}
		if h.Typeflag == tar.TypeXGlobalHeader {
			if err := checkGlobal(h); err != nil {
				return err
			}
			continue
		}
		body := &counter{r: tr}
		err = t.entry(h, body)
		if err == nil {
			_, err = io.Copy(io.Discard, body)
		}
		if body.err != nil {
			return readError(in, fmt.Errorf("%q: %w", h.Name, body.err), len(t.entries))
		}
		if err != nil {
			return err
		}
	}
}

// readError tells a broken archive from a reader that failed.
func readError(in *counter, err error, n int) error {
	if in.err != nil {
		return fmt.Errorf("cannot read the archive after %d entries: %w", n, in.err)
	}
	return refuse("after %d entries: %w", n, err)
}

// checkGlobal lets pass what git archive writes: a comment. Any other global
// record would change later entries.
func checkGlobal(h *tar.Header) error {
	for k := range h.PAXRecords {
		if k != "comment" {
			return refuse("global header sets %q", k)
		}
	}
	return nil
}

func (t *tarReader) entry(h *tar.Header, r io.Reader) error {
	if len(t.entries) >= t.limits.Entries {
		return refuse("more than %d entries", t.limits.Entries)
	}
	path, err := cleanName(h.Name)
	if err != nil {
		return err
	}
	t.meta += int64(len(path) + len(h.Linkname))
	e := Entry{Path: path, Mode: uint32(h.Mode) & 0o7777}
	if e.UID, err = id(h.Uid); err != nil {
		return refuse("%q: owner %w", h.Name, err)
	}
	if e.GID, err = id(h.Gid); err != nil {
		return refuse("%q: group %w", h.Name, err)
	}
	if t.limits.IDs != nil {
		e.UID, e.GID = t.limits.IDs(h.Uname, e.UID, h.Gname, e.GID)
	}
	e.Mtime = At(h.ModTime.Unix(), int32(h.ModTime.Nanosecond()))
	if e.Xattrs, err = t.xattrs(h); err != nil {
		return err
	}
	if t.meta > t.limits.Meta {
		return refuse("names and attributes of more than %d bytes", t.limits.Meta)
	}
	if err := t.kind(&e, h); err != nil {
		return err
	}
	if e.Path == "" && e.Kind != Dir {
		return refuse("its root is a %s", e.Kind)
	}
	if err := t.place(e); err != nil {
		return err
	}
	if e.Kind == File {
		return t.content(h, r)
	}
	return nil
}

// cleanName turns an archive's name into a tree's path. A leading slash stays,
// for CheckPath to refuse.
func cleanName(name string) (string, error) {
	path := name
	for strings.HasPrefix(path, "./") {
		path = path[2:]
	}
	path = strings.TrimSuffix(path, "/")
	if path == "." {
		path = ""
	}
	if path == "" && !slices.Contains([]string{".", "./"}, name) {
		return "", refuse("name %q is not relative", name)
	}
	if err := CheckPath(path); err != nil {
		return "", refuse("%w", err)
	}
	return path, nil
}

// id checks an owner's number. The greatest one means "nobody in particular" to
// chown and is no owner.
func id(n int) (uint32, error) {
	if n < 0 || n >= math.MaxUint32 {
		return 0, fmt.Errorf("number %d is out of range", n)
	}
	return uint32(n), nil
}

const xattrPrefix = "SCHILY.xattr."

func (t *tarReader) xattrs(h *tar.Header) ([]Xattr, error) {
	var out []Xattr
	size := 0
	for k, v := range h.PAXRecords {
		switch {
		case strings.HasPrefix(k, "GNU.sparse."):
			return nil, refuse("%q is a sparse file", h.Name)
		case strings.HasPrefix(k, "SCHILY.acl."):
			return nil, refuse("%q has an ACL in text form (%s)", h.Name, k)
		case strings.HasPrefix(k, xattrPrefix):
			name := k[len(xattrPrefix):]
			if name == "" || len(name) > 255 {
				return nil, refuse("%q has an attribute with a name of %d bytes", h.Name, len(name))
			}
			size += len(name) + len(v)
			out = append(out, Xattr{Name: name, Value: v})
		}
	}
	if size > t.limits.Xattrs {
		return nil, refuse("%q has attributes of %d bytes, more than %d", h.Name, size, t.limits.Xattrs)
	}
	t.meta += int64(size)
	slices.SortFunc(out, func(a, b Xattr) int { return strings.Compare(a.Name, b.Name) })
	return out, nil
}

func (t *tarReader) kind(e *Entry, h *tar.Header) error {
	switch h.Typeflag {
	case tar.TypeReg, tar.TypeCont:
		if strings.HasSuffix(h.Name, "/") {
			return refuse("file %q has a directory's name", h.Name)
		}
		e.Kind = File
		if h.Size > t.limits.FileSize {
			return refuse("%q has %d bytes, more than %d", h.Name, h.Size, t.limits.FileSize)
		}
		if t.total += h.Size; t.total > t.limits.Total {
			return refuse("files of more than %d bytes, at %q", t.limits.Total, h.Name)
		}
		e.Content.Size = h.Size
	case tar.TypeDir:
		e.Kind = Dir
	case tar.TypeSymlink:
		e.Kind, e.Mode, e.Link = Symlink, 0o777, h.Linkname
		if h.Linkname == "" || len(h.Linkname) > 4095 || strings.IndexByte(h.Linkname, 0) >= 0 {
			return refuse("symbolic link %q has a target of %d bytes that no system can hold", h.Name, len(h.Linkname))
		}
	case tar.TypeLink:
		return t.hardlink(e, h)
	case tar.TypeChar, tar.TypeBlock, tar.TypeFifo:
		if !t.limits.Devices {
			return refuse("%q is a device or fifo", h.Name)
		}
		return device(e, h)
	case tar.TypeGNUSparse:
		return refuse("%q is a sparse file", h.Name)
	default:
		return refuse("%q has the unknown type %q", h.Name, h.Typeflag)
	}
	return nil
}

func device(e *Entry, h *tar.Header) error {
	if h.Typeflag == tar.TypeFifo {
		e.Kind = Fifo
		return nil
	}
	// The kernel's device numbers have 12 and 20 bits.
	if h.Devmajor < 0 || h.Devmajor >= 1<<12 || h.Devminor < 0 || h.Devminor >= 1<<20 {
		return refuse("device %q has the numbers %d, %d", h.Name, h.Devmajor, h.Devminor)
	}
	e.Kind, e.Major, e.Minor = Char, uint32(h.Devmajor), uint32(h.Devminor)
	if h.Typeflag == tar.TypeBlock {
		e.Kind = Block
	}
	return nil
}

func (t *tarReader) hardlink(e *Entry, h *tar.Header) error {
	target, err := cleanName(h.Linkname)
	if err != nil {
		return fmt.Errorf("hard link %q: %w", h.Name, err)
	}
	if h.Size != 0 {
		// Some readers skip such bytes and some take them for headers.
		return refuse("hard link %q brings bytes of its own", h.Name)
	}
	i, ok := t.at[target]
	if !ok || i == implied || t.entries[i].Kind == Dir {
		return refuse("hard link %q leads to %q, which is no file before it", h.Name, h.Linkname)
	}
	if t.entries[i].Kind == Hardlink {
		i = t.at[t.entries[i].Link]
	}
	e.Kind, e.Link = Hardlink, t.entries[i].Path
	return nil
}

// place puts an entry at its path, after a look at what is there and above it.
func (t *tarReader) place(e Entry) error {
	for p := e.Path; p != ""; {
		p = Parent(p)
		i, ok := t.at[p]
		if ok && i != implied && t.entries[i].Kind != Dir {
			return refuse("%q lies below %q, which is a %s", e.Path, p, t.entries[i].Kind)
		}
		if ok {
			break // and so everything above is a directory as well
		}
		if t.limits.Parents {
			if len(t.entries) >= t.limits.Entries {
				return refuse("more than %d entries", t.limits.Entries)
			}
			t.at[p] = len(t.entries)
			t.entries = append(t.entries, Entry{Path: p, Kind: Dir, Mode: 0o755, Mtime: e.Mtime})
		} else {
			t.at[p] = implied
		}
		if t.meta += int64(len(p)); t.meta > t.limits.Meta {
			return refuse("names and attributes of more than %d bytes", t.limits.Meta)
		}
	}
	i, ok := t.at[e.Path]
	switch {
	case ok && e.Kind != Dir && (i == implied || t.entries[i].Kind == Dir):
		return refuse("%q is a directory and a %s", e.Path, e.Kind)
	case ok && i != implied && t.entries[i].Kind != Dir:
		return refuse("%q is there twice", e.Path)
	case ok && i != implied:
		t.entries[i] = e
		return nil
	}
	t.at[e.Path] = len(t.entries)
	if e.Kind == Hardlink {
		first := t.at[e.Link]
		t.links[first] = append(t.links[first], len(t.entries))
	}
	t.entries = append(t.entries, e)
	return nil
}

func (t *tarReader) content(h *tar.Header, r io.Reader) error {
	e := &t.entries[len(t.entries)-1]
	if h.Size == 0 {
		e.Content = Content{Digest: digest.Of(nil)}
		return nil
	}
	c, err := t.sink(*e, r)
	if err != nil {
		return fmt.Errorf("cannot take %q out of the archive: %w", e.Path, err)
	}
	if c.Size != h.Size {
		return fmt.Errorf("took %d of %d bytes of %q", c.Size, h.Size, e.Path)
	}
	e.Content = c
	return nil
}

// canonicalLinks makes the first path, in sorting order, of every file with
// several names the file itself.
func (t *tarReader) canonicalLinks() {
	for file, links := range t.links {
		first := file
		for _, i := range links {
			if t.entries[i].Path < t.entries[first].Path {
				first = i
			}
		}
		whole := t.entries[file]
		for _, i := range append(links, file) {
			e := whole
			e.Path = t.entries[i].Path
			if i != first {
				e.Kind, e.Link, e.Content = Hardlink, t.entries[first].Path, Content{}
				e.Major, e.Minor = 0, 0
			}
			t.entries[i] = e
		}
	}
}

// drainZeros reads what follows the end mark: padding to a record, at most
// 16 MiB of it, so that a decompressor below sees its own end and checksum.
func drainZeros(r *counter) error {
	const most = 16 << 20
	buf := make([]byte, 32<<10)
	zero := make([]byte, len(buf))
	for left := most; left > 0; {
		n, err := r.Read(buf)
		if !bytes.Equal(buf[:n], zero[:n]) {
			return refuse("bytes follow the end of the archive")
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("cannot read the end of the archive: %w", err)
		}
		left -= n
	}
	return refuse("more than %d zeros follow the end of the archive", most)
}

// A counter counts the bytes read and keeps the error that stopped the reading.
type counter struct {
	r   io.Reader
	n   int64
	err error
}

func (c *counter) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n += int64(n)
	if err != nil && !errors.Is(err, io.EOF) {
		c.err = err
	}
	return n, err
}
