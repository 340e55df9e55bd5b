package sandbox

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"syscall"

	"golang.org/x/sys/unix"
)

// run runs one program with the root as its root and ends whatever it leaves.
func (in *box) run(r *runRequest, files []*os.File) (reply, error) {
	if len(r.Argv) == 0 || len(files) != 3+r.Extra {
		return reply{}, errors.New("a program and its files are needed")
	}
	if err := in.remember(); err != nil {
		return reply{}, err
	}
	unmount, err := in.mountView()
	if err != nil {
		return reply{}, err
	}
	defer unmount()
	root := rootDir
	if r.Native {
		hide, err := showNative()
		if err != nil {
			return reply{}, err
		}
		defer hide()
		root = nativeDir
	}
	cmd := &exec.Cmd{
		Path: r.Argv[0], Args: r.Argv, Env: r.Env, Dir: r.Dir,
		Stdin: files[0], Stdout: files[1], Stderr: files[2], ExtraFiles: files[3:],
		SysProcAttr: &syscall.SysProcAttr{Chroot: root, Setsid: true, Setctty: r.TTY},
	}
	if cmd.Dir == "" {
		cmd.Dir = "/"
	}
	if cmd.Env == nil {
		cmd.Env = []string{}
	}
	thread := in.offline
	if r.Network {
		thread = in.online
	}
	err = thread.do(withFewFiles(cmd.Start))
	if err != nil {
		return reply{}, fmt.Errorf("cannot start %s: %w", r.Argv[0], err)
	}
	err = cmd.Wait()
	// As process 1 of the namespace this reaches everything else in it.
	if in.busy() {
		// Not everything in it is this program's: the station's goes on.
		_ = unix.Kill(-cmd.Process.Pid, unix.SIGKILL)
	} else {
		_ = unix.Kill(-1, unix.SIGKILL)
		reap()
	}
	return ended(r.Argv[0], err)
}

// ended says how a program ended.
func ended(program string, err error) (reply, error) {
	var exit *exec.ExitError
	switch {
	case err == nil:
		return reply{}, nil
	case errors.As(err, &exit):
		status := exit.Sys().(syscall.WaitStatus) //nolint:forcetypeassert // on Linux it is
		if status.Signaled() {
			return reply{Code: -1, Signal: int(status.Signal())}, nil
		}
		return reply{Code: status.ExitStatus()}, nil
	}
	return reply{}, fmt.Errorf("cannot wait for %s: %w", program, err)
}

// reap collects what was orphaned, so that no process is left in the namespace
// when the next program or a capture begins.
func reap() {
	for {
		_, err := unix.Wait4(-1, nil, 0, nil)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			return
		}
	}
}
