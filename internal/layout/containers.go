package layout

import (
	"bytes"
	"fmt"
	"slices"
	"strings"

	"ingot/internal/blockdevice"
	"ingot/internal/fault"
	"ingot/internal/luks"
)

// A container is a luks with its keys, and where it lies.
type container struct {
	*luks.Container
	node   *blockdevice.LUKS
	sector int64
	on     device // the payload's places
}

// fillContainers makes the containers that lie on no volume.
func (b *builder) fillContainers() (err error) {
	for _, c := range b.Containers {
		if isVolume(c.Device) {
			continue
		}
		if b.inside[c], err = b.fillContainer(c, b.deviceOf(c.Device)); err != nil {
			return err
		}
	}
	return nil
}

// fillContainer makes a container's head, and the device in it.
func (b *builder) fillContainer(n *blockdevice.LUKS, on device) (device, error) {
	made, err := b.makeContainer(n)
	if err != nil {
		return device{}, fmt.Errorf("layout: luks %s: %w", n.Name, err)
	}
	c := &container{Container: made, node: n, sector: b.sectorOf(n), on: on.from(luks.HeaderSize)}
	b.image.parts = append(b.image.parts, placed{n.Name, bytesContent(made.Head()), on})
	b.image.containers = append(b.image.containers, c)
	return payload(c), nil
}

func (b *builder) makeContainer(n *blockdevice.LUKS) (*luks.Container, error) {
	passphrase, err := b.secret(n.Passphrase)
	if err != nil {
		return nil, fmt.Errorf("passphrase: %w", err)
	}
	if passphrase = bytes.TrimSuffix(passphrase, []byte("\n")); len(passphrase) == 0 || len(passphrase) > luks.MaxPassphrase || bytes.ContainsAny(passphrase, "\n\x00") {
		return nil, fault.Newf(fault.Preflight, "passphrase: file %s does not hold one line of 1 to %d bytes", n.Passphrase.File, luks.MaxPassphrase)
	}
	seed, err := b.secret(n.Seed)
	if err != nil {
		return nil, fmt.Errorf("seed: %w", err)
	}
	if len(seed) < luks.MinSeed {
		return nil, fault.Newf(fault.Preflight, "seed: file %s has %d bytes: want at least %d that nobody can guess", n.Seed.File, len(seed), luks.MinSeed).
			WithHint("head -c 32 /dev/urandom >%s", n.Seed.File)
	}
	id := b.containerID(n)
	return luks.New(luks.Options{UUID: id, Label: n.Label, SectorSize: int(b.sectorOf(n)), Passphrase: passphrase, Seed: seed, KDF: n.KDF, Memory: n.Memory})
}

// secret reads a secret file.
func (b *builder) secret(s blockdevice.Secret) ([]byte, error) {
	if b.Secret == nil {
		return nil, fault.Newf(fault.Preflight, "nothing reads file %s", s.File)
	}
	return b.Secret(s.File)
}

// containerID is the identity of a container.
func (r Resolved) containerID(n *blockdevice.LUKS) [16]byte {
	return r.said(n.UUID, "luks "+n.Name)
}

// Secrets are the files that a disk depends on and that no lock knows.
func (r Resolved) Secrets() []string {
	var out []string
	for _, c := range r.Containers {
		out = append(out, c.Passphrase.File, c.Seed.File)
	}
	for _, v := range r.Verities {
		if v.Key.File != "" {
			out = append(out, v.Key.File, v.Certificate.File)
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// Crypttab is the text of /etc/crypttab, or "" where nothing is encrypted. Containers go
// by their labels, which no lock's digest enters: an initramfs has them before there is
// one.
func (r Resolved) Crypttab() string {
	var b strings.Builder
	for _, c := range r.Containers {
		key, options := c.KeyFile, "luks"
		if key == "" {
			key = "none"
		}
		if c.Discard {
			options += ",discard"
		}
		if r.Early(c) {
			options += ",initramfs"
		}
		if b.Len() == 0 {
			b.WriteString("# device, container, passphrase, options\n")
		}
		fmt.Fprintf(&b, "%s LABEL=%s %s %s\n", c.Name, strings.ReplaceAll(c.Label, " ", `\040`), key, options)
	}
	return b.String()
}
