package main_test

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"ingot/internal/judge"
)

// dataLayout has two containers beside a plain root that get their keys at the first
// start: the passphrase of one is chosen, the key of the other is made.
const dataLayout = `layout:
- local_loop: {name: image0}
- partitioning:
    base: image0
    label: gpt
    partitions:
    - {name: bios, type: bios, size: 1MiB}
    - {name: data, type: "8309", size: 112MiB, luks: {name: datacrypt, memory: 32MiB, mkfs: {type: ext4, label: data, mount: {mount_point: /srv, fstab: {by: uuid}}}}}
    - {name: log, type: "8309", size: 40MiB, luks: {name: logcrypt, memory: 32MiB, key-file: /etc/keys/log, mkfs: {type: ext4, label: log, mount: {mount_point: /var/log, fstab: {by: uuid, options: x-systemd.device-timeout=10min}}}}}
    - {name: root, type: root, size: 100%, mkfs: {type: ext4, label: root, mount: {mount_point: /, fstab: {by: uuid, fsck-passno: 1}}}}
files: [{path: /srv/file, content: "whole\n"}]
`

// rootLayout has all but /boot in containers that get their keys at the first start: the
// root, a partition that systemd opens by a key, and volumes that it opens by a key and by
// the passphrase.
const rootLayout = `layout:
- local_loop: {name: image0}
- partitioning:
    base: image0
    label: gpt
    partitions:
    - {name: bios, type: bios, size: 1MiB}
    - {name: esp, type: esp, size: 64MiB, mkfs: {type: vfat, mount: {mount_point: /boot/efi, fstab: {}}}}
    - {name: boot, size: 128MiB, mkfs: {type: ext4, mount: {mount_point: /boot, fstab: {by: uuid}}}}
    - {name: more, type: "8309", size: 100MiB, luks: {name: homecrypt, memory: 32MiB, key-file: /etc/keys/home, mkfs: {type: ext4, label: home, mount: {mount_point: /home, fstab: {by: uuid, options: x-systemd.device-timeout=10min}}}}}
    - {name: pv, type: lvm, size: 132MiB}
    - {name: root, type: root, size: 100%, luks: {name: rootcrypt, mkfs: {type: ext4, label: root, mount: {mount_point: /, fstab: {by: uuid, options: x-systemd.growfs, fsck-passno: 1}}}}}
- lvm:
    name: lvm
    pvs: [{name: pv1, base: pv}]
    vgs: [{name: some-vg, base: [pv1]}]
    lvs:
    - {name: key, base: some-vg, size: 64MiB, luks: {name: keycrypt, memory: 32MiB, key-file: /etc/keys/key, mkfs: {type: ext4, label: key, mount: {mount_point: /key, fstab: {by: uuid}}}}}
    - {name: said, base: some-vg, size: 64MiB, luks: {name: saidcrypt, memory: 32MiB, mkfs: {type: ext4, label: said, mount: {mount_point: /said, fstab: {by: uuid}}}}}
`

