package sandbox

import "testing"

// TestFlushingIsLeftOut has a program flush a file that it does not have, which only a
// call that is not made can do.
func TestFlushingIsLeftOut(t *testing.T) {
	b := boxOf(t)
	out, err := b.Output(t.Context(), Command{Argv: []string{"/prog", "flush"}}, nil)
	if want := "<nil> <nil> bad file descriptor\n"; err != nil || string(out) != want {
		t.Errorf("the program said %q (%v), want %q", out, err, want)
	}
}
