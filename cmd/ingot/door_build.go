package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"ingot/internal/boot"
	"ingot/internal/definition"
	"ingot/internal/dib"
	"ingot/internal/element"
	"ingot/internal/fault"
	"ingot/internal/format"
	"ingot/internal/lock"
	"ingot/internal/plan"
	"ingot/internal/terminal"
	"ingot/internal/ui"
)

// buildRequests builds the images.
func buildRequests(cmd *cobra.Command, b dib.Batch) error {
	var failed error
	var all []*builtJSON
	for _, r := range b.Requests {
		out, err := buildRequest(cmd, r)
		if err != nil {
			failed = errors.Join(failed, err)
			if b.StopOnFailure {
				break
			}
			continue
		}
		all = append(all, out)
	}
	if failed == nil && b.JSON {
		return printJSON(cmd, struct {
			Schema int          `json:"schema"`
			Images []*builtJSON `json:"images"`
		}{1, all})
	}
	return failed
}

// buildRequest builds one image: the request becomes a definition, and that is built
// like any other.
func buildRequest(cmd *cobra.Command, r dib.Request) (*builtJSON, error) {
	start := time.Now()
	f := doorFlags(r)
	if err := f.plain(cmd); err != nil {
		return nil, err
	}
	progress, err := newProgress(cmd)
	if err != nil {
		return nil, err
	}
	defer progress.Close()
	h, err := openHouse(f.sourceFlags, progress)
	if err != nil {
		return nil, err
	}
	if err := errors.Join(buildable(r), h.writable()); err != nil {
		return nil, err
	}
	if err := os.MkdirAll(f.to, 0o755); err != nil {
		return nil, fault.Newf(fault.Preflight, "cannot make the directory of the image: %w", err)
	}
	def, err := requested(cmd.Context(), h, r)
	if err != nil {
		return nil, err
	}
	lockPath := r.Name + ".lock"
	p, release, err := f.settle(cmd.Context(), h, def, lockPath)
	if err != nil {
		return nil, err
	}
	defer release()
	runner := f.runner(h, p)
	if len(r.Break) > 0 {
		runner.Pause = &plan.Pause{At: r.Break, Outside: r.BreakOutside, Files: terminal.Files{In: os.Stdin, Out: os.Stderr, Err: os.Stderr}}
		if r.BreakCommand != "bash" {
			runner.Pause.Command = r.BreakCommand
		}
	}
	for _, c := range p.Chains {
		_, known := runner.Known(p, c)
		for i, o := range c.Outputs {
			if known[i] && !runner.Pause.Stops(c) || o.Format == plan.Beside {
				continue
			}
			old, err := r.MoveAside(filepath.Join(f.to, o.Name()), time.Now())
			if err != nil {
				return nil, err
			}
			if old != "" {
				progress.Notef("%s is %s from now on", o.Name(), filepath.Base(old))
			}
		}
	}
	result, err := runner.Run(cmd.Context(), p)
	if result != nil {
		err = errors.Join(err, keepDownloads(p.Lock, lockPath, result.Downloads), keepHeld(cmd.Context(), h, p.Lock, lockPath))
	}
	if err != nil {
		return nil, err
	}
	if err := keepSeals(p.Lock, lockPath, result.Seals, progress); err != nil {
		return nil, err
	}
	if err := keepHeld(cmd.Context(), h, p.Lock, lockPath); err != nil {
		return nil, err
	}
	for _, a := range result.Artifacts {
		if err := r.WriteChecksums(a.Path); err != nil {
			return nil, err
		}
	}
	printTimes(progress, result.Times)
	out := buildResult(p, lockPath, result)
	out.Seconds = time.Since(start).Seconds()
	return out, nil
}

// noFinalImage in an element's name says that no disk is wanted, as it always has.
const noFinalImage = "no-final-image"

// doorFlags are those of a build that a request says too.
func doorFlags(r dib.Request) buildFlags {
	f := buildFlags{locked: r.Locked, noCache: r.NoCache, to: filepath.Dir(r.Name), scriptTimeout: r.ScriptTimeout, breaks: r.Break}
	f.offline, f.mirror = r.Offline, r.Mirror
	f.acceptExpired = r.AcceptExpired || environ("INGOT_ACCEPT_EXPIRED") != ""
	return f
}

