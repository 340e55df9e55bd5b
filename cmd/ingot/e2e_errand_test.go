package main_test

import (
	"context"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"ingot/internal/judge"
)

// A remote is another host as ssh sees one: OpenSSH's server, one process a connection, with
// another HOME and INGOT_HOME. There is no port to be lucky with: the test listens itself,
// counts what comes, and cuts where it likes.
type remote struct {
	t    *testing.T
	dir  string // of its files
	home string // its INGOT_HOME
	host string // ssh://127.0.0.1:PORT
	bin  string // a directory with an ssh that knows it
	env  string // more of its variables, for sshd's SetEnv

	received atomic.Int64 // bytes from the client, of the last connection
	accepted atomic.Int64 // connections
	cutAt    atomic.Int64 // of these; 0 is never
	running  sync.WaitGroup
}

// distant makes a remote. Without OpenSSH's server the test is skipped.
func distant(t *testing.T) *remote {
	t.Helper()
	for _, program := range []string{"sshd", "ssh", "ssh-keygen"} {
		if _, err := judge.Find(program); err != nil {
			t.Skipf("%s is missing: Debian's packages openssh-server and openssh-client make this run", program)
		}
	}
	if isRoot() { // where its process without privileges lives
		if err := os.MkdirAll("/run/sshd", 0o755); err != nil {
			t.Fatal(err)
		}
	}
	r := &remote{t: t, dir: t.TempDir()}
	r.home, r.bin = r.path("ingot"), r.path("bin")
	for _, d := range []string{"bin", "home"} {
		if err := os.Mkdir(r.path(d), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for _, key := range []string{"host", "other", "user", "stranger"} {
		judge.Run(t, "ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", key, "-f", r.path(key))
	}
	var lc net.ListenConfig
	l, err := lc.Listen(t.Context(), "tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	port := l.Addr().(*net.TCPAddr).Port
	r.host = fmt.Sprintf("ssh://127.0.0.1:%d", port)
	r.know("host.pub", port)
	r.write("authorized", r.read("user.pub"))
	r.write("ssh_config", "UserKnownHostsFile "+r.path("known")+"\nGlobalKnownHostsFile /dev/null\nStrictHostKeyChecking yes\nIdentityFile "+r.path("user")+"\nIdentitiesOnly yes\nIdentityAgent none\n")
	r.write("bin/ssh", "#!/bin/sh\nexec '"+judge.Path(t, "ssh")+"' -F '"+r.path("ssh_config")+"' \"$@\"\n")
	r.configure()
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			r.running.Add(1)
			r.accepted.Add(1)
			go r.serve(conn.(*net.TCPConn))
		}
	}()
	t.Cleanup(func() { l.Close(); r.running.Wait() })
	return r
}

func (r *remote) path(name string) string { return filepath.Join(r.dir, name) }

func (r *remote) read(name string) string {
	b, err := os.ReadFile(r.path(name))
	if err != nil {
		r.t.Fatal(err)
	}
	return string(b)
}

func (r *remote) write(name, text string) {
	if err := os.WriteFile(r.path(name), []byte(text), 0o755); err != nil {
		r.t.Fatal(err)
	}
}

// know has ssh expect a key of the host.
func (r *remote) know(key string, port int) {
	r.write("known", fmt.Sprintf("[127.0.0.1]:%d %s", port, r.read(key)))
}

func (r *remote) configure() {
	r.write("sshd_config", "HostKey "+r.path("host")+"\nAuthorizedKeysFile "+r.path("authorized")+"\nPidFile none\nUsePAM no\nStrictModes no\nPermitRootLogin yes\n"+
		"PasswordAuthentication no\nKbdInteractiveAuthentication no\nLogLevel DEBUG3\nPrintMotd no\nSetEnv HOME="+r.path("home")+" INGOT_HOME="+r.home+" INGOT_CACHE="+r.path("cache")+" "+r.env+"\n")
}

// serve has sshd speak to one client.
func (r *remote) serve(client *net.TCPConn) {
	defer r.running.Done()
	defer client.Close()
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		r.t.Error(err)
		return
	}
	inside := os.NewFile(uintptr(pair[1]), "sshd")
	outside := os.NewFile(uintptr(pair[0]), "client")
	server, err := net.FileConn(outside)
	outside.Close()
	if err != nil {
		r.t.Error(err)
		return
	}
	defer server.Close()
	log, err := os.OpenFile(r.path("log"), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		r.t.Error(err)
		return
	}
	defer log.Close()
	sshd := exec.Command(judge.Path(r.t, "sshd"), "-i", "-e", "-f", r.path("sshd_config"))
	sshd.Stdin, sshd.Stdout, sshd.Stderr = inside, inside, log
	sshd.Env = []string{"PATH=" + os.Getenv("PATH")}
	if err := sshd.Start(); err != nil {
		r.t.Error(err)
		return
	}
	inside.Close()
	go func() { _, _ = io.Copy(client, server); client.CloseWrite() }()
	r.received.Store(0)
	buf := make([]byte, 4096)
	for {
		n, err := client.Read(buf)
		if cut := r.cutAt.Load(); cut > 0 && r.received.Load()+int64(n) > cut {
			client.SetLinger(0) // no farewell
			client.Close()
			break
		}
		if n > 0 {
			if _, err := server.Write(buf[:n]); err != nil {
				break
			}
			r.received.Add(int64(n))
		}
		if err != nil {
			break
		}
	}
	server.Close()
	_ = sshd.Wait()
}

