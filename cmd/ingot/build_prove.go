package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"ingot/internal/blockdevice"
	"ingot/internal/definition"
	"ingot/internal/fault"
	"ingot/internal/lock"
	"ingot/internal/plan"
	"ingot/internal/sandbox"
	"ingot/internal/terminal"
	"ingot/internal/ui"
	"ingot/internal/vm"
)

// provable refuses a build whose tests could not run: it is known before anything is
// built.
func (f *buildFlags) provable(variants []*definition.Definition) error {
	tests, starts := false, false
	for _, v := range variants {
		tests = tests || len(v.Tests) > 0
		starts = starts || len(v.Tests) > 0 && slices.ContainsFunc(v.Outputs, func(o definition.Output) bool {
			return o.Starts() && (len(f.wish.Formats) == 0 || slices.Contains(f.wish.Formats, o.Format))
		})
	}
	if !tests {
		return fault.Newf(fault.Usage, "the definition has no tests").WithHint("add some: tests: [{run: \"systemctl is-active nginx\"}]")
	}
	if !starts {
		return fault.Newf(fault.Usage, "no output of this build boots by itself, so no test can run").WithHint("add the output qcow2, or leave out --output")
	}
	return nil
}

// prove boots what was built and runs the definition's tests in it: in one
// artifact of each tree.
func (f *buildFlags) prove(ctx context.Context, h *house, r *plan.Result) ([]vm.Result, error) {
	var all []vm.Result
	var done []lock.Seal
	for _, a := range r.Artifacts {
		def, tree := a.Chain.Definition, lock.Seal{Arch: a.Chain.Arch, Purpose: a.Chain.Purpose, Flavor: a.Chain.Set.Flavor}
		if !a.Starts() || len(def.Tests) == 0 || slices.Contains(done, tree) {
			continue
		}
		if slices.Contains(def.Boot.Firmware, blockdevice.Direct) {
			return nil, fault.Newf(fault.Usage, "nothing on the disk starts it, so --test cannot").
				WithHint("'ingot boot --kernel' starts a disk with a kernel from elsewhere")
		}
		tests := def.Tests
		done = append(done, tree)
		task := h.progress.Start(ui.Step{ID: "test", Name: fmt.Sprintf("test %s (%d tests)", a.Name(), len(tests))})
		spec := vm.Spec{Disk: vm.Disk{Path: a.Path}, Firmware: proving(def.Boot), Arch: a.Chain.Arch, Tools: h.bootTools(), Cache: filepath.Join(h.cache.Dir(), "vm")}
		for _, name := range a.Drives {
			spec.Drives = append(spec.Drives, vm.Disk{Path: filepath.Join(filepath.Dir(a.Path), name)})
		}
		if s := def.Boot.Sign; s != nil && a.Kind().Disk() {
			var err error
			if spec.Trust, err = readCertificate(s.Certificate); err != nil {
				task.Done(err)
				return all, err
			}
			spec.Firmware = vm.Secure
		}
		results, err := vm.RunTests(ctx, spec, tests)
		for _, r := range results {
			if r.Failure == "" {
				task.Notef("passed: %s", r.Run)
			}
		}
		task.Done(err)
		all = append(all, results...)
		if err != nil {
			return all, err
		}
	}
	return all, nil
}

// openShellIn opens a shell in the sandbox of a script that failed, on a terminal of its
// own and with what the script had around it. The failure stays one.
func openShellIn(ctx context.Context, progress *ui.Progress, box *sandbox.Box, script sandbox.Command, failure error) error {
	if !terminal.Is(os.Stdin) {
		progress.Warnf("--shell-on-error opens no shell: the standard input is no terminal")
		return failure
	}
	progress.Close()
	fmt.Fprintf(os.Stderr, "ingot: %v\ningot: this is the image as the script left it; 'exit' ends the build\n", failure)
	shell := "/bin/sh"
	if ok, err := box.Exists(ctx, "bin/bash"); err == nil && ok {
		shell = "/bin/bash"
	}
	// What is shown goes to standard error, as all that is no result.
	err := terminal.Lend(terminal.Files{In: os.Stdin, Out: os.Stderr, Err: os.Stderr}, func(f terminal.Files) error {
		return box.Run(ctx, sandbox.Command{
			Argv: []string{shell}, Dir: script.Dir, Network: script.Network, Stdin: f.In, Stdout: f.Out, Stderr: f.Err, TTY: f.Controls,
			Env: slices.Concat(script.Env, []string{"TERM=" + environ("TERM"), `PS1=(ingot) \w # `}),
		})
	})
	if err != nil && ctx.Err() != nil {
		return err
	}
	return failure
}

// proving is the firmware that tests run under: the strictest that the image is made
// for.
func proving(b definition.Boot) vm.Firmware {
	switch {
	case b.Secure:
		return vm.Secure
	case !slices.Contains(b.Firmware, "bios"):
		return vm.UEFI
	}
	return vm.BIOS
}
