package rpm

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"ingot/internal/digest"
	"ingot/internal/distro"
	"ingot/internal/fault"
)

// primaryOf writes metadata of packages, one a line: name, version and
// architecture, then words such as "requires:b>=1" or "file:/bin/sh".
func primaryOf(text string) string {
	var b strings.Builder
	b.WriteString(`<?xml version="1.0"?><metadata xmlns="http://linux.duke.edu/metadata/common" xmlns:rpm="http://linux.duke.edu/metadata/rpm">`)
	for line := range strings.Lines(text) {
		part := strings.Fields(line)
		if len(part) == 0 {
			continue
		}
		v := parseEVR(part[1])
		fmt.Fprintf(&b, `<package type="rpm"><name>%s</name><arch>%s</arch><version epoch="%d" ver="%s" rel="%s"/><checksum type="sha256" pkgid="YES">%s</checksum><size package="9"/><location href="%s.rpm"/><format>`,
			part[0], part[2], v.epoch, v.version, v.release, digest.Of([]byte(line)), part[0]+part[1]+part[2])
		fmt.Fprintf(&b, `<rpm:provides><rpm:entry name="%s" flags="EQ" epoch="%d" ver="%s" rel="%s"/></rpm:provides>`, part[0], v.epoch, v.version, v.release)
		for _, w := range part[3:] {
			kind, what, _ := strings.Cut(w, ":")
			if kind == "file" {
				fmt.Fprintf(&b, "<file>%s</file>", what)
				continue
			}
			what = strings.NewReplacer("<", "&lt;", ">", "&gt;").Replace(strings.ReplaceAll(what, "_", " "))
			attributes := `name="` + what + `"`
			for _, op := range [][2]string{{"&gt;=", "GE"}, {"&lt;=", "LE"}, {"=", "EQ"}, {"&lt;", "LT"}, {"&gt;", "GT"}} {
				if name, version, ok := strings.Cut(what, op[0]); ok {
					e := parseEVR(version)
					attributes = fmt.Sprintf(`name="%s" flags="%s" epoch="%d" ver="%s"`, name, op[1], e.epoch, e.version)
					if e.release != "" {
						attributes += ` rel="` + e.release + `"`
					}
					break
				}
			}
			fmt.Fprintf(&b, "<rpm:%s><rpm:entry %s/></rpm:%s>", kind, attributes, kind)
		}
		b.WriteString("</format></package>")
	}
	b.WriteString("</metadata>")
	return b.String()
}

