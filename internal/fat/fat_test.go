package fat

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"ingot/internal/digest"
	"ingot/internal/disk"
	"ingot/internal/judge"
)

// write makes an image file of the volume, and holds the writer to its extents.
func write(t testing.TB, files []File, o Options) string {
	t.Helper()
	v, err := Plan(files, o)
	if err != nil {
		t.Fatal(err)
	}
	f, err := os.Create(filepath.Join(t.TempDir(), "fat"))
	if err != nil {
		t.Fatal(err)
	}
	raw, err := disk.NewRaw(f, v.Size())
	if err != nil {
		t.Fatal(err)
	}
	if err := v.WriteTo(t.Context(), raw); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	return f.Name()
}

// clean fails unless fsck.vfat finds nothing at all to say.
func clean(t testing.TB, path string, files int) {
	t.Helper()
	out := judge.Run(t, "fsck.vfat", "-n", path)
	lines := strings.Split(strings.TrimSpace(out), "\n")
	want := fmt.Sprintf("%s: %d files, ", path, files)
	if len(lines) != 2 || !strings.HasPrefix(lines[0], "fsck.fat 4") || !strings.HasPrefix(lines[1], want) {
		t.Errorf("fsck.vfat says more than %q:\n%s", want, out)
	}
}

// read gives the files back as mtools sees them.
func read(t testing.TB, path string) []File {
	t.Helper()
	dir := t.TempDir()
	judge.Run(t, "mcopy", "-s", "-n", "-Q", "-i", path, "::/", dir)
	return readDir(t, dir)
}

