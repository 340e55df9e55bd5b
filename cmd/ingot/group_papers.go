package main

import (
	"encoding/json"
	"errors"
	"io/fs"
	"path/filepath"

	"github.com/spf13/cobra"

	"ingot/internal/artifact"
	"ingot/internal/digest"
	"ingot/internal/distro"
	"ingot/internal/distro/debian"
	"ingot/internal/fault"
	"ingot/internal/input"
	"ingot/internal/repository"
)

func newGroupPapersCommand() *cobra.Command {
	var f treeFlags
	var format, kind string
	cmd := &cobra.Command{
		Use:   "papers SPEC FILE",
		Short: "Print an artifact's SBOM or provenance, from its group",
		Long: `papers prints what lies beside an artifact when it is built, without building it or
looking into it: its SBOM (SPDX) or its provenance (in-toto), from the version of
the group that it was built from. The artifact is read for its digest alone.`,
		Example: `  ingot group papers web=3 web-amd64.qcow2 --output qcow2 --kind provenance`,
		Args:    cobra.ExactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			if kind != "sbom" && kind != "provenance" {
				return fault.Newf(fault.Usage, "no kind %q", kind).WithHint("kinds are sbom and provenance")
			}
			g, t, err := f.tree(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			file, err := fileOf(args[1])
			if err != nil {
				return err
			}
			list, err := g.Packages(cmd.Context())
			if err != nil {
				return err
			}
			image := imageOf(g, t, list)
			o := artifact.Output{Format: format, Files: []artifact.File{file}}
			enc := json.NewEncoder(cmd.OutOrStdout())
			enc.SetIndent("", "  ")
			enc.SetEscapeHTML(false)
			if kind == "sbom" {
				return enc.Encode(image.SBOM(o))
			}
			return enc.Encode(image.Provenance(o))
		},
	}
	f.add(cmd)
	cmd.Flags().StringVar(&format, "output", "tar", "the artifact's `format`")
	cmd.Flags().StringVar(&kind, "kind", "sbom", "sbom or provenance")
	return cmd
}

// fileOf is an artifact's file as papers name it.
func fileOf(path string) (artifact.File, error) {
	in, err := input.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return artifact.File{}, fault.Newf(fault.NotFound, "there is no artifact %s", path)
	}
	if err != nil {
		return artifact.File{}, err
	}
	defer in.Close()
	sum, size, err := digest.Reader(in)
	return artifact.File{Name: filepath.Base(path), Size: size, SHA256: sum}, err
}

// keptOf is what a group keeps of an image for its papers.
func keptOf(i artifact.Image) repository.BuiltTree {
	t := repository.BuiltTree{Arch: i.Arch, Purpose: i.Purpose, Flavor: i.Flavor, Tree: i.Tree, Network: i.Network}
	if i.Found != nil {
		t.Found = []repository.Installed{}
	}
	for _, ref := range i.Found {
		t.Found = append(t.Found, repository.InstalledOf(ref, i.Describe(ref)))
	}
	return t
}

// imageOf is what papers say of a tree of a group, from the group alone.
func imageOf(g *repository.Group, t repository.Tree, list []repository.Package) artifact.Image {
	by := map[digest.Digest]repository.Package{}
	for _, p := range list {
		by[p.SHA256] = p
	}
	var found []distro.Ref
	if t.Found != nil {
		found = []distro.Ref{}
	}
	has := map[distro.Ref]repository.Package{}
	for _, p := range t.Found {
		found = append(found, p.Ref())
		has[p.Ref()] = p.Package
	}
	return artifact.Image{
		Name: g.Statement.Name, Flavor: t.Flavor, Arch: t.Arch, Purpose: t.Purpose, Lock: g.Lock, Version: thisVersion().Version,
		Found: found, Network: t.Network,
		Describe: func(ref distro.Ref) distro.Description {
			if p, ok := has[ref]; ok {
				return p.Description()
			}
			if p, ok := by[ref.SHA256]; ok {
				return p.Description()
			}
			return debian.Debian{}.Describe(distro.Package{Ref: ref}) // of tools, only what they are called
		},
	}
}
