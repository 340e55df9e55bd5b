package definition

import (
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"golang.org/x/sys/unix"

	"ingot/internal/fault"
	"ingot/internal/flavor"
	"ingot/internal/template"
)

const five = "version: 1\nname: web_1\ndistro: debian\nrelease: bookworm\noutputs: [qcow2]\n"

const publicKey = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAINUUE3uOEvU9UrzhAN6eAM1iebEqDvyWb1ooaqbUy6e7"

const hash = "$6$saltsalt$" + "0123456789012345678901234567890123456789012345678901234567890123456789012345678901234."

func loaded(t *testing.T, files map[string]string) *Definition {
	t.Helper()
	d, err := Load(filepath.Join(lay(t, files), FileName), Options{HostArch: "amd64"})
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// same compares definitions but for where they lie.
func same(t *testing.T, want, got *Definition) {
	t.Helper()
	if d := cmp.Diff(want, got, cmpopts.IgnoreFields(Definition{}, "Dir", "Inputs"), cmpopts.IgnoreUnexported(Definition{}), cmpopts.EquateEmpty()); d != "" {
		t.Errorf("-want +got:\n%s", d)
	}
}

func TestFiveLinesAndTheirDefaults(t *testing.T) {
	same(t, &Definition{
		Version: 1, Name: "web_1", Distro: "debian", Release: "bookworm",
		Arch: []string{"amd64"}, Start: "minbase", Hostname: "web-1", Locale: "C.UTF-8", Timezone: "Etc/UTC",
		Kernel:  Kernel{Package: "linux-image-cloud-amd64", Console: "ttyS0"},
		Boot:    Boot{Firmware: []string{"bios", "uefi"}, Loader: "grub"},
		Outputs: []Output{{Format: "qcow2", Free: 512 << 20}},
	}, loaded(t, map[string]string{FileName: five}))
}

// The block under "The definition" in the design, letter by letter, but for what
// it leaves out with dots and what this version does not support yet.
func TestShapesOfTheDesign(t *testing.T) {
	block, err := os.ReadFile("testdata/design.yaml")
	if err != nil {
		t.Fatal(err)
	}
	text := "version: 1\nname: web\ndistro: debian\nrelease: bookworm\n"
	for line := range strings.Lines(string(block)) {
		text += line
	}
	text = strings.NewReplacer(
		`"..."`, `"http://archive.example/debian"`,
		`"ssh-ed25519 ..."`, `"`+publicKey+`"`,
		`"$y$..."`, `"`+hash+`"`,
	).Replace(text)
	d := loaded(t, map[string]string{
		FileName: text, "key.asc": "", "site/index.html": "", "setup.sh": "#!/bin/sh\n", "data/a": "", "common.yaml": "packages: [curl]\n",
	})
	least := int64(128 << 20)
	uid, gid, mode, motd := uint32(1000), uint32(2000), uint32(0o644), "hi\n"
	in := func(p string) string { return filepath.Join(d.Dir, p) }
	own, err := flavor.Parse("~kernel,~!vmware")
	if err != nil {
		t.Fatal(err)
	}
	same(t, &Definition{
		Version: 1, Name: "web", Distro: "debian", Release: "bookworm",
		Arch: []string{"amd64", "arm64"}, Start: "minbase",
		Archives: []Archive{{URL: "http://archive.example/debian", Suites: []string{"bookworm"}, Components: []string{"main"}, Key: in("key.asc")}},
		Packages: []string{"curl", "nginx", "curl=7.88.1-10"}, Remove: []string{"nano"},
		Hostname: "web", Locale: "C.UTF-8", Timezone: "Europe/Paris",
		Users:      []User{{Name: "ops", UID: &uid, Groups: []string{"sudo"}, Shell: "/bin/bash", SSHKeys: []string{publicKey}, PasswordHash: hash}},
		UnixGroups: []UnixGroup{{Name: "media", GID: &gid}},
		Files: []File{
			{Path: "/etc/motd", Content: &motd, Mode: &mode, Owner: "root", Group: "root"},
			{Path: "/srv/site", Source: in("site"), Owner: "root", Group: "root"},
		},
		Services: Services{Enable: []string{"nginx"}},
		Scripts:  []Script{{Name: "setup", Run: in("setup.sh"), Reads: []string{in("data")}, After: "packages"}},
		Flavor:   own,
		Kernel:   Kernel{Package: "linux-image-cloud-amd64", Chosen: true, Arguments: []string{"quiet"}, Console: "ttyS0"},
		Boot:     Boot{Firmware: []string{"bios", "uefi"}, Loader: "grub", Secure: true},
		Layout:   Layout{Said: true},
		Outputs:  []Output{{Format: "qcow2", Free: 1 << 30}, {Format: "tar.zst"}, {Format: "lxc"}},
		Elements: &Elements{Names: []string{"cloud-init"}, Environment: map[string]string{"DIB_CLOUD_INIT_DATASOURCES": "NoCloud"}},
		Tests:    []Test{{Run: "systemctl is-active nginx", Expect: "^active", Timeout: time.Minute}},
		Template: &template.Template{Name: "web", Inputs: []template.Input{{Name: "memory", Kind: template.Size, Default: int64(512 << 20), Min: &least}}},
	}, d)
	want := []string{"data/a", "key.asc", "setup.sh", "site/index.html"}
	if diff := cmp.Diff(want, d.Sources()); diff != "" {
		t.Errorf("sources: -want +got:\n%s", diff)
	}
}

func TestTextsAreTakenByTheirLetters(t *testing.T) {
	d := loaded(t, map[string]string{FileName: `version: 1
name: web
distro: debian
release: 1.10
archives: [{url: "http://own.example", suites: [1.10, 007], check-valid-until: true}]
packages: ["a1=1.10", "libc6:amd64", g++, foo/bookworm-backports, "e2=1:0~rc1+b2-3"]
hostname: "007"
kernel: none
outputs: [tar]
`})
	got := []string{d.Release, strings.Join(d.Archives[0].Suites, " "), strings.Join(d.Archives[0].Components, " "), strings.Join(d.Packages, " "), d.Hostname}
	want := []string{"1.10", "1.10 007", "main", "a1=1.10 libc6:amd64 g++ foo/bookworm-backports e2=1:0~rc1+b2-3", "007"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	if !d.Kernel.None || d.Kernel.Package != "" || !d.Archives[0].CheckValidUntil {
		t.Errorf("got %+v %+v", d.Kernel, d.Archives[0])
	}
}

func TestIncludesAreMergedInOrder(t *testing.T) {
	d := loaded(t, map[string]string{
		FileName: "include: [a.yaml, sub/b.yaml]\nversion: 1\nname: web\nhostname: main\npackages: [pm]\nkernel: {console: ttyS1}\nfiles: [{path: /m, source: m}]\noutputs: [tar]\n",
		"a.yaml": "include: [sub/c.yaml]\ndistro: debian\nrelease: sid\nhostname: a\ntimezone: Etc/GMT+1\npackages: [pa, px]\nkernel: {package: linux-a, console: ttyS9, arguments: [a]}\nservices: {enable: [sa]}\n",
		// Below a directory, paths are relative to that directory; c was read already.
		"sub/b.yaml": "include: [c.yaml]\nrelease: trixie\npackages: [pb, px]\nkernel: {arguments: [b]}\nservices: {enable: [sb], mask: [mb]}\nfiles: [{path: /b, source: b}]\n",
		"sub/c.yaml": "packages: [pc]\nlocale: C\ntimezone: Etc/GMT+3\nrecommends: true\n",
		"m":          "", "sub/b": "",
	})
	got := []string{
		d.Release, d.Hostname, d.Timezone, d.Locale, strings.Join(d.Packages, " "),
		d.Kernel.Package, d.Kernel.Console, strings.Join(d.Kernel.Arguments, " "),
		strings.Join(d.Services.Enable, " "), strings.Join(d.Services.Mask, " "), strings.Join(d.Sources(), " "),
	}
	want := []string{
		"trixie", "main", "Etc/GMT+1", "C", "pc pa px pb pm",
		"linux-a", "ttyS1", "a b", "sa sb", "mb", "m sub/b",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	if !d.Recommends {
		t.Error("recommends of an include is lost")
	}
	var inputs []string
	for _, in := range d.Inputs {
		rel, _ := filepath.Rel(d.Dir, in.Path)
		inputs = append(inputs, filepath.ToSlash(rel))
	}
	if diff := cmp.Diff([]string{FileName, "a.yaml", "sub/c.yaml", "sub/b.yaml"}, inputs); diff != "" {
		t.Errorf("inputs: -want +got:\n%s", diff)
	}
}

func TestKernelOfEachArchitecture(t *testing.T) {
	d := loaded(t, map[string]string{FileName: five + "arch: [amd64, arm64]\n"})
	if d.Kernel.Package != "" {
		t.Errorf("with two architectures the kernel is %q", d.Kernel.Package)
	}
	for arch, want := range map[string]string{
		"amd64": "linux-image-cloud-amd64 ttyS0", "arm64": "linux-image-cloud-arm64 ttyAMA0",
		"ppc64el": "linux-image-powerpc64le hvc0", "riscv64": "linux-image-riscv64 ttyS0", "s390x": "linux-image-s390x ttysclp0",
	} {
		k := d.Kernel.On(arch)
		if got := k.Package + " " + k.Console; got != want {
			t.Errorf("%s: got %s, want %s", arch, got, want)
		}
	}
	if k := (Kernel{None: true}).On("amd64"); k.Package != "" {
		t.Errorf("no kernel became %+v", k)
	}
}

// TestDigestOf: what a definition says has a digest also where it cannot be loaded.
func TestDigestOf(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("ingot.yaml", "version: 1\nname: a\ndistro: debian\nrelease: bookworm\noutputs: [tar]\ninclude: [./b.yaml]\n")
	write("b.yaml", "packages: [bash]\nscripts: [{run: ./setup.sh}]\n")
	write("setup.sh", "#!/bin/sh\n")
	if err := os.Chmod(filepath.Join(dir, "setup.sh"), 0o700); err != nil {
		t.Fatal(err)
	}
	def, err := Load(dir, Options{HostArch: "amd64"})
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "ingot.yaml")
	if sum, err := DigestOf(file); err != nil || sum != def.Digest() {
		t.Errorf("%v, %v", sum, err)
	}
	if err := os.Remove(filepath.Join(dir, "setup.sh")); err != nil {
		t.Fatal(err)
	}
	if _, err := Load(dir, Options{HostArch: "amd64"}); err == nil {
		t.Fatal("it loads without its script")
	}
	if sum, err := DigestOf(file); err != nil || sum != def.Digest() {
		t.Errorf("without its script: %v, %v", sum, err)
	}
	if err := os.Remove(filepath.Join(dir, "b.yaml")); err != nil {
		t.Fatal(err)
	}
	if _, err := DigestOf(file); fault.CodeOf(err) != fault.Definition {
		t.Errorf("without what it includes: %v", err)
	}
}

func TestDigest(t *testing.T) {
	files := map[string]string{FileName: five + "include: [a.yaml]\nfiles: [{path: /x, source: x}]\n", "a.yaml": "packages: [aa]\n", "x": "1"}
	base := loaded(t, files).Digest()
	if loaded(t, files).Digest() != base {
		t.Error("the digest depends on where the definition lies")
	}
	files["x"] = "2"
	if loaded(t, files).Digest() != base {
		t.Error("the digest covers a source's content, which is the lock's to list")
	}
	files["a.yaml"] = "packages: [bb]\n"
	if loaded(t, files).Digest() == base {
		t.Error("the digest does not cover an include")
	}
}

func TestWhereTheFileIs(t *testing.T) {
	dir := lay(t, map[string]string{FileName: five, "other/x.yaml": five, "other/ingot.yaml/keep": ""})
	t.Chdir(dir)
	for _, file := range []string{".", FileName, dir, filepath.Join(dir, FileName), "other/x.yaml"} {
		d, err := Load(file, Options{HostArch: "amd64"})
		if err != nil {
			t.Errorf("%s: %v", file, err)
			continue
		}
		if want := strings.TrimSuffix(filepath.Join(dir, filepath.Dir(file)), "/"); !filepath.IsAbs(file) && d.Dir != want {
			t.Errorf("%s: directory %s, want %s", file, d.Dir, want)
		}
	}
	for file, want := range map[string]string{
		"none.yaml":             "cannot read the definition: open none.yaml: no such file or directory",
		"other/none/ingot.yaml": "cannot read the definition: open other/none/ingot.yaml: no such file or directory",
		"other":                 "cannot read the definition: read other/ingot.yaml: it is a directory, not a file",
	} {
		_, err := Load(file, Options{HostArch: "amd64"})
		if err == nil || err.Error() != want || fault.CodeOf(err) != fault.Definition {
			t.Errorf("%s: got %v (exit code %d), want %s", file, err, fault.CodeOf(err), want)
		}
	}
	if _, err := Load("none.yaml", Options{}); fault.HintOf(err) == "" {
		t.Error("no hint for a file that is not there")
	}
	if _, err := Load(".", Options{}); err == nil || !strings.Contains(err.Error(), "the host's architecture is not known") {
		t.Errorf("without the host's architecture: %v", err)
	}
}

func TestBounds(t *testing.T) {
	big := five + "# " + strings.Repeat("x", 1<<20)
	many := map[string]string{}
	list := ""
	for i := range 70 {
		name := "p/" + strings.Repeat("i", i+1) + ".yaml"
		many[name] = "recommends: true\n"
		list += name + ", "
	}
	many[FileName] = five + "include: [" + list + "]\n"
	deep := map[string]string{FileName: five + "files: [{path: /x, source: d}]\n", "d/" + strings.Repeat("e/", 70) + "f": ""}
	wrong := five + strings.Repeat("x: 1\n", 5000)
	large := map[string]string{FileName: five + "include: [a, b, c, d, e]\n"}
	for _, name := range []string{"a", "b", "c", "d", "e"} {
		large[name] = "recommends: true\n# " + strings.Repeat("x", 1<<20-100)
	}
	for name, c := range map[string]struct {
		files map[string]string
		want  string
	}{
		"much in all":    {large, "with it the definition's files are larger than 4 MiB"},
		"large file":     {map[string]string{FileName: big}, "is larger than 1 MiB"},
		"large include":  {map[string]string{FileName: five + "include: [a]\n", "a": big}, "include \"a\" cannot be read:"},
		"many files":     {many, "is one too many: a definition has at most 64 files"},
		"deep directory": {deep, "more than 64 directories deep"},
		"many problems":  {map[string]string{FileName: wrong}, "\nand 4800 more"},
		"a bomb": {
			map[string]string{FileName: "a: &a [x, x]\nb: &b [*a, *a]\nc: &c [*b, *b]\nd: [*c, *c]\n"},
			"an alias (*c): a definition has none",
		},
	} {
		_, err := Load(filepath.Join(lay(t, c.files), FileName), Options{HostArch: "amd64"})
		if err == nil || !strings.Contains(err.Error(), c.want) || fault.CodeOf(err) != fault.Definition {
			t.Errorf("%s: got %.300v, want %s", name, err, c.want)
		}
	}
}

func TestSources(t *testing.T) {
	dir := lay(t, map[string]string{
		FileName:          five + "files: [{path: /a, source: site}, {path: /b, source: site/css}]\nscripts: [{run: run/x.sh, reads: [link, data/one]}]\n",
		"site/index.html": "", "site/css/a.css": "", "run/x.sh": "#!/bin/sh\n", "real/r": "", "data/one": "", "data/two": "",
	})
	err := errors.Join(
		os.Mkdir(filepath.Join(dir, "site/empty"), 0o755),
		os.Chmod(filepath.Join(dir, "run/x.sh"), 0o700),
		os.Symlink("real", filepath.Join(dir, "link")),
		os.Symlink("../real/r", filepath.Join(dir, "site/r")),
	)
	if err != nil {
		t.Fatal(err)
	}
	d, err := Load(dir, Options{HostArch: "amd64"})
	if err != nil {
		t.Fatal(err)
	}
	want := []Source{
		{Path: "data/one"}, {Path: "link/r"}, {Path: "run/x.sh", Executable: true}, {Path: "site/css/a.css"},
		{Path: "site/empty", EmptyDir: true}, {Path: "site/index.html"}, {Path: "site/r", Link: "../real/r"},
	}
	if diff := cmp.Diff(want, d.SourceEntries()); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

// A pipe has no end and nobody writes into these: reading one would never return.
func TestPipesAreRefused(t *testing.T) {
	for name, want := range map[string]string{
		FileName: "cannot read the definition: read DIR/ingot.yaml: it is a pipe, not a file",
		"part":   `ingot.yaml:6:11: include "part" cannot be read: it is a pipe, not a file`,
		"source": `source "source" is neither a file nor a directory`,
		"run.sh": `run "run.sh" is neither a file nor a directory`,
		"key":    `key "key" is neither a file nor a directory`,
		"data/x": `reads "data" leads to "data/x", which is neither a file, a directory nor a link`,
	} {
		t.Run(name, func(t *testing.T) {
			dir := lay(t, map[string]string{
				FileName: five + "include: [part]\nfiles: [{path: /a, source: source}]\nscripts: [{run: run.sh, reads: [data]}]\narchives: [{url: http://archive.example/debian, key: key}]\n",
				"part":   "recommends: true\n", "source": "", "run.sh": "#!/bin/sh\n", "key": "", "data/x": "",
			})
			if _, err := Load(dir, Options{HostArch: "amd64"}); err != nil {
				t.Fatalf("without a pipe: %v", err)
			}
			path := filepath.Join(dir, name)
			if err := errors.Join(os.Remove(path), unix.Mkfifo(path, 0o600)); err != nil {
				t.Fatal(err)
			}
			_, err := Load(dir, Options{HostArch: "amd64"})
			if err == nil || !strings.Contains(strings.ReplaceAll(err.Error(), dir, "DIR"), want) || fault.CodeOf(err) != fault.Definition {
				t.Errorf("got %v, want %s", err, want)
			}
		})
	}
}

// What cannot be read is called what the user called it, at its place, and found
// before a build.
func TestUnreadableFiles(t *testing.T) {
	runtime.LockOSThread() // and never unlocked: the thread ends with the test
	if err := unix.Setfsuid(65534); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{
		"more/one":       `more/part.yaml:1:28: source "./one" cannot be read: permission denied`,
		"more/site/two":  `more/part.yaml:1:55: source "./site" leads to "more/site/two", which cannot be read: permission denied`,
		"more/run.sh":    `more/part.yaml:2:17: run "./run.sh" cannot be read: permission denied`,
		"more/part.yaml": `ingot.yaml:6:11: include "./more/part.yaml" cannot be read: permission denied`,
	} {
		dir := lay(t, map[string]string{
			FileName:         five + "include: [./more/part.yaml]\n",
			"more/part.yaml": "files: [{path: /a, source: ./one}, {path: /b, source: ./site}]\nscripts: [{run: ./run.sh}]\n",
			"more/one":       "", "more/site/two": "", "more/run.sh": "#!/bin/sh\n",
		})
		if _, err := Load(dir, Options{HostArch: "amd64"}); err != nil {
			t.Fatalf("readable: %v", err)
		}
		if err := os.Chmod(filepath.Join(dir, name), 0); err != nil {
			t.Fatal(err)
		}
		if _, err := Load(dir, Options{HostArch: "amd64"}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %s", name, err, want)
		}
	}
}

// Where a script runs there is what it reads and nothing else, so a link among
// that must not lead elsewhere. In an image a link is content.
func TestLinksOfReads(t *testing.T) {
	for summary, c := range map[string]struct{ line, want string }{
		"astray":         {"scripts: [{run: x.sh, reads: [data]}]", `reads "data" leads to "data/l", a symbolic link to "../other/x", which the script does not read: name that in reads too`},
		"to a directory": {"scripts: [{run: x.sh, reads: [dirs]}]", `"dirs/deep/l", a symbolic link to "../../other"`},
		"by another":     {"scripts: [{run: x.sh, reads: [two]}]", `"two/a", a symbolic link to "b/x"`},
		"another's":      {"scripts: [{run: x.sh, reads: [data, dirs/deep/f]}, {run: x.sh, name: y, reads: [other]}]", `"data/l"`},
		"read":           {"scripts: [{run: x.sh, reads: [data, other]}]", ""},
		"read in part":   {"scripts: [{run: x.sh, reads: [data, other/x]}]", ""},
		"by another too": {"scripts: [{run: x.sh, reads: [two, other]}]", ""},
		"within":         {"scripts: [{run: x.sh, reads: [own]}]", ""},
		"the script":     {"scripts: [{run: x.sh, reads: [self]}]", ""},
		"in an image":    {"files: [{path: /x, source: data}]", ""},
	} {
		dir := lay(t, map[string]string{FileName: five + c.line + "\n", "x.sh": "#!/bin/sh\n", "other/x": "", "data/f": "", "dirs/deep/f": "", "two/f": "", "own/d/f": "", "self/f": ""})
		err := errors.Join(
			os.Symlink("../other/x", filepath.Join(dir, "data/l")),
			os.Symlink("../../other", filepath.Join(dir, "dirs/deep/l")),
			os.Symlink("../other", filepath.Join(dir, "two/b")),
			os.Symlink("b/x", filepath.Join(dir, "two/a")),
			os.Symlink("../own/./d/f", filepath.Join(dir, "own/l")),
			os.Symlink("d", filepath.Join(dir, "own/d2")),
			os.Symlink("d2/../d2/f", filepath.Join(dir, "own/l2")),
			os.Symlink("../x.sh", filepath.Join(dir, "self/l")),
		)
		if err != nil {
			t.Fatal(err)
		}
		_, err = Load(dir, Options{HostArch: "amd64"})
		if (c.want == "") != (err == nil) || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want %s", summary, err, c.want)
		}
	}
}

func TestSourcesTooLarge(t *testing.T) {
	dir := lay(t, map[string]string{FileName: five + `files: [{path: /x, source: big}, {path: /y, source: d}]
`, "big": "", "d/big": ""})
	for _, name := range []string{"big", "d/big"} {
		if err := os.Truncate(filepath.Join(dir, name), 64<<30+1); err != nil {
			t.Fatal(err)
		}
	}
	_, err := Load(dir, Options{HostArch: "amd64"})
	for _, want := range []string{`source "big" leads to "big", which has 68719476737 bytes: more than 68719476736`, `source "d" leads to "d/big"`} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %s", err, want)
		}
	}
}

