package rpm

import (
	"bufio"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"

	"ingot/internal/digest"
	"ingot/internal/distro"
	"ingot/internal/fault"
	"ingot/internal/tree"
)

// Bounds of a package's payload.
const (
	maxFiles = 1 << 20
	maxData  = 64 << 30
	maxLink  = 4095
)

// headerMember is the control member that holds all of a package but its
// payload, as it was signed: what rpm needs to record it.
const headerMember = "header"

// Inspect reads an .rpm's headers. A damaged or hostile package is a
// fault.Verification that names it.
func (Family) Inspect(ctx context.Context, ref distro.Ref, file io.ReaderAt) (distro.Package, error) {
	p := distro.Package{Ref: ref}
	h, at, err := readHeaders(file, ref.Size)
	if err == nil {
		err = h.check(ref)
	}
	if err == nil {
		raw := make([]byte, at)
		if err = readAt(file, raw, 0); err == nil {
			p.Control, err = h.control(raw)
		}
	}
	return p, damaged(ctx, ref, err)
}

// Unpack reads an .rpm's files into a tree. Their contents go to the pack. Owners
// are names in an rpm, so all entries are root's until Configure looks at the tree's
// users. Directories that no file of the package says anything about, only lies in,
// are in the tree and not in the order. A damaged or hostile package is a
// fault.Verification that names it.
func (Family) Unpack(ctx context.Context, p distro.Package, file io.ReaderAt, pack distro.Pack) (distro.Unpacked, error) {
	u := distro.Unpacked{Package: p}
	var err error
	u.Tree, u.Order, err = readPayload(ctx, p.Ref, file, pack)
	return u, damaged(ctx, p.Ref, err)
}

// damaged says of an error in a package which package it is.
func damaged(ctx context.Context, ref distro.Ref, err error) error {
	if err == nil || ctx.Err() != nil {
		return err
	}
	return fault.Newf(fault.Verification, "cannot unpack %s %s: %w", ref.Name, ref.Version, err).
		WithHint("the package's digest is as the index says, so its archive offers a damaged package; look at another mirror or version")
}

func readPayload(ctx context.Context, ref distro.Ref, file io.ReaderAt, pack distro.Pack) (tree.Tree, []string, error) {
	var none tree.Tree
	h, at, err := readHeaders(file, ref.Size)
	if err != nil {
		return none, nil, err
	}
	files, err := h.files()
	if err != nil {
		return none, nil, err
	}
	p := payload{files: files, pack: pack, buf: make([]byte, 256<<10)}
	if err := p.prepare(); err != nil {
		return none, nil, err
	}
	in, err := decompress(interruptible{ctx, io.NewSectionReader(file, at, ref.Size-at)})
	if err != nil {
		return none, nil, err
	}
	defer func() { _ = in.Close() }()
	if err := p.read(in); err != nil {
		return none, nil, err
	}
	return p.tree("rpm:" + ref.Name)
}

// interruptible stops a long decompression when the context ends.
type interruptible struct {
	ctx context.Context
	r   io.Reader
}

func (i interruptible) Read(p []byte) (int, error) {
	if err := i.ctx.Err(); err != nil {
		return 0, err
	}
	return i.r.Read(p)
}

// check holds the package's own words against what the lock asked for.
func (h header) check(ref distro.Ref) error {
	id, err := h.identity()
	if err != nil {
		return err
	}
	if h.has(tagSourcePackage) {
		return fmt.Errorf("%w: it is a source package", errPackage)
	}
	if id.name != ref.Name || id.version != ref.Version || id.arch != ref.Arch {
		return fmt.Errorf("%w: it says that it is %s %s %s", errPackage, id.name, id.version, id.arch)
	}
	format, err := h.word(tagPayloadFormat)
	if err == nil && format != "" && format != "cpio" {
		err = fmt.Errorf("%w: its payload is %q, not cpio", errPackage, format)
	}
	return err
}

type identity struct{ name, version, arch string }

// identity is what a package says that it is; the version has the epoch where
// that is not 0.
func (h header) identity() (identity, error) {
	var words [4]string
	for i, t := range []tag{tagName, tagVersion, tagRelease, tagArch} {
		w, err := h.word(t)
		if err == nil && w == "" {
			err = fmt.Errorf("%w: it lacks tag %d", errPackage, t)
		}
		if err != nil {
			return identity{}, err
		}
		words[i] = w
	}
	id := identity{name: words[0], version: words[1] + "-" + words[2], arch: words[3]}
	epoch, err := h.number(tagEpoch)
	if epoch != 0 {
		id.version = fmt.Sprintf("%d:%s", epoch, id.version)
	}
	return id, err
}

