package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/crypto/ssh"

	"ingot/internal/fault"
	"ingot/internal/terminal"
	"ingot/internal/ui"
	"ingot/internal/vm"
)

// rawTerminal puts the verb's input into raw mode, if it is a terminal, and gives it (or
// nil) and what undoes it.
func rawTerminal(cmd *cobra.Command) (in *os.File, restore func(), err error) {
	in, ok := cmd.InOrStdin().(*os.File)
	if !ok || !terminal.Is(in) {
		return nil, func() {}, nil
	}
	restore, err = terminal.Raw(in)
	return in, restore, err
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
	in, restore, err := rawTerminal(cmd)
	if err != nil {
		return err
	}
	defer restore()
	if in != nil {
		if t.Type = environ("TERM"); t.Type == "" {
			t.Type = "vt100"
		}
		t.Size = terminal.SizeOf(in)
		resized, stop := terminal.Sizes(in)
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
