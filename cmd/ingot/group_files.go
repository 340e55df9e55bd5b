package main

import (
	"bufio"
	"fmt"
	"path"

	"github.com/spf13/cobra"

	"ingot/internal/fault"
	"ingot/internal/repository"
)

// groupFilesJSON is the object that "group files" prints.
type groupFilesJSON struct {
	Schema  int             `json:"schema"` // 1
	Group   string          `json:"group"`
	Flavor  string          `json:"flavor"`
	Purpose string          `json:"purpose"`
	Files   []groupFileJSON `json:"files"`
}

type groupFileJSON struct {
	Path  string `json:"path"`
	Kind  string `json:"kind"`
	Size  int64  `json:"size"`
	Line  string `json:"line"`  // of the seal
	Owner string `json:"owner"` // deb:NAME, step:NAME
}

func newGroupFilesCommand() *cobra.Command {
	var f treeFlags
	cmd := &cobra.Command{
		Use:   "files SPEC [PATH-PATTERN...]",
		Short: "List every file of a version, and whose it is",
		Long: `files prints the lines of a version's seal: type, mode, owner, path, size and
digest of each file, link, directory and device of the image, and behind each
which package, script or step of the definition put it there. Patterns are as a
shell's, against whole paths.`,
		Example: `  ingot group files web=4 '/etc/*'
  ingot group files 'web=4[vmware]' --purpose machine`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			for _, p := range args[1:] {
				if _, err := path.Match(p, ""); err != nil {
					return fault.Newf(fault.Usage, "pattern %q: %w", p, err)
				}
			}
			g, t, err := f.tree(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			fl, err := repository.FlavorOf(t.Arch, t.Flavor)
			if err != nil {
				return err
			}
			out := groupFilesJSON{Schema: 1, Group: g.String(), Flavor: fl.String(), Purpose: t.Purpose, Files: []groupFileJSON{}}
			files, err := g.Read(cmd.Context(), t.Files)
			if err != nil {
				return err
			}
			owners, err := g.Read(cmd.Context(), t.Owners)
			if err != nil {
				return err
			}
			w := bufio.NewWriter(cmd.OutOrStdout())
			for x, err := range repository.Files(files, owners) {
				if err != nil {
					return err
				}
				if !matches(args[1:], x.Path) {
					continue
				}
				if f.json {
					out.Files = append(out.Files, groupFileJSON{x.Path, x.Kind, x.Size(), x.Line, x.Owner})
				} else if _, err := fmt.Fprintf(w, "%s (%s)\n", x.Line, repository.OwnerName(x.Owner)); err != nil {
					return err
				}
			}
			if f.json {
				return printJSON(cmd, out)
			}
			return w.Flush()
		},
	}
	f.add(cmd)
	return cmd
}

func matches(patterns []string, name string) bool {
	for _, p := range patterns {
		if ok, _ := path.Match(p, name); ok { // they were looked at
			return true
		}
	}
	return len(patterns) == 0
}
