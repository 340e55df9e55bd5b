package main

import (
	"github.com/spf13/cobra"

	"ingot/internal/dib"
	"ingot/internal/fault"
)

func newElementPlanCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "plan [disk-image-create's OPTIONS] ELEMENT...",
		Short: "Show the scripts of a build in their order, and which are cached",
		Long: `plan prints what disk-image-create would do with these arguments: each script in
its order, with the digest of all that it reads, and whether its result is known
already. It chooses packages if the lock does not fit, and writes nothing.`,
		Example: `  ingot element plan -o web -t tar debian-minimal
  ELEMENTS_PATH=elements ingot element plan --json -t tar debian-minimal mine`,
		DisableFlagParsing: true,
		RunE: func(cmd *cobra.Command, args []string) error {
			b, err := doorRequests(dib.ImageCommand, args)
			if err != nil {
				return fault.Wrap(fault.Usage, err)
			}
			if b.Asked != "" {
				return cmd.Help()
			}
			return planRequest(cmd, b.Requests[0], b.JSON)
		},
	}
}

// planRequest prints the plan of one image.
func planRequest(cmd *cobra.Command, r dib.Request, asJSON bool) error {
	progress, err := newProgress(cmd)
	if err != nil {
		return err
	}
	defer progress.Close()
	f := doorFlags(r)
	f.to = "."
	h, err := openHouse(f.sourceFlags, progress)
	if err != nil {
		return err
	}
	def, err := requested(cmd.Context(), h, r)
	if err != nil {
		return err
	}
	p, _, err := f.plan(cmd.Context(), h, def, r.Name+".lock")
	if err != nil {
		return err
	}
	out := describePlan(p, f.runner(h, p))
	progress.Close()
	if asJSON {
		return printJSON(cmd, out)
	}
	return out.print(cmd.OutOrStdout())
}
