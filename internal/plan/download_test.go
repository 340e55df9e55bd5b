package plan

import (
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"

	"ingot/internal/definition"
	"ingot/internal/digest"
	"ingot/internal/fault"
	"ingot/internal/fetch"
	"ingot/internal/lock"
	"ingot/internal/relay"
	"ingot/internal/store"
	"ingot/internal/supply"
)

func download(address, text string) lock.Download {
	return lock.Download{Address: address, Size: int64(len(text)), SHA256: digest.Of([]byte(text))}
}

// downloader is a runner that fetches, with one try for each file.
func downloader(t *testing.T) *Runner {
	t.Helper()
	s, err := store.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	return &Runner{Supply: &supply.Supply{Store: s, Client: &fetch.Client{Attempts: 1}, Mirrors: func(string) []string { return nil }}}
}

// The trees of a definition are chains of one run: its lock gets what the scripts of all of
// them asked for, and one address is one file in all.
func TestDownloadsOfSeveralChains(t *testing.T) {
	p := &Plan{Definition: &definition.Definition{}, Lock: &lock.Lock{Downloads: []lock.Download{download("http://a.example/lock", "l")}}}
	r, out := downloader(t), &Result{}
	for _, c := range []struct {
		used, asked []lock.Download
		same        bool
	}{
		{asked: []lock.Download{download("http://a.example/one", "1"), download("http://a.example/all", "x")}, same: true},
		{used: []lock.Download{download("http://a.example/lock", "l")}, same: true},
		{used: []lock.Download{download("http://a.example/all", "y")}},
		{used: []lock.Download{download("http://a.example/all", "x")}, asked: []lock.Download{download("http://a.example/two", "2")}, same: true},
	} {
		w := &worker{Runner: r, plan: p, downs: newDownloads(r, p, Chain{}, out)}
		if same := w.downs.recall(use{Downloads: c.used}); same != c.same {
			t.Errorf("%v is what is known: %v", c.used, same)
		}
		for _, f := range c.asked {
			w.downs.known[f.Address], w.downs.used[f.Address] = f, true
		}
		w.downs.take()
		w.noteDownloads(out)
	}
	want := []lock.Download{download("http://a.example/all", "x"), download("http://a.example/lock", "l"), download("http://a.example/one", "1"), download("http://a.example/two", "2")}
	if d := cmp.Diff(want, out.Downloads); d != "" {
		t.Errorf("-want +got:\n%s", d)
	}
}

// A result that was made of what a server had once is not used for a lock that does not say
// so: else 'ingot lock --update' would move nothing that scripts ask for. Without a network
// it is all that there is.
func TestRecallGoesByTheLock(t *testing.T) {
	old := download("http://a.example/head", "old")
	for _, c := range []struct {
		summary         string
		lock            []lock.Download
		locked, offline bool
		same            bool
	}{
		{summary: "the lock names it", lock: []lock.Download{old}, same: true},
		{summary: "a lock of today"},
		{summary: "another one", lock: []lock.Download{download(old.Address, "new")}},
		{summary: "offline", offline: true, same: true},
		{summary: "offline and locked", offline: true, locked: true},
	} {
		r := downloader(t)
		r.Locked = c.locked
		if c.offline {
			r.Supply.Mirrors = nil
		}
		d := newDownloads(r, &Plan{Definition: &definition.Definition{}, Lock: &lock.Lock{Downloads: c.lock}}, Chain{}, &Result{})
		if same := d.recall(use{Downloads: []lock.Download{old}}); same != c.same {
			t.Errorf("%s: %v", c.summary, same)
		}
	}
}

// What failed is asked for again, and of those who ask at once one asks the server.
func TestDownloadFailsOnce(t *testing.T) {
	var asked atomic.Int64
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if asked.Add(1) == 1 {
			http.Error(w, "not now", http.StatusServiceUnavailable)
			return
		}
		_, _ = io.WriteString(w, "there")
	}))
	defer server.Close()
	d := newDownloads(downloader(t), &Plan{Definition: &definition.Definition{}, Lock: &lock.Lock{}}, Chain{}, &Result{})
	if f, err := d.open(t.Context(), server.URL+"/a", relay.Question{}); err == nil {
		f.Close()
		t.Fatal("the server's excuse is a file")
	}
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			f, err := d.open(t.Context(), server.URL+"/a", relay.Question{})
			if err != nil {
				t.Error(err)
				return
			}
			defer f.Close()
			if data, err := io.ReadAll(f); err != nil || string(data) != "there" {
				t.Errorf("%q: %v", data, err)
			}
		})
	}
	all.Wait()
	if n := asked.Load(); n != 2 {
		t.Errorf("the server was asked %d times", n)
	}
}

