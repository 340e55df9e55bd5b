package sandbox

import (
	"context"
	"errors"
	"fmt"

	"golang.org/x/sys/unix"

	"ingot/internal/tree"
)

type coverRequest struct {
	Program string // of the station
	Path    string // in the tree
	On      bool
}

// Cover shows a program of the station in the place of a file of the tree, to whoever
// sees the tree from the station, or no longer does. The tree itself stays as it is.
func (b *Box) Cover(ctx context.Context, program, path string, on bool) error {
	_, err := b.call(ctx, request{Cover: &coverRequest{program, path, on}}, nil)
	return err
}

func (in *box) cover(r *coverRequest) error {
	if in.station == nil {
		return errors.New("the box has no station")
	}
	if err := tree.CheckPath(r.Path); err != nil || r.Path == "" {
		return fmt.Errorf("cannot cover %q: %w", r.Path, err)
	}
	// Links of the tree may lead out of it.
	view := stationDir + in.station.Tree
	var fd int
	err := confined(view, func() (err error) {
		fd, err = unix.Open("/"+r.Path, unix.O_PATH|unix.O_CLOEXEC, 0)
		return err
	})
	if err != nil {
		return fmt.Errorf("cannot cover /%s: %w", r.Path, err)
	}
	defer func() { _ = unix.Close(fd) }()
	at := fmt.Sprintf("/proc/self/fd/%d", fd)
	var st unix.Statx_t
	if err := unix.Statx(fd, "", unix.AT_EMPTY_PATH, 0, &st); err != nil {
		return fmt.Errorf("cannot look at /%s: %w", r.Path, err)
	}
	covered := st.Attributes&unix.STATX_ATTR_MOUNT_ROOT != 0
	switch {
	case r.On && !covered:
		err = unix.Mount(stationDir+r.Program, at, "", unix.MS_BIND, "")
	case !r.On && covered:
		err = unix.Unmount(at, unix.MNT_DETACH)
	}
	if err != nil {
		return fmt.Errorf("cannot cover /%s: %w", r.Path, err)
	}
	return nil
}
