package distro

import "strings"

// Kinds of needs, by their names in Debian.
const (
	PreDepends = "pre-depends"
	Depends    = "depends"
	Recommends = "recommends"
	Suggests   = "suggests"
)

// A Need is what a package says that it needs, or that it goes with.
type Need struct {
	Kind string
	Any  []Choice // one of which will do
}

// String is the need as a package writes it.
func (n Need) String() string {
	var out []string
	for _, c := range n.Any {
		out = append(out, c.Text)
	}
	return strings.Join(out, " | ")
}

// A Choice is one name that meets a need.
type Choice struct {
	Name string
	Text string                    // with its bound: "libc6 (>= 2.36)"
	Met  func(version string) bool // whether a version will do; "" is none
}

// A Provided name is another one that a package goes by.
type Provided struct{ Name, Version string } // Version is "" of a name alone
