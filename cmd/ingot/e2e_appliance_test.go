package main_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"ingot/internal/judge"
)

// appliances judges what is handed over with papers: archives with the same disk as the
// raw one, which machines like those in the papers start from.
func (c *court) appliances(t *testing.T) {
	const users = "users: [{name: vagrant, sudo: true}]\n"
	define := func(outputs string) string { return strings.Replace(minimal, "[tar]", outputs, 1) + users }
	outputs := "raw, {format: ova, cpus: 2, memory: 2GiB}, xva, gce"
	if c.full {
		outputs += ", vagrant, {format: openstack, compress: zstd}"
	}
	p := c.project(t, map[string]string{"ingot.yaml": define("[" + outputs + "]")})
	p.build(t)
	raw := p.path("out/small-amd64.raw")
	same := func(t *testing.T, driver, path string) {
		t.Helper()
		if out := judge.Run(t, "qemu-img", "compare", "-f", driver, "-F", "raw", path, raw); strings.TrimSpace(out) != "Images are identical." {
			t.Errorf("%s: %s", path, out)
		}
	}
	unpack := func(t *testing.T, p *project, name string) string {
		t.Helper()
		dir := p.path("unpacked-" + name)
		if err := os.Mkdir(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		judge.Run(t, "tar", "--sparse", "-C", dir, "-xf", p.path("out/small-amd64."+name))
		return dir
	}

	t.Run("ova", func(t *testing.T) {
		dir := unpack(t, p, "ova")
		disk := filepath.Join(dir, "small-amd64-disk1.vmdk")
		same(t, "vmdk", disk)
		if !c.full {
			return
		}
		// On the controller of the papers, by BIOS: UEFI's firmware for QEMU knows that one
		// no more.
		p.must(t, "boot", disk, "--as", "pvscsi", "--timeout", bootPatience, "--run", "systemctl is-system-running --wait")
		t.Run("virt-v2v", func(t *testing.T) { c.virtV2V(t, p.path("out/small-amd64.ova")) })
	})
	t.Run("xva", func(t *testing.T) {
		chunks := filepath.Join(unpack(t, p, "xva"), "Ref:4")
		names, err := filepath.Glob(chunks + "/????????")
		if err != nil || len(names) < 100 {
			t.Fatalf("%d chunks, %v", len(names), err)
		}
		joined, err := os.Create(p.path("joined"))
		if err != nil {
			t.Fatal(err)
		}
		defer joined.Close()
		for _, name := range names {
			at, err := strconv.ParseInt(filepath.Base(name), 10, 64)
			if err != nil {
				t.Fatal(err)
			}
			data, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := joined.WriteAt(data, at<<20); err != nil {
				t.Fatal(err)
			}
		}
		same(t, "raw", joined.Name())
	})
	t.Run("gce", func(t *testing.T) {
		dir := unpack(t, p, "gce.tar.gz")
		disk := filepath.Join(dir, "disk.raw")
		info, err := os.Stat(disk)
		if err != nil || info.Size()%(1<<30) != 0 {
			t.Fatalf("a disk of %d bytes, %v", info.Size(), err)
		}
		judge.Run(t, "sgdisk", "-v", disk) // its second table is at its end
		if c.full {
			p.must(t, "boot", disk, "--timeout", bootPatience, "--run", "systemctl is-system-running --wait")
		}
	})
	t.Run("no driver", func(t *testing.T) {
		q := c.project(t, map[string]string{"ingot.yaml": define("[{format: ova, adapter: lsilogic, network-card: e1000}]")})
		q.refuse(t, 9, []string{"no driver mptspi, e1000", "linux-image-amd64"}, "build", "--to", "out")
		artifactsOnly(t, q.path("out"))
	})
	if !c.full {
		return
	}
	t.Run("same bytes", func(t *testing.T) {
		want := sums(t, p.path("out"))
		q := *p
		q.env = append(q.env, "GOMAXPROCS=1", "TZ=Asia/Tokyo")
		q.build(t, "--locked", "--to", "again")
		sameSums(t, sums(t, p.path("again")), want)
	})
	t.Run("vagrant", func(t *testing.T) {
		same(t, "qcow2", filepath.Join(unpack(t, p, "box"), "box.img"))
		t.Run("added", func(t *testing.T) { c.vagrant(t, p.path("out/small-amd64.box"), "libvirt") })
	})
	t.Run("openstack", func(t *testing.T) {
		same(t, "qcow2", p.path("out/small-amd64.openstack.qcow2"))
		var said map[string]any
		if err := json.Unmarshal([]byte(p.read(t, "out/small-amd64.openstack.json")), &said); err != nil || said["os_distro"] != "debian" || said["os_version"] != "12" || said["min_ram"] != 1024.0 {
			t.Errorf("%v, %v", said, err)
		}
	})
	t.Run("virtualbox", func(t *testing.T) {
		q := c.project(t, map[string]string{"ingot.yaml": define("[{format: vagrant, type: virtualbox}]")})
		q.build(t)
		disk := filepath.Join(unpack(t, q, "box"), "small-amd64-disk1.vmdk")
		q.must(t, "boot", disk, "--as", "ide", "--timeout", bootPatience, "--run", "systemctl is-system-running --wait")
		c.vagrant(t, q.path("out/small-amd64.box"), "virtualbox")
	})
}

// virtV2V has the program that moves machines to KVM read an appliance, checksums and
// all: what it finds is what the papers say.
func (c *court) virtV2V(t *testing.T, ova string) {
	judge.Needs(t, judge.Full)
	out := judge.Run(t, "virt-v2v", "-i", "ova", ova, "--print-source")
	for _, want := range []string{"source name: small-amd64\n", "memory: 2147483648 (bytes)\n", "nr vCPUs: 2\n", "firmware: uefi\n", "\t0 [scsi]\n", "[vmxnet3]\n"} {
		if !strings.Contains(out, want) {
			t.Errorf("virt-v2v does not say %q:\n%s", want, out)
		}
	}
}

// vagrant adds a box, as its user does.
func (c *court) vagrant(t *testing.T, box, provider string) {
	judge.Needs(t, judge.Full)
	env := []string{"VAGRANT_HOME=" + t.TempDir(), "VAGRANT_CHECKPOINT_DISABLE=1"}
	judge.Run(t, "env", append(env, "vagrant", "box", "add", "--name", "small", "--provider", provider, box)...)
	if out := judge.Run(t, "env", append(env, "vagrant", "box", "list")...); strings.TrimSpace(out) != "small ("+provider+", 0)" {
		t.Errorf("vagrant lists %s", out)
	}
}
