package definition

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"reflect"
	"slices"
	"strings"

	"go.yaml.in/yaml/v4"
	"golang.org/x/sys/unix"

	"ingot/internal/digest"
	"ingot/internal/fault"
	"ingot/internal/input"
	"ingot/internal/spell"
)

// FileName is what a definition's file is called.
const FileName = "ingot.yaml"

const (
	maxFile  = 1 << 20 // bytes of one file of a definition
	maxFiles = 64      // files of one definition
	maxTotal = 4 << 20 // bytes of all of them
)

// Options are what Load needs to know of the world.
type Options struct {
	// HostArch is Debian's name of the host's architecture: what "arch" is when
	// the definition leaves it out. If it is empty, arch must be given.
	HostArch string
	// ElementsPath are directories of elements, beside those of the definition's own.
	ElementsPath []string
}

// Load reads a definition with its includes, checks all of it and fills in the
// defaults. A path that is a directory means the ingot.yaml in it.
//
// What is wrong with the definition comes as one error of exit code 3 around a
// [*Problems]; so does a file that cannot be read.
func Load(file string, opts Options) (*Definition, error) {
	root, main, err := open(file)
	if err != nil {
		return nil, err
	}
	defer root.Close() //nolint:errcheck // only read from
	return load(root, root.Name(), main, opts)
}

// open reads the file of a definition, which may be said by its directory, and opens that.
func open(file string) (*os.Root, *source, error) {
	if info, err := os.Stat(file); err == nil && info.IsDir() {
		file = filepath.Join(file, FileName)
	}
	abs, err := filepath.Abs(file)
	if err != nil {
		return nil, nil, fault.Newf(fault.Definition, "cannot find %s: %w", file, err)
	}
	data, err := input.Read(file, maxFile)
	if err != nil {
		e := fault.Newf(fault.Definition, "cannot read the definition: %w", err)
		if errors.Is(err, fs.ErrNotExist) {
			e = e.WithHint("ingot init writes a starting one")
		}
		return nil, nil, e
	}
	root, err := os.OpenRoot(filepath.Dir(abs))
	if err != nil {
		return nil, nil, fault.Newf(fault.Definition, "cannot open the definition's directory: %w", err)
	}
	return root, &source{show: filepath.ToSlash(filepath.Clean(file)), rel: filepath.Base(abs), data: data}, nil
}

// load makes the definition of a file's bytes; what it names is read from root,
// which is dir.
func load(root *os.Root, dir string, main *source, opts Options) (*Definition, error) {
	l := newLoading(root, dir, main, opts)
	def := l.definition()
	if len(l.problems) > 0 {
		return nil, l.refusal()
	}
	return def, nil
}

func newLoading(root *os.Root, dir string, main *source, opts Options) *loading {
	return &loading{
		decoder: decoder{origin: map[*yaml.Node]*source{}},
		root:    root, dir: dir, main: main, state: map[string]progress{}, placed: map[*yaml.Node]bool{}, host: opts.HostArch, elementsPath: opts.ElementsPath,
	}
}

// DigestOf is the digest of the definition in a file, also of one that cannot be loaded here: its
// secrets may be missing, or its architecture strange to this machine. Only what it
// includes must be there.
func DigestOf(file string) (digest.Digest, error) {
	root, main, err := open(file)
	if err != nil {
		return digest.Digest{}, err
	}
	defer root.Close() //nolint:errcheck // only read from
	l := newLoading(root, root.Name(), main, Options{})
	l.file(main)
	if l.incomplete {
		return digest.Digest{}, l.refusal()
	}
	return (&Definition{Dir: l.dir, Inputs: l.inputs}).Digest(), nil
}

// refusal is all that was found wrong, as one error.
func (l *loading) refusal() error {
	p := &Problems{File: l.main.show}
	p.List, p.More = sorted(l.problems, l.main.show)
	return &fault.Error{Code: fault.Definition, Err: p}
}

type progress int

const (
	reading progress = iota + 1
	read
)

// A loading is one run of Load.
type loading struct {
	decoder
	root   *os.Root // the definition's directory; nothing outside is read
	dir    string
	host   string
	main   *source
	inputs []Input
	total  int                 // bytes of inputs
	state  map[string]progress // of files, by path relative to dir

	// oneOfSeveral says that the definition is made for one of its architectures, and gone
	// counts those of them that do not start by a firmware.
	oneOfSeveral bool
	gone         map[string]int
	// elementsPath are directories of elements that are nobody's in particular.
	elementsPath []string
	// someElements says that a flavor has elements, if not all do: what is said of their
	// variables is for those.
	someElements bool
	// incomplete says that a file could not be read, so that what seems missing
	// may stand there.
	incomplete bool
	entries    map[string]Source
	// placed are the paths of a layout's secrets that are relative to the definition's
	// directory by now.
	placed map[*yaml.Node]bool
}

// definition reads and merges all files and makes the definition of them. It
// notes problems and gives nil or something useless if there are any.
func (l *loading) definition() *Definition {
	top := l.file(l.main)
	if l.main.root == nil {
		return nil
	}
	var doc document
	l.value(reflect.ValueOf(&doc).Elem(), top)
	return l.expand(top, &doc)
}

// file reads what a file says and what it includes, merged. The file's bytes are
// in src already.
func (l *loading) file(src *source) *yaml.Node {
	l.state[src.rel] = reading
	l.total += len(src.data)
	l.inputs = append(l.inputs, Input{Path: filepath.Join(l.dir, filepath.FromSlash(src.rel)), Data: src.data})
	l.parse(src)
	if src.root == nil {
		l.incomplete = true
		l.state[src.rel] = read
		return nil
	}
	// Each file is checked alone too, so that a value that another file
	// overrides must be right all the same.
	var own document
	l.value(reflect.ValueOf(&own).Elem(), src.root)
	var merged *yaml.Node
	for _, inc := range own.Include {
		if inc.Value != "" {
			merged = l.merge(merged, l.include(src, inc))
		}
	}
	l.state[src.rel] = read
	return l.merge(merged, without(l, src.root, "include"))
}

