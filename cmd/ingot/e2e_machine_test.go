package main_test

import (
	"context"
	"crypto/sha256"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"ingot/internal/judge"
)

// templated is an image whose machines say on their console who they are, by what their seed told
// cloud-init.
const templated = `version: 1
name: web
distro: debian
release: bookworm
packages: [cloud-init, systemd-sysv, systemd-resolved, sudo, openssh-server]
files:
- {path: /etc/cloud/cloud.cfg.d/90-ingot.cfg, content: "datasource_list: [NoCloud, None]\n"}
- {path: /usr/local/sbin/tell, mode: "0755", source: ./tell}
- {path: /etc/systemd/system/tell.service, content: "[Unit]\nAfter=cloud-final.service\n[Service]\nType=oneshot\nExecStart=/usr/local/sbin/tell\nStandardOutput=journal+console\n[Install]\nWantedBy=cloud-init.target\n"}
services: {enable: [tell]}
outputs: [qcow2]
template:
  description: A machine that says who it is
  inputs:
    memory: {type: size, default: 512MiB, min: 256MiB}
    disk: {type: size, default: 4GiB}
    user: {type: string, default: ops}
    password: {type: password, min: 8}
    ssh-keys: {type: list, items: ssh-key, default: []}
    greeting: {type: string, default: hello}
`

const tell = `#!/bin/sh
. /etc/ingot/inputs
echo "told: $(hostname) greets $INPUT_GREETING"
echo "told: user $(id -un ops) $(sudo -l -U ops | grep -c NOPASSWD)"
echo "told: hash $(getent shadow ops | cut -d: -f2 | cut -c1-3)"
echo "told: key $(cut -d' ' -f3 /home/ops/.ssh/authorized_keys)"
echo "told: inputs $(stat -c %a /etc/ingot/inputs)"
echo "told: grown $([ "$(df --output=size -B1 / | tail -1)" -gt 3000000000 ] && echo yes)"
echo "told: all"
`

// mine is the key of a person who is not here.
const mine = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIE1ZkDmKqCmD0CyCJ4R/Zb0E3rXsXw7l8f1v9m0xZ0aB me@here"

