// Command bench times ingot side by side with other programs that make Debian
// root file systems: the same packages, the same mirror on loopback, the same
// machine, in turns. It prints medians and ratios and draws them.
//
//	bench/run            installs the peers and calls this program
package main

import (
	"encoding/csv"
	"flag"
	"fmt"
	"log"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// A contestant is one way to make something.
type contestant struct {
	name   string
	group  string // what is made; the group's first peer is what ingot is held against
	before func() error
	argv   []string
	env    []string
	limit  float64   // of ingot: seconds at most
	held   []against // and what it is held against
	sum    string    // the name under which times of several are added up
	size   []string  // files that are weighed afterwards
	spent  spent     // by the last run
}

// spent is what a run took beside time.
type spent struct {
	processor float64 // seconds, of all processes
	place     string  // where its disk is looked at
	disk      int64   // by how many bytes that was fuller than at the beginning, at most
}

// against is a peer and the ratio to its time that is to be reached, or 0.
type against struct {
	peer   string
	target float64
}

type bench struct {
	work, ingot, mirror, suite string
	rounds                     int
}

func main() {
	b := bench{}
	flag.StringVar(&b.work, "work", "", "directory to work in, on the file system to measure")
	flag.StringVar(&b.ingot, "ingot", "", "the program")
	flag.StringVar(&b.mirror, "mirror", "", "root of the mirror on loopback")
	flag.StringVar(&b.suite, "suite", "trixie", "release to build")
	flag.IntVar(&b.rounds, "rounds", 5, "how often each is run")
	mmdebstrap := flag.String("mmdebstrap", "mmdebstrap", "the program")
	mkosi := flag.String("mkosi", "", "a root file system with mkosi, and its definition in /build; empty leaves it out")
	peers := flag.String("peers", "", "a root file system with the programs that formats are written with by others: times formats instead")
	elements := flag.String("elements", "", "a root file system with diskimage-builder: times builds of elements instead")
	locks := flag.Bool("locks", false, "times the choosing of packages instead")
	out := flag.String("out", "", "directory for results")
	flag.Parse()
	name, list, err := "results", []contestant(nil), error(nil)
	switch {
	case *locks:
		name = "locks"
		list, err = b.locks()
	case *elements != "":
		name = "elements"
		list, err = b.elements(*elements)
	case *peers != "":
		name = "formats"
		list, err = b.formats(*peers)
	default:
		list, err = b.contestants(*mmdebstrap, *mkosi)
	}
	if err != nil {
		log.Fatal(err)
	}
	times, memory, sizes := map[string][]float64{}, map[string]int64{}, map[string]int64{}
	// One round first whose times do not count: it fills the mirror and the page
	// cache, and memory is measured, which costs time.
	for round := range b.rounds + 1 {
		sums := map[string]float64{}
		for i := range list {
			c := &list[i]
			c.spent.place = b.work
			took, peak, err := c.run(round == 0)
			if err != nil {
				log.Fatalf("%s: %v", c.name, err)
			}
			fmt.Fprintf(os.Stderr, "round %d  %-60s %7.2f s, %.2f s of processor time, at most %d MB more on the disk\n", round, c.name, took, c.spent.processor, c.spent.disk/1e6)
			if round == 0 {
				memory[c.name] = peak
				continue
			}
			times[c.name] = append(times[c.name], took)
			if c.sum != "" {
				sums[c.sum] += took
			}
			for _, path := range c.size {
				if info, err := os.Stat(path); err == nil && round == 1 {
					sizes[c.name] += info.Size()
				}
			}
		}
		for name, sum := range sums {
			times[name] = append(times[name], sum)
		}
	}
	if err := report(filepath.Join(*out, name), list, times, memory, sizes); err != nil {
		log.Fatal(err)
	}
}

// run gives the seconds that it took and, if asked, the most memory that it held.
func (c *contestant) run(measure bool) (float64, int64, error) {
	if c.before != nil {
		if err := c.before(); err != nil {
			return 0, 0, err
		}
	}
	cmd := exec.Command(c.argv[0], c.argv[1:]...) //nolint:noctx // runs to its end
	cmd.Env = append(os.Environ(), c.env...)
	var said strings.Builder
	cmd.Stdout, cmd.Stderr = &said, &said
	start := time.Now()
	if err := cmd.Start(); err != nil {
		return 0, 0, err
	}
	done, peak := make(chan struct{}), make(chan int64, 1)
	grown := make(chan int64, 1)
	if c.spent.place != "" {
		go func() { grown <- growth(c.spent.place, done) }()
	} else {
		grown <- 0
	}
	if measure {
		go func() { peak <- watch(cmd.Process.Pid, done) }()
	} else {
		peak <- 0
	}
	err := cmd.Wait()
	took := time.Since(start).Seconds()
	close(done)
	c.spent.disk = <-grown
	c.spent.processor = (cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()).Seconds()
	if err != nil {
		return 0, 0, fmt.Errorf("%w\n%s", err, said.String())
	}
	return took, <-peak, nil
}

// contestants are all that is timed. Peers run at their fastest documented
// setting: mmdebstrap as root, on a tmpfs.
func (b bench) contestants(mmdebstrap, mkosi string) ([]contestant, error) {
	dir := func(name string) string { return filepath.Join(b.work, name) }
	define := func(name, outputs string) error {
		text := fmt.Sprintf("version: 1\nname: bench\ndistro: debian\nrelease: %s\narchives: [{url: %q, suites: [%s], components: [main]}]\noutputs: [%s]\n", b.suite, b.mirror, b.suite, outputs)
		if err := os.MkdirAll(dir(name), 0o755); err != nil {
			return err
		}
		return os.WriteFile(filepath.Join(dir(name), "ingot.yaml"), []byte(text), 0o644)
	}
	for name, outputs := range map[string]string{"tar": "tar", "disk": "qcow2", "first": "tar"} {
		if err := define(name, outputs); err != nil {
			return nil, err
		}
	}
	env := []string{"INGOT_HOME=" + dir("home"), "INGOT_CACHE=" + dir("cache")}
	build := func(name string, more ...string) []string {
		return append([]string{b.ingot, "build", "--quiet", "--mirror", b.mirror, filepath.Join(dir(name), "ingot.yaml"), "--to", dir("out-" + name)}, more...)
	}
	empty := func() error {
		for _, d := range []string{"home", "cache"} {
			if err := os.RemoveAll(dir(d)); err != nil {
				return err
			}
		}
		return nil
	}
	scratch, err := os.MkdirTemp("/dev/shm", "bench-")
	if err != nil {
		return nil, err
	}
	source := fmt.Sprintf("deb %s %s main", b.mirror, b.suite)
	tar := func(out string, more ...string) []string {
		return append([]string{mmdebstrap, "--quiet", "--mode=root", "--variant=minbase", "--format=tar"}, append(more, b.suite, dir(out), source)...)
	}
	machine := "--include=" + strings.Join([]string{
		"linux-image-cloud-amd64", "initramfs-tools", "zstd", "systemd-sysv", "udev", "dbus", "e2fsprogs", "login", "passwd",
		"grub2-common", "systemd-resolved", "systemd-repart", "grub-pc-bin", "grub-efi-amd64-bin",
	}, ",")
	const minbase, disk = "minbase as a tar", "a bootable disk"
	const mm, machines, mk = "mmdebstrap: minbase tar", "mmdebstrap: the machine's packages as a tar", "mkosi: a bootable disk"
	warm := []against{{machines, 0.40}}
	if mkosi != "" {
		warm = append(warm, against{mk, 0.20})
	}
	list := []contestant{
		{name: mm, group: minbase, argv: tar("mm.tar"), env: []string{"TMPDIR=" + scratch}},
		{name: "debootstrap: minbase directory", group: minbase, before: func() error { return os.RemoveAll(filepath.Join(scratch, "deb")) }, argv: []string{"debootstrap", "--variant=minbase", b.suite, filepath.Join(scratch, "deb"), b.mirror}},
		{name: "ingot: nothing here, no lock", group: minbase, held: []against{{peer: mm}}, before: func() error {
			_ = os.Remove(filepath.Join(dir("first"), "ingot.lock"))
			return empty()
		}, argv: build("first"), env: env},
		{name: "ingot: cold store, locked", group: minbase, held: []against{{mm, 0.40}}, before: func() error {
			if err := copyFile(filepath.Join(dir("first"), "ingot.lock"), filepath.Join(dir("tar"), "ingot.lock")); err != nil {
				return err
			}
			return empty()
		}, argv: build("tar"), env: env},
		{name: "ingot: packages in the store", group: minbase, held: []against{{mm, 0.20}}, argv: build("tar", "--no-cache"), env: env},
		{name: "ingot: nothing changed", group: minbase, limit: 0.3, argv: build("tar"), env: env},
		{name: machines, group: disk, argv: tar("mm-machine.tar", machine), env: []string{"TMPDIR=" + scratch}},
		{name: "ingot: qcow2, fetched", group: disk, held: []against{{peer: machines}}, argv: build("disk"), env: env},
		{name: "ingot: qcow2, packages in the store", group: disk, held: warm, argv: build("disk", "--no-cache"), env: env},
		{name: "ingot: qcow2, nothing changed", group: disk, limit: 0.3, argv: build("disk"), env: env},
	}
	if mkosi != "" {
		inside, err := filepath.Abs("bench/inside")
		if err != nil {
			return nil, err
		}
		list = append(list, contestant{name: mk, group: disk, argv: []string{inside, mkosi, "mkosi", "--force", "build"}})
	}
	return list, nil
}

func copyFile(from, to string) error {
	data, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	return os.WriteFile(to, data, 0o644)
}

func median(v []float64) float64 {
	s := slices.Sorted(slices.Values(v))
	n := len(s)
	if n%2 == 1 {
		return s[n/2]
	}
	return (s[n/2-1] + s[n/2]) / 2
}

// report writes a table, a picture and the times themselves: NAME.md, .svg and .csv.
func report(name string, list []contestant, times map[string][]float64, memory, sizes map[string]int64) error {
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		return err
	}
	raw, err := os.Create(name + ".csv")
	if err != nil {
		return err
	}
	w := csv.NewWriter(raw)
	var text strings.Builder
	text.WriteString("| what | median s | least | most | ratio | target | memory MiB | size MB |\n|---|---|---|---|---|---|---|---|\n")
	for _, c := range list {
		row := []string{c.name}
		for _, t := range times[c.name] {
			row = append(row, strconv.FormatFloat(t, 'f', 3, 64))
		}
		if err := w.Write(row); err != nil {
			return err
		}
		m := median(times[c.name])
		var ratios, targets []string
		for _, h := range c.held {
			ratios = append(ratios, fmt.Sprintf("%.2f of %s", m/median(times[h.peer]), strings.SplitN(h.peer, ":", 2)[0]))
			if h.target > 0 {
				targets = append(targets, fmt.Sprintf("≤ %.2f", h.target))
			}
		}
		if c.limit > 0 {
			targets = append(targets, fmt.Sprintf("≤ %.1f s", c.limit))
		}
		ratio, target := strings.Join(ratios, ", "), strings.Join(targets, ", ")
		weight := ""
		if n := sizes[c.name]; n > 0 {
			weight = fmt.Sprintf("%.1f", float64(n)/1e6)
		}
		fmt.Fprintf(&text, "| %s | %.2f | %.2f | %.2f | %s | %s | %d | %s |\n", c.name, m, slices.Min(times[c.name]), slices.Max(times[c.name]), ratio, target, memory[c.name]>>20, weight)
	}
	w.Flush()
	if err := raw.Close(); err != nil {
		return err
	}
	fmt.Print(text.String())
	if err := os.WriteFile(name+".md", []byte(text.String()), 0o644); err != nil {
		return err
	}
	return os.WriteFile(name+".svg", []byte(draw(list, times)), 0o644)
}

// draw makes a bar for each contestant.
func draw(list []contestant, times map[string][]float64) string {
	most := 0.0
	for _, c := range list {
		most = max(most, median(times[c.name]))
	}
	const left, width, line = 330, 420, 24
	var b strings.Builder
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%d" font-family="sans-serif" font-size="13">`+"\n", left+width+90, line*(len(list)+2))
	y := line
	group := ""
	for _, c := range list {
		if c.group != group {
			group = c.group
			y += line / 2
		}
		m := median(times[c.name])
		colour := "#888"
		if strings.HasPrefix(c.name, "ingot") {
			colour = "#2a6"
		}
		fmt.Fprintf(&b, `<text x="%d" y="%d" text-anchor="end">%s</text><rect x="%d" y="%d" width="%.1f" height="%d" fill="%s"/><text x="%.1f" y="%d">%.2f s</text>`+"\n",
			left-8, y, c.name, left, y-12, max(m/most*width, 1), line-8, colour, left+m/most*width+6, y, m)
		y += line
	}
	b.WriteString("</svg>\n")
	return b.String()
}
