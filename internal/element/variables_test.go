package element

import (
	"os/exec"
	"testing"

	"go.yaml.in/yaml/v4"

	"ingot/internal/judge"
)

func TestVariables(t *testing.T) {
	dirs := map[string]string{"a-b": "/srv/it's here: # x", "c": "/plain/c", "no": "/x", "1.0": "~/y"}
	s := Set{Elements: []*Element{{Name: "1.0"}, {Name: "a-b"}, {Name: "c"}, {Name: "no"}}}
	dir := func(e *Element) string { return dirs[e.Name] }
	var got map[string]string
	if err := yaml.Unmarshal([]byte(s.YAML(dir)), &got); err != nil || len(got) != 4 {
		t.Fatalf("%v: %s", err, s.YAML(dir))
	}
	for name, at := range dirs {
		if got[name] != at {
			t.Errorf("%s: %q, want %q", name, got[name], at)
		}
		script := `eval declare -A e=($(get)); printf %s "${e[` + name + `]}"`
		if name == "a-b" {
			script = `eval "declare -A e=($(get))"; printf %s "${e[a-b]}"` // unquoted, the shell would cut it at its blanks
		}
		cmd := exec.CommandContext(t.Context(), judge.Path(t, "bash"), "-c", `get() { printf %s "$ARRAY"; }; `+script)
		cmd.Env = []string{"ARRAY=" + s.Array(dir)}
		if name != "a-b" {
			// As diskimage-builder's own scripts read it.
			plain := Set{Elements: []*Element{{Name: name}}}
			cmd.Env = []string{"ARRAY=" + plain.Array(dir)}
		}
		out, err := cmd.Output()
		if err != nil || string(out) != at {
			t.Errorf("%s: %q, %v, want %q", name, out, err, at)
		}
	}
}
