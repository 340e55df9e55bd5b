// Package imagestore reads and keeps an image store as ConVirt has one: a directory with
// image_store.conf, shared files in common, and a directory for each image with
// vm_conf.template, image.conf, a script that provisions, and a description.
//
// Its files are evaluated hermetically (internal/pyconf). An image comes to a
// [template.Template]; [Image.Fill] gives what its two files say of one machine, with
// ConVirt's rules of computed options, substitution and precedence.
package imagestore

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"ingot/internal/fault"
	"ingot/internal/input"
	"ingot/internal/pyconf"
)

// Names of files of an image store.
const (
	storeConf = "image_store.conf"
	vmConf    = "vm_conf.template"
	imageConf = "image.conf"
	script    = "provision.sh"
	maxHTML   = 1 << 20
	maxImages = 10_000
)

// A Store is an image store.
type Store struct {
	Dir          string
	Excludes     []string // directories that are no images
	Default      string   // the image that is offered first; "" is none
	HashExcludes []string // files that are not compared when a store is copied to a server
}

// Open opens an image store. A store without image_store.conf has ConVirt's defaults.
func Open(dir string) (*Store, error) {
	s := &Store{Dir: dir, Excludes: []string{"common", "example", "custom_scripts"}}
	info, err := os.Stat(dir)
	if errors.Is(err, fs.ErrNotExist) || err == nil && !info.IsDir() {
		return nil, fault.Newf(fault.NotFound, "there is no image store in %s", dir).
			WithHint("name one by --store or INGOT_IMAGE_STORE; ConVirt's is in /var/cache/convirt/image_store")
	}
	if err != nil {
		return nil, fmt.Errorf("cannot open the image store: %w", err)
	}
	f, err := s.eval(storeConf, pyconf.Options{})
	if errors.Is(err, fs.ErrNotExist) {
		return s, nil
	}
	if err != nil {
		return nil, err
	}
	if f.Get("excludes") != nil {
		s.Excludes = f.Texts("excludes")
	}
	s.Default, s.HashExcludes = f.Text("default"), f.Texts("hashexcludes")
	return s, nil
}

// read reads a file of the store, which may be no link that leads out of it.
func (s *Store) read(name string, limit int64) ([]byte, error) {
	root, err := os.OpenRoot(s.Dir)
	if err != nil {
		return nil, err
	}
	defer func() { _ = root.Close() }()
	return input.ReadIn(root, name, limit)
}

func (s *Store) eval(name string, o pyconf.Options) (*pyconf.File, error) {
	src, err := s.read(name, pyconf.MaxSize+1)
	if err != nil {
		return nil, fmt.Errorf("cannot read a file of the image store: %w", err)
	}
	o.Name = filepath.Join(s.Dir, name)
	return pyconf.Eval(src, o)
}

// Names are the images' directories, sorted: all that are not excluded and do not begin
// with a dot.
func (s *Store) Names() ([]string, error) {
	entries, err := os.ReadDir(s.Dir)
	if err != nil {
		return nil, fmt.Errorf("cannot list the image store: %w", err)
	}
	var out []string
	for _, e := range entries {
		if e.IsDir() && !strings.HasPrefix(e.Name(), ".") && !slices.Contains(s.Excludes, e.Name()) {
			out = append(out, e.Name())
		}
	}
	if len(out) > maxImages {
		return nil, fault.Newf(fault.Failed, "%d directories in %s: an image store has at most %d", len(out), s.Dir, maxImages)
	}
	return out, nil
}

// notInNames are characters that ConVirt's image names do not have.
const notInNames = " /,<>|!&%.'\"^\\"

// DirName is the directory that an image of a name gets.
func DirName(name string) string {
	return strings.Map(func(r rune) rune {
		if strings.ContainsRune(notInNames, r) {
			return '_'
		}
		return r
	}, name)
}

// CheckName says whether an image may have a name.
func CheckName(name string) error {
	return checkName("an image", name, notInNames)
}

// CheckMachineName says whether a machine may have a name: an image's characters and dots.
func CheckMachineName(name string) error {
	return checkName("a machine", name, strings.ReplaceAll(notInNames, ".", ""))
}

func checkName(of, name, without string) error {
	switch {
	case name == "" || len(name) > 100:
		return fault.Newf(fault.Usage, "the name of %s has 1 to 100 bytes", of)
	case strings.ContainsAny(name, without) || strings.ContainsFunc(name, func(r rune) bool { return r < 0x20 || r == 0x7f || r == '$' || r == '`' }):
		return fault.Newf(fault.Usage, "%q is not the name of %s", name, of).
			WithHint("it may not hold white space, control characters, or any of %s $ `", strings.TrimSpace(strings.Join(strings.Split(strings.TrimSpace(without), ""), " ")))
	case strings.HasPrefix(name, ".") || strings.HasPrefix(name, "-"):
		return fault.Newf(fault.Usage, "the name of %s does not begin with %q", of, name[:1])
	}
	return nil
}

