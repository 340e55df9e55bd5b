package main_test

import (
	"regexp"
	"slices"
	"testing"
)

// mirrors judges copies of the server: as ingot reads it, as Incus and LXD do, and as LXC does.
func (s *shop) mirrors(t *testing.T) {
	p := *s.project
	p.env = append(slices.Clone(p.env), "SSL_CERT_FILE="+s.path("cert.pem"))
	key := []string{"--key", s.path("tree/key.asc")}
	run := func(args ...string) string {
		t.Helper()
		return p.must(t, append(append([]string{"mirror", "https://" + s.address}, args...), key...)...)
	}
	run("--to", "copy")
	if got := run("--to", "copy"); !regexp.MustCompile(`^0 versions copied, [1-9]\d* there already\n$`).MatchString(got) {
		t.Errorf("again, it says %q", got)
	}
	p.must(t, "server", "verify", "copy")
	sameFile(t, p.path("copy/meta/1.0/index-system"), p.path("tree/meta/1.0/index-system"))
	run("--to", "foreign", "--kind", "lxc", "--distro", "debian", "--arch", "amd64", "--latest", "1")
	run("--to", "foreign", "--kind", "simplestreams", "--latest", "1")
	p.must(t, "server", "verify", "foreign")
	if got := p.must(t, append([]string{"list", "--from", p.path("foreign")}, key...)...); !regexp.MustCompile(`(?m)^debian-bookworm-tiny +amd64 +stable .* incus incus-vm lxc$`).MatchString(got) {
		t.Errorf("it lists\n%s", got)
	}
	// Its clients find it by the variant, ingot's template too.
	p.env = append(p.env, "LXC_CACHE_PATH="+p.path("mirror-cache"))
	p.write(t, map[string]string{"m/config": "# Template\n", "m/rootfs/.keep": ""})
	p.must(t, "lxc-ingot", "--name", "c", "--path", p.path("m"), "--rootfs", p.path("m/rootfs"), "-d", "debian", "-r", "bookworm", "-a", "amd64", "--variant", "tiny", "--server", p.path("foreign"), "--pubkey", s.path("tree/key.asc"))
	p.must(t, "server", "key", "--new", "mirror-other.asc")
	p.write(t, map[string]string{"mirror-other-public.asc": p.must(t, "server", "key", "--sign-key", "mirror-other.asc")})
	for _, kind := range []string{"ingot", "simplestreams", "lxc"} {
		p.refuse(t, 5, []string{"not signed by a trusted key"}, "mirror", "https://"+s.address, "--kind", kind, "--key", "mirror-other-public.asc", "--to", "evil")
	}
	p.refuse(t, 5, []string{"--unsigned"}, "mirror", "https://"+s.address, "--kind", "lxc", "--to", "evil")
	p.refuse(t, 4, []string{"offers no such image"}, append([]string{"mirror", "https://" + s.address, "--image", "x*", "--to", "evil"}, key...)...)
}
