package main

import (
	"fmt"
	"maps"
	"slices"

	"github.com/spf13/cobra"

	"ingot/internal/server"
)

func newPromoteCommand() *cobra.Command {
	var f signFlags
	var to string
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "promote IMAGE FROM CHANNEL --to TREE",
		Short: "Make a channel point to another version",
		Long: `promote makes a channel of an image point to where the channel FROM points, or to
the version FROM, for all architectures that have it. Nothing is copied. Back to
an older version works the same.`,
		Example: `  ingot promote web testing stable --to /srv/images
  ingot promote web 20261130_0552 stable --to /srv/images    back to that one`,
		GroupID: groupServe,
		Args:    cobra.ExactArgs(3),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := names(args...); err != nil {
				return err
			}
			if err := channelName(args[2]); err != nil {
				return err
			}
			p, done, err := openTree(cmd, &f, to)
			if err != nil {
				return err
			}
			defer done()
			moved, err := p.Promote(cmd.Context(), args[0], args[1], args[2])
			if err != nil {
				return err
			}
			out := promoteJSON{Schema: 1, Name: args[0], Channel: args[2], Moved: []movedJSON{}}
			for _, arch := range slices.Sorted(maps.Keys(moved)) {
				out.Moved = append(out.Moved, movedJSON{arch, moved[arch]})
			}
			if asJSON {
				return printJSON(cmd, out)
			}
			for _, m := range out.Moved {
				if _, err := fmt.Fprintf(cmd.OutOrStdout(), "%s@%s for %s: %s\n", out.Name, out.Channel, m.Arch, m.Version); err != nil {
					return err
				}
			}
			return nil
		},
	}
	f.add(cmd)
	cmd.Flags().StringVar(&to, "to", "", treeHelp)
	cmd.Flags().BoolVar(&asJSON, "json", false, "print one JSON object")
	_ = cmd.MarkFlagRequired("to")
	return cmd
}

// promoteJSON is the object that "promote --json" prints.
type promoteJSON struct {
	Schema  int         `json:"schema"` // 1
	Name    string      `json:"name"`
	Channel string      `json:"channel"`
	Moved   []movedJSON `json:"moved"`
}

type movedJSON struct {
	Arch    string `json:"arch"`
	Version string `json:"version"`
}

// openTree opens a server tree that is there, for changing it.
func openTree(cmd *cobra.Command, f *signFlags, tree string) (p *server.Publisher, done func(), err error) {
	progress, err := newProgress(cmd)
	if err != nil {
		return nil, nil, err
	}
	place, err := f.place(cmd.Context(), tree, false)
	if err == nil {
		p, err = f.publisher(place, progress)
	}
	if err != nil {
		progress.Close()
		return nil, nil, err
	}
	return p, progress.Close, nil
}
