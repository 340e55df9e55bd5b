// Package machine keeps machines that templates made: what they are, on disk, and whether
// they run.
//
// A machine is a directory below its home, machines/NAME: a record, a disk on top of a
// shared base, a seed. It is there when its record is. A running one is a QEMU of its own
// that no ingot needs to stay for: its process is in the record's directory, and is
// recognised by the machine's identity on its command line.
package machine

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"ingot/internal/fault"
	"ingot/internal/input"
	"ingot/internal/spell"
	"ingot/internal/template"
)

// Names of a machine's files.
const (
	recordFile  = "machine.json"
	diskFile    = "disk.qcow2"
	seedFile    = "seed.iso"
	seedVolume  = "seed.img"
	firmwareDir = "firmware" // a seed that goes by the firmware
	pidFile     = "qemu.pid"
	monitorFile = "monitor.sock"
	consoleFile = "console.sock"
	logFile     = "console.log"
	saidFile    = "qemu.log" // what QEMU said itself
	basesDir    = ".bases"
)

// A Record is what is known of a machine.
type Record struct {
	Schema   int       `json:"schema"` // 1
	Name     string    `json:"name"`
	UUID     string    `json:"uuid"`
	Made     time.Time `json:"made"`
	Template string    `json:"template"` // the definition's path
	// Version is the digest of the definition that it was made from, and Image that of
	// which file stood there: its path, size and time.
	Version  string         `json:"version"`
	Image    string         `json:"image"`
	Stamp    string         `json:"stamp"`
	Base     string         `json:"base"` // file in the directory of bases
	Instance string         `json:"instance"`
	Inputs   map[string]any `json:"inputs"` // stars for what is secret
	Memory   int64          `json:"memory"` // bytes
	CPUs     int            `json:"cpus"`
	Disk     int64          `json:"disk"` // bytes
	MAC      string         `json:"mac"`
	Seed     template.Seed  `json:"seed,omitempty"`     // how it learned its inputs; "" is iso
	Firmware []string       `json:"firmware,omitempty"` // the seed's files, where the firmware hands them out
	SSH      int            `json:"ssh,omitempty"`      // the port of this host's loopback that leads to its port 22, while it runs
}

// medium is the seed's file where it is a volume, or "".
func (r Record) medium() string {
	switch r.Seed {
	case template.VFAT:
		return seedVolume
	case template.Ignition, template.Credentials:
		return ""
	default:
		return seedFile
	}
}

// A Home is where machines are kept.
type Home struct{ Dir string }

// At is the machines' home below ingot's own.
func At(home string) Home { return Home{filepath.Join(home, "machines")} }

// Path is a machine's directory.
func (h Home) Path(name string) string { return filepath.Join(h.Dir, name) }

// CheckName says whether a machine may have a name: one that is a host's name too.
func CheckName(name string) error {
	ok := name != "" && len(name) <= 63 && !strings.HasPrefix(name, "-") && !strings.HasSuffix(name, "-")
	for _, c := range name {
		ok = ok && (c >= 'a' && c <= 'z' || c >= '0' && c <= '9' || c == '-')
	}
	if !ok {
		return fault.Newf(fault.Usage, "%q is not the name of a machine", name).WithHint("small letters, digits and - in between, at most 63: it is the host's name too")
	}
	return nil
}