// idle waits until the host has nothing more to do: no process of an errand is left.
func (r *remote) idle() {
	r.t.Helper()
	r.running.Wait()
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		if len(r.errands()) == 0 {
			return
		}
	}
	r.t.Fatalf("still there: %v", r.errands())
}

// errands are the directories in /proc of all processes that errands have on the host, from
// the shell on: they have its INGOT_HOME.
func (r *remote) errands() []string {
	var out []string
	all, _ := filepath.Glob("/proc/[0-9]*/environ")
	for _, p := range all {
		if env, err := os.ReadFile(p); err == nil && slices.Contains(strings.Split(string(env), "\x00"), "INGOT_HOME="+r.home) {
			out = append(out, filepath.Dir(p))
		}
	}
	return out
}

// files are all files below the host's INGOT_HOME, by path from there.
func (r *remote) files() map[string]string {
	out := map[string]string{}
	err := filepath.WalkDir(r.home, func(p string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		rel, _ := filepath.Rel(r.home, p)
		b, err := os.ReadFile(p)
		out[rel] = string(b)
		return err
	})
	if err != nil && !os.IsNotExist(err) {
		r.t.Fatal(err)
	}
	return out
}

// at gives a project an ssh that knows the host.
func (r *remote) at(p *project) *project {
	q := *p.fresh()
	q.env = append(q.env, "PATH="+r.bin+":"+os.Getenv("PATH"))
	return &q
}

const erranded = `version: 1
name: web
distro: debian
release: bookworm
packages: [cloud-init]
include: [./more.yaml]
outputs: [qcow2]
scripts: [{name: secret, run: ./local.sh}]
template:
  inputs:
    memory: {type: size, default: 256MiB}
    disk: {type: size, default: 1GiB}
    password: {type: password, min: 8}
    token: {type: password}
    greeting: {type: string, default: hello}
`

// The words that nothing on the other host may show.
const (
	remotePassword = "a long password"
	remoteToken    = "t0ken-of-the-far-side"
)

