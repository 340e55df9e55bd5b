package gzip

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"ingot/internal/disk/disktest"
	"ingot/internal/judge"
)

// A compressed archive is one member, which gzip takes, and as long as it was.
func TestGzip(t *testing.T) {
	for _, n := range []int{0, 1, piece, 3*piece + 5} {
		data := disktest.Noise(1, n, true)
		var one, many bytes.Buffer
		if err := errors.Join(Write(t.Context(), &one, bytes.NewReader(data), 1), Write(t.Context(), &many, bytes.NewReader(data), 8)); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(one.Bytes(), many.Bytes()) {
			t.Error("workers change bytes")
		}
		path := filepath.Join(t.TempDir(), "data.gz")
		if err := os.WriteFile(path, one.Bytes(), 0o600); err != nil {
			t.Fatal(err)
		}
		judge.Run(t, "gzip", "-d", path)
		if got, err := os.ReadFile(strings.TrimSuffix(path, ".gz")); err != nil || !bytes.Equal(got, data) {
			t.Errorf("%d bytes become others", n)
		}
	}
}
