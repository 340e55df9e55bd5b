package lock

import (
	"bytes"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"ingot/internal/digest"
	"ingot/internal/distro"
	"ingot/internal/fault"
)

// maxFile bounds a lock's file, in bytes: some 250 bytes a package, so a quarter
// of a million packages.
const maxFile = 64 << 20

// Decode reads a lock's file. A file that is damaged, cut off, edited by hand or
// not exactly what [Encode] writes is refused with exit code 5, before anything
// in it is believed; one of a newer ingot with exit code 1.
func Decode(b []byte) (*Lock, error) {
	l, _, err := DecodeDigest(b)
	return l, err
}

// DecodeDigest is Decode, and gives the lock's digest, which reading it has worked out.
func DecodeDigest(b []byte) (*Lock, digest.Digest, error) {
	if v, ok := strings.CutPrefix(string(b[:min(len(b), 64)]), "ingot lock "); ok {
		v, _, _ = strings.Cut(v, "\n")
		if n, err := strconv.Atoi(v); err == nil && n > 1 {
			return nil, digest.Digest{}, fault.Newf(fault.Failed, "lock is of form %d, and this ingot reads form 1", n).WithHint("use a newer ingot")
		}
	}
	l, id, err := decode(b)
	if err != nil {
		e := fault.Newf(fault.Verification, "lock %w", err)
		if bytes.HasPrefix(b, []byte("version:")) || bytes.Contains(b, []byte("\nversion:")) {
			// Whoever names one for the other must not be told to remove it.
			return nil, id, e.WithHint("it looks like a definition: the lock of ingot.yaml is ingot.lock beside it")
		}
		return nil, id, e.WithHint("take it back from version control, or remove it and run 'ingot lock'")
	}
	return l, id, nil
}

func decode(b []byte) (*Lock, digest.Digest, error) {
	l, err := decodeLock(b)
	if err != nil {
		return nil, digest.Digest{}, err
	}
	return l.l, l.digest, nil
}

func decodeLock(b []byte) (*parser, error) {
	if len(b) > maxFile {
		return nil, fmt.Errorf("is larger than %d MiB", maxFile>>20)
	}
	if bytes.HasPrefix(b, []byte(strings.TrimSpace(firstLine)+"\r\n")) {
		return nil, fmt.Errorf("has lines that end as DOS ends them, as git writes them with core.autocrlf: 'ingot.lock -text' in .gitattributes keeps it from that")
	}
	if !bytes.HasPrefix(b, []byte(firstLine)) {
		return nil, fmt.Errorf("does not begin with %q", strings.TrimSpace(firstLine))
	}
	if bytes.Contains(b, []byte("\n<<<<<<< ")) {
		return nil, fmt.Errorf("has the marks of a merge conflict")
	}
	const sumLine = len("sum ") + 2*len(digest.Digest{}) + 1
	body := b[:max(0, len(b)-sumLine)]
	if last := b[len(body):]; !bytes.HasPrefix(last, []byte("sum ")) || last[len(last)-1] != '\n' {
		return nil, fmt.Errorf("is cut off: its last line is no sum")
	} else if sum := digest.Of(body).String(); string(last[4:len(last)-1]) != sum {
		return nil, fmt.Errorf("is damaged or was edited by hand: the sum on its last line is not that of the lines above, %s…", sum[:12])
	}
	p := newParser(string(body))
	for p.next() {
		if err := p.line(); err != nil {
			return nil, fmt.Errorf("is wrong on line %d: %w", p.number, err)
		}
	}
	if err := p.l.Check(); err != nil {
		return nil, err
	}
	text, id := encode(p.l)
	if id != p.digest {
		return nil, fmt.Errorf("is damaged or was edited by hand: its digest is %s, not %s", id.Short(), p.digest.Short())
	}
	if !bytes.Equal(text, b) {
		return nil, fmt.Errorf("is not written as ingot writes it")
	}
	// What a set has beside another's stands behind that: steps' keys go by order.
	for _, s := range p.l.Sets {
		slices.Sort(s.Asked)
		slices.SortFunc(s.Refs, compareRefs)
	}
	return p, nil
}

// A parser takes a lock's lines one by one. What may stand where is not its
// business: a text that is not just what Encode gives is refused afterwards.
type parser struct {
	rest   string
	number int
	key    string
	words  []string
	raw    string
	l      *Lock
	digest digest.Digest
	refs   *[]distro.Ref // where lines of packages go
	within string        // "archive", "set", "tools" or "station"
	arity  map[string]int
	shared int // packages that sets have of other sets
}

func newParser(text string) *parser {
	return &parser{rest: text, l: &Lock{}, arity: map[string]int{
		"digest": 1, "definition": 1, "request": 1, "distro": 1, "release": 1, "epoch": 2, "archive": 1, "index": 8,
		"file": 2, "program": 2, "link": 2, "directory": 1, "group": 5, "set": 2, "tools": 0, "station": 0, "seal": 3, "download": 3, "missing": 1,
	}}
}

