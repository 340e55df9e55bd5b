package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"ingot/internal/artifact"
	"ingot/internal/definition"
	"ingot/internal/dib"
	"ingot/internal/digest"
	"ingot/internal/distro/debian"
	"ingot/internal/fault"
	"ingot/internal/lock"
	"ingot/internal/plan"
	"ingot/internal/sandbox"
	"ingot/internal/supply"
	"ingot/internal/terminal"
	"ingot/internal/ui"
	"ingot/internal/vm"
)

// buildFlags are those of "ingot build", and in part of "ingot plan".
type buildFlags struct {
	sourceFlags
	flavor  variantFlags
	wish    plan.Wish
	to      string
	locked  bool
	noCache bool
	shell   bool
	// scriptTimeout is how long one script of an element may run.
	scriptTimeout time.Duration
	// breaks are the places where a build of elements stops.
	breaks []string
	test   bool
	json   bool
}

func (f *buildFlags) addWish(cmd *cobra.Command) {
	cmd.Flags().StringArrayVar(&f.wish.Formats, "output", nil, "make only the outputs of this format; may be repeated")
	f.flavor.addAll(cmd)
	cmd.Flags().StringArrayVar(&f.wish.Arch, "arch", nil, "build only for this architecture; may be repeated")
	cmd.Flags().StringVar(&f.to, "to", ".", "directory of the artifacts")
	cmd.Flags().BoolVar(&f.locked, "locked", false, "refuse a lock that does not fit the definition")
	cmd.Flags().BoolVar(&f.json, "json", false, "print one JSON object")
}

func newBuildCommand() *cobra.Command {
	var f buildFlags
	cmd := &cobra.Command{
		Use:   "build [FILE][[FLAVOR]]",
		Short: "Build a definition's outputs from its lock",
		Long: `build makes the outputs of a definition: ./ingot.yaml, or the file or directory
given. The lock beside it, ingot.lock, fixes every package; where there is none
or the definition asks for other packages, it is written first.

Of a definition with flavors it makes its own; --flavor, or a flavor in brackets
behind the file or the name, another one; --all-flavors makes all of them, and steps
that they have in common run once.

What a step reads is its key: a step whose key is known does not run again, and
an artifact that is in its place untouched is not made again.

--shell-on-error takes a terminal. The shell starts where the script did, with its
environment and its network. It has no job control, and 'tty' knows no name for its
terminal, which stays that of the shell which called ingot.`,
		Example: `  ingot build                        every output of ./ingot.yaml
  ingot build --output qcow2 --to out
  ingot build 'web[xen is: x86_64]'  a flavor of the definition web here
  ingot build --all-flavors --to out
  ingot build --locked --offline     exactly the lock, from the store alone`,
		GroupID: groupMake,
		Args:    cobra.MaximumNArgs(1),
		RunE:    func(cmd *cobra.Command, args []string) error { return f.run(cmd, args) },
	}
	f.add(cmd)
	f.addWish(cmd)
	cmd.Flags().BoolVar(&f.noCache, "no-cache", false, "run every step again; packages in the store are kept")
	cmd.Flags().BoolVar(&f.test, "test", false, "boot what was built and run the definition's tests in it")
	cmd.Flags().BoolVar(&f.shell, "shell-on-error", false, "open a shell where a script failed")
	cmd.Flags().StringSliceVar(&f.breaks, "break", nil, "open a shell in the phases of elements: before-`PHASE`, after-PHASE, after-error")
	cmd.Flags().DurationVar(&f.scriptTimeout, "script-timeout", 0, "end a script of an element that runs longer")
	return cmd
}

func (f *buildFlags) run(cmd *cobra.Command, args []string) error {
	out, err := f.build(cmd, args)
	if out != nil && f.json {
		if perr := printJSON(cmd, out); err == nil {
			err = perr
		}
		return err
	}
	if err != nil {
		return err
	}
	return summary(cmd, out.summary())
}

// summary is what was made, for people and for programs that read the progress.
func (b *builtJSON) summary() ui.Summary {
	s := ui.Summary{Seconds: b.Seconds}
	for _, a := range b.Artifacts {
		files := a.Files
		if files == nil {
			files = []fileJSON{{a.Path, a.Size, a.SHA256}}
		}
		for _, f := range files {
			s.Artifacts = append(s.Artifacts, ui.Artifact{Format: a.Format, Path: f.Path, Size: f.Size, SHA256: f.SHA256})
		}
	}
	return s
}

