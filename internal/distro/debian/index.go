package debian

import (
	"bytes"
	"errors"
	"fmt"
	"io"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
	"github.com/mikelolasagasti/xz"
)

// A Source says where an index comes from: what its archive is called, and what
// its Release file says of it. The caller has verified both.
type Source struct {
	Archive   string // the lock's name of the archive; it goes into every Ref
	Asked     string // the suite as it was asked for: "bookworm", which may be "oldstable" to its Release file
	Suite     string // "Suite:" of the Release file: "stable"
	Codename  string // "Codename:": "bookworm"
	Version   string // "Version:": "12.9"
	Origin    string
	Label     string
	Component string // "main"
	Arch      string // the index's architecture: "amd64", or "all"
	// NotAutomatic and ButAutomaticUpgrades are the Release file's fields of
	// these names; they make a suite a last choice (experimental, backports).
	NotAutomatic         bool
	ButAutomaticUpgrades bool
	// Exact says that the index stands for its packages: what others offer of their names does
	// not count.
	Exact bool
}

// An Index is a Packages file, read: its stanzas with the fields that choosing
// packages needs. All names and versions stay where they lie in the text. It is
// not changed once read.
type Index struct {
	Source  Source
	chunks  [][]byte // the text, cut between stanzas
	stanzas []stanza
	rels    []rel
	symbols symbols // names of packages, in the order in which they first appear
}

// Len is the number of stanzas.
func (x *Index) Len() int { return len(x.stanzas) }

// Bounds on what an index may ask of memory.
const (
	chunkSize    = 2 << 20
	stanzaBound  = 16 << 20
	indexBound   = 2 << 30
	symbolsBound = 1 << 26
)

// A stanza is one package of one version in an index.
type stanza struct {
	name     uint32 // symbol
	chunk    uint32
	off, end uint32 // the stanza's bytes in its chunk
	version  span
	relEnd   uint32 // its relations end here and begin where the last stanza's end
	arch     span
	flags    stanzaFlags
	priority priority
	multi    multiArch
}

// A span is a stretch of a stanza's chunk.
type span struct {
	off uint32
	len uint32
}

type stanzaFlags uint8

const (
	flagEssential stanzaFlags = 1 << iota
	flagProtected
	flagAll // Architecture: all
)

// A priority is a package's Priority field; smaller is more needed.
type priority uint8

const (
	noPriority priority = iota
	required
	important
	standard
	optional
	extra
)

var priorityText = [...]string{noPriority: "", required: "required", important: "important",
	standard: "standard", optional: "optional", extra: "extra"}

// multiArch is a package's Multi-Arch field.
type multiArch uint8

const (
	multiNo multiArch = iota
	multiSame
	multiForeign
	multiAllowed
)

// A rel is one relation of a stanza. Those of a stanza follow each other in the
// order of kind, which is the order in which apt reads them.
type rel struct {
	name    uint32 // symbol, with its qualifier
	version span16
	op      Op
	kind    kind // kind in the low bits, more above
}

// A span16 is a short stretch of a stanza's chunk.
type span16 struct {
	off uint32
	len uint16
}

// A kind is the field a relation stands in.
type kind uint8

const (
	preDepends kind = iota
	depends
	conflicts
	breaks
	recommends
	suggests
	replaces
	enhances
	provides
	kinds               // how many there are
	more  kind = 1 << 7 // or'ed in: another alternative follows
)

var kindText = [kinds]string{"Pre-Depends", "Depends", "Conflicts", "Breaks", "Recommends", "Suggests",
	"Replaces", "Enhances", "Provides"}

// String is the name of the field.
func (k kind) String() string {
	if k &^= more; k < kinds {
		return kindText[k]
	}
	return fmt.Sprintf("kind(%d)", uint8(k))
}

// ReadIndex reads a Packages file, which must be verified already; its first
// bytes tell whether it is compressed with xz, gzip or zstd, or plain. Reading
// and taking the text apart run at the same time.
func ReadIndex(r io.Reader, from Source) (*Index, error) {
	text, err := openIndex(r)
	if err != nil {
		return nil, fmt.Errorf("index of %s: %w", from.label(), err)
	}
	chunks := make(chan []byte, 4)
	failed := make(chan error, 1)
	stop := make(chan struct{})
	go func() {
		defer close(chunks)
		failed <- cutChunks(text, func(b []byte) bool {
			select {
			case chunks <- b:
				return true
			case <-stop:
				return false
			}
		})
	}()
	x := &Index{Source: from}
	var bad error
	for b := range chunks {
		if bad == nil {
			if bad = x.parse(b); bad != nil {
				close(stop)
			}
		}
	}
	if err := <-failed; err != nil && bad == nil {
		bad = err
	}
	if bad != nil {
		return nil, fmt.Errorf("index of %s: %w", from.label(), bad)
	}
	return x, nil
}

func (s Source) label() string {
	return fmt.Sprintf("%s %s/%s %s", s.Archive, s.Suite, s.Component, s.Arch)
}

