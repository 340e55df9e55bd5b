// Package bls keeps the boot entries of a host's layers on the partition that systemd-boot
// reads, as the Boot Loader Specification (UAPI.1) has entries of type #1, and implements
// [host.Loader].
//
//	loader/entries/ingot-7.conf        layer 7th in the order of preference, confirmed
//	loader/entries/ingot-8+2-1.conf    counted: two tries left, one used (UAPI.1, Boot counting)
//	ingot/Base-1-0+1/{linux,initrd,options,files}
//
// All entries of ingot's have one sort-key, before those of distributions, and the sequence
// number as version, so the loader prefers the highest. A layer's name is no part of an
// entry's file name: its "+1" would be taken for a counter.
//
// # Power cuts
//
// FAT has no journal, and a renaming is two changes of it. So nothing is renamed. An entry is
// a file of the right length that is all line feeds, to systemd-boot no entry, flushed; then
// what lies behind its first sector is written, flushed; then its first sector, in which the
// line "linux" is. A sector is written whole or not at all, so that one write is the moment
// from which the loader has the entry. It leaves the same way: its first sector becomes line
// feeds, then the file goes. So a cluster that is free again has no entry of ingot's, whatever
// the disk makes of the order of writes within one flush.
//
// Of a layer's files the list, with sizes and digests, is written when all else is flushed and
// was read back. What has no list that holds is not whole.
package bls

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"ingot/internal/fault"
	"ingot/internal/host"
	"ingot/internal/input"
)

const (
	entriesDir = "loader/entries"
	kernelsDir = "ingot"

	// sortKey stands before every ID of os-release(5), which kernel-install has as sort-key.
	sortKey = "00-ingot"

	sector   = 512
	maxEntry = 64 << 10 // bytes of an entry
)

// Start is what a layer is started by. Whoever asks for it closes it.
type Start struct {
	Linux     *os.File
	Initrd    *os.File // nil is none
	Arguments string   // the kernel's, with what its root is
	Title     string   // of the system, as os-release(5) has it; may be ""
	Close     func() error
}

// Layers give what layers are started by.
type Layers interface {
	Start(ctx context.Context, layer host.Name) (Start, error)
}

// A Partition is a boot partition. Make one by [Find] or [Open].
type Partition struct {
	Dir    string // where it is mounted
	Layers Layers
	// MachineID is the machine-id(5) of entries where there is none of ours whose it could be.
	MachineID string
	// Deep has digests of kernels compared, not just sizes.
	Deep bool

	root *os.Root
}

// candidates are where systemd looks for the ESP (systemd-gpt-auto-generator(8)), and where
// Debian mounts it.
var candidates = []string{"/efi", "/boot", "/boot/efi"}

// machineID is what machine-id(5) has.
var machineID = regexp.MustCompile(`^[0-9a-f]{32}\n?$`)

// Find finds the boot partition of this host: the EFI system partition that has systemd-boot.
// There may be none.
func Find() (*Partition, error) {
	for _, dir := range candidates {
		var st unix.Statfs_t
		if err := unix.Statfs(dir+"/.", &st); err != nil || st.Type != unix.MSDOS_SUPER_MAGIC {
			continue
		}
		p, err := Open(dir)
		if err != nil {
			return nil, err
		}
		if p.installed() {
			if id, err := input.Read("/etc/machine-id", 64); err == nil && machineID.Match(id) { // it may be "uninitialized"
				p.MachineID = strings.TrimSpace(string(id))
			}
			return p, nil
		}
		if err := p.Close(); err != nil {
			return nil, err
		}
	}
	return nil, nil
}

// Open opens a boot partition where it is mounted.
func Open(dir string) (*Partition, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, fmt.Errorf("boot partition: %w", err)
	}
	return &Partition{Dir: dir, root: root}, nil
}

// Close ends its use.
func (p *Partition) Close() error { return p.root.Close() }

