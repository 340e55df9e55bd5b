package main_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"ingot/internal/judge"
)

// loaders judges boot loaders other than GRUB, and that each goes on to start what
// updates bring.
func (c *court) loaders(t *testing.T) {
	define := func(boot string) string {
		return strings.Replace(minimal, "[tar]", "[qcow2]", 1) + "boot: " + boot + "\nkernel: {arguments: [\"ingot.words=\\\"two words\\\"\", ingot.last]}\n"
	}
	const healthy = "systemctl is-system-running --wait && dpkg --audit"
	// The kernel's command line as the definition has it.
	const words = `grep -o 'console=ttyS0,115200 ingot.words="two words" ingot.last' /proc/cmdline` // GRUB has the first quote before the word
	t.Run("systemd-boot", func(t *testing.T) {
		p := c.project(t, map[string]string{"ingot.yaml": define("{loader: systemd-boot, timeout: 2s}")})
		p.build(t)
		p.must(t, "boot", p.path("out/small-amd64.qcow2"), "--firmware", "uefi", "--timeout", bootPatience,
			"--run", healthy, "--run", words,
			"--run", "bootctl is-installed && bootctl status | grep 'Product: systemd-boot' && ! bootctl status | grep -i 'not reported'",
			// What is there is what kernel-install writes.
			"--run", "cd /boot/efi; v=$(uname -r); cp -r . /tmp/before; kernel-install add $v /boot/vmlinuz-$v && diff -r -x random-seed /tmp/before . && cat loader/entries/debian-$v.conf",
			"--run", "grep 'timeout 2' /boot/efi/loader/loader.conf; ! ls /boot/grub /etc/default/grub.d")
		c.upgraded(t, p, "uefi")
	})
	t.Run("systemd-boot signed", func(t *testing.T) {
		judge.Needs(t, judge.Full)
		p := c.project(t, map[string]string{"ingot.yaml": strings.Replace(define("{loader: systemd-boot, secure: true}"), "release: bookworm", "release: trixie", 1)})
		p.build(t)
		p.must(t, "boot", p.path("out/small-amd64.qcow2"), "--firmware", "secure", "--timeout", bootPatience,
			"--run", healthy, "--run", "dmesg | grep 'Secure boot enabled'", "--run", "bootctl status | grep 'Product: systemd-boot'")
		bookworm := c.project(t, map[string]string{"ingot.yaml": define("{loader: systemd-boot, secure: true}")})
		bookworm.refuse(t, 3, []string{"bookworm has no signed systemd-boot"}, "check")
	})
	t.Run("root hash", func(t *testing.T) { c.rootHash(t) })
	t.Run("uki", func(t *testing.T) {
		pair := newSigningPair(t)
		p := c.project(t, map[string]string{
			"ingot.yaml":    define("{loader: uki, sign: {key: secret/db.key, certificate: db.crt}}") + "tests: [{run: \"dmesg | grep 'Secure boot enabled'\"}, {run: " + strconv.Quote(words) + "}, {run: \"" + healthy + "\", timeout: 5m}, {run: \"! ls /boot/efi/loader/entries\"}]\n",
			"secret/db.key": pair.key, "db.crt": pair.certificate,
		})
		if out := p.must(t, "plan"); !strings.Contains(out, "secret/db.key") {
			t.Errorf("plan does not say that the key decides bytes:\n%s", out)
		}
		p.build(t, "--test") // by a firmware that trusts the certificate alone
		disk := p.path("out/small-amd64.qcow2")
		first := sha256File(t, disk)
		if strings.Contains(p.read(t, "ingot.lock"), "db.key") {
			t.Error("the key is in the lock")
		}
		p.build(t, "--no-cache", "--locked")
		if sha256File(t, disk) != first {
			t.Error("the same key makes another image")
		}
		other := newSigningPair(t)
		p.write(t, map[string]string{"other.crt": other.certificate, "secret/db.key": other.key})
		p.refuse(t, 9, []string{"not of this key"}, "build", "--to", "out", "--no-cache", "--locked")
		if c.full {
			p.refuse(t, 8, nil, "boot", disk, "--firmware", "secure", "--trust", p.path("other.crt"), "--timeout", "2m")
			plain := c.project(t, map[string]string{"ingot.yaml": define("{loader: uki}")})
			plain.build(t)
			plain.refuse(t, 8, nil, "boot", plain.path("out/small-amd64.qcow2"), "--firmware", "secure", "--trust", p.path("db.crt"), "--timeout", "2m")
			c.upgraded(t, plain, "uefi")
		}
	})
	t.Run("extlinux", func(t *testing.T) {
		if !c.full {
			t.Skip("takes minutes: INGOT_TEST=full runs this")
		}
		for _, table := range []string{"gpt", "mbr"} {
			p := c.project(t, map[string]string{"ingot.yaml": define("{loader: extlinux, timeout: 2s}") + fmt.Sprintf(extlinuxLayout, table)})
			p.build(t)
			disk := p.path("out/small-amd64.qcow2")
			p.must(t, "boot", disk, "--timeout", bootPatience, "--run", healthy, "--run", words, "--run", "! ls /boot/grub")
			if table == "gpt" {
				c.upgraded(t, p, "bios")
			}
		}
	})
	t.Run("none", func(t *testing.T) {
		if !c.full {
			t.Skip("takes minutes: INGOT_TEST=full runs this")
		}
		p := c.project(t, map[string]string{"ingot.yaml": strings.Replace(define("{loader: none}"), "[qcow2]", "[raw]", 1)})
		p.build(t)
		disk := p.path("out/small-amd64.raw")
		kernel := regexp.MustCompile(`vmlinuz-([0-9]\S*)`).FindStringSubmatch(judge.Run(t, "debugfs", "-R", "ls /boot", disk))
		if kernel == nil {
			t.Fatal("the disk has no kernel")
		}
		for _, name := range []string{"vmlinuz", "initrd.img"} {
			judge.Run(t, "debugfs", "-R", "dump /boot/"+name+"-"+kernel[1]+" "+p.path(name), disk)
		}
		p.must(t, "boot", disk, "--kernel", p.path("vmlinuz"), "--initrd", p.path("initrd.img"), "--append", "root=/dev/vda ro console=ttyS0 ingot.last", "--timeout", bootPatience,
			"--run", healthy, "--run", "grep ingot.last /proc/cmdline")
		p.refuse(t, 2, []string{"boot sector"}, "boot", disk)
	})
	t.Run("grub", func(t *testing.T) {
		if !c.full {
			t.Skip("takes minutes: INGOT_TEST=full runs this")
		}
		p := c.project(t, map[string]string{"ingot.yaml": define("{timeout: 2s}")})
		p.build(t)
		c.upgraded(t, p, "bios")
		c.upgraded(t, p, "uefi")
	})
}

