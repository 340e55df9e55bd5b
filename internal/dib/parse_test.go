package dib

import (
	"encoding/json"
	"fmt"
	"maps"
	"os/exec"
	"reflect"
	"slices"
	"strings"
	"testing"

	"ingot/internal/fault"
	"ingot/internal/format"
	"ingot/internal/judge"
)

// said is what a request says that the plainest of its command does not: "key=JSON",
// in the order of keys.
func said(t *testing.T, r Request) string {
	t.Helper()
	plain, err := Parse(r.Command, []string{"vm"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	plain.Command = "" // says itself
	had, has := fields(t, plain), fields(t, r)
	var out []string
	for _, k := range slices.Sorted(maps.Keys(has)) {
		if k != "args" && !reflect.DeepEqual(had[k], has[k]) {
			v, err := json.Marshal(has[k])
			if err != nil {
				t.Fatal(err)
			}
			out = append(out, k+"="+string(v))
		}
	}
	for _, k := range slices.Sorted(maps.Keys(had)) {
		if _, there := has[k]; !there {
			out = append(out, "no "+k)
		}
	}
	return strings.Join(out, " ")
}

func fields(t *testing.T, r Request) map[string]any {
	t.Helper()
	b, err := json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]any{}
	if err := json.Unmarshal(b, &out); err != nil {
		t.Fatal(err)
	}
	return out
}

func TestParse(t *testing.T) {
	for _, row := range []struct {
		args, env string // words with spaces between
		want      string // what is not as by default
	}{
		{"vm", "", ``},
		{"vm debian-minimal", "", `elements=["vm","debian-minimal"]`},
		{"-a arm64 vm", "", `arch="arm64" debian_arch="arm64"`},
		{"-a x86_64 vm", "", `arch="x86_64"`},
		{"vm", "ARCH=ppc64le", `arch="ppc64le" debian_arch="ppc64el" environment={"ARCH":"ppc64le"}`},
		{"-a i386 vm", "ARCH=ppc64le", `arch="i386" debian_arch="i386" environment={"ARCH":"ppc64le"}`},
		{"-o web vm", "", `name="web"`},
		{"-o out/web.qcow2 vm", "", `name="out/web"`},
		{"vm", "IMAGE_NAME=web.qcow2", `environment={"IMAGE_NAME":"web.qcow2"} name="web"`},
		{"-o web.qcow2 -t qcow2,raw vm", "", `name="web.qcow2" outputs=[{"compress":"zlib","format":"qcow2","suffixes":[".qcow2"],"type":"qcow2"},{"format":"raw","suffixes":[".raw"],"type":"raw"}]`},
		{"-o web.tgz -t tgz vm", "", `name="web" outputs=[{"format":"tar.gz","suffixes":[".tgz"],"type":"tgz"}]`},
		{"-t tar,squashfs vm", "", `outputs=[{"format":"tar","suffixes":[".tar"],"type":"tar"},{"compress":"zstd","format":"squashfs","suffixes":[".squash"],"type":"squashfs"}]`},
		{"-t raw,raw vm", "", `outputs=[{"format":"raw","suffixes":[".raw"],"type":"raw"}]`},
		{"-t vhd,vpc vm", "", `outputs=[{"format":"vhd","kind":"dynamic","suffixes":[".vhd"],"type":"vhd"},{"format":"vhd","kind":"dynamic","suffixes":[".vpc"],"type":"vpc"}]`},
		{"-t vmdk,vdi,vhdx vm", "", `outputs=[{"adapter":"ide","format":"vmdk","kind":"sparse","suffixes":[".vmdk"],"type":"vmdk"},{"format":"vdi","suffixes":[".vdi"],"type":"vdi"},{"format":"vhdx","suffixes":[".vhdx"],"type":"vhdx"}]`},
		{"-t docker -o web vm", "", `name="web" outputs=[{"format":"docker","suffixes":[".docker.tar"],"tag":"web","type":"docker"}]`},
		{"-t docker --docker-target web:1 vm", "", `outputs=[{"format":"docker","suffixes":[".docker.tar"],"tag":"web:1","type":"docker"}]`},
		{"-t tar.zst,lxc vm", "", `outputs=[{"format":"tar.zst","suffixes":[".tar.zst"],"type":"tar.zst"},{"format":"lxc","suffixes":[".rootfs.tar.xz",".meta.tar.xz"],"type":"lxc"}]`},
		{"-u vm", "", `outputs=[{"format":"qcow2","suffixes":[".qcow2"],"type":"qcow2"}]`},
		{"--qemu-img-options compression_type=zstd,compat=1.1 vm", "", `outputs=[{"compress":"zstd","format":"qcow2","suffixes":[".qcow2"],"type":"qcow2"}]`},
		{"-t vmdk vm", "QEMU_IMG_OPTIONS=subformat=streamOptimized,adapter_type=lsilogic", `environment={"QEMU_IMG_OPTIONS":"subformat=streamOptimized,adapter_type=lsilogic"} outputs=[{"adapter":"lsilogic","format":"vmdk","kind":"stream-optimized","suffixes":[".vmdk"],"type":"vmdk"}]`},
		{"-x vm", "DIB_DEBUG_TRACE=1", `environment={"DIB_DEBUG_TRACE":"1"} trace=2`},
		{"-xx vm", "", `trace=2`},
		{"-n vm", "", `skip_base=true`},
		{"vm", "SKIP_BASE=1", `environment={"SKIP_BASE":"1"} skip_base=true`},
		{"-p a,b -p c vm", "", `packages=["a","b","c"]`},
		{"--logfile l vm", "", `logfile="l" quiet=true`},
		{"--logfile l vm", "DIB_QUIET=0", `environment={"DIB_QUIET":"0"} logfile="l"`},
		{"vm", "DIB_QUIET=1 DIB_NO_TIMESTAMP=1", `environment={"DIB_NO_TIMESTAMP":"1","DIB_QUIET":"1"} quiet=true timestamps=false`},
		{"--checksum vm", "", `checksums=["md5","sha256"]`},
		{"vm", "DIB_CHECKSUM=sha256", `checksums=["sha256"] environment={"DIB_CHECKSUM":"sha256"}`},
		{"vm", "DIB_CHECKSUM=0", `environment={"DIB_CHECKSUM":"0"}`},
		{"--image-size 2 vm", "", `image_size=2147483648`},
		{"--image-size 2.5 vm", "DIB_IMAGE_SIZE=7", `environment={"DIB_IMAGE_SIZE":"7"} image_size=2684354560`},
		{"vm", "DIB_IMAGE_SIZE=10G", `environment={"DIB_IMAGE_SIZE":"10G"} image_size=10737418240`},
		{"--image-size 1.00001 vm", "", `image_size=1073807360`}, // 1048586 KiB, up to a multiple of 64
		{"--image-extra-size 100 vm", "", `extra_size=104857600`},
		{"vm", "DIB_IMAGE_EXTRA_SIZE=0.5", `environment={"DIB_IMAGE_EXTRA_SIZE":"0.5"} extra_size=524288`},
		{"--mkfs-journal-size 8 --max-online-resize 1000 vm", "", `journal_size=8 max_online_resize="1000"`},
		{"--mkfs-options -q vm", "MKFS_OPTS=-v", `mkfs_options="-q"`},
		{"vm", "MKFS_OPTS=-v", `mkfs_options="-v"`},
		{"--min-tmpfs 4 --no-tmpfs vm", "", `min_tmpfs=4 no_tmpfs=true`},
		{"--offline --image-cache /c vm", "", `cache_dir="/c" offline=true`},
		{"vm", "DIB_OFFLINE=0", `environment={"DIB_OFFLINE":"0"}`},
		{"vm", "FS_TYPE=xfs", `environment={"FS_TYPE":"xfs"} fs_type="xfs" root_label="img-rootfs"`},
		{"--root-label r vm", "ROOT_LABEL=s", `environment={"ROOT_LABEL":"s"} root_label="r"`},
		{"--install-type package vm", "", `install_type="package"`},
		{"vm", "DIB_BLOCK_DEVICE_CONFIG=file:///x.yaml", `block_device_file="/x.yaml" environment={"DIB_BLOCK_DEVICE_CONFIG":"file:///x.yaml"}`},
		{"vm", "DIB_BLOCK_DEVICE_CONFIG=[] DIB_BLOCK_SIZE=4096", `block_device="[]" block_size=4096 environment={"DIB_BLOCK_DEVICE_CONFIG":"[]","DIB_BLOCK_SIZE":"4096"}`},
		{"vm", "ELEMENTS_PATH=/a:/b:", `elements_path=["/a","/b"] environment={"ELEMENTS_PATH":"/a:/b:"}`},
		{"vm", "OVERWRITE_OLD_IMAGE=1", `environment={"OVERWRITE_OLD_IMAGE":"1"} overwrite=true`},
		{"vm", "TMP_DIR=/t DIB_LOCKFILES=/l", `environment={"DIB_LOCKFILES":"/l"} locks_dir="/l" temp_dir="/t"`},
		{"vm", "TMP_DIR=/t TMPDIR=/u", `temp_dir="/u"`},
		{"vm", "DIB_SHOW_IMAGE_USAGE=1 DIB_SHOW_IMAGE_USAGE_FULL=1", `environment={"DIB_SHOW_IMAGE_USAGE":"1","DIB_SHOW_IMAGE_USAGE_FULL":"1"} usage=2`},
		{"vm", "break=before-install,after-error break_cmd=sh break_outside_target=1", `break=["before-install","after-error"] break_command="sh" break_outside=true`},
		{"vm", "break=before-install.d", `break=["before-install.d"]`},
		{"--compat --mirror http://m/debian --accept-expired --no-cache vm", "", `accept_expired=true compat=true mirror="http://m/debian" no_cache=true`},
		{"--script-timeout 90s --locked --dry-run --json --progress plain vm", "", `dry_run=true json=true locked=true progress="plain" script_timeout=90000000000`},
		{"-c vm", "DIB_X=1 ARCH=arm64", `clear=true`},
		{"-c --env DIB_X vm", "DIB_X=1 ARCH=arm64", `clear=true environment={"DIB_X":"1"}`},

		// Who sees which variable.
		{"vm", "AWS_SECRET_ACCESS_KEY=s PASSWORD=p HOME=/h PATH=/b DIB_X=1 http_proxy=http://p HTTPS_PROXY=q My_proxy=r", `environment={"DIB_X":"1","HTTPS_PROXY":"q","http_proxy":"http://p"}`},
		{"--inherit-env vm", "AWS_SECRET_ACCESS_KEY=s MINE=p PATH=/b LC_TIME=de BASH_ENV=/b LD_AUDIT=/b PROMPT_COMMAND=b", `environment={"MINE":"p"} inherit_environment=true`},
		{"--env MINE --env OTHER=x=y --env NONE vm", "MINE=1 THEIRS=2", `environment={"MINE":"1","OTHER":"x=y"}`},
		{"--env AWS_SECRET_ACCESS_KEY vm", "AWS_SECRET_ACCESS_KEY=s", `environment={"AWS_SECRET_ACCESS_KEY":"s"} secrets=["AWS_SECRET_ACCESS_KEY"]`},
		{"--env FS_TYPE=xfs vm", "", `environment={"FS_TYPE":"xfs"} fs_type="xfs" root_label="img-rootfs"`},
		{"vm", "DIB_DEV_USER_PASSWORD=p http_proxy=http://me:p@h", `environment={"DIB_DEV_USER_PASSWORD":"p","http_proxy":"http://me:p@h"} secrets=["DIB_DEV_USER_PASSWORD","http_proxy"]`},
	} {
		t.Run(row.args+" "+row.env, func(t *testing.T) {
			r, err := Parse(ImageCommand, strings.Fields(row.args), strings.Fields(row.env))
			if err != nil {
				t.Fatal(err)
			}
			if got, want := said(t, r), strings.TrimSpace(`command="disk-image-create" `+row.want); got != want {
				// In the order of keys, which the table need not mind.
				g, w := strings.Fields(got), strings.Fields(want)
				if slices.Sort(g); !slices.Equal(g, sorted(w)) {
					t.Errorf("got  %s\nwant %s", got, want)
				}
			}
		})
	}
}

func sorted(s []string) []string {
	slices.Sort(s)
	return s
}

func TestRamdisk(t *testing.T) {
	r, err := Parse(RamdiskCommand, []string{"debian", "deploy"}, nil)
	if err != nil || !r.Ramdisk || fmt.Sprint(r.Roots()) != "[ramdisk base debian deploy]" {
		t.Errorf("%+v %v", r, err)
	}
	r, err = Parse(RamdiskCommand, []string{"-n", "--ramdisk-element", "dracut-ramdisk", "debian"}, nil)
	if err != nil || fmt.Sprint(r.Roots()) != "[dracut-ramdisk debian]" {
		t.Errorf("%v %v", r.Roots(), err)
	}
}

func TestRoots(t *testing.T) {
	for _, row := range []struct{ args, want string }{
		{"debian-minimal", "[base debian-minimal]"},
		{"vm debian-minimal", "[base vm debian-minimal block-device-mbr]"},
		{"-a aarch64 vm debian-minimal", "[base vm debian-minimal block-device-efi]"},
		{"-n vm block-device-gpt debian-minimal", "[vm block-device-gpt debian-minimal]"},
		{"-n block-device debian-minimal vm", "[block-device debian-minimal vm block-device-mbr]"},
	} {
		r, err := Parse(ImageCommand, append(strings.Fields(row.args), "-a", "amd64")[:], nil)
		if strings.Contains(row.args, "-a ") {
			r, err = Parse(ImageCommand, strings.Fields(row.args), nil)
		}
		if got := fmt.Sprint(r.Roots()); err != nil || got != row.want {
			t.Errorf("%s: %s %v, want %s", row.args, got, err, row.want)
		}
	}
}

func TestWrongUse(t *testing.T) {
	for _, row := range []struct{ args, env, want string }{
		{"", "", "name at least one element, of which one is a distribution"},
		{"-x", "", "name at least one element, of which one is a distribution"},
		{"--imge-size 2 vm", "", "unknown option --imge-size"},
		{"-q vm", "", "unknown option -q"},
		{"-a", "", "option -a wants a value: ARCH"},
		{"--offline=1 vm", "", "option --offline takes no value"},
		{"--image-siz", "", "option --image-size wants a value: GIB"},
		{"--image=2 vm", "", "option --image is ambiguous: --image-size, --image-cache"},
		{"-a sparc vm", "", `there is no architecture "sparc"`},
		{"-t aci vm", "", `-t: ingot writes no images of type "aci"; it writes ` + strings.Join(types(), ", ")},
		{"-t qcow vm", "", `-t: ingot writes no images of type "qcow"; it writes ` + strings.Join(types(), ", ")},
		{"-t raw, vm", "", `-t: ingot writes no images of type ""; it writes ` + strings.Join(types(), ", ")},
		{"-o .qcow2 vm", "", "-o .qcow2 names no file"},
		{"-o x/ vm", "", "-o x/ names no file"},
		{"--image-size 500M vm", "", "DIB_IMAGE_SIZE or --image-size 500M is not a size: want a number of GiB, such as 2.5"},
		{"--image-size 0 vm", "", "DIB_IMAGE_SIZE or --image-size 0 is no size for a disk"},
		{"--image-size 1e3 vm", "", "DIB_IMAGE_SIZE or --image-size 1e3 is not a size: want a number of GiB, such as 2.5"},
		{"--image-size 99999999999 vm", "", "DIB_IMAGE_SIZE or --image-size 99999999999 is too large"},
		{"--mkfs-journal-size 0 vm", "", "DIB_JOURNAL_SIZE or --mkfs-journal-size 0 is not a whole number from 1 to 40000"},
		{"--max-online-resize much vm", "", "MAX_ONLINE_RESIZE or --max-online-resize much is not a whole number from 1 to 9223372036854775807"},
		{"vm", "DIB_CHECKSUM=sha512", "DIB_CHECKSUM=sha512: want 1, md5, sha256 or md5,sha256"},
		{"vm", "DIB_DEBUG_TRACE=yes", "DIB_DEBUG_TRACE yes is not a whole number from 0 to 1000"},
		{"vm", "break=install", "break=install is no place of a build"},
		{"vm", "DIB_BLOCK_DEVICE_CONFIG=file://", "DIB_BLOCK_DEVICE_CONFIG=file:// names no file"},
		{"a/b", "", `"a/b" is not the name of an element`},
		{"--qemu-img-options compat=0.10 vm", "", "--qemu-img-options: compat=0.10: ingot's qcow2 has 1.1, v3"},
		{"--qemu-img-options subformat=fixed vm", "", "--qemu-img-options: no output here takes subformat=fixed"},
		{"-t tar --qemu-img-options compat=1.1 vm", "", "--qemu-img-options: no output here takes compat=1.1"},
		{"-c --inherit-env vm", "", "-c and --inherit-env are two answers"},
		{"--env PATH=/x vm", "", "--env PATH: every build sets this variable itself"},
		{"--env a-b=1 vm", "", "--env a-b: want NAME or NAME=VALUE"},
		{"--script-timeout 5 vm", "", "--script-timeout 5 is not a time: want such as 90s or 30m"},
		{"--progress loud vm", "", "--progress loud: want auto, plain or json"},
	} {
		_, err := Parse(ImageCommand, strings.Fields(row.args), strings.Fields(row.env))
		if err == nil || err.Error() != row.want || fault.CodeOf(err) != fault.Usage {
			t.Errorf("%s %s: %v, want %s", row.env, row.args, err, row.want)
		}
	}
}

func TestAsked(t *testing.T) {
	for _, row := range []struct{ args, want string }{
		{"--help", "help"}, {"-h", "help"}, {"--version", "version"}, {"--version -h", "version"}, {"-xh", "help"}, {"-t nonsense --help vm", "help"},
	} {
		r, err := Parse(ImageCommand, strings.Fields(row.args), nil)
		if err != nil || r.Asked != row.want {
			t.Errorf("%s: %q %v", row.args, r.Asked, err)
		}
	}
}

// Every option and every documented variable stands in the help, and no line is wide.
func TestHelp(t *testing.T) {
	for _, command := range []string{ImageCommand, RamdiskCommand, FilesCommand} {
		help := Help(command)
		for _, line := range strings.Split(help, "\n") {
			if len([]rune(line)) > width || strings.TrimRight(line, " ") != line {
				t.Errorf("%s: line %q", command, line)
			}
		}
		options := imageOptions()
		if command == FilesCommand {
			options = fileOptions(&Batch{})
			for _, k := range keys {
				if !strings.Contains(help, "\n  "+k.name+" ") {
					t.Errorf("%s: no word of %s", command, k.name)
				}
			}
		}
		for _, o := range options {
			if !strings.Contains(help, o.String()) {
				t.Errorf("%s: no word of %s", command, o.String())
			}
		}
	}
}

// What -t can say names formats that there are, with options that they take.
func TestTypesAreFormats(t *testing.T) {
	for _, word := range types() {
		o, err := outputOf(word)
		if err != nil {
			t.Errorf("%s: %v", word, err)
			continue
		}
		f, ok := format.Lookup(o.Format)
		switch {
		case !ok || !f.Dir && len(o.Suffixes) == 0:
			t.Errorf("%s: %+v", word, o)
		case o.Compress != "" && !slices.Contains(f.Compress, o.Compress), o.Kind != "" && !slices.Contains(f.Types, o.Kind):
			t.Errorf("%s: %s has no %s %s", word, f.Name, o.Compress, o.Kind)
		}
	}
}

// DIB_ENV is what bash reads back as the variables, without secrets.
func TestDIBEnv(t *testing.T) {
	judge.Path(t, "bash")
	value := "a \"b\" $c `d` \\e 'f'\n\tg=ä"
	r, err := Parse(ImageCommand, []string{"vm"}, []string{"DIB_B=" + value, "DIB_A=1", "DIB_DEV_USER_PASSWORD=s", "FS_TYPE=xfs"})
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("bash", "-c", `eval "$1"; printf '%s|%s|%s|%s' "$DIB_A" "$DIB_B" "${DIB_DEV_USER_PASSWORD-none}" "${FS_TYPE-none}"`, "it", r.DIBEnv())
	cmd.Env = []string{"PATH=/usr/bin:/bin"}
	out, err := cmd.CombinedOutput()
	if want := "1|" + value + "|none|none"; err != nil || string(out) != want {
		t.Errorf("%q %v, want %q", out, err, want)
	}
}

// Elements write DIB_ENV into the image, so it has no secrets of a definition either, whose
// variables no command line read.
func TestDIBEnvOfADefinition(t *testing.T) {
	r := Request{Environment: map[string]string{"DIB_A": "1", "DIB_DEV_USER_PASSWORD": "hush", "DIB_B": "https://me:hush@a.example/"}}
	if got := r.Variables()["DIB_ENV"]; got != `declare -x DIB_A="1"` {
		t.Errorf("got %s", got)
	}
}

func TestSecretsAreNotShown(t *testing.T) {
	r, err := Parse(ImageCommand, []string{"--env", "REG_PASSWORD=hush", "--env=OS_PASSWORD=hush", "--env", "MINE=1", "--mirror", "http://me:hush@m.example/debian", "vm"}, []string{"DIB_DEV_USER_PASSWORD=hush"})
	if err != nil {
		t.Fatal(err)
	}
	if r.Environment["REG_PASSWORD"] != "hush" || r.Environment["OS_PASSWORD"] != "hush" || r.Environment["DIB_DEV_USER_PASSWORD"] != "hush" || r.Mirror != "http://me:hush@m.example/debian" {
		t.Errorf("%v %s", r.Environment, r.Mirror)
	}
	b, err := json.Marshal(r.Shown())
	if text := fmt.Sprint(string(b), r.Line(), r.Variables()["DIB_ARGS"], r.DIBEnv()); err != nil || strings.Contains(text, "hush") {
		t.Errorf("%v %s", err, text)
	}
}

func TestVariables(t *testing.T) {
	r, err := Parse(ImageCommand, strings.Fields("-a arm64 -o web --checksum --offline -xx --image-size 2.5 --image-extra-size 10 vm"), []string{"DIB_RELEASE=trixie"})
	if err != nil {
		t.Fatal(err)
	}
	v := r.Variables()
	for name, want := range map[string]string{
		"ARCH": "arm64", "IMAGE_NAME": "web", "DIB_CHECKSUM": "md5,sha256", "DIB_OFFLINE": "1", "DIB_DEBUG_TRACE": "2", "DIB_IMAGE_SIZE": "2.5",
		"DIB_IMAGE_EXTRA_SIZE": "10", "DIB_RELEASE": "trixie", "LC_ALL": "C", "FS_TYPE": "ext4", "IMAGE_TYPE": "qcow2", "DIB_NO_TMPFS": "0",
		"DIB_ARGS": "-a arm64 -o web --checksum --offline -xx --image-size 2.5 --image-extra-size 10 vm", "DIB_ENV": `declare -x DIB_RELEASE="trixie"`,
	} {
		if v[name] != want {
			t.Errorf("%s=%q, want %q", name, v[name], want)
		}
	}
	if _, there := v["MAX_ONLINE_RESIZE"]; there {
		t.Error("MAX_ONLINE_RESIZE is set")
	}
}

// An option wins over its variable, for scripts too.
func TestOptionsWin(t *testing.T) {
	r, err := Parse(ImageCommand, strings.Fields("--install-type package --root-label r --image-cache /c -o web vm"),
		[]string{"DIB_DEFAULT_INSTALLTYPE=source", "ROOT_LABEL=s", "IMAGE_NAME=image", "DIB_IMAGE_CACHE=/d"})
	v := r.Variables()
	if got := v["DIB_DEFAULT_INSTALLTYPE"] + v["ROOT_LABEL"] + v["DIB_IMAGE_CACHE"] + v["IMAGE_NAME"]; err != nil || got != "packager/cweb" {
		t.Errorf("%s %v", got, err)
	}
}

func TestSnippets(t *testing.T) {
	judge.Path(t, "bash")
	r, err := Parse(ImageCommand, []string{"--install-type", "it's", "vm"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, row := range []struct{ env, want string }{{"A=1", "it's"}, {"DIB_DEFAULT_INSTALLTYPE=source", "source"}} {
		cmd := exec.Command("bash", "-euc", r.Snippets()["environment.d/11-dib-install-type.bash"]+`printf %s "$DIB_DEFAULT_INSTALLTYPE"`)
		cmd.Env = []string{row.env}
		if out, err := cmd.CombinedOutput(); err != nil || string(out) != row.want {
			t.Errorf("%s: %s %v", row.env, out, err)
		}
	}
}

func TestDiskSize(t *testing.T) {
	efi := []string{"base", "block-device-efi-lvm"}
	for _, row := range []struct {
		args     string
		used     int64
		fs       string
		elements []string
		want     int64 // KiB
	}{
		{"vm", 600_000, "ext4", nil, 1_000_000 + 64<<10},
		{"vm", 600_001, "xfs", nil, 1_000_064},
		{"vm", 600_000, "xfs", efi, 1_000_000 + 525<<10},
		{"--image-extra-size 100 vm", 600_000, "xfs", nil, 702_400},
		{"--image-extra-size 0 --mkfs-journal-size 8 vm", 600_000, "ext4", nil, 608_192},
		{"--image-size 2 vm", 600_000, "ext4", nil, 2 << 20},
		{"--image-size 2 vm", 600_000, "ext4", efi, 2<<20 + 525<<10},
	} {
		r, err := Parse(ImageCommand, strings.Fields(row.args), nil)
		if got := r.DiskSize(row.used, row.fs, row.elements); err != nil || got != row.want<<10 {
			t.Errorf("%s with %d of %s: %d KiB, want %d: %v", row.args, row.used, row.fs, got>>10, row.want, err)
		}
	}
}

func TestRootOptions(t *testing.T) {
	for _, row := range []struct{ args, fs, want string }{
		{"vm", "ext4", "-i 4096 -J size=64"},
		{"vm", "xfs", ""},
		{"--mkfs-options -q --max-online-resize 1000 --mkfs-journal-size 8 vm", "ext4", "-E resize=1000 -i 4096 -J size=8 -q"},
		{"--mkfs-options -q vm", "xfs", "-q"},
	} {
		r, err := Parse(ImageCommand, strings.Fields(row.args), nil)
		if got := r.RootOptions(row.fs); err != nil || got != row.want {
			t.Errorf("%s: %q, want %q: %v", row.args, got, row.want, err)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add("-a amd64 -o x -t raw,tgz --image-size 2.5 vm", "DIB_X=1 break=after-error")
	f.Add("-p a,b --env X=y -- -x", "ELEMENTS_PATH=/a:/b DIB_CHECKSUM=md5 QEMU_IMG_OPTIONS=a=b")
	f.Fuzz(func(t *testing.T, args, env string) {
		r, err := Parse(ImageCommand, strings.Split(args, " "), strings.Split(env, " "))
		if err != nil && fault.CodeOf(err) != fault.Usage {
			t.Errorf("%v", err)
		}
		if err == nil && r.Asked == "" {
			if _, err := json.Marshal(r.Shown()); err != nil {
				t.Error(err)
			}
			_, _, _ = r.Variables(), r.Line(), r.DiskSize(1<<40, "ext4", r.Roots())
		}
	})
}
