package debian

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"ingot/internal/distro"
	"ingot/internal/distro/debian/debtest"
	"ingot/internal/fault"
)

func TestLay(t *testing.T) {
	for _, c := range []struct {
		summary  string
		packages []debtest.Deb
		want     string // without directories of mode 0755 and the ground that every tree has
		err      string
	}{
		{
			summary:  "conffiles under their own names",
			packages: []debtest.Deb{named("a", "file etc/c 1", "", conffiles("/etc/c"))},
			want:     "file 0644 /etc/c \"1\"\n",
		},
		{
			summary:  "what lies in a merged directory",
			packages: []debtest.Deb{named("b", "program bin/b 1\nfile lib/x/b 2\nfile lib64/ld.so 3\nfile libx/b 4", ""), named("a", "program usr/bin/a 1", "")},
			want:     "file 0644 /libx/b \"4\"\nfile 0755 /usr/bin/a \"1\"\nfile 0755 /usr/bin/b \"1\"\nfile 0644 /usr/lib/x/b \"2\"\nfile 0644 /usr/lib64/ld.so \"3\"\n",
		},
		{
			summary:  "the link to a merged directory, brought by a package",
			packages: []debtest.Deb{named("a", "program bin/a 1", ""), named("base-files", "symlink bin usr/bin", "")},
			want:     "file 0755 /usr/bin/a \"1\"\n",
		},
		{
			summary:  "several names in merged directories",
			packages: []debtest.Deb{named("a", "program bin/a 1\nlink bin/b bin/a\nlink sbin/a bin/a", "")},
			want:     "file 0755 /usr/bin/a \"1\"\nhardlink 0755 /usr/bin/b usr/bin/a\nhardlink 0755 /usr/sbin/a usr/bin/a\n",
		},
		{
			summary:  "several names, of which merging changes the first",
			packages: []debtest.Deb{named("a", "program bin/a 1\nlink etc/b bin/a", "")},
			want:     "file 0755 /etc/b \"1\"\nhardlink 0755 /usr/bin/a etc/b\n",
		},
		{
			summary:  "one that replaces another",
			packages: []debtest.Deb{named("a", "file usr/f 1", "Replaces: b"), named("b", "file usr/f 2", "")},
			want:     "file 0644 /usr/f \"1\"\n",
		},
		{
			summary:  "two that bring one file",
			packages: []debtest.Deb{named("a", "file usr/f 1", ""), named("b", "file usr/f 2", "")},
			err:      "packages a and b both bring /usr/f",
		},
		{
			summary:  "two that bring one file, one of them in a merged directory",
			packages: []debtest.Deb{named("a", "file bin/f 1", ""), named("b", "file usr/bin/f 2", "")},
			err:      "packages a and b both bring /usr/bin/f",
		},
	} {
		t.Run(c.summary, func(t *testing.T) {
			var pack debtest.Pack
			var us []distro.Unpacked
			for _, m := range c.packages {
				u, err := inspectAndUnpack(t.Context(), m.Ref("test"), m.Bytes(), &pack)
				if err != nil {
					t.Fatal(err)
				}
				us = append(us, u)
			}
			laid, err := Debian{}.Lay(us, "amd64", 9)
			if c.err != "" {
				if err == nil || !strings.Contains(err.Error(), c.err) || fault.CodeOf(err) != fault.Choice {
					t.Errorf("error is %v, want %q", err, c.err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			ground, err := Debian{}.Lay(nil, "amd64", 9)
			if err != nil {
				t.Fatal(err)
			}
			got := withoutDirs(describeTree(laid.Entries(), pack.Bytes()))
			for line := range strings.Lines(describeTree(ground.Entries(), nil)) {
				got = strings.Replace(got, line, "", 1)
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestDescribe(t *testing.T) {
	for _, c := range []struct {
		summary string
		deb     debtest.Deb
		want    distro.Description
	}{
		{
			summary: "all there is",
			deb: debtest.Deb{Name: "libstdc++6", Version: "1:12.2.0-14+deb12u1~x", Arch: "amd64", Fields: "Source: gcc-12 (12.2.0-14)\nMaintainer: A <a@example.org>\n" +
				"Homepage: http://example.org/\nInstalled-Size: 2\nDescription: GNU Standard C++ Library v3\n more"},
			want: distro.Description{
				Purl: "pkg:deb/debian/libstdc%2B%2B6@1%3A12.2.0-14%2Bdeb12u1~x?arch=amd64", Source: "gcc-12 12.2.0-14", Maintainer: "A <a@example.org>",
				Homepage: "http://example.org/", Summary: "GNU Standard C++ Library v3", Installed: 2048,
			},
		},
		{"nothing", debtest.Deb{}, distro.Description{Purl: "pkg:deb/debian/made@1-1?arch=all", Source: "made 1-1"}},
		{"a source of another name", debtest.Deb{Fields: "Source: src"}, distro.Description{Purl: "pkg:deb/debian/made@1-1?arch=all", Source: "src 1-1"}},
		{"a size that is none", debtest.Deb{Fields: "Installed-Size: -5"}, distro.Description{Purl: "pkg:deb/debian/made@1-1?arch=all", Source: "made 1-1"}},
		{"a size beyond all disks", debtest.Deb{Fields: "Installed-Size: 9223372036854775807"}, distro.Description{Purl: "pkg:deb/debian/made@1-1?arch=all", Source: "made 1-1"}},
	} {
		t.Run(c.summary, func(t *testing.T) {
			p, err := Debian{}.Inspect(t.Context(), c.deb.Ref("test"), strings.NewReader(string(c.deb.Bytes())))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(c.want, Debian{}.Describe(p)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}
