package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"ingot/internal/delta"
	"ingot/internal/digest"
	"ingot/internal/draft"
	"ingot/internal/fault"
	"ingot/internal/input"
	"ingot/internal/sandbox"
	"ingot/internal/store"
	"ingot/internal/supply"
	"ingot/internal/ui"
)

// deltaJSON is the object that "group delta" and "group apply" print.
type deltaJSON struct {
	Schema  int           `json:"schema"` // 1
	File    string        `json:"file"`   // that was written
	Size    int64         `json:"size"`
	Old     digest.Digest `json:"old"`
	New     digest.Digest `json:"new"`
	OldSize int64         `json:"old_size"`
	NewSize int64         `json:"new_size"`
	Seconds float64       `json:"seconds"`
}

func newGroupDeltaCommand() *cobra.Command {
	var f repositoryFlags
	var format, to string
	cmd := &cobra.Command{
		Use:   "delta OLD NEW --to FILE",
		Short: "Make one file that turns an old image into a new one",
		Long: `delta writes a change set: what 'group apply' needs to turn exactly the old image
into exactly the new one. OLD and NEW are artifacts, files that are not
compressed, or versions of a group: these are built first, from the repository,
in the format of --output, which their definitions must have.`,
		Example: `  ingot group delta web=3 web=4 --output raw --to web-3-4.delta
  ingot group delta old.tar new.tar --to new.delta`,
		Args: cobra.ExactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			if to == "" {
				return fault.Newf(fault.Usage, "where is the change set to go?").WithHint("--to FILE")
			}
			progress, err := newProgress(cmd)
			if err != nil {
				return err
			}
			defer progress.Close()
			start := time.Now()
			var files [2]*os.File
			for i, arg := range args {
				path, done, err := f.artifact(cmd, arg, format)
				if err != nil {
					return err
				}
				defer done()
				if files[i], err = input.Open(path); err != nil {
					return fault.Newf(fault.NotFound, "cannot read %s: %w", arg, err)
				}
				defer files[i].Close()
			}
			t := progress.Start(ui.Step{ID: "delta", Name: "compare"})
			h, size, err := makeDelta(cmd.Context(), files, to)
			t.Done(err)
			if err != nil {
				return err
			}
			progress.Close()
			return printDelta(cmd, f.json, deltaJSON{1, to, size, h.Old.SHA256, h.New.SHA256, h.Old.Size, h.New.Size, time.Since(start).Seconds()})
		},
	}
	f.addSpec(cmd)
	cmd.Flags().StringVar(&format, "output", "tar", "`format` in which versions are built: tar, raw or another that is one file and not compressed")
	cmd.Flags().StringVar(&to, "to", "", "`file` to write")
	return cmd
}

func makeDelta(ctx context.Context, files [2]*os.File, to string) (h delta.Header, size int64, err error) {
	out, err := createNamed(to)
	if err != nil {
		return h, 0, err
	}
	defer out.Discard()
	if h, err = delta.Make(ctx, files[0], files[1], out); err != nil {
		return h, 0, draft.Explain(err, "--to")
	}
	if size, err = out.Seek(0, io.SeekEnd); err != nil {
		return h, 0, err
	}
	return h, size, out.Publish()
}

// createNamed begins the file that somebody named.
func createNamed(to string) (*draft.Output, error) {
	out, err := draft.CreateOutput(to)
	if err != nil && fault.CodeOf(err) == fault.Failed {
		err = fault.Newf(fault.Preflight, "cannot write %s: %w", to, err)
	}
	return out, err
}

func printDelta(cmd *cobra.Command, asJSON bool, d deltaJSON) error {
	if asJSON {
		return printJSON(cmd, d)
	}
	_, err := fmt.Fprintf(cmd.OutOrStdout(), "%s  %s  %s -> %s\n", d.File, ui.Size(d.Size), ui.Size(d.OldSize), ui.Size(d.NewSize))
	return err
}

