package boot

import "slices"

// ContainerFiles gives the files that make a tree run as a system container, one
// whose process 1 is systemd: its network, and no identity yet. systemd finds out
// by itself that it is in a container, and then opens a login on the container's
// console in place of serial lines and screens. It does not see that its kernel's
// own file systems are not the container's to mount.
func ContainerFiles() []File {
	return slices.Concat(systemFiles(), []File{
		link("etc/systemd/system/sys-kernel-debug.mount", "/dev/null"),
		link("etc/systemd/system/sys-kernel-tracing.mount", "/dev/null"),
	})
}
