package plan

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"syscall"

	"ingot/internal/sparse"
)

// isFull finds a full disk, or a quota that is used up, in an error: as one of the
// kernel's, or as text that came out of the sandbox, where programs write it with a
// capital letter.
func isFull(err error) bool {
	for _, full := range []syscall.Errno{syscall.ENOSPC, syscall.EDQUOT} {
		if errors.Is(err, full) || err != nil && strings.Contains(strings.ToLower(err.Error()), full.Error()) {
			return true
		}
	}
	return false
}

// unpackedWhole says whether an output is at least as large as its tree: how small a
// compressed one will be nobody knows.
func unpackedWhole(o Output) bool {
	return !o.Small()
}

// foreseeRoom refuses, before any step runs, outputs that their disk cannot hold
// however much scripts remove: a tree is some three times as large as its packages.
func (w *worker) foreseeRoom(todo []Output) error {
	var need int64
	for _, o := range todo {
		if unpackedWhole(o) {
			for _, ref := range w.chain.Set.Refs {
				need += ref.Size
			}
		}
	}
	if err := w.fits(need); err != nil {
		return fmt.Errorf("artifacts in %s: %w", w.To, err)
	}
	return nil
}

// foreseeTree is foreseeRoom once packages say how large they are, and still before the first
// step runs: of what they install, scripts may remove half.
func (w *worker) foreseeTree(todo []Output) error {
	var tree, need int64
	for _, p := range w.packages {
		tree += min(w.Distro.Describe(p).Installed, 1<<48)
	}
	for _, o := range todo {
		if unpackedWhole(o) {
			need += tree / 2
		}
	}
	if err := w.fits(need); err != nil {
		return fmt.Errorf("artifacts in %s: %w", w.To, err)
	}
	return nil
}

// block is what most file systems give files by, in bytes.
const block = 4096

// A room is what outputs that are being written may still take of their disk, in bytes.
type room struct {
	mu    sync.Mutex
	freed *sync.Cond
	taken int64
}

func newRoom() *room {
	r := &room{}
	r.freed = sync.NewCond(&r.mu)
	return r
}

// take waits until there is room for an output beside those that are being written, or it is
// alone, and refuses it where there is none then. Whoever takes room gives it back.
func (r *room) take(need, expected int64, fits func(int64) error) (give func(), err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for {
		err = fits(need + r.taken)
		if err == nil || r.taken == 0 {
			break
		}
		r.freed.Wait()
	}
	if err != nil {
		return nil, err
	}
	r.taken += expected
	return func() {
		r.mu.Lock()
		r.taken -= expected
		r.mu.Unlock()
		r.freed.Broadcast()
	}, nil
}

// takeRoom refuses to begin an output that its disk cannot hold. Of a compressed one nobody
// knows how large it gets, but that it is hardly larger than its tree.
func (w *worker) takeRoom(o Output) (give func(), err error) {
	if !unpackedWhole(o) {
		return w.room.take(0, max(w.tree.Size(), 1), w.fits)
	}
	need, err := w.data(o)
	if err != nil {
		return nil, err
	}
	return w.room.take(need, max(need, 1), w.fits)
}

// data is how many bytes an output has at the least that is not compressed.
func (w *worker) data(o Output) (int64, error) {
	var need int64
	for e := range w.tree.All() {
		if e.Content.Size == 0 {
			continue
		}
		pack, err := w.reader.Pack(e.Content.Pack)
		if err != nil {
			return 0, err
		}
		n, err := sparse.Data(pack, e.Content.Offset, e.Content.Size)
		if err != nil {
			return 0, err
		}
		if o.Kind().Dir {
			n = (n + block - 1) / block * block
		}
		need += n
	}
	return need, nil
}

// fits says whether the disk of the artifacts has so many bytes free.
func (w *worker) fits(need int64) error {
	dir, err := os.Open(w.To)
	if err != nil {
		return err
	}
	defer func() { _ = dir.Close() }()
	return sparse.Fits(dir, need)
}
