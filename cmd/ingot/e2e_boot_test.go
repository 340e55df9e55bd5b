package main_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"ingot/internal/judge"
)

// boot judges machines: one by BIOS, one by UEFI, on a disk that has grown.
func (c *court) boot(t *testing.T) {
	p, err := c.rich()
	if err != nil {
		t.Fatal(err)
	}
	t.Run("bios", timed(func(t *testing.T) {
		name := p.path("out/rich-amd64.qcow2")
		before := sha256File(t, name)
		b := p.build(t, "--output", "qcow2", "--test", "--locked")
		if b.Steps.Run != 0 || len(b.Tests) != 4 {
			t.Errorf("build --test: %+v, %d tests", b.Steps, len(b.Tests))
		}
		if sha256File(t, name) != before {
			t.Error("the boot wrote to the artifact")
		}
	}))
	t.Run("ssh", timed(func(t *testing.T) {
		// Commands come first; then whoever calls has a shell, whose end is ingot's.
		cmd := p.command(t.Context(), "boot", "out/rich-amd64.qcow2", "--timeout", bootPatience, "--run", "echo asked", "--ssh")
		cmd.Stdin = strings.NewReader("echo typed by $(id -un) on $(hostname)\nexit 7\n")
		v := finish(t, cmd)
		v.check(t, 1, []string{"the shell exited 7"}, "boot --ssh")
		if !strings.HasPrefix(v.out, "asked\n") || !strings.HasSuffix(v.out, "\ntyped by root on rich.example.org\n") {
			t.Errorf("it printed %q", v.out)
		}
	}))
	t.Run("uefi", timed(func(t *testing.T) {
		disk := filepath.Join(t.TempDir(), "grown.raw")
		copyFile(t, disk, p.path("out/rich-amd64.raw"))
		before, err := os.Stat(disk)
		if err != nil {
			t.Fatal(err)
		}
		judge.Run(t, "qemu-img", "resize", "-q", "-f", "raw", disk, "+3G")
		c.machine(t, p, disk, "uefi", before.Size()+3<<30)
	}))
	t.Run("secure", timed(func(t *testing.T) {
		q := c.project(t, map[string]string{"ingot.yaml": strings.Replace(minimal, "[tar]", "[qcow2]", 1) + "boot: {secure: true}\n"})
		q.build(t)
		disk := q.path("out/small-amd64.qcow2")
		v := q.ingot(t, "boot", disk, "--firmware", "secure", "--timeout", bootPatience, "--run", "dmesg | grep 'Secure boot enabled'",
			"--run", "grep -F '[integrity]' /sys/kernel/security/lockdown", "--run", "update-grub && dpkg --audit")
		v.check(t, 0, nil, "boot --firmware secure")
		if c.full {
			for _, firmware := range []string{"bios", "uefi"} {
				c.machine(t, q, disk, firmware, 0)
			}
		}
		p.refuse(t, 8, []string{"Secure Boot refused", "hint:", "secure: true"}, "boot", "out/rich-amd64.qcow2", "--firmware", "secure")
	}))
	if c.full {
		for _, release := range []string{"trixie", "forky"} {
			t.Run(release, func(t *testing.T) {
				q := c.project(t, map[string]string{"ingot.yaml": strings.NewReplacer("small", "five", "bookworm", release, "[tar]", "[qcow2]").Replace(minimal)})
				q.build(t, "--accept-expired")
				for _, firmware := range []string{"bios", "uefi"} {
					c.machine(t, q, q.path("out/five-amd64.qcow2"), firmware, 0)
				}
			})
		}
	}
	t.Run("failing", timed(func(t *testing.T) {
		v := p.ingot(t, "boot", "out/rich-amd64.qcow2", "--run", "echo so much; exit 3", "--json")
		v.check(t, 8, []string{"exit 3", "exited 3"}, "boot")
		var said struct {
			Booted   bool
			Commands []struct {
				Exit   int
				Output string
			}
		}
		parse(t, []byte(v.out), &said)
		if !said.Booted || len(said.Commands) != 1 || said.Commands[0].Exit != 3 || said.Commands[0].Output != "so much\n" {
			t.Errorf("%+v", said)
		}
		// What tests said is told where one of them fails, and what was built is there.
		q := c.project(t, map[string]string{"ingot.yaml": strings.Replace(minimal, "[tar]", "[qcow2]", 1) + "tests: [{run: \"echo well\"}, {run: \"echo amiss; exit 4\"}]\n"})
		v = q.ingot(t, "build", "--to", "out", "--test", "--json")
		v.check(t, 8, []string{"exit 4"}, "build --test")
		var built struct {
			Artifacts []struct{ Path string }
			Tests     []struct {
				Exit            int
				Output, Failure string
			}
		}
		parse(t, []byte(v.out), &built)
		if len(built.Artifacts) != 1 || len(built.Tests) != 2 || built.Tests[0].Failure != "" || built.Tests[1].Exit != 4 || built.Tests[1].Output != "amiss\n" || built.Tests[1].Failure == "" {
			t.Errorf("%s", v.out)
		}
		p.write(t, map[string]string{"empty.raw": strings.Repeat("\x00", 1<<20)})
		p.refuse(t, 2, []string{"empty.raw", "boot sector"}, "boot", "empty.raw")
		p.refuse(t, 4, []string{"none.qcow2"}, "boot", "none.qcow2")
		p.refuse(t, 2, nil, "boot", "ingot.lock")
	}))
}

