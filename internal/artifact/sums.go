package artifact

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"ingot/internal/digest"
	"ingot/internal/fault"
	"ingot/internal/input"
)

// SumsName is the file of a directory's checksums, in the form of GNU coreutils:
// "sha256sum -c SHA256SUMS" checks all of them.
const SumsName = "SHA256SUMS"

// UpdateSums puts files into a directory's SHA256SUMS and takes those out that
// are gone. Lines of other files stay: several builds may share a directory, and
// do so safely at one time.
func UpdateSums(dir string, files map[string]digest.Digest) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer func() { _ = d.Close() }() // and so the lock
	if err := unix.Flock(int(d.Fd()), unix.LOCK_EX); err != nil {
		return fmt.Errorf("cannot lock %s: %w", dir, err)
	}
	old, err := readSums(dir)
	if err != nil {
		return err
	}
	sums := ParseSums(old)
	maps.Copy(sums, files)
	maps.DeleteFunc(sums, func(name string, _ digest.Digest) bool {
		_, err := os.Lstat(filepath.Join(dir, name))
		return errors.Is(err, fs.ErrNotExist)
	})
	text := FormatSums(sums)
	if text == old {
		return nil
	}
	return WriteFile(filepath.Join(dir, SumsName), []byte(text))
}

// maxSums bounds a directory's checksums, in bytes: some 100,000 files.
const maxSums = 16 << 20

// readSums reads a directory's checksums; where there are none it gives "". What is no
// file, or has no end, is in the way and a fault.Choice.
func readSums(dir string) (string, error) {
	path := filepath.Join(dir, SumsName)
	data, err := input.Read(path, maxSums)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return "", nil
	case errors.Is(err, input.ErrKind), len(data) > maxSums:
		return "", fault.Newf(fault.Choice, "checksums go where there is something else: %w", err).WithHint("move %s away, or write elsewhere with --to", path)
	case err != nil:
		return "", fmt.Errorf("cannot read checksums: %w", err)
	}
	return string(data), nil
}

// ReadSums gives a directory's checksums, by name; none if there is no SHA256SUMS. Where
// that is no file it is a fault.Choice.
func ReadSums(dir string) (map[string]digest.Digest, error) {
	text, err := readSums(dir)
	return ParseSums(text), err
}

// FormatSums writes checksums, sorted by name. A name with a backslash or a line
// break is escaped, as sha256sum does.
func FormatSums(sums map[string]digest.Digest) string {
	var b strings.Builder
	for _, name := range slices.Sorted(maps.Keys(sums)) {
		if escaped := sumsEscape.Replace(name); escaped != name {
			fmt.Fprintf(&b, "\\%s  %s\n", sums[name], escaped)
		} else {
			fmt.Fprintf(&b, "%s  %s\n", sums[name], name)
		}
	}
	return b.String()
}

var (
	sumsEscape   = strings.NewReplacer("\\", `\\`, "\n", `\n`, "\r", `\r`)
	sumsUnescape = strings.NewReplacer(`\\`, "\\", `\n`, "\n", `\r`, "\r")
)

// ParseSums reads what FormatSums and sha256sum write. Lines that are neither are
// left out.
func ParseSums(text string) map[string]digest.Digest {
	sums := map[string]digest.Digest{}
	for line := range strings.Lines(text) {
		line, escaped := strings.CutPrefix(strings.TrimSuffix(line, "\n"), `\`)
		hex, name, ok := strings.Cut(line, " ")
		if !ok || len(name) < 2 || name[0] != ' ' && name[0] != '*' {
			continue
		}
		d, err := digest.Parse(hex)
		if err != nil {
			continue
		}
		name = name[1:]
		if escaped {
			name = sumsUnescape.Replace(name)
		}
		sums[name] = d
	}
	return sums
}
