package main

import (
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"ingot/internal/catalog"
	"ingot/internal/fault"
	"ingot/internal/ui"
)

type pruneFlags struct {
	signFlags
	keep              int
	age, grace, image string
	dry, json         bool
}

func newPruneCommand() *cobra.Command {
	var f pruneFlags
	cmd := &cobra.Command{
		Use:   "prune TREE",
		Short: "Let old versions on an image server go",
		Long: `prune takes versions out of a server tree's indexes: those beyond the newest so
many of each image, those older than an age, and those past the date that they
were published with. What a channel points to stays, unless it is past its date;
what is pinned stays always.

Their files stay for a grace period, since clients keep indexes for a while: Incus
for an hour. A prune after that removes them, and what killed publishers left.`,
		Example: `  ingot prune /srv/images --keep 3
  ingot prune /srv/images --older-than 90d --dry-run`,
		GroupID: groupServe,
		Args:    cobra.ExactArgs(1),
		RunE:    func(cmd *cobra.Command, args []string) error { return f.run(cmd, args[0]) },
	}
	f.add(cmd)
	cmd.Flags().IntVar(&f.keep, "keep", 0, "keep only the newest so many versions of each image; 0 is all")
	cmd.Flags().StringVar(&f.age, "older-than", "", "let versions go that were published longer ago: 90d")
	cmd.Flags().StringVar(&f.grace, "grace", "25h", "how long files stay that indexes do not name")
	cmd.Flags().StringVar(&f.image, "image", "", "only versions of this image")
	cmd.Flags().BoolVar(&f.dry, "dry-run", false, "change nothing, say what would go")
	cmd.Flags().BoolVar(&f.json, "json", false, "print one JSON object")
	return cmd
}

func (f *pruneFlags) run(cmd *cobra.Command, tree string) error {
	if f.keep < 0 {
		return fault.Newf(fault.Usage, "--keep %d is less than none", f.keep)
	}
	policy := catalog.Policy{Keep: f.keep, Only: f.image}
	var err error
	if f.age != "" {
		if policy.MaxAge, err = days("--older-than", f.age); err != nil {
			return err
		}
	}
	grace := time.Duration(0)
	if f.grace != "0" {
		if grace, err = days("--grace", f.grace); err != nil {
			return err
		}
	}
	p, done, err := openTree(cmd, &f.signFlags, tree)
	if err != nil {
		return err
	}
	defer done()
	pruned, err := p.Prune(cmd.Context(), policy, grace, f.dry)
	if err != nil {
		return err
	}
	out := pruneJSON{Schema: 1, DryRun: f.dry, Dropped: []droppedJSON{}, Removed: pruned.Removed, Freed: pruned.Freed, Waiting: pruned.Waiting}
	for _, g := range pruned.Dropped {
		out.Dropped = append(out.Dropped, droppedJSON(g))
	}
	if f.json {
		return printJSON(cmd, out)
	}
	return out.print(cmd)
}

// pruneJSON is the object that "prune --json" prints.
type pruneJSON struct {
	Schema  int           `json:"schema"` // 1
	DryRun  bool          `json:"dry_run"`
	Dropped []droppedJSON `json:"dropped"` // versions that indexes name no more
	Removed int           `json:"removed"` // blobs
	Freed   int64         `json:"freed"`   // bytes of them
	Waiting int           `json:"waiting"` // versions whose files stay for the grace period
}

type droppedJSON struct {
	Name    string `json:"name"`
	Arch    string `json:"arch"`
	Version string `json:"version"`
	Size    int64  `json:"size"`
	Expired bool   `json:"expired"` // past its own date
}

func (o pruneJSON) print(cmd *cobra.Command) error {
	would := ""
	if o.DryRun {
		would = "would be "
	}
	for _, d := range o.Dropped {
		why := ""
		if d.Expired {
			why = ", past its date"
		}
		if _, err := fmt.Fprintf(cmd.OutOrStdout(), "%sdropped: %s for %s, %s (%s)%s\n", would, d.Name, d.Arch, d.Version, ui.Size(d.Size), why); err != nil {
			return err
		}
	}
	_, err := fmt.Fprintf(cmd.OutOrStdout(), "%sremoved: %s, %s; the files of %s wait\n", would, many(o.Removed, "blob"), ui.Size(o.Freed), many(o.Waiting, "version"))
	return err
}
