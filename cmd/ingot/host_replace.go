package main

import (
	"os"
	"strings"

	"github.com/spf13/cobra"

	"ingot/internal/content"
	"ingot/internal/fault"
	"ingot/internal/host"
)

// replaceFlags are those of verbs that make another layer in the place of what runs.
type replaceFlags struct {
	changeFlags
	apply bool
	tries int
}

func (f *replaceFlags) addAll(cmd *cobra.Command) {
	f.add(cmd)
	cmd.Flags().BoolVar(&f.apply, "apply", false, "restart the host when it is done")
	cmd.Flags().IntVar(&f.tries, "tries", host.DefaultTries, "how many boots it has to be confirmed in")
}

// replace makes a layer of what runs, or of its base, which adjust makes other.
func (f *replaceFlags) replace(cmd *cobra.Command, of func(running host.Name) host.Name, adjust func(content.Roots) error) error {
	release, err := lockHost()
	if err != nil {
		return err
	}
	defer release()
	h, contents, s, err := changedHost(cmd.Context(), false)
	if err != nil {
		return err
	}
	kernel, err := startSize()
	if err != nil {
		return err
	}
	contents.adjust = adjust
	layer, steps, err := s.Replace(of(s.Booted), f.tries, kernel)
	if err != nil {
		return err
	}
	if err := f.do(cmd, h, s, layer, steps); err != nil || !f.apply || f.dryRun {
		return err
	}
	return restartHost(cmd.Context())
}

// argumentsJSON is what host kargs prints with --json where it changes nothing.
type argumentsJSON struct {
	Schema    int      `json:"schema"` // 1
	Arguments []string `json:"arguments"`
}

func newHostKargsCommand() *cobra.Command {
	var f replaceFlags
	var change content.ArgumentChange
	cmd := &cobra.Command{
		Use:   "kargs",
		Short: "Show or change what kernels are started with",
		Long: `kargs shows the arguments of the running layer's kernel, without what says what its
root is. --add and --remove make a layer, a snapshot of the running one, with other
arguments, and have it tried like an update: where it does not come up, the running
layer comes back with the arguments that it has. What is changed on the running
layer itself from then on is not in the new one. Later updates take the arguments
over, as all of /etc.`,
		Example: `  ingot host kargs
  ingot host kargs --add mitigations=off --remove quiet --apply`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return f.arguments(cmd, change) },
	}
	cmd.Flags().StringArrayVar(&change.Add, "add", nil, "start kernels with this `WORD` too; may be repeated")
	cmd.Flags().StringArrayVar(&change.Remove, "remove", nil, "start kernels without this `WORD`; may be repeated")
	f.addAll(cmd)
	return cmd
}

func (f *replaceFlags) arguments(cmd *cobra.Command, change content.ArgumentChange) error {
	root, err := os.OpenRoot("/")
	if err != nil {
		return err
	}
	defer func() { _ = root.Close() }()
	words, err := content.Arguments(root)
	if err != nil {
		return err
	}
	if len(change.Add)+len(change.Remove) == 0 {
		if f.json {
			return printJSON(cmd, argumentsJSON{1, words})
		}
		return say(cmd, strings.Join(words, " "))
	}
	wanted, err := change.Of(words)
	if err != nil {
		return err
	}
	if strings.Join(wanted, " ") == strings.Join(words, " ") {
		if f.json {
			return printJSON(cmd, changedJSON{1, f.dryRun, host.Name{}, []host.Step{}})
		}
		return say(cmd, "kernels are started with that already")
	}
	return f.replace(cmd, func(running host.Name) host.Name { return running }, func(r content.Roots) error {
		return content.SetArguments(r.New, wanted)
	})
}

func newHostResetCommand() *cobra.Command {
	var f replaceFlags
	var yes bool
	cmd := &cobra.Command{
		Use:   "reset",
		Short: "Have a layer boot that is as its image is",
		Long: `reset makes a layer of the running layer's base to which nothing is carried over but
what tells of this machine whatever it is used for: /etc/fstab, /etc/crypttab,
/etc/machine-id and the SSH host keys. It is tried like an update: where it does not
come up, or nobody confirms it, the running layer comes back. Volumes of their own,
as /var, stay as they are. Accounts are the image's alone, so somebody must be able
to log in to that.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if !yes && !f.dryRun {
				return fault.Newf(fault.Choice, "reset leaves /etc and all else of the running layer behind").WithHint("say --yes; \"ingot host rollback\" goes back to it")
			}
			return f.replace(cmd, host.Name.Base, func(r content.Roots) (err error) {
				if r.Host, err = os.OpenRoot("/"); err != nil {
					return err
				}
				defer func() { _ = r.Host.Close() }()
				return content.Reset(r)
			})
		},
	}
	cmd.Flags().BoolVar(&yes, "yes", false, "do it")
	f.addAll(cmd)
	return cmd
}
