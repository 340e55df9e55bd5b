package main_test

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"testing"

	"ingot/internal/judge"
)

// What the elements of these tests are made of: an operating system that is nothing but
// Debian's smallest set of packages, by debootstrap, and one that looks around.
var fakeSystem = map[string]string{
	"elements/tiny/element-provides": "operating-system\n",
	"elements/tiny/element-deps":     "dpkg\n",
	"elements/tiny/environment.d/10-tiny": "export DISTRO_NAME=debian DIB_RELEASE=bookworm DIB_INIT_SYSTEM=systemd\n" +
		"export TINY=${TINY:-nothing}\n",
	"elements/tiny/root.d/10-debootstrap": "#!/bin/bash\nset -eu\nsudo debootstrap --variant=minbase --arch=$ARCH $DIB_RELEASE $TARGET_ROOT http://ftp.debian.org/debian\nsudo mkdir -p $TARGET_ROOT/probe\n" +
		"echo deb http://ftp.debian.org/debian bookworm main | sudo tee $TARGET_ROOT/etc/apt/sources.list\n",
}

// probe notes in the image what a script of a phase sees.
func probe(phase string) string {
	return `#!/bin/bash
set -eu
root=
if [ -d "${TMP_MOUNT_PATH:-/nowhere}" ]; then root=$TMP_MOUNT_PATH; fi
{
	echo "$(basename $0) at $(dirname $0)"
	echo "root ${TARGET_ROOT-unset} name $IMAGE_NAME arch $ARCH type ${DIB_DEFAULT_INSTALLTYPE-unset} tiny $TINY"
	echo "stranger ${STRANGER-unset} secret ${OS_PASSWORD-unset} home $HOME"
	ls -d /tmp/in_target.d 2>/dev/null || echo no hooks
	echo "order $(cat $root/probe/order 2>/dev/null | tr '\n' ' ')"
} >$root/probe/` + phase + `
`
}

// mark is a script that says that it ran.
const mark = "#!/bin/bash\nset -eu\nroot=; if [ -d \"${TMP_MOUNT_PATH:-/nowhere}\" ]; then root=$TMP_MOUNT_PATH; fi\nif [ -d $root/probe ]; then echo $(basename $0) >>$root/probe/order; fi\n"

// elements judges diskimage-builder's contract through its own command.
func (c *court) elements(t *testing.T) {
	t.Run("contract", timed(c.contract))
	t.Run("debian-minimal", timed(c.debianMinimal))
	t.Run("shipped", timed(c.shipped))
	t.Run("sources", timed(c.sources))
	t.Run("ramdisks", timed(c.ramdisks))
	t.Run("puppet-master", timed(c.puppetMaster))
	t.Run("ramdisk boots", timed(c.ramdiskBoots))
	t.Run("releases", timed(c.releases))
	t.Run("efi", timed(c.elementsEFI))
	t.Run("disk", timed(c.elementsDisk))
	t.Run("grow", timed(c.elementsGrow))
	t.Run("dracut", timed(c.elementsDracut))
	t.Run("definition", timed(c.elementsDefinition))
	t.Run("flavors", timed(c.elementsFlavors))
}

