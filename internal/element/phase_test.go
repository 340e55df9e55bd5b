package element

import (
	"io/fs"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"ingot/internal/judge"
)

func listed(mode fs.FileMode, names ...string) []Listed {
	var out []Listed
	for _, n := range names {
		out = append(out, Listed{n, mode})
	}
	return out
}

func TestOrder(t *testing.T) {
	want := strings.Fields("aa-f 2-e 05-g 010-d 10-01-c 10-b 99-a 100-late")
	given := slices.Clone(want)
	slices.Sort(given)
	if got, _ := Scripts(listed(0o755, given...)); !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	want = []string{"10-x.bash", "100-y", "9-x"}
	if got, _ := Snippets(listed(0o644, "9-x", "100-y", "10-x.bash")); !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestRunPartsRegex(t *testing.T) {
	got, _, err := ScriptsMatching(listed(0o755, "10-a", "10-a.sh", "b"), `\.sh$`)
	if err != nil || !slices.Equal(got, []string{"10-a.sh"}) {
		t.Errorf("%q, %v", got, err)
	}
	if _, _, err := ScriptsMatching(nil, "("); err == nil {
		t.Error("a pattern that is none")
	}
}

// The order is judged by the program that diskimage-builder asks for it.
func FuzzOrder(f *testing.F) {
	f.Add("aa-f 2-e 05-g 010-d 10-01-c 10-b 99-a 100-late")
	f.Add("-5-x -05-x -x - -- 0-x 00-x -0-x _9 1_ 99999999999999999999 100000000000000000000 -1 -10")
	f.Add("1.5-x 1.10-x 1.05 .5 -.5 -1.5 -1.25 1. 1.x 0.0 -0.0 .")
	f.Fuzz(func(t *testing.T, text string) {
		var names []string
		for _, n := range strings.Fields(text) {
			if snippetName.MatchString(n) && len(n) < 256 && len(names) < 100 {
				names = append(names, n)
			}
		}
		if len(names) == 0 {
			return
		}
		path := judge.Path(t, "sort")
		want := strings.Fields(runSort(t, path, names))
		got, _, err := ScriptsMatching(listed(0o755, names...), ".")
		if err != nil || !slices.Equal(got, want) {
			t.Errorf("got %q, %v, sort says %q", got, err, want)
		}
	})
}

func runSort(t testing.TB, path string, names []string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), path, "-n")
	cmd.Env = []string{"LC_ALL=C"}
	cmd.Stdin = strings.NewReader(strings.Join(names, "\n") + "\n")
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	return string(out)
}