// installed says whether systemd-boot is there, as bootctl(1) finds it.
func (p *Partition) installed() bool {
	found, err := fs.Glob(p.root.FS(), "EFI/systemd/systemd-boot*.efi")
	return err == nil && len(found) > 0
}

// entryName is an entry's file name: sequence number, and counters as UAPI.1 has them. The
// firmware's driver may write letters of either case.
var entryName = regexp.MustCompile(`(?i)^ingot-([0-9]{1,9})(?:\+([0-9]{1,3})(?:-([0-9]{1,3}))?)?\.conf$`)

// fileName is what an entry's file is called.
func fileName(e host.Entry) string {
	name := fmt.Sprintf("%s/ingot-%d", entriesDir, e.Seq)
	if e.Counted {
		name += fmt.Sprintf("+%d", e.Left)
		if e.Done > 0 {
			name += fmt.Sprintf("-%d", e.Done)
		}
	}
	return name + ".conf"
}

// parseName is an entry without its layer.
func parseName(name string) (host.Entry, bool) {
	m := entryName.FindStringSubmatch(name)
	if m == nil {
		return host.Entry{}, false
	}
	number := func(s string) int {
		n, _ := strconv.Atoi(s) // digits, at most nine; "" is 0
		return n
	}
	return host.Entry{Seq: number(m[1]), Counted: m[2] != "", Left: number(m[2]), Done: number(m[3])}, true
}

// value is that of the first line of an entry with a key, or "".
func value(text, key string) string {
	for line := range strings.Lines(text) {
		if f := strings.Fields(line); len(f) > 1 && f[0] == key {
			return strings.TrimSpace(strings.TrimPrefix(strings.TrimSpace(line), key))
		}
	}
	return ""
}

// layerOf is whose kernel an entry starts.
func layerOf(text string) (host.Name, bool) {
	dir, file := path.Split(strings.TrimPrefix(value(text, "linux"), "/"))
	parent, name := path.Split(strings.TrimSuffix(dir, "/"))
	n, err := host.ParseName(name)
	return n, err == nil && n.Layer > 0 && file == "linux" && parent == kernelsDir+"/"
}

// readEntry reads an entry's text.
func (p *Partition) readEntry(name string) (string, error) {
	data, err := input.ReadIn(p.root, name, maxEntry)
	return string(data), err
}

