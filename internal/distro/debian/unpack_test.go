package debian

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"ingot/internal/distro"
	"ingot/internal/distro/debian/debtest"
	"ingot/internal/fault"
	"ingot/internal/tree"
)

// sound is a package with one of everything that a Debian package may hold.
func sound() debtest.Deb {
	return debtest.Deb{
		Fields: "Depends: libc6 (>= 2.36) | musl, a\nDescription: made\n for a test\n",
		Control: []debtest.File{
			{Name: "./postinst", Mode: 0o755, Data: "#!/bin/sh\n"},
			{Name: "./conffiles", Data: "/etc/made.conf\n"},
			{Name: "./triggers"},
			{Name: "./prerm", Type: '1', Link: "./postinst"},
			{Name: "./deeper/postrm", Data: "ignored"},
		},
		Files: append(debtest.Files(`dir usr
			program usr/bin/made twice
			link usr/bin/again usr/bin/made
			file etc/made.conf a=1
			symlink usr/lib/out ../../../etc/shadow
			symlink usr/lib/absolute /etc/shadow
			file usr/lib/empty`),
			debtest.File{Name: "./usr/bin/su", Mode: 0o4755, Data: "root"}),
	}
}

const soundTree = `dir 0755 /
dir 0755 /etc
file 0644 /etc/made.conf "a=1"
dir 0755 /usr
dir 0755 /usr/bin
file 0755 /usr/bin/again "twice"
hardlink 0755 /usr/bin/made usr/bin/again
file 4755 /usr/bin/su "root"
dir 0755 /usr/lib
symlink 0777 /usr/lib/absolute /etc/shadow
file 0644 /usr/lib/empty ""
symlink 0777 /usr/lib/out ../../../etc/shadow
`

// inspectAndUnpack reads a package file.
func inspectAndUnpack(ctx context.Context, ref distro.Ref, data []byte, pack distro.Pack) (distro.Unpacked, error) {
	file := bytes.NewReader(data)
	p, err := Debian{}.Inspect(ctx, ref, file)
	if err != nil {
		return distro.Unpacked{}, err
	}
	return Debian{}.Unpack(ctx, p, file, pack)
}

// describeTree is a tree as text.
func describeTree(entries []tree.Entry, pack []byte) string {
	var b strings.Builder
	for _, e := range entries {
		fmt.Fprintf(&b, "%s %04o /%s", e.Kind, e.Mode, e.Path)
		switch e.Kind {
		case tree.File:
			fmt.Fprintf(&b, " %q", pack[e.Content.Offset:e.Content.Offset+e.Content.Size])
		case tree.Symlink, tree.Hardlink:
			fmt.Fprintf(&b, " %s", e.Link)
		case tree.Dir, tree.Fifo, tree.Char, tree.Block:
		}
		b.WriteByte('\n')
	}
	return b.String()
}

