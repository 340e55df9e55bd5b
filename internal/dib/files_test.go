package dib

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"ingot/internal/fault"
	"ingot/internal/judge"
)

// batch reads files of these texts and gives the lines of their requests.
func batch(t *testing.T, texts ...string) (string, error) {
	t.Helper()
	dir := t.TempDir()
	var args []string
	for i, text := range texts {
		name := filepath.Join(dir, string(rune('a'+i))+".yaml")
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		args = append(args, name)
	}
	b, err := ParseFiles(args, []string{"DIB_THEIRS=1", "SECRET=2"})
	if err != nil {
		return strings.ReplaceAll(err.Error(), dir+"/", ""), err
	}
	var lines []string
	for _, r := range b.Requests {
		lines = append(lines, r.Line())
		if r.Environment["DIB_THEIRS"] != "1" && !r.Clear || r.Environment["SECRET"] != "" {
			t.Errorf("%s: scripts see %v", r.Name, r.Environment)
		}
	}
	return strings.Join(lines, "\n"), nil
}

func TestFiles(t *testing.T) {
	for _, row := range []struct {
		name  string
		files []string
		want  string
	}{
		{"the least", []string{"- elements: [vm]\n"}, "disk-image-create vm"},
		{"a name", []string{"- {imagename: web, elements: [vm, debian]}\n"}, "disk-image-create -o web vm debian"},
		{"a ramdisk", []string{"- {ramdisk: true, ramdisk-element: dracut-ramdisk, elements: [debian]}\n"}, "ramdisk-image-create --ramdisk-element dracut-ramdisk debian"},
		{"not a ramdisk", []string{"- {ramdisk: false, elements: [debian]}\n"}, "disk-image-create debian"},
		{"an architecture", []string{"- {arch: aarch64, elements: [vm]}\n"}, "disk-image-create -a aarch64 vm"},
		{"types", []string{"- {types: [qcow2, tgz], elements: [vm]}\n"}, "disk-image-create -t qcow2,tgz vm"},
		{"no types", []string{"- {types: [], elements: [vm]}\n"}, "disk-image-create vm"},
		{"an environment", []string{"- {environment: {DIB_RELEASE: trixie, A: 'b c', E: ''}, elements: [vm]}\n"}, "A='b c' DIB_RELEASE=trixie E='' disk-image-create vm"},
		{"traces", []string{"- {debug-trace: 2, elements: [vm]}\n- {imagename: b, debug-trace: 0, elements: [vm]}\n"}, "disk-image-create -x -x vm\ndisk-image-create -o b vm"},
		{"what is on", []string{"- {uncompressed: true, clear: yes, checksum: on, no-tmpfs: True, offline: true, skip-base: yes, elements: [vm]}\n"}, "disk-image-create -u -c --checksum --no-tmpfs --offline -n vm"},
		{"what is off", []string{"- {uncompressed: false, clear: no, checksum: off, no-tmpfs: False, offline: false, skip-base: NO, elements: [vm]}\n"}, "disk-image-create vm"},
		{"numbers", []string{"- {image-size: 4, image-extra-size: 5, max-online-resize: 6, min-tmpfs: 7, mkfs-journal-size: 8, elements: [vm]}\n"}, "disk-image-create --image-size 4 --image-extra-size 5 --max-online-resize 6 --min-tmpfs 7 --mkfs-journal-size 8 vm"},
		{"texts", []string{"- {logfile: l, image-cache: /c, mkfs-options: -q -v, root-label: r, install-type: package, docker-target: 'w:1', elements: [vm]}\n"}, "disk-image-create --logfile l --image-cache /c --mkfs-options '-q -v' --root-label r --install-type package --docker-target w:1 vm"},
		{"an empty text", []string{"- {logfile: '', root-label: \"\", elements: [vm]}\n"}, "disk-image-create vm"},
		{"options of qemu-img", []string{"- {qemu-img-options: {compression_type: zstd, compat: '1.1'}, elements: [vm]}\n"}, "disk-image-create --qemu-img-options compression_type=zstd,compat=1.1 vm"},
		{"packages", []string{"- {packages: [a, b], elements: [vm]}\n"}, "disk-image-create -p a,b vm"},
		{"two images", []string{"- {imagename: a, elements: [vm]}\n- {imagename: b, elements: [vm]}\n"}, "disk-image-create -o a vm\ndisk-image-create -o b vm"},
		{"one image in two entries", []string{"- {imagename: a, elements: [vm], packages: [p], environment: {A: '1', B: '1'}, types: [raw], root-label: r}\n- {imagename: a, elements: [debian], packages: [q], environment: {B: '2'}, types: [tar], root-label: s, checksum: true}\n"},
			"A=1 B=2 disk-image-create -o a -t raw,tar --checksum --root-label s -p p,q vm debian"},
		{"the name before counts", []string{"- {imagename: a, elements: [vm]}\n- {elements: [debian]}\n- {imagename: b, elements: [vm]}\n- {imagename: a, skip-base: true}\n- elements: [cloud-init]\n"},
			"disk-image-create -o a -n vm debian cloud-init\ndisk-image-create -o b vm"},
		{"image is the first name", []string{"- elements: [vm]\n- {imagename: image, elements: [debian]}\n- checksum: true\n"}, "disk-image-create -o image --checksum vm debian"},
		{"several files", []string{"- {imagename: a, elements: [vm]}\n", "- elements: [debian]\n- {imagename: b, elements: [vm]}\n"}, "disk-image-create -o a vm debian\ndisk-image-create -o b vm"},
		{"anchors", []string{"- &a {imagename: a, elements: &e [vm], environment: &v {X: '1'}}\n- {imagename: b, elements: *e, environment: {<<: *v, Y: '2'}}\n- {<<: *a, imagename: c, types: [raw]}\n- {elements: [debian]}\n"},
			"X=1 disk-image-create -o a vm\nX=1 Y=2 disk-image-create -o b vm\nX=1 disk-image-create -o c -t raw vm debian"},
		{"secrets", []string{"- {environment: {DIB_DEV_USER_PASSWORD: hush}, elements: [devuser]}\n"}, "DIB_DEV_USER_PASSWORD='(hidden)' disk-image-create devuser"},
		{"quotes", []string{"- {environment: {A: \"it's\"}, elements: [vm]}\n"}, `A='it'"'"'s' disk-image-create vm`},
		{"the environment of every build", []string{"- {environment: {PATH: /x, TMP_DIR: /t}, elements: [vm]}\n"}, "PATH=/x TMP_DIR=/t disk-image-create vm"},
	} {
		t.Run(row.name, func(t *testing.T) {
			got, err := batch(t, row.files...)
			if err != nil || got != row.want {
				t.Errorf("%v\ngot\n%s\nwant\n%s", err, got, row.want)
			}
		})
	}
}

