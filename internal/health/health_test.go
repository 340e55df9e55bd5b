package health_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"ingot/internal/health"
)

// TestChecks has checks of an image and of its administrator: which are run, and what they
// come to.
func TestChecks(t *testing.T) {
	top := t.TempDir()
	image, admin := filepath.Join(top, "usr"), filepath.Join(top, "etc")
	put := func(dir, name, script string) {
		t.Helper()
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), []byte("#!/bin/sh\n"+script), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	put(image+"/required", "b-fails", "echo no network; exit 3")
	put(image+"/required", "a-well", "exit 0")
	put(image+"/required", "masked", "exit 1")
	put(image+"/wanted", "replaced", "exit 1")
	put(admin+"/wanted", "replaced", "exit 0")
	put(admin+"/required", "hangs", "sleep 1000 & sleep 1000")
	if err := os.Symlink(os.DevNull, admin+"/required/masked"); err != nil {
		t.Fatal(err)
	}
	checks, err := health.Find([]string{image, admin, filepath.Join(top, "none")})
	if err != nil {
		t.Fatal(err)
	}
	var said []string
	for _, c := range checks {
		limit := time.Minute
		if c.Name == "hangs" {
			limit = 50 * time.Millisecond
		}
		r := health.Run(t.Context(), c, limit)
		word := map[bool]string{true: "well", false: r.Why}[r.Passed]
		said = append(said, r.Name+": "+word)
		if r.Required != (r.Name != "replaced") {
			t.Errorf("%+v", r)
		}
	}
	if got, want := strings.Join(said, "\n"), "a-well: well\nb-fails: exit status 3: no network\nhangs: took longer than 50ms\nreplaced: well"; got != want {
		t.Errorf("checks come to\n%s\nand not\n%s", got, want)
	}
}
