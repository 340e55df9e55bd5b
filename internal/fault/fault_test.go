package fault

import (
	"errors"
	"fmt"
	"os/exec"
	"strings"
	"testing"
)

func TestPosition(t *testing.T) {
	at := Position{"ingot.yaml", 12}
	cause := errors.New("boom")
	for _, c := range []struct {
		summary string
		err     error
		want    string
		at      Position
	}{
		{"an error", at.At(cause), "ingot.yaml:12: boom", at},
		{"no error", at.At(nil), "<nil>", Position{}},
		{"nowhere", Position{}.At(cause), "boom", Position{}},
		{"the first one stays", Position{"a.yaml", 1}.At(fmt.Errorf("again: %w", at.At(cause))), "again: ingot.yaml:12: boom", at},
	} {
		t.Run(c.summary, func(t *testing.T) {
			if got := fmt.Sprint(c.err); got != c.want {
				t.Errorf("it is %q, want %q", got, c.want)
			}
			if got := PositionOf(c.err); got != c.at {
				t.Errorf("its position is %v, want %v", got, c.at)
			}
		})
	}
	// Code and hint are those of the cause.
	err := at.At(Newf(Definition, "no").WithHint("do"))
	if CodeOf(err) != Definition || HintOf(err) != "do" {
		t.Errorf("code %d, hint %q", CodeOf(err), HintOf(err))
	}
}

// The shell is the judge.
func TestWord(t *testing.T) {
	sh, err := exec.LookPath("sh")
	if err != nil {
		t.Skip("a system with a shell, the judge, runs this: ", err)
	}
	for _, text := range []string{
		"web-amd64.qcow2", "/srv/out/web.raw", "a b", "it's", `say "x" \ $HOME`, "`id`", "$(id)", "*?[a]", "~root", "#x", "a;b&c|d<e>f", "!x", "é", "tab\there", "line\nbreak", "esc\x1b[1m", "50%\x01", "{a,b}", "",
	} {
		word := Word(text)
		out, err := exec.CommandContext(t.Context(), sh, "-c", "printf %s "+word).Output()
		if err != nil || string(out) != text {
			t.Errorf("%q is written %s, which a shell reads as %q (%v)", text, word, out, err)
		}
		if strings.ContainsAny(word, "\n\t\x1b\x01") {
			t.Errorf("%q is written %q, which is no line to show", text, word)
		}
	}
	for text, want := range map[string]string{"web.qcow2": "web.qcow2", "-x.raw": "./-x.raw", "- x": "'./- x'", "a b": "'a b'"} {
		if got := File(text); got != want {
			t.Errorf("file %q is written %s, want %s", text, got, want)
		}
	}
}
