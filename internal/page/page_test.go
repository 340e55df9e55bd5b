package page

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"ingot/internal/artifact"
	"ingot/internal/catalog"
	"ingot/internal/digest"
	"ingot/internal/judge"
)

var now = time.Date(2026, 11, 30, 12, 0, 0, 0, time.UTC)

// A shelf is a tree in memory.
type shelf struct {
	c     catalog.Catalog
	err   error
	files map[string][]byte
}

func (s *shelf) Offer() (catalog.Catalog, error) { return s.c, s.err }
func (s *shelf) Key() string                     { return strings.Repeat("AB", 20) }
func (s *shelf) Read(name string, _ int64) ([]byte, error) {
	if data, ok := s.files[name]; ok {
		return data, nil
	}
	return nil, fs.ErrNotExist
}

// put adds a version with packages, "NAME VERSION" each.
func (s *shelf) put(t *testing.T, name, arch, distro, channel string, ago time.Duration, formats []string, packages ...string) {
	t.Helper()
	m := artifact.Manifest{Schema: 1, Name: name}
	for _, p := range packages {
		n, v, _ := strings.Cut(p, " ")
		m.Packages = append(m.Packages, artifact.ManifestEntry{Name: n, Version: v, Arch: arch})
	}
	data, err := json.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	file := func(name string, data []byte) catalog.File {
		f := catalog.File{Name: name, Size: int64(len(data)), SHA256: digest.Of(data)}
		s.files[f.Path()] = data
		return f
	}
	v := catalog.Version{Distro: distro, Release: "one", Flavor: `<b>"flavor"</b>`, Lock: digest.Of([]byte(fmt.Sprint(name, ago)))}
	for _, format := range formats {
		base := name + "-" + arch + "." + format
		v.Artifacts = append(v.Artifacts, catalog.Artifact{
			Format: format, Files: []catalog.File{file(base, fmt.Appendf(nil, "%s %s %v", base, arch, ago))},
			Papers: []catalog.File{file(base+artifact.ManifestSuffix, data), file(base+artifact.SBOMSuffix, []byte("{}"))},
		})
	}
	s.c, _ = s.c.Add(name, arch, channel, v, now.Add(-ago))
}

func newShelf(t *testing.T) *shelf {
	t.Helper()
	s := &shelf{files: map[string][]byte{}}
	s.c = catalog.Catalog{Schema: 1, Serial: 7, Created: now.Add(-time.Hour), Expires: now.Add(90 * 24 * time.Hour)}
	for _, arch := range []string{"amd64", "arm64"} {
		s.put(t, "web", arch, "debian", "stable", 50*time.Hour, []string{"qcow2", "lxc"}, "bash 1", "curl <script>alert(1)</script>", "old 1")
		s.put(t, "web", arch, "debian", "testing", time.Hour, []string{"qcow2", "lxc"}, "bash 2", "curl <script>alert(1)</script>", "new 1")
	}
	s.put(t, "router", "amd64", "alpine", "stable", 100*24*time.Hour, []string{"incus"}, "musl 1")
	return s
}

func (s *shelf) pages(base string) *Pages {
	return &Pages{Source: s, Base: base, Now: func() time.Time { return now }}
}

// get asks for a page; the code and what a browser would show.
func get(p *Pages, path string) (int, string) {
	u, err := url.Parse("http://images.test" + path)
	if err != nil {
		panic(err)
	}
	r := httptest.NewRequest("GET", u.String(), nil)
	w := httptest.NewRecorder()
	p.Serve(w, r, strings.TrimPrefix(u.Path, "/"))
	return w.Code, w.Body.String()
}

func TestList(t *testing.T) {
	p := newShelf(t).pages("/team")
	card := regexp.MustCompile(`<h2><a href="/team/image/([^"]*)">`)
	for query, want := range map[string]string{
		"": "router web", "?q=WE": "web", "?q=debian": "web", "?distro=alpine": "router", "?arch=arm64": "web", "?arch=amd64": "router web", "?format=qcow2": "web",
		"?channel=testing": "web", "?distro=alpine&arch=arm64": "", "?q=" + url.QueryEscape("<i>"): "", "?page=2": "router web", "?page=-1": "router web", "?page=x": "router web",
	} {
		code, text := get(p, "/"+query)
		var got []string
		for _, m := range card.FindAllStringSubmatch(text, -1) {
			got = append(got, m[1])
		}
		if code != 200 || strings.Join(got, " ") != want || strings.Contains(text, "<i>") {
			t.Errorf("%q: %d %q, want %q", query, code, got, want)
		}
	}
	_, text := get(p, "/")
	for _, want := range []string{"built 3 months ago", `class="health good">current`, "serial 7", "3 months more", strings.Repeat("AB", 20)} {
		if !strings.Contains(text, want) {
			t.Errorf("it does not say %q", want)
		}
	}
}