func readDir(t testing.TB, dir string) []File {
	t.Helper()
	var out []File
	err := filepath.WalkDir(dir, func(p string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		rel, err := filepath.Rel(dir, p)
		if err != nil {
			return err
		}
		data, err := os.ReadFile(p)
		out = append(out, File{Path: filepath.ToSlash(rel), Data: data})
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// listing is the files as text, to compare.
func listing(files []File) string {
	var lines []string
	for _, f := range files {
		lines = append(lines, fmt.Sprintf("%s %d %s\n", f.Path, len(f.Data), digest.Of(f.Data).Short()))
	}
	slices.Sort(lines)
	return strings.Join(lines, "")
}

func bulk(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(i >> 9 * 7)
	}
	return b
}

func manyFiles(dir string, n int) []File {
	var out []File
	for i := range n {
		out = append(out, File{Path: fmt.Sprintf("%s/a rather long name, number %d.text", dir, i), Data: fmt.Append(nil, i)})
	}
	return out
}

func rootFiles(n int) []File {
	var out []File
	for i := range n {
		out = append(out, File{Path: fmt.Sprintf("F%d", i), Data: nil})
	}
	return out
}

func TestJudgesReadVolume(t *testing.T) {
	esp := []File{
		{Path: "EFI/BOOT/BOOTX64.EFI", Data: bulk(3<<20 + 17)},
		{Path: "EFI/BOOT/grub.cfg", Data: []byte("set x=1\n")},
		{Path: "EFI/debian/shimx64.efi", Data: bulk(512)},
	}
	names := []File{
		{Path: "UPPER.TXT", Data: []byte("1")}, {Path: "lower.txt", Data: []byte("2")}, {Path: "Mixed.Txt", Data: []byte("3")}, {Path: "noext", Data: []byte("4")},
		{Path: "a.very.long.name.with.dots.conf", Data: []byte("5")}, {Path: "longname1.text", Data: []byte("6")}, {Path: "longname2.text", Data: []byte("7")},
		{Path: ".hidden", Data: []byte("8")}, {Path: "with blank", Data: []byte("9")}, {Path: "grüße-日本.txt", Data: []byte("10")}, {Path: "thirteen chars", Data: []byte("11")}, {Path: "thirteenchars", Data: []byte("12")},
		{Path: strings.Repeat("x", 255), Data: []byte("13")}, {Path: "a+b,c;d=e[f]", Data: []byte("14")}, {Path: "EMPTY", Data: nil}, {Path: "LONGNA~1.TEX", Data: []byte("15")},
		{Path: "deep/er/and/deep/er/still/file", Data: []byte("16")},
	}
	tests := []struct {
		summary string
		files   []File
		o       Options
		fat32   bool
	}{
		{"an ESP of 64 MiB", esp, Options{Size: 64 << 20, ID: 0x1234ABCD, Label: "ESP", Epoch: 1700000000, Hidden: 4096}, true},
		{"FAT16", esp, Options{Size: 16 << 20, ID: 1, Label: "A LABEL", Epoch: 1700000000}, false},
		{"smallest FAT32", esp, Options{Size: MinFAT32}, true},
		{"largest FAT16", esp, Options{Size: MinFAT32 - 512}, false},
		{"smallest volume", esp[1:], Options{Size: 3 << 20}, false},
		{"4 KiB clusters", esp, Options{Size: 300 << 20}, true},
		{"16 KiB clusters", esp[1:], Options{Size: 1 << 35}, true},
		{"nothing", nil, Options{Size: 64 << 20}, true},
		{"nothing, FAT16", nil, Options{Size: 8 << 20}, false},
		{"names", names, Options{Size: 64 << 20, Label: "NAMES"}, true},
		{"names, FAT16", names, Options{Size: 8 << 20}, false},
		{"sectors of 4096", esp, Options{Size: 64 << 20, SectorSize: 4096, Label: "ESP", Hidden: 256}, false},
		{"sectors of 4096, smallest FAT32", esp, Options{Size: MinFAT32 * 8, SectorSize: 4096}, true},
		{"sectors of 4096, 16 KiB clusters", esp, Options{Size: 1 << 30, SectorSize: 4096}, true},
		{"many files", manyFiles("dir", 900), Options{Size: 64 << 20}, true},
	}
	for _, test := range tests {
		t.Run(test.summary, func(t *testing.T) {
			v, err := Plan(test.files, test.o)
			if err != nil {
				t.Fatal(err)
			}
			if v.FAT32() != test.fat32 {
				t.Errorf("FAT32 is %t", v.FAT32())
			}
			path := write(t, test.files, test.o)
			entries := 0
			root, err := newTree(test.files)
			if err != nil {
				t.Fatal(err)
			}
			root.walk(func(*node) { entries++ })
			entries-- // fsck does not count the root directory
			if test.o.Label != "" {
				entries++ // but the label
			}
			clean(t, path, entries)
			if d := cmp.Diff(listing(test.files), listing(read(t, path))); d != "" && len(test.files) > 0 {
				t.Errorf("mcopy reads other files (-want +got):\n%.2000s", d)
			}
		})
	}
}

func TestListing(t *testing.T) {
	path := write(t, []File{{Path: "EFI/BOOT/BOOTX64.EFI", Data: bulk(700)}, {Path: "EFI/BOOT/grub.cfg", Data: []byte("x")}, {Path: "EFI/Longer name.d/x", Data: nil}},
		Options{Size: 64 << 20, ID: 0x1234ABCD, Label: "ESP", Epoch: 1700000001})
	got := judge.Run(t, "mdir", "-/", "-i", path, "::")
	want := ` Volume in drive : is ESP        
 Volume Serial Number is 1234-ABCD
Directory for ::/

EFI          <DIR>     2023-11-14  22:13 
        1 file                    0 bytes

Directory for ::/EFI

.            <DIR>     2023-11-14  22:13 
..           <DIR>     2023-11-14  22:13 
BOOT         <DIR>     2023-11-14  22:13 
LONGER~1 D   <DIR>     2023-11-14  22:13  Longer name.d
        4 files                   0 bytes

Directory for ::/EFI/BOOT

.            <DIR>     2023-11-14  22:13 
..           <DIR>     2023-11-14  22:13 
BOOTX64  EFI       700 2023-11-14  22:13 
GRUB     CFG         1 2023-11-14  22:13  grub.cfg
        4 files                 701 bytes

Directory for ::/EFI/Longer name.d

.            <DIR>     2023-11-14  22:13 
..           <DIR>     2023-11-14  22:13 
X                    0 2023-11-14  22:13  x
        3 files                   0 bytes

Total files listed:
       12 files                 701 bytes
                         66 036 224 bytes free

`
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("mdir lists (-want +got):\n%s", d)
	}
}

// Directories are there though nothing is in them, and are no second ones where
// something is.
func TestDirectories(t *testing.T) {
	files := []File{{Path: "a/b/empty", Dir: true}, {Path: "a/b", Dir: true}, {Path: "a/file", Data: []byte("x")}, {Path: "Long name", Dir: true}}
	for _, o := range []Options{{Size: 8 << 20}, {Size: 64 << 20}} {
		path := write(t, files, o)
		clean(t, path, 5)
		dir := t.TempDir()
		judge.Run(t, "mcopy", "-s", "-n", "-Q", "-i", path, "::/", dir)
		for _, d := range []string{"a/b/empty", "Long name"} {
			if info, err := os.Stat(filepath.Join(dir, d)); err != nil || !info.IsDir() {
				t.Errorf("%s is no directory: %v", d, err)
			}
		}
	}
}

// What Room says is enough, however small the files.
func TestRoom(t *testing.T) {
	for _, files := range [][]File{nil, manyFiles("dir", 5000), manyFiles("dir", 15000), rootFiles(600), {{Path: "x", Data: bulk(40 << 20)}}, {{Path: "x", Data: bulk(300 << 20)}}} {
		for _, sector := range []int64{512, 4096} {
			need, err := Room(files, sector)
			if err != nil {
				t.Fatal(err)
			}
			size := max((need+1<<20-1)>>20<<20, 5000*sector/512*512, 4<<20)
			if _, err := Plan(files, Options{Size: size / 4096 * 4096, SectorSize: sector, Label: "X"}); err != nil {
				t.Errorf("%d files on sectors of %d: %v", len(files), sector, err)
			}
		}
	}
}

func TestRefusals(t *testing.T) {
	tests := []struct {
		summary string
		files   []File
		o       Options
		want    string
	}{
		{"full", []File{{Path: "x", Data: bulk(64 << 20)}}, Options{Size: 64 << 20}, "too small: content takes 67109376 bytes"},
		{"twice", []File{{Path: "A", Data: nil}, {Path: "a", Data: nil}}, Options{}, `"a" is there twice`},
		{"file as directory", []File{{Path: "a", Data: nil}, {Path: "a/b", Data: nil}}, Options{}, `"a/b" is there twice`},
		{"directory as file", []File{{Path: "a/b", Data: nil}, {Path: "a", Data: nil}}, Options{}, `"a" is there twice`},
		{"directories by case", []File{{Path: "a/b", Data: nil}, {Path: "A/c", Data: nil}}, Options{}, "by case only"},
		{"empty path", []File{{Path: "", Data: nil}}, Options{}, "is none"},
		{"absolute", []File{{Path: "/a", Data: nil}}, Options{}, "is none"},
		{"upwards", []File{{Path: "../a", Data: nil}}, Options{}, "is none"},
		{"colon", []File{{Path: "a:b", Data: nil}}, Options{}, `has the character ':'`},
		{"backslash", []File{{Path: `a\b`, Data: nil}}, Options{}, `has the character '\\'`},
		{"trailing dot", []File{{Path: "a.", Data: nil}}, Options{}, "ends with a dot"},
		{"not UTF-8", []File{{Path: "a\xff", Data: nil}}, Options{}, "is not UTF-8"},
		{"long", []File{{Path: strings.Repeat("x", 256), Data: nil}}, Options{}, "longer than 255"},
		{"label", nil, Options{Label: "lower"}, "upper-case ASCII"},
		{"full FAT16 root", rootFiles(600), Options{Size: 8 << 20}, "root directory has more than 512 entries"},
		{"large directory", manyFiles("dir", 17000), Options{}, "directory dir has more than 65536 entries"},
		{"file in the place of a directory", []File{{Path: "a"}, {Path: "a", Dir: true}}, Options{}, `"a" is there twice`},
		{"directory in the place of a file", []File{{Path: "a", Dir: true}, {Path: "a"}}, Options{}, `"a" is there twice`},
		{"long label", nil, Options{Label: "TWELVE CHARS"}, "at most 11"},
		{"odd size", nil, Options{Size: 64<<20 + 1}, "not a multiple of 512"},
		{"tiny", nil, Options{Size: 1 << 20}, "from 3 MiB"},
		{"negative", nil, Options{Size: -512}, "from 3 MiB"},
		{"huge", nil, Options{Size: 2 << 41}, "to 2 TiB"},
	}
	for _, test := range tests {
		t.Run(test.summary, func(t *testing.T) {
			if test.o.Size == 0 {
				test.o.Size = 64 << 20
			}
			_, err := Plan(test.files, test.o)
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("error is %v, want one with %q", err, test.want)
			}
		})
	}
}

