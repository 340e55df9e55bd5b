// Package lxc says what goes beside the root file system of a system container's
// image, as data: the metadata that LXC's templates and Incus read.
//
// # LXC
//
// An image of LXC is a pair of archives, rootfs.tar.xz and meta.tar.xz; its
// templates "local" and "download" read both with "tar -J", so they must be xz.
// The metadata are small files without a directory: the container's
// configuration, which of the root file system's files are templates, when the
// image expires. Each may stand in several forms, of which a client takes the
// most special one: NAME, NAME-user for containers without privilege, and
// NAME.LEVEL or NAME-user.LEVEL for clients of a compatibility level.
//
// # Incus and LXD
//
// Their metadata are one file, metadata.yaml, and templates that are written over
// files of the root file system when a container is made.
package lxc

import (
	"fmt"
	"slices"
	"strings"

	"ingot/internal/tree"
)

// A File is one of the metadata's.
type File struct {
	Path string // in the archive: "config", "templates/hostname.tpl"
	Data []byte
}

// Meta is what LXC is told of an image.
type Meta struct {
	Arch      string    // Debian's name
	Tree      tree.Tree // of the root file system
	Templates []string  // files of it that hold LXC_NAME, by path in the tree
	Expiry    int64     // seconds since 1970; 0 is never
	Message   string    // to who makes a container; "" is none
}

// Name is what LXC's templates replace by the container's name.
const Name = "LXC_NAME"

// Files are the metadata of LXC.
//
// The included files came with LXC 3 (compatibility level 5): clients of the levels
// before have one for each distribution.
func (m Meta) Files() []File {
	arch := "lxc.arch = " + personality(m.Arch) + "\n"
	config := func(includes ...string) []byte {
		var b strings.Builder
		for _, i := range includes {
			b.WriteString("lxc.include = LXC_TEMPLATE_CONFIG/" + i + ".conf\n")
		}
		return []byte(b.String() + arch)
	}
	out := []File{
		{"config", config("common")},
		{"config-user", config("common", "userns")},
		{"excludes-user", excludes(m.Tree)},
		{"templates", paths(m.Templates)},
	}
	for level := 1; level <= 4; level++ {
		out = append(out,
			File{fmt.Sprintf("config.%d", level), config("debian.common")},
			File{fmt.Sprintf("config-user.%d", level), config("debian.common", "debian.userns")})
	}
	if m.Expiry > 0 {
		out = append(out, File{"expiry", fmt.Appendf(nil, "%d\n", m.Expiry)})
	}
	if m.Message != "" {
		out = append(out, File{"create-message", []byte(strings.TrimSuffix(m.Message, "\n") + "\n")})
	}
	slices.SortFunc(out, func(a, b File) int { return strings.Compare(a.Path, b.Path) })
	return out
}

// personality is the kernel's interface for an architecture: personality(2).
func personality(arch string) string {
	switch arch {
	case "i386", "armhf", "armel":
		return "linux32"
	}
	return "linux64"
}

// excludes are what a user cannot unpack, as patterns of tar(1): device nodes.
// The shell that reads them splits at spaces, so an odd character is any one.
func excludes(t tree.Tree) []byte {
	var b strings.Builder
	for e := range t.All() {
		if e.Kind != tree.Char && e.Kind != tree.Block {
			continue
		}
		b.WriteString("./" + strings.Map(func(r rune) rune {
			if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("/._+-", r) {
				return r
			}
			return '?'
		}, e.Path) + "\n")
	}
	return []byte(b.String())
}

func paths(list []string) []byte {
	var b strings.Builder
	for _, p := range list {
		b.WriteString("/" + p + "\n")
	}
	return []byte(b.String())
}

// Named gives those of a tree's files that name its host, with another name in
// place of it. Files that somebody wrote otherwise stay as they are and are not
// among them.
func Named(hostname, name string, read func(path string) ([]byte, error)) []File {
	var out []File
	if old, err := read("etc/hostname"); err == nil && strings.TrimSpace(string(old)) == hostname {
		out = append(out, File{"etc/hostname", []byte(name + "\n")})
	}
	old, err := read("etc/hosts")
	if err != nil {
		return out
	}
	short, _, _ := strings.Cut(hostname, ".")
	var b strings.Builder
	found := false
	for line := range strings.Lines(string(old)) {
		// The address that Debian gives a host without a permanent one.
		if f := strings.Fields(line); len(f) > 1 && f[0] == "127.0.1.1" && f[1] == hostname && f[len(f)-1] == short {
			found = true
			if name == "" {
				continue
			}
			line = "127.0.1.1\t" + name + "\n"
		}
		b.WriteString(line)
	}
	if found {
		out = append(out, File{"etc/hosts", []byte(b.String())})
	}
	return out
}
