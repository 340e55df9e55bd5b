package iso

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"ingot/internal/fat"
	"ingot/internal/gpt"
	"ingot/internal/judge"
)

const epoch = 1_700_000_000 // 2023-11-14 22:13:20

func guid(s string) gpt.GUID {
	g, err := gpt.ParseGUID(s)
	if err != nil {
		panic(err)
	}
	return g
}

// plain are options of an image that nothing starts from.
func plain() Options {
	return Options{
		Label: "TEST_1", Epoch: epoch,
		Disk: guid("11111111-2222-4333-8444-555555555555"), ISOPart: guid("21111111-2222-4333-8444-555555555555"), UEFIPart: guid("31111111-2222-4333-8444-555555555555"),
	}
}

// booting are options of one with all that starts. The program is none; code and
// program say where they were put.
func booting(t testing.TB) Options {
	t.Helper()
	o := plain()
	o.BIOS = &Program{Path: "boot/eltorito.img", Size: 9001, At: func(offset int64) (code, program []byte) {
		program = bytes.Repeat([]byte{0xEE, 1, 2}, 3001)[:9001]
		copy(program[4000:], fmt.Sprintf("lies at %d.", offset))
		return fmt.Appendf(nil, "starts %d.", offset), program
	}}
	v, err := fat.Plan([]fat.File{{Path: "EFI/BOOT/BOOTX64.EFI", Data: bulk(70000)}}, fat.Options{Size: 4 << 20, ID: 0x1234ABCD, Epoch: epoch})
	if err != nil {
		t.Fatal(err)
	}
	o.UEFI = v
	return o
}

func bulk(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(i*7 + i>>8*13)
	}
	return b
}

// unknown is a file whose size is known when it is written.
func unknown(path string, data []byte, most int64) File {
	return File{Path: path, Most: most, Write: func(_ context.Context, f *os.File, at int64) (int64, error) {
		_, err := f.WriteAt(data, at)
		return int64(len(data)), err
	}}
}

func write(t testing.TB, files []File, o Options) string {
	t.Helper()
	im, err := Plan(files, o)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "image.iso")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(im.Write(t.Context(), f), f.Close()); err != nil {
		t.Fatal(err)
	}
	return path
}

func some() []File {
	return []File{
		{Path: "boot/grub/grub.cfg", Data: []byte("set default=0\n")},
		{Path: ".disk/info", Data: []byte("a disk\n")},
		{Path: ".disk/0c4a9a2e-1111-8222-8333-444444444444.uuid"},
		{Path: "live/vmlinuz", Data: bulk(5000), Mode: 0o755},
		unknown("live/filesystem.squashfs", bulk(123456), 200000),
		{Path: "live/a name of many letters, some of them ünlikely, that no old reader takes.txt", Data: bulk(2048)},
		{Path: "live/a name of many letters, some of them ünlikely, that no old reader takes.too", Data: bulk(2049)},
		{Path: "a/b/c/d/e/f/g", Data: []byte("deep")},
	}
}

