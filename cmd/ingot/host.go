package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"ingot/internal/draft"
	"ingot/internal/fault"
	"ingot/internal/host"
	"ingot/internal/thinpool"
)

func newHostCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "host",
		Short: "Look after the bases and layers of this host",
		Long: `A host of bases and layers boots writable layers (Base-1-0+1), each of which is a
snapshot of a read-only base (Base-1-0), in an LVM thin pool, by systemd-boot. An
update is a new base with a new layer, which is tried before it is trusted: where it
does not boot, or is not confirmed, the layer before it comes back by itself. What
is there, tags and boot entries say; what was broken off is seen in them, and
'host repair' ends it.`,
		GroupID: groupHost,
	}
	cmd.AddCommand(
		newHostInitCommand(), newHostStatusCommand(), newHostAddCommand(), newHostDeriveCommand(), newHostUpdateCommand(), newHostRollbackCommand(),
		newHostHealthCommand(), newHostConfirmCommand(), newHostPinCommand(true), newHostPinCommand(false), newHostRemoveCommand(), newHostGCCommand(),
		newHostKargsCommand(), newHostResetCommand(), newHostEtcCommand(), newHostDiffCommand(), newHostCheckCommand(), newHostRepairCommand(),
	)
	return cmd
}

// hostLock is held by who changes the host.
const hostLock = "/run/ingot/host.lock"

// lockHost lets one ingot at a time change the host.
func lockHost() (release func(), err error) {
	if os.Geteuid() != 0 {
		return nil, fault.Newf(fault.Preflight, "only root can change the host").WithHint("run it with sudo")
	}
	if err := os.MkdirAll(filepath.Dir(hostLock), 0o755); err != nil {
		return nil, fmt.Errorf("cannot lock the host: %w", err)
	}
	f, err := os.OpenFile(hostLock, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("cannot lock the host: %w", err)
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		f.Close()
		if errors.Is(err, unix.EWOULDBLOCK) {
			return nil, fault.Newf(fault.Busy, "another ingot changes this host").WithHint("try again when it is done")
		}
		return nil, fmt.Errorf("cannot lock the host: %w", err)
	}
	return func() { f.Close() }, nil
}

// thisHost is the host that ingot runs on.
func thisHost(ctx context.Context) (host.Host, host.State, error) {
	h, _, s, err := changedHost(ctx, false)
	return h, s, err
}

// readHost is thisHost for who wants to know what is wrong: kernels are read whole.
func readHost(ctx context.Context) (host.Host, host.State, error) {
	h, _, s, err := changedHost(ctx, true)
	return h, s, err
}

// changedHost is the host that ingot runs on, and what is filled and carried over there.
func changedHost(ctx context.Context, deep bool) (host.Host, *hostContents, host.State, error) {
	if os.Geteuid() != 0 {
		return host.Host{}, nil, host.State{}, fault.Newf(fault.Preflight, "only root can ask LVM").WithHint("run it with sudo")
	}
	store, err := thinpool.Open(ctx)
	if err != nil {
		return host.Host{}, nil, host.State{}, err
	}
	h, c, err := wholeHost(store, deep)
	if err != nil {
		return h, c, host.State{}, err
	}
	s, err := h.Observe(ctx)
	return h, c, s, err
}

// changedJSON is what verbs that change the host print with --json.
type changedJSON struct {
	Schema int         `json:"schema"` // 1
	DryRun bool        `json:"dry_run,omitempty"`
	Name   host.Name   `json:"name,omitzero"` // what was made
	Steps  []host.Step `json:"steps"`
}

// changeFlags are those of verbs that change the host.
type changeFlags struct {
	dryRun, json bool
	deep         bool // kernels are read whole
}

func (f *changeFlags) add(cmd *cobra.Command) {
	cmd.Flags().BoolVar(&f.dryRun, "dry-run", false, "say what would be done, and do nothing")
	cmd.Flags().BoolVar(&f.json, "json", false, "print one JSON object")
}

// change observes the host, asks for steps, and does them.
func (f *changeFlags) change(cmd *cobra.Command, ask func(host.State) ([]host.Step, error)) error {
	return f.changeNamed(cmd, &host.Name{}, ask)
}

// changeNamed is change by what makes or chooses a layer.
func (f *changeFlags) changeNamed(cmd *cobra.Command, name *host.Name, ask func(host.State) ([]host.Step, error)) error {
	release, err := lockHost()
	if err != nil {
		return err
	}
	defer release()
	h, contents, s, err := changedHost(cmd.Context(), f.deep)
	if err != nil {
		return err
	}
	steps, err := ask(s)
	if err != nil {
		return err
	}
	if err := f.do(cmd, h, s, *name, steps); err != nil {
		return err
	}
	return f.tell(cmd, contents.report)
}

// do does steps and says them.
func (f *changeFlags) do(cmd *cobra.Command, h host.Host, s host.State, name host.Name, steps []host.Step) error {
	if steps == nil {
		steps = []host.Step{}
	}
	progress, err := newProgress(cmd)
	if err != nil {
		return err
	}
	defer progress.Close()
	if store, ok := h.Store.(*thinpool.Store); ok {
		if c, ok := store.Contents.(*hostContents); ok {
			c.progress = progress
		}
	}
	if f.dryRun {
		err = s.Prove(steps)
	} else {
		err = h.Do(cmd.Context(), s, steps, func(step host.Step) { progress.Notef("%s", step) })
	}
	progress.Close()
	if err != nil {
		return draft.Explain(err, "")
	}
	if f.json {
		return printJSON(cmd, changedJSON{1, f.dryRun, name, steps})
	}
	if f.dryRun {
		for _, step := range steps {
			if _, err := fmt.Fprintln(cmd.OutOrStdout(), step); err != nil {
				return err
			}
		}
	}
	return nil
}

func newHostPinCommand(on bool) *cobra.Command {
	var f changeFlags
	cmd := &cobra.Command{
		Use:   "pin NAME",
		Short: "Keep a base or layer from being removed",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			n, err := host.ParseName(args[0])
			if err != nil {
				return err
			}
			return f.change(cmd, func(s host.State) ([]host.Step, error) { return s.Pin(n, on) })
		},
	}
	if !on {
		cmd.Use, cmd.Short = "unpin NAME", "Let a base or layer be removed again"
	}
	f.add(cmd)
	return cmd
}

func newHostRemoveCommand() *cobra.Command {
	var f changeFlags
	cmd := &cobra.Command{
		Use:   "remove NAME",
		Short: "Remove a layer, or a base with its layers",
		Long: `remove removes a layer, or a base with all its layers, with their boot entries and
kernels. What runs stays, and so does what boots next, what is pinned, and the last
layer that was confirmed. Broken off, 'host repair' removes the rest.`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			n, err := host.ParseName(args[0])
			if err != nil {
				return err
			}
			return f.change(cmd, func(s host.State) ([]host.Step, error) { return s.Remove(n) })
		},
	}
	f.add(cmd)
	return cmd
}

func newHostRepairCommand() *cobra.Command {
	f := changeFlags{deep: true}
	cmd := &cobra.Command{
		Use:   "repair",
		Short: "End what was broken off",
		Long: `repair removes volumes that are not whole and those whose removal was broken off,
seals bases that can be written to, copies kernels that are missing or not whole,
and removes boot entries of layers that are not there. It removes nothing that is
whole, and comes to nothing more to do when it is run again.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return f.change(cmd, func(s host.State) ([]host.Step, error) { return s.Repair(), nil })
		},
	}
	f.add(cmd)
	return cmd
}
