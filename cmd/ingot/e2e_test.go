// These tests judge the whole house by its command alone: real packages from the
// mirror that this machine's apt sources name, real boots, and outside programs as
// judges. ./test.sh runs them (INGOT_TEST=ci) with the judges on PATH; "full" does
// more of the same.
package main_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"ingot/internal/judge"
)

// TestHouse is every case, each by its name: -run TestHouse/crash/kill.
func TestHouse(t *testing.T) {
	judge.Needs(t, judge.CI)
	c := convene(t, judge.At() == judge.Full)
	for _, part := range []struct {
		name   string
		judge  func(t *testing.T)
		beside bool // others: it counts no steps of the cache that cases share, and no seconds
	}{
		{"definition", c.definition, false},
		{"lock", c.lock, false},
		{"image", c.image, false},
		{"content", c.content, false},
		{"cache", c.caching, false},
		{"offline", c.offline, false},
		{"user", c.user, false},
		{"container", c.container, false},
		{"containers", c.containers, false},
		{"network", c.network, false},
		{"elements", c.elements, true},
		{"crash", c.crash, true},
		{"layout", c.layout, true},
		{"encrypted", c.encrypted, true},
		{"day", c.day, true},
		{"loaders", c.loaders, true},
		{"iso", c.iso, true},
		{"disks", c.disks, true},
		{"appliances", c.appliances, true},
		{"bare", c.bare, true},
		{"boot", c.boot, true},
		{"mmdebstrap", c.mmdebstrap, true},
		{"foreign", c.foreign, true},
		{"example", c.example, true},
		{"failing", c.failing, true},
		{"console", c.console, true},
		{"servers", c.servers, true},
		{"groups", c.groups, true},
		{"machines", c.machines, true},
		{"errands", c.errands, true},
		{"hosts", c.hosts, true},
		{"host story", c.hostStory, true},
		{"host power", c.hostPower, true},
	} {
		t.Run(part.name, func(t *testing.T) {
			if part.beside {
				t.Parallel()
			}
			timed(part.judge)(t)
		})
	}
}

// timed is a test whose time is recorded: a case, or a part of one that takes long.
func timed(f func(t *testing.T)) func(t *testing.T) {
	return func(t *testing.T) {
		start := time.Now()
		f(t)
		record(t, strings.TrimPrefix(t.Name(), "TestHouse/"), time.Since(start))
	}
}

// record adds how long a case took to the file that INGOT_TEST_TIMES names: what a run
// that goes well says no more of.
func record(t *testing.T, name string, took time.Duration) {
	t.Helper()
	path := os.Getenv("INGOT_TEST_TIMES")
	if path == "" || took < time.Second {
		return
	}
	f, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := fmt.Fprintf(f, "%6.0f s  %s\n", took.Seconds(), name); err != nil {
		t.Error(err)
	}
}

// A court is what all cases share: the program, a mirror on loopback that keeps
// what it has passed on, a home and a cache.
type court struct {
	full   bool
	dir    string // of this run
	kept   string // INGOT_TEST_HOME, or the same
	bin    string
	mirror *mirror
	rich   func() (*project, error)
}

func convene(t *testing.T, full bool) *court {
	t.Helper()
	dir, err := os.MkdirTemp("", "ingot-e2e-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if t.Failed() && os.Getenv("INGOT_TEST_HOME") != "" {
			t.Logf("%s is kept: it failed, and INGOT_TEST_HOME is set", dir)
			return
		}
		removeAll(t, dir)
	})
	// The ordinary user of a test reads here too.
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	c := &court{full: full, dir: dir, kept: dir, bin: filepath.Join(dir, "ingot")}
	if kept := os.Getenv("INGOT_TEST_HOME"); kept != "" {
		c.kept = kept
	}
	build := exec.CommandContext(t.Context(), "go", "build", "-o", c.bin, ".")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	c.mirror = realMirror(t, filepath.Join(c.kept, "mirror"))
	c.rich = sync.OnceValues(func() (*project, error) { return c.buildRich(t) })
	return c
}

// removeAll removes a directory of a test, whose parts may belong to subordinate
// ids.
func removeAll(t *testing.T, dir string) {
	t.Helper()
	if err := os.RemoveAll(dir); err != nil {
		t.Errorf("cannot clean up: %v", err)
	}
}

// A project is a definition in a directory of its own, and where its builds keep
// things.
type project struct {
	c      *court
	dir    string
	home   string
	cache  string
	mirror string   // for --mirror, or ""
	env    []string // more of the environment
	prefix []string // a program that runs ingot: as another user, in other namespaces
}

