package main_test

import (
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
)

// foreignTo is a definition of another architecture whose own dpkg finds nothing wrong. The
// archive's other suites are left out: what is judged is the same with fewer indexes.
func (c *court) foreignTo(release, arch, start string) map[string]string {
	return map[string]string{
		"ingot.yaml": strings.NewReplacer("RELEASE", release, "ARCH", arch, "START", start, "URL", c.mirror.debian()).Replace(`version: 1
name: small
distro: debian
release: RELEASE
arch: [ARCH]
start: START
archives: [{url: "URL", suites: [RELEASE], components: [main]}]
scripts: [{run: audit}]
outputs: [tar]
`),
		"audit": "#!/bin/sh\nset -eu\n[ \"$(dpkg --print-architecture) $(dpkg --print-foreign-architectures)\" = \"" + arch + " \" ]\n[ -z \"$(dpkg --audit)\" ]\n",
	}
}

// foreign builds trees of other architectures than this machine's.
func (c *court) foreign(t *testing.T) {
	t.Run("essential", func(t *testing.T) {
		arch := "arm64"
		if runtime.GOARCH == "arm64" {
			arch = "amd64"
		}
		p := c.project(t, c.foreignTo("trixie", arch, "essential"))
		p.build(t)
		tree := readTar(t, p.path("out/small-"+arch+".tar"))
		if !strings.Contains(tree["/var/lib/dpkg/status"].content, "Architecture: "+arch+"\n") {
			t.Error("dpkg's records are not those of a native installation")
		}
		// What the emulator does when it is at its end: the script is killed.
		p.write(t, map[string]string{"audit": "#!/bin/sh\nkill -SEGV $$\n"})
		p.refuse(t, 1, []string{`ingot.yaml:`, `script "audit"`, "signal 11", "under an emulator here"}, "build", "--to", "none")
		p.refuse(t, 4, []string{"no archive has packages for architecture mips64el in trixie", "there are: amd64, arm64, armel"}, "build", "--to", "none", p.variant(t, "wrong.yaml", arch, "mips64el"))
	})
	if !c.full {
		return
	}
	if !isRoot() {
		t.Skip("root runs this: in a namespace of its own mmdebstrap, the judge, gets an emulator")
	}
	for _, one := range []struct{ release, arch string }{
		{"bookworm", "arm64"}, {"bookworm", "armhf"}, {"bookworm", "i386"}, {"bookworm", "ppc64el"}, {"bookworm", "s390x"},
		{"trixie", "arm64"}, {"trixie", "armhf"}, {"trixie", "i386"}, {"trixie", "ppc64el"}, {"trixie", "riscv64"}, {"trixie", "s390x"},
	} {
		t.Run(one.release+" "+one.arch, func(t *testing.T) {
			program, err := exec.LookPath("mmdebstrap")
			if err != nil {
				t.Skip("mmdebstrap, the judge, is not installed: the package of that name makes this run")
			}
			p := c.project(t, c.foreignTo(one.release, one.arch, "minbase"))
			p.build(t)
			theirs := c.bootstrap(t, bootstrap{program: program, release: one.release, arch: one.arch, purpose: "container", variant: "minbase", emulator: c.emulatorOf(t, one.arch)}, p)
			allowed := maps.Clone(differing)
			if one.release == "trixie" && slices.Contains([]string{"arm64", "armhf", "riscv64"}, one.arch) {
				allowed["/var/lib/dpkg/diversions-old"] = "dpkg-divert's record before its last call: libc6's preinst, which diverts the loader there, runs before all postinsts"
			}
			compareTrees(t, readTar(t, p.path("out/small-"+one.arch+".tar")), readTar(t, theirs), allowed)
			if one.arch == "arm64" && one.release == "trixie" {
				c.foreignAsUser(t, p, one.release, one.arch)
			}
		})
	}
}

// variant is the project's definition with a text replaced, in a file beside it.
func (p *project) variant(t *testing.T, name, old, with string) string {
	t.Helper()
	p.write(t, map[string]string{name: strings.Replace(p.read(t, "ingot.yaml"), old, with, 1)})
	return name
}

// foreignAsUser holds the tree that an ordinary user builds to root's.
func (c *court) foreignAsUser(t *testing.T, root *project, release, arch string) {
	t.Helper()
	name := c.makeUser(t)
	files := c.foreignTo(release, arch, "minbase")
	files["ingot.lock"] = root.read(t, "ingot.lock")
	p := c.project(t, files).fresh()
	p.asUser(t, name)
	p.env = []string{"TZ=Asia/Kathmandu", "GOMAXPROCS=1", "USER=" + name, "XDG_RUNTIME_DIR=/nonexistent"}
	p.build(t, "--locked")
	sameSums(t, sums(t, p.path("out")), sums(t, root.path("out")))
}

// An emulator is a program that runs those of another architecture, and how binfmt_misc is told so.
type emulator struct{ registration string }

// emulatorOf is the one for an architecture, registered as Debian registers it; none where the
// processor needs none.
func (c *court) emulatorOf(t *testing.T, arch string) *emulator {
	t.Helper()
	if arch == "i386" && runtime.GOARCH == "amd64" {
		return nil
	}
	p := c.project(t, nil)
	dir := strings.TrimSuffix(strings.TrimSpace(p.must(t, "tools", "path", "foreign", "--mirror", c.mirror.debian())), ".bin")
	target := map[string]string{"arm64": "aarch64", "armhf": "arm", "i386": "i386", "ppc64el": "ppc64le", "riscv64": "riscv64", "s390x": "s390x", "amd64": "x86_64"}[arch]
	data, err := os.ReadFile(filepath.Join(dir, "usr/share/qemu/binfmt.d/qemu-"+target+".conf"))
	if err != nil {
		t.Fatal(err)
	}
	f := strings.Split(strings.TrimSpace(string(data)), ":")
	f[6] = filepath.Join(dir, "usr/bin/qemu-"+target)
	return &emulator{strings.Join(f, ":")}
}

// with has a command see the emulator, registered in a user namespace of its own in which
// root is root.
func (e *emulator) with(cmd *exec.Cmd) {
	if e == nil {
		return
	}
	cmd.Args = append([]string{"sh", "-euc", `mount -t binfmt_misc none /proc/sys/fs/binfmt_misc; printf %s "$0" >/proc/sys/fs/binfmt_misc/register; exec "$@"`, e.registration, cmd.Path}, cmd.Args[1:]...)
	cmd.Path = "/bin/sh"
	all := []syscall.SysProcIDMap{{ContainerID: 0, HostID: 0, Size: 65536}}
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWUSER | syscall.CLONE_NEWNS, UidMappings: all, GidMappings: all, GidMappingsEnableSetgroups: true}
}
