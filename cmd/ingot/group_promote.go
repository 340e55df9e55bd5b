package main

import (
	"strings"

	"github.com/spf13/cobra"

	"ingot/internal/fault"
	"ingot/internal/group"
	"ingot/internal/repository"
)

func newGroupPromoteCommand() *cobra.Command {
	return promotion(&cobra.Command{
		Use:   "promote SPEC LABEL",
		Short: "Give a version on another label, or in another repository",
		Long: `promote gives the group that a spec names, with all its flavors, a version on
another label: the same lock, files and packages, by digest. It keeps its
revision, as far as that is free there. The new version is signed by the key of
--sign, and says what it came from.`,
		Example: `  ingot group promote web=4 images.example@acme:stable --sign key.asc
  ingot group promote web=4 images.example@acme:stable --to oci://registry.example/x`,
	}, func(_ group.Version, label string) (group.Version, error) { return branchOf(label) })
}

func newGroupCloneCommand() *cobra.Command {
	return promotion(&cobra.Command{
		Use:   "clone SPEC LABEL",
		Short: "Give a version on a shadow of its branch",
		Long: `clone gives the group that a spec names a version on a shadow of the branch it is
on: /BRANCH//LABEL/REVISION. A shadow follows its branch; what is changed on it
counts behind a point: 1-1.1-1. All else is as with promote.`,
		Example: `  ingot group clone web=4 customer --sign key.asc`,
	}, func(at group.Version, label string) (group.Version, error) {
		if strings.ContainsAny(label, "/") {
			return at, fault.Newf(fault.Usage, "%q is no label", label)
		}
		v, err := group.ParseVersion(at.Branch().String() + "//" + label)
		return v, err
	})
}

// promotion is a verb that gives a group another version; onto says on which branch.
func promotion(cmd *cobra.Command, onto func(at group.Version, label string) (group.Version, error)) *cobra.Command {
	var f repositoryFlags
	var w writeFlags
	cmd.Args = cobra.ExactArgs(2)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		progress, err := newProgress(cmd)
		if err != nil {
			return err
		}
		defer progress.Close()
		from, err := f.open()
		if err != nil {
			return err
		}
		to := &repository.Repository{Place: from.Place, Keys: from.Keys, Now: now, Seen: from.Seen}
		if w.to != "" {
			if to.Place, err = openPlace(w.to); err != nil {
				return err
			}
		}
		g, _, err := f.one(cmd.Context(), from, args[0])
		if err != nil {
			return err
		}
		c, err := g.Candidate(cmd.Context())
		if err != nil {
			return err
		}
		if c.Branch, err = onto(g.Record.Version, args[1]); err != nil {
			return err
		}
		rev, _ := g.Record.Version.Revision()
		c.Revision = &rev
		w.json = f.json
		return w.commit(cmd, to, c, progress)
	}
	f.addSpec(cmd)
	w.add(cmd)
	return cmd
}
