package dib

import (
	"crypto/md5" //nolint:gosec // a checksum that diskimage-builder's users read, no proof of anything
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"ingot/internal/draft"
	"ingot/internal/sparse"
)

// sums are the checksums that can stand beside an output.
var sums = map[string]func() hash.Hash{"md5": md5.New, "sha256": sha256.New}

// MoveAside renames what lies at an output's path, and its checksums, so that the
// output can have the name: web.qcow2 becomes web-2026.01.31-23.59.59.qcow2. Where
// nothing lies, or the request says to overwrite, nothing is done. It gives the new
// name, or "".
func (r Request) MoveAside(path string, now time.Time) (string, error) {
	if r.Overwrite {
		return "", nil
	}
	if _, err := os.Lstat(path); errors.Is(err, fs.ErrNotExist) {
		return "", nil
	} else if err != nil {
		return "", fmt.Errorf("cannot move an old image aside: %w", err)
	}
	ext := filepath.Ext(filepath.Base(path))
	stem := strings.TrimSuffix(path, ext) + "-" + now.Format("2006.01.02-15.04.05")
	aside := stem + ext
	for n := 2; ; n++ {
		if _, err := os.Lstat(aside); errors.Is(err, fs.ErrNotExist) {
			break
		} else if err != nil {
			return "", fmt.Errorf("cannot move an old image aside: %w", err)
		}
		aside = fmt.Sprintf("%s-%d%s", stem, n, ext) // another of the same second
	}
	if err := os.Rename(path, aside); err != nil {
		return "", fmt.Errorf("cannot move an old image aside: %w", err)
	}
	for _, kind := range []string{"md5", "sha256"} {
		if err := os.Rename(path+"."+kind, aside+"."+kind); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return "", fmt.Errorf("cannot move an old image's checksum aside: %w", err)
		}
	}
	return aside, nil
}

// WriteChecksums writes FILE.md5 and FILE.sha256 as the request asks for: one line
// as md5sum and sha256sum write it, with the path as it was given. The file is read
// once; its holes are not read.
func (r Request) WriteChecksums(path string) error {
	if len(r.Checksums) == 0 {
		return nil
	}
	f, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("cannot write checksums: %w", err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return fmt.Errorf("cannot write checksums: %w", err)
	}
	if !info.Mode().IsRegular() {
		return nil // a directory has none
	}
	var hashes []hash.Hash
	var writers []io.Writer
	for _, kind := range r.Checksums {
		h := sums[kind]()
		hashes, writers = append(hashes, h), append(writers, h)
	}
	if err := sparse.Hash(io.MultiWriter(writers...), f, 0, info.Size()); err != nil {
		return fmt.Errorf("cannot write checksums of %s: %w", path, err)
	}
	for i, kind := range r.Checksums {
		line := sumLine(hashes[i].Sum(nil), path)
		if err := draft.Write(path+"."+kind, []byte(line), 0o644); err != nil {
			return fmt.Errorf("cannot write a checksum: %w", err)
		}
	}
	return nil
}

// sumLine is a line of md5sum's form. A name that would not stand in one line has
// its characters escaped, and the line begins with a backslash.
func sumLine(sum []byte, path string) string {
	escaped := strings.NewReplacer(`\`, `\\`, "\n", `\n`, "\r", `\r`).Replace(path)
	mark := ""
	if escaped != path {
		mark = `\`
	}
	return mark + hex.EncodeToString(sum) + "  " + escaped + "\n"
}
