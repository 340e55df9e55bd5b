package main_test

import (
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"ingot/internal/judge"
)

// withoutNamespaces is a seccomp profile that forbids user namespaces, as Docker's
// does: clone3 is said not to exist, so that programs fall back to clone.
const withoutNamespaces = `{"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [
 {"names": ["clone3"], "action": "SCMP_ACT_ERRNO", "errnoRet": 38},
 {"names": ["unshare"], "action": "SCMP_ACT_ERRNO", "errnoRet": 1},
 {"names": ["clone"], "action": "SCMP_ACT_ERRNO", "errnoRet": 1, "args": [{"index": 0, "value": 268435456, "valueTwo": 268435456, "op": "SCMP_CMP_MASKED_EQ"}]}
]}`

// container judges builds in containers, which a real runtime starts from a tree of
// ingot's own: the bytes are the host's, and a container that forbids what ingot
// needs is told before anything is fetched.
func (c *court) container(t *testing.T) {
	if !isRoot() {
		t.Skip("root runs this: it starts containers from a directory")
	}
	for _, program := range []string{"podman", "runc"} {
		if _, err := exec.LookPath(program); err != nil {
			t.Skipf("%s is missing: Debian's packages podman and runc make this run", program)
		}
	}
	p := c.project(t, map[string]string{"ingot.yaml": strings.Replace(minimal, "[tar]", "[tar, dir]", 1) + "users: [{name: ops}]\n", "deny.json": withoutNamespaces, "other/ingot.yaml": minimal})
	p.build(t, "--output", "tar")
	want := sums(t, p.path("out"))
	p.build(t, "--output", "dir", "--to", "root")

	// start makes the project's ingot one in a container.
	start := func(options ...string) *project {
		q := *p
		q.home, q.cache = "/root/home", "/root/cache"
		q.prefix = append([]string{
			"podman", "--runtime", "runc", "--cgroup-manager", "cgroupfs", "run", "--rm", "--network", "host",
			// The test's own limits may be lower than what podman asks for.
			"--ulimit", "nofile=4096:4096", "--ulimit", "nproc=4096:4096",
			"--volume", c.bin + ":" + c.bin + ":ro", "--volume", p.dir + ":/project", "--workdir", "/project",
			"--env", "INGOT_HOME=/root/home", "--env", "INGOT_CACHE=/root/cache",
		}, options...)
		q.prefix = append(q.prefix, "--rootfs", p.path("root/small-amd64"))
		return &q
	}
	t.Run("its defaults", func(t *testing.T) {
		start().build(t, "--locked", "--output", "tar", "--to", "inside")
		sameSums(t, sums(t, p.path("inside")), want)
	})
	t.Run("proc in sight", func(t *testing.T) {
		start("--security-opt", "unmask=ALL").build(t, "--locked", "--no-cache", "--output", "tar", "--to", "unmasked")
		sameSums(t, sums(t, p.path("unmasked")), want)
	})
	t.Run("elements", func(t *testing.T) {
		judge.Needs(t, judge.Full)
		p.write(t, fakeSystem)
		p.write(t, map[string]string{"elements/look/install.d/50-mounts": "#!/bin/bash\nset -eu\nmount -t tmpfs none /mnt\numount /mnt\nchown 5:6 /probe\n"})
		variables := []string{"ELEMENTS_PATH=/project/elements", "INGOT_MIRROR_DEBIAN=" + p.mirror}
		q := start("--env", variables[0], "--env", variables[1])
		q.must(t, "disk-image-create", "-n", "-o", "img", "-t", "tar,qcow2", "tiny", "look")
		host := *p
		host.env = []string{"ELEMENTS_PATH=" + p.path("elements"), variables[1]}
		inside := map[string]string{}
		for _, name := range []string{"img.tar", "img.qcow2"} {
			inside[name] = sha256File(t, p.path(name))
			if err := os.Remove(p.path(name)); err != nil {
				t.Fatal(err)
			}
		}
		host.must(t, "disk-image-create", "-n", "-o", "img", "-t", "tar,qcow2", "tiny", "look")
		for name, want := range inside {
			if got := sha256File(t, p.path(name)); got != want {
				t.Errorf("%s has the digest %s on the host and %s inside", name, got, want)
			}
		}
	})
	t.Run("no namespaces", func(t *testing.T) {
		q := start("--security-opt", "seccomp="+p.path("deny.json"))
		for _, args := range [][]string{{"build", "--locked", "--no-cache", "--to", "denied"}, {"build", "--no-cache", "--to", "denied", "other"}} {
			v := q.refuse(t, 9, []string{"user namespace", "hint:", "in a container"}, args...)
			if strings.Contains(v.err, "fetch") || strings.Contains(v.err, "resolve") {
				t.Errorf("it began to work:\n%s", v.err)
			}
		}
	})
	t.Run("none left", func(t *testing.T) {
		q := p.fresh()
		q.prefix = []string{"sh", "-c", `echo 0 >/proc/sys/user/max_user_namespaces; exec "$@"`, "sh"}
		args := []string{"build", "--locked", "--to", "none"}
		cmd := q.command(t.Context(), args...)
		all := []syscall.SysProcIDMap{{ContainerID: 0, HostID: 0, Size: 1 << 16}}
		cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWUSER, UidMappings: all, GidMappings: all, GidMappingsEnableSetgroups: true}
		finish(t, cmd).check(t, 9, []string{"user namespace", "sysctl user.max_user_namespaces"}, args...)
	})
	t.Run("few ids", func(t *testing.T) {
		q := p.fresh()
		q.prefix = []string{"unshare", "--user", "--map-root-user", "--"}
		q.refuse(t, 9, []string{"65536", "hint:"}, "build", "--locked", "--to", "few")
	})
}
