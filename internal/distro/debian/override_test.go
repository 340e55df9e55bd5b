package debian

import (
	"testing"

	"ingot/internal/sandbox"
	"ingot/internal/tree"
)

// A script of an earlier phase, or somebody before, has set owner and mode of a file
// that a later package brings: dpkg gives the file these.
func TestOverridesAreKept(t *testing.T) {
	y := newYard(t)
	if err := y.install(t, true, "", groundDebs(t)...); err != nil {
		t.Fatal(err)
	}
	files := []sandbox.NewFile{text("etc/passwd", "root:x:0:0::/:/bin/sh\n"), text("etc/group", "root:x:0:\ngames:x:60:\n"), text(overridesPath, "root games 2750 /usr/bin/suid\n#5 #6 0700 /usr/lib/b\n")}
	if err := y.box.Write(t.Context(), files...); err != nil {
		t.Fatal(err)
	}
	i := installer{box: y.box, ground: ground{}}
	i.in.First, i.in.Contents = true, tree.NewReader(y.pack)
	defer func() { _ = i.in.Contents.Close() }()
	d := named("b", "program usr/bin/suid x\ndir usr/lib/b\nfile usr/lib/c 1", "")
	u, err := inspectAndUnpack(t.Context(), d.Ref("test"), d.Bytes(), y.pack)
	if err != nil {
		t.Fatal(err)
	}
	p, err := newDeb(u.Package)
	if err != nil {
		t.Fatal(err)
	}
	p.unpacked(u)
	if err := i.unpack(t.Context(), []*deb{p}); err != nil {
		t.Fatal(err)
	}
	got := y.outcome(t)
	for path, want := range map[string]tree.Entry{
		"usr/bin/suid": {UID: 0, GID: 60, Mode: 0o2750},
		"usr/lib/b":    {UID: 5, GID: 6, Mode: 0o700},
		"usr/lib/c":    {Mode: 0o644},
	} {
		if e, _ := got.tree.Lookup(path); e.UID != want.UID || e.GID != want.GID || e.Mode != want.Mode {
			t.Errorf("/%s is %d:%d %o, want %d:%d %o", path, e.UID, e.GID, e.Mode, want.UID, want.GID, want.Mode)
		}
	}
}
