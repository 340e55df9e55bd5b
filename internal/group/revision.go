package group

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"ingot/internal/fault"
)

// A Serial counts sources or builds: a number, and one more for each shadow on which
// there was a change: 2.0.1.
type Serial []int

// maxSerial is the greatest number in a serial.
const maxSerial = 1<<31 - 1

func parseSerial(text string) (Serial, bool) {
	var s Serial
	for part := range strings.SplitSeq(text, ".") {
		n, err := strconv.ParseUint(part, 10, 31)
		if err != nil {
			return nil, false
		}
		s = append(s, int(n))
	}
	return s, true
}

// String writes the numbers with points between them.
func (s Serial) String() string {
	var b strings.Builder
	for i, n := range s {
		if i > 0 {
			b.WriteByte('.')
		}
		b.WriteString(strconv.Itoa(n))
	}
	return b.String()
}

// depth is how many shadows deep the serial was changed.
func (s Serial) depth() int { return max(0, len(s)-1) }

// built says that the serial counts a build; "0" stands for none yet.
func (s Serial) built() bool { return len(s) > 1 || len(s) == 1 && s[0] != 0 }

// next counts one more at a depth.
func (s Serial) next(depth int) (Serial, error) {
	out := slices.Clone(s)
	for len(out) < depth+1 {
		out = append(out, 0)
	}
	if out[len(out)-1] >= maxSerial {
		return nil, fault.Newf(fault.Failed, "serial %s cannot count further", s)
	}
	out[len(out)-1]++
	return out, nil
}

// cut leaves out what happened on deeper shadows.
func (s Serial) cut(depth int) Serial {
	if len(s) <= depth+1 {
		return s
	}
	out := slices.Clone(s[:depth+1])
	for len(out) > 1 && out[len(out)-1] == 0 {
		out = out[:len(out)-1]
	}
	return out
}

// A Revision is a place on a branch: UPSTREAM-SOURCE or UPSTREAM-SOURCE-BUILD.
type Revision struct {
	Upstream string // the version of what it is made of, as its authors call it
	Source   Serial // counts changes of the source
	Build    Serial // counts builds of one source; nil for the source itself
	Time     int64  // when it was made, in milliseconds since 1970; 0 if not known
}

// ParseRevision reads a whole revision. Errors have code 2.
func ParseRevision(text string) (Revision, error) { return parseRevision(text, nil) }

// parseRevision reads a revision; what is missing it takes from the one before.
func parseRevision(text string, before *Revision) (Revision, error) {
	wrong := func(why string) (Revision, error) {
		return Revision{}, fault.Newf(fault.Usage, "revision %q: %s", shortened(text), why).WithHint("write UPSTREAM-SOURCE or UPSTREAM-SOURCE-BUILD, as 1.0-2-1")
	}
	fields := strings.Split(text, "-")
	switch {
	case len(text) > maxText:
		return wrong("it is too long")
	case len(fields) > 3:
		return wrong("more than two hyphens")
	}
	if i := strings.IndexFunc(fields[0], notUpstream); i >= 0 {
		return wrong(fmt.Sprintf("%q cannot be in it", []rune(fields[0][i:])[0]))
	}
	var r Revision
	var source, build *string
	last := &fields[len(fields)-1]
	switch {
	case before != nil && len(fields) < 3:
		r.Upstream, r.Source = before.Upstream, before.Source
		switch {
		case before.Build != nil:
			build = last
			if len(fields) == 2 {
				source = &fields[0]
			}
		default:
			source = last
			if len(fields) == 2 {
				r.Upstream = fields[0]
			}
		}
	case len(fields) == 1:
		return wrong("it counts no source")
	default:
		r.Upstream, source = fields[0], &fields[1]
		if len(fields) == 3 {
			build = last
		}
	}
	if r.Upstream == "" {
		return wrong("the upstream version is empty")
	}
	var ok bool
	if source != nil {
		if r.Source, ok = parseSerial(*source); !ok {
			return wrong(fmt.Sprintf("%q does not count a source", *source))
		}
	}
	if build != nil {
		if r.Build, ok = parseSerial(*build); !ok {
			return wrong(fmt.Sprintf("%q does not count a build", *build))
		}
	}
	return r, nil
}

func notUpstream(r rune) bool {
	switch {
	case r >= 'a' && r <= 'z', r >= 'A' && r <= 'Z', r >= '0' && r <= '9':
		return false
	default:
		return !strings.ContainsRune("()+,.;_~", r)
	}
}

// String is the whole revision.
func (r Revision) String() string { return r.short(nil) }

// Equal says that two revisions are called the same.
func (r Revision) Equal(s Revision) bool {
	return r.Upstream == s.Upstream && slices.Equal(r.Source, s.Source) && slices.Equal(r.Build, s.Build) && (r.Build == nil) == (s.Build == nil)
}

// short leaves out what the revision before says too.
func (r Revision) short(before *Revision) string {
	var parts []string
	switch {
	case before == nil || before.Upstream != r.Upstream:
		parts = append(parts, r.Upstream, r.Source.String())
	case !slices.Equal(before.Source, r.Source) || r.Build == nil:
		parts = append(parts, r.Source.String())
	}
	if r.Build != nil {
		parts = append(parts, r.Build.String())
	}
	return strings.Join(parts, "-")
}

// depth is how many shadows deep the revision was changed.
func (r Revision) depth() int {
	if d := r.Source.depth(); d > 0 {
		return d
	}
	return r.Build.depth()
}
