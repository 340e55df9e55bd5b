package main_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// crash judges builds that end before their time, or run into each other.
func (c *court) crash(t *testing.T) {
	definition := map[string]string{
		"ingot.yaml": strings.Replace(minimal, "[tar]", "[dir, tar, tar.zst]", 1) + "kernel: none\nscripts: [{name: long, run: ./long.sh}]\n",
		"long.sh":    "#!/bin/sh\nfor i in 1 2 3 4 5 6 7 8 9; do echo step $i; dd if=/dev/zero bs=64k count=64 2>/dev/null | sha256sum >/etc/sum.$i; done\n",
	}
	p := c.project(t, definition)
	v := p.ingot(t, "build", "--to", "out")
	if v.code != 0 {
		t.Fatalf("exit code %d\n%s", v.code, tail(v.err, 20))
	}
	lock, want := p.read(t, "ingot.lock"), sums(t, p.path("out"))
	definition["ingot.lock"] = lock

	// A build from nothing, for the moments between which to choose, and the sizes.
	cold := c.project(t, definition).fresh()
	v = cold.ingot(t, "build", "--to", "out")
	v.check(t, 0, nil, "build")
	said := lines(v.err)
	t.Run("kill", func(t *testing.T) {
		const seed = 20260131
		r := rand.New(rand.NewPCG(seed, 1))
		moments := 5
		if c.full {
			moments = 60
		}
		for i := range moments {
			// After a line of what it says, and a little later: the lines stand
			// closest where most is done. Every third moment is in the time before
			// anything is said, when packages come and are unpacked, or at its end.
			m := moment{line: r.IntN(len(said)), later: time.Duration(r.IntN(60)) * time.Millisecond}
			switch i % 3 {
			case 1:
				m = moment{line: first(said, "fetch"), later: time.Duration(r.IntN(2500)) * time.Millisecond}
			case 2:
				m = moment{line: first(said, "settle"), later: time.Duration(r.IntN(2500)) * time.Millisecond}
			}
			t.Run(fmt.Sprintf("line %d and %v", m.line, m.later), func(t *testing.T) {
				q := c.project(t, definition).fresh()
				mounts := mountsBelow(t, q.dir)
				q.stop(t, m, unix.SIGKILL)
				if after := mountsBelow(t, q.dir); after != mounts {
					t.Errorf("mounts were left:\n%s", after)
				}
				q.build(t, "--locked")
				sameSums(t, sums(t, q.path("out")), want)
				artifactsOnly(t, q.path("out"))
				noLeftovers(t, q.cache, "tmp", "work")
				q.storeWhole(t)
			})
		}
	})
	t.Run("interrupt", func(t *testing.T) {
		for _, sig := range []syscall.Signal{unix.SIGINT, unix.SIGTERM} {
			words := []string{"fetch", "Setting up coreutils", "long: step 3", "small-amd64.tar"}
			if sig == unix.SIGTERM && !c.full {
				words = words[2:3]
			}
			for _, word := range words {
				q := c.project(t, definition).fresh()
				v := q.stop(t, moment{word: word}, sig)
				v.check(t, 130, []string{"interrupted"}, sig.String(), word)
				artifactsOnly(t, q.path("out"))
				noLeftovers(t, q.cache, "tmp", "work")
				q.storeWhole(t)
			}
		}
	})
	t.Run("two at once", func(t *testing.T) {
		for _, k := range []struct {
			summary string
			to      [3]string
		}{{"three places", [3]string{"a", "b", "c"}}, {"one place", [3]string{"a", "a", "a"}}} {
			t.Run(k.summary, func(t *testing.T) {
				q := c.project(t, definition).fresh()
				var all [3]verdict
				var group sync.WaitGroup
				for i := range all {
					group.Go(func() { all[i] = q.ingot(t, "build", "--to", k.to[i]) })
				}
				// And whoever cleans up meanwhile takes nothing from them.
				group.Go(func() {
					for range 5 {
						if v := q.ingot(t, "store", "gc"); v.code != 0 {
							t.Errorf("store gc: exit code %d\n%s", v.code, tail(v.err, 5))
						}
					}
				})
				group.Wait()
				for i, v := range all {
					v.check(t, 0, nil, "build", k.to[i])
					sameSums(t, sums(t, q.path(k.to[i])), want)
					artifactsOnly(t, q.path(k.to[i]))
				}
				noLeftovers(t, q.cache, "tmp", "work")
				q.storeWhole(t)
			})
		}
	})
	t.Run("mounted", func(t *testing.T) { c.mounted(t, p) })
	t.Run("full disk", func(t *testing.T) { c.fullDisk(t, cold, definition, want) })
}

// first finds a line that says something.
func first(said []string, word string) int {
	for i, l := range said {
		if strings.Contains(l, word) {
			return i
		}
	}
	return 0
}

