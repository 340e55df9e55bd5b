package fetch

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"syscall"
	"time"

	"ingot/internal/fault"
)

// A kind says what a failed attempt means for the next one.
type kind int

const (
	again kind = iota // the server may do better in a while
	gone              // the server says that it will not give the file
	page              // something between gave a web page
	wrong             // the bytes are not the ones asked for
	fatal             // no further attempt makes sense
)

// A failure is one failed attempt.
type failure struct {
	kind    kind
	missing bool          // the server says that there is no such file
	wait    time.Duration // the pause that the server asked for
	err     error
}

func fail(k kind, err error) *failure { return &failure{kind: k, err: err} }

func failf(k kind, format string, args ...any) *failure {
	return fail(k, fmt.Errorf(format, args...))
}

// A mirror is one URL of a Want and what became of it.
type mirror struct {
	url   string
	tries [fatal]int    // by kind; only what counts against it
	wait  time.Duration // it asked for before the next
	dead  bool
	last  *failure
}

// failed is how many of its tries count against it.
func (m *mirror) failed() int {
	n := 0
	for _, k := range m.tries {
		n += k
	}
	return n
}

// count books a failed attempt after which n bytes more of the file were there than ever before:
// a server that has them thrown away, and sends them again, would otherwise hold a fetch for ever. Each kind of failure has its own
// patience, so that a cut connection before wrong bytes does not take the try from scratch
// that wrong bytes deserve.
func (m *mirror) count(f *failure, n int64, attempts int) {
	m.last, m.wait = f, f.wait
	if f.kind == again && n >= 1<<20 {
		m.tries[again] = 0
	}
	m.tries[f.kind]++
	limit := attempts
	switch f.kind {
	case gone, wrong:
		limit = min(2, attempts) // mirrors are updated under our feet: once more, not oftener
	case page:
		limit = min(3, attempts)
	case again, fatal:
	}
	if strings.HasPrefix(m.url, "file:") && f.kind != again {
		limit = 1
	}
	m.dead = m.tries[f.kind] >= limit
}

// alive is the next mirror of use at or after *at, which it moves there.
func alive(mirrors []*mirror, at *int) *mirror {
	for range mirrors {
		if m := mirrors[*at%len(mirrors)]; !m.dead {
			return m
		}
		*at++
	}
	return nil
}

// errStalled is the cause when the watchdog ends a request.
var errStalled = errors.New("stalled")

// statusError is an answer's status as an error.
type statusError int

func (s statusError) Error() string {
	return fmt.Sprintf("answered %d %s", int(s), strings.ToLower(http.StatusText(int(s))))
}

// IsRefused says whether a server wants to know who asks, or does not give the file to who does.
func IsRefused(err error) bool {
	var s statusError
	return errors.As(err, &s) && (s == http.StatusUnauthorized || s == http.StatusForbidden)
}

// A redirectError is a redirect that is not followed.
type redirectError struct{ why string }

func (e *redirectError) Error() string { return e.why }

// followable bounds redirects: five at most, to http or https only, and never
// from https to http, where anyone on the way could answer.
func followable(req *http.Request, via []*http.Request) error {
	if len(via) > 5 {
		return &redirectError{"redirected more than 5 times"}
	}
	if s := req.URL.Scheme; s != "https" && (s != "http" || via[len(via)-1].URL.Scheme == "https") {
		return &redirectError{fmt.Sprintf("redirected from %s to %s, which is not followed", via[len(via)-1].URL.Scheme, s)}
	}
	return nil
}

// inner strips what net/http wraps around an error, for it may hold the URL.
func inner(err error) error {
	if ue, ok := errors.AsType[*url.Error](err); ok {
		err = ue.Err
	}
	if errors.Is(err, io.ErrUnexpectedEOF) {
		return errors.New("it was cut")
	}
	return err
}

// full gives an error of writing its exit code.
func full(name string, err error) error {
	if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) {
		return fault.Newf(fault.Preflight, "fetch %s: %w", name, err).WithHint("make room on that file system, or move $INGOT_HOME and $INGOT_CACHE")
	}
	return fmt.Errorf("fetch %s: %w", name, err)
}

// A missing error is one where every mirror said that there is no such file.
type missing struct{ error }

func (m missing) Unwrap() error { return m.error }

// IsMissing says whether a Get failed because every mirror said that there is no
// such file (404, 410, or no such path).
func IsMissing(err error) bool {
	_, ok := errors.AsType[missing](err)
	return ok
}

// verdict is the error of a Get whose mirrors are all dead.
func verdict(w Want, mirrors []*mirror) error {
	var whys []string
	bad, none, pages := false, true, false
	var last error
	for _, m := range mirrors {
		tries := ""
		if n := m.failed(); n > 1 {
			tries = fmt.Sprintf(" (%d tries)", n)
		}
		whys = append(whys, fmt.Sprintf("%s: %v%s", site(m.url, w.Name), m.last.err, tries))
		bad = bad || m.last.kind == wrong
		pages = pages || m.last.kind == page
		none = none && m.last.missing
		if last == nil || IsRefused(m.last.err) {
			last = m.last.err
		}
	}
	if len(whys) > 4 {
		whys = append(whys[:3], fmt.Sprintf("and %d more", len(whys)-3))
	}
	all := strings.Join(whys, "; ")
	switch {
	case bad:
		return fault.Newf(fault.Verification, "%s is not what its index says: %s", w.Name, all).
			WithHint("the mirror is out of step or was tampered with: try another with --mirror")
	case pages:
		return fault.Newf(fault.Unreachable, "cannot fetch %s: %s", w.Name, all).
			WithHint("log in to the network, or name another mirror with --mirror")
	case none:
		return missing{fault.Newf(fault.Unreachable, "cannot fetch %s: %s", w.Name, all).
			WithHint("the mirror does not carry it: name another with --mirror, or update the lock")}
	}
	if IsRefused(last) {
		return refused{fault.Newf(fault.Unreachable, "cannot fetch %s: %s", w.Name, all).
			WithHint("the server asks who you are: name another mirror with --mirror"), last}
	}
	return fault.Newf(fault.Unreachable, "cannot fetch %s: %s", w.Name, all).
		WithHint("check the network, or name another mirror with --mirror")
}

// A refused error is one where a mirror asked who wants to know.
type refused struct {
	error
	status error
}

func (r refused) Unwrap() []error { return []error{r.error, r.status} }
