package sandbox

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"ingot/internal/tree"
)

// manyFiles is a tree of directories that are so large that whoever makes them in
// pieces mixes the pieces, and a pack with what the files hold.
func manyFiles(t testing.TB, dirs, files int) (entries []tree.Entry, pack string) {
	t.Helper()
	text := strings.Repeat("0123456789abcdef", 1024)
	pack = filepath.Join(t.TempDir(), "pack")
	if err := os.WriteFile(pack, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	for d := range dirs {
		dir := fmt.Sprintf("dir%d", d)
		entries = append(entries, tree.Entry{Path: dir, Kind: tree.Dir, Mode: 0o755})
		for i := range files {
			e := tree.Entry{Path: fmt.Sprintf("%s/file%05d", dir, i*7919%files), Kind: tree.File, Mode: 0o644, UID: uint32(i % 3), Mtime: tree.Time{Sec: 1000}}
			switch {
			case i%101 == 0:
				e.Kind = tree.Fifo
			case i%5 != 0:
				e.Content = tree.Content{Size: int64(i%16*1000 + 10), Pack: "p", Offset: int64(i % 7)}
			}
			entries = append(entries, e)
		}
	}
	return entries, pack
}

// TestListingsComeOutTheSame puts the same tree twice. The memory's file system lists what
// it holds as it was made, and so does ls -U in a script.
func TestListingsComeOutTheSame(t *testing.T) {
	entries, pack := manyFiles(t, 3, 2000)
	entries = append(entries, tree.Entry{Path: "dev", Kind: tree.Dir, Mode: 0o755})
	listing := func() string {
		b := boxOf(t)
		r := tree.NewReader(packs(pack))
		defer r.Close()
		if err := b.Put(t.Context(), entries, r); err != nil {
			t.Fatal(err)
		}
		out, err := b.Output(t.Context(), Command{Argv: []string{"/prog", "list", "/dev", "/dir0", "/dir1", "/dir2"}}, nil)
		if err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		return string(out)
	}
	if first, second := listing(), listing(); first != second {
		t.Errorf("two puts of a tree are listed differently: %.400s…\n%.400s…", first, second)
	}
}

// TestPathPutTwice has the last entry of a path win, whatever was there before.
func TestPathPutTwice(t *testing.T) {
	b := boxOf(t)
	pack := filepath.Join(t.TempDir(), "pack")
	if err := os.WriteFile(pack, []byte("long and short"), 0o600); err != nil {
		t.Fatal(err)
	}
	file := func(path string, offset, size int64) tree.Entry {
		return tree.Entry{Path: path, Kind: tree.File, Mode: 0o644, Content: tree.Content{Size: size, Pack: "p", Offset: offset}}
	}
	r := tree.NewReader(packs(pack))
	defer r.Close()
	pipe := tree.Entry{Path: "b", Kind: tree.Fifo, Mode: 0o600}
	if err := b.Put(t.Context(), []tree.Entry{file("a", 0, 14), file("a", 9, 5), pipe, file("b", 0, 4)}, r); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{"a": "short", "b": "long"} {
		if got, err := b.Read(t.Context(), path); err != nil || string(got) != want {
			t.Errorf("/%s holds %q (%v), want %q", path, got, err, want)
		}
	}
}

// BenchmarkPut puts what a system has: some ten thousand files.
func BenchmarkPut(bench *testing.B) {
	entries, pack := manyFiles(bench, 100, 300)
	for bench.Loop() {
		bench.StopTimer()
		b, err := New(bench.Context(), Options{})
		if err != nil {
			bench.Fatal(err)
		}
		r := tree.NewReader(packs(pack))
		bench.StartTimer()
		err = b.Put(bench.Context(), entries, r)
		bench.StopTimer()
		r.Close()
		_ = b.Close()
		if err != nil {
			bench.Fatal(err)
		}
		bench.StartTimer()
	}
}