// artifact is the file that an argument of delta names, or that is built for it; done
// removes what was made for that.
func (f *repositoryFlags) artifact(cmd *cobra.Command, arg, format string) (path string, done func(), err error) {
	if !isSpec(arg) {
		if _, err := os.Stat(arg); err != nil {
			return "", nil, fault.Newf(fault.NotFound, "there is no file %s", arg).WithHint("a version of a group is NAME=VERSION")
		}
		return arg, func() {}, nil
	}
	dir, err := os.MkdirTemp("", "ingot-delta-")
	if err != nil {
		return "", nil, err
	}
	remove := func() { _ = os.RemoveAll(dir) }
	defer func() {
		if err != nil {
			remove()
		}
	}()
	if err := sandbox.Check(cmd.Context()); err != nil {
		return "", nil, err
	}
	r, err := f.open()
	if err != nil {
		return "", nil, err
	}
	g, found, err := f.one(cmd.Context(), r, arg)
	if err != nil {
		return "", nil, err
	}
	home, _, err := dirs()
	if err != nil {
		return "", nil, err
	}
	s, err := store.Open(home)
	if err != nil {
		return "", nil, err
	}
	release, err := bring(cmd.Context(), s, g, func(int64) {})
	if err != nil {
		return "", nil, err
	}
	defer release()
	file, lockPath, err := g.Unpack(cmd.Context(), filepath.Join(dir, "definition"))
	if err != nil {
		return "", nil, err
	}
	b := buildFlags{to: filepath.Join(dir, "out"), locked: true}
	b.offline = true
	b.wish.Formats = []string{format}
	if len(found) == 1 {
		b.flavor.flavors = []string{found[0].Flavor.String()}
	}
	out, err := b.build(cmd, []string{file})
	// The lock is gone with the directory: what it held is held by the lease and the store's days.
	defer func() { _ = s.RemoveRef(supply.Reference(lockPath, g.Lock).Name) }()
	if err != nil {
		return "", nil, fmt.Errorf("%s: %w", arg, err)
	}
	if len(out.Artifacts) != 1 || len(out.Artifacts[0].Files) > 1 {
		return "", nil, fault.Newf(fault.Choice, "%s has several artifacts of format %s", arg, format).WithHint("build them, and name two files")
	}
	return out.Artifacts[0].Path, remove, nil
}

func newGroupApplyCommand() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "apply DELTA OLD NEW",
		Short: "Turn an old image into a new one by a change set",
		Long: `apply writes NEW from OLD and a change set. OLD must be exactly the file that the
change set was made from, and NEW is there whole and exact or not at all; what
differs ends with exit code 5.`,
		Example: `  ingot group apply web-3-4.delta web-3.raw web-4.raw`,
		Args:    cobra.ExactArgs(3),
		RunE: func(cmd *cobra.Command, args []string) error {
			progress, err := newProgress(cmd)
			if err != nil {
				return err
			}
			defer progress.Close()
			start := time.Now()
			set, err := input.Open(args[0])
			if err != nil {
				return fault.Newf(fault.NotFound, "cannot read the change set: %w", err)
			}
			defer set.Close()
			old, err := input.Open(args[1])
			if err != nil {
				return fault.Newf(fault.NotFound, "cannot read the old image: %w", err)
			}
			defer old.Close()
			info, err := old.Stat()
			if err != nil {
				return err
			}
			out, err := createNamed(args[2])
			if err != nil {
				return err
			}
			defer out.Discard()
			t := progress.Start(ui.Step{ID: "apply", Name: "apply"})
			h, err := delta.Apply(cmd.Context(), set, old, info.Size(), out)
			t.Done(err)
			if err != nil {
				return draft.Explain(err, "another directory")
			}
			if err := out.Publish(); err != nil {
				return err
			}
			progress.Close()
			return printDelta(cmd, asJSON, deltaJSON{1, args[2], h.New.Size, h.Old.SHA256, h.New.SHA256, h.Old.Size, h.New.Size, time.Since(start).Seconds()})
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print one JSON object")
	return cmd
}