// list gives the names in a directory, which need not be there.
func (p *Partition) list(dir string) ([]fs.DirEntry, error) {
	f, err := p.root.Open(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return f.ReadDir(-1)
}

// Observe implements [host.Loader].
func (p *Partition) Observe(_ context.Context, s *host.State) error {
	s.Loader, s.BootDir = p.installed(), p.Dir
	var st unix.Statfs_t
	if err := unix.Statfs(p.Dir, &st); err != nil {
		return fmt.Errorf("boot partition %s: %w", p.Dir, err)
	}
	stopped, err := p.stopped()
	if err != nil {
		return err
	}
	s.Boot = host.Room{Size: int64(st.Blocks) * int64(st.Bsize), Free: int64(st.Bavail) * int64(st.Bsize)}
	s.BootReadOnly = st.Flags&unix.ST_RDONLY != 0 && !stopped
	s.Preset = p.preset()
	found, err := p.list(entriesDir)
	if err != nil {
		return fmt.Errorf("boot entries: %w", err)
	}
	for _, d := range found {
		e, ok := parseName(d.Name())
		if !ok {
			continue
		}
		text, err := p.readEntry(entriesDir + "/" + d.Name())
		if err != nil {
			return fmt.Errorf("boot entry %s: %w", d.Name(), err)
		}
		if e.Layer, ok = layerOf(text); !ok {
			s.Litter = append(s.Litter, d.Name())
			continue
		}
		s.Entries = append(s.Entries, e)
	}
	host.SortEntries(s.Entries)
	return p.observeKernels(s)
}

func (p *Partition) observeKernels(s *host.State) error {
	found, err := p.list(kernelsDir)
	if err != nil {
		return fmt.Errorf("kernels of layers: %w", err)
	}
	for _, d := range found {
		n, err := host.ParseName(d.Name())
		if err != nil || n.Layer == 0 || !d.IsDir() {
			continue
		}
		s.Kernels = append(s.Kernels, host.Kernel{Layer: n, Whole: p.whole(n) == nil})
	}
	slices.SortFunc(s.Kernels, func(a, b host.Kernel) int { return a.Layer.Compare(b.Layer) })
	return nil
}

// loaderVariable is where systemd-boot keeps what "bootctl set-default" chose (systemd-boot(7)).
const loaderVariable = "/sys/firmware/efi/efivars/LoaderEntryDefault-4a67b082-0a4c-41cf-b6c7-440b29bb8c4f"

// preset is what the loader prefers to the order of entries.
func (p *Partition) preset() string {
	if data, err := input.Read(loaderVariable, 4096); err == nil && len(data) > 4 { // attributes, then UTF-16
		text := bytes.ReplaceAll(data[4:], []byte{0}, nil)
		if len(text) > 0 {
			return string(text)
		}
	}
	data, err := input.ReadIn(p.root, "loader/loader.conf", maxEntry)
	if err != nil {
		return ""
	}
	return value(string(data), "default")
}

// Do implements [host.Loader].
func (p *Partition) Do(ctx context.Context, step host.Step) error {
	if _, err := p.resume(); err != nil {
		return err
	}
	err := p.do(ctx, step)
	for range maxStops {
		resumed, failed := p.resume()
		if failed != nil {
			return errors.Join(err, failed)
		}
		if !resumed || !errors.Is(err, unix.EROFS) {
			break
		}
		err = p.do(ctx, step) // any step can be done again
	}
	switch {
	case errors.Is(err, unix.EROFS):
		return fault.Newf(fault.Preflight, "%s: %w", p.Dir, err).WithHint("mount -o remount,rw %s", p.Dir)
	case errors.Is(err, unix.ENOSPC):
		return fault.Newf(fault.Preflight, "%s: %w", p.Dir, err).WithHint("\"ingot host gc\" makes room; what was begun \"ingot host repair\" removes")
	case err != nil:
		return err
	}
	return p.flush()
}

func (p *Partition) do(ctx context.Context, step host.Step) error {
	switch step.Do {
	case host.Copy:
		return p.copy(ctx, step.Name)
	case host.Drop:
		return p.drop(step.Name)
	case host.Enter:
		return p.enter(step.Entry)
	case host.Leave:
		return p.leave(fileName(step.Entry))
	case host.Sweep:
		return p.sweep()
	default:
		return fmt.Errorf("a boot partition knows no step %q", step.Do)
	}
}

// flush has all of the partition on the disk.
func (p *Partition) flush() error {
	d, err := p.root.Open(".")
	if err != nil {
		return err
	}
	defer d.Close()
	if err := unix.Syncfs(int(d.Fd())); err != nil {
		return fmt.Errorf("flush %s: %w", p.Dir, err)
	}
	return nil
}

// syncDir flushes a directory.
func (p *Partition) syncDir(dir string) error {
	d, err := p.root.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}

// blank is what is no entry.
func blank(n int) []byte { return bytes.Repeat([]byte{'\n'}, n) }

// enter writes an entry.
func (p *Partition) enter(e host.Entry) error {
	text, err := p.text(e)
	if err != nil {
		return err
	}
	name := fileName(e)
	switch there, err := p.readEntry(name); {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return err
	case there == text:
		return nil
	default:
		if n, ok := layerOf(there); ok && n != e.Layer {
			return fault.Newf(fault.Choice, "%s is there, of %s", name, n).WithHint("another ingot wrote it; look again with \"ingot host status\"")
		}
		if err := p.leave(name); err != nil { // what was broken off
			return err
		}
	}
	if err := p.root.MkdirAll(entriesDir, 0o755); err != nil {
		return err
	}
	f, err := p.root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return err
	}
	err = writeFlushed(f, blank(len(text)), 0)
	if err == nil {
		err = p.syncDir(entriesDir)
	}
	if first := min(len(text), sector); err == nil && len(text) > first {
		err = writeFlushed(f, []byte(text[first:]), int64(first))
	}
	if err == nil {
		err = writeFlushed(f, []byte(text[:min(len(text), sector)]), 0)
	}
	return errors.Join(err, f.Close())
}

