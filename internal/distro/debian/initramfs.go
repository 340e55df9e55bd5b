package debian

import (
	"context"

	"ingot/internal/tree"
)

// updateInitramfs is called by the kernel's postinst and again by the trigger of
// every package that has a hook in the initramfs. Each call makes the whole image
// anew, which is the longest part of installing a machine; so while packages are
// configured, a stand-in does nothing, and the real one runs once at the end.
const updateInitramfs = "usr/sbin/update-initramfs"

// holdInitramfs puts the stand-in into the place of the program, if these
// packages bring it.
func (i *installer) holdInitramfs(ctx context.Context, pkgs []*deb) error {
	for _, p := range pkgs {
		for e := range p.Tree.All() {
			if e.Path == updateInitramfs || "usr/"+e.Path == updateInitramfs {
				i.initramfs = &e
				e.Path = updateInitramfs
				return i.write(ctx, map[string]record{updateInitramfs: {0o755, []byte("#!/bin/sh\nexit 0\n")}})
			}
		}
	}
	return nil
}

// makeInitramfs puts the program back and runs it for every kernel.
func (i *installer) makeInitramfs(ctx context.Context) error {
	if i.initramfs == nil {
		return nil
	}
	if err := i.box.Put(ctx, []tree.Entry{*i.initramfs}, i.in.Contents); err != nil {
		return err
	}
	return i.script(ctx, "update-initramfs", "for v in $(linux-version list 2>/dev/null); do update-initramfs -c -k $v; done")
}
