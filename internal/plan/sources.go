package plan

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"slices"
	"strconv"
	"strings"

	"ingot/internal/definition"
	"ingot/internal/digest"
	"ingot/internal/fault"
	"ingot/internal/input"
	"ingot/internal/lock"
	"ingot/internal/sandbox"
	"ingot/internal/tree"
)

// source reads a file of the definition's directory and holds it against the
// lock.
func (p *Plan) source(rel string) ([]byte, error) {
	i := slices.IndexFunc(p.Lock.Files, func(f lock.File) bool { return f.Path == rel })
	if i < 0 {
		return nil, fault.Newf(fault.Verification, "%s is not in the lock", rel).WithHint("run 'ingot lock'")
	}
	root, err := os.OpenRoot(p.Definition.Dir)
	if err != nil {
		return nil, fmt.Errorf("cannot open the definition's directory: %w", err)
	}
	defer func() { _ = root.Close() }()
	f, err := input.OpenIn(root, rel)
	if err != nil {
		return nil, fmt.Errorf("cannot read what the definition names: %w", err)
	}
	defer func() { _ = f.Close() }()
	data, err := io.ReadAll(f)
	if err != nil {
		return nil, fmt.Errorf("cannot read %s: %w", rel, err)
	}
	if digest.Of(data) != p.Lock.Files[i].SHA256 {
		return nil, fault.Newf(fault.Verification, "%s is not the file that the lock names", rel).
			WithHint("it changed since; run 'ingot lock', or the build again")
	}
	return data, nil
}

// sourceEntries are files of the definition's directory as entries below a path
// of the image, with their bytes in a memory file.
func (p *Plan) sourceEntries(files []lock.File, place func(rel string) string, pack *memoryPack, epoch int64) ([]tree.Entry, error) {
	var out []tree.Entry
	dirs := map[string]bool{}
	at := tree.Time{Sec: epoch}
	addDir := func(path string) {
		if !dirs[path] {
			dirs[path] = true
			out = append(out, tree.Entry{Path: path, Kind: tree.Dir, Mode: 0o755, Mtime: at})
		}
	}
	for _, f := range files {
		to := place(f.Path)
		if to == "" {
			continue
		}
		var parents []string
		for d := tree.Parent(to); d != ""; d = tree.Parent(d) {
			parents = append(parents, d)
		}
		for _, d := range slices.Backward(parents) {
			addDir(d)
		}
		switch {
		case f.EmptyDir:
			addDir(to)
		case f.Link != "":
			out = append(out, tree.Entry{Path: to, Kind: tree.Symlink, Mode: 0o777, Link: f.Link, Mtime: at})
		default:
			data, err := p.source(f.Path)
			if err != nil {
				return nil, err
			}
			mode := uint32(0o644)
			if f.Executable {
				mode = 0o755
			}
			out = append(out, tree.Entry{Path: to, Kind: tree.File, Mode: mode, Mtime: at, Content: pack.add(data)})
		}
	}
	return out, nil
}

// A memoryPack is a pack of files at hand, for a sandbox. Its contents bear no
// digest, so that a capture reads them.
type memoryPack struct{ data []byte }

const memoryName = "memory"

func (m *memoryPack) add(data []byte) tree.Content {
	c := tree.Content{Size: int64(len(data)), Pack: memoryName, Offset: int64(len(m.data))}
	m.data = append(m.data, data...)
	return c
}

// Open makes it a tree.Source.
func (m *memoryPack) Open(string) (*os.File, error) { return sandbox.Memory(memoryName, m.data) }

// put makes entries real.
func (m *memoryPack) put(ctx context.Context, box *sandbox.Box, entries []tree.Entry) error {
	r := tree.NewReader(m)
	defer func() { _ = r.Close() }()
	return box.Put(ctx, entries, r)
}