// control is the package's control members: the headers, and the scriptlets under
// the names that specs give them.
func (h header) control(raw []byte) (map[string]distro.ControlFile, error) {
	out := map[string]distro.ControlFile{headerMember: {Mode: 0o644, Data: raw}}
	for name, t := range map[string]tag{"pretrans": tagPreTrans, "prein": tagPreIn, "postin": tagPostIn, "preun": tagPreUn, "postun": tagPostUn, "posttrans": tagPostTrans} {
		text, err := h.word(t)
		if err != nil {
			return nil, err
		}
		if text != "" {
			out[name] = distro.ControlFile{Mode: 0o755, Data: []byte(text)}
		}
	}
	return out, nil
}

// A payload joins the header's files with the archive's bytes.
type payload struct {
	files    []fileInfo
	at       map[string]int      // files by path
	sets     map[[2]uint64][]int // regular files of several names
	done     []bool
	contents []tree.Content
	pack     distro.Pack
	buf      []byte
}

func (p *payload) prepare() error {
	if len(p.files) > maxFiles {
		return fmt.Errorf("%w: it has more than %d files", errPackage, maxFiles)
	}
	p.at = make(map[string]int, len(p.files))
	p.sets = map[[2]uint64][]int{}
	p.done, p.contents = make([]bool, len(p.files)), make([]tree.Content, len(p.files))
	var total int64
	for i, f := range p.files {
		p.at[f.path] = i
		if f.kind != tree.File || f.ghost() {
			continue
		}
		if total += f.size; total > maxData {
			return fmt.Errorf("%w: its files take more than %d bytes", errPackage, int64(maxData))
		}
		p.sets[f.set] = append(p.sets[f.set], i)
	}
	for set, members := range p.sets {
		for _, i := range members[1:] {
			if p.files[i].size != p.files[members[0]].size {
				return fmt.Errorf("%w: hard links %q and %q differ in size", errPackage, p.files[members[0]].path, p.files[i].path)
			}
		}
		if len(members) == 1 {
			delete(p.sets, set)
		}
	}
	return nil
}

func (p *payload) read(r io.Reader) error {
	c := &cpioReader{r: bufio.NewReaderSize(r, 64<<10)}
	for {
		f, err := c.next()
		if errors.Is(err, io.EOF) {
			return p.complete()
		}
		if err != nil {
			return err
		}
		i := f.index
		if i < 0 {
			var ok bool
			if i, ok = p.at[f.name]; !ok {
				return fmt.Errorf("%w: its payload has %q, which its header does not know", errPackage, "/"+f.name)
			}
		}
		if i >= len(p.files) || p.done[i] || p.files[i].ghost() {
			return fmt.Errorf("%w: its payload has a file %d that should not be there, or not again", errPackage, i)
		}
		p.done[i] = true
		if f.index >= 0 {
			f.size = p.archived(i)
		}
		c.left = f.size
		if err := p.take(i, c, f.size); err != nil {
			return fmt.Errorf("/%s: %w", p.files[i].path, err)
		}
	}
}

// archived is how many bytes a stripped payload holds for a file: of the names of
// one file the last has them.
func (p *payload) archived(i int) int64 {
	f := &p.files[i]
	switch f.kind {
	case tree.File:
		if set := p.sets[f.set]; len(set) > 0 && set[len(set)-1] != i {
			return 0
		}
		return f.size
	case tree.Symlink:
		return f.size
	case tree.Dir, tree.Hardlink, tree.Char, tree.Block, tree.Fifo:
	}
	return 0
}

// take reads the bytes of a file. A name of several may leave them to another.
func (p *payload) take(i int, c *cpioReader, size int64) error {
	f := &p.files[i]
	switch {
	case f.kind == tree.Symlink:
		if size != int64(len(f.link)) || size > maxLink {
			return fmt.Errorf("%w: header and payload disagree on where the link leads", errPackage)
		}
		target, err := io.ReadAll(c)
		if err == nil && string(target) != f.link {
			err = fmt.Errorf("%w: header and payload disagree on where the link leads", errPackage)
		}
		return err
	case f.kind == tree.File && (size == f.size || size == 0 && len(p.sets[f.set]) > 0):
		content, err := p.content(c, size)
		if err == nil && size == f.size && f.digest != "" && content.Digest.String() != f.digest {
			err = fmt.Errorf("%w: its bytes are not those that the header names", errPackage)
		}
		p.contents[i] = content
		return err
	case size != 0:
		return fmt.Errorf("%w: the payload has %d bytes of it, the header %d", errPackage, size, f.size)
	case f.kind == tree.File:
		return fmt.Errorf("%w: the payload has nothing of its %d bytes", errPackage, f.size)
	}
	return nil
}