// TestPaging: thousands of images come a hundred at a time, and the filters go along.
func TestPaging(t *testing.T) {
	s := newShelf(t)
	for n := range 230 {
		s.put(t, fmt.Sprintf("n%03d", n), "amd64", "debian", "stable", time.Hour, []string{"qcow2"})
	}
	_, text := get(s.pages(""), "/?page=2&q=n")
	if strings.Count(text, `class="card"`) != perPage || !strings.Contains(text, `href="?page=1&amp;q=n"`) || !strings.Contains(text, `href="?page=3&amp;q=n"`) {
		t.Error("the second page has other images, or no way on and back")
	}
	if _, text = get(s.pages(""), "/?page=3&q=n"); strings.Contains(text, `rel="next"`) || !strings.Contains(text, "n229") {
		t.Error("the last page is not the last")
	}
}

func TestImage(t *testing.T) {
	s := newShelf(t)
	p := s.pages("")
	code, text := get(p, "/image/web?arch=arm64&version=20261130_1100")
	if code != 200 {
		t.Fatal(code)
	}
	for _, want := range []string{
		"Packages: 1 added, 1 removed, 1 changed", "<td>bash</td><td><code>1</code></td><td><code>2</code></td>", `<tr class="added"><td aria-label="added">&#43;</td><td>new</td>`, `<tr class="removed">`,
		"ingot pull web@testing --arch arm64 --from http://images.test --key ABAB", "/images/debian/one/arm64/web/20261130_1100/SHA256SUMS.asc", "SBOM (SPDX)",
		`<a href="?arch=amd64">`, "20261128_1000", "flavor &lt;b&gt;&#34;flavor&#34;",
	} {
		if !strings.Contains(text, want) && !strings.Contains(text, strings.ReplaceAll(want, "&#43;", "+")) {
			t.Errorf("it does not say %q", want)
		}
	}
	// The stable version is the first: nothing to compare, and nothing of a script.
	if code, text = get(p, "/image/web"); code != 200 || strings.Contains(text, "What changed") || !strings.Contains(text, "ingot pull web --arch amd64") {
		t.Errorf("the stable version: %d", code)
	}
	for _, path := range []string{"/image/nothing", "/image/", "/image/web?arch=mips", "/image/web?version=x", "/image/web/x", "/image/<script>"} {
		if code, text := get(p, path); code != 404 || strings.Contains(text, "<script>") {
			t.Errorf("%s is %d", path, code)
		}
	}
	// A manifest that was changed is not shown.
	q := s.pages("")
	for name, data := range s.files {
		if strings.Contains(string(data), `"new"`) {
			s.files[name] = []byte(strings.Replace(string(data), `"new"`, `"bad"`, 1))
		}
	}
	if _, text = get(q, "/image/web?version=20261130_1100"); strings.Contains(text, "bad") || !strings.Contains(text, "no manifest of both") {
		t.Error("a changed manifest is shown")
	}
}

// TestEscaping: what publishers and clients write stays text, and no policy lets in what would not.
func TestEscaping(t *testing.T) {
	s := newShelf(t)
	p := s.pages("")
	r := httptest.NewRequest("GET", "/image/web?version=20261130_1100", nil)
	r.Host = "x;rm -rf /"
	w := httptest.NewRecorder()
	p.Serve(w, r, "image/web")
	text := w.Body.String()
	if strings.Contains(text, "<script>") || strings.Contains(text, "rm -rf") || strings.Contains(text, "<b>") {
		t.Error("a stranger's text is more than text")
	}
	policy := w.Header().Get("Content-Security-Policy")
	if !strings.HasPrefix(policy, "default-src 'none'") || strings.Contains(policy, "unsafe") || strings.Contains(policy, "*") {
		t.Errorf("the policy is %q", policy)
	}
	for _, bad := range []string{" style=", " onclick=", "javascript:", "<style"} {
		if strings.Contains(text, bad) {
			t.Errorf("the page has %q, which its own policy forbids", bad)
		}
	}
	s.err = errors.New("<script>secret</script>")
	if code, text := get(s.pages(""), "/"); code != 503 || strings.Contains(text, "secret") {
		t.Errorf("a broken tree is %d", code)
	}
	if code, _ := get(p, "/static/../page.go"); code != 404 {
		t.Errorf("a file of the program is %d", code)
	}
}

