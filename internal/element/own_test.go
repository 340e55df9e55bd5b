package element

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"ingot/internal/judge"
)

// commands puts the commands of ingot's own elements into a directory, beside
// an install-packages that says what it is asked for.
func commands(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	h := merged(t, open(t, Own()), "package-installs", "svc-map")
	for _, f := range h.Files {
		if name, ok := strings.CutPrefix(f.Path, "bin/"); ok {
			data, err := h.Read(f.Path, 1<<20)
			if err != nil {
				t.Fatal(err)
			}
			if f.Mode.Perm() != 0o755 {
				t.Errorf("%s has mode %o", f.Path, f.Mode)
			}
			if err := os.WriteFile(filepath.Join(dir, name), data, 0o755); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "install-packages"), []byte("#!/bin/sh\necho \"install-packages $*\"\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	return dir
}

// command runs one of them and gives its output and exit code.
func command(t *testing.T, dir string, env []string, args ...string) (stdout, stderr string, code int) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), judge.Path(t, "sh"), append([]string{filepath.Join(dir, args[0])}, args[1:]...)...)
	cmd.Env = append([]string{"PATH=" + dir + ":" + os.Getenv("PATH")}, env...)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	err := cmd.Run()
	if _, ok := errors.AsType[*exec.ExitError](err); err != nil && !ok {
		t.Fatal(err)
	}
	return out.String(), errs.String(), cmd.ProcessState.ExitCode()
}

const testMap = `{
	"release": {"fedora": {"23": {"nova": "nova-of-23"}}, "centos": {"8": {"nova": "nova-of-8"}}},
	"distro": {"fedora": {"nova": "openstack-compute", "glance": "openstack-image"}, "debian": {"odd \"name\"": "a\\b"}},
	"family": {"redhat": {"nova": "openstack-nova", "two": "one two"}, "debian": {"nova": "nova-compute", "none": "", "null": null}},
	"default": {"nova": "nova", "glance": "glance", "none": "some"}
}`

