package lib

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"ingot/internal/judge"
)

// A place is a directory with the library, a temporary directory and whatever else a
// test puts there.
type place struct {
	t        *testing.T
	dir, lib string
	env      []string
}

func newPlace(t *testing.T) *place {
	t.Helper()
	judge.Path(t, "bash")
	dir := t.TempDir()
	p := &place{t: t, dir: dir, lib: filepath.Join(dir, "lib")}
	if err := Write(p.lib); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(dir, "tmp"), 0o755); err != nil {
		t.Fatal(err)
	}
	p.env = []string{"PATH=" + os.Getenv("PATH"), "_LIB=" + p.lib, "HOME=/root", "LC_ALL=C", "TMPDIR=" + filepath.Join(dir, "tmp")}
	return p
}

// file writes a file; one that begins with "#!" can be executed.
func (p *place) file(name, text string) {
	p.t.Helper()
	to := filepath.Join(p.dir, name)
	mode := os.FileMode(0o644)
	if strings.HasPrefix(text, "#!") {
		mode = 0o755
	}
	if err := errors.Join(os.MkdirAll(filepath.Dir(to), 0o755), os.WriteFile(to, []byte(text), mode)); err != nil {
		p.t.Fatal(err)
	}
}

// bash runs a script as elements' scripts run: strict, in the place, after what it
// sources. It gives both streams and the status.
func (p *place) bash(script string, env ...string) (string, int) {
	p.t.Helper()
	cmd := exec.Command("bash", "-c", "set -eu -o pipefail\n"+script)
	cmd.Dir, cmd.Env = p.dir, append(slices.Clone(p.env), env...)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	err := cmd.Run()
	if e, ok := errors.AsType[*exec.ExitError](err); ok {
		return out.String(), e.ExitCode()
	}
	if err != nil {
		p.t.Fatal(err)
	}
	return out.String(), 0
}

// says fails the test unless a script ends with a status and says a text.
func (p *place) says(script string, status int, want string, env ...string) {
	p.t.Helper()
	out, code := p.bash(script, env...)
	if want = strings.ReplaceAll(want, "DIR", p.dir); code != status || out != want {
		p.t.Errorf("%s\nends with %d:\n%s\nwant %d:\n%s", script, code, out, status, want)
	}
}

// tree lists what lies below a directory of the place, "name -> target" for links.
func (p *place) tree(name string) string {
	p.t.Helper()
	var out []string
	top := filepath.Join(p.dir, name)
	err := filepath.WalkDir(top, func(path string, e os.DirEntry, err error) error {
		if err != nil || path == top || e.IsDir() {
			return err
		}
		line := strings.TrimPrefix(path, top+"/")
		if to, err := os.Readlink(path); err == nil {
			line += " -> " + to
		}
		out = append(out, line)
		return nil
	})
	if err != nil {
		p.t.Fatal(err)
	}
	return strings.Join(out, "\n")
}

func TestShellcheck(t *testing.T) {
	judge.Path(t, "shellcheck")
	p := newPlace(t)
	args := []string{"-x", "-P", "SCRIPTDIR", "-P", p.lib}
	for _, f := range Files() {
		args = append(args, filepath.Join(p.lib, f.Path))
	}
	judge.RunIn(t, p.lib, "shellcheck", args...)
}

// Whatever a script sources, in whatever order, its strict settings and its variables
// stay as they were.
func TestSourcing(t *testing.T) {
	p := newPlace(t)
	for _, f := range []string{"die", "common-defaults", "img-defaults", "ramdisk-defaults", "common-functions", "img-functions", "ramdisk-functions"} {
		p.says(`source $_LIB/`+f+`; echo $-`, 0, "ehuBc\n")
	}
	p.says(`source $_LIB/common-defaults; source $_LIB/img-defaults; source $_LIB/ramdisk-defaults; source $_LIB/common-functions
		source $_LIB/img-functions; source $_LIB/ramdisk-functions; echo $ARCH $FS_TYPE $IMAGE_NAME $RAMDISK_ELEMENT $DIB_NO_TMPFS$DIB_MIN_TMPFS`,
		0, "arm64 xfs image ramdisk 02\n", "ARCH=arm64", "FS_TYPE=xfs")
	// img-functions alone, as in an image, where nobody says $_LIB.
	p.says(`unset _LIB; source `+p.lib+`/img-functions; declare -F select_boot_kernel_initrd`, 0, "select_boot_kernel_initrd\n")
	p.says(`source $_LIB/common-defaults; echo $PATH`, 0, "/bin:/usr/sbin:/sbin:/usr/local/sbin\n", "ARCH=amd64", "PATH=/bin:/usr/sbin")
}

