// Package debtest makes Debian packages in memory, for tests: sound ones, and such
// as no tool would write.
package debtest

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"slices"
	"strings"

	"github.com/klauspost/compress/zstd"

	"ingot/internal/digest"
	"ingot/internal/distro"
)

// A Deb is a package to be made (deb(5)). The zero Deb is "made 1-1 all" without
// files.
type Deb struct {
	Name, Version, Arch string // default: made, 1-1, all
	Fields              string // more lines of its control file
	Control             []File // members beside control
	Files               []File
	Suffix              string                  // of both archives: "", ".gz" or ".zst"
	Change              func([]Member) []Member // makes it unsound
}

// A File is a member of a tar archive.
type File struct {
	Name  string
	Type  byte // of tar; 0 is a regular file
	Mode  int64
	Link  string
	Data  string
	Claim int64 // the size in its header, where it is not that of Data
}

// A Member is a member of an ar archive.
type Member struct {
	Name string
	Data []byte
}

func (d Deb) withDefaults() Deb {
	for field, value := range map[*string]string{&d.Name: "made", &d.Version: "1-1", &d.Arch: "all"} {
		if *field == "" {
			*field = value
		}
	}
	return d
}

// Stanza is the package's control file.
func (d Deb) Stanza() string {
	d = d.withDefaults()
	text := fmt.Sprintf("Package: %s\nVersion: %s\nArchitecture: %s\n", d.Name, d.Version, d.Arch)
	if d.Fields != "" {
		text += strings.TrimSuffix(d.Fields, "\n") + "\n"
	}
	return text
}

// Ref names the package as an index does.
func (d Deb) Ref(archive string) distro.Ref {
	d = d.withDefaults()
	data := d.Bytes()
	return distro.Ref{
		Name: d.Name, Version: d.Version, Arch: d.Arch, Archive: archive,
		Location: fmt.Sprintf("pool/%s_%s_%s.deb", d.Name, d.Version, d.Arch), Size: int64(len(data)), SHA256: digest.Of(data),
	}
}

// Bytes is the package's file.
func (d Deb) Bytes() []byte {
	control := append([]File{{Name: "./control", Data: d.Stanza()}}, d.Control...)
	members := []Member{
		{"debian-binary", []byte("2.0\n")},
		{"control.tar" + d.Suffix, Compress(d.Suffix, Tar(control...))},
		{"data.tar" + d.Suffix, Compress(d.Suffix, Tar(d.Files...))},
	}
	if d.Change != nil {
		members = d.Change(members)
	}
	return Ar(members...)
}

// Ar is an ar archive in the form that deb(5) prescribes.
func Ar(members ...Member) []byte {
	b := []byte("!<arch>\n")
	for _, m := range members {
		b = fmt.Appendf(b, "%-16s%-12d%-6d%-6d%-8s%-10d`\n", m.Name, 0, 0, 0, "100644", len(m.Data))
		b = append(b, m.Data...)
		if len(m.Data)%2 == 1 {
			b = append(b, '\n')
		}
	}
	return b
}

// Compress packs data as a suffix says; any but ".gz" and ".zst" leaves it as it
// is.
func Compress(suffix string, data []byte) []byte {
	var b bytes.Buffer
	switch suffix {
	case ".gz":
		w := gzip.NewWriter(&b)
		_, _ = w.Write(data) // a buffer does not fail
		_ = w.Close()
	case ".zst":
		w, _ := zstd.NewWriter(&b, zstd.WithEncoderConcurrency(1))
		_, _ = w.Write(data)
		_ = w.Close()
	default:
		return data
	}
	return b.Bytes()
}

// Tar is a tar archive, with whatever the files say.
func Tar(files ...File) []byte {
	var b []byte
	for _, f := range files {
		b = append(b, header(f)...)
		b = append(b, f.Data...)
		b = append(b, make([]byte, -len(b)&511)...)
	}
	return append(b, make([]byte, 1024)...)
}

func header(f File) []byte {
	h := make([]byte, 512)
	octal := func(at, width int, n int64) { copy(h[at:], fmt.Sprintf("%0*o", width-1, n)) }
	if f.Type == 0 {
		f.Type = '0'
	}
	if f.Mode == 0 {
		f.Mode = 0o644
	}
	size := int64(len(f.Data))
	if f.Claim != 0 {
		size = f.Claim
	}
	copy(h[:100], f.Name)
	octal(100, 8, f.Mode)
	octal(108, 8, 0)
	octal(116, 8, 0)
	octal(124, 12, size)
	octal(136, 12, 1000)
	copy(h[148:], "        ")
	h[156] = f.Type
	copy(h[157:257], f.Link)
	copy(h[257:], "ustar\x0000")
	octal(329, 8, 0)
	octal(337, 8, 0)
	var sum int64
	for _, c := range h {
		sum += int64(c)
	}
	copy(h[148:], fmt.Sprintf("%06o\x00 ", sum))
	return h
}

// Files reads a list of files, one a line: "dir PATH", "file PATH CONTENT",
// "program PATH CONTENT", "symlink PATH TARGET", "link PATH FIRST". Directories
// above them are put in where they are missing, as every packager's tool does.
func Files(text string) []File {
	var out []File
	made := map[string]bool{}
	var dir func(path string)
	dir = func(path string) {
		if made[path] {
			return
		}
		made[path] = true
		if path == "" {
			out = append(out, File{Name: "./", Type: '5', Mode: 0o755})
			return
		}
		dir(path[:max(0, strings.LastIndexByte(path, '/'))])
		out = append(out, File{Name: "./" + path + "/", Type: '5', Mode: 0o755})
	}
	for line := range strings.Lines(text) {
		f := append(strings.SplitN(strings.TrimSpace(line), " ", 3), "")
		if len(f) > 2 {
			dir(f[1][:max(0, strings.LastIndexByte(f[1], '/'))])
		}
		switch f[0] {
		case "":
		case "dir":
			dir(f[1])
		case "file":
			out = append(out, File{Name: "./" + f[1], Data: f[2]})
		case "program":
			out = append(out, File{Name: "./" + f[1], Mode: 0o755, Data: f[2]})
		case "symlink":
			out = append(out, File{Name: "./" + f[1], Type: '2', Link: f[2]})
		case "link":
			out = append(out, File{Name: "./" + f[1], Type: '1', Link: "./" + f[2]})
		default:
			panic("debtest: no such kind of file: " + line)
		}
	}
	return slices.Clip(out)
}

// A Pack keeps contents in memory.
type Pack struct{ bytes.Buffer }

// Name is the pack's.
func (p *Pack) Name() string { return "pack" }

// Size is how many bytes it has.
func (p *Pack) Size() int64 { return int64(p.Len()) }
