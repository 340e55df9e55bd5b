package plan

import (
	"errors"
	"os"
	"strings"
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

// checkRoom refuses to begin an output that its disk cannot hold.
func (w *worker) checkRoom(o Output) error {
	switch o.Format {
	case "dir", "tar", "raw", "qcow2":
	default: // nobody knows how small it will be
		return nil
	}
	var need int64
	for e := range w.tree.All() {
		if e.Content.Size == 0 {
			continue
		}
		pack, err := w.reader.Pack(e.Content.Pack)
		if err != nil {
			return err
		}
		n, err := sparse.Data(pack, e.Content.Offset, e.Content.Size)
		if err != nil {
			return err
		}
		need += n
	}
	dir, err := os.Open(w.To)
	if err != nil {
		return err
	}
	defer func() { _ = dir.Close() }()
	return sparse.Fits(dir, need)
}
