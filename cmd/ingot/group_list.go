package main

import (
	"cmp"
	"fmt"
	"slices"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"ingot/internal/definition"
	"ingot/internal/digest"
	"ingot/internal/repository"
	"ingot/internal/ui"
)

// now is the clock of repositories.
func now() time.Time { return time.Now() }

// groupListJSON is the object that "group list" prints.
type groupListJSON struct {
	Schema     int             `json:"schema"` // 1
	Repository string          `json:"repository"`
	Versions   []groupItemJSON `json:"versions"`
}

type groupItemJSON struct {
	Name    string    `json:"name"`
	Version string    `json:"version"`
	Time    time.Time `json:"time"`
	Flavors []string  `json:"flavors"`
}

func newGroupListCommand() *cobra.Command {
	var f repositoryFlags
	cmd := &cobra.Command{
		Use:   "list [NAME]",
		Short: "List groups, or the versions of one",
		Long: `list prints the newest version of each branch of each group; with a name, all
versions of that group, newest first.`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			f.unsigned = len(f.keys) == 0 // an index says nothing that is believed
			r, err := f.open()
			if err != nil {
				return err
			}
			names := args
			if len(args) == 0 {
				if names, err = r.Names(cmd.Context()); err != nil {
					return err
				}
			}
			out := groupListJSON{Schema: 1, Repository: r.Place.String(), Versions: []groupItemJSON{}}
			for _, name := range names {
				x, err := r.Index(cmd.Context(), name)
				if err != nil {
					return err
				}
				list := slices.Clone(x.Records)
				if len(args) == 0 {
					old := x.Old(1, time.Time{})
					list = slices.DeleteFunc(list, func(r repository.Record) bool {
						return slices.ContainsFunc(old, func(o repository.Record) bool { return o.Version.Equal(r.Version) })
					})
				}
				slices.SortFunc(list, func(a, b repository.Record) int { return b.Version.Compare(a.Version) })
				for _, rec := range list {
					out.Versions = append(out.Versions, itemOf(x, rec))
				}
			}
			if f.json {
				return printJSON(cmd, out)
			}
			w := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 0, 2, ' ', 0)
			for _, v := range out.Versions {
				for i, fl := range v.Flavors {
					if i == 0 {
						fmt.Fprintf(w, "%s=%s\t%s\t[%s]\n", v.Name, v.Version, v.Time.Format(time.DateTime), fl)
					} else {
						fmt.Fprintf(w, "\t\t[%s]\n", fl)
					}
				}
			}
			return w.Flush()
		},
	}
	f.add(cmd)
	return cmd
}

func itemOf(x *repository.Index, rec repository.Record) groupItemJSON {
	rev, _ := rec.Version.Revision()
	item := groupItemJSON{Name: x.Name, Version: rec.Version.String(), Time: time.UnixMilli(rev.Time).UTC(), Flavors: []string{}}
	for _, i := range rec.Flavors {
		item.Flavors = append(item.Flavors, x.Flavors[i].String())
	}
	return item
}

// groupFoundJSON is the object that "group find" prints.
type groupFoundJSON struct {
	Schema  int              `json:"schema"` // 1
	Matches []groupTroveJSON `json:"matches"`
}

type groupTroveJSON struct {
	Name    string `json:"name"`
	Version string `json:"version"`
	Flavor  string `json:"flavor"`
}

func newGroupFindCommand() *cobra.Command {
	var f repositoryFlags
	cmd := &cobra.Command{
		Use:   "find SPEC...",
		Short: "Say what specs name",
		Long: `find prints the versions and flavors that specs name, a line each. Without a
version it is the newest of each branch. What a flavor asks for must be there. If
nothing is found the hint says which flavors would be.`,
		Example: `  ingot group find 'web[vmware]'
  ingot group find web=1.4 web=:stable`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			f.unsigned = len(f.keys) == 0
			r, err := f.open()
			if err != nil {
				return err
			}
			out := groupFoundJSON{Schema: 1, Matches: []groupTroveJSON{}}
			for _, text := range args {
				_, found, err := f.find(cmd.Context(), r, text)
				if err != nil {
					return err
				}
				for _, t := range found {
					out.Matches = append(out.Matches, groupTroveJSON{t.Name, t.Version.String(), t.Flavor.String()})
				}
			}
			if f.json {
				return printJSON(cmd, out)
			}
			for _, t := range out.Matches {
				if _, err := fmt.Fprintf(cmd.OutOrStdout(), "%s=%s[%s]\n", t.Name, t.Version, t.Flavor); err != nil {
					return err
				}
			}
			return nil
		},
	}
	f.add(cmd)
	f.addLabels(cmd)
	return cmd
}

// groupShownJSON is the object that "group show" prints.
type groupShownJSON struct {
	Schema     int                `json:"schema"` // 1
	Repository string             `json:"repository"`
	Name       string             `json:"name"`
	Version    string             `json:"version"`
	Time       time.Time          `json:"time"`
	Lock       digest.Digest      `json:"lock"`
	Definition digest.Digest      `json:"definition"`
	Distro     string             `json:"distro"`
	Release    string             `json:"release"`
	From       string             `json:"from,omitempty"`
	Expires    time.Time          `json:"expires,omitzero"` // until when it may be taken for the newest
	Signed     bool               `json:"signed"`
	Signers    []string           `json:"signers"` // fingerprints of trusted keys
	Size       int64              `json:"size"`    // bytes of all that it keeps
	Groups     []groupTakenJSON   `json:"groups,omitempty"`
	Sets       []groupSetJSON     `json:"sets"`
	Packages   []groupPackageJSON `json:"packages"`
}

