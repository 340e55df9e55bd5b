package debian

import (
	"io/fs"
	"maps"
	"slices"
	"strings"
	"testing"
)

func TestBase(t *testing.T) {
	const status = `Package: bash
Essential: yes
Pre-Depends: libc6 (>= 2.36), libtinfo6

Package: libc6
Depends: libgcc-s1 | gcc-libs

Package: libgcc-s1

Package: libtinfo6

Package: login
Priority: required
Depends: pam-modules, absent | libc6

Package: libpam-modules
Provides: pam-modules (= 1.5)
Depends: login

Package: apt
Priority: important

Package: nginx
Priority: optional
Depends: libc6, libssl3

Package: libssl3
`
	got, err := Debian{}.Base(func(path string) ([]byte, error) {
		if path != "var/lib/dpkg/status" {
			t.Errorf("reads %s", path)
		}
		return []byte(status), nil
	})
	if err != nil {
		t.Fatal(err)
	}
	const want = "apt bash libc6 libgcc-s1 libpam-modules libtinfo6 login"
	if names := strings.Join(slices.Sorted(maps.Keys(got)), " "); names != want {
		t.Errorf("base is %s, want %s", names, want)
	}
	if _, err := (Debian{}).Base(func(string) ([]byte, error) { return nil, fs.ErrNotExist }); err == nil {
		t.Error("a tree without dpkg has a base")
	}
	if _, err := (Debian{}).Base(func(string) ([]byte, error) { return []byte("Package: a\nDepends: (\n"), nil }); err == nil {
		t.Error("broken relations are taken")
	}
}
