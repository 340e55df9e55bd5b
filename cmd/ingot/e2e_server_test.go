package main_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"ingot/internal/artifact"
	"ingot/internal/digest"
	"ingot/internal/judge"
	"ingot/internal/place/placetest"
	"ingot/internal/sign"
)

// A shop is a server tree that ingot publishes to and serves, and the clients that come.
type shop struct {
	*project
	address string // HOST:PORT
	log     string // the access log
}

// tiny makes an image of busybox that starts in a second, as LXC's and Incus's clients
// take it, with the papers of a build.
func tiny(t *testing.T, dir, says string) {
	t.Helper()
	root := filepath.Join(t.TempDir(), "root")
	busybox, err := filepath.EvalSymlinks(judge.Path(t, "busybox"))
	if err != nil {
		t.Fatal(err)
	}
	if in := judge.File(t, "/bin/busybox"); in != "/bin/busybox" {
		busybox = in // the judges' tree's, not the script that runs it
	}
	script := `set -eu
root=$1 busybox=$2 says=$3 out=$4
mkdir -p "$root/bin" "$root/etc" "$root/proc" "$root/sys" "$root/dev" "$root/tmp" "$root/root" "$root/sbin" "$root/run"
cp "$busybox" "$root/bin/busybox"; chmod 755 "$root/bin/busybox"
for a in sh ls cat id hostname echo sleep stat; do ln -s busybox "$root/bin/$a"; done
ln -s ../bin/busybox "$root/sbin/init"
printf '::sysinit:/bin/sh -c "echo booted >/run/booted"\n::respawn:/bin/sleep 1000\n' >"$root/etc/inittab"
echo LXC_NAME >"$root/etc/hostname"; echo "$says" >"$root/etc/says"; echo 'root:x:0:0:root:/root:/bin/sh' >"$root/etc/passwd"
mkdir "$root.meta" "$root.incus"
tar -C "$root" --sort=name --owner=0 --group=0 --numeric-owner -c . | xz -0 >"$out/tiny-amd64.rootfs.tar.xz"
include='lxc.include = LXC_TEMPLATE_CONFIG'
printf "$include/common.conf\nlxc.arch = linux64\n" >"$root.meta/config"
printf "$include/common.conf\n$include/userns.conf\nlxc.arch = linux64\n" >"$root.meta/config-user"
echo /etc/hostname >"$root.meta/templates"; : >"$root.meta/excludes-user"; echo "made by ingot: $says" >"$root.meta/create-message"
tar -C "$root.meta" -c . | xz >"$out/tiny-amd64.meta.tar.xz"
printf 'architecture: x86_64\ncreation_date: 1750000000\nproperties:\n  os: Debian\n  release: bookworm\n  variant: tiny\n  architecture: x86_64\n  description: tiny\n' >"$root.incus/metadata.yaml"
tar -C "$root.incus" -c metadata.yaml | xz >"$out/tiny-amd64.incus.tar.xz"
mksquashfs "$root" "$out/tiny-amd64.rootfs.squashfs" -all-root -quiet -no-progress -comp gzip >/dev/null
# A machine's, for those who only fetch it: a disk without anything on it.
mkdir "$root.vm"; sed 's/^properties:/&\n  requirements.secureboot: "false"/' "$root.incus/metadata.yaml" >"$root.vm/metadata.yaml"
tar -C "$root.vm" -c metadata.yaml | xz >"$out/tiny-amd64.incus-vm.tar.xz"
qemu-img create -q -f qcow2 "$out/tiny-amd64.incus-vm.qcow2" 64M
`
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	judge.Run(t, "sh", "-c", script, "sh", root, busybox, says, dir)
	for format, files := range map[string][]string{
		"lxc": {"tiny-amd64.rootfs.tar.xz", "tiny-amd64.meta.tar.xz"}, "incus": {"tiny-amd64.rootfs.squashfs", "tiny-amd64.incus.tar.xz"},
		"incus-vm": {"tiny-amd64.incus-vm.qcow2", "tiny-amd64.incus-vm.tar.xz"},
	} {
		manifest(t, dir, "tiny", format, says, files...)
	}
}

