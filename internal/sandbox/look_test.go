package sandbox

import (
	"maps"
	"slices"
	"strings"
	"testing"

	"ingot/internal/tree"
)

func TestLook(t *testing.T) {
	b, err := New(t.Context(), Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = b.Close() }()
	dir := func(path string) tree.Entry { return tree.Entry{Path: path, Kind: tree.Dir, Mode: 0o755} }
	link := func(path, to string) tree.Entry {
		return tree.Entry{Path: path, Kind: tree.Symlink, Mode: 0o777, Link: to}
	}
	if err := b.Put(t.Context(), []tree.Entry{
		dir(""), dir("usr"), dir("usr/lib"), dir("d"), dir("d/sub.list"), link("d/l.list", "a.list"),
		link("lib", "usr/lib"), link("out", "/usr"), link("nowhere", "../../x"), link("loop", "loop"),
	}, nil); err != nil {
		t.Fatal(err)
	}
	if err := b.Write(t.Context(), NewFile{Path: "usr/lib/f", Mode: 0o644, Data: []byte("1")}, NewFile{Path: "d/a.list", Mode: 0o644, Data: []byte("A")}, NewFile{Path: "d/b.other", Mode: 0o644}); err != nil {
		t.Fatal(err)
	}
	want := map[string]Spot{
		"usr":        {Path: "usr", There: true, Dir: true},
		"lib":        {Path: "lib", There: true, Dir: true, Link: true},
		"out":        {Path: "out", There: true, Dir: true, Link: true},
		"lib/f":      {Path: "usr/lib/f", There: true},
		"out/lib/f":  {Path: "usr/lib/f", There: true},
		"lib/none":   {Path: "usr/lib/none"},
		"none/none":  {Path: "none/none"},
		"lib/f/none": {Path: "usr/lib/f/none"},
		"nowhere":    {Path: "nowhere", There: true, Link: true},
		"loop":       {Path: "loop", There: true, Link: true},
	}
	paths := slices.Sorted(maps.Keys(want))
	got, err := b.Look(t.Context(), paths)
	if err != nil {
		t.Fatal(err)
	}
	for i, p := range paths {
		if got[i] != want[p] {
			t.Errorf("%s is %+v, want %+v", p, got[i], want[p])
		}
	}
	for _, bad := range []string{"../x", "a//b", "loop/x"} {
		if _, err := b.Look(t.Context(), []string{bad}); err == nil {
			t.Errorf("%q is looked at", bad)
		}
	}

	texts, err := b.Files(t.Context(), "d", ".list")
	if err != nil || len(texts) != 1 || string(texts["a.list"]) != "A" {
		t.Errorf("files are %q, %v", texts, err)
	}
	if texts, err := b.Files(t.Context(), "none", ""); err != nil || len(texts) != 0 {
		t.Errorf("files of nothing are %q, %v", texts, err)
	}

	if err := b.Rename(t.Context(), "lib/f", "d/a.list"); err != nil {
		t.Fatal(err)
	}
	if data, err := b.Read(t.Context(), "d/a.list"); err != nil || string(data) != "1" {
		t.Errorf("renamed: %q, %v", data, err)
	}
	if there, err := b.Exists(t.Context(), "usr/lib/f"); there || err != nil {
		t.Errorf("the old name is there: %v, %v", there, err)
	}
	if err := b.Rename(t.Context(), "none", "d/x"); err == nil || !strings.Contains(err.Error(), "cannot rename") {
		t.Errorf("renaming nothing: %v", err)
	}
	if err := b.Rename(t.Context(), "../x", "d/x"); err == nil {
		t.Error("a path that leads out is renamed")
	}
}
