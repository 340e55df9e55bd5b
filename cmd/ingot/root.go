package main

import (
	"encoding/json"
	"fmt"
	"io"
	"slices"

	"github.com/spf13/cobra"

	"ingot/internal/fault"
	"ingot/internal/ui"
)

// The groups of "ingot --help"; a verb names its own in GroupID.
const (
	groupMake    = "make"
	groupLook    = "look"
	groupServe   = "serve"
	groupMachine = "machine"
	groupKeep    = "keep"
	groupHost    = "host"
	groupDoor    = "door"
	groupOther   = "other"
)

var groups = []cobra.Group{
	{ID: groupMake, Title: "From a definition to a machine:"},
	{ID: groupLook, Title: "What is in it, and why:"},
	{ID: groupServe, Title: "Image servers:"},
	{ID: groupMachine, Title: "Machines from templates:"},
	{ID: groupKeep, Title: "What is kept:"},
	{ID: groupHost, Title: "Hosts that layer images:"},
	{ID: groupDoor, Title: "As commands of other systems, with their own arguments:"},
	{ID: groupOther, Title: "Other:"},
}

// newRootCommand puts the program together. A new verb is one file with a
// constructor, added to the list below.
func newRootCommand() *cobra.Command {
	root := &cobra.Command{
		Use:   "ingot",
		Short: "Define, lock, build and boot operating-system images",
		Long: `ingot makes operating-system images from a definition, ingot.yaml: it locks
the definition to exact packages, builds every output from the lock, byte for
byte the same anywhere, and boots what it built.`,
		Example: `  ingot init web && cd web     write a first definition
  ingot build --output qcow2   build it for a virtual machine
  ingot boot web-amd64.qcow2   boot it, wait for a login`,
		Version:           thisVersion().String(), // of --version
		SilenceErrors:     true,
		SilenceUsage:      true,
		CompletionOptions: cobra.CompletionOptions{DisableDefaultCmd: true},
		PersistentPreRunE: func(cmd *cobra.Command, _ []string) error {
			_, err := choiceOf(cmd).Options(io.Discard, environ)
			return fault.Wrap(fault.Usage, err)
		},
	}
	f := root.PersistentFlags()
	f.String("progress", "auto", "how to show progress: auto, plain or json")
	f.String("color", "auto", "when to colour: auto, always or never")
	f.BoolP("quiet", "q", false, "say nothing but warnings and errors")
	f.BoolP("verbose", "v", false, "keep on the terminal what steps say")

	commands := []*cobra.Command{
		newInitCommand(),
		newCheckCommand(),
		newLockCommand(),
		newPlanCommand(),
		newBuildCommand(),
		newBootCommand(),
		newDiffCommand(),
		newWhyCommand(),
		newSbomCommand(), newLayoutCommand(), newFlavorCommand(), newGroupCommand(),
		newElementCommand(),
		newSchemaCommand(),
		newPublishCommand(), newMirrorCommand(), newServeCommand(), newPromoteCommand(), newPruneCommand(), newServerCommand(),
		newListCommand(), newPullCommand(), newVerifyCommand(),
		newTemplateCommand(), newProvisionCommand(), newMachineCommand(),
		newStoreCommand(),
		newToolsCommand(),
		newHostCommand(),
		newDiskImageCreateCommand(), newRamdiskImageCreateCommand(), newDiskimageBuilderCommand(), newLXCCommand(), newImgbaseCommand(),
		newErrandCommand(),
		newVersionCommand(),
		newCompletionCommand(),
		newExitCodesTopic(),
	}
	for _, g := range groups {
		if slices.ContainsFunc(commands, func(c *cobra.Command) bool { return c.GroupID == g.ID }) {
			root.AddGroup(&g)
		}
	}
	cobra.EnableCommandSorting = false // the verbs are in the order of their use
	root.AddCommand(commands...)
	root.SetHelpCommand(newHelpCommand())
	root.SetUsageTemplate(usageTemplate)
	root.SetVersionTemplate("{{.Version}}\n")
	strict(root)
	complete(root)
	return root
}

// choiceOf reads the global flags.
func choiceOf(cmd *cobra.Command) ui.Choice {
	f := cmd.Root().PersistentFlags()
	var c ui.Choice
	c.Progress, _ = f.GetString("progress")
	c.Color, _ = f.GetString("color")
	c.Quiet, _ = f.GetBool("quiet")
	c.Verbose, _ = f.GetBool("verbose")
	return c
}

// newProgress shows a verb's progress on standard error, as the global flags
// say. The verb closes it before it prints results.
func newProgress(cmd *cobra.Command) (*ui.Progress, error) {
	o, err := choiceOf(cmd).Options(cmd.ErrOrStderr(), environ)
	if err != nil {
		return nil, fault.Wrap(fault.Usage, err)
	}
	o.Interrupted = func() bool { return cmd.Context().Err() != nil }
	return ui.New(o), nil
}

// printJSON prints a verb's result for programs: one object on one line. The
// object begins with its "schema".
func printJSON(cmd *cobra.Command, v any) error {
	enc := json.NewEncoder(cmd.OutOrStdout())
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return fmt.Errorf("cannot write the result: %w", err)
	}
	return nil
}
