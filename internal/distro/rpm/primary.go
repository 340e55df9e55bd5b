package rpm

import (
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"strings"

	"ingot/internal/digest"
	"ingot/internal/distro"
)

// Bounds of metadata. Fedora's primary.xml has 250 MB and 70,000 packages.
const (
	maxPrimary  = 2 << 30
	maxPackages = 1 << 20
)

// A Metadata is one file of an archive, as repomd.xml names it.
type Metadata struct {
	Location string        // below the archive's root
	SHA256   digest.Digest // of the file as it lies there
	Size     int64         // its bytes, or 0 where the archive does not say
}

// Primary finds the list of packages in an archive's repomd.xml, whose signature
// the caller has verified.
func Primary(repomd []byte) (Metadata, error) {
	var doc struct {
		Data []struct {
			Type     string `xml:"type,attr"`
			Checksum struct {
				Type string `xml:"type,attr"`
				Text string `xml:",chardata"`
			} `xml:"checksum"`
			Location struct {
				Href string `xml:"href,attr"`
			} `xml:"location"`
			Size int64 `xml:"size"`
		} `xml:"data"`
	}
	if err := xml.Unmarshal(repomd, &doc); err != nil {
		return Metadata{}, fmt.Errorf("repomd.xml: %w", err)
	}
	for _, d := range doc.Data {
		if d.Type != "primary" {
			continue
		}
		if d.Checksum.Type != "sha256" {
			return Metadata{}, fmt.Errorf("repomd.xml: primary has a %s checksum, not sha256", d.Checksum.Type)
		}
		sum, err := digest.Parse(strings.TrimSpace(d.Checksum.Text))
		if err != nil {
			return Metadata{}, fmt.Errorf("repomd.xml: primary: %w", err)
		}
		return Metadata{Location: d.Location.Href, SHA256: sum, Size: d.Size}, nil
	}
	return Metadata{}, errors.New("repomd.xml: it names no primary")
}

// A relation is a capability and which versions of it: "name", or "name >= 1".
type relation struct {
	name string
	op   string // "", EQ, LT, GT, LE or GE, as primary.xml has them
	evr  evr
}

func (r relation) String() string {
	sign := map[string]string{"EQ": "=", "LT": "<", "GT": ">", "LE": "<=", "GE": ">="}[r.op]
	if sign == "" {
		return r.name
	}
	return r.name + " " + sign + " " + r.evr.String()
}

// overlaps says whether two relations about one name have a version in common,
// which is how rpm matches what is required with what is provided.
func (r relation) overlaps(o relation) bool {
	if r.name != o.name {
		return false
	}
	if r.op == "" || o.op == "" {
		return true
	}
	less := func(op string) bool { return op == "LT" || op == "LE" }
	greater := func(op string) bool { return op == "GT" || op == "GE" }
	equal := func(op string) bool { return op == "EQ" || op == "LE" || op == "GE" }
	switch c := r.evr.compare(o.evr); {
	case c < 0:
		return greater(r.op) || less(o.op)
	case c > 0:
		return less(r.op) || greater(o.op)
	default:
		return equal(r.op) && equal(o.op) || less(r.op) && less(o.op) || greater(r.op) && greater(o.op)
	}
}

// An offer is one package of an archive.
type offer struct {
	distro.Ref
	evr                                      evr
	provides, requires, conflicts, obsoletes []relation
	recommends                               []relation
	files                                    []string // those that primary.xml names
}

// A Universe is what archives offer.
type Universe struct {
	byName   map[string][]*offer
	provided map[string][]provider // by capability
	files    map[string][]*offer
}

type provider struct {
	offer *offer
	as    relation
}

// xmlEntry and xmlPackage are the parts of primary.xml that matter here.
type xmlEntry struct {
	Name  string `xml:"name,attr"`
	Flags string `xml:"flags,attr"`
	Epoch string `xml:"epoch,attr"`
	Ver   string `xml:"ver,attr"`
	Rel   string `xml:"rel,attr"`
}

