package main_test

import (
	"os/exec"
	"strings"
	"testing"

	"ingot/internal/judge"
)

// ramdiskElement makes a ramdisk as ironic's elements do, by a script of cleanup.d:
// diskimage-builder's own element "ramdisk" has not worked for years.
var ramdiskElement = map[string]string{
	"elements/own-ramdisk/element-deps": "no-final-image\n",
	"elements/own-ramdisk/cleanup.d/99-ramdisk-create": `#!/bin/bash
set -eu -o pipefail
out=$(readlink -f $(dirname $IMAGE_NAME))/$(basename $IMAGE_NAME)
source $_LIB/img-functions
if [ -n "${DIB_TEST_KERNEL:-}" ]; then
	select_boot_kernel_initrd $TARGET_ROOT
	sudo cp $BOOTDIR/$KERNEL $out.kernel
fi
cd $TARGET_ROOT
# One that is not started needs nothing to start with.
less="./usr/lib ./usr/sbin ./var"
if [ -n "${DIB_TEST_KERNEL:-}" ]; then less=./usr/lib/modules; fi
sudo find . -xdev -path ./boot -prune -o -path ./usr/share -prune -o $(printf -- '-path %s -prune -o ' $less) -print0 | LC_ALL=C sort -z | sudo cpio --null --create --format=newc --owner=0:0 --reproducible --quiet | gzip -n -1 >$out.initramfs
`,
	"elements/own-ramdisk/finalise.d/90-init": `#!/bin/bash
set -eu
cat >/init <<'EOF'
#!/bin/sh
mount -t proc none /proc
echo "the ramdisk says $(cat /etc/debian_version) of $(sed -n 's/^MemTotal: *//p' /proc/meminfo)"
exec sleep 100000
EOF
chmod 0755 /init
`,
}

// ramdisks makes a ramdisk, by the command that is called so and by the element that says
// that no disk is wanted. There is nothing else then: no disk, whatever -t says.
func (c *court) ramdisks(t *testing.T) {
	files := map[string]string{}
	for _, m := range []map[string]string{fakeSystem, ramdiskElement} {
		for name, text := range m {
			files[name] = text
		}
	}
	p := c.project(t, files)
	p.env = []string{"ELEMENTS_PATH=" + p.path("elements"), "INGOT_MIRROR_DEBIAN=" + p.mirror}
	args := []string{"ramdisk-image-create", "--ramdisk-element", "own-ramdisk", "-n", "-o", "out/rd", "tiny"}
	p.must(t, args...)
	members := listed(t, p.path("out/rd.initramfs"))
	for _, want := range []string{"init", "etc/debian_version", "usr/bin/bash"} {
		if !strings.Contains("\n"+members+"\n", "\n"+want+"\n") {
			t.Errorf("the ramdisk has no %s", want)
		}
	}
	for _, none := range []string{"\nproc/", "\ntmp/in_target.d", "\ndev/loop", "\n.station"} {
		if strings.Contains("\n"+members, none) {
			t.Errorf("the ramdisk has %s", none)
		}
	}
	if names := strings.Join(globbed(t, p.path("out/*")), "\n"); strings.Contains(names, "qcow2") || !strings.Contains(names, "rd.initramfs.manifest.json") || !strings.Contains(names, "rd.initramfs.spdx.json") {
		t.Errorf("there are\n%s", names)
	}
	t.Run("papers", func(t *testing.T) { sums(t, p.path("out")) })
	t.Run("again", func(t *testing.T) {
		before := sha256File(t, p.path("out/rd.initramfs"))
		v := p.ingot(t, args...)
		if v.code != 0 || !strings.Contains(v.err, "out/rd: cached") && !strings.Contains(v.err, "rd: cached") {
			t.Errorf("exit code %d\n%s", v.code, tail(v.err, 20))
		}
		// One that is missing or that somebody changed is made again.
		p.write(t, map[string]string{"out/rd.initramfs": "not it"})
		p.must(t, args...)
		if after := sha256File(t, p.path("out/rd.initramfs")); after != before {
			t.Errorf("digests %s and %s", before, after)
		}
	})
	t.Run("no-final-image", func(t *testing.T) {
		// An archive is no disk. An absolute name, as most people give.
		p.must(t, "disk-image-create", "-n", "-o", p.path("abs/rd"), "-t", "qcow2,tar", "tiny", "own-ramdisk")
		var got []string
		for _, name := range globbed(t, p.path("abs/rd*")) {
			if !strings.HasSuffix(name, ".json") && !strings.HasSuffix(name, ".seal") {
				got = append(got, strings.TrimPrefix(name, p.path("abs")+"/"))
			}
		}
		if text := strings.Join(got, " "); text != "rd.d rd.initramfs rd.lock rd.tar" {
			t.Errorf("there are %s", text)
		}
		if a, b := listed(t, p.path("abs/rd.initramfs")), members; a != b {
			t.Errorf("the ramdisk is another one:\n%s", a)
		}
		p.write(t, map[string]string{"elements/own-ramdisk/cleanup.d/99-ramdisk-create": "#!/bin/bash\nrm -rf none*\n", "elements/tiny/element-deps": ""})
		p.refuse(t, 1, []string{"no script left a file beside the image", "hint:"}, "disk-image-create", "-n", "-o", "none", "-t", "qcow2", "tiny", "no-final-image")
	})
}

// ramdiskBoots makes a kernel and a ramdisk of Debian's, and starts them.
func (c *court) ramdiskBoots(t *testing.T) {
	judge.Needs(t, judge.Full)
	p := c.project(t, ramdiskElement)
	p.env = []string{"ELEMENTS_PATH=" + p.path("elements"), "INGOT_MIRROR_DEBIAN=" + p.mirror, "DIB_TEST_KERNEL=1", "DIB_RELEASE=bookworm", "DIB_APT_SOURCES_CONF=default:deb http://ftp.debian.org/debian bookworm main"}
	p.must(t, "ramdisk-image-create", "--ramdisk-element", "own-ramdisk", "-n", "-o", "rd", "debian-minimal")
	c.kernel(t, `the ramdisk says 12\.[0-9]+ of [0-9]+ kB`, "-kernel", p.path("rd.kernel"), "-initrd", p.path("rd.initramfs"), "-append", "console=ttyS0 rdinit=/init")
}

// listed are the members of a compressed archive of cpio's.
func listed(t *testing.T, name string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "/bin/sh", "-euc", `gzip -dc "$1" | cpio -t --quiet | sort`, "sh", name)
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("cpio: %v", err)
	}
	return strings.TrimSpace(string(out))
}
