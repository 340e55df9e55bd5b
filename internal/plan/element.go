package plan

import (
	"context"
	"errors"
	"io/fs"
	"maps"
	"slices"
	"strings"
	"time"

	"ingot/internal/definition"
	"ingot/internal/digest"
	"ingot/internal/distro"
	"ingot/internal/element"
	"ingot/internal/fault"
	"ingot/internal/format"
	"ingot/internal/lock"
	"ingot/internal/relay"
	"ingot/internal/sandbox"
	"ingot/internal/tree"
)

// elements lists the steps of an element build: the hooks, each script of each phase, and
// what becomes of the tree at the end.
//
// A script's key has the script, what stands before it, and, by the first step's, all
// that scripts share: the environment and every hook that is no script of a phase. So a
// change of one script runs that and what follows.
func (p *Plan) elements(c Chain) []keyed {
	out := append([]keyed{p.hooksStep(c)}, p.phases(c, element.Phases)...)
	return append(out, p.leave(c))
}

// laterPhases is which phase is the first that comes after all that a definition says
// beside its elements: it sees the tree as it will be.
var laterPhases = slices.IndexFunc(element.Phases, func(p element.Phase) bool { return p.Name == "post-root.d" })

// phases lists the steps of some phases.
func (p *Plan) phases(c Chain, phases []element.Phase) []keyed {
	hooks := p.Definition.Elements.Hooks
	var out []keyed
	for _, phase := range phases {
		// The mounts of a definition's machine are set with all that has its identity.
		if phase.Name == "pre-finalise.d" && c.Purpose == format.Machine && p.Definition.Elements.Root {
			out = append(out, p.mountsFiles(c))
		}
		scripts := hooks.Phase(phase.Name)
		for i, s := range scripts {
			before := ""
			if i > 0 {
				before = scripts[i-1].Name
			}
			out = append(out, p.scriptStep(s, before, i == len(scripts)-1))
		}
		if phase.Name == "install.d" && len(p.Definition.Elements.Packages) > 0 {
			out = append(out, p.morePackages())
		}
		switch phase.Name {
		case "root.d":
			out = append(out, p.rooted())
		}
	}
	return out
}

// hooksStep puts the hooks beside an image that is empty yet.
func (p *Plan) hooksStep(c Chain) keyed {
	e := p.Definition.Elements
	type read struct {
		Path, Target string
		Mode         fs.FileMode
		Digest       digest.Digest
	}
	runs := map[string]bool{} // each in its own step's key
	for _, phase := range element.Phases {
		for _, s := range e.Hooks.Phase(phase.Name) {
			runs[s.Path()] = true
		}
	}
	var files []read
	for _, f := range e.Hooks.Files {
		// What lies beside the scripts of a phase and does not run, they may read.
		if !runs[f.Path] {
			files = append(files, read{Path: f.Path, Mode: f.Mode, Target: f.Target, Digest: f.Digest})
		}
	}
	// What lies directly in elements' directories is in the hooks under one name for all.
	own := map[string]any{}
	for _, one := range e.Hooks.Set.Elements {
		files, err := one.OwnFiles()
		if own[one.Name] = files; err != nil {
			own[one.Name] = err.Error() // the step says it
		}
	}
	// Who installs decides among these.
	packages := append(refIDs(p.base(c)), refIDs(c.Set.Refs)...)
	return keyed{
		kind: "hooks",
		reads: struct {
			Hooks    []read
			Own      map[string]any
			Env      map[string]string
			Elements []string
			Arch     string
			Release  string
			Epoch    int64
			Indexes  []lock.Index
			Packages []string
			Station  []string
			Layout   any               `json:",omitempty"`
			Lent     []definition.Lent `json:",omitempty"`
			Keep     []distro.Keep     `json:",omitempty"`
		}{files, own, declared(e.Environment), e.Hooks.Set.Names(), c.Arch, p.Lock.Release, p.Lock.Epoch, p.Lock.Indexes, packages, refIDs(p.Lock.Station), p.layoutRead(c), e.Lent, p.keeps()},
		Step: Step{Name: "hooks", light: true, work: func(ctx context.Context, w *worker) error {
			if _, err := w.Box(ctx); err != nil {
				return err
			}
			if !e.Root {
				if err := w.box.Write(ctx, w.aptConfiguration()); err != nil {
					return err
				}
			}
			return w.putHooks(ctx)
		}},
	}
}