// extract has a program unpack an image, and gives what it holds.
func extract(t testing.TB, image, program string) map[string][]byte {
	t.Helper()
	dir := t.TempDir()
	switch program {
	case "xorriso":
		judge.Run(t, "xorriso", "-report_about", "WARNING", "-abort_on", "WARNING", "-osirrox", "on", "-indev", image, "-extract", "/", dir)
	case "bsdtar":
		judge.Run(t, "bsdtar", "-x", "-f", image, "-C", dir)
	case "7zz":
		judge.Run(t, "7zz", "x", "-y", "-tiso", "-o"+dir, image)
	}
	out := map[string][]byte{}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name, err := filepath.Rel(dir, path)
		if err != nil || d.IsDir() || strings.HasPrefix(name, "[BOOT]/") { // 7-Zip's own
			return err
		}
		out[name], err = os.ReadFile(path)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// texts names contents so that a difference can be read.
func texts(files map[string][]byte) map[string]string {
	out := map[string]string{}
	for name, data := range files {
		out[name] = fmt.Sprintf("%d bytes, %x", len(data), sha256.Sum256(data))
	}
	return out
}

// wanted is what an image must hold.
func wanted(t testing.TB, files []File) map[string][]byte {
	t.Helper()
	out := map[string][]byte{}
	for _, f := range files {
		out[f.Path] = f.Data
		if f.Write != nil {
			tmp, err := os.Create(filepath.Join(t.TempDir(), "file"))
			if err != nil {
				t.Fatal(err)
			}
			n, err := f.Write(t.Context(), tmp, 0)
			data, rerr := os.ReadFile(tmp.Name())
			if err := errors.Join(err, rerr, tmp.Close()); err != nil {
				t.Fatal(err)
			}
			out[f.Path] = data[:n]
		}
	}
	return out
}

// Three programs that share nothing read the same files out of an image: by Rock
// Ridge's names xorriso and libarchive, by Joliet's 7-Zip.
func TestJudgesReadFiles(t *testing.T) {
	files := some()
	path := write(t, files, plain())
	want := wanted(t, files)
	for _, program := range []string{"xorriso", "bsdtar"} {
		if d := cmp.Diff(texts(want), texts(extract(t, path, program))); d != "" {
			t.Errorf("%s reads other files (-want +got):\n%s", program, d)
		}
	}
	// 64 characters, and no two the same.
	long := "live/a name of many letters, some of them ünlikely, that no old reader takes."
	want["live/a name of many letters, some of them ünlikely, that no old reade"] = want[long+"too"]
	want["live/a name of many letters, some of them ünlikely, that no old r~000"] = want[long+"txt"]
	delete(want, long+"too")
	delete(want, long+"txt")
	if d := cmp.Diff(texts(want), texts(extract(t, path, "7zz"))); d != "" {
		t.Errorf("7-Zip reads other files (-want +got):\n%s", d)
	}
}

// What a listing says of modes, owners and times.
func TestListing(t *testing.T) {
	path := write(t, some(), plain())
	out := judge.Run(t, "xorriso", "-report_about", "WARNING", "-abort_on", "WARNING", "-indev", path, "-find", "/", "-exec", "lsdl", "--")
	var got []string
	for line := range strings.Lines(out) {
		if f := strings.Fields(line); len(f) > 8 && (line[0] == 'd' || line[0] == '-') {
			// xorriso counts the links of directories itself.
			got = append(got, strings.Join(append(f[8:], append(f[:1], f[2:8]...)...), " "))
		}
	}
	slices.Sort(got)
	want := `'/' drwxr-xr-x 0 0 0 Nov 14 2023
'/.disk' drwxr-xr-x 0 0 0 Nov 14 2023
'/.disk/0c4a9a2e-1111-8222-8333-444444444444.uuid' -rw-r--r-- 0 0 0 Nov 14 2023
'/.disk/info' -rw-r--r-- 0 0 7 Nov 14 2023
'/a' drwxr-xr-x 0 0 0 Nov 14 2023
'/a/b' drwxr-xr-x 0 0 0 Nov 14 2023
'/a/b/c' drwxr-xr-x 0 0 0 Nov 14 2023
'/a/b/c/d' drwxr-xr-x 0 0 0 Nov 14 2023
'/a/b/c/d/e' drwxr-xr-x 0 0 0 Nov 14 2023
'/a/b/c/d/e/f' drwxr-xr-x 0 0 0 Nov 14 2023
'/a/b/c/d/e/f/g' -rw-r--r-- 0 0 4 Nov 14 2023
'/boot' drwxr-xr-x 0 0 0 Nov 14 2023
'/boot/grub' drwxr-xr-x 0 0 0 Nov 14 2023
'/boot/grub/grub.cfg' -rw-r--r-- 0 0 14 Nov 14 2023
'/live' drwxr-xr-x 0 0 0 Nov 14 2023
'/live/a name of many letters, some of them ünlikely, that no old reader takes.too' -rw-r--r-- 0 0 2049 Nov 14 2023
'/live/a name of many letters, some of them ünlikely, that no old reader takes.txt' -rw-r--r-- 0 0 2048 Nov 14 2023
'/live/filesystem.squashfs' -rw-r--r-- 0 0 123456 Nov 14 2023
'/live/vmlinuz' -rwxr-xr-x 0 0 5000 Nov 14 2023`
	if d := cmp.Diff(strings.Split(want, "\n"), got); d != "" {
		t.Errorf("the listing (-want +got):\n%s", d)
	}
}

// fieldsOf are the lines of a text that begin in one of several ways, with single
// spaces.
func fieldsOf(text string, begin ...string) []string {
	var out []string
	for line := range strings.Lines(text) {
		if slices.ContainsFunc(begin, func(b string) bool { return strings.HasPrefix(line, b) }) {
			out = append(out, strings.Join(strings.Fields(line), " "))
		}
	}
	return out
}

// The identifiers that stand where Rock Ridge and Joliet are not read.
func TestIdentifiers(t *testing.T) {
	im, err := Plan([]File{
		{Path: "filesystem.squashfs"}, {Path: "filesystem.squash2"}, {Path: "filesystem.squash3"}, {Path: "a"}, {Path: "A"}, {Path: ".hidden"}, {Path: "dir.d/ä"},
		{Path: "tar.tar.gz"},
	}, plain())
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, d := range im.trees[0].dirs {
		for _, c := range im.trees[0].order[d] {
			got = append(got, string(im.trees[0].id[c])+" "+c.name)
		}
	}
	want := []string{
		"A.;1 A", "A____000.;1 a", "DIR_D dir.d", "FILES000.SQU;1 filesystem.squash3", "FILES001.SQU;1 filesystem.squashfs", "FILESYST.SQU;1 filesystem.squash2",
		"TAR_TAR.GZ;1 tar.tar.gz", "_.HID;1 .hidden", "_.;1 ä",
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("identifiers (-want +got):\n%s", d)
	}
}

// variants are the ways in which something starts an image.
func variants(t testing.TB) map[string]Options {
	t.Helper()
	all := map[string]Options{"none": plain(), "both": booting(t), "bios": booting(t), "uefi": booting(t)}
	for name, o := range all {
		switch name {
		case "bios":
			o.UEFI = nil
		case "uefi":
			o.BIOS = nil
		}
		all[name] = o
	}
	return all
}

// What xorriso sees of all that starts an image. It knows the table in a BIOS's
// program by its checksum.
func TestBootReports(t *testing.T) {
	const table = `System area options: 0x00000201
System area summary: MBR protective-msdos-label cyl-align-off GPT
`
	want := map[string]string{
		"none": "",
		"both": `El Torito catalog : 20 1
El Torito boot img : 1 BIOS y none 0x0000 0x00 4 49
El Torito boot img : 2 UEFI y none 0x0000 0x00 8192 122
El Torito img path : 1 /boot/eltorito.img
El Torito img opts : 1 boot-info-table
El Torito img blks : 2 2048
` + table + `GPT start and size : 1 64 424
GPT start and size : 2 488 8192
`,
		"bios": `El Torito catalog : 20 1
El Torito boot img : 1 BIOS y none 0x0000 0x00 4 49
El Torito img path : 1 /boot/eltorito.img
El Torito img opts : 1 boot-info-table
` + table + `GPT start and size : 1 64 424
`,
		"uefi": `El Torito catalog : 20 1
El Torito boot img : 1 UEFI y none 0x0000 0x00 8192 118
El Torito img blks : 1 2048
` + table + `GPT start and size : 1 64 408
GPT start and size : 2 472 8192
`,
	}
	for name, o := range variants(t) {
		t.Run(name, func(t *testing.T) {
			path := write(t, some(), o)
			out := judge.Run(t, "xorriso", "-report_about", "WARNING", "-abort_on", "WARNING", "-indev", path, "-report_el_torito", "plain", "-report_system_area", "plain")
			got := fieldsOf(out, "El Torito catalog", "El Torito boot img", "El Torito img p", "El Torito img o", "El Torito img b", "System area", "GPT start")
			if d := cmp.Diff(want[name], strings.Join(append(got, ""), "\n")); d != "" {
				t.Errorf("xorriso reports (-want +got):\n%s", d)
			}
			files := slices.Concat(some())
			if o.BIOS != nil {
				_, program := o.BIOS.At(49 * block)
				inform(program, 49)
				files = append(files, File{Path: o.BIOS.Path, Data: program})
			}
			if d := cmp.Diff(texts(wanted(t, files)), texts(extract(t, path, "xorriso"))); d != "" {
				t.Errorf("xorriso reads other files (-want +got):\n%s", d)
			}
		})
	}
}

// As a disk: tables that sgdisk and sfdisk find no fault with, code in the first
// sector that knows where the program lies, and a FAT volume.
func TestJudgesReadDisk(t *testing.T) {
	path := write(t, some(), booting(t))
	if out := judge.Run(t, "sgdisk", "-v", path); !strings.Contains(out, "No problems found") {
		t.Error(out)
	}
	judge.Run(t, "sfdisk", "-V", path)
	out := judge.Run(t, "blkid", "-p", "-o", "export", path)
	for _, want := range []string{"TYPE=iso9660", "LABEL=TEST_1", "UUID=2023-11-14-22-13-20-00", "PTTYPE=gpt", "PTUUID=11111111-2222-4333-8444-555555555555", `BOOT_SYSTEM_ID=EL\ TORITO\ SPECIFICATION`} {
		if !strings.Contains(out, want+"\n") {
			t.Errorf("blkid does not say %s:\n%s", want, out)
		}
	}
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.HasPrefix(data, []byte("starts 100352.")) {
		t.Errorf("the first sector begins with %q", data[:20])
	}
	program := data[49*block:]
	le := binary.LittleEndian
	if string(program[4000:4015]) != "lies at 100352." || le.Uint32(program[8:]) != 16 || le.Uint32(program[12:]) != 49 || le.Uint32(program[16:]) != 9001 {
		t.Errorf("the program has %q, and begins with %x", program[4000:4015], program[:64])
	}
	esp := filepath.Join(t.TempDir(), "esp")
	if err := os.WriteFile(esp, data[488*sector:(488+8192)*sector], 0o600); err != nil {
		t.Fatal(err)
	}
	judge.Run(t, "fsck.fat", "-n", esp)
	if out := judge.Run(t, "mdir", "-i", esp, "-b", "-/", "::/"); !strings.Contains(out, "::/EFI/BOOT/BOOTX64.EFI") {
		t.Errorf("the FAT volume holds\n%s", out)
	}
}

// A file of more than 4 GiB has several pieces, and one that turns out smaller than it
// might have fewer. Holes stay holes.
func TestLargeFiles(t *testing.T) {
	const size = 9<<30 + 4711
	marks := map[int64]string{0: "begin", maxExtent - 3: "across", 2*maxExtent - 1: "again", size - 3: "end"}
	path := write(t, []File{
		{Path: "live/large", Most: 20 << 30, Write: func(_ context.Context, f *os.File, at int64) (int64, error) {
			for off, text := range marks {
				if _, err := f.WriteAt([]byte(text), at+off); err != nil {
					return 0, err
				}
			}
			return size, nil
		}},
		unknown("live/little", []byte("little"), 30<<30),
		unknown("live/none", nil, 30<<30),
	}, booting(t))
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if used := diskUsage(t, info); used > 8<<20 {
		t.Errorf("an image of %d bytes uses %d on disk", info.Size(), used)
	}
	out := judge.Run(t, "xorriso", "-report_about", "WARNING", "-abort_on", "WARNING", "-indev", path, "-find", "/live", "-type", "f", "-exec", "report_sections", "--")
	_, got, _ := strings.Cut(out, "Report layout:")
	want := `File data lba: 0 , 37 , 2097151 , 4294965248 , '/live/large'
File data lba: 1 , 2097188 , 2097151 , 4294965248 , '/live/large'
File data lba: 2 , 4194339 , 524293 , 1073750631 , '/live/large'
File data lba: 0 , 4718632 , 1 , 6 , '/live/little'
File data lba: 0 , 4718633 , 0 , 0 , '/live/none'`
	if d := cmp.Diff(strings.Split(want, "\n"), fieldsOf(got, "File data")); d != "" {
		t.Errorf("pieces (-want +got):\n%s", d)
	}
	// xorriso says where the pieces are, in front of each other; what is in them is
	// read here: it would read all 9 GiB for every few bytes.
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close() //nolint:errcheck // a test's file
	for off, text := range marks {
		data := make([]byte, len(text))
		if _, err := f.ReadAt(data, 37*block+off); err != nil || string(data) != text {
			t.Errorf("at %d lies %q, %v; want %q", off, data, err, text)
		}
	}
	judge.Run(t, "sgdisk", "-v", path)
}

func diskUsage(t testing.TB, info fs.FileInfo) int64 {
	t.Helper()
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		t.Fatal("the system does not say what a file uses")
	}
	return st.Blocks * 512
}