// elementsDefinition builds a definition that has elements beside everything else: those
// of diskimage-builder as Debian ships them, and one of its own. The base is ingot's, and
// no debootstrap runs.
func (c *court) elementsDefinition(t *testing.T) {
	p := c.project(t, map[string]string{
		"ingot.yaml": `version: 1
name: cloud
distro: debian
release: bookworm
arch: [` + arch() + `]
packages: [systemd-sysv]
elements: [vm, cloud-init, cloud-init-nocloud, greet]
environment: {GREETING: hello}
users: [{name: ops, uid: 1000}]
files: [{path: /etc/motd, content: "of the definition\n"}, {path: /etc/resolv.conf, content: "nameserver 192.0.2.1\n"}]
scripts: [{run: ./setup.sh}]
services: {enable: [greet]}
outputs: [qcow2, tar]
`,
		"setup.sh":                                          "#!/bin/sh\nset -eu\ncat /etc/greeting >/etc/setup\ncommand -v tree >>/etc/setup\n",
		"elements/greet/element-deps":                       "package-installs\ndib-init-system\n",
		"elements/greet/package-installs.yaml":              "tree:\n",
		"elements/greet/root.d/50-base":                     "#!/bin/bash\nset -eu\ntest -x $TARGET_ROOT/usr/bin/dpkg\n",
		"elements/greet/install.d/50-greet":                 "#!/bin/bash\nset -eu\necho element >/etc/motd\nsudo tee /etc/greeting <<<\"$GREETING $DISTRO_NAME $DIB_RELEASE $DIB_INIT_SYSTEM ${STRANGER-none}\"\n",
		"elements/greet/finalise.d/50-sees":                 "#!/bin/bash\nset -eu\n{ cat /etc/motd; id -un 1000; } >/etc/seen\n",
		"elements/greet/cleanup.d/50-beside":                "#!/bin/bash\nset -eu\nmkdir -p $IMAGE_NAME.d\necho beside >$IMAGE_NAME.d/beside\n",
		"elements/greet/init-scripts/systemd/greet.service": "[Service]\nType=oneshot\nExecStart=/bin/true\n[Install]\nWantedBy=multi-user.target\n",
	})
	p.env = []string{"STRANGER=yes"}
	p.must(t, "check")
	p.must(t, "build", "--to", "out")
	tree := readTar(t, p.path("out/cloud-"+arch()+".tar"))
	for path, text := range map[string]string{
		"/etc/greeting":    "hello debian bookworm systemd none\n",
		"/etc/motd":        "of the definition\n", // which has the last word
		"/etc/setup":       "hello debian bookworm systemd none\n/usr/bin/tree\n",
		"/etc/seen":        "of the definition\nops\n",
		"/etc/resolv.conf": "nameserver 192.0.2.1\n",
	} {
		if e := tree[path]; e.content != text {
			t.Errorf("%s is %q, want %q", path, e.content, text)
		}
	}
	for _, path := range []string{"/usr/sbin/policy-rc.d", "/etc/apt/apt.conf.d/00ingot-build", "/etc/resolv.conf.ORIG", "/usr/bin/sudo", "/usr/sbin/debootstrap"} {
		if _, ok := tree[path]; ok {
			t.Errorf("%s is in the image", path)
		}
	}
	for _, path := range []string{"/etc/systemd/system/multi-user.target.wants/greet.service", "/usr/bin/cloud-init", "/usr/local/bin/install-packages"} {
		if _, ok := tree[path]; !ok {
			t.Errorf("%s is not in the image", path)
		}
	}
	for _, purpose := range []string{"machine", "container"} {
		if text := p.read(t, "out/cloud-"+arch()+"-"+purpose+"/cloud.d/beside"); text != "beside\n" {
			t.Errorf("beside the %s lies %q", purpose, text)
		}
	}
	// What they list is locked beside what the definition asks for.
	for _, want := range []string{"\nset " + arch() + " machine-base\n", "\nset " + arch() + " machine\n", "\nstation\n", " .elements/install.d/50-greet\n", "\n  python3-diskimage-builder "} {
		if !strings.Contains(p.read(t, "ingot.lock"), want) {
			t.Errorf("the lock has no %q", want)
		}
	}
	t.Run("nothing changed", func(t *testing.T) {
		if v := p.ingot(t, "build", "--to", "out", "--locked"); v.code != 0 || !strings.Contains(v.err, ".tar: cached") || strings.Contains(v.err, ": done") {
			t.Errorf("exit code %d\n%s", v.code, tail(v.err, 20))
		}
	})
	t.Run("group", func(t *testing.T) {
		p.must(t, "group", "commit", "--to", p.path("groups"))
		q := p
		if c.full { // a machine that has nothing
			q = p.fresh()
		}
		q.offlineAgain(t, "cloud", "out/cloud-"+arch()+".tar", "--output", "tar")
	})
	t.Run("another element", func(t *testing.T) {
		p.write(t, map[string]string{"elements/greet/finalise.d/50-sees": "#!/bin/bash\necho again >/etc/seen\n"})
		p.refuse(t, 5, []string{"does not fit", "hint:"}, "build", "--locked", "--to", "out")
		v := p.ingot(t, "build", "--output", "tar", "--to", "out")
		if v.code != 0 || !strings.Contains(v.err, "script setup: cached") {
			t.Fatalf("exit code %d\n%s", v.code, tail(v.err, 20))
		}
		if e := readTar(t, p.path("out/cloud-"+arch()+".tar"))["/etc/seen"]; e.content != "again\n" {
			t.Errorf("it is not in the image: %q", e.content)
		}
	})
	t.Run("boot", func(t *testing.T) {
		judge.Needs(t, judge.Full)
		p.must(t, "boot", "out/cloud-"+arch()+".qcow2", "--timeout", bootPatience, "--expect", `Cloud-init v\. \S+ running 'init'`)
	})
}

