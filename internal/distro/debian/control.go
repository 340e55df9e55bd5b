package debian

import (
	"bytes"
	"fmt"
	"net/textproto"

	"ingot/internal/distro"
)

// parseControl reads the one stanza of a package's control file. Fields come by
// their names in the usual case ("Pre-Depends"), however they are written.
func parseControl(text []byte) (map[string]string, error) {
	fields := map[string]string{}
	n := 0
	for s := range Stanzas(text) {
		if n++; n > 1 {
			return nil, fmt.Errorf("%w: control has more than one stanza", errPackage)
		}
		if err := s.Fields(func(name, value []byte) error {
			fields[textproto.CanonicalMIMEHeaderKey(string(name))] = string(value)
			return nil
		}); err != nil {
			return nil, fmt.Errorf("%w: %w", errPackage, err)
		}
	}
	return fields, nil
}

// A deb is a package with what dpkg's records say of it. Its files come later,
// by [deb.unpacked].
type deb struct {
	distro.Unpacked
	control   map[string]string
	essential bool
	preDeps   [][]Relation
	deps      [][]Relation
	provides  [][]Relation
	replaces  [][]Relation
	conflicts [][]Relation
	breaks    [][]Relation
	conffiles []conffile
	lost      map[string]bool // paths that another package replaces
}

func newDeb(u distro.Package) (*deb, error) {
	p := &deb{Unpacked: distro.Unpacked{Package: u}, lost: map[string]bool{}}
	var err error
	if p.control, err = parseControl(u.Control["control"].Data); err != nil {
		return nil, fmt.Errorf("%s: %w", u.Ref.Name, err)
	}
	p.essential = p.control["Essential"] == "yes"
	for field, into := range map[string]*[][]Relation{"Pre-Depends": &p.preDeps, "Depends": &p.deps, "Provides": &p.provides, "Replaces": &p.replaces, "Conflicts": &p.conflicts, "Breaks": &p.breaks} {
		if *into, err = ParseRelations(p.control[field]); err != nil {
			return nil, fmt.Errorf("%s: %s: %w", u.Ref.Name, field, err)
		}
	}
	return p, nil
}

// unpacked gives the package its files. Its conffiles have been read before: what was
// wrong with them has been said then.
func (p *deb) unpacked(u distro.Unpacked) {
	p.Unpacked = u
	p.conffiles, _ = parseConffiles(u.Control["conffiles"].Data)
}

// base is the stem of the package's records: with its architecture where another
// one of the same name can stand beside it.
func (p *deb) base() string {
	if p.control["Multi-Arch"] == "same" {
		return p.Ref.Name + ":" + p.Ref.Arch
	}
	return p.Ref.Name
}

func (p *deb) has(script string) bool { return len(p.Control[script].Data) > 0 }

// satisfies says whether the package is a way to fulfil a relation.
func (p *deb) satisfies(r Relation) bool {
	if r.Name == p.Ref.Name {
		return r.Satisfied(p.Ref.Version)
	}
	for _, group := range p.provides {
		for _, provided := range group {
			if provided.Name == r.Name && r.Satisfied(provided.Version) {
				return true
			}
		}
	}
	return false
}

// statusStanza is the package's record in dpkg's status file: unpacked, with
// conffiles that dpkg has yet to put in place.
func (p *deb) statusStanza() []byte {
	var b bytes.Buffer
	b.Write(bytes.TrimRight(p.Control["control"].Data, "\r\n"))
	b.WriteString("\nStatus: install ok unpacked\n")
	if len(p.conffiles) > 0 {
		b.WriteString("Conffiles:\n")
	}
	for _, c := range p.conffiles {
		fmt.Fprintf(&b, " /%s newconffile", c.path)
		if p.lost[c.path] {
			b.WriteString(" obsolete")
		}
		if c.remove {
			b.WriteString(" remove-on-upgrade")
		}
		b.WriteByte('\n')
	}
	b.WriteByte('\n')
	return b.Bytes()
}

// list is the package's list of files as dpkg records it, in the order of the
// archive, diversions not applied.
func (p *deb) list() []byte {
	var b bytes.Buffer
	for _, path := range p.Order {
		if p.lost[path] {
			continue
		}
		b.WriteByte('/')
		if path == "" {
			path = "."
		}
		b.WriteString(path)
		b.WriteByte('\n')
	}
	return b.Bytes()
}
