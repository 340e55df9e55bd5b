package tree

import (
	"archive/tar"
	"bytes"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"ingot/internal/digest"
)

// text writes entries as a seal would, a line each, with contents inline.
func text(entries []Entry, packs map[string][]byte) string {
	var b strings.Builder
	for _, e := range entries {
		fmt.Fprintf(&b, "%s /%s %04o %d:%d", e.Kind, e.Path, e.Mode, e.UID, e.GID)
		if e.Link != "" {
			fmt.Fprintf(&b, " -> %s", e.Link)
		}
		if e.Kind == Char || e.Kind == Block {
			fmt.Fprintf(&b, " %d,%d", e.Major, e.Minor)
		}
		for _, x := range e.Xattrs {
			fmt.Fprintf(&b, " %s=%q", x.Name, x.Value)
		}
		if e.Kind == File && e.Content.Size > 0 {
			fmt.Fprintf(&b, " %q", packs[e.Content.Pack][e.Content.Offset:e.Content.Offset+e.Content.Size])
		}
		b.WriteByte('\n')
	}
	return b.String()
}

// packSink keeps contents in one pack in memory.
func packSink(packs map[string][]byte) Sink {
	return func(e Entry, r io.Reader) (Content, error) {
		b, err := io.ReadAll(r)
		if err != nil {
			return Content{}, err
		}
		c := Content{Digest: digest.Of(b), Size: int64(len(b)), Pack: "p", Offset: int64(len(packs["p"]))}
		packs["p"] = append(packs["p"], b...)
		return c, nil
	}
}

type member struct {
	tar.Header
	data string
}

func file(name, data string) member {
	return member{tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: 0o644}, data}
}

func dir(name string) member {
	return member{Header: tar.Header{Typeflag: tar.TypeDir, Name: name, Mode: 0o755}}
}

func link(kind byte, name, to string) member {
	return member{Header: tar.Header{Typeflag: kind, Name: name, Linkname: to, Mode: 0o777}}
}

func pax(m member, records ...string) member {
	m.PAXRecords = map[string]string{}
	for i := 0; i < len(records); i += 2 {
		m.PAXRecords[records[i]] = records[i+1]
	}
	return m
}

