package openvz

import (
	"fmt"
	"regexp"
	"strings"
	"testing"

	"ingot/internal/tree"
)

func TestName(t *testing.T) {
	// What Proxmox takes for a container's template.
	proxmox := regexp.MustCompile(`(?i)\.(tar|tar\.(gz|xz|zst|bz2))$`)
	for _, c := range []struct{ release, arch, compress, want string }{
		{"bookworm", "amd64", "gzip", "debian-12-x86_64-web.tar.gz"},
		{"trixie", "i386", "xz", "debian-13-x86-web.tar.xz"},
		{"sid", "arm64", "zstd", "debian-sid-arm64-web.tar.zst"},
		{"own-release", "amd64", "gzip", "debian-own.release-x86_64-web.tar.gz"},
	} {
		got := Name("debian", c.release, c.arch, "web", c.compress)
		if got != c.want || !proxmox.MatchString(got) {
			t.Errorf("name is %s, want %s", got, c.want)
		}
		// vzctl takes the last part off until it knows what is left.
		name := got[:strings.Index(got, ".tar")]
		for name != "debian" {
			i := strings.LastIndexByte(name, '-')
			if i < 0 {
				t.Fatalf("%s does not lead to debian", got)
			}
			name = name[:i]
		}
	}
}

func TestEdit(t *testing.T) {
	const wants = "etc/systemd/system/getty.target.wants"
	var entries []tree.Entry
	for _, dir := range []string{"", "dev", "etc", "etc/systemd", "etc/systemd/system", wants} {
		entries = append(entries, tree.Entry{Path: dir, Kind: tree.Dir, Mode: 0o755})
	}
	entries = append(entries,
		tree.Entry{Path: "dev/null", Kind: tree.Char, Mode: 0o600}, tree.Entry{Path: "etc/hostname", Kind: tree.File},
		tree.Entry{Path: wants + "/getty@tty1.service", Kind: tree.Symlink}, tree.Entry{Path: wants + "/own.service", Kind: tree.Symlink})
	before, err := tree.New(entries)
	if err != nil {
		t.Fatal(err)
	}
	after, err := before.Apply(Edit(before, 5))
	if err != nil {
		t.Fatal(err)
	}
	var got strings.Builder
	for e := range after.All() {
		if e.Kind != tree.Dir || strings.HasPrefix(e.Path, "dev") {
			fmt.Fprintf(&got, "%s %s %o %d,%d\n", e.Path, e.Kind, e.Mode, e.Major, e.Minor)
		}
	}
	const want = `dev dir 755 0,0
dev/console char 600 5,1
dev/full char 666 1,7
dev/null char 600 0,0
dev/ptmx char 666 5,2
dev/pts dir 755 0,0
dev/random char 666 1,8
dev/shm dir 755 0,0
dev/tty char 666 5,0
dev/tty2 char 620 4,2
dev/urandom char 666 1,9
dev/zero char 666 1,5
etc/systemd/system/getty.target.wants/own.service symlink 0 0,0
`
	if got.String() != want {
		t.Errorf("got\n%swant\n%s", got.String(), want)
	}
	if again := Edit(after, 5); len(again.Set)+len(again.Remove) > 0 {
		t.Errorf("a second time it does %+v", again)
	}
}
