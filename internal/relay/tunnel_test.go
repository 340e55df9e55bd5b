package relay

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/cgi"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"ingot/internal/digest"
	"ingot/internal/judge"
)

// a recording is what a relay's build notes: the answers of a server, by address.
type recording struct {
	dir    string
	server string // that stands for every host; "" is none: what is not known is not there
	mu     sync.Mutex
	known  map[string]string
}

// open gives what is known of an address, and asks the server else.
func (r *recording) open(ctx context.Context, address string, q Question) (*os.File, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.known[address] == "" {
		if r.server == "" {
			return nil, os.ErrNotExist
		}
		req, err := q.Request(address)
		if err != nil {
			return nil, err
		}
		req.URL.Scheme, req.URL.Host = "http", strings.TrimPrefix(r.server, "http://")
		answer, err := http.DefaultClient.Do(req.WithContext(ctx))
		if err != nil {
			return nil, err
		}
		defer answer.Body.Close()
		if answer.StatusCode != http.StatusOK {
			return nil, os.ErrNotExist
		}
		name := filepath.Join(r.dir, fmt.Sprint(len(r.known)))
		f, err := os.Create(name)
		if err != nil {
			return nil, err
		}
		if _, err := io.Copy(f, answer.Body); err != nil {
			return nil, err
		}
		if err := f.Close(); err != nil {
			return nil, err
		}
		r.known[address] = name
	}
	return os.Open(r.known[address])
}

// program runs a program whose network is a relay.
func program(t *testing.T, r *Relay, dir string, argv ...string) (string, error) {
	t.Helper()
	s := httptest.NewServer(r)
	defer s.Close()
	bundle := filepath.Join(t.TempDir(), "certificate.pem")
	if err := os.WriteFile(bundle, r.Authority.PEM(), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), judge.Path(t, argv[0]), argv[1:]...)
	cmd.Dir = dir
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + t.TempDir(), "http_proxy=" + s.URL, "https_proxy=" + s.URL, "no_proxy=", "LC_ALL=C", "GIT_TERMINAL_PROMPT=0"}
	for name, value := range Variables(bundle) {
		cmd.Env = append(cmd.Env, name+"="+value)
	}
	out, err := cmd.CombinedOutput()
	return string(out), err
}

func newRelay(t *testing.T, r *recording) *Relay {
	t.Helper()
	a, err := NewAuthority()
	if err != nil {
		t.Fatal(err)
	}
	return &Relay{Open: r.open, Authority: a}
}

// curl speaks https to the relay, and trusts no other.
func TestTunnel(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		if q.URL.Path != "/a/file" || q.URL.RawQuery != "x=1" {
			http.NotFound(w, q)
			return
		}
		fmt.Fprint(w, "the server's bytes")
	}))
	defer server.Close()
	rec := &recording{dir: t.TempDir(), server: server.URL, known: map[string]string{}}
	// A query may be a token: its digest is all that is noted of it.
	x := "#query=" + digest.Of([]byte("x=1")).String()
	for _, c := range []struct{ address, want, noted string }{
		{"https://a.example/a/file?x=1", "the server's bytes", "https://a.example/a/file" + x},
		{"https://a.example:443//a/file?x=1#behind", "the server's bytes", "https://a.example/a/file" + x},
		{"https://a.example:8443/a/file?x=1", "the server's bytes", "https://a.example:8443/a/file" + x},
		{"https://127.0.0.1/a/file?x=1", "the server's bytes", "https://127.0.0.1/a/file" + x},
		{"https://[::1]/a/file?x=1", "the server's bytes", "https://[::1]/a/file" + x},
		{"http://a.example/a/file?x=1", "the server's bytes", "http://a.example/a/file" + x},
	} {
		out, err := program(t, newRelay(t, rec), t.TempDir(), "curl", "-sSf", c.address)
		if err != nil || out != c.want {
			t.Errorf("%s: %v %q", c.address, err, out)
		}
		if rec.known[c.noted] == "" {
			t.Errorf("%s is not noted as %s", c.address, c.noted)
		}
	}
	if out, err := program(t, newRelay(t, rec), t.TempDir(), "curl", "-sSf", "https://a.example/none"); err == nil || !strings.Contains(out, "404") {
		t.Errorf("none: %v %q", err, out)
	}
	if out, err := program(t, newRelay(t, rec), t.TempDir(), "curl", "-sSf", "-X", "POST", "https://a.example/a/file?x=1"); err == nil || !strings.Contains(out, "405") {
		t.Errorf("a POST: %v %q", err, out)
	}
	for address := range rec.known {
		if strings.Contains(address, "x=1") {
			t.Errorf("the query is noted: %s", address)
		}
	}
	other := newRelay(t, rec)
	s := httptest.NewServer(other)
	defer s.Close()
	cmd := exec.CommandContext(t.Context(), judge.Path(t, "curl"), "-sSf", "--proxy", s.URL, "https://a.example/a/file?x=1")
	cmd.Env = []string{"SSL_CERT_DIR=/nowhere", "CURL_CA_BUNDLE=/dev/null"}
	if out, err := cmd.CombinedOutput(); err == nil {
		t.Errorf("a program that trusts others got %q", out)
	}
}

