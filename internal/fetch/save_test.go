package fetch_test

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"ingot/internal/digest"
	"ingot/internal/fetch"
)

// TestSaveKilled kills a process that saves a file, and has another one save it: of what the
// first left nothing stays.
func TestSaveKilled(t *testing.T) {
	const variable = "INGOT_TEST_SAVE" // URL and path
	file := content(1 << 20)
	want := fetch.Want{Name: "f", Size: int64(len(file)), SHA256: digest.Of(file)}
	if url, path, ok := strings.Cut(os.Getenv(variable), " "); ok {
		want.URLs = []string{url}
		_, err := (&fetch.Client{}).Save(t.Context(), want, path)
		t.Fatal("was not killed: ", err)
	}
	half := make(chan bool, 1)
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/whole" {
			good(w, r, 1, file)
			return
		}
		w.Header().Set("Content-Length", "1048576")
		_, _ = w.Write(file[:1<<19])
		_ = http.NewResponseController(w).Flush()
		half <- true
		<-r.Context().Done()
	}))
	defer s.Close()
	dir := t.TempDir()
	path := filepath.Join(dir, "f")
	// As one leaves where the file system has no files without a name.
	if err := os.WriteFile(filepath.Join(dir, ".ingot-draft-0123456789abcdef"), nil, 0o600); err != nil {
		t.Fatal(err)
	}

	cmd := exec.CommandContext(t.Context(), "/proc/self/exe", "-test.run=^TestSaveKilled$")
	cmd.Env = append(os.Environ(), variable+"="+s.URL+"/half "+path)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	<-half
	want.URLs = []string{s.URL + "/whole"}
	if _, err := (&fetch.Client{}).Save(t.Context(), want, path); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	var exit *exec.ExitError
	if err := cmd.Wait(); !errors.As(err, &exit) || exit.ExitCode() != -1 {
		t.Fatalf("the child ended with %v", err)
	}
	if _, err := (&fetch.Client{}).Save(t.Context(), want, path); err != nil {
		t.Fatal(err)
	}
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != 1 || entries[0].Name() != "f" {
		t.Errorf("left %v, %v", entries, err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode() != 0o644 {
		t.Errorf("the file is %v, %v", info, err)
	}
}