// machine boots a disk and asks it how it is.
func (c *court) machine(t *testing.T, p *project, disk, firmware string, size int64) {
	t.Helper()
	questions := []struct{ ask, want string }{
		{"test -d /sys/firmware/efi && echo uefi || echo bios", "^" + firmware + "\n$"},
		{"systemctl is-system-running --wait", `^running\n$`},
		{"systemctl --failed --no-legend --plain", `^$`},
		{"hostname -I", `^10\.0\.2\.[0-9]+ `},
		{"awk '$2 == \"/\" && $3 == \"ext4\" {print substr($4, 1, 3)}' /proc/mounts", `^rw,\n$`},
		{"ls /boot/efi; awk '$2 == \"/boot/efi\" {print $3}' /proc/mounts", `^EFI\n(autofs\n)?vfat\n$`},
		{"grep -h clean, /run/initramfs/fsck.log", `clean, [0-9]+/[0-9]+ files`},
		{"stat -fc '%S %b' / | awk '{printf \"%.0f\\n\", $1*$2}'", `^[0-9]+\n$`},
		{"test -s /etc/machine-id && wc -c </etc/machine-id", `^33\n$`},
		{"dpkg --audit && dpkg --verify", `^$`},
		{"hostname; cat /proc/cmdline", `.`},
		{"systemd-analyze --no-pager | head -n1", `Startup finished`},
	}
	args := []string{"boot", disk, "--firmware", firmware, "--timeout", bootPatience, "--json"}
	for _, q := range questions {
		args = append(args, "--run", q.ask)
	}
	v := p.ingot(t, args...)
	var said struct {
		Booted   bool
		State    string
		Accel    string
		Seconds  float64
		Commands []struct {
			Run, Output string
			Exit        int
		}
	}
	parse(t, []byte(v.out), &said)
	if v.code != 0 || !said.Booted || said.State != "running" || len(said.Commands) != len(questions) {
		t.Errorf("boot %s: exit code %d, state %q, %d commands\n%s", disk, v.code, said.State, len(said.Commands), tail(v.err, 30))
	}
	for i, a := range said.Commands {
		if !regexp.MustCompile(questions[i].want).MatchString(a.Output) {
			t.Errorf("%s: %s says %q, want %s", firmware, questions[i].ask, a.Output, questions[i].want)
		}
		if strings.HasPrefix(a.Run, "stat -fc") && size > 0 {
			got, err := strconv.ParseInt(strings.TrimSpace(a.Output), 10, 64)
			if err != nil || got < size*9/10-(200<<20) {
				t.Errorf("the root has %d bytes of a disk of %d: it did not grow", got, size)
			}
		}
	}
	t.Logf("%s by %s under %s: %.0f s", disk, firmware, said.Accel, said.Seconds)
}
