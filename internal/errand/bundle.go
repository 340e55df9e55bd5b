package errand

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/klauspost/compress/zstd"
	"golang.org/x/sys/unix"

	"ingot/internal/digest"
	"ingot/internal/draft"
	"ingot/internal/fault"
	"ingot/internal/input"
	"ingot/internal/sparse"
)

// Below a bundle's directory.
const (
	filesDir    = "files"    // what the verb sees
	incomingDir = "incoming" // what has come whole and isn't in its place, by digest
	indexFile   = "index.json"
	lockFile    = "lock"
)

// A bundle is a directory of files that a host was sent. They change while nobody runs in
// it.
type bundle struct {
	dir  string
	lock *os.File
}

// A known file is one whose digest was found before.
type known struct {
	Size   int64         `json:"size"`
	Time   int64         `json:"time"`
	Inode  uint64        `json:"inode"` // not the inode's time: machines keep images by other names
	SHA256 digest.Digest `json:"sha256"`
}

func openBundle(dir, name string) (*bundle, error) {
	b := &bundle{dir: filepath.Join(dir, name)}
	err := os.MkdirAll(b.dir, 0o700)
	if err == nil {
		b.lock, err = os.OpenFile(filepath.Join(b.dir, lockFile), os.O_RDWR|os.O_CREATE, 0o600)
	}
	if err != nil {
		return nil, fault.Wrap(fault.Preflight, fmt.Errorf("cannot keep files: %w", err))
	}
	return b, nil
}

// hold waits for the bundle's lock: shared to run in it, exclusive to change its files.
func (b *bundle) hold(ctx context.Context, how int) error {
	for {
		err := unix.Flock(int(b.lock.Fd()), how|unix.LOCK_NB)
		if !errors.Is(err, unix.EWOULDBLOCK) {
			return err
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(50 * time.Millisecond):
		}
	}
}

func (b *bundle) close() { _ = b.lock.Close() }

func (b *bundle) files() string { return filepath.Join(b.dir, filesDir) }

func (b *bundle) incoming(d digest.Digest) string {
	return filepath.Join(b.dir, incomingDir, d.String())
}

// receive has the bundle hold certain files and no others: it says which it lacks, takes
// them all in, and then puts them in their places. Where all are there it waits for nobody
// who runs in it.
func (b *bundle) receive(ctx context.Context, w *wire, files []File) error {
	if err := b.hold(ctx, unix.LOCK_SH); err != nil {
		return err
	}
	if b.complete(files) {
		return w.sayJSON(sayWant, []int{})
	}
	if err := b.hold(ctx, unix.LOCK_EX); err != nil {
		return err
	}
	for _, d := range []string{filesDir, incomingDir} {
		if err := os.MkdirAll(filepath.Join(b.dir, d), 0o700); err != nil {
			return fault.Wrap(fault.Preflight, fmt.Errorf("cannot keep files: %w", err))
		}
	}
	draft.Sweep(filepath.Join(b.dir, incomingDir))
	index := b.readIndex()
	want, asked, need := []int{}, map[digest.Digest]bool{}, int64(0)
	var change []File
	for i, f := range files {
		if b.has(index, f) {
			continue
		}
		change = append(change, f)
		if asked[f.SHA256] || b.came(f) {
			continue
		}
		asked[f.SHA256] = true
		want, need = append(want, i), need+f.Size
	}
	if err := b.room(need); err != nil {
		return err
	}
	if err := w.sayJSON(sayWant, want); err != nil {
		return err
	}
	for _, i := range want {
		if err := b.take(ctx, w, files[i]); err != nil {
			return fmt.Errorf("%s: %w", files[i].Path, err)
		}
	}
	if err := ctx.Err(); err != nil {
		return context.Cause(ctx)
	}
	if err := b.arrange(files, change); err != nil {
		return fmt.Errorf("cannot put files in their places: %w", err)
	}
	return b.settle(ctx, files)
}

// complete says whether all files are in their places, and no others.
func (b *bundle) complete(files []File) bool {
	index := b.readIndex()
	for _, f := range files {
		if _, ok := index[f.Path]; !ok || !b.has(index, f) {
			return false
		}
	}
	return len(index) == len(files)
}

func (b *bundle) readIndex() map[string]known {
	var index map[string]known
	data, err := input.Read(filepath.Join(b.dir, indexFile), maxFrame)
	if err != nil || json.Unmarshal(data, &index) != nil {
		return nil // then all is hashed
	}
	return index
}

// has says whether a file is in its place.
func (b *bundle) has(index map[string]known, f File) bool {
	path := filepath.Join(b.files(), filepath.FromSlash(f.Path))
	now, err := look(path)
	if err != nil || now.Size != f.Size {
		return false
	}
	if k := index[f.Path]; k.Inode == now.Inode && k.Time == now.Time && k.Size == now.Size {
		return k.SHA256 == f.SHA256
	}
	return isFile(path, f)
}

// came says whether a file came whole, before a connection was cut.
func (b *bundle) came(f File) bool { return isFile(b.incoming(f.SHA256), f) }

func isFile(path string, f File) bool {
	in, err := input.Open(path)
	if err != nil {
		return false
	}
	defer in.Close()
	info, err := in.Stat()
	if err != nil || info.Size() != f.Size {
		return false
	}
	sum, err := sparse.Digest(in, 0, f.Size)
	return err == nil && sum == f.SHA256
}

func look(path string) (known, error) {
	var st unix.Stat_t
	if err := unix.Lstat(path, &st); err != nil {
		return known{}, err
	}
	if st.Mode&unix.S_IFMT != unix.S_IFREG {
		return known{}, errors.New("not a file")
	}
	return known{Size: st.Size, Time: st.Mtim.Nano(), Inode: st.Ino}, nil
}

