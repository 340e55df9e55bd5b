package server

import (
	"compress/flate"
	"errors"
	"fmt"
	"io/fs"
	"mime"
	"net/http"
	"net/url"
	"os"
	"path"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/klauspost/compress/gzip"
	"golang.org/x/sys/unix"

	"ingot/internal/digest"
	"ingot/internal/page"
	"ingot/internal/token"
)

// A Handler answers requests for the files of a server tree. It holds no state but a few
// digests: what it says is what lies in the tree at that moment.
//
// It gives files and nothing else: no listings, no file whose name begins with a dot, nothing
// outside of the tree, whatever links lie there.
type Handler struct {
	// Secure says that clients come by TLS: a token that comes in plain is refused then.
	Secure bool
	// Page, when it is there, shows the tree to people, at its top.
	Page *page.Pages
	// Intake, when it is there, is the same directory, for publishers elsewhere; see [Remote].
	Intake *Dir
	// Through, when it is there, brings what the directory has not from another server.
	Through *Cache
	// Now is the clock by which publications are judged; nil means time.Now.
	Now func() time.Time

	root     *os.Root
	top      *os.File // the same, as the kernel takes it
	fd       int
	patience time.Duration // for each piece of an answer; a test is more impatient

	states sync.Mutex // held while a publisher's state is in memory

	mu   sync.Mutex
	tags map[tagKey]string

	offer  offer
	access access
}

// A tagKey names the bytes of a small file.
type tagKey struct {
	ino        uint64
	size, time int64
}

// NewHandler opens a directory to serve it.
func NewHandler(dir string) (*Handler, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, err
	}
	top, err := root.Open(".")
	if err != nil {
		return nil, errors.Join(err, root.Close())
	}
	return &Handler{root: root, top: top, fd: int(top.Fd()), patience: patience, tags: map[tagKey]string{}}, nil
}

func (h *Handler) now() time.Time {
	if h.Now != nil {
		return h.Now()
	}
	return time.Now()
}

// Close ends the use of the directory.
func (h *Handler) Close() error { return errors.Join(h.top.Close(), h.root.Close()) }

// maxPath bounds the length of a path.
const maxPath = 1024

// clean gives the file that a path means, or "". Slashes in a row are one: LXC's template
// asks for them.
func clean(p string) string {
	if len(p) > maxPath || !strings.HasPrefix(p, "/") || strings.ContainsAny(p, "\x00\\") {
		return ""
	}
	var parts []string
	for part := range strings.SplitSeq(p, "/") {
		switch {
		case part == "":
		case part[0] == '.': // also the directory itself, and the one above
			return ""
		default:
			parts = append(parts, part)
		}
	}
	return strings.Join(parts, "/")
}

// ServeHTTP answers GET and HEAD.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	p := newPaced(w, h.patience)
	w = p
	header := w.Header()
	header.Set("X-Content-Type-Options", "nosniff")
	header.Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'; sandbox")
	if what, ok := strings.CutPrefix(strings.TrimLeft(r.URL.Path, "/"), intakePath); ok {
		h.take(w, r, what)
		return
	}
	if !h.admit(w, r, token.Read) {
		return
	}
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		header.Set("Allow", "GET, HEAD")
		http.Error(w, "only GET and HEAD", http.StatusMethodNotAllowed)
		return
	}
	name := clean(r.URL.Path)
	if h.Through != nil && !strings.HasPrefix(name, "blobs/") {
		h.Through.Refresh(r.Context())
	}
	if h.Page != nil && (strings.Trim(r.URL.Path, "/") == "" || name != "" && page.IsPage(name)) {
		h.Page.Serve(w, r, name)
		return
	}
	if name == "" {
		http.Error(w, "no such file", http.StatusNotFound)
		return
	}
	if name == "pks/lookup" && !h.isKey(r.URL.Query()) {
		http.Error(w, "no such key", http.StatusNotFound)
		return
	}
	if h.Through != nil && (strings.HasPrefix(name, "blobs/") || strings.HasPrefix(name, "images/")) {
		h.through(p, r, name)
		return
	}
	f, info, err := h.open(name)
	if err != nil {
		code, text := http.StatusNotFound, "no such file"
		if !absent(err) {
			code, text = http.StatusInternalServerError, "cannot read the file"
		}
		http.Error(w, text, code)
		return
	}
	defer func() { _ = f.Close() }()
	header.Set("Content-Type", contentType(name))
	tag, lasts := h.tag(name, f, info)
	if tag != "" {
		header.Set("ETag", `"`+tag+`"`)
	}
	keep(header, lasts)
	if h.compress(w, r, f, info, name, tag) {
		return
	}
	// Without a time: the entity tag says more, and the time of a blob is when it was last
	// of use.
	http.ServeContent(p, r, "", time.Time{}, f)
}

