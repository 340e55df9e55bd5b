package server

import (
	"context"
	"crypto/sha512"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"strings"

	"ingot/internal/catalog"
)

// builderIndex is where virt-builder's index lies. The files that it names lie beside or below it:
// virt-builder takes no others (virt-builder(1), "Creating and signing the index file").
const builderIndex = "index.asc"

// builderFormats are those of disks that virt-builder starts from, best first.
var builderFormats = []string{"qcow2", "raw"}

// builderPlain is virt-builder's index before it is signed: a section for each image and channel, with
// the version that the channel points to. An architecture is a section of its own, of the same name.
func builderPlain(c catalog.Catalog) []byte {
	var b strings.Builder
	b.WriteString("# disks of this tree, for virt-builder\n") // a text that is empty cannot be signed
	taken := map[string]bool{}
	for _, i := range c.Images {
		for _, k := range i.Channels {
			v, ok := i.Channel(k.Name)
			if !ok {
				continue
			}
			name := builderName(i, k)
			for _, format := range builderFormats {
				a, ok := v.Artifact(format)
				if !ok || a.Disk == nil || taken[name+":"+i.Arch] {
					continue
				}
				taken[name+":"+i.Arch] = true
				title := fmt.Sprintf("%s (%s %s)", i.Name, title(v.Distro), v.Release)
				if k.Name != catalog.Stable {
					title += ", " + k.Name
				}
				fmt.Fprintf(&b, "\n[%s]\nname=%s\narch=%s\nfile=%s/%s\nchecksum[sha512]=%s\nrevision=%s\nformat=%s\nsize=%d\ncompressed_size=%d\nnotes=Version %s, lock %s\n",
					name, title, builderArch(i.Arch), v.Dir(i), a.Files[0].Name, a.Disk.SHA512, digits(v.Version), format, a.Disk.Size, a.Files[0].Size, v.Version, v.Lock)
			}
		}
	}
	return []byte(b.String())
}

// builderName is what virt-builder calls an image: letters, digits and - . _ alone.
func builderName(i catalog.Image, k catalog.Channel) string {
	name := i.Name
	if k.Name != catalog.Stable {
		name += "." + k.Name
	}
	return strings.ReplaceAll(name, "+", "_")
}

// builderArch is libguestfs's name of an architecture.
func builderArch(arch string) string {
	names := map[string]string{
		"amd64": "x86_64", "i386": "i386", "arm64": "aarch64", "armhf": "armv7l", "armel": "armv6l", "ppc64el": "ppc64le", "loong64": "loongarch64",
	}
	if name, ok := names[arch]; ok {
		return name
	}
	return arch
}

// digits makes a number of a version's name that grows as that does: what virt-builder goes by
// when it asks whether what it keeps is old.
func digits(version string) string {
	var b strings.Builder
	for _, r := range version {
		if r >= '0' && r <= '9' && b.Len() < 18 {
			b.WriteRune(r)
		}
	}
	if b.Len() == 0 {
		return "1"
	}
	return b.String()
}

// disk reads of a disk what virt-builder wants to know.
func (p *Publisher) disk(ctx context.Context, a *catalog.Artifact, u *upload, progress func(int64)) error {
	if !isDisk(a.Format) || len(a.Files) != 1 {
		return nil
	}
	r, err := p.open(ctx, a.Files[0], u, progress)
	if err != nil {
		return err
	}
	defer func() { _ = r.Close() }()
	h := sha512.New()
	var head [32]byte
	n, err := io.ReadFull(io.TeeReader(r, h), head[:])
	if err == nil {
		_, err = io.Copy(h, r)
	}
	if errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF) {
		err = nil
	}
	if err != nil {
		return err
	}
	size := a.Files[0].Size
	if a.Format == "qcow2" {
		// docs/interop/qcow2.txt of QEMU: magic, then the virtual size at byte 24.
		if n < len(head) || string(head[:4]) != "QFI\xfb" {
			return nil // who publishes what is none gets it published, and virt-builder does not see it
		}
		size = int64(binary.BigEndian.Uint64(head[24:]) & (1<<62 - 1))
	}
	a.Disk = &catalog.Disk{Size: size, SHA512: hex.EncodeToString(h.Sum(nil))}
	return nil
}

// isDisk says whether virt-builder starts from a format.
func isDisk(format string) bool { return format == builderFormats[0] || format == builderFormats[1] }
