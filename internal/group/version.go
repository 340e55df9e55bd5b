package group

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"ingot/internal/fault"
)

// A Version is where something stands: a path of branches, shadows and revisions that
// ends with a revision. A branch is a path that ends with a label; it is a Version too,
// see IsBranch. Versions are values: no method changes one.
type Version struct{ places []place }

// place is a label with the revision behind it. Only the last place, and one in front
// of a shadow, has none.
type place struct {
	label    Label
	revision *Revision // never changed
}

// ParseVersion reads a version or a branch: it begins with "/", later labels and
// revisions may leave out what the ones before say. Errors have code 2.
func ParseVersion(text string) (Version, error) { return parseVersion(text, false, false) }

// ThawVersion reads what Freeze wrote.
func ThawVersion(text string) (Version, error) { return parseVersion(text, true, false) }

func parseVersion(text string, frozen, loose bool) (Version, error) {
	if len(text) > maxText {
		return Version{}, fault.Newf(fault.Usage, "a version of %d bytes is too long", len(text))
	}
	v, err := readVersion(text, frozen, loose)
	if err != nil {
		return Version{}, fmt.Errorf("version %q: %w", shortened(text), err)
	}
	if !loose {
		// Where a build was branched from a source, or a source from a build, the short
		// form would be read as something else.
		if back, err := readVersion(v.String(), false, false); err != nil || !back.Equal(v) {
			return Version{}, fault.Newf(fault.Usage, "version %q branches a source from a build, or a build from a source", shortened(text)).
				WithHint("the revisions of a version all count builds, or none does")
		}
	}
	return v, nil
}

func readVersion(text string, frozen, loose bool) (Version, error) {
	path, found := strings.CutPrefix(text, "/")
	if !found {
		return Version{}, fault.Newf(fault.Usage, "it is not a whole one").WithHint("a whole version begins with /HOST@NAMESPACE:TAG")
	}
	parts := strings.Split(path, "/")
	var v Version
	var label *Label
	var revision *Revision
	depth, wantLabel, shadow := 0, true, false
	for i, part := range parts {
		switch {
		case wantLabel:
			l, err := parseLabel(part, label, loose)
			if err != nil {
				return v, err
			}
			label = &l
			v.places = append(v.places, place{label: l})
			if !shadow {
				depth = 0
			}
			wantLabel, shadow = false, false
		case part == "" && loose && i == len(parts)-1: // "/a@b:c/"
		case part == "":
			depth++
			wantLabel, shadow = true, true
		default:
			r, err := readRevision(part, revision, frozen)
			if err != nil {
				return v, err
			}
			if r.depth() > depth || !loose && max(r.Source.depth(), r.Build.depth()) > depth {
				return v, fault.Newf(fault.Usage, "revision %q: more numbers in a count than there are shadows", shortened(part)).
					WithHint("a count has one number, and one more on each shadow: 1.0-2.1-1")
			}
			revision = &r
			v.places[len(v.places)-1].revision = &r
			wantLabel = true
		}
	}
	if shadow {
		return v, fault.Newf(fault.Usage, "a label is missing at its end")
	}
	return v, nil
}

// readRevision reads a revision, in a frozen version with its time in front.
func readRevision(text string, before *Revision, frozen bool) (Revision, error) {
	if !frozen {
		return parseRevision(text, before)
	}
	clock, rest, found := strings.Cut(text, ":")
	time, ok := thawTime(clock)
	if !found || !ok {
		return Revision{}, fault.Newf(fault.Usage, "frozen revision %q has no time", shortened(text)).WithHint("it looks like 1200000000.500:1.0-1-1")
	}
	r, err := parseRevision(rest, before)
	r.Time = time
	return r, err
}

// thawTime reads seconds with up to three decimals, as milliseconds.
func thawTime(text string) (int64, bool) {
	whole, fraction, _ := strings.Cut(text, ".")
	s, err := strconv.ParseUint(whole, 10, 40)
	if err != nil || len(fraction) > 3 {
		return 0, false
	}
	ms, err := strconv.ParseUint((fraction + "000")[:3], 10, 10)
	return int64(s)*1000 + int64(ms), err == nil
}

// String is the short form: labels and revisions leave out what the ones before say.
func (v Version) String() string { return v.text(false) }

// Freeze is the short form with the time in front of each revision.
func (v Version) Freeze() string { return v.text(true) }

func (v Version) text(frozen bool) string {
	var b strings.Builder
	var label *Label
	var revision *Revision
	for i, p := range v.places {
		b.WriteByte('/')
		if i > 0 && v.places[i-1].revision == nil {
			b.WriteByte('/')
		}
		b.WriteString(p.label.short(label))
		label = &v.places[i].label
		if p.revision != nil {
			b.WriteByte('/')
			if frozen {
				fmt.Fprintf(&b, "%d.%03d:", p.revision.Time/1000, p.revision.Time%1000)
			}
			b.WriteString(p.revision.short(revision))
			revision = p.revision
		}
	}
	return b.String()
}

// IsZero says that there is no version at all.
func (v Version) IsZero() bool { return len(v.places) == 0 }

// IsBranch says that the path ends with a label.
func (v Version) IsBranch() bool { return v.IsZero() || v.last().revision == nil }

// IsSource says that nothing was built of it yet.
func (v Version) IsSource() bool { return !v.IsBranch() && v.last().revision.Build == nil }

func (v Version) last() place { return v.places[len(v.places)-1] }

