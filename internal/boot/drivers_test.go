package boot

import (
	"strings"
	"testing"
)

func TestLacking(t *testing.T) {
	builtin := "kernel/fs/ext4/ext4.ko\nkernel/drivers/md/dm-mod.ko\n"
	dep := "kernel/fs/fat/vfat.ko.xz: kernel/fs/fat/fat.ko.xz\nkernel/fs/fat/fat.ko.xz:\nkernel/drivers/md/dm-thin-pool.ko.zst:\n"
	for drivers, want := range map[string]string{
		"ext4 vfat dm_mod dm_thin_pool fat": "",
		"xfs ext4 dm-thin":                  "xfs dm-thin",
		"":                                  "",
	} {
		if got := strings.Join(Lacking(strings.Fields(drivers), builtin, dep), " "); got != want {
			t.Errorf("of %q: %q, want %q", drivers, got, want)
		}
	}
}
