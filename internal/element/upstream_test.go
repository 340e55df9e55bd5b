package element_test

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	. "ingot/internal/element" //nolint:revive,staticcheck // the room itself, from outside: Debian's imports it
	"ingot/internal/element/elementtest"
	"ingot/internal/fault"
	"ingot/internal/judge"
)

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
		out[release] = elementtest.Upstream(t, release)
	}
	return out
}

// What is known of the elements without having them is what the stable release has.
func TestShipped(t *testing.T) {
	dir, ok := upstreamDirs(t)["trixie"]
	if !ok {
		t.Skip("trixie's elements among the directories of elements make this run: ./test.sh brings them")
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

// The reference says of every element that ships what is known of it on Debian.
func TestUpstreamReference(t *testing.T) {
	dirs := upstreamDirs(t)
	text, err := os.ReadFile("../../docs/reference/elements-debian.md")
	if err != nil {
		t.Fatal(err)
	}
	p, err := Open(Own(), Dir(dirs["trixie"]))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range p.Names() {
		if !strings.Contains(string(text), "`"+name+"`") {
			t.Errorf("nothing is said of %s", name)
		}
	}
}
