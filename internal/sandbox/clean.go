package sandbox

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
)

// RemoveAll removes a work directory of a box on disk with all in it. To an
// ordinary user its files are those of subordinate ids; a box of its own can
// remove them.
func RemoveAll(path string) error {
	err := os.RemoveAll(path)
	if err == nil || !errors.Is(err, fs.ErrPermission) {
		return err
	}
	inner := filepath.Join(path, "tree")
	b, err := New(context.Background(), Options{Dir: inner})
	if err != nil {
		return err
	}
	_, err = b.call(context.Background(), request{Empty: true}, nil)
	_ = b.Close()
	return errors.Join(err, os.RemoveAll(path))
}

// empty removes all that is in the tree.
func (in *box) empty() error {
	names, err := readNames(treeDir)
	if err != nil {
		return err
	}
	return in.remove(names)
}
