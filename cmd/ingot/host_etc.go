package main

import (
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"ingot/internal/content"
	"ingot/internal/etc"
	"ingot/internal/fault"
	"ingot/internal/host"
	"ingot/internal/thinpool"
)

func newHostEtcCommand() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "etc",
		Short: "List what of /etc an update could not decide",
		Long: `etc lists what both the running layer's image and the host changed in /etc. The
host's was kept, and the image's lies beside it as NAME.ingot-new; 'host etc keep'
and 'host etc take' decide.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			root, err := os.OpenRoot("/")
			if err != nil {
				return err
			}
			defer func() { _ = root.Close() }()
			r, err := content.ReadReport(root)
			if err != nil {
				return err
			}
			if asJSON {
				return printJSON(cmd, r)
			}
			for _, c := range r.Conflicts {
				text := fmt.Sprintf("/etc/%s: %s", c.Path, c.Kind)
				if c.Aside != "" {
					text += ": the image's is /etc/" + c.Aside
				}
				if err := say(cmd, text); err != nil {
					return err
				}
			}
			for _, a := range r.Accounts {
				if err := say(cmd, fmt.Sprintf("/etc/%s: %s of %s: the host's was kept", a.File, a.Field, a.Name)); err != nil {
					return err
				}
			}
			return nil
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print one JSON object")
	cmd.AddCommand(newHostSettleCommand("keep", "Keep the host's file", etc.Host), newHostSettleCommand("take", "Take the image's file", etc.New))
	return cmd
}

func newHostSettleCommand(verb, short string, choice etc.Choice) *cobra.Command {
	return &cobra.Command{
		Use:   verb + " PATH",
		Short: short + ", where both changed it",
		Args:  cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			release, err := lockHost()
			if err != nil {
				return err
			}
			defer release()
			root, err := os.OpenRoot("/")
			if err != nil {
				return err
			}
			defer func() { _ = root.Close() }()
			return content.Settle(root, args[0], choice)
		},
	}
}

// diffHostJSON is what host diff prints with --json.
type diffHostJSON struct {
	Schema  int              `json:"schema"` // 1
	From    host.Name        `json:"from"`
	To      host.Name        `json:"to"`
	Changes []content.Change `json:"changes"`
}

func newHostDiffCommand() *cobra.Command {
	var asJSON bool
	var below string
	cmd := &cobra.Command{
		Use:   "diff [FROM [TO]]",
		Short: "Show in which paths two bases or layers differ",
		Long: `diff lists the paths that were added, removed or changed from one base or layer to
another: by default from the running layer's base to the running layer. Of what was
added or removed with all below it, the first path is listed.`,
		Example: `  ingot host diff --below /etc
  ingot host diff Base-1-0+1 Base-2-0+1`,
		Args: cobra.MaximumNArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error { return diffHost(cmd, args, below, asJSON) },
	}
	cmd.Flags().StringVar(&below, "below", "/", "of this directory alone")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print one JSON object")
	return cmd
}

func diffHost(cmd *cobra.Command, args []string, below string, asJSON bool) (err error) {
	ctx := cmd.Context()
	h, s, err := thisHost(ctx)
	if err != nil {
		return err
	}
	var names [2]host.Name
	for i, a := range args {
		if names[i], err = host.ParseName(a); err != nil {
			return err
		}
	}
	if names[1].IsZero() {
		names[1] = s.Booted
	}
	if names[0].IsZero() {
		names[0] = s.Booted.Base()
	}
	store, ok := h.Store.(*thinpool.Store)
	if !ok || names[0].IsZero() || names[1].IsZero() {
		return fault.Newf(fault.Usage, "/ is no layer of this host, so two names are needed").WithHint("\"ingot host status\" lists what there is")
	}
	var roots [2]*os.Root
	for i, n := range names {
		m, err := store.Mount(ctx, n, false)
		if err != nil {
			return err
		}
		defer func() {
			if e := m.Close(); err == nil {
				err = e
			}
		}()
		roots[i] = m.Root
	}
	changes, err := content.Diff(roots[0], roots[1], below)
	if err != nil {
		return err
	}
	if asJSON {
		return printJSON(cmd, diffHostJSON{1, names[0], names[1], changes})
	}
	for _, c := range changes {
		if err := say(cmd, c.Kind+" "+c.Path); err != nil {
			return err
		}
	}
	return nil
}
