// Package fetch is the one HTTP client of ingot: it brings files of a known
// size and digest from mirrors, and gives either the whole, right file or an
// error that says whose fault it was.
//
// A caller says what it wants in a [Want]: where the file may lie (mirrors, best
// first), how long it is and what its SHA-256 is. [Client.Get] writes it to a
// [Sink]; [Client.Save] to a path, by temporary file and rename; [Client.Many]
// brings many at once, the biggest first. The digest is computed while the bytes
// stream by, so nothing is read twice.
//
// What can go wrong is met in one place. A connection that is cut or stalls is
// taken up again where it broke, by a range request; so is one that brings too little in a
// minute; a server that is busy is asked
// again after a pause; a file that is not there is asked for once more, then at
// the next mirror; wrong bytes are thrown away and fetched from scratch, from another
// mirror if there is one. At the end stands a [fault.Unreachable] or, where bytes
// came that are not the ones asked for, a [fault.Verification].
//
// Clock, jitter and transport are fields, so that tests need neither luck nor
// patience. Proxies are taken from the environment as net/http does.
package fetch

import (
	"context"
	"crypto/sha256"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"ingot/internal/digest"
)

// A Want is one file to fetch.
type Want struct {
	// Name is what messages call the file: its path below the archive's root,
	// such as "dists/trixie/InRelease".
	Name string
	// URLs are where it lies, in order of preference: http, https or file.
	URLs []string
	// Size is its exact length in bytes, unless Max says otherwise.
	Size int64
	// Max, when positive, is the greatest length of a file whose Size is not known.
	Max int64
	// SHA256 is its digest; zero when that is not known, as for InRelease.
	SHA256 digest.Digest
	// Request, if set, makes the request of a URL, where it is not simply for a file.
	Request func(url string) (*http.Request, error)

	// part is where in the file the wanted bytes begin, and whole is the file's length,
	// where only a part of it is wanted: see GetParallel.
	part, whole int64
}

// isPart says whether only a part of a file is wanted.
func (w Want) isPart() bool { return w.whole > 0 }

// bound is the greatest number of bytes that the file may have.
func (w Want) bound() int64 {
	if w.Max > 0 {
		return w.Max
	}
	return w.Size
}

// total is the length to expect, or -1.
func (w Want) total() int64 {
	if w.Max > 0 {
		return -1
	}
	return w.Size
}

// A Got says what was fetched.
type Got struct {
	URL    string // that gave its last bytes, without user and password
	Size   int64
	SHA256 digest.Digest
}

// An Event tells how a transfer goes.
type Event struct {
	Name  string
	Done  int64  // bytes so far; it falls back to 0 when a transfer starts anew
	Total int64  // bytes in all, or -1
	Note  string // why the transfer pauses or moves on; "" for plain progress
	Over  bool   // the file is there, verified
}

// A Client fetches. Its zero value works; a Client must not be copied or changed
// after its first use, and may be used by many goroutines.
type Client struct {
	// Transport does the round trips; nil means one with the environment's
	// proxies, connections that are kept for the next file, and no transparent decompression.
	Transport http.RoundTripper
	// Progress is told of every quarter MiB, of every pause and of the end. Calls
	// come from many goroutines at once.
	Progress func(Event)
	// Bearer gives the token for a URL, or "". It is asked for each request, those that redirects lead
	// to as well.
	Bearer func(*url.URL) string
	// Attempts is how often one URL is tried when it does not answer properly;
	// 0 means 4. Attempts that brought a MiB or more that was not there before are not counted.
	Attempts int
	// Parallel is how many files Many fetches at once; 0 means 16.
	Parallel int
	// Stall is how long a server may take to send a KiB (or its headers) before the
	// connection is given up; 0 means 15 s.
	Stall time.Duration
	// Backoff is the first pause before trying a URL again; each further one
	// doubles, up to 8 s. 0 means half a second.
	Backoff time.Duration
	// Jitter gives numbers in [0, 1) that spread the pauses; nil means random.
	Jitter func() float64
	// Sleep pauses; nil means the real clock. It returns early, with the context's
	// error, when the context ends.
	Sleep func(context.Context, time.Duration) error
	// Now is the clock that a Retry-After date is compared with and that the speed of a body is
	// measured by; nil means time.Now.
	Now func() time.Time

	once sync.Once
	http *http.Client
	// running are the bodies that come at a time. A client that fetches pieces of a file counts with
	// the one that it works for.
	running atomic.Int64
	of      *Client
}

// transfers counts what comes at a time.
func (c *Client) transfers() *atomic.Int64 {
	if c.of != nil {
		return c.of.transfers()
	}
	return &c.running
}

func (c *Client) attempts() int {
	if c.Attempts > 0 {
		return c.Attempts
	}
	return 4
}