// manifest writes what a build says of an artifact, the files of which are there.
func manifest(t *testing.T, dir, image, format, says string, files ...string) {
	t.Helper()
	m := artifact.Manifest{Schema: 1, Name: image, Arch: "amd64", Format: format, Distro: "debian", Release: "bookworm", Epoch: 1_750_000_000, Lock: digest.Of([]byte(says)), Seal: digest.Of([]byte(says))}
	for _, name := range files {
		data, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		m.Files = append(m.Files, artifact.File{Name: name, Size: int64(len(data)), SHA256: digest.Of(data)})
	}
	m.File, m.Size, m.SHA256 = m.Files[0].Name, m.Files[0].Size, m.Files[0].SHA256
	data, err := json.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, m.File+artifact.ManifestSuffix), data, 0o644); err != nil {
		t.Fatal(err)
	}
}

// open serves the project's tree by TLS until the test ends, and has wget and LXD believe its
// certificate.
func (p *project) open(t *testing.T) *shop {
	t.Helper()
	judge.RunIn(t, p.dir, "openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", "key.pem", "-out", "cert.pem", "-days", "365",
		"-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1")
	p.write(t, map[string]string{"wgetrc": "ca_certificate = " + p.path("cert.pem") + "\n"})
	s := &shop{project: p, log: p.path("access.log")}
	ctx, cancel := context.WithCancel(t.Context())
	cmd := p.command(ctx, "serve", "tree", "--under", "team=team", "--under", "far=far", "--publish", "--listen", "127.0.0.1:0", "--tls-cert", "cert.pem", "--tls-key", "key.pem", "--access-log", "access.log")
	address, _ := serving(t, cmd, cancel)
	s.address = strings.TrimPrefix(address, "https://")
	return s
}

// serving starts a server, and gives its address; it runs until cancel and the end of the test, or until
// stop, which waits for it.
func serving(t *testing.T, cmd *exec.Cmd, cancel func()) (address string, stop func()) {
	t.Helper()
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	stop = sync.OnceFunc(func() {
		cancel()
		_, _ = io.Copy(io.Discard, out)
		_ = cmd.Wait()
		if code := cmd.ProcessState.ExitCode(); code != 0 {
			t.Errorf("ingot serve ended with %d", code)
		}
	})
	t.Cleanup(stop)
	if err != nil || !strings.HasPrefix(line, "http") {
		t.Fatalf("ingot serve says %q, %v", line, err)
	}
	return strings.TrimRight(line, "/\n"), stop
}

// client runs a shell script of some client, as root, in a mount namespace of its own.
// $1 is a directory of its own, $2 the server, $3 its certificate.
func (s *shop) client(t *testing.T, script string) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "ingot-client-") // some want short paths, and others walk through
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { removeAll(t, dir) })
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), "unshare", "--mount", "--propagation", "private", "sh", "-c", script, "sh", dir, s.address, s.path("cert.pem"))
	cmd.Env = append(os.Environ(), "WGETRC="+s.path("wgetrc"), "LXC_CACHE_PATH="+dir+"/cache", "SSL_CERT_FILE="+s.path("cert.pem"), "LC_ALL=C.UTF-8")
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, tail(string(out), 40))
	}
	return string(out)
}

// lxcDownload makes a container with LXC's template "download" and starts it.
const lxcDownload = `set -eu
path=$1 server=$2
exec 2>&1
printf '%b' "$CONFIG" >"$path/config"
lxc-create -P "$path" -f "$path/config" -n c1 -t download -- -d debian -r bookworm -a amd64 --variant tiny --server "$server"
lxc-start -P "$path" -n c1 -l INFO -o "$path/log" || { tail -20 "$path/log"; exit 1; }
trap 'lxc-stop -P "$path" -n c1 -k || true' EXIT
n=0
until [ "$(lxc-attach -P "$path" -n c1 -- cat /run/booted)" = booted ]; do n=$((n+1)); [ $n -lt 600 ]; sleep 0.1; done
echo booted
echo "host $(lxc-attach -P "$path" -n c1 -- cat /etc/hostname)"
echo "says $(lxc-attach -P "$path" -n c1 -- cat /etc/says)"
echo "owner $(stat -c %u "$path/c1/rootfs/etc")"
`