// offlineAgain checks a version out into a directory that nothing else lies beside, builds it from
// the repository alone, and holds an artifact against that of the first build.
func (p *project) offlineAgain(t *testing.T, spec, artifact string, args ...string) {
	t.Helper()
	p.must(t, "group", "checkout", spec, "again", "--from", p.path("groups"))
	p.must(t, append([]string{"build", "--locked", "--offline", "--to", "rebuilt", "again"}, args...)...)
	judge.Run(t, "cmp", p.path(artifact), p.path("rebuilt/"+filepath.Base(artifact)))
}

// elementsFlavors builds a definition with an element in one of its flavors, keeps it as a
// group, and builds both flavors again on a machine that has nothing, without a network.
func (c *court) elementsFlavors(t *testing.T) {
	judge.Needs(t, judge.Full)
	p := c.project(t, map[string]string{
		"ingot.yaml":                        minimal + "arch: [" + arch() + "]\ndeclared: ./declared\nelements: [greet, {name: more, when: extra}]\nflavors: {extra: {}}\n",
		"declared/flags/extra":              "sense: prefernot\n",
		"elements/greet/install.d/50-greet": "#!/bin/bash\nset -eu\necho hello >/etc/greeting\n",
		"far/more/element-deps":             "package-installs\n",
		"far/more/package-installs.yaml":    "tree:\n",
		"far/more/install.d/60-more":        "#!/bin/bash\nset -eu\necho more >>/etc/greeting\n",
	})
	p.env = []string{"ELEMENTS_PATH=" + p.path("far")}
	p.must(t, "build", "--all-flavors", "--to", "out")
	for name, want := range map[string]string{"small-": "hello\n", "small-extra-": "hello\nmore\n"} {
		tree := readTar(t, p.path("out/"+name+arch()+".tar"))
		if got := tree["/etc/greeting"].content; got != want {
			t.Errorf("%s greets %q", name, got)
		}
		if _, ok := tree["/usr/bin/tree"]; ok != (name == "small-extra-") {
			t.Errorf("%s has its package: %v", name, ok)
		}
	}
	p.must(t, "group", "commit", "--to", p.path("groups"))
	q := p.fresh()
	q.env = nil
	q.offlineAgain(t, "small", "out/small-extra-"+arch()+".tar", "--all-flavors")
	judge.Run(t, "cmp", p.path("out/small-"+arch()+".tar"), p.path("rebuilt/small-"+arch()+".tar"))
}

// elementsEFI builds diskimage-builder's disk for both firmwares, and starts it by each; and
// its disk for sectors of 4096 bytes, of trixie.
func (c *court) elementsEFI(t *testing.T) {
	judge.Needs(t, judge.Full)
	p := c.project(t, map[string]string{})
	p.env = []string{"DIB_RELEASE=bookworm", "DIB_APT_SOURCES_CONF=default:deb http://ftp.debian.org/debian bookworm main", "INGOT_MIRROR_DEBIAN=" + p.mirror}
	p.must(t, "disk-image-create", "-n", "-u", "-o", "img", "-t", "qcow2", "vm", "block-device-efi", "debian-minimal")
	for _, firmware := range []string{"bios", "uefi"} {
		p.must(t, "boot", "img.qcow2", "--firmware", firmware, "--timeout", bootPatience, "--expect", "debian login:")
	}
	q := c.project(t, map[string]string{})
	q.env = []string{"DIB_RELEASE=trixie", "DIB_APT_SOURCES_CONF=default:deb http://ftp.debian.org/debian trixie main", "INGOT_MIRROR_DEBIAN=" + q.mirror}
	q.must(t, "disk-image-create", "-n", "-u", "-o", "large", "-t", "qcow2", "vm", "debian-minimal", "block-device-efi-4k")
	q.must(t, "boot", "large.qcow2", "--firmware", "uefi", "--sector-size", "4096", "--timeout", bootPatience, "--expect", "debian login:")
}