// A moment of a build: when it has said so many lines, or a word, and some time
// after that.
type moment struct {
	line  int
	word  string
	later time.Duration
}

// stop starts a build and ends it with a signal at a moment, unless it is over by
// then; and sees to it that none of its processes is left.
func (p *project) stop(t *testing.T, m moment, sig syscall.Signal) verdict {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	cmd := p.command(ctx, "build", "--to", "out")
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	cmd.Stderr = w
	start := time.Now()
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	_ = w.Close()
	var v verdict
	in := bufio.NewScanner(r)
	for n := 0; in.Scan(); n++ {
		v.err += in.Text() + "\n"
		if m.word == "" && n == m.line || m.word != "" && strings.Contains(in.Text(), m.word) {
			break
		}
	}
	rest := make(chan string, 1)
	go func() {
		b := new(strings.Builder)
		_, _ = io.Copy(b, r)
		rest <- b.String()
	}()
	timer := time.NewTimer(m.later)
	defer timer.Stop()
	<-timer.C
	// Frozen, it starts no more processes while they are looked for. What runs in its
	// namespaces is told by these.
	_ = cmd.Process.Signal(unix.SIGSTOP)
	family := descendants(t, cmd.Process.Pid)
	_ = cmd.Process.Signal(sig)
	_ = cmd.Process.Signal(unix.SIGCONT)
	if err := cmd.Wait(); err != nil {
		if _, ok := errors.AsType[*exec.ExitError](err); !ok {
			t.Fatal(err)
		}
	}
	v.code = cmd.ProcessState.ExitCode()
	for _, f := range family {
		f.gone(t)
	}
	v.err += <-rest
	v.took = time.Since(start)
	return v
}

// A process that must end.
type process struct {
	pid  int
	name string
	fd   int    // a pidfd
	ns   string // its namespace of processes
}

// descendants are all processes below one.
func descendants(t *testing.T, pid int) []process {
	t.Helper()
	parents := map[int][]int{}
	for _, n := range numbers(t, "/proc") {
		text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", n))
		if err != nil {
			continue // it has ended
		}
		_, after, _ := strings.Cut(string(text), ") ")
		f := strings.Fields(after)
		if len(f) < 2 {
			continue
		}
		if parent, err := strconv.Atoi(f[1]); err == nil {
			parents[parent] = append(parents[parent], n)
		}
	}
	var out []process
	for queue := parents[pid]; len(queue) > 0; queue = queue[1:] {
		n := queue[0]
		queue = append(queue, parents[n]...)
		fd, err := unix.PidfdOpen(n, 0)
		if err != nil {
			continue
		}
		name, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", n))
		ns, _ := os.Readlink(fmt.Sprintf("/proc/%d/ns/pid", n))
		out = append(out, process{n, strings.ReplaceAll(string(name), "\x00", " "), fd, ns})
	}
	return out
}

func numbers(t *testing.T, dir string) []int {
	t.Helper()
	found, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var out []int
	for _, f := range found {
		if n, err := strconv.Atoi(f.Name()); err == nil {
			out = append(out, n)
		}
	}
	return out
}

// gone waits for the end of a process, and finds others of its namespace.
func (p process) gone(t *testing.T) {
	t.Helper()
	defer func() { _ = unix.Close(p.fd) }()
	for {
		n, err := unix.Poll([]unix.PollFd{{Fd: int32(p.fd), Events: unix.POLLIN}}, 30_000)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil || n != 1 {
			t.Errorf("process %d (%s) was left", p.pid, p.name)
			return
		}
		break
	}
	host, err := os.Readlink("/proc/self/ns/pid")
	if err != nil || p.ns == "" || p.ns == host {
		return
	}
	for _, n := range numbers(t, "/proc") {
		if ns, err := os.Readlink(fmt.Sprintf("/proc/%d/ns/pid", n)); err != nil || ns != p.ns {
			continue
		}
		stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", n))
		// A zombie has ended: its namespace's first process belongs to the host's now.
		if err == nil && !strings.Contains(string(stat), ") Z ") {
			t.Errorf("process %d was left in the namespace of %s", n, p.name)
		}
	}
}

// mountsBelow are the host's mounts on a directory.
func mountsBelow(t *testing.T, dir string) string {
	t.Helper()
	text, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, l := range lines(string(text)) {
		if strings.Contains(l, dir) {
			out = append(out, l)
		}
	}
	return strings.Join(out, "\n")
}

