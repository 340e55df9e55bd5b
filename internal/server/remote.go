package server

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"ingot/internal/digest"
	"ingot/internal/fault"
	"ingot/internal/fetch"
	"ingot/internal/place"
)

// A Remote is a server tree that lies where 'ingot serve --publish' runs: whoever has a token for it
// and the key that signs it publishes from anywhere. The key never leaves the publisher: the server
// gets blobs, and then a whole state, signed, which it holds against its tree's key ([Dir.Commit]).
// It gives files their names itself, by the catalog. There is no lock: of two publishers that come
// at once the server takes one's catalog, and the other makes the next one.
type Remote struct {
	address string // without a slash at its end
	bearer  func(*url.URL) string
	client  *http.Client
	fetch   *fetch.Client
	ctx     context.Context //nolint:containedctx // Place is of one verb, and ends with it
	pause   time.Duration   // before the second try; a test is more impatient

	mu     sync.Mutex
	beside map[string][]byte // files of versions, for the next state
}

// Times of requests to a server.
const (
	remoteTries = 5
	remotePause = 500 * time.Millisecond
	// remoteStall is how long nothing may be taken of what is sent.
	remoteStall = 2 * time.Minute
	// remoteWork is how long a server may work on what it has: it reads and flushes large files.
	remoteWork = 30 * time.Minute
)

// OpenRemote asks a server whether it takes publications of a tree. Bearer is whom a token is shown
// to, see [client.Bearer]; nil shows none.
func OpenRemote(ctx context.Context, address string, bearer func(*url.URL) string) (*Remote, error) {
	r := &Remote{address: strings.TrimRight(address, "/"), bearer: bearer, ctx: ctx, pause: remotePause, beside: map[string][]byte{}}
	if bearer == nil {
		return nil, fault.Newf(fault.Usage, "%s asks for a token", address).
			WithHint("name the file with yours with --token-file, or in the environment: INGOT_TOKEN_FILE; whoever runs the server makes one: ingot server token add TREE NAME --publish")
	}
	transport := http.DefaultTransport.(*http.Transport).Clone() //nolint:forcetypeassert // it is one
	transport.ResponseHeaderTimeout = remoteWork
	r.client = &http.Client{Transport: transport, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	r.fetch = &fetch.Client{Attempts: 3, Bearer: bearer}
	return r, r.ask(http.MethodGet, "", nil, nil)
}

// String is the tree's address.
func (r *Remote) String() string { return r.address }

// Lock begins a change. Nobody is kept out: see [Remote.Switch].
func (r *Remote) Lock(context.Context, func()) (func(), error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	clear(r.beside)
	return func() {}, nil
}

// Read gets a small file. That it is not there is believed at once, as package fetch does not.
func (r *Remote) Read(name string, limit int64) ([]byte, error) {
	var data []byte
	err := r.do(http.MethodGet, r.address+"/"+name, nil, func(a *http.Response) error {
		var err error
		data, err = io.ReadAll(io.LimitReader(a.Body, limit+1))
		return err
	})
	if err == nil && int64(len(data)) > limit {
		err = fault.Newf(fault.Verification, "%s of %s is larger than %d bytes", name, r, limit)
	}
	return data, err
}

// Open fetches a file, into one without a name.
func (r *Remote) Open(name string) (io.ReadSeekCloser, int64, error) {
	f, err := os.CreateTemp("", "ingot-publish-")
	if err != nil {
		return nil, 0, explain(err)
	}
	_ = os.Remove(f.Name())
	_, err = r.fetch.Get(r.ctx, fetch.Want{Name: name, URLs: []string{r.address + "/" + name}, Max: maxBlob}, fetch.File(f))
	if fetch.IsMissing(err) {
		err = fmt.Errorf("%s: %w", name, fs.ErrNotExist)
	}
	if err == nil {
		_, err = f.Seek(0, io.SeekStart)
	}
	var size int64
	if err == nil {
		info, serr := f.Stat()
		if err = serr; err == nil {
			size = info.Size()
		}
	}
	if err != nil {
		_ = f.Close()
		return nil, 0, err
	}
	return f, size, nil
}

// Size asks for a file's size.
func (r *Remote) Size(name string) (int64, error) {
	var size int64
	err := r.do(http.MethodHead, r.address+"/"+name, nil, func(a *http.Response) error {
		size = a.ContentLength
		return nil
	})
	return size, err
}

// Has says whether the tree has a blob that is what its name says, which the server reads it for.
func (r *Remote) Has(d digest.Digest, size int64) (bool, error) {
	err := r.ask(http.MethodHead, fmt.Sprintf("blobs/%s?size=%d", d, size), nil, nil)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil, err
}

// Put uploads a blob. What lies beside versions goes with the next state.
func (r *Remote) Put(name string, write func(io.Writer) error) error {
	if d, ok := blobName(name); ok {
		return r.ask(http.MethodPut, "blobs/"+d.String(), write, nil)
	}
	var b bytes.Buffer
	if err := write(&b); err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.beside[name] = b.Bytes()
	return nil
}

// Link does nothing: the server names files by the catalog.
func (r *Remote) Link(string, string) error { return nil }

// Remove does nothing: see [Remote.Sweep].
func (r *Remote) Remove(string) error { return nil }

// Walk is what a server does itself: see [Remote.Sweep].
func (r *Remote) Walk(string, func(string, int64, time.Time) error) error {
	return errors.ErrUnsupported
}

// Sweep has the server remove what nobody names: see [Dir.Sweep].
func (r *Remote) Sweep(grace time.Duration, dry bool) (removed int, freed int64, err error) {
	q := url.Values{"grace": {grace.String()}}
	if dry {
		q.Set("dry", "1")
	}
	var did swept
	err = r.ask(http.MethodPost, "sweep?"+q.Encode(), nil, func(a *http.Response) error {
		return json.NewDecoder(io.LimitReader(a.Body, 1<<16)).Decode(&did)
	})
	return did.Removed, did.Freed, err
}

// Settled says whether nothing of a version that is there came anew.
func (r *Remote) Settled(int64) (bool, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.beside) == 0, nil
}

