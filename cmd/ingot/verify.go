package main

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"ingot/internal/catalog"
	"ingot/internal/digest"
	"ingot/internal/fault"
	"ingot/internal/fetch"
	"ingot/internal/input"
	"ingot/internal/ui"
)

// knownJSON is what "verify --json" prints.
type knownJSON struct {
	Schema int             `json:"schema"` // 1
	Server string          `json:"server"`
	Files  []knownFileJSON `json:"files"`
}

type knownFileJSON struct {
	Path    string        `json:"path"`
	Size    int64         `json:"size"`
	SHA256  digest.Digest `json:"sha256"`
	Known   bool          `json:"known"` // the server's signed index names it
	Name    string        `json:"name,omitempty"`
	Arch    string        `json:"arch,omitempty"`
	Version string        `json:"version,omitempty"`
	Format  string        `json:"format,omitempty"`
}

func newVerifyCommand() *cobra.Command {
	var f remoteFlags
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "verify FILE…",
		Short: "Say whether files are what an image server offers",
		Long: `verify reads files, or all files of directories, and finds them by size and digest
in the signed index of an image server, whatever they are called. A file that it
does not name ends it with 5.`,
		Example: "  ingot verify web-amd64.qcow2 --from https://images.example",
		GroupID: groupServe,
		Args:    cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			progress, err := newProgress(cmd)
			if err != nil {
				return err
			}
			defer progress.Close()
			s, err := f.server(progress, func(fetch.Event) {})
			if err != nil {
				return err
			}
			c, err := s.Refresh(cmd.Context())
			if err != nil {
				return err
			}
			out := knownJSON{Schema: 1, Server: s.Name(), Files: []knownFileJSON{}}
			if out.Files, err = identify(c, args, progress); err != nil {
				return err
			}
			progress.Close()
			var unknown []string
			for _, f := range out.Files {
				if !f.Known {
					unknown = append(unknown, f.Path)
				}
			}
			if asJSON {
				err = printJSON(cmd, out)
			} else {
				err = out.print(cmd)
			}
			if err == nil && len(unknown) > 0 {
				err = fault.Newf(fault.Verification, "%s does not offer %s", s.Name(), strings.Join(unknown[:min(8, len(unknown))], ", ")).
					WithHint("they were changed, or are of a version that is gone from there")
			}
			return err
		},
	}
	f.add(cmd)
	cmd.Flags().BoolVar(&asJSON, "json", false, "print one JSON object")
	return cmd
}

// identify finds files in a catalog.
func identify(c catalog.Catalog, paths []string, progress *ui.Progress) ([]knownFileJSON, error) {
	known := map[digest.Digest]knownFileJSON{}
	for _, i := range c.Images {
		for _, v := range i.Versions {
			for _, a := range v.Artifacts {
				for _, f := range allFiles([]catalog.Artifact{a}) {
					known[f.SHA256] = knownFileJSON{Known: true, Size: f.Size, SHA256: f.SHA256, Name: i.Name, Arch: i.Arch, Version: v.Version, Format: a.Format}
				}
			}
		}
	}
	var files []string
	for _, p := range paths {
		err := filepath.WalkDir(p, func(path string, d fs.DirEntry, err error) error {
			if err == nil && !d.IsDir() {
				files = append(files, path)
			}
			return err
		})
		if err != nil {
			return nil, fault.Newf(fault.NotFound, "cannot read %s: %w", p, err)
		}
	}
	out := []knownFileJSON{}
	task := progress.Start(ui.Step{ID: "verify", Name: "verify " + many(len(files), "file"), Unit: ui.Bytes})
	for _, path := range files {
		f, err := input.Open(path)
		if err != nil {
			task.Done(err)
			return nil, fault.Newf(fault.NotFound, "cannot read %s: %w", path, err)
		}
		d, n, err := hashed(f, task)
		if err != nil {
			task.Done(err)
			return nil, fmt.Errorf("cannot read %s: %w", path, err)
		}
		k, ok := known[d]
		if !ok || k.Size != n {
			k = knownFileJSON{Size: n, SHA256: d}
		}
		k.Path = path
		out = append(out, k)
	}
	task.Done(nil)
	return out, nil
}

// hashed is the digest and the length of an open file, which it closes.
func hashed(f *os.File, task *ui.Task) (digest.Digest, int64, error) {
	defer func() { _ = f.Close() }()
	d, n, err := digest.Reader(f)
	task.Add(n)
	return d, n, err
}

func (k knownJSON) print(cmd *cobra.Command) error {
	for _, f := range k.Files {
		what := "not known"
		if f.Known {
			what = fmt.Sprintf("%s %s for %s, %s", f.Name, f.Version, f.Arch, f.Format)
		}
		if _, err := fmt.Fprintf(cmd.OutOrStdout(), "%s: %s\n", f.Path, what); err != nil {
			return err
		}
	}
	return nil
}
