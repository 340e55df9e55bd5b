package plan

import (
	"cmp"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"ingot/internal/artifact"
	"ingot/internal/digest"
	"ingot/internal/fault"
	"ingot/internal/sandbox"
	"ingot/internal/tree"
)

// asideOut is what scripts of elements leave in their working directory on the host's
// side: files beside the image, such as copies of kernels and of manifests.
const asideOut = sandbox.Aside + "/out"

// workDir is that directory.
const workDir = "/work"

// takeSide takes the files beside the image out of the tree.
func (w *worker) takeSide() error {
	t, side, err := apart(w.tree)
	if err == nil {
		w.tree, w.side = t, append(w.side, side...)
	}
	return err
}

// apart is an image without what lay beside it while elements' scripts ran, and what of that
// they left in their working directory.
func apart(t tree.Tree) (image tree.Tree, side []tree.Entry, err error) {
	var gone []string
	for e := range t.All() {
		if rest, ok := strings.CutPrefix(e.Path, asideOut+"/"); ok {
			beside := e
			beside.Path = rest
			side = append(side, beside)
		}
		if e.Path == sandbox.Aside || strings.HasPrefix(e.Path, sandbox.Aside+"/") {
			gone = append(gone, e.Path)
		}
	}
	image, err = t.Apply(tree.Delta{Remove: gone})
	return image, side, err
}

// Beside is the format of an output that is nothing but those files: a ramdisk and its
// kernel, say.
const Beside = "beside"

// sideFiles are the regular ones among them that lie where artifacts go, those in no
// directory of their own first.
func (w *worker) sideFiles() []artifact.File {
	to, err := filepath.Abs(w.To)
	if err != nil {
		return nil
	}
	var out []artifact.File
	for _, e := range w.side {
		name, err := filepath.Rel(to, filepath.Join(w.plan.sideDir(w.chain, to), e.Path))
		if err != nil || strings.HasPrefix(name, "../") || e.Kind != tree.File {
			continue
		}
		out = append(out, artifact.File{Name: name, Size: e.Content.Size, SHA256: e.Content.Digest})
	}
	slices.SortFunc(out, func(a, b artifact.File) int {
		return cmp.Or(cmp.Compare(strings.Count(a.Name, "/"), strings.Count(b.Name, "/")), cmp.Compare(a.Name, b.Name))
	})
	return out
}

// sumSide puts them among the checksums, and into what belongs to an artifact: where one
// is missing the artifact is made again.
func (w *worker) sumSide(beside map[string]digest.Digest) error {
	sums := map[string]digest.Digest{}
	for _, f := range w.sideFiles() {
		sums[f.Name], beside[f.Name] = f.SHA256, f.SHA256
	}
	if len(sums) == 0 {
		return nil
	}
	return artifact.UpdateSums(w.To, sums)
}

// sideDir is where they are to come to: to who called disk-image-create, or beside the
// artifacts, in a directory for each tree if there are several.
func (p *Plan) sideDir(c Chain, to string) string {
	switch {
	case p.Definition.Elements.Root:
		return p.Definition.Dir
	case p.several || len(p.Chains) > 1:
		return filepath.Join(to, p.Definition.FullName()+"-"+c.Arch+"-"+c.Purpose)
	}
	return to
}

// writeSide writes them below a directory. Only files and directories can be there.
func (w *worker) writeSide(dir string) error {
	if len(w.side) == 0 {
		return nil
	}
	if err := w.keepInputs(dir); err != nil {
		return err
	}
	err := os.MkdirAll(dir, 0o755)
	if err != nil {
		return fmt.Errorf("cannot write the files beside the image: %w", err)
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return fmt.Errorf("cannot write the files beside the image: %w", err)
	}
	defer func() { _ = root.Close() }()
	for _, e := range w.side {
		switch e.Kind {
		case tree.Dir:
			err = root.MkdirAll(e.Path, 0o755)
		case tree.File:
			err = w.writeSideFile(root, e)
		case tree.Symlink, tree.Hardlink, tree.Fifo, tree.Char, tree.Block:
			w.Progress.Warnf("%s, which a script left beside the image, is no file: it is left out", e.Path)
		}
		if err != nil {
			return fmt.Errorf("cannot write %s, which a script left beside the image: %w", e.Path, err)
		}
	}
	return nil
}

// keepInputs refuses files that would come to lie over what the build was made from: a script
// of an element calls its files as it likes, and knows nothing of the user's.
func (w *worker) keepInputs(dir string) error {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return err
	}
	inputs := map[string]bool{}
	for _, in := range w.plan.Definition.Inputs {
		inputs[in.Path] = true
	}
	for _, f := range w.plan.Lock.Files {
		inputs[filepath.Join(w.plan.Definition.Dir, filepath.FromSlash(f.Path))] = true
	}
	for _, e := range w.side {
		to := filepath.Join(dir, filepath.FromSlash(e.Path))
		lock := filepath.Dir(to) == w.plan.Definition.Dir && filepath.Ext(to) == ".lock"
		if e.Kind == tree.File && (inputs[to] || lock) {
			return fault.Newf(fault.Choice, "a script of an element left %s beside the image, and %s is what the build reads", e.Path, to).
				WithHint("say --to with another directory for the artifacts, or have the script call its file otherwise")
		}
	}
	return nil
}

func (w *worker) writeSideFile(root *os.Root, e tree.Entry) error {
	content, err := w.reader.Content(e.Content)
	if err != nil {
		return err
	}
	draft := path.Join(path.Dir(e.Path), ".ingot-"+path.Base(e.Path))
	f, err := root.OpenFile(draft, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, os.FileMode(e.Mode&0o777)|0o600)
	if err != nil {
		return err
	}
	_, err = io.Copy(f, io.NewSectionReader(content, 0, e.Content.Size))
	if closeErr := f.Close(); err == nil {
		err = closeErr
	}
	if err == nil {
		err = root.Rename(draft, e.Path)
	}
	if err != nil {
		_ = root.Remove(draft)
	}
	return err
}