// lxdScript has a server of LXD's own find the image, copy it, start it, and take the next
// version. $PUBLISH makes that.
const lxdStreams = `set -eu
export LXD_DIR=$1/state LXD_CONF=$1/config
exec 2>&1
mkdir "$LXD_DIR"
lxd --group root --logfile "$1/log" >/dev/null 2>&1 &
trap 'lxd shutdown --timeout 30' EXIT
lxd waitready --timeout 60
lxc remote add lab "https://$2" --protocol=simplestreams --public
lxc image list lab: --format csv -c lft
lxc image info lab:debian/bookworm/tiny
lxc storage create default dir
lxc profile device add default root disk path=/ pool=default
lxc image copy lab:tiny local: --alias t --auto-update --quiet
lxc launch t t1 -c security.privileged=true --quiet
n=0
until [ "$(lxc exec t1 -- cat /run/booted)" = booted ]; do n=$((n+1)); [ $n -lt 600 ]; sleep 0.1; done
echo booted
echo "says $(lxc exec t1 -- cat /etc/says)"
lxc delete --force t1
lxc image copy lab:tiny local: --vm --alias tv --quiet
lxc image info tv
eval "$PUBLISH"
rm -rf "$LXD_DIR"/cache/*
lxc image refresh t
lxc launch t t2 -c security.privileged=true --quiet
echo "then says $(lxc exec t2 -- cat /etc/says)"
lxc delete --force t2
`

// servers judges an image server by the clients of others.
func (c *court) servers(t *testing.T) {
	if !isRoot() {
		t.Skip("root runs this: it starts containers")
	}
	p := c.project(t, nil).fresh()
	tiny(t, p.path("one"), "one")
	tiny(t, p.path("two"), "two")
	p.must(t, "publish", "one", "--to", "tree")
	p.must(t, "publish", "one", "--to", "team", "--as", "plans")
	s := p.open(t)
	t.Run("private", func(t *testing.T) { s.private(t) })
	t.Run("lxc", func(t *testing.T) {
		judge.Path(t, "lxc-create")
		list := s.client(t, "/usr/share/lxc/templates/lxc-download --list --variant '' --server \"$2\" || true") // it ends with 1
		if !regexp.MustCompile(`(?m)^debian\tbookworm\tamd64\ttiny\t\d{8}_\d{4}$`).MatchString(list) {
			t.Errorf("it lists\n%s", list)
		}
		const network = `lxc.net.0.type = empty\nlxc.apparmor.profile = unconfined\n`
		for name, config := range map[string]string{
			"privileged": network, "unprivileged": network + `lxc.idmap = u 0 100000 65536\nlxc.idmap = g 0 100000 65536\n`,
		} {
			t.Run(name, func(t *testing.T) {
				owner := "0"
				if name == "unprivileged" {
					allowIDs(t)
					owner = "100000"
				}
				got := s.client(t, "CONFIG='"+config+"'\n"+lxcDownload)
				for _, want := range []string{"made by ingot: one\n", "booted\n", "host c1\n", "says one\n", "owner " + owner + "\n"} {
					if !strings.Contains(got, want) {
						t.Errorf("it does not say %q:\n%s", want, got)
					}
				}
			})
		}
	})
	t.Run("lxd", func(t *testing.T) {
		judge.Path(t, "lxd")
		publish := p.command(t.Context(), "publish", "two", "--to", "tree", "--quiet", "--delta")
		got := s.client(t, "PUBLISH='cd "+p.dir+"; INGOT_HOME="+p.home+" INGOT_CACHE="+p.cache+" INGOT_MIRROR_DEBIAN="+s.c.mirror.debian()+" "+strings.Join(publish.Args, " ")+"'\n"+lxdStreams)
		for _, want := range []string{"Architecture: x86_64\n", "Type: container\n", "Type: virtual-machine\n", "requirements.secureboot: false\n", "variant: tiny\n", "tiny/amd64\n", "booted\n", "\nsays one\n", "then says two\n"} {
			if !strings.Contains(got, want) {
				t.Errorf("it does not say %q:\n%s", want, got)
			}
		}
		log := p.read(t, "access.log")
		// The whole comes once: it refreshes by a delta.
		if n, deltas := strings.Count(log, "/rootfs.squashfs HTTP/1.1\" 200"), strings.Count(log, ".vcdiff HTTP/1.1\" 200"); n != 1 || deltas != 1 {
			t.Errorf("it fetched %d whole root file systems and %d deltas:\n%s", n, deltas, log)
		}
	})
	t.Run("ingot", func(t *testing.T) { s.ingotClient(t) })
	t.Run("mirror", func(t *testing.T) { s.mirrors(t) })
	t.Run("bucket", func(t *testing.T) { s.bucket(t) })
	t.Run("remote", func(t *testing.T) { s.remote(t) })
	t.Run("cache", func(t *testing.T) { s.cache(t) })
	t.Run("virt-builder", func(t *testing.T) { s.virtBuilder(t) })
	t.Run("lxc-ingot", func(t *testing.T) { s.lxcTemplate(t) })
	t.Run("generations", func(t *testing.T) { s.generations(t) })
	t.Run("while publishing", func(t *testing.T) { s.whilePublishing(t) })
	p.must(t, "server", "verify", "tree")
}