func archive(t testing.TB, members ...member) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, m := range members {
		h := m.Header
		if h.Typeflag == tar.TypeReg {
			h.Size = int64(len(m.data))
		}
		if h.ModTime.IsZero() && h.Typeflag != tar.TypeXGlobalHeader {
			h.ModTime = time.Unix(1, 0)
		}
		if err := w.WriteHeader(&h); err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(w, m.data); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestReadTar(t *testing.T) {
	long := strings.Repeat("d/", 100) + "end"
	for _, c := range []struct {
		name    string
		limits  Limits
		members []member
		want    string
	}{
		{name: "empty archive"},
		{
			name:    "names lose their dot",
			members: []member{dir("./"), dir("./etc/"), file("././etc/motd", "hi\n"), file("root", "")},
			want:    "dir / 0755 0:0\ndir /etc 0755 0:0\nfile /etc/motd 0644 0:0 \"hi\\n\"\nfile /root 0644 0:0\n",
		},
		{
			name:    "the path that sorts first is the file",
			members: []member{file("b", "x"), link(tar.TypeLink, "./c", "./b"), link(tar.TypeLink, "a", "c")},
			want:    "hardlink /b 0644 0:0 -> a\nhardlink /c 0644 0:0 -> a\nfile /a 0644 0:0 \"x\"\n",
		},
		{
			name:    "links of any target",
			members: []member{link(tar.TypeSymlink, "a", "/etc/alternatives/a"), link(tar.TypeSymlink, "b", "../../x"), link(tar.TypeLink, "c", "b")},
			want:    "symlink /a 0777 0:0 -> /etc/alternatives/a\nsymlink /b 0777 0:0 -> ../../x\nhardlink /c 0777 0:0 -> b\n",
		},
		{
			name:    "a directory again",
			members: []member{dir("a"), file("a/f", ""), {Header: tar.Header{Typeflag: tar.TypeDir, Name: "a/", Mode: 0o2700, Uid: 7}}},
			want:    "dir /a 2700 7:0\nfile /a/f 0644 0:0\n",
		},
		{
			name:    "attributes sorted, others not believed",
			members: []member{pax(file("ping", "x"), "SCHILY.xattr.user.b", "1\x00", "SCHILY.xattr.security.capability", "c", "LIBARCHIVE.xattr.user.b", "MQA")},
			want:    "file /ping 0644 0:0 security.capability=\"c\" user.b=\"1\\x00\" \"x\"\n",
		},
		{
			name:    "devices where allowed",
			limits:  Limits{Devices: true},
			members: []member{{Header: tar.Header{Typeflag: tar.TypeChar, Name: "null", Mode: 0o666, Devmajor: 1, Devminor: 3}}, {Header: tar.Header{Typeflag: tar.TypeFifo, Name: "q"}}, {Header: tar.Header{Typeflag: tar.TypeBlock, Name: "sda", Devmajor: 8}}},
			want:    "char /null 0666 0:0 1,3\nfifo /q 0000 0:0\nblock /sda 0000 0:0 8,0\n",
		},
		{
			name:    "parents added",
			limits:  Limits{Parents: true},
			members: []member{file("a/b/f", "x"), {Header: tar.Header{Typeflag: tar.TypeDir, Name: "a", Mode: 0o700}}},
			want:    "dir /a/b 0755 0:0\ndir /a 0700 0:0\ndir / 0755 0:0\nfile /a/b/f 0644 0:0 \"x\"\n",
		},
		{
			name:    "owners by name",
			limits:  Limits{IDs: func(u string, uid uint32, g string, gid uint32) (uint32, uint32) { return uint32(len(u)), gid }},
			members: []member{{Header: tar.Header{Typeflag: tar.TypeDir, Name: "a", Mode: 0o755, Uid: 1000, Uname: "root", Gid: 9}}},
			want:    "dir /a 0755 4:9\n",
		},
		{
			name:    "git's comment",
			members: []member{pax(member{Header: tar.Header{Typeflag: tar.TypeXGlobalHeader}}, "comment", "0123"), file("f", "")},
			want:    "file /f 0644 0:0\n",
		},
		{name: "long names", members: []member{file(long, "x")}, want: "file /" + long + " 0644 0:0 \"x\"\n"},
		{name: "big owners", members: []member{{Header: tar.Header{Typeflag: tar.TypeDir, Name: "a", Uid: 1 << 31, Gid: 4294967294}}}, want: "dir /a 0000 2147483648:4294967294\n"},
	} {
		t.Run(c.name, func(t *testing.T) {
			packs := map[string][]byte{}
			got, err := ReadTar(bytes.NewReader(archive(t, c.members...)), c.limits, packSink(packs))
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(c.want, text(got, packs)); d != "" {
				t.Error(d)
			}
		})
	}
}

// A tree has no time that some format cannot hold.
func TestReadTarTimes(t *testing.T) {
	for at, want := range map[time.Time]Time{
		time.Unix(0, 0).Add(-time.Nanosecond):         {},
		time.Unix(-5_000_000_000, 0):                  {},
		time.Unix(0, 5):                               {Nsec: 5},
		time.Unix(math.MaxUint32, 999):                {Sec: math.MaxUint32, Nsec: 999},
		time.Unix(math.MaxUint32+1, 999):              {Sec: math.MaxUint32},
		time.Date(1955, 11, 5, 6, 15, 0, 0, time.UTC): {},
	} {
		m := dir("a")
		m.ModTime, m.Format = at, tar.FormatPAX
		got, err := ReadTar(bytes.NewReader(archive(t, m)), Limits{}, packSink(map[string][]byte{}))
		if err != nil || len(got) != 1 || got[0].Mtime != want {
			t.Errorf("%v became %v, %v; want %v", at, got, err, want)
		}
	}
}

func TestReadTarRefuses(t *testing.T) {
	good := archive(t, dir("."), file("f", "content"))
	for _, c := range []struct {
		name   string
		limits Limits
		tar    []byte
		want   string
	}{
		{name: "absolute", tar: archive(t, file("/etc/passwd", "x")), want: `empty part`},
		{name: "root by another name", tar: archive(t, dir("/")), want: `not relative`},
		{name: "up", tar: archive(t, file("a/../../x", "")), want: `part ".."`},
		{name: "only up", tar: archive(t, dir("..")), want: `part ".."`},
		{name: "inner dot", tar: archive(t, dir("a/./b")), want: `part "."`},
		{name: "empty part", tar: archive(t, dir("a//b")), want: `empty part`},
		{name: "long part", tar: archive(t, file(strings.Repeat("x", 256), "")), want: `longer than 255`},
		{name: "file as directory", tar: patch(archive(t, file("ab", "")), 1, "/"), want: `directory's name`},
		{name: "below a symbolic link", tar: archive(t, link(tar.TypeSymlink, "a", "/etc"), file("a/passwd", "x")), want: `below "a", which is a symlink`},
		{name: "deep below a file", tar: archive(t, file("a", ""), file("a/b/c", "x")), want: `below "a", which is a file`},
		{name: "symbolic link over a parent", tar: archive(t, file("a/passwd", "x"), link(tar.TypeSymlink, "a", "/etc")), want: `a directory and a symlink`},
		{name: "symbolic link over a directory", tar: archive(t, dir("a"), link(tar.TypeSymlink, "a", "/etc")), want: `a directory and a symlink`},
		{name: "directory over a symbolic link", tar: archive(t, link(tar.TypeSymlink, "a", "/etc"), dir("a")), want: `twice`},
		{name: "file twice", tar: archive(t, file("a", "1"), file("./a", "2")), want: `twice`},
		{name: "root as file", tar: archive(t, link(tar.TypeSymlink, ".", "/")), want: `root is a symlink`},
		{name: "hard link out", tar: archive(t, link(tar.TypeLink, "a", "/etc/shadow")), want: `hard link "a": archive refused: path "/etc/shadow"`},
		{name: "hard link up", tar: archive(t, link(tar.TypeLink, "a", "../x")), want: `part ".."`},
		{name: "hard link forward", tar: archive(t, link(tar.TypeLink, "a", "b"), file("b", "")), want: `no file before it`},
		{name: "hard link to itself", tar: archive(t, link(tar.TypeLink, "a", "a")), want: `no file before it`},
		{name: "hard link to a directory", tar: archive(t, dir("d"), link(tar.TypeLink, "a", "d")), want: `no file before it`},
		{name: "hard link to a parent", tar: archive(t, file("d/x", ""), link(tar.TypeLink, "a", "d")), want: `no file before it`},
		{name: "hard link with bytes", tar: rechecksum(patch(archive(t, file("f", ""), link(tar.TypeLink, "a", "f")), 512+124, "00000001000"), 512), want: `bytes of its own`},
		{name: "symbolic link to nothing", tar: archive(t, link(tar.TypeSymlink, "a", "")), want: `target of 0 bytes`},
		{name: "device", tar: archive(t, member{Header: tar.Header{Typeflag: tar.TypeChar, Name: "null"}}), want: `is a device or fifo`},
		{name: "big device", limits: Limits{Devices: true}, tar: archive(t, member{Header: tar.Header{Typeflag: tar.TypeChar, Name: "n", Devmajor: 1 << 12}}), want: `numbers 4096, 0`},
		{name: "nobody", tar: archive(t, member{Header: tar.Header{Typeflag: tar.TypeDir, Name: "a", Uid: 4294967295}}), want: `out of range`},
		{name: "negative owner", tar: archive(t, member{Header: tar.Header{Typeflag: tar.TypeDir, Name: "a", Gid: -1, Format: tar.FormatGNU}}), want: `out of range`},
		{name: "text ACL", tar: archive(t, pax(file("a", ""), "SCHILY.acl.access", "user::rw-")), want: `ACL in text form`},
		{name: "big attributes", tar: archive(t, pax(file("a", ""), "SCHILY.xattr.user.a", strings.Repeat("x", 65<<10))), want: `attributes of`},
		{name: "global header", tar: archive(t, pax(member{Header: tar.Header{Typeflag: tar.TypeXGlobalHeader}}, "uid", "0"), file("f", "")), want: `global header`},
		{name: "many entries", limits: Limits{Entries: 1}, tar: good, want: `more than 1 entries`},
		{name: "big file", limits: Limits{FileSize: 6}, tar: good, want: `7 bytes, more than 6`},
		{name: "big archive", limits: Limits{Total: 13}, tar: archive(t, file("a", "1234567"), file("b", "1234567")), want: `more than 13 bytes, at "b"`},
		{name: "big names", limits: Limits{Meta: 100}, tar: archive(t, dir(strings.Repeat("x/", 60))), want: `names and attributes`},
		{name: "empty", tar: nil, want: `without an end mark`},
		{name: "cut between entries", tar: good[:512], want: `without an end mark after 1`},
		{name: "cut in a header", tar: good[:700], want: `after 1 entries`},
		{name: "cut in a file", tar: good[:1027], want: `unexpected EOF`},
		{name: "cut after a file", tar: good[:1536], want: `without an end mark after 2`},
		{name: "more behind", tar: append(bytes.Clone(good), archive(t, file("evil", ""))...), want: `bytes follow the end`},
		{name: "wrong checksum", tar: patch(good, 0, "x"), want: `invalid tar header`},
		{name: "sparse of GNU", tar: rechecksum(patch(archive(t, member{Header: tar.Header{Typeflag: tar.TypeReg, Name: "a", Format: tar.FormatGNU}}), 156, "S"), 0), want: `sparse`},
		{name: "unknown type", tar: rechecksum(patch(archive(t, file("a", "")), 156, "V"), 0), want: `unknown type`},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := ReadTar(bytes.NewReader(c.tar), c.limits, packSink(map[string][]byte{}))
			if !errors.Is(err, ErrRefused) || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %d entries and error %v, want one with %q", len(got), err, c.want)
			}
		})
	}
}

