package rpm

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"ingot/internal/distro"
	"ingot/internal/fault"
	"ingot/internal/tree"
)

const (
	dirMode  = 0o040000
	fileMode = 0o100000
	linkMode = 0o120000
)

// sound is a package with one of everything.
var sound = []madeFile{
	{path: "/", mode: dirMode | 0o555},
	{path: "/dev/null", mode: 0o020000 | 0o666},
	{path: "/etc/made.conf", mode: fileMode | 0o644, flags: flagConfig, data: "a=1\n"},
	{path: "/run/pipe", mode: 0o010000 | 0o600},
	{path: "/usr/bin/again", mode: fileMode | 0o711, inode: 7, data: "twice\n"},
	{path: "/usr/bin/made", mode: fileMode | 0o4755, inode: 7, data: "twice\n", caps: "cap_net_raw=ep"},
	{path: "/usr/lib/link", mode: linkMode | 0o777, link: "../bin/made"},
	{path: "/usr/lib/empty", mode: fileMode | 0o600},
	{path: "/var/log/made", mode: fileMode | 0o600, flags: flagGhost, size: 99, absent: true},
}

const soundTree = `dir 0555 /
dir 0755 /dev
char 0666 /dev/null 0:0
dir 0755 /etc
file 0644 /etc/made.conf "a=1\n"
dir 0755 /run
fifo 0600 /run/pipe
dir 0755 /usr
dir 0755 /usr/bin
file 4755 /usr/bin/again "twice\n" security.capability
hardlink 4755 /usr/bin/made usr/bin/again
dir 0755 /usr/lib
file 0600 /usr/lib/empty ""
symlink 0777 /usr/lib/link ../bin/made
`

func describeTree(t *testing.T, u distro.Unpacked, p *memoryPack) string {
	t.Helper()
	var b strings.Builder
	for e := range u.Tree.All() {
		fmt.Fprintf(&b, "%s %04o /%s", e.Kind, e.Mode, e.Path)
		switch e.Kind {
		case tree.File:
			fmt.Fprintf(&b, " %q", p.Bytes()[e.Content.Offset:e.Content.Offset+e.Content.Size])
		case tree.Symlink, tree.Hardlink:
			fmt.Fprintf(&b, " %s", e.Link)
		case tree.Char, tree.Block:
			fmt.Fprintf(&b, " %d:%d", e.Major, e.Minor)
		case tree.Dir, tree.Fifo:
		}
		for _, x := range e.Xattrs {
			fmt.Fprintf(&b, " %s", x.Name)
		}
		b.WriteByte('\n')
		if e.Owner != "rpm:made" {
			t.Errorf("/%s belongs to %q", e.Path, e.Owner)
		}
	}
	return b.String()
}

func TestUnpackReadsWhatPackagesHold(t *testing.T) {
	strippedPayload := func(m made) made {
		m.payload = nil
		for i, f := range sound {
			switch {
			case f.flags&flagGhost != 0:
			case f.link != "":
				m.payload = append(m.payload, stripped(i, f.link)...)
			case f.path == "/usr/bin/again":
				m.payload = append(m.payload, stripped(i, "")...)
			default:
				m.payload = append(m.payload, stripped(i, f.data)...)
			}
		}
		m.payload = append(m.payload, newc(cpioTrailer, "")...)
		return m
	}
	for _, c := range []struct {
		name string
		make func(made) made
	}{
		{"plain", func(m made) made { return m }},
		{"gzip", func(m made) made { m.wrap = gzipped; return m }},
		{"zeros after the end", func(m made) made { m.tail = make([]byte, 600); return m }},
		{"stripped form", strippedPayload},
	} {
		t.Run(c.name, func(t *testing.T) {
			u, p, err := unpackMade(t, c.make(pack(sound, word(tagPostIn, "echo hello\n"), word(tagPostInProg, "/bin/sh"))))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(soundTree, describeTree(t, u, p)); diff != "" {
				t.Errorf("tree (-want +got):\n%s", diff)
			}
			want := []string{"", "dev/null", "etc/made.conf", "run/pipe", "usr/bin/again", "usr/bin/made", "usr/lib/link", "usr/lib/empty"}
			if !slices.Equal(u.Order, want) {
				t.Errorf("order is %q, want %q", u.Order, want)
			}
			if got := string(u.Control["postin"].Data); got != "echo hello\n" {
				t.Errorf("control member postin is %q", got)
			}
			if _, err := controlHeader(u.Package); err != nil {
				t.Errorf("control member header: %v", err)
			}
		})
	}
}

