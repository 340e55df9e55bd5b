package main

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"ingot/internal/fault"
	"ingot/internal/health"
	"ingot/internal/host"
	"ingot/internal/input"
)

func newHostInitCommand() *cobra.Command {
	var f changeFlags
	var from string
	cmd := &cobra.Command{
		Use:   "init NAME",
		Short: "Make the first base and layer of a thin volume",
		Long: `init makes the first base, a snapshot of a thin volume (by default of that which
runs), and a layer of it, which the boot loader tries at the next boot. The volume
and its own boot entries stay as they are.`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error { return initHost(cmd, &f, args[0], from) },
	}
	cmd.Flags().StringVar(&from, "from", "", "the thin volume, `GROUP/VOLUME`")
	f.add(cmd)
	return cmd
}

func newHostDeriveCommand() *cobra.Command {
	var f changeFlags
	var plain bool
	cmd := &cobra.Command{
		Use:   "derive BASE|LAYER",
		Short: "Make a layer of a base or a layer",
		Long: `derive makes a layer: a snapshot of a base, to which what persists of the running
layer is carried over, or of a layer as that is. Nothing boots it, until
'host rollback --to' has it tried.`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			of, err := host.ParseName(args[0])
			if err != nil {
				return err
			}
			var made host.Name
			return f.changeNamed(cmd, &made, func(s host.State) ([]host.Step, error) {
				etc := s.Booted
				if plain || of.Layer > 0 {
					etc = host.Name{}
				}
				name, steps, err := s.Derive(of, etc)
				made = name
				return steps, err
			})
		},
	}
	cmd.Flags().BoolVar(&plain, "plain", false, "carry nothing over")
	f.add(cmd)
	return cmd
}

func newHostRollbackCommand() *cobra.Command {
	var f changeFlags
	var to string
	var apply bool
	cmd := &cobra.Command{
		Use:   "rollback",
		Short: "Have another layer boot",
		Long: `rollback has the boot loader prefer another layer from the next boot on: the newest
that was confirmed besides what runs, or --to. One that was never confirmed is tried
as after an update. It needs no network, and nothing is copied from layer to layer.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			var wanted, made host.Name
			if to != "" {
				var err error
				if wanted, err = host.ParseName(to); err != nil {
					return err
				}
			}
			err := f.changeNamed(cmd, &made, func(s host.State) ([]host.Step, error) {
				name, steps, err := s.Rollback(wanted)
				made = name
				return steps, err
			})
			if err != nil || !apply || f.dryRun {
				return err
			}
			return restartHost(cmd.Context())
		},
	}
	cmd.Flags().StringVar(&to, "to", "", "this layer")
	cmd.Flags().BoolVar(&apply, "apply", false, "restart the host when it is done")
	f.add(cmd)
	return cmd
}

func newHostGCCommand() *cobra.Command {
	var f changeFlags
	var keep int
	cmd := &cobra.Command{
		Use:   "gc",
		Short: "Remove layers and bases that are no longer of use",
		Long: `gc removes all but what runs, what is pinned, what is to be tried or was made and
never booted, and the newest confirmed layers. There is no garbage until what runs
is confirmed and is what boots.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return f.change(cmd, func(s host.State) ([]host.Step, error) { return s.GC(keep) })
		},
	}
	cmd.Flags().IntVar(&keep, "keep", host.DefaultKeep, "confirmed layers to keep, what runs counted")
	f.add(cmd)
	return cmd
}

// healthJSON is what host health prints with --json.
type healthJSON struct {
	Schema  int             `json:"schema"` // 1
	Layer   host.Name       `json:"layer"`
	Verdict host.Verdict    `json:"verdict"`
	Checks  []health.Result `json:"checks"`
	Steps   []host.Step     `json:"steps"`
}

// checkFlags say how checks are run.
type checkFlags struct{ limit time.Duration }

func (f *checkFlags) add(cmd *cobra.Command) {
	cmd.Flags().DurationVar(&f.limit, "timeout", time.Minute, "how long each check may take")
}

// run runs all checks, and says whether those that are required passed.
func (f *checkFlags) run(ctx context.Context) (results []health.Result, passed bool, err error) {
	checks, err := health.Find(health.Dirs)
	if err != nil {
		return nil, false, err
	}
	results, passed = []health.Result{}, true
	for _, c := range checks {
		r := health.Run(ctx, c, f.limit)
		if ctx.Err() != nil {
			return nil, false, ctx.Err()
		}
		passed = passed && (r.Passed || !r.Required)
		results = append(results, r)
	}
	return results, passed, nil
}

