package main

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"ingot/internal/dib"
	"ingot/internal/fault"
)

// Doors are commands of other systems that ingot is, by a symbolic link of that name
// or as its verb. They read their own arguments.

// throughDoor puts the verb in front where the program was called by a door's name.
func throughDoor(args []string) []string {
	if len(args) == 0 {
		return args
	}
	name := filepath.Base(args[0])
	if slices.Contains([]string{dib.ImageCommand, dib.RamdiskCommand, dib.FilesCommand, lxcCommand, imgbaseCommand}, name) {
		return slices.Insert(slices.Clone(args), 1, name)
	}
	return args
}

// dibJSON is the object that the doors of diskimage-builder print with --dry-run
// --json.
type dibJSON struct {
	Schema   int            `json:"schema"` // 1
	Requests []dibRequested `json:"requests"`
}

// dibRequested is a request and what follows from it alone.
type dibRequested struct {
	dib.Request
	Roots []string `json:"roots"` // the elements with those that are added to them
	Files []string `json:"files"` // what is written
}

func newDiskImageCreateCommand() *cobra.Command {
	return newDoor(dib.ImageCommand, "Build images from elements, as diskimage-builder's command does")
}

func newRamdiskImageCreateCommand() *cobra.Command {
	return newDoor(dib.RamdiskCommand, "Build a kernel and a ramdisk from elements, likewise")
}

func newDiskimageBuilderCommand() *cobra.Command {
	return newDoor(dib.FilesCommand, "Build the images that files of diskimage-builder list")
}

func newDoor(name, short string) *cobra.Command {
	cmd := &cobra.Command{
		Use:                name,
		Short:              short,
		GroupID:            groupDoor,
		DisableFlagParsing: true,
		RunE: func(cmd *cobra.Command, args []string) error {
			b, err := doorRequests(name, args)
			switch {
			case err != nil:
				return fault.Wrap(fault.Usage, err)
			case b.Asked == "help":
				return cmd.Help()
			case b.Asked == "version":
				_, err := fmt.Fprintln(cmd.OutOrStdout(), thisVersion())
				return err
			}
			if b.Progress != "" {
				if err := cmd.Root().PersistentFlags().Set("progress", b.Progress); err != nil {
					return fault.Wrap(fault.Usage, err)
				}
			}
			if b.DryRun {
				return showRequests(cmd, b)
			}
			return buildRequests(cmd, b)
		},
	}
	cmd.SetHelpTemplate(dib.Help(name))
	return cmd
}

// doorRequests reads the arguments of one of the commands.
func doorRequests(name string, args []string) (dib.Batch, error) {
	if name == dib.FilesCommand {
		return dib.ParseFiles(args, os.Environ())
	}
	r, err := dib.Parse(name, args, os.Environ())
	return dib.Batch{Requests: []dib.Request{r}, DryRun: r.DryRun, StopOnFailure: true, JSON: r.JSON, Progress: r.Progress, Asked: r.Asked}, err
}

// showRequests says what was understood.
func showRequests(cmd *cobra.Command, b dib.Batch) error {
	all := dibJSON{Schema: 1, Requests: []dibRequested{}}
	var text strings.Builder
	for _, r := range b.Requests {
		shown := dibRequested{Request: r.Shown(), Roots: r.Roots(), Files: []string{}}
		if !r.Ramdisk {
			for _, o := range r.Outputs {
				shown.Files = append(shown.Files, r.Files(o)...)
			}
		}
		all.Requests = append(all.Requests, shown)
		fmt.Fprintln(&text, r.Line())
	}
	if b.JSON {
		return printJSON(cmd, all)
	}
	_, err := fmt.Fprint(cmd.OutOrStdout(), text.String())
	return err
}