// The order in which files are given is of no matter, and neither is the clock.
func TestSameBytes(t *testing.T) {
	files := some()
	first := write(t, files, booting(t))
	slices.Reverse(files)
	second := write(t, files, booting(t))
	a, aerr := os.ReadFile(first)
	b, berr := os.ReadFile(second)
	if aerr != nil || berr != nil || !bytes.Equal(a, b) {
		t.Errorf("images differ: %v, %v", aerr, berr)
	}
}

func TestRefusals(t *testing.T) {
	one := func(path string) []File { return []File{{Path: path}} }
	with := func(f func(o *Options)) Options {
		o := plain()
		f(&o)
		return o
	}
	for _, test := range []struct {
		files []File
		o     Options
		want  string
	}{
		{one(""), plain(), `path "" is none`},
		{one("/a"), plain(), `path "/a" is none`},
		{one("a/../b"), plain(), "is none"},
		{one("a\x00"), plain(), "is none"},
		{one("a\xff"), plain(), "is none"},
		{one(strings.Repeat("n", 129)), plain(), "a name of 129 bytes is longer than 128"},
		{one("1/2/3/4/5/6/7/8/9"), plain(), "lies below more than 7 directories"},
		{[]File{{Path: "a"}, {Path: "a"}}, plain(), "path a is taken twice"},
		{[]File{{Path: "a"}, {Path: "a/b"}}, plain(), "path a/b is taken twice"},
		{[]File{{Path: "a/b"}, {Path: "a"}}, plain(), "path a is taken twice"},
		{[]File{{Path: "a", Most: -1}}, plain(), "negative size"},
		{[]File{{Path: "a", Most: 5 << 40}}, plain(), "more than the format can say"},
		{nil, with(func(o *Options) { o.Label = "" }), `label "" has not 1 to 16 characters`},
		{nil, with(func(o *Options) { o.Label = "SEVENTEEN_LETTERS" }), "has not 1 to 16"},
		{nil, with(func(o *Options) { o.Label = "lower" }), "has a character other than"},
		{nil, with(func(o *Options) { o.Epoch = math.MaxInt64 }), "is not one of 1970 to 2155"},
		{nil, with(func(o *Options) { o.Epoch = -1 }), "the year 1969"},
		{nil, with(func(o *Options) { o.BIOS = &Program{Path: "p", Size: 10} }), "cannot start a program of 10 bytes"},
		{nil, with(func(o *Options) { o.UEFI = size(77) }), "a volume of 77 bytes"},
		{one("p"), with(func(o *Options) { o.BIOS = &Program{Path: "p", Size: 100, At: booting(t).BIOS.At} }), "path p is taken twice"},
	} {
		_, err := Plan(test.files, test.o)
		if err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%v gives %v, want %q", test.files, err, test.want)
		}
	}
	bad := errors.New("bad")
	for _, test := range []struct {
		file File
		want string
	}{
		{unknown("a", bulk(11), 10), "a has 11 bytes and room for 10"},
		{File{Path: "a", Write: func(context.Context, *os.File, int64) (int64, error) { return 0, bad }}, "a: bad"},
	} {
		im, err := Plan([]File{test.file}, plain())
		if err != nil {
			t.Fatal(err)
		}
		f, err := os.Create(filepath.Join(t.TempDir(), "image"))
		if err != nil {
			t.Fatal(err)
		}
		if err := im.Write(t.Context(), f); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%v, want %q", err, test.want)
		}
		if err := f.Close(); err != nil {
			t.Error(err)
		}
	}
}

