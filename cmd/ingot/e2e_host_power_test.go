package main_test

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"ingot/internal/judge"
)

// powerDefinition is a host of bases and layers as small as it goes, and without its layout the
// machine that checks what a power cut leaves of that host's disk.
const powerDefinition = `version: 1
name: host
distro: debian
release: bookworm
packages: [lvm2, thin-provisioning-tools, dosfstools]
kernel: {package: linux-image-cloud-amd64, arguments: [init=/usr/local/sbin/power, no_timer_check]}
boot: {firmware: [uefi], loader: systemd-boot, timeout: 1s}
scripts: [{run: ./small}]
outputs: [OUTPUT]
files:
- {path: /usr/local/bin/ingot, source: ./ingot, mode: "0755"}
- {path: /usr/local/sbin/power, source: ./power, mode: "0755"}
- {path: /usr/local/sbin/checker, source: ./checker, mode: "0755"}
- {path: /usr/local/sbin/group, source: ./group, mode: "0755"}
`

const (
	powerMore   = "- {path: /usr/lib/power-version, content: \"2\\n\"}\n"
	powerLayout = `layout:
- local_loop: {name: disk}
- partitioning:
    base: disk
    label: gpt
    partitions:
    - {name: esp, type: esp, size: 200MiB, mkfs: {type: vfat, mount: {mount_point: /boot/efi, fstab: {by: uuid}}}}
    - {name: rest, type: lvm, size: 100%}
- lvm:
    name: lvm
    pvs: [{name: pv, base: rest}]
    vgs: [{name: hv, base: [pv]}]
    lvs:
    - {name: pool, base: hv, type: thin-pool, size: 3GiB}
    - {name: root, base: hv, type: thin, thin-pool: pool, size: 1GiB, mkfs: {type: ext4, mount: {mount_point: /, fstab: {by: uuid, fsck-passno: 1}}}}
    - {name: var, base: hv, type: thin, thin-pool: pool, size: 1GiB, mkfs: {type: ext4, mount: {mount_point: /var, fstab: {by: uuid}}}}
`
)

// The layers before and after the recorded update.
const (
	powerOld = "Host-1-0+1"
	powerNew = "Host-2-0+1"
)

// hostPower records what a host's disk is asked to write while the host is updated, and has the
// disk as a power cut would leave it wherever it came: in each state the old or the new layer
// boots, and a repair comes to an end. Most states are looked at by one machine after the other,
// some are started. Then ingot is killed at each step.
func (c *court) hostPower(t *testing.T) {
	judge.Needs(t, judge.Full)
	b := c.powerBench(t)
	states := b.states(t, 240)
	if len(states) < 200 {
		t.Errorf("%d states are too few", len(states))
	}
	const checkers = 2
	started := 12 / checkers // of each part
	var wait sync.WaitGroup
	for i := range checkers {
		part := states[len(states)*i/checkers : len(states)*(i+1)/checkers]
		wait.Go(func() {
			boots := b.check(t, i, part)
			b.boot(t, i, part, boots, started)
			if i == 0 {
				b.kill(t)
			}
		})
	}
	wait.Wait()
}

// A powerBench is a host's disk, what it was asked for during an update, and what checks it.
type powerBench struct {
	c       *court
	dir     string
	log     *writeLog
	before  *os.File
	checker string // a disk
}

func (b *powerBench) path(name string) string { return filepath.Join(b.dir, name) }

