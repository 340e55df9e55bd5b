package content

import (
	"errors"
	"io/fs"
	"path"
	"strings"
)

// Reset makes a snapshot of a base a layer in which nothing of the host's is but what tells of
// this machine whatever it is used for: its disks, its identity, and the keys that others know
// it by. Of the roots it needs New, Device and Host.
func Reset(r Roots) error {
	kept := append([]string{"machine-id"}, hostsOwn...)
	inSSH, err := names(r.Host, path.Join(etcDir, "ssh"))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	for _, name := range inSSH {
		if strings.HasPrefix(name, "ssh_host_") {
			kept = append(kept, path.Join("ssh", name))
		}
	}
	for _, name := range kept {
		if err := copyTree(r.Host, r.New, path.Join(etcDir, name)); err != nil {
			return err
		}
	}
	return rewriteRoot(r.New, r.Device)
}
