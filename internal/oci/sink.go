package oci

import (
	"archive/tar"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"ingot/internal/digest"
)

// A Sink takes the files of an image, each whole before the next.
type Sink interface {
	// Layer takes what write gives, under a name made of its digest: %s stands
	// for that.
	Layer(name string, write func(io.Writer) error) (digest.Digest, int64, error)
	// File takes a small file.
	File(name string, data []byte) error
}

// LayerName is what a layout calls its layers.
const LayerName = blobDir + "%s"

// An Archive is a tar archive being written into a file. A layer goes to its place
// at once, and its header is written when its size and its digest are known: there
// is no second copy of it.
type Archive struct {
	file  *os.File
	epoch int64
	at    int64
	dirs  []string
}

// NewArchive writes an archive into an empty file, all of it at a time in seconds
// since 1970. Close ends it.
func NewArchive(f *os.File, epoch int64) *Archive { return &Archive{file: f, epoch: epoch} }

// header makes the one block of a header.
func (a *Archive) header(name string, size int64) ([]byte, error) {
	h := tar.Header{Name: name, Mode: 0o644, Size: size, ModTime: time.Unix(a.epoch, 0), Typeflag: tar.TypeReg, Format: tar.FormatUSTAR}
	if strings.HasSuffix(name, "/") {
		h.Typeflag, h.Mode = tar.TypeDir, 0o755
	}
	if size >= 1<<33 {
		h.Format = tar.FormatGNU // a number of more than 11 octal digits, in the same block
	}
	var b bytes.Buffer
	if err := tar.NewWriter(&b).WriteHeader(&h); err != nil {
		return nil, fmt.Errorf("oci: %w", err)
	}
	return b.Bytes(), nil
}

// enter writes the headers of a file's directories.
func (a *Archive) enter(name string) error {
	for i, c := range name {
		if c != '/' || slices.Contains(a.dirs, name[:i+1]) {
			continue
		}
		a.dirs = append(a.dirs, name[:i+1])
		h, err := a.header(name[:i+1], 0)
		if err != nil {
			return err
		}
		if _, err := a.file.WriteAt(h, a.at); err != nil {
			return err
		}
		a.at += int64(len(h))
	}
	return nil
}

// Layer is [Sink]'s.
func (a *Archive) Layer(name string, write func(io.Writer) error) (digest.Digest, int64, error) {
	if err := a.enter(name); err != nil {
		return digest.Digest{}, 0, err
	}
	const block = 512
	sum, size, err := fill(a.file, a.at+block, write)
	if err != nil {
		return digest.Digest{}, 0, err
	}
	return sum, size, a.finish(fmt.Sprintf(name, sum), size)
}

// File is [Sink]'s.
func (a *Archive) File(name string, data []byte) error {
	if err := a.enter(name); err != nil {
		return err
	}
	if _, err := a.file.WriteAt(data, a.at+512); err != nil {
		return err
	}
	return a.finish(name, int64(len(data)))
}

// finish writes the header in front of a file's bytes.
func (a *Archive) finish(name string, size int64) error {
	h, err := a.header(name, size)
	if err != nil {
		return err
	}
	if _, err := a.file.WriteAt(h, a.at); err != nil {
		return err
	}
	a.at += int64(len(h)) + (size+511)&^511
	return nil
}

// Close writes the end mark.
func (a *Archive) Close() error { return a.file.Truncate(a.at + 1024) }

// A Directory is a layout being written into an empty directory.
type Directory struct {
	path string
	size int64
}

// NewDirectory writes a layout into a directory.
func NewDirectory(path string) *Directory { return &Directory{path: path} }

// Size is how many bytes all files have so far.
func (d *Directory) Size() int64 { return d.size }

// Layer is [Sink]'s.
func (d *Directory) Layer(name string, write func(io.Writer) error) (digest.Digest, int64, error) {
	f, err := d.create(name)
	if err != nil {
		return digest.Digest{}, 0, err
	}
	sum, size, err := fill(f, 0, write)
	if err == nil {
		err = f.Sync()
	}
	if err := errors.Join(err, f.Close()); err != nil {
		return digest.Digest{}, 0, err
	}
	d.size += size
	return sum, size, os.Rename(f.Name(), filepath.Join(d.path, fmt.Sprintf(name, sum)))
}

// File is [Sink]'s.
func (d *Directory) File(name string, data []byte) error {
	f, err := d.create(name)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	d.size += int64(len(data))
	return errors.Join(err, f.Sync(), f.Close())
}

func (d *Directory) create(name string) (*os.File, error) {
	full := filepath.Join(d.path, name)
	if err := os.MkdirAll(filepath.Dir(full), 0o777); err != nil {
		return nil, err
	}
	return os.Create(full)
}
