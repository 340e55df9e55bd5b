package boot

// ContainerFiles gives the files that make a tree run as a system container, one
// whose process 1 is systemd: its network, and no identity yet. systemd finds out
// by itself that it is in a container, and then opens a login on the container's
// console in place of serial lines and screens.
func ContainerFiles() []File { return systemFiles() }