func TestCommandPkgMap(t *testing.T) {
	dir := commands(t)
	file := filepath.Join(dir, "map.json")
	bad := filepath.Join(dir, "bad.json")
	for path, text := range map[string]string{file: testMap, bad: `{"default": {"a" "b"}`} {
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	m, err := ParsePackageMap([]byte(testMap), "map")
	if err != nil {
		t.Fatal(err)
	}
	// Whatever the map is asked, the command and the room say the same.
	names := []string{"nova", "glance", "two", "none", "null", `odd "name"`, "missing", "-x=y"}
	for _, distro := range []string{"debian", "ubuntu", "fedora", "centos", "rocky", "opensuse", "gentoo", "arch"} {
		for _, release := range []string{"23", "8-stream", "8", "bookworm", ""} {
			var want []string
			for _, n := range names {
				// The command prints a line a name, whatever is in it.
				if line := strings.Join(m.For(distro, release).Names(n), " "); line != "" {
					want = append(want, "- "+line)
				}
			}
			got, stderr, code := command(t, dir, []string{"DISTRO_NAME=" + distro, "DIB_RELEASE=" + release},
				append([]string{"pkg-map", "--prefix", "- ", "--missing-ok", "--pkg-map", file}, names...)...)
			if code != 0 || got != strings.Join(want, "\n")+"\n" {
				t.Errorf("%s %s: exit %d, %s\n%swant\n%s", distro, release, code, stderr, got, strings.Join(want, "\n"))
			}
		}
	}
	for _, row := range []struct {
		name, args, out, err string
		code                 int
	}{
		{"missing", "--pkg-map " + file + " --distro debian nova missing", "nova-compute\n", "no valid mapping for package missing", 1},
		{"no element", "--distro debian nova", "", "Please specify an --element", 1},
		{"both", "--element a --pkg-map b --distro debian nova", "", "Specify either", 1},
		{"no distribution", "--element a nova", "", "Please specify a --distro", 1},
		{"no map", "--element none-such --distro debian nova", "", "does not exist", 2},
		{"no map, and fine", "--element none-such --distro=debian --missing-ok nova --prefix=x glance", "xnova\nxglance\n", "", 0},
		{"a bad map", "--pkg-map " + bad + " --distro debian a", "", "Unable to parse", 1},
		{"nothing to map", "--pkg-map " + file + " --distro debian", "", "", 0},
	} {
		t.Run(row.name, func(t *testing.T) {
			out, stderr, code := command(t, dir, nil, append([]string{"pkg-map"}, strings.Fields(row.args)...)...)
			if out != row.out || code != row.code || !strings.Contains(stderr, row.err) {
				t.Errorf("exit %d, %q, %q", code, out, stderr)
			}
		})
	}
}

func TestCommandPackageInstalls(t *testing.T) {
	dir := commands(t)
	lists := []PhasePackages{
		{Phase: "pre-install.d"},
		{Phase: "install.d", Install: []Request{{"b", "two"}, {"a", "one"}, {"c", "two"}, {"a", "two"}}, Remove: []Request{{"b", "two"}}},
		{Phase: "post-install.d", Install: []Request{{`od"d`, "one"}}},
	}
	file := filepath.Join(dir, "list.json")
	if err := os.WriteFile(file, packagesJSON(lists), 0o644); err != nil {
		t.Fatal(err)
	}
	var upstream map[string]map[string][][2]string
	if err := json.Unmarshal(packagesJSON(lists), &upstream); err != nil || len(upstream) != 2 || len(upstream["install.d"]["install"]) != 4 {
		t.Errorf("the list is not JSON of diskimage-builder's form: %v, %v", upstream, err)
	}
	env := []string{"DISTRO_NAME=debian"}
	for _, row := range []struct {
		name string
		args []string
		want string
		code int
	}{
		{"nothing", []string{"--phase", "pre-install.d", file}, "Nothing to install\n", 0},
		{"by element, each once", []string{"--phase", "install.d", file}, "Running command: install-packages b c a\ninstall-packages b c a\n", 0},
		{"remove", []string{"--phase", "install.d", "--uninstall", file}, "Running command: install-packages -e b\ninstall-packages -e b\n", 0},
		{"say only", []string{"--phase=post-install.d", "-n", file}, "install-packages od\"d\n", 0},
		{"no file", []string{"--phase", "install.d", file + ".none"}, "", 1},
		{"wrong use", []string{"--phase"}, "", 2},
	} {
		t.Run(row.name, func(t *testing.T) {
			out, stderr, code := command(t, dir, env, append([]string{"package-installs-v2"}, row.args...)...)
			if out != row.want || code != row.code {
				t.Errorf("exit %d, %q, %s", code, out, stderr)
			}
		})
	}

	text := filepath.Join(dir, "install.d")
	if err := os.Mkdir(text, 0o755); err != nil {
		t.Fatal(err)
	}
	for name, content := range map[string]string{"package-installs-one": "# none\n a  b \n\n-c d\nlast", "package-installs-two": "- e\n", "10-script": "x\n"} {
		if err := os.WriteFile(filepath.Join(text, name), []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for name, want := range map[string]string{"package-installs": "install-packages a b c d last e\n", "package-uninstalls": "install-packages -e c d e\n"} {
		if out, stderr, code := command(t, dir, env, name, "-d", text); out != want || code != 0 {
			t.Errorf("%s: exit %d, %q, %s", name, code, out, stderr)
		}
		if out, stderr, code := command(t, dir, env, name, "-d", filepath.Join(dir, "none")); out != "" || code != 0 {
			t.Errorf("%s of nothing: exit %d, %q, %s", name, code, out, stderr)
		}
		if _, _, code := command(t, dir, env, name); code != 1 {
			t.Errorf("%s without a directory: exit %d", name, code)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "install-packages"), []byte("#!/bin/sh\nexit 100\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	if _, _, code := command(t, dir, env, "package-installs-v2", "--phase", "install.d", file); code != 1 {
		t.Errorf("a failure is exit %d", code)
	}
}

// Every script of ingot's own elements is one that some shell reads, and runs.
func TestOwnElements(t *testing.T) {
	p := open(t, Own())
	names := []string{"dib-init-system", "install-bin", "install-static", "package-installs", "pkg-map", "svc-map"}
	if got := p.Names(); !slices.Equal(got, names) {
		t.Errorf("there are %q", got)
	}
	h := merged(t, p, names...)
	var got strings.Builder
	for _, phase := range Phases {
		for _, s := range h.Phase(phase.Name) {
			fmt.Fprintf(&got, "%s %s %s\n", s.Side, s.Path(), s.Element)
		}
	}
	want := `host extra-data.d/10-create-pkg-map-dir pkg-map
host extra-data.d/10-merge-svc-map-files svc-map
host extra-data.d/11-copy-svc-map-file svc-map
host extra-data.d/99-squash-package-install package-installs
target pre-install.d/01-install-bin install-bin
target pre-install.d/04-dib-init-system dib-init-system
target pre-install.d/10-package-installs package-installs
target pre-install.d/99-package-uninstalls package-installs
target install.d/01-package-installs package-installs
target install.d/10-install-static-files install-static
target install.d/20-install-init-scripts dib-init-system
target install.d/99-package-uninstalls package-installs
target post-install.d/00-package-installs package-installs
target post-install.d/10-enable-init-scripts dib-init-system
target post-install.d/95-package-uninstalls package-installs
`
	if got.String() != want {
		t.Errorf("got\n%swant\n%s", got.String(), want)
	}
	if ignored := h.Ignored(); len(ignored) != 0 {
		t.Errorf("ignored: %v", ignored)
	}
	shells := map[string]string{"#!/bin/sh": judge.Path(t, "sh"), "#!/bin/bash": judge.Path(t, "bash")}
	for _, f := range h.Files {
		if !f.Mode.IsRegular() || f.Mode.Perm()&0o111 == 0 && !strings.HasPrefix(f.Path, EnvironmentDir) {
			continue
		}
		data, err := h.Read(f.Path, 1<<20)
		if err != nil {
			t.Fatal(err)
		}
		first, _, _ := strings.Cut(string(data), "\n")
		shell := shells[first]
		if strings.HasPrefix(f.Path, EnvironmentDir) {
			shell = shells["#!/bin/bash"]
		}
		if shell == "" {
			t.Errorf("%s begins with %q", f.Path, first)
			continue
		}
		cmd := exec.CommandContext(t.Context(), shell, "-n")
		cmd.Stdin = bytes.NewReader(data)
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("%s: %v\n%s", f.Path, err, out)
		}
	}
	one, _ := fs.ReadFile(own, "own/package-installs/bin/package-installs")
	two, _ := fs.ReadFile(own, "own/package-installs/bin/package-uninstalls")
	if !bytes.Equal(one, two) {
		t.Error("package-installs and package-uninstalls are not the same program")
	}
}

func TestPrepare(t *testing.T) {
	h := merged(t, open(t, Own(), elements(t, "e", `
		web/element-deps = package-installs\nsvc-map
		web/package-installs.yaml = server:\ncompiler: {build-only: true}
		web/pkg-map = {"distro": {"debian": {"server": "apache2"}}}
		web/svc-map = web: {debian: apache2, default: httpd}\nother: {}
	`)), "web")
	files, warnings, err := Prepare(h, Surrounding{Env: map[string]string{"DISTRO_NAME": "debian"}})
	if err != nil || len(warnings) != 0 {
		t.Fatal(warnings, err)
	}
	h = h.With(files)
	want := map[string]string{
		"ingot/package-installs.json": "{\n \"install.d\": {\n  \"install\": [\n   [\"server\",\"web\"],\n   [\"compiler\",\"web\"]],\n  \"uninstall\": [\n   [\"compiler\",\"web\"]]}\n}\n",
		"ingot/pkg-map/web":           `{"distro": {"debian": {"server": "apache2"}}}`,
		"ingot/svc-map-services":      "other: other\nweb: apache2\n",
	}
	for name, text := range want {
		if data, err := h.Read(name, 1<<20); string(data) != text || err != nil {
			t.Errorf("%s: %q, %v", name, data, err)
		}
	}
	if d, ok := h.Get("ingot/pkg-map"); !ok || !d.Mode.IsDir() {
		t.Errorf("ingot/pkg-map is %v", d)
	}
	packages, _, err := h.AllPackages(Surrounding{Env: map[string]string{"DISTRO_NAME": "debian"}})
	if err != nil || !slices.Equal(packages[1].Install, []string{"apache2", "compiler"}) || !slices.Equal(packages[1].Remove, []string{"compiler"}) {
		t.Errorf("packages %v, %v", packages, err)
	}
}

// The scripts of ingot's own elements are run as a build runs them, with the image's
// paths below a directory: what they leave there is the element's effect.
func TestOwnScripts(t *testing.T) {
	h := merged(t, open(t, Own(), elements(t, "e", `
		web/element-deps = package-installs\nsvc-map\ninstall-static\ndib-init-system
		web/package-installs.yaml = server:\n
		web/pkg-map = {"family": {"debian": {"server": "apache2"}}}
		web/svc-map = web: {debian: apache2, default: httpd}
		web/bin/tool 0644 = #!/bin/sh\n
		web/bin/sub/not = x
		web/init-scripts/systemd/web.service = [Unit]\n
		web/init-scripts/sysv/web 0755 = #!/bin/sh\n
		web/static/etc/web.conf = x\n
		web/static/etc/.web = x\n
		web/static/etc/web.conf~ = old\n
		web/static/etc/link -> web.conf
	`)), "web")
	env := map[string]string{"DISTRO_NAME": "debian", "DIB_INIT_SYSTEM": "systemd"}
	files, _, err := Prepare(h, Surrounding{Env: env})
	if err != nil {
		t.Fatal(err)
	}
	h = h.With(files)
	top := t.TempDir()
	root, hooks, bin := filepath.Join(top, "mnt"), filepath.Join(top, "hooks"), filepath.Join(top, "bin")
	said := filepath.Join(top, "said")
	for _, dir := range []string{hooks, bin, filepath.Join(root, "tmp"), filepath.Join(root, "usr/local/bin")} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	paths := strings.NewReplacer("/usr/", root+"/usr/", "/etc/", root+"/etc/", " /tmp/", " "+root+"/tmp/", `/" /`, `/" `+root+"/",
		"-o root -g root ", "", "chown root:root", "true")
	for _, f := range h.Files {
		at := filepath.Join(hooks, f.Path)
		switch {
		case f.Mode.IsDir():
			err = os.Mkdir(at, 0o755)
		case f.Mode&fs.ModeSymlink != 0:
			err = os.Symlink(f.Target, at)
		default:
			var data []byte
			if data, err = h.Read(f.Path, 1<<20); err == nil {
				if f.Element != "web" && !strings.HasPrefix(f.Path, "extra-data.d") {
					data = []byte(paths.Replace(string(data)))
				}
				err = os.WriteFile(at, data, f.Mode.Perm())
			}
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	for name, text := range map[string]string{
		"sudo":             `exec "$@"`,
		"install-packages": `echo "install-packages $*" >>` + said,
		// What rsync -lCr does to these files.
		"rsync": `test "$1" = -lCr && cp -R "$2." "$3" && find "$3" -name '*~' -delete`,
	} {
		if err := os.WriteFile(filepath.Join(bin, name), []byte("#!/bin/sh\n"+text+"\n"), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for _, phase := range Phases {
		for _, s := range h.Phase(phase.Name) {
			cmd := exec.CommandContext(t.Context(), judge.Path(t, "bash"), "-c", "set -eu; . "+filepath.Join(hooks, "environment.d/99-dib-init-system")+"; "+filepath.Join(hooks, s.Path()))
			cmd.Env = []string{"PATH=" + bin + ":" + root + "/usr/local/bin:" + os.Getenv("PATH"), "TMP_MOUNT_PATH=" + root, "DISTRO_NAME=debian", "DIB_INIT_SYSTEM=systemd"}
			if out, err := cmd.CombinedOutput(); err != nil {
				t.Errorf("%s: %v\n%s", s.Path(), err, out)
			}
		}
	}
	for name, want := range map[string]string{
		"mnt/usr/share/pkg-map/web":              `{"family": {"debian": {"server": "apache2"}}}`,
		"mnt/usr/share/svc-map/services":         "web: apache2\n",
		"mnt/usr/local/bin/tool":                 "#!/bin/sh\n",
		"mnt/usr/local/bin/dib-init-system":      "#!/bin/bash\necho systemd\n",
		"mnt/usr/lib/systemd/system/web.service": "[Unit]\n",
		"mnt/etc/web.conf":                       "x\n",
		"mnt/etc/.web":                           "x\n",
		"mnt/etc/web.conf~":                      "",
		"mnt/etc/init.d/web":                     "",
		"mnt/usr/local/bin/not":                  "",
		"said":                                   "install-packages rsync apache2\n",
	} {
		data, err := os.ReadFile(filepath.Join(top, name))
		if string(data) != want || (err != nil) != (want == "") {
			t.Errorf("%s: %q, %v, want %q", name, data, err, want)
		}
	}
	for _, command := range []string{"tool", "pkg-map", "svc-map", "package-installs", "package-installs-v2", "package-uninstalls"} {
		if info, err := os.Stat(filepath.Join(root, "usr/local/bin", command)); err != nil || info.Mode().Perm() != 0o755 {
			t.Errorf("%s: %v, %v", command, info, err)
		}
	}
	if out, stderr, _ := command(t, filepath.Join(root, "usr/local/bin"), nil, "svc-map", "web", "other"); out != "apache2\nother\n" {
		t.Errorf("svc-map: %q, %s", out, stderr)
	}
	for system, want := range map[string]string{"": "DIB_INIT_SYSTEM is not set", "runit": "which is none of"} {
		cmd := exec.CommandContext(t.Context(), judge.Path(t, "bash"), "-c", "set -eu; . "+filepath.Join(hooks, "environment.d/99-dib-init-system"))
		cmd.Env = []string{"DIB_INIT_SYSTEM=" + system}
		if out, err := cmd.CombinedOutput(); err == nil || !strings.Contains(string(out), want) {
			t.Errorf("an init system %q: %v, %s", system, err, out)
		}
	}
}
