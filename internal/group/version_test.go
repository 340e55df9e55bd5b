package group

import (
	"slices"
	"strings"
	"testing"

	"ingot/internal/fault"
)

func mustVersion(t testing.TB, text string) Version {
	t.Helper()
	v, err := ParseVersion(text)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// What the facts say of versions, beyond what the vectors hold.
func TestVersion(t *testing.T) {
	for _, c := range []struct{ in, short, parent, canonical, nextSource, nextBuild string }{
		{"/foo.com@spc:trunk/1.2-3/foo.com@spc:linux/1.2-4", "/foo.com@spc:trunk/1.2-3/linux/4", "/foo.com@spc:trunk/1.2-3", "/foo.com@spc:trunk/1.2-3/linux/4", "/foo.com@spc:trunk/1.2-3/linux/5", ""},
		{"/foo.com@spc:trunk/1.2-3-1/bar.com@spc:linux/1.2-4-2", "/foo.com@spc:trunk/1.2-3-1/bar.com@spc:linux/4-2", "/foo.com@spc:trunk/1.2-3-1", "/foo.com@spc:trunk/1.2-3-1/bar.com@spc:linux/4-2", "/foo.com@spc:trunk/1.2-3-1/bar.com@spc:linux/5-2", "/foo.com@spc:trunk/1.2-3-1/bar.com@spc:linux/4-3"},
		{"/a@b:c//a@b:d/1-1.1", "/a@b:c//d/1-1.1", "/a@b:c/1-1", "/a@b:c//d/1-1.1", "/a@b:c//d/1-1.2", "/a@b:c//d/1-1.1-1"},
		{"/a@b:c//d/1-1", "/a@b:c//d/1-1", "/a@b:c/1-1", "/a@b:c/1-1", "/a@b:c//d/1-1.1", "/a@b:c//d/1-1-0.1"},
		{"/a@b:c//x@y:z/1-1-0.1", "/a@b:c//x@y:z/1-1-0.1", "", "/a@b:c//x@y:z/1-1-0.1", "/a@b:c//x@y:z/1-1.1-0.1", "/a@b:c//x@y:z/1-1-0.2"},
		{"/a@b:c//d//e/1-1", "/a@b:c//d//e/1-1", "/a@b:c//d/1-1", "/a@b:c/1-1", "/a@b:c//d//e/1-1.0.1", "/a@b:c//d//e/1-1-0.0.1"},
	} {
		v := mustVersion(t, c.in)
		parent, _ := v.Parent()
		canonical, err := v.Canonical()
		if err != nil {
			t.Fatal(err)
		}
		source, err := v.NextSource(1)
		if err != nil {
			t.Fatal(err)
		}
		build, err := v.NextBuild(2)
		if err != nil {
			t.Fatal(err)
		}
		if c.nextBuild == "" {
			build = Version{}
		}
		got := []string{v.String(), parent.String(), canonical.String(), source.String(), build.String()}
		if want := []string{c.short, c.parent, c.canonical, c.nextSource, c.nextBuild}; !slices.Equal(got, want) {
			t.Errorf("%s: %q, want %q", c.in, got, want)
		}
		if source.Compare(v) <= 0 {
			t.Errorf("%s is not newer than %s", source, v)
		}
	}
	branch := mustVersion(t, "/foo@spc:linux//foo@abc:shadow")
	if branch.String() != "/foo@spc:linux//abc:shadow" || !branch.IsBranch() || branch.IsSource() {
		t.Errorf("%s", branch)
	}
	if _, err := branch.NextBuild(1); err == nil {
		t.Error("a branch was built")
	}
	r, err := ParseRevision("1-1")
	if v := branch.At(r); err != nil || v.String() != "/foo@spc:linux//abc:shadow/1-1" || !v.IsSource() || !v.Branch().Equal(branch) {
		t.Errorf("%s, %v", v, err)
	}
}

func TestVersionErrors(t *testing.T) {
	for in, want := range map[string]string{
		"":                         "not a whole one",
		"a@b:c/1-1":                "not a whole one",
		"/":                        "no colon",
		"/a/1-1":                   "no colon",
		"/a:b/1-1":                 "there is no @",
		"/@b:c/1-1":                "the host is empty",
		"/a b@b:c":                 "other characters",
		"/a@b:c/":                  "a label is missing",
		"/a@b:c//":                 "the tag is empty",
		"/a@b:c//d/1-1.1.1":        "more numbers in a count",
		"/a@b:c/1-1.1":             "more numbers in a count",
		"/a@b:c//d/1-1.1-0.0.1":    "more numbers in a count",
		"/a@b:c/1.0":               "it counts no source",
		"/a@b:c/1-2-3-4":           "more than two hyphens",
		"/a@b:c/1.0-a":             `"a" does not count a source`,
		"/a@b:c/1.0-1-a":           `"a" does not count a build`,
		"/a@b:c/-1-1":              "upstream version is empty",
		"/a@b:c/1:0-1":             "':' cannot be in it",
		"/a@b:c/1-99999999999":     "does not count a source",
		"/a@b:c/1-2/d@e:f/1-2-1":   "branches a source from a build",
		strings.Repeat("/", 1<<15): "too long",
	} {
		if v, err := ParseVersion(in); err == nil || !strings.Contains(err.Error(), want) || fault.CodeOf(err) != fault.Usage {
			t.Errorf("%q: %s, %v; want %q", shortened(in), v, err, want)
		}
	}
	for in, want := range map[string]string{"a@b": "@ without a colon", "a:b": "no @", "a@b:": "the tag is empty", "a@:c": "the namespace is empty", "a@b:c:d": "more than one colon", "a@b@c:d": "more than one @", "a:b@c": "behind the colon", "a=b@c:d": "'=' cannot be in it"} {
		if l, err := ParseLabel(in); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %s, %v; want %q", in, l, err, want)
		}
	}
}

