package debian

import (
	"bytes"
	"context"
	"slices"
	"strings"

	"ingot/internal/tree"
)

// updateInitramfs is called by the kernel's postinst and again by the trigger of
// every package that has a hook in the initramfs. Each call makes the whole image
// anew, which is the longest part of installing a machine; so while packages are
// configured, a stand-in does nothing, and the real one runs once at the end.
const updateInitramfs = "usr/sbin/update-initramfs"

// policyPath holds services back while packages are configured (invoke-rc.d(8)):
// a build starts nothing.
const policyPath = "usr/sbin/policy-rc.d"

// standIns are the programs that do nothing while packages are configured, whichever
// package brings one: update-initramfs, and policy-rc.d, whose exit code holds services back.
var standIns = map[string]string{
	updateInitramfs: "#!/bin/sh\nexit 0\n",
	policyPath:      "#!/bin/sh\nexit 101\n",
}

const (
	// asideSuffix is what a program of the tree is called while its stand-in is there.
	asideSuffix = ".held"
	// askedPath is where the stand-in of update-initramfs notes its calls on a tree that
	// has packages already.
	askedPath = adminDir + "update-initramfs.asked"
	// noting is that stand-in. The variable says whether the boot loader's hooks follow.
	noting = "#!/bin/sh\necho \"INITRAMFS_TOOLS_KERNEL_HOOK=$INITRAMFS_TOOLS_KERNEL_HOOK update-initramfs $*\" >>/" + askedPath + "\n"
)

// standIn is what stands in for a program.
func (i *installer) standIn(path string) record {
	if path == updateInitramfs && !i.in.First {
		return record{0o755, []byte(noting)}
	}
	return record{0o755, []byte(standIns[path])}
}

// holds says whether a stand-in is to be in a program's place: none is where the tree has
// its own policy, or a program that is diverted.
func (i *installer) holds(path string) bool {
	if path == policyPath {
		return i.policy
	}
	return i.in.First || divertedTo(i.diversions, path) == path
}

// divertedTo is where a file goes that somebody else diverts.
func divertedTo(diversions []diversion, path string) string {
	for _, d := range diversions {
		if d.from == path {
			return d.to
		}
	}
	return path
}

// hold puts stand-ins into the place of the programs that these packages bring.
func (i *installer) hold(ctx context.Context, pkgs []*deb) error {
	files := map[string]record{}
	for _, p := range pkgs {
		for e := range p.Tree.All() {
			for path := range standIns {
				if (e.Path == path || "usr/"+e.Path == path) && i.holds(path) {
					e.Path = path
					i.held[path] = e
					files[path] = i.standIn(path)
				}
			}
		}
	}
	return i.write(ctx, files)
}

// holdStanding puts stand-ins into the place of what the tree has: of update-initramfs,
// but not of a policy, which counts.
func (i *installer) holdStanding(ctx context.Context) error {
	spots, err := i.box.Look(ctx, []string{updateInitramfs, policyPath})
	if err != nil {
		return err
	}
	if i.policy = !spots[1].There; i.policy {
		if err := i.write(ctx, map[string]record{policyPath: i.standIn(policyPath)}); err != nil {
			return err
		}
	}
	if !spots[0].There || spots[0].Link || spots[0].Dir || !i.holds(updateInitramfs) {
		return nil
	}
	if err := i.box.Rename(ctx, updateInitramfs, updateInitramfs+asideSuffix); err != nil {
		return err
	}
	i.aside = true
	return i.write(ctx, map[string]record{updateInitramfs: i.standIn(updateInitramfs)})
}

// release puts a program back, if a package brought it or the tree had it; on a tree that
// has packages to where it is diverted by now.
func (i *installer) release(ctx context.Context, path string) (held bool, err error) {
	e, brought := i.held[path]
	had := path == updateInitramfs && i.aside
	if !brought && !had {
		return false, nil
	}
	to := path
	if !i.in.First {
		diverted, err := i.read(ctx, diversionsPath)
		if err != nil {
			return true, err
		}
		to = divertedTo(parseDiversions(diverted), path)
	}
	if had {
		i.aside = false
		return true, i.box.Rename(ctx, path+asideSuffix, to)
	}
	delete(i.held, path)
	e.Path = to
	return true, i.box.Put(ctx, []tree.Entry{e}, i.in.Contents)
}

// restore leaves no stand-in.
func (i *installer) restore(ctx context.Context) error {
	if _, err := i.release(ctx, updateInitramfs); err != nil {
		return err
	}
	if !i.in.First {
		if err := i.box.Remove(ctx, askedPath); err != nil {
			return err
		}
	}
	if !i.policy {
		return nil
	}
	i.policy = false
	if err := i.box.Remove(ctx, policyPath); err != nil {
		return err
	}
	_, err := i.release(ctx, policyPath)
	return err
}

// makeInitramfs puts the program back and runs it: for every kernel of a new tree, else for
// whatever was asked of its stand-in.
func (i *installer) makeInitramfs(ctx context.Context) error {
	if held, err := i.release(ctx, updateInitramfs); err != nil || !held {
		return err
	}
	if i.in.First {
		return i.script(ctx, "update-initramfs", "for v in $(linux-version list 2>/dev/null); do update-initramfs -c -k $v; done")
	}
	asked, err := i.read(ctx, askedPath)
	if err != nil || len(asked) == 0 {
		return err
	}
	if err := i.box.Remove(ctx, askedPath); err != nil {
		return err
	}
	return i.script(ctx, "update-initramfs", replay(asked))
}

// replay is a script for what was asked of update-initramfs, each thing once: first the
// initramfs of new kernels, then what dpkg's trigger asks for, an update of the newest one.
// Where there is one kernel, that has just been made.
func replay(asked []byte) string {
	var made, updated []string
	for line := range bytes.Lines(asked) {
		call := strings.TrimSpace(string(line))
		list := &made
		if strings.Contains(call+" ", " -u ") {
			list = &updated
		}
		if !slices.Contains(*list, call) {
			*list = append(*list, call)
		}
	}
	var b strings.Builder
	b.WriteString("set -e\n")
	for _, call := range made {
		b.WriteString(call + "\n")
	}
	for _, call := range updated {
		if len(made) > 0 && strings.HasSuffix(call, " -u") {
			b.WriteString("[ $(linux-version list | wc -l) = 1 ] || ")
		}
		b.WriteString(call + "\n")
	}
	return b.String()
}
