package main_test

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"

	"ingot/internal/judge"
)

// generations judges an image server by clients of other releases: LXC 4.0, which verifies
// signatures, and 7.0; Incus 6.0.
func (s *shop) generations(t *testing.T) {
	if !s.c.full {
		t.Skip("INGOT_TEST=full runs this: it fetches other releases' packages")
	}
	t.Run("LXC 4.0", func(t *testing.T) {
		root := s.unpacked(t, "bullseye", "lxc")
		key := strings.TrimSpace(s.must(t, "server", "verify", "tree", "--json"))
		key = key[strings.Index(key, `"keys":["`)+9:]
		key = key[:strings.Index(key, `"`)]
		got := s.download(t, root, "--keyid", "0x"+key, "--keyserver", "hkp://"+s.address)
		log := s.read(t, "access.log")
		for _, want := range []string{"/pks/lookup?op=get&options=mr&search=0x" + key, "//meta/1.0/index-system.7.asc", "//rootfs.tar.xz.asc", "//meta.tar.xz.asc"} {
			if !strings.Contains(log, want) {
				t.Errorf("it did not ask for %s:\n%s", want, got)
			}
		}
		// It believes no other key.
		if out, err := s.tryDownload(t, root, "--keyid", "0x"+strings.Repeat("0", 40), "--keyserver", "hkp://"+s.address); err == nil {
			t.Errorf("it takes what another key should have signed:\n%s", out)
		}
	})
	t.Run("LXC 7.0", func(t *testing.T) { s.download(t, s.unpacked(t, "sid", "liblxc-common")) })
	t.Run("Incus 6.0", func(t *testing.T) { s.incus(t) })
}

// unpacked is a directory with the files of another release's package.
func (s *shop) unpacked(t *testing.T, release, name string) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "ingot-packages-") // apt's own user reads there
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { removeAll(t, dir) })
	const script = `set -eu
cd "$1"; chmod 755 .; mkdir -p L/partial C/archives/partial
echo "deb [check-valid-until=no] $2 $3 main" >list
apt="apt-get -qq -o Dir::Etc::sourcelist=$1/list -o Dir::Etc::sourceparts=/dev/null -o Dir::State::lists=$1/L -o Dir::Cache=$1/C -o Dir::State::status=/dev/null"
$apt update
$apt download "$4"
dpkg -x "$4"_*.deb root
`
	judge.Run(t, "sh", "-c", script, "sh", dir, s.c.mirror.debian(), release, name)
	return dir + "/root"
}

// tryDownload runs a release's template alone, without its lxc-create.
func (s *shop) tryDownload(t *testing.T, root string, options ...string) (string, error) {
	t.Helper()
	dir := t.TempDir()
	if err := os.MkdirAll(dir+"/x/rootfs", 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(dir+"/x/config", nil, 0o644); err != nil {
		t.Fatal(err)
	}
	args := append([]string{"--path=" + dir + "/x", "--name=x", "--rootfs=" + dir + "/x/rootfs", "-d", "debian", "-r", "bookworm", "-a", "amd64", "--variant", "tiny", "--server", s.address}, options...)
	cmd := exec.CommandContext(t.Context(), root+"/usr/share/lxc/templates/lxc-download", args...)
	cmd.Env = append(os.Environ(), "WGETRC="+s.path("wgetrc"), "LXC_CACHE_PATH="+dir+"/cache", "HOME="+dir)
	out, err := cmd.CombinedOutput()
	if err != nil {
		return string(out), err
	}
	says, err := os.ReadFile(dir + "/x/rootfs/etc/says")
	if err != nil {
		return string(out), err
	}
	host, err := os.ReadFile(dir + "/x/rootfs/etc/hostname")
	if err == nil && (string(host) != "x\n" || !strings.Contains(string(out), "made by ingot: "+string(says))) {
		err = fmt.Errorf("it made %q, %q", says, host)
	}
	return string(out), err
}

func (s *shop) download(t *testing.T, root string, options ...string) string {
	t.Helper()
	out, err := s.tryDownload(t, root, options...)
	if err != nil {
		t.Fatalf("%v\n%s", err, tail(out, 20))
	}
	return out
}

// incusScript starts Incus in a tree of its release, whose root it makes its own, and has it
// find the image, copy it and start it.
const incusScript = `set -eu
exec 2>&1
tree=$1/tree server=$2
cp "$3" "$tree/cert.pem"; cp /etc/hosts "$tree/etc/hosts"
mount --bind "$tree" "$tree"; cd "$tree"
mount -t proc proc proc; mount --rbind /sys sys; mount --rbind /dev dev; mount -t tmpfs run run; mount -t tmpfs tmp tmp
mkdir -p old; pivot_root . old
exec chroot . sh -c '
set -eu
umount -l /old
export PATH=/usr/sbin:/usr/bin:/sbin:/bin INCUS_DIR=/tmp/state INCUS_CONF=/tmp/conf SSL_CERT_FILE=/cert.pem HOME=/root LC_ALL=C.UTF-8
mkdir $INCUS_DIR
grep -q ^root: /etc/subuid || { echo root:1000000:65536 >>/etc/subuid; echo root:1000000:65536 >>/etc/subgid; }
/usr/libexec/incus/incusd --group root --logfile /tmp/log >/dev/null 2>&1 & daemon=$!
end() { incus admin shutdown --timeout 30 || kill $daemon; wait $daemon || true; }
trap end EXIT
incus admin waitready --timeout 60
incus remote add lab "https://$0" --protocol=simplestreams --public
incus image list lab: --format csv -c lft
incus image info lab:debian/bookworm/tiny
incus storage create default dir
incus profile device add default root disk path=/ pool=default
incus image copy lab:tiny local: --alias t --quiet
incus launch t t1 -c security.privileged=true --quiet || { incus info --show-log t1; exit 1; }
n=0
until [ "$(incus exec t1 -- cat /run/booted)" = booted ]; do n=$((n+1)); [ $n -lt 600 ]; sleep 0.1; done
echo booted
echo "says $(incus exec t1 -- cat /etc/says)"
incus delete --force t1
cd /srv && incus-simplestreams list && incus-simplestreams verify && echo verified
' "$server"
`

// incus judges by Incus as trixie has it.
func (s *shop) incus(t *testing.T) {
	dir, err := os.MkdirTemp("", "ingot-incus-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { removeAll(t, dir) })
	judge.Run(t, "mmdebstrap", "--quiet", "--variant=essential", "--include=incus-base,incus-client,incus-extra,ca-certificates,busybox,tar,rsync,squashfs-tools,uidmap,xdelta3,mount",
		"trixie", dir+"/tree", "deb "+s.c.mirror.debian()+" trixie main")
	// A copy of the server tree, for the program that verifies one as it lies there.
	judge.Run(t, "sh", "-c", `mkdir -p "$2/srv/streams" && cp -rL "$1/streams/." "$2/srv/streams/" && cp -rL "$1/images" "$2/srv/images"`, "sh", s.path("tree"), dir+"/tree")
	cmd := exec.CommandContext(t.Context(), "unshare", "--mount", "--propagation", "private", "sh", "-c", incusScript, "sh", dir, s.address, s.path("cert.pem"))
	out, err := cmd.CombinedOutput()
	got := string(out)
	if err != nil {
		t.Fatalf("%v\n%s", err, tail(got, 60))
	}
	for _, want := range []string{"Architecture: x86_64\n", "Type: container\n", "variant: tiny\n", "booted\n", "\nsays ", "\nverified\n"} {
		if !strings.Contains(got, want) {
			t.Errorf("it does not say %q:\n%s", want, got)
		}
	}
}