// The order in which files are given does not matter.
func TestSameBytes(t *testing.T) {
	files := manyFiles("dir", 50)
	o := Options{Size: 8 << 20, ID: 7, Epoch: 1}
	a, err := os.ReadFile(write(t, files, o))
	if err != nil {
		t.Fatal(err)
	}
	slices.Reverse(files)
	b, err := os.ReadFile(write(t, files, o))
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(a, b) {
		t.Error("another order of files gives another volume")
	}
}

// A file that is read while the volume is written gives the same volume as one in
// memory, and one that has not what was said of it stops the writing.
func TestStreamedFiles(t *testing.T) {
	data := bulk(3<<20 + 17)
	streamed := func(size int64, data []byte) []File {
		return []File{
			{Path: "a/linux", Size: size, Open: func() (io.Reader, error) { return bytes.NewReader(data), nil }},
			{Path: "a/nothing", Open: func() (io.Reader, error) { return nil, errors.New("nobody reads it") }},
		}
	}
	o := Options{Size: 16 << 20, ID: 7, Epoch: 1}
	want, err := os.ReadFile(write(t, []File{{Path: "a/linux", Data: data}, {Path: "a/nothing"}}, o))
	if err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(write(t, streamed(int64(len(data)), append(bytes.Clone(data), "more"...)), o))
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Error("a file that is streamed gives another volume")
	}
	v, err := Plan(streamed(int64(len(data))+1, data), o)
	if err != nil {
		t.Fatal(err)
	}
	if err := v.WriteTo(t.Context(), discard{}); err == nil || !strings.Contains(err.Error(), "a/linux") {
		t.Errorf("a file that is too short: %v", err)
	}
}

