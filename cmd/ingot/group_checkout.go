package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"ingot/internal/definition"
	"ingot/internal/fault"
	"ingot/internal/lock"
	"ingot/internal/store"
	"ingot/internal/supply"
	"ingot/internal/ui"
)

// groupCheckoutJSON is the object that "group checkout" prints.
type groupCheckoutJSON struct {
	Schema     int    `json:"schema"` // 1
	Group      string `json:"group"`
	Definition string `json:"definition"` // path
	Lock       string `json:"lock"`       // path
}

func newGroupCheckoutCommand() *cobra.Command {
	var f repositoryFlags
	cmd := &cobra.Command{
		Use:   "checkout SPEC DIR",
		Short: "Get a version's definition, lock and packages, to build it again",
		Long: `checkout writes the definition and the lock of a version into a new directory and
brings all that they name into the store. Then 'ingot build --locked --offline'
gives the same bytes as the first build did, whether the archives still have its
packages or not. Keys that sign, and seeds of encrypted disks, are in no group:
put them where the definition names them.`,
		Example: `  ingot group checkout web=3 old && ingot build --locked --offline old`,
		Args:    cobra.ExactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			progress, err := newProgress(cmd)
			if err != nil {
				return err
			}
			defer progress.Close()
			r, err := f.open()
			if err != nil {
				return err
			}
			home, _, err := dirs()
			if err != nil {
				return err
			}
			s, err := store.Open(home)
			if err != nil {
				return err
			}
			g, _, err := f.one(cmd.Context(), r, args[0])
			if err != nil {
				return err
			}
			t := progress.Start(ui.Step{ID: "fetch", Name: "fetch " + g.String(), Unit: ui.Bytes, Total: g.Size()})
			release, err := bring(cmd.Context(), s, g, t.Add)
			t.Done(err)
			if err != nil {
				return err
			}
			defer release()
			file, lockPath, err := g.Unpack(cmd.Context(), args[1])
			if err != nil {
				return err
			}
			l, err := lock.Read(lockPath)
			if err != nil {
				return err
			}
			held, err := supply.Hold(cmd.Context(), s, lockPath, l)
			if err != nil {
				return err
			}
			held()
			if sum, err := definition.DigestOf(file); err != nil {
				return fmt.Errorf("the definition of %s: %w", g, err)
			} else if sum != g.Statement.Definition {
				return fault.Newf(fault.Verification, "the definition of %s is not the one that its lock names", g)
			}
			progress.Close()
			if f.json {
				return printJSON(cmd, groupCheckoutJSON{1, g.String(), file, lockPath})
			}
			_, err = fmt.Fprintf(cmd.OutOrStdout(), "%s: %s, %s\n", g, file, lockPath)
			return err
		},
	}
	f.addSpec(cmd)
	return cmd
}
