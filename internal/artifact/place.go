package artifact

import (
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"ingot/internal/fault"
	"ingot/internal/input"
)

// maxManifest bounds the manifest that says whose a directory is, in bytes.
const maxManifest = 64 << 20

// CheckDir says whether a directory may take a path, in place of what is there: nothing,
// an empty directory, or one that the manifest beside it names as ingot's. Anything
// else is somebody's and a fault.Choice; that something is mounted there or below is a
// fault.Preflight.
func CheckDir(path string) error {
	if err := refuseMounts(path); err != nil {
		return err
	}
	info, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fault.Newf(fault.Preflight, "cannot see what is in the place of an artifact: %w", err).WithHint("write elsewhere with --to")
	}
	if !info.IsDir() {
		return taken(path, "is there already, and is not a directory")
	}
	if isMade(path) || isEmpty(path) {
		return nil
	}
	return taken(path, "is there already, and nothing says that ingot made it")
}

// CheckFile says whether a file may take a path: a directory there is a fault.Choice,
// a mount a fault.Preflight.
func CheckFile(path string) error {
	if err := refuseMounts(path); err != nil {
		return err
	}
	if info, err := os.Lstat(path); err == nil && info.IsDir() {
		return taken(path, "is a directory, and a file goes there")
	}
	return nil
}

func taken(path, why string) error {
	return fault.Newf(fault.Choice, "%s %s", path, why).WithHint("move it away, or write elsewhere with --to")
}

// isMade says whether the papers beside a directory are about it: they come before it
// does.
func isMade(path string) bool {
	data, err := input.Read(path+ManifestSuffix, maxManifest)
	var m struct {
		Schema int    `json:"schema"`
		File   string `json:"file"`
	}
	return err == nil && json.Unmarshal(data, &m) == nil && m.Schema == 1 && m.File == filepath.Base(path)
}

func isEmpty(path string) bool {
	d, err := os.Open(path)
	if err != nil {
		return false
	}
	defer func() { _ = d.Close() }()
	_, err = d.Readdirnames(1)
	return errors.Is(err, io.EOF)
}
