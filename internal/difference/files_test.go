package difference

import (
	"bytes"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"ingot/internal/digest"
	"ingot/internal/repository"
	"ingot/internal/tree"
)

// drawn is a tree of few paths, owners and contents, so that two of them have much in common.
func drawn(r *rand.Rand) tree.Tree {
	entries := []tree.Entry{{Kind: tree.Dir, Mode: 0o755, Owner: "step:install"}}
	for i := range 30 {
		e := tree.Entry{Path: fmt.Sprintf("a %d\"é", i), Kind: tree.File, Mode: 0o644, Owner: fmt.Sprintf("deb:p%d", i/8+r.IntN(2))}
		switch r.IntN(12) {
		case 0:
			continue
		case 1:
			e.Kind, e.Link = tree.Symlink, fmt.Sprint("b", r.IntN(2))
		case 2:
			e.Kind = tree.Dir
		default:
			n := r.IntN(10) / 9
			e.Content = tree.Content{Size: int64(10 + n + i), Digest: digest.Of([]byte{byte(n)})}
		}
		entries = append(entries, e)
	}
	t, err := tree.New(entries)
	if err != nil {
		panic(err)
	}
	return t
}

// TestCompareIsRight holds what is told of two lists, most of whose lines are never read, against
// what reading all of them tells.
func TestCompareIsRight(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for range 2000 {
		var texts [4][]byte
		var lists [2]map[string]repository.File
		for i := range lists {
			files, owners, err := repository.Lists(drawn(r))
			if err != nil {
				t.Fatal(err)
			}
			texts[2*i], texts[2*i+1] = files, owners
			lists[i] = map[string]repository.File{}
			for f, err := range repository.Files(files, owners) {
				if err != nil {
					t.Fatal(err)
				}
				lists[i][f.Path] = f
			}
		}
		want := treeChange{set: "x"}
		sizes := map[string]Size{}
		for i, list := range lists {
			for _, f := range list {
				s := sizes[f.Owner]
				s.Set, s.Owner = "x", f.Owner
				if i == 0 {
					s.Old += f.Size()
				} else {
					s.New += f.Size()
				}
				sizes[f.Owner] = s
			}
		}
		all := maps.Clone(lists[0])
		maps.Copy(all, lists[1])
		for _, path := range slices.Sorted(maps.Keys(all)) {
			a, before := lists[0][path]
			b, after := lists[1][path]
			switch {
			case !after:
				want.files = append(want.files, File{Action: "removed", Path: path, Owner: a.Owner, OldSize: a.Size()})
			case !before:
				want.files = append(want.files, File{Action: "added", Path: path, Owner: b.Owner, NewSize: b.Size()})
			case a.Line != b.Line:
				want.files = append(want.files, File{Action: "changed", Path: path, Owner: b.Owner, OldSize: a.Size(), NewSize: b.Size()})
			}
		}
		for _, owner := range slices.Sorted(maps.Keys(sizes)) {
			if s := sizes[owner]; s.Old != s.New {
				want.sizes = append(want.sizes, s)
			}
		}
		got, err := compare("x", texts)
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(want, got, cmp.AllowUnexported(treeChange{})); d != "" {
			t.Fatalf("-want +got:\n%s\nof\n%s%s\nand\n%s%s", d, texts[0], texts[1], texts[2], texts[3])
		}
	}
}

// TestCompareRefuses: lists that are none, or of other owners, are told however much they have in common.
func TestCompareRefuses(t *testing.T) {
	files, owners, err := repository.Lists(drawn(rand.New(rand.NewPCG(3, 4))))
	if err != nil {
		t.Fatal(err)
	}
	for _, bad := range [][2][]byte{
		{files, owners[:len(owners)/2]}, {files, append(slices.Clone(owners), owners...)}, {files[:len(files)/2], owners}, {files, []byte("x y\n")},
		{bytes.Replace(files, []byte("\nfile "), []byte("\nfile"), 1), owners},
	} {
		for _, texts := range [][4][]byte{{files, owners, bad[0], bad[1]}, {bad[0], bad[1], files, owners}} {
			if _, err := compare("x", texts); err == nil {
				t.Errorf("taken: %.200s%.100s", bad[0], bad[1])
			}
		}
	}
}