// An Image is one directory of an image store.
type Image struct {
	store *Store
	Name  string // of its directory

	Platform    string // "xen" where vm_conf.template says none
	Bucket      string // where ConVirt lists it: Common, Xen Paravirtual, KVM, Custom
	Skeleton    bool   // it is there to be copied: its name begins with _
	Description string // plain text of description.htm
	HTML        []byte // description.htm as it is
	Script      bool   // it has provision.sh
	Notes       []string

	vm, conf *pyconf.File // as they are, for a machine without a name
}

// Image reads an image. Its vm_conf.template must be there and say a name.
func (s *Store) Image(name string) (*Image, error) {
	names, err := s.Names()
	if err != nil {
		return nil, err
	}
	if !slices.Contains(names, name) {
		e := fault.Newf(fault.NotFound, "there is no image %q in %s", name, s.Dir)
		if n := nearest(name, names); n != "" {
			return nil, e.WithHint("did you mean %q?", n)
		}
		return nil, e.WithHint("ingot template list --store %s says which there are", fault.File(s.Dir))
	}
	im := &Image{store: s, Name: name}
	if im.vm, err = s.eval(filepath.Join(name, vmConf), pyconf.Options{}); err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return nil, fault.Newf(fault.Definition, "%s is not an image: it has no %s", name, vmConf).WithHint("write one, or name the directory among excludes in %s", storeConf)
		}
		return nil, err
	}
	if im.vm.Get("name") == nil {
		return nil, fault.Newf(fault.Definition, "%s: no name: the machine would have none", filepath.Join(s.Dir, name, vmConf)).WithHint("write: name = ''")
	}
	im.conf, err = s.eval(filepath.Join(name, imageConf), pyconf.Options{})
	if errors.Is(err, fs.ErrNotExist) {
		im.conf, err = &pyconf.File{}, nil
	}
	if err != nil {
		return nil, err
	}
	im.Notes = append(slices.Clone(im.conf.Notes), im.vm.Notes...)
	im.Skeleton = strings.HasPrefix(name, "_")
	im.platform()
	if _, err := os.Stat(filepath.Join(s.Dir, name, script)); err == nil {
		im.Script = true
	}
	for _, page := range []string{"description.htm", "description.html"} {
		html, err := s.read(filepath.Join(name, page), maxHTML)
		if err == nil {
			im.HTML, im.Description = html, plainText(html)
			break
		}
		if !errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("cannot read a description: %w", err)
		}
	}
	return im, nil
}

func (im *Image) platform() {
	if im.Platform = im.vm.Text("platform"); im.Platform == "" {
		im.Platform = "xen"
	}
	switch {
	case im.HVM():
		im.Bucket = "Common"
	case im.Platform == "xen":
		im.Bucket = "Xen Paravirtual"
	case im.Platform == "kvm":
		im.Bucket = "KVM"
	default:
		im.Bucket = "Custom"
	}
}

// HVM says whether the machine is one with all of a computer's hardware, which runs on
// any platform.
func (im *Image) HVM() bool { return im.vm.Text("builder") == "hvm" }

// CheckPlatform says whether an image can be a machine on a server of a platform.
func (im *Image) CheckPlatform(server string) error {
	if im.HVM() || im.Platform == server {
		return nil
	}
	return fault.Newf(fault.Preflight, "the image's platform is %s and the server's is %s", im.Platform, server).
		WithHint("choose an image for %s, or one with builder = 'hvm'", server)
}

// plainText is what a page says, without its tags.
func plainText(html []byte) string {
	text := string(html)
	for _, tag := range []string{"script", "style", "head"} {
		text = dropElement(text, tag)
	}
	var b strings.Builder
	inside := false
	for _, r := range text {
		switch {
		case r == '<':
			inside = true
			b.WriteByte(' ')
		case r == '>' && inside:
			inside = false
		case !inside && (r == '\n' || r == '\t' || r == '\r'):
			b.WriteByte(' ')
		case !inside && r >= 0x20 && r != 0x7f:
			b.WriteRune(r)
		}
	}
	text = strings.NewReplacer("&lt;", "<", "&gt;", ">", "&quot;", `"`, "&nbsp;", " ", "&#39;", "'", "&amp;", "&").Replace(b.String())
	return strings.Join(strings.Fields(text), " ")
}

// dropElement leaves out an element with all that is in it.
func dropElement(text, tag string) string {
	for {
		lower := strings.ToLower(text)
		if len(lower) != len(text) {
			return text
		}
		i := strings.Index(lower, "<"+tag)
		if i < 0 {
			return text
		}
		j := strings.Index(lower[i:], "</"+tag)
		if j < 0 {
			return text[:i]
		}
		rest := text[i+j:]
		if end := strings.IndexByte(rest, '>'); end >= 0 {
			rest = rest[end+1:]
		}
		text = text[:i] + rest
	}
}
