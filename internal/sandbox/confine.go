package sandbox

import (
	"errors"
	"fmt"
	"os"
	"path"
	"runtime"
	"strings"

	"golang.org/x/sys/unix"
)

// confined runs f on a thread whose root is a directory, the tree's in most cases, so
// that no symbolic link below it, absolute ones included, leads out of it. The thread is
// not used for anything else afterwards. Paths in f begin with "/".
func confined(root string, f func() error) error {
	done := make(chan error)
	go func() {
		runtime.LockOSThread() // never unlocked: the runtime ends the thread with the goroutine
		err := unix.Unshare(unix.CLONE_FS)
		if err == nil {
			err = unix.Chroot(root)
		}
		if err == nil {
			err = unix.Chdir("/")
		}
		if err != nil {
			done <- fmt.Errorf("cannot enter the tree: %w", err)
			return
		}
		done <- f()
	}()
	return <-done
}

// A resolver turns a path into the one that the kernel would reach, its parents
// free of symbolic links; it remembers directories. It works in a confined
// thread.
type resolver map[string]string

// resolve follows symbolic links in all parts but the last: "lib/x" becomes
// "usr/lib/x" where /lib is a link.
func (r resolver) resolve(p string) (string, error) {
	dir, base := path.Split(p)
	d, err := r.dir(strings.TrimSuffix(dir, "/"), 0)
	if err != nil {
		return "", err
	}
	return path.Join(d, base), nil
}

const maxLinks = 40 // as the kernel (path_resolution(7))

func (r resolver) dir(p string, links int) (string, error) {
	if p == "" {
		return "", nil
	}
	if known, ok := r[p]; ok {
		return known, nil
	}
	parent, base := path.Split(p)
	d, err := r.dir(strings.TrimSuffix(parent, "/"), links)
	if err != nil {
		return "", err
	}
	full := path.Join(d, base)
	target, err := os.Readlink("/" + full)
	switch {
	case errors.Is(err, unix.EINVAL): // not a link
	case err != nil:
		return full, nil //nolint:nilerr // not there yet
	case links == maxLinks:
		return "", fmt.Errorf("too many symbolic links at /%s", p)
	default:
		if !strings.HasPrefix(target, "/") {
			target = "/" + d + "/" + target
		}
		if full, err = r.dir(strings.TrimPrefix(path.Clean(target), "/"), links+1); err != nil {
			return "", err
		}
	}
	r[p] = full
	return full, nil
}
