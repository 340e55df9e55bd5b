package content_test

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"

	"ingot/internal/content"
	"ingot/internal/etc"
	"ingot/internal/fault"
)

// root is a directory with files, by path; a path that ends in / is a directory.
func root(t *testing.T, files map[string]string) *os.Root {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if target, ok := strings.CutPrefix(text, "-> "); ok {
			if err := os.Symlink(target, path); err != nil {
				t.Fatal(err)
			}
			continue
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	r, err := os.OpenRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close() })
	return r
}

// has holds a root's files to what they are to hold; "" is not there.
func has(t *testing.T, r *os.Root, files map[string]string) {
	t.Helper()
	for name, want := range files {
		data, err := r.ReadFile(name)
		if want == "" && errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil || string(data) != want {
			t.Errorf("%s is %q (%v) and not %q", name, data, err, want)
		}
	}
}

const passwd = "root:x:0:0:root:/root:/bin/bash\n"

// TestCarryOver makes a new image's layer of a host's: what only one side changed is taken,
// what both changed is the host's, with the image's beside it.
func TestCarryOver(t *testing.T) {
	old := root(t, map[string]string{
		"etc/passwd": passwd, "etc/group": "root:x:0:\n", "etc/motd": "one\n", "etc/issue": "one\n", "etc/both": "one\n", "etc/gone": "one\n",
		"etc/conf.d/a": "one\n", "etc/fstab": "UUID=image1 / ext4 defaults 0 1\n",
	})
	image := map[string]string{
		"etc/passwd": passwd, "etc/group": "root:x:0:\n", "etc/motd": "one\n", "etc/issue": "two\n", "etc/both": "two\n", "etc/gone": "one\n",
		"etc/conf.d/a": "one\n", "etc/conf.d/new": "two\n", "etc/fstab": "UUID=image2 / ext4 defaults 0 1\nUUID=image2esp /boot/efi vfat\n", "usr/lib/os-release": "ID=x\n",
	}
	host := root(t, map[string]string{
		"etc/passwd": passwd + "ops:x:3000:3000::/home/ops:/bin/sh\n", "etc/group": "root:x:0:\nops:x:3000:\n", "etc/motd": "mine\n", "etc/issue": "one\n", "etc/both": "mine\n",
		"etc/conf.d/a": "one\n", "etc/link": "-> motd", "etc/ingot/carry": "# kept\n/srv/data\n/not/there\n", "etc/ingot/merge.json": "{}",
		"etc/fstab":  "# disks\nUUID=host / ext4 defaults 0 1\nUUID=esp /boot/efi vfat\nUUID=var /var ext4\n",
		"srv/data/a": "kept\n", "srv/data/b/c": "-> ../a", "srv/other": "lost\n",
	})
	fresh := root(t, image)
	rep, err := content.CarryOver(t.Context(), content.Roots{New: fresh, Device: "/dev/hv/Base-2-0+1", Old: old, Host: host, From: "Base-1-0+1"})
	if err != nil {
		t.Fatal(err)
	}
	has(t, fresh, map[string]string{
		"etc/motd": "mine\n", "etc/issue": "two\n", "etc/both": "mine\n", "etc/both.ingot-new": "two\n", "etc/gone": "", "etc/conf.d/new": "two\n", "etc/link": "mine\n",
		"etc/fstab":  "# disks\n/dev/hv/Base-2-0+1 / ext4 defaults 0 1\nUUID=esp /boot/efi vfat\nUUID=var /var ext4\n",
		"etc/passwd": passwd + "ops:x:3000:3000::/home/ops:/bin/sh\n", "srv/data/a": "kept\n", "srv/data/b/c": "kept\n", "srv/other": "",
	})
	if got, want := fmt.Sprint(rep.Conflicts, rep.Accounts, rep.Carried), "[{both changed both.ingot-new}] [] [/srv/data]"; got != want {
		t.Errorf("reported is %s and not %s", got, want)
	}
	if again, err := content.ReadReport(fresh); err != nil || again.From != "Base-1-0+1" || len(again.Conflicts) != 1 {
		t.Errorf("%+v, %v", again, err)
	}
	if err := content.Settle(fresh, "/etc/both", etc.New); err != nil {
		t.Fatal(err)
	}
	has(t, fresh, map[string]string{"etc/both": "two\n", "etc/both.ingot-new": ""})
	if err := content.Settle(fresh, "both", etc.Host); fault.CodeOf(err) != fault.NotFound {
		t.Errorf("a conflict is settled twice: %v", err)
	}
	changes, err := content.Diff(root(t, image), fresh, "/etc")
	if err != nil {
		t.Fatal(err)
	}
	if got, want := fmt.Sprint(changes), "[{/etc/fstab changed} {/etc/gone removed} {/etc/group changed} {/etc/ingot added} {/etc/link added} {/etc/motd changed} {/etc/passwd changed}]"; got != want {
		t.Errorf("the layer differs in %s and not in %s", got, want)
	}
}

