package dib

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"ingot/internal/judge"
)

func TestMoveAside(t *testing.T) {
	now := time.Date(2026, 1, 31, 23, 59, 58, 0, time.UTC)
	for _, row := range []struct {
		name, there, want string
		overwrite         bool
	}{
		{"web.qcow2", "", "", false},
		{"web.qcow2", "web.qcow2 web.qcow2.md5", "web-2026.01.31-23.59.58.qcow2 web-2026.01.31-23.59.58.qcow2.md5", false},
		{"web.qcow2", "web.qcow2 web.qcow2.sha256", "web.qcow2 web.qcow2.sha256", true},
		{"web.qcow2", "web.qcow2 web-2026.01.31-23.59.58.qcow2", "web-2026.01.31-23.59.58-2.qcow2 web-2026.01.31-23.59.58.qcow2", false},
		{"a.b/web", "a.b/web", "a.b/web-2026.01.31-23.59.58", false},
		{"web.raw", "other.raw", "other.raw", false},
	} {
		dir := t.TempDir()
		for _, f := range strings.Fields(row.there) {
			if err := os.MkdirAll(filepath.Dir(filepath.Join(dir, f)), 0o700); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(dir, f), nil, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		aside, err := Request{Overwrite: row.overwrite}.MoveAside(filepath.Join(dir, row.name), now)
		if err != nil {
			t.Error(err)
		}
		var got []string
		err = filepath.WalkDir(dir, func(path string, e os.DirEntry, err error) error {
			if err == nil && !e.IsDir() {
				got = append(got, strings.TrimPrefix(path, dir+"/"))
			}
			return err
		})
		if text := strings.Join(got, " "); err != nil || text != row.want || (aside != "") != (row.there != "" && !row.overwrite && row.name != "web.raw") {
			t.Errorf("%+v: %s, %q %v", row, text, aside, err)
		}
	}
}

// Checksums are judged by the programs whose form they have.
func TestChecksums(t *testing.T) {
	for _, row := range []struct{ name, kinds string }{
		{"web.tar", "md5 sha256"}, {"web.raw", "sha256"}, {"a\\b\nc.raw", "md5 sha256"}, {"web.dir", ""},
	} {
		dir := t.TempDir()
		path := filepath.Join(dir, row.name)
		f, err := os.Create(path)
		if err != nil {
			t.Fatal(err)
		}
		if err := f.Truncate(5 << 20); err != nil {
			t.Fatal(err)
		}
		if _, err := f.WriteAt([]byte("text"), 1<<20); err != nil {
			t.Fatal(err)
		}
		f.Close()
		if err := (Request{Checksums: strings.Fields(row.kinds)}).WriteChecksums(path); err != nil {
			t.Fatal(err)
		}
		for _, kind := range []string{"md5", "sha256"} {
			sum := path + "." + kind
			if _, err := os.Stat(sum); (err == nil) != strings.Contains(row.kinds, kind) {
				t.Errorf("%s: %v", sum, err)
			} else if err == nil {
				judge.Run(t, kind+"sum", "--strict", "-c", sum)
			}
		}
	}
	dir := t.TempDir()
	if err := (Request{Checksums: []string{"md5"}}).WriteChecksums(dir); err != nil {
		t.Error(err)
	}
}
