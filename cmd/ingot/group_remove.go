package main

import (
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"ingot/internal/fault"
	"ingot/internal/group"
	"ingot/internal/ui"
)

// groupRemovedJSON is the object that "group rm" prints.
type groupRemovedJSON struct {
	Schema   int      `json:"schema"` // 1
	DryRun   bool     `json:"dry_run"`
	Versions []string `json:"versions"` // NAME=VERSION, removed
}

func newGroupRemoveCommand() *cobra.Command {
	var f repositoryFlags
	var keep int
	var older string
	var dry bool
	cmd := &cobra.Command{
		Use:   "rm SPEC... | rm NAME... [--keep N] [--older-than AGE]",
		Short: "Remove versions, or all but the newest",
		Long: `rm takes versions out of the index of their group, with all their flavors. --keep
leaves so many of each branch, the newest, and --older-than those that were
committed since: with both, a version goes if neither keeps it, and the newest of a
branch never does. What they were made of stays in the repository until 'ingot
group gc'.`,
		Example: `  ingot group rm web=3
  ingot group rm web --keep 5 && ingot group gc
  ingot group rm web --keep 3 --older-than 90d`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			f.unsigned = len(f.keys) == 0 // what is not believed may be removed as well
			r, err := f.open()
			if err != nil {
				return err
			}
			out := groupRemovedJSON{Schema: 1, DryRun: dry, Versions: []string{}}
			gone := map[string][]group.Version{}
			var before time.Time
			if older != "" {
				age, err := days("--older-than", older)
				if err != nil {
					return err
				}
				before = now().Add(-age)
			}
			if keep < 1 {
				return fault.Newf(fault.Usage, "--keep %d leaves none", keep).WithHint("name the versions to remove all")
			}
			for _, text := range args {
				if cmd.Flags().Changed("keep") || older != "" {
					x, err := r.Index(cmd.Context(), text)
					if err != nil {
						return err
					}
					for _, rec := range x.Old(keep, before) {
						gone[x.Name] = append(gone[x.Name], rec.Version)
					}
					continue
				}
				spec, err := group.ParseSpec(text)
				if err != nil {
					return err
				}
				if spec.Version == nil || spec.Flavor != nil {
					return fault.Newf(fault.Usage, "%s names no version", text).WithHint("write NAME=VERSION: a version goes with all its flavors")
				}
				_, found, err := f.find(cmd.Context(), r, text)
				if err != nil {
					return err
				}
				one := found[0].Version
				for _, t := range found {
					if !t.Version.Equal(one) {
						return fault.Newf(fault.Choice, "%s names several versions: %s, %s", text, one, t.Version).WithHint("name one of them whole")
					}
				}
				gone[spec.Name] = append(gone[spec.Name], one)
			}
			for name, versions := range gone {
				if !dry {
					if err := r.Remove(cmd.Context(), name, versions); err != nil {
						return err
					}
				}
				for _, v := range versions {
					out.Versions = append(out.Versions, name+"="+v.String())
				}
			}
			if f.json {
				return printJSON(cmd, out)
			}
			verb := "removed "
			if dry {
				verb = "would remove "
			}
			for _, v := range out.Versions {
				if _, err := fmt.Fprintln(cmd.OutOrStdout(), verb+v); err != nil {
					return err
				}
			}
			return nil
		},
	}
	f.add(cmd)
	f.addLabels(cmd)
	cmd.Flags().IntVar(&keep, "keep", 1, "keep so many versions of each branch, and remove the older ones")
	cmd.Flags().StringVar(&older, "older-than", "", "remove only what was committed longer ago: 12h, 30d, 8w")
	cmd.Flags().BoolVar(&dry, "dry-run", false, "remove nothing, say what would go")
	return cmd
}

// groupCollectedJSON is the object that "group gc" prints.
type groupCollectedJSON struct {
	Schema   int   `json:"schema"` // 1
	DryRun   bool  `json:"dry_run"`
	Removed  int   `json:"removed"` // blobs
	Kept     int   `json:"kept"`
	Size     int64 `json:"size"` // bytes of those kept
	Groups   int   `json:"groups"`
	Versions int   `json:"versions"`
}

func newGroupCollectCommand() *cobra.Command {
	var f repositoryFlags
	var dry, force bool
	cmd := &cobra.Command{
		Use:   "gc",
		Short: "Remove what no version of a repository needs any more",
		Long: `gc removes the blobs that no version of any group names. Nobody can commit
meanwhile, and it waits for nobody: while somebody writes the exit code is 6. Who
died while he wrote counts for a day, or until --force.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			f.unsigned = len(f.keys) == 0
			r, err := f.open()
			if err != nil {
				return err
			}
			c, err := r.Collect(cmd.Context(), dry, force)
			if err != nil {
				return err
			}
			if f.json {
				return printJSON(cmd, groupCollectedJSON{1, dry, c.Removed, c.Kept, c.Size, c.Groups, c.Versions})
			}
			verb := "removed"
			if dry {
				verb = "would remove"
			}
			_, err = fmt.Fprintf(cmd.OutOrStdout(), "%s: %s %s; kept %d, %s, of %s of %s\n", strings.TrimSuffix(r.Place.String(), "/"),
				verb, many(c.Removed, "blob"), c.Kept, ui.Size(c.Size), many(c.Versions, "version"), many(c.Groups, "group"))
			return err
		},
	}
	f.add(cmd)
	cmd.Flags().BoolVar(&dry, "dry-run", false, "remove nothing, say what would go")
	cmd.Flags().BoolVar(&force, "force", false, "go over notes of writers and collectors that died")
	return cmd
}