func TestUnpackReadsWhatPackagesHold(t *testing.T) {
	// The same data.tar as xz and bzip2 write it.
	stored := func(suffix string) func([]debtest.Member) []debtest.Member {
		return func(m []debtest.Member) []debtest.Member {
			data, err := os.ReadFile("testdata/sound.tar" + suffix)
			if err != nil {
				t.Fatal(err)
			}
			m[2] = debtest.Member{Name: "data.tar" + suffix, Data: data}
			return m
		}
	}
	for _, c := range []struct {
		summary string
		suffix  string
		change  func([]debtest.Member) []debtest.Member
		anyhow  bool // the order of what the archive leaves out is nobody's
	}{
		{summary: "not compressed"},
		{summary: "gzip", suffix: ".gz"},
		{summary: "zstd", suffix: ".zst"},
		{summary: "xz", change: stored(".xz")},
		{summary: "bzip2", change: stored(".bz2")},
		{summary: "two gzip members", change: func(m []debtest.Member) []debtest.Member {
			cut := len(m[2].Data) / 2
			m[2] = debtest.Member{Name: "data.tar.gz", Data: append(debtest.Compress(".gz", m[2].Data[:cut]), debtest.Compress(".gz", m[2].Data[cut:])...)}
			return m
		}},
		{summary: "names of members with a slash", change: func(m []debtest.Member) []debtest.Member {
			for i := range m {
				m[i].Name += "/"
			}
			return m
		}},
		{summary: "a later minor version", change: func(m []debtest.Member) []debtest.Member {
			m[0].Data = []byte("2.1\nmore\n")
			return m
		}},
		{summary: "members to be ignored", change: func(m []debtest.Member) []debtest.Member {
			return []debtest.Member{m[0], {Name: "_signature", Data: []byte("odd")}, m[1], {Name: "_more"}, m[2], {Name: "later", Data: []byte("x")}}
		}},
		{summary: "no directories", anyhow: true, change: func(m []debtest.Member) []debtest.Member {
			m[2].Data = debtest.Tar(slices.DeleteFunc(sound().Files, func(f debtest.File) bool { return f.Type == '5' && f.Name != "./" })...)
			return m
		}},
		{summary: "padding after the tar's end", change: func(m []debtest.Member) []debtest.Member {
			m[2].Data = append(m[2].Data, make([]byte, 10240)...)
			return m
		}},
	} {
		t.Run(c.summary, func(t *testing.T) {
			deb := sound()
			deb.Suffix, deb.Change = c.suffix, c.change
			var pack debtest.Pack
			u, err := inspectAndUnpack(t.Context(), deb.Ref("test"), deb.Bytes(), &pack)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(soundTree, describeTree(u.Tree.Entries(), pack.Bytes())); diff != "" {
				t.Errorf("tree (-want +got):\n%s", diff)
			}
			for e := range u.Tree.All() {
				if e.Owner != "deb:made" {
					t.Errorf("/%s belongs to %q", e.Path, e.Owner)
				}
			}
			wantOrder := []string{"", "usr", "usr/bin", "usr/bin/made", "usr/bin/again", "etc", "etc/made.conf", "usr/lib", "usr/lib/out", "usr/lib/absolute", "usr/lib/empty", "usr/bin/su"}
			if c.anyhow {
				slices.Sort(wantOrder)
				slices.Sort(u.Order)
			}
			if diff := cmp.Diff(wantOrder, u.Order); diff != "" {
				t.Errorf("order (-want +got):\n%s", diff)
			}
			var control []string
			for _, name := range slices.Sorted(maps.Keys(u.Control)) {
				control = append(control, fmt.Sprintf("%s %04o %q", name, u.Control[name].Mode, u.Control[name].Data))
			}
			wantControl := []string{`conffiles 0644 "/etc/made.conf\n"`, fmt.Sprintf("control 0644 %q", deb.Stanza()), `postinst 0755 "#!/bin/sh\n"`, `prerm 0755 "#!/bin/sh\n"`, `triggers 0644 ""`}
			if diff := cmp.Diff(wantControl, control); diff != "" {
				t.Errorf("control members (-want +got):\n%s", diff)
			}
		})
	}
}

// longLink is a GNU header that gives the next file a long name.
func longLink(kind byte, name string) debtest.File {
	return debtest.File{Name: "././@LongLink", Type: kind, Data: name + "\x00"}
}

// paxHeader gives the next file records of pax.
func paxHeader(records ...string) debtest.File {
	var b strings.Builder
	for _, r := range records {
		n := len(r) + 3 // a blank, a newline and a digit
		for len(fmt.Sprint(n))+len(r)+2 > n {
			n++
		}
		fmt.Fprintf(&b, "%d %s\n", n, r)
	}
	return debtest.File{Name: "PaxHeaders/x", Type: 'x', Data: b.String()}
}

