package plan

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"ingot/internal/digest"
	"ingot/internal/lock"
)

// The trees of a definition are chains of one run: its lock gets what the scripts of all of
// them asked for, and one address is one file in all.
func TestDownloadsOfSeveralChains(t *testing.T) {
	file := func(address, text string) lock.Download {
		return lock.Download{Address: address, Size: int64(len(text)), SHA256: digest.Of([]byte(text))}
	}
	p := &Plan{Lock: &lock.Lock{Downloads: []lock.Download{file("http://a.example/lock", "l")}}}
	r, out := &Runner{}, &Result{}
	for _, c := range []struct {
		used []lock.Download
		same bool
	}{
		{[]lock.Download{file("http://a.example/one", "1"), file("http://a.example/all", "x")}, true},
		{[]lock.Download{file("http://a.example/lock", "l")}, true},
		{[]lock.Download{file("http://a.example/all", "y")}, false},
		{[]lock.Download{file("http://a.example/two", "2"), file("http://a.example/all", "x")}, true},
	} {
		w := &worker{Runner: r, plan: p, downs: newDownloads(r, p, out)}
		if same := w.downs.recall(c.used); same != c.same {
			t.Errorf("%v is what is known: %v", c.used, same)
		}
		w.noteDownloads(out)
	}
	want := []lock.Download{file("http://a.example/all", "x"), file("http://a.example/lock", "l"), file("http://a.example/one", "1"), file("http://a.example/two", "2")}
	if d := cmp.Diff(want, out.Downloads); d != "" {
		t.Errorf("-want +got:\n%s", d)
	}
}