// layoutRead is what scripts know of the layout from the first phase on.
func (p *Plan) layoutRead(c Chain) any {
	if c.Purpose != format.Machine {
		return nil
	}
	return p.Definition.Layout
}

// declared is the environment without what scripts see otherwise than the user.
func declared(env map[string]string) map[string]string {
	out := maps.Clone(env)
	delete(out, "ELEMENTS_PATH")
	return out
}

// scriptStep runs one script of a phase.
func (p *Plan) scriptStep(s element.Script, before string, last bool) keyed {
	return keyed{
		kind: "element script",
		reads: struct {
			Phase, Name, Before string
			Last                bool
			Digest              digest.Digest
		}{s.Phase, s.Name, before, last, s.File.Digest},
		Step: Step{Name: s.Phase + "/" + s.Name, phase: s.Phase, light: true, work: func(ctx context.Context, w *worker) error {
			return w.elementScript(ctx, s, before, last)
		}},
	}
}

// elementScript runs a script, after those that came to the
// phase while the build ran and stand before it, and the last one of a phase before
// those that stand behind it.
func (w *worker) elementScript(ctx context.Context, s element.Script, before string, last bool) error {
	box, err := w.Box(ctx)
	if err != nil {
		return err
	}
	names, err := box.List(ctx, asideHooks+"/"+s.Phase)
	if err != nil {
		return err
	}
	var listed []element.Listed
	for _, n := range names {
		listed = append(listed, element.Listed{Name: n.Name, Mode: n.Mode})
	}
	run, _ := w.plan.Definition.Elements.Hooks.Scripts(listed)
	planned := w.plan.Definition.Elements.Hooks.Phase(s.Phase)
	for _, name := range run {
		isPlanned := slices.ContainsFunc(planned, func(p element.Script) bool { return p.Name == name })
		switch {
		case name == s.Name:
		case isPlanned:
			continue
		case before != "" && element.CompareScripts(name, before) < 0:
			continue // ran with the one before
		case !last && element.CompareScripts(name, s.Name) > 0:
			continue // the next one's
		}
		if err := w.runElementScript(ctx, s.Phase, name); err != nil {
			return w.lookAfter(ctx, s.Phase, err)
		}
	}
	return w.noteMounts(ctx)
}

// runElementScript runs one script, by bash, with the snippets of environment.d before
// it, on the side of its phase.
func (w *worker) runElementScript(ctx context.Context, phase, name string) error {
	side, _ := element.SideOf(phase)
	if phase == "root.d" {
		err := w.mountDevices(ctx)
		if err != nil {
			return err
		}
	} else if err := w.mountImage(ctx, phase != "block-device.d"); err != nil {
		return err
	}
	disk, err := w.plan.diskEnvironment(w.chain, phase)
	if err != nil {
		return err
	}
	env := w.elementEnvironment("INGOT_SCRIPT="+phase+"/"+name, "INGOT_ELEMENT="+w.elementOf(phase, name))
	env = append(env, disk...)
	if phase == "root.d" || phase == "cleanup.d" {
		env = append(env, "TARGET_ROOT="+mountDir)
	}
	hooks, script := hooksDir, "exec "+hooksDir+"/"+phase+"/"+name
	if side == element.Target {
		hooks, script = targetDir, "exec "+targetDir+"/"+phase+"/"+name
		for name, file := range relay.Variables(targetCertificate) {
			env = append(env, name+"="+file)
		}
	}
	text := "set -eu -o pipefail\n"
	snippets, err := w.snippets(ctx)
	if err != nil {
		return err
	}
	for _, s := range snippets {
		text += ". " + shellQuote(hooks+"/"+s) + "\n"
	}
	text += script + "\n"
	text = w.atSide(side, text)
	if limit := w.ScriptTimeout; limit > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeoutCause(ctx, limit, fault.Newf(fault.Failed, "%s/%s still runs after %v", phase, name, limit).WithHint("give it longer with --script-timeout, or look at what it waits for"))
		defer cancel()
	}
	start := time.Now()
	out, err := w.box.Output(ctx, sandbox.Command{Argv: []string{"/bin/bash", "-c", text}, Env: env, Dir: workDir, Station: true}, w.log)
	w.timed(phase, name, time.Since(start))
	var exit *sandbox.ExitError
	if errors.As(err, &exit) {
		return fault.Newf(fault.Failed, "script %s/%s %s%s", phase, name, strings.TrimPrefix(exit.Error(), "/bin/bash "), sandbox.Quote(lastLines(out)))
	}
	return err
}

