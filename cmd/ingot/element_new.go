package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"ingot/internal/element"
	"ingot/internal/fault"
)

func newElementNewCommand() *cobra.Command {
	var in string
	cmd := &cobra.Command{
		Use:   "new NAME",
		Short: "Write a first element",
		Long: `new writes an element that installs a package and runs a script, with comments on
what else there can be, into a directory NAME that it makes.`,
		Example: `  ingot element new nginx --in elements`,
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			files, err := element.Starter(args[0])
			if err != nil {
				return err
			}
			dir := filepath.Join(in, args[0])
			if _, err := os.Lstat(dir); !errors.Is(err, fs.ErrNotExist) {
				if err != nil {
					return fmt.Errorf("cannot write an element: %w", err)
				}
				return fault.Newf(fault.Choice, "%s is there already", dir).WithHint("choose another name, or remove it")
			}
			for _, f := range files {
				if err := writeHook(filepath.Join(dir, filepath.FromSlash(f.Path)), f); err != nil {
					return fmt.Errorf("cannot write an element: %w", err)
				}
			}
			_, err = fmt.Fprintln(cmd.OutOrStdout(), dir)
			return err
		},
	}
	cmd.Flags().StringVar(&in, "in", ".", "the `directory` of elements that it is made in")
	return cmd
}

// writeHook writes a file of an element.
func writeHook(at string, f element.File) (err error) {
	if err := os.MkdirAll(filepath.Dir(at), 0o777); err != nil {
		return err
	}
	r, err := f.Open()
	if err != nil {
		return err
	}
	defer r.Close()
	to, err := os.OpenFile(at, os.O_CREATE|os.O_EXCL|os.O_WRONLY, f.Mode.Perm())
	if err != nil {
		return err
	}
	_, err = io.Copy(to, r)
	return errors.Join(err, to.Close())
}
