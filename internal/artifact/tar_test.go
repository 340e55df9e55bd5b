package artifact

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"ingot/internal/digest"
	"ingot/internal/tree"
)

// forest is a tree of a few packages, with its contents in a pack.
func forest(t testing.TB, packages, files, size int) (tree.Tree, *tree.Reader) {
	t.Helper()
	name := filepath.Join(t.TempDir(), "pack")
	f, err := os.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	rnd := rand.New(rand.NewPCG(1, 2))
	var text bytes.Buffer // half of it is random
	for text.Len() < 1<<20 {
		fmt.Fprintf(&text, "the quick brown fox jumps %d\n", rnd.Uint64())
	}
	entries := []tree.Entry{{Kind: tree.Dir, Mode: 0o755}}
	var at int64
	for p := range packages {
		dir := fmt.Sprintf("p%02d", p)
		entries = append(entries, tree.Entry{Path: dir, Kind: tree.Dir, Mode: 0o755})
		for i := range files {
			b := text.Bytes()[rnd.IntN(100<<10):][:size*(1+p%3)]
			if _, err := f.Write(b); err != nil {
				t.Fatal(err)
			}
			entries = append(entries, tree.Entry{Path: fmt.Sprintf("%s/f%03d", dir, i), Kind: tree.File, Mode: 0o644, Mtime: tree.Time{Sec: 1}, Owner: "deb:" + dir,
				Content: tree.Content{Digest: digest.Of(b), Size: int64(len(b)), Pack: "p", Offset: at}})
			at += int64(len(b))
		}
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	tr, err := tree.New(entries)
	if err != nil {
		t.Fatal(err)
	}
	r := tree.NewReader(onePack(name))
	t.Cleanup(func() { _ = r.Close() })
	return tr, r
}

type onePack string

func (p onePack) Open(string) (*os.File, error) { return os.Open(string(p)) }

// memory is a cache that counts.
type memory struct {
	mu        sync.Mutex
	pieces    map[digest.Digest][]byte
	hits, put int
}

func (m *memory) Get(key digest.Digest) ([]byte, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	b, ok := m.pieces[key]
	if ok {
		m.hits++
	}
	return b, ok
}

func (m *memory) Put(key digest.Digest, piece []byte) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.pieces[key] = piece
	m.put++
}

// hostXZ runs the host's xz, which is only a judge of the way it is called.
func hostXZ(ctx context.Context, in io.Reader, out io.Writer, argv ...string) error {
	c := exec.CommandContext(ctx, argv[0], argv[1:]...)
	c.Stdin, c.Stdout = in, out
	return c.Run()
}

func TestWriteTar(t *testing.T) {
	tr, r := forest(t, 3, 40, 20<<10)
	for _, c := range []struct {
		compress   Compressor
		decompress string
	}{
		{nil, "cat"},
		{Zstd(0), "zstd -dc"},
		{Gzip(0), "gzip -dc"},
		{XZ(hostXZ, 1, "host"), "xz -dc"},
	} {
		for _, order := range []tree.Order{tree.ByPath, tree.ByOwner} {
			runs := []TarOptions{{Workers: 1}, {Workers: 2}, {Workers: 9}, {}}
			if c.decompress != "zstd -dc" {
				runs = runs[:2] // the others are slow, and no different
			}
			t.Run(fmt.Sprintf("%s %d", c.decompress, order), func(t *testing.T) {
				var plain bytes.Buffer
				to := tree.TarOptions{Order: order}
				if err := tree.WriteTar(t.Context(), &plain, tr, r, to); err != nil {
					t.Fatal(err)
				}
				var first []byte
				cache := &memory{pieces: map[digest.Digest][]byte{}}
				for i, o := range append(runs, TarOptions{Workers: 2, Cache: cache}, TarOptions{Workers: 3, Cache: cache}) {
					o.Tree, o.Compress = to, c.compress
					var expected, wrote int64
					o.Expect = func(n int64) { expected += n }
					o.Wrote = func(n int64) { wrote += n }
					var b bytes.Buffer
					if err := WriteTar(t.Context(), &b, tr, r, o); err != nil {
						t.Fatal(err)
					}
					if size := int64(plain.Len()); expected != size || wrote != size {
						t.Errorf("run %d: told to expect %d and of %d of %d bytes", i, expected, wrote, size)
					}
					if first == nil {
						first = b.Bytes()
					} else if !bytes.Equal(first, b.Bytes()) {
						t.Errorf("run %d has other bytes", i)
					}
				}
				if c.compress != nil && (cache.put == 0 || cache.hits != cache.put) {
					t.Errorf("cache: %d put, %d hits", cache.put, cache.hits)
				}
				cmd := exec.CommandContext(t.Context(), "sh", "-c", c.decompress)
				cmd.Stdin = bytes.NewReader(first)
				out, err := cmd.Output()
				if err != nil || !bytes.Equal(out, plain.Bytes()) {
					t.Errorf("%s gives %d of %d bytes: %v", c.decompress, len(out), plain.Len(), err)
				}
				if c.compress != nil && len(first) > plain.Len()*2/3 {
					t.Errorf("compressed %d to %d", plain.Len(), len(first))
				}
			})
		}
	}
}

