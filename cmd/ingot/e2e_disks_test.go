package main_test

import (
	"encoding/json"
	"strings"
	"testing"

	"ingot/internal/judge"
)

// rootOf is at which byte of a raw disk its root file system begins, by sfdisk.
func rootOf(t *testing.T, raw string) int64 {
	t.Helper()
	var table struct {
		Table struct {
			Partitions []struct {
				Name  string `json:"name"`
				Start int64  `json:"start"` // sectors
			} `json:"partitions"`
		} `json:"partitiontable"`
	}
	if err := json.Unmarshal([]byte(judge.Run(t, "sfdisk", "--json", raw)), &table); err != nil {
		t.Fatal(err)
	}
	for _, p := range table.Table.Partitions {
		if p.Name == "root" {
			return p.Start * 512
		}
	}
	t.Fatalf("%s has no root", raw)
	return 0
}

// disks judges the formats of virtual disks: all hold the same disk, and it boots from
// each.
func (c *court) disks(t *testing.T) {
	define := func(outputs string) string { return strings.Replace(minimal, "[tar]", outputs, 1) }
	// Each is booted on the controller that its platform has, as far as QEMU has it.
	type kind struct{ output, file, driver, as string }
	formats := []kind{
		{"{format: qcow2, compress: zlib}", "qcow2", "qcow2", "nvme"},
		{"{format: vmdk, type: stream-optimized, adapter: pvscsi}", "vmdk", "vmdk", "pvscsi"},
		{"vhd", "vhd", "vpc", "ide"}, {"vhdx", "vhdx", "vhdx", "disk"}, {"vdi", "vdi", "vdi", "sata"},
	}
	others := []kind{
		{"{format: qcow2, compress: zstd}", "qcow2", "qcow2", "disk"},
		{"{format: vmdk, adapter: lsilogic}", "vmdk", "vmdk", "sas"},
		{"{format: vhd, type: azure}", "vhd", "vpc", "disk"},
	}
	for round, set := range [][]kind{formats, others} {
		// Each on its own: five disks of 700 MB go before the next five come.
		t.Run([]string{"formats", "kinds"}[round], func(t *testing.T) {
			list := []string{"raw"}
			for _, f := range set {
				list = append(list, f.output)
			}
			p := c.project(t, map[string]string{"ingot.yaml": define("["+strings.Join(list, ", ")+"]") + "packages: [iputils-ping]\nscripts: [{run: ./odd.sh}]\n", "odd.sh": odd})
			p.build(t)
			raw := p.path("out/small-amd64.raw")
			if isRoot() && round == 0 {
				t.Run("files", func(t *testing.T) {
					sameFiles(t, mountedAt(t, raw, rootOf(t, raw)).timeless(), censusOfSeal(t, p.read(t, "out/small-amd64.machine.seal")), "lost+found")
				})
			}
			for _, f := range set {
				disk := p.path("out/small-amd64." + f.file)
				if f.driver != "vpc" { // of which it can check nothing
					judge.Run(t, "qemu-img", "check", "-q", "-f", f.driver, disk)
				}
				if out := judge.Run(t, "qemu-img", "compare", "-f", f.driver, "-F", "raw", disk, raw); strings.TrimSpace(out) != "Images are identical." {
					t.Errorf("%s: %s", f.output, out)
				}
			}
			// One of them; all where there is time.
			for i, f := range set {
				if !c.full && (f.file != "vmdk" || round > 0) {
					continue
				}
				firmware := []string{"bios", "uefi"}[i%2]
				if f.as == "pvscsi" || f.as == "sas" { // which OVMF no longer drives
					firmware = "bios"
				}
				v := p.ingot(t, "boot", p.path("out/small-amd64."+f.file), "--firmware", firmware, "--as", f.as, "--timeout", bootPatience, "--run", "systemctl is-system-running --wait")
				v.check(t, 0, nil, "boot", f.output)
			}
		})
	}
	t.Run("again", func(t *testing.T) {
		again := c.project(t, map[string]string{"ingot.yaml": define("[" + formats[1].output + ", vhd]")})
		again.env = append(again.env, "GOMAXPROCS=1", "TZ=Asia/Kathmandu")
		again.build(t)
		first := c.project(t, map[string]string{"ingot.yaml": define("[" + formats[1].output + ", vhd]"), "ingot.lock": again.read(t, "ingot.lock")})
		first.build(t)
		for _, name := range []string{"small-amd64.vmdk", "small-amd64.vhd"} {
			if sha256File(t, again.path("out/"+name)) != sha256File(t, first.path("out/"+name)) {
				t.Errorf("%s: two builds differ", name)
			}
		}
	})
}
