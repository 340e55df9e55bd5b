// Command mirror serves a Debian mirror on loopback from a directory, and fetches
// what is not there yet from a mirror upstream: all programs of a benchmark get
// the same bytes from the same place at the same speed.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"log"
	"net"
	"net/http"
	"os"
	"path"
	"path/filepath"
	"strings"
	"time"
)

func main() {
	dir := flag.String("dir", "", "directory that keeps what was fetched")
	upstream := flag.String("upstream", "", "the mirror's root, such as http://HOST/debian")
	ready := flag.String("ready", "", "file that gets the address once the server listens")
	flag.Parse()
	if err := serve(*dir, strings.TrimSuffix(*upstream, "/"), *ready); err != nil {
		log.Fatal(err)
	}
}

func serve(dir, upstream, ready string) error {
	l, err := (&net.ListenConfig{}).Listen(context.Background(), "tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	if err := os.WriteFile(ready, []byte("http://"+l.Addr().String()+"/debian"), 0o644); err != nil {
		return err
	}
	s := &http.Server{Handler: mirror{dir, upstream}, ReadHeaderTimeout: time.Minute}
	return s.Serve(l)
}

type mirror struct{ dir, upstream string }

func (m mirror) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	rel := strings.TrimPrefix(path.Clean(r.URL.Path), "/debian")
	file := filepath.Join(m.dir, filepath.FromSlash(rel))
	if _, err := os.Stat(file); errors.Is(err, fs.ErrNotExist) {
		if status, err := m.fetch(r, rel, file); err != nil {
			http.Error(w, err.Error(), status)
			return
		}
	}
	http.ServeFile(w, r, file)
}

func (m mirror) fetch(r *http.Request, rel, file string) (int, error) {
	if _, err := os.Stat(file + ".missing"); err == nil {
		return http.StatusNotFound, errors.New("not there")
	}
	req, err := http.NewRequestWithContext(r.Context(), http.MethodGet, m.upstream+rel, nil)
	if err != nil {
		return http.StatusBadRequest, err
	}
	answer, err := http.DefaultClient.Do(req)
	if err != nil {
		return http.StatusBadGateway, err
	}
	defer func() { _ = answer.Body.Close() }()
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		return http.StatusInternalServerError, err
	}
	if answer.StatusCode != http.StatusOK {
		_ = os.WriteFile(file+".missing", nil, 0o644)
		return answer.StatusCode, fmt.Errorf("upstream: %s", answer.Status)
	}
	tmp, err := os.CreateTemp(filepath.Dir(file), ".fetch-")
	if err != nil {
		return http.StatusInternalServerError, err
	}
	_, err = io.Copy(tmp, answer.Body)
	err = errors.Join(err, tmp.Close())
	if err == nil {
		err = os.Rename(tmp.Name(), file)
	}
	if err != nil {
		return http.StatusBadGateway, err
	}
	return http.StatusOK, nil
}
