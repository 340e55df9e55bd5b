package main_test

import (
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"ingot/internal/judge"
)

// odd makes what a format may lose: several names of a file, holes, devices' kin,
// names of every kind, attributes.
const odd = `#!/bin/sh
set -eu
mkdir -p /srv/odd/deep
cd /srv/odd
echo one >first; ln first second; ln first deep/third
truncate -s 5M holes; printf end >>holes
mkfifo fifo
echo x >"with space and ünïcode"
echo y >"$(printf '%0200d' 7)"
mkdir -p "$(printf '%0120d/%0120d' 1 2)"; echo z >"$(printf '%0120d/%0120d' 1 2)/far"
ln -s "$(printf '%0150d' 3)" long-link
: >empty
chown 1234:70 first; chmod 4751 first; chmod 1777 deep
`

const containerFormats = `version: 1
name: web
distro: debian
release: bookworm
packages: [iputils-ping]
users: [{name: ops}]
scripts: [{run: ./odd.sh}]
outputs:
  - tar
  - tar.xz
  - squashfs
  - {format: oci, entrypoint: [/bin/sh, -c], command: ["echo $GREETING $(id -un) $(pwd)"], environment: {GREETING: hello}, user: ops, workdir: /srv/odd, ports: [80], labels: {a.b: c}, stop-signal: SIGQUIT}
  - oci-layout
  - docker
  - {format: lxc, expiry: 30d, create-message: it is made}
  - {format: incus, expiry: "2099-12-31"}
  - openvz
  - ext4
  - erofs
  - {format: nspawn, compress: zstd}
`

// containerMore are judged like these, at more length.
const containerMore = `  - xfs
  - btrfs
`

