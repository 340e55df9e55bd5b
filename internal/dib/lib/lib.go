// Package lib is the directory that scripts of diskimage-builder's elements know as
// $_LIB, in ingot's own text: files of shell functions that scripts source, programs
// that they call, and stand-ins for programs of the host that a build has no use for.
//
// The directory holds
//
//	common-defaults common-functions img-defaults img-functions
//	ramdisk-defaults ramdisk-functions die   to be sourced by bash
//	dib-run-parts                            also copied into a target by scripts
//	bin/                                     for the PATH of host-phase scripts
//
// All of it needs bash and coreutils, ramdisk-functions also cpio, gzip and ldd.
package lib

import (
	"embed"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
)

//go:embed files
var files embed.FS

// A File is one file of the directory.
type File struct {
	Path string // "bin/sudo"
	Mode fs.FileMode
	Data []byte
}

// Files are all files, by path. Directories have mode 0755.
func Files() []File {
	var out []File
	err := fs.WalkDir(files, "files", func(name string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		data, err := files.ReadFile(name)
		if err != nil {
			return err
		}
		mode := fs.FileMode(0o644)
		if strings.HasPrefix(string(data), "#!") {
			mode = 0o755
		}
		out = append(out, File{strings.TrimPrefix(name, "files/"), mode, data})
		return nil
	})
	if err != nil {
		panic("lib: " + err.Error()) // the program itself holds them
	}
	for _, f := range out {
		if f.Path == "dib-run-parts" {
			out = append(out, File{path.Join("bin", f.Path), f.Mode, f.Data})
			break
		}
	}
	slices.SortFunc(out, func(a, b File) int { return strings.Compare(a.Path, b.Path) })
	return out
}

// Write writes the directory; it is made where it is missing.
func Write(dir string) error {
	for _, f := range Files() {
		to := filepath.Join(dir, filepath.FromSlash(f.Path))
		if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
			return fmt.Errorf("cannot write the library of scripts: %w", err)
		}
		if err := os.WriteFile(to, f.Data, f.Mode); err != nil {
			return fmt.Errorf("cannot write the library of scripts: %w", err)
		}
		if err := os.Chmod(to, f.Mode); err != nil { // whatever the umask
			return fmt.Errorf("cannot write the library of scripts: %w", err)
		}
	}
	return nil
}

// Functions are the functions that scripts of bash find defined, as variables of their
// environment: die, and get_image_element_array, which prints names and directories of
// the elements for "eval declare -A". They reach scripts on the host's side only; sudo
// strips them.
func Functions(elements map[string]string) map[string]string {
	var array strings.Builder
	for _, name := range slices.Sorted(maps.Keys(elements)) {
		fmt.Fprintf(&array, "[%s]=%s ", quoted(name), quoted(elements[name]))
	}
	die, err := files.ReadFile("files/die")
	if err != nil {
		panic("lib: " + err.Error())
	}
	_, body, _ := strings.Cut(string(die), "function die {\n")
	body, _, _ = strings.Cut(body, "\n}\n")
	return map[string]string{
		"BASH_FUNC_die%%": "() {\n" + body + "\n}",
		// The shell splits the list into words before it is read again, so that blanks
		// within a name have to survive both.
		"BASH_FUNC_get_image_element_array%%": "() {\n    echo " + quoted(strings.TrimSuffix(array.String(), " ")) + "\n}",
	}
}

// quoted is a word as a shell reads it back.
func quoted(s string) string {
	plain := func(c rune) bool {
		return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || strings.ContainsRune("_-+.,/:@", c)
	}
	if s != "" && !strings.ContainsFunc(s, func(c rune) bool { return !plain(c) }) {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}
