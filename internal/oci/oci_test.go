package oci

import (
	"archive/tar"
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"ingot/internal/digest"
	"ingot/internal/judge"
)

// write makes an image of two small layers, which are not compressed.
func write(t *testing.T, i Image, to Sink, docker bool) {
	t.Helper()
	name := LayerName
	if docker {
		name = DockerLayer
	}
	for _, file := range []string{"a", "b"} {
		sum, size, err := to.Layer(name, func(w io.Writer) error {
			archive := tar.NewWriter(w)
			err := archive.WriteHeader(&tar.Header{Name: "./" + file, Mode: 0o644, Size: 1, Format: tar.FormatUSTAR})
			_, err2 := io.WriteString(archive, file)
			return errors.Join(err, err2, archive.Close())
		})
		if err != nil {
			t.Fatal(err)
		}
		i.Layers = append(i.Layers, Layer{About: file, Digest: sum, Plain: sum, Size: size})
	}
	finish := i.Finish
	if docker {
		finish = i.FinishDocker
	}
	if err := finish(to); err != nil {
		t.Fatal(err)
	}
}

func archive(t *testing.T, i Image, docker bool) string {
	t.Helper()
	f, err := os.Create(filepath.Join(t.TempDir(), "image.tar"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	a := NewArchive(f, i.Epoch)
	write(t, i, a, docker)
	if err := a.Close(); err != nil {
		t.Fatal(err)
	}
	return f.Name()
}

// files are those of an archive, by name.
func files(t *testing.T, path string) (names []string, data map[string]string) {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	data = map[string]string{}
	r := tar.NewReader(bytes.NewReader(b))
	for {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return names, data
		}
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		names = append(names, h.Name)
		data[h.Name] = string(text)
		if h.ModTime.Unix() != 1_750_000_000 || h.Uid != 0 || h.Uname != "" {
			t.Errorf("%s is of %v and %d %q", h.Name, h.ModTime, h.Uid, h.Uname)
		}
	}
}

var small = Image{Name: "web", Arch: "armhf", Epoch: 1_750_000_000}

func TestDocuments(t *testing.T) {
	full := small
	full.Arch = "amd64"
	full.Run = Run{
		Entrypoint: []string{"/bin/web"}, Command: []string{"-v"}, Environment: map[string]string{"B": "<2>", "A": "", "PATH": "/bin"}, User: "ops:www",
		Workdir: "/srv", Ports: []string{"80/tcp"}, Volumes: []string{"/data"}, Labels: map[string]string{"b": "2", "a": "1"}, StopSignal: "SIGQUIT",
	}
	for _, c := range []struct {
		summary string
		image   Image
		want    string
	}{
		{"the least", small, `{"created":"2025-06-15T15:06:40Z","architecture":"arm","os":"linux","variant":"v7",` +
			`"config":{"Env":["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"],"Cmd":["/bin/sh"]},"rootfs":{"type":"layers","diff_ids":[]},"history":[]}`},
		{"all", full, `{"created":"2025-06-15T15:06:40Z","architecture":"amd64","os":"linux","config":{"User":"ops:www","ExposedPorts":{"80/tcp":{}},` +
			`"Env":["A=","B=\u003c2\u003e","PATH=/bin"],"Entrypoint":["/bin/web"],"Cmd":["-v"],"Volumes":{"/data":{}},"WorkingDir":"/srv",` +
			`"Labels":{"a":"1","b":"2"},"StopSignal":"SIGQUIT"},"rootfs":{"type":"layers","diff_ids":[]},"history":[]}`},
	} {
		t.Run(c.summary, func(t *testing.T) {
			got, err := c.image.Config()
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(c.want, string(got)); d != "" {
				t.Errorf("(-want +got):\n%s", d)
			}
		})
	}
}

// TestArchive holds the archive against the directory: the same files, each blob
// under its digest, the same bytes every time.
func TestArchive(t *testing.T) {
	path := archive(t, small, false)
	names, data := files(t, path)
	if d := cmp.Diff([]string{"blobs/", "blobs/sha256/"}, names[:2]); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
	if d := cmp.Diff([]string{"index.json", "oci-layout"}, names[len(names)-2:]); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
	for name, text := range data {
		if sum, ok := strings.CutPrefix(name, blobDir); ok && sum != "" && sum != digest.Of([]byte(text)).String() {
			t.Errorf("%s has digest %s", name, digest.Of([]byte(text)))
		}
	}
	dir := t.TempDir()
	d := NewDirectory(dir)
	write(t, small, d, false)
	var total int64
	err := filepath.WalkDir(dir, func(p string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		b, err := os.ReadFile(p)
		total += int64(len(b))
		name, _ := filepath.Rel(dir, p)
		if data[name] != string(b) {
			t.Errorf("%s differs", name)
		}
		delete(data, name)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(data) != 2 || total != d.Size() {
		t.Errorf("the archive has besides: %v; %d bytes, size says %d", data, total, d.Size())
	}
	again := archive(t, small, false)
	one, _ := os.ReadFile(path)
	two, _ := os.ReadFile(again)
	if !bytes.Equal(one, two) || len(one)%512 != 0 {
		t.Errorf("two archives differ, or are no whole blocks: %d and %d bytes", len(one), len(two))
	}
}

func TestDocker(t *testing.T) {
	names, data := files(t, archive(t, small, true))
	if len(names) != 4 || names[3] != "manifest.json" {
		t.Fatalf("files are %v", names)
	}
	want := fmt.Sprintf(`[{"Config":%q,"RepoTags":["web:latest"],"Layers":[%q,%q]}]`, names[2], names[0], names[1])
	if d := cmp.Diff(want, data["manifest.json"]); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
	for _, name := range names[:3] {
		if sum, _, _ := strings.Cut(name, "."); sum != digest.Of([]byte(data[name])).String() {
			t.Errorf("%s has another digest", name)
		}
	}
}

// TestJudges has others read all three.
func TestJudges(t *testing.T) {
	judge.Path(t, "skopeo")
	i := small
	i.Arch = "amd64"
	dir := filepath.Join(t.TempDir(), "layout")
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	write(t, i, NewDirectory(dir), false)
	for _, from := range []string{"oci:" + dir + ":web:latest", "oci-archive:" + archive(t, i, false), "docker-archive:" + archive(t, i, true) + ":web:latest"} {
		if out := judge.Run(t, "skopeo", "inspect", from); !strings.Contains(out, `"Architecture": "amd64"`) {
			t.Errorf("%s: %s", from, out)
		}
		judge.Run(t, "skopeo", "copy", "--insecure-policy", from, "dir:"+t.TempDir())
	}
}

// TestGreatLayer has a header for more than ustar's octal digits say.
func TestGreatLayer(t *testing.T) {
	h, err := NewArchive(nil, 0).header("x", 1<<40)
	if err != nil || len(h) != 512 {
		t.Fatalf("%d bytes, %v", len(h), err)
	}
	got, err := tar.NewReader(bytes.NewReader(h)).Next()
	if err != nil || got.Size != 1<<40 {
		t.Errorf("size is %d, %v", got.Size, err)
	}
}