// openIndex looks at the first bytes of a stream and undoes the compression
// that they show.
func openIndex(r io.Reader) (io.Reader, error) {
	head := make([]byte, 6)
	n, err := io.ReadFull(r, head)
	if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
		return nil, err
	}
	head = head[:n]
	r = io.MultiReader(bytes.NewReader(head), r)
	switch {
	case bytes.HasPrefix(head, []byte{0xfd, '7', 'z', 'X', 'Z', 0}):
		return xz.NewReader(r, 128<<20)
	case bytes.HasPrefix(head, []byte{0x1f, 0x8b}):
		return gzip.NewReader(r)
	case bytes.HasPrefix(head, []byte{0x28, 0xb5, 0x2f, 0xfd}):
		z, err := zstd.NewReader(r, zstd.WithDecoderMaxMemory(indexBound))
		if err != nil {
			return nil, err
		}
		return z, nil
	}
	return r, nil
}

// cutChunks reads a text and passes it on in pieces that end between stanzas.
func cutChunks(r io.Reader, emit func([]byte) bool) error {
	var total int64
	buf := make([]byte, 0, chunkSize)
	for {
		if len(buf) == cap(buf) {
			// The stanza is larger than the buffer.
			if cap(buf) >= stanzaBound {
				return fmt.Errorf("a stanza is larger than %d bytes", stanzaBound)
			}
			buf = append(make([]byte, 0, 2*cap(buf)), buf...)
		}
		// Not io.ReadFull: it would take the error of a stream that is cut off
		// for the end of a shorter one.
		var err error
		for len(buf) < cap(buf) && err == nil {
			var n int
			n, err = r.Read(buf[len(buf):cap(buf)])
			buf = buf[:len(buf)+n]
			total += int64(n)
		}
		switch {
		case total > indexBound:
			return fmt.Errorf("the text is larger than %d bytes", indexBound)
		case errors.Is(err, io.EOF):
			if len(buf) > 0 {
				emit(buf)
			}
			return nil
		case err != nil:
			return err
		}
		cut := bytes.LastIndex(buf, []byte("\n\n"))
		if cut < 0 {
			if cut = bytes.LastIndex(buf, []byte("\n\r\n")); cut >= 0 {
				cut++
			}
		}
		if cut < 0 {
			continue
		}
		next := make([]byte, 0, chunkSize+len(buf)-cut)
		next = append(next, buf[cut+2:]...)
		if !emit(buf[:cut+1]) {
			return nil
		}
		buf = next
	}
}

// parse takes one chunk of the text apart.
func (x *Index) parse(b []byte) error {
	chunk := uint32(len(x.chunks))
	x.chunks = append(x.chunks, b)
	if x.stanzas == nil && len(b) >= chunkSize/2 {
		// Room for an archive like Debian's main.
		x.stanzas = make([]stanza, 0, 1<<16)
		x.rels = make([]rel, 0, 1<<19)
		x.symbols.expect(1 << 17)
	}
	for pos := 0; ; {
		for pos < len(b) && (b[pos] == '\n' || b[pos] == '\r') {
			pos++
		}
		if pos == len(b) {
			return nil
		}
		next, err := x.parseStanza(chunk, b, pos)
		if err != nil {
			return err
		}
		pos = next
	}
}