// git clones by https from a recording of what a server said, which is not there any more.
func TestGit(t *testing.T) {
	git := judge.Path(t, "git")
	repo := filepath.Join(t.TempDir(), "web.git")
	work := t.TempDir()
	run := func(dir string, argv ...string) string {
		t.Helper()
		cmd := exec.CommandContext(t.Context(), git, argv...)
		cmd.Dir = dir
		cmd.Env = append(os.Environ(), "GIT_AUTHOR_NAME=a", "GIT_AUTHOR_EMAIL=a@example.org", "GIT_COMMITTER_NAME=a", "GIT_COMMITTER_EMAIL=a@example.org", "GIT_CONFIG_GLOBAL=/dev/null")
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("git %s: %v\n%s", argv, err, out)
		}
		return strings.TrimSpace(string(out))
	}
	run(work, "init", "-q", "-b", "master")
	if err := os.WriteFile(filepath.Join(work, "site"), []byte("hello\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	run(work, "add", ".")
	run(work, "commit", "-q", "-m", "first")
	run(work, "tag", "v1")
	run(work, "clone", "-q", "--bare", work, repo)
	run(repo, "update-server-info")
	first := run(work, "rev-parse", "HEAD")
	backend := filepath.Join(run(work, "--exec-path"), "git-http-backend")
	if _, err := os.Stat(backend); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		summary string
		server  http.Handler
	}{
		{"a server of git's", &cgi.Handler{Path: backend, Env: []string{"GIT_PROJECT_ROOT=" + filepath.Dir(repo), "GIT_HTTP_EXPORT_ALL=1", "PATH=" + os.Getenv("PATH")}, InheritEnv: []string{"LD_LIBRARY_PATH"}}},
		{"a server of files", http.FileServer(http.Dir(filepath.Dir(repo)))},
	} {
		t.Run(c.summary, func(t *testing.T) {
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
				if p := q.Header.Get("Git-Protocol"); p != "" {
					if h, ok := c.server.(*cgi.Handler); ok {
						with := *h
						with.Env = append(slices.Clone(h.Env), "GIT_PROTOCOL="+p)
						with.ServeHTTP(w, q)
						return
					}
				}
				c.server.ServeHTTP(w, q)
			}))
			rec := &recording{dir: t.TempDir(), server: server.URL, known: map[string]string{}}
			for i := range 2 {
				dir := filepath.Join(t.TempDir(), "web")
				out, err := program(t, newRelay(t, rec), t.TempDir(), "git", "clone", "-q", "https://code.example/web.git", dir)
				if err != nil {
					t.Fatalf("%v\n%s", err, out)
				}
				if head := run(dir, "rev-parse", "HEAD"); head != first {
					t.Errorf("it is %s, want %s", head, first)
				}
				run(dir, "fsck", "--strict")
				if i == 0 {
					server.Close() // all that follows is in the recording
					rec.server = ""
				}
			}
			if out, err := program(t, newRelay(t, rec), t.TempDir(), "git", "clone", "-q", "https://code.example/other.git", filepath.Join(t.TempDir(), "x")); err == nil {
				t.Errorf("another one: %s", out)
			}
		})
	}
}

func FuzzAsked(f *testing.F) {
	f.Add("/web.git/git-upload-pack", "version=2", "0032want x")
	f.Fuzz(func(t *testing.T, path, protocol, body string) {
		q, err := http.NewRequest(http.MethodPost, "http://a.example/", strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		q.URL.Path = path
		q.Header.Set("Git-Protocol", protocol)
		address, question, err := asked(q)
		if err != nil {
			return
		}
		if string(question.Body) != body || strings.ContainsAny(address, " \n") && !strings.ContainsAny(path, " \n") {
			t.Errorf("%q %q", address, question.Body)
		}
	})
}
