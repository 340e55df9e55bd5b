package fault

import (
	"errors"
	"fmt"
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