// containers judges every format that holds files and boots nothing: all hold the
// same, and those who read such images take them and start them.
func (c *court) containers(t *testing.T) {
	if !isRoot() {
		t.Skip("root runs this: it unpacks owners and devices, and starts containers")
	}
	formats := containerFormats
	if c.full {
		formats += containerMore
	}
	p := c.project(t, map[string]string{"ingot.yaml": formats, "odd.sh": odd})
	p.build(t)
	out := func(name string) string { return p.path("out/" + name) }
	dir := func(t *testing.T) string { // where judges make devices
		t.Helper()
		d, err := os.MkdirTemp(p.dir, "judge-")
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
	unsquash := func(t *testing.T, image string) census {
		t.Helper()
		to := filepath.Join(dir(t), "root")
		judge.Run(t, "unsquashfs", "-no-progress", "-d", to, image)
		return censusOfDir(t, to)
	}
	unpack := func(t *testing.T, layout string) census {
		t.Helper()
		to := filepath.Join(dir(t), "bundle")
		judge.Run(t, "umoci", "unpack", "--image", layout+":web:latest", to)
		return censusOfDir(t, filepath.Join(to, "rootfs"))
	}
	copied := func(t *testing.T, from string) string {
		t.Helper()
		to := filepath.Join(dir(t), "layout")
		judge.Run(t, "skopeo", "copy", "--insecure-policy", from, "oci:"+to+":web:latest")
		return to
	}

	plain := censusBy(t, "", "cat", out("web-amd64.tar"))
	t.Run("same files", func(t *testing.T) {
		t.Run("tar.xz", func(t *testing.T) {
			judge.Run(t, "xz", "-t", out("web-amd64.tar.xz"))
			sameFiles(t, censusBy(t, "", "xz", "-dc", out("web-amd64.tar.xz")), plain)
		})
		t.Run("squashfs", func(t *testing.T) { sameFiles(t, unsquash(t, out("web-amd64.squashfs")), plain) })
		t.Run("oci", func(t *testing.T) {
			sameFiles(t, unpack(t, copied(t, "oci-archive:"+out("web-amd64.oci.tar")+":web:latest")), plain)
		})
		t.Run("oci-layout", func(t *testing.T) { sameFiles(t, unpack(t, out("web-amd64.oci")), plain) })
		t.Run("docker", func(t *testing.T) {
			sameFiles(t, unpack(t, copied(t, "docker-archive:"+out("web-amd64.docker.tar")+":web:latest")), plain)
		})
		t.Run("ext4", func(t *testing.T) { sameFiles(t, mounted(t, out("web-amd64.ext4")), plain, "lost+found") })
		t.Run("erofs", func(t *testing.T) { sameFiles(t, mounted(t, out("web-amd64.erofs")), plain) })
		if c.full {
			t.Run("xfs", func(t *testing.T) { sameFiles(t, mounted(t, out("web-amd64.xfs")), plain) })
			t.Run("btrfs", func(t *testing.T) { sameFiles(t, mounted(t, out("web-amd64.btrfs")), plain) })
		}
		system := unsquash(t, out("web-amd64.rootfs.squashfs"))
		for name := range plain {
			if strings.HasPrefix(name, "srv/odd/") && system[name] != plain[name] {
				t.Errorf("/%s\nis   %s\nwant %s", name, system[name], plain[name])
			}
		}
		t.Run("lxc", func(t *testing.T) {
			sameFiles(t, censusBy(t, "", "xz", "-dc", out("web-amd64.rootfs.tar.xz")), system, "etc/hostname", "etc/hosts")
		})
		t.Run("incus unified", func(t *testing.T) {
			judge.Needs(t, judge.Full)
			before, _, _ := strings.Cut(containerFormats, "outputs:")
			q := c.project(t, map[string]string{"ingot.yaml": before + "outputs: [{format: incus, type: unified}]\n", "odd.sh": odd})
			q.build(t)
			sameFiles(t, censusBy(t, "rootfs", "xz", "-dc", q.path("out/web-amd64.incus.tar.xz")), system)
		})
		t.Run("nspawn", func(t *testing.T) {
			sameFiles(t, censusBy(t, "", "zstd", "-dc", out("web-amd64.nspawn.tar.zst")), system)
		})
		t.Run("openvz", func(t *testing.T) {
			sameFiles(t, censusBy(t, "", "gzip", "-dc", out("debian-12-x86_64-web.tar.gz")), system,
				"etc/hostname", "etc/hosts", "dev/tty2", "etc/systemd/system/getty.target.wants/getty@tty1.service")
		})
	})
	t.Run("again", func(t *testing.T) {
		q := *p
		q.env = append(q.env, "GOMAXPROCS=1", "TZ=Asia/Tokyo")
		q.build(t, "--locked", "--no-cache", "--to", "again")
		sameSums(t, sums(t, p.path("again")), sums(t, p.path("out")))
		if p.read(t, "again/web-amd64.oci/index.json") != p.read(t, "out/web-amd64.oci/index.json") {
			t.Error("the layout differs")
		}
	})
	t.Run("shared layers", func(t *testing.T) {
		other := c.project(t, map[string]string{"ingot.yaml": strings.NewReplacer("name: small", "name: other", "[tar]", "[oci-layout]").Replace(minimal) + "packages: [less]\nhostname: elsewhere\n"})
		other.build(t)
		blobs, err := filepath.Glob(other.path("out/other-amd64.oci/blobs/sha256/*"))
		if err != nil {
			t.Fatal(err)
		}
		var all, shared int64
		for _, b := range blobs {
			info, err := os.Stat(b)
			if err != nil {
				t.Fatal(err)
			}
			all += info.Size()
			if _, err := os.Stat(out("web-amd64.oci/blobs/sha256/" + filepath.Base(b))); err == nil {
				shared += info.Size()
			}
		}
		if shared < all*3/4 {
			t.Errorf("two images share %d of %d bytes", shared, all)
		}
	})
	t.Run("no such user", func(t *testing.T) {
		other := c.project(t, map[string]string{"ingot.yaml": strings.Replace(minimal, "[tar]", "[{format: oci, user: web}]", 1)})
		other.refuse(t, 3, []string{"no user web", "hint:"}, "build", "--to", "out")
		artifactsOnly(t, other.path("out"))
	})
	t.Run("podman", func(t *testing.T) { c.podman(t, p) })
	t.Run("lxc", func(t *testing.T) { c.lxc(t, p) })
	t.Run("lxd", func(t *testing.T) { c.lxd(t, p) })
	t.Run("lxd machine", c.incusMachine)
	t.Run("openvz", func(t *testing.T) { c.openvz(t, p) })
}

// podman loads images and runs them.
func (c *court) podman(t *testing.T, p *project) {
	state, err := os.MkdirTemp("", "podman-") // it wants short paths
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { removeAll(t, state) })
	podman := func(args ...string) string {
		t.Helper()
		// What it mounts for itself goes with it.
		return judge.Run(t, "unshare", append([]string{
			"--mount", "--propagation", "private", judge.Path(t, "podman"),
			"--root", state, "--runroot", state + "/run", "--storage-driver", "vfs", "--runtime", "runc", "--cgroup-manager", "cgroupfs", "--events-backend", "file",
		}, args...)...)
	}
	// The test's own limits may be lower than what podman asks for.
	run := []string{"run", "--rm", "--network", "none", "--ulimit", "nofile=4096:4096", "--ulimit", "nproc=4096:4096"}
	for _, i := range []struct {
		from, want string
		args       []string
	}{
		{"oci-archive:" + p.path("out/web-amd64.oci.tar"), "hello ops /srv/odd", nil},
		{"oci:" + p.path("out/web-amd64.oci"), "root", []string{"id", "-un"}},
		{"docker-archive:" + p.path("out/web-amd64.docker.tar"), "one", []string{"cat", "/srv/odd/deep/third"}},
	} {
		id := lines(podman("pull", "--quiet", i.from))
		if got := podman(append(append(run, id[len(id)-1]), i.args...)...); strings.TrimSpace(got) != i.want {
			t.Errorf("%s says %q, want %q", i.from, got, i.want)
		}
	}
	var config []struct {
		Config struct {
			User, WorkingDir, StopSignal string
			Labels                       map[string]string
			ExposedPorts                 map[string]any
		}
	}
	podman("load", "--quiet", "--input", p.path("out/web-amd64.oci.tar"))
	parse(t, []byte(podman("image", "inspect", "localhost/web:latest")), &config)
	k := config[0].Config
	if _, port := k.ExposedPorts["80/tcp"]; !port || k.User != "ops" || k.WorkingDir != "/srv/odd" || k.StopSignal != "SIGQUIT" || k.Labels["a.b"] != "c" {
		t.Errorf("podman finds %+v", k)
	}
}

