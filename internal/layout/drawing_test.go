package layout_test

import (
	"encoding/xml"
	"errors"
	"io"
	"strings"
	"testing"

	"ingot/internal/digest"
	"ingot/internal/layout"
)

// What is drawn before there is a tree says no place that is not certain.
func TestDrawBefore(t *testing.T) {
	for _, test := range []struct{ summary, text, want string }{
		{"as small as it can be", "efi", `
efi  GPT disk  as its content
├─ 1 esp      as its content                vfat /boot/efi
└─ 2 root               100%                ext4 /, grows

/                         ext4  root
└─ /boot/efi              vfat  esp
`},
		{"a key that everybody knows", `
- local_loop: {name: image0}
- partitioning:
    base: image0
    label: gpt
    partitions:
    - {name: data, size: 64MiB, luks: {name: crypt, mkfs: {type: ext4, mount: {mount_point: /srv, fstab: {}}}}}
    - {name: a-longer-name, size: 10MiB}
    - {name: root, type: root, size: 100%, mkfs: {type: ext4, mount: {mount_point: /, fstab: {}}}}
`, `
image0  GPT disk  as its content
├─ 1 data                64.0 MiB                luks crypt, ext4 /srv, encrypted at the first start
├─ 2 a-longer-name       10.0 MiB
└─ 3 root                    100%                ext4 /, the partition alone grows

/                         ext4  root
└─ /srv                   ext4  crypt
`},
		{"all said", strings.Replace(xfsVolumes, "name: image0", "name: image0, size: 4GiB", 1), ""},
	} {
		t.Run(test.summary, func(t *testing.T) {
			r, err := layout.Resolve(resolve(t, test.text, "amd64").Config, digest.Digest{})
			if err != nil {
				t.Fatal(err)
			}
			got := "\n" + r.Draw().Text()
			if test.want != "" && got != test.want {
				t.Errorf("got %s", got)
			}
			if test.want == "" && (strings.Contains(got, "as its content") || !strings.Contains(got, " at ")) {
				t.Errorf("a place is missing:%s", got)
			}
		})
	}
}

// A picture is XML that names every block and point, whatever they are called.
func TestPicture(t *testing.T) {
	for _, text := range []string{"hybrid", "whole-disk", volumes, fixed, xfsVolumes} {
		d := image(t, resolve(t, text, "amd64")).Draw()
		var said strings.Builder
		dec := xml.NewDecoder(strings.NewReader(string(d.SVG())))
		for {
			token, err := dec.Token()
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
			if c, ok := token.(xml.CharData); ok {
				said.Write(c)
			}
		}
		for _, disk := range append(d.Disks, d.Groups...) {
			for _, b := range append(disk.Blocks, disk) {
				if !strings.Contains(said.String(), b.Name) {
					t.Errorf("%s is not in the picture of %s", b.Name, text)
				}
			}
		}
		for _, m := range d.Mounts {
			if m.Path != "none" && !strings.Contains(said.String(), m.Path) {
				t.Errorf("%s is not in the picture of %s", m.Path, text)
			}
		}
	}
	odd := layout.Drawing{Disks: []layout.Block{{Kind: "disk", Name: "<&>", Blocks: []layout.Block{{Name: `"]]>`}}}}}
	if err := xml.Unmarshal(odd.SVG(), new(struct{})); err != nil {
		t.Error(err)
	}
}
