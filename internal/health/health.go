// Package health runs the checks by which a host judges the layer that it has booted.
//
// A check is a program in one of the directories
//
//	/usr/lib/ingot/health.d/{required,wanted}    of the image
//	/etc/ingot/health.d/{required,wanted}        of the administrator
//
// that exits 0 where all is well. The administrator's stands for the image's of the same name;
// a link to /dev/null is no check. Required ones decide; wanted ones are told.
package health

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"
)

// Dirs are where checks lie, the later ones first in authority.
var Dirs = []string{"/usr/lib/ingot/health.d", "/etc/ingot/health.d"}

// A Check is a program.
type Check struct {
	Name     string
	Path     string
	Required bool
}

// A Result is what a check came to.
type Result struct {
	Name     string  `json:"name"`
	Required bool    `json:"required"`
	Passed   bool    `json:"passed"`
	Why      string  `json:"why,omitempty"` // of one that did not pass: how it ended, and its last words
	Seconds  float64 `json:"seconds"`
}

// Find lists the checks, required ones first, by name.
func Find(dirs []string) ([]Check, error) {
	var out []Check
	for _, kind := range []string{"required", "wanted"} {
		found := map[string]Check{}
		for _, dir := range dirs {
			dir = filepath.Join(dir, kind)
			list, err := os.ReadDir(dir)
			if err != nil && !errors.Is(err, fs.ErrNotExist) {
				return nil, fmt.Errorf("health checks: %w", err)
			}
			for _, d := range list {
				path := filepath.Join(dir, d.Name())
				if target, err := filepath.EvalSymlinks(path); err == nil && target == os.DevNull {
					delete(found, d.Name())
					continue
				}
				info, err := os.Stat(path)
				if err != nil {
					return nil, fmt.Errorf("health checks: %w", err)
				}
				if info.Mode().IsRegular() && !strings.HasPrefix(d.Name(), ".") {
					found[d.Name()] = Check{d.Name(), path, kind == "required"}
				}
			}
		}
		for _, name := range slices.Sorted(maps.Keys(found)) {
			out = append(out, found[name])
		}
	}
	return out, nil
}

// maxWords bounds what of a check's output is told, in bytes.
const maxWords = 500

// Run runs a check, and ends it with all that it started when its time is up.
func Run(ctx context.Context, c Check, limit time.Duration) Result {
	timed, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	cmd := exec.CommandContext(timed, c.Path)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = time.Second
	var said tail
	cmd.Stdout, cmd.Stderr = &said, &said
	start := time.Now()
	err := cmd.Run()
	r := Result{Name: c.Name, Required: c.Required, Passed: err == nil, Seconds: time.Since(start).Seconds()}
	switch {
	case err == nil:
	case timed.Err() != nil && ctx.Err() == nil:
		r.Why = fmt.Sprintf("took longer than %v", limit)
	default:
		r.Why = err.Error()
	}
	if words := strings.Join(strings.Fields(said.String()), " "); err != nil && words != "" {
		r.Why += ": " + words
	}
	return r
}

// A tail keeps the end of what is written.
type tail struct{ bytes.Buffer }

func (t *tail) Write(p []byte) (int, error) {
	n := len(p)
	t.Buffer.Write(p[max(0, n-maxWords):])
	if over := t.Len() - maxWords; over > 0 {
		t.Next(over)
	}
	return n, nil
}
