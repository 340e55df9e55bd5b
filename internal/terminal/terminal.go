// Package terminal is the terminal that whoever calls ingot sits at: its modes and its
// size, and one of its own for a program of an image.
//
// A program that a sandbox runs never gets the caller's terminal as its controlling one:
// that belongs to the caller's session, and a terminal has one (TIOCSCTTY, ioctl_tty(2)).
// Without one a shell has no job control, and Ctrl-C would end the build and not what
// the shell runs. [Lend] makes a pair of pseudoterminals (pty(7)) and copies between
// them and the caller's, as ssh and sudo do. What runs in there can push no bytes into the
// caller's terminal either, nor change its modes.
package terminal

import (
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"golang.org/x/term"
)

// Is says whether a file is a terminal.
func Is(f *os.File) bool { return term.IsTerminal(int(f.Fd())) }

// Raw puts a terminal into raw mode, in which every byte that is typed goes to whoever
// reads, Ctrl-C too. What it gives undoes that.
func Raw(f *os.File) (restore func(), err error) {
	fd := int(f.Fd())
	old, err := term.MakeRaw(fd)
	if err != nil {
		return nil, fmt.Errorf("terminal: %w", err)
	}
	return func() {
		// A terminal that went away needs no repair.
		_ = term.Restore(fd, old) //nolint:errcheck // see above
	}, nil
}

// A Size is a terminal's, in characters.
type Size struct{ Width, Height int }

// SizeOf gives a terminal's size; 80 by 24 if it does not tell.
func SizeOf(f *os.File) Size {
	w, h, err := term.GetSize(int(f.Fd()))
	if err != nil || w < 1 || h < 1 {
		return Size{80, 24}
	}
	return Size{w, h}
}

// Sizes tells a terminal's new size whenever it changes, until stop is called.
func Sizes(f *os.File) (sizes <-chan Size, stop func()) {
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGWINCH)
	out, done := make(chan Size), make(chan struct{})
	go func() {
		for {
			select {
			case <-signals:
			case <-done:
				return
			}
			select {
			case out <- SizeOf(f):
			case <-done:
				return
			}
		}
	}()
	return out, func() { signal.Stop(signals); close(done) }
}