type discard struct{}

func (discard) WriteAt(b []byte, _ int64) (int, error) { return len(b), nil }

// Random trees: what Plan accepts, fsck.vfat and mtools accept.
func TestRandomTrees(t *testing.T) {
	judge.Path(t, "fsck.vfat")
	runs := 0
	name := rapid.StringMatching(`[a-cA-C~1 .é]{1,12}`)
	rapid.Check(t, func(rt *rapid.T) {
		if runs++; runs > 25 { // each runs two programs
			return
		}
		files := rapid.SliceOfN(rapid.Custom(func(rt *rapid.T) File {
			return File{Path: strings.Join(rapid.SliceOfN(name, 1, 4).Draw(rt, "path"), "/"), Data: bulk(rapid.IntRange(0, 9000).Draw(rt, "size"))}
		}), 0, 60).Draw(rt, "files")
		o := Options{Size: rapid.SampledFrom([]int64{4 << 20, 20 << 20, 40 << 20}).Draw(rt, "size"), ID: 5}
		var fit []File
		for _, f := range files { // drop what is refused, with reason, above
			if _, err := Plan(append(fit[:len(fit):len(fit)], f), o); err == nil {
				fit = append(fit, f)
			}
		}
		path := write(t, fit, o)
		out := judge.Run(t, "fsck.vfat", "-n", path)
		if n := strings.Count(out, "\n"); n != 2 {
			rt.Errorf("fsck.vfat: %s", out)
		}
		if len(fit) > 0 {
			if d := cmp.Diff(listing(fit), listing(read(t, path))); d != "" {
				rt.Errorf("mcopy reads other files (-want +got):\n%.2000s", d)
			}
		}
	})
}

// FuzzPlan feeds names and sizes of any kind: never a panic, and what is
// accepted stays inside the volume.
func FuzzPlan(f *testing.F) {
	f.Add("EFI/BOOT/BOOTX64.EFI", "EFI/boot/x", "LABEL", int64(64<<20))
	f.Add("a/b", "a", "", int64(3<<20))
	f.Add("..", "é~1", "x", int64(34<<20))
	f.Fuzz(func(t *testing.T, a, b, label string, size int64) {
		v, err := Plan([]File{{Path: a, Data: []byte(b)}, {Path: b, Data: []byte(a)}}, Options{Size: size, Label: label})
		if err != nil {
			return
		}
		end := int64(0)
		for _, e := range v.Extents() {
			if e.Off < end || e.End() > size {
				t.Errorf("extent %v does not follow %d within %d", e, end, size)
			}
			end = e.End()
		}
	})
}