// powerBench makes the host, and records the update.
func (c *court) powerBench(t *testing.T) *powerBench {
	files := map[string]string{}
	for _, name := range []string{"power", "checker", "small"} {
		data, err := os.ReadFile(filepath.Join("testdata", "host", "power", name))
		if err != nil {
			t.Fatal(err)
		}
		files[name] = string(data)
	}
	for name, path := range map[string]string{"ingot": c.bin, "group": "../../internal/layout/grouproot/local-top"} {
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		files[name] = string(data)
	}
	built := func(output, more string) *project {
		files["ingot.yaml"] = strings.Replace(powerDefinition, "OUTPUT", output, 1) + more
		p := c.project(t, files)
		p.build(t)
		return p
	}
	host, next, checker := built("raw", powerLayout), built("base", powerMore+powerLayout), built("raw", "")
	b := &powerBench{c: c, dir: host.dir, checker: checker.path("out/host-amd64.raw")}
	image, err := os.ReadFile(next.path("out/host-amd64.base.tar.zst"))
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("the image has %d bytes", len(image))
	if err := os.WriteFile(b.path("images"), storyImages(t, map[string][]byte{"2.base.tar.zst": image}), 0o600); err != nil {
		t.Fatal(err)
	}
	disk := host.path("out/host-amd64.raw")
	b.must(t, "the host is made", append(powerDisk(disk, "cache=unsafe"), powerDisk(b.path("images"), "readonly=on")...)...)

	judge.Run(t, "cp", "--sparse=always", disk, b.path("before"))
	log := b.path("log")
	for name, size := range map[string]int64{"log": 8 << 30, "mark": 1 << 20} {
		if err := os.WriteFile(b.path(name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Truncate(b.path(name), size); err != nil {
			t.Fatal(err)
		}
	}
	b.must(t, "updated", "-no-reboot",
		"-blockdev", "driver=file,node-name=file,cache.no-flush=on,filename="+disk, "-blockdev", "driver=file,node-name=log,cache.no-flush=on,filename="+log,
		"-blockdev", "driver=blklogwrites,node-name=disk,file=file,log=log,log-sector-size=512", "-device", "virtio-blk-pci,drive=disk,bootindex=0",
		"-drive", "if=none,id=mark,format=raw,file="+b.path("mark"), "-device", "virtio-blk-pci,drive=mark")
	file, err := os.Open(log)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { file.Close() })
	if b.log, err = readWriteLog(file); err != nil {
		t.Fatal(err)
	}
	if b.before, err = os.Open(b.path("before")); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { b.before.Close() })
	// All writes, replayed, make the disk that the machine left.
	b.replayed(t, disk)
	return b
}

func (b *powerBench) replayed(t *testing.T, disk string) {
	d := b.disk(t, "replayed")
	defer d.file.Close()
	if err := d.to(cut{"the end", len(b.log.epochs), nil}); err != nil {
		t.Fatal(err)
	}
	judge.Run(t, "cmp", disk, d.file.Name())
	for _, path := range []string{disk, d.file.Name()} {
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
	}
}

// disk is a disk that can be brought from state to state.
func (b *powerBench) disk(t *testing.T, name string) *cutDisk {
	t.Helper()
	judge.Run(t, "cp", "--sparse=always", b.path("before"), b.path(name))
	f, err := os.OpenFile(b.path(name), os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	return &cutDisk{file: f, log: b.log}
}

// powerDisk are QEMU's arguments for a disk of a machine; the first is what it boots.
func powerDisk(path, more string) []string {
	id := "d" + strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= '0' && r <= '9' {
			return r
		}
		return -1
	}, path)
	return []string{"-drive", "if=none,id=" + id + ",format=raw,file=" + path + "," + more, "-device", "virtio-blk-pci,drive=" + id}
}

// command is QEMU with its firmware, for a machine of which the serial port is standard input
// and output.
func (b *powerBench) command(ctx context.Context, t *testing.T, more ...string) *exec.Cmd {
	t.Helper()
	vars, err := os.CreateTemp(b.dir, "vars-")
	if err != nil {
		t.Fatal(err)
	}
	defer vars.Close()
	data, err := os.ReadFile(judge.File(t, "/usr/share/OVMF/OVMF_VARS_4M.fd"))
	if err == nil {
		_, err = vars.Write(data)
	}
	if err != nil {
		t.Fatal(err)
	}
	args := []string{"-accel", "tcg,thread=multi", "-cpu", "max", "-smp", "1", "-m", "1536M", "-nodefaults", "-machine", "q35,graphics=off", "-display", "none", "-vga", "none",
		"-drive", "if=pflash,format=raw,unit=0,readonly=on,file=" + judge.File(t, "/usr/share/OVMF/OVMF_CODE_4M.fd"), "-drive", "if=pflash,format=raw,unit=1,file=" + vars.Name()}
	return exec.CommandContext(ctx, judge.Path(t, "qemu-system-x86_64"), append(args, more...)...)
}

