package sparse

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"ingot/internal/digest"
)

func create(t *testing.T, size int64, data map[int64]string) *os.File {
	t.Helper()
	f, err := os.Create(filepath.Join(t.TempDir(), "f"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	if err := f.Truncate(size); err != nil {
		t.Fatal(err)
	}
	for at, s := range data {
		if _, err := f.WriteAt([]byte(s), at); err != nil {
			t.Fatal(err)
		}
	}
	return f
}

// used is how many bytes of disk a file has.
func used(t *testing.T, f *os.File) int64 {
	t.Helper()
	info, err := f.Stat()
	if err != nil {
		t.Fatal(err)
	}
	return info.Sys().(*syscall.Stat_t).Blocks * 512
}

func TestCopy(t *testing.T) {
	const mib = 1 << 20
	for _, c := range []struct {
		summary      string
		size         int64
		data         map[int64]string
		offset, part int64
	}{
		{"nothing", 0, nil, 0, 0},
		{"small", 5, map[int64]string{0: "hello"}, 0, 5},
		{"a part of small", 5, map[int64]string{0: "hello"}, 1, 3},
		{"a small hole", 4096, nil, 0, 4096},
		{"all hole", 40 * mib, nil, 0, 40 * mib},
		{"data at both ends", 40 * mib, map[int64]string{0: "first", 40*mib - 4: "last"}, 0, 40 * mib},
		{"hole at the end", 40 * mib, map[int64]string{3 * mib: "some"}, 0, 40 * mib},
		{"a part that cuts data", 40 * mib, map[int64]string{3 * mib: "some", 9 * mib: "more"}, 3*mib + 2, 6 * mib},
		{"a part within a hole", 40 * mib, map[int64]string{0: "some"}, 5 * mib, 6*mib + 77},
	} {
		t.Run(c.summary, func(t *testing.T) {
			from := create(t, c.size, c.data)
			want := make([]byte, c.part)
			if _, err := from.ReadAt(want, c.offset); err != nil {
				t.Fatal(err)
			}
			to := create(t, 0, map[int64]string{0: "before"})
			var h bytes.Buffer
			if err := Copy(to, 6, from, c.offset, c.part, &h); err != nil {
				t.Fatal(err)
			}
			got, err := os.ReadFile(to.Name())
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(got, append([]byte("before"), want...)) {
				t.Error("the copy differs")
			}
			if !bytes.Equal(h.Bytes(), want) {
				t.Error("the hash saw other bytes")
			}
			if d, err := Digest(from, c.offset, c.part); err != nil || d != digest.Of(want) {
				t.Errorf("digest %s, %v", d, err)
			}
			if n := used(t, to); n > 256<<10 {
				t.Errorf("the copy of holes uses %d bytes", n)
			}
		})
	}
}

func TestCopyRefuses(t *testing.T) {
	for _, size := range []int64{10, 1 << 20} {
		short := create(t, size-1, map[int64]string{0: "x"})
		if err := Copy(create(t, 0, nil), 0, short, 0, size, io.Discard); !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("a file that ends at %d: %v", size-1, err)
		}
	}
	to := create(t, 0, nil)
	if err := checkRoom(to, create(t, 1<<43, nil), 0, 1<<43); err != nil {
		t.Errorf("a hole needs room: %v", err)
	}
	if err := Fits(to, 1<<60); !errors.Is(err, unix.ENOSPC) {
		t.Errorf("an exbibyte of data: %v", err)
	}
}