// private judges a private tree on the same address by three clients.
func (s *shop) private(t *testing.T) {
	p := *s.project
	p.home = s.path("private-home")
	p.env = append(p.env, "SSL_CERT_FILE="+s.path("cert.pem"))
	s.must(t, "server", "private", "team")
	p.write(t, map[string]string{"team.token": s.must(t, "server", "token", "add", "team", "me")})
	from := []string{"--from", "https://" + s.address + "/team", "--key", s.path("team/key.asc")}
	p.refuse(t, 7, []string{"401 unauthorized", "--token-file"}, append([]string{"list"}, from...)...)
	p.env = append(p.env, "INGOT_TOKEN_FILE=team.token")
	if got := p.must(t, append([]string{"list"}, from...)...); !strings.Contains(got, "plans ") {
		t.Errorf("it lists\n%s", got)
	}
	p.must(t, append([]string{"pull", "plans", "--to", "plans"}, from...)...)
	sameFile(t, p.path("plans/tiny-amd64.rootfs.tar.xz"), p.path("one/tiny-amd64.rootfs.tar.xz"))
	if got := p.must(t, "list", "--from", "https://"+s.address, "--key", s.path("tree/key.asc")); strings.Contains(got, "plans") {
		t.Errorf("the open tree tells of a private image:\n%s", got)
	}
	p.refuse(t, 2, []string{"in plain", "use https"}, "list", "--from", "http://images.example")
	got := s.client(t, `! wget -q -O- "https://$2/team/meta/1.0/index-system" && echo closed
wget -q -O- "https://me:$(cat '`+p.path("team.token")+`')@$2/team/meta/1.0/index-system"
! wget -q -O- "http://me:$(cat '`+p.path("team.token")+`')@$2/team/meta/1.0/index-system" && echo "closed in plain"
/usr/share/lxc/templates/lxc-download --list --variant '' --server "me:$(cat '`+p.path("team.token")+`')@$2/team" || true`)
	for _, want := range []string{"closed\n", "debian;bookworm;amd64;plans;", "closed in plain\n", "debian\tbookworm\tamd64\tplans\t"} {
		if !strings.Contains(got, want) {
			t.Errorf("it does not say %q:\n%s", want, got)
		}
	}
}