func TestResolveChooses(t *testing.T) {
	for _, c := range []struct {
		name, offers string
		request      distro.Request
		want         string // packages, or a part of the error
		code         fault.Code
	}{
		{"newest", "a 1-1 x86_64\na 1-10 x86_64\na 1-9 x86_64", distro.Request{Packages: []string{"a"}}, "a 1-10", 0},
		{"exact", "a 1-1 x86_64\na 2-1 x86_64", distro.Request{Packages: []string{"a=1"}}, "a 1-1", 0},
		{"exact with epoch", "a 1:1-1 x86_64\na 2-1 x86_64", distro.Request{Packages: []string{"a=1:1-1"}}, "a 1:1-1", 0},
		{"epoch wins", "a 1:1-1 x86_64\na 2-1 x86_64", distro.Request{Packages: []string{"a"}}, "a 1:1-1", 0},
		{"not for this architecture", "a 1-1 aarch64", distro.Request{Packages: []string{"a"}}, "no package a for x86_64", fault.NotFound},
		{"for all", "a 1-1 noarch", distro.Request{Packages: []string{"a"}}, "a 1-1", 0},
		{"requirement", "a 1-1 x86_64 requires:b>=2\nb 1-1 x86_64\nb 2-1 x86_64", distro.Request{Packages: []string{"a"}}, "a 1-1, b 2-1", 0},
		{"circle", "a 1-1 x86_64 requires:b\nb 1-1 x86_64 requires:a", distro.Request{Packages: []string{"a"}}, "a 1-1, b 1-1", 0},
		{"not provided", "a 1-1 x86_64 requires:b>=2\nb 1-1 x86_64", distro.Request{Packages: []string{"a"}}, "package a 1-1 requires b >= 2, which no package provides", fault.NotFound},
		{"by capability", "a 1-1 x86_64 requires:web\nnginx 1-1 x86_64 provides:web\nhttpd 1-1 x86_64 provides:web", distro.Request{Packages: []string{"a"}}, "a 1-1, httpd 1-1", 0},
		{"chosen already", "a 1-1 x86_64 requires:web\nnginx 1-1 x86_64 provides:web\nhttpd 1-1 x86_64 provides:web", distro.Request{Packages: []string{"nginx", "a"}}, "a 1-1, nginx 1-1", 0},
		{"by file", "a 1-1 x86_64 requires:/bin/sh\nbash 5-1 x86_64 file:/bin/sh", distro.Request{Packages: []string{"a"}}, "a 1-1, bash 5-1", 0},
		{"asked by file", "bash 5-1 x86_64 file:/bin/sh", distro.Request{Packages: []string{"/bin/sh"}}, "bash 5-1", 0},
		{"rpm's own", "a 1-1 x86_64 requires:rpmlib(PayloadIsZstd)<=5.4.18-1", distro.Request{Packages: []string{"a"}}, "a 1-1", 0},
		{"removed", "a 1-1 x86_64 requires:web\nnginx 1-1 x86_64 provides:web\nhttpd 1-1 x86_64 provides:web", distro.Request{Packages: []string{"a"}, Remove: []string{"httpd"}}, "a 1-1, nginx 1-1", 0},
		{"recommended", "a 1-1 x86_64 recommends:b recommends:nothing\nb 1-1 x86_64", distro.Request{Packages: []string{"a"}, Recommends: true}, "a 1-1, b 1-1", 0},
		{"not recommended", "a 1-1 x86_64 recommends:b\nb 1-1 x86_64", distro.Request{Packages: []string{"a"}}, "a 1-1", 0},
		{"condition", "a 1-1 x86_64 requires:(b_if_c)", distro.Request{Packages: []string{"a"}}, "requires (b if c), a condition", fault.Choice},
		{"conflict", "a 1-1 x86_64 conflicts:b\nb 1-1 x86_64", distro.Request{Packages: []string{"a", "b"}}, "packages a and b conflict", fault.Choice},
		{"conflict with another version", "a 1-1 x86_64 conflicts:b<1\nb 1-1 x86_64", distro.Request{Packages: []string{"a", "b"}}, "a 1-1, b 1-1", 0},
		{"obsolete", "a 1-1 x86_64 obsoletes:b<2\nb 1-1 x86_64", distro.Request{Packages: []string{"a", "b"}}, "package a replaces package b", fault.Choice},
		{"two versions", "a 1-1 x86_64 requires:b=1\nb 1-1 x86_64\nb 2-1 x86_64", distro.Request{Packages: []string{"b", "a"}}, "package b is needed in versions 2-1 and 1-1 at once", fault.Choice},
		{"start set", "a 1-1 x86_64", distro.Request{Start: "minbase"}, "have no such set", fault.Definition},
	} {
		t.Run(c.name, func(t *testing.T) {
			var u Universe
			if err := u.Add("test", strings.NewReader(primaryOf(c.offers))); err != nil {
				t.Fatal(err)
			}
			c.request.Arch = "amd64"
			refs, err := u.Resolve(c.request)
			var got []string
			for _, r := range refs {
				got = append(got, r.Name+" "+r.Version)
			}
			switch {
			case c.code != 0 && (err == nil || !strings.Contains(err.Error(), c.want) || fault.CodeOf(err) != c.code):
				t.Errorf("error is %v (%d), want %q (%d)", err, fault.CodeOf(err), c.want, c.code)
			case c.code == 0 && (err != nil || strings.Join(got, ", ") != c.want):
				t.Errorf("chose %q (%v), want %q", got, err, c.want)
			}
		})
	}
}

func TestPrimaryIsRefused(t *testing.T) {
	for _, c := range []struct{ xml, want string }{
		{"<metadata><package type='rpm'><name>a</name>", "unexpected EOF"},
		{"<metadata><package type='rpm'><name>a</name></package></metadata>", "checksum is , not sha256"},
		{strings.ReplaceAll(primaryOf("a 1-1 x86_64"), "sha256", "sha"), "checksum is sha, not sha256"},
		{strings.ReplaceAll(primaryOf("a 1-1 x86_64"), `href="a1-1x86_64.rpm"`, ""), "is missing"},
	} {
		var u Universe
		if err := u.Add("test", strings.NewReader(c.xml)); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("error is %v, want one with %q", err, c.want)
		}
	}
	for xml, want := range map[string]string{
		"<repomd/>": "names no primary", "<repomd": "repomd.xml",
		"<repomd><data type='primary'><checksum type='md5'>x</checksum></data></repomd>": "md5 checksum",
	} {
		if _, err := Primary([]byte(xml)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error is %v, want one with %q", err, want)
		}
	}
}

func FuzzPrimary(f *testing.F) {
	f.Add([]byte(primaryOf("a 1-1 x86_64 requires:b>=2 conflicts:c file:/bin/sh\nb 2:2-1 noarch provides:x=1")))
	f.Add([]byte("<repomd><data type='primary'><checksum type='sha256'>x</checksum></data></repomd>"))
	f.Fuzz(func(t *testing.T, data []byte) {
		if len(data) > 1<<14 {
			return
		}
		if _, err := Primary(data); err != nil && err.Error() == "" {
			t.Fatal("an error without a word")
		}
		var u Universe
		if err := u.Add("test", bytes.NewReader(data)); err != nil {
			return
		}
		var all []string
		for name := range u.byName {
			all = append(all, name)
		}
		if _, err := u.Resolve(distro.Request{Arch: "amd64", Packages: all, Recommends: true}); err != nil && fault.CodeOf(err) == fault.Failed {
			t.Fatalf("no exit code: %v", err)
		}
	})
}
