package lock

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"ingot/internal/digest"
	"ingot/internal/distro"
)

const firstLine = "ingot lock 1\n"

// Digest is the lock's identity: of all that it says but the seals, whatever the
// order of sets, packages, indexes and files. The order of archives counts.
func (l *Lock) Digest() digest.Digest {
	_, id := encode(l)
	return id
}

// Encode writes a lock's file. Locks that differ only in an order without
// meaning give the same bytes. It checks nothing: see [Lock.Check].
func Encode(l Lock) []byte {
	b, _ := encode(&l)
	return b
}

// encode gives the file and the lock's digest.
func encode(l *Lock) ([]byte, digest.Digest) {
	body := l.body()
	h := sha256.New()
	h.Write([]byte(firstLine))
	h.Write(body)
	id := digest.From(h)
	var b bytes.Buffer
	b.Grow(len(body) + 1024)
	b.WriteString(firstLine)
	line(&b, "digest", id.String())
	b.Write(body)
	seals := slices.Clone(l.Seals)
	slices.SortFunc(seals, func(x, y Seal) int {
		return cmp.Or(compareNames(x.Arch, x.Purpose, x.Flavor, y.Arch, y.Purpose, y.Flavor), bytes.Compare(x.SHA256[:], y.SHA256[:]))
	})
	if len(seals) > 0 {
		b.WriteByte('\n')
	}
	for _, s := range seals {
		line(&b, "seal", append(setWords(s.Arch, s.Purpose, s.Flavor), s.SHA256.String())...)
	}
	downloads := slices.Clone(l.Downloads)
	slices.SortFunc(downloads, func(x, y Download) int { return cmp.Compare(x.Address, y.Address) })
	separate(&b, len(downloads))
	for _, d := range downloads {
		if d.SHA256.IsZero() {
			line(&b, "missing", d.Address)
		} else {
			line(&b, "download", number(d.Size), d.SHA256.String(), d.Address)
		}
	}
	b.WriteByte('\n')
	line(&b, "sum", digest.Of(b.Bytes()).String())
	return b.Bytes(), id
}

// body is the part of the file that the digest covers.
func (l *Lock) body() []byte {
	var b bytes.Buffer
	line(&b, "definition", l.Definition.String())
	line(&b, "request", l.Request.String())
	line(&b, "distro", l.Distro)
	line(&b, "release", l.Release)
	line(&b, "epoch", number(l.Epoch), clock(l.Epoch))
	for _, a := range l.Archives {
		b.WriteByte('\n')
		line(&b, "archive", a.Name)
		line(&b, "  url", a.URL)
		line(&b, "  suites", a.Suites...)
		line(&b, "  components", a.Components...)
		if a.Key != "" {
			line(&b, "  key", a.Key)
		}
		if a.Expired {
			line(&b, "  expired")
		}
		if a.Beside {
			line(&b, "  beside")
		}
	}
	indexes := slices.Clone(l.Indexes)
	slices.SortFunc(indexes, compareIndexes)
	separate(&b, len(indexes))
	for _, i := range indexes {
		line(&b, "index", i.Archive, i.Suite, i.Component, i.Arch, number(i.Date), number(i.Size), i.SHA256.String(), i.Path)
	}
	files := slices.Clone(l.Files)
	slices.SortFunc(files, func(x, y File) int { return cmp.Compare(x.Path, y.Path) })
	separate(&b, len(files))
	for _, f := range files {
		switch {
		case f.Link != "":
			line(&b, "link", f.Path, f.Link)
		case f.EmptyDir:
			line(&b, "directory", f.Path)
		case f.Executable:
			line(&b, "program", f.SHA256.String(), f.Path)
		default:
			line(&b, "file", f.SHA256.String(), f.Path)
		}
	}
	groups := slices.Clone(l.Groups)
	slices.SortFunc(groups, func(x, y Group) int { return cmp.Compare(x.Label, y.Label) })
	separate(&b, len(groups))
	for _, g := range groups {
		line(&b, "group", g.Label, g.Use, g.Spec, g.Version, g.Lock.String())
	}
	encodeSets(&b, l.Sets)
	if len(l.Tools) > 0 {
		b.WriteByte('\n')
		line(&b, "tools")
		refs(&b, l.Tools)
	}
	if len(l.Station) > 0 {
		b.WriteByte('\n')
		line(&b, "station")
		refs(&b, l.Station)
	}
	return b.Bytes()
}

func separate(b *bytes.Buffer, n int) {
	if n > 0 {
		b.WriteByte('\n')
	}
}

func refs(b *bytes.Buffer, list []distro.Ref) {
	if !slices.IsSortedFunc(list, compareRefs) {
		list = slices.Clone(list)
		slices.SortFunc(list, compareRefs)
	}
	for _, r := range list {
		line(b, " ", refWords(r)...)
	}
}

func refWords(r distro.Ref) []string {
	return []string{r.Name, r.Version, r.Arch, number(r.Size), r.SHA256.String(), r.Archive, r.Location}
}

func compareRefs(x, y distro.Ref) int {
	return cmp.Or(cmp.Compare(x.Name, y.Name), cmp.Compare(x.Arch, y.Arch), cmp.Compare(x.Version, y.Version),
		bytes.Compare(x.SHA256[:], y.SHA256[:]), cmp.Compare(x.Archive, y.Archive), cmp.Compare(x.Location, y.Location), cmp.Compare(x.Size, y.Size))
}

func compareIndexes(x, y Index) int {
	return cmp.Or(cmp.Compare(x.Archive, y.Archive), cmp.Compare(x.Suite, y.Suite), cmp.Compare(x.Component, y.Component),
		cmp.Compare(x.Arch, y.Arch), cmp.Compare(x.Path, y.Path), cmp.Compare(x.Date, y.Date), cmp.Compare(x.Size, y.Size), bytes.Compare(x.SHA256[:], y.SHA256[:]))
}

func number(n int64) string { return strconv.FormatInt(n, 10) }

// clock shows seconds since 1970 to people.
func clock(sec int64) string { return time.Unix(sec, 0).UTC().Format(time.RFC3339) }

func line(b *bytes.Buffer, key string, words ...string) {
	b.WriteString(key)
	for _, w := range words {
		b.WriteByte(' ')
		b.WriteString(word(w))
	}
	b.WriteByte('\n')
}

// word writes a text so that words finds it again.
func word(s string) string {
	if !isPlain(s) || strings.IndexByte(s, '"') >= 0 {
		return strconv.QuoteToASCII(s)
	}
	return s
}

// words splits a line that is made of words with single spaces between.
func words(s string) ([]string, error) {
	out := make([]string, 0, 8)
	for {
		if strings.HasPrefix(s, `"`) {
			q, err := strconv.QuotedPrefix(s)
			if err != nil {
				return nil, fmt.Errorf("bad quotes in %q", bounded(s))
			}
			w, err := strconv.Unquote(q)
			if err != nil {
				return nil, fmt.Errorf("bad quotes in %q", bounded(s))
			}
			out = append(out, w)
			s = s[len(q):]
		} else {
			w, _, _ := strings.Cut(s, " ")
			out = append(out, w)
			s = s[len(w):]
		}
		if s == "" {
			return out, nil
		}
		if s[0] != ' ' {
			return nil, fmt.Errorf("no space behind the quotes before %q", bounded(s))
		}
		s = s[1:]
	}
}

func bounded(s string) string {
	if len(s) > 80 {
		return s[:80] + "..."
	}
	return s
}
