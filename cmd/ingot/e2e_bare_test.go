package main_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"ingot/internal/judge"
)

const bareFormats = `version: 1
name: small
distro: debian
release: bookworm
files: [{path: /init, source: ./init}]
outputs:
  - tar
  - ext4
  - erofs
  - {format: cpio, compress: gzip}
  - initramfs
  - {format: xen, memory: 768MiB}
`

// bareMore are those that have trees of their own, or are written as others are.
const bareMore = `  - xfs
  - btrfs
  - {format: nspawn, compress: zstd}
  - netboot
`

const bareInit = `#!/bin/sh
mount -t proc proc /proc
echo "memory is all: $(id -un) $(cat /etc/hostname) $(awk '$2 == "/" {print $3}' /proc/mounts)"
echo o >/proc/sysrq-trigger
sleep 60
`

// bare judges what nothing of a disk starts: file systems, archives, and systems whose
// kernel comes from elsewhere.
func (c *court) bare(t *testing.T) {
	formats := bareFormats
	if c.full {
		formats += bareMore
	}
	p := c.project(t, map[string]string{"ingot.yaml": formats, "init": bareInit})
	p.build(t)
	out := func(suffix string) string { return p.path("out/small-amd64" + suffix) }
	plain := censusBy(t, "", "cat", out(".tar"))

	t.Run("ext4", func(t *testing.T) {
		judge.Run(t, "e2fsck", "-fn", out(".ext4"))
		sameFiles(t, mounted(t, out(".ext4")), plain, "lost+found")
	})
	t.Run("erofs", func(t *testing.T) {
		judge.Run(t, "fsck.erofs", out(".erofs"))
		sameFiles(t, mounted(t, out(".erofs")), plain)
	})
	t.Run("cpio", func(t *testing.T) {
		sameFiles(t, censusBy(t, "", "bsdtar", "--format=pax", "-cf", "-", "@"+out(".cpio.gz")), plain)
	})
	t.Run("initramfs", func(t *testing.T) {
		c.kernel(t, `^memory is all: root small (rootfs|tmpfs)`, "-kernel", out(".xen.vmlinuz"), "-initrd", out(".initramfs"), "-append", "console=ttyS0")
	})
	t.Run("xen", func(t *testing.T) {
		config := p.read(t, "out/small-amd64.xen.cfg")
		line := regexp.MustCompile(`(?m)^cmdline = "(.*)"$`).FindStringSubmatch(config)
		if line == nil || !strings.Contains(config, "memory = 768\n") || !strings.Contains(config, `kernel = "small-amd64.xen.vmlinuz"`) {
			t.Fatalf("xl is told\n%s", config)
		}
		if !c.full {
			return
		}
		c.kernel(t, `^small login:`, "-kernel", out(".xen.vmlinuz"), "-initrd", out(".xen.initrd"), "-append", line[1]+" console=ttyS0",
			"-drive", "if=virtio,format=raw,snapshot=on,file="+out(".xen.raw"))
		p.must(t, "boot", out(".xen.raw"), "--timeout", bootPatience)
	})
	t.Run("no init", func(t *testing.T) {
		q := c.project(t, map[string]string{"ingot.yaml": strings.Replace(minimal, "[tar]", "[initramfs]", 1)})
		q.refuse(t, 1, []string{"neither /init nor /sbin/init", "hint:"}, "build", "--to", "out")
		artifactsOnly(t, q.path("out"))
	})
	if !c.full {
		return
	}
	t.Run("btrfs", func(t *testing.T) {
		judge.Run(t, "btrfs", "check", "--check-data-csum", out(".btrfs"))
		sameFiles(t, mounted(t, out(".btrfs")), plain)
	})
	t.Run("xfs", func(t *testing.T) {
		judge.Run(t, "xfs_repair", "-n", "-f", out(".xfs"))
		sameFiles(t, mounted(t, out(".xfs")), plain)
	})
	t.Run("nspawn", func(t *testing.T) {
		c.nspawn(t, out(".nspawn.tar.zst"))
	})
	t.Run("netboot", func(t *testing.T) { c.netboot(t, p.path("out")) })
	t.Run("same bytes", func(t *testing.T) {
		want := sums(t, p.path("out"))
		q := *p
		q.env = append(q.env, "GOMAXPROCS=1", "TZ=Asia/Tokyo")
		q.build(t, "--locked", "--to", "again")
		sameSums(t, sums(t, p.path("again")), want)
	})
}