// errands judges machines on another host, which OpenSSH's own client and server lead to.
func (c *court) errands(t *testing.T) {
	r := distant(t)
	noise := make([]byte, 16<<20)
	src := rand.NewChaCha8([32]byte{7})
	_, _ = src.Read(noise)
	p := r.at(c.project(t, map[string]string{
		"ingot.yaml": erranded, "more.yaml": "hostname: web\n", "local.sh": "#!/bin/sh\n# stays here\n", "values.yaml": "password: " + remotePassword + "\ntoken: " + remoteToken + "\n",
		"disk.raw": string(noise),
	}))
	provision := func(name string, more ...string) []string {
		return append([]string{"provision", ".", name, "--image", "disk.raw", "--values", "values.yaml", "--on", r.host}, more...)
	}
	var listed struct {
		Machines []struct{ Name, Dir, Template, Image string }
	}
	list := func(t *testing.T) []string {
		t.Helper()
		listed.Machines = nil
		parse(t, []byte(p.must(t, "machine", "list", "--on", r.host, "--json")), &listed)
		var names []string
		for _, m := range listed.Machines {
			names = append(names, m.Name)
		}
		return names
	}

	// Cut on its way, at the program, then at the image: nothing of a machine is there, nor a
	// file that is not whole.
	r.cutAt.Store(1 << 20)
	p.refuse(t, 7, []string{"the connection with " + r.host + " was cut", "hint: what was not finished there is undone; run it again"}, provision("web1")...)
	r.idle()
	if got := r.files(); len(got) != 0 {
		t.Errorf("a cut connection left %d files", len(got))
	}
	r.cutAt.Store(0)
	if got := list(t); len(got) != 0 { // brings the program
		t.Errorf("there is %v", got)
	}
	r.cutAt.Store(8 << 20)
	p.refuse(t, 7, []string{"was cut"}, provision("web1")...)
	r.idle()
	for name := range r.files() {
		if !strings.HasPrefix(name, "errands/programs/") && filepath.Base(name) != "lock" && !strings.Contains(name, "/incoming/") || strings.Contains(name, ".new") {
			t.Errorf("a cut connection left %s", name)
		}
	}
	r.cutAt.Store(0)

	// Made there, and not here.
	v := p.ingot(t, provision("web1")...)
	if v.code != 0 || v.out != filepath.Join(r.home, "machines/web1")+"\n" {
		t.Fatalf("exit code %d, %q\n%s", v.code, v.out, v.err)
	}
	if got := r.received.Load(); got < 16<<20 || got > 17<<20 {
		t.Errorf("an image of 16 MiB was sent in %d bytes", got)
	}
	if _, err := os.Stat(filepath.Join(p.home, "machines")); err == nil {
		t.Error("there are machines here")
	}
	if got := list(t); len(got) != 1 || got[0] != "web1" || !strings.HasPrefix(listed.Machines[0].Template, r.home) || !strings.HasPrefix(listed.Machines[0].Image, r.home) {
		t.Errorf("there is %+v", listed)
	}
	programs, err := os.ReadDir(filepath.Join(r.home, "errands/programs"))
	if err != nil || len(programs) != 1 {
		t.Errorf("programs: %v %v", programs, err)
	}
	// Some of it went and some stayed.
	all := r.files()
	if !hasFile(all, "/files/more.yaml", "hostname: web\n") || hasFile(all, "/files/local.sh", "") {
		t.Error("the host has other files than the definition's text and the image")
	}

	// The second time next to nothing is sent, and it says so; the record comes back as it is.
	v = p.ingot(t, provision("web2", "--json")...)
	var made struct {
		Done    bool
		Machine struct{ Name, UUID string }
	}
	parse(t, []byte(v.out), &made)
	if got := r.received.Load(); got > 64<<10 || v.code != 0 || !made.Done || !strings.Contains(all["machines/web1/machine.json"], `"web1"`) || !strings.Contains(r.files()["machines/web2/machine.json"], made.Machine.UUID) {
		t.Errorf("the second sent %d bytes, exit code %d\n%s%s", got, v.code, v.out, v.err)
	}
	if !strings.Contains(v.err, " was sent ") || strings.Contains(v.err, "MiB") {
		t.Errorf("it does not say what was sent:\n%s", v.err)
	}

	// Its errors are the host's, with their exit codes.
	p.refuse(t, 10, []string{"machine web1 is there already", "hint: choose another name, or ingot machine rm --on " + r.host + " web1\n"}, provision("web1")...)
	v = p.refuse(t, 4, nil, "machine", "show", "web", "--on", r.host, "--json")
	if last := tail(v.err, 1); !strings.HasPrefix(last, `{"schema":1,"event":"error","code":4,`) {
		t.Errorf("the last line is %s", last)
	}
	if got := strings.Count(v.err, "ingot: error:"); got != 1 {
		t.Errorf("it complains %d times:\n%s", got, v.err)
	}

	// Several at once, of which each waits for no other's verb.
	var several sync.WaitGroup
	var crew []string
	for i := range 5 {
		name := fmt.Sprintf("crew%d", i)
		crew = append(crew, name)
		several.Go(func() {
			if v := p.ingot(t, provision(name)...); v.code != 0 {
				t.Errorf("%s: exit code %d\n%s", name, v.code, v.err)
			}
		})
	}
	several.Wait()
	p.must(t, append(append([]string{"machine", "rm"}, crew...), "--on", r.host)...)

	// Only what changed is sent, and old machines are known to be old.
	p.write(t, map[string]string{"more.yaml": "hostname: other\n"})
	p.must(t, provision("web3", "--plan")...)
	if got := r.received.Load(); got > 64<<10 {
		t.Errorf("a line's change sent %d bytes", got)
	}
	if got := p.must(t, "machine", "outdated", "--on", r.host); got != "web1  its template has changed\nweb2  its template has changed\n" {
		t.Errorf("outdated: %s", got)
	}
	noise[1<<20] ^= 1
	p.write(t, map[string]string{"disk.raw": string(noise)})
	p.must(t, provision("web3")...)
	if got := r.received.Load(); got < 16<<20 {
		t.Errorf("another image was sent in %d bytes", got)
	}
	if got := r.files(); !hasFile(got, "/files/image/disk.raw", string(noise)) || hasFile(got, "/incoming/", "") {
		t.Error("the image is not there, or not in its place")
	}

	// What is secret: while the host's program waits for a bundle that another holds, all its
	// arguments and variables are there to be seen.
	t.Run("secrets", func(t *testing.T) { r.keepsSecrets(t, p, provision("web4")) })

	p.must(t, "machine", "stop", "web1", "--on", r.host)
	p.must(t, "machine", "rm", "web1", "web2", "web3", "web4", "--on", r.host)
	if got := list(t); len(got) != 0 {
		t.Errorf("there is still %v", got)
	}
	t.Run("refusals", func(t *testing.T) { r.refusals(t, p) })
}

