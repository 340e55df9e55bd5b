package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"ingot/internal/definition"
	"ingot/internal/fault"
	"ingot/internal/machine"
	"ingot/internal/template"
	"ingot/internal/vm"
)

func newMachineCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "machine",
		Short: "Machines that were made from templates",
		Long: `Machines are made by "ingot provision" and kept in $INGOT_HOME/machines. A machine
that was started runs on when ingot has ended.

With --on a verb looks after the machines of another host, as "ingot provision --on"
makes them there.`,
		GroupID: groupMachine,
	}
	cmd.AddCommand(
		anywhere(newMachineListCommand()), anywhere(newMachineShowCommand()), anywhere(newMachineStartCommand()), anywhere(newMachineStopCommand()),
		newMachineConsoleCommand(), anywhere(newMachineRemoveCommand()), anywhere(newMachineOutdatedCommand()), newMachineMakeCommand(),
	)
	return cmd
}

func machines() (machine.Home, string, error) {
	home, cacheDir, err := dirs()
	return machine.At(home), cacheDir, err
}

// startMachine starts a machine under QEMU of this machine, or of a tools tree.
func startMachine(cmd *cobra.Command, h machine.Home, name, accel, cacheDir string) (machine.Record, error) {
	progress, err := newProgress(cmd)
	if err != nil {
		return machine.Record{}, err
	}
	defer progress.Close()
	house, err := openHouse(sourceFlags{}, progress)
	if err != nil {
		return machine.Record{}, err
	}
	return h.Start(cmd.Context(), name, machine.Runner{Tools: house.bootTools(), Accel: accel, Cache: cacheDir})
}

// completeMachines gives machines' names to shells.
func completeMachines(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
	var names []string
	if h, _, err := machines(); err == nil {
		list, err := h.List()
		if err == nil {
			for _, m := range list {
				names = append(names, m.Name)
			}
		}
	}
	return names, cobra.ShellCompDirectiveNoFileComp
}

// machineJSON is a machine in the objects of "machine list" and "machine show".
type machineJSON struct {
	machine.Record
	Running bool   `json:"running"`
	PID     int    `json:"pid,omitempty"`
	Dir     string `json:"dir"`
}

func toMachineJSON(h machine.Home, r machine.Record) machineJSON {
	pid := h.PID(r)
	if pid == 0 {
		r.SSH = 0
	}
	return machineJSON{r, pid != 0, pid, h.Path(r.Name)}
}

// machinesJSON is the object that "machine list --json" prints.
type machinesJSON struct {
	Schema   int           `json:"schema"` // 1
	Machines []machineJSON `json:"machines"`
}

func newMachineListCommand() *cobra.Command {
	var json bool
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List the machines there are",
		Example: `  ingot machine list --json | jq -r '.machines[] | select(.running) | .name'
  ingot machine list --on ssh://root@vm.example.org`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			h, _, err := machines()
			if err != nil {
				return err
			}
			list, err := h.List()
			if err != nil {
				return err
			}
			out := machinesJSON{Schema: 1, Machines: []machineJSON{}}
			for _, r := range list {
				out.Machines = append(out.Machines, toMachineJSON(h, r))
			}
			if json {
				return printJSON(cmd, out)
			}
			w := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 0, 2, ' ', 0)
			for _, m := range out.Machines {
				state := "off"
				if m.Running {
					state = "runs"
				}
				fmt.Fprintf(w, "%s\t%s\t%s\t%d\t%s\t%s\n", m.Name, state, template.SizeText(m.Memory), m.CPUs, template.SizeText(m.Disk), m.Template)
			}
			return w.Flush()
		},
	}
	cmd.Flags().BoolVar(&json, "json", false, "print one JSON object")
	return cmd
}

func newMachineShowCommand() *cobra.Command {
	var json bool
	cmd := &cobra.Command{
		Use:               "show MACHINE",
		Short:             "Show what a machine is, and what it was made from",
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: completeMachines,
		RunE: func(cmd *cobra.Command, args []string) error {
			h, _, err := machines()
			if err != nil {
				return err
			}
			r, err := h.Open(args[0])
			if err != nil {
				return err
			}
			m := toMachineJSON(h, r)
			if json {
				return printJSON(cmd, m)
			}
			w := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 0, 2, ' ', 0)
			state := "off"
			if m.Running {
				state = fmt.Sprintf("runs as process %d; ssh to port %d of 127.0.0.1", m.PID, m.SSH)
			}
			for _, l := range [][2]string{
				{"name", m.Name}, {"state", state}, {"template", m.Template}, {"version", m.Version}, {"image", m.Image}, {"memory", template.SizeText(m.Memory)}, {"cpus", fmt.Sprint(m.CPUs)}, {"disk", template.SizeText(m.Disk)}, {"seed", or(string(m.Seed), string(template.ISO))},
				{"mac", m.MAC}, {"uuid", m.UUID}, {"instance", m.Instance}, {"made", m.Made.Format(time.RFC3339)}, {"directory", m.Dir},
			} {
				fmt.Fprintf(w, "%s\t%s\n", l[0], l[1])
			}
			return w.Flush()
		},
	}
	cmd.Flags().BoolVar(&json, "json", false, "print one JSON object")
	return cmd
}

