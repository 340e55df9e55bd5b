package etc_test

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"testing"

	"ingot/internal/digest"
	"ingot/internal/etc"
	"ingot/internal/tree"
)

// build makes a tree of words: "a/b=text" is a file, "a/b>target" a symbolic link, "a/"
// a directory, "a|" a pipe; "!600" behind any is its mode, "@10" its owner. Directories of files are there.
func build(t testing.TB, text string) tree.Tree {
	t.Helper()
	all := map[string]tree.Entry{"": {Kind: tree.Dir, Mode: 0o755}}
	for _, word := range strings.Fields(text) {
		word, owner, _ := strings.Cut(word, "@")
		word, mode, _ := strings.Cut(word, "!")
		var e tree.Entry
		e.Path, e.Kind, e.Mode = word, tree.File, 0o644
		switch i := strings.IndexAny(word, "=>|"); {
		case strings.HasSuffix(word, "/"):
			e.Path, e.Kind, e.Mode = strings.TrimSuffix(word, "/"), tree.Dir, 0o755
		case word[i] == '=':
			e.Path = word[:i]
			e.Content = tree.Content{Digest: digest.Of([]byte(word[i+1:])), Size: int64(len(word) - i - 1), Pack: word[i+1:]}
		case word[i] == '>':
			e.Path, e.Kind, e.Link, e.Mode = word[:i], tree.Symlink, word[i+1:], 0o777
		case word[i] == '|':
			e.Path, e.Kind = word[:i], tree.Fifo
		}
		if mode != "" {
			m, err := strconv.ParseUint(mode, 8, 32)
			if err != nil {
				t.Fatal(err)
			}
			e.Mode = uint32(m)
		}
		id, _ := strconv.ParseUint("0"+owner, 10, 32)
		e.UID = uint32(id)
		for p := tree.Parent(e.Path); p != ""; p = tree.Parent(p) {
			if _, ok := all[p]; !ok {
				all[p] = tree.Entry{Path: p, Kind: tree.Dir, Mode: 0o755}
			}
		}
		all[e.Path] = e
	}
	tr, err := tree.New(slices.Collect(maps.Values(all)))
	if err != nil {
		t.Fatal(err)
	}
	return tr
}

// text says a tree in the same words. Directories of files are left out.
func text(tr tree.Tree) string {
	var words []string
	parents := map[string]bool{}
	for e := range tr.All() {
		parents[tree.Parent(e.Path)] = true
	}
	for e := range tr.All() {
		w, usual := e.Path, uint32(0o644)
		switch e.Kind {
		case tree.Dir:
			w, usual = w+"/", 0o755
			if e.Path == "" || e.Mode == usual && e.UID == 0 && parents[e.Path] {
				continue
			}
		case tree.Symlink:
			w, usual = w+">"+e.Link, 0o777
		case tree.Fifo:
			w += "|"
		default:
			w += "=" + e.Content.Pack
		}
		if e.Mode != usual {
			w += fmt.Sprintf("!%o", e.Mode)
		}
		if e.UID != 0 {
			w += fmt.Sprintf("@%d", e.UID)
		}
		words = append(words, w)
	}
	return strings.Join(words, " ")
}

func conflicts(r etc.Result) string {
	var words []string
	for _, c := range r.Conflicts {
		words = append(words, c.Path+":"+string(c.Kind))
	}
	return strings.Join(words, " ")
}