// atSide is a text of bash that runs another one on a side of the build: in the image with
// the hooks in sight.
func (w *worker) atSide(side element.Side, text string) string {
	if side == element.Host {
		return text
	}
	programs := "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
	if !w.plan.Definition.Elements.Root {
		programs += ":" + targetDir + "/" + element.PreparedDir + "/bin" // what the image does not have
	}
	return `m=` + mountDir + `
mkdir -p $m` + targetDir + `
mount --bind $TMP_HOOKS_PATH $m` + targetDir + ` && mount -o remount,bind,ro $m` + targetDir + `
mount --bind ` + certificate + ` $m` + targetCertificate + `
code=0
chroot $m env -u TMPDIR PATH=` + programs + ` bash -c ` + shellQuote(text) + ` || code=$?
umount -l $m` + targetDir + `
rmdir $m` + targetDir + `
exit $code
`
}

// elementOf is the element that a script is of; none where a script made it.
func (w *worker) elementOf(phase, name string) string {
	f, _ := w.plan.Definition.Elements.Hooks.Get(phase + "/" + name)
	return f.Element
}

// snippets are the files of environment.d as they are now.
func (w *worker) snippets(ctx context.Context) ([]string, error) {
	names, err := w.box.List(ctx, asideHooks+"/"+element.EnvironmentDir)
	if err != nil {
		return nil, err
	}
	var listed []element.Listed
	for _, n := range names {
		listed = append(listed, element.Listed{Name: n.Name, Mode: n.Mode})
	}
	source, _ := element.Snippets(listed)
	for i := range source {
		source[i] = element.EnvironmentDir + "/" + source[i]
	}
	return source, nil
}

// lastLines is the end of what a script said.
func lastLines(out []byte) []byte {
	const most = 40
	lines := strings.Split(strings.TrimRight(string(out), "\n"), "\n")
	return []byte(strings.Join(lines[max(0, len(lines)-most):], "\n"))
}

// morePackages installs what was asked for beside the elements' own lists.
func (p *Plan) morePackages() keyed {
	packages := p.Definition.Elements.Packages
	return keyed{kind: "more packages", reads: packages, Step: Step{Name: "install.d packages", phase: "install.d", light: true, work: func(ctx context.Context, w *worker) error {
		if _, err := w.Box(ctx); err != nil {
			return err
		}
		if err := w.mountImage(ctx, true); err != nil {
			return err
		}
		return w.outside(ctx, "chroot $TMP_MOUNT_PATH env PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin install-packages "+quoteAll(packages), w.log)
	}}}
}

// rooted sees to it that the first phase left a tree, and lends it the names of servers
// as diskimage-builder does: what was there is kept aside until the end.
func (p *Plan) rooted() keyed {
	return keyed{kind: "rooted", Step: Step{Name: "root.d made a tree", light: true, work: func(ctx context.Context, w *worker) error {
		box, err := w.Box(ctx)
		if err != nil {
			return err
		}
		names, err := box.List(ctx, ".")
		if err != nil {
			return err
		}
		if !slices.ContainsFunc(names, func(n sandbox.Name) bool { return n.Name != "lost+found" && n.Name != "tmp" }) {
			return fault.Newf(fault.Failed, "no script of root.d made a tree").WithHint("name an element that provides operating-system, such as debian-minimal")
		}
		return w.outside(ctx, `cd $TMP_MOUNT_PATH
mkdir -p etc
if [ -e etc/resolv.conf ] || [ -L etc/resolv.conf ]; then mv etc/resolv.conf etc/resolv.conf.ORIG; fi
cat /etc/resolv.conf >etc/resolv.conf
chmod 0777 etc/resolv.conf
`, w.log)
	}}}
}

