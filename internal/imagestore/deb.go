package imagestore

import (
	"archive/tar"
	"context"
	"crypto/md5" //nolint:gosec // what md5sums of a package has
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"regexp"
	"strings"
	"time"

	"github.com/klauspost/compress/gzip"

	"ingot/internal/fault"
)

// PackagedStore is the image store that packages install into: root's own.
const PackagedStore = "/var/lib/ingot/image-store"

// A Package is an image as a Debian package (deb(5)), before it is written.
type Package struct {
	Name       string // the package's
	Store      string // the image store on the machines that install it
	Version    string
	Maintainer string // NAME <ADDRESS>

	image  *Image
	files  []entry
	newest time.Time // of its files
	size   int64     // KiB
}

// Debian's rules of names and versions, policy 5.6.1 and 5.6.12. A version with a colon in
// it begins with an epoch.
var (
	notInPackages = regexp.MustCompile(`[^a-z0-9+.-]+`)
	debVersion    = regexp.MustCompile(`^([0-9]{1,9}:)?[0-9][A-Za-z0-9.+~]*(-[A-Za-z0-9.+~]+)*$`)
	maintainer    = regexp.MustCompile(`^[^<>\n\r]+ <[^<>\s]+>$`)
)

// maxMember is the longest that ar has digits for.
const maxMember = 9_999_999_999

// Package plans a Debian package of an image. Of what is said, Store is [PackagedStore] where
// it is empty, Version the time of the newest file, in UTC, and Maintainer root.
func (im *Image) Package(ctx context.Context, said Package) (*Package, error) {
	p := said
	p.image, p.newest = im, time.Unix(0, 0).UTC()
	p.Name = "ingot-image-" + strings.Trim(notInPackages.ReplaceAllString(strings.ToLower(im.Name), "-"), "-.+")
	if p.Store == "" {
		p.Store = PackagedStore
	}
	if p.Maintainer == "" {
		p.Maintainer = "root <root@localhost>"
	}
	if !path.IsAbs(p.Store) || path.Clean(p.Store) != p.Store || p.Store == "/" || strings.ContainsFunc(p.Store, func(r rune) bool { return r < 0x20 || r == 0x7f }) {
		return nil, fault.Newf(fault.Usage, "%q is not where an image store is: name a directory from the root on", p.Store).WithHint("%s is ingot's; /var/cache/convirt/image_store is ConVirt's", PackagedStore)
	}
	if !maintainer.MatchString(p.Maintainer) {
		return nil, fault.Newf(fault.Usage, "%q is not a maintainer", p.Maintainer).WithHint("write NAME <ADDRESS>")
	}
	var err error
	if p.files, err = im.files(ctx); err != nil {
		return nil, err
	}
	for _, e := range p.files {
		if strings.ContainsAny(e.rel, "\n\r") {
			return nil, fault.Newf(fault.Usage, "the name %q has a line feed in it, and a package has no such names", e.rel)
		}
		if e.info.IsDir() {
			continue // whose time is that of the last renaming in it
		}
		if when := e.info.ModTime().UTC(); when.After(p.newest) {
			p.newest = when.Truncate(time.Second)
		}
		p.size += (e.info.Size() + 1023) / 1024
	}
	if p.Version == "" {
		p.Version = p.newest.Format("20060102.150405")
	}
	if !debVersion.MatchString(p.Version) {
		return nil, fault.Newf(fault.Usage, "%q is not a version of a Debian package", p.Version).WithHint("it begins with a digit and goes on with letters, digits and any of . + ~ -")
	}
	return &p, nil
}

// FileName is what the package's file is called.
func (p *Package) FileName() string {
	_, version, epoch := strings.Cut(p.Version, ":")
	if !epoch {
		version = p.Version
	}
	return p.Name + "_" + version + "_all.deb"
}

// Write writes the package. It runs no script when it is installed. The bytes are the same
// each time while the files, their times and what was said are.
func (p *Package) Write(ctx context.Context, w io.Writer) error {
	// control stands in front of data, and has the digests of what is there.
	sums, err := p.md5sums(ctx)
	if err != nil {
		return err
	}
	control := fmt.Sprintf("Package: %s\nVersion: %s\nArchitecture: all\nMaintainer: %s\nInstalled-Size: %d\nSection: admin\nPriority: optional\nDescription: %s\n",
		p.Name, p.Version, p.Maintainer, p.size, p.image.debDescription())
	a := &ar{w: w, when: p.newest.Unix()}
	return errors.Join(
		a.begin(),
		a.member("debian-binary", func(w io.Writer) error {
			_, err := io.WriteString(w, "2.0\n")
			return err
		}),
		a.member("control.tar.gz", func(w io.Writer) error {
			return packed(w, func(t *tar.Writer) error {
				if err := t.WriteHeader(p.header(tar.TypeDir, "./", 0)); err != nil {
					return err
				}
				for _, part := range [][2]string{{"./control", control}, {"./md5sums", sums}} {
					if err := t.WriteHeader(p.header(tar.TypeReg, part[0], len(part[1]))); err != nil {
						return err
					}
					if _, err := io.WriteString(t, part[1]); err != nil {
						return err
					}
				}
				return nil
			})
		}),
		a.member("data.tar.gz", func(w io.Writer) error {
			return packed(w, func(t *tar.Writer) error { return p.data(ctx, t) })
		}),
	)
}