// TestMatrix is all that can become of a path.
func TestMatrix(t *testing.T) {
	for _, c := range []struct{ what, old, fresh, host, want, conflicts string }{
		{"untouched", "a=1", "a=1", "a=1", "a=1", ""},
		{"image changed it", "a=1", "a=2", "a=1", "a=2", ""},
		{"host changed it", "a=1", "a=1", "a=2", "a=2", ""},
		{"both, the same", "a=1", "a=2", "a=2", "a=2", ""},
		{"both, not the same", "a=1", "a=2", "a=3", "a=3 a.ingot-new=2", "a:changed"},
		{"image added it", "", "a=1", "", "a=1", ""},
		{"host added it", "", "", "a=1", "a=1", ""},
		{"both added it, the same", "", "a=1", "a=1", "a=1", ""},
		{"both added it, not the same", "", "a=1", "a=2", "a=2 a.ingot-new=1", "a:added"},
		{"image removed it", "a=1", "", "a=1", "", ""},
		{"host deleted it", "a=1", "a=1", "", "", ""},
		{"both removed it", "a=1", "", "", "", ""},
		{"host deleted it, image changed it", "a=1", "a=2", "", "", "a:deleted"},
		{"image removed it, host changed it", "a=1", "", "a=2", "a=2", "a:removed"},
		{"text here, mode there", "a=1", "a=2", "a=1!600", "a=2!600", ""},
		{"mode here, text there", "a=1", "a=1!600", "a=2", "a=2!600", ""},
		{"mode by both", "a=1", "a=1!600", "a=1!640", "a=1!640 a.ingot-new=1!600", "a:changed"},
		{"owner by one, mode by the other", "a=1", "a=1@7", "a=1!600", "a=1!600@7", ""},
		{"link to nothing", "", "", "a>/nowhere", "a>/nowhere", ""},
		{"link changed by both", "a>1", "a>2", "a>3", "a>3 a.ingot-new>2", "a:changed"},
		{"file became a link on the host", "a=1", "a=1", "a>x", "a>x", ""},
		{"file became a link on the host, other text in the image", "a=1", "a=2", "a>x", "a>x a.ingot-new=2", "a:changed"},
		{"pipe on the host", "a=1", "a=1", "a=1 p|", "a=1", ""},
		{"pipe where the image has a file", "p=1", "p=1", "p|", "", ""},

		{"mode of a directory", "d/", "d/", "d/!700", "d/!700", ""},
		{"mode of a directory by both", "d/", "d/!750", "d/!700", "d/!700", "d:changed"},
		{"owner and mode of a directory", "d/", "d/@3", "d/!700", "d/!700@3", ""},
		{"directory deleted", "d/a=1", "d/a=1", "", "", ""},
		{"directory deleted, image adds to it", "d/a=1", "d/a=1 d/b=2", "", "", "d:deleted"},
		{"directory removed by the image", "d/a=1", "", "d/a=1", "", ""},
		{"directory removed by the image, host added to it", "d/a=1", "", "d/a=1 d/b=2", "d/b=2", ""},
		{"directory removed by the image, host changed in it", "d/a=1 d/c=1", "", "d/a=2 d/c=1", "d/a=2", "d/a:removed"},
		{"directory removed by the image, mode changed", "d/a=1", "", "d/!700 d/a=1", "d/!700", "d:removed"},
		{"directories grown by both", "d/a=1", "d/a=1 d/b=2", "d/a=1 d/c=3", "d/a=1 d/b=2 d/c=3", ""},
		{"directory became a link in the image", "d/a=1", "d>e", "d/a=1", "d>e", ""},
		{"directory became a link in the image, host added to it", "d/a=1", "d>e", "d/a=1 d/b=2", "d/a=1 d/b=2 d.ingot-new>e", "d:type"},
		{"directory became a file on the host", "d/a=1", "d/a=1", "d=x", "d=x", ""},
		{"directory became a file on the host, image changed in it", "d/a=1", "d/a=2", "d=x", "d=x d.ingot-new/a=2", "d:type"},
		{"file became a directory in the image", "d=1", "d/a=1", "d=1", "d/a=1", ""},
		{"file became a directory in the image, host changed it", "d=1", "d/a=1", "d=2", "d=2 d.ingot-new/a=1", "d:type"},
		{"file became a directory in the image, host deleted it", "d=1", "d/a=1", "", "", "d:deleted"},
		{"file became a directory on the host, image removed it", "d=1", "", "d/a=1", "d/a=1", "d:removed"},
		{"file became a directory on both", "d=1", "d/a=1", "d/b=1", "d/a=1 d/b=1", ""},

		{"what lay aside gives way", "a=1", "a=2", "a=3 a.ingot-new/x=0", "a=3 a.ingot-new=2", "a:changed"},
		{"what lies aside stays without a conflict", "a=1", "a=1", "a=3 a.ingot-new=0", "a=3 a.ingot-new=0", ""},
		{"a name as long as can be", strings.Repeat("n", 250) + "=1", strings.Repeat("n", 250) + "=2", strings.Repeat("n", 250) + "=3", strings.Repeat("n", 250) + "=3", strings.Repeat("n", 250) + ":changed"},
		{"a cache that the image makes", "ld.so.cache=1", "ld.so.cache=2", "ld.so.cache=3", "ld.so.cache=2", ""},
	} {
		r, err := etc.Merge(build(t, c.old), build(t, c.fresh), build(t, c.host), nil)
		if err != nil {
			t.Errorf("%s: %v", c.what, err)
			continue
		}
		if got := text(r.Tree); !slices.Equal(slices.Sorted(slices.Values(strings.Fields(got))), slices.Sorted(slices.Values(strings.Fields(c.want)))) {
			t.Errorf("%s: %q, want %q", c.what, got, c.want)
		}
		if got := conflicts(r); got != c.conflicts {
			t.Errorf("%s: conflicts %q, want %q", c.what, got, c.conflicts)
		}
		for _, p := range r.Conflicts {
			if _, ok := r.Tree.Lookup(p.Aside); !ok {
				t.Errorf("%s: nothing lies at %s", c.what, p.Aside)
			}
		}
	}
}