// include reads one included file; nil if it was read before or cannot be read.
func (l *loading) include(from *source, inc text[include]) *yaml.Node {
	rel := beside(from, inc.Value)
	switch l.state[rel] {
	case reading:
		l.problem(inc.At, "include %s is a circle: that file leads here", quote(inc.Value))
		return nil
	case read:
		return nil
	}
	if len(l.state) >= maxFiles {
		l.problem(inc.At, "include %s is one too many: a definition has at most %d files", quote(inc.Value), maxFiles)
		return nil
	}
	data, err := input.ReadIn(l.root, rel, maxFile)
	if err == nil && l.total+len(data) > maxTotal {
		err = fmt.Errorf("with it the definition's files are larger than %d MiB", maxTotal>>20)
	}
	if err != nil {
		l.incomplete = true
		l.state[rel] = read
		l.missing(inc.At, "include", inc.Value, rel, err)
		return nil
	}
	return l.file(&source{show: path.Join(path.Dir(l.main.show), rel), rel: rel, data: data})
}

// beside is the path, relative to the definition's directory, of a path that a
// file of it names.
func beside(src *source, value string) string { return path.Join(path.Dir(src.rel), value) }

// missing notes that a named file cannot be read.
func (l *loading) missing(n *yaml.Node, key, value, rel string, err error) {
	var pe *fs.PathError
	switch {
	case errors.Is(err, fs.ErrNotExist):
		hint, word := "", ""
		if f, err := l.root.Open(path.Dir(rel)); err == nil {
			names, _ := f.Readdirnames(1000)
			_ = f.Close()
			slices.Sort(names)
			if w := spell.Nearest(path.Base(rel), names); w != "" {
				word = strings.TrimSuffix(strings.TrimSuffix(value, "/"), path.Base(rel)) + w
				hint = "; did you mean " + quote(word) + "?"
			}
		}
		l.suggest(n, word, "%s %s does not exist%s", key, quote(value), hint)
	case errors.Is(err, unix.ELOOP):
		l.problem(n, "%s %s is a symbolic link that leads in a circle", key, quote(value))
	case l.leaves(rel):
		l.problem(n, "%s %s is a symbolic link that leads out of the definition's directory", key, quote(value))
	case errors.As(err, &pe):
		l.problem(n, "%s %s cannot be read: %v", key, quote(value), pe.Err)
	default:
		l.problem(n, "%s %s cannot be read: %v", key, quote(value), err)
	}
}

// leaves says whether a path leads through a symbolic link out of the
// definition's directory: the plain file system can follow it, the root cannot.
func (l *loading) leaves(rel string) bool {
	if _, err := l.root.Stat(rel); err == nil || errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrPermission) {
		return false
	}
	for p := rel; p != "."; p = path.Dir(p) {
		if info, err := l.root.Lstat(p); err == nil && info.Mode()&fs.ModeSymlink != 0 {
			return true
		}
	}
	return false
}

// merge lays one node over another: maps key by key, lists one after the other,
// anything else the later one.
func (l *loading) merge(under, over *yaml.Node) *yaml.Node {
	switch {
	case under == nil:
		return over
	case over == nil:
		return under
	case under.Kind == yaml.SequenceNode && over.Kind == yaml.SequenceNode:
		out := *over
		out.Content = slices.Concat(under.Content, over.Content)
		l.origin[&out] = l.origin[over]
		return &out
	case under.Kind != yaml.MappingNode || over.Kind != yaml.MappingNode:
		return over
	}
	out := *over
	out.Content = slices.Clone(under.Content)
	l.origin[&out] = l.origin[over]
	at := map[string]int{}
	for i := 0; i+1 < len(out.Content); i += 2 {
		at[out.Content[i].Value] = i + 1
	}
	for i := 0; i+1 < len(over.Content); i += 2 {
		k, v := over.Content[i], over.Content[i+1]
		if j, ok := at[k.Value]; ok {
			out.Content[j-1], out.Content[j] = k, l.merge(out.Content[j], v)
			continue
		}
		at[k.Value] = len(out.Content) + 1
		out.Content = append(out.Content, k, v)
	}
	return &out
}

// without is a map without one of its keys.
func without(l *loading, n *yaml.Node, key string) *yaml.Node {
	out := *n
	out.Content = nil
	for i := 0; i+1 < len(n.Content); i += 2 {
		if n.Content[i].Value != key {
			out.Content = append(out.Content, n.Content[i], n.Content[i+1])
		}
	}
	l.origin[&out] = l.origin[n]
	return &out
}

// Digest identifies what the definition says: the bytes of its file and of all
// that it includes, with their paths relative to Dir. The contents of scripts and
// sources are not in it; a lock lists those one by one.
func (d *Definition) Digest() digest.Digest {
	b := []byte("ingot definition 1\n")
	for _, in := range d.Inputs {
		rel, err := filepath.Rel(d.Dir, in.Path)
		if err != nil {
			rel = in.Path
		}
		rel = filepath.ToSlash(rel)
		b = binary.BigEndian.AppendUint32(b, uint32(len(rel)))
		b = append(b, rel...)
		b = binary.BigEndian.AppendUint64(b, uint64(len(in.Data)))
		b = append(b, in.Data...)
	}
	return digest.Of(b)
}
