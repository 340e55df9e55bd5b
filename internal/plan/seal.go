package plan

import (
	"bytes"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"ingot/internal/artifact"
	"ingot/internal/digest"
	"ingot/internal/fault"
	"ingot/internal/lock"
	"ingot/internal/tree"
)

// seal holds the tree against the one that the lock's first build made, or is
// that first build. The list goes into the store, under its own digest, so that a
// later build that differs can say where, and beside the artifacts.
func (w *worker) seal() (lock.Seal, error) {
	s := w.chain.seal(digest.Digest{})
	var text bytes.Buffer
	if err := w.tree.WriteSeal(&text); err != nil {
		return s, err
	}
	s.SHA256 = digest.Of(text.Bytes())
	for _, known := range w.plan.Lock.Seals {
		if known.Name() == s.Name() && known.SHA256 != s.SHA256 {
			return s, fault.Newf(fault.Verification, "the %s tree for %s differs from the one that the first build of this lock made%s", s.Purpose, strings.TrimSpace(s.Arch+" "+s.Flavor), w.differences(known.SHA256, text.Bytes())).
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
	w.list = text.Bytes()
	return s, nil
}

// writeSeal puts the list beside the first artifact that is there: one without any
// would say nothing.
func (w *worker) writeSeal() error {
	w.sealing.Lock()
	defer w.sealing.Unlock()
	if w.list == nil {
		return nil
	}
	name := w.plan.sealName(w.chain)
	if err := artifact.WriteFile(filepath.Join(w.To, name), w.list); err != nil {
		return err
	}
	sum := digest.Of(w.list)
	w.list = nil
	return artifact.UpdateSums(w.To, map[string]digest.Digest{name: sum})
}

// sealName is the list's name beside the artifacts.
func (p *Plan) sealName(c Chain) string {
	return fmt.Sprintf("%s-%s.%s.seal", p.Definition.FullName(), c.Arch, c.Purpose)
}

// HasSeals says whether the lock has a seal for every chain: else a build records it.
func (p *Plan) HasSeals() bool {
	for _, c := range p.Chains {
		name := c.seal(digest.Digest{}).Name()
		if !slices.ContainsFunc(p.Lock.Seals, func(s lock.Seal) bool { return s.Name() == name }) {
			return false
		}
	}
	return true
}

// sealed says whether a tree's seal is the lock's, where that has one.
func (p *Plan) sealed(c Chain, seal digest.Digest) bool {
	for _, known := range p.Lock.Seals {
		if known.Name() == c.seal(seal).Name() && known.SHA256 != seal {
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
	return ":" + listDifferences(before.Bytes(), now, w.tree)
}

// listDifferences is a line a path in which two seals differ, with whose it is in
// the tree of the second one.
func listDifferences(before, now []byte, t tree.Tree) string {
	const most = 10
	var b strings.Builder
	a, z := sealLines(before), sealLines(now)
	all := maps.Clone(a)
	maps.Copy(all, z)
	n := 0
	for _, p := range slices.Sorted(maps.Keys(all)) {
		if a[p] == z[p] {
			continue
		}
		if n++; n > most {
			continue
		}
		how := "differs"
		switch {
		case a[p] == "":
			how = "is new"
		case z[p] == "":
			how = "is gone"
		}
		shown := strings.Trim(strconv.Quote(p), `"`)
		if e, ok := t.Lookup(strings.TrimPrefix(p, "/")); ok {
			how += " (" + ownerName(e.Owner) + ")"
		}
		fmt.Fprintf(&b, "\n    %s %s", shown, how)
	}
	if n > most {
		fmt.Fprintf(&b, "\n    and %d more", n-most)
	}
	return b.String()
}

// ownerName says who put an entry of a tree there: "package bash", "step users".
func ownerName(owner string) string {
	kind, name, _ := strings.Cut(owner, ":")
	if kind == "step" {
		return "step " + name
	}
	return "package " + name
}

// sealLines are the lines of a seal by path.
func sealLines(text []byte) map[string]string {
	out := map[string]string{}
	for line := range strings.Lines(string(text)) {
		f := strings.SplitN(line, " ", 4)
		if len(f) < 4 {
			continue
		}
		if quoted, err := strconv.QuotedPrefix(f[3]); err == nil {
			path, _ := strconv.Unquote(quoted) // what QuotedPrefix gives can be
			out[path] = line
		}
	}
	return out
}