// ingotClient judges what ingot's own client says on the command line of a server by TLS.
func (s *shop) ingotClient(t *testing.T) {
	s.must(t, "publish", "two", "--to", "tree")
	p := *s.project
	p.home = s.path("client-home")
	p.env = append(p.env, "SSL_CERT_FILE="+s.path("cert.pem"))
	from := []string{"--from", "https://" + s.address}
	run := func(args ...string) string { t.Helper(); return p.must(t, append(args, from...)...) }
	p.refuse(t, 5, []string{"no key of https://127.0.0.1", "--trust-on-first-use"}, append([]string{"list"}, from...)...)
	if got := run("list", "--key", s.path("tree/key.asc")); !regexp.MustCompile(`(?m)^tiny +amd64 +stable +\d{8}_\d{4} .* debian bookworm +\d.* incus incus-vm lxc$`).MatchString(got) {
		t.Errorf("it lists\n%s", got)
	}
	run("pull", "tiny", "--to", "pulled")
	sameFile(t, p.path("pulled/tiny-amd64.rootfs.tar.xz"), p.path("two/tiny-amd64.rootfs.tar.xz"))
	run("verify", "pulled")
	p.write(t, map[string]string{"pulled/other": "x"})
	p.refuse(t, 5, []string{"does not offer pulled/other"}, append([]string{"verify", "pulled"}, from...)...)
	p.write(t, map[string]string{"pulled/tiny-amd64.rootfs.tar.xz": "mine"})
	p.refuse(t, 10, []string{"tiny-amd64.rootfs.tar.xz is there, and is another file", "--replace"}, append([]string{"pull", "tiny", "--to", "pulled"}, from...)...)
	run("pull", "tiny", "--to", "pulled", "--replace")
	s.forceCache(t, p)
	// What a pull brought can be published again, as it is.
	p.must(t, "publish", "pulled/tiny-amd64.rootfs.tar.xz", "--to", "mirror")
	p.refuse(t, 7, []string{"hint:"}, "list", "--from", "https://127.0.0.1:1", "--trust-on-first-use")
	// A certificate that nobody vouches for.
	p.env = nil
	p.refuse(t, 7, []string{"certificate"}, append([]string{"list"}, from...)...)
	// No room: refused before anything is fetched.
	full := exec.CommandContext(t.Context(), "unshare", "--mount", "--propagation", "private", "sh", "-c",
		`mkdir -p small && mount -t tmpfs -o size=64k tmpfs small && exec "$@"`, "sh", p.c.bin, "pull", "tiny", "--to", "small", "--from", p.path("tree"), "--key", p.path("tree/key.asc"))
	full.Dir, full.Env = p.dir, p.command(t.Context()).Env
	finish(t, full).check(t, 9, []string{"small has no room"}, "pull")
}

