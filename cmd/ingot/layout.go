package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"

	"github.com/spf13/cobra"

	"ingot/internal/definition"
	"ingot/internal/fault"
	"ingot/internal/format"
	"ingot/internal/layout"
	"ingot/internal/plan"
)

// layoutJSON is the object that "layout show --json" prints.
type layoutJSON struct {
	Schema int    `json:"schema"` // 1
	Arch   string `json:"arch"`
	Exact  bool   `json:"exact"` // whether the places are those of a built image
	layout.Drawing
}

func newLayoutCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "layout",
		Short:   "See how an image's disk is divided",
		GroupID: groupLook,
	}
	cmd.AddCommand(newLayoutShowCommand())
	return cmd
}

func newLayoutShowCommand() *cobra.Command {
	var f buildFlags
	var arch, output string
	var svg bool
	cmd := &cobra.Command{
		Use:   "show [FILE][[FLAVOR]]",
		Short: "Draw partitions, volumes, file systems and mounts",
		Long: `show draws the layout of a definition: partitions and volumes, where they lie, what
they hold, and what is mounted where. It reads no network and builds nothing.

Where the image was built before, places and sizes are the image's. Else they are
those that the definition says: what takes its size from its content has none yet.`,
		Example: `  ingot layout show
  ingot layout show --svg web.yaml >web.svg
  ingot layout show --json | jq '.disks[].blocks[] | {name, offset, size}'`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if svg && f.json {
				return fault.Newf(fault.Usage, "--svg and --json are two answers").WithHint("choose one")
			}
			d, err := f.draw(cmd, args, arch, output)
			switch {
			case err != nil:
				return err
			case f.json:
				return printJSON(cmd, d)
			case svg:
				_, err = cmd.OutOrStdout().Write(d.SVG())
			default:
				_, err = fmt.Fprint(cmd.OutOrStdout(), d.Text())
			}
			return err
		},
	}
	f.flavor.add(cmd)
	cmd.Flags().BoolVar(&f.json, "json", false, "print one JSON object")
	cmd.Flags().BoolVar(&svg, "svg", false, "print a picture")
	cmd.Flags().StringVar(&arch, "arch", "", "of this architecture, instead of the first")
	cmd.Flags().StringVar(&output, "output", "", "of the disk of this `format`, instead of the first")
	return cmd
}

// draw draws a definition's disk, as it was built or else as it was written.
func (f *buildFlags) draw(cmd *cobra.Command, args []string, arch, output string) (layoutJSON, error) {
	d := layoutJSON{Schema: 1}
	f.locked, f.offline = true, true // this verb changes nothing
	progress, err := newProgress(cmd)
	if err != nil {
		return d, err
	}
	defer progress.Close()
	whole, lockPath, variants, err := f.flavor.load(args)
	if err != nil {
		return d, err
	}
	warnOf(whole, progress)
	variants = chosen(whole, variants)
	at := 0
	if arch != "" {
		if at = slices.IndexFunc(variants, func(v *definition.Definition) bool { return slices.Contains(v.Arch, arch) }); at < 0 {
			return d, fault.Newf(fault.Usage, "the definition has no architecture %q", arch)
		}
	}
	def := variants[at]
	d.Arch = def.Arch[0]
	wanted := func(o definition.Output) bool {
		return o.Kind().Disk() && !def.Kernel.None && (output == "" || o.Format == output)
	}
	i := slices.IndexFunc(def.Outputs, wanted)
	if i < 0 {
		if output != "" || def.Layout.Usual() {
			return d, fault.Newf(fault.NotFound, "the definition has no such output with a disk").WithHint("outputs such as raw or qcow2 have one")
		}
		d.Drawing, err = plan.DrawDefinition(def, d.Arch)
		return d, err
	}
	if _, err := os.Stat(lockPath); errors.Is(err, fs.ErrNotExist) {
		if def.Elements != nil && !def.Layout.Said {
			progress.Warnf("an element may say another layout, which only a lock tells: 'ingot lock' writes one")
		}
		d.Drawing, err = plan.DrawDefinition(def, d.Arch)
		return d, err
	}
	h, err := openHouse(f.sourceFlags, progress)
	if err != nil {
		return d, err
	}
	f.wish = plan.Wish{Variants: []*definition.Definition{def}, Arch: []string{d.Arch}, Formats: []string{def.Outputs[i].Format}}
	p, _, err := f.plan(cmd.Context(), h, whole, lockPath)
	if err != nil {
		progress.Notef("the lock is not this definition's any more: %v", err)
		d.Drawing, err = plan.DrawDefinition(def, d.Arch)
		return d, err
	}
	for _, c := range p.Chains {
		if c.Purpose == format.Machine {
			d.Drawing, d.Exact, err = f.runner(h, p).Draw(cmd.Context(), p, c, c.Outputs[0])
			return d, err
		}
	}
	return d, fault.Newf(fault.Failed, "the plan has no disk")
}