// Switch sends a state. Where another publisher was first it is [place.ErrChanged].
func (r *Remote) Switch(_ int64, files map[string][]byte) error {
	all := map[string][]byte{}
	r.mu.Lock()
	for _, m := range []map[string][]byte{files, r.beside} {
		for name, data := range m {
			all[name] = data
		}
	}
	r.mu.Unlock()
	return r.ask(http.MethodPut, "state", func(w io.Writer) error { return packState(w, all) }, nil)
}

// ask makes a request of publishers.
func (r *Remote) ask(method, what string, write func(io.Writer) error, read func(*http.Response) error) error {
	return r.do(method, r.address+"/"+intakePath+what, write, read)
}

// do makes a request, again where the network or a proxy failed: what is asked for twice is done
// once. Write gives the body, read takes a good answer.
func (r *Remote) do(method, address string, write func(io.Writer) error, read func(*http.Response) error) error {
	wait := r.pause
	for tries := 1; ; tries++ {
		err := r.once(method, address, write, read)
		if _, again := errors.AsType[*passing](err); !again || r.ctx.Err() != nil {
			return err
		}
		if tries == remoteTries {
			return fault.Newf(fault.Unreachable, "cannot publish to %s: %w", r, err).WithHint("run the command again: what the server has is not sent twice")
		}
		select {
		case <-r.ctx.Done():
			return r.ctx.Err()
		case <-time.After(wait):
		}
		wait *= 3
	}
}

// passing is an error that may not come again.
type passing struct{ error }

func (p *passing) Unwrap() error { return p.error }

var errStalled = errors.New("it took nothing for a while")