// build is the verb without what it prints. Where only tests failed, it gives both what was
// built, with what they said, and the failure.
func (f *buildFlags) build(cmd *cobra.Command, args []string) (*builtJSON, error) {
	start := time.Now()
	if err := f.plain(cmd); err != nil {
		return nil, err
	}
	progress, err := newProgress(cmd)
	if err != nil {
		return nil, err
	}
	defer progress.Close()
	def, lockPath, variants, err := f.flavor.load(args)
	if err != nil {
		return nil, err
	}
	h, err := openHouse(f.sourceFlags, progress)
	if err == nil {
		err = h.writable()
	}
	if err != nil {
		return nil, err
	}
	f.wish.Variants = variants
	warnOf(def, progress)
	if f.test {
		if err := f.provable(chosen(def, variants)); err != nil {
			return nil, err
		}
	}
	if err := f.wish.Check(def); err != nil {
		return nil, err
	}
	// Before packages are chosen; a plan's run sees for itself.
	if _, err := os.Stat(lockPath); err != nil {
		if !f.locked {
			if err := lock.CheckWrite(lockPath); err != nil {
				return nil, err
			}
		}
		if err := f.foresee(cmd.Context(), def); err != nil {
			return nil, err
		}
	}
	p, release, err := f.settle(cmd.Context(), h, def, lockPath)
	if err != nil {
		return nil, err
	}
	defer release()
	if !p.HasSeals() {
		if err := lock.CheckWrite(lockPath); err != nil {
			return nil, err
		}
	}
	runner := f.runner(h, p)
	if len(f.breaks) > 0 {
		runner.Pause = &plan.Pause{At: f.breaks, Files: terminal.Files{In: os.Stdin, Out: os.Stderr, Err: os.Stderr}}
	}
	result, err := runner.Run(cmd.Context(), p)
	if result != nil {
		err = errors.Join(err, keepDownloads(p.Lock, lockPath, result.Downloads), keepHeld(cmd.Context(), h, p.Lock, lockPath))
	}
	if err != nil {
		return nil, err
	}
	printTimes(progress, result.Times)
	if err := keepSeals(p.Lock, lockPath, result.Seals, progress); err != nil {
		return nil, err
	}
	if err := keepHeld(cmd.Context(), h, p.Lock, lockPath); err != nil {
		return nil, err
	}
	out := buildResult(p, lockPath, result)
	if f.test {
		out.Tests, err = f.prove(cmd.Context(), h, result)
	}
	out.Seconds = time.Since(start).Seconds()
	if err != nil {
		return out, err // what was built is there, and what each test said
	}
	progress.Summarize(out.summary())
	return out, nil
}

// foresee says whether this machine can run what is to be built at all.
func (f *buildFlags) foresee(ctx context.Context, def *definition.Definition) error {
	if err := sandbox.Check(ctx); err != nil {
		return err
	}
	for _, arch := range def.Arch {
		if len(f.wish.Arch) > 0 && !slices.Contains(f.wish.Arch, arch) {
			continue
		}
		if err := plan.CheckForeign(ctx, hostArch(), arch); err != nil {
			return err
		}
	}
	return nil
}

// plain sees to it that what is started at a stop has the terminal for itself.
func (f *buildFlags) plain(cmd *cobra.Command) error {
	for _, at := range f.breaks {
		if err := dib.Breakpoint(at); err != nil {
			return err
		}
	}
	flags := cmd.Root().PersistentFlags()
	if len(f.breaks) == 0 || flags.Changed("progress") {
		return nil
	}
	return flags.Set("progress", "plain")
}

// settle makes the plan of a definition and writes its lock. 'ingot store gc' keeps what
// the lock names, and all of it until release is called.
func (f *buildFlags) settle(ctx context.Context, h *house, def *definition.Definition, lockPath string) (p *plan.Plan, release func(), err error) {
	p, changed, err := f.plan(ctx, h, def, lockPath)
	if err != nil {
		return nil, nil, err
	}
	if changed {
		if err := writeLock(lockPath, p.Lock); err != nil {
			return nil, nil, err
		}
	}
	release, err = supply.Hold(ctx, h.store, lockPath, p.Lock)
	return p, release, err
}

// keepHeld has the lock's reference hold what a build added to the lock: the lists of
// seals, and what scripts downloaded.
func keepHeld(ctx context.Context, h *house, l *lock.Lock, lockPath string) error {
	release, err := supply.Hold(ctx, h.store, lockPath, l)
	if err == nil {
		release()
	}
	return err
}

// plan makes the plan of a definition and its lock. A lock that differs from the one
// that is there is not written yet.
func (f *buildFlags) plan(ctx context.Context, h *house, def *definition.Definition, lockPath string) (p *plan.Plan, changed bool, err error) {
	if err := f.wish.Check(def); err != nil { // before anything is read
		return nil, false, err
	}
	c := h.compiler(f.sourceFlags)
	if slices.ContainsFunc(def.Variants(), func(v *definition.Definition) bool { return v.Elements != nil }) {
		old, err := oldLock(lockPath)
		if err == nil {
			err = h.furnish(ctx, def, old)
		}
		if err != nil {
			return nil, false, err
		}
	}
	l, changed, err := c.Settle(ctx, def, lockPath, f.locked)
	if err != nil {
		return nil, false, err
	}
	p, err = plan.Make(def, l, f.wish)
	return p, changed, err
}

