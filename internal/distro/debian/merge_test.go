package debian

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"ingot/internal/distro"
	"ingot/internal/distro/debian/debtest"
	"ingot/internal/fault"
	"ingot/internal/tree"
)

// a, b and c are packages of these names, with files and more lines of control.
func named(name, files, fields string, control ...debtest.File) debtest.Deb {
	return debtest.Deb{Name: name, Fields: fields, Files: debtest.Files(files), Control: control}
}

func conffiles(lines ...string) debtest.File {
	return debtest.File{Name: "./conffiles", Data: strings.Join(lines, "\n") + "\n"}
}

// unpackAll reads made packages, all into one pack.
func unpackAll(t *testing.T, pack *debtest.Pack, made ...debtest.Deb) []*deb {
	t.Helper()
	var out []*deb
	for _, m := range made {
		u, err := inspectAndUnpack(t.Context(), m.Ref("test"), m.Bytes(), pack)
		if err != nil {
			t.Fatal(err)
		}
		p, err := newDeb(u.Package)
		if err != nil {
			t.Fatal(err)
		}
		p.unpacked(u)
		out = append(out, p)
	}
	return out
}

// alikeFiles are files that several packages bring.
func alikeFiles(n int) []string {
	var out []string
	for i := range n {
		out = append(out, fmt.Sprintf("file usr/m%02d x", i))
	}
	return out
}

// withoutDirs leaves the directories out of a tree's text.
func withoutDirs(text string) string {
	var b strings.Builder
	for line := range strings.Lines(text) {
		if !strings.HasPrefix(line, "dir 0755") {
			b.WriteString(line)
		}
	}
	return b.String()
}

