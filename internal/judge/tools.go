package judge

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// Tools runs the judges' programs where ingot runs those of a definition's tools
// tree: for rooms that are tested without one.
type Tools struct{ T testing.TB }

// ReadFile reads a file of the judges, by the path that it has in its package.
func (h Tools) ReadFile(path string) ([]byte, error) { return os.ReadFile(File(h.T, path)) }

// Run runs a program in an empty directory that holds the inputs, and gives the
// files that it left under the names of outputs.
func (h Tools) Run(ctx context.Context, argv []string, stdin []byte, inputs map[string][]byte, outputs []string) (map[string][]byte, error) {
	dir := h.T.TempDir()
	for name, data := range inputs {
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o600); err != nil {
			return nil, err
		}
	}
	var args []string
	for _, a := range argv[1:] {
		// --directory=/usr/lib/grub/i386-pc
		if flag, path, ok := strings.Cut(a, "=/"); ok {
			if in, ok := inTree("/" + path); ok {
				a = flag + "=" + in
			}
		}
		args = append(args, a)
	}
	cmd := exec.CommandContext(ctx, Path(h.T, argv[0]), args...)
	cmd.Dir, cmd.Stdin = dir, bytes.NewReader(stdin)
	if out, err := cmd.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("%w: %s", err, out)
	}
	got := map[string][]byte{}
	for _, name := range outputs {
		b, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			return nil, err
		}
		got[name] = b
	}
	return got, nil
}
