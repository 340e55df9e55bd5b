package debian

import "ingot/internal/distro"

// Debian is the Debian family: .deb packages, dpkg, apt's archives.
type Debian struct{}

var _ distro.Distro = Debian{}
