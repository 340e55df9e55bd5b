package main

import (
	"fmt"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"ingot/internal/fault"
	"ingot/internal/host"
)

// statusJSON is the object of host status and host check.
type statusJSON struct {
	Schema int `json:"schema"` // 1
	hostJSON
	Problems []host.Problem `json:"problems"`
}

// hostJSON is what of a host's state volumes and the boot partition tell.
type hostJSON struct {
	Booted       host.Name     `json:"booted"`
	Boots        host.Name     `json:"boots"`
	Falls        host.Name     `json:"falls"`
	Volumes      []host.Volume `json:"volumes"`
	Bad          []string      `json:"bad"`
	Pool         host.Room     `json:"pool"`
	PoolMetadata host.Room     `json:"pool_metadata"`
	Loader       bool          `json:"loader"`
	Entries      []host.Entry  `json:"entries"`
	Kernels      []host.Kernel `json:"kernels"`
	Boot         host.Room     `json:"boot"`
	BootDir      string        `json:"boot_dir,omitempty"`
	BootReadOnly bool          `json:"boot_read_only,omitempty"`
}

func statusOf(s host.State) statusJSON {
	boots, _ := s.Boots()
	falls, _ := s.Falls()
	return statusJSON{1, hostJSON{s.Booted, boots, falls, s.Volumes, s.Bad, s.Pool, s.Meta, s.Loader, s.Entries, s.Kernels, s.Boot, s.BootDir, s.BootReadOnly}, s.Check()}
}

func newHostStatusCommand() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "status",
		Short: "Show bases and layers, what runs, and what is wrong",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			_, s, err := thisHost(cmd.Context())
			if err != nil {
				return err
			}
			if asJSON {
				return printJSON(cmd, statusOf(s))
			}
			return printStatus(cmd, s)
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print one JSON object")
	return cmd
}

// printStatus shows a host to people.
func printStatus(cmd *cobra.Command, s host.State) error {
	w := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintln(w, "NAME\tIMAGE\tSIZE\tSTATE")
	boots, _ := s.Boots()
	for _, v := range s.Volumes {
		var words []string
		for _, c := range []struct {
			is   bool
			word string
		}{{v.Name == s.Booted, "running"}, {v.Name == boots, "boots next"}, {s.Good(v.Name), "confirmed"}, {slices.Contains(s.Bad, v.Image), "did not boot"}, {v.Pinned, "pinned"}, {v.Building, "not whole"}, {v.Retired, "being removed"}, {v.Ghost, "not in the pool"}, {v.Restarted, "failed"}} {
			if c.is {
				words = append(words, c.word)
			}
		}
		if i := slices.IndexFunc(s.Entries, func(e host.Entry) bool { return e.Layer == v.Name && e.Counted }); i >= 0 && !s.Good(v.Name) {
			words = append(words, fmt.Sprintf("on trial, %d tries left", s.Entries[i].Left))
		}
		image := v.Image
		if image == "" {
			image = "-"
		}
		_, _ = fmt.Fprintf(w, "%s\t%s\t%d MiB\t%s\n", v.Name, image, v.Size>>20, strings.Join(words, ", "))
	}
	if err := w.Flush(); err != nil {
		return err
	}
	return printProblems(cmd, s.Check())
}

func printProblems(cmd *cobra.Command, problems []host.Problem) error {
	for _, p := range problems {
		text := p.Text
		if p.Hint != "" {
			text += ": " + p.Hint
		}
		if _, err := fmt.Fprintln(cmd.OutOrStdout(), text); err != nil {
			return err
		}
	}
	return nil
}

func newHostCheckCommand() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "check",
		Short: "Say what is wrong with the host's bases and layers",
		Long: `check lists what is wrong, each with the command that mends it, and exits 8 where
there is anything.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			_, s, err := readHost(cmd.Context())
			if err != nil {
				return err
			}
			return checkHost(cmd, s, asJSON)
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print one JSON object")
	return cmd
}

func checkHost(cmd *cobra.Command, s host.State, asJSON bool) error {
	problems := s.Check()
	var err error
	if asJSON {
		err = printJSON(cmd, statusOf(s))
	} else {
		err = printProblems(cmd, problems)
	}
	if err != nil || len(problems) == 0 {
		return err
	}
	return fault.Newf(fault.Health, "problems of this host: %d", len(problems)).WithHint("\"ingot host repair\" mends what was broken off")
}
