package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/crypto/ssh"
	"golang.org/x/term"

	"ingot/internal/fault"
	"ingot/internal/ui"
	"ingot/internal/vm"
)

// rawTerminal puts the verb's input into raw mode, if it is a terminal, and gives its
// number (or -1) and what undoes it.
func rawTerminal(cmd *cobra.Command) (fd int, restore func(), err error) {
	in, ok := cmd.InOrStdin().(*os.File)
	if !ok || !term.IsTerminal(int(in.Fd())) {
		return -1, func() {}, nil
	}
	fd = int(in.Fd())
	old, err := term.MakeRaw(fd)
	if err != nil {
		return -1, nil, fmt.Errorf("terminal: %w", err)
	}
	return fd, func() {
		// A terminal that went away needs no repair.
		_ = term.Restore(fd, old) //nolint:errcheck // see above
	}, nil
}

// joinConsole is "boot --console".
func joinConsole(cmd *cobra.Command, m *vm.Machine) error {
	fmt.Fprintln(cmd.ErrOrStderr(), "the console of the machine; Ctrl-A x ends it")
	_, restore, err := rawTerminal(cmd)
	if err != nil {
		return err
	}
	defer restore()
	return m.Console(cmd.Context(), cmd.InOrStdin(), cmd.OutOrStdout())
}

// openShell is "boot --ssh" once the machine is up; before is done when progress is shown
// no more, and the shell not yet.
func openShell(cmd *cobra.Command, m *vm.Machine, progress *ui.Progress, limit time.Duration, before func() error) error {
	key, err := vm.NewKey(rand.Reader)
	if err != nil {
		return err
	}
	wait, cancel := context.WithTimeout(cmd.Context(), limit)
	defer cancel()
	access, err := m.Admit(wait, key)
	if err != nil {
		return err
	}
	client, err := access.Dial(wait, key)
	if err != nil {
		return err
	}
	defer func() { _ = client.Close() }()
	dir, err := os.MkdirTemp("", "ingot-boot-")
	if err != nil {
		return fmt.Errorf("ssh key: %w", err)
	}
	defer func() { _ = os.RemoveAll(dir) }()
	words, err := key.Save(dir, access)
	if err != nil {
		return err
	}
	progress.Notef("elsewhere, while this shell is open: %s", strings.Join(words, " "))
	progress.Close()
	if err := before(); err != nil {
		return err
	}

	t := vm.Terminal{In: cmd.InOrStdin(), Out: cmd.OutOrStdout(), Err: cmd.ErrOrStderr()}
	fd, restore, err := rawTerminal(cmd)
	if err != nil {
		return err
	}
	defer restore()
	if fd >= 0 {
		if t.Type = environ("TERM"); t.Type == "" {
			t.Type = "vt100"
		}
		if t.Width, t.Height, err = term.GetSize(fd); err != nil {
			t.Width, t.Height = 80, 24
		}
		resized, stop := watchSize(fd)
		defer stop()
		t.Resized = resized
	}
	err = vm.Shell(cmd.Context(), client, t)
	if exit, ok := errors.AsType[*ssh.ExitError](err); ok {
		return fault.Newf(fault.Failed, "the shell exited %d", exit.ExitStatus())
	}
	if _, ok := errors.AsType[*ssh.ExitMissingError](err); ok {
		return nil // the machine was shut down from inside
	}
	return err
}

// watchSize tells a terminal's new size whenever it changes.
func watchSize(fd int) (sizes <-chan [2]int, stop func()) {
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGWINCH)
	out, done := make(chan [2]int), make(chan struct{})
	go func() {
		for {
			select {
			case <-signals:
			case <-done:
				return
			}
			if w, h, err := term.GetSize(fd); err == nil {
				select {
				case out <- [2]int{w, h}:
				case <-done:
					return
				}
			}
		}
	}()
	return out, func() { signal.Stop(signals); close(done) }
}
