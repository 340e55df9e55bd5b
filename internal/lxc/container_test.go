package lxc_test

import (
	"archive/tar"
	"bytes"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"ingot/internal/lxc"
)

// meta is an archive of metadata: NAME=TEXT.
func meta(t testing.TB, files ...string) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, f := range files {
		name, text, _ := strings.Cut(f, "=")
		if err := w.WriteHeader(&tar.Header{Name: name, Mode: 0o644, Size: int64(len(text)), Typeflag: tar.TypeReg}); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write([]byte(text)); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestContainer(t *testing.T) {
	files, err := lxc.ReadMeta(bytes.NewReader(meta(t, "./config=c\n", "config.7=seven LXC_TEMPLATE_CONFIG LXC_NAME\n", "config-user=u\n", "config-user.3=three\n",
		"fstab=LXC_ROOTFS/x\n", "templates=/etc/hostname\n\n/etc/hosts\n", "create-message-user=hi LXC_NAME\x1b[2J\r\x07\u202e\n", "create-message=hello\n", "expiry=1796022512\n", "sub/config=no")))
	if err != nil {
		t.Fatal(err)
	}
	const written = "# Template\nlxc.net.0.type = empty\nlxc.idmap = u 0 1 2\n"
	for _, c := range []struct {
		user            bool
		config, message string
	}{
		{false, "# Template\n\n# Distribution configuration\nseven /usr/share/lxc/config c1\n\n# Container specific configuration\nlxc.idmap = u 0 1 2\nlxc.mount.fstab = /p/fstab\nlxc.uts.name = c1\n\n# Network configuration\nlxc.net.0.type = empty\n", "hello"},
		{true, "# Template\n\n# Distribution configuration\nu\n\n# Container specific configuration\nlxc.idmap = u 0 1 2\nlxc.mount.fstab = /p/fstab\nlxc.uts.name = c1\n\n# Network configuration\nlxc.net.0.type = empty\n", "hi c1[2J"},
	} {
		box := lxc.Container{Name: "c1", Path: "/p", Rootfs: "/p/rootfs", User: c.user}
		config, err := box.Config([]byte(written), files)
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(c.config, string(config)); d != "" {
			t.Errorf("(-want +got):\n%s", d)
		}
		if got := box.Message(files); got != c.message {
			t.Errorf("message %q", got)
		}
		if got := string(box.Fstab(files)); got != "/p/rootfs/x\n" {
			t.Errorf("fstab %q", got)
		}
		if got := strings.Join(box.Templates(files), " "); got != "etc/hostname etc/hosts" {
			t.Errorf("templates %q", got)
		}
		if got := box.Expiry(files).Unix(); got != 1796022512 {
			t.Errorf("expiry %d", got)
		}
	}
	if _, err := (lxc.Container{}).Config(nil, map[string][]byte{}); err == nil {
		t.Error("metadata without a configuration are fine")
	}
}

// FuzzReadMeta: no archive crashes it.
func FuzzReadMeta(f *testing.F) {
	f.Add(meta(f, "config=x", "expiry=12"))
	f.Fuzz(func(_ *testing.T, data []byte) {
		if len(data) > 1<<16 {
			return
		}
		files, err := lxc.ReadMeta(bytes.NewReader(data))
		if err != nil {
			return
		}
		box := lxc.Container{Name: "n", Path: "/p", Rootfs: "/r"}
		_, _ = box.Config(nil, files)
		_ = box.Templates(files)
		_ = box.Expiry(files)
	})
}
