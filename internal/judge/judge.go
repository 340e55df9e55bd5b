// Package judge runs the outside programs that judge what ingot writes. Only
// tests import it.
//
// The programs come from the tools tree that test.sh puts on the PATH. A plain
// go test skips what they would judge where they are missing; under test.sh,
// which sets INGOT_TEST, a missing judge is a failure.
package judge

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// A Level is how much is tested: INGOT_TEST, which test.sh sets.
type Level string

// The levels.
const (
	Plain Level = ""     // go test: what is quick
	CI    Level = "ci"   // every behaviour once, and a sample where there is much
	Full  Level = "full" // all of it
)

// At is the level of this run.
func At() Level { return Level(os.Getenv("INGOT_TEST")) }

// Needs skips a test that takes minutes, unless the run is of the level or above.
func Needs(t testing.TB, l Level) {
	t.Helper()
	if rank(At()) < rank(l) {
		t.Skipf("takes minutes: INGOT_TEST=%s runs this", l)
	}
}

func rank(l Level) int {
	switch l {
	case Plain:
		return 0
	case Full:
		return 2
	default: // "ci", and whatever else somebody asks for
		return 1
	}
}

// Find is where a program is, also where an ordinary user's PATH does not reach.
func Find(program string) (string, error) {
	path, err := exec.LookPath(program)
	for _, dir := range []string{"/usr/sbin", "/sbin"} {
		if err == nil {
			break
		}
		path, err = exec.LookPath(filepath.Join(dir, program))
	}
	return path, err
}

// Path is [Find]. Without the program the test is skipped, or fails under test.sh.
func Path(t testing.TB, program string) string {
	t.Helper()
	path, err := Find(program)
	if err != nil {
		missing(t, program)
	}
	return path
}

// File is where a file lies that a package of the judges brings, such as a firmware:
// in their tree, which test.sh names in INGOT_JUDGES, else on the host.
func File(t testing.TB, path string) string {
	t.Helper()
	if in, ok := inTree(path); ok {
		return in
	}
	if _, err := os.Stat(path); err != nil {
		missing(t, path)
	}
	return path
}

func inTree(path string) (string, bool) {
	top := os.Getenv("INGOT_JUDGES")
	if top == "" {
		return "", false
	}
	in := filepath.Join(top, path)
	_, err := os.Stat(in)
	return in, err == nil
}

func missing(t testing.TB, what string) {
	t.Helper()
	if At() != Plain {
		t.Fatalf("the judge %s is missing: ./test.sh brings it", what)
	}
	t.Skipf("the judge %s is missing: ./test.sh brings it", what)
}

// Run runs a program that must be content, and gives what it says on standard
// output and standard error, as it comes.
func Run(t testing.TB, program string, args ...string) string {
	t.Helper()
	return run(t, "", program, args)
}

// RunIn is Run in a directory.
func RunIn(t testing.TB, dir, program string, args ...string) string {
	t.Helper()
	return run(t, dir, program, args)
}

func run(t testing.TB, dir, program string, args []string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), Path(t, program), args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "LC_ALL=C.UTF-8", "TZ=UTC")
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", program, strings.Join(args, " "), err, end(string(out)))
	}
	return string(out)
}

// end is the last lines of a long text, which say what went wrong.
func end(text string) string {
	const most = 60
	all := strings.Split(strings.TrimRight(text, "\n"), "\n")
	if cut := len(all) - most; cut > 0 {
		return fmt.Sprintf("(%d lines before these)\n%s", cut, strings.Join(all[cut:], "\n"))
	}
	return text
}
