package delta

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/klauspost/compress/zstd"

	"ingot/internal/fault"
)

func file(t testing.TB, data []byte) *os.File {
	t.Helper()
	path := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = f.Close() })
	return f
}

func noise(n int, seed uint64) []byte {
	b := make([]byte, n)
	r := rand.New(rand.NewPCG(seed, 1))
	for i := range b {
		b[i] = byte(r.Uint32())
	}
	return b
}

func make1(t testing.TB, old, new []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	if _, err := Make(t.Context(), file(t, old), file(t, new), &b); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// A target in memory.
type memory struct{ b []byte }

func (m *memory) WriteAt(b []byte, at int64) (int, error) {
	if need := int(at) + len(b); need > len(m.b) {
		if need > 64<<20 {
			return 0, errors.New("too large")
		}
		m.b = append(m.b, make([]byte, need-len(m.b))...)
	}
	return copy(m.b[at:], b), nil
}

func (m *memory) Truncate(n int64) error {
	if n > 64<<20 {
		return errors.New("too large")
	}
	m.b = append(m.b, make([]byte, max(0, int(n)-len(m.b)))...)[:n]
	return nil
}

func apply1(set, old []byte) ([]byte, error) {
	var m memory
	_, err := Apply(context.Background(), bytes.NewReader(set), bytes.NewReader(old), int64(len(old)), &m)
	return m.b, err
}

func TestDelta(t *testing.T) {
	a, b := noise(64<<10, 1), noise(8<<10, 2)
	changed := slices.Clone(a)
	for i := 100; i < len(changed); i += 256 { // as checksums in tables of inodes
		changed[i] ^= 0x55
	}
	hole := make([]byte, 1<<20)
	for _, c := range []struct {
		summary  string
		old, new []byte
		most     int // bytes
	}{
		{"nothing", nil, nil, 250},
		{"from nothing", nil, b, 9 << 10},
		{"to nothing", a, nil, 250},
		{"the same", a, a, 260},
		{"one byte more", a, append(slices.Clone(a), 'x'), 280},
		{"not a whole block", a[:1000], a[:1001], 300 + 512},
		{"moved", a, slices.Concat(b, a), 9 << 10},
		{"in another order", slices.Concat(a, b), slices.Concat(b, a), 300},
		{"taken out", slices.Concat(a, b, a), slices.Concat(a, a), 300},
		{"a byte here and there", a, changed, 1500},
		{"holes", slices.Concat(a, hole, b), slices.Concat(b, hole, hole, a), 300},
		{"new", a, b, 9 << 10},
		{"many equal blocks", bytes.Repeat(b[:512], 1000), bytes.Repeat(b[:512], 900), 300},
	} {
		set := make1(t, c.old, c.new)
		got, err := apply1(set, c.old)
		if err != nil || !bytes.Equal(got, c.new) {
			t.Errorf("%s: %d bytes, want %d; %v", c.summary, len(got), len(c.new), err)
		}
		if len(set) > c.most {
			t.Errorf("%s: the change set has %d bytes, at most %d", c.summary, len(set), c.most)
		}
		// The same files give the same change set.
		if !bytes.Equal(set, make1(t, c.old, c.new)) {
			t.Errorf("%s: made again, it is another", c.summary)
		}
	}
}

func TestOtherBases(t *testing.T) {
	a, b := noise(10<<10, 1), noise(10<<10, 2)
	set := make1(t, a, slices.Concat(a, b))
	flipped := slices.Clone(a)
	flipped[5000] ^= 1
	for what, base := range map[string][]byte{"another": b, "a bit": flipped, "shorter": a[:len(a)-1], "longer": append(slices.Clone(a), 0), "the new one": slices.Concat(a, b), "nothing": nil} {
		_, err := apply1(set, base)
		if fault.CodeOf(err) != fault.Verification || fault.HintOf(err) == "" {
			t.Errorf("on %s: %v", what, err)
		}
	}
}

func TestDamaged(t *testing.T) {
	a := noise(10<<10, 1)
	new := slices.Concat(a[512:], noise(2000, 3))
	set := make1(t, a, new)
	for i := range set {
		changed := slices.Clone(set)
		changed[i] ^= 1
		if _, err := apply1(changed, a); fault.CodeOf(err) != fault.Verification {
			t.Fatalf("byte %d changed: %v", i, err)
		}
	}
	for n := range set {
		if _, err := apply1(set[:n], a); fault.CodeOf(err) != fault.Verification {
			t.Fatalf("cut off after %d: %v", n, err)
		}
	}
	if _, err := apply1(append(slices.Clone(set), 0), a); fault.CodeOf(err) != fault.Verification {
		t.Errorf("longer: %v", err)
	}
}

// ending is a context that ends when it was asked a few times.
type ending struct {
	context.Context
	left int
}

func (e *ending) Err() error {
	if e.left--; e.left < 0 {
		return context.Canceled
	}
	return nil
}

// TestInterrupted: one operation may be as long as the file, and does not hold out to its end.
func TestInterrupted(t *testing.T) {
	h := Header{New: File{Size: 1 << 30}}
	var set bytes.Buffer
	set.Write(h.text())
	z, err := zstd.NewWriter(&set)
	if err != nil {
		t.Fatal(err)
	}
	_, err = z.Write(binary.AppendUvarint([]byte{opZero}, uint64(h.New.Size)))
	if err := errors.Join(err, z.Close()); err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(set.Bytes())
	set.Write(sum[:])
	if err := apply(&ending{t.Context(), 10}, h, tailOf(t, set.Bytes()), bytes.NewReader(nil), &memory{}); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

// tailOf is a change set that is read up to behind its head.
func tailOf(t *testing.T, set []byte) *tailed {
	t.Helper()
	in := &tailed{r: bytes.NewReader(set), hash: sha256.New()}
	if _, err := readHeader(in); err != nil {
		t.Fatal(err)
	}
	return in
}

func FuzzApply(f *testing.F) {
	a := noise(4<<10, 1)
	f.Add(make1(f, a, slices.Concat(a[1024:], noise(600, 2), make([]byte, 2000))))
	f.Add([]byte(first + "{}\n"))
	f.Fuzz(func(t *testing.T, set []byte) {
		got, err := apply1(set, a)
		if err != nil && len(got) > 64<<20 {
			t.Error("it wrote without end")
		}
	})
}

// BenchmarkDelta is about a file of 256 MiB in which 2 MiB are new and all is moved.
func BenchmarkDelta(b *testing.B) {
	old := noise(256<<20, 1)
	new := slices.Concat(noise(1<<20, 2), old[:128<<20], noise(1<<20, 3), old[128<<20:])
	x, y := file(b, old), file(b, new)
	var set bytes.Buffer
	b.Run("make", func(b *testing.B) {
		b.SetBytes(int64(len(new)))
		for b.Loop() {
			set.Reset()
			if _, err := Make(b.Context(), x, y, &set); err != nil {
				b.Fatal(err)
			}
		}
		b.ReportMetric(float64(set.Len())/float64(len(new)), "ratio")
	})
	b.Run("apply", func(b *testing.B) {
		b.SetBytes(int64(len(new)))
		for i := 0; b.Loop(); i++ {
			f, err := os.Create(filepath.Join(b.TempDir(), fmt.Sprint(i)))
			if err != nil {
				b.Fatal(err)
			}
			if _, err := Apply(b.Context(), bytes.NewReader(set.Bytes()), x, int64(len(old)), f); err != nil {
				b.Fatal(err)
			}
			_ = f.Close()
			_ = os.Remove(f.Name())
		}
	})
}

var _ io.Reader = (*tailed)(nil)
