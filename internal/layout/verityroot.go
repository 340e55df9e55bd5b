package layout

import (
	_ "embed"
	"fmt"

	"ingot/internal/boot"
	"ingot/internal/fault"
	"ingot/internal/tree"
)

// A root with hashes is held to them by a unified kernel image, which has the root hash in
// its command line and, where it is signed, under its signature. Debian's initramfs knows
// nothing of hashes, so a script of ours opens the root.

var (
	//go:embed verityroot/hook
	verityHook string
	//go:embed verityroot/local-top
	verityTop string
	//go:embed verityroot/tmp.mount
	verityTmp string
)

// rooted are the files that open a root with hashes. An initramfs is made by them.
func (r Resolved) rooted() []boot.File {
	if r.Hashes(r.Root()) == nil {
		return nil
	}
	out := programs([]program{{"etc/initramfs-tools/hooks/ingot-verity", verityHook}, {"etc/initramfs-tools/scripts/local-top/ingot-verity", verityTop}})
	if r.Holding("/tmp").FS == r.Root() {
		const units = "etc/systemd/system/"
		out = append(out, programs([]program{{units + "tmp.mount", verityTmp}})...)
		out = append(out, boot.File{Path: units + "local-fs.target.wants", Kind: tree.Dir, Mode: 0o755},
			boot.File{Path: units + "local-fs.target.wants/tmp.mount", Kind: tree.Symlink, Mode: 0o777, Link: "../tmp.mount"})
	}
	return out
}

// HeldTo says whether the machine holds its root to hashes, if it is started by a loader
// that knows the root hash.
func (r Resolved) HeldTo() bool { return r.Hashes(r.Root()) != nil }

// reload makes the loader again with the root's hash, as large as it was without.
func (b *builder) reload() error {
	if b.Rooted == nil {
		return nil
	}
	v := b.Hashes(b.Root())
	if v == nil {
		return nil
	}
	if q := b.Unheld(); q != nil {
		return fault.Newf(fault.Definition, "layout: %s", q.Message)
	}
	t, err := b.hash(v)
	if err != nil {
		return fmt.Errorf("layout: verity %s: %w", v.Name, err)
	}
	if b.Loader, err = b.Rooted(t.RootHash()); err != nil {
		return err
	}
	esp := b.ESP()
	if esp == nil {
		return nil
	}
	before := b.files[esp]
	if b.files[esp], err = b.plainFiles(esp); err != nil {
		return fmt.Errorf("layout: file system %s: %w", esp.Name, err)
	}
	for i, f := range b.files[esp] {
		if f.Len() != before[i].Len() || f.Path != before[i].Path {
			return fmt.Errorf("layout: %s has another size with the root hash", f.Path)
		}
	}
	return nil
}
