package layout

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"io"
	"slices"
	"strings"

	"ingot/internal/blockdevice"
	"ingot/internal/disk"
	"ingot/internal/fault"
	"ingot/internal/luks"
)

// A container is a luks, and where it lies. Its keys are made when it is written: nobody
// needs the secrets who only asks where things lie.
type container struct {
	node   *blockdevice.LUKS
	id     [16]byte
	of     []byte // what keys derive from beside the identity, where the layout says that
	sector int64
	on     device          // the payload's places
	made   *luks.Container // once it is written
}

// fillContainers makes the containers that lie on no volume.
func (b *builder) fillContainers() error {
	for _, c := range b.Containers {
		if !isVolume(c.Device) {
			b.inside[c] = b.fillContainer(c, b.deviceOf(c.Device))
		}
	}
	return nil
}

// fillContainer places a container's head, and gives the device in it.
func (b *builder) fillContainer(n *blockdevice.LUKS, on device) device {
	c := &container{node: n, id: b.containerID(n), sector: b.sectorOf(n), on: on.from(luks.HeaderSize)}
	if n.UUID != "" {
		// One identity for all locks is not to be one key for all of them.
		lock := b.Derive("luks " + n.Name)
		c.of = lock[:]
	}
	b.image.parts = append(b.image.parts, placed{n.Name, headContent{c}, on})
	b.image.containers = append(b.image.containers, c)
	return whole(b.fitted.Size(n), spot{in: c})
}

// A headContent is a container's head.
type headContent struct{ c *container }

func (h headContent) Size() int64            { return luks.HeadSize }
func (h headContent) Extents() []disk.Extent { return []disk.Extent{{Len: luks.HeadSize}} }
func (h headContent) WriteTo(_ context.Context, w io.WriterAt) error {
	_, err := w.WriteAt(h.c.made.Head(), 0)
	return err
}

// make makes the keys of a container.
func (c *container) make(secret func(file string) ([]byte, error)) (err error) {
	n := c.node
	o := luks.Options{UUID: c.id, Of: c.of, Label: n.Label, SectorSize: int(c.sector), KDF: n.KDF, Memory: n.Memory}
	if n.Enrolled() {
		// Its costs guard nothing yet.
		o.Passphrase, o.Seed, o.KDF, o.Iterations, o.Token = []byte(publicPassphrase), []byte(publicSeed), luks.PBKDF2, luks.LeastIterations, publicToken
		c.made, err = luks.New(o)
		return err
	}
	passphrase, seed, err := unlocking(n, secret)
	if err != nil {
		return err
	}
	o.Passphrase, o.Seed = passphrase, seed
	c.made, err = luks.New(o)
	return err
}

// unlocking reads the passphrase and the seed of a container.
func unlocking(n *blockdevice.LUKS, secret func(file string) ([]byte, error)) (passphrase, seed []byte, err error) {
	passphrase, err = secret(n.Passphrase.File)
	if err != nil {
		return nil, nil, fmt.Errorf("passphrase: %w", err)
	}
	if passphrase = bytes.TrimSuffix(passphrase, []byte("\n")); len(passphrase) == 0 || len(passphrase) > luks.MaxPassphrase || bytes.ContainsAny(passphrase, "\n\x00") {
		return nil, nil, fault.Newf(fault.Preflight, "passphrase: file %s does not hold one line of 1 to %d bytes", n.Passphrase.File, luks.MaxPassphrase)
	}
	seed, err = secret(n.Seed.File)
	if err != nil {
		return nil, nil, fmt.Errorf("seed: %w", err)
	}
	if len(seed) < luks.MinSeed {
		return nil, nil, fault.Newf(fault.Preflight, "seed: file %s has %d bytes: want at least %d that nobody can guess", n.Seed.File, len(seed), luks.MinSeed).
			WithHint("head -c 32 /dev/urandom >%s", n.Seed.File)
	}
	return passphrase, seed, nil
}

// TrySecrets refuses secrets with which a disk could not be written, and
// names the node that wants them.
func (r Resolved) TrySecrets(secret func(file string) ([]byte, error)) (node string, err error) {
	for _, n := range r.Containers {
		if n.Enrolled() {
			continue
		}
		if _, _, err := unlocking(n, secret); err != nil {
			return n.Name, fmt.Errorf("layout: luks %s: %w", n.Name, err)
		}
	}
	for _, v := range r.Verities {
		if _, err := signing(v, secret); err != nil {
			return v.Name, fmt.Errorf("layout: verity %s: %w", v.Name, err)
		}
	}
	return "", nil
}

// unlock makes what of an image depends on secrets: the keys of containers, and
// signatures of root hashes.
func (im *Image) unlock() error {
	secret := im.secret
	if secret == nil {
		secret = func(file string) ([]byte, error) {
			return nil, fault.Newf(fault.Preflight, "nothing reads file %s", file)
		}
	}
	for _, c := range im.containers {
		if err := c.make(secret); err != nil {
			return fmt.Errorf("layout: luks %s: %w", c.node.Name, err)
		}
	}
	for i := range im.Roots {
		if err := im.Roots[i].sign(im.Verities[i], secret); err != nil {
			return fmt.Errorf("layout: verity %s: %w", im.Roots[i].Name, err)
		}
	}
	return nil
}

// containerID is the identity of a container.
func (r Resolved) containerID(n *blockdevice.LUKS) [16]byte {
	return r.said(n.UUID, "luks "+n.Name)
}

// Secrets are the files that a disk depends on and that no lock knows.
func (r Resolved) Secrets() []string {
	var out []string
	for _, c := range r.Containers {
		if !c.Enrolled() {
			out = append(out, c.Passphrase.File, c.Seed.File)
		}
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
// one. On devices of device-mapper udev links no label of a container (13-dm-disk.rules,
// of Debian's dmsetup, does so for file systems alone): these go by their own names.
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
			if c.Enrolled() {
				options += ",keyscript=/" + passphraseScript
			}
		}
		if b.Len() == 0 {
			b.WriteString("# device, container, passphrase, options\n")
		}
		device := cmp.Or(mapperPath(c.Device), "LABEL="+strings.ReplaceAll(c.Label, " ", `\040`))
		fmt.Fprintf(&b, "%s %s %s %s\n", c.Name, device, key, options)
	}
	return b.String()
}
