package plan

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"ingot/internal/artifact"
	"ingot/internal/cache"
	"ingot/internal/digest"
	"ingot/internal/distro"
	"ingot/internal/fault"
	"ingot/internal/lock"
	"ingot/internal/sandbox"
	"ingot/internal/supply"
	"ingot/internal/tree"
	"ingot/internal/ui"
)

// A Runner runs plans.
type Runner struct {
	Supply   *supply.Supply
	Distro   distro.Distro
	Progress *ui.Progress
	To       string // directory of the artifacts
	NoCache  bool   // runs every step again
	// AcceptExpired takes indexes past their Valid-Until.
	AcceptExpired bool
	Locked        bool   // takes nothing that the lock does not name
	HostArch      string // Debian's name of this machine's architecture: the tools'
	Version       string // of this ingot, for papers
	// Foreign gives what runs programs of another architecture in a sandbox.
	Foreign func(ctx context.Context, arch string) (sandbox.Foreign, error)
	// ScriptTimeout is how long one script of an element may run; 0 is for ever.
	ScriptTimeout time.Duration
	// Pause, if set, says where an element build stops for somebody to look around.
	Pause *Pause
	// Shell, if set, is called with the sandbox of a script that failed, and with the
	// command that started it.
	Shell func(ctx context.Context, box *sandbox.Box, script sandbox.Command, failure error) error

	foreign map[string]*sandbox.Foreign // by architecture; nil is of one that needs nothing

	ran map[digest.Digest]bool // steps of this run, by key: chains share them, whatever NoCache says
}

// A Result says what a run did.
type Result struct {
	Artifacts []Artifact
	Seals     []lock.Seal
	Run       int             // steps and outputs that ran
	Cached    int             // and those that did not
	Downloads []lock.Download // the lock's, where scripts asked for more
	Times     []ScriptTime    // of elements
}

// A ScriptTime is how long a script of an element ran.
type ScriptTime struct {
	Phase, Name string
	Took        time.Duration
}

// An Artifact is one that was made, or is there already.
type Artifact struct {
	Output
	Chain Chain
	Path  string          // of the first file
	Files []artifact.File // all of them
	Seal  digest.Digest   // of the tree that it was made of
}

// Known says of each step and output of a plan's chain whether it would not run.
func (r *Runner) Known(p *Plan, c Chain) (steps []bool, outputs []bool) {
	var downs *downloads
	if c.Definition.Elements != nil {
		downs = newDownloads(r, p.Of(c), c, &Result{})
	}
	// A step that runs makes everything after it unknown, whatever the cache
	// has: keys contain the keys before.
	all, sure := !r.NoCache, 0
	for i, s := range c.Steps {
		if all = all && r.known(s); all && !r.passed(s) {
			same, err := downs.recallStep(s)
			all = same && err == nil && r.follows(s, c.Steps[sure])
		}
		steps = append(steps, all)
		if all && !r.passed(s) {
			sure = i + 1
		}
	}
	for i := sure; i < len(steps); i++ {
		steps[i] = false // what it did is in no result that was kept
	}
	same := downs.recallAll(c)
	for _, o := range c.Outputs {
		_, ok := r.fresh(o)
		outputs = append(outputs, ok && !r.NoCache && same)
	}
	return steps, outputs
}

// Run makes all of a plan's outputs.
func (r *Runner) Run(ctx context.Context, p *Plan) (*Result, error) {
	var out Result
	r.ran = map[digest.Digest]bool{}
	if err := os.MkdirAll(r.To, 0o755); err != nil {
		return nil, fault.Newf(fault.Preflight, "cannot make the directory of the artifacts: %w", err).WithHint("choose another directory with --to")
	}
	// Better now than after the work.
	probe, err := artifact.Create(filepath.Join(r.To, "probe"))
	if err != nil {
		return nil, fault.Newf(fault.Preflight, "cannot write artifacts: %w", err).WithHint("choose another directory with --to")
	}
	probe.Abort()
	if _, err := artifact.Clean(ctx, r.To); err != nil {
		return nil, err
	}
	if err := r.foreseePlaces(p); err != nil {
		return nil, err
	}
	if err := r.foreseeForeign(ctx, p); err != nil {
		return nil, err
	}
	for _, c := range p.Chains {
		if err := r.runChain(ctx, p, c, &out); err != nil {
			if full := noSpace(err); full != nil {
				err = full
			}
			return &out, err
		}
	}
	return &out, nil
}

