package server

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestBuilderIndex: what virt-builder is told of a tree. The program itself judges at level full
// (cmd/ingot, TestHouse/servers/virt-builder).
func TestBuilderIndex(t *testing.T) {
	s := newStage(t)
	dir := t.TempDir()
	put(t, dir, "web", "one", "qcow2", "web-amd64.qcow2=QFI\xfb"+strings.Repeat("\x00", 24)+"\x10\x00\x00\x00")
	put(t, dir, "web", "one", "raw", "web-amd64.raw=a disk")
	put(t, dir, "plain+raw", "one", "raw", "plain+raw-amd64.raw=a disk")
	put(t, dir, "odd", "one", "qcow2", "odd-amd64.qcow2=none")
	lxcPair(t, dir, "c", "one")
	s.publish(dir, "")
	s.publish(dir, "testing")
	want := `# disks of this tree, for virt-builder

[plain_raw]
name=plain+raw (Debian bookworm)
arch=x86_64
file=images/debian/bookworm/amd64/plain+raw/20260930_0607/plain+raw-amd64.raw
checksum[sha512]=SUM
revision=202609300607
format=raw
size=6
compressed_size=6
notes=Version 20260930_0607, lock LOCK

[plain_raw.testing]
name=plain+raw (Debian bookworm), testing
arch=x86_64
file=images/debian/bookworm/amd64/plain+raw/20260930_0608/plain+raw-amd64.raw
checksum[sha512]=SUM
revision=202609300608
format=raw
size=6
compressed_size=6
notes=Version 20260930_0608, lock LOCK

[web]
name=web (Debian bookworm)
arch=x86_64
file=images/debian/bookworm/amd64/web/20260930_0607/web-amd64.qcow2
checksum[sha512]=SUM
revision=202609300607
format=qcow2
size=268435456
compressed_size=32
notes=Version 20260930_0607, lock LOCK

[web.testing]
name=web (Debian bookworm), testing
arch=x86_64
file=images/debian/bookworm/amd64/web/20260930_0608/web-amd64.qcow2
checksum[sha512]=SUM
revision=202609300608
format=qcow2
size=268435456
compressed_size=32
notes=Version 20260930_0608, lock LOCK
`
	var got strings.Builder
	for line := range strings.Lines(s.read("index.asc")) {
		switch before, after, _ := strings.Cut(strings.TrimSuffix(line, "\n"), "]="); {
		case strings.HasPrefix(line, "checksum"):
			if len(after) != 128 {
				t.Errorf("no SHA-512: %s", line)
			}
			line = before + "]=SUM\n"
		case strings.HasPrefix(line, "notes="):
			line = line[:strings.LastIndex(line, " ")] + " LOCK\n"
		}
		got.WriteString(line)
	}
	_, text, _ := strings.Cut(got.String(), "\n\n")
	text, _, _ = strings.Cut(text, "-----BEGIN PGP SIGNATURE")
	if d := cmp.Diff(want, text); d != "" {
		t.Error(d)
	}
	s.sound()
}
