package content

import (
	"errors"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"

	"ingot/internal/etc"
	"ingot/internal/fault"
)

// Settle decides a conflict of the running layer's: the host's file stays, or the image's,
// which lies beside it, takes its place. The path is below /etc.
func Settle(root *os.Root, name string, choice etc.Choice) error {
	rep, err := ReadReport(root)
	if err != nil {
		return err
	}
	name = strings.TrimPrefix(path.Clean("/"+name), "/")
	name = strings.TrimPrefix(name, etcDir+"/")
	i := slices.IndexFunc(rep.Conflicts, func(c etc.Conflict) bool { return c.Path == name })
	if i < 0 {
		return fault.Newf(fault.NotFound, "there is no conflict about /etc/%s", name).WithHint("\"ingot host etc\" lists them")
	}
	at := path.Join(etcDir, name)
	if aside := rep.Conflicts[i].Aside; aside != "" {
		aside = path.Join(etcDir, aside)
		if err := settleAside(root, at, aside, choice); err != nil {
			return err
		}
	} else if choice == etc.New && rep.Conflicts[i].Kind == etc.Removed {
		if err := root.RemoveAll(at); err != nil {
			return err
		}
	} else if choice == etc.New {
		return fault.Newf(fault.NotFound, "the image's /etc/%s lies nowhere beside the host's", name).WithHint("it is in the base: \"ingot host diff\" compares with it")
	}
	rep.Conflicts = slices.Delete(rep.Conflicts, i, i+1)
	return writeReport(root, rep)
}

// settleAside decides where the image's lies beside the host's.
func settleAside(root *os.Root, at, aside string, choice etc.Choice) error {
	switch _, err := root.Lstat(aside); {
	case errors.Is(err, fs.ErrNotExist):
		return nil // somebody has decided already
	case err != nil:
		return err
	}
	if choice == etc.Host {
		return root.RemoveAll(aside)
	}
	if info, err := root.Lstat(at); err == nil && info.IsDir() { // rename(2) replaces no directory by a file
		if err := root.RemoveAll(at); err != nil {
			return err
		}
	}
	return root.Rename(aside, at)
}
