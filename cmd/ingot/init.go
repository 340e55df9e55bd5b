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
			return "", fmt.Errorf("cannot write a definition: %w", err)
		}
		return "", fault.Newf(fault.Choice, "%s is there already", path).WithHint("name another directory, or remove it")
	}
	_, missing := os.Lstat(dir)
	if err := os.MkdirAll(dir, 0o777); err != nil {
		return "", draft.Explain(fmt.Errorf("cannot write a definition: %w", err), "another DIR")
	}
	err := artifact.WriteFile(path, definition.Starter(name))
	if err != nil && missing != nil {
		_ = os.Remove(dir) // it was made for nothing
	}
	return path, draft.Explain(err, "another DIR")
}