// bucket judges a tree in S3, that clients read by http.
func (s *shop) bucket(t *testing.T) {
	s3 := placetest.S3(t)
	p := *s.project
	p.env = append(slices.Clone(p.env), s3.Environ()...)
	const tree = "s3://images/public"
	p.refuse(t, 2, []string{"oci://host/x is no place for a server tree"}, "publish", "one", "--to", "oci://host/x")
	p.refuse(t, 4, []string{"is no server tree"}, "promote", "tiny", "stable", "other", "--to", tree)
	p.must(t, "publish", "one", "--to", tree, "--channel", "testing")
	p.env = append(p.env, "INGOT_MIRROR_DEBIAN="+s.c.mirror.debian())
	if got := p.must(t, "publish", "two", "--to", tree, "--channel", "testing", "--delta"); !strings.Contains(got, "new version, with a delta from 2") {
		t.Errorf("it says\n%s", got)
	}
	p.must(t, "promote", "tiny", "testing", "stable", "--to", tree)
	p.must(t, "prune", tree, "--keep", "1")
	p.must(t, "server", "verify", tree)
	q := *s.project
	q.home = s.path("bucket-home")
	from := "http://" + s3.Host + "/images/public"
	q.must(t, "pull", "tiny", "--to", "bucket", "--from", from, "--key", s.path("tree/key.asc"))
	sameFile(t, q.path("bucket/tiny-amd64.rootfs.tar.xz"), q.path("two/tiny-amd64.rootfs.tar.xz"))
	if _, err := exec.LookPath("lxc-create"); err == nil {
		got := s.client(t, "wget -q -O \"$1/index\" "+from+"//meta/1.0/index-system.7; wget -q -O \"$1/meta\" \""+from+"$(head -1 \"$1/index\" | cut -d';' -f6)/meta.tar.xz\"; xz -t <\"$1/meta\"; cat \"$1/index\"")
		if strings.Count(got, "\n") != 2 {
			t.Errorf("its index is\n%s", got)
		}
	}
	// A bucket that nobody answers for.
	p.env = append(p.env, "AWS_ENDPOINT_URL=http://127.0.0.1:1")
	p.refuse(t, 7, []string{"hint:"}, "server", "verify", tree)
}

// forceCache has the template of LXC use what is cached, unasked: only what a key verified that
// is believed.
func (s *shop) forceCache(t *testing.T, p project) {
	t.Helper()
	p.env = append(p.env, "LXC_CACHE_PATH="+p.path("lxc-cache"))
	for name := range 4 {
		p.write(t, map[string]string{fmt.Sprintf("c%d/config", name): "# Template\n", fmt.Sprintf("c%d/rootfs/.keep", name): ""})
	}
	template := func(n int, more ...string) []string {
		at := p.path(fmt.Sprintf("c%d", n))
		return append([]string{"lxc-ingot", "--name", "c", "--path", at, "--rootfs", at + "/rootfs", "-d", "debian", "-r", "bookworm", "-a", "amd64", "--variant", "tiny", "--server", "https://" + s.address}, more...)
	}
	p.must(t, template(0, "--pubkey", s.path("tree/key.asc"))...)
	p.must(t, template(1, "--force-cache", "--pubkey", s.path("tree/key.asc"))...)
	p.must(t, template(2, "--force-cache")...) // the one that is remembered
	p.must(t, "server", "key", "--new", "other-private.asc")
	p.write(t, map[string]string{"other.asc": p.must(t, "server", "key", "--sign-key", "other-private.asc")})
	p.refuse(t, 5, []string{"was verified by another key", "leave --force-cache out"}, template(3, "--force-cache", "--pubkey", "other.asc")...)
}

// bothTemplates makes one container by LXC's own template and one by ingot, as root or the user $AS, and
// prints how their files are. No other program than ingot is there for its template.
const bothTemplates = `set -eu
path=$1 server=$2 as=
exec 2>&1
printf '%b' "$CONFIG" >"$path/config"
mkdir "$path/a" "$path/b"
if [ -n "$AS" ]; then
	cp "$(readlink -f "$TEMPLATE")" "$path/lxc-ingot"
	cp "$KEY" "$path/key.asc"
	cp "$3" "$path/cert.pem"
	echo "ca_certificate = $path/cert.pem" >"$path/wgetrc"
	export HOME="$path" WGETRC="$path/wgetrc" SSL_CERT_FILE="$path/cert.pem" TEMPLATE="$path/lxc-ingot" KEY="$path/key.asc"
	chown -R "$AS:" "$path"
	as="setpriv --reuid $AS --regid $AS --init-groups --"
fi
image="-d debian -r bookworm -a amd64 --variant tiny --server $server"
$as lxc-create -P "$path/a" -f "$path/config" -n c1 -t download -- $image
$as lxc-create -P "$path/b" -f "$path/config" -n c1 -t "$TEMPLATE" -- $image --pubkey "$KEY"
for t in a b; do
	(cd "$path/$t/c1" && find . -printf '%p %y %m %U:%G %T@ %s %l %n\n' | sed 's,^\(./[^/]* d .*\|. d .*\|./config f .*\),,; s,^\(\S* d \S* \S* \)\S* \S*,\1,' | sed 's,^\(./rootfs/etc/hostname f .*\) [0-9.]* 3,\1 3,' | sort; find . -type f ! -name config -exec sha256sum {} + | sort; sed "/^# Template used/d; /^# Parameters passed/d; s,$path/$t,PATH,g" config) >"$path/$t.txt"
done
diff "$path/a.txt" "$path/b.txt" && echo same
echo "owner $(stat -c %u "$path/b/c1/rootfs/etc")"
[ -z "$AS" ] || exit 0 # who has no cgroup of his own starts none
lxc-start -P "$path/b" -n c1
trap 'lxc-stop -P "$path/b" -n c1 -k || true' EXIT
n=0
until [ "$(lxc-attach -P "$path/b" -n c1 -- cat /run/booted)" = booted ]; do n=$((n+1)); [ $n -lt 600 ]; sleep 0.1; done
echo booted
`

