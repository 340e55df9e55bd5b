package dib

import (
	"slices"
	"strings"

	"ingot/internal/fault"
	"ingot/internal/format"
	"ingot/internal/spell"
)

// A kind is what one of diskimage-builder's types is here.
type kind struct {
	word     string
	format   string
	suffixes []string // nil: "." and the word
	compress string
}

// kinds are the types whose words, suffixes or compression are not simply those of
// the format of that name. vpc is what qemu-img calls a vhd.
var kinds = []kind{
	{"qcow2", "qcow2", nil, "zlib"},
	{"tgz", "tar.gz", nil, ""},
	{"squashfs", "squashfs", []string{".squash"}, ""},
	{"vpc", "vhd", nil, ""},
	{"docker", "docker", []string{".docker.tar"}, ""},
}

// documented are the types that diskimage-builder's help names.
var documented = []string{"qcow2", "tar", "tgz", "squashfs", "vhd", "docker", "aci", "raw"}

// types are all words that -t takes: those that diskimage-builder's help names
// first, then those of disks that qemu-img knows, then all other formats of ingot.
func types() []string {
	var out []string
	for _, w := range append(slices.Concat(documented, []string{"vmdk", "vdi", "vhdx", "vpc"}), format.Names()...) {
		if _, known := format.Lookup(kindOf(w).format); known && !slices.Contains(out, w) {
			out = append(out, w)
		}
	}
	return out
}

func kindOf(word string) kind {
	if i := slices.IndexFunc(kinds, func(k kind) bool { return k.word == word }); i >= 0 {
		return kinds[i]
	}
	return kind{word: word, format: word}
}

// outputOf is the output that a word of -t asks for.
func outputOf(word string) (Output, error) {
	k := kindOf(word)
	f, ok := format.Lookup(k.format)
	if !ok {
		return Output{}, unknownType(word)
	}
	o := Output{Type: word, Format: f.Name, Compress: k.compress, Suffixes: k.suffixes}
	if o.Compress == "" && len(f.Compress) > 0 {
		o.Compress = f.Compress[0]
	}
	if len(f.Types) > 0 {
		o.Kind = f.Types[0]
	}
	if f.Name == "vmdk" {
		o.Adapter = "ide" // as qemu-img has it
	}
	if o.Suffixes == nil && k.word != k.format {
		o.Suffixes = []string{"." + word}
	}
	if o.Suffixes == nil {
		for _, s := range f.Files {
			if f.Suffixed {
				s += map[string]string{"gzip": ".gz", "xz": ".xz", "zstd": ".zst"}[o.Compress]
			}
			o.Suffixes = append(o.Suffixes, s)
		}
	}
	return o, nil
}

func unknownType(word string) error {
	all := types()
	e := fault.Newf(fault.Usage, "-t: ingot writes no images of type %q; it writes %s", printable(word), strings.Join(all, ", "))
	if n := spell.Nearest(word, all); n != "" {
		return e.WithHint("did you mean -t %s?", n)
	}
	return e
}

// Files are the paths of an output's files, the artifact first.
func (r Request) Files(o Output) []string {
	var out []string
	for _, s := range o.Suffixes {
		out = append(out, r.Name+s)
	}
	return out
}
