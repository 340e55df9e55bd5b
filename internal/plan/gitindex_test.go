package plan

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"ingot/internal/judge"
)

// What is left of an index is the same for two checkouts, and git takes it for its own.
func TestSettleIndex(t *testing.T) {
	git := func(dir string, argv ...string) string {
		t.Helper()
		cmd := exec.CommandContext(t.Context(), judge.Path(t, "git"), argv...)
		cmd.Dir = dir
		cmd.Env = append(os.Environ(), "GIT_CONFIG_GLOBAL=/dev/null")
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("git %s: %v\n%s", argv, err, out)
		}
		return string(out)
	}
	for _, version := range []string{"2", "3", "4"} {
		t.Run("version "+version, func(t *testing.T) {
			var settled []string
			for i := range 2 {
				dir := t.TempDir()
				git(dir, "init", "-q")
				for _, name := range []string{"a", "some/longer name", "some/x"} {
					at := filepath.Join(dir, name)
					if err := os.MkdirAll(filepath.Dir(at), 0o755); err != nil {
						t.Fatal(err)
					}
					if err := os.WriteFile(at, []byte(name), 0o600); err != nil {
						t.Fatal(err)
					}
					when := time.Unix(int64(1e9+i*1000), 0)
					if err := os.Chtimes(at, when, when); err != nil {
						t.Fatal(err)
					}
				}
				git(dir, "-c", "index.version="+version, "add", ".")
				if version == "3" {
					git(dir, "rm", "-q", "--cached", "a")
					git(dir, "add", "-N", "a") // has flags that only it has
				}
				if version == "4" {
					git(dir, "update-index", "--index-version", "4")
				}
				index := filepath.Join(dir, ".git/index")
				data, err := os.ReadFile(index)
				if err != nil {
					t.Fatal(err)
				}
				before := git(dir, "status", "--porcelain") + git(dir, "ls-files", "-s")
				if settleIndex(data) != (version != "4") {
					t.Fatal("it is settled, or not")
				}
				if err := os.WriteFile(index, data, 0o600); err != nil {
					t.Fatal(err)
				}
				settled = append(settled, string(data))
				if after := git(dir, "status", "--porcelain") + git(dir, "ls-files", "-s"); after != before {
					t.Errorf("git says\n%s\nand before\n%s", after, before)
				}
				git(dir, "fsck")
			}
			if version != "4" && settled[0] != settled[1] {
				t.Error("two checkouts are two indexes")
			}
		})
	}
}

func FuzzSettleIndex(f *testing.F) {
	f.Add([]byte("DIRC\x00\x00\x00\x02\x00\x00\x00\x01"))
	f.Fuzz(func(_ *testing.T, data []byte) { settleIndex(data) })
}