func (f *buildFlags) runner(h *house, p *plan.Plan) *plan.Runner {
	r := &plan.Runner{
		Supply: h.supply(p.Lock), Distro: debian.Debian{}, Progress: h.progress, To: f.to, NoCache: f.noCache,
		HostArch: hostArch(), Version: thisVersion().Version, Foreign: h.keeper().Foreign,
		AcceptExpired: f.acceptExpired, Locked: f.locked, ScriptTimeout: f.scriptTimeout,
	}
	if f.shell {
		r.Shell = func(ctx context.Context, box *sandbox.Box, script sandbox.Command, failure error) error {
			return openShellIn(ctx, h.progress, box, script, failure)
		}
	}
	return r
}

// writeLock writes a lock. One that is there already with the same identity may have
// got seals meanwhile, and what scripts asked for: it keeps them.
func writeLock(path string, l *lock.Lock) error {
	return lock.Update(path, func(now *lock.Lock) *lock.Lock {
		if now != nil && now.Digest() == l.Digest() {
			l.Seals, l.Downloads = now.Seals, bothDownloads(now.Downloads, l.Downloads)
		}
		return l
	})
}

// keepSeals records the seals of a lock's first build, beside those that other builds
// of it recorded meanwhile. A lock that is another by now stays as it is.
func keepSeals(l *lock.Lock, path string, seals []lock.Seal, progress *ui.Progress) error {
	var differs error
	err := lock.Update(path, func(now *lock.Lock) *lock.Lock {
		if now == nil || now.Digest() != l.Digest() {
			progress.Warnf("%s changed while this build ran: it does not get this build's seals", path)
			return nil
		}
		known := len(now.Seals)
		for _, s := range seals {
			i := slices.IndexFunc(now.Seals, func(o lock.Seal) bool { return o.Name() == s.Name() })
			if i < 0 {
				now.Seals = append(now.Seals, s)
			} else if now.Seals[i] != s {
				differs = fault.Newf(fault.Verification, "the %s tree for %s differs from the one that another build of this lock made meanwhile", s.Purpose, strings.TrimSpace(s.Arch+" "+s.Flavor)).
					WithHint("something in the build depends on more than the lock; build again to see which files differ")
			}
		}
		l.Seals = now.Seals
		if len(now.Seals) == known {
			return nil
		}
		return now
	})
	return errors.Join(err, differs)
}

// builtJSON is the object that "build --json" prints.
type builtJSON struct {
	Schema    int            `json:"schema"` // 1
	Group     string         `json:"group"`
	Lock      string         `json:"lock"`
	Artifacts []artifactJSON `json:"artifacts"`
	Steps     stepsJSON      `json:"steps"`
	Seconds   float64        `json:"seconds"`
	Tests     []vm.Result    `json:"tests,omitempty"`
}

type artifactJSON struct {
	Format     string        `json:"format"`
	Flavor     string        `json:"flavor,omitempty"` // of the lock's set
	Path       string        `json:"path"`
	Size       int64         `json:"size"`
	SHA256     digest.Digest `json:"sha256"`
	Files      []fileJSON    `json:"files,omitempty"`  // all of them, where there are several
	Drives     []string      `json:"drives,omitempty"` // those that are further disks of the same machine
	Manifest   string        `json:"manifest"`
	SBOM       string        `json:"sbom"`
	Provenance string        `json:"provenance"`
}

// fileJSON is one of an artifact's files.
type fileJSON struct {
	Path   string        `json:"path"`
	Size   int64         `json:"size"`
	SHA256 digest.Digest `json:"sha256"`
}

type stepsJSON struct {
	Run    int `json:"run"`
	Cached int `json:"cached"`
}

func buildResult(p *plan.Plan, lockPath string, r *plan.Result) *builtJSON {
	out := &builtJSON{Schema: 1, Lock: lockPath, Steps: stepsJSON{r.Run, r.Cached}}
	if abs, err := filepath.Abs(lockPath); err == nil {
		out.Lock = abs
	}
	out.Group = fmt.Sprintf("%s=%s", p.Definition.Name, p.Lock.Digest())
	for _, a := range r.Artifacts {
		made := artifactJSON{
			Format: a.Format, Flavor: a.Chain.Set.Flavor, Path: a.Path, Size: a.Files[0].Size, SHA256: a.Files[0].SHA256,
			Manifest: a.Path + artifact.ManifestSuffix, SBOM: a.Path + artifact.SBOMSuffix, Provenance: a.Path + artifact.ProvenanceSuffix,
		}
		if len(a.Files) > 1 {
			for _, f := range a.Files {
				made.Files = append(made.Files, fileJSON{filepath.Join(filepath.Dir(a.Path), f.Name), f.Size, f.SHA256})
			}
		}
		for _, name := range a.Drives {
			made.Drives = append(made.Drives, filepath.Join(filepath.Dir(a.Path), name))
		}
		out.Artifacts = append(out.Artifacts, made)
	}
	return out
}