// run runs a machine until it powers itself off, and gives what it said.
func (b *powerBench) run(t *testing.T, more ...string) (string, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	console, err := os.CreateTemp(b.dir, "console-")
	if err != nil {
		return "", err
	}
	defer console.Close()
	cmd := b.command(ctx, t, append(more, "-serial", "stdio")...)
	cmd.Stdout, cmd.Stderr = console, console
	err = cmd.Run()
	out, _ := os.ReadFile(console.Name()) // as far as it can be had
	said := strings.ReplaceAll(string(out), "\r", "")
	if err == nil && strings.Contains(said, "power: FAILED") {
		err = errors.New("it says that it failed")
	}
	if err != nil {
		err = fmt.Errorf("a machine: %w\n%s", err, tail(said, 60))
	}
	return said, err
}

// must runs a machine that has to say something.
func (b *powerBench) must(t *testing.T, want string, more ...string) {
	t.Helper()
	start := time.Now()
	said, err := b.run(t, more...)
	if err == nil && !strings.Contains(said, "power: "+want+"\n") {
		err = fmt.Errorf("a machine does not say it:\n%s", tail(said, 60))
	}
	if err != nil {
		t.Fatalf("%s: %v", want, err)
	}
	t.Logf("%s: %.0f s", want, time.Since(start).Seconds())
}

// A part is a run of sectors.
type part struct{ at, n int64 }

func (p part) has(at int64) bool { return at >= p.at && at < p.at+p.n }

// partitions are those of the disk's GPT (UEFI specification, 5.3).
func (b *powerBench) partitions() ([]part, error) {
	entry := make([]byte, 128)
	var out []part
	for i := range int64(4) {
		if _, err := b.before.ReadAt(entry, 2*diskSector+128*i); err != nil {
			return nil, err
		}
		if first := int64(binary.LittleEndian.Uint64(entry[32:])); first > 0 {
			out = append(out, part{first, int64(binary.LittleEndian.Uint64(entry[40:])) - first + 1})
		}
	}
	return out, nil
}

