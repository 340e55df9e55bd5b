// Package errand has another host run a verb of ingot: there, with what it reads from
// here, and with its outcome brought back.
//
// An [Errand] is a value: the verb's arguments, what it reads from standard input, and the
// files that it finds in its working directory. [Host.Dial] reaches the host by the
// system's ssh, which knows the user's keys, agent and hosts, and starts this very program
// there, brought along first if the host has none of the same bytes. [Conn.Run] sends what
// of the files the host lacks and passes on what the verb says; [Serve] is the other end.
//
// What is secret goes over standard input, and is in no argument, variable or file of the
// host. When the connection is cut, the verb's context ends there, as if its user had
// pressed Ctrl-C; files that are not whole have no name.
package errand

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"ingot/internal/digest"
	"ingot/internal/fault"
	"ingot/internal/input"
	"ingot/internal/sparse"
)

// An Errand is a verb that another host is to run.
type Errand struct {
	Args  []string `json:"args"` // of ingot, without its name
	On    string   `json:"on"`   // the host's address, which Run fills in
	Stdin []byte   `json:"-"`    // it goes by itself, after the files
	// Live, if not nil, is read while the verb runs, and is the rest of its standard input.
	Live io.Reader `json:"-"`
	// Bundle names the files, of which a host keeps the last it was sent under that name;
	// the verb's working directory holds them and nothing else. "" is none.
	Bundle string `json:"bundle,omitempty"`
	Files  []File `json:"files,omitempty"`
}

// A File is one that an errand takes along.
type File struct {
	Path   string        `json:"path"` // in the bundle, with slashes
	Size   int64         `json:"size"`
	SHA256 digest.Digest `json:"sha256"`
	Mode   fs.FileMode   `json:"mode"`
	Time   time.Time     `json:"time"` // of its last change

	from string // where it lies here
}

// Take adds a file to an errand: what lies here is called path there.
func (e *Errand) Take(path, from string) error {
	f, err := input.Open(from)
	if err != nil {
		return fmt.Errorf("cannot take a file along: %w", err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return fmt.Errorf("cannot take a file along: %w", err)
	}
	sum, err := sparse.Digest(f, 0, info.Size())
	if err != nil {
		return fmt.Errorf("cannot take %s along: %w", from, err)
	}
	e.Files = append(e.Files, File{Path: path, Size: info.Size(), SHA256: sum, Mode: info.Mode().Perm(), Time: info.ModTime(), from: from})
	return nil
}

// BundleOf is the name of what is sent from a place here: a name for people, and digits by
// which two hosts' and two directories' differ.
func BundleOf(name, place string) string {
	host, err := os.Hostname()
	if err != nil {
		host = "?"
	}
	sum := sha256.Sum256(fmt.Appendf(nil, "%s\x00%d\x00%s", host, os.Getuid(), place))
	plain := strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '-' || r == '_' {
			return r
		}
		return '_'
	}, name)
	return plain[:min(len(plain), 40)] + "-" + hex.EncodeToString(sum[:6])
}

// check refuses an errand that would reach out of its bundle: the host believes nobody more
// than it must.
func (e *Errand) check() error {
	if (e.Bundle == "") != (len(e.Files) == 0) || e.Bundle != filepath.Base(e.Bundle) && e.Bundle != "" || strings.HasPrefix(e.Bundle, ".") {
		return fmt.Errorf("an errand with the bundle %q", e.Bundle)
	}
	seen := map[string]bool{}
	for _, f := range e.Files {
		if !filepath.IsLocal(f.Path) || f.Path != filepath.ToSlash(filepath.Clean(f.Path)) || f.Path == "." || f.Size < 0 || f.Mode&^fs.ModePerm != 0 || seen[f.Path] {
			return fmt.Errorf("an errand with the file %q", f.Path)
		}
		seen[f.Path] = true
	}
	return nil
}

// An Ended is how a verb ended on another host that did not end well. It has said there what
// was wrong, which has been passed on.
type Ended struct {
	Host string
	Code fault.Code
}

func (e *Ended) Error() string { return fmt.Sprintf("exit code %d on %s", e.Code, e.Host) }

// Output is where a verb's words go.
type Output struct{ Out, Err io.Writer }