// machines provisions a machine of a template and starts it: cloud-init judges the seed.
func (c *court) machines(t *testing.T) {
	judge.Needs(t, judge.Full)
	const odd = "it's $(reboot) `id` \"x\" $1$9qAFryp3"
	for _, program := range []string{"ssh", "ssh-keygen"} {
		if _, err := judge.Find(program); err != nil {
			t.Skipf("%s is missing: Debian's package openssh-client makes this run", program)
		}
	}
	p := c.project(t, map[string]string{
		"ingot.yaml": templated, "tell": tell,
		"values.yaml": "password: long enough\ngreeting: |-\n  " + odd + "\n",
	})
	p.env = append(p.env, "INGOT_MIRROR_DEBIAN="+c.mirror.debian())
	p.must(t, "build", "--to", ".")
	image := sha256File(t, p.path("web-amd64.qcow2"))
	judge.Run(t, "ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "test", "-f", p.path("key"))
	p.must(t, "provision", ".", "web1", "--values", "values.yaml", "--set", "ssh-keys+="+mine, "--set", "ssh-keys+="+strings.TrimSpace(p.read(t, "key.pub")), "--accel", "tcg", "--start")
	t.Cleanup(func() { // of a test that failed
		_ = p.command(context.WithoutCancel(t.Context()), "machine", "rm", "--force", "web1").Run()
	})
	p.refuse(t, 6, []string{"runs already"}, "machine", "start", "web1")
	log := p.told(t, "web1")
	for _, want := range []string{
		"told: web1 greets " + odd, "told: user ops 1", "told: hash $6$", "told: key me@here", "told: inputs 600", "told: grown yes",
	} {
		if !strings.Contains(log, want) {
			t.Errorf("it does not tell %q:\n%s", want, tail(log, 40))
		}
	}
	if strings.Contains(log, "long enough") {
		t.Error("the password is on the console")
	}
	t.Run("in it", func(t *testing.T) { p.provisionInside(t, "web1") })
	p.must(t, "machine", "stop", "web1", "--timeout", bootPatience)
	if sha256File(t, p.path("web-amd64.qcow2")) != image {
		t.Error("the image has changed")
	}
	p.must(t, "machine", "rm", "web1")
	if got := p.must(t, "machine", "list"); got != "" {
		t.Errorf("there are still\n%s", got)
	}
	t.Run("elsewhere", func(t *testing.T) { c.machineElsewhere(t, p) })
	t.Run("credentials", c.machineCredentials)
}

// credentialed is an image without cloud-init, whose machines learn who they are from systemd.
const credentialed = `version: 1
name: cred
distro: debian
release: bookworm
packages: [systemd-sysv, sudo]
files:
- {path: /usr/local/sbin/tell, mode: "0755", source: ./tell}
- {path: /etc/systemd/system/tell.service, content: "[Unit]\nAfter=multi-user.target\n[Service]\nType=oneshot\nLoadCredential=ingot.inputs\nExecStart=/usr/local/sbin/tell\nStandardOutput=journal+console\n[Install]\nWantedBy=multi-user.target\n"}
services: {enable: [tell]}
outputs: [qcow2]
template:
  seed: credentials
  inputs:
    memory: {type: size, default: 512MiB}
    user: {type: string, default: operators}
    ssh-keys: {type: list, items: ssh-key, default: []}
    token: {type: password}
    greeting: {type: string, default: hello}
`

const tellCredentials = `#!/bin/sh
. /etc/ingot/inputs
echo "told: $(hostname) $(cat /etc/hostname) greets $INPUT_GREETING"
echo "told: system $(systemd-creds --system cat ingot.inputs | cmp - /etc/ingot/inputs.json && echo same)"
echo "told: service $(cmp "$CREDENTIALS_DIRECTORY/ingot.inputs" /etc/ingot/inputs.json && echo same)"
echo "told: listed $(systemd-creds --system list --no-legend | awk '{print $1}' | sort | tr '\n' ' ')"
echo "told: user $(getent passwd operators | cut -d: -f1,6,7) $(sudo -l -U operators | grep -c NOPASSWD)"
echo "told: key $(cut -d' ' -f3 /home/operators/.ssh/authorized_keys) $(stat -c '%U %a' /home/operators/.ssh/authorized_keys)"
echo "told: inputs $(stat -c %a /etc/ingot/inputs)"
echo "told: token $(printf %s "$INPUT_TOKEN" | sha256sum | cut -c1-12)"
echo "told: all"
`

// machineCredentials boots a machine that systemd tells who it is: systemd-creds judges.
func (c *court) machineCredentials(t *testing.T) {
	const odd = "it's $(reboot) `id` \"x\" 100%"
	p := c.project(t, map[string]string{
		"ingot.yaml": credentialed, "tell": tellCredentials,
		"values.yaml": "token: a t0ken\nssh-keys: [" + mine + "]\ngreeting: |-\n  " + odd + "\n",
	})
	p.env = append(p.env, "INGOT_MIRROR_DEBIAN="+c.mirror.debian())
	p.must(t, "build", "--to", ".")
	p.must(t, "provision", ".", "cred1", "--values", "values.yaml", "--accel", "tcg", "--start")
	t.Cleanup(func() { // of a test that failed
		_ = p.command(context.WithoutCancel(t.Context()), "machine", "rm", "--force", "cred1").Run()
	})
	log := p.told(t, "cred1")
	for _, want := range []string{
		"told: cred1 cred1 greets " + odd, "told: system same", "told: service same", "told: listed ingot.inputs sysusers.extra tmpfiles.extra", "told: user operators:/home/operators:/bin/bash 1",
		"told: key me@here operators 600", "told: inputs 600", "told: token " + fmt.Sprintf("%x", sha256.Sum256([]byte("a t0ken")))[:12],
	} {
		if !strings.Contains(log, want) {
			t.Errorf("it does not tell %q:\n%s", want, tail(log, 40))
		}
	}
	p.must(t, "machine", "stop", "cred1", "--timeout", bootPatience)
	p.must(t, "machine", "rm", "cred1")
}

// told waits until a machine has told all of itself, and gives what its console said.
func (p *project) told(t *testing.T, name string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	log := ""
	for !strings.Contains(log, "told: all") {
		if ctx.Err() != nil {
			t.Fatalf("it does not tell all:\n%s", tail(log, 40))
		}
		time.Sleep(time.Second)
		log = p.must(t, "machine", "console", "--log", name)
	}
	return log
}

// provisionInside has a running machine make one: a host of its own, of whose account nothing
// is here, and which has nothing of ingot and Debian's own server of SSH.
func (p *project) provisionInside(t *testing.T, host string) {
	var shown struct{ SSH int }
	parse(t, []byte(p.must(t, "machine", "show", "--json", host)), &shown)
	p.write(t, map[string]string{
		"inner/ingot.yaml": strings.Replace(templated, "source: ./tell", "content: x", 1), "inner/disk.raw": strings.Repeat("x", 1<<20),
		"inner/values.yaml": "password: never to be seen\nmemory: 256MiB\n",
		"bin/ssh":           "#!/bin/sh\nexec '" + judge.Path(t, "ssh") + "' -F '" + p.path("ssh_config") + "' \"$@\"\n",
		"ssh_config":        "UserKnownHostsFile " + p.path("known") + "\nGlobalKnownHostsFile /dev/null\nStrictHostKeyChecking accept-new\nIdentityFile " + p.path("key") + "\nIdentitiesOnly yes\nIdentityAgent none\n",
	})
	q := *p
	q.env = append(slices.Clone(q.env), "PATH="+p.path("bin")+":"+os.Getenv("PATH"))
	on := fmt.Sprintf("ssh://ops@127.0.0.1:%d", shown.SSH)
	if got := q.must(t, "provision", "inner", "inside", "--image", "inner/disk.raw", "--values", "inner/values.yaml", "--on", on); got != "/home/ops/.local/share/ingot/machines/inside\n" {
		t.Errorf("it was made in %s", got)
	}
	v := q.ingot(t, "provision", "inner", "inside2", "--image", "inner/disk.raw", "--values", "inner/values.yaml", "--on", on, "--json")
	if v.code != 0 || !strings.Contains(v.out, `"template":"/home/ops/.local/share/ingot/errands/web-`) || !strings.Contains(v.err, "KiB") || strings.Contains(v.err, "MiB") {
		t.Errorf("the second: exit code %d\n%s%s", v.code, v.out, v.err)
	}
	if got := q.must(t, "machine", "list", "--on", on); len(lines(got)) != 2 || !strings.HasPrefix(got, "inside   off  256MiB ") {
		t.Errorf("there is\n%s", got)
	}
	q.refuse(t, 10, []string{"machine inside is there already"}, "provision", "inner", "inside", "--image", "inner/disk.raw", "--values", "inner/values.yaml", "--on", on)
	q.must(t, "machine", "rm", "inside", "inside2", "--on", on)
}

// machineElsewhere has another host make a machine of the same image, and run it when nobody
// is logged in there.
func (c *court) machineElsewhere(t *testing.T, p *project) {
	r := distant(t)
	r.env = "INGOT_MIRROR_DEBIAN=" + c.mirror.debian()
	r.configure()
	here := r.at(p)
	there := *here
	there.home = r.home
	// By a seed of the other form, for once.
	here.write(t, map[string]string{"ingot.yaml": strings.Replace(templated, "template:\n", "template:\n  seed: vfat\n", 1)})
	here.must(t, "provision", ".", "web2", "--values", "values.yaml", "--set", "ssh-keys+="+mine, "--on", r.host)
	t.Cleanup(func() { // of a test that failed
		_ = there.command(context.WithoutCancel(t.Context()), "machine", "rm", "--force", "web2").Run()
	})
	here.must(t, "machine", "start", "web2", "--accel", "tcg", "--on", r.host)
	if got := here.must(t, "machine", "list", "--on", r.host); !strings.HasPrefix(got, "web2  runs ") {
		t.Errorf("it does not run: %s", got)
	}
	if log := there.told(t, "web2"); !strings.Contains(log, "told: web2 greets it's $(reboot) `id`") || !strings.Contains(log, "told: hash $6$") {
		t.Errorf("it does not tell who it is:\n%s", tail(log, 40))
	}
	// Its console, which Ctrl-A x leaves.
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	console := here.command(ctx, "machine", "console", "web2", "--on", r.host)
	console.Stdin = strings.NewReader("\x01x")
	finish(t, console).check(t, 0, nil, "machine", "console", "web2")
	if got := here.must(t, "machine", "console", "--log", "web2", "--on", r.host); !strings.Contains(got, "told: all") {
		t.Errorf("the console's log is\n%s", tail(got, 20))
	}
	here.must(t, "machine", "stop", "web2", "--timeout", bootPatience, "--on", r.host)
	here.must(t, "machine", "rm", "web2", "--on", r.host)
	if got := here.must(t, "machine", "list", "--on", r.host); got != "" {
		t.Errorf("there are still\n%s", got)
	}
}