func hasFile(files map[string]string, part, text string) bool {
	for name, data := range files {
		if strings.Contains(name, part) && (text == "" || data == text) {
			return true
		}
	}
	return false
}

func (r *remote) keepsSecrets(t *testing.T, p *project, args []string) {
	locks, _ := filepath.Glob(filepath.Join(r.home, "errands/web-*/lock"))
	if len(locks) != 1 {
		t.Fatalf("bundles: %v", locks)
	}
	lock, err := os.Open(locks[0])
	if err != nil {
		t.Fatal(err)
	}
	defer lock.Close()
	if err := unix.Flock(int(lock.Fd()), unix.LOCK_EX); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	cmd := p.command(ctx, args...)
	done := make(chan verdict, 1)
	go func() { done <- finish(t, cmd) }()
	waits := func(dir string) bool {
		fds, _ := os.ReadDir(dir + "/fd")
		for _, fd := range fds {
			if to, _ := os.Readlink(dir + "/fd/" + fd.Name()); to == locks[0] {
				return true
			}
		}
		return false
	}
	seen := ""
	for seen == "" && ctx.Err() == nil {
		for _, dir := range r.errands() {
			if waits(dir) {
				line, _ := os.ReadFile(dir + "/cmdline")
				env, _ := os.ReadFile(dir + "/environ")
				seen = string(line) + string(env)
			}
		}
		time.Sleep(20 * time.Millisecond)
	}
	if err := unix.Flock(int(lock.Fd()), syscall.LOCK_UN); err != nil {
		t.Fatal(err)
	}
	if v := <-done; v.code != 0 {
		t.Fatalf("exit code %d\n%s", v.code, v.err)
	}
	if !strings.Contains(seen, "\x00errand\x00") || !strings.Contains(seen, "INGOT_HOME="+r.home) {
		t.Fatalf("these are not the program's arguments and variables: %q", seen)
	}
	shown := map[string]string{"arguments and variables": seen, "sshd's log": r.read("log")}
	for name, data := range r.files() {
		shown[name] = data
	}
	for _, secret := range []string{remotePassword, remoteToken} {
		for name, data := range shown {
			if strings.Contains(data, secret) {
				t.Errorf("%q is in %s", secret, name)
			}
		}
	}
}

