package layout_test

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"ingot/internal/judge"
)

// TestTornGroup has LVM change a group, and takes away the text of the last change, as a power
// cut may: there is no group, and then it is as it was before that.
func TestTornGroup(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("root runs this: LVM reads block devices alone, and loop devices are root's")
	}
	script, err := filepath.Abs("grouproot/local-top")
	if err != nil {
		t.Fatal(err)
	}
	disk, bin := filepath.Join(t.TempDir(), "disk"), t.TempDir()
	if err := os.WriteFile(disk, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(disk, 8<<20); err != nil {
		t.Fatal(err)
	}
	out, err := exec.CommandContext(t.Context(), "losetup", "-f", "--show", disk).Output()
	if err != nil {
		t.Skipf("loop devices make this run: %v", err)
	}
	loop := strings.TrimSpace(string(out))
	defer func() { judge.Run(t, "losetup", "-d", loop) }()
	// LVM as the script calls it, that sees nothing else of this machine.
	real := judge.Path(t, "lvm")
	wrapped := fmt.Sprintf("#!/bin/sh\nverb=$1\nshift\nexec %s $verb --driverloaded n --nolocking --config 'devices { use_devicesfile = 0 filter = [ \"a|^%s$|\", \"r|.*|\" ] }' \"$@\"\n", real, loop)
	if err := os.WriteFile(filepath.Join(bin, "lvm"), []byte(wrapped), 0o755); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", bin+":"+os.Getenv("PATH"))
	t.Setenv("LVM_SUPPRESS_FD_WARNINGS", "1")
	lvm := func(args ...string) string { return judge.Run(t, "lvm", args...) }
	lvm("pvcreate", "-qq", loop)
	lvm("vgcreate", "-qq", "torn", loop)
	tags := func() string {
		out, err := exec.CommandContext(t.Context(), "lvm", "vgs", "--noheadings", "-o", "vg_tags", "torn").Output()
		if err != nil {
			return "no group"
		}
		return strings.TrimSpace(string(out))
	}
	want := ""
	for i := range 5 {
		before := want
		lvm("vgchange", "-qq", "--addtag", fmt.Sprintf("t%d", i), "torn")
		if want = strings.TrimPrefix(before+fmt.Sprintf(",t%d", i), ","); tags() != want {
			t.Fatalf("tags %q and not %q", tags(), want)
		}
		if i == 0 {
			continue
		}
		headers := lvm("pvck", "--dump", "headers", loop)
		at := regexp.MustCompile(`metadata text at ([0-9]+) crc`).FindStringSubmatch(headers)
		if at == nil {
			t.Fatal(headers)
		}
		offset, err := strconv.ParseInt(at[1], 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		f, err := os.OpenFile(disk, os.O_RDWR, 0)
		if err != nil {
			t.Fatal(err)
		}
		// Its first sector is lost, or its second.
		if _, err := f.WriteAt(bytes.Repeat([]byte{byte(i % 2 * 'x')}, 512), offset+int64(i/2%2)*512); err != nil {
			t.Fatal(err)
		}
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
		judge.Run(t, "blockdev", "--flushbufs", loop)
		if tags() != "no group" {
			t.Fatalf("there is a group, of tags %q:\n%s", tags(), lvm("pvck", "--dump", "headers", loop))
		}
		for range 2 { // the second time there is nothing to do
			judge.Run(t, "sh", script, loop)
			if tags() != before {
				t.Fatalf("%d: tags %q and not %q:\n%s", i, tags(), before, headers)
			}
		}
		want = before
	}
	judge.Run(t, "shellcheck", "--shell=sh", "--exclude=SC1091", script)
}
