// Package sandbox makes a tree real for as long as target programs must run in
// it, without privilege on the host.
//
// A [Box] is a process of ingot's own in new user, mount, PID, IPC and UTS
// namespaces. Inside, ids 0 to 65535 exist; outside they are ids that own nothing
// on the host, for root too wherever the host gives such ids. The process leaves
// the host's file systems for a tmpfs of its own (or one work directory, when the
// tree is too large for memory), so a program that escapes its chroot finds
// nothing there. When the box is closed, or ingot dies, the kernel takes all of
// it away: processes, mounts and files.
//
// The flow is [New], [Box.Put] entries, [Box.Run] programs, [Box.Capture] what
// they left. Capture needs no overlay: the box remembers inode and change time of
// each file it put there, so whatever was not touched keeps pointing at the pack
// it came from, also when it was renamed, and only what changed is read.
//
// Facts: user_namespaces(7), mount_namespaces(7), pivot_root(2), capabilities(7).
package sandbox

import (
	"fmt"
	"os"
)

// initName is argv[0] of the process inside.
const initName = "ingot-sandbox"

// Main takes over the process when it was started as the inside of a box, and
// then does not return. Every program that uses boxes, tests too, calls it first: it keeps
// the files that whoever called left open from every program that is started.
func Main() {
	if err := withholdInherited(); err != nil {
		fmt.Fprintln(os.Stderr, "ingot: error:", err)
		os.Exit(1)
	}
	if len(os.Args) > 0 && os.Args[0] == initName {
		os.Exit(inside())
	}
}