func writeFlushed(f *os.File, data []byte, at int64) error {
	if _, err := f.WriteAt(data, at); err != nil {
		return err
	}
	return f.Sync()
}

// leave removes a file of ingot's among the entries: first it is none.
func (p *Partition) leave(name string) error {
	f, err := p.root.OpenFile(name, os.O_WRONLY, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	info, err := f.Stat()
	if err == nil && info.Size() > 0 {
		err = writeFlushed(f, blank(int(min(info.Size(), sector))), 0)
	}
	if err := errors.Join(err, f.Close()); err != nil {
		return err
	}
	if err := p.root.Remove(name); err != nil {
		return err
	}
	return p.syncDir(entriesDir)
}

// sweep removes what has an entry's name and is none.
func (p *Partition) sweep() error {
	found, err := p.list(entriesDir)
	for _, d := range found {
		if _, ok := parseName(d.Name()); !ok || err != nil {
			continue
		}
		var text string
		if text, err = p.readEntry(entriesDir + "/" + d.Name()); err != nil {
			continue
		}
		if _, ok := layerOf(text); !ok {
			err = p.leave(entriesDir + "/" + d.Name())
		}
	}
	return err
}

// machineID is that of all entries of ours: systemd-boot has those of one machine together
// before it looks at versions.
func (p *Partition) machineID() string {
	found, err := p.list(entriesDir)
	if err != nil {
		return p.MachineID
	}
	newest, id := -1, p.MachineID
	for _, d := range found {
		e, ok := parseName(d.Name())
		if !ok || e.Seq < newest {
			continue
		}
		text, err := p.readEntry(entriesDir + "/" + d.Name())
		if err != nil || value(text, "linux") == "" {
			continue
		}
		newest, id = e.Seq, value(text, "machine-id")
	}
	return id
}

// text is an entry. What the loader cannot do without stands first.
func (p *Partition) text(e host.Entry) (string, error) {
	home := kernelsDir + "/" + e.Layer.String()
	options, err := input.ReadIn(p.root, home+"/"+optionsFile, maxEntry/2)
	if err != nil {
		return "", fmt.Errorf("what %s is started with: %w", e.Layer, err)
	}
	words, title, _ := strings.Cut(strings.TrimRight(string(options), "\n"), "\n")
	if e.Counted && !strings.Contains(" "+words, " panic=") {
		words += " panic=10" // what does not start is started again, until its tries are used up
	}
	var b strings.Builder
	fmt.Fprintf(&b, "linux      /%s/linux\n", home)
	if _, err := p.root.Stat(home + "/initrd"); err == nil {
		fmt.Fprintf(&b, "initrd     /%s/initrd\n", home)
	}
	if title != "" {
		title = " (" + title + ")"
	}
	fmt.Fprintf(&b, "title      %s%s\n", e.Layer, title)
	fmt.Fprintf(&b, "sort-key   %s\n", sortKey)
	if id := p.machineID(); id != "" {
		fmt.Fprintf(&b, "machine-id %s\n", id)
	}
	fmt.Fprintf(&b, "version    %d\n", e.Seq)
	fmt.Fprintf(&b, "options    %s\n", words)
	if b.Len() > maxEntry {
		return "", fmt.Errorf("an entry of %d bytes is too long", b.Len())
	}
	return b.String(), nil
}