// lxcScript makes a container by a template, in a network of its own with a server
// of addresses, and says how it is when it has started.
const lxcScript = `set -eu
path=$1 config=$2 out=$3
exec 2>&1
# LXC looks for the bridge among what /sys shows of this network.
mkdir "$path/sys"
mount -t sysfs sysfs "$path/sys"; mount --rbind /sys/fs/cgroup "$path/sys/fs/cgroup"; mount --rbind "$path/sys" /sys
ip link set lo up
ip link add lxcbr0 type bridge; ip addr add 10.0.3.1/24 dev lxcbr0; ip link set lxcbr0 up
printf 'start 10.0.3.10\nend 10.0.3.20\ninterface lxcbr0\nlease_file %s/leases\npidfile %s/pid\n' "$path" "$path" >"$path/udhcpd"
: >"$path/leases"
busybox udhcpd -f "$path/udhcpd" >"$path/udhcpd.log" 2>&1 & server=$!
end() { lxc-stop -P "$path" -n c1 -k || true; kill $server; }
trap end EXIT
lxc-create -P "$path" -f "$config" -n c1 -t local -- -m "$out/web-amd64.meta.tar.xz" -f "$out/web-amd64.rootfs.tar.xz"
lxc-start -P "$path" -n c1 -l INFO -o "$path/log" || { tail -20 "$path/log"; exit 1; }
inside() { lxc-attach -P "$path" -n c1 -- "$@"; }
n=0
until inside test -S /run/dbus/system_bus_socket; do n=$((n+1)); [ $n -lt 600 ]; sleep 0.1; done
echo "state $(inside systemctl is-system-running --wait)"
inside systemctl --failed --plain --no-legend
inside /lib/systemd/systemd-networkd-wait-online --interface=eth0 --timeout=60
echo "host $(inside hostname) $(inside cat /etc/hostname)"
echo "address $(inside hostname -I)"
echo "owner $(inside stat -c %u /) $(inside id -u)"
`

