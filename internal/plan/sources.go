package plan

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"ingot/internal/cache"
	"ingot/internal/definition"
	"ingot/internal/digest"
	"ingot/internal/fault"
	"ingot/internal/input"
	"ingot/internal/lock"
	"ingot/internal/sandbox"
	"ingot/internal/sparse"
	"ingot/internal/tree"
)

// open opens a file of the definition's directory and says what the lock knows of
// it.
func (p *Plan) open(rel string) (*os.File, digest.Digest, error) {
	i := slices.IndexFunc(p.Lock.Files, func(f lock.File) bool { return f.Path == rel })
	if i < 0 {
		return nil, digest.Digest{}, fault.Newf(fault.Verification, "%s is not in the lock", rel).WithHint("run 'ingot lock'")
	}
	root, err := os.OpenRoot(p.Definition.Dir)
	if err != nil {
		return nil, digest.Digest{}, fmt.Errorf("cannot open the definition's directory: %w", err)
	}
	defer func() { _ = root.Close() }()
	f, err := input.OpenIn(root, rel)
	if err != nil {
		return nil, digest.Digest{}, fmt.Errorf("cannot read what the definition names: %w", err)
	}
	return f, p.Lock.Files[i].SHA256, nil
}

// sourceSize is how many bytes the files of the definition have on disk.
func (p *Plan) sourceSize() int64 {
	var n int64
	for _, f := range p.Lock.Files {
		var st syscall.Stat_t
		if syscall.Stat(filepath.Join(p.Definition.Dir, f.Path), &st) == nil {
			n += st.Blocks * 512
		}
	}
	return n
}

// maxKeyring bounds what is read whole, in bytes; a lock takes less.
const maxKeyring = 16 << 20

// source reads a keyring of the definition's directory.
func (p *Plan) source(rel string) ([]byte, error) {
	f, want, err := p.open(rel)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	data, err := io.ReadAll(io.LimitReader(f, maxKeyring))
	if err != nil {
		return nil, fmt.Errorf("cannot read %s: %w", rel, err)
	}
	return data, sameAsLocked(rel, digest.Of(data), want)
}

func sameAsLocked(rel string, got, want digest.Digest) error {
	if got == want {
		return nil
	}
	return fault.Newf(fault.Verification, "%s is not the file that the lock names", rel).
		WithHint("it changed since; run 'ingot lock', or the build again")
}

// sourceEntries are files of the definition's directory as entries below a path
// of the image, with their bytes staged.
func (p *Plan) sourceEntries(files []lock.File, place func(rel string) string, stage *staging, epoch int64) ([]tree.Entry, error) {
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
			content, err := stage.copy(p, f.Path)
			if err != nil {
				return nil, err
			}
			mode := uint32(0o644)
			if f.Executable {
				mode = 0o755
			}
			out = append(out, tree.Entry{Path: to, Kind: tree.File, Mode: mode, Mtime: at, Content: content})
		}
	}
	return out, nil
}

// A staging is a pack of files at hand on their way into a sandbox. They are hashed
// as they are copied there, so that what the sandbox gets is what the lock names
// and memory does not grow with their size.
type staging struct {
	pack *cache.Pending // which others may have written to before
	kept bool           // it is the step's own, so that what stays as it is need not be captured
	size int64
}

func (s *staging) copy(p *Plan, rel string) (tree.Content, error) {
	from, want, err := p.open(rel)
	if err != nil {
		return tree.Content{}, err
	}
	defer func() { _ = from.Close() }()
	info, err := from.Stat()
	if err != nil {
		return tree.Content{}, err
	}
	h := sha256.New()
	if err := sparse.Copy(s.pack.File.File, s.size, from, 0, info.Size(), h); err != nil {
		return tree.Content{}, fmt.Errorf("cannot copy %s: %w", rel, err)
	}
	got := digest.From(h)
	return s.added(got, info.Size()), sameAsLocked(rel, got, want)
}

func (s *staging) add(data []byte) (tree.Content, error) {
	if _, err := s.pack.WriteAt(data, s.size); err != nil {
		return tree.Content{}, fmt.Errorf("cannot write to the cache: %w", err)
	}
	return s.added(digest.Of(data), int64(len(data))), nil
}

// added places bytes behind all others. Without a digest, a capture reads what
// becomes of them.
func (s *staging) added(d digest.Digest, size int64) tree.Content {
	c := tree.Content{Size: size}
	if s.kept {
		c.Digest = d
	}
	if size > 0 {
		c.Pack, c.Offset = s.pack.Name(), s.size
	}
	s.size += size
	return c
}

// Open makes it a tree.Source.
func (s *staging) Open(string) (*os.File, error) {
	return os.Open(fmt.Sprintf("/proc/self/fd/%d", s.pack.Fd()))
}

// put makes entries real.
func (s *staging) put(ctx context.Context, box *sandbox.Box, entries []tree.Entry) error {
	r := tree.NewReader(s)
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
	stage := staging{pack: w.pack, kept: true}
	for _, f := range p.Definition.Files {
		if err := w.putFile(ctx, p, box, f, ids, &stage); err != nil {
			return p.Definition.Asked("files", f.Path).At(err)
		}
	}
	return nil
}

