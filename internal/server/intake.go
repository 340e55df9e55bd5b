package server

import (
	"archive/tar"
	"cmp"
	"context"
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
//	POST .publish/sweep        remove what nobody names since ?grace=; 25 hours at least; with ?dry=1 only count it
//
// A refusal is a [refused].
const intakePath = ".publish/"

const (
	maxBlob    = 1 << 40 // bytes of one blob
	maxState   = 2 << 30 // bytes of all files of a state
	maxEntries = 200_000 // files of a state
	// What comes before the keys that signed it are known to be good: its catalog, and small files.
	maxHeadFile = 1 << 20
	// A state's files are made of its catalog, and so many times as large at most, and some.
	stateTimes, stateMore = 8, 64 << 20
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
	// Nothing goes out while the work is done; what does then has its time.
	control := http.NewResponseController(w)
	_ = control.SetWriteDeadline(time.Time{})
	defer func() { _ = control.SetWriteDeadline(time.Now().Add(h.patience)) }()
	body := &pacedBody{r.Body, control, h.patience, 0}
	kind, name, _ := strings.Cut(what, "/")
	switch {
	case what == "" && r.Method == http.MethodGet:
		w.WriteHeader(http.StatusNoContent)
	case kind == "blobs" && (r.Method == http.MethodHead || r.Method == http.MethodPut):
		h.takeBlob(w, r, name, body)
	case what == "state" && r.Method == http.MethodPut:
		if err := h.takeState(r.Context(), body); err != nil {
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
		// A token is enough for this, and clients have older indexes for a while.
		grace = max(grace, Grace)
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
		// Else versions would keep the old file under their names, and its space with it.
		there, err := has(r.Context(), h.Intake, catalog.File{Name: name, SHA256: d, Size: n}, func(int64) {})
		if err == nil && there {
			err = errThere
		}
		return err
	})
	if err != nil && !errors.Is(err, errThere) {
		refuse(w, err)
		return
	}
	w.WriteHeader(http.StatusNoContent)
}

// takeState takes a state. All of it comes first, to disk, so that nobody waits for who sends slowly; then
// one at a time is unpacked.
func (h *Handler) takeState(ctx context.Context, body io.Reader) error {
	f, err := h.Intake.draft()
	if err != nil {
		return explain(err)
	}
	defer f.Discard()
	if n, err := io.Copy(f, io.LimitReader(body, maxState+1)); err != nil {
		return explain(err)
	} else if n > maxState {
		return fault.Newf(fault.Verification, "the new state is larger than %d MiB", maxState>>20)
	}
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return err
	}
	h.states.Lock()
	defer h.states.Unlock()
	if err := ctx.Err(); err != nil {
		return err
	}
	files, err := unpackState(f, func(head map[string][]byte) error { return h.Intake.vet(head, h.now()) })
	if err != nil {
		return err
	}
	_, err = h.Intake.Commit(ctx, files, h.now())
	return err
}

// errThere says that a blob is there already.
var errThere = errors.New("it is there")

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

// isHead says whether a file stands at the beginning of an archive of packState: by those one sees whether the
// rest is to be believed.
func isHead(name string) bool { return name == "key.asc" || strings.HasPrefix(name, "ingot/v1/") }

// packState writes files as one archive. What is the same as a file before it, as most indexes of LXC
// are, is a link to that.
func packState(w io.Writer, files map[string][]byte) error {
	z, err := zstd.NewWriter(w)
	if err != nil {
		return err
	}
	t := tar.NewWriter(z)
	first := map[digest.Digest]string{}
	names := slices.SortedFunc(maps.Keys(files), func(a, b string) int {
		if isHead(a) != isHead(b) {
			return map[bool]int{true: -1, false: 1}[isHead(a)]
		}
		return strings.Compare(a, b)
	})
	for _, name := range names {
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
// nobody has looked at yet. Vet is asked once, when the first files are there, whether to go on.
func unpackState(r io.Reader, vet func(head map[string][]byte) error) (map[string][]byte, error) {
	bad := func(why any) error {
		return fault.Newf(fault.Verification, "the new state is unreadable: %v", why).WithHint("run the command again")
	}
	z, err := zstd.NewReader(r, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(64<<20))
	if err != nil {
		return nil, bad(err)
	}
	defer z.Close()
	t := tar.NewReader(io.LimitReader(z, maxState+maxEntries*1024))
	files := map[string][]byte{}
	total, most, vetted := int64(0), int64(stateMore), false
	for {
		h, err := t.Next()
		over := errors.Is(err, io.EOF)
		if err != nil && !over {
			return nil, bad(err)
		}
		if !vetted && (over || !isHead(h.Name)) {
			if err := vet(files); err != nil {
				return nil, err
			}
			vetted = true
			most = min(maxState, stateMore+stateTimes*int64(len(files[catalog.Path])))
		}
		if over {
			return files, nil
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
			bound := int64(catalog.MaxSize)
			if !vetted && h.Name != catalog.Path {
				bound = maxHeadFile
			}
			if total += h.Size; h.Size > bound || total > most && h.Name != catalog.Path {
				return nil, bad("it is too large")
			}
			data := make([]byte, h.Size)
			if _, err := io.ReadFull(t, data); err != nil {
				return nil, bad(err)
			}
			files[h.Name] = data
		default:
			return nil, bad(fmt.Sprintf("%.100q is no file", h.Name))
		}
	}
}
