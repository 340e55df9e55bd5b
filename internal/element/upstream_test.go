package element_test

import (
	"bytes"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"ingot/internal/distro"
	"ingot/internal/distro/debian"
	. "ingot/internal/element" //nolint:revive,staticcheck // the room itself, from outside: Debian's imports it
	"ingot/internal/fault"
	"ingot/internal/fetch"
	"ingot/internal/judge"
	"ingot/internal/tree"
)

const upstreamPackage = ShippedPackage

// upstreamDirs are directories of the elements that Debian's package of
// diskimage-builder has, by release: those of INGOT_DIB_ELEMENTS (RELEASE=DIRECTORY
// with colons in between), or else fetched, verified and unpacked as an image's
// packages are.
func upstreamDirs(t *testing.T) map[string]string {
	t.Helper()
	out := map[string]string{}
	if given := os.Getenv("INGOT_DIB_ELEMENTS"); given != "" {
		for _, entry := range filepath.SplitList(given) {
			release, dir, _ := strings.Cut(entry, "=")
			out[release] = dir
		}
		return out
	}
	judge.Needs(t, judge.CI)
	for _, release := range []string{"bookworm", "trixie", "sid"} {
		out[release] = fetched(t, release)
	}
	return out
}

// fetched is the elements of a release's package, in a directory.
func fetched(t *testing.T, release string) string {
	t.Helper()
	dir := t.TempDir()
	keys, err := debian.ArchiveKeys()
	if err != nil {
		t.Fatal(err)
	}
	at := debian.DefaultArchives(release)[0]
	at.Suites = at.Suites[:1]
	m := debian.Mirrors{Env: os.Getenv("INGOT_MIRROR_DEBIAN"), Host: debian.AptSources("/")}
	// A mirror may be frozen, and what is read here matters for no image.
	archives := []debian.Archive{{Archive: at, Roots: m.Roots(at), Keys: keys, AcceptExpired: true}}
	client := &fetch.Client{}
	u := debian.Updater{Client: client, Cache: filepath.Join(dir, "cache"), Seen: filepath.Join(dir, "seen"), Now: time.Now()}
	files, err := u.Update(t.Context(), archives, []string{"amd64"})
	if err != nil {
		t.Fatal(err)
	}
	var indexes []*debian.Index
	for _, x := range files {
		f, err := os.Open(x.File)
		if err != nil {
			t.Fatal(err)
		}
		index, err := debian.ReadIndex(f, x.Source)
		_ = f.Close()
		if err != nil {
			t.Fatal(err)
		}
		indexes = append(indexes, index)
	}
	universe, err := debian.NewUniverse(debian.Options{Arch: "amd64"}, indexes...)
	if err != nil {
		t.Fatal(err)
	}
	refs, err := universe.Resolve(distro.Request{Arch: "amd64", Packages: []string{upstreamPackage}})
	if err != nil {
		t.Fatal(err)
	}
	i := slices.IndexFunc(refs, func(r distro.Ref) bool { return r.Name == upstreamPackage })
	if i < 0 {
		t.Fatalf("%s has no %s", release, upstreamPackage)
	}
	deb := filepath.Join(dir, "package.deb")
	if _, err := client.Save(t.Context(), debian.Want(archives[0].Roots, refs[i]), deb); err != nil {
		t.Fatal(err)
	}
	t.Logf("%s has %s %s", release, upstreamPackage, refs[i].Version)
	return unpacked(t, refs[i], deb, filepath.Join(dir, "unpacked"))
}

// A memory is a pack that is never written.
type memory struct{ bytes.Buffer }

func (m *memory) Name() string { return "memory" }
func (m *memory) Size() int64  { return int64(m.Len()) }

