package imagestore

import (
	"archive/tar"
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
	"time"

	"ingot/internal/fault"
)

// Bounds of an image that is brought in.
const (
	maxBytes = 64 << 30
	maxFiles = 10_000
)

// Create copies an image under a new name: files and directories, with their modes.
func (s *Store) Create(ctx context.Context, name, like string) (err error) {
	if err := CheckName(name); err != nil {
		return err
	}
	if _, err := s.Image(like); err != nil {
		return err
	}
	return s.place(name, func(to string) error {
		from := filepath.Join(s.Dir, like)
		return filepath.WalkDir(from, func(p string, d fs.DirEntry, err error) error {
			if err != nil {
				return err
			}
			if err := ctx.Err(); err != nil {
				return err
			}
			rel, err := filepath.Rel(from, p)
			if err != nil {
				return err
			}
			info, err := d.Info()
			if err != nil {
				return err
			}
			switch {
			case rel == ".":
				return nil
			case d.IsDir():
				return os.Mkdir(filepath.Join(to, rel), info.Mode().Perm()|0o700)
			case info.Mode().IsRegular():
				return copyFile(p, filepath.Join(to, rel), info)
			}
			return fault.Newf(fault.Failed, "%s is neither a file nor a directory: an image has no other", p)
		})
	})
}

func copyFile(from, to string, info fs.FileInfo) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	return write(to, in, info.Mode().Perm(), info.ModTime())
}

func write(to string, in io.Reader, mode fs.FileMode, when time.Time) error {
	out, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode|0o600)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	if err == nil {
		err = out.Sync()
	}
	if err = errors.Join(err, out.Close()); err != nil {
		return err
	}
	return os.Chtimes(to, when, when)
}

// place makes a new image's directory under a name that nothing reads, and renames it when
// it is whole.
func (s *Store) place(name string, fill func(dir string) error) (err error) {
	final := filepath.Join(s.Dir, name)
	if _, err := os.Lstat(final); err == nil {
		return fault.Newf(fault.Choice, "%s is there already", final).WithHint("choose another name, or remove it")
	}
	tmp, err := os.MkdirTemp(s.Dir, ".new-")
	if err != nil {
		return fault.Wrap(fault.Preflight, fmt.Errorf("cannot write to the image store: %w", err))
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.RemoveAll(tmp))
		}
	}()
	if err := os.Chmod(tmp, 0o755); err != nil { //nolint:gosec // what an image store's directories are
		return err
	}
	if err := fill(tmp); err != nil {
		return err
	}
	if err := os.Rename(tmp, final); err != nil {
		return fmt.Errorf("cannot give the image its name: %w", err)
	}
	if _, err := s.Image(name); err != nil {
		// What cannot be read is not kept.
		return errors.Join(err, os.RemoveAll(final))
	}
	return nil
}

// An entry is a file or directory of an image.
type entry struct {
	path, rel string // here; from the image store on, with slashes
	info      fs.FileInfo
}

// files are an image's directory and all that is in it, each directory before what it has.
func (im *Image) files(ctx context.Context) ([]entry, error) {
	var out []entry
	err := filepath.WalkDir(filepath.Join(im.store.Dir, im.Name), func(p string, d fs.DirEntry, err error) error {
		if err == nil {
			err = ctx.Err()
		}
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		if !info.IsDir() && !info.Mode().IsRegular() {
			return fault.Newf(fault.Failed, "%s is neither a file nor a directory: an image has no other", p)
		}
		rel, err := filepath.Rel(im.store.Dir, p)
		out = append(out, entry{p, filepath.ToSlash(rel), info})
		return err
	})
	return out, err
}

// tar adds an entry to a tar, as root's.
func (e entry) tar(t *tar.Writer, name string, format tar.Format) error {
	h := &tar.Header{Typeflag: tar.TypeReg, Name: name, Size: e.info.Size(), Mode: int64(e.info.Mode().Perm()), ModTime: e.info.ModTime().Truncate(time.Second), Uname: "root", Gname: "root", Format: format}
	if e.info.IsDir() {
		h.Typeflag, h.Name, h.Size = tar.TypeDir, name+"/", 0
	}
	if err := t.WriteHeader(h); err != nil || e.info.IsDir() {
		return err
	}
	f, err := os.Open(e.path)
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = io.Copy(t, f)
	return err
}