func TestDie(t *testing.T) {
	p := newPlace(t)
	for _, row := range []struct {
		script string
		status int
		want   string
	}{
		{`source $_LIB/die; (exit 7) || die "it  broke" again; echo on`, 7, "it  broke again\n"},
		{`source $_LIB/die; if true; then die x; fi; echo on`, 1, "x\n"},
		{`source $_LIB/die; set -x; false || die x 2>/dev/null`, 1, "+ false\n+ die x\n"},
		{`source $_LIB/common-functions; bash -c 'die "in a child"'`, 1, "in a child\n"},
	} {
		p.says(row.script, row.status, row.want)
	}
}

// What the driver hands to scripts as functions.
func TestFunctions(t *testing.T) {
	p := newPlace(t)
	var env []string
	for name, value := range Functions(map[string]string{"vm": "/e/vm", "a-b": "/with a blank/it's", "base": "/e/base"}) {
		env = append(env, name+"="+value)
	}
	p.says(`eval declare -A all=($(get_image_element_array)); for e in "${!all[@]}"; do echo "$e=${all[$e]}"; done | sort`, 0,
		"a-b=/with a blank/it's\nbase=/e/base\nvm=/e/vm\n", env...)
	p.says(`bash -c '(exit 3) || die no'`, 3, "no\n", env...)
}

func TestSelectBootKernelInitrd(t *testing.T) {
	show := `source $_LIB/img-functions; select_boot_kernel_initrd root; echo "$TARGET_ROOT $BOOTDIR $KERNEL $RAMDISK ${KERNEL_VERSION-}"`
	for _, row := range []struct {
		name, files, env string
		status           int
		want             string
	}{
		{"Debian", "etc/debian_version boot/vmlinuz-6.1.0-9-amd64 boot/vmlinuz-6.1.0-10-amd64 boot/initrd.img-6.1.0-9-amd64 boot/initrd.img-6.1.0-10-amd64", "", 0,
			"root root/boot vmlinuz-6.1.0-10-amd64 initrd.img-6.1.0-10-amd64 6.1.0-10-amd64\n"},
		{"Ubuntu's generic one", "etc/debian_version boot/vmlinuz-6.8-z boot/vmlinuz-6.8-1-generic boot/initrd.img-6.8-z boot/initrd.img-6.8-1-generic", "", 0,
			"root root/boot vmlinuz-6.8-1-generic initrd.img-6.8-1-generic 6.8-1-generic\n"},
		{"a red hat", "etc/redhat-release boot/vmlinuz-5.14.0-9.el9.x86_64 boot/vmlinuz-5.14.0-70.el9.x86_64 boot/vmlinuz-5.14.0-70.el9.x86_64+debug boot/vmlinuz-0-rescue-12 boot/initramfs-5.14.0-70.el9.x86_64.img", "", 0,
			"root root/boot vmlinuz-5.14.0-70.el9.x86_64 initramfs-5.14.0-70.el9.x86_64.img 5.14.0-70.el9.x86_64\n"},
		{"PAE first", "etc/redhat-release boot/vmlinuz-3.9.x boot/vmlinuz-3.2.PAE boot/initramfs-3.2.PAE.img", "", 0, "root root/boot vmlinuz-3.2.PAE initramfs-3.2.PAE.img 3.2.PAE\n"},
		{"Gentoo", "etc/gentoo-release boot/vmlinuz-6.6 boot/initramfs-6.6.img", "", 0, "root root/boot vmlinuz-6.6 initramfs-6.6.img 6.6\n"},
		{"patterns", "boot/vmlinuz-1 boot/vmlinuz-2 boot/mine-1 boot/mine-2 boot/rd", "DIB_BAREMETAL_KERNEL_PATTERN=mine* DIB_BAREMETAL_INITRD_PATTERN=rd*", 0, "root root/boot mine-2 rd \n"},
		{"no distribution", "boot/vmlinuz-1", "", 1, "select_boot_kernel_initrd: root is no distribution that is known here\n"},
		{"no kernel", "etc/debian_version boot/x", "", 1, "select_boot_kernel_initrd: there is no kernel in root/boot\n"},
		{"no kernel of a red hat", "etc/redhat-release boot/x", "", 1, "select_boot_kernel_initrd: there is no kernel in root/boot\n"},
		{"no ramdisk", "etc/debian_version boot/vmlinuz-1", "", 1, "select_boot_kernel_initrd: there is no ramdisk for vmlinuz-1 in root/boot\n"},
	} {
		t.Run(row.name, func(t *testing.T) {
			p := newPlace(t)
			for _, f := range strings.Fields(row.files) {
				p.file("root/"+f, "")
			}
			p.says(show, row.status, row.want, strings.Fields(row.env)...)
		})
	}
	t.Run("SUSE's links", func(t *testing.T) {
		p := newPlace(t)
		p.file("root/boot/vmlinuz-6.4", "")
		p.file("root/boot/initrd-6.4", "")
		if err := errors.Join(os.Symlink("vmlinuz-6.4", p.dir+"/root/boot/vmlinuz"), os.Symlink("initrd-6.4", p.dir+"/root/boot/initrd")); err != nil {
			t.Fatal(err)
		}
		p.says(show, 0, "root root/boot vmlinuz-6.4 initrd-6.4 6.4\n", "DISTRO_NAME=opensuse")
	})
	t.Run("a signed kernel", func(t *testing.T) {
		p := newPlace(t)
		for _, f := range []string{"etc/debian_version", "boot/vmlinuz-6-generic", "boot/vmlinuz-6-generic.efi.signed", "boot/initrd.img-6-generic"} {
			p.file("root/"+f, "")
		}
		p.file("root/dib-signed-kernel-version", "DIB_SIGNED_KERNEL_VERSION=6-generic.efi.signed\n")
		p.says(show, 0, "The kernel is the signed 6-generic.efi.signed\nroot root/boot vmlinuz-6-generic.efi.signed initrd.img-6-generic 6-generic.efi.signed\n")
	})
}