// encrypted judges containers that get their keys when a machine starts for the first
// time: what the machine's disk file has then is for cryptsetup to say.
func (c *court) encrypted(t *testing.T) {
	define := func(layout string) string {
		return strings.Replace(minimal, "[tar]", "[{format: raw, free: 40MiB}]", 1) + layout
	}
	t.Run("data", func(t *testing.T) {
		p := c.project(t, map[string]string{"ingot.yaml": define(dataLayout)})
		p.build(t)
		disk := p.path("out/small-amd64.raw")
		// Until then all can read it, and a token says so.
		if dump := p.head(t, disk, "data"); !strings.Contains(dump, "ingot-first-start") {
			t.Errorf("no token:\n%s", dump)
		}
		drive := []string{"-drive", "format=raw,if=virtio,cache=unsafe,file=" + disk}
		c.converse(t, []exchange{
			{"^Choose the passphrase for disk datacrypt: ", "correct horse"},
			{"^Once more, the passphrase for disk datacrypt: ", "correct house"},
			{"not the same", ""},
			{"^Choose the passphrase for disk datacrypt: ", "correct horse"},
			{"^Once more, the passphrase for disk datacrypt: ", "correct horse"},
			{"encrypting datacrypt with", ""},
			{"[Pp]rogress: +[0-9]", ""}, // and the power fails
		}, drive...)
		if dump := p.head(t, disk, "data"); !strings.Contains(dump, "online-reencrypt") {
			t.Errorf("the power failed too late:\n%s", dump)
		}
		c.converse(t, []exchange{
			{"^Please unlock disk datacrypt: ", "wrong"},
			{"could not be encrypted", ""},
			{"^Please unlock disk datacrypt: ", "correct horse"},
			{"encrypting datacrypt goes on", ""},
			{"ingot: datacrypt is encrypted", ""},
			{"encrypting logcrypt with", ""},
			{"ingot: logcrypt is encrypted", ""},
			{"passphrase for disk .*datacrypt.*:", "correct horse"}, // systemd asks, as on every day
			{"^small login: ", ""},
		}, drive...)
		for _, name := range []string{"data", "log"} {
			if dump := p.head(t, disk, name); strings.Contains(dump, "ingot-first-start") || strings.Contains(dump, "Requirements") {
				t.Errorf("%s is not done:\n%s", name, dump)
			}
		}
		head := p.path("data.head")
		for _, try := range []struct {
			passphrase string
			opens      bool
		}{{"correct horse", true}, {"everybody knows this", false}} {
			p.write(t, map[string]string{"key": try.passphrase})
			cmd := exec.CommandContext(t.Context(), judge.Path(t, "cryptsetup"), "open", "--disable-locks", "--test-passphrase", "--key-file", p.path("key"), head)
			if out, err := cmd.CombinedOutput(); (err == nil) != try.opens {
				t.Errorf("%q: %v\n%s", try.passphrase, err, out)
			}
		}
	})
	t.Run("credential", func(t *testing.T) {
		judge.Needs(t, judge.Full)
		p := c.project(t, map[string]string{"ingot.yaml": define(dataLayout), "key": "correct horse"})
		p.build(t)
		for name, given := range map[string][]string{
			"smbios": {"-smbios", "type=11,value=io.systemd.credential:cryptsetup.passphrase=correct horse"},
			"fw_cfg": {"-fw_cfg", "name=opt/io.systemd.credentials/cryptsetup.passphrase,string=correct horse"},
		} {
			disk := p.path(name + ".raw")
			judge.Run(t, "cp", "--sparse=always", p.path("out/small-amd64.raw"), disk)
			said := c.converse(t, []exchange{{"ingot: datacrypt is encrypted", ""}}, append(given, "-drive", "format=raw,if=virtio,cache=unsafe,file="+disk)...)
			if strings.Contains(said, "passphrase for disk") {
				t.Errorf("by %s, somebody is asked:\n%s", name, tail(said, 20))
			}
			p.head(t, disk, "data")
			judge.Run(t, "cryptsetup", "open", "--disable-locks", "--test-passphrase", "--key-file", p.path("key"), p.path("data.head"))
		}
	})
	t.Run("root", func(t *testing.T) {
		judge.Needs(t, judge.Full)
		p := c.project(t, map[string]string{"ingot.yaml": define(rootLayout), "secret/passphrase": "correct horse\n"})
		p.build(t)
		const healthy = "systemctl is-system-running --wait && test -z \"$(systemctl --failed --no-legend --plain)\""
		const mounted = "findmnt -no SOURCE / | grep -x /dev/mapper/rootcrypt && findmnt -no SOURCE /home | grep -x /dev/mapper/homecrypt && findmnt -no SOURCE /key | grep -x /dev/mapper/keycrypt && findmnt -no SOURCE /said | grep -x /dev/mapper/saidcrypt"
		// On a larger disk the root takes the room at the same start.
		disk := p.path("out/small-amd64.raw")
		info, err := os.Stat(disk)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.Truncate(disk, info.Size()+300<<20); err != nil {
			t.Fatal(err)
		}
		was := regexp.MustCompile(`size= *([0-9]+),.* name="root"`).FindStringSubmatch(judge.Run(t, "sfdisk", "--dump", disk))
		grown := fmt.Sprintf("test $(blockdev --getsz /dev/mapper/rootcrypt) -gt $((%s + 500000)) && test $(findmnt -bno SIZE /) -gt $((%[1]s * 512 + 250000000))", was[1])
		// To encrypt half a GiB takes minutes in a machine that is emulated.
		ctx, cancel := context.WithTimeout(t.Context(), 40*time.Minute)
		defer cancel()
		v := finish(t, p.command(ctx, "boot", disk, "--unlock", p.path("secret/passphrase"), "--timeout", bootPatience,
			"--run", healthy, "--run", mounted, "--run", grown, "--run", "! cryptsetup luksDump /dev/vda6 | grep -E 'ingot-first-start|Requirements' && ! cryptsetup luksDump /dev/some-vg/key | grep -E 'ingot-first-start|Requirements' && ! cryptsetup luksDump /dev/some-vg/said | grep -E 'ingot-first-start|Requirements' && ! cryptsetup luksDump /dev/vda4 | grep -E 'ingot-first-start|Requirements'",
			"--run", "! echo -n 'everybody knows this' | cryptsetup open --test-passphrase --key-file - /dev/vda6 && test \"$(stat -c %a%s /etc/keys/home)\" = 60064 && ! ls /run/ingot-luks",
			"--run", "umount /home && e2fsck -fn /dev/mapper/homecrypt && mount /home && ! dmesg | grep -iE 'EXT4.*rror|I/O error'",
			"--then", healthy, "--then", mounted))
		if v.code != 0 {
			t.Fatalf("exit code %d\n%s", v.code, tail(v.err, 40))
		}
	})
}

// head is what cryptsetup says of the head of a container on a partition of a raw disk,
// which it leaves in a file.
func (p *project) head(t *testing.T, disk, partition string) string {
	t.Helper()
	table := judge.Run(t, "sfdisk", "--dump", disk)
	m := regexp.MustCompile(`start= *([0-9]+),.* name="` + partition + `"`).FindStringSubmatch(table)
	if m == nil {
		t.Fatalf("no partition %s:\n%s", partition, table)
	}
	start, err := strconv.ParseInt(m[1], 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	in, err := os.Open(disk)
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	const size = 17 << 20 // with the payload's beginning
	data := make([]byte, size)
	if _, err := in.ReadAt(data, start*512); err != nil {
		t.Fatal(err)
	}
	name := filepath.Join(p.dir, partition+".head")
	if err := os.WriteFile(name, data, 0o600); err != nil {
		t.Fatal(err)
	}
	return judge.Run(t, "cryptsetup", "luksDump", "--disable-locks", name)
}
