package tree

import (
	"strings"
	"testing"
)

// TestSealOfNames holds that no name of an attribute can say in a seal what is not so.
func TestSealOfNames(t *testing.T) {
	seal := func(xattrs ...Xattr) string {
		tr, err := New([]Entry{{Kind: Dir, Mode: 0o755}, {Path: "a", Kind: File, Mode: 0o644, Xattrs: xattrs}})
		if err != nil {
			t.Fatal(err)
		}
		var b strings.Builder
		if err := tr.WriteSeal(&b); err != nil {
			t.Fatal(err)
		}
		_, line, _ := strings.Cut(b.String(), "\n")
		return line
	}
	const file = "file 0644 0:0 \"/a\" 0 0000000000000000000000000000000000000000000000000000000000000000"
	for _, c := range []struct {
		xattrs []Xattr
		want   string
	}{
		{[]Xattr{{Name: "security.capability", Value: "\x01\x02"}}, " security.capability=0102"},
		{[]Xattr{{Name: "user.a"}, {Name: "user.b"}}, " user.a= user.b="},
		{[]Xattr{{Name: "user.a= user.b"}}, ` "user.a= user.b"=`},
		{[]Xattr{{Name: "user.n\nfile 4755 0:0 \"/b\""}}, ` "user.n\nfile 4755 0:0 \"/b\""=`},
		{[]Xattr{{Name: "user.\xff"}}, ` "user.\xff"=`},
	} {
		if got := seal(c.xattrs...); got != file+c.want+"\n" {
			t.Errorf("%q: %s", c.xattrs, got)
		}
	}
}
