package main

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"ingot/internal/errand"
	"ingot/internal/fault"
	"ingot/internal/machine"
	"ingot/internal/template"
	"ingot/internal/terminal"
)

func newProvisionCommand() *cobra.Command {
	var values valueFlags
	var m making
	var on onFlag
	var image string
	cmd := &cobra.Command{
		Use:   "provision DEFINITION MACHINE",
		Short: "Make a machine from a template",
		Long: `provision makes a machine from an image that a definition built, as the definition's
template asks: a disk on top of the image, which is shared and never written, and a
seed from which the machine learns who it is: the image's cloud-init, or what the
template's seed names. That takes no longer for a large image, which starts by BIOS.

What the template asks for is said by --set and --values; on a terminal what is
still needed is asked for. --plan prints all that would be done, every file of it,
and does nothing. If a step fails, exactly what was made is removed again.

The machine's inputs lie in it, for its own scripts: /etc/ingot/inputs.json, and
/etc/ingot/inputs for shells.

--on makes it on another host, which ssh reaches as it does for you: by your keys,
your agent and ~/.ssh/config. The host needs nothing of ingot: it is sent this
program, the definition's text and the image, of each what it has not got. Answers,
passwords too, go over the connection and into no argument, variable or log. --plan
then sends the same, and makes no machine.`,
		Example: `  ingot provision . web1 --set memory=1GiB --set "ssh-keys+=$(cat id_ed25519.pub)"
  ingot provision ./ingot.yaml web2 --values web2.yaml --plan
  ingot provision . web3 --start && ingot machine console web3
  ingot provision . web4 --on ssh://root@vm.example.org --start`,
		GroupID: groupMachine,
		Args:    cobra.ExactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			def, err := readTemplate(args[0])
			if err != nil {
				return err
			}
			if !slices.Contains(def.Boot.Firmware, "bios") {
				return fault.Newf(fault.Usage, "%s starts by UEFI alone, and machines start by BIOS in this version", args[0]).WithHint("boot: {firmware: [bios, uefi]} does for both")
			}
			given, err := values.read()
			if err != nil {
				return err
			}
			if err := ask(cmd, def.Template, given); err != nil {
				return err
			}
			answers, err := def.Template.Answer(given)
			if err != nil {
				return err
			}
			r := machine.Request{Name: args[1], Template: def.Template, Answers: answers, Version: def.Digest().String(), Image: image}
			if r.From, err = filepath.Abs(args[0]); err != nil {
				return err
			}
			if r.Image == "" {
				r.Image = filepath.Join(def.Dir, def.Name+"-"+hostArch()+".qcow2")
			}
			if !on.said(cmd) {
				return m.make(cmd, r)
			}
			host, err := errand.ParseHost(on.host)
			if err != nil {
				return err
			}
			e, err := m.errand(cmd, def, r)
			if err != nil {
				return err
			}
			return send(cmd, host, e, func() {})
		},
	}
	values.add(cmd)
	m.add(cmd)
	on.add(cmd)
	cmd.Flags().StringVar(&image, "image", "", "the disk image, qcow2 or raw (default NAME-ARCH.qcow2 beside the definition)")
	return cmd
}

// printSteps prints a plan: every file, with its text.
func printSteps(w io.Writer, steps []machine.Step) error {
	for _, s := range steps {
		line := fmt.Sprintf("%-9s  %s", s.Do, s.Path)
		switch s.Do {
		case "base":
			line += fmt.Sprintf("  (%s, shared)", s.From)
		case "disk":
			line += fmt.Sprintf("  (%s, on top of %s)", template.SizeText(s.Size), s.From)
		}
		if _, err := fmt.Fprintln(w, line); err != nil {
			return err
		}
		for _, f := range s.Files {
			if _, err := fmt.Fprintf(w, "  %s\n    %s\n", f.Name, strings.ReplaceAll(strings.TrimSuffix(f.Text, "\n"), "\n", "\n    ")); err != nil {
				return err
			}
		}
	}
	return nil
}

// ask asks on a terminal for what is needed and was not said. Elsewhere nothing is asked.
func ask(cmd *cobra.Command, t *template.Template, given map[string]any) error {
	in, ok := cmd.InOrStdin().(*os.File)
	if !ok || !terminal.Is(in) {
		return nil
	}
	lines := bufio.NewReader(in)
	for _, i := range t.Inputs {
		if _, said := given[i.Name]; said || i.ReadOnly || i.Compute != "" || i.Default != nil || i.Optional || i.When != "" {
			continue
		}
		for {
			about := i.Wants()
			if i.Description != "" {
				about = i.Description + "; " + about
			}
			cmd.PrintErrf("%s (%s): ", i.Name, about)
			line, err := answerLine(cmd, in, lines, i.Secret())
			if err != nil {
				return fault.Newf(fault.Usage, "%s was not answered: %w", i.Name, err)
			}
			if _, err := i.Parse(line); err != nil {
				cmd.PrintErrf("%v\n", err)
				continue
			}
			given[i.Name] = line
			break
		}
	}
	return nil
}

func answerLine(cmd *cobra.Command, in *os.File, lines *bufio.Reader, secret bool) (string, error) {
	if secret {
		b, err := term.ReadPassword(int(in.Fd()))
		cmd.PrintErrln()
		return string(b), err
	}
	line, err := lines.ReadString('\n')
	return strings.TrimSuffix(line, "\n"), err
}