// project makes one, with files by path; a file whose text begins with "#!" is
// executable. Home and cache are the run's own, which all share, until fresh.
func (c *court) project(t *testing.T, files map[string]string) *project {
	t.Helper()
	dir, err := os.MkdirTemp(c.dir, strings.ReplaceAll(filepath.Base(t.Name()), " ", "-")+"-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if !t.Failed() {
			removeAll(t, dir)
		}
	})
	return c.projectAt(t, dir, files)
}

func (c *court) projectAt(t *testing.T, dir string, files map[string]string) *project {
	t.Helper()
	p := &project{c: c, dir: dir, home: filepath.Join(c.kept, "home"), cache: filepath.Join(c.kept, "cache"), mirror: c.mirror.debian()}
	p.write(t, files)
	return p
}

// fresh gives the project a home and a cache of its own.
func (p *project) fresh() *project {
	q := *p
	q.home, q.cache = filepath.Join(p.dir, ".home"), filepath.Join(p.dir, ".cache")
	return &q
}

// from gives it another mirror.
func (p *project) from(m *mirror) *project {
	q := *p
	q.mirror = m.debian()
	return &q
}

func (p *project) write(t *testing.T, files map[string]string) {
	t.Helper()
	for name, text := range files {
		path := p.path(name)
		mode := os.FileMode(0o644)
		if strings.HasPrefix(text, "#!") {
			mode = 0o755
		}
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), mode); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(path, mode); err != nil { // whatever the umask
			t.Fatal(err)
		}
	}
}

func (p *project) path(name string) string { return filepath.Join(p.dir, name) }

func (p *project) read(t *testing.T, name string) string {
	t.Helper()
	b, err := os.ReadFile(p.path(name))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// minimal is the smallest definition that has a package manager.
const minimal = `version: 1
name: small
distro: debian
release: bookworm
outputs: [tar]
`

// Verbs that take --mirror.
var fetching = []string{"build", "lock", "plan", "why"}

// command is ingot, ready to be started in the project.
func (p *project) command(ctx context.Context, args ...string) *exec.Cmd {
	argv := append(slices.Clone(p.prefix), p.c.bin)
	argv = append(argv, args...)
	if len(args) > 0 && slices.Contains(fetching, args[0]) && p.mirror != "" && !slices.Contains(args, "--offline") {
		argv = append(argv, "--mirror", p.mirror)
	}
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	cmd.Dir = p.dir
	cmd.Env = append([]string{
		"PATH=" + os.Getenv("PATH"), "HOME=" + p.dir, "LANG=C.UTF-8",
		"INGOT_HOME=" + p.home, "INGOT_CACHE=" + p.cache,
	}, p.env...)
	return cmd
}

// A verdict is how a command ended.
type verdict struct {
	code     int
	out, err string
	took     time.Duration
}

// How long one command may take, and the start of one machine in it, before a test holds
// it for stuck. They measure nothing: emulated, beside other work, what is healthy takes
// many times what it takes alone.
const (
	patience     = 25 * time.Minute
	bootPatience = "22m"
)

// ingot runs a verb to its end.
func (p *project) ingot(t *testing.T, args ...string) verdict {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	return finish(t, p.command(ctx, args...))
}

func finish(t *testing.T, cmd *exec.Cmd) verdict {
	t.Helper()
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	start := time.Now()
	err := cmd.Run()
	v := verdict{out: out.String(), err: errs.String(), took: time.Since(start)}
	if _, ok := errors.AsType[*exec.ExitError](err); err != nil && !ok {
		t.Errorf("%s: %v", cmd, err)
		v.code = -1
		return v
	}
	v.code = cmd.ProcessState.ExitCode()
	return v
}

// must runs a verb that has to succeed and gives what it printed.
func (p *project) must(t *testing.T, args ...string) string {
	t.Helper()
	v := p.ingot(t, args...)
	if v.code != 0 {
		t.Fatalf("ingot %s: exit code %d\n%s", strings.Join(args, " "), v.code, tail(v.err, 40))
	}
	return v.out
}

// refuse runs a verb that has to end with a code and say certain words.
func (p *project) refuse(t *testing.T, code int, words []string, args ...string) verdict {
	t.Helper()
	v := p.ingot(t, args...)
	v.check(t, code, words, args...)
	return v
}

func (v verdict) check(t *testing.T, code int, words []string, args ...string) {
	t.Helper()
	if v.code != code {
		t.Errorf("ingot %s: exit code %d, want %d\n%s", strings.Join(args, " "), v.code, code, tail(v.err, 30))
		return
	}
	complaint := v.complaint()
	for _, w := range words {
		if !strings.Contains(complaint, w) {
			t.Errorf("ingot %s does not say %q:\n%s", strings.Join(args, " "), w, complaint)
		}
	}
}

// complaint is the error with its hint.
func (v verdict) complaint() string {
	if i := strings.Index(v.err, "ingot: error:"); i >= 0 {
		return v.err[i:]
	}
	return tail(v.err, 20)
}

func tail(text string, lines int) string {
	all := strings.Split(strings.TrimRight(text, "\n"), "\n")
	return strings.Join(all[max(0, len(all)-lines):], "\n")
}

// A built is what build --json prints.
type built struct {
	Schema    int
	Group     string
	Lock      string
	Artifacts []struct {
		Format, Path, SHA256, Manifest, SBOM, Provenance string
		Size                                             int64
	}
	Steps   struct{ Run, Cached int }
	Seconds float64
	Tests   []struct {
		Command string `json:"command"`
		Exit    int    `json:"exit"`
	}
}

// build builds into "out", with more arguments.
func (p *project) build(t *testing.T, args ...string) built {
	t.Helper()
	if !slices.Contains(args, "--to") {
		args = append(args, "--to", "out")
	}
	text := p.must(t, append([]string{"build", "--json"}, args...)...)
	var b built
	parse(t, []byte(text), &b)
	return b
}

func parse(t *testing.T, data []byte, v any) {
	t.Helper()
	if err := json.Unmarshal(data, v); err != nil {
		t.Fatalf("%v in %.200s", err, data)
	}
}

// lines are the non-empty lines of a text.
func lines(text string) []string {
	var out []string
	for l := range strings.Lines(text) {
		if l = strings.TrimRight(l, "\n"); l != "" {
			out = append(out, l)
		}
	}
	return out
}

// sums are a directory's checksums, which sha256sum has found to be right, by name.
func sums(t *testing.T, dir string) map[string]string {
	t.Helper()
	judge.RunIn(t, dir, "sha256sum", "--quiet", "--strict", "-c", "SHA256SUMS")
	data, err := os.ReadFile(filepath.Join(dir, "SHA256SUMS"))
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]string{}
	for _, l := range lines(string(data)) {
		sum, name, ok := strings.Cut(l, "  ")
		if !ok {
			t.Fatalf("SHA256SUMS: %q", l)
		}
		out[name] = sum
	}
	return out
}

