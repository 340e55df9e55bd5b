package catalog

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"ingot/internal/digest"
)

// Decode reads a catalog's text: JSON, whose names count as they are written, each once. Names
// that are not known are passed over.
//
// It is written out because catalogs are large and lists of them are waited for: package
// encoding/json takes three times as long. What an entry must have is looked for as soon as it is
// read, so a text takes a few times its size in memory, whatever it says.
func Decode(text []byte) (Catalog, error) {
	if len(text) > MaxSize {
		return Catalog{}, fmt.Errorf("longer than %d MiB", MaxSize>>20)
	}
	d := decoder{text: string(text)}
	var c Catalog
	d.catalog(&c)
	d.space()
	if d.err == nil && d.at < len(d.text) {
		d.fail("something follows it")
	}
	if d.err != nil {
		return Catalog{}, fmt.Errorf("unreadable at byte %d: %w", d.at, d.err)
	}
	if err := c.check(); err != nil {
		return Catalog{}, err
	}
	return c, nil
}

// A decoder reads JSON from a text. Its first error stays, and ends all.
type decoder struct {
	text string
	at   int
	err  error
}

func (d *decoder) fail(format string, args ...any) {
	if d.err == nil {
		d.err = fmt.Errorf(format, args...)
	}
}

func (d *decoder) space() {
	for d.at < len(d.text) {
		switch d.text[d.at] {
		case ' ', '\n', '\r', '\t':
			d.at++
		default:
			return
		}
	}
}

// take says whether a byte comes next, and goes on behind it.
func (d *decoder) take(c byte) bool {
	d.space()
	if d.err != nil || d.at >= len(d.text) || d.text[d.at] != c {
		return false
	}
	d.at++
	return true
}

func (d *decoder) want(c byte) {
	if !d.take(c) {
		d.fail("%q is missing", c)
	}
}

// known are the fields of an object: what is done where the value of a name comes.
type known struct {
	name string
	read func()
}

// object reads one, whose fields may come in any order.
func (d *decoder) object(fields ...known) {
	d.want('{')
	if d.take('}') {
		return
	}
	seen := 0
	next := 0 // most come in order
	for d.err == nil {
		name := d.string()
		d.want(':')
		at := -1
		for n := range fields {
			if k := (next + n) % len(fields); fields[k].name == name {
				at = k
				break
			}
		}
		switch {
		case at < 0:
			d.skip(0)
		case seen&(1<<at) != 0:
			d.fail("%q is there twice", name)
		default:
			seen |= 1 << at
			next = at + 1
			fields[at].read()
		}
		if d.take('}') {
			return
		}
		d.want(',')
	}
}

// list reads an array, or null.
func (d *decoder) list(item func()) {
	if d.word("null") {
		return
	}
	d.want('[')
	if d.take(']') {
		return
	}
	for d.err == nil {
		item()
		if d.take(']') {
			return
		}
		d.want(',')
	}
}

// word says whether one comes next, and goes on behind it.
func (d *decoder) word(w string) bool {
	d.space()
	if d.err != nil || !strings.HasPrefix(d.text[d.at:], w) {
		return false
	}
	d.at += len(w)
	return true
}

// string is a part of the text where nothing in it is escaped.
func (d *decoder) string() string {
	d.want('"')
	if d.err != nil {
		return ""
	}
	from := d.at
	plain := true
	for ; d.at < len(d.text); d.at++ {
		switch c := d.text[d.at]; {
		case c == '"':
			d.at++
			if plain {
				return d.text[from : d.at-1]
			}
			var s string
			if err := json.Unmarshal([]byte(d.text[from-1:d.at]), &s); err != nil {
				d.fail("a text that cannot be read: %w", err)
			}
			return s
		case c == '\\':
			plain = false
			d.at++
		case c < ' ':
			d.fail("a control character in a text")
			return ""
		case c >= utf8.RuneSelf:
			plain = false
		}
	}
	d.fail("a text without an end")
	return ""
}

// number is a whole one.
func (d *decoder) number() int64 {
	d.space()
	from := d.at
	for d.at < len(d.text) && (d.text[d.at] >= '0' && d.text[d.at] <= '9' || d.text[d.at] == '-') {
		d.at++
	}
	raw := d.text[from:d.at]
	digits := strings.TrimPrefix(raw, "-")
	n, err := strconv.ParseInt(raw, 10, 64)
	if err != nil || len(digits) > 1 && digits[0] == '0' || d.at < len(d.text) && strings.IndexByte(".eE+", d.text[d.at]) >= 0 {
		d.fail("no whole number")
	}
	return n
}

func (d *decoder) bool() bool {
	if d.word("true") {
		return true
	}
	if !d.word("false") {
		d.fail("neither true nor false")
	}
	return false
}

func (d *decoder) time() time.Time {
	var t time.Time
	if err := t.UnmarshalText([]byte(d.string())); err != nil {
		d.fail("no time: %w", err)
	}
	return t
}

func (d *decoder) digest() digest.Digest {
	h, err := digest.Parse(d.string())
	if err != nil {
		d.fail("%w", err)
	}
	return h
}

// maxDepth bounds how deep unknown values go.
const maxDepth = 32