// lxcTemplate judges ingot as a template of LXC by LXC's own.
func (s *shop) lxcTemplate(t *testing.T) {
	judge.Path(t, "lxc-create")
	template := s.path("lxc-ingot")
	if err := os.Symlink(s.c.bin, template); err != nil {
		t.Fatal(err)
	}
	const network = `lxc.net.0.type = empty\nlxc.apparmor.profile = unconfined\n`
	for name, config := range map[string]string{"privileged": network, "unprivileged": network + `lxc.idmap = u 0 100000 65536\nlxc.idmap = g 0 100000 65536\n`} {
		t.Run(name, func(t *testing.T) {
			if name == "unprivileged" {
				allowIDs(t)
			}
			s.lxcBoth(t, template, "", config, "booted\n")
		})
	}
	t.Run("ordinary user", func(t *testing.T) {
		user := s.c.makeUser(t)
		first := func(file string) string {
			data, err := os.ReadFile(file)
			m := regexp.MustCompile(`(?m)^` + user + `:(\d+):`).FindStringSubmatch(string(data))
			if err != nil || m == nil {
				t.Fatalf("%s has no range of %s: %v", file, user, err)
			}
			return m[1]
		}
		uid := first("/etc/subuid")
		s.lxcBoth(t, template, user, network+`lxc.idmap = u 0 `+uid+` 65536\nlxc.idmap = g 0 `+first("/etc/subgid")+` 65536\n`, "owner "+uid+"\n")
	})
}

// lxcBoth has a user make a container by both templates.
func (s *shop) lxcBoth(t *testing.T, template, user, config, also string) {
	t.Helper()
	got := s.client(t, "INGOT_HOME=$1/home AS='"+user+"' TEMPLATE="+template+" KEY="+s.path("tree/key.asc")+" CONFIG='"+config+"'\nexport INGOT_HOME\n"+bothTemplates)
	for _, want := range []string{"made by ingot: ", "\nsame\n", also} {
		if !strings.Contains(got, want) {
			t.Errorf("it does not say %q:\n%s", want, got)
		}
	}
}

func sameFile(t *testing.T, a, b string) {
	t.Helper()
	if x, y := sha256File(t, a), sha256File(t, b); x != y {
		t.Errorf("%s differs from %s", a, b)
	}
}

