package layout_test

import (
	"encoding/binary"
	"fmt"
	"os"
	"strings"
	"testing"

	"ingot/internal/boot"
	"ingot/internal/judge"
	"ingot/internal/qcow2"
)

// A loader that must know where its files lie knows what debugfs says of it, and the
// table has the partition that it starts from.
func TestExtlinux(t *testing.T) {
	judge.Path(t, "syslinux")
	const text = `
- local_loop: {name: disk}
- partitioning:
    base: disk
    label: %s
    partitions:
    - {name: first, size: 8MiB}
    - {name: root, size: 100%%, mkfs: {type: ext4, mount: {mount_point: /, fstab: {}}}}
`
	for label, wants := range map[string]struct{ judge, flag string }{"gpt": {"sgdisk -A 2:show", "2:2:1 (legacy BIOS bootable)"}, "mbr": {"sfdisk -d", "bootable"}} {
		t.Run(label, func(t *testing.T) {
			r := resolve(t, fmt.Sprintf(text, label), "amd64")
			places, err := r.Places()
			if err != nil {
				t.Fatal(err)
			}
			p := parts(t, r)
			if p.Loader, err = boot.MakeLoader(t.Context(), judge.Tools{T: t}, boot.LoaderOptions{Arch: "amd64", Loader: boot.Syslinux, Places: places}); err != nil {
				t.Fatal(err)
			}
			im, err := r.Compose(p)
			if err != nil {
				t.Fatal(err)
			}
			// Another, of other places, is begun before this one is written.
			more := p
			more.Free += 40 << 30
			if _, err := r.Compose(more); err != nil {
				t.Fatal(err)
			}
			raw := writeRaw(t, im)
			words := strings.Fields(wants.judge)
			if out := judge.Run(t, words[0], append(words[1:], raw)...); !strings.Contains(out, wants.flag) {
				t.Errorf("%s does not say %q:\n%s", wants.judge, wants.flag, out)
			}
			root := im.Carve(t, raw)["mkfs_root"]
			judge.Run(t, "e2fsck", "-fn", root)
			var blocks []int64
			out := judge.Run(t, "debugfs", "-R", "blocks /boot/extlinux/ldlinux.sys", root)
			for _, word := range strings.Fields(out) {
				var n int64
				if _, err := fmt.Sscan(word, &n); err == nil && n > 100 {
					blocks = append(blocks, n)
				}
			}
			data, err := os.ReadFile(root)
			if err != nil {
				t.Fatal(err)
			}
			first := int64(binary.LittleEndian.Uint32(data[0x11A:])) // where Debian's has it
			if len(blocks) < 10 || first != blocks[0]*8 || string(data[510:512]) != "\x55\xAA" {
				t.Errorf("the first sector leads to sector %d, and the file has the blocks %d", first, blocks)
			}
			if got := string(data[first*512+2:][:8]); got != "SYSLINUX" {
				t.Errorf("there is %q", got)
			}
			// A second disk of the same parts, one that takes each byte once.
			again, err := r.Compose(p)
			if err != nil {
				t.Fatal(err)
			}
			judge.Run(t, "qemu-img", "compare", "-f", "qcow2", "-F", "raw", writeQcow2(t, again, qcow2.Zlib), raw)
		})
	}
}
