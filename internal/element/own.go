package element

import (
	"bytes"
	"embed"
	"encoding/json"
	"io"
	"io/fs"
	"path"
	"slices"
	"strings"

	"ingot/internal/fault"
)

//go:embed all:own
var own embed.FS

// Own are the elements that are inside ingot, which need no Python: package-installs,
// pkg-map, svc-map, install-bin, install-static and dib-init-system. Put first in a
// path they take the place of diskimage-builder's of the same names. What the first
// three read is made by [Prepare].
func Own() Source {
	sub, err := fs.Sub(own, "own")
	if err != nil {
		sub = embed.FS{} // cannot happen: the name is a constant
	}
	return Source{Name: ownName, FS: programs{sub}}
}

// ownName is what messages call the place of ingot's own elements.
const ownName = "ingot's own"

// inside says whether the element is ingot's own.
func (e *Element) inside() bool { return e.Dir == "" && e.Source == ownName }

// programs is a file system in which what begins with "#!" may be executed: files
// inside a program have no permissions of their own.
type programs struct{ fs.FS }

// A program is an entry with its permissions.
type program struct {
	fs.FileInfo
	script bool
}

func (p program) Mode() fs.FileMode {
	switch {
	case p.IsDir():
		return fs.ModeDir | 0o755
	case p.script:
		return 0o755
	}
	return 0o644
}

func (p programs) Stat(name string) (fs.FileInfo, error) {
	info, err := fs.Stat(p.FS, name)
	if err != nil || info.IsDir() {
		return program{info, false}, err
	}
	f, err := p.Open(name)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }() // it was only read
	var first [2]byte
	_, err = io.ReadFull(f, first[:])
	return program{info, err == nil && string(first[:]) == "#!"}, nil
}

// Lstat is Stat: there are no links.
func (p programs) Lstat(name string) (fs.FileInfo, error) { return p.Stat(name) }

func (p programs) ReadLink(name string) (string, error) {
	return "", &fs.PathError{Op: "readlink", Path: name, Err: fs.ErrInvalid}
}

func (p programs) Sub(dir string) (fs.FS, error) {
	sub, err := fs.Sub(p.FS, dir)
	return programs{sub}, err
}

// PreparedDir is where in the hooks the files lie that [Prepare] makes.
const PreparedDir = "ingot"

// Prepare makes the files of the hooks that ingot's own elements read, for
// [Hooks.With]. It is called when the environment of the phase extra-data.d is known,
// before that phase's scripts run:
//
//	ingot/package-installs.json   {PHASE: {"install"|"uninstall": [[PACKAGE, ELEMENT], …]}}
//	ingot/pkg-map/ELEMENT         the element's pkg-map as it is
//	ingot/svc-map-services        lines "NAME: SERVICE", for the distribution
func Prepare(h *Hooks, around Surrounding) ([]File, []Warning, error) {
	phases, warnings, err := Packages(h.Set, around)
	if err != nil {
		return nil, nil, err
	}
	out := []File{NewFile(PreparedDir+"/package-installs.json", 0o644, packagesJSON(phases))}
	for _, e := range h.Set.Elements {
		data, err := e.read("pkg-map")
		if err != nil {
			return nil, nil, err
		}
		if data == nil {
			continue
		}
		// The command that reads it is no full reader of JSON: what it would misread
		// is found here.
		if _, err := ParsePackageMap(data, e.At("pkg-map")); err != nil {
			return nil, nil, err
		}
		if !json.Valid(data) {
			return nil, nil, fault.Newf(fault.Definition, "%s: not JSON", e.At("pkg-map"))
		}
		out = append(out, NewFile(path.Join(PreparedDir, "pkg-map", e.Name), 0o644, data))
	}
	services, err := Services(h.Set, around.Env["DISTRO_NAME"])
	if err != nil {
		return nil, nil, err
	}
	out = append(out, NewFile(PreparedDir+"/svc-map-services", 0o644, services.text()))
	slices.SortFunc(out, func(a, b File) int { return strings.Compare(a.Path, b.Path) })
	return out, warnings, nil
}

// packagesJSON is the list of all packages as the command package-installs-v2 reads
// it, a request a line.
func packagesJSON(phases []PhasePackages) []byte {
	var b bytes.Buffer
	b.WriteString("{")
	comma := ""
	for _, p := range phases {
		if len(p.Install)+len(p.Remove) == 0 {
			continue
		}
		b.WriteString(comma + "\n \"" + p.Phase + "\": {")
		comma = ","
		inner := ""
		for _, l := range []struct {
			key  string
			list []Request
		}{{"install", p.Install}, {"uninstall", p.Remove}} {
			b.WriteString(inner + "\n  \"" + l.key + "\": [")
			inner = ","
			for i, r := range l.list {
				pair, _ := json.Marshal([]string{r.Package, r.Element}) // texts are always JSON
				if i > 0 {
					b.WriteString(",")
				}
				b.WriteString("\n   ")
				b.Write(pair)
			}
			b.WriteString("]")
		}
		b.WriteString("}")
	}
	b.WriteString("\n}\n")
	return b.Bytes()
}
