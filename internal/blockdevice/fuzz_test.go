package blockdevice

import (
	"strings"
	"testing"

	"go.yaml.in/yaml/v4"
)

// Whatever the text, there is a config or there are problems with their places;
// and a config can be fitted or says why not.
func FuzzParse(f *testing.F) {
	for _, s := range []string{oneTree, oneGraph, volumesTree, onGroup, wholeText, diskText + biosText + espText + rootText, diskText + volumesText,
		"hybrid", "[]", "- local_loop: &a {name: x, mkfs: {type: swap, mount: {mount_point: none}}}\n- mkfs: *a\n", "- partitioning: &a {partitioning: *a}\n",
		// An alignment that has no multiple in common with 1 MiB for long.
		"- local_loop: {name: d}\n- partitioning: {base: d, label: mbr, align: 999999512, partitions: [{name: root, size: 100%, mkfs: {mount: {mount_point: /}}}]}\n",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		var doc yaml.Node
		if len(text) > 10_000 || yaml.Unmarshal([]byte(text), &doc) != nil || len(doc.Content) != 1 {
			return
		}
		for _, params := range []Params{{}, {Arch: "amd64", ImageSize: 1 << 30, Lenient: true}} {
			c, err := Parse(doc.Content[0], params)
			if err != nil {
				for line := range strings.Lines(err.Error()) {
					if strings.TrimSpace(line) == "" {
						t.Errorf("an empty problem: %q", err)
					}
				}
				continue
			}
			if c.Root() == nil {
				t.Errorf("a config without a root")
			}
			fitted, err := c.Fit(Needs{"mkfs_root": 10 * mib})
			if err != nil {
				continue
			}
			for _, d := range fitted.Disks {
				end := int64(0)
				for _, p := range d.Partitions {
					if p.Place.Off < end || p.Place.Len <= 0 || p.Place.Off+p.Place.Len > d.Size {
						t.Errorf("partition %s lies at %v of %d", p.Partition.Name, p.Place, d.Size)
					}
					end = p.Place.Off + p.Place.Len
				}
				if d.Disk.Table != nil && d.Disk.Table.Label == MBR {
					if _, err := d.MBR(1).Encode(nil); err != nil {
						t.Errorf("MBR: %v", err)
					}
				}
			}
		}
	})
}