// auxCache is what ldconfig knows of files by their inodes (ldconfig(8)): no two builds
// have the same, and no machine that it is copied to can use it.
const auxCache = "var/cache/ldconfig/aux-cache"

// leave takes away what only the build needed: what lies beside the image, and, as
// diskimage-builder does, temporary files and the text of logs.
func (p *Plan) leave(c Chain) keyed {
	// A definition's own file of that name is none that was lent.
	own := slices.ContainsFunc(p.Definition.Files, func(f definition.File) bool { return f.Path == "/etc/resolv.conf" })
	return keyed{kind: "leave", reads: []any{c.Purpose, own, p.Definition.Elements.Environment["http_proxy"]}, Step: Step{Name: "leave", data: func(e *edit) error {
		var gone []string
		var set []tree.Entry
		_, orig := e.tree.Lookup("etc/resolv.conf.ORIG")
		for n := range e.tree.All() {
			top, _, _ := strings.Cut(n.Path, "/")
			switch {
			case n.Path == sandbox.Aside, n.Path == asideOut, strings.HasPrefix(n.Path, asideOut+"/"):
			case top == sandbox.Aside, n.Path == aptBuildPath, n.Path == auxCache, strings.HasPrefix(n.Path, "tmp/"), n.Path == "lost+found":
				gone = append(gone, n.Path)
			case strings.HasPrefix(n.Path, "root/") && strings.HasSuffix(n.Path, ".log") && n.Kind == tree.File:
				gone = append(gone, n.Path)
			case strings.HasPrefix(n.Path, "var/log/") && n.Kind == tree.File && n.Content.Size > 0:
				n.Content = tree.Content{Digest: digest.Of(nil)}
				set = append(set, n)
			case n.Path == "etc/resolv.conf.ORIG" && own:
				gone = append(gone, n.Path)
			case n.Path == "etc/resolv.conf.ORIG":
				gone = append(gone, n.Path)
				n.Path = "etc/resolv.conf"
				set = append(set, n)
			case n.Path == "etc/resolv.conf" && !orig && !own:
				gone = append(gone, n.Path)
			}
		}
		t, err := e.tree.Apply(tree.Delta{Remove: gone})
		if err == nil {
			t, err = t.Apply(tree.Delta{Set: set})
		}
		if err != nil {
			return err
		}
		e.tree = t
		if err := e.settleIndexes(); err != nil {
			return err
		}
		return e.forgetRelay(p.Definition.Elements.Environment["http_proxy"])
	}}}
}

// forgetRelay sees to it that no configuration names the build's own proxy, which scripts
// such as local-config's write down as they see it: it names the caller's in its place, or
// none.
func (e *edit) forgetRelay(proxy string) error {
	const most = 64 << 10 // bytes of a file of configuration
	var set []tree.Entry
	var gone []string
	for n := range e.tree.All() {
		top, _, _ := strings.Cut(n.Path, "/")
		if n.Kind != tree.File || n.Content.Size > most || n.Content.Size == 0 || strings.HasPrefix(n.Owner, "deb:") || !slices.Contains([]string{"etc", "root", "home"}, top) {
			continue
		}
		data, err := e.read(e.tree, n.Path)
		if err != nil {
			return err
		}
		if !strings.Contains(string(data), relay.Proxy) {
			continue
		}
		text := withoutRelay(string(data), proxy)
		if text == "" {
			gone = append(gone, n.Path)
			continue
		}
		f, err := e.file(n.Path, n.Mode, []byte(text))
		if err != nil {
			return err
		}
		n.Content = f.Content
		set = append(set, n)
	}
	t, err := e.tree.Apply(tree.Delta{Set: set, Remove: gone})
	if err == nil {
		e.tree = t
	}
	return err
}

// withoutRelay is a text with another proxy for the build's own, or without the lines
// that name it.
func withoutRelay(text, proxy string) string {
	if proxy != "" {
		return strings.ReplaceAll(text, relay.Proxy, proxy)
	}
	var out strings.Builder
	for line := range strings.Lines(text) {
		if !strings.Contains(line, relay.Proxy) {
			out.WriteString(line)
		}
	}
	return out.String()
}