// elementsDracut has dracut make the initramfs, by an element of diskimage-builder's, and starts
// the disk: its initramfs has a systemd of its own.
func (c *court) elementsDracut(t *testing.T) {
	judge.Needs(t, judge.Full)
	p := c.project(t, map[string]string{})
	p.env = []string{"DIB_RELEASE=trixie", "DIB_APT_SOURCES_CONF=default:deb http://ftp.debian.org/debian trixie main", "INGOT_MIRROR_DEBIAN=" + p.mirror}
	p.must(t, "disk-image-create", "-n", "-u", "-o", "img", "-t", "qcow2", "-p", "dracut,python3-yaml", "vm", "debian-minimal", "dracut-regenerate")
	const modules = "for m in crypt lvm systemd; do lsinitrd -m /boot/initrd.img-$(uname -r) | grep -qx $m || exit 1; done"
	p.must(t, "boot", "img.qcow2", "--timeout", bootPatience, "--run", modules, "--run", "systemctl is-system-running --wait")
}

func (c *court) contract(t *testing.T) {
	files := map[string]string{
		"elements/look/element-deps":             "install-bin\ninstall-static\n",
		"elements/look/bin/look-here":            "#!/bin/sh\necho here\n",
		"elements/look/install.d/10-b":           mark,
		"elements/look/install.d/010-a":          mark,
		"elements/look/install.d/9-first":        mark,
		"elements/look/install.d/100-late":       mark,
		"elements/look/install.d/aa":             mark,
		"elements/look/install.d/50-dotted.sh":   mark,
		"elements/look/extra-data.d/50-adds":     "#!/bin/bash\nset -eu\ncp $TMP_HOOKS_PATH/install.d/10-b $TMP_HOOKS_PATH/install.d/11-added\n",
		"elements/look/post-install.d/50-static": "#!/bin/bash\nset -eu\nlook-here >/probe/bin\necho 'a dot' >/.dotted\nlogger() { :; }\necho noise >>/var/log/noise.log\necho x >/tmp/rubbish\n",
		"elements/look/static/etc/look.conf":     "static\n",
		"elements/look/package-installs.yaml":    "tree: {uninstall: false}\n",
	}
	for _, phase := range []string{"root.d", "extra-data.d", "pre-install.d", "install.d", "post-install.d", "post-root.d", "pre-finalise.d", "finalise.d", "cleanup.d"} {
		files["elements/look/"+phase+"/99-probe"] = probe(phase)
	}
	for name, text := range fakeSystem {
		files[name] = text
	}
	p := c.project(t, files)
	// Not executable: passed over.
	p.write(t, map[string]string{"elements/look/install.d/20-plain": "echo never\n"})
	p.env = []string{"ELEMENTS_PATH=" + p.path("elements"), "TINY=caller", "STRANGER=yes", "OS_PASSWORD=hunter2", "INGOT_MIRROR_DEBIAN=" + p.mirror}
	args := []string{"disk-image-create", "-n", "-o", "img", "-t", "tar", "tiny", "look"}
	first := p.ingot(t, args...)
	if first.code != 0 {
		t.Fatalf("exit code %d\n%s", first.code, tail(first.err, 40))
	}
	for _, want := range []string{"install.d/20-plain: it does not run: it is not executable", "install.d/50-dotted.sh: it does not run: names of scripts have only", "call it 50-dotted"} {
		if !strings.Contains(first.err, want) {
			t.Errorf("it does not say %q", want)
		}
	}
	// Of a home that is kept between runs it may be cached.
	if !strings.Contains(first.err, "install.d/010-a: cached") && !strings.Contains(first.err, " s  install.d/010-a") {
		t.Error("it does not say how long a script took")
	}
	tree := readTar(t, p.path("img.tar"))
	const build = "/tmp/dib_build.ingot"
	var got, want strings.Builder
	for _, x := range []struct{ phase, dir, root, hooks, kind, order string }{
		{"root.d", build + "/hooks/root.d", build + "/mnt", "no hooks", "source", ""},
		{"extra-data.d", build + "/hooks/extra-data.d", "unset", "no hooks", "source", ""},
		{"pre-install.d", "/tmp/in_target.d/pre-install.d", "unset", "/tmp/in_target.d", "source", ""},
		{"install.d", "/tmp/in_target.d/install.d", "unset", "/tmp/in_target.d", "source", "aa 9-first 010-a 10-b 11-added "},
		{"post-install.d", "/tmp/in_target.d/post-install.d", "unset", "/tmp/in_target.d", "source", "aa 9-first 010-a 10-b 11-added 100-late "},
		{"post-root.d", build + "/hooks/post-root.d", "unset", "no hooks", "source", "aa 9-first 010-a 10-b 11-added 100-late "},
		{"pre-finalise.d", build + "/hooks/pre-finalise.d", "unset", "no hooks", "source", "aa 9-first 010-a 10-b 11-added 100-late "},
		{"finalise.d", "/tmp/in_target.d/finalise.d", "unset", "/tmp/in_target.d", "source", "aa 9-first 010-a 10-b 11-added 100-late "},
		{"cleanup.d", build + "/hooks/cleanup.d", build + "/mnt", "no hooks", "source", "aa 9-first 010-a 10-b 11-added 100-late "},
	} {
		fmt.Fprintf(&got, "== %s\n%s", x.phase, tree["/probe/"+x.phase].content)
		fmt.Fprintf(&want, "== %s\n99-probe at %s\nroot %s name img arch %s type %s tiny nothing\nstranger unset secret unset home /root\n%s\norder %s\n", x.phase, x.dir, x.root, arch(), x.kind, x.hooks, x.order)
	}
	if got.String() != want.String() {
		t.Errorf("scripts saw\n%s\nwant\n%s", got.String(), want.String())
	}
	for path, text := range map[string]string{"/probe/bin": "here\n", "/.dotted": "a dot\n", "/etc/look.conf": "static\n", "/var/log/noise.log": ""} {
		if e, ok := tree[path]; !ok || e.content != text {
			t.Errorf("%s is %q (there: %v), want %q", path, e.content, ok, text)
		}
	}
	for path := range tree {
		if strings.HasPrefix(path, "/tmp/") || strings.HasPrefix(path, "/.station") || strings.HasPrefix(path, "/ingot") || strings.Contains(path, "00ingot") {
			t.Errorf("%s is in the image", path)
		}
		if strings.HasPrefix(path, "/dev/") && (strings.Contains(path, "loop") || strings.Contains(path, "vd") || strings.Contains(path, "sd")) {
			t.Errorf("a device of the host is in the image: %s", path)
		}
	}
	t.Run("papers", func(t *testing.T) { sums(t, p.dir) })
	t.Run("again", func(t *testing.T) {
		before := sha256File(t, p.path("img.tar"))
		v := p.ingot(t, args...)
		if v.code != 0 || !strings.Contains(v.err, "img.tar: cached") {
			t.Errorf("exit code %d\n%s", v.code, tail(v.err, 20))
		}
		if sha256File(t, p.path("img.tar")) != before {
			t.Error("the image is another one")
		}
		if names := globbed(t, p.path("img-*.tar")); len(names) > 0 {
			t.Errorf("it was moved aside: %s", names)
		}
	})
	t.Run("plan", func(t *testing.T) {
		text := p.must(t, append([]string{"element", "plan"}, args[1:]...)...)
		var order []string
		for _, l := range lines(text) {
			if f := strings.Fields(l); len(f) == 3 && strings.HasPrefix(f[2], "install.d/") {
				order = append(order, strings.TrimPrefix(f[2], "install.d/"))
			}
			if strings.HasPrefix(l, "  run") {
				t.Errorf("it would run %s", l)
			}
		}
		if got, want := strings.Join(order, " "), "aa 01-package-installs 9-first 010-a 10-b 10-install-static-files 99-package-uninstalls 99-probe 100-late"; got != want {
			t.Errorf("the order is\n%s\nwant\n%s", got, want)
		}
		p.refuse(t, 1, []string{"iso", "hint:"}, "disk-image-create", "-n", "-o", "disk", "-t", "iso", "tiny", "look")

		// Other names of scripts, and lists read with their mistakes, are another build.
		q := *p
		q.env = append(slices.Clone(p.env), "RUN_PARTS_REGEX=[a-z]$")
		if text := q.must(t, append([]string{"element", "plan"}, args[1:]...)...); !strings.Contains(text, "install.d/50-dotted.sh\n") {
			t.Errorf("by RUN_PARTS_REGEX:\n%s", text)
		}
		q.env = append(slices.Clone(p.env), "RUN_PARTS_REGEX=[")
		q.refuse(t, 3, []string{"RUN_PARTS_REGEX"}, append([]string{"element", "plan"}, args[1:]...)...)
		if p.must(t, append([]string{"element", "plan", "--compat"}, args[1:]...)...) == text {
			t.Error("--compat changes nothing, and a list has 'uninstall: false'")
		}
		p.refuse(t, 2, []string{"--mirror", "nonsense", "hint:"}, append([]string{"element", "plan", "--mirror", "nonsense"}, args[1:]...)...)
	})
	t.Run("one script changed", func(t *testing.T) {
		p.write(t, map[string]string{"elements/look/finalise.d/99-probe": probe("finalise.d") + "echo changed >/probe/changed\n"})
		v := p.ingot(t, args...)
		if v.code != 0 {
			t.Fatalf("exit code %d\n%s", v.code, tail(v.err, 20))
		}
		if want := "root.d/10-debootstrap: cached"; !strings.Contains(v.err, want) {
			t.Errorf("it does not say %q:\n%s", want, tail(v.err, 60))
		}
		if e := readTar(t, p.path("img.tar"))["/probe/changed"]; e.content != "changed\n" {
			t.Errorf("the change is not in the image: %q", e.content)
		}
		// As diskimage-builder does with one that is there.
		if names := globbed(t, p.path("img-*.tar")); len(names) != 1 {
			t.Errorf("the old image is not aside: %s", names)
		}
	})
	t.Run("the same elsewhere", func(t *testing.T) {
		q := c.project(t, files).fresh()
		q.write(t, map[string]string{"elements/look/finalise.d/99-probe": p.read(t, "elements/look/finalise.d/99-probe"), "elements/look/install.d/20-plain": "echo never\n", "img.lock": p.read(t, "img.lock")})
		q.env = []string{"ELEMENTS_PATH=" + q.path("elements"), "TZ=Asia/Tokyo", "LC_ALL=de_DE.UTF-8", "INGOT_MIRROR_DEBIAN=" + p.mirror}
		if isRoot() { // to whom scripts' sudo, mount and chown are nobody else's
			q.asUser(t, c.makeUser(t))
		}
		q.must(t, append(args, "--locked")...)
		if a, b := sha256File(t, p.path("img.tar")), sha256File(t, q.path("img.tar")); a != b {
			t.Errorf("digests %s and %s", a, b)
		}
		// What scripts downloaded is held by the lock: nothing of it is missed without a
		// network, when all that no lock names is gone and nothing is cached.
		q.must(t, "store", "gc", "--cache")
		if err := os.Remove(q.path("img.tar")); err != nil {
			t.Fatal(err)
		}
		q.env[len(q.env)-1] = "INGOT_MIRROR_DEBIAN=file:///nowhere" // scripts would see --offline
		q.must(t, append(args, "--locked")...)
		if a, b := sha256File(t, p.path("img.tar")), sha256File(t, q.path("img.tar")); a != b {
			t.Errorf("offline: digests %s and %s", a, b)
		}
	})
	t.Run("break", func(t *testing.T) {
		before := sha256File(t, p.path("img.tar"))
		q := *p
		q.env = append(slices.Clone(p.env), "break=before-post-install.d,after-finalise", "break_cmd=echo at $INGOT_SCRIPT by $(ls -d /tmp/in_target.d) >>/probe/stops")
		v := q.ingot(t, args...)
		if v.code != 0 || !strings.Contains(v.err, "root.d/10-debootstrap: cached") {
			t.Fatalf("exit code %d\n%s", v.code, tail(v.err, 20))
		}
		if got, want := readTar(t, p.path("img.tar"))["/probe/stops"].content, "at before-post-install by /tmp/in_target.d\nat after-finalise by /tmp/in_target.d\n"; got != want {
			t.Errorf("in the image is %q, want %q", got, want)
		}
		// What somebody did there is in no cache, and no seal.
		p.must(t, args...)
		if sha256File(t, p.path("img.tar")) != before {
			t.Error("without the break it is another image")
		}
		t.Run("shell", func(t *testing.T) {
			q.env = append(slices.Clone(p.env), "break=before-cleanup,before-root")
			cmd := q.command(t.Context(), args...)
			cmd.Stdin = strings.NewReader("test ! -e $TMP_MOUNT_PATH/probe || echo typed >$TMP_MOUNT_PATH/probe/typed\nexit 3\n")
			if v := finish(t, cmd); v.code != 0 {
				t.Fatalf("exit code %d\n%s", v.code, tail(v.err, 20))
			}
		})
		t.Run("fails", func(t *testing.T) {
			q.env = append(slices.Clone(p.env), "break=before-cleanup", "break_cmd=exit 4")
			q.refuse(t, 1, []string{"before-cleanup", "exited with code 4"}, args...)
			q.env = append(slices.Clone(p.env), "break=before-nothing")
			q.refuse(t, 2, []string{"before-nothing", "hint:"}, args...)
		})
		t.Run("after an error", func(t *testing.T) {
			p.write(t, map[string]string{"elements/look/install.d/60-bad": "#!/bin/bash\nexit 7\n"})
			defer func() { _ = os.Remove(p.path("elements/look/install.d/60-bad")) }()
			q.env = append(slices.Clone(p.env), "break=after-error", "break_outside_target=1", "break_cmd=echo seen $(head -n1 $TMP_MOUNT_PATH/probe/order) >&2")
			if v := q.refuse(t, 1, []string{"install.d/60-bad", "exited with code 7"}, args...); !strings.Contains(v.err, "seen aa\n") {
				t.Errorf("it did not stop\n%s", tail(v.err, 20))
			}
		})
	})
	t.Run("leaves things", func(t *testing.T) {
		p.write(t, map[string]string{"elements/look/install.d/60-leaves": "#!/bin/bash\nset -eu\n(while :; do sleep 98765; done) &\nsetsid sleep 98765 &\nmount -t tmpfs none /mnt\necho x >/mnt/hidden\necho ok >/etc/left\n"})
		defer func() { _ = os.Remove(p.path("elements/look/install.d/60-leaves")) }()
		p.must(t, args...)
		tree := readTar(t, p.path("img.tar"))
		if _, hidden := tree["/mnt/hidden"]; hidden || tree["/etc/left"].content != "ok\n" {
			t.Errorf("what was mounted is in the image: %v; what was done: %q", hidden, tree["/etc/left"].content)
		}
		for _, path := range globbed(t, "/proc/[0-9]*/cmdline") {
			if text, err := os.ReadFile(path); err == nil && strings.HasPrefix(string(text), "sleep\x0098765") {
				t.Errorf("%s still runs", path)
			}
		}
	})
	t.Run("fails", func(t *testing.T) {
		for _, k := range []struct {
			name, script string
			words        []string
			more         []string
		}{
			{"exit", "#!/bin/bash\necho why it fails\nexit 7\n", []string{"install.d/60-bad", "exited with code 7", "why it fails"}, nil},
			{"hangs", "#!/bin/bash\nsleep 1000\n", []string{"install.d/60-bad", "still runs after 2s", "hint:", "--script-timeout"}, []string{"--script-timeout", "2s"}},
			{"no interpreter", "#!/no/such\n", []string{"install.d/60-bad"}, nil},
		} {
			t.Run(k.name, func(t *testing.T) {
				p.write(t, map[string]string{"elements/look/install.d/60-bad": k.script})
				defer func() { _ = os.Remove(p.path("elements/look/install.d/60-bad")) }()
				p.refuse(t, 1, k.words, append(slices.Clone(args), k.more...)...)
			})
		}
		t.Run("full", func(t *testing.T) {
			p.write(t, map[string]string{"elements/look/install.d/60-bad": "#!/bin/bash\nexec fallocate -l 7T /fill\n"})
			defer func() { _ = os.Remove(p.path("elements/look/install.d/60-bad")) }()
			p.refuse(t, 9, []string{"no space left", "install.d/60-bad", "hint:"}, args...)
		})
		if left := globbed(t, filepath.Join(p.cache, "work", "*")); len(left) > 0 {
			t.Errorf("was left: %s", left)
		}
		p.refuse(t, 3, []string{`"lok"`, "hint:", "look"}, "disk-image-create", "-n", "-o", "img", "-t", "tar", "tiny", "lok")
		p.refuse(t, 2, []string{"--imag-size"}, "disk-image-create", "--imag-size-nonsense", "tiny")
	})
}