// groupTakenJSON is another group that a version was made from.
type groupTakenJSON struct {
	Name    string        `json:"name"`
	Version string        `json:"version"`
	Use     string        `json:"use"` // include, patch, subtract
	Lock    digest.Digest `json:"lock"`
}

type groupSetJSON struct {
	Flavor   string        `json:"flavor"`
	Purpose  string        `json:"purpose"`
	Seal     digest.Digest `json:"seal"`
	Files    int           `json:"files"`
	Bytes    int64         `json:"bytes"` // of file contents
	Packages int           `json:"packages"`
}

type groupPackageJSON struct {
	Name    string `json:"name"`
	Version string `json:"version"`
	Arch    string `json:"arch"`
	Source  string `json:"source"`
	Sets    []int  `json:"sets"` // places in the list of sets
	Asked   bool   `json:"asked"`
	Digest  string `json:"sha256"`
}

func newGroupShowCommand() *cobra.Command {
	var f repositoryFlags
	var packages bool
	cmd := &cobra.Command{
		Use:   "show SPEC",
		Short: "Say what a version of a group is",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			r, err := f.open()
			if err != nil {
				return err
			}
			g, _, err := f.one(cmd.Context(), r, args[0])
			if err != nil {
				return err
			}
			list, err := g.Packages(cmd.Context())
			if err != nil {
				return err
			}
			out, err := shown(r, g, list)
			if err != nil {
				return err
			}
			if f.json {
				return printJSON(cmd, out)
			}
			w := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 0, 2, ' ', 0)
			fmt.Fprintf(w, "group\t%s=%s\n", out.Name, out.Version)
			fmt.Fprintf(w, "committed\t%s\n", out.Time.Format(time.DateTime))
			fmt.Fprintf(w, "signed by\t%s\n", g.Statement.SignedBy())
			if out.From != "" {
				fmt.Fprintf(w, "from\t%s=%s\n", out.Name, out.From)
			}
			if !out.Expires.IsZero() {
				fmt.Fprintf(w, "newest until\t%s\n", out.Expires.Format(time.DateTime))
			}
			fmt.Fprintf(w, "lock\t%s\n", out.Lock)
			fmt.Fprintf(w, "of\t%s %s, definition %s\n", out.Distro, out.Release, out.Definition.Short())
			for _, o := range out.Groups {
				does := map[string]string{definition.Include: "includes", definition.Patch: "patched by", definition.Subtract: "without"}
				fmt.Fprintf(w, "%s\t%s=%s\n", does[o.Use], o.Name, o.Version)
			}
			fmt.Fprintf(w, "keeps\t%s\n", ui.Size(out.Size))
			for _, s := range out.Sets {
				fmt.Fprintf(w, "%s\t[%s]\t%d packages, %d files, %s\n", s.Purpose, s.Flavor, s.Packages, s.Files, ui.Size(s.Bytes))
			}
			if packages {
				for _, p := range out.Packages {
					fmt.Fprintf(w, "%s\t%s\t%s\n", p.Name, p.Version, p.Arch)
				}
			}
			return w.Flush()
		},
	}
	f.addSpec(cmd)
	cmd.Flags().BoolVar(&packages, "packages", false, "list the packages too")
	return cmd
}

func shown(r *repository.Repository, g *repository.Group, list []repository.Package) (groupShownJSON, error) {
	rev, _ := g.Record.Version.Revision()
	out := groupShownJSON{
		Schema: 1, Repository: r.Place.String(), Name: g.Statement.Name, Version: g.Record.Version.String(), Time: time.UnixMilli(rev.Time).UTC(),
		Lock: g.Statement.Lock, Definition: g.Statement.Definition, Distro: g.Lock.Distro, Release: g.Lock.Release,
		From: fromOf(g.Statement), Expires: g.Statement.Expires, Signed: g.Statement.Signed, Signers: []string{}, Sets: []groupSetJSON{}, Packages: []groupPackageJSON{}, Size: g.Size(),
	}
	for _, s := range g.Statement.Signers {
		out.Signers = append(out.Signers, s.Fingerprint)
	}
	for _, o := range g.Lock.Groups {
		out.Groups = append(out.Groups, groupTakenJSON{o.Name(), o.Version, o.Use, o.Lock})
	}
	index := map[digest.Digest]int{}
	for _, p := range list {
		index[p.SHA256] = len(out.Packages)
		out.Packages = append(out.Packages, groupPackageJSON{Name: p.Name, Version: p.Version, Arch: p.Arch, Source: p.Source + " " + p.SourceVersion, Sets: []int{}, Digest: p.SHA256.String()})
	}
	for _, t := range g.Content.Trees {
		fl, err := repository.FlavorOf(t.Arch, t.Flavor)
		if err != nil {
			return out, err
		}
		set := groupSetJSON{Flavor: fl.String(), Purpose: t.Purpose, Seal: t.Files.SHA256, Files: t.Count, Bytes: t.Bytes}
		for _, s := range g.Lock.Sets {
			if s.Arch != t.Arch || s.Purpose != t.Purpose || s.Flavor != t.Flavor {
				continue
			}
			set.Packages = len(s.Refs)
			for _, ref := range s.Refs {
				if i, ok := index[ref.SHA256]; ok {
					out.Packages[i].Sets = append(out.Packages[i].Sets, len(out.Sets))
					out.Packages[i].Asked = out.Packages[i].Asked || slices.Contains(s.Asked, ref.Name)
				}
			}
		}
		out.Sets = append(out.Sets, set)
	}
	slices.SortFunc(out.Packages, func(a, b groupPackageJSON) int {
		return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.Arch, b.Arch), cmp.Compare(a.Version, b.Version))
	})
	return out, nil
}

// fromOf is where a version came from, without times.
func fromOf(s repository.Statement) string {
	if v, ok := s.Origin(); ok {
		return v.String()
	}
	return ""
}