// putFiles is the files step.
func (w *worker) putFiles(ctx context.Context, p *Plan) error {
	box, err := w.Box(ctx)
	if err != nil {
		return err
	}
	ids, err := readNames(ctx, box)
	if err != nil {
		return err
	}
	for _, f := range p.Definition.Files {
		var pack memoryPack
		to := strings.TrimPrefix(path.Clean(f.Path), "/")
		var entries []tree.Entry
		if f.Content != nil {
			mode := uint32(0o644)
			if f.Mode != nil {
				mode = *f.Mode
			}
			entries = append(parentsOf(to, p.Lock.Epoch), tree.Entry{Path: to, Kind: tree.File, Mode: mode, Mtime: tree.Time{Sec: p.Lock.Epoch}, Content: pack.add([]byte(*f.Content))})
		} else {
			rel := relative(p.Definition.Dir, f.Source)
			entries, err = p.sourceEntries(p.below(rel), func(path string) string {
				return strings.TrimSuffix(to+"/"+strings.TrimPrefix(strings.TrimPrefix(path, rel), "/"), "/")
			}, &pack, p.Lock.Epoch)
			if err != nil {
				return err
			}
		}
		if err := ids.own(f, to, entries); err != nil {
			return err
		}
		if entries, err = existing(ctx, box, entries); err != nil {
			return err
		}
		if err := pack.put(ctx, box, entries); err != nil {
			return fmt.Errorf("cannot put %s: %w", f.Path, err)
		}
	}
	return nil
}

// parentsOf are the directories above a path.
func parentsOf(path string, epoch int64) []tree.Entry {
	var out []tree.Entry
	for d := tree.Parent(path); d != ""; d = tree.Parent(d) {
		out = append(out, tree.Entry{Path: d, Kind: tree.Dir, Mode: 0o755, Mtime: tree.Time{Sec: epoch}})
	}
	slices.Reverse(out)
	return out
}

// existing leaves out directories that the image has: their metadata is not the
// definition's affair.
func existing(ctx context.Context, box *sandbox.Box, entries []tree.Entry) ([]tree.Entry, error) {
	var out []tree.Entry
	for _, e := range entries {
		if e.Kind == tree.Dir {
			there, err := box.Exists(ctx, e.Path)
			if err != nil {
				return nil, err
			}
			if there {
				continue
			}
		}
		out = append(out, e)
	}
	return out, nil
}

// names are the image's users and groups (passwd(5), group(5)).
type names struct{ users, groups map[string]uint32 }

func readNames(ctx context.Context, box *sandbox.Box) (names, error) {
	n := names{map[string]uint32{}, map[string]uint32{}}
	for file, into := range map[string]map[string]uint32{"etc/passwd": n.users, "etc/group": n.groups} {
		data, err := box.Read(ctx, file)
		if err != nil && !missing(err) {
			return n, err
		}
		for line := range strings.Lines(string(data)) {
			f := strings.Split(line, ":")
			if len(f) < 3 {
				continue
			}
			if id, err := strconv.ParseUint(f[2], 10, 32); err == nil {
				into[f[0]] = uint32(id)
			}
		}
	}
	return n, nil
}

// own gives entries at or below the target the owner, group and mode that the
// definition says.
func (n names) own(f definition.File, to string, entries []tree.Entry) error {
	uid, err := id(f.Owner, n.users, "user", f.Path)
	if err != nil {
		return err
	}
	gid, err := id(f.Group, n.groups, "group", f.Path)
	if err != nil {
		return err
	}
	for i := range entries {
		e := &entries[i]
		if e.Path != to && !strings.HasPrefix(e.Path, to+"/") {
			continue
		}
		e.UID, e.GID = uid, gid
		if f.Mode != nil && e.Kind == tree.File {
			e.Mode = *f.Mode
		}
	}
	return nil
}

func id(name string, known map[string]uint32, what, path string) (uint32, error) {
	if name == "" {
		return 0, nil
	}
	if n, err := strconv.ParseUint(name, 10, 32); err == nil {
		return uint32(n), nil
	}
	if n, ok := known[name]; ok {
		return n, nil
	}
	return 0, fault.Newf(fault.Definition, "file %s: the image has no %s %q", path, what, name).
		WithHint("add it under users or unix-groups, or a package that makes it")
}