// keep says how long an answer may be kept: for ever, or not without asking again.
func keep(header http.Header, lasts bool) {
	switch private := header.Get("Cache-Control") != ""; {
	case lasts && private:
		header.Set("Cache-Control", "private, max-age=31536000, immutable")
	case lasts:
		header.Set("Cache-Control", "public, max-age=31536000, immutable")
	default:
		header.Set("Cache-Control", "no-cache") // ask again each time: an answer of 304 is short
	}
}

// through answers with a file of a version that may have to come from another server first.
func (h *Handler) through(p *paced, r *http.Request, name string) {
	w := http.ResponseWriter(p)
	f, d, err := h.Through.Open(name)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		http.Error(w, "no such file", http.StatusNotFound)
		return
	case err != nil:
		http.Error(w, "cannot get the file from the server that this is a cache of", http.StatusBadGateway)
		return
	}
	defer func() { _ = f.Close() }()
	w.Header().Set("Content-Type", contentType(name))
	w.Header().Set("ETag", `"`+d.String()+`"`)
	keep(w.Header(), !strings.HasSuffix(name, ".asc") && path.Base(name) != "SHA256SUMS")
	if f, ok := f.(*filled); ok {
		w = &prompt{w, p.control}
		f.waits = func(on bool) {
			if p.next(); on { // the client is not to blame
				_ = p.control.SetWriteDeadline(time.Time{})
			}
		}
	}
	http.ServeContent(w, r, "", time.Time{}, f)
}

// A prompt answer goes out as it comes: clients give up where nothing does.
type prompt struct {
	http.ResponseWriter
	control *http.ResponseController
}

func (p *prompt) Write(b []byte) (int, error) {
	n, err := p.ResponseWriter.Write(b)
	_ = p.control.Flush() // what cannot be flushed goes out later
	return n, err
}

var errNoFile = errors.New("no file")

// absent says whether an error means that a tree has no such file: also where a link
// leads out of it, or nowhere.
func absent(err error) bool {
	for _, e := range []error{fs.ErrNotExist, fs.ErrPermission, errNoFile, syscall.ENOTDIR, syscall.ENAMETOOLONG, syscall.ELOOP, syscall.ENXIO, syscall.EXDEV} {
		if errors.Is(err, e) {
			return true
		}
	}
	return strings.Contains(err.Error(), "escapes")
}

// open opens a regular file below the root. A state may go while a path leads through
// it: then the next one is there.
func (h *Handler) open(name string) (*os.File, fs.FileInfo, error) {
	var f *os.File
	var err error
	for range 3 {
		if f, err = h.beneath(name); err == nil || !errors.Is(err, fs.ErrNotExist) {
			break
		}
	}
	if err != nil {
		return nil, nil, err
	}
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = errNoFile
	}
	if err != nil {
		_ = f.Close()
		return nil, nil, err
	}
	return f, info, nil
}

// beneath opens a file below the root, whatever links lie on the way: the kernel sees to that in one
// call. os.Root does it name by name, where a kernel has no such call.
func (h *Handler) beneath(name string) (*os.File, error) {
	const flags = unix.O_RDONLY | unix.O_NONBLOCK | unix.O_CLOEXEC
	if h.fd >= 0 {
		fd, err := unix.Openat2(h.fd, name, &unix.OpenHow{Flags: flags, Resolve: unix.RESOLVE_BENEATH | unix.RESOLVE_NO_MAGICLINKS})
		if err == nil {
			return os.NewFile(uintptr(fd), name), nil
		}
		if !errors.Is(err, unix.ENOSYS) && !errors.Is(err, unix.EPERM) && !errors.Is(err, unix.EAGAIN) && !errors.Is(err, unix.EINTR) {
			return nil, &fs.PathError{Op: "open", Path: name, Err: err}
		}
	}
	return h.root.OpenFile(name, flags, 0)
}