// Export writes an image as a tar that unpacks inside an image store. It has the same bytes
// each time while the files are the same.
func (im *Image) Export(ctx context.Context, w io.Writer) error {
	files, err := im.files(ctx)
	if err != nil {
		return err
	}
	t := tar.NewWriter(w)
	for _, e := range files {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := e.tar(t, e.rel, tar.FormatPAX); err != nil {
			return err
		}
	}
	return t.Close()
}

// Import unpacks an image from a tar, compressed by gzip or not, and gives its name. The
// tar holds one directory; name is what to call it, "" as the tar does.
func (s *Store) Import(ctx context.Context, r io.Reader, name string) (string, error) {
	if name != "" {
		if err := CheckName(name); err != nil {
			return "", err
		}
	}
	b := bufio.NewReader(r)
	if magic, err := b.Peek(2); err == nil && bytes.Equal(magic, []byte{0x1f, 0x8b}) {
		z, err := gzip.NewReader(b)
		if err != nil {
			return "", fault.Newf(fault.Verification, "the archive is not gzip: %w", err)
		}
		defer func() { _ = z.Close() }()
		b = bufio.NewReader(z)
	}
	t := tar.NewReader(b)
	first, err := t.Next()
	if err != nil {
		return "", fault.Newf(fault.Verification, "not a tar with an image: %w", err)
	}
	top, _, _ := strings.Cut(strings.TrimPrefix(first.Name, "./"), "/")
	for top == "" || top == "." { // "./" stands in front of it all
		if first, err = t.Next(); err != nil {
			return "", fault.Newf(fault.Verification, "not a tar with an image: %w", err)
		}
		top, _, _ = strings.Cut(strings.TrimPrefix(first.Name, "./"), "/")
	}
	if name == "" {
		if name = top; CheckName(name) != nil {
			return "", fault.Newf(fault.Usage, "the tar's directory %q is not the name of an image", top).WithHint("say another name: --name %s", DirName(top))
		}
	}
	return name, s.place(name, func(dir string) error { return unpack(ctx, t, first, top, dir) })
}

// unpack writes the files of a tar below a directory, and nothing anywhere else.
func unpack(ctx context.Context, t *tar.Reader, h *tar.Header, top, dir string) error {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	defer func() { _ = root.Close() }()
	left, files := int64(maxBytes), 0
	for ; err == nil; h, err = t.Next() {
		if err := ctx.Err(); err != nil {
			return err
		}
		if files++; files > maxFiles || h.Size > left {
			return fault.Newf(fault.Verification, "the archive is more than an image may be: %d files, %d GiB", maxFiles, int64(maxBytes)>>30)
		}
		left -= h.Size
		rel := path.Clean(strings.TrimPrefix(h.Name, "./"))
		in, rest, _ := strings.Cut(rel, "/")
		if in != top || strings.HasPrefix(h.Name, "/") {
			return fault.Newf(fault.Verification, "the archive's %q is not in its directory %s: an image is one directory", h.Name, top)
		}
		switch h.Typeflag {
		case tar.TypeDir:
			if rest != "" {
				if err := root.MkdirAll(rest, 0o755); err != nil {
					return fault.Newf(fault.Verification, "cannot unpack %q: %w", h.Name, err)
				}
			}
		case tar.TypeReg:
			if err := unpackFile(root, rest, t, h); err != nil {
				return fault.Newf(fault.Verification, "cannot unpack %q: %w", h.Name, err)
			}
		default:
			return fault.Newf(fault.Verification, "the archive's %q is neither a file nor a directory: an image has no other", h.Name)
		}
	}
	if !errors.Is(err, io.EOF) {
		return fault.Newf(fault.Verification, "the archive broke off: %w", err)
	}
	return nil
}

func unpackFile(root *os.Root, name string, in io.Reader, h *tar.Header) error {
	if name == "" {
		return errors.New("it is where the image's directory belongs")
	}
	if err := root.MkdirAll(path.Dir(name), 0o755); err != nil {
		return err
	}
	out, err := root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, fs.FileMode(h.Mode)&0o755|0o600) //nolint:gosec // only its low bits
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	if err == nil {
		err = out.Sync()
	}
	return errors.Join(err, out.Close())
}