// patch overwrites bytes of an archive's copy.
func patch(b []byte, at int, with string) []byte {
	b = bytes.Clone(b)
	copy(b[at:], with)
	if at < 100 && with == "/" {
		return rechecksum(b, 0)
	}
	return b
}

// rechecksum makes the header at an offset valid again.
func rechecksum(b []byte, at int) []byte {
	copy(b[at+148:at+156], "        ")
	sum := 0
	for _, c := range b[at : at+512] {
		sum += int(c)
	}
	copy(b[at+148:at+156], fmt.Sprintf("%06o\x00 ", sum))
	return b
}

// TestReadTarErrors holds apart what the archive says and what went wrong.
func TestReadTarErrors(t *testing.T) {
	good := archive(t, dir("."), file("f", "content"))
	full := errors.New("disk full")
	_, err := ReadTar(bytes.NewReader(good), Limits{}, func(Entry, io.Reader) (Content, error) { return Content{}, full })
	if !errors.Is(err, full) || errors.Is(err, ErrRefused) {
		t.Errorf("a sink's error came back as %v", err)
	}
	_, err = ReadTar(io.MultiReader(bytes.NewReader(good[:600]), broken{full}), Limits{}, packSink(map[string][]byte{}))
	if !errors.Is(err, full) || errors.Is(err, ErrRefused) {
		t.Errorf("a reader's error came back as %v", err)
	}
	_, err = ReadTar(bytes.NewReader(good), Limits{}, func(Entry, io.Reader) (Content, error) { return Content{Size: 3}, nil })
	if err == nil || errors.Is(err, ErrRefused) {
		t.Errorf("a sink that took 3 of 7 bytes gave %v", err)
	}
}