// debianMinimal builds what diskimage-builder's own element of that name makes, from
// Debian's package of it, byte for byte: what its scripts were to do is in the image. With
// "vm" it is a disk too, which starts, where diskimage-builder wants loop devices and
// device-mapper.
func (c *court) debianMinimal(t *testing.T) {
	p := c.project(t, map[string]string{})
	p.env = []string{"DIB_RELEASE=bookworm", "DIB_APT_SOURCES_CONF=default:deb http://ftp.debian.org/debian bookworm main", "DIB_MODPROBE_BLACKLIST=floppy", "DIB_GRUB_TIMEOUT=7"}
	p.must(t, "disk-image-create", "--mirror", p.mirror, "-n", "-o", "img", "-t", "tar,qcow2", "-p", "tree", "vm", "debian-minimal", "modprobe", "element-manifest", "growroot")
	tree := readTar(t, p.path("img.tar"))
	status := tree["/var/lib/dpkg/status"].content
	for _, name := range []string{"systemd-sysv", "busybox", "sudo", "gnupg2", "python3", "locales", "tree"} {
		if !regexp.MustCompile(`(?m)^Package: ` + regexp.QuoteMeta(name) + "\nStatus: install ok installed$").MatchString(status) {
			t.Errorf("%s is not installed", name)
		}
	}
	for path, text := range map[string]string{
		"/etc/apt/sources.list.d/default.list":    "deb http://ftp.debian.org/debian bookworm main\n",
		"/etc/machine-id":                         "uninitialized\n",
		"/etc/modprobe.d/blacklist.conf":          "blacklist floppy\n",
		"/etc/dib-manifests/dib-element-manifest": "",
	} {
		e, ok := tree[path]
		if !ok || text != "" && e.content != text {
			t.Errorf("%s is %q (there: %v), want %q", path, e.content, ok, text)
		}
	}
	for _, path := range []string{"/usr/sbin/policy-rc.d", "/etc/apt/apt.conf.d/00ingot-build", "/etc/dpkg/dpkg.cfg.d/02apt-speedup"} {
		if _, ok := tree[path]; ok {
			t.Errorf("%s is left", path)
		}
	}
	t.Run("disk", func(t *testing.T) {
		fstab := tree["/etc/fstab"].content
		if !regexp.MustCompile(`(?m)^LABEL=cloudimg-rootfs / ext4 defaults 0 1$`).MatchString(fstab) {
			t.Errorf("fstab is\n%s", fstab)
		}
		cfg := tree["/boot/grub/grub.cfg"].content
		for _, want := range []string{"root=LABEL=cloudimg-rootfs", "console=ttyS0,115200", "no_timer_check", "set timeout=7"} {
			if !strings.Contains(cfg, want) {
				t.Errorf("grub.cfg has no %q", want)
			}
		}
		// growroot at work: what the partition and the file system take of a larger disk.
		var disk struct {
			Size int64 `json:"virtual-size"`
		}
		parse(t, []byte(judge.Run(t, "qemu-img", "info", "--output=json", p.path("img.qcow2"))), &disk)
		judge.Run(t, "qemu-img", "resize", "-q", "-f", "qcow2", p.path("img.qcow2"), "+2G")
		grown := fmt.Sprintf("systemctl start growroot && test $(findmnt -bno SIZE /) -gt %d", disk.Size+1<<30)
		p.must(t, "boot", "img.qcow2", "--timeout", bootPatience, "--expect", "debian login:", "--run", grown)
	})
	var manifest []map[string]string
	parse(t, []byte(p.read(t, "img.d/dib-manifests/dib-manifest-dpkg-img")), &struct {
		Packages *[]map[string]string `json:"packages"`
	}{&manifest})
	if len(manifest) < 150 {
		t.Errorf("the manifest has %d packages", len(manifest))
	}
}

// globbed are the paths that a pattern matches.
func globbed(t *testing.T, pattern string) []string {
	t.Helper()
	names, err := filepath.Glob(pattern)
	if err != nil {
		t.Fatal(err)
	}
	return names
}

// arch is Debian's name of this machine's architecture.
func arch() string { return runtime.GOARCH }