func (c *Client) stall() time.Duration {
	if c.Stall > 0 {
		return c.Stall
	}
	return 15 * time.Second
}

func (c *Client) now() time.Time {
	if c.Now != nil {
		return c.Now()
	}
	return time.Now()
}

func (c *Client) tell(e Event) {
	if c.Progress != nil {
		c.Progress(e)
	}
}

// client is the HTTP client, made at first use.
func (c *Client) client() *http.Client {
	c.once.Do(func() {
		t := c.Transport
		if t == nil {
			t = &http.Transport{
				Proxy:               http.ProxyFromEnvironment,
				MaxIdleConnsPerHost: 64, // no fewer than Parallel, or they are opened anew for each file
				IdleConnTimeout:     30 * time.Second,
				TLSHandshakeTimeout: 15 * time.Second,
				DisableCompression:  true, // a .gz is wanted as it is
				ForceAttemptHTTP2:   true,
			}
		}
		if c.Bearer != nil {
			t = &bearer{t, c.Bearer}
		}
		c.http = &http.Client{Transport: t, CheckRedirect: followable}
	})
	return c.http
}

// pause waits before the n-th retry (from 0), at least as long as the server
// asked for.
func (c *Client) pause(ctx context.Context, n int, asked time.Duration) error {
	base := c.Backoff
	if base <= 0 {
		base = 500 * time.Millisecond
	}
	jitter := c.Jitter
	if jitter == nil {
		jitter = rand.Float64
	}
	d := min(base<<min(n, 10), 8*time.Second)
	d = d/2 + time.Duration(jitter()*float64(d))
	d = max(d, min(asked, time.Minute))
	if c.Sleep != nil {
		return c.Sleep(ctx, d)
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}

// Get fetches a file into to. When it returns without an error, to holds the whole
// file and its length and digest are what w says; otherwise to has been reset, unless it is a
// [Keeper].
//
// Errors: [fault.Unreachable] when no mirror gave the file, [fault.Verification]
// when one gave other bytes, [fault.Preflight] when there was no space; the
// context's own error when it ended. [IsMissing] tells a file that is not there.
func (c *Client) Get(ctx context.Context, w Want, to Sink) (Got, error) {
	t := &transfer{client: c, want: w, to: to, hash: sha256.New()}
	mirrors := make([]*mirror, 0, len(w.URLs))
	for _, u := range w.URLs {
		mirrors = append(mirrors, &mirror{url: u})
	}
	if len(mirrors) == 0 {
		return Got{}, fmt.Errorf("fetch %s: no URL to fetch it from", w.Name)
	}
	if err := t.begin(); err != nil {
		return Got{}, fmt.Errorf("fetch %s: %w", w.Name, err)
	}
	// All may be there: then only its digest is in question.
	if t.n > 0 && t.n == w.total() {
		if digest.From(t.hash) == w.SHA256 {
			c.tell(Event{Name: w.Name, Done: t.n, Total: t.n, Over: true})
			return Got{Size: t.n, SHA256: w.SHA256}, nil
		}
		if err := t.reset(); err != nil {
			return Got{}, fmt.Errorf("fetch %s: %w", w.Name, err)
		}
	}
	t.most = t.n
	// Round robin over the mirrors that are still of use. A mirror's first try comes
	// without a pause, so that a dead one costs no more than it must.
	for at := 0; ; at++ {
		m := alive(mirrors, &at)
		if m == nil {
			break
		}
		if n := m.failed(); n > 0 {
			if err := c.pause(ctx, n-1, m.wait); err != nil {
				return Got{}, t.stop(err)
			}
		}
		fail := t.once(ctx, m)
		if fail == nil {
			got := Got{URL: clean(m.url), Size: t.n, SHA256: digest.From(t.hash)}
			c.tell(Event{Name: w.Name, Done: t.n, Total: t.n, Over: true})
			return got, nil
		}
		if fail.kind == fatal {
			return Got{}, t.stop(fail.err)
		}
		m.count(fail, t.gained(), c.attempts())
		c.tell(Event{Name: w.Name, Done: t.n, Total: w.total(), Note: fail.err.Error()})
	}
	return Got{}, t.stop(verdict(w, mirrors))
}

// clean is a URL fit to be shown: no user, no password, no query.
func clean(raw string) string {
	u, err := url.Parse(raw)
	if err != nil {
		return "(unreadable URL)"
	}
	u.User, u.RawQuery, u.Fragment = nil, "", ""
	return u.String()
}

// site is the part of a URL before name: the archive's root, for messages that
// name the file already.
func site(raw, name string) string {
	s := clean(raw)
	if r, ok := strings.CutSuffix(s, "/"+name); ok {
		return r
	}
	return s
}