func TestFinishImage(t *testing.T) {
	p := newPlace(t)
	p.file("web.raw", "old")
	p.file("web.raw.md5", "old")
	p.file("new", "new")
	p.says(`source $_LIB/common-functions; date() { echo 2026.01.31-23.59.58; }; OUT_IMAGE_PATH=new; finish_image web.raw; md5sum -c web.raw.md5; sha256sum -c web.raw.sha256`, 0,
		"Renaming the old web.raw to web-2026.01.31-23.59.58.raw\nweb.raw is ready\nweb.raw: OK\nweb.raw: OK\n", "DIB_CHECKSUM=1")
	p.file("new", "newer")
	p.says(`source $_LIB/common-functions; OUT_IMAGE_PATH=new; save_image web.raw; cat web.raw web-*.raw`, 0, "web.raw is ready\nnewerold", "OVERWRITE_OLD_IMAGE=1")
	p.file("new", "")
	p.file("a.b/image", "")
	p.says(`source $_LIB/common-functions; date() { echo T; }; OUT_IMAGE_PATH=new; finish_image a.b/image; ls a.b`, 0, "Renaming the old a.b/image to a.b/image-T\na.b/image is ready\nimage\nimage-T\n")
}

// Mounts need a namespace of mounts that one may change.
func TestMounts(t *testing.T) {
	unshare := judge.Path(t, "unshare")
	if err := exec.CommandContext(t.Context(), unshare, "-rm", "true").Run(); err != nil {
		t.Skipf("a system that lets this user make namespaces (unshare -rm) runs this: %v", err)
	}
	p := newPlace(t)
	for _, d := range []string{"root/proc", "root/dev", "root/sys", "root/boot", "root/with blank"} {
		if err := os.MkdirAll(filepath.Join(p.dir, d), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	p.file("it", `#!/bin/bash
set -eu -o pipefail
source $_LIB/common-functions
export TMP_MOUNT_PATH=$PWD/root
mount_proc_dev_sys
for d in proc dev dev/pts sys; do mountpoint -q root/$d || echo "$d is not mounted"; done
if touch root/sys/x 2>/dev/null; then echo "sys can be written"; fi
mount -t tmpfs none root/boot
mount -t tmpfs none "root/with blank"
DIB_MOUNTPOINTS='/|/boot' unmount_dir root >/dev/null
grep -o " $PWD/root[^ ]*" /proc/self/mounts
`)
	out, err := exec.CommandContext(t.Context(), "env", append(append([]string{"-i"}, p.env...), unshare, "-rm", "sh", "-c", `cd "$1" && ./it`, "it", p.dir)...).CombinedOutput()
	if want := " " + p.dir + "/root/boot\n"; err != nil || string(out) != want {
		t.Errorf("%v %q, want %q", err, out, want)
	}
}

func TestRunParts(t *testing.T) {
	p := newPlace(t)
	for _, name := range []string{"10-b", "2-e", "100-late", "05-g", "aa-f", "010-d", "10-01-c", "99-a"} {
		p.file("install.d/"+name, "#!/bin/bash\necho ${0##*/} $A; cat\n")
	}
	p.file("install.d/10-x.sh", "#!/bin/bash\necho dotted\n")
	p.file("install.d/11-plain", "echo plain\n")
	p.file("install.d/sub/12", "#!/bin/bash\necho below\n")
	p.file("environment.d/10-a.bash", "export A=${A}1\nreturn\n")
	p.file("environment.d/9-b", "export A=${A}2\n")
	p.file("environment.d/100-c", "export A=${A}3 name=x dir=/nowhere script=y\n")
	p.says(`lib/dib-run-parts --list install.d`, 0, "install.d/aa-f\ninstall.d/2-e\ninstall.d/05-g\ninstall.d/010-d\ninstall.d/10-01-c\ninstall.d/10-b\ninstall.d/99-a\ninstall.d/100-late\n")
	p.says(`lib/dib-run-parts install.d 2>/dev/null </dev/null`, 0,
		"aa-f 0132\n2-e 0132\n05-g 0132\n010-d 0132\n10-01-c 0132\n10-b 0132\n99-a 0132\n100-late 0132\n", "A=0")
	p.says(`lib/dib-run-parts install.d 2>&1 >/dev/null </dev/null | grep -e Passing -e '^+' -e Sourcing`, 0, `dib-run-parts Passing over what is not executable or has another character in its name: 10-x.sh 11-plain
dib-run-parts Sourcing install.d/../environment.d/10-a.bash
+ source install.d/../environment.d/10-a.bash
++ export A=01
++ A=01
++ return
+ case "$_drp_traced" in
dib-run-parts Sourcing install.d/../environment.d/100-c
+ source install.d/../environment.d/100-c
++ export A=013 name=x dir=/nowhere script=y
++ A=013
++ name=x
++ dir=/nowhere
++ script=y
+ case "$_drp_traced" in
dib-run-parts Sourcing install.d/../environment.d/9-b
+ source install.d/../environment.d/9-b
++ export A=0132
++ A=0132
+ case "$_drp_traced" in
`, "A=0")
	p.says(`echo text | lib/dib-run-parts one.d 2>/dev/null || echo "status $?"`, 0, "status 1\n")
	p.file("one.d/10", "#!/bin/bash\nexit 7\n")
	p.file("one.d/20", "#!/bin/bash\necho on\n")
	p.says(`lib/dib-run-parts one.d 2>/dev/null`, 7, "", "A=0")
	p.says(`RUN_PARTS_REGEX='^[0-9]+\.sh$' lib/dib-run-parts --list install.d`, 0, "")
	p.says(`lib/dib-run-parts 2>/dev/null`, 1, "")
	p.file("two.d/10", "#!/bin/bash\necho $B\n")
	p.file("three/environment.d/10", "false\n")
	p.file("three/two.d/10", "#!/bin/bash\necho on\n")
	p.says(`lib/dib-run-parts three/two.d 2>/dev/null`, 1, "")
	if left := p.tree("tmp"); left != "" {
		t.Errorf("left behind: %s", left)
	}
}

// run_d finds dib-run-parts where a script in the target would.
func TestRunD(t *testing.T) {
	p := newPlace(t)
	p.file("hooks/install.d/10", "#!/bin/bash\necho ran\n")
	p.file("hooks/bad.d/10", "#!/bin/bash\necho bad; exit 3\n")
	hooks := "TMP_HOOKS_PATH=" + p.dir + "/hooks"
	p.says(`source $_LIB/common-functions; run_d nothing; run_d install 2>/dev/null; run_d install out 2>/dev/null; cat out`, 0, "ran\nran\nran\n", hooks)
	p.says(`source $_LIB/common-functions; run_d bad 2>/dev/null || echo "status $?"; run_d bad out 2>/dev/null || echo "status $?"`, 0, "bad\nstatus 3\nbad\nstatus 3\n", hooks)
	p.says(`source $_LIB/common-functions; run_d install 2>/dev/null`, 0, "shell\nran\n", hooks, "break=after-error,before-install", "break_cmd=echo shell")
	if err := os.Rename(p.lib+"/dib-run-parts", p.dir+"/hooks/dib-run-parts"); err != nil {
		t.Fatal(err)
	}
	p.says(`source $_LIB/common-functions; run_d install 2>/dev/null`, 0, "ran\n", hooks)
}

// A ramdisk made as the element ramdisk makes it, in the order of its calls.
func TestRamdisk(t *testing.T) {
	judge.Path(t, "cpio")
	busybox := judge.Path(t, "busybox")
	p := newPlace(t)
	p.file("modules/lib/modules/6.1-test/kernel/a.ko", "module")
	p.file("modules/lib/modules/6.1-test/kernel/drivers/video/xfb.ko", "a frame buffer")
	p.file("udev/lib/udev/rules.d/80-drivers.rules", "rules")
	p.file("scripts/init", "#!/bin/bash\nbegin\n")
	p.file("scripts/init-end", "end\n")
	p.file("scripts/d/init-func", "functions\n")
	p.file("in_target/init.d/20-b", "b\n")
	p.file("in_target/init.d/10-a", "a\n")
	p.file("in_target/udev.d/60-mine.rules", "mine")
	p.file("boot/vmlinuz-6.1-test", "")
	p.file("boot/vmlinuz-5.9-test", "")
	for _, program := range []string{"lsmod", "modprobe", "udevadm", "wget", "reboot", "shutdown"} {
		p.file("programs/"+program, "#!/bin/bash\n")
	}
	out, status := p.bash(`
source $_LIB/common-defaults; source $_LIB/img-defaults; source $_LIB/ramdisk-defaults
source $_LIB/common-functions; source $_LIB/img-functions; source $_LIB/ramdisk-functions
PATH=$PWD/programs:$PATH
KERNEL_VERSION=$(find_kernel_version)
MODULE_DIR=$MODULE_ROOT/lib/modules/$KERNEL_VERSION
FIRMWARE_DIR=$MODULE_ROOT/lib/firmware
LIB_UDEV=$LIB_UDEV_ROOT/lib/udev
INIT=$PWD/scripts/init FUNCTIONS_D=$PWD/scripts/d
IMAGE_ELEMENT=
mk_build_dir
mkdir -p $TMP_BUILD_DIR/mnt
export TMP_HOOKS_PATH=$PWD/none TMP_MOUNT_PATH=$TMP_BUILD_DIR/mnt
create_ramdisk_base
populate_lib
populate_busybox
populate_init
populate_udev
TMP_HOOKS_PATH=$PWD/in_target run_d ramdisk-install
finalise_image
save_image $PWD/ramdisk
mkdir got
cd got
gzip -dc ../ramdisk | cpio -id --quiet
`, "DIB_BOOT_DIR="+p.dir+"/boot", "DIB_MODULE_ROOT="+p.dir+"/modules", "DIB_LIB_UDEV_ROOT="+p.dir+"/udev", "DIB_IN_TARGET="+p.dir+"/in_target", "BUSYBOX="+busybox)
	if status != 0 {
		t.Fatalf("%d: %s", status, out)
	}
	init, err := os.ReadFile(p.dir + "/got/init")
	if want := "#!/bin/bash\nbegin\n\na\n\nb\nend\n"; err != nil || string(init) != want {
		t.Errorf("init is %q %v, want %q", init, err, want)
	}
	tree := p.tree("got")
	for _, want := range []string{
		"bin/bash", "bin/ls -> busybox", "bin/busybox", "bin/udevadm", "init-func", "sbin -> bin", "etc/fstab", "lib/udev/rules.d/60-mine.rules",
		"lib/udev/rules.d/80-drivers.rules", "lib/modules/6.1-test/kernel/a.ko",
	} {
		if !slices.Contains(strings.Split(tree, "\n"), want) {
			t.Errorf("no %s in\n%s", want, tree)
		}
	}
	if strings.Contains(tree, "xfb.ko") || !strings.Contains(tree, "libc.so.6") {
		t.Errorf("tree:\n%s", tree)
	}
	if left := p.tree("tmp"); left != "" {
		t.Errorf("left behind: %s", left)
	}
}

// sudo is judged by what sudo(8) says it does.
func TestSudo(t *testing.T) {
	p := newPlace(t)
	p.env = append(p.env, "A=1", "LANG=de", "LC_TIME=fr", "TERM=vt100", "LD_PRELOAD=", "PYTHONPATH=/x", "INGOT_ELEMENT=vm", "USER=somebody")
	functions := Functions(nil)["BASH_FUNC_die%%"]
	path := p.lib + "/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
	sudo := `PATH=$_LIB/bin:$PATH; `
	for _, row := range []struct {
		script string
		status int
		want   string
	}{
		{`sudo env | LC_ALL=C sort | grep -v -e ^SUDO -e ^_=`, 0, "HOME=/root\nINGOT_ELEMENT=vm\nLANG=de\nLC_ALL=C\nLC_TIME=fr\nLOGNAME=root\nMAIL=/var/mail/root\nPATH=" + path + "\nSHELL=/bin/bash\nTERM=vt100\nUSER=root\n"},
		{`HOME=/h sudo -E sh -c 'echo $A $HOME $LANG ${PYTHONPATH-none} $USER $PATH'`, 0, "1 /h de none root " + path + "\n"},
		{`HOME=/h sudo -EH sh -c 'echo $A $HOME'`, 0, "1 /root\n"},
		{`HOME=/h sudo sh -c 'echo ${A-none} $HOME'`, 0, "none /root\n"},
		{`sudo -E env | grep -c BASH_FUNC`, 1, "0\n"},
		{`env | grep -c BASH_FUNC`, 0, "1\n"},
		{`sudo A=2 B="x y" sh -c 'echo "$A $B"'`, 0, "2 x y\n"},
		{`sudo -E A=2 sh -c 'echo $A'`, 0, "2\n"},
		{`sudo --preserve-env=A,NONE sh -c 'echo $A'`, 0, "1\n"},
		{`sudo -n -u root -- sh -c 'echo $#' x a b`, 0, "2\n"},
		{`sudo -uroot -p prompt -C 3 sh -c 'exit 7'`, 7, ""},
		{`sudo printf '%s.' -E -u`, 0, "-E.-u."},
		{`sudo -v; sudo -k; sudo -nv; echo fine`, 0, "fine\n"},
		{`sudo -k echo ran`, 0, "ran\n"},
		{`sudo -l >/dev/null; sudo -l sh | grep -c "/sh$"`, 0, "1\n"},
		{`sudo -s 'echo hi' 2>/dev/null || echo "status $?"`, 0, "status 127\n"},
		{`sudo -s echo '$A' 'b  c' '*'; sudo -E -s echo '$A' 'it'"'"'s; #'`, 0, "b  c *\n1 it's; #\n"},
		{`cd /; sudo -i pwd`, 0, "/root\n"},
		{`sudo -D /usr pwd`, 0, "/usr\n"},
		{`printf x | sudo cat`, 0, "x"},
		{`sudo 2>&1`, 1, "sudo: no command was given\n"},
		{`sudo -z true`, 1, "sudo: unknown option -z\n"},
		{`sudo --nothing true`, 1, "sudo: unknown option --nothing\n"},
		{`sudo -u`, 1, "sudo: option -u wants a value\n"},
		{`sudo -u nobody-like-this true`, 1, "sudo: there is no user nobody-like-this\n"},
		{`sudo /nothing/there 2>&1`, 1, "sudo: /nothing/there: command not found\n"},
		{`sudo no-such-command 2>&1`, 1, "sudo: no-such-command: command not found\n"},
	} {
		p.says(sudo+row.script, row.status, row.want, "BASH_FUNC_die%%="+functions)
	}
	if os.Geteuid() == 0 {
		p.says(sudo+`sudo -u nobody sh -c 'id -un; id -G; echo $HOME $USER'; sudo -u '#65534' -g '#0' id -g`, 0, "nobody\n65534\n/nonexistent nobody\n0\n")
	}
}

func TestStandIns(t *testing.T) {
	p := newPlace(t)
	asked := "ingot: asked for by root.d/10-image of the element image\n"
	layout := "ingot: hint: say the disk in DIB_BLOCK_DEVICE_CONFIG or by an element block-device-*: ingot writes partitions and file systems itself\n"
	for _, row := range []struct {
		script string
		status int
		want   string
	}{
		{`losetup -a; losetup -d /dev/loop0; losetup`, 0, ""},
		{`losetup -f`, 1, "ingot: losetup -f: a build has no loop devices\n" + asked + strings.TrimSuffix(layout, "\n") + "; an image of somebody else's is read with guestfish or as a tar archive\n"},
		{`kpartx -dv x.raw; kpartx -d /dev/loop0`, 0, ""},
		{`kpartx -av x.raw`, 1, "ingot: kpartx -av x.raw: a build maps no partitions\n" + asked + layout},
		{`dmsetup --noudevsync mknodes; dmsetup ls`, 0, "No devices found\n"},
		{`dmsetup remove x`, 1, "ingot: dmsetup remove x: a build has no device mapper\n" + asked + layout},
		{`udevadm settle; udevadm trigger --action=add`, 0, ""},
		{`udevadm info --name x`, 1, "ingot: udevadm info --name x: a build has no udev\n" + asked + layout},
		{`modprobe -r x`, 0, ""},
		{`modprobe no-such-module x=1`, 1, "ingot: modprobe no-such-module x=1: a build loads no modules into the host's kernel, and it has no no-such-module\n" + asked + "ingot: hint: load it before the build, if the build needs it at all\n"},
		{`modprobe -q no-such-module`, 1, ""},
		{`systemctl daemon-reload; systemctl stop x; systemctl is-active x || echo $?`, 0, "inactive\n3\n"},
		{`systemctl start x`, 1, "ingot: systemctl start x: a build has no services on the host's side\n" + asked + "ingot: hint: run systemctl enable in post-install.d: inside the tree it is the tree's own\n"},
		{`systemctl --root=/t enable x`, 0, "the real --root=/t enable x\n"},
		{`dib-block-device getval root-label; dib-block-device getval mount-points`, 0, "r\n/|/boot\n"},
		{`dib-block-device getval image-path`, 1, "ingot: dib-block-device getval image-path: image-path is not known yet in this phase\n" + asked},
		{`dib-block-device create`, 1, "ingot: dib-block-device create: ingot writes the disk by itself\n" + asked + layout},
		{`mount -o loop,ro x.iso /mnt`, 1, "ingot: mount -o loop,ro x.iso /mnt: x.iso is not there\n" + asked},
		{`head -c 40000 /dev/zero >x.img; mount -o loop x.img .`, 1, "ingot: mount -o loop x.img .: a build has no loop devices, and x.img is no FAT, ISO 9660 or squashfs image, which ingot unpacks\n" + asked +
			"ingot: hint: read it with guestfish, or bring it as a tar archive\n"},
		{`umount -fl --force -f -rfn -t ext4,xfs /t`, 0, "the real umount -l -rn -t ext4,xfs /t\n"},
		{`mount -t tmpfs -o size=1m none /t`, 0, "the real mount -t tmpfs -o size=1m none /t\n"},
		{`mount -t proc none /t`, 0, "the real mount -t proc none /t\n"},
		{`mount -t sysfs -o ro none /tmp`, 0, "the real mount --bind /sys /tmp\nthe real mount -o remount,bind,ro /tmp\n"},
		{`dib-run-parts --list .`, 0, ""},
	} {
		p.file("real/systemctl", "#!/bin/sh\necho the real \"$@\"\n")
		p.file("real/umount", "#!/bin/sh\necho the real umount \"$@\"\n")
		p.file("real/mount", "#!/bin/sh\ncase \"$*\" in *sysfs*) exit 32 ;; esac\necho the real mount \"$@\"\n")
		p.says(`PATH=$_LIB/bin:$PWD/real:$PATH; `+row.script, row.status, row.want,
			"INGOT_LOOPS="+p.dir+"/loops", "INGOT_SCRIPT=root.d/10-image", "INGOT_ELEMENT=image", "DIB_ROOT_LABEL=r", "DIB_MOUNTPOINTS=/|/boot")
	}
	// Without the driver's word, the script that called is named.
	p.file("10-image", "#!/bin/bash\nlosetup -f\n")
	out, _ := p.bash(`PATH=$_LIB/bin:$PATH; ./10-image`)
	if !strings.Contains(out, "asked for by /bin/bash ./10-image\n") {
		t.Errorf("%s", out)
	}
}

// mount and umount as scripts call them, in a namespace that is all that a build has.
func TestMountStandIns(t *testing.T) {
	unshare := judge.Path(t, "unshare")
	if err := exec.CommandContext(t.Context(), unshare, "-rm", "true").Run(); err != nil {
		t.Skipf("a system that lets this user make namespaces (unshare -rm) runs this: %v", err)
	}
	p := newPlace(t)
	if err := errors.Join(os.MkdirAll(p.dir+"/root/proc", 0o755), os.MkdirAll(p.dir+"/root/sys", 0o755), os.MkdirAll(p.dir+"/cache", 0o755)); err != nil {
		t.Fatal(err)
	}
	p.file("it", `#!/bin/bash
set -eu -o pipefail
PATH=$_LIB/bin:$PATH
TARGET_ROOT=$PWD/root
sudo mount -t proc none $TARGET_ROOT/proc
sudo mount -o ro -t sysfs none $TARGET_ROOT/sys
test -e $TARGET_ROOT/proc/self/status
test -d $TARGET_ROOT/sys/kernel
if touch $TARGET_ROOT/sys/x 2>/dev/null; then echo "sys can be written"; fi
sudo umount $TARGET_ROOT/proc
sudo umount -f $TARGET_ROOT/sys
sudo mount --bind $PWD/cache $TARGET_ROOT/proc
touch $TARGET_ROOT/proc/kept
sudo umount -f $TARGET_ROOT/proc
ls cache root/proc root/sys
sudo umount $TARGET_ROOT/proc 2>/dev/null || echo "umount says $?"
`)
	out, err := exec.CommandContext(t.Context(), "env", append(append([]string{"-i"}, p.env...), unshare, "-rm", "sh", "-c", `cd "$1" && ./it`, "it", p.dir)...).CombinedOutput()
	if want := "cache:\nkept\n\nroot/proc:\n\nroot/sys:\numount says 32\n"; err != nil || string(out) != want {
		t.Errorf("%v %q, want %q", err, out, want)
	}
}

// "mount -o loop" of images that can be read without a device, as the element iso and
// others call it.
func TestLoops(t *testing.T) {
	unshare := judge.Path(t, "unshare")
	for _, program := range []string{"mkfs.vfat", "mcopy", "fsck.vfat", "bsdtar", "mksquashfs", "unsquashfs", "xorriso"} {
		judge.Path(t, program)
	}
	if err := exec.CommandContext(t.Context(), unshare, "-rm", "true").Run(); err != nil {
		t.Skipf("a system that lets this user make namespaces (unshare -rm) runs this: %v", err)
	}
	p := newPlace(t)
	p.file("tree/sub/file", "text")
	p.file("a.efi", "a program")
	p.file("it", `#!/bin/bash
set -eu -o pipefail
export INGOT_LOOPS=$PWD/loops
PATH=$_LIB/bin:$PATH
mkdir at
head -c 5898240 /dev/zero >boot.img
mkfs.vfat -F 12 boot.img >/dev/null
mount -o loop boot.img at
mkdir -p at/EFI/BOOT
cp a.efi at/EFI/BOOT
echo gone >at/gone
umount at
ls at
fsck.vfat -n boot.img >/dev/null
mcopy -i boot.img ::/EFI/BOOT/a.efi - && echo
mount -o loop boot.img at
find at -type f | sort
rm at/gone
umount -f $PWD/at
mdir -a -b -i boot.img ::
mksquashfs tree t.squash -quiet -no-progress >/dev/null
xorriso -as mkisofs -quiet -r -o t.iso tree 2>/dev/null
for image in t.squash t.iso; do
    mount -t auto -o loop,ro $image at
    cat at/sub/file && echo
    touch at/x 2>/dev/null || echo "read only"
    umount at
done
ls at loops
`)
	out, err := exec.CommandContext(t.Context(), "env", append(append([]string{"-i"}, p.env...), unshare, "-rm", "sh", "-c", `cd "$1" && ./it`, "it", p.dir)...).CombinedOutput()
	want := "a program\nat/EFI/BOOT/a.efi\nat/gone\n::/EFI/\ntext\nread only\ntext\nread only\nat:\n\nloops:\n"
	if err != nil || string(out) != want {
		t.Errorf("%v\ngot\n%s\nwant\n%s", err, out, want)
	}
}