// Label is the last label.
func (v Version) Label() Label {
	if v.IsZero() {
		return Label{}
	}
	return v.last().label
}

// Revision is the last revision; a branch has none.
func (v Version) Revision() (Revision, bool) {
	if v.IsBranch() {
		return Revision{}, false
	}
	return *v.last().revision, true
}

// Branch is the branch that the version is on.
func (v Version) Branch() Version { return v.with(nil) }

// with puts another revision at the end, or none.
func (v Version) with(r *Revision) Version {
	if v.IsZero() {
		return v
	}
	places := slices.Clone(v.places)
	places[len(places)-1].revision = r
	return Version{places}
}

// At is a revision on a branch.
func (v Version) At(r Revision) Version { return v.with(&r) }

// Equal says that two versions are called the same; times do not matter.
func (v Version) Equal(w Version) bool {
	return slices.EqualFunc(v.places, w.places, func(a, b place) bool {
		return a.label == b.label && (a.revision == nil) == (b.revision == nil) && (a.revision == nil || a.revision.Equal(*b.revision))
	})
}

// Compare orders versions by the time of their last revision, never by what they are
// called: what is published again is the latest. Those of one time are ordered by text,
// so that there is an order.
func (v Version) Compare(w Version) int {
	a, _ := v.Revision()
	b, _ := w.Revision()
	if c := cmp.Compare(a.Time, b.Time); c != 0 {
		return c
	}
	return cmp.Compare(v.String(), w.String())
}

// Depth is how many shadows there are since the last branch.
func (v Version) Depth() int {
	n := 0
	for i := len(v.places) - 2; i >= 0 && v.places[i].revision == nil; i-- {
		n++
	}
	return n
}

// Parent is the version that this one was branched from or shadows. What was made on
// its own branch or shadow has none.
func (v Version) Parent() (Version, bool) {
	if v.IsBranch() || len(v.places) < 2 {
		return Version{}, false
	}
	r, depth := *v.last().revision, v.Depth()
	if r.Build == nil {
		// Zeros in front of what the shadow counts: another upstream version.
		if depth > 0 && len(r.Source) >= depth && !slices.ContainsFunc(r.Source[:depth], func(n int) bool { return n != 0 }) {
			return Version{}, false
		}
	} else {
		var before *Revision
		for i := len(v.places) - 2; i >= 0 && before == nil; i-- {
			before = v.places[i].revision
		}
		switch {
		case before == nil:
			if r.Source.depth() >= depth || r.Build.depth() >= depth {
				return Version{}, false
			}
		case !before.Build.built() || before.Build.depth() != r.Build.depth():
			return Version{}, false
		}
	}
	up := slices.Clone(v.places[:len(v.places)-1])
	end := &up[len(up)-1]
	if end.revision == nil {
		r.Source, r.Time = r.Source.cut(depth-1), 0
		if r.Build != nil {
			r.Build = r.Build.cut(depth - 1)
		}
		end.revision = &r
	}
	return Version{up}, true
}

// Canonical is the version that is meant: of an unchanged shadow, what it shadows.
func (v Version) Canonical() (Version, error) {
	if v.IsBranch() {
		return v, nil
	}
	r := v.last().revision
	up := v
	for range v.Depth() - max(r.Source.depth(), r.Build.depth()) {
		var ok bool
		if up, ok = up.Parent(); !ok {
			return Version{}, fault.Newf(fault.Failed, "version %s has no parent", v)
		}
	}
	return up, nil
}

// Source is the source that a version was built from.
func (v Version) Source() Version {
	for {
		up, ok := v.Parent()
		if !ok || !v.last().revision.Build.built() {
			break
		}
		if b := up.last().revision.Build; b != nil && b.String() == "0" {
			break
		}
		v = up
	}
	places := slices.Clone(v.places)
	for i, p := range places {
		if p.revision != nil {
			r := *p.revision
			r.Build, r.Time = nil, 0
			places[i].revision = &r
		}
	}
	return Version{places}
}

// Binary is where builds of a source stand: those that it was branched from count as
// built "0". What was branched from a build has no such place.
func (v Version) Binary() (Version, error) {
	places := slices.Clone(v.places)
	for up, ok := v.Parent(); ok; up, ok = up.Parent() {
		r := *up.last().revision
		if r.Build != nil {
			return Version{}, fault.Newf(fault.Failed, "version %s was branched from a build, %s", v, up)
		}
		if p := &places[len(up.places)-1]; p.revision != nil {
			r.Build = Serial{0}
			p.revision = &r
		}
	}
	return Version{places}, nil
}

// NextSource is the version of the next change of the source, made at a time.
func (v Version) NextSource(time int64) (Version, error) {
	r, ok := v.Revision()
	if !ok {
		return Version{}, fault.Newf(fault.Failed, "%s is a branch", v)
	}
	var err error
	r.Source, err = r.Source.next(v.Depth())
	r.Time = time
	return v.At(r), err
}

// NextBuild is the version of the next build, made at a time. On a shadow that has not
// changed the source, builds have numbers of their own: 1.0-1-0.1.
func (v Version) NextBuild(time int64) (Version, error) {
	r, ok := v.Revision()
	if !ok {
		return Version{}, fault.Newf(fault.Failed, "%s is a branch", v)
	}
	depth := v.Depth()
	if r.Source.depth() == depth {
		depth = r.Build.depth()
	}
	if !r.Build.built() {
		r.Build = nil
	}
	var err error
	r.Build, err = r.Build.next(depth)
	r.Time = time
	return v.At(r), err
}
