package main

import (
	"encoding/json"

	"github.com/spf13/cobra"

	"ingot/internal/artifact"
	"ingot/internal/fault"
	"ingot/internal/supply"
)

func newSbomCommand() *cobra.Command {
	var f buildFlags
	var container bool
	cmd := &cobra.Command{
		Use:   "sbom [FILE][[FLAVOR]]",
		Short: "Print the bill of materials of an image, in SPDX",
		Long: `sbom prints what is in the image of a definition as an SPDX 2.3 document: what
lies beside each artifact, without an artifact. The image must have been built
before. Of a definition with both kinds of outputs it is the machine's.

The document is JSON with and without --json. The version of its form is its
spdxVersion: SPDX has no place for a key of ingot's.`,
		Example: "  ingot sbom | jq -r '.packages[].name'",
		GroupID: groupLook,
		Args:    cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			f.locked = true // this verb changes nothing
			progress, err := newProgress(cmd)
			if err != nil {
				return err
			}
			defer progress.Close()
			h, err := openHouse(f.sourceFlags, progress)
			if err != nil {
				return err
			}
			def, lockPath, variants, err := f.flavor.load(args)
			if err != nil {
				return err
			}
			f.wish.Variants = variants
			p, _, err := f.plan(cmd.Context(), h, def, lockPath)
			if err != nil {
				return err
			}
			r := f.runner(h, p)
			c := p.Chains[len(p.Chains)-1]
			if container {
				c = p.Chains[0]
			}
			t, ok := r.Tree(c)
			if !ok {
				return fault.Newf(fault.NotFound, "no image of this lock was built here").WithHint("run 'ingot build' first")
			}
			release, err := supply.Hold(cmd.Context(), h.store, lockPath, p.Lock)
			if err != nil {
				return err
			}
			defer release()
			image, err := r.Image(cmd.Context(), p, c, t)
			if err != nil {
				return err
			}
			progress.Close()
			enc := json.NewEncoder(cmd.OutOrStdout())
			enc.SetIndent("", "  ")
			enc.SetEscapeHTML(false)
			name := artifact.FileName(c.Definition.FullName(), "", c.Arch, c.Purpose)
			return enc.Encode(image.SBOM(artifact.Output{Format: c.Purpose, Files: []artifact.File{{Name: name, SHA256: t.Seal(), Size: t.Size()}}}))
		},
	}
	f.add(cmd)
	f.flavor.add(cmd)
	cmd.Flags().BoolVar(&f.json, "json", false, "print JSON, as without it")
	cmd.Flags().BoolVar(&container, "container", false, "of the container, where there is a machine too")
	cmd.Flags().StringArrayVar(&f.wish.Arch, "arch", nil, "of this architecture")
	return cmd
}
