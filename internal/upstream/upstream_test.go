package upstream_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"ingot/internal/catalog"
	"ingot/internal/fault"
	"ingot/internal/fetch"
	"ingot/internal/upstream"
)

// list has a server by TLS say texts by path, and gives what is read of it: NAME ARCH VERSION
// FORMATS a line, and what was passed over.
func list(t testing.TB, kind string, files map[string]string) (string, []string, error) {
	t.Helper()
	srv := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		text, ok := files[strings.TrimPrefix(r.URL.Path, "/")]
		if !ok {
			w.WriteHeader(http.StatusNotFound)
			return
		}
		_, _ = io.WriteString(w, text)
	}))
	defer srv.Close()
	var skipped []string
	s := upstream.Source{URL: srv.URL, Plain: true, Fetch: &fetch.Client{Attempts: 1, Transport: srv.Client().Transport}, Skipped: func(what, _ string) { skipped = append(skipped, what) }}
	offers, err := s.List(t.Context(), kind)
	var out []string
	for _, o := range offers {
		if !catalog.IsName(o.Name) || !catalog.IsName(o.Arch) || !catalog.IsName(o.Version.Version) {
			t.Errorf("%q %q %q are no names", o.Name, o.Arch, o.Version.Version)
		}
		line := o.Name + " " + o.Arch + " " + o.Version.Version
		for _, a := range o.Version.Artifacts {
			line += " " + a.Format
			for _, f := range a.Files {
				if !catalog.IsName(f.Name) {
					t.Errorf("%q is no name", f.Name)
				}
			}
		}
		out = append(out, line)
	}
	return strings.Join(out, "\n"), skipped, err
}

func TestLXC(t *testing.T) {
	got, skipped, err := list(t, "", map[string]string{"meta/1.0/index-system": strings.Join([]string{
		"debian;trixie;amd64;default;20260820_05:24;/images/debian/trixie/amd64/default/20260820_05:24/",
		"debian;trixie;x86_64;cloud;20260819_05:24;/other/place",
		"ubuntu;noble;arm64;default;20260818_07:42;/images/u/",
		"",
		"debian;trixie;amd64;default",
		"debian;trixie;amd64;../x;20260820_05:24;/images/",
		"debian;;amd64;default;20260820_05:24;/images/",
		"debian;trixie;amd64;default;yesterday;/images/",
		"debian;trixie;amd64;evil1;20260820_05:24;/images/../../x",
		"debian;trixie;amd64;evil2;20260820_05:24;/images/?x",
		"debian;trixie;amd64;evil3;20260820_05:24;",
		"debian;trixie;amd64;evil\x00;20260820_05:24;/images/",
	}, "\n")})
	const want = "ubuntu-noble-default arm64 20260818_0742 lxc\ndebian-trixie-cloud amd64 20260819_0524 lxc\ndebian-trixie-default amd64 20260820_0524 lxc"
	if err != nil || got != want || len(skipped) != 8 {
		t.Errorf("%v\n%s\n%q", err, got, skipped)
	}
}

const sum = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

func streams(items string) map[string]string {
	return map[string]string{
		"streams/v1/index.json":  `{"format":"index:1.0","index":{"images":{"datatype":"image-downloads","format":"products:1.0","path":"streams/v1/images.json","products":["p"]},"other":{"datatype":"x","format":"products:1.0","path":"nowhere","products":["p"]}}}`,
		"streams/v1/images.json": `{"format":"products:1.0","products":{"p":{"arch":"amd64","os":"Debian","release":"trixie","variant":"default","versions":{"20260820_05:24":{"items":{` + items + `}}}}}}`,
	}
}

func TestStreams(t *testing.T) {
	item := func(kind, path string, more string) string {
		return fmt.Sprintf(`%q:{"ftype":%q,"path":%q,"sha256":%q,"size":5%s}`, kind, kind, path, sum, more)
	}
	both := `,"combined_squashfs_sha256":"` + sum + `","combined_disk-kvm-img_sha256":"` + sum + `"`
	for _, c := range []struct{ summary, items, want string }{
		{"a container and a machine", item("incus.tar.xz", "images/m", both) + "," + item("squashfs", "images/r", "") + "," + item("disk-kvm.img", "images/d", ""), "debian-trixie-default amd64 20260820_0524 incus incus-vm"},
		{"LXD's alone", item("lxd.tar.xz", "images/m", both) + "," + item("squashfs", "images/r", ""), "debian-trixie-default amd64 20260820_0524 incus"},
		{"without a combined digest", item("incus.tar.xz", "images/m", "") + "," + item("squashfs", "images/r", ""), ""},
		{"without metadata", item("squashfs", "images/r", ""), ""},
		{"a path that leaves", item("incus.tar.xz", "images/m", both) + "," + item("squashfs", "../../etc/passwd", ""), ""},
		{"a size that is none", item("incus.tar.xz", "images/m", both) + "," + strings.Replace(item("squashfs", "images/r", ""), ":5", ":-5", 1), ""},
		{"a digest that is none", item("incus.tar.xz", "images/m", both) + "," + strings.Replace(item("squashfs", "images/r", ""), sum, "x", 1), ""},
	} {
		got, _, err := list(t, "", streams(c.items))
		if err != nil || got != c.want {
			t.Errorf("%s: %v\n%s", c.summary, err, got)
		}
	}
	_, _, err := list(t, "", map[string]string{"streams/v1/index.json": "{"})
	if fault.CodeOf(err) != fault.Verification {
		t.Errorf("half an index: %v", err)
	}
	_, _, err = list(t, "", nil)
	if fault.CodeOf(err) != fault.Unreachable || !strings.Contains(err.Error(), "no image server that ingot knows") {
		t.Errorf("nothing: %v", err)
	}
}
