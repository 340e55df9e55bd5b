package plan

import (
	"bytes"
	"fmt"
	"path/filepath"
	"sort"
	"strings"

	"ingot/internal/artifact"
	"ingot/internal/digest"
	"ingot/internal/fault"
	"ingot/internal/lock"
)

// seal holds the tree against the one that the lock's first build made, or is
// that first build. The list goes into the store, under its own digest, so that a
// later build that differs can say where, and beside the artifacts.
func (w *worker) seal() (lock.Seal, error) {
	s := lock.Seal{Arch: w.chain.Arch, Purpose: w.chain.Purpose}
	var text bytes.Buffer
	if err := w.tree.WriteSeal(&text); err != nil {
		return s, err
	}
	s.SHA256 = digest.Of(text.Bytes())
	for _, known := range w.plan.Lock.Seals {
		if known.Arch == s.Arch && known.Purpose == s.Purpose && known.SHA256 != s.SHA256 {
			return s, fault.Newf(fault.Verification, "the %s tree for %s differs from the one that the first build of this lock made%s", s.Purpose, s.Arch, w.differences(known.SHA256, text.Bytes())).
				WithHint("something in the build depends on more than the lock; if that is well so, or ingot itself is a newer one, take the line \"seal\" of it out with 'ingot lock --reseal'")
		}
	}
	if !w.Supply.Store.Has(s.SHA256, int64(text.Len())) {
		p, err := w.Supply.Store.Create()
		if err != nil {
			return s, err
		}
		defer p.Discard()
		if _, err := p.Write(text.Bytes()); err != nil {
			return s, fmt.Errorf("cannot keep the seal: %w", err)
		}
		if err := p.Commit(s.SHA256); err != nil {
			return s, err
		}
	}
	name := w.sealName()
	if err := artifact.WriteFile(filepath.Join(w.To, name), text.Bytes()); err != nil {
		return s, err
	}
	return s, artifact.UpdateSums(w.To, map[string]digest.Digest{name: s.SHA256})
}

// sealName is the list's name beside the artifacts.
func (w *worker) sealName() string {
	return fmt.Sprintf("%s-%s.%s.seal", w.plan.Definition.Name, w.chain.Arch, w.chain.Purpose)
}

// sealed says whether a tree's seal is the lock's, where that has one.
func (p *Plan) sealed(c Chain, seal digest.Digest) bool {
	for _, known := range p.Lock.Seals {
		if known.Arch == c.Arch && known.Purpose == c.Purpose && known.SHA256 != seal {
			return false
		}
	}
	return !seal.IsZero()
}

// differences names paths in which two seals differ, as far as the store has the
// first one.
func (w *worker) differences(first digest.Digest, now []byte) string {
	f, err := w.Supply.Store.Open(first)
	if err != nil {
		return " (whose list is not in this store)"
	}
	defer func() { _ = f.Close() }()
	var before bytes.Buffer
	if _, err := before.ReadFrom(f); err != nil {
		return ""
	}
	paths := sealDifferences(before.Bytes(), now)
	const most = 20
	more := ""
	if len(paths) > most {
		more = fmt.Sprintf("\n    and %d more", len(paths)-most)
		paths = paths[:most]
	}
	return ":\n    " + strings.Join(paths, "\n    ") + more
}

// sealDifferences gives the paths whose lines differ.
func sealDifferences(before, now []byte) []string {
	lines := func(text []byte) map[string]string {
		out := map[string]string{}
		for line := range strings.Lines(string(text)) {
			f := strings.SplitN(line, " ", 4)
			if len(f) == 4 {
				path, _, _ := strings.Cut(strings.TrimPrefix(f[3], `"`), `"`)
				out[strings.TrimSpace(path)] = line
			}
		}
		return out
	}
	a, b := lines(before), lines(now)
	var out []string
	for p, line := range a {
		switch other, ok := b[p]; {
		case !ok:
			out = append(out, p+" is gone")
		case other != line:
			out = append(out, p+" differs")
		}
	}
	for p := range b {
		if _, ok := a[p]; !ok {
			out = append(out, p+" is new")
		}
	}
	sort.Strings(out)
	return out
}
