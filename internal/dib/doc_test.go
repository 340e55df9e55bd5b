package dib

import (
	"flag"
	"os"
	"slices"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write the lists of the reference")

// The reference has the lists of variables, whole.
func TestReference(t *testing.T) {
	const name = "../../docs/reference/disk-image-create.md"
	data, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	text := string(data)
	for _, list := range []struct {
		marker string
		names  []string
	}{{"variables", documentedVariables}, {"credentials", credentials}, {"secrets", secrets}, {"lending", lending}} {
		names := slices.Clone(list.names)
		slices.Sort(names)
		if d := slices.Compact(slices.Clone(names)); len(d) != len(names) {
			t.Errorf("%s: a name is there twice", list.marker)
		}
		begin, end := "<!-- "+list.marker+" -->", "<!-- end -->"
		_, behind, _ := strings.Cut(text, begin)
		old, _, whole := strings.Cut(behind, end)
		if i := strings.Index(old, "<!--"); i >= 0 || !whole {
			old = ""
		}
		want := "`" + strings.Join(names, "` `") + "`"
		if list.marker != "secrets" && list.marker != "lending" {
			want = "\n" + wrappedAt(want, 160) + "\n"
		}
		if old == want {
			continue
		}
		if !*update {
			t.Errorf("%s: the list of %s is not as in the program; run this test with -update", name, list.marker)
			continue
		}
		after := begin + old + end
		if old == "" {
			after = begin
		}
		text = strings.Replace(text, after, begin+want+end, 1)
	}
	if *update {
		if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

func wrappedAt(text string, most int) string {
	var b strings.Builder
	at := 0
	for _, w := range strings.Fields(text) {
		switch {
		case at == 0:
		case at+1+len(w) > most:
			b.WriteString("\n")
			at = 0
		default:
			b.WriteString(" ")
			at++
		}
		b.WriteString(w)
		at += len(w)
	}
	return b.String()
}
