package main_test

import (
	"context"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// cache judges a cache of the server by clients: ingot's, LXC's, and one that comes when the server
// has gone.
func (s *shop) cache(t *testing.T) {
	p := *s.project
	p.home = s.path("cache-home")
	p.env = append(slices.Clone(p.env), "SSL_CERT_FILE="+s.path("cert.pem"))
	s.must(t, "publish", "two", "--to", "tree")
	// A server of its own, which ends before the cache does.
	first, end := context.WithCancel(t.Context())
	up, stop := serving(t, s.command(first, "serve", "tree", "--listen", "127.0.0.1:0", "--tls-cert", "cert.pem", "--tls-key", "key.pem"), end)
	p.refuse(t, 2, []string{"--cache-of"}, "serve", "nowhere", "--cache-size", "1GiB")
	p.refuse(t, 2, []string{"no number of bytes", "50GiB"}, "serve", "nowhere", "--cache-of", up, "--cache-size", "much")
	if made := globbed(t, p.path("nowhere")); len(made) > 0 {
		t.Error("a directory was made")
	}
	p.refuse(t, 5, []string{"no key of", "--trust-on-first-use"}, "serve", "cached", "--cache-of", up)
	p.refuse(t, 7, []string{"hint:"}, "serve", "cached", "--cache-of", "https://127.0.0.1:1", "--key", s.path("tree/key.asc"))
	p.refuse(t, 5, []string{"a cache of that server"}, "serve", "team", "--cache-of", up, "--trust-on-first-use")
	p.must(t, "server", "verify", "team", "--key", "team/key.asc")

	q := *s
	ctx, cancel := context.WithCancel(t.Context())
	arguments := []string{"serve", "cached", "--cache-of", up, "--key", s.path("tree/key.asc"), "--cache-size", "1GiB", "--listen", "127.0.0.1:0", "--tls-cert", "cert.pem", "--tls-key", "key.pem"}
	address, _ := serving(t, p.command(ctx, arguments...), cancel)
	q.address = strings.TrimPrefix(address, "https://")
	pull := func(to string) {
		t.Helper()
		p.must(t, "pull", "tiny", "--to", to, "--from", "https://"+q.address, "--key", s.path("tree/key.asc"), "--format", "lxc")
		sameFile(t, p.path(to+"/tiny-amd64.rootfs.tar.xz"), p.path("two/tiny-amd64.rootfs.tar.xz"))
	}
	if blobs := globbed(t, s.path("cached/blobs/sha256/*/*")); len(blobs) != 0 {
		t.Errorf("before anybody asked there is %s", blobs)
	}
	pull("through")
	if blobs := globbed(t, s.path("cached/blobs/sha256/*/*")); len(blobs) == 0 {
		t.Error("nothing was kept")
	}
	if _, err := exec.LookPath("lxc-create"); err == nil {
		got := q.client(t, "CONFIG='lxc.net.0.type = empty\\nlxc.apparmor.profile = unconfined\\n'\n"+lxcDownload)
		if !strings.Contains(got, "booted\n") || !strings.Contains(got, "says two\n") {
			t.Errorf("LXC says\n%s", got)
		}
	}
	stop()
	pull("without")
}