// isKey says whether a key server's request is one for the tree's key.
func (h *Handler) isKey(q url.Values) bool {
	return q.Get("op") == "" || q.Get("op") == "get" || q.Get("op") == "index"
}

// contentType is a file's type by its name. What browsers could run is none.
func contentType(name string) string {
	switch path.Ext(name) {
	case ".json":
		return "application/json"
	case ".asc", ".gpg", ".sjson":
		return "text/plain; charset=utf-8"
	case ".xz":
		return "application/x-xz"
	case ".gz":
		return "application/gzip"
	case ".zst":
		return "application/zstd"
	}
	if strings.HasPrefix(name, "meta/1.0/index-") || strings.HasPrefix(name, "pks/") || strings.HasSuffix(name, "SHA256SUMS") {
		return "text/plain; charset=utf-8"
	}
	if t := mime.TypeByExtension(path.Ext(name)); t != "" && !strings.Contains(t, "html") && !strings.Contains(t, "script") && !strings.Contains(t, "xml") {
		return t
	}
	return "application/octet-stream"
}

// maxTagged bounds the files whose bytes are read for their entity tag.
const maxTagged = 64 << 20

// tag is the entity tag of a file, and whether its bytes last for ever under that name.
func (h *Handler) tag(name string, f *os.File, info fs.FileInfo) (string, bool) {
	if d, ok := strings.CutPrefix(name, "blobs/sha256/"); ok {
		return path.Base(d), true
	}
	small := strings.HasSuffix(name, ".asc") || path.Base(name) == "SHA256SUMS"
	if strings.HasPrefix(name, "images/") && !small {
		// Versions have names of their own: nothing else comes under this one.
		return digest.Of([]byte(fmt.Sprintf("%s %d", name, info.Size()))).String(), true
	}
	if info.Size() > maxTagged {
		return "", false
	}
	key := keyOf(info)
	h.mu.Lock()
	tag, ok := h.tags[key]
	h.mu.Unlock()
	if ok {
		return tag, false
	}
	d, _, err := digest.Reader(f)
	if err != nil {
		return "", false
	}
	if _, err := f.Seek(0, 0); err != nil {
		return "", false
	}
	tag = d.String()[:32]
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.tags) > 1000 {
		clear(h.tags)
	}
	h.tags[key] = tag
	return tag, false
}

// compress answers with an index compressed, if the client takes that and asks for all
// of it.
func (h *Handler) compress(w http.ResponseWriter, r *http.Request, f *os.File, info fs.FileInfo, name, tag string) bool {
	text := strings.HasPrefix(name, "streams/") || strings.HasPrefix(name, "ingot/") || strings.HasPrefix(name, "meta/1.0/")
	if !text || info.Size() < 1024 {
		return false
	}
	w.Header().Add("Vary", "Accept-Encoding")
	if r.Method != http.MethodGet || r.Header.Get("Range") != "" || !accepts(r.Header.Get("Accept-Encoding"), "gzip") || tag == "" {
		return false
	}
	zipped := `"` + tag + `-gzip"`
	w.Header().Set("ETag", zipped)
	if strings.Contains(r.Header.Get("If-None-Match"), zipped) {
		w.WriteHeader(http.StatusNotModified)
		return true
	}
	w.Header().Set("Content-Encoding", "gzip")
	z, err := gzip.NewWriterLevel(w, flate.BestSpeed)
	if err != nil {
		return false
	}
	if _, err := f.WriteTo(z); err == nil {
		_ = z.Close() // the client notices what is cut
	}
	return true
}

// accepts says whether a field of encodings has one.
func accepts(field, encoding string) bool {
	for part := range strings.SplitSeq(field, ",") {
		name, q, _ := strings.Cut(part, ";")
		if strings.TrimSpace(name) == encoding {
			q = strings.TrimSpace(q)
			return q != "q=0" && !strings.HasPrefix(q, "q=0.0")
		}
	}
	return false
}
