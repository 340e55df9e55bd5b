package main_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"
)

// failing judges scripts that fail.
func (c *court) failing(t *testing.T) {
	definition := minimal + "kernel: none\nscripts: [{name: doomed, run: ./doomed.sh}]\n"
	files := func(script string) map[string]string {
		return map[string]string{"ingot.yaml": definition, "doomed.sh": script}
	}
	p := c.project(t, files("#!/bin/sh\necho to standard output\necho to standard error >&2\ntouch /root/reached\nexit 23\n"))
	t.Run("says so", func(t *testing.T) {
		v := p.refuse(t, 1, []string{"error: ingot.yaml:7: script \"doomed\" ", "23", "to standard output", "to standard error", "hint:", "--shell-on-error"}, "build", "--to", "out")
		if strings.Contains(v.err, "goroutine") {
			t.Error(v.err)
		}
		p.nothingMade(t)
	})
	t.Run("JSON", func(t *testing.T) {
		v := p.ingot(t, "build", "--to", "out", "--json", "--progress", "json")
		if v.code != 1 || v.out != "" {
			t.Errorf("exit code %d, standard output %q", v.code, v.out)
		}
		all := lines(v.err)
		for _, l := range all {
			var object struct{ Schema int }
			parse(t, []byte(l), &object)
		}
		var last struct {
			Event, Message, File string
			Code, Line           int
		}
		parse(t, []byte(all[len(all)-1]), &last)
		if last.Event != "error" || last.Code != 1 || !strings.Contains(last.Message, "23") || last.File != "ingot.yaml" || last.Line != 7 {
			t.Errorf("the last line is %+v", last)
		}
	})
	t.Run("no shell without a terminal", func(t *testing.T) {
		v := p.refuse(t, 1, []string{"doomed", "23"}, "build", "--to", "out", "--shell-on-error")
		if !strings.Contains(v.err, "opens no shell: the standard input is no terminal") || strings.Contains(v.err, "opens a shell") {
			t.Errorf("it does not say that there is no terminal, or advises what was done:\n%s", v.err)
		}
		// Nor with a pipe that stays open.
		r, w, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		defer w.Close()
		defer r.Close()
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		defer cancel()
		cmd := p.command(ctx, "build", "--to", "out", "--shell-on-error")
		cmd.Stdin = r
		finish(t, cmd).check(t, 1, []string{"doomed", "23"}, "build", "--shell-on-error")
	})
	t.Run("shell", func(t *testing.T) {
		keyboard, terminal := openTerminal(t)
		defer terminal.Close()
		before := modesOf(t, terminal)
		// What is typed waits in the terminal until the shell reads it.
		if _, err := keyboard.WriteString("ls /root/reached; ls $PWD/doomed.sh; echo sum $((40+2)) of $INGOT_PURPOSE\n"); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		defer cancel()
		cmd := p.command(ctx, "build", "--to", "out", "--shell-on-error")
		cmd.Stdin, cmd.Stdout, cmd.Stderr = terminal, terminal, terminal
		// Without a session that it leads: the kernel would mend the modes.
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		s := watch(ctx, keyboard)
		for _, want := range []string{"doomed", "/root/reached\r\n", "/doomed.sh\r\n", "sum 42 of container"} {
			s.await(t, want)
		}
		// Ctrl-C ends what the shell runs, and neither it nor the build.
		for _, step := range [][2]string{
			{"echo star''ted; sleep 1000\n", "started\r\n"},
			{"\x03", "^C"},
			{"echo code $? of $(tty) $(stty size)\n", "code 130 of "},
			{"sleep 1000 &\n", "[1] "},
			{"jobs\n", "Running"},
			{"exit\n", ""},
		} {
			if _, err := keyboard.WriteString(step[0]); err != nil {
				t.Fatal(err)
			}
			s.await(t, step[1])
		}
		err := cmd.Wait()
		if e, ok := errors.AsType[*exec.ExitError](err); !ok || e.ExitCode() != 1 {
			t.Errorf("it ended with %v, want exit code 1", err)
		}
		if strings.Contains(s.text(), "job control") {
			t.Errorf("the shell has no job control:\n%s", tail(s.text(), 40))
		}
		if d := cmp.Diff(before, modesOf(t, terminal)); d != "" {
			t.Errorf("the terminal is not as it was (-before +after):\n%s", d)
		}
		p.nothingMade(t)
	})
	t.Run("long output", func(t *testing.T) {
		p.write(t, files("#!/bin/sh\nseq -f 'line %g.' 1 100000\nkill -SEGV $$\n"))
		v := p.refuse(t, 1, []string{"line 100000.", "signal 11"}, "build", "--to", "out")
		if n := strings.Count(v.complaint(), "\n"); n > 60 {
			t.Errorf("the complaint has %d lines", n)
		}
	})
	t.Run("not a program", func(t *testing.T) {
		p.write(t, files("#!/no/such/interpreter\n"))
		p.refuse(t, 1, []string{"script doomed: the image has no /no/such/interpreter, which its first line names", "hint:", "package"}, "build", "--to", "out")
	})
	t.Run("leaves processes", func(t *testing.T) {
		// What a script leaves behind ends with it, and its mount never is the host's.
		p.write(t, files("#!/bin/sh\n(while :; do sleep 1000; done) &\nsetsid sleep 1000 &\nmount -t tmpfs none /mnt 2>/dev/null\ntouch /mnt/x; echo ok >/etc/ok\n"))
		p.build(t)
		tree := readTar(t, p.path("out/small-amd64.tar"))
		if tree["/etc/ok"].content != "ok\n" {
			t.Error("the script's work is not in the image")
		}
	})
	t.Run("inherited files", func(t *testing.T) {
		// What whoever calls has open is no door to his files.
		p.write(t, files("#!/bin/sh\nfor f in 3 4 5 6 7; do test ! -d /proc/self/fd/$f/ || echo reached $f; done\nexit 23\n"))
		dir, err := os.Open("/")
		if err != nil {
			t.Fatal(err)
		}
		defer dir.Close()
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		defer cancel()
		cmd := p.command(ctx, "build", "--to", "out")
		cmd.ExtraFiles = []*os.File{dir, dir, dir, dir, dir}
		if v := finish(t, cmd); v.code != 1 || !strings.Contains(v.err, "23 and said nothing") {
			t.Errorf("exit code %d\n%s", v.code, tail(v.err, 40))
		}
	})
	t.Run("mends", func(t *testing.T) {
		p.write(t, files("#!/bin/sh\ntest ! -e /root/reached\n"))
		b := p.build(t)
		if b.Steps.Run == 0 {
			t.Errorf("%+v", b.Steps)
		}
		if _, ok := readTar(t, p.path("out/small-amd64.tar"))["/root/reached"]; ok {
			t.Error("what the failed script did is in the image")
		}
	})
	t.Run("says who asked", func(t *testing.T) {
		for _, c := range []struct{ name, more, want string }{
			{"file", "files:\n- {path: /y, content: y}\n- path: /x\n  content: x\n  owner: nobody-knows\n", "ingot.yaml:9: file /x: the image has no user \"nobody-knows\""},
			{"place", "files:\n- {path: /etc/passwd/x, content: y}\n", "ingot.yaml:8: cannot put /etc/passwd/x"},
			{"user", "users:\n- {name: a}\n- {name: b, groups: [club]}\n", "ingot.yaml:9: user b: there is no group club"},
			{"unix group", "unix-groups:\n- {name: a, gid: 5}\n", "ingot.yaml:8: unix group a: gid 5 is taken by tty"},
			{"service", "services:\n  enable:\n  - nonesuch\n", "ingot.yaml:9: there is no unit nonesuch"},
			{"locale", "locale: xx_YY.UTF-8\n", "ingot.yaml:7: the image has no locale xx_YY.UTF-8"},
			{"included", "include: [more/site.yaml]\n", "more/site.yaml:2: file /x: the image has no user"},
		} {
			t.Run(c.name, func(t *testing.T) {
				p.write(t, map[string]string{
					"ingot.yaml":     minimal + "kernel: none\n" + c.more,
					"more/site.yaml": "files:\n- {path: /x, content: x, owner: nobody-knows}\n",
				})
				p.refuse(t, 3, []string{"error: " + c.want, "hint:"}, "build", "--to", "out")
			})
		}
	})
}

// openTerminal makes a pseudo terminal: what a person types and reads, and what
// programs do.
func openTerminal(t *testing.T) (person, program *os.File) {
	t.Helper()
	person, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = person.Close() })
	if err := unix.IoctlSetPointerInt(int(person.Fd()), unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	n, err := unix.IoctlGetInt(int(person.Fd()), unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	program, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	return person, program
}