type broken struct{ err error }

func (b broken) Read([]byte) (int, error) { return 0, b.err }

// TestReadTarGNU reads what GNU tar writes, in both of its formats.
func TestReadTarGNU(t *testing.T) {
	d := t.TempDir()
	long := strings.Repeat("long", 40)
	for _, cmd := range []string{
		"mkdir -p a/b && echo hi > a/b/z && ln a/b/z a/b/y && ln -s ../x a/s && chmod 2750 a/b && touch -h -d @1000 a/b a/s a/b/y a . ",
		"echo x > a/" + long + " && ln -s " + long + " a/l && touch -h -d @1000 a/l a/" + long + " a",
		"chmod 0644 a/b/z a/" + long + "; chmod 755 a .",
	} {
		run(t, d, "sh", "-c", cmd)
	}
	want := "dir / 0755 5:6\ndir /a 0755 5:6\ndir /a/b 2750 5:6\nfile /a/b/y 0644 5:6 \"hi\\n\"\nhardlink /a/b/z 0644 5:6 -> a/b/y\n" +
		"symlink /a/l 0777 5:6 -> " + long + "\nfile /a/" + long + " 0644 5:6 \"x\\n\"\nsymlink /a/s 0777 5:6 -> ../x\n"
	for _, format := range []string{"gnu", "pax", "posix"} {
		out := run(t, d, "tar", "--format="+format, "--owner=:5", "--group=:6", "-c", ".")
		packs := map[string][]byte{}
		entries, err := ReadTar(strings.NewReader(out), Limits{}, packSink(packs))
		if err != nil {
			t.Fatalf("%s: %v", format, err)
		}
		tree, err := New(entries)
		if err != nil {
			t.Fatalf("%s: %v", format, err)
		}
		if d := cmp.Diff(want, text(tree.entries, packs)); d != "" {
			t.Errorf("%s: %s", format, d)
		}
		if e, _ := tree.Lookup("a/b/y"); e.Mtime != (Time{Sec: 1000}) {
			t.Errorf("%s: time %v", format, e.Mtime)
		}
	}
	// A sparse file is refused in all of GNU tar's four forms.
	run(t, d, "truncate", "-s", "1M", "hole")
	for _, form := range []string{"--format=gnu", "--sparse-version=0.0", "--sparse-version=0.1", "--sparse-version=1.0"} {
		args := []string{"-S", "-c", "hole"}
		if !strings.HasPrefix(form, "--format") {
			args = append(args, "--format=pax")
		}
		out := run(t, d, "tar", append(args, form)...)
		if _, err := ReadTar(strings.NewReader(out), Limits{}, packSink(map[string][]byte{})); !errors.Is(err, ErrRefused) || !strings.Contains(err.Error(), "sparse") {
			t.Errorf("sparse %s: %v", form, err)
		}
	}
}

