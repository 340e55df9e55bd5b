package content

import (
	"os"
	"path"
	"slices"
	"strings"

	"ingot/internal/fault"
	"ingot/internal/input"
)

// cmdlineFile is what kernel-install(8) starts kernels with.
const cmdlineFile = "etc/kernel/cmdline"

// rootWords are of one root or one loader: entries say them of each layer.
var rootWords = []string{"root", "rootflags", "rootfstype", "ro", "rw", "initrd", "BOOT_IMAGE", "rd.lvm.lv", "img.bootid"}

func isRootWord(w string) bool {
	key, _, _ := strings.Cut(w, "=")
	return slices.Contains(rootWords, key)
}

// Arguments are what a layer's kernel is started with, without what says what the root is: those
// of /etc/kernel/cmdline, else of the kernel that runs.
func Arguments(root *os.Root) ([]string, error) {
	line, err := text(root, cmdlineFile)
	if err != nil {
		return nil, err
	}
	if line == "" {
		data, err := input.Read("/proc/cmdline", maxConfig)
		if err != nil {
			return nil, err
		}
		line = string(data)
	}
	return slices.DeleteFunc(strings.Fields(line), isRootWord), nil
}

// An ArgumentChange is words that kernels are to be started with, and words that they are no
// longer.
type ArgumentChange struct{ Add, Remove []string }

// Of is the arguments with the change. What is there already is not added again.
func (c ArgumentChange) Of(words []string) ([]string, error) {
	out := slices.Clone(words)
	for _, w := range c.Remove {
		if !slices.Contains(out, w) {
			return nil, fault.Newf(fault.NotFound, "the kernel is not started with %q", w).WithHint("it is with: %s", strings.Join(words, " "))
		}
		out = slices.DeleteFunc(out, func(o string) bool { return o == w })
	}
	for _, w := range c.Add {
		switch {
		case w == "" || strings.ContainsFunc(w, func(r rune) bool { return r <= ' ' || r == 0x7f }):
			return nil, fault.Newf(fault.Usage, "%q is no argument of a kernel", w).WithHint("one word each")
		case isRootWord(w):
			return nil, fault.Newf(fault.Usage, "%q is each layer's own", w).WithHint("its boot entry says what its root is")
		case !slices.Contains(out[:kernels(out)], w):
			out = slices.Insert(out, kernels(out), w)
		}
	}
	return out, nil
}

// kernels says how many of the words are for the kernel: those behind "--" are for init.
func kernels(words []string) int {
	if i := slices.Index(words, "--"); i >= 0 {
		return i
	}
	return len(words)
}

// SetArguments has a layer's kernels started with these from now on, by ingot and by
// kernel-install(8).
func SetArguments(root *os.Root, words []string) error {
	if err := root.MkdirAll(path.Dir(cmdlineFile), 0o755); err != nil {
		return err
	}
	return root.WriteFile(cmdlineFile, []byte(strings.Join(words, " ")+"\n"), 0o644)
}
