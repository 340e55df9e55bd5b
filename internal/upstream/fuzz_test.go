package upstream

import (
	"encoding/json"
	"strings"
	"testing"

	"ingot/internal/catalog"
)

// sane holds an offer to what a catalog and a directory take.
func sane(t *testing.T, o Offer) {
	t.Helper()
	words := []string{o.Name, o.Arch, o.Version.Version, o.Version.Distro, o.Version.Release}
	for _, a := range o.Version.Artifacts {
		for _, f := range a.Files {
			words = append(words, f.Name)
			if at := o.from[f.Name].url; !strings.HasPrefix(at, "https://host/") || strings.Contains(at, "/../") || strings.ContainsAny(at, " \n?#%") {
				t.Errorf("%s comes from %q", f.Name, at)
			}
		}
	}
	for _, w := range words {
		if !catalog.IsName(w) {
			t.Errorf("%q is no name", w)
		}
	}
}

func FuzzLXC(f *testing.F) {
	f.Add("debian;trixie;amd64;default;20260820_05:24;/images/debian/trixie/amd64/default/20260820_05:24/")
	f.Add("debian;trixie;x86_64;a@b;20260820_05:24;/..//x/./y")
	f.Fuzz(func(t *testing.T, line string) {
		s := Source{URL: "https://host"}
		if o, ok := s.lxcLine(line); ok {
			sane(t, o)
		}
	})
}

func FuzzStreams(f *testing.F) {
	f.Add(`{"products":{"p":{"arch":"amd64","os":"Debian","release":"trixie","variant":"default","versions":{"20260820_05:24":{"items":{"m":{"ftype":"incus.tar.xz","path":"m","size":1,"sha256":"0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef","combined_squashfs_sha256":"0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"},"r":{"ftype":"squashfs","path":"/r","size":1,"sha256":"0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"}}}}}}}`)
	f.Fuzz(func(t *testing.T, text string) {
		var list products
		if json.Unmarshal([]byte(text), &list) != nil {
			return
		}
		s := Source{URL: "https://host"}
		for id, p := range list.Products {
			for _, o := range s.product(id, p) {
				sane(t, o)
			}
		}
	})
}