// sameSums holds two directories' checksums against each other.
func sameSums(t *testing.T, got, want map[string]string) {
	t.Helper()
	for name, sum := range want {
		if got[name] != sum {
			t.Errorf("%s has digest %.12s, want %.12s", name, got[name], sum)
		}
	}
	for name := range got {
		if want[name] == "" {
			t.Errorf("%s is one too many", name)
		}
	}
}

// storeWhole asks ingot whether every blob has its digest, and looks itself.
func (p *project) storeWhole(t *testing.T) {
	t.Helper()
	var list struct {
		Store string
		Blobs int
	}
	parse(t, []byte(p.must(t, "store", "list", "--verify", "--json")), &list)
	n := 0
	err := filepath.WalkDir(filepath.Join(list.Store, "blobs"), func(path string, d os.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		n++
		if sum := sha256File(t, path); !strings.HasSuffix(filepath.Base(path), sum[2:]) {
			t.Errorf("the blob %s has digest %s", path, sum)
		}
		return nil
	})
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		t.Error(err)
	}
	if n != list.Blobs {
		t.Errorf("the store has %d blobs and lists %d", n, list.Blobs)
	}
	noLeftovers(t, list.Store, "tmp")
}

// noLeftovers finds files of writers that were killed.
func noLeftovers(t *testing.T, dir string, sub ...string) {
	t.Helper()
	for _, s := range sub {
		found, err := os.ReadDir(filepath.Join(dir, s))
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			t.Error(err)
		}
		for _, f := range found {
			t.Errorf("%s was left", filepath.Join(dir, s, f.Name()))
		}
	}
}

// artifactsOnly finds leftovers among artifacts.
func artifactsOnly(t *testing.T, dir string) {
	t.Helper()
	found, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		t.Error(err)
	}
	for _, f := range found {
		if strings.HasPrefix(f.Name(), ".") {
			t.Errorf("%s was left", filepath.Join(dir, f.Name()))
		}
	}
}

func copyFile(t *testing.T, to, from string) {
	t.Helper()
	copyPart(t, to, from, [2]int64{0, math.MaxInt64})
}

// copyPart copies a part of a file: its offset and length.
func copyPart(t *testing.T, to, from string, part [2]int64) {
	t.Helper()
	in, err := os.Open(from)
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	out, err := os.Create(to)
	if err != nil {
		t.Fatal(err)
	}
	if _, err = io.Copy(out, io.NewSectionReader(in, part[0], part[1])); err == nil {
		err = out.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
}

func isRoot() bool { return os.Geteuid() == 0 }