// lxc makes and starts containers, with privilege and without.
func (c *court) lxc(t *testing.T, p *project) {
	const network = "lxc.net.0.type = veth\nlxc.net.0.link = lxcbr0\nlxc.net.0.flags = up\nlxc.apparmor.profile = unconfined\n"
	for name, config := range map[string]string{
		"privileged":   network,
		"unprivileged": network + "lxc.idmap = u 0 100000 65536\nlxc.idmap = g 0 100000 65536\n",
	} {
		t.Run(name, func(t *testing.T) {
			judge.Path(t, "lxc-create")
			if name == "unprivileged" {
				allowIDs(t)
			}
			// The container's root, who is nobody here, walks through.
			path, err := os.MkdirTemp("", "ingot-lxc-")
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { removeAll(t, path) })
			if err := os.Chmod(path, 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path+"/config", []byte(config), 0o644); err != nil {
				t.Fatal(err)
			}
			got := judge.Run(t, "unshare", "--net", "--mount", "--propagation", "private", "sh", "-c", lxcScript, "sh", path, path+"/config", p.path("out"))
			for _, want := range []string{"it is made\n", "state running\n", "host c1 c1\n", "address 10.0.3.", "owner 0 0\n"} {
				if !strings.Contains(got, want) {
					t.Errorf("it does not say %q:\n%s", want, got)
				}
			}
		})
	}
}

// allowIDs lets root use the ids of a container without privilege, which Debian does
// not until somebody says so.
func allowIDs(t *testing.T) {
	t.Helper()
	for _, file := range []string{"/etc/subuid", "/etc/subgid"} {
		before, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains("\n"+string(before), "\nroot:100000:65536\n") {
			continue
		}
		if err := os.WriteFile(file, append(before, "root:100000:65536\n"...), 0o644); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = os.WriteFile(file, before, 0o644) })
	}
}

// lxdScript has a server of LXD's own state import, start and ask a container.
const lxdScript = `set -eu
export LXD_DIR=$1/state LXD_CONF=$1/config out=$2
exec 2>&1
mkdir "$LXD_DIR"
lxd --group root --logfile "$1/log" >/dev/null & 
trap 'lxd shutdown --timeout 30' EXIT
lxd waitready --timeout 60
lxc image import "$out/web-amd64.incus.tar.xz" "$out/web-amd64.rootfs.squashfs" --alias web
lxc image info web
lxc storage create default dir
lxc profile device add default root disk path=/ pool=default
lxc launch web c2 -c security.privileged=true
n=0
until lxc exec c2 -- test -S /run/dbus/system_bus_socket; do n=$((n+1)); [ $n -lt 600 ]; sleep 0.1; done
echo "state $(lxc exec c2 -- systemctl is-system-running --wait)"
echo "host $(lxc exec c2 -- hostname) $(lxc exec c2 -- cat /etc/hostname)"
lxc exec c2 -- grep 127.0.1.1 /etc/hosts
lxc delete --force c2
`

