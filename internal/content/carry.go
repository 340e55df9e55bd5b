package content

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"ingot/internal/digest"
	"ingot/internal/etc"
	"ingot/internal/fault"
	"ingot/internal/input"
	"ingot/internal/tree"
)

const (
	etcDir = "etc"
	// reportFile is where a layer has what its merge came to, below /etc. It is of one layer.
	reportFile = "ingot/merge.json"
	// carryFile lists paths that are copied from layer to layer.
	carryFile = "etc/ingot/carry"
	maxConfig = 1 << 20
)

// A Report is what carrying over came to.
type Report struct {
	Schema    int                   `json:"schema"` // 1
	From      string                `json:"from"`   // the layer that it was carried over from
	Conflicts []etc.Conflict        `json:"conflicts"`
	Accounts  []etc.AccountConflict `json:"accounts"`
	Remapped  int                   `json:"remapped"` // paths of the image that got other owners
	Carried   []string              `json:"carried"`  // paths that were copied
}

// Roots are the file systems of a carrying over.
type Roots struct {
	New    *os.Root // the new layer
	Device string   // its device, as fstab is to name it
	Old    *os.Root // the base of the layer that is left
	Host   *os.Root // that layer; nil has the new layer as its base is
	From   string   // its name
}

// CarryOver makes a snapshot of a base a layer.
func CarryOver(ctx context.Context, r Roots) (Report, error) {
	rep := Report{Schema: 1, From: r.From, Conflicts: []etc.Conflict{}, Accounts: []etc.AccountConflict{}, Carried: []string{}}
	if r.Host == nil {
		return rep, rewriteRoot(r.New, r.Device)
	}
	paths, err := carried(r.Host)
	if err != nil {
		return rep, err
	}
	m, err := newMerger(r)
	if err != nil {
		return rep, err
	}
	if rep.Remapped, err = m.remapImage(ctx); err != nil {
		return rep, fmt.Errorf("owners of the image's files: %w", err)
	}
	if rep.Conflicts, err = m.mergeEtc(); err != nil {
		return rep, fmt.Errorf("/etc: %w", err)
	}
	rep.Accounts = append(rep.Accounts, m.conflicts...)
	for _, p := range paths {
		if err := ctx.Err(); err != nil {
			return rep, err
		}
		if _, err := r.Host.Lstat(p); errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err := copyTree(r.Host, r.New, p); err != nil {
			return rep, fmt.Errorf("carry over /%s: %w", p, err)
		}
		rep.Carried = append(rep.Carried, "/"+p)
	}
	if err := rewriteRoot(r.New, r.Device); err != nil {
		return rep, err
	}
	return rep, writeReport(r.New, rep)
}

func writeReport(root *os.Root, rep Report) error {
	data, err := json.MarshalIndent(rep, "", "  ")
	if err != nil {
		return err
	}
	if err := root.MkdirAll(path.Join(etcDir, path.Dir(reportFile)), 0o755); err != nil {
		return err
	}
	return root.WriteFile(path.Join(etcDir, reportFile), append(data, '\n'), 0o644)
}

// ReadReport is what a layer's merge came to; of a layer that carried nothing over, nothing.
func ReadReport(root *os.Root) (Report, error) {
	rep := Report{Schema: 1, Conflicts: []etc.Conflict{}, Accounts: []etc.AccountConflict{}, Carried: []string{}}
	data, err := input.ReadIn(root, path.Join(etcDir, reportFile), 64<<20)
	if errors.Is(err, fs.ErrNotExist) {
		return rep, nil
	}
	if err != nil {
		return rep, err
	}
	if err := json.Unmarshal(data, &rep); err != nil {
		return rep, fmt.Errorf("/etc/%s: %w", reportFile, err)
	}
	return rep, nil
}

// text reads a file of configuration that need not be there.
func text(root *os.Root, name string) (string, error) {
	data, err := input.ReadIn(root, name, maxConfig)
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	return string(data), err
}

// carried are the paths that are copied, below the root. A path stands for all below it.
func carried(host *os.Root) ([]string, error) {
	list, err := text(host, carryFile)
	if err != nil {
		return nil, err
	}
	var out []string
	for line := range strings.Lines(list) {
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		p := strings.TrimPrefix(path.Clean(line), "/")
		if !path.IsAbs(line) || p == "" || p == etcDir || strings.HasPrefix(p, etcDir+"/") {
			return nil, fault.Newf(fault.Preflight, "/%s: %q cannot be carried over", carryFile, line).WithHint("absolute paths, one a line; /etc is merged anyway")
		}
		out = append(out, p)
	}
	return out, CheckVar(host)
}

