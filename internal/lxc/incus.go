package lxc

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Incus is what Incus and LXD are told of an image.
type Incus struct {
	Name    string // the definition's
	Distro  string // "debian"
	Release string
	Arch    string // Debian's name
	Epoch   int64  // when it was made, in seconds since 1970
	Expiry  int64  // seconds since 1970; 0 is never
	// Unsigned is a machine's image whose loader no key of the firmware signed:
	// instances of it are made without Secure Boot, or not at all.
	Unsigned bool
	// Templates are files that are written anew when a container is made, by
	// path in the tree, with what they say then: see [InstanceName].
	Templates []File
}

// InstanceName is what templates of Incus and LXD say for the container's name.
const InstanceName = "{{ container.name }}"

// kernelArch is what a kernel calls an architecture (uname(2)), as Incus does.
func kernelArch(arch string) string {
	names := map[string]string{
		"amd64": "x86_64", "i386": "i686", "arm64": "aarch64", "armhf": "armv7l", "armel": "armv6l",
		"ppc64el": "ppc64le", "loong64": "loongarch64", "mips64el": "mips64",
	}
	if name, ok := names[arch]; ok {
		return name
	}
	return arch
}

// Files are the metadata of Incus: metadata.yaml and the templates.
func (i Incus) Files() []File {
	distro := strings.ToUpper(i.Distro[:1]) + i.Distro[1:]
	serial := time.Unix(i.Epoch, 0).UTC().Format("20060102_1504")
	arch := kernelArch(i.Arch)
	var b strings.Builder
	fmt.Fprintf(&b, "architecture: %s\ncreation_date: %d\n", arch, i.Epoch)
	if i.Expiry > 0 {
		fmt.Fprintf(&b, "expiry_date: %d\n", i.Expiry)
	}
	b.WriteString("properties:\n")
	for _, p := range [][2]string{
		{"architecture", arch},
		{"description", fmt.Sprintf("%s: %s %s %s (%s)", i.Name, distro, i.Release, i.Arch, serial)},
		{"name", strings.Join([]string{i.Distro, i.Release, i.Arch, i.Name, serial}, "-")},
		{"os", distro}, {"release", i.Release}, {"serial", serial}, {"variant", i.Name},
	} {
		fmt.Fprintf(&b, "  %s: %s\n", p[0], strconv.Quote(p[1]))
	}
	if i.Unsigned {
		b.WriteString("  requirements.secureboot: \"false\"\n")
	}
	var templates []File
	if len(i.Templates) > 0 {
		b.WriteString("templates:\n")
	}
	for _, t := range i.Templates {
		name := t.Path[strings.LastIndexByte(t.Path, '/')+1:] + ".tpl"
		fmt.Fprintf(&b, "  %s:\n    when: [create, copy]\n    template: %s\n", strconv.Quote("/"+t.Path), strconv.Quote(name))
		templates = append(templates, File{"templates/" + name, t.Data})
	}
	return append([]File{{"metadata.yaml", []byte(b.String())}}, templates...)
}
