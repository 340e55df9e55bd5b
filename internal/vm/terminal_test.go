package vm

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"
)

func TestTyped(t *testing.T) {
	for _, row := range []struct {
		in, want string
		quit     bool
	}{
		{"ls\r", "ls\r", false},
		{"\x03", "\x03", false},
		{"a\x01xb", "a", true},
		{"a\x01\x01b", "a\x01b", false},
		{"a\x01bx", "abx", false},
		{"\x01", "", false},
	} {
		for name, in := range map[string]io.Reader{
			"at once": strings.NewReader(row.in), "byte by byte": iotest.OneByteReader(strings.NewReader(row.in)),
		} {
			var got bytes.Buffer
			err := typed(in, &got)
			if got.String() != row.want || errors.Is(err, errQuit) != row.quit {
				t.Errorf("%q %s: machine got %q, error %v", row.in, name, got.String(), err)
			}
		}
	}
}