func TestUnpackRefusesWhatIsNotSound(t *testing.T) {
	const name, data = 1, 2 // of members: control, data
	member := func(at int, change func(*debtest.Member)) debtest.Deb {
		d := sound()
		d.Change = func(m []debtest.Member) []debtest.Member { change(&m[at]); return m }
		return d
	}
	members := func(change func(m []debtest.Member) []debtest.Member) debtest.Deb {
		d := sound()
		d.Change = change
		return d
	}
	files := func(f ...debtest.File) debtest.Deb { return debtest.Deb{Files: f} }
	lines := func(text string) debtest.Deb { return debtest.Deb{Files: debtest.Files(text)} }
	control := func(f ...debtest.File) debtest.Deb { return debtest.Deb{Control: f} }
	conffiles := func(list string) debtest.Deb {
		d := sound()
		d.Control = []debtest.File{{Name: "./conffiles", Data: list}}
		return d
	}
	cut := func(n int) func([]byte) []byte { return func(b []byte) []byte { return b[:len(b)-n] } }
	same := func(b []byte) []byte { return b }
	at := func(i int, s string) func([]byte) []byte {
		return func(b []byte) []byte { copy(b[i:], s); return b }
	}
	var many []debtest.File
	for i := range 1000 {
		many = append(many, debtest.File{Name: fmt.Sprintf("./%d", i)})
	}
	const head = 8 + 60 + 4 // where the header of control.tar begins
	for _, c := range []struct {
		summary string
		deb     debtest.Deb
		mangle  func([]byte) []byte // of the file; nil leaves it
		want    string
	}{
		// ar
		{"empty", sound(), func([]byte) []byte { return nil }, "does not begin like an ar archive"},
		{"other magic", sound(), at(0, "!<thin>\n"), "does not begin like an ar archive"},
		{"magic alone", sound(), func(b []byte) []byte { return b[:8] }, "first member is not debian-binary"},
		{"header cut short", sound(), func(b []byte) []byte { return b[:head+30] }, "cut short in the header at byte 72"},
		{"no header", sound(), at(head+58, "xx"), "no member header at byte 72"},
		{"member larger than the file", sound(), cut(1), "the member at byte"},
		{"size that is no number", sound(), at(head+48, "12x       "), "the member at byte 72 is larger"},
		{"negative size", sound(), at(head+48, "-1        "), "the member at byte 72 is larger"},
		{"greatest size", sound(), at(head+48, "9999999999"), "the member at byte 72 is larger"},
		{"many members", members(func(m []debtest.Member) []debtest.Member {
			for range maxMembers {
				m = append(m, debtest.Member{Name: "x"})
			}
			return m
		}), same, "more than 32 members"},
		// deb
		{"no debian-binary", members(func(m []debtest.Member) []debtest.Member { return m[1:] }), nil, "first member is not debian-binary"},
		{"format 1", member(0, func(m *debtest.Member) { m.Data = []byte("1.0\n") }), nil, `format version "1.0", not 2`},
		{"format 20", member(0, func(m *debtest.Member) { m.Data = []byte("20\n") }), nil, `format version "20", not 2`},
		{"no control", members(func(m []debtest.Member) []debtest.Member { return append(m[:1], m[2]) }), nil, "lacks control.tar or data.tar"},
		{"no data", members(func(m []debtest.Member) []debtest.Member { return m[:2] }), nil, "lacks control.tar or data.tar"},
		{"data before control", members(func(m []debtest.Member) []debtest.Member { m[1], m[2] = m[2], m[1]; return m }), nil, "lacks control.tar or data.tar"},
		{"unknown compression", member(data, func(m *debtest.Member) { m.Name = "data.tar.lzo" }), nil, "data.tar.lzo has an unknown compression"},
		{"a name that only begins right", member(data, func(m *debtest.Member) { m.Name = "data.tarball" }), nil, "data.tarball has an unknown compression"},
		// compression
		{"control that is no gzip", member(name, func(m *debtest.Member) { m.Name += ".gz" }), nil, "control.tar.gz: "},
		{"data that is no gzip", member(data, func(m *debtest.Member) { m.Name += ".gz" }), nil, "data.tar.gz: "},
		{"data that is no xz", member(data, func(m *debtest.Member) { m.Name += ".xz" }), nil, "data.tar.xz: "},
		{"data that is no zstd", member(data, func(m *debtest.Member) { m.Name += ".zst" }), nil, "data.tar.zst: "},
		{"data that is no bzip2", member(data, func(m *debtest.Member) { m.Name += ".bz2" }), nil, "data.tar.bz2: "},
		{"damaged gzip", member(data, func(m *debtest.Member) {
			m.Name, m.Data = m.Name+".gz", debtest.Compress(".gz", m.Data)
			m.Data[len(m.Data)-5] ^= 1
		}), nil, "data.tar.gz: "},
		{"zstd cut short", member(data, func(m *debtest.Member) {
			m.Name, m.Data = m.Name+".zst", debtest.Compress(".zst", m.Data)
			m.Data = m.Data[:len(m.Data)-3]
		}), nil, "data.tar.zst: "},
		// control
		{"no control file", member(name, func(m *debtest.Member) { m.Data = debtest.Tar(debtest.File{Name: "./postinst", Data: "x"}) }), nil, "it has no control file"},
		{"another package", member(name, func(m *debtest.Member) {
			m.Data = debtest.Tar(debtest.File{Name: "./control", Data: debtest.Deb{Name: "other"}.Stanza()})
		}), nil, "it says that it is other 1-1 all"},
		{"another version", member(name, func(m *debtest.Member) {
			m.Data = debtest.Tar(debtest.File{Name: "./control", Data: debtest.Deb{Version: "1-2"}.Stanza()})
		}), nil, "it says that it is made 1-2 all"},
		{"another architecture", member(name, func(m *debtest.Member) {
			m.Data = debtest.Tar(debtest.File{Name: "./control", Data: debtest.Deb{Arch: "amd64"}.Stanza()})
		}), nil, "it says that it is made 1-1 amd64"},
		{"two stanzas", debtest.Deb{Fields: "\nPackage: other"}, nil, "more than one stanza"},
		{"not a field", debtest.Deb{Fields: "what"}, nil, `line "what" is not a field`},
		{"dependencies that cannot be read", debtest.Deb{Fields: "Depends: a (>= 1"}, nil, "Depends: "},
		{"relations of replacing that cannot be read", debtest.Deb{Fields: "Replaces: |"}, nil, "Replaces: "},
		{"control twice", control(debtest.File{Name: "./control", Data: "x"}), nil, `"control" is there twice`},
		{"script that is a link", control(debtest.File{Name: "./postinst", Type: '2', Link: "/bin/sh"}), nil, "control member postinst is a symlink"},
		{"script outside", control(debtest.File{Name: "../postinst", Data: "x"}), nil, `has a part ".."`},
		{"script that is a device", control(debtest.File{Name: "./postinst", Type: '3'}), nil, "is a device or fifo"},
		{"huge script", control(debtest.File{Name: "./postinst", Claim: maxControl + 1}), nil, "bytes, more than"},
		{"a word of dpkg's own record", debtest.Deb{Fields: "Status: install ok installed"}, nil, "field Status is not allowed in this context"},
		{"another of them", debtest.Deb{Fields: "config-version: 1"}, nil, "field config-version is not allowed in this context"},
		{"conffiles on record", debtest.Deb{Fields: "Conffiles:\n /etc/shadow 00000000000000000000000000000000"}, nil, "field Conffiles is not allowed in this context"},
		{"triggers pending", debtest.Deb{Fields: "Triggers-Pending: a"}, nil, "field Triggers-Pending is not allowed in this context"},
		{"triggers awaited", debtest.Deb{Fields: "Triggers-Awaited: a"}, nil, "field Triggers-Awaited is not allowed in this context"},
		{"a field twice", debtest.Deb{Fields: "Section: a\nsection: b"}, nil, "field section is there twice"},
		{"essential, perhaps", debtest.Deb{Fields: "Essential: maybe"}, nil, "neither yes nor no"},
		{"an unknown kind of Multi-Arch", debtest.Deb{Fields: "Multi-Arch: odd"}, nil, "field Multi-Arch has the unknown value"},
		{"the same of no architecture", debtest.Deb{Fields: "Multi-Arch: same"}, nil, "of no architecture"},
		{"conffile that is not absolute", conffiles("etc/made.conf\n"), nil, `conffile name "etc/made.conf" is not an absolute pathname`},
		{"conffile that leads up", conffiles("/etc/../made.conf\n"), nil, `conffile name "/etc/../made.conf" leads up`},
		{"conffile without its newline", conffiles("/etc/made.conf"), nil, `conffile name "/etc/made.conf" lacks its newline`},
		{"conffile behind a blank", conffiles(" /etc/made.conf\n"), nil, `unknown flag "" for conffile`},
		{"conffile with an unknown flag", conffiles("odd /etc/made.conf\n"), nil, `unknown flag "odd" for conffile`},
		{"conffile to be removed that is not absolute", conffiles("remove-on-upgrade etc/x\n"), nil, `conffile name "etc/x" is not an absolute pathname`},
		{"flag without a conffile", conffiles("remove-on-upgrade \n"), nil, "is not an absolute pathname"},
		{"conffile to be removed that is there", conffiles("remove-on-upgrade /etc/made.conf\n"), nil, "is marked for removal on upgrade and is in the package"},
		{"conffile that is a directory", conffiles("/etc\n"), nil, `conffile "/etc" is a directory`},
		{"unknown directive of triggers", control(debtest.File{Name: "./triggers", Data: "odd x\n"}), nil, `unknown directive "odd"`},
		{"trigger that leads up", control(debtest.File{Name: "./triggers", Data: "interest ../../x\n"}), nil, `triggers has the line "interest ../../x"`},
		{"trigger with a tail", control(debtest.File{Name: "./triggers", Data: "interest x y\n"}), nil, `triggers has the line "interest x y"`},
		{"many control members", control(many...), nil, "more than 1000 entries"},
		{"control without end", member(name, func(m *debtest.Member) { m.Data = m.Data[:len(m.Data)-1024] }), nil, "without an end mark"},
		// data: names
		{"path up", files(debtest.File{Name: "./usr/../../x", Data: "x"}), nil, `has a part ".."`},
		{"path up at once", files(debtest.File{Name: "../x", Data: "x"}), nil, `has a part ".."`},
		{"absolute path", files(debtest.File{Name: "/etc/x", Data: "x"}), nil, "empty part"},
		{"empty name", files(debtest.File{Name: "", Data: "x"}), nil, "is not relative"},
		{"root that is a file", files(debtest.File{Name: "./", Data: "x"}), nil, "has a directory's name"},
		{"root that is a link", files(debtest.File{Name: ".", Type: '2', Link: "/"}), nil, "its root is a symlink"},
		{"path twice", lines("file a 1\nfile a 2"), nil, `"a" is there twice`},
		{"path twice, by two names", files(debtest.File{Name: "./a", Data: "1"}, debtest.File{Name: "a", Data: "2"}), nil, `"a" is there twice`},
		{"file and directory", files(debtest.File{Name: "./a/b"}, debtest.File{Name: "./a"}), nil, `"a" is a directory and a file`},
		{"directory where a file is", files(debtest.File{Name: "./a"}, debtest.File{Name: "./a/", Type: '5'}), nil, `"a" is there twice`},
		{"below a link", files(debtest.File{Name: "./usr/lib", Type: '2', Link: "/etc"}, debtest.File{Name: "./usr/lib/x"}), nil, `lies below "usr/lib", which is a symlink`},
		{"below a file", files(debtest.File{Name: "./usr/lib"}, debtest.File{Name: "./usr/lib/x"}), nil, `lies below "usr/lib", which is a file`},
		{"long name up", files(longLink('L', "./"+strings.Repeat("a/", 60)+"../../x"), debtest.File{Name: "./short", Data: "x"}), nil, `has a part ".."`},
		{"pax name up", files(paxHeader("path=../../etc/x"), debtest.File{Name: "./short", Data: "x"}), nil, `has a part ".."`},
		{"long part", files(longLink('L', "./"+strings.Repeat("a", 256)), debtest.File{Name: "./short", Data: "x"}), nil, "longer than 255 bytes"},
		{"name with a newline", files(debtest.File{Name: "./usr/share/nl/b\n/etc/shadow", Data: "x"}), nil, "newline not allowed in the name"},
		{"directory with a newline", files(debtest.File{Name: "./usr/share/nl/b\n/etc/", Type: '5'}), nil, "newline not allowed in the name"},
		{"parent with a newline", files(debtest.File{Name: "./usr/b\n/x", Data: "x"}), nil, "newline not allowed in the name"},
		{"pax name with a newline", files(paxHeader("path=a\n/etc/shadow"), debtest.File{Name: "./short", Data: "x"}), nil, "newline not allowed in the name"},
		{"hard link by a newline", files(debtest.File{Name: "./a", Data: "x"}, debtest.File{Name: "./b", Type: '1', Link: "./a\n"}), nil, "no file before it"},
		{"dpkg's status", files(debtest.File{Name: "./var/lib/dpkg/status", Data: "x"}), nil, "is a record of dpkg's own database"},
		{"dpkg's records as a link", files(debtest.File{Name: "./var/lib/dpkg/info", Type: '2', Link: "/tmp"}), nil, "is a record of dpkg's own database"},
		{"another package's script", files(debtest.File{Name: "./var/lib/dpkg/info/dpkg.postinst", Mode: 0o755, Data: "x"}), nil, "is a record of dpkg's own database"},
		{"a trigger on record", files(debtest.File{Name: "./var/lib/dpkg/triggers/File", Data: "x"}), nil, "is a record of dpkg's own database"},
		{"ingot's directory of scripts", files(debtest.File{Name: "./.ingot-script/x", Data: "x"}), nil, "ingot's own while it builds"},
		{"ingot's directory beside the image", files(debtest.File{Name: "./.station", Data: "x"}), nil, "ingot's own while it builds"},
		// data: owners
		{"user beyond all", files(paxHeader("uid=4294967294"), debtest.File{Name: "./a", Data: "x"}), nil, "belongs to user 4294967294 and group 0"},
		{"group beyond those of a sandbox", files(paxHeader("gid=65536"), debtest.File{Name: "./a", Data: "x"}), nil, "belongs to user 0 and group 65536"},
		// data: links
		{"hard link out of the tree", files(debtest.File{Name: "./a", Type: '1', Link: "../../etc/shadow"}), nil, `has a part ".."`},
		{"absolute hard link", files(debtest.File{Name: "./a", Type: '1', Link: "/etc/shadow"}), nil, "empty part"},
		{"hard link to nothing", lines("link a etc/shadow"), nil, "no file before it"},
		{"hard link to a directory", lines("dir etc\nlink a etc"), nil, "no file before it"},
		{"hard link to itself", lines("link a a"), nil, "no file before it"},
		{"hard link to what comes later", lines("link a b\nfile b 1"), nil, "no file before it"},
		{"link to nowhere", lines("symlink a"), nil, "a target of 0 bytes"},
		// data: types and sizes
		{"character device", files(debtest.File{Name: "./dev/null", Type: '3'}), nil, "is a device or fifo"},
		{"block device", files(debtest.File{Name: "./dev/sda", Type: '4'}), nil, "is a device or fifo"},
		{"fifo", files(debtest.File{Name: "./run/pipe", Type: '6'}), nil, "is a device or fifo"},
		{"unknown type", files(debtest.File{Name: "./a", Type: 'Z'}), nil, "unknown type"},
		{"part of a volume", files(debtest.File{Name: "./a", Type: 'M'}), nil, "unknown type"},
		{"GNU sparse file", files(debtest.File{Name: "./a", Type: 'S', Data: "x"}), nil, "data.tar: "},
		{"pax sparse file", files(paxHeader("GNU.sparse.major=1", "GNU.sparse.minor=0", "GNU.sparse.name=a", "GNU.sparse.realsize=9000000000"), debtest.File{Name: "./a", Data: "1\n0\n1\n" + strings.Repeat("\x00", 506) + "x"}), nil, "data.tar: "},
		{"file larger than the package", files(debtest.File{Name: "./a", Claim: 4096}), nil, "data.tar: "},
		{"file larger than any", files(debtest.File{Name: "./a", Claim: 1<<33 - 1}), nil, "data.tar: "},
		{"pax size out of bounds", files(paxHeader("size=9223372036854775807"), debtest.File{Name: "./a"}), nil, "data.tar: "},
		{"data without end", member(data, func(m *debtest.Member) { m.Data = m.Data[:len(m.Data)-1024] }), nil, "without an end mark"},
		{"data cut in a file", member(data, func(m *debtest.Member) { m.Data = m.Data[:700] }), nil, "data.tar: "},
		{"bytes after the end", member(data, func(m *debtest.Member) { m.Data = append(m.Data, strings.Repeat("x", 512)...) }), nil, "bytes follow the end"},
		{"damaged header", member(data, func(m *debtest.Member) { m.Data[0] ^= 1 }), nil, "data.tar: "},
	} {
		t.Run(c.summary, func(t *testing.T) {
			file := c.deb.Bytes()
			if c.mangle != nil {
				file = c.mangle(file)
			}
			ref := debtest.Deb{}.Ref("test")
			ref.Size = int64(len(file))
			var pack debtest.Pack
			_, err := inspectAndUnpack(t.Context(), ref, file, &pack)
			if err == nil || !strings.Contains(err.Error(), c.want) || !strings.HasPrefix(err.Error(), "cannot unpack made 1-1: ") {
				t.Fatalf("error is %v, want one with %q", err, c.want)
			}
			if fault.CodeOf(err) != fault.Verification || fault.HintOf(err) == "" {
				t.Errorf("exit code is %d, want %d; hint %q", fault.CodeOf(err), fault.Verification, fault.HintOf(err))
			}
			if pack.Size() > int64(len(file)) {
				t.Errorf("%d bytes came out of %d", pack.Size(), len(file))
			}
		})
	}
}