// netboot starts a machine from nothing but its network: iPXE of QEMU's card asks for
// an address, runs the script, and fetches what that names.
func (c *court) netboot(t *testing.T, dir string) {
	var config net.ListenConfig
	l, err := config.Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	base := fmt.Sprintf("http://10.0.2.2:%d/", l.Addr().(*net.TCPAddr).Port)
	mux := http.NewServeMux()
	mux.Handle("/", http.FileServer(http.Dir(dir)))
	mux.HandleFunc("/boot.ipxe", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintf(w, "#!ipxe\nset base %s\nchain ${base}small-amd64.netboot.ipxe\n", base)
	})
	server := &http.Server{Handler: mux, ReadHeaderTimeout: time.Minute}
	go func() { _ = server.Serve(l) }()
	t.Cleanup(func() { _ = server.Close() })
	c.kernel(t, `^small login:`, "-netdev", "user,id=net,bootfile="+base+"boot.ipxe", "-device", "virtio-net-pci,netdev=net,bootindex=0")
}

// kernel runs a machine until its serial console says something.
func (c *court) kernel(t *testing.T, want string, args ...string) {
	t.Helper()
	c.converse(t, []exchange{{want, ""}}, args...)
}

// An exchange is what a machine's console is waited to say, in a line or in the beginning
// of one, and what is typed then.
type exchange struct{ want, answer string }

// converse runs a machine, and ends it, as a power cut would, when all has been said.
func (c *court) converse(t *testing.T, talk []exchange, args ...string) string {
	t.Helper()
	args = append([]string{"-accel", "tcg,thread=multi", "-cpu", "max", "-smp", "2", "-m", "2G", "-nodefaults", "-machine", "pc,graphics=off", "-display", "none", "-vga", "none", "-serial", "stdio", "-no-reboot"}, args...)
	cmd := exec.CommandContext(t.Context(), judge.Path(t, "qemu-system-x86_64"), args...)
	r, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	w, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	timer := time.AfterFunc(15*time.Minute, func() { _ = cmd.Process.Kill() })
	defer func() {
		timer.Stop()
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	}()
	start, re := time.Now(), regexp.MustCompile(talk[0].want)
	var said strings.Builder
	var line []byte
	for in := bufio.NewReader(r); ; {
		b, err := in.ReadByte()
		if err != nil {
			t.Fatalf("it ends without saying %s:\n%s", re, tail(said.String(), 40))
		}
		said.WriteByte(b)
		if b == '\n' || b == '\r' {
			line = line[:0]
			continue
		}
		// A prompt is a line without an end.
		if line = append(line, b); !re.Match(line) {
			continue
		}
		t.Logf("%s after %.0f s", line, time.Since(start).Seconds())
		line = line[:0]
		if a := talk[0].answer; a != "" {
			if _, err := io.WriteString(w, a+"\n"); err != nil {
				t.Fatal(err)
			}
		}
		if talk = talk[1:]; len(talk) == 0 {
			return said.String()
		}
		re = regexp.MustCompile(talk[0].want)
	}
}

// mounted is the census of a file system that the kernel of this host mounts.
func mounted(t *testing.T, image string) census {
	t.Helper()
	return mountedAt(t, image, 0)
}

// mountedAt is that of one which begins at a byte of a disk.
func mountedAt(t *testing.T, image string, offset int64) census {
	t.Helper()
	if !isRoot() {
		t.Skip("root runs this: it mounts")
	}
	const script = `set -eu
dir=$(mktemp -d)
trap 'umount "$dir"; rmdir "$dir"' EXIT
mount -o "loop,ro,offset=$2" "$1" "$dir"
tar --format=pax --numeric-owner --xattrs --xattrs-include='*' -C "$dir" -c .`
	return censusBy(t, "", "unshare", "--mount", "--propagation", "private", "sh", "-c", script, "sh", image, strconv.FormatInt(offset, 10))
}

// nspawnScript starts a system as machinectl would, and asks it how it is.
const nspawnScript = `set -eu
dir=$1/root
mkdir "$dir"
zstd -dc "$2" | tar -C "$dir" --numeric-owner --xattrs --xattrs-include='*' -xp
# The console of a system is a terminal, or nobody is asked to log in there.
script --quiet --flush --command "exec systemd-nspawn --quiet --register=no --keep-unit --private-network --directory='$dir' --boot --console=interactive" "$1/console" >/dev/null 2>&1 </dev/null & pid=$!
trap 'kill $pid' EXIT
n=0
until grep -q 'login:' "$1/console"; do n=$((n+1)); [ $n -lt 1200 ] || { cat "$1/console"; exit 1; }; sleep 0.1; done
tail -3 "$1/console"
`

// nspawn starts the system where systemd-nspawn can work.
func (c *court) nspawn(t *testing.T, archive string) {
	judge.Needs(t, judge.Full)
	if !isRoot() {
		t.Skip("root runs this: it unpacks owners and devices")
	}
	dir, err := os.MkdirTemp("", "ingot-nspawn-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { removeAll(t, dir) })
	judge.Run(t, "unshare", "--mount", "--propagation", "private", "sh", "-c", nspawnScript, "sh", dir, archive)
}
