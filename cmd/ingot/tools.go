package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"ingot/internal/fault"
	"ingot/internal/tools"
)

func newToolsCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "tools",
		Short: "Trees of other people's programs that ingot keeps for itself",
		Long: `ingot runs other people's programs from trees of its own: locked, fetched and
verified as an image's packages are, and run without any of the host's libraries.`,
		GroupID: groupKeep,
	}
	var f sourceFlags
	path := &cobra.Command{
		Use:       "path SET",
		Short:     "Print a directory for PATH with programs: foreign, judges or qemu",
		Example:   `  PATH="$(ingot tools path judges):$PATH" sgdisk -v disk.raw`,
		Args:      cobra.ExactArgs(1),
		ValidArgs: []string{tools.Foreign.Name, tools.Judges.Name, tools.QEMU.Name},
		RunE: func(cmd *cobra.Command, args []string) error {
			sets := map[string]tools.Set{tools.QEMU.Name: tools.QEMU, tools.Judges.Name: tools.Judges, tools.Foreign.Name: tools.Foreign}
			set, ok := sets[args[0]]
			if !ok {
				return fault.Newf(fault.NotFound, "there is no set of tools %q", args[0]).WithHint("there are: foreign, judges, qemu")
			}
			progress, err := newProgress(cmd)
			if err != nil {
				return err
			}
			defer progress.Close()
			h, err := openHouse(f, progress)
			if err != nil {
				return err
			}
			dir, err := h.keeper().Dir(cmd.Context(), set)
			if err != nil {
				return err
			}
			bin, err := dir.Wrappers()
			if err != nil {
				return err
			}
			progress.Close()
			_, err = fmt.Fprintln(cmd.OutOrStdout(), bin)
			return err
		},
	}
	f.add(path)
	cmd.AddCommand(path)
	return cmd
}
