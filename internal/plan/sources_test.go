package plan

import (
	"io"
	"os"
	"path/filepath"
	"runtime"
	"syscall"
	"testing"

	"ingot/internal/cache"
	"ingot/internal/definition"
	"ingot/internal/digest"
	"ingot/internal/fault"
	"ingot/internal/lock"
	"ingot/internal/sandbox"
	"ingot/internal/tree"
)

// sourced is a plan whose definition's directory has one file.
func sourced(t *testing.T, name string, size int64) (*Plan, *staging) {
	t.Helper()
	dir := t.TempDir()
	f, err := os.Create(filepath.Join(dir, name))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteString("start"); err != nil {
		t.Fatal(err)
	}
	if err := f.Truncate(size); err != nil {
		t.Fatal(err)
	}
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		t.Fatal(err)
	}
	d, _, err := digest.Reader(f)
	if err != nil {
		t.Fatal(err)
	}
	c, err := cache.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	pack, err := c.Create("steps/x.pack")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pack.Discard)
	return &Plan{Definition: &definition.Definition{Dir: dir}, Lock: &lock.Lock{Files: []lock.File{{Path: name, SHA256: d}}}}, &staging{pack: pack, kept: true}
}

// TestSourcesPassThrough stages a file that is larger than memory should ever
// have to be.
func TestSourcesPassThrough(t *testing.T) {
	const size = 256 << 20
	p, stage := sourced(t, "big", size)
	before, err := stage.add([]byte("before"))
	if err != nil {
		t.Fatal(err)
	}
	var m0, m1 runtime.MemStats
	runtime.ReadMemStats(&m0)
	entries, err := p.sourceEntries(p.Lock.Files, func(string) string { return "opt/big" }, stage, 1000)
	if err != nil {
		t.Fatal(err)
	}
	runtime.ReadMemStats(&m1)
	if n := m1.TotalAlloc - m0.TotalAlloc; n > 16<<20 {
		t.Errorf("a file of %d bytes took %d bytes of memory", size, n)
	}
	r := tree.NewReader(stage)
	defer r.Close()
	for _, c := range []tree.Content{before, entries[len(entries)-1].Content} {
		in, err := r.Content(c)
		if err != nil {
			t.Fatal(err)
		}
		if d, n, err := digest.Reader(in); err != nil || d != c.Digest || n != c.Size {
			t.Errorf("%d bytes are staged with digest %s, want %d with %s (%v)", n, d, c.Size, c.Digest, err)
		}
	}
	if got := entries[len(entries)-1].Content; got.Digest != p.Lock.Files[0].SHA256 || got.Size != size {
		t.Errorf("the entry has %d bytes with digest %s", got.Size, got.Digest)
	}
}

func TestSourceThatChanged(t *testing.T) {
	p, stage := sourced(t, "f", 100<<10)
	if err := os.WriteFile(filepath.Join(p.Definition.Dir, "f"), []byte("other"), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := stage.copy(p, "f"); fault.CodeOf(err) != fault.Verification || fault.HintOf(err) == "" {
		t.Errorf("it is taken: %v", err)
	}
	if _, err := stage.copy(p, "g"); fault.CodeOf(err) != fault.Verification {
		t.Errorf("a file that is not locked is taken: %v", err)
	}
}

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
		err := scriptError(definition.Script{Name: "setup"}, &row.exit, []byte(row.out), false)
		if err.Error() != row.want || fault.CodeOf(err) != fault.Failed || fault.HintOf(err) == "" {
			t.Errorf("%q: got %q, want %q", row.out, err, row.want)
		}
	}
	const open, network = "'ingot build --shell-on-error' opens a shell where it stopped", "scripts have no network unless 'network: true'"
	for _, row := range []struct {
		network, shell bool
		want           string
	}{{false, false, open + "; " + network}, {true, false, open}, {false, true, network}, {true, true, ""}} {
		err := scriptError(definition.Script{Name: "setup", Network: row.network}, &sandbox.ExitError{Code: 3}, nil, row.shell)
		if got := fault.HintOf(err); got != row.want {
			t.Errorf("network %v, shell %v: the hint is %q, want %q", row.network, row.shell, got, row.want)
		}
	}
}

// What a lock of old knows of its mirror's password, an image does not tell.
func TestSourcesTellNoPassword(t *testing.T) {
	p := &Plan{Lock: &lock.Lock{Archives: []lock.Archive{{Name: "debian", URL: "http://joe:s3cret@m.example:81/debian", Suites: []string{"sid"}, Components: []string{"main"}}}}}
	files, err := p.sources()
	if err != nil {
		t.Fatal(err)
	}
	want := "Types: deb\nURIs: http://m.example:81/debian\nSuites: sid\nComponents: main\nSigned-By: /usr/share/keyrings/debian-archive-keyring.gpg\n"
	if len(files) != 1 || string(files[0].Data) != want {
		t.Errorf("got %+v", files)
	}
}