type size int64

func (s size) Size() int64                                { return int64(s) }
func (s size) WriteTo(context.Context, io.WriterAt) error { return nil }

// Whatever files there are, all three programs read them.
func TestRandomTrees(t *testing.T) {
	name := rapid.StringMatching(`[a-zA-Z0-9._ äé-]{1,12}`).Filter(func(s string) bool {
		return strings.Trim(s, ". ") != "" && s == strings.Trim(s, " .")
	})
	all := booting(t)
	rapid.Check(t, func(rt *rapid.T) {
		taken := map[string]bool{}
		var files []File
		for range rapid.IntRange(0, 60).Draw(rt, "files") {
			parts := rapid.SliceOfN(name, 1, 3).Draw(rt, "path")
			if rapid.Bool().Draw(rt, "together") {
				parts[0] = "d"
			}
			path := strings.ToLower(strings.Join(parts, "/"))
			clash := false
			for p := path; p != "." && !clash; p = filepath.Dir(p) {
				clash = taken[p] && (p == path || isFile(files, p))
			}
			if clash {
				continue
			}
			for p := path; p != "."; p = filepath.Dir(p) {
				taken[p] = true
			}
			data := bulk(rapid.SampledFrom([]int{0, 1, 100, 2047, 2048, 2049, 10000}).Draw(rt, "size"))
			if rapid.Bool().Draw(rt, "unknown") {
				files = append(files, unknown(path, data, int64(len(data)+rapid.IntRange(0, 5000).Draw(rt, "more"))))
			} else {
				files = append(files, File{Path: path, Data: data})
			}
		}
		o := plain()
		if rapid.Bool().Draw(rt, "uefi") {
			o.UEFI = all.UEFI
		}
		path := write(t, files, o)
		want := texts(wanted(t, files))
		for _, program := range []string{"xorriso", "bsdtar", "7zz"} {
			if d := cmp.Diff(want, texts(extract(t, path, program))); d != "" {
				rt.Fatalf("%s reads other files (-want +got):\n%s", program, d)
			}
		}
	})
}

func isFile(files []File, path string) bool {
	return slices.ContainsFunc(files, func(f File) bool { return f.Path == path })
}

// No path makes the planner fail otherwise than with an error, and what it takes it
// writes.
func FuzzPlan(f *testing.F) {
	f.Add("a/b", "a/c", int64(5))
	f.Add(".disk/info", "ÄÖ.ü.ß", int64(1<<33))
	f.Fuzz(func(t *testing.T, a, b string, most int64) {
		im, err := Plan([]File{{Path: a, Data: []byte("x")}, unknown(b, []byte("y"), most)}, plain())
		if err != nil || most < 1 {
			return
		}
		out, err := os.Create(filepath.Join(t.TempDir(), "image"))
		if err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(im.Write(t.Context(), out), out.Close()); err != nil {
			t.Fatal(err)
		}
	})
}