// CheckVar refuses a host whose /var the next layer would not have.
func CheckVar(host *os.Root) error {
	list, err := text(host, carryFile)
	if err != nil {
		return err
	}
	for line := range strings.Lines(list) {
		if path.Clean(strings.TrimSpace(line)) == "/var" {
			return nil
		}
	}
	fstab, err := text(host, "etc/fstab")
	if err != nil {
		return err
	}
	for line := range strings.Lines(fstab) {
		if f := strings.Fields(line); len(f) > 1 && !strings.HasPrefix(f[0], "#") && path.Clean(f[1]) == "/var" {
			return nil
		}
	}
	return fault.Newf(fault.Choice, "/var lies on the layer itself, so the next one would not have what is in it").
		WithHint("give /var a volume of its own in /etc/fstab, or have it copied: echo /var >>/%s", carryFile)
}

// rewriteRoot has fstab's line of the root name the layer's device.
func rewriteRoot(root *os.Root, device string) error {
	const name = "etc/fstab"
	was, err := text(root, name)
	if err != nil || was == "" {
		return err
	}
	var out strings.Builder
	for line := range strings.Lines(was) {
		if f := strings.Fields(line); len(f) > 1 && !strings.HasPrefix(f[0], "#") && f[1] == "/" {
			line = strings.Replace(line, f[0], device, 1)
		}
		out.WriteString(line)
	}
	if out.String() == was {
		return nil
	}
	f, err := root.OpenFile(name, os.O_WRONLY|os.O_TRUNC, 0)
	if err != nil {
		return err
	}
	_, err = f.WriteString(out.String())
	return errors.Join(err, f.Close())
}

// merger merges one layer.
type merger struct {
	Roots
	accounts  etc.Accounts
	toHost    etc.Remap // numbers of the new image, as the host has them
	oldRemap  etc.Remap // numbers of the old image, likewise
	conflicts []etc.AccountConflict
}

// accountFiles are the files of accounts, below /etc, and their texts.
func accountFiles(a *etc.Accounts) map[string]*string {
	return map[string]*string{"passwd": &a.Passwd, "group": &a.Group, "shadow": &a.Shadow, "gshadow": &a.GShadow}
}

func readAccounts(root *os.Root) (a etc.Accounts, err error) {
	for name, to := range accountFiles(&a) {
		if *to, err = text(root, path.Join(etcDir, name)); err != nil {
			return a, err
		}
	}
	return a, nil
}

func newMerger(r Roots) (*merger, error) {
	m := &merger{Roots: r}
	var three [3]etc.Accounts
	for i, root := range []*os.Root{r.Old, r.New, r.Host} {
		var err error
		if three[i], err = readAccounts(root); err != nil {
			return nil, fmt.Errorf("accounts: %w", err)
		}
	}
	var err error
	if m.accounts, m.toHost, m.conflicts, err = etc.Reconcile(three[0], three[1], three[2]); err != nil {
		return nil, fmt.Errorf("accounts: %w", err)
	}
	// The host's layer got its base's files under the host's numbers too.
	_, m.oldRemap, _, err = etc.Reconcile(three[0], three[0], three[2])
	return m, err
}

// remapImage gives the new layer's files the host's numbers.
func (m *merger) remapImage(ctx context.Context) (n int, err error) {
	if len(m.toHost.UID)+len(m.toHost.GID) == 0 {
		return 0, nil
	}
	var walk func(at string) error
	walk = func(at string) error {
		if err := ctx.Err(); err != nil {
			return err
		}
		changed, dir, err := m.remapPath(at)
		if err != nil {
			return err
		}
		if changed {
			n++
		}
		if !dir {
			return nil
		}
		list, err := names(m.New, at)
		if err != nil {
			return err
		}
		for _, name := range list {
			if err := walk(path.Join(at, name)); err != nil {
				return err
			}
		}
		return nil
	}
	return n, walk(".")
}

// remapPath gives one path the host's numbers.
func (m *merger) remapPath(at string) (changed, dir bool, err error) {
	e, err := stat(m.New, at)
	if err != nil {
		return false, false, err
	}
	uid, isUser := m.toHost.UID[e.UID]
	gid, isGroup := m.toHost.GID[e.GID]
	if !isUser && !isGroup {
		return false, e.Kind == tree.Dir, nil
	}
	if e.Kind == tree.File || e.Kind == tree.Dir {
		f, err := m.New.OpenFile(at, os.O_RDONLY|unix.O_NONBLOCK|unix.O_NOFOLLOW, 0)
		if err != nil {
			return false, false, err
		}
		e.Xattrs, err = readXattrs(f)
		if err := errors.Join(err, f.Close()); err != nil {
			return false, false, err
		}
	}
	if isUser {
		e.UID = uid
	}
	if isGroup {
		e.GID = gid
	}
	return true, e.Kind == tree.Dir, attributes(m.New, at, e)
}

// hostsOwn are files that tell of this machine alone: the host's are taken whatever images
// come with.
var hostsOwn = []string{"fstab", "crypttab"}