// parseStanza reads the stanza at pos and returns where it ends. It looks at each
// line once and at the insides of those fields only that matter here.
func (x *Index) parseStanza(chunk uint32, b []byte, pos int) (int, error) {
	s := stanza{chunk: chunk, off: uint32(pos), priority: noPriority}
	var fields [kinds]span
	var name, multi span
	for pos < len(b) && b[pos] != '\n' {
		start := pos
		end := bytes.IndexByte(b[pos:], '\n')
		if end < 0 {
			end = len(b)
		} else {
			end += pos
		}
		if b[start] == '\r' && end == start+1 {
			break
		}
		for end+1 < len(b) && (b[end+1] == ' ' || b[end+1] == '\t') {
			n := bytes.IndexByte(b[end+1:], '\n')
			if n < 0 {
				end = len(b)
				break
			}
			end += 1 + n
		}
		pos = end
		if pos < len(b) {
			pos++
		}
		line := b[start:end]
		colon := bytes.IndexByte(line, ':')
		if colon <= 0 || line[0] == ' ' || line[0] == '\t' {
			return 0, fmt.Errorf("line %q is not a field", clip(line))
		}
		f := fieldOf(line[:colon])
		if f == fieldOther {
			continue
		}
		v := line[colon+1:]
		off := start + colon + 1
		for len(v) > 0 && isBlank(v[0]) {
			v, off = v[1:], off+1
		}
		for len(v) > 0 && isBlank(v[len(v)-1]) {
			v = v[:len(v)-1]
		}
		at := span{uint32(off), uint32(len(v))}
		switch f {
		case fieldPackage:
			name = at
			for i, c := range v {
				v[i] = lower(c)
			}
		case fieldVersion:
			s.version = at
		case fieldArchitecture:
			s.arch = at
			if string(v) == "all" {
				s.flags |= flagAll
			}
		case fieldMultiArch:
			multi = at
		case fieldEssential:
			if isYes(v) {
				s.flags |= flagEssential
			}
		case fieldProtected:
			if isYes(v) {
				s.flags |= flagProtected
			}
		case fieldPriority:
			s.priority = priorityOf(v)
		default:
			fields[f-fieldRelations] = at
		}
	}
	if name.len == 0 {
		return 0, fmt.Errorf("a stanza at %q has no Package field", clip(b[s.off:]))
	}
	s.end = uint32(pos)
	text := func(at span) []byte { return b[at.off : at.off+at.len] }
	if s.version.len == 0 || name.len > 1<<15 || s.version.len > 1<<15 {
		return 0, fmt.Errorf("package %q has no usable version", clip(text(name)))
	}
	s.multi = multiArchOf(text(multi), s.flags&flagAll != 0)
	s.name = x.symbols.intern(x.chunks, text(name), chunk, name.off)
	for k, at := range fields {
		if at.len == 0 {
			continue
		}
		if err := x.parseRelations(kind(k), chunk, b, at); err != nil {
			return 0, fmt.Errorf("package %s %s: %s: %w", text(name), text(s.version), kind(k), err)
		}
	}
	s.relEnd = uint32(len(x.rels))
	x.stanzas = append(x.stanzas, s)
	if len(x.symbols.at) > symbolsBound {
		return 0, fmt.Errorf("more than %d names", symbolsBound)
	}
	return pos, nil
}

// parseRelations reads one dependency field.
func (x *Index) parseRelations(k kind, chunk uint32, b []byte, at span) error {
	rest := b[at.off : at.off+at.len]
	end := int(at.off + at.len)
	for len(rest) > 0 {
		r, next, err := nextRelation(rest)
		if err != nil {
			return err
		}
		if len(r.name) > 1<<15 || len(r.version) > 1<<15 {
			return fmt.Errorf("relation %q is too long", clip(r.name))
		}
		out := rel{op: r.op, kind: k}
		if r.more {
			out.kind |= more
		}
		nameOff := uint32(end - len(rest))
		out.name = x.symbols.intern(x.chunks, r.name, chunk, nameOff)
		if len(r.version) > 0 {
			// Both are cut from the same text, so that the difference of
			// their capacities is the distance between them.
			out.version = span16{nameOff + uint32(cap(r.name)-cap(r.version)), uint16(len(r.version))}
		}
		x.rels = append(x.rels, out)
		rest = next
	}
	return nil
}

// The fields that parseStanza knows. Those from fieldRelations on are in the
// order of kind.
type field uint8

const (
	fieldOther field = iota
	fieldPackage
	fieldVersion
	fieldArchitecture
	fieldMultiArch
	fieldEssential
	fieldProtected
	fieldPriority
	fieldRelations
)

func fieldOf(name []byte) field {
	is := func(want string, f field) field {
		if equalFold(name, want) {
			return f
		}
		return fieldOther
	}
	rel := func(k kind) field { return is(kindText[k], fieldRelations+field(k)) }
	switch len(name) {
	case 6:
		return rel(breaks)
	case 7:
		switch lower(name[0]) {
		case 'p':
			return is("Package", fieldPackage)
		case 'v':
			return is("Version", fieldVersion)
		case 'd':
			return rel(depends)
		}
	case 8:
		switch lower(name[0]) {
		case 'p':
			if f := is("Priority", fieldPriority); f != fieldOther {
				return f
			}
			return rel(provides)
		case 's':
			return rel(suggests)
		case 'r':
			return rel(replaces)
		case 'e':
			return rel(enhances)
		}
	case 9:
		switch lower(name[0]) {
		case 'c':
			return rel(conflicts)
		case 'e':
			return is("Essential", fieldEssential)
		case 'i':
			return is("Important", fieldProtected)
		case 'p':
			return is("Protected", fieldProtected)
		}
	case 10:
		switch lower(name[0]) {
		case 'm':
			return is("Multi-Arch", fieldMultiArch)
		case 'r':
			return rel(recommends)
		}
	case 11:
		return rel(preDepends)
	case 12:
		return is("Architecture", fieldArchitecture)
	}
	return fieldOther
}

func isYes(v []byte) bool {
	return equalFold(v, "yes") || equalFold(v, "true") || string(v) == "1"
}

func priorityOf(v []byte) priority {
	for p := required; p <= extra; p++ {
		if equalFold(v, priorityText[p]) {
			return p
		}
	}
	return extra
}

func multiArchOf(v []byte, all bool) multiArch {
	switch string(v) {
	case "same":
		if !all {
			return multiSame
		}
	case "foreign":
		return multiForeign
	case "allowed":
		return multiAllowed
	}
	return multiNo
}
