package plan

import (
	"syscall"
	"testing"

	"ingot/internal/definition"
	"ingot/internal/fault"
	"ingot/internal/sandbox"
)

func TestScriptError(t *testing.T) {
	for _, row := range []struct {
		exit sandbox.ExitError
		out  string
		want string
	}{
		{sandbox.ExitError{Code: 3}, "", `script "setup" exited with code 3 and said nothing`},
		{sandbox.ExitError{Code: 3}, "\n \n", `script "setup" exited with code 3 and said nothing`},
		{sandbox.ExitError{Code: 3}, "one\n\n  two\n", "script \"setup\" exited with code 3; it said:\n    one\n    \n      two"},
		{sandbox.ExitError{Code: -1, Signal: syscall.SIGSEGV}, "", `script "setup" was ended by signal 11 (segmentation fault) and said nothing`},
	} {
		err := scriptError(definition.Script{Name: "setup"}, &row.exit, []byte(row.out))
		if err.Error() != row.want || fault.CodeOf(err) != fault.Failed || fault.HintOf(err) == "" {
			t.Errorf("%q: got %q, want %q", row.out, err, row.want)
		}
	}
}