// buildable refuses what is not built yet, before anything is fetched.
func buildable(r dib.Request) error {
	for _, o := range r.Outputs {
		if f, ok := format.Lookup(o.Format); ok && f.Boots() && !f.Disk() {
			return fault.Newf(fault.Failed, "%s is not built from elements yet", o.Type).WithHint("disks and root file systems are; --dry-run shows what was understood")
		}
	}
	return nil
}

// printTimes says how long each script took.
func printTimes(progress *ui.Progress, times []plan.ScriptTime) {
	for _, t := range times {
		progress.Notef("%8.3f s  %s/%s", t.Took.Seconds(), t.Phase, t.Name)
	}
}

// keepDownloads records what scripts asked for in the lock, beside what those of other
// builds of it asked for meanwhile, unless that is another one by now.
func keepDownloads(l *lock.Lock, path string, downloads []lock.Download) error {
	if downloads == nil {
		return nil
	}
	return lock.Update(path, func(now *lock.Lock) *lock.Lock {
		if now == nil || now.Digest() != l.Digest() {
			return nil
		}
		now.Downloads = bothDownloads(now.Downloads, downloads)
		l.Downloads = now.Downloads
		return now
	})
}

// bothDownloads are the downloads of two lists, by address; the first has the last word.
func bothDownloads(first, second []lock.Download) []lock.Download {
	all := map[string]lock.Download{}
	for _, d := range slices.Concat(second, first) {
		all[d.Address] = d
	}
	var out []lock.Download
	for _, address := range slices.Sorted(maps.Keys(all)) {
		out = append(out, all[address])
	}
	return out
}

// requested makes a definition of a request.
func requested(ctx context.Context, h *house, r dib.Request) (*definition.Definition, error) {
	old, err := oldLock(r.Name + ".lock")
	if err != nil {
		return nil, err
	}
	s, err := h.station(ctx, old)
	if err != nil {
		return nil, err
	}
	path, err := s.path(ctx, r.ElementsPath)
	if err != nil {
		return nil, err
	}
	set, err := element.Expand(path, r.Roots(), element.Options{Arch: r.DebianArch, SkipBase: true})
	if err != nil {
		return nil, err
	}
	hooks, err := element.Merge(set)
	if err != nil {
		return nil, err
	}
	here, err := os.Getwd()
	if err != nil {
		return nil, fmt.Errorf("cannot tell the working directory: %w", err)
	}
	lent, variables, err := r.Lent()
	if err != nil {
		return nil, err
	}
	environment := r.Variables()
	maps.Copy(environment, variables)
	shown, err := json.Marshal(essence(r))
	if err != nil {
		return nil, err
	}
	def := &definition.Definition{
		Version: 1, Name: filepath.Base(r.Name), Distro: "debian", Arch: []string{r.DebianArch}, Start: "minbase",
		Dir: here, Inputs: []definition.Input{{Path: filepath.Join(here, r.Name+".request"), Data: shown}},
		Kernel: definition.Kernel{None: true},
		Elements: &definition.Elements{
			Hooks: hooks, Root: true, Environment: environment, Lent: lent, Packages: r.Packages, InstallType: r.InstallType, Station: s.refs,
		},
	}
	def.Elements.Environment["DIB_ARGS"] = strings.Join(foreign(r.Args), " ")
	ramdisk := r.Ramdisk || slices.ContainsFunc(set.Names(), func(name string) bool { return strings.Contains(name, noFinalImage) })
	for _, o := range r.Outputs {
		if f, ok := format.Lookup(o.Format); ok && f.Disk() && ramdisk {
			continue // what scripts leave beside the image is all
		}
		made := definition.Output{Format: o.Format, Compress: o.Compress, Type: o.Kind, Adapter: o.Adapter}
		for _, file := range r.Files(o) {
			made.As = append(made.As, filepath.Base(file))
		}
		def.Outputs = append(def.Outputs, made)
	}
	if len(def.Outputs) == 0 {
		def.Outputs = []definition.Output{{Format: plan.Beside, As: []string{def.Name}}}
	}
	if filepath.IsAbs(r.Name) {
		// What scripts call $IMAGE_NAME.d and the like lies where the image does.
		def.Dir = filepath.Dir(r.Name)
		def.Elements.Environment["IMAGE_NAME"] = def.Name
		def.Inputs[0].Path = filepath.Join(def.Dir, def.Name+".request")
	}
	if err := diskLayout(def, set, r); err != nil {
		return nil, err
	}
	env, phases, err := h.prepare(ctx, s, def, r.DebianArch, r.Compat, r.Snippets())
	if err != nil {
		return nil, err
	}
	for _, p := range phases {
		def.Packages = append(def.Packages, p.Install...)
	}
	def.Packages = append(def.Packages, r.Packages...)
	slices.Sort(def.Packages)
	def.Packages = slices.Compact(def.Packages)
	return def, release(def, env)
}