// TestVar refuses a host whose /var no layer after it would have.
func TestVar(t *testing.T) {
	for _, c := range []struct {
		files map[string]string
		code  fault.Code
	}{
		{map[string]string{"etc/fstab": "/dev/sda1 / ext4\n#/dev/sda2 /var ext4\n"}, fault.Choice},
		{map[string]string{"etc/fstab": "/dev/sda1 / ext4\n/dev/sda2 /var ext4\n"}, fault.Done},
		{map[string]string{"etc/ingot/carry": "/var\n"}, fault.Done},
	} {
		if err := content.CheckVar(root(t, c.files)); fault.CodeOf(err) != c.code {
			t.Errorf("%v: %v", c.files, err)
		}
	}
	host := root(t, map[string]string{"etc/ingot/carry": "/var\n/etc/passwd\n"})
	if _, err := content.CarryOver(t.Context(), content.Roots{New: root(t, nil), Old: root(t, nil), Host: host}); fault.CodeOf(err) != fault.Preflight {
		t.Errorf("/etc is listed to be carried over: %v", err)
	}
}

// archive is a tar of files.
func archive(t *testing.T, files map[string]string) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for name, text := range files {
		h := &tar.Header{Name: name, Typeflag: tar.TypeReg, Mode: 0o644, Size: int64(len(text)), Uid: os.Getuid(), Gid: os.Getgid()}
		if strings.HasSuffix(name, "/") {
			h.Typeflag, h.Mode = tar.TypeDir, 0o755
		}
		if strings.HasPrefix(name, "usr/bin/") {
			h.Mode = 0o755
		}
		if err := w.WriteHeader(h); err != nil {
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

// TestPayload reads images in all compressions, and refuses what is none.
func TestPayload(t *testing.T) {
	system := map[string]string{"etc/": "", "boot/": "", "boot/vmlinuz-6.1.0-9-x": "old", "boot/vmlinuz-6.1.0-10-x": "kernel", "boot/initrd.img-6.1.0-10-x": "initrd!", "usr/lib/os-release": "IMAGE_ID=web\nIMAGE_VERSION=\"20261130-1\"\n"}
	whole := archive(t, system)
	system["usr/bin/script"], system["usr/bin/true"] = "#!/bin/sh\n# no program\n", "\x7fELF\x01\x02\x01"+strings.Repeat("\x00", 9)+"\x00\x02\x00\x04"
	other := archive(t, system)
	delete(system, "usr/bin/script")
	delete(system, "usr/bin/true")
	delete(system, "boot/initrd.img-6.1.0-10-x")
	z, err := zstd.NewWriter(nil)
	if err != nil {
		t.Fatal(err)
	}
	compressed := z.EncodeAll(whole, nil)
	var gz bytes.Buffer
	w := gzip.NewWriter(&gz)
	if _, err := w.Write(whole); err != nil || w.Close() != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		what string
		data []byte
		says string
	}{
		{"plain", whole, ""},
		{"zstd", compressed, ""},
		{"gzip", gz.Bytes(), ""},
		{"cut off", compressed[:len(compressed)-20], "unexpected EOF"},
		{"gzip without its checksum", gz.Bytes()[:gz.Len()-8], "unexpected EOF"},
		{"text", []byte("web\n"), "unreadable archive"},
		{"nothing", nil, "no archive of a root file system"},
		{"of another machine", other, "its programs are EM_68K"},
		{"no initramfs", archive(t, system), "no kernel with an initramfs"},
	} {
		path := filepath.Join(t.TempDir(), "image")
		if err := os.WriteFile(path, c.data, 0o600); err != nil {
			t.Fatal(err)
		}
		var read int64
		p, err := content.Open(t.Context(), path, func(n int64) { read += n })
		if c.says != "" {
			if err == nil || !strings.Contains(err.Error(), c.says) {
				t.Errorf("%s: %v", c.what, err)
			}
			continue
		}
		if err != nil || p.Name != "web-20261130.1-1" || p.Start != int64(len("kernelinitrd!")) || read != int64(len(c.data)) {
			t.Fatalf("%s: %+v, %v, %d bytes read", c.what, p, err, read)
		}
		into := root(t, nil)
		if os.Geteuid() != 0 {
			continue // owners are root's to set
		}
		if err := p.Fill(t.Context(), into, func(int64) {}); err != nil {
			t.Fatal(err)
		}
		has(t, into, map[string]string{"boot/vmlinuz-6.1.0-10-x": "kernel"})
		if err := os.WriteFile(path, whole[:len(whole)-512], 0o600); err != nil {
			t.Fatal(err)
		}
		if err := p.Fill(t.Context(), root(t, nil), func(int64) {}); c.what == "plain" && fault.CodeOf(err) != fault.Verification {
			t.Errorf("a file that was changed: %v", err)
		}
	}
}
