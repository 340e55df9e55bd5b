package main

import (
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"ingot/internal/definition"
	"ingot/internal/fault"
)

// isDefinition tells a definition from an artifact: a directory, or YAML.
func isDefinition(path string) bool {
	info, err := os.Stat(path)
	if err != nil && strings.HasSuffix(path, "]") {
		return true // of a flavor
	}
	return err == nil && info.IsDir() || strings.HasSuffix(path, ".yaml") || strings.HasSuffix(path, ".yml")
}

// buildToBoot builds the first output of a definition that boots by itself, into
// "out" beside the definition, and gives its path and those of its further disks.
func buildToBoot(cmd *cobra.Command, path string, flavor variantFlags) (disk string, drives []string, err error) {
	whole, _, variants, err := flavor.load([]string{path})
	if err != nil {
		return "", nil, err
	}
	variants = chosen(whole, variants)
	at := slices.IndexFunc(variants, func(v *definition.Definition) bool { return slices.Contains(v.Arch, hostArch()) })
	if at < 0 {
		return "", nil, fault.Newf(fault.Usage, "%s is not for this machine's architecture, %s", path, hostArch())
	}
	def := variants[at]
	format := ""
	for _, o := range def.Outputs {
		if o.Starts() && format == "" {
			format = o.Format
		}
	}
	if format == "" {
		return "", nil, fault.Newf(fault.Usage, "%s has no output that a machine starts from", path).WithHint("add one: outputs: [qcow2]")
	}
	f := buildFlags{flavor: flavor}
	f.to = filepath.Join(def.Dir, "out")
	f.wish.Formats = []string{format}
	f.wish.Arch = []string{hostArch()}
	result, err := f.build(cmd, []string{path})
	if err != nil {
		return "", nil, err
	}
	a := result.Artifacts[0]
	return a.Path, a.Drives, nil
}