func TestSpan(t *testing.T) {
	for d, want := range map[time.Duration]string{-1: "none", 0: "moments", time.Minute: "a minute", 59 * time.Minute: "59 minutes", time.Hour: "an hour", 47 * time.Hour: "47 hours", 48 * time.Hour: "2 days", 61 * 24 * time.Hour: "2 months", 800 * 24 * time.Hour: "2 years"} {
		if got := span(d); got != want {
			t.Errorf("%v is %q, want %q", d, got, want)
		}
	}
}

// probe is what the test adds to the pages' script: it presses and types as people do, and
// leaves in the page's title what became of it.
const probe = `
addEventListener("load", async () => {
  const out = { wide: document.documentElement.scrollWidth > innerWidth, copy: document.querySelectorAll(".use button").length, uses: document.querySelectorAll(".use").length };
  const search = document.querySelector(".filters input");
  if (search) {
    dispatchEvent(new KeyboardEvent("keydown", { key: "/" }));
    out.focus = document.activeElement === search;
    search.value = "rou";
    search.dispatchEvent(new Event("input"));
    out.left = [...document.querySelectorAll(".card:not([hidden])")].length;
  }
  const before = getComputedStyle(document.body).backgroundColor;
  document.querySelector(".bar button").click();
  out.colours = before !== getComputedStyle(document.body).backgroundColor;
  document.title = "PROBE " + JSON.stringify(out);
});
`

// TestBrowser: pages do in Chromium what they are for, with a script and without, on wide and narrow
// screens, and within their policy.
func TestBrowser(t *testing.T) {
	judge.Needs(t, judge.Full)
	chromium := judge.Path(t, "chromium")
	p := newShelf(t).pages("")
	ts := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/static/script.js" {
			w.Header().Set("Content-Type", "text/javascript")
			_, _ = w.Write(append(append([]byte{}, assets["script.js"]...), probe...))
			return
		}
		p.Serve(w, r, strings.TrimPrefix(r.URL.Path, "/"))
	}))
	defer ts.Close()
	title := regexp.MustCompile(`<title>PROBE (.*?)</title>`)
	for _, c := range []struct{ name, path, want string }{
		{"list", "/", `{"wide":false,"copy":0,"uses":0,"focus":true,"left":1,"colours":true}`},
		{"image", "/image/web?version=20261130_1100", `{"wide":false,"copy":3,"uses":3,"colours":true}`},
		{"wrong", "/image/nothing", `{"wide":false,"copy":0,"uses":0,"colours":true}`},
	} {
		for _, width := range []string{"1280", "500"} {
			dir := t.TempDir()
			cmd := exec.CommandContext(t.Context(), chromium, "--headless", "--no-sandbox", "--disable-gpu", "--enable-logging=stderr", "--user-data-dir="+filepath.Join(dir, "profile"),
				"--window-size="+width+",900", "--screenshot="+filepath.Join(dir, "shot.png"), "--dump-dom", ts.URL+c.path)
			var said strings.Builder
			cmd.Stderr = &said
			out, err := cmd.Output()
			if err != nil {
				t.Fatalf("%v\n%s", err, said.String())
			}
			got := title.FindStringSubmatch(string(out))
			if got == nil || got[1] != c.want {
				t.Errorf("%s, %s wide: %q, want %s", c.name, width, got, c.want)
			}
			for line := range strings.Lines(said.String()) {
				if strings.Contains(line, "CONSOLE") && !strings.Contains(line, "404") {
					t.Errorf("%s: the browser says %s", c.name, line)
				}
			}
			if keep := os.Getenv("INGOT_TEST_SHOTS"); keep != "" {
				if err := os.Rename(filepath.Join(dir, "shot.png"), filepath.Join(keep, c.name+"-"+width+".png")); err != nil {
					t.Error(err)
				}
			}
		}
	}
	bare := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/static/script.js" {
			w.WriteHeader(http.StatusNotFound)
			return
		}
		p.Serve(w, r, strings.TrimPrefix(r.URL.Path, "/"))
	}))
	defer bare.Close()
	cmd := exec.CommandContext(t.Context(), chromium, "--headless", "--no-sandbox", "--disable-gpu", "--user-data-dir="+t.TempDir(), "--dump-dom", bare.URL+"/?distro=alpine")
	out, err := cmd.Output()
	if err != nil || strings.Contains(string(out), "PROBE") || !strings.Contains(string(out), "/image/router") || strings.Contains(string(out), "/image/web") {
		t.Errorf("without a script: %v\n%s", err, out)
	}
}
