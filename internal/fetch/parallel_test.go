package fetch_test

import (
	"bytes"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"

	"ingot/internal/digest"
	"ingot/internal/fault"
	"ingot/internal/fetch"
)

func TestGetParallel(t *testing.T) {
	const size = 21<<20 + 3
	file := content(size)
	want := digest.Of(file)
	other := append(bytes.Clone(file[:size/2]), append([]byte{file[size/2] ^ 1}, file[size/2+1:]...)...)
	ranged := func(answer behaviour) behaviour {
		return func(w http.ResponseWriter, r *http.Request, n int, file []byte) {
			if r.Header.Get("Range") == "" {
				good(w, r, n, file)
				return
			}
			answer(w, r, n, file)
		}
	}
	for _, test := range []struct {
		summary string
		answer  behaviour
		before  []byte // of an earlier transfer
		least   int    // requests
		code    fault.Code
	}{
		{summary: "a good server", answer: good, least: 6},
		{summary: "a beginning is there", answer: good, before: file[:9<<20], least: 4},
		{summary: "a wrong beginning is there", answer: good, before: content(21 << 20)[1 : 9<<20], least: 4},
		{summary: "nearly all is there", answer: good, before: file[:size-10], least: 1},
		{summary: "all is there", answer: good, before: file},
		{summary: "too much is there", answer: good, before: append(bytes.Clone(file), 0), least: 6},
		{summary: "a server that knows no ranges", answer: func(w http.ResponseWriter, _ *http.Request, _ int, file []byte) { _, _ = w.Write(file) }, least: 2},
		{summary: "one that gives other ranges", answer: ranged(func(w http.ResponseWriter, _ *http.Request, _ int, file []byte) {
			w.Header().Set("Content-Range", fmt.Sprintf("bytes 1-%d/%d", 10, len(file)))
			w.WriteHeader(206)
			_, _ = w.Write(file[1:11])
		}), least: 2},
		{summary: "one with another file", answer: ranged(func(w http.ResponseWriter, r *http.Request, n int, _ []byte) { good(w, r, n, other) }), least: 7},
		{summary: "one that says that it is longer", answer: ranged(func(w http.ResponseWriter, r *http.Request, n int, file []byte) {
			good(w, r, n, append(bytes.Clone(file), 1))
		}), least: 2},
		{summary: "one that cuts", answer: ranged(func(w http.ResponseWriter, r *http.Request, n int, file []byte) {
			if n%2 == 0 {
				var first, last int
				_, _ = fmt.Sscanf(r.Header.Get("Range"), "bytes=%d-%d", &first, &last)
				w.Header().Set("Content-Range", fmt.Sprintf("bytes %d-%d/%d", first, last, len(file)))
				w.Header().Set("Content-Length", fmt.Sprint(last-first+1))
				w.WriteHeader(206)
				_, _ = w.Write(file[first : first+(last-first)/2])
				panic(http.ErrAbortHandler)
			}
			good(w, r, n, file)
		}), least: 8},
		{summary: "one that has it no more", answer: status(404), least: 2, code: fault.Unreachable},
		{summary: "one with another file altogether", answer: func(w http.ResponseWriter, r *http.Request, n int, _ []byte) { good(w, r, n, other) }, least: 8, code: fault.Verification},
	} {
		t.Run(test.summary, func(t *testing.T) {
			var requests, now, most atomic.Int64
			srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				n := now.Add(1)
				for m := most.Load(); n > m && !most.CompareAndSwap(m, n); m = most.Load() {
				}
				defer now.Add(-1)
				test.answer(w, r, int(requests.Add(1)), file)
			}))
			defer srv.Close()
			path := filepath.Join(t.TempDir(), "f")
			if err := os.WriteFile(path, test.before, 0o600); err != nil {
				t.Fatal(err)
			}
			f, err := os.OpenFile(path, os.O_RDWR, 0)
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			got, err := client(nil).GetParallel(t.Context(), fetch.Want{Name: "f", URLs: []string{srv.URL}, Size: size, SHA256: want}, f)
			if fault.CodeOf(err) != test.code {
				t.Fatalf("code %d: %v", fault.CodeOf(err), err)
			}
			if int(requests.Load()) < test.least || test.least == 0 && requests.Load() > 0 || most.Load() > 6 {
				t.Errorf("%d requests, %d at once", requests.Load(), most.Load())
			}
			if err != nil {
				return
			}
			data, err := os.ReadFile(path)
			if err != nil || !bytes.Equal(data, file) || got.Size != size || got.SHA256 != want {
				t.Errorf("another file: %d bytes, %+v, %v", len(data), got, err)
			}
		})
	}
}