func TestUnpackStopsWhenAsked(t *testing.T) {
	ctx, stop := context.WithCancel(t.Context())
	stop()
	var pack debtest.Pack
	deb := sound()
	if _, err := inspectAndUnpack(ctx, deb.Ref("test"), deb.Bytes(), &pack); fault.CodeOf(err) != fault.Interrupted {
		t.Errorf("error is %v", err)
	}
}

// A brokenPack is on a disk that is full.
type brokenPack struct{ debtest.Pack }

func (*brokenPack) Write([]byte) (int, error) { return 0, syscall.ENOSPC }

func TestUnpackSaysWhatThePackSaid(t *testing.T) {
	deb := sound()
	if _, err := inspectAndUnpack(t.Context(), deb.Ref("test"), deb.Bytes(), &brokenPack{}); !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("error is %v", err)
	}
}

// A boundedPack is full after what a small package may reasonably hold.
type boundedPack struct{ debtest.Pack }

func (p *boundedPack) Write(b []byte) (int, error) {
	if p.Size()+int64(len(b)) > 16<<20 {
		return 0, syscall.ENOSPC
	}
	return p.Pack.Write(b)
}

// seeds are packages for the fuzzers to begin with.
func seeds(f *testing.F) {
	for _, suffix := range []string{"", ".gz", ".zst"} {
		deb := sound()
		deb.Suffix = suffix
		f.Add(deb.Bytes())
	}
	for _, suffix := range []string{".xz", ".bz2"} {
		data, err := os.ReadFile("testdata/sound.tar" + suffix)
		if err != nil {
			f.Fatal(err)
		}
		deb := sound()
		deb.Change = func(m []debtest.Member) []debtest.Member {
			m[2] = debtest.Member{Name: "data.tar" + suffix, Data: data}
			return m
		}
		f.Add(deb.Bytes())
	}
	f.Add(debtest.Deb{Files: []debtest.File{longLink('L', "./"+strings.Repeat("a/", 60)+"b"), {Name: "./short", Data: "x"}, paxHeader("path=p", "SCHILY.xattr.user.a=b"), {Name: "./q"}}}.Bytes())
}