// skip passes over a value that nobody knows here.
func (d *decoder) skip(depth int) {
	d.space()
	switch {
	case depth > maxDepth:
		d.fail("more than %d values within each other", maxDepth)
	case d.at >= len(d.text):
		d.fail("it ends early")
	case d.text[d.at] == '"':
		d.string()
	case d.text[d.at] == '[':
		d.list(func() { d.skip(depth + 1) })
	case d.take('{'):
		if d.take('}') {
			return
		}
		for d.err == nil {
			d.string()
			d.want(':')
			d.skip(depth + 1)
			if d.take('}') {
				return
			}
			d.want(',')
		}
	case d.word("true"), d.word("false"), d.word("null"):
	default:
		from := d.at
		for d.at < len(d.text) && strings.IndexByte("+-.0123456789eE", d.text[d.at]) >= 0 {
			d.at++
		}
		if raw := d.text[from:d.at]; !json.Valid([]byte(raw)) {
			d.fail("no value")
		}
	}
}

func (d *decoder) catalog(c *Catalog) {
	d.object(
		known{"type", func() { c.Type = d.string() }},
		known{"schema", func() { c.Schema = int(d.number()) }},
		known{"tree", func() { c.Tree = d.string() }},
		known{"serial", func() { c.Serial = d.number() }},
		known{"created", func() { c.Created = d.time() }},
		known{"expires", func() { c.Expires = d.time() }},
		known{"valid", func() { c.Valid = d.number() }},
		known{"images", func() {
			d.list(func() {
				c.Images = append(c.Images, Image{})
				d.image(&c.Images[len(c.Images)-1])
			})
		}},
		known{"retired", func() { d.list(func() { c.Retired = append(c.Retired, d.retired()) }) }},
		known{"rotations", func() { d.strings(&c.Rotations, maxRotations) }},
	)
}

// strings reads texts, so many at most.
func (d *decoder) strings(to *[]string, most int) {
	d.list(func() {
		if len(*to) == most {
			d.fail("more than %d in a row", most)
		}
		*to = append(*to, d.string())
	})
}

// must fails where an entry lacks what no entry lacks.
func (d *decoder) must(ok bool, what string) {
	if !ok {
		d.fail("%s", what)
	}
}

func (d *decoder) image(i *Image) {
	d.object(
		known{"name", func() { i.Name = d.string() }},
		known{"arch", func() { i.Arch = d.string() }},
		known{"variant", func() { i.Variant = d.string() }},
		known{"channels", func() {
			d.list(func() {
				var k Channel
				d.object(
					known{"name", func() { k.Name = d.string() }},
					known{"version", func() { k.Version = d.string() }},
					known{"past", func() { d.strings(&k.Past, maxPast) }},
				)
				d.must(k.Name != "", "a channel without a name")
				i.Channels = append(i.Channels, k)
			})
		}},
		known{"versions", func() {
			d.list(func() {
				i.Versions = append(i.Versions, Version{})
				d.version(&i.Versions[len(i.Versions)-1])
			})
		}},
	)
	d.must(len(i.Versions) > 0, "an image without a version")
}

func (d *decoder) version(v *Version) {
	d.object(
		known{"version", func() { v.Version = d.string() }},
		known{"published", func() { v.Published = d.time() }},
		known{"expires", func() { v.Expires = d.time() }},
		known{"pinned", func() { v.Pinned = d.bool() }},
		known{"distro", func() { v.Distro = d.string() }},
		known{"release", func() { v.Release = d.string() }},
		known{"flavor", func() { v.Flavor = d.string() }},
		known{"epoch", func() { v.Epoch = d.number() }},
		known{"lock", func() { v.Lock = d.digest() }},
		known{"artifacts", func() {
			d.list(func() {
				v.Artifacts = append(v.Artifacts, Artifact{})
				d.artifact(&v.Artifacts[len(v.Artifacts)-1])
			})
		}},
	)
	d.must(len(v.Artifacts) > 0, "a version without an artifact")
}

func (d *decoder) artifact(a *Artifact) {
	d.object(
		known{"format", func() { a.Format = d.string() }},
		known{"files", func() { d.files(&a.Files) }},
		known{"papers", func() { d.files(&a.Papers) }},
		known{"deltas", func() { d.deltas(&a.Deltas) }},
		known{"seal", func() { a.Seal = d.digest() }},
		known{"fingerprint", func() { a.Fingerprint = d.digest() }},
		known{"insecure", func() { a.Insecure = d.bool() }},
		known{"disk", func() {
			a.Disk = &Disk{}
			d.object(known{"size", func() { a.Disk.Size = d.number() }}, known{"sha512", func() { a.Disk.SHA512 = d.string() }})
		}},
	)
	d.must(len(a.Files) > 0, "an artifact without a file")
}

func (d *decoder) files(to *[]File) {
	d.list(func() {
		var f File
		d.object(
			known{"name", func() { f.Name = d.string() }},
			known{"size", func() { f.Size = d.number() }},
			known{"sha256", func() { f.SHA256 = d.digest() }},
		)
		d.must(!f.SHA256.IsZero(), "a file without a digest")
		*to = append(*to, f)
	})
}

func (d *decoder) deltas(to *[]Delta) {
	d.list(func() {
		var x Delta
		d.object(
			known{"name", func() { x.Name = d.string() }},
			known{"size", func() { x.Size = d.number() }},
			known{"sha256", func() { x.SHA256 = d.digest() }},
			known{"base", func() { x.Base = d.string() }},
		)
		d.must(!x.SHA256.IsZero(), "a file without a digest")
		*to = append(*to, x)
	})
}

func (d *decoder) retired() Retired {
	var r Retired
	d.object(
		known{"dir", func() { r.Dir = d.string() }},
		known{"since", func() { r.Since = d.time() }},
		known{"files", func() { d.files(&r.Files) }},
	)
	d.must(r.Dir != "", "a retired version without a directory")
	return r
}
