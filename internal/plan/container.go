package plan

import (
	"context"
	"strings"

	"ingot/internal/artifact"
	"ingot/internal/digest"
	"ingot/internal/fault"
	"ingot/internal/lxc"
	"ingot/internal/openvz"
	"ingot/internal/sandbox"
	"ingot/internal/squashfs"
	"ingot/internal/tree"
	"ingot/internal/ui"
)

// A shelf holds the bytes of small files that an output has beside its tree's.
type shelf struct {
	worker  *worker
	pack    string
	data    []byte
	entries []tree.Entry
}

func (w *worker) shelf(o Output, of string) *shelf {
	return &shelf{worker: w, pack: "shelf/" + o.Format + "/" + of}
}

// add puts a file of root's on it, at the clock of the lock.
func (s *shelf) add(path string, data []byte) {
	s.entries = append(s.entries, tree.Entry{
		Path: path, Kind: tree.File, Mode: 0o644, Mtime: tree.Time{Sec: s.worker.plan.Lock.Epoch}, Owner: "output",
		Content: tree.Content{Digest: digest.Of(data), Size: int64(len(data)), Pack: s.pack, Offset: int64(len(s.data))},
	})
	s.data = append(s.data, data...)
}

// over gives a tree with the files on it. Files keep the owner and the permissions of
// those in whose place they are, and missing directories are made.
func (s *shelf) over(t tree.Tree) (tree.Tree, error) {
	f, err := sandbox.Memory("shelf", s.data)
	if err != nil {
		return t, err
	}
	s.worker.reader.Hold(s.pack, f)
	d := tree.Delta{}
	made := map[string]bool{}
	for _, e := range s.entries {
		if old, ok := t.Lookup(e.Path); ok && old.Kind == tree.File {
			e.Mode, e.UID, e.GID, e.Xattrs = old.Mode, old.UID, old.GID, old.Xattrs
		}
		for p := e.Path; p != ""; {
			p = tree.Parent(p)
			if _, ok := t.Lookup(p); !ok && !made[p] {
				made[p] = true
				d.Set = append(d.Set, tree.Entry{Path: p, Kind: tree.Dir, Mode: 0o755, Mtime: e.Mtime, Owner: e.Owner})
			}
		}
		d.Set = append(d.Set, e)
	}
	return t.Apply(d)
}

// named gives the worker's tree with another host name in the files that say it,
// and which these are.
func (w *worker) named(o Output, name string) (tree.Tree, []string, error) {
	s := w.shelf(o, "named")
	var files []string
	for _, f := range lxc.Named(w.plan.Definition.Hostname, name, func(path string) ([]byte, error) { return w.read(w.tree, path) }) {
		s.add(f.Path, f.Data)
		files = append(files, f.Path)
	}
	t, err := s.over(w.tree)
	return t, files, err
}

// writeSquashfs makes a squashfs file of the tree.
func (w *worker) writeSquashfs(ctx context.Context, o Output, files []*artifact.Pending, t *ui.Task) error {
	return w.squash(ctx, files[0], o.Compress, t)
}

func (w *worker) squash(ctx context.Context, f *artifact.Pending, compress string, t *ui.Task) error {
	t.SetTotal(0) // nobody knows how large it gets
	r, err := squashfs.Write(ctx, f.File(), w.tree, w.reader, squashfs.Options{Compress: compress, Epoch: w.plan.Lock.Epoch, Wrote: t.Add})
	w.warnDropped(r)
	return err
}

func (w *worker) warnDropped(r squashfs.Result) {
	if r.Dropped > 0 {
		w.Progress.Warnf("squashfs has no place for %d attributes of the tree, such as POSIX access control lists: they are left out", r.Dropped)
	}
}

// writeIncus makes an image for Incus and LXD: a root file system with metadata
// beside it, or one archive with both. Its templates replace the host's name when
// a container is made, so the tree stays as it is.
func (w *worker) writeIncus(ctx context.Context, o Output, files []*artifact.Pending, t *ui.Task) error {
	if err := w.needInit(); err != nil {
		return err
	}
	meta := w.incusMeta(o, false)
	archive := tree.Tree{}
	if o.Type == "unified" {
		var err error
		if archive, err = below(w.tree, "rootfs", w.plan.Lock.Epoch); err != nil {
			return err
		}
	}
	archive, err := meta.over(archive)
	if err != nil {
		return err
	}
	options, err := w.tarOptions("xz", t)
	if err != nil {
		return err
	}
	last := len(files) - 1
	if err := artifact.WriteTar(ctx, files[last], archive, w.reader, options); err != nil || last == 0 {
		return err
	}
	return w.squash(ctx, files[0], "zstd", t)
}

