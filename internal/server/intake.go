package server

import (
	"archive/tar"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/klauspost/compress/zstd"

	"ingot/internal/catalog"
	"ingot/internal/digest"
	"ingot/internal/fault"
	"ingot/internal/place"
	"ingot/internal/token"
)

// What publishers elsewhere ask a server for, below the address of a tree. No file of a tree is
// called so. All of it wants a token that is good for publishing.
//
//	GET  .publish/             is this a server that takes publications, and the token one for it?
//	HEAD .publish/blobs/SHA256 has the tree this blob, of ?size=, and is it what its name says?
//	PUT  .publish/blobs/SHA256 here it is
//	PUT  .publish/state        here is the next state: an archive of packState; see [Dir.Commit]
//	POST .publish/sweep        remove what nobody names since ?grace=; with ?dry=1 only count it
//
// A refusal is a [refused].
const intakePath = ".publish/"

const (
	maxBlob    = 1 << 40 // bytes of one blob
	maxState   = 2 << 30 // bytes of all files of a state
	maxEntries = 200_000 // files of a state
)

// refused says why a server did not do it, as a fault does.
type refused struct {
	Error string `json:"error"`
	Hint  string `json:"hint,omitempty"`
	Code  int    `json:"code"` // an exit code
}

// swept is what a sweep removed.
type swept struct {
	Removed int   `json:"removed"`
	Freed   int64 `json:"freed"`
}

// statuses are those of refusals, by what went wrong.
var statuses = map[fault.Code]int{
	fault.Usage: http.StatusBadRequest, fault.Verification: http.StatusUnprocessableEntity, fault.NotFound: http.StatusNotFound,
	fault.Busy: http.StatusConflict, fault.Preflight: http.StatusInsufficientStorage,
}