// unhealthy is the error of required checks that did not pass.
func unhealthy(layer host.Name, results []health.Result) *fault.Error {
	i := slices.IndexFunc(results, func(r health.Result) bool { return r.Required && !r.Passed })
	return fault.Newf(fault.Health, "%s is not healthy: %s: %s", layer, results[i].Name, results[i].Why)
}

func newHostHealthCommand() *cobra.Command {
	var f changeFlags
	var checks checkFlags
	var reboot bool
	cmd := &cobra.Command{
		Use:   "health",
		Short: "Run the layer's health checks, and say what follows",
		Long: `health runs the checks in /usr/lib/ingot/health.d and /etc/ingot/health.d, those of
required/ and of wanted/, and exits 8 where a required one fails. A layer on trial
is then to be restarted until its tries are used up and another layer runs; one that
was confirmed is restarted once, and then stays up. --reboot restarts the host where
that is the verdict. A service runs it at each boot; nothing restarts for ever.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return f.health(cmd, checks, reboot) },
	}
	checks.add(cmd)
	cmd.Flags().BoolVar(&reboot, "reboot", false, "restart the host, if that is the verdict")
	f.add(cmd)
	return cmd
}

func (f *changeFlags) health(cmd *cobra.Command, checks checkFlags, reboot bool) error {
	ctx := cmd.Context()
	release, err := lockHost()
	if err != nil {
		return err
	}
	defer release()
	h, _, s, err := changedHost(ctx, false)
	if err != nil {
		return err
	}
	if s.Booted.IsZero() {
		return fault.Newf(fault.Preflight, "/ is no layer of this host").WithHint("boot one of its layers first")
	}
	results, passed, err := checks.run(ctx)
	if err != nil {
		return err
	}
	steps, verdict := s.Health(passed)
	out := healthJSON{1, s.Booted, verdict, results, append([]host.Step{}, steps...)}
	quiet := *f
	quiet.json = false
	if err := quiet.do(cmd, h, s, s.Booted, steps); err != nil {
		return err
	}
	if f.json {
		err = printJSON(cmd, out)
	} else {
		for _, r := range results {
			word := map[bool]string{true: "passed", false: "failed: " + r.Why}[r.Passed]
			if err := say(cmd, r.Name+" "+word); err != nil {
				return err
			}
		}
		err = say(cmd, fmt.Sprintf("%s is %s", s.Booted, map[host.Verdict]string{host.Healthy: "healthy", host.Reboot: "to be restarted", host.Degraded: "degraded, and stays up"}[verdict]))
	}
	if err != nil || verdict == host.Healthy {
		return err
	}
	if verdict == host.Reboot && reboot && !f.dryRun {
		if err := restartHost(ctx); err != nil {
			return err
		}
	}
	return unhealthy(s.Booted, results)
}

func newHostConfirmCommand() *cobra.Command {
	var f changeFlags
	var checks checkFlags
	var keep int
	var after time.Duration
	cmd := &cobra.Command{
		Use:   "confirm",
		Short: "Say that the running layer is good",
		Long: `confirm runs the health checks and, where the required ones pass, says that the
running layer is good: its boots are counted no more, and it is what others fall
back to. Images whose layers used up their tries are marked, and garbage is removed
(see 'host gc').`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := upFor(cmd.Context(), after); err != nil {
				return err
			}
			results, passed, err := checks.run(cmd.Context())
			if err != nil {
				return err
			}
			return f.change(cmd, func(s host.State) ([]host.Step, error) {
				if !passed {
					return nil, unhealthy(s.Booted, results).WithHint("'ingot host health' says what follows")
				}
				return s.Confirm(keep)
			})
		},
	}
	checks.add(cmd)
	cmd.Flags().IntVar(&keep, "keep", host.DefaultKeep, "confirmed layers that are no garbage, what runs counted")
	cmd.Flags().DurationVar(&after, "after", 0, "wait until the host is up for so long")
	f.add(cmd)
	return cmd
}

// upFor waits until the host is up for some time.
func upFor(ctx context.Context, least time.Duration) error {
	for {
		data, err := input.Read("/proc/uptime", 256)
		if err != nil {
			return err
		}
		var seconds float64
		if _, err := fmt.Sscan(string(data), &seconds); err != nil {
			return fmt.Errorf("/proc/uptime: %w", err)
		}
		left := least - time.Duration(seconds*float64(time.Second))
		if left <= 0 {
			return nil
		}
		t := time.NewTimer(left)
		select {
		case <-t.C:
		case <-ctx.Done():
			t.Stop()
			return ctx.Err()
		}
	}
}
