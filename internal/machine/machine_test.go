package machine

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"ingot/internal/fault"
	"ingot/internal/judge"
	"ingot/internal/template"
)

var small = &template.Template{Name: "small", Inputs: []template.Input{
	{Name: "memory", Kind: template.Size, Default: int64(256 << 20)},
	{Name: "disk", Kind: template.Size, Optional: true},
	{Name: "cpus", Kind: template.Integer, Default: int64(1)},
	{Name: "hostname", Kind: template.String, Optional: true},
	{Name: "password", Kind: template.Password, Optional: true},
	{Name: "token", Kind: template.Password, Optional: true},
	{Name: "text", Kind: template.String, Default: ""},
}}

func request(t *testing.T, image, name string, given map[string]any) Request {
	t.Helper()
	a, err := small.Answer(given)
	if err != nil {
		t.Fatal(err)
	}
	return Request{Name: name, Template: small, Answers: a, From: "/t/ingot.yaml", Version: "v1", Image: image}
}

// place is a home and an image.
func place(t *testing.T) (Home, string) {
	t.Helper()
	dir := t.TempDir()
	image := filepath.Join(dir, "image.raw")
	if err := os.WriteFile(image, make([]byte, 1<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	return At(filepath.Join(dir, "home")), image
}

// files are all files below a directory.
func files(t *testing.T, dir string) []string {
	t.Helper()
	var out []string
	err := filepath.WalkDir(dir, func(p string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			rel, _ := filepath.Rel(dir, p)
			out = append(out, rel)
		}
		return err
	})
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
	return out
}

func TestMake(t *testing.T) {
	h, image := place(t)
	const secret = "s3cret-word"
	p, err := h.Plan(request(t, image, "web1", map[string]any{"disk": "4GiB", "password": secret, "token": "t0ken", "text": "$(id)'\""}))
	if err != nil {
		t.Fatal(err)
	}
	if got := files(t, h.Dir); got != nil {
		t.Errorf("a plan made %v", got)
	}
	began := time.Now()
	if err := p.Do(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Logf("made in %v", time.Since(began))
	base := ".bases/" + p.Record.Base
	if diff := cmp.Diff([]string{base, ".lock", "web1/disk.qcow2", "web1/machine.json", "web1/seed.iso"}, files(t, h.Dir)); diff != "" {
		t.Error(diff)
	}
	if out := judge.Run(t, "qemu-img", "check", filepath.Join(h.Path("web1"), diskFile)); !strings.Contains(out, "No errors") {
		t.Error(out)
	}
	if out := judge.Run(t, "qemu-img", "info", filepath.Join(h.Path("web1"), diskFile)); !strings.Contains(out, "virtual size: 4 GiB") || !strings.Contains(out, "actual path: "+h.Path("web1")+"/../"+base) {
		t.Error(out)
	}
	r, err := h.Open("web1")
	if err != nil || r.Memory != 256<<20 || r.Disk != 4<<30 || r.Inputs["password"] != "********" || r.Inputs["text"] != "$(id)'\"" || h.PID(r) != 0 {
		t.Errorf("%+v %v", r, err)
	}
	// The password is nowhere; what the machine's own scripts need of secrets is in its
	// seed alone, which only its owner reads.
	for _, f := range files(t, h.Dir) {
		data, err := os.ReadFile(filepath.Join(h.Dir, f))
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(string(data), secret) {
			t.Errorf("%s has the password", f)
		}
		if info, err := os.Stat(filepath.Join(h.Dir, f)); err != nil || info.Mode().Perm()&0o077 != 0 {
			t.Errorf("%s may be read by others: %v %v", f, info.Mode(), err)
		}
	}
	for _, s := range p.Steps {
		for _, part := range s.Files {
			if strings.Contains(part.Text, "t0ken") || strings.Contains(part.Text, "$6$") {
				t.Errorf("the plan shows a secret: %s", part.Text)
			}
		}
	}
	// The image may go, and be built again: machines stand on what it was.
	if err := os.Remove(image); err != nil {
		t.Fatal(err)
	}
	judge.Run(t, "qemu-img", "check", filepath.Join(h.Path("web1"), diskFile))
	if why := r.Outdated(func(string) (string, error) { return "v1", nil }); !strings.Contains(why, "no image") {
		t.Errorf("outdated: %q", why)
	}
	if why := r.Outdated(func(string) (string, error) { return "v2", nil }); why != "its template has changed" {
		t.Errorf("outdated: %q", why)
	}
	if err := h.Remove("web1"); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{".lock"}, files(t, h.Dir)); diff != "" {
		t.Error(diff)
	}
}

func TestRefuses(t *testing.T) {
	h, image := place(t)
	p, err := h.Plan(request(t, image, "there", nil))
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Do(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name, image string
		given       map[string]any
		want        string
		code        fault.Code
	}{
		{"there", image, nil, "there already", fault.Choice}, {"a/b", image, nil, "not the name", fault.Usage}, {"A", image, nil, "not the name", fault.Usage}, {"", image, nil, "not the name", fault.Usage}, {"..", image, nil, "not the name", fault.Usage},
		{"m", image + "x", nil, "no image", fault.NotFound}, {"m", image, map[string]any{"disk": "512KiB"}, "smaller than the image", fault.Usage}, {"m", image, map[string]any{"memory": "1MiB"}, "at least 64", fault.Usage},
		{"m", image, map[string]any{"memory": "900TiB"}, "more than this host has", fault.Preflight}, {"m", image, map[string]any{"cpus": "0"}, "1 to 255", fault.Usage}, {"m", image, map[string]any{"hostname": "$(id)"}, "not a host's name", fault.Usage},
	} {
		_, err := h.Plan(request(t, c.image, c.name, c.given))
		if err == nil || !strings.Contains(err.Error(), c.want) || fault.CodeOf(err) != c.code {
			t.Errorf("%s %v: %v (%d), want %s (%d)", c.name, c.given, err, fault.CodeOf(err), c.want, c.code)
		}
	}
	if _, err := h.Open("ther"); fault.CodeOf(err) != fault.NotFound || !strings.Contains(fault.HintOf(err), `"there"`) {
		t.Errorf("%v %s", err, fault.HintOf(err))
	}
}

// TestUndo breaks each step in turn: what was made is gone, and what was there stays.
func TestUndo(t *testing.T) {
	for _, kind := range template.Seeds {
		undo(t, kind)
	}
	h, image := place(t)
	p, err := h.Plan(request(t, image, "m", nil))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := p.Do(ctx); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

// seeded is a request of a machine with a seed of a kind.
func seeded(t *testing.T, image, name string, kind template.Seed) Request {
	r := request(t, image, name, map[string]any{"token": "t0ken"})
	own := *r.Template
	own.Seed = kind
	r.Template = &own
	return r
}

func undo(t *testing.T, kind template.Seed) {
	t.Helper()
	for broken, steps := 0, 1; broken < steps; broken++ {
		h, image := place(t)
		first, err := h.Plan(request(t, image, "first", nil))
		if err != nil {
			t.Fatal(err)
		}
		if err := first.Do(t.Context()); err != nil {
			t.Fatal(err)
		}
		before := files(t, h.Dir)
		other := image + "2"
		if err := os.WriteFile(other, make([]byte, 2<<20), 0o600); err != nil {
			t.Fatal(err)
		}
		p, err := h.Plan(seeded(t, other, "second", kind))
		if err != nil {
			t.Fatal(err)
		}
		if steps = len(p.Steps); steps < 5 {
			t.Fatalf("%s: %d steps", kind, steps)
		}
		p.Steps[broken].Path = filepath.Join(h.Dir, "none", "x")
		if err := p.Do(t.Context()); err == nil {
			t.Fatalf("%s: step %d was done", kind, broken)
		}
		if diff := cmp.Diff(before, files(t, h.Dir)); diff != "" {
			t.Errorf("%s: step %d: %s", kind, broken, diff)
		}
		if _, err := os.Stat(h.Path("second")); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s: step %d: the directory stays", kind, broken)
		}
	}
}

// TestUnfinished finds what a crash left, and removes it.
func TestUnfinished(t *testing.T) {
	h, image := place(t)
	p, err := h.Plan(request(t, image, "m", nil))
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Do(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(filepath.Join(h.Path("m"), recordFile)); err != nil {
		t.Fatal(err)
	}
	if list, err := h.List(); err != nil || len(list) != 0 {
		t.Errorf("%v %v", list, err)
	}
	if _, err := h.Open("m"); err == nil || !strings.Contains(err.Error(), "never finished") {
		t.Error(err)
	}
	if err := h.Remove("m"); err != nil {
		t.Fatal(err)
	}
	if got := files(t, h.Dir); !cmp.Equal(got, []string{".lock"}) {
		t.Error(got)
	}
}