// putFile puts one file or directory of the definition into the image.
func (w *worker) putFile(ctx context.Context, p *Plan, box *sandbox.Box, f definition.File, ids names, stage *staging) error {
	to := strings.TrimPrefix(path.Clean(f.Path), "/")
	var entries []tree.Entry
	if f.Content != nil {
		mode := uint32(0o644)
		if f.Mode != nil {
			mode = *f.Mode
		}
		content, err := stage.add([]byte(*f.Content))
		if err != nil {
			return err
		}
		entries = append(parentsOf(to, p.Lock.Epoch), tree.Entry{Path: to, Kind: tree.File, Mode: mode, Mtime: tree.Time{Sec: p.Lock.Epoch}, Content: content})
	} else {
		rel := relative(p.Definition.Dir, f.Source)
		var err error
		entries, err = p.sourceEntries(p.below(rel), func(path string) string {
			return strings.TrimSuffix(to+"/"+strings.TrimPrefix(strings.TrimPrefix(path, rel), "/"), "/")
		}, stage, p.Lock.Epoch)
		if err != nil {
			return err
		}
	}
	if err := ids.own(f, to, entries); err != nil {
		return err
	}
	entries, err := existing(ctx, box, entries)
	if err != nil {
		return cannotPut(f.Path, err)
	}
	for i := range entries {
		entries[i].Owner = "step:files"
	}
	if err := stage.put(ctx, box, entries); err != nil {
		return cannotPut(f.Path, err)
	}
	return nil
}

// cannotPut says where a file of the definition could not go, and whose mistake it is.
func cannotPut(path string, err error) error {
	err = fmt.Errorf("cannot put %s: %w", path, err)
	if errors.Is(err, syscall.ENOTDIR) || errors.Is(err, syscall.EISDIR) || errors.Is(err, syscall.ENOTEMPTY) {
		return fault.Newf(fault.Definition, "%w", err).WithHint("the image has a file where a directory would be, or a directory where a file would be: choose another path")
	}
	return err
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

// tells is what scripts find in their environment of the image that they make.
func (p *Plan) tells(c Chain) []string {
	return []string{"INGOT_NAME=" + p.Definition.Name, "INGOT_DISTRO=" + p.Lock.Distro, "INGOT_RELEASE=" + p.Lock.Release, "INGOT_ARCH=" + c.Arch, "INGOT_PURPOSE=" + c.Purpose}
}

// runScript runs one script of the definition.
func (w *worker) runScript(ctx context.Context, p *Plan, s definition.Script, run string, files []lock.File) error {
	box, err := w.Box(ctx)
	if err != nil {
		return err
	}
	pack, err := w.Supply.Cache.Create("staging")
	if err != nil {
		return err
	}
	defer pack.Discard()
	stage := staging{pack: pack}
	entries, err := p.sourceEntries(files, func(rel string) string { return sandbox.Scripts + "/" + rel }, &stage, p.Lock.Epoch)
	if err != nil {
		return err
	}
	for i := range entries {
		if entries[i].Path == sandbox.Scripts+"/"+run {
			entries[i].Mode = 0o755 // a checkout may have lost the bit
		}
	}
	if err := stage.put(ctx, box, entries); err != nil {
		return err
	}
	restore := func() error { return nil }
	if s.Network {
		if restore, err = w.lendNames(ctx, box); err != nil {
			return err
		}
	}
	c := sandbox.Command{
		Argv: []string{"/" + sandbox.Scripts + "/" + run}, Dir: "/" + sandbox.Scripts, Network: s.Network,
		Env: w.environment(p.tells(w.chain)...),
	}
	out, err := box.Output(ctx, c, w.log)
	if err != nil {
		if interpreter := p.interpreter(run); interpreter != "" {
			if there, e := box.Exists(ctx, strings.TrimPrefix(interpreter, "/")); e == nil && !there {
				return noInterpreter(s, interpreter)
			}
		}
		err = scriptError(s, err, out, w.Shell != nil)
		if w.Shell != nil {
			return w.Shell(ctx, box, c, err)
		}
		return err
	}
	if err := restore(); err != nil {
		return err
	}
	return box.Remove(ctx, sandbox.Scripts)
}

// interpreter is the program that a script's first line names, with which the
// kernel starts it (execve(2)).
func (p *Plan) interpreter(run string) string {
	f, _, err := p.open(run)
	if err != nil {
		return ""
	}
	defer func() { _ = f.Close() }()
	head := make([]byte, 256) // the kernel reads no more
	n, _ := io.ReadFull(f, head)
	line, _, _ := strings.Cut(string(head[:n]), "\n")
	line, ok := strings.CutPrefix(line, "#!")
	if !ok {
		return ""
	}
	line = strings.Trim(line, " \t")
	if i := strings.IndexAny(line, " \t"); i >= 0 {
		line = line[:i]
	}
	return line
}

func noInterpreter(s definition.Script, interpreter string) error {
	return fault.Newf(fault.Failed, "script %s: the image has no %s, which its first line names", s.Name, interpreter).
		WithHint("add the package that brings it to packages")
}

// scriptError shows what a script said last and how it ended. Who asked for a shell is not
// told how to ask for one.
func scriptError(s definition.Script, err error, out []byte, shell bool) error {
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
	var hints []string
	if !shell {
		hints = append(hints, "'ingot build --shell-on-error' opens a shell where it stopped")
	}
	if !s.Network {
		hints = append(hints, "scripts have no network unless 'network: true'")
	}
	said := sandbox.Quote([]byte(strings.Join(lines, "\n")))
	if said == "" {
		said = " and said nothing"
	} else {
		said = "; it said:" + said
	}
	return fault.Newf(fault.Failed, "script %q %s%s", s.Name, how, said).WithHint("%s", strings.Join(hints, "; "))
}