// unpacked writes the elements of a package file and gives their directory.
func unpacked(t *testing.T, ref distro.Ref, deb, to string) string {
	t.Helper()
	f, err := os.Open(deb)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	p, err := debian.Debian{}.Inspect(t.Context(), ref, f)
	if err != nil {
		t.Fatal(err)
	}
	var pack memory
	u, err := debian.Debian{}.Unpack(t.Context(), p, f, &pack)
	if err != nil {
		t.Fatal(err)
	}
	const elements = ShippedDir
	for e := range u.Tree.All() {
		if e.Path != elements && !strings.HasPrefix(e.Path, elements+"/") {
			continue
		}
		at := filepath.Join(to, e.Path)
		switch e.Kind {
		case tree.Dir:
			err = os.MkdirAll(at, 0o755)
		case tree.File:
			err = os.WriteFile(at, pack.Bytes()[e.Content.Offset:e.Content.Offset+e.Content.Size], fs.FileMode(e.Mode))
		case tree.Symlink:
			err = os.Symlink(e.Link, at)
		default:
			t.Errorf("%s is a %s", e.Path, e.Kind)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return filepath.Join(to, elements)
}

// What is known of the elements without having them is what the stable release has.
func TestShipped(t *testing.T) {
	dir, ok := upstreamDirs(t)["trixie"]
	if !ok {
		t.Skip("not among the directories")
	}
	say := func(s Source) string {
		p, err := Open(s)
		if err != nil {
			t.Fatal(err)
		}
		var b strings.Builder
		for _, name := range p.Names() {
			if name == "__pycache__" {
				continue
			}
			e, err := p.Load(name)
			if err != nil {
				t.Fatal(err)
			}
			texts := func(words []Word) []string {
				var out []string
				for _, w := range words {
					out = append(out, w.Text)
				}
				slices.Sort(out)
				return slices.Compact(out)
			}
			fmt.Fprintln(&b, name, texts(e.Deps), texts(e.Provides))
		}
		return b.String()
	}
	if diff := cmp.Diff(say(Dir(dir)), say(Shipped())); diff != "" {
		t.Errorf("-package +known:\n%s", diff)
	}
}

// upstreamEnvironment is what the environment.d of a Debian build leaves.
func upstreamEnvironment(p *Path) map[string]string {
	env := map[string]string{"ARCH": "amd64", "DISTRO_NAME": "debian", "DIB_PYTHON_VERSION": "3", "DIB_DEFAULT_INSTALLTYPE": "source", "DRACUT_VERSION": "037"}
	for _, name := range p.Names() {
		e, err := p.Load(name)
		if err != nil {
			continue
		}
		wishes, _ := e.Packages() // said by the test itself
		for _, w := range wishes {
			for _, c := range w.When {
				env[c.Variable] = c.Value
			}
		}
	}
	return env
}

// TestUpstream puts every element of diskimage-builder through the whole room: it is
// expanded, merged, planned and linted, with ingot's own elements in front. What goes
// wrong is what goes wrong there too.
func TestUpstream(t *testing.T) {
	for release, dir := range upstreamDirs(t) {
		t.Run(release, func(t *testing.T) {
			t.Run("debian", func(t *testing.T) { upstreamDebian(t, dir) })
			t.Run("helpers", func(t *testing.T) { upstreamHelpers(t, dir) })
			p, err := Open(Own(), Dir(dir))
			if err != nil {
				t.Fatal(err)
			}
			names := p.Names()
			if len(names) < 117 {
				t.Errorf("there are %d elements", len(names))
			}
			env := upstreamEnvironment(p)
			// Elements that cannot be built: what they say is what diskimage-builder says.
			wrong := map[string]string{
				"deploy-kexec":       `there is no element "deploy"`,
				"modprobe-blacklist": "both have install.d/80-modprobe-blacklist",
			}
			planned := 0
			for _, name := range names {
				err := plan(p, name, env)
				want := wrong[name]
				if want == "" && err == nil {
					planned++
					continue
				}
				if want == "" || err == nil || !strings.Contains(err.Error(), want) {
					t.Errorf("%s: %v | %s, want %q", name, err, fault.HintOf(err), want)
				}
			}
			list, err := Lint(p, names)
			if err != nil {
				t.Fatal(err)
			}
			byRule := map[string]int{}
			for _, w := range list {
				byRule[w.Rule]++
				if w.Rule == RuleInvalid || w.Rule == RuleClash {
					t.Errorf("lint: %s", w)
				}
			}
			t.Logf("%d elements planned, warnings: %v", planned, byRule)
			has := func(rule, file string) {
				if !slices.ContainsFunc(list, func(w Warning) bool { return w.Rule == rule && strings.HasSuffix(w.File, file) }) {
					t.Errorf("lint does not say %s of %s", rule, file)
				}
			}
			has(RuleNotExecutable, "enable-serial-console/cleanup.d/99-fix-grub")
			has(RuleNoElement, "deploy-kexec/element-deps")
			has(RuleDSA, "runtime-ssh-host-keys.sh")
		})
	}
}

// plan does with an element, and what else a build of it has, all there is to do.
func plan(p *Path, name string, env map[string]string) error {
	s, err := Expand(p, []string{name}, Options{Arch: "amd64"})
	for _, more := range []string{"debian-minimal", "block-device-mbr", "debian-minimal block-device-mbr"} {
		if err == nil || strings.HasPrefix(name, "yum") || strings.HasPrefix(name, "zypper") {
			break
		}
		s, err = Expand(p, append(strings.Fields(more), name), Options{Arch: "amd64"})
	}
	if err != nil {
		// yum and zypper are parts of other systems than Debian.
		s, err = Expand(p, []string{name}, Options{Arch: "amd64", AnyOS: true})
	}
	if err != nil {
		return err
	}
	h, err := Merge(s)
	if err != nil {
		return err
	}
	files, _, err := Prepare(h, Surrounding{Env: env})
	if err != nil {
		return err
	}
	h = h.With(files).InstallTypes(env)
	scripts := 0
	for _, phase := range Phases {
		scripts += len(h.Phase(phase.Name))
	}
	if scripts == 0 || len(h.Environment()) == 0 {
		return fmt.Errorf("nothing runs")
	}
	if _, _, err := h.AllPackages(Surrounding{Env: env}); err != nil {
		return err
	}
	lines, err := h.Sources()
	if err != nil {
		return err
	}
	for _, l := range lines {
		if _, err := l.Expand(env); err != nil {
			return err
		}
	}
	_, _, _, err = s.BlockDevice("amd64")
	return err
}

// upstreamDebian is the order of a Debian machine's build, script by script.
func upstreamDebian(t *testing.T, dir string) {
	p, err := Open(Own(), Dir(dir))
	if err != nil {
		t.Fatal(err)
	}
	s, err := Expand(p, []string{"vm", "debian-minimal"}, Options{Arch: "amd64"})
	if err != nil {
		t.Fatal(err)
	}
	want := "base block-device-mbr bootloader debian-minimal debootstrap dib-init-system dpkg install-bin install-types manifests modprobe package-installs pkg-map sysprep vm"
	if got := strings.Join(s.Names(), " "); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	h, err := Merge(s)
	if err != nil {
		t.Fatal(err)
	}
	got := ""
	for _, phase := range Phases {
		for _, s := range h.Phase(phase.Name) {
			got += s.Path() + " "
		}
	}
	for _, some := range []string{
		"root.d/08-debootstrap root.d/09-apt-keyring root.d/50-block-apt-translations root.d/50-block-daemons ",
		"extra-data.d/10-create-pkg-map-dir extra-data.d/20-manifest-dir extra-data.d/50-modprobe-blacklist extra-data.d/99-enable-install-types extra-data.d/99-squash-package-install ",
		"pre-install.d/00-disable-apt-recommends pre-install.d/01-install-bin pre-install.d/03-baseline-tools pre-install.d/04-dib-init-system pre-install.d/10-package-installs ",
		"install.d/20-install-init-scripts install.d/80-modprobe-blacklist install.d/99-package-uninstalls post-install.d/00-package-installs ",
		"finalise.d/50-bootloader ",
	} {
		if !strings.Contains(got, some) {
			t.Errorf("%s\nhas not %s", got, some)
		}
	}
	data, file, _, err := s.BlockDevice("amd64")
	if err != nil || !strings.HasSuffix(file, "block-device-mbr/block-device-default.yaml") || len(data) == 0 {
		t.Errorf("the layout is %s, %v", file, err)
	}
	packages, _, err := h.AllPackages(Surrounding{Env: upstreamEnvironment(p)})
	if err != nil || !slices.Contains(packages[1].Install, "linux-image-amd64") && !slices.Contains(packages[1].Install, "linux-image") {
		t.Errorf("packages %v, %v", packages, err)
	}
}

// ingot's own elements have the same scripts as those whose place they take, and bring
// the same commands.
func upstreamHelpers(t *testing.T, dir string) {
	own, err := Open(Own())
	if err != nil {
		t.Fatal(err)
	}
	theirs, err := Open(Dir(dir))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range own.Names() {
		a, b := scriptsOf(t, own, name), scriptsOf(t, theirs, name)
		// It made, before there were hooks in the image, what Prepare makes.
		b = slices.DeleteFunc(b, func(s string) bool { return s == "bin/package-installs-squash" })
		if !slices.Equal(a, b) {
			t.Errorf("%s: ours\n%s\ntheirs\n%s", name, strings.Join(a, "\n"), strings.Join(b, "\n"))
		}
	}
}

// scriptsOf are an element's scripts, snippets and commands.
func scriptsOf(t *testing.T, p *Path, name string) []string {
	t.Helper()
	e, err := p.Load(name)
	if err != nil {
		t.Fatal(err)
	}
	h, err := Merge(Set{Elements: []*Element{e}})
	if err != nil {
		t.Fatal(err)
	}
	out := h.Environment()
	for _, phase := range Phases {
		for _, s := range h.Phase(phase.Name) {
			out = append(out, s.Path())
		}
	}
	for _, l := range h.List("bin") {
		out = append(out, "bin/"+l.Name)
	}
	return out
}