// A file that the lock names and that is gone is not taken for one that never was.
func TestDownloadIsGone(t *testing.T) {
	server := httptest.NewServer(http.NotFoundHandler())
	defer server.Close()
	d := newDownloads(downloader(t), &Plan{Definition: &definition.Definition{}, Lock: &lock.Lock{Downloads: []lock.Download{download(server.URL+"/a", "was")}}}, Chain{}, &Result{})
	if _, err := d.open(t.Context(), server.URL+"/a", relay.Question{}); fault.CodeOf(err) != fault.Unreachable {
		t.Errorf("%v", err)
	}
	if got := d.known[server.URL+"/a"]; got.SHA256.IsZero() {
		t.Errorf("it is known as %v", got)
	}
}

// The lock names neither what somebody asked for who looked around nor what ran after him,
// and of what was asked for before only what results hold that were kept.
func TestDownloadsAfterALookAround(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) { _, _ = io.WriteString(w, q.URL.Path) }))
	defer server.Close()
	d := newDownloads(downloader(t), &Plan{Definition: &definition.Definition{}, Lock: &lock.Lock{}}, Chain{}, &Result{})
	ask := func(path string) {
		t.Helper()
		f, err := d.open(t.Context(), server.URL+path, relay.Question{})
		if err != nil {
			t.Fatal(err)
		}
		f.Close()
	}
	ask("/before")
	d.take()
	ask("/lost")
	d.leaveAlone()
	ask("/shell")
	ask("/before")
	d.take()
	if diff := cmp.Diff([]lock.Download{download(server.URL+"/before", "/before")}, d.all()); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	if n := len(d.came()); n != 3 {
		t.Errorf("papers name %d files", n)
	}
}

// A token in an address is asked with and noted nowhere.
func TestDownloadWithAToken(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		if q.URL.Query().Get("token") == "hunter2" {
			_, _ = io.WriteString(w, "behind it")
		} else {
			http.NotFound(w, q)
		}
	}))
	defer server.Close()
	d := newDownloads(downloader(t), &Plan{Definition: &definition.Definition{}, Lock: &lock.Lock{}}, Chain{}, &Result{})
	front := httptest.NewServer(&relay.Relay{Open: d.open})
	defer front.Close()
	proxy, err := url.Parse(front.URL)
	if err != nil {
		t.Fatal(err)
	}
	client := &http.Client{Transport: &http.Transport{Proxy: func(*http.Request) (*url.URL, error) { return proxy, nil }}}
	for _, c := range []struct{ query, want string }{{"?token=hunter2", "behind it"}, {"?token=other", ""}, {"", ""}} {
		a, err := client.Get(server.URL + "/a" + c.query)
		if err != nil {
			t.Fatal(err)
		}
		data, err := io.ReadAll(a.Body)
		a.Body.Close()
		if ok := a.StatusCode == http.StatusOK; err != nil || ok != (c.want != "") || ok && string(data) != c.want {
			t.Errorf("%s: %s %q %v", c.query, a.Status, data, err)
		}
	}
	d.take()
	all := d.all()
	if len(all) != 3 { // each is a file of its own
		t.Errorf("the lock gets %v", all)
	}
	for _, f := range all {
		if strings.Contains(f.Address, "hunter2") || strings.Contains(f.Address, "token") {
			t.Errorf("the lock gets %s", f.Address)
		}
	}
}

// What a script was told of a file system's identity is another thing in another lock.
func TestRecallGoesByTheIdentity(t *testing.T) {
	r := downloader(t)
	of := func(epoch int64) *downloads {
		return newDownloads(r, &Plan{Definition: &definition.Definition{}, Lock: &lock.Lock{Epoch: epoch}}, Chain{}, &Result{})
	}
	d := of(1)
	without := d.take()
	d.identify()
	with := d.take()
	for _, c := range []struct {
		summary string
		used    use
		epoch   int64
		same    bool
	}{{"nobody asked", without, 2, true}, {"the same lock", with, 1, true}, {"another", with, 2, false}} {
		if same := of(c.epoch).recall(c.used); same != c.same {
			t.Errorf("%s: %v", c.summary, same)
		}
	}
}
