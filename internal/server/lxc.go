package server

import (
	"cmp"
	"fmt"
	"iter"
	"strings"

	"ingot/internal/catalog"
)

// lxcLevels are the compatibility levels of LXC's clients. Version 1.0 asks for
// index-system.1, 7.0 for .7; the file without a level is for those who find none.
const lxcLevels = 7

// lxcIndexes are the indexes of LXC's image server: a line an image, by
// distribution, release, architecture and variant, where its files lie. What a channel
// other than stable points to is a variant of its own, NAME@CHANNEL.
func lxcIndexes(c catalog.Catalog) map[string][]byte {
	var b strings.Builder
	for _, i := range c.Images {
		for _, k := range i.Channels {
			v, ok := i.Channel(k.Name)
			if !ok {
				continue
			}
			if _, ok := v.Artifact("lxc"); !ok {
				continue
			}
			fmt.Fprintf(&b, "%s;%s;%s;%s;%s;/%s/\n", v.Distro, v.Release, i.Arch, variant(i, k), v.Version, v.Dir(i))
		}
	}
	out := map[string][]byte{}
	for _, mode := range []string{"system", "user"} {
		name := "meta/1.0/index-" + mode
		out[name] = []byte(b.String())
		for level := 1; level <= lxcLevels; level++ {
			out[fmt.Sprintf("%s.%d", name, level)] = []byte(b.String())
		}
	}
	return out
}

// variant is what indexes without channels call an image.
func variant(i catalog.Image, k catalog.Channel) string {
	name := cmp.Or(i.Variant, i.Name)
	if k.Name == catalog.Stable {
		return name
	}
	return name + "@" + k.Name
}

// dialectName is what a file must be called for LXC or Incus, in the directory of its version;
// "" is nothing else than its name.
func dialectName(format, file string) string {
	suffixes := map[string][][2]string{
		"lxc":      {{".rootfs.tar.xz", "rootfs.tar.xz"}, {".meta.tar.xz", "meta.tar.xz"}},
		"incus":    {{".rootfs.squashfs", "rootfs.squashfs"}, {".incus.tar.xz", "incus.tar.xz"}},
		"incus-vm": {{".incus-vm.qcow2", "disk.qcow2"}, {".incus-vm.tar.xz", "incus-vm.tar.xz"}},
	}
	for _, s := range suffixes[format] {
		if strings.HasSuffix(file, s[0]) {
			return s[1]
		}
	}
	return ""
}

// named are a version's files by every name that they have in its directory.
func named(v catalog.Version) iter.Seq2[string, catalog.File] {
	return func(yield func(string, catalog.File) bool) {
		for _, a := range v.Artifacts {
			for _, f := range a.All() {
				for _, as := range []string{f.Name, dialectName(a.Format, f.Name)} {
					if as != "" && !yield(as, f) {
						return
					}
				}
			}
		}
	}
}
