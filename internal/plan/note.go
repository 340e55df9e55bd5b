package plan

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io/fs"
	"path/filepath"
	"syscall"

	"ingot/internal/artifact"
	"ingot/internal/digest"
	"ingot/internal/input"
)

// A note says what an artifact was when it was written, so that a build that
// finds it untouched need not make it again.
type note struct {
	Files  []artifact.File
	Stamps []digest.Digest          // of the files
	Seal   digest.Digest            // of the tree
	Beside map[string]digest.Digest // its papers and its tree's seal, by name
}

// noteName is the cache's name of a note: of the artifact at this place.
func (r *Runner) noteName(o Output) (string, error) {
	path, err := filepath.Abs(filepath.Join(r.To, o.Name()))
	return "outputs/" + keyOf("note", o.Key, path).String(), err
}

func (r *Runner) remember(a Artifact, beside map[string]digest.Digest) error {
	name, err := r.noteName(a.Output)
	if err != nil {
		return err
	}
	n := note{Files: a.Files, Seal: a.Seal, Beside: beside}
	for _, f := range a.Files {
		s, err := stamp(filepath.Join(r.To, f.Name))
		if err != nil {
			return err
		}
		n.Stamps = append(n.Stamps, s)
	}
	data, err := json.Marshal(n)
	if err != nil {
		return err
	}
	return r.Supply.Cache.Put(name, data)
}

// fresh finds an output that is in its place already, with its papers and
// checksums, as they were written.
func (r *Runner) fresh(o Output) (Artifact, bool) {
	name, err := r.noteName(o)
	if err != nil || o.Anew {
		return Artifact{}, false
	}
	data, err := r.Supply.Cache.Get(name)
	if err != nil {
		return Artifact{}, false
	}
	var n note
	if json.Unmarshal(data, &n) != nil || o.Format != Beside && len(n.Files) != len(o.Names) || len(n.Files) == 0 || len(n.Stamps) != len(n.Files) || !n.besideIn(r.To, o) {
		return Artifact{}, false
	}
	for i, f := range n.Files {
		if s, err := stamp(filepath.Join(r.To, f.Name)); err != nil || o.Format != Beside && f.Name != o.Names[i] || s != n.Stamps[i] {
			return Artifact{}, false
		}
	}
	return Artifact{Output: o, Path: filepath.Join(r.To, n.Files[0].Name), Files: n.Files, Seal: n.Seal}, true
}

// besideIn says whether all that belongs to an artifact still is beside it.
func (n *note) besideIn(dir string, o Output) bool {
	sums, err := artifact.ReadSums(dir)
	if err != nil {
		return false
	}
	for _, f := range n.Files {
		if !o.Kind().Dir && sums[f.Name] != f.SHA256 {
			return false
		}
	}
	for name, want := range n.Beside {
		f, err := input.Open(filepath.Join(dir, name))
		if err != nil {
			return false
		}
		got, _, err := digest.Reader(f)
		_ = f.Close()
		if err != nil || got != want || sums[name] != want {
			return false
		}
	}
	return len(n.Beside) > 0
}

// stamp is a digest of what the kernel says of a file, or of a directory and all
// below it, without reading any. No program can set the change time, so what
// somebody wrote to does not pass.
func stamp(path string) (digest.Digest, error) {
	h := sha256.New()
	err := filepath.WalkDir(path, func(p string, d fs.DirEntry, err error) error {
		if d == nil {
			return err
		}
		if err != nil {
			return nil //nolint:nilerr // a directory that may not be read was met before
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		st := info.Sys().(*syscall.Stat_t) //nolint:forcetypeassert // on Linux it is
		size := st.Size
		if d.IsDir() {
			size = 0 // is the file system's affair
		}
		fmt.Fprintf(h, "%q %o %d %d %d %d %d %d %d\n", p[len(path):], st.Mode, st.Uid, st.Gid, size, st.Dev, st.Ino, st.Mtim.Nano(), st.Ctim.Nano())
		return nil
	})
	return digest.From(h), err
}
