package main

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"ingot/internal/distro/debian/debtest"
	"ingot/internal/fault"
)

// TestPlanWritesNoLock looks at a definition with every verb that only looks.
func TestPlanWritesNoLock(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("INGOT_HOME", filepath.Join(dir, "home"))
	t.Setenv("INGOT_CACHE", filepath.Join(dir, "cache"))
	now := time.Now().Add(-time.Hour)
	a := debtest.NewArchive(t, debtest.NewSigner(t, now))
	a.Offer(t, now, debtest.Deb{Name: "base-files", Version: "12", Arch: hostArch(), Fields: "Essential: yes"})
	write := func(name, text string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	define := func(more string) {
		write("ingot.yaml", fmt.Sprintf("version: 1\nname: web\ndistro: debian\nrelease: test\nstart: essential\noutputs: [tar]\narchives: [{url: %q, key: ./key.asc}]\n%s", a.URL, more))
	}
	ingot := func(args ...string) (stdout, stderr string, code fault.Code) {
		var out, errs bytes.Buffer
		code = fault.Code(run(append(append([]string{"ingot"}, args...), dir), strings.NewReader(""), &out, &errs))
		return out.String(), errs.String(), code
	}
	const said = "ingot.lock is not written; 'ingot lock' or 'ingot build' does"
	path := filepath.Join(dir, "ingot.lock")
	write("key.asc", string(a.Signer.Key))
	define("")
	out, talk, code := ingot("plan")
	if code != fault.Done || !strings.Contains(out, "install") || !strings.Contains(talk, said) {
		t.Errorf("plan without a lock: code %d\n%s%s", code, out, talk)
	}
	if _, err := os.Lstat(path); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("plan wrote a lock: %v", err)
	}
	if _, talk, code := ingot("lock"); code != fault.Done {
		t.Fatalf("lock: code %d\n%s", code, talk)
	}
	first, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if again, talk, _ := ingot("plan"); again != out || strings.Contains(talk, said) {
		t.Errorf("plan of the lock is another than without\n%s%s", again, talk)
	}
	define("hostname: other\n")
	for verb, code := range map[string]fault.Code{"plan": fault.Done, "sbom": fault.Verification, "why /etc": fault.Verification} {
		if _, talk, got := ingot(strings.Fields(verb)...); got != code || verb == "plan" && !strings.Contains(talk, said) {
			t.Errorf("%s of a changed definition: code %d, want %d\n%s", verb, got, code, talk)
		}
		if now, err := os.ReadFile(path); err != nil || !bytes.Equal(now, first) {
			t.Errorf("%s changed the lock, %v", verb, err)
		}
	}
}
