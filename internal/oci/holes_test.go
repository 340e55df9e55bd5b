package oci

import (
	"context"
	"crypto/sha256"
	"io"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"ingot/internal/digest"
	"ingot/internal/sparse"
	"ingot/internal/tree"
)

// A layer's file with a hole is the same bytes as one without, and has no room on disk
// for it, in an archive and in a directory.
func TestHoles(t *testing.T) {
	const size, most = 256 << 20, 1 << 20
	pack := filepath.Join(t.TempDir(), "pack")
	f, err := os.Create(pack)
	if err != nil {
		t.Fatal(err)
	}
	for _, at := range []int64{0, 100 << 20, 200 << 20} {
		if _, err := f.WriteAt([]byte("end"), at); err != nil {
			t.Fatal(err)
		}
	}
	if err := f.Truncate(size); err != nil {
		t.Fatal(err)
	}
	sum, err := sparse.Digest(f, 0, size)
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	held, err := tree.New([]tree.Entry{
		{Kind: tree.Dir, Mode: 0o755},
		{Path: "disk", Kind: tree.File, Mode: 0o644, Content: tree.Content{Pack: "pack", Size: size, Digest: sum}},
		{Path: "last", Kind: tree.File, Mode: 0o644, Content: tree.Content{Pack: "pack", Size: 3, Digest: digest.Of([]byte("end"))}},
	})
	if err != nil {
		t.Fatal(err)
	}
	r := tree.NewReader(packs(filepath.Dir(pack)))
	t.Cleanup(func() { _ = r.Close() })
	layer := func(w io.Writer) error { return tree.WriteTar(context.Background(), w, held, r, tree.TarOptions{}) }

	file, err := os.Create(filepath.Join(t.TempDir(), "image.tar"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = file.Close() })
	archive, dir := NewArchive(file, 1), t.TempDir()
	paths := []string{file.Name(), ""}
	for i, to := range []Sink{archive, NewDirectory(dir)} {
		got, n, err := to.Layer(LayerName, layer)
		if err != nil {
			t.Fatal(err)
		}
		if i == 0 {
			err = archive.Close()
		} else {
			paths[1] = filepath.Join(dir, blobDir, got.String())
		}
		if err != nil {
			t.Fatal(err)
		}
		f, err := os.Open(paths[i])
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = f.Close() })
		info, err := f.Stat()
		if err != nil {
			t.Fatal(err)
		}
		if used := info.Sys().(*syscall.Stat_t).Blocks * 512; used > most || n < size {
			t.Errorf("%s: %d bytes, of which %d are on disk", paths[i], n, used)
		}
		at := int64(0)
		if i == 0 {
			at = 3 * 512 // behind the headers of two directories and its own
		}
		// The bytes are those that were hashed, holes read as they are by any reader.
		if is, err := sparse.Digest(f, at, n); err != nil || is != got {
			t.Errorf("%s: digest %s, %v; was said to be %s", paths[i], is, err, got)
		}
		h := sha256.New()
		if err := layer(h); err != nil {
			t.Fatal(err)
		}
		if want := digest.From(h); got != want {
			t.Errorf("%s: digest %s, want %s", paths[i], got, want)
		}
	}
}

// packs are files of a directory.
type packs string

func (p packs) Open(name string) (*os.File, error) { return os.Open(filepath.Join(string(p), name)) }