func TestThawVersion(t *testing.T) {
	const frozen = "/h@n:b/1200000000.500:1.0-1-1"
	v, err := ThawVersion(frozen)
	if r, _ := v.Revision(); err != nil || v.Freeze() != frozen || r.Time != 1200000000500 || v.String() != "/h@n:b/1.0-1-1" {
		t.Errorf("%s, %v", v.Freeze(), err)
	}
	newer, err := ThawVersion("/h@n:b/2:1-1")
	older, err2 := ThawVersion("/h@n:b/1:9-9")
	if err != nil || err2 != nil || newer.Compare(older) <= 0 || newer.Freeze() != "/h@n:b/2.000:1-1" {
		t.Errorf("%s is not newer than %s: %v, %v", newer, older, err, err2)
	}
	for _, in := range []string{"/h@n:b/1-1", "/h@n:b/x:1-1", "/h@n:b/-1:1-1", "/h@n:b/1.2345:1-1", "/h@n:b/1.-2:1-1", "/h@n:b/99999999999999999999:1-1", "/h@n:b/:1-1"} {
		if v, err := ThawVersion(in); err == nil {
			t.Errorf("%q thaws to %s", in, v.Freeze())
		}
	}
}

func FuzzParseVersion(f *testing.F) {
	for _, v := range readVectors(f).Version {
		f.Add(v.In)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if v, err := ThawVersion(text); err == nil {
			if back, err := ThawVersion(v.Freeze()); err != nil || !back.Equal(v) || back.Freeze() != v.Freeze() {
				t.Fatalf("%q: %s is read back as %s, %v", text, v.Freeze(), back.Freeze(), err)
			}
		}
		loose, looseErr := parseVersion(text, false, true)
		v, err := ParseVersion(text)
		if err == nil && (looseErr != nil || !loose.Equal(v)) {
			t.Fatalf("%q: %s strictly, %s loosely, %v", text, v, loose, looseErr)
		}
		if looseErr == nil { // nothing panics
			_, _ = loose.Canonical()
			_, _ = loose.Binary()
			_, _ = loose.NextSource(1)
			_, _ = loose.NextBuild(1)
			loose.Source()
		}
		if err != nil {
			return
		}
		if back, err := ParseVersion(v.String()); err != nil || !back.Equal(v) {
			t.Fatalf("%q: %s is read back as %s, %v", text, v, back, err)
		}
	})
}