// rootHashLayout has a root that is held to its hashes, and what is written beside it.
const rootHashLayout = `boot: {loader: uki, sign: {key: secret/db.key, certificate: db.crt}}
layout:
- local_loop: {name: image0}
- partitioning:
    base: image0
    label: gpt
    partitions:
    - {name: esp, type: esp, size: 200MiB, mkfs: {type: vfat, mount: {mount_point: /boot/efi, fstab: {by: uuid}}}}
    - {name: root, type: root, size: fit, mkfs: {type: ext4, label: root, mount: {mount_point: /, fstab: {by: uuid, options: ro, fsck-passno: 0}}}}
    - {name: hashes, type: root-verity, size: fit, verity: {data: mkfs_root}}
    - {name: var, type: var, size: 300MiB, mkfs: {type: ext4, label: var, mount: {mount_point: /var, fstab: {by: uuid}}}}
files: [{path: /usr/share/marker, content: "this is the marker of the test\n"}]
`

// rootHash judges a root that the machine holds to the hash that a signed kernel image
// says: what somebody changed on the disk is not read.
func (c *court) rootHash(t *testing.T) {
	judge.Needs(t, judge.Full)
	pair := newSigningPair(t)
	p := c.project(t, map[string]string{
		"ingot.yaml":    strings.Replace(minimal, "[tar]", "[{format: raw, free: 40MiB}]", 1) + rootHashLayout,
		"secret/db.key": pair.key, "db.crt": pair.certificate,
	})
	p.build(t)
	disk := p.path("out/small-amd64.raw")
	start := []string{"boot", disk, "--firmware", "secure", "--trust", p.path("db.crt"), "--timeout", bootPatience}
	p.must(t, append(start,
		"--run", "systemctl is-system-running --wait", "--run", "findmnt -no SOURCE,OPTIONS / | grep -E '^/dev/mapper/root +ro'",
		"--run", "veritysetup status root | grep 'status: *verified' && grep -o 'ingot.roothash=[0-9a-f]*' /proc/cmdline | grep "+strings.TrimSpace(p.read(t, "out/small-amd64.roothash")),
		"--run", "cat /usr/share/marker")...)
	whole, err := os.ReadFile(disk)
	if err != nil {
		t.Fatal(err)
	}
	marker := []byte("this is the marker of the test\n")
	if n := bytes.Count(whole, marker); n != 1 {
		t.Fatalf("the marker is on the disk %d times", n)
	}
	f, err := os.OpenFile(disk, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteAt([]byte("THIS"), int64(bytes.Index(whole, marker))); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	p.must(t, append(start, "--run", "! cat /usr/share/marker", "--run", "dmesg | grep 'verity.*corrupted'")...)
}

// extlinuxLayout has /boot on the root, on either kind of table.
const extlinuxLayout = `layout:
- local_loop: {name: disk}
- partitioning:
    base: disk
    label: %s
    partitions:
    - {name: root, size: 100%%, mkfs: {type: ext4, mount: {mount_point: /, fstab: {fsck-passno: 1}}}}
`

// upgraded has a machine take a newer kernel from the release's backports, with apt and
// the hooks that Debian has for it, and start again: with the new one.
func (c *court) upgraded(t *testing.T, p *project, firmware string) {
	t.Helper()
	if !c.full {
		return
	}
	// The host's loopback is the guest's 10.0.2.2.
	source := strings.Replace(c.mirror.debian(), "127.0.0.1", "10.0.2.2", 1)
	// A kernel's scripts take minutes in a machine that is emulated.
	ctx, cancel := context.WithTimeout(t.Context(), 40*time.Minute)
	defer cancel()
	v := finish(t, p.command(ctx, "boot", p.path("out/small-amd64.qcow2"), "--firmware", firmware, "--network", "--timeout", bootPatience,
		"--run", "uname -r",
		"--run", "rm -f /etc/apt/sources.list.d/*; echo 'deb "+source+" bookworm-backports main' >/etc/apt/sources.list; apt-get -q update && DEBIAN_FRONTEND=noninteractive apt-get -q -y -t bookworm-backports install linux-image-cloud-amd64 >/tmp/apt.log 2>&1 || { tail -n 30 /tmp/apt.log; exit 1; }",
		"--then", "uname -r", "--then", `grep -oE 'console=ttyS0,115200 (ingot.words="|"ingot.words=)two words" ingot.last' /proc/cmdline`,
		"--then", "systemctl is-system-running --wait && dpkg --audit"))
	if v.code != 0 {
		t.Fatalf("by %s, the update fails with exit code %d\n%s", firmware, v.code, tail(v.err, 40))
	}
	out := v.out
	versions := regexp.MustCompile(`(?m)^[0-9]+\.[0-9]+\..*-cloud-amd64$`).FindAllString(out, -1)
	if len(versions) != 2 || !strings.HasPrefix(versions[0], "6.1.") || strings.HasPrefix(versions[1], "6.1.") {
		t.Errorf("by %s, kernels before and after the update are %q:\n%s", firmware, versions, tail(out, 20))
	}
}

// A signingPair is a key and its certificate, in PEM form.
type signingPair struct{ key, certificate string }

func newSigningPair(t *testing.T) signingPair {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: fmt.Sprintf("ingot test %x", key.N.Bytes()[:4])}, NotBefore: time.Unix(1e9, 0), NotAfter: time.Unix(1<<32, 0)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	encode := func(kind string, data []byte) string {
		return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: data}))
	}
	return signingPair{encode("PRIVATE KEY", private), encode("CERTIFICATE", der)}
}