// whilePublishing has clients come all the time while publishers publish, two at once, and are
// killed at all times. Each client sees one state, whole.
func (s *shop) whilePublishing(t *testing.T) {
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	var clients sync.WaitGroup
	var count [3]atomic.Int64
	loop := func(n int, once func() error) {
		clients.Go(func() {
			for ctx.Err() == nil {
				if err := once(); err != nil {
					t.Error(err)
					return
				}
				count[n].Add(1)
			}
		})
	}
	// ingot's own: everything verified.
	loop(0, func() error {
		cmd := s.command(t.Context(), "pull", "tiny", "--format", "lxc", "--to", "loop", "--replace", "--from", "https://"+s.address, "--key", s.path("tree/key.asc"))
		cmd.Env = append(cmd.Env, "SSL_CERT_FILE="+s.path("cert.pem"))
		return says(cmd)
	})
	// LXC's: metadata and root file system are of one version.
	lxc := `set -eu
rm -rf "$1/x" "$1/cache"; mkdir -p "$1/x/rootfs"; : >"$1/x/config"
/usr/share/lxc/templates/lxc-download --path="$1/x" --name=x --rootfs="$1/x/rootfs" -d debian -r bookworm -a amd64 --variant tiny --server "$2" >"$1/out" 2>&1 || { cat "$1/out"; exit 1; }
grep -q "made by ingot: $(cat "$1/x/rootfs/etc/says")" "$1/out" || { cat "$1/out" "$1/x/rootfs/etc/says"; exit 1; }
`
	dir := t.TempDir()
	loop(1, func() error {
		cmd := exec.CommandContext(t.Context(), "sh", "-c", lxc, "sh", dir, s.address)
		cmd.Env = append(os.Environ(), "WGETRC="+s.path("wgetrc"), "LXC_CACHE_PATH="+dir+"/cache")
		return says(cmd)
	})
	// simplestreams' signed files, and what they name.
	ring := filepath.Join(dir, "key.gpg")
	packets, err := sign.Dearmor([]byte(s.read(t, "tree/key.asc")))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(ring, packets, 0o644); err != nil {
		t.Fatal(err)
	}
	streams := `set -eu
cd "$1"
for f in index images; do wget -q -O $f.sjson "https://$2/streams/v1/$f.sjson"; gpgv -q --keyring "$3" --output $f.json $f.sjson 2>gpgv.log || { cat gpgv.log; exit 1; }; done
tr -d '\n' <images.json | tr ',{}' '\n\n\n' >lines
path=$(sed -n 's,^"path":"\(images/.*/rootfs.squashfs\)"$,\1,p' lines | tail -1)
sum=$(grep -A1 "^\"path\":\"$path\"" lines | sed -n 's,^"sha256":"\(.*\)"$,\1,p')
wget -q -O root "https://$2/$path"; echo "$sum  root" | sha256sum --quiet -c
`
	loop(2, func() error {
		cmd := exec.CommandContext(t.Context(), "sh", "-c", streams, "sh", dir, s.address, ring)
		cmd.Env = append(os.Environ(), "WGETRC="+s.path("wgetrc"))
		return says(cmd)
	})
	rounds := 12
	if s.c.full {
		rounds = 100
	}
	killed := 0
	came := func() int64 { return min(count[0].Load(), count[1].Load(), count[2].Load()) }
	for n := 0; n < rounds || came() < 5 && !t.Failed(); n++ {
		var both [2]*exec.Cmd
		for k, what := range []string{"one", "two"} {
			both[k] = s.command(t.Context(), "publish", what, "--to", "tree", "--quiet")
			if err := both[k].Start(); err != nil {
				t.Fatal(err)
			}
		}
		victim := both[n%2]
		kill := time.AfterFunc(time.Duration(n%24)*15*time.Millisecond, func() { _ = victim.Process.Kill() })
		for _, cmd := range both {
			if err := cmd.Wait(); err != nil {
				if cmd != victim || cmd.ProcessState.ExitCode() != -1 {
					t.Errorf("a publisher ended with %v", err)
				}
				killed++
			}
		}
		kill.Stop()
	}
	stop()
	clients.Wait()
	t.Logf("%d publishers were killed; each client came %d times or more", killed, came())
	if killed < 3 {
		t.Errorf("only %d publishers were killed", killed)
	}
}

// says is a command's error with what it says.
func says(cmd *exec.Cmd) error {
	out, err := cmd.CombinedOutput()
	if err != nil {
		return fmt.Errorf("%s: %w\n%s", cmd.Args[:2], err, out)
	}
	return nil
}
