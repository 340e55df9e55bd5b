package plan

import (
	"encoding/json"
	"os"
	"path/filepath"
	"syscall"

	"ingot/internal/artifact"
	"ingot/internal/digest"
)

// A note says what an artifact was when it was written, so that a build that
// finds it untouched need not make it again.
type note struct {
	Path         string
	Size         int64
	SHA256       digest.Digest
	Seal         digest.Digest // of the tree
	Device       uint64
	Inode        uint64
	Mtime, Ctime syscall.Timespec
}

// noteName is the cache's name of a note: of the artifact at this place.
func (r *Runner) noteName(o Output) (string, error) {
	path, err := filepath.Abs(filepath.Join(r.To, o.Name))
	return "outputs/" + keyOf("note", o.Key, path).String(), err
}

func (r *Runner) remember(a Artifact, info os.FileInfo) error {
	name, err := r.noteName(a.Output)
	if err != nil {
		return err
	}
	st := info.Sys().(*syscall.Stat_t) //nolint:forcetypeassert // on Linux it is
	data, err := json.Marshal(note{a.Path, a.Size, a.SHA256, a.Seal, st.Dev, st.Ino, st.Mtim, st.Ctim})
	if err != nil {
		return err
	}
	return r.Supply.Cache.Put(name, data)
}

// fresh finds an output that is in its place already, with its papers. The
// kernel's change time cannot be set, so a file that somebody wrote to does not
// pass. Of a directory only the top is looked at.
func (r *Runner) fresh(o Output) (Artifact, bool) {
	name, err := r.noteName(o)
	if err != nil {
		return Artifact{}, false
	}
	data, err := r.Supply.Cache.Get(name)
	if err != nil {
		return Artifact{}, false
	}
	var n note
	if json.Unmarshal(data, &n) != nil {
		return Artifact{}, false
	}
	path := filepath.Join(r.To, o.Name)
	for _, suffix := range []string{artifact.ManifestSuffix, artifact.SBOMSuffix, artifact.ProvenanceSuffix} {
		if _, err := os.Stat(path + suffix); err != nil {
			return Artifact{}, false
		}
	}
	info, err := os.Stat(path)
	if err != nil {
		return Artifact{}, false
	}
	st := info.Sys().(*syscall.Stat_t) //nolint:forcetypeassert // on Linux it is
	if st.Dev != n.Device || st.Ino != n.Inode || st.Mtim != n.Mtime || st.Ctim != n.Ctime || !info.IsDir() && st.Size != n.Size {
		return Artifact{}, false
	}
	return Artifact{Output: o, Path: path, Size: n.Size, SHA256: n.SHA256, Seal: n.Seal}, true
}