func (p *payload) content(r io.Reader, size int64) (tree.Content, error) {
	c := tree.Content{Size: size, Digest: digest.Of(nil)}
	if size == 0 {
		return c, nil
	}
	c.Pack, c.Offset = p.pack.Name(), p.pack.Size()
	h := sha256.New()
	_, err := io.CopyBuffer(io.MultiWriter(p.pack, h), struct{ io.Reader }{r}, p.buf)
	c.Digest = digest.From(h)
	return c, err
}

// complete checks that the payload held all that it should, and gives all names
// of a file its content.
func (p *payload) complete() error {
	for i, f := range p.files {
		if !p.done[i] && !f.ghost() {
			return fmt.Errorf("%w: its payload lacks /%s", errPackage, f.path)
		}
	}
	for _, set := range p.sets {
		var content tree.Content
		for _, i := range set {
			if c := p.contents[i]; c.Size > 0 {
				content = c
			}
		}
		if content.Size != p.files[set[0]].size {
			return fmt.Errorf("%w: its payload lacks the bytes of /%s", errPackage, p.files[set[0]].path)
		}
		for _, i := range set {
			if d := p.files[i].digest; d != "" && content.Size > 0 && content.Digest.String() != d {
				return fmt.Errorf("%w: the bytes of /%s are not those that the header names", errPackage, p.files[i].path)
			}
			p.contents[i] = content
		}
	}
	return nil
}

// tree is the package's files, and the order in which its header has them.
func (p *payload) tree(owner string) (tree.Tree, []string, error) {
	var entries []tree.Entry
	var order []string
	have := map[string]bool{}
	for i, f := range p.files {
		if f.ghost() {
			continue
		}
		e, err := f.entry()
		if err != nil {
			return tree.Tree{}, nil, err
		}
		if f.kind == tree.File {
			e.Content = p.contents[i]
			if set := p.sets[f.set]; len(set) > 0 {
				if e, err = p.linked(e, set); err != nil {
					return tree.Tree{}, nil, err
				}
			}
		}
		entries, order = append(entries, e), append(order, e.Path)
		have[e.Path] = true
	}
	for _, path := range order {
		e := tree.Entry{Kind: tree.Dir, Mode: 0o755, Mtime: tree.Time{Sec: p.files[p.at[path]].mtime}}
		for dir := tree.Parent(path); path != "" && !have[dir]; dir = tree.Parent(dir) {
			have[dir] = true
			e.Path = dir
			entries = append(entries, e)
			if len(entries) > maxFiles {
				return tree.Tree{}, nil, fmt.Errorf("%w: it has more than %d files and directories", errPackage, maxFiles)
			}
		}
	}
	for i := range entries {
		entries[i].Owner = owner
	}
	t, err := tree.New(entries)
	if err != nil {
		err = fmt.Errorf("%w: %w", errPackage, err)
	}
	return t, order, err
}

// linked makes an entry one name of several: the first path is the file, and the
// metadata of the last one in the header counts for all, as rpm sets it last.
func (p *payload) linked(e tree.Entry, set []int) (tree.Entry, error) {
	whole, err := p.files[set[len(set)-1]].entry()
	if err != nil {
		return e, err
	}
	first := e.Path
	for _, i := range set {
		first = min(first, p.files[i].path)
	}
	whole.Path = e.Path
	if first == e.Path {
		whole.Content = e.Content
	} else {
		whole.Kind, whole.Link, whole.Xattrs = tree.Hardlink, first, nil
	}
	return whole, nil
}

// entry is a file as a tree has it, but for its content and its owner.
func (f fileInfo) entry() (tree.Entry, error) {
	e := tree.Entry{Path: f.path, Kind: f.kind, Mode: f.mode, Mtime: tree.Time{Sec: f.mtime}, Major: f.major, Minor: f.minor}
	if f.kind == tree.Symlink {
		e.Mode, e.Link = 0o777, f.link
		if f.link == "" {
			return e, fmt.Errorf("%w: link /%s leads nowhere", errPackage, f.path)
		}
	}
	if f.caps != "" && f.kind == tree.File {
		var err error
		if e.Xattrs, err = capability(f.caps); err != nil {
			return e, fmt.Errorf("/%s: %w", f.path, err)
		}
	}
	return e, nil
}