func TestUnpackRefusesWhatIsNotSound(t *testing.T) {
	file := func(f madeFile) []madeFile {
		if f.mode == 0 {
			f.mode = fileMode | 0o644
		}
		return []madeFile{f}
	}
	plain := madeFile{path: "/etc/a", mode: fileMode | 0o644, data: "abc"}
	with := func(m made, change func(*made)) made {
		change(&m)
		return m
	}
	for _, c := range []struct {
		name, want string
		made       made
	}{
		{"empty", "0 bytes are less than its lead", made{mangle: func([]byte) []byte { return nil }}},
		{"other magic", "does not begin as one", with(pack(nil), func(m *made) { m.mangle = func(b []byte) []byte { b[0] = 0; return b } })},
		{"cut short", "it ends early", with(pack(nil), func(m *made) { m.mangle = func(b []byte) []byte { return b[:leadSize+4] } })},
		{"greedy header", "do not fit", with(pack(nil), func(m *made) {
			m.mangle = func(b []byte) []byte { copy(b[leadSize+12:], "\xff\xff\xff\xff"); return b }
		})},
		{"other package", "it says that it is made 1-1 x86_64", made{tags: []madeTag{word(tagName, "made"), word(tagVersion, "1"), word(tagRelease, "1"), word(tagArch, "x86_64")}}},
		{"source package", "source package", pack(nil, numbers(tagSourcePackage, uint32(1)))},
		{"delta package", `payload is "drpm"`, pack(nil, word(tagPayloadFormat, "drpm"))},
		{"tag twice", "tag 1000 is there twice", pack(nil, word(tagName, "made"))},
		{"string without end", "ends without a NUL", pack(nil, madeTag{tagPostIn, typeString, 1, []byte("x")})},
		{"strings without number", "leads out of its header", pack(nil, madeTag{tagPostIn, typeStringArray, 1 << 31, []byte("x\x00")})},
		{"climbing path", `has a part ".."`, pack(file(madeFile{path: "/usr/../../etc/x"}))},
		{"relative directory", "is no path", pack(file(madeFile{path: "etc/x"}))},
		{"socket", "mode 140644", pack(file(madeFile{path: "/x", mode: 0o140644}))},
		{"path twice", `"/etc/a" is there twice`, pack([]madeFile{plain, plain})},
		{"below a link", "is a symlink", pack([]madeFile{{path: "/etc", mode: linkMode | 0o777, link: "/tmp"}, plain})},
		{"other bytes", "not those that the header names", pack(file(madeFile{path: "/x", data: "abc", digest: strings.Repeat("0", 64)}))},
		{"other size", "the payload has 3 bytes of it, the header 4", pack(file(madeFile{path: "/x", data: "abc", size: 4}))},
		{"file not in payload", "lacks /etc/a", pack(file(madeFile{path: "/etc/a", absent: true}))},
		{"file not in header", `has "/etc/shadow"`, pack(file(madeFile{path: "/etc/a", name: "./etc/shadow"}))},
		{"ghost in payload", "should not be there", pack(file(madeFile{path: "/etc/a", flags: flagGhost}))},
		{"file again in payload", "not again", with(pack(file(plain)), func(m *made) { m.payload = append(newc("./etc/a", "abc"), m.payload...) })},
		{"number out of range", "file 9 that", with(pack(file(plain)), func(m *made) { m.payload = stripped(9, "") })},
		{"link leads elsewhere", "disagree on where", with(pack(file(madeFile{path: "/l", mode: linkMode | 0o777, link: "aaa"})), func(m *made) {
			m.payload = bytes.Replace(m.payload, []byte("aaa"), []byte("bbb"), 1)
		})},
		{"unknown capability", `"cap_fly" is not known`, pack(file(madeFile{path: "/x", data: "x", caps: "cap_fly=ep"}))},
		{"payload without end", "ends early", with(pack(file(plain)), func(m *made) { m.payload = m.payload[:len(m.payload)-130] })},
		{"more after the end", "bytes follow the end", with(pack(file(plain)), func(m *made) { m.tail = []byte("more") })},
		{"lzma", "old lzma form", with(pack(nil), func(m *made) { m.payload = []byte("\x5d\x00\x00\x80\x00\xff\xff") })},
		{"damaged gzip", "gzip", with(pack(file(plain)), func(m *made) {
			m.wrap = func(b []byte) []byte { z := gzipped(b); z[len(z)-5] ^= 1; return z }
		})},
		{"links of two sizes", "differ in size", pack([]madeFile{{path: "/a", mode: fileMode, inode: 3, data: "a"}, {path: "/b", mode: fileMode, inode: 3, data: "bb"}})},
		{"links without bytes", "lacks the bytes", with(pack([]madeFile{{path: "/a", mode: fileMode, inode: 3, data: "aa"}, {path: "/b", mode: fileMode, inode: 3, data: "aa"}}), func(m *made) {
			m.payload = slices.Concat(newc("./a", ""), newc("./b", ""), newc(cpioTrailer, ""))
		})},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, _, err := unpackMade(t, c.made)
			if err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), "cannot unpack made 1-1") {
				t.Fatalf("error is %v, want one with %q", err, c.want)
			}
			if fault.CodeOf(err) != fault.Verification {
				t.Errorf("exit code is %d, want %d", fault.CodeOf(err), fault.Verification)
			}
		})
	}
}

func FuzzUnpack(f *testing.F) {
	f.Add(pack(nil).bytes())
	f.Add(pack(sound, word(tagPostIn, "true"), words(tagPostInProg, "/bin/sh", "-e")).bytes())
	m := pack(sound[:3])
	m.wrap = gzipped
	f.Add(m.bytes())
	m = pack([]madeFile{{path: "/a", mode: fileMode | 0o644, data: "abc"}})
	m.payload = slices.Concat(stripped(0, "abc"), newc(cpioTrailer, ""))
	f.Add(m.bytes())
	f.Fuzz(func(t *testing.T, data []byte) {
		if len(data) > 1<<16 {
			return
		}
		p := &memoryPack{}
		u, err := readPackage(t, madeRef(data), bytes.NewReader(data), p)
		if err != nil {
			if fault.CodeOf(err) != fault.Verification {
				t.Fatalf("exit code %d of %v", fault.CodeOf(err), err)
			}
			return
		}
		for e := range u.Tree.All() {
			if e.Kind == tree.File && e.Content.Offset+e.Content.Size > p.Size() {
				t.Errorf("/%s lies beyond the pack", e.Path)
			}
		}
		// What comes after must not fall over what Unpack lets pass.
		if _, err := newPkg(u); err != nil {
			t.Logf("install: %v", err)
		}
		_ = Family{}.Describe(u.Package)
		if _, err := (Family{}).Lay([]distro.Unpacked{u}, "amd64", 0); err != nil {
			t.Logf("lay: %v", err)
		}
	})
}