func FuzzInspect(f *testing.F) {
	seeds(f)
	f.Fuzz(func(t *testing.T, data []byte) {
		if len(data) > 1<<16 {
			return
		}
		ref := debtest.Deb{}.Ref("test")
		ref.Size = int64(len(data))
		p, err := Debian{}.Inspect(t.Context(), ref, bytes.NewReader(data))
		if err != nil {
			if fault.CodeOf(err) != fault.Verification {
				t.Fatalf("exit code %d of %v", fault.CodeOf(err), err)
			}
			return
		}
		// What comes after must not fall over what Inspect lets pass.
		d, err := newDeb(p)
		if err != nil {
			t.Fatalf("a package that passed: %v", err)
		}
		if n := (Debian{}).Describe(p).Installed; n < 0 {
			t.Errorf("it installs %d bytes", n)
		}
		phases([]*deb{d, d}, true)
		var tr triggers
		tr.add([]*deb{d})
		tr.records()
		read, err := parseControl(d.statusStanza())
		if err != nil || read["Package"] != "made" || read["Status"] != "install ok unpacked" {
			t.Errorf("its record reads as %q: %v", read, err)
		}
	})
}

func FuzzUnpack(f *testing.F) {
	seeds(f)
	f.Fuzz(func(t *testing.T, data []byte) {
		if len(data) > 1<<16 {
			return
		}
		ref := debtest.Deb{}.Ref("test")
		ref.Size = int64(len(data))
		var pack boundedPack
		u, err := Debian{}.Unpack(t.Context(), distro.Package{Ref: ref, Control: map[string]distro.ControlFile{
			"control":   {Mode: 0o644, Data: []byte(debtest.Deb{}.Stanza())},
			"conffiles": {Mode: 0o644, Data: []byte("/a\n/etc/made.conf\n")},
		}}, bytes.NewReader(data), &pack)
		if err != nil {
			if fault.CodeOf(err) != fault.Verification {
				t.Fatalf("exit code %d of %v", fault.CodeOf(err), err)
			}
			return
		}
		if len(u.Order) != u.Tree.Len() {
			t.Errorf("%d paths of %d are in order", len(u.Order), u.Tree.Len())
		}
		for e := range u.Tree.All() {
			if e.Kind == tree.File && (e.Content.Offset < 0 || e.Content.Size < 0 || e.Content.Offset+e.Content.Size > pack.Size()) {
				t.Errorf("/%s lies beyond the pack", e.Path)
			}
			if e.Kind != tree.Dir && e.Kind != tree.File && e.Kind != tree.Symlink && e.Kind != tree.Hardlink {
				t.Errorf("/%s is a %s", e.Path, e.Kind)
			}
		}
		d, err := newDeb(u.Package)
		if err != nil {
			t.Fatal(err)
		}
		d.unpacked(u)
		d.list()
		if _, err := (ground{}).merge([]*deb{d}, unpackedNames([]diversion{{"usr/bin/made", "etc/made.conf", "other"}}), nil); err != nil && fault.CodeOf(err) != fault.Choice {
			t.Errorf("merge: %v", err)
		}
		if _, err := (Debian{}).Lay([]distro.Unpacked{u}, "amd64", 0); err != nil {
			t.Logf("lay: %v", err)
		}
	})
}
