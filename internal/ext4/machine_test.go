package ext4_test

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"ingot/internal/judge"
)

// A machine is Debian's cloud kernel in QEMU with busybox and a few programs of
// this host: growing a mounted filesystem needs CAP_SYS_RESOURCE, which root in
// a container seldom has.
type machine struct {
	kernel string
	initrd string
	qemu   string
}

// guestPrograms are copied into the machine with their libraries.
var guestPrograms = []string{"/usr/sbin/resize2fs"}

// newMachine fetches the kernel from the host's own apt sources.
func newMachine(t *testing.T) machine {
	t.Helper()
	qemu, err := exec.LookPath("qemu-system-x86_64")
	if err != nil {
		t.Fatalf("install qemu-system-x86: %v", err)
	}
	tmp := t.TempDir()
	sh := func(script string) string {
		t.Helper()
		cmd := exec.CommandContext(t.Context(), "sh", "-ec", script)
		cmd.Dir = tmp
		out, err := cmd.Output()
		if err != nil {
			t.Fatalf("%s: %v", script, err)
		}
		return strings.TrimSpace(string(out))
	}
	sh(`p=$(apt-cache depends linux-image-cloud-amd64 | sed -n 's/.*Depends: //p' | head -1)
		apt-get download -q $p; dpkg-deb -x $p*.deb .`)
	var c cpio
	for _, d := range []string{"bin", "dev", "proc", "m"} {
		c.add(d, 0o40755, nil)
	}
	copyIn := func(from, to string) {
		b, err := os.ReadFile(from)
		if err != nil {
			t.Fatal(err)
		}
		if d := filepath.Dir(to); !c.has[d] {
			for i, r := range d {
				if r == '/' && !c.has[d[:i]] {
					c.add(d[:i], 0o40755, nil)
				}
			}
			c.add(d, 0o40755, nil)
		}
		if !c.has[to] {
			c.add(to, 0o100755, b)
		}
	}
	copyIn("/bin/busybox", "bin/busybox")
	for _, p := range guestPrograms {
		copyIn(p, "bin/"+filepath.Base(p))
		for f := range strings.FieldsSeq(judge.Run(t, "ldd", p)) {
			if strings.HasPrefix(f, "/") {
				copyIn(f, strings.TrimPrefix(f, "/"))
			}
		}
	}
	mods := ""
	for _, m := range []string{"virtio_ring", "virtio", "virtio_pci_legacy_dev", "virtio_pci_modern_dev", "virtio_pci", "virtio_blk"} {
		if f := sh("find lib/modules -name " + m + ".ko"); f != "" {
			copyIn(filepath.Join(tmp, f), "m/"+m+".ko")
			mods += "/bin/busybox insmod /m/" + m + ".ko\n"
		}
	}
	c.add("init", 0o100755, []byte("#!/bin/busybox sh\n/bin/busybox --install -s /bin\nexport PATH=/bin\n"+
		"mount -t devtmpfs dev /dev; mount -t proc proc /proc\n"+mods+"mkdir /fs; s=$(cat /dev/vdb) && sh -ec \"$s\" && echo machine: done; poweroff -f\n"))
	initrd := filepath.Join(tmp, "initrd")
	if err := os.WriteFile(initrd, c.end(), 0o600); err != nil {
		t.Fatal(err)
	}
	return machine{qemu: qemu, kernel: filepath.Join(tmp, sh("ls boot/vmlinuz-*")), initrd: initrd}
}

// run runs a shell script with the image as /dev/vda and gives the console's output.
func (m machine) run(t *testing.T, img, script string) string {
	t.Helper()
	disk := filepath.Join(t.TempDir(), "script")
	b := []byte(script)
	b = append(b, bytes.Repeat([]byte("\n"), 512-len(b)%512)...)
	if err := os.WriteFile(disk, b, 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	out, err := exec.CommandContext(ctx, m.qemu, "-accel", "tcg", "-m", "512", "-nographic", "-no-reboot", "-nodefaults", "-serial", "stdio",
		"-kernel", m.kernel, "-initrd", m.initrd, "-append", "console=ttyS0 quiet panic=-1",
		"-drive", "if=virtio,format=raw,cache=unsafe,file="+img, "-drive", "if=virtio,format=raw,readonly=on,file="+disk).CombinedOutput()
	if err != nil || !strings.Contains(string(out), "machine: done") {
		t.Fatalf("machine: %v\n%s", err, out)
	}
	return string(out)
}

// A cpio is an archive in the "newc" form that kernels unpack.
type cpio struct {
	bytes.Buffer
	has map[string]bool
}

func (c *cpio) add(name string, mode int, content []byte) {
	if c.has == nil {
		c.has = map[string]bool{}
	}
	c.has[name] = true
	_, _ = fmt.Fprintf(c, "070701%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%s\x00",
		len(c.has), mode, 0, 0, 1, 0, len(content), 0, 0, 0, 0, len(name)+1, 0, name)
	c.pad()
	c.Write(content)
	c.pad()
}

func (c *cpio) pad() {
	for c.Len()%4 != 0 {
		c.WriteByte(0)
	}
}

func (c *cpio) end() []byte {
	c.add("TRAILER!!!", 0, nil)
	return c.Bytes()
}