func TestWrongFiles(t *testing.T) {
	for _, row := range []struct{ file, want string }{
		{"", "a.yaml:1:1: the file is empty: want a list of images"},
		{"imagename: a\n", "a.yaml:1:1: want a list of images, not keys and values: begin each with \"- \""},
		{"- vm\n", "a.yaml:1:3: an image is keys and values, not a text"},
		{"- elements: [vm]\n  imagname: a\n", `a.yaml:2:3: unknown key "imagname"; did you mean imagename?`},
		{"- {elements: [vm], imagename: 1}\n", "a.yaml:1:31: imagename wants a text, and 1 is a whole number: write it in quotes"},
		{"- {elements: [vm], imagename: yes}\n", "a.yaml:1:31: imagename wants a text, and yes is true or false: write it in quotes"},
		{"- {elements: [vm], imagename: 2026-01-01}\n", "a.yaml:1:31: imagename wants a text, and 2026-01-01 is a date: write it in quotes"},
		{"- {elements: [vm], environment: {A: 1.5}}\n", "a.yaml:1:37: A wants a text, and 1.5 is a number: write it in quotes"},
		{"- {elements: [vm], environment: {A: }}\n", "a.yaml:1:37: A wants a text, not nothing"},
		{"- {elements: [vm], environment: {a-b: x}}\n", `a.yaml:1:34: "a-b" is not the name of a variable`},
		{"- {elements: vm}\n", "a.yaml:1:14: elements wants a list, not a text"},
		{"- {elements: [on]}\n", "a.yaml:1:15: each of elements wants a text, and on is true or false: write it in quotes"},
		{"- {elements: [vm], types: [qcow]}\n", "a.yaml:1:28: types has no qcow: there are qcow2, tar, tgz, squashfs, vhd, docker, aci, raw; did you mean qcow2?"},
		{"- {elements: [vm], arch: sparc}\n", "a.yaml:1:26: arch has no sparc: there are aarch64, amd64, arm64, armhf, powerpc, ppc64, ppc64el, ppc64le, s390x, x86_64"},
		{"- {elements: [vm], skip-base: 'yes'}\n", "a.yaml:1:31: skip-base wants true or false, not a text"},
		{"- {elements: [vm], image-size: 1.5}\n", "a.yaml:1:32: image-size wants a whole number, not a number"},
		{"- {elements: [vm], image-size: 0}\n", "a.yaml:1:32: image-size wants a decimal number from 1, not 0"},
		{"- {elements: [vm], image-size: 010}\n", "a.yaml:1:32: image-size wants a decimal number from 1, not 010"},
		{"- {elements: [vm], debug-trace: 3}\n", "a.yaml:1:33: debug-trace has no 3: there are 0, 1, 2"},
		{"- {elements: [vm], install-type: pip}\n", "a.yaml:1:34: install-type has no pip: there are source, package"},
		{"- {elements: [vm], elements: [a]}\n", "a.yaml:1:20: elements is set twice, first on line 1"},
		{"- imagename: a\n", `a.yaml:1:3: name at least one element, of which one is a distribution (such as "disk-image-create -o image vm debian-minimal"; see "disk-image-create --help")`},
		{"- {elements: [vm], environment: {DIB_CHECKSUM: sha512}}\n", "a.yaml:1:3: DIB_CHECKSUM=sha512: want 1, md5, sha256 or md5,sha256"},
		{"- elements: [vm]\n---\n- elements: [vm]\n", "a.yaml:2:1: a second document begins here: want one list of images"},
		{"- {elements: [\"\xff\"]}\n", "a.yaml:1:16: the file is not UTF-8 text"},
		{"- imagename: a\n  types: qcow2\n  elemnts: [vm]\n", "a.yaml:2:10: types wants a list, not a text\na.yaml:3:3: unknown key \"elemnts\"; did you mean elements?"},
	} {
		got, err := batch(t, row.file)
		if err == nil || got != row.want || fault.CodeOf(err) != fault.Definition {
			t.Errorf("%q, exit code %d:\ngot  %s\nwant %s", row.file, fault.CodeOf(err), got, row.want)
		}
	}
	if got, err := batch(t, "- [\n"); err == nil || !strings.HasPrefix(got, "a.yaml:") || !strings.Contains(got, "not YAML") {
		t.Errorf("%s", got)
	}
	bomb := "- &a {elements: &e [vm, vm, vm, vm, vm, vm, vm, vm, vm, vm, vm, vm]}\n" + strings.Repeat("- {elements: *e}\n", 20_000)
	if got, err := batch(t, bomb); err == nil || !strings.Contains(got, "too many values") {
		t.Errorf("%s", got)
	}
}