// diskLayout gives the definition the layout of its disk: the user's, that of an element,
// or a file system on the whole disk.
func diskLayout(def *definition.Definition, set element.Set, r dib.Request) error {
	text := []byte(r.BlockDevice)
	if r.BlockDeviceFile != "" {
		var err error
		if text, err = os.ReadFile(r.BlockDeviceFile); err != nil {
			return fault.Newf(fault.Definition, "cannot read the layout: %w", err)
		}
	}
	if len(text) == 0 {
		var err error
		if text, _, _, err = set.BlockDevice(r.DebianArch); err != nil {
			return err
		}
	}
	if len(text) == 0 {
		text = []byte("- local_loop: {name: image0}\n- mkfs: {base: image0, name: mkfs_root}\n- mount: {base: mkfs_root, name: mount_mkfs_root, mount_point: /}\n- fstab: {base: mount_mkfs_root, options: defaults, fsck-passno: 1}\n")
	}
	def.Layout = definition.Layout{Text: string(text), Given: &definition.LayoutOptions{
		ImageSize: r.ImageSize, BlockSize: int64(r.BlockSize), RootType: r.FSType, RootLabel: r.RootLabel,
	}}
	def.Elements.Free = func(used int64) int64 {
		return max(r.DiskSize(used>>10, r.FSType, nil)-used, used/10)
	}
	if !slices.ContainsFunc(def.Outputs, func(o definition.Output) bool { return o.Kind().Disk() }) {
		return nil
	}
	config, err := def.Layout.On(r.DebianArch, nil)
	if err != nil {
		return fault.Wrap(fault.Definition, err)
	}
	def.Kernel.None = false
	def.Boot = definition.Boot{Loader: boot.GRUB, Firmware: config.Firmware()}
	if !slices.Contains(set.Names(), "bootloader") {
		def.Boot.Loader = boot.None
	}
	return nil
}

// essence is what of a request makes the image: where its elements lie and how the build
// talks does not.
func essence(r dib.Request) dib.Request {
	r = r.Shown()
	r.Args, r.ElementsPath, r.Declared, r.Logfile, r.CacheDir, r.LocksDir, r.TempDir, r.Progress = nil, nil, nil, "", "", "", "", ""
	r.Quiet, r.Timestamps, r.Offline, r.Locked, r.JSON, r.DryRun, r.Overwrite = false, false, false, false, false, false, false
	r.Environment = maps.Clone(r.Environment)
	delete(r.Environment, "ELEMENTS_PATH")
	r.ScriptTimeout, r.Break, r.BreakCommand, r.BreakOutside, r.Usage = 0, nil, "", false, 0
	r.Mirror, r.AcceptExpired, r.NoCache = "", false, false
	return r
}

// foreign are the arguments of a command line that are diskimage-builder's too: scripts
// see no others.
func foreign(args []string) []string {
	var out []string
	for i := 0; i < len(args); i++ {
		name, _, has := strings.Cut(args[i], "=")
		switch name {
		case "--script-timeout", "--progress", "--mirror":
			if !has {
				i++
			}
		case "--locked", "--no-cache", "--json", "--inherit-env", "--compat", "--accept-expired":
		default:
			out = append(out, args[i])
		}
	}
	return out
}

// release is the release that the elements build.
func release(def *definition.Definition, env map[string]string) error {
	if distro := env["DISTRO_NAME"]; distro != "debian" {
		return fault.Newf(fault.Definition, "the elements build %q, and this ingot builds Debian", distro).WithHint("name the element debian-minimal or debian")
	}
	def.Release = strings.TrimSpace(env["DIB_RELEASE"])
	if def.Release == "" {
		return fault.Newf(fault.Definition, "no element says which release it builds").WithHint("set DIB_RELEASE")
	}
	if def.Release == "stable" {
		def.Release = "trixie"
	}
	return nil
}