// header is one of what is no file of the image's.
func (p *Package) header(kind byte, name string, size int) *tar.Header {
	h := &tar.Header{Typeflag: kind, Name: name, Mode: 0o644, Size: int64(size), ModTime: p.newest, Uname: "root", Gname: "root", Format: tar.FormatGNU}
	if kind == tar.TypeDir {
		h.Mode = 0o755
	}
	return h
}

// debDescription is a description as a control file has it: a line, then indented ones.
func (im *Image) debDescription() string {
	first, rest := "image "+im.Name+" of an image store", im.Description
	var lines []string
	line := ""
	for _, word := range strings.Fields(rest) {
		if line != "" && len(line)+1+len(word) > 78 {
			lines, line = append(lines, " "+line), ""
		}
		if line != "" {
			line += " "
		}
		if line += word; strings.HasPrefix(line, ".") { // which would end a paragraph
			line = "(" + word + ")"
		}
	}
	if line != "" {
		lines = append(lines, " "+line)
	}
	return strings.Join(append([]string{first}, lines...), "\n")
}

func (p *Package) md5sums(ctx context.Context) (string, error) {
	var b strings.Builder
	for _, e := range p.files {
		if e.info.IsDir() {
			continue
		}
		if err := ctx.Err(); err != nil {
			return "", err
		}
		f, err := os.Open(e.path)
		if err != nil {
			return "", err
		}
		h := md5.New() //nolint:gosec // what md5sums of a package has
		_, err = io.Copy(h, f)
		_ = f.Close()
		if err != nil {
			return "", err
		}
		fmt.Fprintf(&b, "%x  %s\n", h.Sum(nil), strings.TrimPrefix(path.Join(p.Store, e.rel), "/"))
	}
	return b.String(), nil
}

// data are the image's files behind the directories that lead to them.
func (p *Package) data(ctx context.Context, t *tar.Writer) error {
	name := "."
	for _, part := range append([]string{""}, strings.Split(strings.TrimPrefix(p.Store, "/"), "/")...) {
		if part != "" {
			name += "/" + part
		}
		if err := t.WriteHeader(p.header(tar.TypeDir, name+"/", 0)); err != nil {
			return err
		}
	}
	for _, e := range p.files {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := e.tar(t, "."+path.Join(p.Store, e.rel), tar.FormatGNU); err != nil {
			return err
		}
	}
	return nil
}

// packed writes a tar, compressed by gzip, which dpkg of any age reads.
func packed(w io.Writer, fill func(*tar.Writer) error) error {
	z, err := gzip.NewWriterLevel(w, gzip.DefaultCompression)
	if err != nil {
		return err
	}
	t := tar.NewWriter(z)
	if err := fill(t); err != nil {
		return err
	}
	if err := t.Close(); err != nil {
		return err
	}
	return z.Close()
}

// An ar writes an archive of ar(5). After an error it writes no more.
type ar struct {
	w      io.Writer
	when   int64
	failed bool
}

func (a *ar) begin() error {
	_, err := io.WriteString(a.w, "!<arch>\n")
	a.failed = err != nil
	return err
}

// member adds a member, which fill writes twice: its size stands in front of it, and no
// second copy of an image is to lie on some disk meanwhile.
func (a *ar) member(name string, fill func(io.Writer) error) (err error) {
	if a.failed {
		return nil
	}
	defer func() { a.failed = err != nil }()
	var size, written length
	if err := fill(&size); err != nil {
		return err
	}
	if size > maxMember {
		return fault.Newf(fault.Usage, "%s is %d bytes long, and a package has at most %d", name, size, int64(maxMember)).WithHint("export it as a tar: without --deb")
	}
	if _, err := fmt.Fprintf(a.w, "%-16s%-12d%-6d%-6d%-8o%-10d`\n", name, a.when, 0, 0, 0o100644, size); err != nil {
		return err
	}
	if err := fill(io.MultiWriter(a.w, &written)); err != nil {
		return err
	}
	if written != size {
		return fault.Newf(fault.Failed, "the image changed while it was read").WithHint("export it again when nobody changes it")
	}
	if size%2 != 0 {
		_, err = io.WriteString(a.w, "\n")
	}
	return err
}

// length counts what is written to it.
type length int64

func (l *length) Write(p []byte) (int, error) {
	*l += length(len(p))
	return len(p), nil
}