func (c *court) lxd(t *testing.T, p *project) {
	judge.Path(t, "lxd")
	state, err := os.MkdirTemp("", "ingot-lxd-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { removeAll(t, state) })
	got := judge.Run(t, "unshare", "--mount", "--propagation", "private", "sh", "-c", lxdScript, "sh", state, p.path("out"))
	for _, want := range []string{"Architecture: x86_64\n", "Type: container\n", "Expires: 2099/12/31", "variant: web\n", "state running\n", "host c2 c2\n", "127.0.1.1\tc2\n"} {
		if !strings.Contains(got, want) {
			t.Errorf("it does not say %q:\n%s", want, got)
		}
	}
}

// lxdMachineScript has a server of LXD's own state import a virtual machine.
const lxdMachineScript = `set -eu
export LXD_DIR=$1/state LXD_CONF=$1/config out=$2
exec 2>&1
mkdir "$LXD_DIR"
lxd --group root --logfile "$1/log" >/dev/null & 
trap 'lxd shutdown --timeout 30' EXIT
lxd waitready --timeout 60
lxc image import "$out/small-amd64.incus-vm.tar.xz" "$out/small-amd64.incus-vm.qcow2" --alias vm
lxc image info vm
`

// incusMachine judges a virtual machine's image: a server knows it for one, and the disk
// starts as its machines start.
func (c *court) incusMachine(t *testing.T) {
	judge.Path(t, "lxd")
	p := c.project(t, map[string]string{"ingot.yaml": strings.Replace(minimal, "[tar]", "[{format: incus-vm, expiry: \"2099-12-31\"}, qcow2]", 1)})
	p.build(t)
	disk := p.path("out/small-amd64.incus-vm.qcow2")
	judge.Run(t, "qemu-img", "check", "-q", "-f", "qcow2", disk)
	if out := judge.Run(t, "qemu-img", "compare", "-f", "qcow2", "-F", "qcow2", disk, p.path("out/small-amd64.qcow2")); strings.TrimSpace(out) != "Images are identical." {
		t.Error(out)
	}
	if isRoot() {
		state, err := os.MkdirTemp("", "ingot-lxd-")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { removeAll(t, state) })
		got := judge.Run(t, "unshare", "--mount", "--propagation", "private", "sh", "-c", lxdMachineScript, "sh", state, p.path("out"))
		for _, want := range []string{"Architecture: x86_64\n", "Type: virtual-machine\n", "Expires: 2099/12/31", "requirements.secureboot: false\n"} {
			if !strings.Contains(got, want) {
				t.Errorf("it does not say %q:\n%s", want, got)
			}
		}
	}
	if c.full {
		p.must(t, "boot", disk, "--firmware", "uefi", "--as", "scsi", "--timeout", bootPatience, "--run", "systemctl is-system-running --wait")
	}
	refused := c.project(t, map[string]string{"ingot.yaml": strings.Replace(minimal, "[tar]", "[incus-vm]", 1) + "layout: bios\n"})
	refused.refuse(t, 3, []string{"starts by UEFI"}, "check")
}

// openvz unpacks the template as vzctl does, in a user namespace.
func (c *court) openvz(t *testing.T, p *project) {
	template := p.path("out/debian-12-x86_64-web.tar.gz")
	f, err := os.Open(template)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	magic := make([]byte, 2)
	if _, err := io.ReadFull(f, magic); err != nil || string(magic) != "\x1f\x8b" {
		t.Errorf("the first two bytes are %x, %v", magic, err)
	}
	// Devices cannot be made there.
	const script = `set -eu
dir=$(mktemp -d)
mount -t tmpfs tmpfs "$dir"
gzip -dc "$1" | tar -C "$dir" --numeric-owner -Sp -x --exclude='./dev/*'
cd "$dir"
echo "init $(test -x sbin/init && readlink -f sbin/init | sed "s,$dir,,")"
stat -c '%n %a %u:%g %h' srv/odd/first srv/odd/deep srv/odd/deep/third etc/shadow usr/bin/su
[ ! -e etc/hostname ]; ! grep -q web etc/hosts; [ ! -s etc/machine-id ]
ls boot var/log/apt var/lib/apt/lists/partial
find var/log -type f -size +0; find etc/ssh -name '*_key' 2>/dev/null || :
`
	cmd := exec.CommandContext(t.Context(), "sh", "-c", script, "sh", template)
	all := []syscall.SysProcIDMap{{ContainerID: 0, HostID: 0, Size: 1 << 16}}
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWUSER | syscall.CLONE_NEWNS, UidMappings: all, GidMappings: all, GidMappingsEnableSetgroups: true}
	got, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, got)
	}
	const want = `init /usr/lib/systemd/systemd
srv/odd/first 4751 1234:70 3
srv/odd/deep 1777 0:0 2
srv/odd/deep/third 4751 1234:70 3
etc/shadow 640 0:42 1
usr/bin/su 4755 0:0 1
boot:

var/lib/apt/lists/partial:

var/log/apt:
`
	if string(got) != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}
}