// once makes a request.
func (r *Remote) once(method, address string, write func(io.Writer) error, read func(*http.Response) error) error {
	ctx, end := context.WithCancelCause(r.ctx)
	defer end(nil)
	var body io.ReadCloser
	wrote := make(chan error, 1)
	if write != nil {
		from, to := io.Pipe()
		stall := time.AfterFunc(remoteStall, func() { end(errStalled) })
		defer stall.Stop()
		go func() {
			err := write(to)
			stall.Reset(remoteWork)
			wrote <- err
			_ = to.CloseWithError(err)
		}()
		// A server that refuses closes it, and then whoever writes ends too.
		defer func() { _ = from.Close() }()
		body = &watched{from, stall}
	}
	q, err := http.NewRequestWithContext(ctx, method, address, body)
	if err != nil {
		return fault.Newf(fault.Usage, "%s is no address: %w", r, err)
	}
	if text := r.bearer(q.URL); text != "" {
		q.Header.Set("Authorization", "Bearer "+text)
	}
	a, err := r.client.Do(q)
	if err != nil {
		select {
		case werr := <-wrote:
			if werr != nil && !errors.Is(werr, io.ErrClosedPipe) {
				return werr // a file of ours, not the network
			}
		default:
		}
		if cause := context.Cause(ctx); cause != nil {
			err = cause
		}
		if u, ok := errors.AsType[*url.Error](err); ok {
			err = u.Err // without the address, which may be long
		}
		if r.ctx.Err() != nil {
			return r.ctx.Err()
		}
		if name, ok := errors.AsType[*net.DNSError](err); ok && name.IsNotFound {
			return fault.Newf(fault.Unreachable, "cannot publish to %s: %w", r, err).WithHint("is that its address?")
		}
		return &passing{err}
	}
	defer func() { _ = a.Body.Close() }()
	if err := r.judge(a); err != nil || read == nil {
		return err
	}
	if err := read(a); err != nil {
		return &passing{fmt.Errorf("unreadable answer: %w", err)}
	}
	return nil
}

// watched puts a watchdog off with each piece that is taken.
type watched struct {
	io.ReadCloser
	dog *time.Timer
}

func (w *watched) Read(p []byte) (int, error) {
	n, err := w.ReadCloser.Read(p)
	if err == nil {
		w.dog.Reset(remoteStall)
	}
	return n, err
}

// judge says what an answer means that is not good.
func (r *Remote) judge(a *http.Response) error {
	switch code := a.StatusCode; {
	case code < 300:
		return nil
	case code < 400:
		return fault.Newf(fault.Unreachable, "%s sends publishers elsewhere", r).WithHint("name the address itself that it leads to: %.200s", a.Header.Get("Location"))
	case code == http.StatusUnauthorized, code == http.StatusForbidden:
		text, _ := io.ReadAll(io.LimitReader(a.Body, 200))
		return fault.Newf(fault.Preflight, "%s does not let you publish: %s", r, said(text, a)).WithHint("a token for that is made there by: ingot server token add TREE NAME --publish")
	case a.Header.Get("Content-Type") == "application/json":
		var no refused
		if err := json.NewDecoder(io.LimitReader(a.Body, 1<<16)).Decode(&no); err != nil {
			return &passing{fmt.Errorf("answered %s", a.Status)}
		}
		if no.Code == int(fault.Busy) {
			return fmt.Errorf("%s: %w", r, place.ErrChanged)
		}
		e := fault.Newf(fault.Failed, "%s says: %s", r, printable(no.Error))
		if c := fault.Code(no.Code); slices.Contains([]fault.Code{fault.Usage, fault.Verification, fault.NotFound, fault.Preflight}, c) {
			e.Code = c
		}
		if no.Hint != "" {
			e = e.WithHint("%s", printable(no.Hint))
		}
		return e
	case code == http.StatusNotFound && !strings.HasSuffix(a.Request.URL.Path, "/"+intakePath):
		return fmt.Errorf("%s: %w", strings.TrimPrefix(a.Request.URL.String(), r.address+"/"), fs.ErrNotExist)
	case code == http.StatusNotFound, code == http.StatusMethodNotAllowed:
		return fault.Newf(fault.Unreachable, "%s takes no publications: it answered %s", r, a.Status).
			WithHint("is there a server of ingot at that address, 0.1 or newer? it is started with: ingot serve TREE --publish")
	}
	text, _ := io.ReadAll(io.LimitReader(a.Body, 200))
	return &passing{errors.New("it answered " + said(text, a))}
}

// said is what an answer says, for people.
func said(text []byte, a *http.Response) string {
	if s := printable(strings.TrimSpace(string(text))); s != "" && a.Header.Get("Content-Type") != "text/html" {
		return s
	}
	return a.Status
}

// printable leaves out what would steer a terminal.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r >= 0x7f && r < 0xa0 {
			return -1
		}
		return r
	}, s[:min(len(s), 2000)])
}

var _ Place = (*Remote)(nil)
