// Package rpm is a spike of the rpm families (Fedora, CentOS, SUSE and their
// like): enough of them to prove that the four effects of package distro are not
// Debian's alone. Packages that rpmbuild made are resolved from the metadata that
// createrepo_c made, unpacked into trees, and installed in a sandbox into the tree
// that rpm itself would have left, database included.
//
// An .rpm holds its files' metadata in a header and their bytes in a cpio
// archive. [Family.Unpack] joins the two. Owners are names, which only the tree's
// own /etc/passwd turns into numbers, so that happens in [Family.Configure].
//
// No library writes an rpm database, and each family has a format of its own. So
// the tools tree's rpm does, with "--justdb": it gets the headers of the packages
// without their payloads, checks dependencies and file conflicts, decides on the
// order, and leaves a database that says what is going to be true. Then files are
// put and scriptlets run in the tree in that order.
//
// What a full family needs beyond this:
//
//   - a resolver that backtracks. What dnf and zypper choose is what libsolv, a
//     SAT solver, chooses under its policies: weak dependencies, rich dependencies
//     ("(a if b)"), obsoletes that replace, vendor and architecture changes,
//     modules, comps groups, priorities and excludes of archives, file
//     dependencies that need filelists.xml. [Universe.Resolve] walks the
//     requirements once and says so where that is not enough;
//   - scriptlets in rpm's own Lua, file triggers and package triggers, which
//     Configure refuses by name rather than leave out;
//   - packages on top of a tree by upgrade, erasure and multilib colours;
//   - OpenPGP signatures of repomd.xml and packages; deltas; zchunk;
//   - a tools tree of the same family, for the database's format and rpm's macros.
//
// Facts: rpm's manual (format.md, tags.md, scriptlets), rpm(8), cpio(5),
// rpm-version(7), the metadata schema of createrepo_c.
package rpm

import (
	"context"
	"errors"

	"ingot/internal/distro"
)

// Tools runs programs of a tools tree that holds rpm, a shell and the usual
// small programs. It is the part of boot.Tools that is needed here.
type Tools interface {
	// Run runs argv in an empty directory that holds the inputs, and gives the
	// files that it left under the names of outputs. The environment says what
	// time it is with SOURCE_DATE_EPOCH.
	Run(ctx context.Context, argv []string, stdin []byte, inputs map[string][]byte, outputs []string) (map[string][]byte, error)
}

// A Family is one of the distributions that use rpm.
type Family struct {
	Vendor   string // the namespace in package URLs: "fedora", "opensuse"
	Tools    Tools  // Configure needs them
	Database string // directory of rpm's database in the tree; "" is "var/lib/rpm"
}

var _ distro.Distro = Family{}

// errPackage is in the chain of every error that the bytes of a package cause.
var errPackage = errors.New("not a sound rpm package")

// arches are rpm's names of architectures by Debian's.
var arches = map[string]string{
	"amd64": "x86_64", "arm64": "aarch64", "armhf": "armv7hl", "i386": "i686",
	"ppc64el": "ppc64le", "riscv64": "riscv64", "s390x": "s390x",
}

// noarch is the architecture of packages for all.
const noarch = "noarch"
