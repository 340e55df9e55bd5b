package fetch_test

import (
	"bytes"
	"io"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"ingot/internal/digest"
	"ingot/internal/fault"
	"ingot/internal/fetch"
)

// A line brings so many bytes of each answer in ten seconds, by its own clock. The second
// server's answers come at once.
type line struct {
	piece int
	fast  string // its host
	clock time.Time
}

func (l *line) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := http.DefaultTransport.RoundTrip(r)
	if err == nil && r.URL.Host != l.fast {
		resp.Body = &slowly{resp.Body, l}
	}
	return resp, err
}

type slowly struct {
	io.ReadCloser
	line *line
}

func (s *slowly) Read(p []byte) (int, error) {
	s.line.clock = s.line.clock.Add(10 * time.Second)
	n, err := io.ReadFull(s.ReadCloser, p[:min(len(p), s.line.piece)])
	if err == io.ErrUnexpectedEOF { //nolint:errorlint // it is that itself
		err = io.EOF
	}
	return n, err
}

func TestPace(t *testing.T) {
	file := content(1 << 20)
	serve := func(t *testing.T) string {
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(file))
		}))
		t.Cleanup(s.Close)
		return s.URL + "/f"
	}
	for _, test := range []struct {
		summary string
		piece   int // bytes in ten seconds
		next    bool
		code    fault.Code
		says    string
	}{
		{summary: "a mirror that trickles", piece: 2 << 10, code: fault.Unreachable, says: "only 12288 bytes came in 60 s (after 24576 of 1048576 bytes) (2 tries)"},
		{summary: "a mirror that trickles, and a good one", piece: 2 << 10, next: true},
		{summary: "a slow line", piece: 41 << 10},
	} {
		t.Run(test.summary, func(t *testing.T) {
			l := &line{piece: test.piece}
			want := fetch.Want{Name: "f", URLs: []string{serve(t)}, Size: int64(len(file)), SHA256: digest.Of(file)}
			if test.next {
				want.URLs = append(want.URLs, serve(t))
				l.fast = strings.TrimSuffix(strings.TrimPrefix(want.URLs[1], "http://"), "/f")
			}
			c := client(nil)
			c.Attempts, c.Transport = 2, l
			c.Now = func() time.Time { return l.clock }
			_, err := c.Save(t.Context(), want, filepath.Join(t.TempDir(), "f"))
			if fault.CodeOf(err) != test.code || test.says != "" && !strings.Contains(err.Error(), test.says) {
				t.Errorf("exit code %d, want %d, %q: %v", fault.CodeOf(err), test.code, test.says, err)
			}
		})
	}
}