func newMachineStartCommand() *cobra.Command {
	var accel string
	cmd := &cobra.Command{
		Use:               "start MACHINE",
		Short:             "Start a machine, which runs on when ingot has ended",
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: completeMachines,
		RunE: func(cmd *cobra.Command, args []string) error {
			h, cacheDir, err := machines()
			if err != nil {
				return err
			}
			_, err = startMachine(cmd, h, args[0], accel, cacheDir)
			return err
		},
	}
	cmd.Flags().StringVar(&accel, "accel", "", "how to run its code: kvm or tcg (default what is found to work)")
	_ = cmd.RegisterFlagCompletionFunc("accel", cobra.FixedCompletions([]string{"kvm", "tcg"}, cobra.ShellCompDirectiveNoFileComp)) // fails for no such flag only
	return cmd
}

func newMachineStopCommand() *cobra.Command {
	var force bool
	var timeout time.Duration
	cmd := &cobra.Command{
		Use:   "stop MACHINE",
		Short: "Have a machine switch itself off, and wait until it has",
		Long: `stop presses a machine's power button and waits until it has switched itself off;
with --force it is switched off at once, as by a power cut. If it hasn't in time the
exit code is 8. A machine that does not run is no error.`,
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: completeMachines,
		RunE: func(cmd *cobra.Command, args []string) error {
			h, _, err := machines()
			if err != nil {
				return err
			}
			return h.Stop(cmd.Context(), args[0], force, timeout)
		},
	}
	cmd.Flags().BoolVar(&force, "force", false, "switch it off at once")
	cmd.Flags().DurationVar(&timeout, "timeout", 2*time.Minute, "how long to wait")
	return cmd
}

func newMachineRemoveCommand() *cobra.Command {
	var force bool
	cmd := &cobra.Command{
		Use:               "rm MACHINE...",
		Short:             "Remove machines with their disks",
		Args:              cobra.MinimumNArgs(1),
		ValidArgsFunction: completeMachines,
		RunE: func(cmd *cobra.Command, args []string) error {
			h, _, err := machines()
			if err != nil {
				return err
			}
			for _, name := range args {
				if force {
					if err := h.Stop(cmd.Context(), name, true, 30*time.Second); err != nil && fault.CodeOf(err) != fault.NotFound {
						return err
					}
				}
				if err := h.Remove(name); err != nil {
					return err
				}
			}
			return nil
		},
	}
	cmd.Flags().BoolVar(&force, "force", false, "switch off those that run")
	return cmd
}

// outdatedJSON is the object that "machine outdated --json" prints.
type outdatedJSON struct {
	Schema   int               `json:"schema"` // 1
	Outdated []outdatedMachine `json:"outdated"`
}

type outdatedMachine struct {
	Name string `json:"name"`
	Why  string `json:"why"`
}

func newMachineOutdatedCommand() *cobra.Command {
	var json bool
	cmd := &cobra.Command{
		Use:   "outdated",
		Short: "List machines that their templates would make otherwise now",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			h, _, err := machines()
			if err != nil {
				return err
			}
			list, err := h.List()
			if err != nil {
				return err
			}
			out := outdatedJSON{Schema: 1, Outdated: []outdatedMachine{}}
			for _, r := range list {
				why := r.Outdated(func(path string) (string, error) {
					// Of a template that was sent here there is the text alone.
					now, err := definition.DigestOf(path)
					return now.String(), err
				})
				if why != "" {
					out.Outdated = append(out.Outdated, outdatedMachine{r.Name, why})
				}
			}
			if json {
				return printJSON(cmd, out)
			}
			w := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 0, 2, ' ', 0)
			for _, m := range out.Outdated {
				fmt.Fprintf(w, "%s\t%s\n", m.Name, m.Why)
			}
			return w.Flush()
		},
	}
	cmd.Flags().BoolVar(&json, "json", false, "print one JSON object")
	return cmd
}

func newMachineConsoleCommand() *cobra.Command {
	var said bool
	cmd := &cobra.Command{
		Use:   "console MACHINE",
		Short: "Join a machine's serial console with the terminal",
		Long: `console joins the terminal with a running machine's serial console; Ctrl-A x ends
it, and the machine runs on. --log prints what it has said since it was first
started.`,
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: completeMachines,
		RunE: func(cmd *cobra.Command, args []string) error {
			h, _, err := machines()
			if err != nil {
				return err
			}
			if said {
				if _, err := h.Open(args[0]); err != nil {
					return err
				}
				f, err := os.Open(h.Log(args[0]))
				if errors.Is(err, os.ErrNotExist) {
					return nil // it was never started
				}
				if err != nil {
					return err
				}
				defer f.Close()
				_, err = io.Copy(cmd.OutOrStdout(), f)
				return err
			}
			conn, err := h.Console(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			defer conn.Close()
			_, restore, err := rawTerminal(cmd)
			if err != nil {
				return err
			}
			defer restore()
			return vm.Join(cmd.Context(), conn, cmd.InOrStdin(), cmd.OutOrStdout())
		},
	}
	cmd.Flags().BoolVar(&said, "log", false, "print what the console said, and end")
	return anywhereJoined(cmd, func() bool { return !said })
}
