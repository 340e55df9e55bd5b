package terminal

import (
	"errors"
	"fmt"
	"io"
	"os"

	"golang.org/x/sys/unix"
)

// Files are a program's standard files. If Controls is set they are a terminal that shall
// become the controlling one of the program's session.
type Files struct {
	In, Out, Err *os.File
	Controls     bool
}

// Lend gives use a terminal of its own that shows in the caller's and hears what is typed
// there, and waits until all that was written to it is shown. The caller's is raw meanwhile
// and as before afterwards; nothing that is typed later is taken. Where the caller's files
// are no terminal, use gets them as they are.
//
// The program that use starts must be the leader of a session ([Files].Controls): when a
// leader ends, the kernel hangs its terminal up, whatever else still has it open.
func Lend(own Files, use func(Files) error) error {
	if !Is(own.In) || !Is(own.Out) {
		return use(own)
	}
	ours, theirs, err := pair()
	if err != nil {
		return err
	}
	defer func() { _, _ = ours.Close(), theirs.Close() }()
	resize(ours, SizeOf(own.In))
	sizes, unwatch := Sizes(own.In)
	restore, err := Raw(own.In)
	if err != nil {
		unwatch()
		return err
	}
	stop, stopped, err := os.Pipe()
	if err != nil {
		unwatch()
		restore()
		return fmt.Errorf("cannot make a pipe: %w", err)
	}
	shown, heard := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(shown)
		_, _ = io.Copy(own.Out, ours) // ends with EIO once nobody has theirs
	}()
	go func() {
		defer close(heard)
		hear(own.In, ours, stop)
	}()
	go func() {
		for {
			select {
			case s := <-sizes:
				resize(ours, s)
			case <-heard:
				return
			}
		}
	}()
	err = use(Files{In: theirs, Out: theirs, Err: theirs, Controls: true})
	_ = theirs.Close()
	<-shown
	_ = stopped.Close()
	<-heard
	unwatch()
	restore()
	_ = stop.Close()
	return err
}

// hear copies what is typed until the other end of stop is closed: a read that waited
// could take what is typed for whoever comes next.
func hear(in, ours, stop *os.File) {
	b := make([]byte, 4096)
	fds := []unix.PollFd{{Fd: int32(in.Fd()), Events: unix.POLLIN}, {Fd: int32(stop.Fd()), Events: unix.POLLIN}} //nolint:gosec // file descriptors are small
	for {
		_, err := unix.Poll(fds, -1)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil || fds[1].Revents != 0 {
			return
		}
		n, err := unix.Read(int(in.Fd()), b)
		if err != nil || n <= 0 {
			return // hung up: a signal tells ingot
		}
		if _, err := ours.Write(b[:n]); err != nil {
			return
		}
	}
}

// resize tells whoever is at a terminal its size. One that ended needs none.
func resize(ours *os.File, s Size) {
	w := unix.Winsize{Row: uint16(min(s.Height, 1<<15)), Col: uint16(min(s.Width, 1<<15))} //nolint:gosec // bounded
	_ = unix.IoctlSetWinsize(int(ours.Fd()), unix.TIOCSWINSZ, &w)
}

// pair makes a pseudoterminal. Neither end becomes ingot's own controlling terminal.
func pair() (ours, theirs *os.File, err error) {
	ours, err = os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		return nil, nil, fmt.Errorf("cannot make a terminal: %w", err)
	}
	fd := int(ours.Fd())
	if err = unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0); err == nil {
		// By its other end and not by its path, which another file system may have here.
		peer, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), unix.TIOCGPTPEER, unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC)
		if errno == 0 {
			return ours, os.NewFile(peer, "terminal"), nil
		}
		err = errno
	}
	_ = ours.Close()
	return nil, nil, fmt.Errorf("cannot make a terminal: %w", err)
}
