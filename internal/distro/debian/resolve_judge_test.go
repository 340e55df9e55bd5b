package debian

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"sort"
	"strings"
	"sync"
	"testing"
	"time"

	"ingot/internal/judge"

	"ingot/internal/distro"
)

// The judge of resolution is apt-get itself, in a private configuration with an
// empty status file and the host's own mirror. A request is one line:
//
//	SUITE +rec|-rec TOKEN…
//
// In the project's own requests NAME=@ stands for the version that the suite has
// at the time, so that the file does not age.
type request struct {
	suite      string
	recommends bool
	tokens     []string
}

func parseRequest(line string) (request, error) {
	f := strings.Fields(line)
	if len(f) < 3 || f[1] != "+rec" && f[1] != "-rec" {
		return request{}, fmt.Errorf("request %q: want SUITE +rec|-rec TOKEN…", line)
	}
	return request{f[0], f[1] == "+rec", f[2:]}, nil
}

func (r request) String() string {
	rec := "-rec"
	if r.recommends {
		rec = "+rec"
	}
	return r.suite + " " + rec + " " + strings.Join(r.tokens, " ")
}

func readRequests(t *testing.T, path string) []request {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var all []request
	for line := range strings.Lines(string(data)) {
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' {
			continue
		}
		r, err := parseRequest(line)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, r)
	}
	return all
}

// A court is apt-get and the universe for one suite.
type court struct {
	suite    string
	dir      string
	universe *Universe
	digest   string // of the index
	quick    bool   // ask for the choice only, not for the order of installation
}

// courtDir is where indexes and apt-get's answers are kept between runs.
func courtDir(t testing.TB) string {
	t.Helper()
	dir := os.Getenv("INGOT_TEST_CACHE")
	if dir == "" {
		base, err := os.UserCacheDir()
		if err != nil {
			t.Skip("no cache directory: set INGOT_TEST_CACHE to make this run")
		}
		dir = filepath.Join(base, "ingot-test")
	}
	dir = filepath.Join(dir, "resolve")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	return dir
}

