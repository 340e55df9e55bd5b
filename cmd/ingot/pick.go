package main

import (
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"ingot/internal/definition"
	"ingot/internal/fault"
)

// variantFlags choose among the flavors of a definition.
type variantFlags struct {
	flavors []string
	all     bool
}

func (f *variantFlags) add(cmd *cobra.Command) {
	cmd.Flags().StringArrayVar(&f.flavors, "flavor", nil, "of the `flavor` that this asks for, such as \"vmware is: x86_64\", instead of the definition's own; may be repeated")
	_ = cmd.RegisterFlagCompletionFunc("flavor", completeFlavor) // fails for no such flag only
}

// completeFlavor are the flavors of the definition that the arguments name.
func completeFlavor(_ *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	var out []string
	// The definition is the last argument, or the one here.
	def, _, err := load(args[max(0, len(args)-1):])
	if err != nil {
		def, _, err = load(nil)
	}
	if err == nil {
		for _, v := range def.Variants() {
			if label := v.FlavorLabel(); label != "" && !slices.Contains(out, label) {
				out = append(out, label)
			}
		}
	}
	return out, cobra.ShellCompDirectiveNoFileComp
}

func (f *variantFlags) addAll(cmd *cobra.Command) {
	f.add(cmd)
	cmd.Flags().BoolVar(&f.all, "all-flavors", false, "of all flavors, in one plan")
}

// load reads the definition that the arguments name, as load does, and chooses among its
// flavors. Behind the name of a file, a directory or of the definition here may stand a
// flavor: "web[xen is: x86_64]".
func (f *variantFlags) load(args []string) (def *definition.Definition, lockPath string, variants []*definition.Definition, err error) {
	name := ""
	asked := slices.Clone(f.flavors)
	if len(args) > 0 {
		before, flavor, ok := strings.Cut(strings.TrimSuffix(args[0], "]"), "[")
		if _, err := os.Stat(args[0]); ok && err != nil && strings.HasSuffix(args[0], "]") {
			asked = append(asked, flavor)
			if _, err := os.Stat(before); before == "" || err != nil {
				args, name = args[1:], before
			} else {
				args = append([]string{before}, args[1:]...)
			}
		}
	}
	if def, lockPath, err = load(args); err != nil {
		return nil, "", nil, err
	}
	if name != "" && name != def.Name {
		return nil, "", nil, fault.Newf(fault.NotFound, "there is no definition %s here", name).WithHint("the one here is %s", def.Name)
	}
	variants, err = f.pick(def, asked)
	return def, lockPath, variants, err
}

// pick are the variants that were asked for; nil is the definition's own flavor.
func (f *variantFlags) pick(def *definition.Definition, asked []string) ([]*definition.Definition, error) {
	if f.all {
		if len(asked) > 0 {
			return nil, fault.Newf(fault.Usage, "--all-flavors and a flavor are two wishes").WithHint("choose one")
		}
		return def.Variants(), nil
	}
	var out []*definition.Definition
	for _, a := range asked {
		some, err := def.Pick(a)
		if err != nil {
			return nil, err
		}
		for _, v := range some {
			if !slices.Contains(out, v) {
				out = append(out, v)
			}
		}
	}
	return out, nil
}

// chosen are variants that were picked, or those of the definition's own flavor.
func chosen(def *definition.Definition, variants []*definition.Definition) []*definition.Definition {
	if variants != nil {
		return variants
	}
	return slices.DeleteFunc(def.Variants(), func(v *definition.Definition) bool { return v.FlavorName != "" })
}