// refusals are hosts on which no errand can be run.
func (r *remote) refusals(t *testing.T, p *project) {
	args := []string{"machine", "list", "--on", r.host}
	var port int
	if _, err := fmt.Sscanf(r.host, "ssh://127.0.0.1:%d", &port); err != nil {
		t.Fatal(err)
	}
	p.refuse(t, 7, []string{"ssh://127.0.0.1:1 does not answer", "Connection refused", "hint: see whether ssh -p 1 127.0.0.1 gets there"}, "machine", "list", "--on", "ssh://127.0.0.1:1")
	p.refuse(t, 7, []string{"does not answer"}, "machine", "list", "--on", "ssh://nobody.invalid")

	r.know("other.pub", port)
	p.refuse(t, 5, []string{"shows another key than the one that is known", "hint: if its key was really changed, ssh-keygen -R"}, args...)
	r.write("known", "")
	p.refuse(t, 5, []string{"the key of " + r.host + " is not known", "hint: ssh -p "}, args...)
	r.know("host.pub", port)

	r.write("authorized", r.read("stranger.pub"))
	p.refuse(t, 9, []string{"lets nobody in", "Permission denied", "hint: ssh -p "}, args...)
	r.write("authorized", "restrict,command=\"exit 3\" "+r.read("user.pub"))
	p.refuse(t, 9, []string{"runs no shell for this account: exit code 3", "should end at a prompt"}, args...)
	r.write("authorized", r.read("user.pub"))

	// Another machine; one that cannot keep anything.
	if err := os.Mkdir(r.path("strange"), 0o755); err != nil {
		t.Fatal(err)
	}
	r.write("strange/uname", "#!/bin/sh\n[ \"$1\" = -s ] && echo Linux || echo aarch64\n")
	r.env = "PATH=" + r.path("strange") + ":/usr/bin:/bin"
	r.configure()
	p.refuse(t, 9, []string{"is Linux aarch64, and this ingot is for Linux ", "hint: run an ingot that is built for it"}, args...)
	r.env, r.home = "", "/proc/ingot"
	r.configure()
	p.refuse(t, 9, []string{"cannot make /proc/ingot/errands/programs", "hint: INGOT_HOME on that host"}, args...)
	r.home = r.path("ingot")
	// A log-in that talks is none of ours.
	r.write("home/.profile", "")
	r.write("talk", "#!/bin/sh\necho welcome\nprintf 'no line feed'\nexec sh -c \"$SSH_ORIGINAL_COMMAND\"\n")
	r.write("authorized", "command=\""+r.path("talk")+"\" "+r.read("user.pub"))
	r.configure()
	p.must(t, args...)

	// Who has ssh share a connection has one for all errands, and waits for none of them.
	r.write("authorized", r.read("user.pub"))
	config := r.read("ssh_config")
	r.write("ssh_config", config+"ControlMaster auto\nControlPath "+r.path("shared")+"\nControlPersist yes\n")
	before := r.accepted.Load()
	p.must(t, args...)
	p.must(t, args...)
	if n := r.accepted.Load() - before; n != 1 {
		t.Errorf("two errands took %d connections", n)
	}
	judge.Run(t, r.path("bin/ssh"), "-O", "exit", "-p", fmt.Sprint(port), "127.0.0.1")
	r.write("ssh_config", config)

	q := *p
	q.env = append(q.env, "PATH=/nowhere")
	q.refuse(t, 9, []string{"there is no program ssh", "hint: as root: apt-get install openssh-client"}, args...)
}
