package definition

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"

	"ingot/internal/digest"
	distros "ingot/internal/distro"
	"ingot/internal/element"
	"ingot/internal/fault"
	"ingot/internal/spell"
)

// Elements are what a definition takes of diskimage-builder's elements, found, expanded
// and merged.
type Elements struct {
	// Names are those that the definition names, and Path the directories that they are
	// looked for in, first those that override. An element build says neither.
	Names []string
	Path  []string `json:"-"`

	Hooks *element.Hooks `json:"-"`
	// Root says that one of them makes the tree: nothing is installed before they run.
	Root bool
	// Environment is what their scripts see of the user's: variables that he declared,
	// and what options say. What depends on a build is not among them.
	Environment map[string]string
	// InstallType is how elements are installed that know several ways; "" is "source".
	InstallType string
	// Free is how many bytes the root file system of a disk without a size has left, for a
	// tree of so many; nil is what the output says.
	Free func(used int64) int64 `json:"-"`
	// Listed are the packages of their lists, where those are no definition's own.
	Listed []string
	// Packages are installed behind the phase install.d, by their names in the
	// distribution.
	Packages []string
	// Lent are files of the machine that builds which the scripts beside the image may read.
	Lent []Lent
	// Station is the packages of the programs that their scripts run beside the image, and
	// the one that diskimage-builder's elements come in.
	Station []distros.Ref
}

// Station is the packages of the station of a definition's elements, which all of its
// variants share.
func (d *Definition) Station() []distros.Ref {
	for _, v := range d.Variants() {
		if v.Elements != nil {
			return v.Elements.Station
		}
	}
	return nil
}

// ElementsDir is the directory beside a definition that its own elements lie in.
const ElementsDir = "elements"

// given is what a definition's base stands for, so that no element need.
var given = []string{"operating-system", "block-device", "bootloader"}

// Expand adds to the names of a definition's elements all that they need. The operating
// system is the definition's base, which installs packages as Debian's elements do.
func (e *Elements) Expand(path *element.Path, arch string) (element.Set, error) {
	names := append([]string{"dpkg"}, e.Names...)
	set, err := element.Expand(path, names, element.Options{SkipBase: true, Arch: arch, Given: given, By: "the definition"})
	if err != nil {
		return set, err
	}
	if by := set.Provided["operating-system"]; by != "the definition" {
		err := fault.Newf(fault.Definition, "%s is an operating system, and a definition's is its own", by)
		return set, err.WithHint("leave it out: start, release and packages say what the base is; disk-image-create builds from elements alone")
	}
	return set, nil
}

// Base is what the scripts are told of the definition's base, as Debian's elements of an
// operating system would tell them.
func (e *Elements) Base(def *Definition) map[string]string {
	out := map[string]string{"DISTRO_NAME": def.Distro, "DIB_RELEASE": def.Release, "DIB_INIT_SYSTEM": "systemd", "EFI_BOOT_DIR": "EFI/debian", "DIB_DISTRIBUTION_MIRROR": "http://ftp.debian.org/debian"}
	if len(def.Archives) > 0 {
		out["DIB_DISTRIBUTION_MIRROR"] = def.Archives[0].URL
	}
	return out
}

// reserved are variables of elements' scripts that a definition's build sets beside those
// that every build sets.
var reserved = []string{
	"ARCH", "DISTRO_NAME", "DIB_RELEASE", "DIB_IMAGE_CACHE", "DIB_LOCKFILES", "DIB_PYTHON_EXEC", "DIB_ROOT_LABEL", "DIB_ROOT_FSTYPE",
	"DIB_BOOT_LABEL", "DIB_MOUNTPOINTS", "ELEMENTS_PATH", "IMAGE_NAME", "http_proxy", "HTTP_PROXY",
}

// elements reads which elements there are to be, and holds them against those that there
// are: also against those of diskimage-builder, of which names are known without having them.
func (l *loading) elements(doc *document, def *Definition) {
	l.elementVariables(doc)
	named := plain(doc.Elements)
	names := unique(l, "element", named)
	if len(names) == 0 {
		if doc.Environment.At != nil && len(doc.Environment.Value) > 0 && !l.someElements {
			l.problem(doc.Environment.At, "environment is of the elements' scripts, and the definition has no elements")
		}
		return
	}
	e := &Elements{Names: names, Environment: maps.Clone(doc.Environment.Value)}
	if e.Environment == nil {
		e.Environment = map[string]string{}
	}
	if info, err := os.Stat(filepath.Join(l.dir, ElementsDir)); err == nil && info.IsDir() {
		e.Path = append(e.Path, filepath.Join(l.dir, ElementsDir))
	}
	e.Path = append(e.Path, l.elementsPath...)
	def.Elements = e
	if def.Distro != "debian" || len(def.Arch) == 0 {
		return // which is said already
	}
	sources := []element.Source{element.Own()} // first, as for those that are built
	for _, dir := range e.Path {
		sources = append(sources, element.Dir(dir))
	}
	path, err := element.Open(append(sources, element.Shipped())...)
	if err != nil {
		l.problem(doc.Elements[0].At, "elements: %v", err)
		return
	}
	before := len(l.problems)
	for _, t := range named {
		if t.Value == "" {
			continue
		}
		one := Elements{Names: []string{t.Value}}
		if _, err := one.Expand(path, def.Arch[0]); err != nil {
			l.suggest(t.At, l.meant(path, t.Value), "elements: %s", elementMessage(err))
		}
	}
	if len(l.problems) > before {
		return
	}
	if _, err := e.Expand(path, def.Arch[0]); err != nil {
		l.problem(doc.Elements[0].At, "elements: %s", elementMessage(err))
	}
}

// meant is the element that was probably meant by a name that none has.
func (l *loading) meant(path *element.Path, name string) string {
	if slices.Contains(path.Names(), name) {
		return ""
	}
	return spell.Nearest(name, path.Names())
}

// elementMessage is an error of an element with what to do about it, in a line.
func elementMessage(err error) string {
	if hint := fault.HintOf(err); hint != "" {
		return fmt.Sprintf("%v; %s", err, hint)
	}
	return err.Error()
}

// elementVariables refuses variables that are the build's.
func (l *loading) elementVariables(doc *document) {
	if doc.Environment.At == nil {
		return
	}
	for i := 0; i+1 < len(doc.Environment.At.Content); i += 2 {
		k := doc.Environment.At.Content[i]
		switch {
		case k.Value == "DIB_RELEASE":
			l.problem(k, "environment: DIB_RELEASE is what release says")
		case slices.Contains(reserved, k.Value) || element.BuildSets(k.Value):
			l.problem(k, "environment: %s is the build's to set", k.Value)
		}
	}
}

// A Lent is a file that scripts find beside the image.
type Lent struct {
	Path   string // absolute, where they find it
	Mode   uint32
	SHA256 digest.Digest
	Data   []byte `json:"-"`
}