func (p *parser) next() bool {
	if p.rest == "" {
		return false
	}
	p.raw, p.rest, _ = strings.Cut(p.rest, "\n")
	p.number++
	return true
}

func (p *parser) line() error {
	if p.raw == "" || p.number == 1 {
		return nil
	}
	text, indented := strings.CutPrefix(p.raw, "  ")
	w, err := words(text)
	if err != nil {
		return err
	}
	p.key, p.words = w[0], w[1:]
	if indented {
		switch p.within {
		case "archive":
			return p.archive()
		case "set":
			return p.set(w)
		case "tools", "station":
			r, err := parseRef(w)
			*p.refs = append(*p.refs, r)
			return err
		}
		return fmt.Errorf("%q belongs to nothing", bounded(p.raw))
	}
	p.within = ""
	return p.top()
}

func (p *parser) top() error {
	l, w := p.l, p.words
	want, known := p.arity[p.key]
	if !known {
		return fmt.Errorf("unknown word %q", bounded(p.key))
	}
	flavored := (p.key == "set" || p.key == "seal") && len(w) == want+1
	if len(w) != want && !flavored {
		return fmt.Errorf("%s has %d words, want %d", p.key, len(w), want)
	}
	var err error
	switch p.key {
	case "digest":
		p.digest, err = digest.Parse(w[0])
	case "definition":
		l.Definition, err = digest.Parse(w[0])
	case "request":
		l.Request, err = digest.Parse(w[0])
	case "distro":
		l.Distro = w[0]
	case "release":
		l.Release = w[0]
	case "epoch":
		l.Epoch, err = parseNumber(w[0])
	case "archive":
		l.Archives = append(l.Archives, Archive{Name: w[0]})
		p.within = "archive"
	case "index":
		i := Index{Archive: w[0], Suite: w[1], Component: w[2], Arch: w[3], Path: w[7]}
		if i.Date, err = parseNumber(w[4]); err != nil {
			return err
		}
		if i.Size, err = parseNumber(w[5]); err != nil {
			return err
		}
		i.SHA256, err = digest.Parse(w[6])
		l.Indexes = append(l.Indexes, i)
	case "file", "program":
		f := File{Path: w[1], Executable: p.key == "program"}
		f.SHA256, err = digest.Parse(w[0])
		l.Files = append(l.Files, f)
	case "link":
		l.Files = append(l.Files, File{Path: w[0], Link: w[1]})
	case "directory":
		l.Files = append(l.Files, File{Path: w[0], EmptyDir: true})
	case "group":
		g := Group{Label: w[0], Use: w[1], Spec: w[2], Version: w[3]}
		g.Lock, err = digest.Parse(w[4])
		l.Groups = append(l.Groups, g)
	case "set":
		s := Set{Arch: w[0], Purpose: w[1]}
		if flavored {
			s.Flavor = w[2]
		}
		l.Sets = append(l.Sets, s)
		p.within = "set"
	case "tools":
		p.refs, p.within = &l.Tools, "tools"
	case "station":
		p.refs, p.within = &l.Station, "station"
	case "seal":
		s := Seal{Arch: w[0], Purpose: w[1]}
		if flavored {
			s.Flavor = w[2]
		}
		s.SHA256, err = digest.Parse(w[len(w)-1])
		l.Seals = append(l.Seals, s)
	case "download":
		d := Download{Address: w[2]}
		if d.Size, err = parseNumber(w[0]); err != nil {
			return err
		}
		d.SHA256, err = digest.Parse(w[1])
		l.Downloads = append(l.Downloads, d)
	case "missing":
		l.Downloads = append(l.Downloads, Download{Address: w[0]})
	}
	return err
}

func (p *parser) archive() error {
	a := &p.l.Archives[len(p.l.Archives)-1]
	switch {
	case p.key == "url" && len(p.words) == 1:
		a.URL = p.words[0]
	case p.key == "suites":
		a.Suites = p.words
	case p.key == "components":
		if len(p.words) > 0 {
			a.Components = p.words
		}
	case p.key == "key" && len(p.words) == 1:
		a.Key = p.words[0]
	case p.key == "expired" && len(p.words) == 0:
		a.Expired = true
	case p.key == "beside" && len(p.words) == 0:
		a.Beside = true
	default:
		return fmt.Errorf("archive %s has a line %q", bounded(a.Name), bounded(p.raw))
	}
	return nil
}

func parseRef(w []string) (distro.Ref, error) {
	if len(w) != 7 {
		return distro.Ref{}, fmt.Errorf("a package has %d words, want 7", len(w))
	}
	r := distro.Ref{Name: w[0], Version: w[1], Arch: w[2], Archive: w[5], Location: w[6]}
	var err error
	if r.Size, err = parseNumber(w[3]); err != nil {
		return r, err
	}
	r.SHA256, err = digest.Parse(w[4])
	return r, err
}

func parseNumber(s string) (int64, error) {
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil {
		return 0, fmt.Errorf("%q is not a number", bounded(s))
	}
	return n, nil
}