// TestChoices settles conflicts.
func TestChoices(t *testing.T) {
	for _, c := range []struct{ old, fresh, host, path, host2, new string }{
		{"a=1", "a=2", "a=3", "a", "a=3", "a=2"},
		{"a=1", "a=2", "", "a", "", "a=2"},
		{"a=1", "", "a=2", "a", "a=2", ""},
		{"d/a=1 b=1", "d/a=2 b=1", "d/a=3 b=1", "d", "b=1 d/a=3", "b=1 d/a=2"},
		{"d/a=1", "d>e", "d/a=1 d/b=2", "d", "d/a=1 d/b=2", "d>e"},
		{"d/a=1", "", "d/!700 d/a=2", "d", "d/!700 d/a=2", ""},
		{"d/", "d/!750", "d/!700", "d", "d/!700", "d/!750"},
	} {
		for choice, want := range map[etc.Choice]string{etc.Host: c.host2, etc.New: c.new} {
			r, err := etc.Merge(build(t, c.old), build(t, c.fresh), build(t, c.host), map[string]etc.Choice{c.path: choice})
			if err != nil || text(r.Tree) != want || len(r.Conflicts) > 0 {
				t.Errorf("%q, %q, %q, %s: %q, %v, %v", c.old, c.fresh, c.host, choice, text(r.Tree), r.Conflicts, err)
			}
		}
	}
}

// draw is a small tree by chance, in which paths are often the same.
func draw(random *rand.Rand) string {
	var words []string
	taken := map[string]bool{}
	for _, p := range []string{"a", "b", "d/a", "d/b", "d/e/a", "d", "d/e"} {
		if random.IntN(2) == 0 || taken[p] || taken[tree.Parent(p)+"="] {
			continue
		}
		switch random.IntN(5) {
		case 0:
			if p == "d" || p == "d/e" {
				words = append(words, p+"/!7"+strconv.Itoa(random.IntN(2))+"0")
			}
			continue
		case 1:
			words = append(words, p+">"+strconv.Itoa(random.IntN(2)))
		default:
			words = append(words, fmt.Sprintf("%s=%d!6%d0", p, random.IntN(2), random.IntN(2)*4))
		}
		taken[p+"="] = true
		for at := tree.Parent(p); at != ""; at = tree.Parent(at) {
			taken[at] = true
		}
	}
	return strings.Join(words, " ")
}

// TestLaws holds a merge to what it owes whatever the trees are.
func TestLaws(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 8))
	merge := func(o, n, h string) etc.Result {
		r, err := etc.Merge(build(t, o), build(t, n), build(t, h), nil)
		if err != nil {
			t.Fatalf("%q, %q, %q: %v", o, n, h, err)
		}
		return r
	}
	for range 1500 {
		o, n, h := draw(random), draw(random), draw(random)
		for _, c := range [][4]string{{o, n, o, n}, {o, o, h, h}, {o, n, n, n}} {
			if r := merge(c[0], c[1], c[2]); text(r.Tree) != text(build(t, c[3])) || len(r.Conflicts) > 0 {
				t.Fatalf("%q, %q, %q comes to %q with %v", c[0], c[1], c[2], text(r.Tree), r.Conflicts)
			}
		}
		r := merge(o, n, h)
		listed := func(path string) bool {
			return slices.ContainsFunc(r.Conflicts, func(c etc.Conflict) bool {
				return c.Path == path || strings.HasPrefix(path, c.Path+"/") || strings.HasPrefix(c.Path, path+"/")
			})
		}
		O, N, H := build(t, o), build(t, n), build(t, h)
		for _, p := range []string{"a", "b", "d", "d/a", "d/b", "d/e", "d/e/a"} {
			eo, no := O.Lookup(p)
			en, nn := N.Lookup(p)
			eh, nh := H.Lookup(p)
			er, nr := r.Tree.Lookup(p)
			at := func(e tree.Entry, ok bool) string { return fmt.Sprint(ok, e.Kind, e.Mode, e.Link, e.Content.Pack) }
			O, N, H, R := at(eo, no), at(en, nn), at(eh, nh), at(er, nr)
			switch {
			case listed(p):
			case O == H && N == R, O == N && H == R, N == H && N == R: // as one of them has it
			case O == H && O == R && eh.Kind == tree.Dir: // for the host's sake, of what is in it
			case no && nn && nh && eo.Kind == en.Kind && en.Kind == eh.Kind && R == at(er, true): // field by field
			case !nr && (!nn || !nh): // with what it lay in
			default:
				t.Fatalf("%q, %q, %q comes to %q: nobody is told of %s", o, n, h, text(r.Tree), p)
			}
		}
		if s := merge(o, h, n); len(r.Conflicts) == 0 && len(s.Conflicts) == 0 && text(s.Tree) != text(r.Tree) {
			t.Fatalf("%q, %q, %q comes to %q, and the other way to %q", o, n, h, text(r.Tree), text(s.Tree))
		}
	}
}