// openCourt has apt-get fetch a suite's index, at most once in six hours, and
// reads the same file.
func openCourt(t testing.TB, suite string) *court {
	t.Helper()
	if _, err := exec.LookPath("apt-get"); err != nil {
		t.Skip("apt-get, the judge, is not installed: on a Debian host this runs")
	}
	c := &court{suite: suite, dir: filepath.Join(courtDir(t), suite)}
	for _, d := range []string{"state/lists/partial", "cache/archives/partial", "etc/apt.conf.d", "etc/preferences.d"} {
		if err := os.MkdirAll(filepath.Join(c.dir, d), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	c.write(t, "status", "")
	c.write(t, "apt.conf", fmt.Sprintf(`Dir::State "%[1]s/state";
Dir::State::status "%[1]s/status";
Dir::Cache "%[1]s/cache";
Dir::Etc "%[1]s/etc";
APT::Architecture "amd64";
APT::Architectures { "amd64"; };
APT::Sandbox::User "root";
APT::AutoRemove::SuggestsImportant "false";
Acquire::Check-Valid-Until "false";
Acquire::Languages "none";
`, c.dir))
	lists, _ := filepath.Glob(filepath.Join(c.dir, "state/lists/*_main_binary-amd64_Packages"))
	stamp := filepath.Join(c.dir, "fetched")
	if info, err := os.Stat(stamp); len(lists) != 1 || err != nil || time.Since(info.ModTime()) > 6*time.Hour {
		c.write(t, "etc/sources.list", "deb "+hostMirror(t)+" "+suite+" main\n")
		if out, err := c.apt("update").CombinedOutput(); err != nil {
			t.Skipf("apt-get cannot fetch %s, a network makes this run: %v\n%s", suite, err, out)
		}
		c.write(t, "fetched", "")
		lists, _ = filepath.Glob(filepath.Join(c.dir, "state/lists/*_main_binary-amd64_Packages"))
	}
	if len(lists) != 1 {
		t.Fatalf("apt-get has fetched %d indexes of %s", len(lists), suite)
	}
	data, err := os.ReadFile(lists[0])
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(data)
	c.digest = hex.EncodeToString(sum[:])
	from := Source{Archive: "debian", Suite: suite, Component: "main", Arch: "amd64"}
	x, err := ReadIndex(bytes.NewReader(data), from)
	if err != nil {
		t.Fatal(err)
	}
	if c.universe, err = NewUniverse(Options{Arch: "amd64"}, x); err != nil {
		t.Fatal(err)
	}
	return c
}

func (c *court) write(t testing.TB, name, content string) {
	t.Helper()
	path := filepath.Join(c.dir, name)
	if have, err := os.ReadFile(path); err == nil && string(have) == content && name != "fetched" {
		return // apt's cache is older than what it is made of otherwise
	}
	if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
}

// hostMirror is where the host's own apt gets Debian from.
func hostMirror(t testing.TB) string {
	t.Helper()
	files, _ := filepath.Glob("/etc/apt/sources.list.d/*.sources")
	for _, path := range files {
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		for s := range Stanzas(data) {
			uris, _ := s.Field("URIs")
			for uri := range strings.FieldsSeq(uris) {
				if strings.HasSuffix(strings.TrimSuffix(uri, "/"), "/debian") {
					keys, _ := s.Field("Signed-By")
					return "[signed-by=" + keys + "] " + uri
				}
			}
		}
	}
	old, _ := os.ReadFile("/etc/apt/sources.list")
	for line := range strings.Lines(string(old)) {
		if f := strings.Fields(line); len(f) > 2 && f[0] == "deb" && strings.HasSuffix(strings.TrimSuffix(f[1], "/"), "/debian") {
			return f[1]
		}
	}
	t.Skip("the host's apt sources name no Debian mirror: a Debian host makes this run")
	return ""
}

func (c *court) apt(args ...string) *exec.Cmd {
	cmd := exec.CommandContext(context.Background(), "apt-get", args...)
	cmd.Env = append(os.Environ(), "APT_CONFIG="+filepath.Join(c.dir, "apt.conf"), "LC_ALL=C")
	return cmd
}

// concrete puts the suite's versions in the place of @.
func (c *court) concrete(r request) request {
	r.tokens = slices.Clone(r.tokens)
	for i, token := range r.tokens {
		if name, ok := strings.CutSuffix(token, "=@"); ok {
			r.tokens[i] = name
			if g, ok := c.universe.group(name); ok {
				if p := c.universe.preferred(g, true); p != none && c.universe.candidate(p) != none {
					r.tokens[i] = name + "=" + c.universe.version(c.universe.candidate(p))
				}
			}
		}
	}
	return r
}

// verdict is what apt-get or ingot makes of a request: the packages as
// "name=version", or "name:arch=version" for a foreign one, or why it is
// impossible.
type verdict struct {
	packages []string
	err      string
}

// ask has apt-get answer, or its earlier answer to the same.
func (c *court) ask(r request) (verdict, error) {
	mode := []string{"-s"}
	if c.quick || os.Getenv("INGOT_RESOLVE_QUICK") != "" {
		// The same choice without the simulation of its installation, which
		// takes apt most of the time.
		mode = []string{"-V", "--print-uris"}
	}
	sum := sha256.Sum256([]byte(c.digest + "\n" + strings.Join(mode, " ") + "\n" + r.String()))
	path := filepath.Join(c.dir, "answers", hex.EncodeToString(sum[:16]))
	if data, err := os.ReadFile(path); err == nil {
		text, failed := strings.CutPrefix(string(data), "E: ")
		if failed {
			return verdict{err: text}, nil
		}
		return verdict{packages: strings.Fields(text)}, nil
	}
	args := append(mode, "-q", "-o", fmt.Sprintf("APT::Install-Recommends=%v", r.recommends), "install", "--")
	cmd := c.apt(append(args, r.tokens...)...)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := cmd.Run()
	var v verdict
	if exit := (*exec.ExitError)(nil); errors.As(err, &exit) {
		v.err = strings.TrimSpace(stderr.String())
		if v.err == "" {
			v.err = "no reason given"
		}
	} else if err != nil {
		return v, err
	} else {
		v.packages = installed(stdout.Bytes())
	}
	text := strings.Join(v.packages, "\n")
	if v.err != "" {
		text = "E: " + v.err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return v, err
	}
	return v, os.WriteFile(path, []byte(text), 0o644)
}

// installed reads the lines "Inst name[:arch] (version archive [arch])" of a
// simulation, or "   name[:arch] (version)" below "NEW packages".
func installed(out []byte) []string {
	var all []string
	listing := false
	for line := range strings.Lines(string(out)) {
		f := strings.Fields(line)
		switch {
		case len(f) > 2 && f[0] == "Inst":
			all = append(all, f[1]+"="+strings.TrimPrefix(f[2], "("))
		case strings.HasPrefix(line, "   ") && len(f) == 2 && listing:
			all = append(all, f[0]+"="+strings.Trim(f[1], "()"))
		default:
			listing = strings.Contains(line, "NEW packages")
		}
	}
	sort.Strings(all)
	return slices.Compact(all)
}

// resolve is ingot's own verdict.
func (c *court) resolve(r request) verdict {
	refs, err := c.universe.Resolve(distro.Request{Arch: "amd64", Packages: r.tokens, Recommends: r.recommends})
	if err != nil {
		return verdict{err: err.Error()}
	}
	var v verdict
	for _, ref := range refs {
		name := ref.Name
		if ref.Arch != "amd64" && ref.Arch != "all" {
			name += ":" + ref.Arch
		}
		v.packages = append(v.packages, name+"="+ref.Version)
	}
	sort.Strings(v.packages)
	return v
}

// differ says how ingot's verdict differs from apt-get's, or nothing.
func differ(got, want verdict) string {
	switch {
	case got.err != "" && want.err != "":
		return ""
	case got.err != "":
		return fmt.Sprintf("apt-get installs %d packages, ingot says: %s", len(want.packages), got.err)
	case want.err != "":
		return fmt.Sprintf("ingot installs %d packages, apt-get says: %s", len(got.packages), want.err)
	}
	var diff []string
	for _, p := range want.packages {
		if !slices.Contains(got.packages, p) {
			diff = append(diff, "-"+p)
		}
	}
	for _, p := range got.packages {
		if !slices.Contains(want.packages, p) {
			diff = append(diff, "+"+p)
		}
	}
	return strings.Join(diff, " ")
}

// holdCourt compares all requests and reports.
func holdCourt(t *testing.T, requests []request) {
	t.Helper()
	courts := map[string]*court{}
	for _, r := range requests {
		if courts[r.suite] == nil {
			courts[r.suite] = openCourt(t, r.suite)
		}
	}
	type result struct {
		want, got verdict
		diff      string
		took      time.Duration
	}
	results := make([]result, len(requests))
	work := make(chan int)
	var wg sync.WaitGroup
	for range 2 {
		wg.Go(func() {
			for i := range work {
				c := courts[requests[i].suite]
				r := c.concrete(requests[i])
				want, err := c.ask(r)
				if err != nil {
					t.Errorf("%s: %v", r, err)
					continue
				}
				start := time.Now()
				got := c.resolve(r)
				results[i] = result{want, got, differ(got, want), time.Since(start)}
			}
		})
	}
	for i := range requests {
		work <- i
	}
	close(work)
	wg.Wait()
	var same, impossible, packages int
	var took, longest time.Duration
	for i, r := range results {
		took += r.took
		longest = max(longest, r.took)
		packages += len(r.want.packages)
		if r.want.err != "" {
			impossible++
		}
		if r.diff == "" {
			same++
			continue
		}
		t.Errorf("%s:\n\t%s", requests[i], r.diff)
	}
	t.Logf("%d requests, %d of them impossible, %d packages: %d as apt-get has it, %d not; ingot took %v a request, %v at most",
		len(requests), impossible, packages, same, len(requests)-same, took/time.Duration(max(1, len(requests))), longest)
}

// TestResolveAsApt judges the requests of the file that INGOT_RESOLVE_REQUESTS
// names, else those of the project: all with INGOT_TEST=full, a sample of every suite
// with ci, else ten if apt-get has indexes already.
func TestResolveAsApt(t *testing.T) {
	if path := os.Getenv("INGOT_RESOLVE_REQUESTS"); path != "" {
		holdCourt(t, readRequests(t, path))
		return
	}
	requests := readRequests(t, "testdata/requests.txt")
	switch judge.At() {
	case judge.Full:
	case judge.CI:
		// A fixed seed: the same sample each time.
		draw := rand.New(rand.NewPCG(1, 2))
		draw.Shuffle(len(requests), func(i, j int) { requests[i], requests[j] = requests[j], requests[i] })
		requests = requests[:min(len(requests), 60)]
	default:
		if _, err := os.Stat(filepath.Join(courtDir(t), "bookworm", "fetched")); err != nil {
			t.Skip("apt-get has no indexes yet: INGOT_TEST=full fetches them and judges all requests")
		}
		requests = slices.DeleteFunc(requests, func(r request) bool { return r.suite != "bookworm" })
		requests = requests[:min(len(requests), 10)]
	}
	holdCourt(t, requests)
}

// TestResolveDrawn judges freshly drawn requests: INGOT_RESOLVE_DRAW=SEED:COUNT.
// With INGOT_RESOLVE_WRITE it appends them to that file instead.
func TestResolveDrawn(t *testing.T) {
	var seed uint64
	var count int
	if _, err := fmt.Sscanf(os.Getenv("INGOT_RESOLVE_DRAW"), "%d:%d", &seed, &count); err != nil {
		t.Skip("INGOT_RESOLVE_DRAW=SEED:COUNT makes this run")
	}
	var all []request
	suites := []string{"bookworm", "stable", "testing", "unstable"}
	for i, suite := range suites {
		c := openCourt(t, suite)
		all = append(all, draw(c.universe, suite, seed+uint64(i), (count+len(suites)-1)/len(suites))...)
	}
	path := os.Getenv("INGOT_RESOLVE_WRITE")
	if path == "" {
		holdCourt(t, all)
		return
	}
	f, err := os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		t.Fatal(err)
	}
	var text strings.Builder
	for _, r := range all {
		text.WriteString(r.String() + "\n")
	}
	_, err = f.WriteString(text.String())
	if err := errors.Join(err, f.Close()); err != nil {
		t.Fatal(err)
	}
}
