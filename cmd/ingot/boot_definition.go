package main

import (
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"ingot/internal/fault"
)

// isDefinition tells a definition from an artifact: a directory, or YAML.
func isDefinition(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.IsDir() || strings.HasSuffix(path, ".yaml") || strings.HasSuffix(path, ".yml")
}

// buildToBoot builds the first output of a definition that boots by itself, into
// "out" beside the definition, and gives its path and those of its further disks.
func buildToBoot(cmd *cobra.Command, path string) (disk string, drives []string, err error) {
	def, _, err := load([]string{path})
	if err != nil {
		return "", nil, err
	}
	format := ""
	for _, o := range def.Outputs {
		if o.Starts() && format == "" {
			format = o.Format
		}
	}
	if format == "" {
		return "", nil, fault.Newf(fault.Usage, "%s has no output that a machine starts from", path).WithHint("add one: outputs: [qcow2]")
	}
	var f buildFlags
	f.to = filepath.Join(def.Dir, "out")
	f.wish.Formats = []string{format}
	if !slices.Contains(def.Arch, hostArch()) {
		return "", nil, fault.Newf(fault.Usage, "%s is not for this machine's architecture, %s", path, hostArch())
	}
	f.wish.Arch = []string{hostArch()}
	result, err := f.build(cmd, []string{path})
	if err != nil {
		return "", nil, err
	}
	a := result.Artifacts[0]
	return a.Path, a.Drives, nil
}
