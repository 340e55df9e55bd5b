package relay

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"ingot/internal/fault"
)

// shop is a relay with one file and one call.
func shop(t *testing.T) (client *http.Client, address string, said *[]string) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, []byte("the lock's bytes"), 0o600); err != nil {
		t.Fatal(err)
	}
	said = &[]string{}
	r := &Relay{
		Time: time.Unix(1700000000, 0),
		Log:  func(line string) { *said = append(*said, line) },
		Open: func(_ context.Context, address string, _ Question) (*os.File, error) {
			switch at, _, _ := strings.Cut(address, "#"); at {
			case "http://a.example/dists/x":
				return os.Open(file)
			case "http://a.example/refused":
				return nil, fault.Newf(fault.Verification, "not in the lock")
			}
			return nil, os.ErrNotExist
		},
		Calls: map[string]Call{"greet": func(_ context.Context, c Calling, out io.Writer) int {
			fmt.Fprintf(out, "hello %s\nin %s", strings.Join(c.Args, ","), c.Dir)
			return 7
		}},
	}
	s := httptest.NewServer(r)
	t.Cleanup(s.Close)
	proxy, err := url.Parse(s.URL)
	if err != nil {
		t.Fatal(err)
	}
	return &http.Client{Transport: &http.Transport{Proxy: http.ProxyURL(proxy)}}, s.Listener.Addr().String(), said
}

func TestFiles(t *testing.T) {
	client, _, said := shop(t)
	for _, c := range []struct {
		address string
		code    int
		body    string
	}{
		{"http://A.example:80//dists/x", 200, "the lock's bytes"},
		{"http://a.example/none", 404, ""},
		{"http://a.example/refused?token=secret", 502, "not in the lock"},
	} {
		a, err := client.Get(c.address)
		if err != nil {
			t.Fatal(err)
		}
		body, _ := io.ReadAll(a.Body)
		a.Body.Close()
		if a.StatusCode != c.code || !strings.Contains(string(body), c.body) {
			t.Errorf("%s: %s %q, want %d %q", c.address, a.Status, body, c.code, c.body)
		}
	}
	if a, err := client.Post("http://a.example/dists/x?token=secret", "text/plain", strings.NewReader("")); err != nil || a.StatusCode != http.StatusMethodNotAllowed {
		t.Errorf("a POST: %v", err)
	} else {
		a.Body.Close()
	}
	if len(*said) != 2 || !strings.Contains((*said)[0], "not in the lock") || strings.Contains(strings.Join(*said, "\n"), "secret") {
		t.Errorf("the build was told %q", *said)
	}
}

// What the script has already is not sent again.
func TestUnchanged(t *testing.T) {
	client, _, _ := shop(t)
	q, err := http.NewRequest(http.MethodGet, "http://a.example/dists/x", nil)
	if err != nil {
		t.Fatal(err)
	}
	q.Header.Set("If-Modified-Since", time.Unix(1700000000, 0).UTC().Format(http.TimeFormat))
	a, err := client.Do(q)
	if err != nil {
		t.Fatal(err)
	}
	a.Body.Close()
	if a.StatusCode != http.StatusNotModified {
		t.Errorf("%s", a.Status)
	}
}

func TestRefused(t *testing.T) {
	_, address, said := shop(t)
	for _, line := range []string{"CONNECT a.example:443 HTTP/1.1\r\nHost: a.example:443\r\n\r\n", "PUT http://a.example/x HTTP/1.1\r\nHost: a.example\r\n\r\n", "GET /x HTTP/1.1\r\nHost: a.example\r\n\r\n", "POST /nobody HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}"} {
		conn, err := net.Dial("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprint(conn, line)
		a, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err != nil {
			t.Fatal(err)
		}
		a.Body.Close()
		conn.Close()
		if a.StatusCode < 400 {
			t.Errorf("%q: %s", line, a.Status)
		}
	}
	if len(*said) != 4 {
		t.Errorf("the build was told %q", *said)
	}
}

func TestCall(t *testing.T) {
	_, address, _ := shop(t)
	conn, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	body := `{"Args": ["you", "all"], "Dir": "/somewhere"}`
	fmt.Fprintf(conn, "POST /greet HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%s", len(body), body)
	a, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer a.Body.Close()
	var out strings.Builder
	code, err := copyAnswer(&out, a.Body)
	if err != nil || code != 7 || out.String() != "hello you,all\nin /somewhere\n" {
		t.Errorf("code %d, error %v, output %q", code, err, out.String())
	}
}

func FuzzAnswer(f *testing.F) {
	f.Add("ohello\ne0\n")
	f.Add("e\n")
	f.Add("")
	f.Fuzz(func(_ *testing.T, text string) {
		_, _ = copyAnswer(io.Discard, strings.NewReader(text))
	})
}
