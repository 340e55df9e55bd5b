package main

import (
	"fmt"
	"path/filepath"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"ingot/internal/definition"
	"ingot/internal/fault"
	"ingot/internal/imagestore"
	"ingot/internal/template"
)

func newTemplateCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "template",
		Short: "Image stores: images that machines are made from",
		Long: `An image store is a directory with one directory for each image, as ConVirt has it:
vm_conf.template and image.conf say what a machine is like, in Python's syntax, and
description.htm tells a person. No Python is run: the files are evaluated, bounded
and without a look at this machine, and what they say becomes typed inputs.

The store is what --store names, else the variable INGOT_IMAGE_STORE, else
image-store in $INGOT_HOME.`,
		GroupID: groupMachine,
	}
	cmd.AddCommand(newTemplateListCommand(), newTemplateShowCommand(), newTemplateCheckCommand(), newTemplateFillCommand(),
		newTemplateCreateCommand(), newTemplateExportCommand(), newTemplateImportCommand())
	return cmd
}

// templateFlags are those of all verbs about image stores.
type templateFlags struct {
	store string
	json  bool
}

func (f *templateFlags) add(cmd *cobra.Command) {
	cmd.Flags().StringVar(&f.store, "store", "", "the image store's `directory` (default $INGOT_IMAGE_STORE)")
	_ = cmd.MarkFlagDirname("store") // fails for no such flag only
}

func (f *templateFlags) addJSON(cmd *cobra.Command) {
	f.add(cmd)
	cmd.Flags().BoolVar(&f.json, "json", false, "print one JSON object")
}

func (f *templateFlags) open() (*imagestore.Store, error) {
	dir := or(f.store, environ("INGOT_IMAGE_STORE"))
	if dir == "" {
		home, _, err := dirs()
		if err != nil {
			return nil, err
		}
		dir = filepath.Join(home, "image-store")
	}
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, err
	}
	return imagestore.Open(dir)
}

// complete gives the store's images to shells, for the first of a verb's arguments.
func (f *templateFlags) complete(_ *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	if s, err := f.open(); err == nil && len(args) == 0 {
		if names, err := s.Names(); err == nil {
			return names, cobra.ShellCompDirectiveNoFileComp
		}
	}
	return nil, cobra.ShellCompDirectiveNoFileComp
}

// templatesJSON is the object that "template list --json" prints.
type templatesJSON struct {
	Schema  int             `json:"schema"` // 1
	Store   string          `json:"store"`
	Default string          `json:"default,omitempty"`
	Images  []storedImageJS `json:"images"`
}

type storedImageJS struct {
	Name        string `json:"name"`
	Platform    string `json:"platform,omitempty"`
	Bucket      string `json:"bucket,omitempty"`
	Skeleton    bool   `json:"skeleton,omitempty"`
	Script      bool   `json:"script,omitempty"`
	Description string `json:"description,omitempty"`
	Problem     string `json:"problem,omitempty"`
}

func newTemplateListCommand() *cobra.Command {
	var f templateFlags
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List the images of an image store",
		Long: `list prints the images of an image store: every directory that image_store.conf does
not exclude. One that cannot be read is listed with what is wrong with it.`,
		Example: `  ingot template list --store /var/cache/convirt/image_store
  ingot template list --json | jq -r '.images[].name'`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			s, err := f.open()
			if err != nil {
				return err
			}
			names, err := s.Names()
			if err != nil {
				return err
			}
			out := templatesJSON{Schema: 1, Store: s.Dir, Default: s.Default, Images: []storedImageJS{}}
			for _, name := range names {
				im, err := s.Image(name)
				if err != nil {
					out.Images = append(out.Images, storedImageJS{Name: name, Problem: err.Error()})
					continue
				}
				out.Images = append(out.Images, storedImageJS{name, im.Platform, im.Bucket, im.Skeleton, im.Script, im.Description, ""})
			}
			if f.json {
				return printJSON(cmd, out)
			}
			w := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 0, 2, ' ', 0)
			for _, im := range out.Images {
				about := short(im.Description, 100)
				if im.Skeleton {
					about = strings.TrimSpace("to be copied, not provisioned. " + about)
				}
				if im.Problem != "" {
					about = "cannot be read: " + im.Problem
				}
				fmt.Fprintf(w, "%s\t%s\t%s\n", short(im.Name, 50), im.Bucket, about)
			}
			return w.Flush()
		},
	}
	f.addJSON(cmd)
	return cmd
}

// short is the beginning of a text.
func short(s string, n int) string {
	if r := []rune(s); len(r) > n {
		return string(r[:n-1]) + "…"
	}
	return s
}

// templateJSON is the object that "template show --json" prints.
type templateJSON struct {
	Schema      int         `json:"schema"` // 1
	Name        string      `json:"name"`
	Platform    string      `json:"platform,omitempty"`
	Bucket      string      `json:"bucket,omitempty"`
	Skeleton    bool        `json:"skeleton,omitempty"`
	Script      bool        `json:"script,omitempty"`
	Description string      `json:"description,omitempty"`
	Inputs      []inputJSON `json:"inputs"`
	Notes       []string    `json:"notes,omitempty"`
}

