package definition

import (
	"ingot/internal/digest"
	distros "ingot/internal/distro"
	"ingot/internal/element"
)

// Elements are what a definition takes of diskimage-builder's elements, found, expanded
// and merged.
type Elements struct {
	Hooks *element.Hooks
	// Root says that one of them makes the tree: nothing is installed before they run.
	Root bool
	// Environment is what their scripts see of the user's: variables that he declared,
	// and what options say. What depends on a build is not among them.
	Environment map[string]string
	// InstallType is how elements are installed that know several ways; "" is "source".
	InstallType string
	// Free is how many bytes the root file system of a disk without a size has left, for a
	// tree of so many.
	Free func(used int64) int64 `json:"-"`
	// Packages are installed behind the phase install.d, by their names in the
	// distribution.
	Packages []string
	// Lent are files of the machine that builds which the scripts beside the image may read.
	Lent []Lent
	// Station is the packages of the programs that their scripts run beside the image.
	Station []distros.Ref
}

// A Lent is a file that scripts find beside the image.
type Lent struct {
	Path   string // absolute, where they find it
	Mode   uint32
	SHA256 digest.Digest
	Data   []byte `json:"-"`
}