// fullDisk judges builds whose home, cache or artifacts lie on a file system that is
// too small, and the same ones once it has grown.
func (c *court) fullDisk(t *testing.T, cold *project, definition, want map[string]string) {
	if !isRoot() {
		t.Skip("root runs this: it mounts small file systems, in a namespace of its own")
	}
	// Parts of what a build from nothing needs, in percent.
	parts := map[string][]int{"home": {96}, "cache": {20}, "out": {60, 93}}
	for place, dir := range map[string]string{"home": cold.home, "cache": cold.cache, "out": cold.path("out")} {
		if c.full {
			parts[place] = []int{1, 5, 10, 20, 30, 40, 50, 60, 70, 80, 85, 90, 93, 96, 98}
		}
		for _, part := range parts[place] {
			size := fmt.Sprint(diskUsage(t, dir)*int64(part)/100>>10) + "k"
			t.Run(fmt.Sprintf("%s %d %%", place, part), func(t *testing.T) {
				q := c.project(t, definition).fresh()
				at := map[string]string{"home": q.home, "cache": q.cache, "out": q.path("out")}[place]
				if err := os.MkdirAll(at, 0o755); err != nil {
					t.Fatal(err)
				}
				// Everything in one namespace: the mount ends with it.
				script := `mount -t tmpfs -o size=$1 full "$2" || exit 99
shift; shift
"$@" 2>"$0/first.err"; echo $? >"$0/first.code"
mount -o remount,size=3g full || exit 98
"$@" || exit
cp out/SHA256SUMS "$0/sums"
find "$INGOT_CACHE/tmp" "$INGOT_CACHE/work" "$INGOT_HOME/store/tmp" out -mindepth 1 -maxdepth 1 \( ! -path 'out/*' -o -name '.*' \) >"$0/left"
cd out && sha256sum --quiet -c SHA256SUMS`
				q.prefix = []string{"unshare", "--mount", "--", "sh", "-c", script, q.dir, size, at}
				v := q.ingot(t, "build", "--to", "out")
				if v.code != 0 {
					t.Fatalf("with space: exit code %d\n%s", v.code, tail(v.err, 20))
				}
				firstTime := verdict{err: q.read(t, "first.err")}
				if n, err := strconv.Atoi(strings.TrimSpace(q.read(t, "first.code"))); err == nil {
					firstTime.code = n
				}
				// What a disk gives files differs by some percent; and the last third of the cache is
				// only for the next time: a build may do without.
				need := map[string]int{"home": 96, "out": 93, "cache": 70}[place]
				if firstTime.code != 0 || part <= need {
					words := []string{"space", "hint:"}
					if place == "out" && part <= 60 {
						words = append(words, "are needed where") // before anything is written
					}
					firstTime.check(t, 9, words, "build")
				}
				if left := q.read(t, "left"); left != "" {
					t.Errorf("was left:\n%s", left)
				}
				got := map[string]string{}
				for _, l := range lines(q.read(t, "sums")) {
					sum, name, _ := strings.Cut(l, "  ")
					got[name] = sum
				}
				sameSums(t, got, want)
			})
		}
	}
	for _, variable := range []string{"INGOT_HOME", "INGOT_CACHE"} {
		t.Run("read-only "+variable, func(t *testing.T) {
			q := c.project(t, definition).fresh()
			at := map[string]string{"INGOT_HOME": q.home, "INGOT_CACHE": q.cache}[variable]
			if err := os.MkdirAll(at, 0o755); err != nil {
				t.Fatal(err)
			}
			q.prefix = []string{"unshare", "--mount", "--", "sh", "-c", `mount -t tmpfs full "$0" && mkdir "$0/tmp" "$0/entries" "$0/work" && mount -o remount,ro full "$0" || exit 99; exec "$@"`, at}
			if v := q.refuse(t, 9, []string{"read-only", "hint:", variable}, "build", "--to", "out"); strings.Contains(v.err, "fetch ") {
				t.Errorf("it fetched before:\n%s", tail(v.err, 10))
			}
		})
	}
}

// mounted judges that a build which would replace a directory refuses, before any work,
// while something is mounted below; and that what is mounted stays.
func (c *court) mounted(t *testing.T, p *project) {
	if !isRoot() {
		t.Skip("root runs this: it mounts, in a namespace of its own")
	}
	const script = `mkdir -p victim out/small-amd64/mnt && echo mine >victim/data && mount --bind victim out/small-amd64/mnt || exit 99
exec "$@"`
	with := *p
	with.prefix = []string{"unshare", "--mount", "--", "sh", "-c", script, "sh"}
	before := sums(t, p.path("out"))
	with.refuse(t, 9, []string{"small-amd64/mnt", "mounted", "hint:", "umount"}, "build", "--to", "out", "--output", "dir")
	if got := p.read(t, "victim/data"); got != "mine\n" {
		t.Errorf("the data that was mounted: %q", got)
	}
	sameSums(t, sums(t, p.path("out")), before)
}

// diskUsage is how many bytes the file system gives to a directory.
func diskUsage(t *testing.T, dir string) int64 {
	t.Helper()
	var n int64
	err := filepath.WalkDir(dir, func(_ string, d os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err == nil {
			n += info.Sys().(*syscall.Stat_t).Blocks * 512
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return n
}