type inputJSON struct {
	Name        string   `json:"name"`
	Type        string   `json:"type"`
	Items       string   `json:"items,omitempty"`
	Description string   `json:"description,omitempty"`
	Default     any      `json:"default,omitempty"`
	Min         *int64   `json:"min,omitempty"`
	Max         *int64   `json:"max,omitempty"`
	Values      []string `json:"values,omitempty"`
	Pattern     string   `json:"pattern,omitempty"`
	Optional    bool     `json:"optional,omitempty"`
	ReadOnly    bool     `json:"read_only,omitempty"`
	Computed    string   `json:"computed,omitempty"`
	When        string   `json:"when,omitempty"`
	Secret      bool     `json:"secret,omitempty"`
}

func toInputJSON(in template.Input) inputJSON {
	out := inputJSON{
		Name: in.Name, Type: string(in.Kind), Items: string(in.Items), Description: in.Description, Default: in.Default, Min: in.Min, Max: in.Max,
		Values: in.Values, Pattern: in.Pattern, Optional: in.Optional, ReadOnly: in.ReadOnly, Computed: or(in.Compute, in.Source), When: in.When, Secret: in.Secret(),
	}
	if out.Secret && out.Default != nil {
		out.Default = in.Show(out.Default)
	}
	return out
}

func newTemplateShowCommand() *cobra.Command {
	var f templateFlags
	cmd := &cobra.Command{
		Use:   "show IMAGE|DEFINITION",
		Short: "Show what an image asks for",
		Long: `show prints an image's description and its inputs: what each takes, what it is where
nothing is said, and which may not be changed. A definition is named by a path with
a slash or .yaml in it: ./ingot.yaml, or its directory.`,
		Example: `  ingot template show web
  ingot template show ./ingot.yaml
  ingot template show --json web | jq '.inputs[] | select(.read_only | not) | .name'`,
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: f.complete,
		RunE: func(cmd *cobra.Command, args []string) error {
			if namesDefinition(args[0]) {
				return showDefinition(cmd, args[0], f.json)
			}
			s, err := f.open()
			if err != nil {
				return err
			}
			im, err := s.Image(args[0])
			if err != nil {
				return err
			}
			t := im.Template()
			if f.json {
				out := templateJSON{1, im.Name, im.Platform, im.Bucket, im.Skeleton, im.Script, im.Description, []inputJSON{}, im.Notes}
				for _, in := range t.Inputs {
					out.Inputs = append(out.Inputs, toInputJSON(in))
				}
				return printJSON(cmd, out)
			}
			fmt.Fprintf(cmd.OutOrStdout(), "%s (%s)\n", im.Name, im.Bucket)
			if im.Description != "" {
				fmt.Fprintf(cmd.OutOrStdout(), "%s\n", im.Description)
			}
			fmt.Fprintln(cmd.OutOrStdout())
			if err := printForm(cmd, t); err != nil {
				return err
			}
			for _, n := range im.Notes {
				cmd.PrintErrf("ingot: warning: %s\n", n)
			}
			return nil
		},
	}
	f.addJSON(cmd)
	return cmd
}

// namesDefinition says whether a word names a definition, and not an image of a store.
func namesDefinition(word string) bool {
	return word == "." || strings.ContainsRune(word, '/') || strings.HasSuffix(word, ".yaml")
}

// readTemplate reads a definition and gives what its template asks for.
func readTemplate(path string) (*definition.Definition, error) {
	def, err := definition.Load(path, loadOptions())
	if err != nil {
		return nil, err
	}
	if def.Template == nil {
		return nil, fault.Newf(fault.NotFound, "%s has no template", path).WithHint("write, for one: template: {inputs: {memory: {type: size, default: 1GiB}}}")
	}
	return def, nil
}

func showDefinition(cmd *cobra.Command, path string, json bool) error {
	def, err := readTemplate(path)
	if err != nil {
		return err
	}
	if json {
		out := templateJSON{Schema: 1, Name: def.Name, Description: def.Template.Description, Inputs: []inputJSON{}}
		for _, in := range def.Template.Inputs {
			out.Inputs = append(out.Inputs, toInputJSON(in))
		}
		return printJSON(cmd, out)
	}
	fmt.Fprintf(cmd.OutOrStdout(), "%s\n", def.Name)
	if def.Template.Description != "" {
		fmt.Fprintf(cmd.OutOrStdout(), "%s\n", def.Template.Description)
	}
	fmt.Fprintln(cmd.OutOrStdout())
	return printForm(cmd, def.Template)
}

// printForm prints a template's inputs as a form that nobody has filled in.
func printForm(cmd *cobra.Command, t *template.Template) error {
	w := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 0, 2, ' ', 0)
	for _, in := range t.Inputs {
		value := fmt.Sprintf("%q", in.Show(in.Default))
		switch {
		case in.Default == nil && in.Optional:
			value = "nothing"
		case in.Default == nil && in.Compute == "":
			value = "needed"
		case in.Kind == template.Integer, in.Kind == template.Boolean, in.Kind == template.Size, in.Kind == template.Number:
			value = in.Show(in.Default)
		}
		about := in.Wants()
		switch {
		case or(in.Compute, in.Source) != "":
			about = "computed: " + or(in.Compute, in.Source)
		case in.ReadOnly:
			about += "; not to be changed"
		}
		if in.When != "" {
			about += "; when " + in.When
		}
		if in.Description != "" {
			about += ". " + in.Description
		}
		fmt.Fprintf(w, "  %s\t%s\t%s\n", in.Name, short(value, 60), about)
	}
	return w.Flush()
}