func TestMerge(t *testing.T) {
	for _, c := range []struct {
		summary    string
		diversions string
		keep       []distro.Keep
		phases     [][]debtest.Deb // unpacked one after the other
		want       string          // of what each phase puts, directories of mode 0755 left out
		lists      map[string]string
		err        string
	}{
		{
			summary: "packages that share directories",
			phases:  [][]debtest.Deb{{named("a", "file usr/a 1", ""), named("b", "file usr/b 2", "")}},
			want:    "file 0644 /usr/a \"1\"\nfile 0644 /usr/b \"2\"\n",
			lists:   map[string]string{"a": "/. /usr /usr/a", "b": "/. /usr /usr/b"},
		},
		{
			summary: "a directory has the metadata of the first",
			phases: [][]debtest.Deb{{{Name: "a", Files: []debtest.File{{Name: "./d/", Type: '5', Mode: 0o700}}}, {Name: "b", Files: []debtest.File{{Name: "./d/", Type: '5', Mode: 0o1777}}}},
				{{Name: "c", Files: []debtest.File{{Name: "./d/", Type: '5', Mode: 0o750}, {Name: "./d/c"}}}}},
			want:  "dir 0700 /d\n--\nfile 0644 /d/c \"\"\n",
			lists: map[string]string{"a": "/. /d", "b": "/. /d", "c": "/. /d /d/c"},
		},
		{
			summary: "conffiles wait under another name",
			phases:  [][]debtest.Deb{{named("a", "file etc/c 1\nfile etc/d 2", "", conffiles("/etc/c", "remove-on-upgrade /etc/gone", "", "/etc/d  ", "/etc/absent"))}},
			want:    "file 0644 /etc/c.dpkg-new \"1\"\nfile 0644 /etc/d.dpkg-new \"2\"\n",
			lists:   map[string]string{"a": "/. /etc /etc/c /etc/d"},
		},
		{
			summary:    "diverted files",
			diversions: "/usr/a\n/usr/a.real\nb\n/usr/b\n/usr/b.real\nb\n/usr/c\n/usr/c.real\n:\n",
			phases:     [][]debtest.Deb{{named("a", "file usr/a 1\nsymlink usr/c 3", ""), named("b", "file usr/a 2\nfile usr/b 2", "")}},
			want:       "file 0644 /usr/a \"2\"\nfile 0644 /usr/a.real \"1\"\nfile 0644 /usr/b \"2\"\nsymlink 0777 /usr/c.real 3\n",
			lists:      map[string]string{"a": "/. /usr /usr/a /usr/c", "b": "/. /usr /usr/a /usr/b"},
		},
		{
			summary:    "directories are not diverted",
			diversions: "/usr/d\n/usr/e\nb\n",
			phases:     [][]debtest.Deb{{named("a", "file usr/d/x 1", "")}},
			want:       "file 0644 /usr/d/x \"1\"\n",
			lists:      map[string]string{"a": "/. /usr /usr/d /usr/d/x"},
		},
		{
			summary:    "a diverted conffile waits where it is diverted to",
			diversions: "/etc/c\n/etc/c.real\nb\n",
			phases:     [][]debtest.Deb{{named("a", "file etc/c 1", "", conffiles("/etc/c"))}},
			want:       "file 0644 /etc/c.real.dpkg-new \"1\"\n",
			lists:      map[string]string{"a": "/. /etc /etc/c"},
		},
		{
			summary: "the later one replaces",
			phases:  [][]debtest.Deb{{named("a", "file usr/f 1\nfile usr/g 1", ""), named("b", "file usr/f 2", "Replaces: a")}},
			want:    "file 0644 /usr/f \"2\"\nfile 0644 /usr/g \"1\"\n",
			lists:   map[string]string{"a": "/. /usr /usr/g", "b": "/. /usr /usr/f"},
		},
		{
			summary: "the earlier one replaces",
			phases:  [][]debtest.Deb{{named("a", "file usr/f 1", "Replaces: b (<< 2)"), named("b", "file usr/f 2\nfile usr/g 2", "")}},
			want:    "file 0644 /usr/f \"1\"\nfile 0644 /usr/g \"2\"\n",
			lists:   map[string]string{"a": "/. /usr /usr/f", "b": "/. /usr /usr/g"},
		},
		{
			summary: "one that came before is replaced",
			phases:  [][]debtest.Deb{{named("a", "file usr/f 1\nfile usr/g 1", "")}, {named("b", "file usr/f 2", "Replaces: a")}},
			want:    "file 0644 /usr/f \"1\"\nfile 0644 /usr/g \"1\"\n--\nfile 0644 /usr/f \"2\"\n",
			lists:   map[string]string{"a": "/. /usr /usr/g", "b": "/. /usr /usr/f"},
		},
		{
			summary: "one that came before replaces",
			phases:  [][]debtest.Deb{{named("a", "file usr/f 1", "Replaces: b")}, {named("b", "file usr/f 2\nfile usr/g 2", "")}},
			want:    "file 0644 /usr/f \"1\"\n--\nfile 0644 /usr/g \"2\"\n",
			lists:   map[string]string{"a": "/. /usr /usr/f", "b": "/. /usr /usr/g"},
		},
		{
			summary: "nobody replaces",
			phases:  [][]debtest.Deb{{named("a", "file usr/f 1", ""), named("b", "file usr/f 1", "Replaces: c")}},
			err:     "packages a and b both bring /usr/f, with the same content, and neither says that it replaces the other",
		},
		{
			summary: "nobody replaces, with other content",
			phases:  [][]debtest.Deb{{named("b", "file usr/f 1", ""), named("a", "file usr/f 2", "Replaces: c")}},
			err:     "packages a and b both bring /usr/f, and neither says that it replaces the other",
		},
		{
			summary: "nobody replaces, several times",
			phases: [][]debtest.Deb{{
				named("a", "file usr/f 1\nfile usr/g 1\nfile usr/h 1", ""), named("b", "file usr/f 1\nfile usr/g 2", ""), named("c", "file usr/h 3", ""),
				named("d", strings.Join(alikeFiles(21), "\n"), ""), named("e", strings.Join(alikeFiles(21), "\n"), ""),
			}},
			err: "packages bring the same paths, and none of them says that it replaces another:\n    a and b both bring /usr/f (the same content), /usr/g\n    a and c both bring /usr/h\n" +
				"    d and e both bring /usr/m00 (the same content), /usr/m01 (the same content), /usr/m02 (the same content), /usr/m03 (the same content), /usr/m04 (the same content), /usr/m05 (the same content), " +
				"/usr/m06 (the same content), /usr/m07 (the same content), /usr/m08 (the same content), /usr/m09 (the same content), /usr/m10 (the same content) and 10 more",
		},
		{
			summary: "the later one stays, as was said",
			keep:    []distro.Keep{{Path: "/usr/f", Package: "b"}},
			phases:  [][]debtest.Deb{{named("a", "file usr/f 1\nfile usr/g 1", ""), named("b", "file usr/f 2", "")}},
			want:    "file 0644 /usr/f \"2\"\nfile 0644 /usr/g \"1\"\n",
			lists:   map[string]string{"a": "/. /usr /usr/g", "b": "/. /usr /usr/f"},
		},
		{
			summary: "the one that came before stays, of all below a directory but one",
			keep:    []distro.Keep{{Path: "/usr", Package: "a"}, {Path: "/usr/g", Package: "b"}},
			phases:  [][]debtest.Deb{{named("a", "file usr/f 1\nfile usr/g 1", "")}, {named("b", "file usr/f 2\nfile usr/g 2", "")}},
			want:    "file 0644 /usr/f \"1\"\nfile 0644 /usr/g \"1\"\n--\nfile 0644 /usr/g \"2\"\n",
			lists:   map[string]string{"a": "/. /usr /usr/f", "b": "/. /usr /usr/g"},
		},
		{
			summary: "what was said is for other packages",
			keep:    []distro.Keep{{Path: "/usr/f", Package: "c"}, {Path: "/usr/ff", Package: "a"}},
			phases:  [][]debtest.Deb{{named("a", "file usr/f 1", ""), named("b", "file usr/f 2", "")}},
			err:     "packages a and b both bring /usr/f",
		},
		{
			summary: "what replaces replaces, whatever was said",
			keep:    []distro.Keep{{Path: "/usr/f", Package: "a"}},
			phases:  [][]debtest.Deb{{named("a", "file usr/f 1", ""), named("b", "file usr/f 2", "Replaces: a")}},
			want:    "file 0644 /usr/f \"2\"\n",
			lists:   map[string]string{"a": "/. /usr", "b": "/. /usr /usr/f"},
		},
		{
			summary: "a file and a directory, whatever was said",
			keep:    []distro.Keep{{Path: "/usr/f", Package: "a"}},
			phases:  [][]debtest.Deb{{named("a", "file usr/f/x 1", ""), named("b", "file usr/f 2", "")}},
			err:     "packages a and b both bring /usr/f",
		},
		{
			summary: "a conffile stays, as was said",
			keep:    []distro.Keep{{Path: "/etc/f", Package: "b"}},
			phases:  [][]debtest.Deb{{named("a", "file etc/f 1", "", conffiles("/etc/f")), named("b", "file etc/f 2", "", conffiles("/etc/f"))}},
			want:    "file 0644 /etc/f.dpkg-new \"2\"\n",
			lists:   map[string]string{"a": "/. /etc", "b": "/. /etc /etc/f"},
		},
		{
			summary: "nobody replaces one that came before",
			phases:  [][]debtest.Deb{{named("a", "file usr/f 1", "")}, {named("b", "file usr/f 1", "")}},
			err:     "packages a and b both bring /usr/f",
		},
		{
			summary: "another version is replaced",
			phases:  [][]debtest.Deb{{named("a", "file usr/f 1", ""), named("b", "file usr/f 2", "Replaces: a (<< 1-1)")}},
			err:     "packages a and b both bring /usr/f",
		},
		{
			summary: "what a package provides is not replaced",
			phases:  [][]debtest.Deb{{named("a", "file usr/f 1", "Provides: v"), named("b", "file usr/f 2", "Replaces: v")}},
			err:     "packages a and b both bring /usr/f",
		},
		{
			summary: "a file and a directory",
			phases:  [][]debtest.Deb{{named("a", "file usr/f/x 1", ""), named("b", "file usr/f 2", "")}},
			err:     "packages a and b both bring /usr/f",
		},
		{
			summary:    "diverted onto another package's file",
			diversions: "/usr/a\n/usr/b\nx\n",
			phases:     [][]debtest.Deb{{named("a", "file usr/a 1", ""), named("b", "file usr/b 2", "")}},
			err:        "packages a and b both bring /usr/b",
		},
		{
			summary: "a link to a directory stays",
			phases:  [][]debtest.Deb{{named("a", "symlink usr/d e", ""), named("b", "file usr/d/x 2", "")}},
			want:    "symlink 0777 /usr/d e\nfile 0644 /usr/d/x \"2\"\n",
			lists:   map[string]string{"a": "/. /usr /usr/d", "b": "/. /usr /usr/d /usr/d/x"},
		},
		{
			summary: "a directory stays where a link comes",
			phases:  [][]debtest.Deb{{named("a", "file usr/d/x 1", ""), named("b", "symlink usr/d e", "")}},
			want:    "file 0644 /usr/d/x \"1\"\n",
			lists:   map[string]string{"a": "/. /usr /usr/d /usr/d/x", "b": "/. /usr /usr/d"},
		},
		{
			summary: "one package for two architectures",
			phases: [][]debtest.Deb{{
				{Name: "a", Arch: "amd64", Fields: "Multi-Arch: same", Files: debtest.Files("file usr/doc 1\nfile usr/lib/amd64/a 1")},
				{Name: "a", Arch: "i386", Fields: "Multi-Arch: same", Files: debtest.Files("file usr/doc 1\nfile usr/lib/i386/a 2")},
			}},
			want:  "file 0644 /usr/doc \"1\"\nfile 0644 /usr/lib/amd64/a \"1\"\nfile 0644 /usr/lib/i386/a \"2\"\n",
			lists: map[string]string{"a:amd64": "/. /usr /usr/doc /usr/lib /usr/lib/amd64 /usr/lib/amd64/a", "a:i386": "/. /usr /usr/doc /usr/lib /usr/lib/i386 /usr/lib/i386/a"},
		},
		{
			summary: "one package for two architectures, with files that differ",
			phases: [][]debtest.Deb{{
				{Name: "a", Arch: "amd64", Fields: "Multi-Arch: same", Files: debtest.Files("file usr/doc 1")},
				{Name: "a", Arch: "i386", Fields: "Multi-Arch: same", Files: debtest.Files("file usr/doc 2")},
			}},
			err: "packages a and a both bring /usr/doc",
		},
		{
			summary:    "the first of several names is diverted",
			diversions: "/usr/a\n/usr/z\nx\n",
			phases:     [][]debtest.Deb{{named("a", "file usr/a 1\nlink usr/b usr/a\nlink usr/c usr/a", "")}},
			want:       "file 0644 /usr/b \"1\"\nhardlink 0644 /usr/c usr/b\nhardlink 0644 /usr/z usr/b\n",
			lists:      map[string]string{"a": "/. /usr /usr/a /usr/b /usr/c"},
		},
		{
			summary: "a conffile with several names",
			phases:  [][]debtest.Deb{{named("a", "file etc/a 1\nlink etc/a.b etc/a", "", conffiles("/etc/a"))}},
			want:    "file 0644 /etc/a.b \"1\"\nhardlink 0644 /etc/a.dpkg-new etc/a.b\n",
			lists:   map[string]string{"a": "/. /etc /etc/a /etc/a.b"},
		},
		{
			summary: "the first of several names is replaced",
			phases:  [][]debtest.Deb{{named("a", "file usr/a 1\nlink usr/b usr/a\nlink usr/c usr/a", ""), named("b", "file usr/a 2", "Replaces: a")}},
			want:    "file 0644 /usr/a \"2\"\nfile 0644 /usr/b \"1\"\nhardlink 0644 /usr/c usr/b\n",
			lists:   map[string]string{"a": "/. /usr /usr/b /usr/c", "b": "/. /usr /usr/a"},
		},
	} {
		t.Run(c.summary, func(t *testing.T) {
			var pack debtest.Pack
			var err error
			var all []*deb
			var got []string
			g := ground{}
			for _, phase := range c.phases {
				pkgs := unpackAll(t, &pack, phase...)
				all = append(all, pkgs...)
				var entries []tree.Entry
				if entries, err = g.merge(pkgs, unpackedNames(parseDiversions([]byte(c.diversions))), c.keep); err != nil {
					break
				}
				got = append(got, withoutDirs(describeTree(entries, pack.Bytes())))
			}
			if c.err != "" {
				if err == nil || !strings.Contains(err.Error(), c.err) || fault.CodeOf(err) != fault.Choice || fault.HintOf(err) == "" {
					t.Errorf("error is %v with code %d and hint %q, want %q", err, fault.CodeOf(err), fault.HintOf(err), c.err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(c.want, strings.Join(got, "--\n")); diff != "" {
				t.Errorf("entries (-want +got):\n%s", diff)
			}
			gotLists := map[string]string{}
			for path, r := range lists(all) {
				name := strings.TrimSuffix(strings.TrimPrefix(path, infoDir), ".list")
				gotLists[name] = strings.Join(strings.Fields(string(r.data)), " ")
			}
			if diff := cmp.Diff(c.lists, gotLists); diff != "" {
				t.Errorf("lists (-want +got):\n%s", diff)
			}
		})
	}
}

func TestParseDiversions(t *testing.T) {
	for _, c := range []struct {
		text string
		want []diversion
	}{
		{"", nil},
		{"/a\n/b\n:\n", []diversion{{"a", "b", ":"}}},
		{"/a\n/b\np\n/c\n/d\nq\n", []diversion{{"a", "b", "p"}, {"c", "d", "q"}}},
		{"/a\n/b\np\n/c\n", []diversion{{"a", "b", "p"}}},
	} {
		if got := parseDiversions([]byte(c.text)); !slices.Equal(got, c.want) {
			t.Errorf("%q: got %v, want %v", c.text, got, c.want)
		}
	}
}

func TestRecords(t *testing.T) {
	var pack debtest.Pack
	pkgs := unpackAll(t, &pack,
		named("a", "file usr/a 1", "", debtest.File{Name: "./postinst", Mode: 0o755, Data: "#!/bin/sh\n"}, debtest.File{Name: "./md5sums"}),
		debtest.Deb{Name: "b", Arch: "amd64", Fields: "Multi-Arch: same"},
	)
	got := map[string]string{}
	for path, r := range records(pkgs) {
		got[path] = string(r.data)
	}
	want := map[string]string{
		"var/lib/dpkg/info/a.list":       "/.\n/usr\n/usr/a\n",
		"var/lib/dpkg/info/a.postinst":   "#!/bin/sh\n",
		"var/lib/dpkg/info/a.md5sums":    "",
		"var/lib/dpkg/info/b:amd64.list": "",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if mode := records(pkgs)["var/lib/dpkg/info/a.postinst"].mode; mode != 0o755 {
		t.Errorf("the script has mode %o", mode)
	}
}

func TestStatusStanza(t *testing.T) {
	for _, c := range []struct {
		summary string
		deb     debtest.Deb
		lost    string
		want    string
	}{
		{
			summary: "plain",
			deb:     named("a", "", "Description: short\n long\n .\n more"),
			want:    "Package: a\nVersion: 1-1\nArchitecture: all\nDescription: short\n long\n .\n more\nStatus: install ok unpacked\n\n",
		},
		{
			summary: "conffiles, also such as are to go and such as are not there",
			deb:     named("a", "file etc/c 1", "", conffiles("/etc/c", "remove-on-upgrade /etc/gone", "/etc/absent")),
			want:    "Package: a\nVersion: 1-1\nArchitecture: all\nStatus: install ok unpacked\nConffiles:\n /etc/c newconffile\n /etc/gone newconffile remove-on-upgrade\n /etc/absent newconffile\n\n",
		},
		{
			summary: "a conffile that is another package's now",
			deb:     named("a", "file etc/c 1", "", conffiles("/etc/c")),
			lost:    "etc/c",
			want:    "Package: a\nVersion: 1-1\nArchitecture: all\nStatus: install ok unpacked\nConffiles:\n /etc/c newconffile obsolete\n\n",
		},
	} {
		t.Run(c.summary, func(t *testing.T) {
			var pack debtest.Pack
			p := unpackAll(t, &pack, c.deb)[0]
			p.lost[c.lost] = true
			if diff := cmp.Diff(c.want, string(p.statusStanza())); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestControlFieldsInAnyCase(t *testing.T) {
	var pack debtest.Pack
	p := unpackAll(t, &pack, debtest.Deb{Name: "a", Arch: "amd64", Fields: "pre-depends: b\nESSENTIAL: yes\nmulti-arch: same"})[0]
	if !p.essential || len(p.preDeps) != 1 || p.base() != "a:amd64" {
		t.Errorf("essential %v, pre-depends on %v, its records are %q", p.essential, p.preDeps, p.base())
	}
}

func TestSkeleton(t *testing.T) {
	for arch, links := range map[string]string{"amd64": "bin lib lib64 sbin", "arm64": "bin lib sbin"} {
		tr, err := tree.New(skeleton(arch, 9))
		if err != nil {
			t.Fatal(err)
		}
		got := map[string]bool{}
		for e := range tr.All() {
			if e.Kind == tree.Symlink && e.Link == "usr/"+e.Path {
				got[e.Path] = true
			}
			if e.Mtime.Sec != 9 {
				t.Errorf("/%s is of %d", e.Path, e.Mtime.Sec)
			}
		}
		if list := strings.Join(slices.Sorted(maps.Keys(got)), " "); list != links {
			t.Errorf("%s: %s lead to /usr, want %s", arch, list, links)
		}
	}
}
