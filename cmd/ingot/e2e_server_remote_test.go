package main_test

import (
	"context"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// remote judges a publisher that has a token, the key, and no directory.
func (s *shop) remote(t *testing.T) {
	tree := "https://" + s.address + "/far"
	p := *s.project
	p.home = s.path("publisher-home")
	p.env = append(slices.Clone(p.env), "SSL_CERT_FILE="+s.path("cert.pem"), "INGOT_MIRROR_DEBIAN="+s.c.mirror.debian())
	p.refuse(t, 2, []string{"asks for a token", "--token-file", "--publish"}, "publish", "one", "--to", tree)
	p.write(t, map[string]string{
		"ci.token": s.must(t, "server", "token", "add", "far", "ci", "--publish"), "reader.token": s.must(t, "server", "token", "add", "far", "reader"), "wrong.token": "ingot_wrong\n",
	})
	for _, name := range []string{"reader.token", "wrong.token"} {
		p.refuse(t, 9, []string{"does not let you publish", "hint:"}, "publish", "one", "--to", tree, "--token-file", name)
	}
	// One that would go over the network in plain.
	p.refuse(t, 2, []string{"in plain", "use https"}, "publish", "one", "--to", "http://images.example", "--token-file", "ci.token")
	p.refuse(t, 7, []string{"hint:"}, "publish", "one", "--to", "https://127.0.0.1:1", "--token-file", "ci.token")

	// --token-file, and the environment.
	if got := p.must(t, "publish", "one", "--to", tree, "--channel", "testing", "--token-file", "ci.token"); !strings.Contains(got, "tiny@testing for amd64: 2") || !strings.Contains(got, "new version: incus incus-vm lxc") {
		t.Errorf("it says\n%s", got)
	}
	p.env = append(p.env, "INGOT_TOKEN_FILE=ci.token")
	p.must(t, "promote", "tiny", "testing", "stable", "--to", tree)
	if got := p.must(t, "publish", "one", "--to", tree); !strings.Contains(got, "is there already") {
		t.Errorf("again, it says\n%s", got)
	}
	if got := p.must(t, "publish", "two", "--to", tree, "--delta"); !strings.Contains(got, "new version, with a delta from 2") {
		t.Errorf("it says\n%s", got)
	}
	p.must(t, "server", "pin", tree, "tiny", "stable")
	p.must(t, "server", "sign", tree, "--valid", "30d")
	p.must(t, "server", "verify", tree)
	p.must(t, "server", "verify", "far")                            // by the publisher's key, where it lies
	p.must(t, "promote", "tiny", "stable", "testing", "--to", tree) // which lets the first version go
	if got := p.must(t, "prune", tree, "--keep", "1", "--grace", "1s"); !strings.Contains(got, "tiny") {
		t.Errorf("it says\n%s", got)
	}
	p.must(t, "server", "verify", tree)

	// Its clients, ingot's and another, which find what was published.
	q := *s.project
	q.home = s.path("far-home")
	q.env = append(slices.Clone(q.env), "SSL_CERT_FILE="+s.path("cert.pem"))
	q.must(t, "pull", "tiny", "--to", "far-pulled", "--from", tree, "--key", s.path("far/key.asc"))
	sameFile(t, q.path("far-pulled/tiny-amd64.rootfs.tar.xz"), q.path("two/tiny-amd64.rootfs.tar.xz"))
	if _, err := exec.LookPath("lxc-create"); err == nil {
		list := s.client(t, "/usr/share/lxc/templates/lxc-download --list --variant '' --server \"$2/far\" || true")
		if !strings.Contains(list, "debian\tbookworm\tamd64\ttiny\t2") {
			t.Errorf("LXC lists\n%s", list)
		}
	}
	// The key decides, and not the token.
	other := p
	other.home = s.path("stranger-home")
	other.refuse(t, 5, []string{"--sign-key"}, "publish", "one", "--to", tree, "--as", "evil")
	p.must(t, "server", "key", "--new", "far-next.asc")
	p.must(t, "server", "rotate", tree, "far-next.asc")
	p.refuse(t, 5, []string{"--sign-key"}, "promote", "tiny", "stable", "testing", "--to", tree)
	p.must(t, "promote", "tiny", "stable", "testing", "--to", tree, "--sign-key", "far-next.asc")
	q.must(t, "list", "--from", tree) // who knew the old key knows the new one
	// A mirror, too, may lie elsewhere; what it is read by is not what it is written by.
	p.refuse(t, 2, []string{"asks for a token", "--token-file"}, "mirror", "https://"+s.address, "--key", s.path("tree/key.asc"), "--to", tree)
	p.must(t, "mirror", "https://"+s.address, "--key", s.path("tree/key.asc"), "--to", tree, "--image", "tiny", "--token-file", "ci.token", "--sign-key", "far-next.asc")
	p.must(t, "server", "verify", "far", "--key", "far/key.asc")
	// A token that was taken back is good no more.
	s.must(t, "server", "token", "remove", "far", "ci")
	p.refuse(t, 9, []string{"does not let you publish"}, "promote", "tiny", "stable", "testing", "--to", tree)
	if log := s.read(t, "access.log"); strings.Contains(log, strings.TrimSpace(p.read(t, "ci.token"))) {
		t.Error("the log has the token")
	}
	t.Run("full", func(t *testing.T) { s.remoteFull(t) })
	t.Run("closed", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		at, _ := serving(t, s.command(ctx, "serve", "far", "--listen", "127.0.0.1:0"), cancel)
		p.write(t, map[string]string{"again.token": s.must(t, "server", "token", "add", "far", "again", "--publish")})
		p.refuse(t, 2, []string{"takes no publications", "ingot serve --publish"}, "publish", "one", "--to", at, "--token-file", "again.token")
	})
}

// remoteFull judges a server whose disk is full.
func (s *shop) remoteFull(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cmd := s.command(ctx, "serve", "small", "--publish", "--listen", "127.0.0.1:0")
	script := `mkdir -p small && mount -t tmpfs -o size=200k tmpfs small && "$1" server token add small me --publish >small.token && exec "$@"`
	cmd.Args = append([]string{"unshare", "--mount", "--propagation", "private", "sh", "-c", script, "sh"}, append([]string{cmd.Path}, cmd.Args[1:]...)...)
	unshare, err := exec.LookPath("unshare")
	if err != nil {
		t.Fatal(err)
	}
	cmd.Path = unshare
	at, _ := serving(t, cmd, cancel)
	s.refuse(t, 9, []string{"no space left", "hint:"}, "publish", "one", "--to", at, "--token-file", "small.token")
	s.refuse(t, 7, []string{"hint:"}, "list", "--from", at, "--trust-on-first-use") // nothing is offered
}