// states chooses among the states that a power cut may leave: of each kind of thing that is
// written there are some, since most of what an update writes is an image's files.
func (b *powerBench) states(t *testing.T, most int) []cut {
	t.Helper()
	parts, err := b.partitions()
	if err != nil || len(parts) != 2 {
		t.Fatal(parts, err)
	}
	kind := func(e epoch) string {
		is := func(p part) bool { return slices.ContainsFunc(e, func(w piece) bool { return p.has(w.at) }) }
		switch {
		case is(parts[0]):
			return "boot partition"
		case is(part{parts[1].at, 2048}):
			return "volume group"
		case len(e) > 64:
			return "image"
		}
		return "pool"
	}
	chance := rand.New(rand.NewPCG(8, 2026))
	kinds, count := map[string][]cut{}, map[string]int{}
	writes := 0
	for i, e := range b.log.epochs {
		k := kind(e)
		kinds[k] = append(kinds[k], b.log.cuts(chance, i, 6)...)
		count[k]++
		writes += len(e)
	}
	t.Logf("seed 8, 2026: %d entries, %d writes, %d flushes that had something to flush: %v", b.log.entries, writes, len(b.log.epochs), count)
	all := []cut{{"the end", len(b.log.epochs), nil}}
	for _, k := range []struct {
		kind  string
		share int
	}{{"boot partition", 80}, {"volume group", 80}, {"pool", 60}, {"image", 20}} {
		of, err := b.log.distinct(b.before, kinds[k.kind])
		if err != nil {
			t.Fatal(err)
		}
		t.Logf("%s: %d states", k.kind, len(of))
		chance.Shuffle(len(of), func(i, j int) { of[i], of[j] = of[j], of[i] })
		all = append(all, of[:min(len(of), k.share*most/240)]...)
	}
	all, err = b.log.distinct(b.before, all)
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// A checker is a machine that looks at the states of a disk.
type powerChecker struct {
	cmd *exec.Cmd
	in  io.WriteCloser
	out *bufio.Reader
}

// checkerOf starts the machine that looks at a disk.
func (b *powerBench) checkerOf(t *testing.T, d *cutDisk) (*powerChecker, error) {
	scratch := d.file.Name() + ".scratch"
	if err := os.WriteFile(scratch, nil, 0o600); err != nil {
		return nil, err
	}
	if err := os.Truncate(scratch, 3<<30); err != nil {
		return nil, err
	}
	args := []string{"-drive", "if=none,id=own,format=raw,snapshot=on,file=" + b.checker, "-device", "virtio-blk-pci,drive=own,bootindex=0",
		"-drive", "if=none,id=state,format=raw,readonly=on,file=" + d.file.Name(), "-device", "virtio-blk-pci,drive=state",
		"-drive", "if=none,id=scratch,format=raw,cache=unsafe,file=" + scratch, "-device", "virtio-blk-pci,drive=scratch",
		"-serial", "file:" + d.file.Name() + ".console", "-chardev", "stdio,id=told,signal=off", "-serial", "chardev:told", "-no-reboot"}
	m := &powerChecker{cmd: b.command(t.Context(), t, args...)}
	m.cmd.Env = append(os.Environ(), "TMPDIR="+b.dir)
	var err error
	if m.in, err = m.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	out, err := m.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	m.out = bufio.NewReader(out)
	if err := m.cmd.Start(); err != nil {
		return nil, err
	}
	_, _, err = m.answer()
	return m, err
}

func (m *powerChecker) end() {
	_ = m.cmd.Process.Kill()
	_ = m.cmd.Wait()
}

var powerAnswer = regexp.MustCompile(`^\[([0-9]+)\]$`)

// answer is what a line came to.
func (m *powerChecker) answer() (said string, code int, err error) {
	var b strings.Builder
	late := time.AfterFunc(patience, func() { _ = m.cmd.Process.Kill() })
	defer late.Stop()
	for {
		line, err := m.out.ReadString('\n')
		if err != nil {
			return b.String(), -1, fmt.Errorf("the machine that checks has ended: %w", err)
		}
		line = strings.TrimRight(line, "\r\n")
		if found := powerAnswer.FindStringSubmatch(line); found != nil {
			code, err := strconv.Atoi(found[1])
			return b.String(), code, err
		}
		b.WriteString(line + "\n")
	}
}

// ask has the machine do a line of shell, and gives what it says.
func (m *powerChecker) ask(line string) (said string, code int, err error) {
	if _, err := io.WriteString(m.in, line+"\n"); err != nil {
		return "", -1, err
	}
	return m.answer()
}

// must is ask of what has to exit with 0.
func (m *powerChecker) must(line string) (string, error) {
	said, code, err := m.ask(line)
	if err == nil && code != 0 {
		err = fmt.Errorf("%s exits %d:\n%s", line, code, said)
	}
	return said, err
}

// A powerSight is what the loader would find, and which volumes can be had.
type powerSight struct {
	entries []powerEntry
	kernels []string // that are whole
	volumes []string
}

type powerEntry struct {
	seq, left int // left is -1 where nothing is counted
	layer     string
}

var (
	powerEntryLine = regexp.MustCompile(`(?i)^entry ingot-([0-9]+)(?:\+([0-9]+)(?:-[0-9]+)?)?\.conf /ingot/(.*)/linux$`)
	powerWord      = regexp.MustCompile(`^(kernel|volume) (.*)$`)
)

func readPowerSight(said string) powerSight {
	var s powerSight
	for _, line := range lines(said) {
		if f := powerEntryLine.FindStringSubmatch(line); f != nil {
			e := powerEntry{left: -1, layer: f[3]}
			e.seq, _ = strconv.Atoi(f[1])
			if f[2] != "" {
				e.left, _ = strconv.Atoi(f[2])
			}
			s.entries = append(s.entries, e)
		}
		if f := powerWord.FindStringSubmatch(line); f != nil {
			if f[1] == "kernel" {
				s.kernels = append(s.kernels, f[2])
			} else {
				s.volumes = append(s.volumes, f[2])
			}
		}
	}
	// As systemd-boot sorts what has one sort-key: what has no tries left is last, then the
	// highest version.
	slices.SortFunc(s.entries, func(a, b powerEntry) int {
		if (a.left == 0) != (b.left == 0) {
			return map[bool]int{true: 1, false: -1}[a.left == 0]
		}
		return b.seq - a.seq
	})
	return s
}

// boots is which layer runs in the end.
func (s powerSight) boots() (string, error) {
	for _, e := range s.entries {
		usable := slices.Contains(s.kernels, e.layer) && slices.Contains(s.volumes, e.layer)
		switch {
		case usable && e.left != 0:
			return e.layer, nil
		case e.left < 0:
			return "", fmt.Errorf("the loader stays at %s: %+v", e.layer, s)
		}
	}
	return "", fmt.Errorf("nothing boots: %+v", s)
}

// check has a machine look at states, and gives which layer boots in each.
func (b *powerBench) check(t *testing.T, n int, states []cut) map[string]string {
	boots := map[string]string{}
	d := b.disk(t, fmt.Sprintf("checked-%d", n))
	defer d.file.Close()
	m, err := b.checkerOf(t, d)
	if err != nil {
		console, _ := os.ReadFile(d.file.Name() + ".console")
		t.Errorf("%v\n%s", err, tail(string(console), 40))
		return boots
	}
	defer m.end()
	for i, s := range states {
		if err := d.to(s); err != nil {
			t.Errorf("%s: %v", s.name, err)
			return boots
		}
		start := time.Now()
		layer, verdict, err := m.judge(i%5 == 2, i%40 == 22)
		kernel, err2 := m.must("forget")
		if err2 != nil {
			t.Errorf("%s: %v, %v", s.name, err, err2)
			return boots
		}
		if kernel != "" {
			verdict += fmt.Sprintf(", the kernel says %q", lines(kernel))
		}
		if err != nil {
			t.Errorf("%s: %v", s.name, err)
			continue
		}
		t.Logf("%s: %s boots, %s (%.0f s)", s.name, layer, verdict, time.Since(start).Seconds())
		boots[s.name] = layer
	}
	return boots
}

// judge looks at one state: which layer boots, and what a repair does. A closer look also says what
// was wrong, and has e2fsck read all of the layer, which is always done of the new one. Where more
// is asked, it updates the host once more.
func (m *powerChecker) judge(close, more bool) (layer, verdict string, err error) {
	seen, err := m.must("see")
	if err != nil {
		return "", "", err
	}
	if layer, err = readPowerSight(seen).boots(); err != nil {
		return "", "", err
	}
	if layer != powerOld && layer != powerNew {
		return "", "", fmt.Errorf("%s boots", layer)
	}
	if _, err := m.must("enter " + layer); err != nil {
		return "", "", err
	}
	if verdict, err = m.repaired(close); err != nil {
		return "", "", err
	}
	if strings.Contains(seen, "has lost its last change") {
		verdict += ", its volume group was found again"
	}
	if more {
		for _, line := range []string{"host confirm", "host update /var/tmp/images/2.base.tar.zst --name Host-3-0", "host check"} {
			if _, err := m.must(line); err != nil {
				return "", "", err
			}
		}
		verdict += ", is updated again"
	}
	said, err := m.must("offers /run/layer/boot/efi")
	if err != nil {
		return "", "", err
	}
	s := readPowerSight(said)
	s.volumes = []string{powerOld, powerNew, "Host-3-0+1"}
	then, err := s.boots()
	if err == nil && then != layer && !more {
		err = fmt.Errorf("%s booted, and after the repair %s does", layer, then)
	}
	if err != nil {
		return "", "", err
	}
	if _, err := m.must("leave"); err != nil {
		return "", "", err
	}
	if close || layer == powerNew {
		if _, err := m.must("whole " + layer); err != nil {
			return "", "", err
		}
	}
	said, _, err = m.ask("fsck.vfat -n /dev/mapper/state-esp")
	if err == nil {
		err = powerFAT(said)
	}
	return layer, verdict, err
}

// repaired repairs the host that was entered, to which there is nothing more to do then.
func (m *powerChecker) repaired(close bool) (verdict string, err error) {
	var first, more string
	if close {
		if first, _, err = m.ask("host check"); err != nil {
			return "", err
		}
	}
	did, err := m.must("host repair")
	if err == nil {
		_, err = m.must("host check")
	}
	if err == nil && close {
		if more, err = m.must("host repair --dry-run"); err == nil && more != "" {
			err = errors.New("a second repair has still something to do")
		}
	}
	if err != nil {
		return "", fmt.Errorf("%w\nfirst:\n%s\nrepair:\n%s\nmore:\n%s", err, first, did, more)
	}
	return fmt.Sprintf("was wrong: %q, repair does %q", lines(first), lines(did)), nil
}

// boot starts so many of a disk's states.
func (b *powerBench) boot(t *testing.T, n int, states []cut, boots map[string]string, most int) {
	d := b.disk(t, fmt.Sprintf("booted-%d", n))
	defer d.file.Close()
	for i := range most {
		s := states[len(states)*(2*i+1)/(2*most)]
		if err := d.to(s); err != nil {
			t.Errorf("%s: %v", s.name, err)
			return
		}
		start := time.Now()
		said, err := b.run(t, powerDisk(d.file.Name(), "snapshot=on")...)
		layer := ""
		for _, l := range []string{powerOld, powerNew} {
			if strings.Contains(said, "power: "+l+" is well\n") {
				layer = l
			}
		}
		if want := boots[s.name]; err != nil || layer == "" || want != "" && layer != want {
			t.Errorf("%s: boots %q and not %q: %v\n%s", s.name, layer, want, err, tail(said, 60))
			continue
		}
		t.Logf("%s: started, it boots %s (%.0f s)", s.name, layer, time.Since(start).Seconds())
	}
}

// kill kills ingot while it updates the host, at each step.
func (b *powerBench) kill(t *testing.T) {
	d := b.disk(t, "killed")
	defer d.file.Close()
	m, err := b.checkerOf(t, d)
	if err != nil {
		t.Error(err)
		return
	}
	defer m.end()
	for _, line := range []string{"see", "enter " + powerOld} {
		if _, err := m.must(line); err != nil {
			t.Error(err)
			return
		}
	}
	for _, k := range []struct {
		line    string
		seconds float64
	}{
		{"create volume", 0.5}, {"fill Host", 8}, {"seal base", 0.7},
		{"snapshot Host", 0}, {"snapshot Host", 0.4}, {"carry over", 0}, {"carry over", 2}, {"finish layer", 0}, {"finish layer", 0.3},
		{"copy kernel", 0}, {"copy kernel", 1}, {"write boot entry", 0},
	} {
		start := time.Now()
		said, err := m.must(fmt.Sprintf("killed '%s' %g", k.line, k.seconds))
		verdict := ""
		if err == nil {
			verdict, err = m.repaired(true)
		}
		if err != nil {
			t.Errorf("killed %g s into %q: %v", k.seconds, k.line, err)
			return
		}
		t.Logf("killed %g s into %q: %s, %s (%.0f s)", k.seconds, k.line, strings.TrimSpace(said), verdict, time.Since(start).Seconds())
	}
	said, code, err := m.ask("host update /var/tmp/images/2.base.tar.zst --name Host-2-0")
	if err == nil && code == 0 {
		_, err = m.must("host check")
	}
	if err != nil || code != 0 {
		t.Errorf("the update afterwards exits %d, %v:\n%s", code, err, said)
	}
}

// powerFAT holds what fsck.vfat says to what a power cut may leave of FAT, which has no journal:
// clusters that nobody has, and counts and copies that lag behind. Files that share clusters are
// not among it.
func powerFAT(said string) error {
	for _, bad := range []string{"share clusters", "Bad", "bad cluster", "Contains a free cluster", "Truncating", "size is"} {
		if strings.Contains(said, bad) {
			return errors.New("fsck.vfat says:\n" + said)
		}
	}
	return nil
}