func (b *bundle) room(need int64) error {
	d, err := os.Open(b.dir)
	if err != nil {
		return err
	}
	defer d.Close()
	if err := sparse.Fits(d, need); err != nil {
		return fault.Newf(fault.Preflight, "%s has no room for %d MiB: %w", b.dir, need>>20, err)
	}
	return nil
}

// take takes one file in. It gets a name when it is whole and has its digest.
func (b *bundle) take(ctx context.Context, w *wire, f File) error {
	out, err := draft.Create(filepath.Join(b.dir, incomingDir))
	if err != nil {
		return err
	}
	defer out.Discard()
	parts := &listen{ctx: ctx, w: w, kind: sayData, end: sayWhole}
	z, err := zstd.NewReader(parts, zstd.WithDecoderMaxWindow(8<<20), zstd.WithDecoderConcurrency(1))
	if err != nil {
		return err
	}
	defer z.Close()
	sum, n, err := digest.Reader(io.TeeReader(io.LimitReader(z, f.Size+1), &holes{f: out.File}))
	if err == nil {
		_, err = io.Copy(io.Discard, parts)
	}
	if err == nil && (n != f.Size || sum != f.SHA256) {
		err = fault.Newf(fault.Verification, "it has other bytes than when it was looked at").WithHint("run it again when the file no longer changes")
	}
	if err == nil {
		err = out.Truncate(f.Size)
	}
	if err == nil {
		err = out.Sync()
	}
	if err != nil {
		return err
	}
	return out.Publish(b.incoming(f.SHA256), 0o600)
}

// A holes writes a file, and leaves out what is zeros.
type holes struct {
	f  *os.File
	at int64
}

var zeros [4096]byte

func (h *holes) Write(p []byte) (int, error) {
	for n := 0; n < len(p); {
		part := p[n:min(len(p), n+len(zeros))]
		if string(part) != string(zeros[:len(part)]) {
			if _, err := h.f.WriteAt(part, h.at); err != nil {
				return n, err
			}
		}
		n, h.at = n+len(part), h.at+int64(len(part))
	}
	return len(p), nil
}

// arrange gives files that came their places, and removes what does not belong.
func (b *bundle) arrange(files, change []File) error {
	places := map[digest.Digest]int{}
	for _, f := range change {
		places[f.SHA256]++
	}
	for _, f := range change {
		to := filepath.Join(b.files(), filepath.FromSlash(f.Path))
		if err := clear(b.files(), to); err != nil {
			return err
		}
		if err := os.MkdirAll(filepath.Dir(to), 0o700); err != nil {
			return err
		}
		from := b.incoming(f.SHA256)
		if places[f.SHA256]--; places[f.SHA256] > 0 { // others are made of it too
			if err := duplicate(from, from+".again"); err != nil {
				return err
			}
			from += ".again"
		}
		if err := os.Chmod(from, f.Mode|0o600); err != nil {
			return err
		}
		if err := os.Chtimes(from, f.Time, f.Time); err != nil {
			return err
		}
		if err := os.Rename(from, to); err != nil {
			return err
		}
	}
	keep := map[string]bool{}
	for _, f := range files {
		for p := filepath.FromSlash(f.Path); p != "."; p = filepath.Dir(p) {
			keep[p] = true
		}
	}
	err := filepath.WalkDir(b.files(), func(p string, d fs.DirEntry, err error) error {
		rel, relErr := filepath.Rel(b.files(), p)
		if err = errors.Join(err, relErr); err != nil || rel == "." || keep[rel] {
			return err
		}
		if err := os.RemoveAll(p); err != nil {
			return err
		}
		if d.IsDir() {
			return filepath.SkipDir
		}
		return nil
	})
	if err != nil {
		return err
	}
	return os.RemoveAll(filepath.Join(b.dir, incomingDir))
}

// clear makes way for a file: no part of its path may be another's file, and it no
// directory.
func clear(top, to string) error {
	for p := filepath.Dir(to); p != top; p = filepath.Dir(p) {
		if info, err := os.Lstat(p); err == nil && !info.IsDir() {
			return os.Remove(p)
		}
	}
	if info, err := os.Lstat(to); err == nil && info.IsDir() {
		return os.RemoveAll(to)
	}
	return nil
}

func duplicate(from, to string) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	info, err := in.Stat()
	if err != nil {
		return err
	}
	out, err := draft.Create(filepath.Dir(to))
	if err != nil {
		return err
	}
	defer out.Discard()
	if err := sparse.Copy(out.File, 0, in, 0, info.Size(), nil); err != nil {
		return err
	}
	if err := out.Sync(); err != nil {
		return err
	}
	return out.Publish(to, 0o600)
}

// settle notes what is there, and lets others run in it at the same time.
func (b *bundle) settle(ctx context.Context, files []File) error {
	index := map[string]known{}
	for _, f := range files {
		k, err := look(filepath.Join(b.files(), filepath.FromSlash(f.Path)))
		if err != nil {
			return err
		}
		k.SHA256 = f.SHA256
		index[f.Path] = k
	}
	data, err := json.Marshal(index)
	if err != nil {
		return err
	}
	path := filepath.Join(b.dir, indexFile)
	if err := draft.Write(path, data, 0o600); err != nil {
		return err
	}
	if err := b.hold(ctx, unix.LOCK_SH); err != nil {
		return err
	}
	// Another may have had the lock in between.
	if now, err := input.Read(path, maxFrame); err != nil || !bytes.Equal(now, data) {
		return fault.Newf(fault.Busy, "another ingot sends other files of the same name, %s", filepath.Base(b.dir)).WithHint("run it again")
	}
	return nil
}
