package debian

import (
	"bytes"
	"context"
	"slices"
	"strings"
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
	// heldSuffix is what a program is called while its stand-in is there.
	heldSuffix = ".held"
	// askedPath is where the stand-in of update-initramfs notes its calls on a tree that
	// has packages already.
	askedPath = adminDir + "update-initramfs.asked"
	// noting is that stand-in. What only asks is answered: a kernel's hook wants to know
	// by the version whose program it is.
	noting = `#!/bin/sh
case "$1" in
-[cdu]*|-[bksv]) echo "update-initramfs $*" >>/` + askedPath + ` ;;
*) exec /` + updateInitramfs + heldSuffix + ` "$@" ;;
esac
`
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
	brought := map[string]bool{}
	for _, p := range pkgs {
		for e := range p.Tree.All() {
			for path := range standIns {
				if (e.Path == path || "usr/"+e.Path == path) && !p.lost[e.Path] && i.holds(path) {
					brought[path] = true
				}
			}
		}
	}
	for path := range brought {
		if err := i.holdOne(ctx, path); err != nil {
			return err
		}
	}
	return nil
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
	if spots[0].Link || !i.holds(updateInitramfs) {
		return nil // somebody's own stand-in
	}
	return i.holdOne(ctx, updateInitramfs)
}

func (i *installer) holdOne(ctx context.Context, path string) error {
	spots, err := i.box.Look(ctx, []string{path})
	if err != nil || !spots[0].There || spots[0].Dir {
		return err
	}
	if err := i.box.Rename(ctx, path, path+heldSuffix); err != nil {
		return err
	}
	i.held[path] = true
	return i.write(ctx, map[string]record{path: i.standIn(path)})
}

// release puts a program back; on a tree that had packages to where it is diverted by now.
func (i *installer) release(ctx context.Context, path string) (held bool, err error) {
	if !i.held[path] {
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
	delete(i.held, path)
	return true, i.box.Rename(ctx, path+heldSuffix, to)
}

// restore leaves no stand-in.
func (i *installer) restore(ctx context.Context) error {
	if _, err := i.release(ctx, updateInitramfs); err != nil {
		return err
	}
	gone := []string{}
	if !i.in.First {
		gone = append(gone, askedPath)
	}
	if i.policy {
		gone = append(gone, policyPath)
		i.policy = false
	}
	if err := i.box.Remove(ctx, gone...); err != nil {
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
	fresh := slices.ContainsFunc(made, func(call string) bool { return strings.Contains(call, " -c ") })
	script := "set -e\n"
	for _, call := range made {
		script += call + "\n"
	}
	for _, call := range updated {
		if fresh && strings.HasSuffix(call, " -u") {
			script += "[ $(linux-version list | wc -l) = 1 ] || "
		}
		script += call + "\n"
	}
	return script
}