func TestNothingOutsideIsRead(t *testing.T) {
	outside := filepath.Join(lay(t, map[string]string{"secret": "hostname: stolen\n"}), "secret")
	for name, c := range map[string]struct{ line, want string }{
		"include":       {"include: [s]", `include "s" is a symbolic link that leads out of the definition's directory`},
		"source":        {"files: [{path: /x, source: s}]", `source "s" is a symbolic link that leads out of the definition's directory`},
		"below":         {"files: [{path: /x, source: d}]", `source "d" leads to "d/s", a symbolic link to "../s" that leads out of the definition's directory`},
		"through":       {"files: [{path: /x, source: up/secret}]", `source "up/secret" is a symbolic link that leads out of the definition's directory`},
		"script":        {"scripts: [{run: s}]", `run "s" is a symbolic link that leads out of the definition's directory`},
		"reads":         {"scripts: [{run: ingot.yaml, name: x, reads: [up]}]", `reads "up" is a symbolic link that leads out of the definition's directory`},
		"leads nowhere": {"files: [{path: /x, source: n}]", `source "n" leads to "n/n", a symbolic link to "none" that leads nowhere`},
		"a circle":      {"files: [{path: /x, source: c/c}]", `source "c/c" is a symbolic link that leads in a circle`},
		"an inner one":  {"files: [{path: /x, source: c}]", `source "c" leads to "c/c", a symbolic link to "c" that leads in a circle`},
		"an include":    {"include: [c/c]", `include "c/c" is a symbolic link that leads in a circle`},
		"a pipe":        {"files: [{path: /x, source: /dev/null}]", `source "/dev/null" is not a path beside the definition`},
	} {
		dir := lay(t, map[string]string{FileName: five + c.line + "\n", "d/x": "", "n/x": "", "c/x": ""})
		err := errors.Join(
			os.Symlink(outside, filepath.Join(dir, "s")),
			os.Symlink("../s", filepath.Join(dir, "d/s")),
			os.Symlink(filepath.Dir(outside), filepath.Join(dir, "up")),
			os.Symlink("none", filepath.Join(dir, "n/n")),
			os.Symlink("c", filepath.Join(dir, "c/c")),
		)
		if err != nil {
			t.Fatal(err)
		}
		_, err = Load(dir, Options{HostArch: "amd64"})
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want %s", name, err, c.want)
		}
	}
}