// incusMeta are the metadata of an image for Incus and LXD.
func (w *worker) incusMeta(o Output, unsigned bool) *shelf {
	def := w.plan.Definition
	meta := w.shelf(o, "meta")
	for _, f := range (lxc.Incus{
		Name: def.Name, Distro: def.Distro, Release: def.Release, Arch: w.chain.Arch, Epoch: w.plan.Lock.Epoch, Expiry: o.Expires(w.plan.Lock.Epoch), Unsigned: unsigned,
		Templates: lxc.Named(def.Hostname, lxc.InstanceName, func(path string) ([]byte, error) { return w.read(w.tree, path) }),
	}).Files() {
		meta.add(f.Path, f.Data)
	}
	return meta
}

// writeIncusMachine makes a virtual machine's image for Incus and LXD: a disk, and
// metadata beside it.
func (w *worker) writeIncusMachine(ctx context.Context, o Output, files []*artifact.Pending, t *ui.Task) error {
	archive, err := w.incusMeta(o, !w.plan.Definition.Boot.Secure).over(tree.Tree{})
	if err != nil {
		return err
	}
	options, err := w.tarOptions("xz", t)
	if err != nil {
		return err
	}
	if err := artifact.WriteTar(ctx, files[1], archive, w.reader, options); err != nil {
		return err
	}
	return w.writeDisk(ctx, o, files, t)
}

// below is a tree with all of another in one of its directories.
func below(t tree.Tree, dir string, epoch int64) (tree.Tree, error) {
	out := []tree.Entry{{Kind: tree.Dir, Mode: 0o755, Mtime: tree.Time{Sec: epoch}}}
	for e := range t.All() {
		e.Path = strings.TrimSuffix(dir+"/"+e.Path, "/")
		if e.Kind == tree.Hardlink {
			e.Link = dir + "/" + e.Link
		}
		out = append(out, e)
	}
	return tree.New(out)
}

// writeOpenVZ makes a template for OpenVZ and Proxmox.
func (w *worker) writeOpenVZ(ctx context.Context, o Output, files []*artifact.Pending, t *ui.Task) error {
	if err := w.needInit(); err != nil {
		return err
	}
	root, _, err := w.named(o, "")
	if err != nil {
		return err
	}
	if root, err = root.Apply(openvz.Edit(root, w.plan.Lock.Epoch)); err != nil {
		return err
	}
	options, err := w.tarOptions(o.Compress, t)
	if err != nil {
		return err
	}
	return artifact.WriteTar(ctx, files[0], root, w.reader, options)
}

// needInit refuses a tree that a container's host would start in vain.
func (w *worker) needInit() error {
	for _, p := range []string{"sbin/init", "usr/sbin/init"} {
		if _, ok := w.tree.Lookup(p); ok {
			return nil
		}
	}
	return fault.Newf(fault.Failed, "the image has no /sbin/init").WithHint("a script or 'remove' took the package systemd-sysv away")
}

// writeLXC makes LXC's pair of archives. The first of them is the artifact: it is
// what the papers describe, and the second only says how to use it.
func (w *worker) writeLXC(ctx context.Context, o Output, files []*artifact.Pending, t *ui.Task) error {
	if err := w.needInit(); err != nil {
		return err
	}
	root, templates, err := w.named(o, lxc.Name)
	if err != nil {
		return err
	}
	meta := w.shelf(o, "meta")
	for _, f := range (lxc.Meta{
		Arch: w.chain.Arch, Tree: root, Templates: templates, Expiry: o.Expires(w.plan.Lock.Epoch), Message: o.Message,
	}).Files() {
		meta.add(f.Path, f.Data)
	}
	beside, err := meta.over(tree.Tree{})
	if err != nil {
		return err
	}
	for i, archive := range []tree.Tree{root, beside} {
		options, err := w.tarOptions("xz", t)
		if err != nil {
			return err
		}
		if err := artifact.WriteTar(ctx, files[i], archive, w.reader, options); err != nil {
			return err
		}
	}
	return nil
}