// Open reads a machine's record.
func (h Home) Open(name string) (Record, error) {
	var r Record
	if err := CheckName(name); err != nil {
		return r, err
	}
	data, err := input.Read(filepath.Join(h.Path(name), recordFile), 8<<20)
	if errors.Is(err, fs.ErrNotExist) {
		if _, err := os.Stat(h.Path(name)); err == nil {
			return r, fault.Newf(fault.NotFound, "machine %s was never finished", name).WithHint("ingot machine rm %s removes what is left of it", name)
		}
		e := fault.Newf(fault.NotFound, "there is no machine %q", name)
		list, err := h.List()
		if err != nil {
			return r, err
		}
		var all []string
		for _, m := range list {
			all = append(all, m.Name)
		}
		if n := spell.Nearest(name, all); n != "" {
			return r, e.WithHint("did you mean %q?", n)
		}
		return r, e.WithHint("ingot machine list says which there are")
	}
	if err == nil {
		err = json.Unmarshal(data, &r)
	}
	if err == nil && (r.Schema != 1 || r.Name != name) {
		err = errors.New("it is not this machine's, or of a newer ingot")
	}
	if err != nil {
		return r, fault.Newf(fault.Failed, "machine %s: cannot read its record: %w", name, err)
	}
	return r, nil
}

// List is all machines that are whole, by name.
func (h Home) List() ([]Record, error) {
	entries, err := os.ReadDir(h.Dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("cannot list the machines: %w", err)
	}
	var out []Record
	for _, e := range entries {
		if !e.IsDir() || CheckName(e.Name()) != nil {
			continue
		}
		if _, err := os.Stat(filepath.Join(h.Path(e.Name()), recordFile)); err != nil {
			continue
		}
		r, err := h.Open(e.Name())
		if err != nil {
			return nil, err
		}
		out = append(out, r)
	}
	return out, nil
}

// PID is the process of a running machine, or 0.
func (h Home) PID(r Record) int {
	data, err := input.Read(filepath.Join(h.Path(r.Name), pidFile), 64)
	if err != nil {
		return 0
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(data)))
	if err != nil || pid < 2 {
		return 0
	}
	// A number of a process is another's some day.
	line, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
	if err != nil || !slices.Contains(strings.Split(string(line), "\x00"), r.UUID) {
		return 0
	}
	return pid
}

// Remove removes a machine that does not run, and the base that it alone stood on. What
// was never finished it removes too.
func (h Home) Remove(name string) error {
	if err := CheckName(name); err != nil {
		return err
	}
	if _, err := os.Lstat(h.Path(name)); errors.Is(err, fs.ErrNotExist) {
		_, err := h.Open(name)
		return err
	}
	if r, err := h.Open(name); err == nil && h.PID(r) != 0 {
		return fault.Newf(fault.Busy, "machine %s runs", name).WithHint("ingot machine stop %s, or rm --force", name)
	}
	// First what says that it is there.
	if err := os.Remove(filepath.Join(h.Path(name), recordFile)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("cannot remove machine %s: %w", name, err)
	}
	if err := os.RemoveAll(h.Path(name)); err != nil {
		return fmt.Errorf("cannot remove machine %s: %w", name, err)
	}
	return h.sweep()
}

// sweep removes bases that no disk stands on. A machine in the making holds the lock.
func (h Home) sweep() error {
	unlock, err := h.lock()
	if err != nil {
		return err
	}
	defer unlock()
	bases, err := os.ReadDir(filepath.Join(h.Dir, basesDir))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	used := map[string]bool{}
	machines, err := os.ReadDir(h.Dir)
	if err != nil {
		return err
	}
	for _, m := range machines {
		if base := h.baseOf(m.Name()); base != "" {
			used[base] = true
		}
	}
	for _, b := range bases {
		if !used[b.Name()] {
			if err := os.Remove(filepath.Join(h.Dir, basesDir, b.Name())); err != nil {
				return err
			}
		}
	}
	return nil
}

// baseOf is the base that a machine's disk stands on, as the disk itself says.
func (h Home) baseOf(name string) string {
	head := make([]byte, 4096)
	f, err := input.Open(filepath.Join(h.Path(name), diskFile))
	if err != nil {
		return ""
	}
	defer f.Close()
	if n, err := f.ReadAt(head, 0); err != nil || n < len(head) {
		return ""
	}
	i := strings.Index(string(head), basesDir+"/")
	if i < 0 {
		return ""
	}
	rest, _, _ := strings.Cut(string(head[i+len(basesDir)+1:]), "\x00")
	return rest
}
