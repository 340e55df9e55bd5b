package main_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"ingot/internal/judge"
)

// iso judges a live system: one file that starts from a CD and from a stick, by BIOS
// and by UEFI, whoever built it.
func (c *court) iso(t *testing.T) {
	outputs := "[iso]"
	if c.full {
		outputs = "[iso, netboot]"
	}
	p := c.project(t, map[string]string{"ingot.yaml": strings.Replace(minimal, "[tar]", outputs, 1)})
	p.build(t)
	image := p.path("out/small-amd64.iso")

	t.Run("judges", timed(func(t *testing.T) {
		judge.Run(t, "sgdisk", "-v", image)
		judge.Run(t, "sfdisk", "-V", image)
		out := judge.Run(t, "xorriso", "-report_about", "WARNING", "-abort_on", "WARNING", "-indev", image, "-report_el_torito", "plain", "-report_system_area", "plain")
		for _, want := range []string{
			`El Torito boot img :   1  BIOS  y   none  0x0000  0x00      4 `, `El Torito boot img :   2  UEFI  y   none`,
			"El Torito img opts :   1  boot-info-table grub2-boot-info", "MBR protective-msdos-label",
		} {
			if !strings.Contains(out, want) {
				t.Errorf("xorriso does not report %q:\n%s", want, out)
			}
		}
		files := filepath.Join(t.TempDir(), "files")
		judge.Run(t, "xorriso", "-report_about", "WARNING", "-abort_on", "WARNING", "-osirrox", "on", "-indev", image, "-extract", "/live", files)
		kernels, err := filepath.Glob(files + "/vmlinuz-*")
		if err != nil || len(kernels) != 1 {
			t.Fatalf("kernels %v, %v", kernels, err)
		}
		// The file system holds the kernel that the medium has in front of it, and the seal
		// says what it is.
		judge.Run(t, "7zz", "x", "-y", "-o"+files+"/root", files+"/filesystem.squashfs", "boot", "etc/fstab")
		a, aerr := os.ReadFile(kernels[0])
		b, berr := os.ReadFile(filepath.Join(files, "root/boot", filepath.Base(kernels[0])))
		if aerr != nil || berr != nil || !bytes.Equal(a, b) {
			t.Errorf("kernels differ: %v, %v", aerr, berr)
		}
		sum := sha256.Sum256(a)
		if seal := p.read(t, "out/small-amd64.live.seal"); !strings.Contains(seal, hex.EncodeToString(sum[:])) {
			t.Error("the seal does not know the kernel")
		}
		if fstab, err := os.ReadFile(filepath.Join(files, "root/etc/fstab")); err == nil && regexp.MustCompile(`(?m)^[^#\n]`).Match(fstab) {
			t.Errorf("fstab mounts something:\n%s", fstab)
		}
		if c.full {
			sameFiles(t, mounted(t, files+"/filesystem.squashfs"), mounted(t, p.path("out/small-amd64.netboot.squashfs")))
		}
	}))
	t.Run("same bytes", timed(func(t *testing.T) {
		want := sums(t, p.path("out"))
		p.env = append(p.env, "GOMAXPROCS=1", "TZ=Asia/Tokyo")
		args := []string{"--locked", "--to", "again"}
		if c.full {
			args = append(args, "--no-cache")
		}
		p.build(t, args...)
		sameSums(t, sums(t, p.path("again")), want)
	}))
	t.Run("bios cd", timed(func(t *testing.T) { c.liveMachine(t, p, image, "bios", "cd", "/dev/sr0") }))
	t.Run("uefi usb", timed(func(t *testing.T) { c.liveMachine(t, p, image, "uefi", "usb", "/dev/sda") }))
	p.refuse(t, 2, []string{"floppy"}, "boot", image, "--as", "floppy")
	if !c.full {
		return
	}
	t.Run("bios usb", timed(func(t *testing.T) { c.liveMachine(t, p, image, "bios", "usb", "/dev/sda") }))
	t.Run("bios disk", timed(func(t *testing.T) { c.liveMachine(t, p, image, "bios", "disk", "/dev/vda") }))
	t.Run("uefi cd", timed(func(t *testing.T) { c.liveMachine(t, p, image, "uefi", "cd", "/dev/sr0") }))
	t.Run("uefi disk", timed(func(t *testing.T) { c.liveMachine(t, p, image, "uefi", "disk", "/dev/vda") }))
	t.Run("another medium", timed(func(t *testing.T) {
		// A medium that says to be another's is none for this kernel.
		data, err := os.ReadFile(image)
		if err != nil {
			t.Fatal(err)
		}
		id := regexp.MustCompile(`^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\n\x00`)
		for at := 0; at+2048 <= len(data); at += 2048 {
			if id.Match(data[at : at+40]) {
				copy(data[at:], "xxxx")
			}
		}
		p.write(t, map[string]string{"other.iso": string(data)})
		p.must(t, "boot", p.path("other.iso"), "--timeout", bootPatience, "--expect", "Unable to find a medium containing a live file system")
	}))
	t.Run("secure", timed(func(t *testing.T) {
		q := c.project(t, map[string]string{"ingot.yaml": strings.Replace(minimal, "[tar]", "[iso]", 1) + "boot: {secure: true}\n"})
		q.build(t)
		safe := q.path("out/small-amd64.iso")
		for _, as := range []string{"cd", "usb"} {
			q.must(t, "boot", safe, "--as", as, "--firmware", "secure", "--timeout", bootPatience, "--run", "dmesg | grep 'Secure boot enabled'")
		}
		c.liveMachine(t, q, safe, "bios", "cd", "/dev/sr0")
		p.refuse(t, 8, []string{"Secure Boot refused"}, "boot", image, "--firmware", "secure")
	}))
	for _, release := range []string{"trixie", "forky"} {
		t.Run(release, func(t *testing.T) {
			q := c.project(t, map[string]string{"ingot.yaml": strings.NewReplacer("bookworm", release, "[tar]", "[iso]").Replace(minimal)})
			q.build(t, "--accept-expired")
			c.liveMachine(t, q, q.path("out/small-amd64.iso"), "bios", "cd", "/dev/sr0")
			c.liveMachine(t, q, q.path("out/small-amd64.iso"), "uefi", "usb", "/dev/sda")
		})
	}
}