// replaced has one tree's paths as another has them.
func replaced(in, as tree.Tree, paths ...string) (tree.Tree, error) {
	entries := slices.DeleteFunc(in.Entries(), func(e tree.Entry) bool { return slices.Contains(paths, e.Path) })
	for _, p := range paths {
		if e, ok := as.Lookup(p); ok {
			entries = append(entries, e)
		}
	}
	return tree.New(entries)
}

// mergeEtc merges /etc and writes it into the new layer.
func (m *merger) mergeEtc() ([]etc.Conflict, error) {
	old, err := readTree(m.Old, etcDir)
	if err == nil {
		old, err = m.oldRemap.Apply(old)
	}
	if err != nil {
		return nil, err
	}
	fresh, err := readTree(m.New, etcDir)
	if err != nil {
		return nil, err
	}
	host, err := readTree(m.Host, etcDir)
	if err != nil {
		return nil, err
	}
	// What is decided elsewhere is no conflict: the host's entry, with a text of its own.
	var decided []string
	decided = append(decided, hostsOwn...)
	for name := range accountFiles(&m.accounts) {
		decided = append(decided, name)
	}
	asOld, err := replaced(fresh, old, decided...)
	if err != nil {
		return nil, err
	}
	if host, err = replaced(host, tree.Tree{}, reportFile); err != nil { // of one layer
		return nil, err
	}
	result, err := etc.Merge(old, asOld, host, nil)
	if err != nil {
		return nil, err
	}
	if err := m.writeEtc(fresh, result.Tree, host); err != nil {
		return nil, err
	}
	conflicts := result.Conflicts
	if conflicts == nil {
		conflicts = []etc.Conflict{}
	}
	return conflicts, nil
}

// A located is where bytes are.
type located struct {
	side
	rel string
}

// writeEtc makes the new layer's /etc what the merge came to. All bytes are read before
// anything is written over.
func (m *merger) writeEtc(fresh, merged, host tree.Tree) error {
	at := map[digest.Digest]located{}
	for e := range host.All() {
		if e.Kind == tree.File {
			at[e.Content.Digest] = located{side{m.Host, etcDir}, e.Path}
		}
	}
	held := map[digest.Digest][]byte{}
	for e := range fresh.All() { // what moves aside within the new layer
		was, ok := merged.Lookup(e.Path)
		if e.Kind != tree.File || ok && was.Kind == tree.File && was.Content.Digest == e.Content.Digest {
			continue
		}
		data, err := input.ReadIn(m.New, path.Join(etcDir, e.Path), 64<<20)
		if err != nil {
			return err
		}
		held[e.Content.Digest] = data
	}
	for _, e := range slices.Backward(fresh.Entries()) {
		n, ok := merged.Lookup(e.Path)
		if e.Path != "" && (!ok || n.Kind != e.Kind) {
			if err := m.New.RemoveAll(path.Join(etcDir, e.Path)); err != nil {
				return err
			}
		}
	}
	var dirs []tree.Entry
	for e := range merged.All() {
		if e.Kind == tree.Dir {
			dirs = append(dirs, e)
		}
		if was, ok := fresh.Lookup(e.Path); ok && was.Same(e) {
			continue
		}
		if err := m.put(e, held, at); err != nil {
			return err
		}
	}
	for name, to := range accountFiles(&m.accounts) {
		if err := m.account(name, *to, merged); err != nil {
			return err
		}
	}
	for _, e := range slices.Backward(dirs) {
		if err := attributes(m.New, path.Join(etcDir, e.Path), e); err != nil {
			return err
		}
	}
	return nil
}

// put writes one entry of the merged tree.
func (m *merger) put(e tree.Entry, held map[digest.Digest][]byte, at map[digest.Digest]located) error {
	to := path.Join(etcDir, e.Path)
	if e.Kind != tree.File {
		return write(m.New, to, e, nil)
	}
	if data, ok := held[e.Content.Digest]; ok {
		return write(m.New, to, e, strings.NewReader(string(data)))
	}
	if l, ok := at[e.Content.Digest]; ok {
		return writeFrom(m.New, to, e, l.side, l.rel)
	}
	// The same bytes with other attributes: they are there.
	f, err := input.OpenIn(m.New, to)
	if err != nil {
		return err
	}
	data, err := io.ReadAll(f)
	if err := errors.Join(err, f.Close()); err != nil {
		return err
	}
	return write(m.New, to, e, strings.NewReader(string(data)))
}

// account writes a file of accounts, with owner and mode as the host has them.
func (m *merger) account(name, content string, merged tree.Tree) error {
	e, ok := merged.Lookup(name)
	if !ok || e.Kind != tree.File {
		return nil
	}
	return write(m.New, path.Join(etcDir, name), e, strings.NewReader(content))
}

// stat is an entry without what it holds.
func stat(root *os.Root, at string) (tree.Entry, error) {
	info, err := root.Lstat(at)
	if err != nil {
		return tree.Entry{}, err
	}
	return entryOf(info)
}
