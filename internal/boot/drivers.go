package boot

import (
	"path"
	"slices"
	"strings"
)

// ModuleLists are where a kernel says which drivers it has: built in, and as
// modules (depmod(8), modules.builtin of kbuild's documentation).
func (k Kernel) ModuleLists() []string {
	dir := "usr/lib/modules/" + k.Version + "/"
	return []string{dir + "modules.builtin", dir + "modules.dep"}
}

// Lacking are those of some drivers that the text of a kernel's lists does not
// name. Drivers go by their modules' names, in which - and _ are the same.
func Lacking(drivers []string, lists ...string) []string {
	has := map[string]bool{}
	for _, list := range lists {
		for line := range strings.Lines(list) {
			file, _, _ := strings.Cut(strings.TrimSpace(line), ":")
			name, _, _ := strings.Cut(path.Base(file), ".ko")
			has[plainDriver(name)] = true
		}
	}
	return slices.DeleteFunc(slices.Clone(drivers), func(d string) bool { return has[plainDriver(d)] })
}

func plainDriver(name string) string { return strings.ReplaceAll(name, "-", "_") }