// What the kernel starts, and why it would not start the rest (execve(2)).
func TestStartsOfScripts(t *testing.T) {
	for start, want := range map[string]string{
		"#!/bin/sh\n":                    "",
		"#! /usr/bin/env python3\nx\r\n": "",
		"#!/bin/true":                    "",
		"\x7fELF\x02\x01":                "",
		"":                               "does not begin with #!",
		"echo hi\n":                      "does not begin with #!",
		"\n#!/bin/sh\n":                  "does not begin with #!",
		"#!/bin/sh\r\necho hi\r\n":       "lines that end in CR LF",
		"\ufeff#!/bin/sh\n":              "a byte order mark",
		"#!\n":                           "an absolute path",
		"#!python3\n":                    "an absolute path",
	} {
		dir := lay(t, map[string]string{FileName: five + "include: [more/part.yaml]\n", "more/part.yaml": "scripts: [{run: run}]\n", "more/run": start})
		_, err := Load(dir, Options{HostArch: "amd64"})
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), "\n"+dir+"/more/run:1:1: script \"run\" ") || !strings.Contains(err.Error(), want)) {
			t.Errorf("%q: %v, want %q", start, err, want)
		}
	}
}

// A large file that is wrong everywhere is told of in time.
func TestLargeAndWrong(t *testing.T) {
	for name, text := range map[string]string{
		"keys on one line": "{" + strings.Repeat("pakages: 1, ", 40_000) + "}",
		"items":            five + "packages: [" + strings.Repeat("X, ", 100_000) + "]\n",
		"many packages":    five + "packages: [" + manyNames(140_000) + "]\nremove: [" + manyNames(10) + "]\n",
	} {
		start := time.Now()
		_, err := Load(filepath.Join(lay(t, map[string]string{FileName: text}), FileName), Options{HostArch: "amd64"})
		if err == nil || fault.CodeOf(err) != fault.Definition {
			t.Errorf("%s: %.100v", name, err)
		}
		if took := time.Since(start); took > 15*time.Second {
			t.Errorf("%s: took %v", name, took)
		}
	}
}