func (r *Runner) runChain(ctx context.Context, p *Plan, c Chain, out *Result) error {
	c, paused := r.Pause.paused(c)
	for _, at := range r.Pause.nowhere(c) {
		r.Progress.Warnf("it does not stop %s: no script of that phase runs in this build", strings.Replace(at, "-", " ", 1))
	}
	var downs *downloads
	if c.Definition.Elements != nil {
		downs = newDownloads(r, p.Of(c), c, out)
	}
	todo := c.Outputs
	if !r.NoCache && downs.recallAll(c) {
		todo = nil
		for _, o := range c.Outputs {
			a, ok := r.fresh(o)
			if !ok || !p.sealed(c, a.Seal) {
				todo = append(todo, o)
				continue
			}
			a.Chain = c
			out.Artifacts = append(out.Artifacts, a)
			out.Seals = append(out.Seals, c.seal(a.Seal))
			out.Cached++
			r.Progress.Cached(ui.Step{ID: "output:" + o.Format, Name: o.Name()})
		}
	}
	p = p.Of(c)
	w := newWorker(r, p, c)
	w.downs = downs
	defer w.close()
	defer w.noteDownloads(out) // of a run that fails too: the next one goes on from what was kept
	if len(todo) == 0 {
		out.Cached += len(c.Steps)
		return nil
	}
	if err := errors.Join(p.foreseeSecrets(c, todo), w.foreseeRoom(todo)); err != nil {
		return err
	}
	if err := p.foreseeSigner(todo); err != nil {
		return err
	}
	// Before anything is fetched for it.
	if err := r.Supply.Cache.Writable(); err != nil {
		return err
	}
	if err := w.runSteps(ctx, todo, out); err != nil {
		return err
	}
	if p.Definition.Elements != nil {
		if err := w.takeSide(); err != nil {
			return err
		}
		if err := w.writeSide(p.sideDir(c, r.To)); err != nil {
			return err
		}
	}
	out.Times = append(out.Times, w.times...)
	seal := c.seal(w.tree.Seal())
	if !paused { // else nobody knows what was done to it
		var err error
		if seal, err = w.seal(); err != nil {
			return err
		}
		out.Seals = append(out.Seals, seal)
	}
	w.dropBox() // its memory is better used for what follows
	made, err := w.writeAll(ctx, todo, seal.SHA256)
	out.Artifacts = append(out.Artifacts, made...)
	out.Run += len(made)
	return err
}

// noteDownloads gives the lock's downloads where some came to them.
func (w *worker) noteDownloads(out *Result) {
	if w.downs == nil {
		return
	}
	if all := w.downs.all(); all != nil {
		out.Downloads = all
	}
}

// runSteps brings the worker's tree to the end of the chain.
func (w *worker) runSteps(ctx context.Context, todo []Output, out *Result) error {
	start := w.applyKnown(out)
	// What this system does not allow is known before anything is fetched.
	if slices.ContainsFunc(w.chain.Steps[start:], func(s Step) bool { return s.data == nil }) {
		if err := w.start(ctx); err != nil {
			return err
		}
	}
	if start < len(w.chain.Steps) || !w.packsThere() {
		w.deliver(ctx)
		var err error
		if start > 0 {
			err = w.delivery.Finish()
		} else {
			// The first step unpacks what it needs when it needs it, but nothing runs
			// before all packages are there, and verified.
			if w.packages, err = w.delivery.Packages(ctx, w.delivered()); err == nil {
				err = w.foreseeTree(todo)
			}
		}
		if err != nil {
			return err
		}
	}
	for i := start; i < len(w.chain.Steps); i++ {
		s := w.chain.Steps[i]
		keep := !s.light || i+1 == len(w.chain.Steps) || !w.chain.Steps[i+1].light
		if err := w.stop(ctx, "before", i); err != nil {
			return w.blame(s, err)
		}
		t := w.Progress.Start(ui.Step{ID: s.Name, Name: s.Name})
		w.log = func(line string) { t.Notef("%s", line) }
		err := w.perform(ctx, s, keep)
		t.Done(err)
		if err != nil {
			return w.blame(s, err)
		}
		w.ran[s.Key] = true
		out.Run++
		if err := w.stop(ctx, "after", i); err != nil {
			return w.blame(s, err)
		}
	}
	if w.delivery != nil {
		return w.delivery.Finish()
	}
	return nil
}

// applyKnown applies the results that the cache has, as far as they reach without
// a gap, and says which step is next.
func (w *worker) applyKnown(out *Result) int {
	next := 0
	for i, s := range w.chain.Steps {
		if w.NoCache && !w.ran[s.Key] {
			return next
		}
		d, err := w.result(s, w.chain.Steps[next])
		if err == nil {
			var same bool
			if same, err = w.downs.recallStep(s); err == nil && !same {
				return next
			}
		}
		if err == nil {
			var t tree.Tree
			if t, err = w.tree.Apply(d); err == nil {
				w.tree = t
				for _, s := range w.chain.Steps[next : i+1] {
					out.Cached++
					w.Progress.Cached(ui.Step{ID: s.Name, Name: s.Name})
				}
				next = i + 1
			}
		}
		if errors.Is(err, errPassed) {
			continue // a later result may hold what it did
		}
		if err != nil {
			if !errors.Is(err, cache.ErrMissing) {
				w.Progress.Warnf("cannot use the cached result of step %s: %v", s.Name, err)
			}
			return next
		}
	}
	return next
}