// liveMachine boots a live system and asks it how it is.
func (c *court) liveMachine(t *testing.T, p *project, image, firmware, as, device string) {
	t.Helper()
	questions := []struct{ ask, want string }{
		{"test -d /sys/firmware/efi && echo uefi || echo bios", "^" + firmware + "\n$"},
		{"systemctl is-system-running --wait", `^running\n$`},
		{"systemctl --failed --no-legend --plain", `^$`},
		{"hostname -I", `^10\.0\.2\.[0-9]+ `},
		{"awk '$2 == \"/run/live/medium\" {print $1, $3}' /proc/mounts", "^" + device + " iso9660\n$"},
		{"awk '$2 == \"/\" {print $3, substr($4, 1, 3)}' /proc/mounts", "^overlay rw,\n$"},
		{"echo kept >/var/tmp/a && cat /var/tmp/a", `^kept\n$`},
		{"test -s /etc/machine-id && wc -c </etc/machine-id", `^33\n$`},
		{"systemctl is-active serial-getty@ttyS0 getty@tty1", `^active\nactive\n$`},
		{"dpkg --audit", `^$`},
	}
	if c.full { // a minute of emulation: it reads every file
		questions = append(questions, struct{ ask, want string }{"dpkg --verify", `^$`})
	}
	args := []string{"boot", image, "--firmware", firmware, "--as", as, "--timeout", bootPatience, "--json"}
	for _, q := range questions {
		args = append(args, "--run", q.ask)
	}
	v := p.ingot(t, args...)
	var said struct {
		Booted   bool
		State    string
		Seconds  float64
		Commands []struct{ Output string }
	}
	parse(t, []byte(v.out), &said)
	if v.code != 0 || !said.Booted || said.State != "running" || len(said.Commands) != len(questions) {
		t.Errorf("boot %s as %s by %s: exit code %d, state %q, %d commands\n%s", image, as, firmware, v.code, said.State, len(said.Commands), tail(v.err, 30))
	}
	for i, a := range said.Commands {
		if !regexp.MustCompile(questions[i].want).MatchString(a.Output) {
			t.Errorf("%s from %s: %s says %q, want %s", firmware, as, questions[i].ask, a.Output, questions[i].want)
		}
	}
	t.Logf("%s from %s: %.0f s", firmware, as, said.Seconds)
}
