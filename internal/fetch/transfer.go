package fetch

import (
	"context"
	"errors"
	"fmt"
	"hash"
	"io"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"ingot/internal/digest"
)

const (
	headSize = 512     // bytes that tell a web page
	chunk    = 1 << 18 // bytes read at once, and between two progress events
	trickle  = 1 << 10 // bytes that a server must send within Client.Stall
)

// chunks are the buffers of all transfers.
var chunks = sync.Pool{New: func() any { return new([chunk]byte) }}

// A transfer is the state of one Get across its attempts: what arrived so far.
type transfer struct {
	client *Client
	want   Want
	to     Sink
	hash   hash.Hash
	n      int64  // bytes written and hashed
	most   int64  // the greatest n after an attempt, of bytes that may be right
	head   []byte // the first of them
	from   *mirror
	tag    string // the validator of the answer that they came from, for If-Range
}

func (t *transfer) reset() error {
	t.n, t.head, t.tag, t.from = 0, nil, "", nil
	t.hash.Reset()
	return t.to.Reset()
}

// begin takes up what a sink has kept of the file.
func (t *transfer) begin() error {
	k, ok := t.to.(Keeper)
	if !ok || t.want.SHA256.IsZero() {
		return nil
	}
	r, err := k.Kept()
	if err != nil {
		return err
	}
	buf := chunks.Get().(*[chunk]byte)
	defer chunks.Put(buf)
	for {
		n, err := r.Read(buf[:])
		p := buf[:n]
		if len(t.head) < headSize {
			t.head = append(t.head, p[:min(n, headSize-len(t.head))]...)
		}
		t.hash.Write(p)
		t.n += int64(n)
		if t.n > t.want.bound() {
			return t.reset() // of another file
		}
		if errors.Is(err, io.EOF) {
			t.client.tell(Event{Name: t.want.Name, Done: t.n, Total: t.want.total()})
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// kept is whether what came so far, which is not known to be wrong, is of use to another
// transfer.
func (t *transfer) kept() bool {
	_, ok := t.to.(Keeper)
	return ok && !t.want.SHA256.IsZero()
}

// stop empties the sink, unless it keeps what came, and passes the error on.
func (t *transfer) stop(err error) error {
	if t.kept() {
		return err
	}
	if e := t.reset(); e != nil {
		return errors.Join(err, e)
	}
	return err
}

// resumable says whether what came so far can be continued from m. With a known
// digest any mirror may continue: the end is verified. Without one only the same
// server with the same validator may.
func (t *transfer) resumable(m *mirror) bool {
	if t.want.isPart() {
		return t.n > 0 // the whole is verified at the end
	}
	return t.n > 0 && (!t.want.SHA256.IsZero() || t.from == m && t.tag != "")
}

// once makes one attempt; nil means that the file is complete and right.
func (t *transfer) once(ctx context.Context, m *mirror) *failure {
	if t.n > 0 && !t.resumable(m) {
		if err := t.reset(); err != nil {
			return fail(fatal, err)
		}
	}
	u, err := url.Parse(m.url)
	if err != nil {
		return fail(fatal, fmt.Errorf("fetch %s: unreadable URL", t.want.Name))
	}
	switch u.Scheme {
	case "http", "https":
		return t.request(ctx, m)
	case "file":
		return t.open(u)
	}
	return fail(fatal, fmt.Errorf("fetch %s: cannot fetch over %q", t.want.Name, u.Scheme))
}

// open copies a file of this machine.
func (t *transfer) open(u *url.URL) *failure {
	if u.Host != "" && u.Host != "localhost" {
		return failf(gone, "%s is on another machine", clean(u.String()))
	}
	if t.n > 0 {
		if err := t.reset(); err != nil {
			return fail(fatal, err)
		}
	}
	f, err := os.Open(u.Path)
	if err != nil {
		return &failure{kind: gone, missing: errors.Is(err, os.ErrNotExist), err: err}
	}
	defer func() { _ = f.Close() }()
	st, err := f.Stat()
	if err != nil {
		return fail(again, err)
	}
	if !st.Mode().IsRegular() {
		return failf(gone, "%s is not a file", u.Path)
	}
	return t.take(f, st.Size(), true, func(int) error { return nil })
}

// request makes one HTTP request and takes its answer. A watchdog ends it when
// too little comes for too long.
func (t *transfer) request(ctx context.Context, m *mirror) *failure {
	c := t.client
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	dog := time.AfterFunc(c.stall(), func() { cancel(errStalled) })
	defer dog.Stop()
	var fed atomic.Int64
	feed := func(n int) {
		if fed.Add(int64(n)) >= trickle {
			fed.Store(0)
			dog.Reset(c.stall())
		}
	}

	var req *http.Request
	var err error
	if t.want.Request != nil {
		if req, err = t.want.Request(m.url); err == nil {
			req = req.WithContext(ctx)
		}
	} else {
		req, err = http.NewRequestWithContext(ctx, http.MethodGet, m.url, nil)
	}
	if err != nil {
		return fail(fatal, fmt.Errorf("fetch %s: unreadable URL", t.want.Name))
	}
	req.Header.Set("User-Agent", "ingot")
	if m.tries[wrong] > 0 {
		req.Header.Set("Cache-Control", "no-cache") // a cache between may hold the wrong bytes
	}
	if t.want.isPart() {
		req.Header.Set("Range", fmt.Sprintf("bytes=%d-%d", t.want.part+t.n, t.want.part+t.want.Size-1))
	} else if t.n > 0 {
		req.Header.Set("Range", fmt.Sprintf("bytes=%d-", t.n))
		if t.tag != "" && t.from == m {
			req.Header.Set("If-Range", t.tag)
		}
	}
	resp, err := c.client().Do(req)
	if err != nil {
		return t.broken(ctx, err)
	}
	defer func() { _ = resp.Body.Close() }()
	feed(trickle) // the headers count

	if f := t.status(resp); f != nil {
		return f
	}
	t.from, t.tag = m, validator(resp.Header)
	length := int64(-1)
	if resp.ContentLength >= 0 {
		length = t.n + resp.ContentLength
	}
	// Without a length and without chunks the end of the connection is the end of
	// the file, which a cut looks like.
	framed := resp.ContentLength >= 0 || len(resp.TransferEncoding) > 0 || resp.ProtoMajor > 1
	running := c.transfers()
	running.Add(1)
	defer running.Add(-1)
	speed := pace{since: c.now()}
	f := t.take(resp.Body, length, framed, func(n int) error {
		feed(n)
		return speed.take(n, running.Load(), c.now())
	})
	if f != nil && f.kind == again && ctx.Err() != nil {
		return t.broken(ctx, ctx.Err())
	}
	return f
}

// status judges an answer's status line and range; nil means that its body goes on
// from t.n.
func (t *transfer) status(resp *http.Response) *failure {
	code := resp.StatusCode
	switch {
	case t.want.isPart() && (code == http.StatusOK || code == http.StatusRequestedRangeNotSatisfiable):
		return fail(fatal, errNoRanges)
	case t.want.isPart() && code == http.StatusPartialContent:
		first, total, ok := contentRange(resp.Header.Get("Content-Range"))
		if ok && first == t.want.part+t.n && (total < 0 || total == t.want.whole) {
			return nil
		}
		return fail(fatal, errNoRanges)
	case code == http.StatusOK:
		if t.n > 0 { // it knows no ranges, or the file is another one now
			if err := t.reset(); err != nil {
				return fail(fatal, err)
			}
		}
		return nil
	case code == http.StatusPartialContent && t.n > 0:
		first, total, ok := contentRange(resp.Header.Get("Content-Range"))
		if ok && first == t.n && (total < 0 || t.want.total() < 0 || total == t.want.total()) {
			return nil
		}
		return t.afresh("answered with another range than the one asked for")
	case code == http.StatusRequestedRangeNotSatisfiable && t.n > 0:
		return t.afresh("refused to continue the file")
	case code == http.StatusNetworkAuthenticationRequired:
		return failf(page, "the network asks for a login (status %d)", code)
	case code == http.StatusTooManyRequests, code == http.StatusRequestTimeout, code == http.StatusTooEarly, code >= 500:
		return &failure{kind: again, wait: retryAfter(resp.Header.Get("Retry-After"), t.client.now()), err: statusError(code)}
	}
	missing := code == http.StatusNotFound || code == http.StatusGone
	return &failure{kind: gone, missing: missing, err: statusError(code)}
}

// afresh drops what came so far, so that the next attempt asks for all.
func (t *transfer) afresh(why string) *failure {
	if err := t.reset(); err != nil {
		return fail(fatal, err)
	}
	return failf(again, "%s", why)
}

// broken explains a failed round trip or body.
func (t *transfer) broken(ctx context.Context, err error) *failure {
	cause := context.Cause(ctx)
	switch {
	case errors.Is(cause, errStalled):
		return failf(again, "nothing came for %v (after %s)", t.client.stall(), t.so())
	case cause != nil:
		return fail(fatal, cause)
	}
	var redirect *redirectError
	if errors.As(err, &redirect) {
		return fail(gone, redirect)
	}
	if ue, ok := errors.AsType[*url.Error](err); ok {
		err = ue.Err // its URL may hold a user
	}
	return fail(again, err)
}

// so says how much came.
func (t *transfer) so() string {
	if total := t.want.total(); total >= 0 {
		return fmt.Sprintf("%d of %d bytes", t.n, total)
	}
	return fmt.Sprintf("%d bytes", t.n)
}

// take copies a body to the sink and judges the whole. length is what the sender
// says the file has, or -1; framed says that the sender marks its end. feed is told what came, and
// says when that is too little.
func (t *transfer) take(body io.Reader, length int64, framed bool, feed func(int) error) *failure {
	bound := t.want.bound()
	off := length >= 0 && (length > bound || t.want.total() >= 0 && length != t.want.total())
	buf := chunks.Get().(*[chunk]byte)
	defer chunks.Put(buf)
	told := t.n
	for {
		n, rerr := body.Read(buf[:])
		var slow error
		if n > 0 {
			slow = feed(n)
			p := buf[:n]
			if len(t.head) < headSize {
				t.head = append(t.head, p[:min(n, headSize-len(t.head))]...)
			}
			if !off {
				if t.n+int64(n) > bound {
					return t.bad(fmt.Sprintf("is longer than %d bytes", bound))
				}
				t.hash.Write(p)
				if _, err := t.to.Write(p); err != nil {
					return fail(fatal, full(t.want.Name, err))
				}
				t.n += int64(n)
				if t.n-told >= chunk {
					told = t.n
					t.client.tell(Event{Name: t.want.Name, Done: t.n, Total: t.want.total()})
				}
			}
		}
		if off && (len(t.head) == headSize || rerr != nil) {
			return t.bad(fmt.Sprintf("is %d bytes long, not %d", length, bound))
		}
		switch {
		case rerr == nil && slow != nil:
			return failf(again, "%w (after %s)", slow, t.so())
		case rerr == nil:
			continue
		case !errors.Is(rerr, io.EOF):
			return failf(again, "the connection broke after %s: %w", t.so(), inner(rerr))
		}
		break
	}
	if total := t.want.total(); total >= 0 && t.n != total {
		if !framed {
			return failf(again, "the connection ended after %s", t.so())
		}
		return t.bad(fmt.Sprintf("is %d bytes long, not %d", t.n, total))
	}
	if t.want.SHA256.IsZero() {
		if !t.want.isPart() && looksLikePage(t.head) {
			return t.bad("is a web page")
		}
		return nil
	}
	if got := digest.From(t.hash); got != t.want.SHA256 {
		return t.bad(fmt.Sprintf("has SHA-256 %s, not %s", got, t.want.SHA256))
	}
	return nil
}

// gained is how many bytes more there are than after any attempt before.
func (t *transfer) gained() int64 {
	n := t.n - t.most
	t.most = max(t.most, t.n)
	return n
}

// bad drops bytes that are not the ones asked for, and says what they look like.
func (t *transfer) bad(why string) *failure {
	t.most = 0
	f := failf(wrong, "the file there %s", why)
	if looksLikePage(t.head) {
		f = failf(page, "the answer looks like a web page (text/html), not like the file")
	}
	if err := t.reset(); err != nil {
		return fail(fatal, err)
	}
	return f
}

// looksLikePage says whether a file that starts with head is HTML.
func looksLikePage(head []byte) bool {
	return strings.HasPrefix(http.DetectContentType(head), "text/html")
}

// validator is what If-Range may name: a strong entity tag, else a date.
func validator(h http.Header) string {
	if e := h.Get("ETag"); strings.HasPrefix(e, `"`) {
		return e
	}
	return h.Get("Last-Modified")
}

// contentRange reads "bytes FIRST-LAST/TOTAL"; an unknown total is -1.
func contentRange(s string) (first, total int64, ok bool) {
	s, ok = strings.CutPrefix(s, "bytes ")
	if !ok {
		return 0, 0, false
	}
	span, all, ok := strings.Cut(s, "/")
	from, _, ok2 := strings.Cut(span, "-")
	if !ok || !ok2 {
		return 0, 0, false
	}
	first, err := strconv.ParseInt(from, 10, 64)
	if err != nil || first < 0 {
		return 0, 0, false
	}
	if all == "*" {
		return first, -1, true
	}
	total, err = strconv.ParseInt(all, 10, 64)
	return first, total, err == nil && total >= first
}

// retryAfter reads a Retry-After field: seconds or a date.
func retryAfter(s string, now time.Time) time.Duration {
	if n, err := strconv.Atoi(s); err == nil && n >= 0 {
		return time.Duration(min(n, 3600)) * time.Second
	}
	if at, err := http.ParseTime(s); err == nil {
		return max(0, at.Sub(now))
	}
	return 0
}