// scriptDir is where scripts and what they read lie while they run.
const scriptDir = ".ingot-script"

// runScript runs one script of the definition.
func (w *worker) runScript(ctx context.Context, p *Plan, s definition.Script, run string, files []lock.File) error {
	box, err := w.Box(ctx)
	if err != nil {
		return err
	}
	var pack memoryPack
	entries, err := p.sourceEntries(files, func(rel string) string { return scriptDir + "/" + rel }, &pack, p.Lock.Epoch)
	if err != nil {
		return err
	}
	for i := range entries {
		if entries[i].Path == scriptDir+"/"+run {
			entries[i].Mode = 0o755 // a checkout may have lost the bit
		}
	}
	if err := pack.put(ctx, box, entries); err != nil {
		return err
	}
	restore := func() error { return nil }
	if s.Network {
		if restore, err = w.lendNames(ctx, box); err != nil {
			return err
		}
	}
	c := sandbox.Command{
		Argv: []string{"/" + scriptDir + "/" + run}, Dir: "/" + scriptDir, Network: s.Network,
		Env: w.environment("INGOT_NAME="+p.Definition.Name, "INGOT_DISTRO="+p.Lock.Distro, "INGOT_RELEASE="+p.Lock.Release, "INGOT_ARCH="+w.chain.Arch, "INGOT_PURPOSE="+w.chain.Purpose),
	}
	out, err := box.Output(ctx, c, w.log)
	if err != nil {
		err = scriptError(s, err, out)
		if w.Shell != nil {
			return w.Shell(ctx, box, err)
		}
		return err
	}
	if err := restore(); err != nil {
		return err
	}
	return box.Remove(ctx, scriptDir)
}

// scriptError shows what a script said last and how it ended.
func scriptError(s definition.Script, err error, out []byte) error {
	var exit *sandbox.ExitError
	if !errors.As(err, &exit) {
		return err
	}
	lines := strings.Split(strings.TrimRight(string(out), "\n"), "\n")
	if len(lines) > 40 {
		lines = append([]string{fmt.Sprintf("… %d lines before", len(lines)-40)}, lines[len(lines)-40:]...)
	}
	how := fmt.Sprintf("exited with code %d", exit.Code)
	if exit.Code < 0 {
		how = fmt.Sprintf("was ended by signal %d (%s)", exit.Signal, exit.Signal)
	}
	hint := "'ingot build --shell-on-error' opens a shell where it stopped"
	if !s.Network {
		hint += "; scripts have no network unless 'network: true'"
	}
	said := sandbox.Quote([]byte(strings.Join(lines, "\n")))
	if said == "" {
		said = " and said nothing"
	} else {
		said = "; it said:" + said
	}
	return fault.Newf(fault.Failed, "script %q %s%s", s.Name, how, said).WithHint("%s", hint)
}

// lendNames gives a script with network the host's name servers for as long as
// it runs.
func (w *worker) lendNames(ctx context.Context, box *sandbox.Box) (restore func() error, err error) {
	const file = "etc/resolv.conf"
	data, err := os.ReadFile("/" + file)
	if err != nil {
		return nil, fmt.Errorf("cannot read the host's name servers: %w", err)
	}
	old, had := w.tree.Lookup(file)
	if err := box.Remove(ctx, file); err != nil {
		return nil, err
	}
	if err := box.Write(ctx, sandbox.NewFile{Path: file, Mode: 0o644, Data: data}); err != nil {
		return nil, err
	}
	return func() error {
		if now, err := box.Read(ctx, file); err != nil || !bytes.Equal(now, data) {
			return nil //nolint:nilerr // the script made its own, or none: its affair
		}
		if !had {
			return box.Remove(ctx, file)
		}
		if err := box.Remove(ctx, file); err != nil {
			return err
		}
		return box.Put(ctx, []tree.Entry{old}, w.reader)
	}, nil
}
