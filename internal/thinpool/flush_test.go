package thinpool

import (
	"os"
	"path/filepath"
	"reflect"
	"testing"
)

// TestBelow finds what a group lies on in a sysfs: a partition, and a container of another's.
func TestBelow(t *testing.T) {
	blocks := t.TempDir()
	for name, slaves := range map[string][]string{
		"dm-0 crypt": {"sdb"}, "dm-1 hv-pool_tdata": {"vda2", "dm-0"}, "dm-2 hv-pool_tmeta": {"vda2"}, "dm-3 hv-pool-tpool": {"dm-1", "dm-2"},
		"dm-4 hv-Base--1--0": {"dm-3"}, "dm-5 hv--other-root": {"sdc"}, "dm-6 hvx-root": {"cciss!c0d0"},
	} {
		dir := filepath.Join(blocks, name[:4])
		for _, slave := range slaves {
			if err := os.MkdirAll(filepath.Join(dir, "slaves", slave), 0o755); err != nil {
				t.Fatal(err)
			}
		}
		if err := os.MkdirAll(filepath.Join(dir, "dm"), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, "dm/name"), []byte(name[5:]+"\n"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for group, want := range map[string][]string{"hv": {"dm-0", "vda2"}, "hv-other": {"sdc"}, "hvx": {"cciss!c0d0"}, "none": nil} {
		if got, err := (&Store{Group: group}).below(blocks); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %q, %v", group, got, err)
		}
	}
	devices := t.TempDir()
	for _, name := range []string{"dm-0", "vda2"} {
		if err := os.WriteFile(filepath.Join(devices, name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := (&Store{Group: "hv"}).flush(blocks, devices); err != nil {
		t.Error(err)
	}
	if err := (&Store{Group: "hvx"}).flush(blocks, devices); err == nil {
		t.Error("a device that is not there was flushed")
	}
}
