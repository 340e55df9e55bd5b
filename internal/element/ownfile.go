package element

import (
	"io/fs"
	"path"
	"slices"
	"strings"

	"ingot/internal/digest"
)

// An OwnFile is a file of an element's own directory, or a directory in it.
type OwnFile struct {
	Path   string // in the element's directory
	Mode   fs.FileMode
	Digest digest.Digest
	Data   []byte
}

// MaxFile bounds one file of an element that scripts see, in bytes.
const MaxFile = 256 << 20

// OwnFiles are an element's own directory, which scripts find by the map of elements: all of it
// but the scripts themselves, which the hooks have. Links are what they lead to; one that
// leads nowhere, to no file, or to an absolute path, which is meant for the image, is left
// out.
func (e *Element) OwnFiles() ([]OwnFile, error) {
	var out []OwnFile
	return out, fs.WalkDir(e.FS, ".", func(at string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case at == ".":
			return nil
		case d.IsDir() && slices.Contains([]string{"__pycache__", "tests", ".git"}, d.Name()):
			return fs.SkipDir
		case InPhase(at) && !d.IsDir():
			return nil
		}
		if to, err := fs.ReadLink(e.FS, at); err == nil && path.IsAbs(to) {
			return nil
		}
		f := OwnFile{Path: at, Mode: fs.ModeDir | 0o755}
		if !d.IsDir() {
			info, err := fs.Stat(e.FS, at)
			if err != nil || !info.Mode().IsRegular() || info.Size() > MaxFile {
				return nil //nolint:nilerr // a link that leads nowhere is nobody's file
			}
			data, err := fs.ReadFile(e.FS, at)
			if err != nil {
				return err
			}
			f = OwnFile{at, e.checked(info.Mode()), digest.Of(data), data}
		}
		out = append(out, f)
		return nil
	})
}

// Checked are a file's permissions without those that the umask of who checked it out may
// have left to others: to write to it. So elements are the same for all who build them.
func Checked(mode fs.FileMode) fs.FileMode { return mode.Perm() &^ 0o022 }

// checked are a file's permissions as they would be if who checked the element out had the
// usual umask, 022, so that elements are the same for all who build them: nobody but the owner
// may write. What a narrower umask took from others, the element's own directory shows.
func (e *Element) checked(mode fs.FileMode) fs.FileMode {
	mode = mode.Perm()
	if top, err := fs.Stat(e.FS, "."); err == nil {
		owner := mode >> 6 & 0o5
		mode |= (owner<<3 | owner) &^ top.Mode().Perm() & (top.Mode().Perm() >> 6 * 0o11)
	}
	return Checked(mode)
}

// InPhase says whether a path of hooks, or of an element, is directly in a phase's
// directory: a script, or what lies beside one.
func InPhase(name string) bool {
	dir, base, ok := strings.Cut(name, "/")
	_, phase := SideOf(dir)
	return ok && phase && !strings.Contains(base, "/")
}
