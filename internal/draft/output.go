package draft

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"ingot/internal/fault"
)

// An Output is a draft of a file that somebody named, wherever that may be.
type Output struct {
	*File
	to string
}

// CreateOutput begins a draft beside the file that it becomes. What is there and is no
// regular file is refused with [fault.Usage]: a draft would take the place of a device or
// of a link, and not go where they lead.
func CreateOutput(to string) (*Output, error) {
	if err := replaceable(to); err != nil {
		return nil, err
	}
	f, err := create(filepath.Dir(to), 0o666)
	if err != nil {
		return nil, err
	}
	return &Output{f, to}, nil
}

// Publish gives the draft its name, in place of a file that has it, with the mode that the
// umask leaves, and flushes both to disk.
func (o *Output) Publish() error {
	defer o.Discard()
	if err := o.Sync(); err != nil {
		return fmt.Errorf("cannot flush %s: %w", o.to, err)
	}
	if err := replaceable(o.to); err != nil { // it took its time
		return err
	}
	if err := o.publish(o.to); err != nil {
		return err
	}
	return SyncDir(filepath.Dir(o.to))
}

// replaceable refuses names of what is no regular file.
func replaceable(path string) error {
	info, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("cannot write %s: %w", path, err)
	}
	var kind string
	switch mode := info.Mode(); {
	case mode.IsRegular():
		return nil
	case mode.IsDir():
		kind = "directory"
	case mode&fs.ModeSymlink != 0:
		kind = "symbolic link"
	case mode&fs.ModeNamedPipe != 0:
		kind = "named pipe"
	case mode&fs.ModeSocket != 0:
		kind = "socket"
	default:
		kind = "device"
	}
	return fault.Newf(fault.Usage, "%s is a %s, and is not replaced by a file", path, kind).
		WithHint("name a file, or one that is not there yet")
}