// packsThere says whether the cache still has what the tree points into.
func (w *worker) packsThere() bool {
	seen := map[string]bool{}
	for e := range w.tree.All() {
		if p := e.Content.Pack; p != "" && !seen[p] {
			seen[p] = true
			if _, err := w.reader.Pack(p); err != nil {
				return false
			}
		}
	}
	return true
}

// blame says which step failed, unless it was for want of a package. What the definition
// asked for at a line that the error has needs no name of a step: the line says more.
func (w *worker) blame(s Step, err error) error {
	if w.delivery != nil {
		if failed := w.delivery.Err(); failed != nil && errors.Is(err, failed) {
			return failed
		}
	}
	if fault.PositionOf(err) == (fault.Position{}) {
		err = fmt.Errorf("step %s: %w", s.Name, err)
	}
	// A script's error has a hint already, and no cause: how it ended is in its text.
	_, program := errors.AsType[*sandbox.ExitError](err)
	if w.foreign[w.chain.Arch] != nil && (program || strings.Contains(err.Error(), "was ended by signal")) {
		hint := fmt.Sprintf("programs of %[1]s run under an emulator here: whether it is to blame, a build on a machine of %[1]s shows", w.chain.Arch)
		if said := fault.HintOf(err); said != "" {
			hint = said + "; " + hint
		}
		return fault.Newf(fault.CodeOf(err), "%w", err).WithHint("%s", hint)
	}
	return err
}

// delivered are the packages that the chain's steps install themselves.
func (w *worker) delivered() []distro.Ref {
	refs := w.chain.Set.Refs
	if w.plan.Definition.Elements != nil {
		refs = append(slices.Clone(w.plan.base(w.chain)), refs...)
		// What is in both comes once.
		seen := map[digest.Digest]bool{}
		refs = slices.DeleteFunc(refs, func(r distro.Ref) bool {
			known := seen[r.SHA256]
			seen[r.SHA256] = true
			return known
		})
	}
	return refs
}

// deliver begins to fetch and unpack the chain's packages.
func (w *worker) deliver(ctx context.Context) {
	refs := w.delivered()
	var bytes int64
	missing := w.Supply.Missing(refs)
	for _, ref := range missing {
		bytes += ref.Size
	}
	var fetch *ui.Task
	if len(missing) > 0 {
		fetch = w.Progress.Start(ui.Step{ID: "fetch", Name: "fetch " + packages(len(missing)), Unit: ui.Bytes, Total: bytes})
	}
	unpack := w.Progress.Start(ui.Step{ID: "unpack", Name: "unpack " + packages(len(refs)), Unit: ui.Items, Total: int64(len(refs))})
	d := w.Supply.Deliver(ctx, refs, supply.Meter{
		Fetched:  fetch.Add,
		Unpacked: func(distro.Ref, bool) { unpack.Add(1) },
	})
	w.delivery = d
	w.told.Go(func() { fetch.Done(d.Fetched()) })
	w.told.Go(func() { unpack.Done(d.Finish()) })
}

func packages(n int) string {
	if n == 1 {
		return "1 package"
	}
	return fmt.Sprintf("%d packages", n)
}

// noSpace gives a full disk its own words, wherever it was met, and one that has no such
// large files; nil for other errors.
func noSpace(err error) error {
	if errors.Is(err, syscall.EFBIG) {
		return fault.Newf(fault.Preflight, "too large for the file system that it is written to: %w", err).
			WithHint("choose another place with --to, or a smaller disk")
	}
	if !isFull(err) {
		return nil
	}
	if fault.CodeOf(err) == fault.Preflight { // store and cache say it themselves
		return err
	}
	return fault.Newf(fault.Preflight, "no space left: %w", err).
		WithHint("free some, run 'ingot store gc --cache', or choose other places with INGOT_HOME, INGOT_CACHE and --to")
}

// Tree gives the image at the end of a chain if the cache knows every step.
func (r *Runner) Tree(c Chain) (tree.Tree, bool) {
	var t tree.Tree
	next := 0
	for i, s := range c.Steps {
		d, err := r.result(s, c.Steps[next])
		if errors.Is(err, errPassed) && i+1 < len(c.Steps) {
			continue
		}
		if err != nil {
			return t, false
		}
		if t, err = t.Apply(d); err != nil {
			return t, false
		}
		next = i + 1
	}
	t, _, err := apart(t)
	return t, err == nil
}
