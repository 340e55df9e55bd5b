package debian

import (
	"fmt"
	"slices"
	"strings"

	"ingot/internal/digest"
	"ingot/internal/distro"
	"ingot/internal/fault"
)

// Resolve chooses the packages of an image: for the same indexes and wishes
// exactly those that apt-get of Debian 12 (apt 2.6) would install into an empty
// system. It errs with fault.NotFound where a package is unknown or cannot be had
// together with the others, and says who needs whom.
//
// Three passes make the choice, as in apt:
//
//   - marking (resolve_mark.go): what is asked for is decided on first, then all
//     that it needs, depth first, the first alternative that can be had;
//   - repair (resolve_repair.go), only where marking left something broken:
//     packages are given up or put in until nothing is, the most needed first;
//   - sweeping (resolve_sweep.go): what was chosen on the way and is not needed
//     in the end is dropped.
//
// The result is ordered by name and architecture.
func (u *Universe) Resolve(req distro.Request) ([]distro.Ref, error) {
	if req.Arch != u.archs[native] {
		return nil, fmt.Errorf("resolve for %s: the indexes were read for %s", req.Arch, u.archs[native])
	}
	s := newSolver(u, req.Recommends)
	w, err := s.wish(req)
	if err != nil {
		return nil, err
	}
	for _, v := range w.remove {
		p := s.vers[v].pkg
		s.set(p, askedFor|protected|shunned|held, true)
	}
	var chosen []pkgID
	for _, v := range w.install {
		p := s.vers[v].pkg
		s.setCandidate(v)
		s.set(p, shunned, false)
		s.set(p, askedFor|protected, true)
		s.install(p, false, 0, true)
		chosen = append(chosen, p)
	}
	for _, sw := range w.switched {
		s.setCandidate(sw.version)
	}
	var changed []verID
	for _, sw := range w.switched {
		changed = append(changed, sw.version)
		s.follow(sw.version, sw.release, &changed)
	}
	for _, p := range chosen {
		s.install(p, true, 0, true)
	}
	if !s.repair() || !s.sweep() {
		return nil, s.explain(w)
	}
	return s.refs()
}

// starts are the sets that Request.Start names, as tokens: what debootstrap and
// mmdebstrap call their variants. apt takes itself to be essential; the set does not.
var starts = map[string][]string{
	"":          nil,
	"essential": {"?essential"},
	"minbase":   {"?essential", "?priority(required)", "apt"},
	"standard":  {"?essential", "?priority(required)", "?priority(important)", "?priority(standard)", "apt"},
}

// wish reads a request's tokens.
func (s *solver) wish(req distro.Request) (*wish, error) {
	start, ok := starts[req.Start]
	if !ok {
		return nil, fault.Newf(fault.Definition, "start %q: want essential, minbase or standard", req.Start)
	}
	w := &wish{}
	var wrong []error
	read := func(token string) {
		if err := s.read(token, w); err != nil {
			wrong = append(wrong, err)
		}
	}
	// Names that must stay out come first, as apt has it.
	for _, name := range req.Remove {
		read(name + "-")
	}
	for _, token := range start {
		read(token)
	}
	if req.Start == "essential" {
		w.install = slices.DeleteFunc(w.install, func(v verID) bool { return !s.essential(v) })
	}
	for _, token := range req.Packages {
		read(token)
	}
	if err := notFound(wrong); err != nil {
		return nil, err
	}
	unique := func(all []verID) []verID {
		seen := map[verID]bool{}
		return slices.DeleteFunc(all, func(v verID) bool {
			was := seen[v]
			seen[v] = true
			return was
		})
	}
	w.install, w.remove = unique(w.install), unique(w.remove)
	return w, nil
}

// notFound is one error of all tokens that mean nothing, each with its hint, so that
// they can be mended at once.
func notFound(wrong []error) error {
	switch len(wrong) {
	case 0:
		return nil
	case 1:
		return wrong[0]
	}
	var b strings.Builder
	for _, err := range wrong {
		fmt.Fprintf(&b, "\n    %v", err)
		if hint := fault.HintOf(err); hint != "" {
			fmt.Fprintf(&b, "; %s", hint)
		}
	}
	return fault.Newf(fault.NotFound, "%d of the packages cannot be had:%s", len(wrong), b.String()).
		WithHint("correct packages and remove in the definition")
}

// essential says whether a version calls itself so.
func (u *Universe) essential(v verID) bool {
	f := u.files[u.vers[v].files]
	return u.indexes[f.index].stanzas[f.stanza].flags&flagEssential != 0
}

// refs are the packages chosen.
func (s *solver) refs() ([]distro.Ref, error) {
	var out []distro.Ref
	for p := range s.pkg {
		if v := s.pkg[p].install; v != none && s.has(pkgID(p), installing) {
			r, err := s.ref(v)
			if err != nil {
				return nil, err
			}
			out = append(out, r)
		}
	}
	slices.SortFunc(out, func(a, b distro.Ref) int {
		if c := strings.Compare(a.Name, b.Name); c != 0 {
			return c
		}
		return strings.Compare(a.Arch, b.Arch)
	})
	return out, nil
}

// ref is what the lock records of a version, as the first index has it that
// offers the version.
func (u *Universe) ref(v verID) (distro.Ref, error) {
	x, stanza := u.stanza(v)
	r := distro.Ref{Name: u.nameText(u.pkgs[u.vers[v].pkg].name), Version: u.version(v), Archive: x.Source.Archive}
	err := stanza.Fields(func(name, value []byte) error {
		var err error
		switch {
		case equalFold(name, "Architecture"):
			r.Arch = string(value)
		case equalFold(name, "Filename"):
			r.Location = string(value)
		case equalFold(name, "Size"):
			r.Size, err = parseSize(string(value))
		case equalFold(name, "SHA256"):
			r.SHA256, err = digest.Parse(string(value))
		}
		return err
	})
	if err == nil && (r.Location == "" || r.SHA256.IsZero()) {
		err = fmt.Errorf("no Filename or SHA256 field")
	}
	if err != nil {
		return r, fmt.Errorf("index of %s: package %s %s: %w", x.Source.label(), r.Name, r.Version, err)
	}
	// The strings of a ref outlive the index.
	r.Name, r.Version = strings.Clone(r.Name), strings.Clone(r.Version)
	return r, nil
}

// parseSize reads a number of bytes.
func parseSize(s string) (int64, error) {
	var n int64
	if s == "" {
		return 0, fmt.Errorf("the size is empty")
	}
	for i := range len(s) {
		if !isDigit(s[i]) || n > 1<<50 {
			return 0, fmt.Errorf("size %q is not a number of bytes", s)
		}
		n = 10*n + int64(s[i]-'0')
	}
	return n, nil
}
