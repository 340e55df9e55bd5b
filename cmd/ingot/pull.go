package main

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"ingot/internal/catalog"
	"ingot/internal/digest"
	"ingot/internal/fault"
	"ingot/internal/ui"
)

type pullFlags struct {
	remoteFlags
	to, arch string
	formats  []string
	expired  bool
	replace  bool
	json     bool
}

func newPullCommand() *cobra.Command {
	var f pullFlags
	cmd := &cobra.Command{
		Use:   "pull IMAGE[@CHANNEL|@VERSION]",
		Short: "Fetch an image from a server, verified",
		Long: `pull fetches an image's files and papers from an image server into a directory.
All is held to the server's signed index: the key must be known, the index neither
expired nor older than one seen before, every file of the size and digest that it
says. What does not hold is not kept, and what was there stays as it was.

A transfer that breaks goes on where it was with the next pull. Files that are
there already, and the same, are not fetched again; others of the same name are
replaced with --replace alone.`,
		Example: `  ingot pull web --from https://images.example --key server-key.asc --to out
  ingot pull web@testing --format qcow2 --replace
  ingot boot web-amd64.qcow2`,
		GroupID: groupServe,
		Args:    cobra.ExactArgs(1),
		RunE:    func(cmd *cobra.Command, args []string) error { return f.run(cmd, args[0]) },
	}
	f.add(cmd)
	cmd.Flags().StringVar(&f.to, "to", ".", "the directory of the files")
	cmd.Flags().StringVar(&f.arch, "arch", hostArch(), "for this architecture")
	cmd.Flags().StringArrayVar(&f.formats, "format", nil, "only artifacts of this format; may be repeated")
	cmd.Flags().BoolVar(&f.expired, "accept-expired", false, "take an image past the date until which its publisher wants it used")
	cmd.Flags().BoolVar(&f.replace, "replace", false, "replace files of the same names, which are others")
	cmd.Flags().BoolVar(&f.json, "json", false, "print one JSON object")
	return cmd
}

// pullJSON is the object that "pull --json" prints.
type pullJSON struct {
	Schema  int          `json:"schema"` // 1
	Server  string       `json:"server"`
	Name    string       `json:"name"`
	Arch    string       `json:"arch"`
	Version string       `json:"version"`
	Files   []pulledJSON `json:"files"`
	Seconds float64      `json:"seconds"`
}

type pulledJSON struct {
	Format string        `json:"format"` // of the artifact
	Path   string        `json:"path"`
	Size   int64         `json:"size"`
	SHA256 digest.Digest `json:"sha256"`
	Paper  bool          `json:"paper"` // it is none of the artifact's files
	New    bool          `json:"new"`   // it was fetched now
}

// want are the artifacts of a version that are asked for.
func (f *pullFlags) want(i catalog.Image, v catalog.Version, now time.Time) ([]catalog.Artifact, error) {
	if !v.Expires.IsZero() && !now.Before(v.Expires) && !f.expired {
		return nil, fault.Newf(fault.Verification, "%s of %s is expired since %s", v.Version, i.Name, v.Expires.UTC().Format(time.DateTime)).
			WithHint("ask for a newer one, or take it all the same with --accept-expired")
	}
	if len(f.formats) == 0 {
		return v.Artifacts, nil
	}
	var out []catalog.Artifact
	for _, name := range f.formats {
		a, ok := v.Artifact(name)
		if !ok {
			var there []string
			for _, a := range v.Artifacts {
				there = append(there, a.Format)
			}
			return nil, fault.Newf(fault.NotFound, "%s of %s has no %s", v.Version, i.Name, name).WithHint("it has %s", strings.Join(there, ", "))
		}
		if !slices.ContainsFunc(out, func(o catalog.Artifact) bool { return o.Format == a.Format }) {
			out = append(out, a)
		}
	}
	return out, nil
}

func (f *pullFlags) run(cmd *cobra.Command, image string) error {
	start := time.Now()
	choice, err := catalog.ParseChoice(image, f.arch)
	if err != nil {
		return err
	}
	progress, err := newProgress(cmd)
	if err != nil {
		return err
	}
	defer progress.Close()
	var t transfers
	s, err := f.server(progress, t.watch)
	if err != nil {
		return err
	}
	c, err := s.Refresh(cmd.Context())
	if err != nil {
		return err
	}
	i, v, err := c.Find(choice)
	if err != nil {
		return err
	}
	artifacts, err := f.want(i, v, time.Now())
	if err != nil {
		return err
	}
	files := allFiles(artifacts)
	var total int64
	for _, f := range files {
		total += f.Size
	}
	task := progress.Start(ui.Step{ID: "pull", Name: fmt.Sprintf("pull %s %s", choice, v.Version), Unit: ui.Bytes, Total: total})
	t.begin(task)
	pulled, err := s.Pull(cmd.Context(), files, f.to, f.replace)
	task.Done(err)
	progress.Close()
	if err != nil {
		return err
	}
	out := pullJSON{Schema: 1, Server: s.Name(), Name: i.Name, Arch: i.Arch, Version: v.Version, Files: []pulledJSON{}}
	n := 0
	for _, a := range artifacts {
		for k, file := range append(slices.Clone(a.Files), a.Papers...) {
			out.Files = append(out.Files, pulledJSON{a.Format, pulled[n].Path, file.Size, file.SHA256, k >= len(a.Files), pulled[n].New})
			n++
		}
	}
	out.Seconds = time.Since(start).Seconds()
	if f.json {
		return printJSON(cmd, out)
	}
	return out.print(cmd)
}

func (p pullJSON) print(cmd *cobra.Command) error {
	for _, f := range p.Files {
		if f.Paper {
			continue
		}
		what := "is there already"
		if f.New {
			what = "fetched"
		}
		if _, err := fmt.Fprintf(cmd.OutOrStdout(), "%s  %s, %s, sha256 %s\n", f.Path, ui.Size(f.Size), what, f.SHA256); err != nil {
			return err
		}
	}
	return nil
}
