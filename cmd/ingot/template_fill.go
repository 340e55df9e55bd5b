package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"ingot/internal/fault"
	"ingot/internal/imagestore"
	"ingot/internal/input"
	"ingot/internal/pyconf"
	"ingot/internal/template"
)

// valueFlags are those of verbs that fill a template in.
type valueFlags struct {
	set    []string
	values string
}

func (f *valueFlags) add(cmd *cobra.Command) {
	cmd.Flags().StringArrayVar(&f.set, "set", nil, "say an input's value: `NAME=VALUE`; NAME+=VALUE adds to a list")
	cmd.Flags().StringVar(&f.values, "values", "", "a YAML or JSON `file` of inputs' values, which --set overrides")
}

// read is all that was said, of which --set has the last word.
func (f *valueFlags) read() (map[string]any, error) {
	out := map[string]any{}
	if f.values != "" {
		data, err := input.Read(f.values, template.MaxValues+1)
		if err != nil {
			return nil, fault.Wrap(fault.Usage, fmt.Errorf("cannot read the values: %w", err))
		}
		if out, err = template.ReadValues(f.values, data); err != nil {
			return nil, err
		}
	}
	for _, arg := range f.set {
		if err := template.SetValue(out, arg); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// filledJSON is the object that "template fill --json" prints.
type filledJSON struct {
	Schema  int            `json:"schema"` // 1
	Image   string         `json:"image"`
	Machine string         `json:"machine"`
	Conf    map[string]any `json:"image_conf"`
	VM      map[string]any `json:"vm_conf"`
	Files   []string       `json:"files,omitempty"`
}

func newTemplateFillCommand() *cobra.Command {
	var f templateFlags
	var v valueFlags
	var who imagestore.For
	var to string
	cmd := &cobra.Command{
		Use:   "fill IMAGE MACHINE",
		Short: "Say what an image's files come to for one machine",
		Long: `fill evaluates an image's files for a machine and prints both, a key and its value a
line, which Python 2, Python 3 and Starlark read alike. What --set and --values say
stands literally; $NAME in the image's own texts is replaced, as ConVirt does it.
Passwords are printed as stars; --to writes them, to files that only you can read.`,
		Example: `  ingot template fill linux web1 --set memory=512 --set vif='mac=00:16:3e:01:02:03'
  ingot template fill linux web1 --values web1.yaml --to ./web1`,
		Args:              cobra.ExactArgs(2),
		ValidArgsFunction: f.complete,
		RunE: func(cmd *cobra.Command, args []string) error {
			s, err := f.open()
			if err != nil {
				return err
			}
			im, err := s.Image(args[0])
			if err != nil {
				return err
			}
			who.Machine = args[1]
			if who.Set, err = v.read(); err != nil {
				return err
			}
			filled, err := im.Fill(who)
			if err != nil {
				return err
			}
			out := filledJSON{Schema: 1, Image: im.Name, Machine: who.Machine, Conf: asMap(filled.Masked(filled.Image)), VM: asMap(filled.Masked(filled.VM))}
			if to != "" {
				if out.Files, err = writeFilled(to, im.Name+"_"+who.Machine, filled); err != nil {
					return err
				}
			}
			switch {
			case f.json:
				return printJSON(cmd, out)
			case to != "":
				for _, file := range out.Files {
					fmt.Fprintln(cmd.OutOrStdout(), file)
				}
				return nil
			}
			conf, err := pyconf.WriteVars(filled.Masked(filled.Image))
			if err != nil {
				return err
			}
			vm, err := pyconf.WriteVars(filled.Masked(filled.VM))
			if err != nil {
				return err
			}
			_, err = fmt.Fprintf(cmd.OutOrStdout(), "# image.conf\n%s\n# vm_conf\n%s", conf, vm)
			return err
		},
	}
	f.addJSON(cmd)
	v.add(cmd)
	cmd.Flags().StringVar(&to, "to", "", "write the files to this `directory`")
	cmd.Flags().StringVar(&who.Server, "server", "", "the `name` of the server that the machine will run on")
	cmd.Flags().StringVar(&who.Arch, "machine-arch", "", "the server's `architecture`, as uname says it (default x86_64)")
	cmd.Flags().StringVar(&who.Bridge, "bridge", "", "the server's `bridge`")
	_ = cmd.MarkFlagDirname("to") // fails for no such flag only
	return cmd
}

func asMap(vars []pyconf.Var) map[string]any {
	out := map[string]any{}
	for _, v := range vars {
		out[v.Name] = v.Value
	}
	return out
}

// writeFilled writes both files, and overwrites none.
func writeFilled(dir, base string, f *imagestore.Filled) (files []string, err error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, fault.Wrap(fault.Preflight, err)
	}
	defer func() {
		for _, name := range files {
			if err != nil {
				err = errors.Join(err, os.Remove(name))
			}
		}
	}()
	for _, part := range []struct {
		name string
		vars []pyconf.Var
	}{{base + "_image.conf", f.Image}, {base + "_vm.conf", f.VM}} {
		text, err := pyconf.WriteVars(part.vars)
		if err != nil {
			return files, err
		}
		name := filepath.Join(dir, part.name)
		out, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
		if errors.Is(err, os.ErrExist) {
			return files, fault.Newf(fault.Choice, "%s is there already", name).WithHint("remove it, or name another directory")
		}
		if err != nil {
			return files, err
		}
		files = append(files, name)
		_, err = out.WriteString(text)
		if err == nil {
			err = out.Sync()
		}
		if err = errors.Join(err, out.Close()); err != nil {
			return files, err
		}
	}
	return files, nil
}
