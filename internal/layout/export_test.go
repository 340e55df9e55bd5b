package layout

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"ingot/internal/blockdevice"
	"ingot/internal/tree"
)

// Carve copies what each file system of a raw disk is into a file of its own, by its
// name.
func (im *Image) Carve(t testing.TB, raw string) map[string]string {
	t.Helper()
	in, err := os.Open(raw)
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	out := map[string]string{}
	for _, p := range im.parts {
		name := filepath.Join(t.TempDir(), p.name)
		to, err := os.Create(name)
		if err != nil {
			t.Fatal(err)
		}
		var fs interface{ Truncate(int64) error } = to
		for _, m := range im.Filesystems {
			if m.Name == p.name {
				if err := fs.Truncate(im.Fitted.Size(m.Device)); err != nil {
					t.Fatal(err)
				}
			}
		}
		for _, e := range p.content.Extents() {
			buf := make([]byte, 0)
			err := p.device.each(e, func(part stretch) error {
				buf = append(buf[:0], make([]byte, part.Len)...)
				if _, err := in.ReadAt(buf, part.at); err != nil {
					return fmt.Errorf("%s at %d: %w", p.name, part.at, err)
				}
				_, err := to.WriteAt(buf, part.Off)
				return err
			})
			if err != nil {
				t.Fatal(err)
			}
		}
		if err := to.Close(); err != nil {
			t.Fatal(err)
		}
		out[p.name] = name
	}
	return out
}

// Divide is divide.
func (r Resolved) Divide(t tree.Tree) (map[*blockdevice.Mkfs]tree.Tree, error) { return r.divide(t) }

// PublicPassphrase opens containers that no machine has started from.
const PublicPassphrase = publicPassphrase
