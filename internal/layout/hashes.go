package layout

import (
	"context"
	"fmt"
	"io"

	"ingot/internal/blockdevice"
	"ingot/internal/fault"
	"ingot/internal/gpt"
	"ingot/internal/tree"
	"ingot/internal/verity"
)

// A Root is the root hash of a file system whose hashes are on the disk.
type Root struct {
	Name      string // the verity node's
	Hash      string // in hexadecimal digits
	Signature []byte // nil where no key signs it, and before the image is written
}

// readable is what a file system is like whose bytes can be read before they are
// written.
type readable interface {
	ReaderAt(r *tree.Reader) io.ReaderAt
}

// hashSize is how many bytes the hashes of a file system take, as far as its size is
// known.
func (b *builder) hashSize(v *blockdevice.Verity) int64 {
	return verity.Size(b.small[v.Data].Size())
}

// fillHashes hashes file systems whose hashes are on the disk. The partitions of both
// are then known by the root hash: its first half is the identity of the one, its second
// that of the other (UAPI group, Discoverable Partitions Specification).
func (b *builder) fillHashes() error {
	for _, v := range b.Verities {
		if err := b.fillHash(v); err != nil {
			return fmt.Errorf("layout: verity %s: %w", v.Name, err)
		}
	}
	return nil
}

// hash hashes a file system, once.
func (b *builder) hash(v *blockdevice.Verity) (*verity.Tree, error) {
	if t := b.hashed[v]; t != nil {
		return t, nil
	}
	fs := b.small[v.Data]
	in, ok := fs.(readable)
	if !ok {
		return nil, fmt.Errorf("no reader for %s", v.Data.Type)
	}
	one, two := b.Derive("verity "+v.Name+" salt"), b.Derive("verity "+v.Name+" salt, second half")
	t, err := verity.New(context.Background(), in.ReaderAt(b.Reader), fs.Size(), fs.Extents(), verity.Options{
		UUID: b.Derive("verity " + v.Name), Salt: append(one[:], two[:]...),
	})
	b.hashed[v] = t
	return t, err
}

func (b *builder) fillHash(v *blockdevice.Verity) error {
	t, err := b.hash(v)
	if err != nil {
		return err
	}
	_, place := b.fitted.Place(v.Device)
	if t.Size() > place.Len {
		return fault.Newf(fault.Preflight, "it needs %d bytes and has %d", t.Size(), place.Len).WithHint("give its partition the size fit")
	}
	b.image.parts = append(b.image.parts, placed{v.Name, t, b.deviceOf(v.Device)})
	root := t.Root()
	data, _ := v.Data.Device.(*blockdevice.Partition)
	b.roots[data], b.roots[v.Device] = gpt.GUID(root[:16]), gpt.GUID(root[16:])
	b.image.Roots = append(b.image.Roots, Root{Name: v.Name, Hash: t.RootHash()})
	return nil
}

// sign signs a root hash, where a key is named.
func (r *Root) sign(v *blockdevice.Verity, secret func(file string) ([]byte, error)) error {
	s, err := signing(v, secret)
	if s == nil || err != nil {
		return err
	}
	r.Signature, err = s.Signature(r.Hash)
	return err
}

// signing is who signs a root hash; nil is nobody.
func signing(v *blockdevice.Verity, secret func(file string) ([]byte, error)) (*verity.Signer, error) {
	if v.Key.File == "" {
		return nil, nil
	}
	key, err := secret(v.Key.File)
	if err != nil {
		return nil, fmt.Errorf("key: %w", err)
	}
	certificate, err := secret(v.Certificate.File)
	if err != nil {
		return nil, fmt.Errorf("certificate: %w", err)
	}
	s, err := verity.NewSigner(key, certificate)
	return s, fault.Wrap(fault.Preflight, err)
}

// identityOf is the identity of a partition: what is said, else what its hashes give it,
// else a derived one.
func (b *builder) identityOf(p *blockdevice.Partition) gpt.GUID {
	if id, ok := b.roots[p]; ok && p.UUID == "" {
		return id
	}
	return b.partitionID(p)
}
