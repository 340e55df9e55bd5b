package definition

import (
	"bytes"
	"flag"
	"os"
	"testing"

	"github.com/google/go-cmp/cmp"
)

//go:generate go test -run "^(TestSchemaIsShipped|TestReferenceIsShipped)$" -update .

var updating = flag.Bool("update", false, "write golden and generated files anew instead of comparing with them")

// held compares a shipped file with what it is made from.
func held(t *testing.T, path string, want []byte) {
	t.Helper()
	if *updating {
		if err := os.WriteFile(path, want, 0o644); err != nil { //nolint:gosec // a file of the repository
			t.Fatal(err)
		}
		return
	}
	got, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%s is not what the types make; run go generate ./internal/definition\n-shipped +made:\n%s", path, cmp.Diff(string(got), string(want)))
	}
}