type xmlPackage struct {
	Type    string `xml:"type,attr"`
	Name    string `xml:"name"`
	Arch    string `xml:"arch"`
	Version struct {
		Epoch string `xml:"epoch,attr"`
		Ver   string `xml:"ver,attr"`
		Rel   string `xml:"rel,attr"`
	} `xml:"version"`
	Checksum struct {
		Type string `xml:"type,attr"`
		Text string `xml:",chardata"`
	} `xml:"checksum"`
	Size struct {
		Package int64 `xml:"package,attr"`
	} `xml:"size"`
	Location struct {
		Href string `xml:"href,attr"`
	} `xml:"location"`
	Provides   []xmlEntry `xml:"format>provides>entry"`
	Requires   []xmlEntry `xml:"format>requires>entry"`
	Conflicts  []xmlEntry `xml:"format>conflicts>entry"`
	Obsoletes  []xmlEntry `xml:"format>obsoletes>entry"`
	Recommends []xmlEntry `xml:"format>recommends>entry"`
	Files      []string   `xml:"format>file"`
}

// Add reads an archive's primary.xml, compressed or not, whose digest the caller
// has verified.
func (u *Universe) Add(archive string, r io.Reader) error {
	in, err := decompress(r)
	if err != nil {
		return fmt.Errorf("primary.xml of %s: %w", archive, err)
	}
	defer func() { _ = in.Close() }()
	limited := &io.LimitedReader{R: in, N: maxPrimary}
	d := xml.NewDecoder(limited)
	for n := 0; ; {
		token, err := d.Token()
		if errors.Is(err, io.EOF) && limited.N > 0 {
			return nil
		}
		if err != nil {
			return fmt.Errorf("primary.xml of %s, at byte %d: %w", archive, d.InputOffset(), err)
		}
		start, ok := token.(xml.StartElement)
		if !ok || start.Name.Local != "package" {
			continue
		}
		if n++; n > maxPackages {
			return fmt.Errorf("primary.xml of %s: more than %d packages", archive, maxPackages)
		}
		var x xmlPackage
		if err := d.DecodeElement(&x, &start); err != nil {
			return fmt.Errorf("primary.xml of %s, at byte %d: %w", archive, d.InputOffset(), err)
		}
		if x.Type != "rpm" || x.Arch == "src" || x.Arch == "nosrc" {
			continue
		}
		o, err := x.offer(archive)
		if err != nil {
			return fmt.Errorf("primary.xml of %s: package %q: %w", archive, x.Name, err)
		}
		u.add(o)
	}
}

func (x *xmlPackage) offer(archive string) (*offer, error) {
	v := parseEVR(x.Version.Epoch + ":" + x.Version.Ver + "-" + x.Version.Rel)
	o := &offer{evr: v, files: x.Files, Ref: distro.Ref{
		Name: x.Name, Version: v.String(), Arch: x.Arch, Archive: archive, Location: x.Location.Href, Size: x.Size.Package,
	}}
	if x.Checksum.Type != "sha256" {
		return nil, fmt.Errorf("its checksum is %s, not sha256", x.Checksum.Type)
	}
	if o.Name == "" || o.Arch == "" || v.version == "" || v.release == "" || o.Location == "" || o.Size <= 0 {
		return nil, errors.New("its name, version, architecture, location or size is missing")
	}
	var err error
	if o.SHA256, err = digest.Parse(strings.TrimSpace(x.Checksum.Text)); err != nil {
		return nil, err
	}
	for to, from := range map[*[]relation][]xmlEntry{
		&o.provides: x.Provides, &o.requires: x.Requires, &o.conflicts: x.Conflicts, &o.obsoletes: x.Obsoletes, &o.recommends: x.Recommends,
	} {
		for _, e := range from {
			r := relation{name: e.Name, op: e.Flags}
			if e.Flags != "" {
				r.evr = parseEVR(e.Epoch + ":" + e.Ver)
				r.evr.release = e.Rel
			}
			*to = append(*to, r)
		}
	}
	return o, nil
}

func (u *Universe) add(o *offer) {
	if u.byName == nil {
		u.byName, u.provided, u.files = map[string][]*offer{}, map[string][]provider{}, map[string][]*offer{}
	}
	u.byName[o.Name] = append(u.byName[o.Name], o)
	for _, p := range o.provides {
		u.provided[p.name] = append(u.provided[p.name], provider{o, p})
	}
	for _, f := range o.files {
		u.files[f] = append(u.files[f], o)
	}
}