func manyNames(n int) string {
	var b strings.Builder
	for i := range n {
		b.WriteString(strconv.FormatInt(int64(i)+36*36, 36) + ", ")
	}
	return "\"" + strings.ReplaceAll(strings.TrimSuffix(b.String(), ", "), ", ", "\", \"") + "\""
}

// What is printed of a hostile file must not command a terminal.
func TestMessagesHoldNoControlCharacters(t *testing.T) {
	_, err := Load(filepath.Join(lay(t, map[string]string{FileName: five + "\"\\e]0;x\\a\": 1\nhostname: \"\u009b31m\u202e\"\n"}), FileName), Options{HostArch: "amd64"})
	if err == nil {
		t.Fatal("taken")
	}
	for _, r := range err.Error() {
		if r < ' ' && r != '\n' || r >= 0x7f && r < 0xa0 || r == 0x202e {
			t.Errorf("control character %U in %q", r, err.Error())
		}
	}
}

func FuzzLoad(f *testing.F) {
	f.Add([]byte(five))
	block, err := os.ReadFile("testdata/design.yaml")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(block)
	f.Add([]byte("? [a]\n: b\n<<: {c: d}\ne: !!x &y z\n"))
	f.Add([]byte("users: [{ssh-keys: [ssh-rsa AAAA]}, x, [], {uid: 0x10}]\nkernel: none\noutputs: [raw, {free: 1}]\n"))
	f.Add([]byte("include: [a.yaml, ingot.yaml, ..]\n---\n"))
	f.Add([]byte(five + "arch: [amd64, arm64]\npackages: [{name: aa, when: \"!vmware is: x86_64\"}, bb]\nservices: {enable: [{name: x, when: xen}]}\npath-conflicts: [{path: /a, keep: bb}]\n" +
		"flavors: {vmware: {packages: [cc], without: {packages: [bb], services: [x]}, services: {mask: [x]}}, \"!kernel\": {kernel: none, outputs: [tar], files: [{path: /a, content: b}]}}\n"))
	dir := f.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "a.yaml"), []byte("packages: [nginx]\nusers: [{name: ops}]\n"), 0o600); err != nil {
		f.Fatal(err)
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) > 1<<14 {
			return
		}
		def, err := load(root, dir, &source{show: FileName, rel: FileName, data: b}, Options{HostArch: "amd64"})
		if err == nil {
			for _, v := range def.Variants() {
				if v.Name != def.Name || len(v.Outputs) == 0 || len(v.Arch) != 1 && len(def.Variants()) > 1 {
					t.Fatalf("taken, and a variant is not whole: %+v", v)
				}
			}
			if def.Name == "" || len(def.Outputs) == 0 || len(def.Arch) == 0 || def.Digest().IsZero() {
				t.Fatalf("taken, and not whole: %+v", def)
			}
			return
		}
		if fault.CodeOf(err) != fault.Definition {
			t.Fatalf("exit code %d: %v", fault.CodeOf(err), err)
		}
		p, ok := errors.AsType[*Problems](err)
		if !ok {
			return
		}
		for _, q := range p.List {
			if q.Line < 1 || q.Column < 1 || q.Message == "" || strings.ContainsAny(q.Message, "\n\x1b") {
				t.Fatalf("bad problem %+v", q)
			}
		}
	})
}

func TestExpires(t *testing.T) {
	const epoch = 1_750_000_000
	for expiry, want := range map[string]int64{"": 0, "30d": epoch + 30*86400, "4w": epoch + 28*86400, "2027-01-31": 1_801_353_600} {
		if got := (Output{Expiry: expiry}).Expires(epoch); got != want {
			t.Errorf("%q expires at %d, want %d", expiry, got, want)
		}
	}
}
