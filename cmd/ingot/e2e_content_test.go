package main_test

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"ingot/internal/judge"
)

// content judges what people put into images beside packages: accounts, large
// files, files of nothing.
func (c *court) content(t *testing.T) {
	t.Run("accounts", func(t *testing.T) {
		// The essential set has neither useradd nor groupadd; www-data is a user and audio a group of
		// base-passwd's, media the definition's own.
		p := c.project(t, map[string]string{"ingot.yaml": minimal + `start: essential
users: [{name: ops, uid: 1000, groups: [sudo, media], ssh-keys: []}, {name: audio}, {name: media, uid: 2001}, {name: games, shell: /bin/sh}, {name: www-data, groups: [media]}]
unix-groups: [{name: media, gid: 2000}]
`})
		p.build(t)
		tree := readTar(t, p.path("out/small-amd64.tar"))
		group := lineOf(tree["/etc/group"].content, "audio:")
		for file, want := range map[string]string{
			"/etc/passwd": "ops:x:1000:", "/etc/group": "media:x:2000:ops,www-data",
		} {
			if lineOf(tree[file].content, want) == "" {
				t.Errorf("%s has no line %s", file, want)
			}
		}
		if f := strings.Split(lineOf(tree["/etc/passwd"].content, "audio:"), ":"); len(f) < 7 || f[3] != strings.Split(group, ":")[2] {
			t.Errorf("the user audio is %q and the group %q", f, group)
		}
		if f := strings.Split(lineOf(tree["/etc/passwd"].content, "media:"), ":"); len(f) < 7 || f[2] != "2001" || f[3] != "2000" {
			t.Errorf("the user media is %q", f)
		}
		if f := strings.Split(lineOf(tree["/etc/passwd"].content, "games:"), ":"); len(f) < 7 || f[2] != "5" || f[6] != "/bin/sh" {
			t.Errorf("the user games is %q", f)
		}
		if line := lineOf(tree["/etc/passwd"].content, "www-data:"); line != "www-data:x:33:33:www-data:/var/www:/usr/sbin/nologin" {
			t.Errorf("the user www-data is %q", line)
		}
		if !strings.Contains(p.read(t, "ingot.lock"), "\n  passwd ") {
			t.Error("the lock has no passwd")
		}
	})
	t.Run("accounts that are there", func(t *testing.T) {
		const users = "users: [{name: backup, ssh-keys: [\"ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIE1ZkDmKqCmD0CyCJ4R/Zb0E3rXsXw7l8f1v9m0xZ0aB a\"]}, {name: games, home: /srv/games}]\n"
		p := c.project(t, map[string]string{"ingot.yaml": minimal + "start: essential\nhostname: web.example.org\nunix-groups: [{name: games, gid: 2000}]\n" + users})
		p.build(t)
		tree := readTar(t, p.path("out/small-amd64.tar"))
		for file, want := range map[string]string{
			"/etc/passwd": "games:x:5:2000:games:/srv/games:", "/etc/group": "games:x:2000:", "/etc/hosts": "127.0.1.1\tweb.example.org web",
			"/var/backups/.ssh/authorized_keys": "ssh-ed25519 AAAA",
		} {
			if lineOf(tree[file].content, want) == "" {
				t.Errorf("%s has no line %s but %q", file, want, tree[file].content)
			}
		}
		for def, words := range map[string][]string{
			"users: [{name: ops, groups: [nogrp]}]\n":          {"user ops: there is no group nogrp", "unix-groups"},
			"users: [{name: ops, uid: 5}]\n":                   {"user ops: uid 5 is taken by games"},
			"unix-groups: [{name: media, gid: 60}]\n":          {"unix group media: gid 60 is taken by games"},
			"users: [{name: ops, shell: \"/bin/no:shell\"}]\n": {"user ops: the image has no shell /bin/no:shell", "add the package that brings it"},
			"users: [{name: games, shell: /bin/zsh}]\n":        {"user games: the image has no shell /bin/zsh"},
		} {
			p.write(t, map[string]string{"ingot.yaml": minimal + "start: essential\n" + def})
			if v := p.refuse(t, 3, words, "build", "--to", "refused"); strings.Contains(v.err, "/bin/sh") {
				t.Errorf("it tells of its own shell: %s", v.err)
			}
		}
	})
	t.Run("locale", func(t *testing.T) {
		p := c.project(t, map[string]string{"ingot.yaml": minimal + "locale: xx_YY.UTF-8\n"})
		p.refuse(t, 3, []string{"no locale xx_YY.UTF-8", "hint:", "SUPPORTED"}, "build", "--to", "out")
	})
	t.Run("files where none can be", func(t *testing.T) {
		for path, words := range map[string][]string{
			"/etc/passwd/x":     {"cannot put /etc/passwd/x: ", "not a directory", "hint:"},
			"/etc/passwd/x/y/z": {"cannot put /etc/passwd/x/y/z: ", "not a directory", "hint:"},
			"/etc/apt":          {"cannot put /etc/apt: ", "is a directory", "hint:"},
		} {
			p := c.project(t, map[string]string{"ingot.yaml": minimal + "files: [{path: " + path + ", content: x}]\n"})
			p.refuse(t, 3, words, "build", "--to", "out")
		}
	})
	t.Run("services without systemd", func(t *testing.T) {
		const script = "scripts: [{name: plain, run: ./plain.sh}]\n"
		const plain = "#!/bin/sh\nset -e\nfor u in one two; do printf '[Service]\\nExecStart=/bin/true\\n[Install]\\nWantedBy=multi-user.target\\nAlias=alias-%s.service\\n' $u >/lib/systemd/system/$u.service; done\n" +
			"mkdir -p /etc/systemd/system/multi-user.target.wants\n"
		const services = "services: {enable: [one, dpkg-db-backup.timer], disable: [fstrim.timer], mask: [other.socket]}\n"
		links := func(packages string) map[string]string {
			p := c.project(t, map[string]string{"ingot.yaml": minimal + packages + script + services, "plain.sh": plain})
			p.build(t)
			out := map[string]string{}
			for name, f := range readTar(t, p.path("out/small-amd64.tar")) {
				if strings.HasPrefix(name, "/etc/systemd/system/") && f.link != "" {
					out[name] = strings.TrimPrefix(f.link, "/usr")
				}
			}
			return out
		}
		got, want := links("packages: [util-linux]\n"), links("packages: [systemd]\n")
		for _, name := range []string{"multi-user.target.wants/one.service", "alias-one.service", "timers.target.wants/dpkg-db-backup.timer", "timers.target.wants/fstrim.timer", "other.socket"} {
			name = "/etc/systemd/system/" + name
			if got[name] != want[name] || (got[name] == "") != strings.Contains(name, "fstrim") {
				t.Errorf("%s links to %q, by systemctl to %q", name, got[name], want[name])
			}
		}
		p := c.project(t, map[string]string{"ingot.yaml": minimal + "services: {enable: [nginxx]}\n"})
		p.refuse(t, 3, []string{"there is no unit nginxx in the image", "hint:"}, "build", "--to", "out")
	})
	t.Run("large source", func(t *testing.T) {
		const size = 512 << 20
		p := c.project(t, map[string]string{"ingot.yaml": minimal + "files: [{path: /opt/big, source: big}, {path: /opt/d, source: d}]\n", "big": "start", "d/sub/f": "text"})
		if err := os.Truncate(p.path("big"), size); err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink("sub/f", p.path("d/l")); err != nil {
			t.Fatal(err)
		}
		p.must(t, "lock")
		if used := peak(t, p.command(t.Context(), "build", "--to", "out")); used == 0 || used > size/2 {
			t.Errorf("a file of %d bytes took %d bytes of memory", size, used)
		}
		if list := judge.Run(t, "tar", "--list", "--verbose", "-f", p.path("out/small-amd64.tar"), "./opt/big", "./opt/d/l"); !strings.Contains(list, " 536870912 ") || !strings.Contains(list, "-> sub/f") {
			t.Errorf("tar lists %s", list)
		}
	})
	t.Run("holes", func(t *testing.T) {
		definition := strings.Replace(minimal, "[tar]", "[tar, dir]", 1) + "scripts: [{name: grow, run: ./grow.sh}]\n"
		p := c.project(t, map[string]string{"ingot.yaml": definition, "grow.sh": "#!/bin/sh\ntruncate -s 2G /var/lib/x.img\necho end >>/var/lib/x.img\n"})
		p.build(t)
		if list := judge.Run(t, "tar", "--list", "--verbose", "-f", p.path("out/small-amd64.tar"), "./var/lib/x.img"); !strings.Contains(list, " 2147483652 ") {
			t.Errorf("tar lists %s", list)
		}
		judge.Run(t, "tar", "--compare", "-f", p.path("out/small-amd64.tar"), "-C", p.path("out/small-amd64"), "./var/lib/x.img")
		if used := diskUsage(t, p.path("out")); used > 1<<30 {
			t.Errorf("the artifacts use %d bytes of disk", used)
		}
		p.write(t, map[string]string{"grow.sh": "#!/bin/sh\ntruncate -s 65G /var/lib/x.img\n"})
		p.refuse(t, 1, []string{"script grow", "/var/lib/x.img", "64 GiB", "hint:"}, "build", "--to", "out")
	})
	t.Run("other bytes", func(t *testing.T) {
		p := c.project(t, map[string]string{"ingot.yaml": minimal + "scripts: [{name: dice, run: ./dice.sh}]\n", "dice.sh": "#!/bin/sh\nhead -c 16 /dev/urandom >/etc/dice\nhead -c 16 /dev/urandom >>/etc/issue\n"})
		p.build(t)
		p.refuse(t, 5, []string{"/etc/dice differs (step script dice)", "/etc/issue differs (step script dice)", "--reseal"}, "build", "--no-cache", "--to", "out")
	})
	t.Run("at once", func(t *testing.T) {
		p := c.project(t, map[string]string{"ingot.yaml": minimal + "scripts: [{name: dice, run: ./dice.sh}]\n", "dice.sh": "#!/bin/sh\nhead -c 300000 /dev/urandom >/rnd\n"})
		p.must(t, "lock")
		var builds []*exec.Cmd
		for _, to := range []string{"o1", "o2"} {
			cmd := p.command(t.Context(), "build", "--no-cache", "--to", to)
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			builds = append(builds, cmd)
		}
		var codes []int
		for _, cmd := range builds {
			_ = cmd.Wait()
			codes = append(codes, cmd.ProcessState.ExitCode())
		}
		slices.Sort(codes) // the one that ends last differs from the other
		if !slices.Equal(codes, []int{0, 5}) {
			t.Errorf("exit codes %v, want 0 and 5", codes)
		}
		for _, to := range []string{"o1", "o2"} {
			// As its seal says: "/rnd" at the end of a line with the digest.
			rnd := readTar(t, p.path(to+"/small-amd64.tar"))["/rnd"].content
			if seal := p.read(t, to+"/small-amd64.container.seal"); len(rnd) != 300000 || !strings.Contains(seal, sha256Text(rnd)) {
				t.Errorf("%s: /rnd of %d bytes is not what the seal says", to, len(rnd))
			}
		}
	})
}

// peak runs a command and gives the most memory that it had, in bytes. What wait(2)
// says of it would count this process, which forked it.
func peak(t *testing.T, cmd *exec.Cmd) int64 {
	t.Helper()
	var said bytes.Buffer
	cmd.Stderr = &said
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	var most int64
	for {
		select {
		case err := <-ended:
			if err != nil {
				t.Errorf("%v\n%s", err, tail(said.String(), 20))
			}
			return most
		case <-time.After(5 * time.Millisecond):
		}
		status, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", cmd.Process.Pid))
		var kib int64
		if _, err := fmt.Sscanf(lineOf(string(status), "VmHWM:"), "VmHWM: %d kB", &kib); err == nil {
			most = max(most, kib<<10)
		}
	}
}

// lineOf is the line of a text that begins with something.
func lineOf(text, begin string) string {
	for _, l := range lines(text) {
		if strings.HasPrefix(l, begin) {
			return l
		}
	}
	return ""
}