func TestFilesCommandLine(t *testing.T) {
	file := filepath.Join(t.TempDir(), "a.yaml")
	if err := os.WriteFile(file, []byte("- elements: [vm]\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	b, err := ParseFiles([]string{file, "--dry-run", "--stop"}, nil)
	if err != nil || !b.DryRun || !b.StopOnFailure || len(b.Requests) != 1 || !b.Requests[0].DryRun {
		t.Errorf("%+v %v", b, err)
	}
	if b, err := ParseFiles([]string{"-h"}, nil); err != nil || b.Asked != "help" {
		t.Errorf("%+v %v", b, err)
	}
	for _, args := range [][]string{{}, {"--dry-run"}, {file, "--nothing"}, {file, "--progress", "loud"}, {file + "-none"}, {filepath.Dir(file)}} {
		if _, err := ParseFiles(args, nil); fault.CodeOf(err) != fault.Usage {
			t.Errorf("%v: %v", args, err)
		}
	}
}

// A request's line is one that a shell reads back.
func TestLine(t *testing.T) {
	judge.Path(t, "bash")
	args := []string{"-o", "it's $HOME", "-p", "", "--", "vm"}
	r, err := Parse(ImageCommand, args, nil)
	if err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command("bash", "-c", `disk-image-create() { printf '%s\0' "$@"; }; eval "$1"`, "it", r.Line()).CombinedOutput()
	if want := strings.Join(args, "\x00") + "\x00"; err != nil || string(out) != want {
		t.Errorf("%s gives %q %v", r.Line(), out, err)
	}
}

func FuzzFiles(f *testing.F) {
	f.Add([]byte("- &a {imagename: a, elements: [vm], environment: {A: b}}\n- {<<: *a, types: [raw]}\n"))
	f.Add([]byte("- {image-size: 4, debug-trace: 2, skip-base: yes}\n"))
	f.Add([]byte("- &a\n  <<: *a\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		d := &document{file: "x"}
		entries := merge(d.entries(data))
		if len(d.problems) == 0 {
			all, _ := requests(entries, nil)
			for _, r := range all {
				_ = r.Line()
			}
		}
		for _, p := range d.problems {
			if p.Line < 1 || p.Column < 1 || strings.Contains(p.Message, "\n") {
				t.Errorf("%+v", p)
			}
		}
	})
}
