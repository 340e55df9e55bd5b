package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"ingot/internal/artifact"
	"ingot/internal/definition"
	"ingot/internal/draft"
	"ingot/internal/fault"
)

func newInitCommand() *cobra.Command {
	var name string
	cmd := &cobra.Command{
		Use:   "init [DIR]",
		Short: "Write a first definition",
		Long: `init writes an ingot.yaml that builds and boots, with comments on what else can
be said, into a directory that it makes if need be.`,
		Example: `  ingot init
  ingot init web`,
		GroupID: groupMake,
		Args:    cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			dir := "."
			if len(args) > 0 {
				dir = args[0]
			}
			path, err := writeStarter(dir, name)
			if err != nil {
				return err
			}
			_, err = fmt.Fprintln(cmd.OutOrStdout(), path)
			return err
		},
	}
	cmd.Flags().StringVar(&name, "name", "", "the image's name (default: the directory's)")
	return cmd
}

// writeStarter writes a directory's first definition and gives its path. One that
// is there stays.
func writeStarter(dir, name string) (string, error) {
	if name != "" {
		if why := definition.CheckName(name); why != "" {
			return "", fault.Newf(fault.Usage, "name %q %s", name, why)
		}
	} else {
		if dir == "" {
			return "", fault.Newf(fault.Usage, "init: the name of the directory is empty").WithHint("without DIR it is the directory where you are")
		}
		abs, err := filepath.Abs(dir)
		if err != nil {
			return "", err
		}
		name = definition.NameFrom(filepath.Base(abs))
	}
	path := filepath.Join(dir, definition.FileName)
	if _, err := os.Lstat(path); !errors.Is(err, fs.ErrNotExist) {
		if err != nil {
			return "", noPlace(err)
		}
		return "", fault.Newf(fault.Choice, "%s is there already", path).WithHint("name another directory, or remove it")
	}
	_, missing := os.Lstat(dir)
	err := os.MkdirAll(dir, 0o777)
	if err == nil {
		if err = artifact.WriteFile(path, definition.Starter(name)); err != nil && missing != nil {
			_ = os.Remove(dir) // it was made for nothing
		}
	}
	if err != nil {
		return "", noPlace(err)
	}
	return path, nil
}

// noPlace is the error of a directory that no definition can be written to. Whatever it
// is, such as /proc, where there never is a file to make: it is the place.
func noPlace(err error) error {
	if err = draft.Explain(err, "another DIR"); fault.CodeOf(err) == fault.Preflight {
		return err
	}
	return fault.Newf(fault.Preflight, "cannot write a definition: %w", err).WithHint("choose a place that you may write to with another DIR")
}
