package server

import (
	"math"
	"net/http"
	"net/netip"
	"strconv"
	"sync"
	"time"
)

// burst is for how many seconds an address may have saved up requests.
const burst = 10

// maxWatched bounds how many addresses are remembered.
const maxWatched = 1 << 16

// A throttle bounds how many requests an address may make. For each it knows one
// time: by when all its requests would have been made at the rate that is allowed. That may be ahead of the
// clock by the burst.
type throttle struct {
	next    http.Handler
	each    time.Duration // between two requests
	now     func() time.Time
	metrics *Metrics

	mu    sync.Mutex
	until map[netip.Prefix]time.Time
}

func newThrottle(next http.Handler, rate float64, now func() time.Time, m *Metrics) *throttle {
	return &throttle{next: next, each: time.Duration(float64(time.Second) / rate), now: now, metrics: m, until: map[netip.Prefix]time.Time{}}
}

func (t *throttle) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	wait := t.take(neighbourOf(r.RemoteAddr))
	if wait <= 0 {
		t.next.ServeHTTP(w, r)
		return
	}
	t.metrics.refuse("requests of one address")
	p := newPaced(w, patience)
	p.Header().Set("Retry-After", strconv.Itoa(int(math.Ceil(wait.Seconds()))))
	http.Error(p, "too many requests", http.StatusTooManyRequests)
}

// take counts a request, or says how long it is too early.
func (t *throttle) take(who netip.Prefix) time.Duration {
	now := t.now()
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.until) >= maxWatched {
		t.forget(now)
	}
	until := t.until[who]
	if until.Before(now) {
		until = now
	}
	if early := until.Sub(now) - max(burst*time.Second, t.each) + t.each; early > 0 {
		return early
	}
	t.until[who] = until.Add(t.each)
	return 0
}

// forget drops addresses that have saved up all they may, and, if that are too few, the
// others too: memory is bounded before anything else.
func (t *throttle) forget(now time.Time) {
	for who, until := range t.until {
		if !until.After(now) {
			delete(t.until, who)
		}
	}
	if len(t.until) >= maxWatched {
		clear(t.until)
	}
}