// TestTarCache changes one file, and loses a piece.
func TestTarCache(t *testing.T) {
	tr, r := forest(t, 6, 40, 60<<10)
	cache := &memory{pieces: map[digest.Digest][]byte{}}
	write := func(tr tree.Tree, c PieceCache) []byte {
		var b bytes.Buffer
		if err := WriteTar(t.Context(), &b, tr, r, TarOptions{Tree: tree.TarOptions{Order: tree.ByOwner}, Compress: Zstd(0), Cache: c, Workers: 2}); err != nil {
			t.Fatal(err)
		}
		return b.Bytes()
	}
	write(tr, cache)
	all := cache.put
	e, _ := tr.Lookup("p03/f010")
	e.Mode = 0o600
	changed, err := tr.Apply(tree.Delta{Set: []tree.Entry{e}})
	if err != nil {
		t.Fatal(err)
	}
	got := write(changed, cache)
	if !bytes.Equal(got, write(changed, nil)) {
		t.Error("the cache changed the bytes")
	}
	if anew := cache.put - all; anew < 1 || anew > 2 {
		t.Errorf("%d of %d pieces were compressed again", anew, all)
	}
	for key := range cache.pieces { // any one
		delete(cache.pieces, key)
		break
	}
	if !bytes.Equal(got, write(changed, cache)) {
		t.Error("a lost piece changed the bytes")
	}
}

type failing struct{ Compressor }

func (failing) Compress(context.Context, []byte) ([]byte, error) {
	return nil, errors.New("no more memory")
}

type full struct{}

func (full) Write([]byte) (int, error) { return 0, errors.New("disk full") }

func TestWriteTarFails(t *testing.T) {
	tr, r := forest(t, 3, 40, 60<<10)
	canceled, cancel := context.WithCancel(t.Context())
	cancel()
	for want, run := range map[string]func() error{
		"cannot compress: no more memory": func() error {
			return WriteTar(t.Context(), io.Discard, tr, r, TarOptions{Compress: failing{Zstd(0)}, Workers: 2})
		},
		"disk full": func() error {
			return WriteTar(t.Context(), full{}, tr, r, TarOptions{Compress: Zstd(0), Workers: 2})
		},
		"context canceled": func() error {
			return WriteTar(canceled, io.Discard, tr, r, TarOptions{Compress: Zstd(0), Workers: 2})
		},
		"no pack": func() error {
			return WriteTar(t.Context(), io.Discard, tr, tree.NewReader(noPack{}), TarOptions{Compress: Gzip(0), Workers: 2})
		},
	} {
		if err := run(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want one with %q", err, want)
		}
	}
}

type noPack struct{}

func (noPack) Open(string) (*os.File, error) { return nil, errors.New("no pack") }

// TestKlauspost: the version in the pieces' keys is the one that is linked.
func TestKlauspost(t *testing.T) {
	b, err := os.ReadFile("../../go.mod")
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(b), klauspost+"\n") && !strings.Contains(string(b), klauspost+" //") {
		t.Errorf("go.mod does not have %s", klauspost)
	}
}

func BenchmarkTar(b *testing.B) {
	tr, r := forest(b, 30, 150, 20<<10)
	for _, c := range []struct {
		name     string
		compress Compressor
	}{{"plain", nil}, {"zstd", Zstd(0)}, {"gzip", Gzip(0)}} {
		b.Run(c.name, func(b *testing.B) {
			b.SetBytes(tr.Size())
			dir := b.TempDir()
			for b.Loop() {
				p, err := Create(filepath.Join(dir, "out.tar"))
				if err != nil {
					b.Fatal(err)
				}
				if err := WriteTar(b.Context(), p, tr, r, TarOptions{Compress: c.compress}); err != nil {
					b.Fatal(err)
				}
				if _, _, err := p.Commit(); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
