package fetch

import (
	"testing"
	"time"
)

// FuzzHeaders: what a server says in its headers is bounded, whatever it is.
func FuzzHeaders(f *testing.F) {
	f.Add("bytes 100-199/200", "120", "http://u:p@m.example/debian/x?y#z")
	f.Add("bytes 0-0/*", "Sat, 21 Nov 2026 01:00:00 GMT", "file:///x")
	f.Fuzz(func(t *testing.T, span, wait, url string) {
		if first, total, ok := contentRange(span); ok && (first < 0 || total >= 0 && total < first || total < -1) {
			t.Errorf("%q: %d, %d", span, first, total)
		}
		if d := retryAfter(wait, time.Unix(1_800_000_000, 0)); d < 0 {
			t.Errorf("%q: %v", wait, d)
		}
		if shown := clean(url); clean(shown) != shown && shown != "(unreadable URL)" {
			t.Errorf("%q: %q is not clean", url, shown)
		}
	})
}