// refuse answers with an error.
func refuse(w http.ResponseWriter, err error) {
	code := fault.CodeOf(err)
	if errors.Is(err, place.ErrChanged) {
		code = fault.Busy
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(cmp.Or(statuses[code], http.StatusInternalServerError))
	_ = json.NewEncoder(w).Encode(refused{err.Error(), fault.HintOf(err), int(code)})
}

// take answers a publisher.
func (h *Handler) take(w http.ResponseWriter, r *http.Request, what string) {
	if !h.admit(w, r, token.Publish) {
		return
	}
	if h.Intake == nil {
		refuse(w, fault.Newf(fault.Usage, "this server takes no publications").WithHint("whoever runs it starts it with: ingot serve --publish"))
		return
	}
	control := http.NewResponseController(w)
	_ = control.SetWriteDeadline(time.Time{}) // answers are short, and come when the work is done
	body := &pacedBody{r.Body, control, h.patience, 0}
	kind, name, _ := strings.Cut(what, "/")
	switch {
	case what == "" && r.Method == http.MethodGet:
		w.WriteHeader(http.StatusNoContent)
	case kind == "blobs" && (r.Method == http.MethodHead || r.Method == http.MethodPut):
		h.takeBlob(w, r, name, body)
	case what == "state" && r.Method == http.MethodPut:
		files, err := unpackState(body)
		if err == nil {
			_, err = h.Intake.Commit(r.Context(), files, h.now())
		}
		if err != nil {
			refuse(w, err)
			return
		}
		w.WriteHeader(http.StatusNoContent)
	case what == "sweep" && r.Method == http.MethodPost:
		grace, err := time.ParseDuration(r.URL.Query().Get("grace"))
		if err != nil || grace < 0 {
			refuse(w, fault.Newf(fault.Usage, "the grace period is no time"))
			return
		}
		var did swept
		if did.Removed, did.Freed, err = h.Intake.Sweep(r.Context(), grace, h.now(), r.URL.Query().Get("dry") != ""); err != nil {
			refuse(w, err)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(did)
	default:
		refuse(w, fault.Newf(fault.Usage, "publishers ask for no such thing").WithHint("is one of the two ingots older than the other?"))
	}
}

// takeBlob looks for a blob, or takes one.
func (h *Handler) takeBlob(w http.ResponseWriter, r *http.Request, name string, body io.Reader) {
	d, err := digest.Parse(name)
	if err != nil {
		refuse(w, fault.Newf(fault.Usage, "%.100q is no digest", name))
		return
	}
	if r.Method == http.MethodHead {
		size, err := strconv.ParseInt(r.URL.Query().Get("size"), 10, 64)
		ok := false
		if err == nil {
			ok, err = has(r.Context(), h.Intake, catalog.File{Name: name, SHA256: d, Size: size}, func(int64) {})
		}
		switch {
		case err != nil:
			w.WriteHeader(http.StatusInternalServerError)
		case !ok:
			w.WriteHeader(http.StatusNotFound)
		}
		return
	}
	err = h.Intake.Put(catalog.BlobPath(d), func(to io.Writer) error {
		got, n, err := digest.Reader(io.TeeReader(io.LimitReader(body, maxBlob+1), to))
		switch {
		case err != nil:
			return err
		case n > maxBlob:
			return fault.Newf(fault.Usage, "a blob is larger than %d bytes", int64(maxBlob))
		case got != d:
			return fault.Newf(fault.Verification, "what came as the blob %s has SHA-256 %s", d, got).WithHint("run the command again")
		}
		return nil
	})
	if err != nil {
		refuse(w, err)
		return
	}
	w.WriteHeader(http.StatusNoContent)
}

// A pacedBody is what a client sends, in pieces each of which has a time of its own, as a [paced]
// answer has.
type pacedBody struct {
	io.Reader
	control  *http.ResponseController
	patience time.Duration
	left     int // bytes of the piece
}

func (p *pacedBody) Read(b []byte) (int, error) {
	if p.left <= 0 {
		p.left = piece
		_ = p.control.SetReadDeadline(time.Now().Add(p.patience)) // what has none is a test's
	}
	n, err := p.Reader.Read(b)
	p.left -= n
	return n, err
}

// packState writes files as one archive. What is the same as a file before it, as most indexes of LXC
// are, is a link to that.
func packState(w io.Writer, files map[string][]byte) error {
	z, err := zstd.NewWriter(w)
	if err != nil {
		return err
	}
	t := tar.NewWriter(z)
	first := map[digest.Digest]string{}
	for _, name := range slices.Sorted(maps.Keys(files)) {
		data := files[name]
		h := &tar.Header{Name: name, Typeflag: tar.TypeReg, Size: int64(len(data)), Mode: 0o644}
		if same, ok := first[digest.Of(data)]; ok {
			h.Typeflag, h.Size, h.Linkname, data = tar.TypeLink, 0, same, nil
		} else {
			first[digest.Of(data)] = name
		}
		if err := t.WriteHeader(h); err != nil {
			return err
		}
		if _, err := t.Write(data); err != nil {
			return err
		}
	}
	return errors.Join(t.Close(), z.Close())
}

// unpackState reads an archive of packState: files of bounded number and size, by names that
// nobody has looked at yet.
func unpackState(r io.Reader) (map[string][]byte, error) {
	bad := func(why any) error {
		return fault.Newf(fault.Verification, "the new state is unreadable: %v", why).WithHint("run the command again")
	}
	z, err := zstd.NewReader(io.LimitReader(r, maxState), zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(64<<20))
	if err != nil {
		return nil, bad(err)
	}
	defer z.Close()
	t := tar.NewReader(io.LimitReader(z, maxState+maxEntries*1024))
	files := map[string][]byte{}
	total := int64(0)
	for {
		h, err := t.Next()
		if errors.Is(err, io.EOF) {
			return files, nil
		}
		if err != nil {
			return nil, bad(err)
		}
		if _, twice := files[h.Name]; twice || len(files) == maxEntries {
			return nil, bad(fmt.Sprintf("%.100q comes twice, or there are too many files", h.Name))
		}
		switch h.Typeflag {
		case tar.TypeLink:
			data, ok := files[h.Linkname]
			if !ok {
				return nil, bad("a link leads nowhere")
			}
			files[h.Name] = data
		case tar.TypeReg:
			if total += h.Size; h.Size > catalog.MaxSize || total > maxState {
				return nil, bad("it is too large")
			}
			data, err := io.ReadAll(t)
			if err != nil {
				return nil, bad(err)
			}
			files[h.Name] = data
		default:
			return nil, bad(fmt.Sprintf("%.100q is no file", h.Name))
		}
	}
}
