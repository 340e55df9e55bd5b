package plan

import (
	"os"
	"strings"
	"syscall"

	"ingot/internal/sparse"
)

const errNoSpace = syscall.ENOSPC

// saysNoSpace finds a full disk in an error that came out of the sandbox as text.
func saysNoSpace(err error) bool {
	return err != nil && strings.Contains(err.Error(), errNoSpace.Error())
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
