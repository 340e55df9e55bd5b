package thinpool

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"ingot/internal/fault"
	"ingot/internal/host"
)

// A Mounted is a volume's file system, mounted nowhere: it is reached by an open directory, so
// that nothing of it is left when the process ends, however it does.
type Mounted struct {
	Root  *os.Root
	mount int
	after func() error
}

// Close ends it. All that was opened below it must be closed before.
func (m *Mounted) Close() error {
	err := errors.Join(m.Root.Close(), unix.Close(m.mount))
	if m.after != nil {
		err = errors.Join(err, m.after())
	}
	return err
}

// Flush has all of it on the disk.
func (m *Mounted) Flush() error {
	d, err := m.Root.Open(".") // what fsmount(2) gives is no file to flush
	if err != nil {
		return fmt.Errorf("flush: %w", err)
	}
	defer d.Close()
	if err := unix.Syncfs(int(d.Fd())); err != nil {
		return fmt.Errorf("flush: %w", err)
	}
	return nil
}

// detached gives a mount that is in no namespace.
func detached(device, kind string, readOnly bool) (int, error) {
	context, err := unix.Fsopen(kind, unix.FSOPEN_CLOEXEC)
	if err != nil {
		return -1, fmt.Errorf("mount %s: %w", device, err)
	}
	defer func() { _ = unix.Close(context) }()
	err = unix.FsconfigSetString(context, "source", device)
	attributes := unix.MOUNT_ATTR_NODEV | unix.MOUNT_ATTR_NOSUID
	if err == nil && readOnly {
		attributes |= unix.MOUNT_ATTR_RDONLY
		if err = unix.FsconfigSetFlag(context, "ro"); err == nil {
			err = unix.FsconfigSetFlag(context, "noload") // of a sealed base no journal can be replayed (ext4(5))
		}
	}
	if err == nil {
		err = unix.FsconfigCreate(context)
	}
	if err != nil {
		return -1, fmt.Errorf("mount %s: %w", device, err)
	}
	mount, err := unix.Fsmount(context, unix.FSMOUNT_CLOEXEC, attributes)
	if err != nil {
		return -1, fmt.Errorf("mount %s: %w", device, err)
	}
	return mount, nil
}

func open(mount int, after func() error) (*Mounted, error) {
	root, err := os.OpenRoot("/proc/self/fd/" + strconv.Itoa(mount))
	if err != nil {
		return nil, errors.Join(err, unix.Close(mount))
	}
	return &Mounted{root, mount, after}, nil
}

// running is the file system of the running layer, without what is mounted upon it.
func running() (*Mounted, error) {
	mount, err := unix.OpenTree(unix.AT_FDCWD, "/", unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("the running layer: %w", err)
	}
	return open(mount, nil)
}

// Mount mounts a base or layer. A base is mounted to be read, whatever is asked for; what
// runs is what is mounted already.
func (s *Store) Mount(ctx context.Context, n host.Name, write bool) (*Mounted, error) {
	all, err := s.volumes(ctx)
	if err != nil {
		return nil, err
	}
	i := slices.IndexFunc(all, func(v volume) bool { return v.Name == n.String() })
	if i < 0 {
		return nil, fault.Newf(fault.NotFound, "there is no volume %s", s.at(n.String()))
	}
	v := all[i]
	major, minor, err := rootDevice()
	if err != nil {
		return nil, err
	}
	if v.on(major, minor) {
		return running()
	}
	after, err := s.activate(ctx, v)
	if err != nil {
		return nil, err
	}
	m, err := s.mountActive(ctx, v, write && v.writable())
	if err != nil {
		return nil, errors.Join(err, after())
	}
	m.after = after
	return m, nil
}

// activate makes a volume's device, and gives what takes it away again where it was not there.
func (s *Store) activate(ctx context.Context, v volume) (after func() error, err error) {
	if v.active() {
		return func() error { return nil }, nil
	}
	if err := s.change(ctx, v, "--activate", "y", "--ignoreactivationskip"); err != nil {
		return nil, err
	}
	return func() error {
		if !v.skipped() {
			return nil // layers are active
		}
		return s.change(context.WithoutCancel(ctx), v, "--activate", "n")
	}, nil
}

func (s *Store) mountActive(ctx context.Context, v volume, write bool) (*Mounted, error) {
	device := "/dev/" + s.at(v.Name)
	kind, err := filesystem(ctx, device)
	if err != nil {
		return nil, err
	}
	if !strings.HasPrefix(kind, "ext") {
		return nil, fault.Newf(fault.Preflight, "%s has a file system of type %q", v.Name, kind).WithHint("bases and layers are of ext4")
	}
	mount, err := detached(device, "ext4", !write)
	if errors.Is(err, unix.EBUSY) && !write { // somebody has it mounted to write to
		mount, err = detached(device, "ext4", false)
	}
	if err != nil {
		return nil, err
	}
	return open(mount, nil)
}

// Contents are what is on volumes; a pool knows nothing of it.
type Contents interface {
	// Fill fills a new file system.
	Fill(ctx context.Context, root *os.Root) error
	// CarryOver makes the snapshot of a base a layer, whose device fstab is to name. From is
	// the layer that things are carried over from, old its base; nil is none.
	CarryOver(ctx context.Context, device string, layer, old, from *os.Root, name string) error
}

// fill makes a base's file system and fills it. It is flushed, taken off, and held against
// e2fsck before it counts.
func (s *Store) fill(ctx context.Context, v volume) error {
	if s.Contents == nil {
		return errors.New("there is nothing to fill it with")
	}
	if _, err := s.activate(ctx, v); err != nil {
		return err
	}
	device := "/dev/" + s.at(v.Name)
	if _, err := run(ctx, "mkfs.ext4", "-q", "-F", "-L", "", device); err != nil {
		return err
	}
	mount, err := detached(device, "ext4", false)
	if err != nil {
		return err
	}
	m, err := open(mount, nil)
	if err != nil {
		return err
	}
	if err = s.Contents.Fill(ctx, m.Root); err == nil {
		err = m.Flush()
	}
	if err := errors.Join(err, m.Close()); err != nil {
		return err
	}
	if _, err := run(ctx, "e2fsck", "-f", "-n", device); err != nil {
		return fmt.Errorf("what was written does not read back: %w", err)
	}
	return nil
}

// carryOver has what persists of another layer in a new one.
func (s *Store) carryOver(ctx context.Context, v volume, from host.Name) (err error) {
	if s.Contents == nil {
		return nil
	}
	m, err := s.mountActive(ctx, v, true)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, m.Close()) }()
	var old, other *os.Root
	if !from.IsZero() {
		for _, o := range []struct {
			of host.Name
			to **os.Root
		}{{from.Base(), &old}, {from, &other}} {
			mounted, err := s.Mount(ctx, o.of, false)
			if err != nil {
				return err
			}
			defer func() { err = errors.Join(err, mounted.Close()) }()
			*o.to = mounted.Root
		}
	}
	if err := s.Contents.CarryOver(ctx, "/dev/"+s.at(v.Name), m.Root, old, other, from.String()); err != nil {
		return err
	}
	return m.Flush()
}
