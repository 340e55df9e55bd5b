package main_test

import (
	"strings"
	"testing"

	"ingot/internal/judge"
)

// virtBuilderScript has virt-builder look at a tree, fetch what it offers, and refuse one that was
// changed. Its own sources are covered: they are on the internet.
const virtBuilderScript = `set -eu
mount -t tmpfs tmpfs /etc/virt-builder/repos.d
export HOME=$1/home XDG_CACHE_HOME=$1/cache
mkdir -m 700 "$HOME"
exec 2>&1
gpg --quiet --import "$TREE/key.asc"
finger=$(gpg --list-keys --with-colons 2>/dev/null | sed -n "s/^fpr:*\([0-9A-F]*\):$/\1/p" | head -1)
look() { virt-builder --source "file://$TREE/index.asc" --fingerprint "$finger" "$@"; }
look --list --list-format json
look --cache-all-templates >/dev/null
look --print-cache
cmp "$HOME"/../cache/virt-builder/disk.x86_64.* "$DISK" && echo "the same"
sed -n '/^\[/,/^-----BEGIN/p' "$TREE/index.asc" | sed '$d' >"$1/plain"
virt-index-validate "$1/plain"
cp -rL "$TREE" "$1/changed"
sed -i 's/^name=disk/name=dusk/' "$1/changed/index.asc"
TREE=$1/changed
look --list >"$1/said" 2>&1 && echo "it takes a changed index"
grep -o "could not verify" "$1/said" || cat "$1/said"
`

// virtBuilder judges by virt-builder, which finds disks by an index of its own.
func (s *shop) virtBuilder(t *testing.T) {
	if !s.c.full {
		t.Skip("TestHouse at level full runs this: virt-builder is large")
	}
	judge.Path(t, "virt-builder")
	p := s.c.project(t, nil).fresh()
	judge.RunIn(t, p.dir, "sh", "-c", "mkdir out && qemu-img create -q -f qcow2 out/disk-amd64.qcow2 64M")
	manifest(t, p.path("out"), "disk", "qcow2", "one", "disk-amd64.qcow2")
	p.must(t, "publish", "out", "--to", "tree")
	got := s.client(t, "TREE="+p.path("tree")+" DISK="+p.path("out/disk-amd64.qcow2")+"\n"+virtBuilderScript)
	for _, want := range []string{`"os-version": "disk"`, `"arch": "x86_64"`, `"size": 67108864`, "disk                     x86_64     cached\n", "the same\n", "validated OK\n", "could not verify\n"} {
		if !strings.Contains(got, want) {
			t.Errorf("it does not say %q:\n%s", want, got)
		}
	}
}
