// Package openvz says what an OpenVZ template is beside an archive of a system
// container: its name, and what vzctl and Proxmox expect of its files.
//
// # The name
//
// vzctl knows a template by its name without ".tar.gz", such as
// debian-12-x86_64-web, and finds out how to set up the container's network and
// accounts by it: it looks for a file of that name among its distributions, then
// for the name without its last part, and so on. So the first part must be a
// distribution that vzctl knows, and the architecture is x86 or x86_64. Proxmox
// takes any name with a suffix of tar's.
//
// # The files
//
// The container gets name, address and accounts from its host, so the template has
// no host name; consoles are /dev/console and /dev/tty2; there are static device
// nodes, and no login on terminals that no container has.
package openvz

import (
	"strings"

	"ingot/internal/tree"
)

// versions are the numbers of Debian's releases: others go by their name.
var versions = map[string]string{"bullseye": "11", "bookworm": "12", "trixie": "13", "forky": "14"}

// Name is what a template's file is called.
func Name(distro, release, arch, name, compress string) string {
	version := versions[release]
	if version == "" {
		version = strings.ReplaceAll(release, "-", ".") // a part for itself
	}
	if a, ok := map[string]string{"amd64": "x86_64", "i386": "x86"}[arch]; ok {
		arch = a
	}
	return distro + "-" + version + "-" + arch + "-" + name + ".tar." + map[string]string{"gzip": "gz", "xz": "xz", "zstd": "zst"}[compress]
}

// nodes are the devices that a container starts with.
var nodes = []tree.Entry{
	{Path: "dev/console", Mode: 0o600, Major: 5, Minor: 1},
	{Path: "dev/full", Mode: 0o666, Major: 1, Minor: 7},
	{Path: "dev/null", Mode: 0o666, Major: 1, Minor: 3},
	{Path: "dev/ptmx", Mode: 0o666, Major: 5, Minor: 2},
	{Path: "dev/random", Mode: 0o666, Major: 1, Minor: 8},
	{Path: "dev/tty", Mode: 0o666, Major: 5, Minor: 0},
	{Path: "dev/tty2", Mode: 0o620, GID: 5, Major: 4, Minor: 2},
	{Path: "dev/urandom", Mode: 0o666, Major: 1, Minor: 9},
	{Path: "dev/zero", Mode: 0o666, Major: 1, Minor: 5},
}

// Edit is what a system container's tree becomes a template by, at a clock in
// seconds since 1970.
func Edit(t tree.Tree, epoch int64) tree.Delta {
	var d tree.Delta
	at := tree.Time{Sec: epoch}
	has := func(path string) bool { _, ok := t.Lookup(path); return ok }
	for _, dir := range []string{"dev", "dev/pts", "dev/shm"} {
		if !has(dir) {
			d.Set = append(d.Set, tree.Entry{Path: dir, Kind: tree.Dir, Mode: 0o755, Mtime: at, Owner: "output"})
		}
	}
	for _, n := range nodes {
		if !has(n.Path) {
			n.Kind, n.Mtime, n.Owner = tree.Char, at, "output"
			d.Set = append(d.Set, n)
		}
	}
	const wants = "etc/systemd/system/getty.target.wants"
	for n := range t.All() {
		if tree.Parent(n.Path) == wants && strings.HasPrefix(n.Path, wants+"/getty@tty") {
			d.Remove = append(d.Remove, n.Path)
		}
	}
	if has("etc/hostname") {
		d.Remove = append(d.Remove, "etc/hostname")
	}
	return d
}
