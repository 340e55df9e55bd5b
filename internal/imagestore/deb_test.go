package imagestore

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"ingot/internal/fault"
	"ingot/internal/judge"
)

const packagedStore = `
-- Web_1/vm_conf.template --
name = ''
memory = 256
-- Web_1/image.conf --
greeting = 'hello'
-- Web_1/provision.sh --
#!/bin/sh
-- Web_1/custom_scripts/late/a b --
text
-- Web_1/description.htm --
<p>A small server: it answers whoever asks, and has a description that is long enough for two lines and more of a package.</p>
`

// packageOf writes a package of an image whose files have one time.
func packageOf(t *testing.T, s *Store, said Package) (string, []byte) {
	t.Helper()
	im, err := s.Image("Web_1")
	if err != nil {
		t.Fatal(err)
	}
	p, err := im.Package(t.Context(), said)
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	if err := p.Write(t.Context(), &b); err != nil {
		t.Fatal(err)
	}
	return p.FileName(), b.Bytes()
}

func stamped(t *testing.T) *Store {
	t.Helper()
	s := store(t, packagedStore)
	when := time.Date(2026, 3, 4, 5, 6, 7, 890, time.UTC)
	files, err := filepath.Glob(filepath.Join(s.Dir, "Web_1/*"))
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range append(files, filepath.Join(s.Dir, "Web_1/custom_scripts/late"), filepath.Join(s.Dir, "Web_1/custom_scripts/late/a b"), filepath.Join(s.Dir, "Web_1")) {
		if err := os.Chtimes(f, when, when); err != nil {
			t.Fatal(err)
		}
	}
	for _, f := range []string{"vm_conf.template", "image.conf", "description.htm"} {
		if err := os.Chmod(filepath.Join(s.Dir, "Web_1", f), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return s
}

func TestPackage(t *testing.T) {
	for _, program := range []string{"dpkg-deb", "dpkg"} {
		if _, err := judge.Find(program); err != nil {
			t.Skipf("%s is missing: Debian's package dpkg makes this run", program)
		}
	}
	s := stamped(t)
	name, data := packageOf(t, s, Package{})
	if name != "ingot-image-web-1_20260304.050607_all.deb" {
		t.Errorf("it is called %s", name)
	}
	// Another store of the same files, made elsewhere, at another time.
	if _, again := packageOf(t, stamped(t), Package{}); !bytes.Equal(data, again) {
		t.Error("the same files have other bytes")
	}
	deb := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(deb, data, 0o644); err != nil {
		t.Fatal(err)
	}
	info := judge.Run(t, "dpkg-deb", "--info", deb)
	for _, want := range []string{
		"\n Package: ingot-image-web-1\n Version: 20260304.050607\n Architecture: all\n Maintainer: root <root@localhost>\n Installed-Size: 5\n", "\n Description: image Web_1 of an image store\n",
		"\n  A small server: it answers whoever asks, and has a description that is long\n  enough for two lines and more of a package.\n",
	} {
		if !strings.Contains(info, want) {
			t.Errorf("dpkg-deb does not read %q:\n%s", want, info)
		}
	}
	contents := judge.Run(t, "dpkg-deb", "--contents", deb)
	for _, want := range []string{
		"drwxr-xr-x root/root         0 2026-03-04 05:06 ./var/lib/ingot/image-store/\n", "-rwxr-xr-x root/root        10 2026-03-04 05:06 ./var/lib/ingot/image-store/Web_1/provision.sh\n",
		"-rw-r--r-- root/root        23 2026-03-04 05:06 ./var/lib/ingot/image-store/Web_1/vm_conf.template\n", " ./var/lib/ingot/image-store/Web_1/custom_scripts/late/a b\n",
	} {
		if !strings.Contains(contents, want) {
			t.Errorf("dpkg-deb does not list %q:\n%s", want, contents)
		}
	}
	if os.Geteuid() != 0 {
		t.Skip("root runs the rest: dpkg gives files to root")
	}
	install := func(root, deb string) string {
		for _, d := range []string{"info", "updates"} {
			if err := os.MkdirAll(filepath.Join(root, "var/lib/dpkg", d), 0o755); err != nil {
				t.Fatal(err)
			}
		}
		if err := os.WriteFile(filepath.Join(root, "var/lib/dpkg/status"), nil, 0o644); err != nil {
			t.Fatal(err)
		}
		return judge.Run(t, "dpkg", "--root", root, "--install", deb)
	}
	root := t.TempDir()
	if said := install(root, deb); strings.Contains(said, "warning") {
		t.Errorf("dpkg is not content:\n%s", said)
	}
	if said, err := exec.CommandContext(t.Context(), "dpkg", "--root", root, "--verify").CombinedOutput(); err != nil || len(said) > 0 {
		t.Errorf("dpkg does not find its files: %v\n%s", err, said)
	}
	there, err := Open(filepath.Join(root, PackagedStore))
	if err != nil {
		t.Fatal(err)
	}
	im, err := there.Image("Web_1")
	if err != nil || !im.Script || !strings.HasPrefix(im.Description, "A small server") {
		t.Errorf("the image is %+v, %v", im, err)
	}
	// An upgrade, into ConVirt's store.
	_, data = packageOf(t, s, Package{Version: "1:2.0~rc1-1", Store: "/var/cache/convirt/image_store", Maintainer: "Ops <ops@example.org>"})
	if err := os.WriteFile(deb, data, 0o644); err != nil {
		t.Fatal(err)
	}
	if info := judge.Run(t, "dpkg-deb", "--field", deb, "Version", "Maintainer"); info != "Version: 1:2.0~rc1-1\nMaintainer: Ops <ops@example.org>\n" {
		t.Errorf("dpkg-deb reads %s", info)
	}
	root = t.TempDir()
	install(root, deb)
	if _, err := Open(filepath.Join(root, "var/cache/convirt/image_store")); err != nil {
		t.Error(err)
	}
}

func TestPackageRefuses(t *testing.T) {
	s := stamped(t)
	im, err := s.Image("Web_1")
	if err != nil {
		t.Fatal(err)
	}
	for _, row := range []struct {
		said Package
		want string
	}{
		{Package{Store: "store"}, `"store" is not where an image store is`},
		{Package{Store: "/a/../b"}, "is not where an image store is"},
		{Package{Store: "/"}, "is not where an image store is"},
		{Package{Version: "v1"}, `"v1" is not a version`},
		{Package{Version: "1 2"}, "is not a version"},
		{Package{Version: "1\nEssential: yes"}, "is not a version"},
		{Package{Maintainer: "me"}, "is not a maintainer"},
		{Package{Maintainer: "me\nEssential: yes <x>"}, "is not a maintainer"},
	} {
		if _, err := im.Package(t.Context(), row.said); fault.CodeOf(err) != fault.Usage || !strings.Contains(err.Error(), row.want) || fault.HintOf(err) == "" {
			t.Errorf("%+v: %v", row.said, err)
		}
	}
	if err := os.WriteFile(filepath.Join(s.Dir, "Web_1/a\nb"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := im.Package(t.Context(), Package{}); fault.CodeOf(err) != fault.Usage {
		t.Errorf("a line feed in a name: %v", err)
	}
}
