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

// standIns are the programs that do nothing while packages are configured, whichever
// package brings one: update-initramfs, and policy-rc.d, whose exit code holds services back.
var standIns = map[string]string{
	updateInitramfs: "#!/bin/sh\nexit 0\n",
	policyPath:      "#!/bin/sh\nexit 101\n",
}

// hold puts stand-ins into the place of the programs that these packages bring.
func (i *installer) hold(ctx context.Context, pkgs []*deb) error {
	files := map[string]record{}
	for _, p := range pkgs {
		for e := range p.Tree.All() {
			for path, text := range standIns {
				if e.Path == path || "usr/"+e.Path == path {
					e.Path = path
					i.held[path] = e
					files[path] = record{0o755, []byte(text)}
				}
			}
		}
	}
	return i.write(ctx, files)
}

// release puts a program back, if a package brought it.
func (i *installer) release(ctx context.Context, path string) (brought bool, err error) {
	e, brought := i.held[path]
	if !brought {
		return false, nil
	}
	return true, i.box.Put(ctx, []tree.Entry{e}, i.in.Contents)
}

// makeInitramfs puts the program back and runs it for every kernel.
func (i *installer) makeInitramfs(ctx context.Context) error {
	if brought, err := i.release(ctx, updateInitramfs); err != nil || !brought {
		return err
	}
	return i.script(ctx, "update-initramfs", "for v in $(linux-version list 2>/dev/null); do update-initramfs -c -k $v; done")
}