// run runs an outside program and gives its output.
func run(t testing.TB, dir, name string, args ...string) string {
	t.Helper()
	c := exec.CommandContext(t.Context(), name, args...)
	c.Dir = dir
	c.Env = append(os.Environ(), "LC_ALL=C", "TZ=UTC")
	var stderr bytes.Buffer
	c.Stderr = &stderr
	out, err := c.Output()
	if err != nil {
		t.Fatalf("%s %q: %v: %s%s", name, args, err, out, stderr.Bytes())
	}
	return string(out)
}

func FuzzReadTar(f *testing.F) {
	f.Add(archive(f, dir("."), file("a/b", "content"), link(tar.TypeLink, "a/c", "a/b"), link(tar.TypeSymlink, "d", "/x")))
	f.Add(archive(f, pax(file("ping", "x"), "SCHILY.xattr.user.b", "1"), dir(strings.Repeat("n/", 90))))
	f.Add(rechecksum(patch(archive(f, file("ab", "data")), 156, "S"), 0))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) > 1<<20 {
			return
		}
		packs := map[string][]byte{}
		entries, err := ReadTar(bytes.NewReader(b), Limits{Devices: true, Parents: true, Total: 1 << 20}, packSink(packs))
		if err != nil {
			if !errors.Is(err, ErrRefused) {
				t.Fatalf("an error that is not a refusal: %v", err)
			}
			return
		}
		// What is accepted is a tree, once its root is there.
		if _, err := New(entries); err != nil {
			t.Fatalf("accepted entries are no tree: %v", err)
		}
	})
}
