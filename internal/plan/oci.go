package plan

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"

	"ingot/internal/artifact"
	"ingot/internal/definition"
	"ingot/internal/digest"
	"ingot/internal/fault"
	"ingot/internal/oci"
	"ingot/internal/tree"
	"ingot/internal/ui"
)

// writeImage makes an archive of an application container's image.
func (w *worker) writeImage(ctx context.Context, o Output, files []*artifact.Pending, t *ui.Task) error {
	to := oci.NewArchive(files[0].File(), w.plan.Lock.Epoch)
	if err := w.fillImage(ctx, o, to, t); err != nil {
		return err
	}
	return to.Close()
}

// writeLayout makes the directory of an OCI image. Its digest is that of
// index.json, which names everything else.
func (w *worker) writeLayout(ctx context.Context, a *Artifact, t *ui.Task) (*artifact.PendingDir, error) {
	d, err := artifact.CreateDir(a.Path)
	if err != nil {
		return nil, err
	}
	if err := w.fillLayout(ctx, a, d.Path, t); err != nil {
		return nil, errors.Join(err, d.Abort())
	}
	return d, nil
}

func (w *worker) fillLayout(ctx context.Context, a *Artifact, dir string, t *ui.Task) error {
	to := oci.NewDirectory(dir)
	if err := w.fillImage(ctx, a.Output, to, t); err != nil {
		return err
	}
	data, err := os.ReadFile(filepath.Join(dir, "index.json"))
	if err != nil {
		return err
	}
	a.Files = []artifact.File{{Name: a.Name(), Size: to.Size(), SHA256: digest.Of(data)}}
	return os.Chmod(dir, 0o755)
}

// fillImage writes an image's layers and documents.
func (w *worker) fillImage(ctx context.Context, o Output, to oci.Sink, t *ui.Task) error {
	if err := w.checkUser(o.Run.User); err != nil {
		return err
	}
	image := oci.Image{Name: w.plan.Definition.Name, Arch: w.chain.Arch, Epoch: w.plan.Lock.Epoch, Run: runOf(o.Run)}
	name := oci.LayerName
	if o.Format == "docker" {
		name = oci.DockerLayer
	}
	layers, err := w.layers()
	if err != nil {
		return err
	}
	for _, part := range layers {
		options, err := w.tarOptions(o.Compress, t)
		if err != nil {
			return err
		}
		l := oci.Layer{Compress: o.Compress, About: part.about}
		l.Digest, l.Size, err = to.Layer(name, func(out io.Writer) error {
			return artifact.WriteTar(ctx, out, part.tree, w.reader, options)
		})
		if err != nil {
			return err
		}
		if l.Plain = l.Digest; o.Compress != "" {
			if l.Plain, err = w.tarDigest(ctx, part.tree); err != nil {
				return err
			}
		}
		image.Layers = append(image.Layers, l)
	}
	if o.Format == "docker" {
		return image.FinishDocker(to)
	}
	return image.Finish(to)
}

func runOf(r definition.Run) oci.Run {
	return oci.Run{
		Entrypoint: r.Entrypoint, Command: r.Command, Environment: r.Environment, User: r.User, Workdir: r.Workdir,
		Ports: r.Ports, Volumes: r.Volumes, Labels: r.Labels, StopSignal: r.StopSignal,
	}
}

// checkUser refuses an account that the image does not have: nothing would start.
func (w *worker) checkUser(user string) error {
	name, group, _ := strings.Cut(user, ":")
	for _, c := range []struct{ what, name, file string }{{"user", name, "etc/passwd"}, {"group", group, "etc/group"}} {
		if c.name == "" || c.name[0] >= '0' && c.name[0] <= '9' {
			continue
		}
		data, err := w.read(w.tree, c.file)
		if err != nil || !strings.Contains("\n"+string(data), "\n"+c.name+":") {
			return fault.Newf(fault.Definition, "the image has no %s %s", c.what, c.name).
				WithHint("add it under users or unix-groups, or a package that makes it, or give a number")
		}
	}
	return nil
}

// tarDigest is the digest of a tree's archive as it is before it is compressed.
func (w *worker) tarDigest(ctx context.Context, t tree.Tree) (digest.Digest, error) {
	h := sha256.New()
	for _, m := range tree.Members(t, tree.TarOptions{}) {
		key, err := m.Key()
		if err != nil {
			return digest.Digest{}, err
		}
		h.Write(key[:])
	}
	name := "archives/" + keyOf("archive", digest.From(h), nil).String()
	var sum digest.Digest
	if data, err := w.Supply.Cache.Get(name); err == nil && json.Unmarshal(data, &sum) == nil {
		return sum, nil
	}
	h.Reset()
	if err := tree.WriteTar(ctx, h, t, w.reader, tree.TarOptions{}); err != nil {
		return sum, err
	}
	sum = digest.From(h)
	data, err := json.Marshal(sum)
	if err != nil {
		return sum, err
	}
	return sum, w.Supply.Cache.Put(name, data)
}
