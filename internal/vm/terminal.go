package vm

import (
	"context"
	"errors"
	"io"
)

// errQuit ends a session because its user asked for it.
var errQuit = errors.New("quit")

// Console joins a terminal with the machine's serial console until the
// machine ends, ctx is done, or the user types Ctrl-A x (Ctrl-A Ctrl-A sends one
// Ctrl-A). What the console said so far comes first. An end of in leaves the
// console joined for reading.
//
// The caller puts the terminal into raw mode and back. Reading in may go on after
// Console has returned, for one read.
func (m *Machine) Console(ctx context.Context, in io.Reader, out io.Writer) error {
	for _, line := range m.out.Last(keptLines) {
		if _, err := io.WriteString(out, line+"\r\n"); err != nil {
			return err
		}
	}
	m.out.Tee(out)
	quit := make(chan struct{})
	go func() {
		if err := typed(in, m.line); errors.Is(err, errQuit) {
			close(quit)
		}
	}()
	select {
	case <-quit:
		return nil
	case <-m.proc.ended:
		<-m.drained
		if m.proc.status != nil {
			return m.proc.failure()
		}
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// escapeKey is Ctrl-A, as in QEMU's own console.
const escapeKey = 0x01

// typed copies what a user types to the machine and gives errQuit for Ctrl-A x.
func typed(in io.Reader, machine io.Writer) error {
	b := make([]byte, 256)
	escaped := false
	for {
		n, err := in.Read(b)
		send := make([]byte, 0, n)
		quit := false
		for _, c := range b[:n] {
			switch {
			case escaped && c == 'x':
				quit = true
			case escaped && c == escapeKey:
				send = append(send, escapeKey)
			case escaped:
				send = append(send, c)
			case c == escapeKey:
				escaped = true
				continue
			default:
				send = append(send, c)
			}
			escaped = false
			if quit {
				break
			}
		}
		if _, werr := machine.Write(send); werr != nil {
			return werr
		}
		if quit {
			return errQuit
		}
		if err != nil {
			return err
		}
	}
}

// Join joins a terminal with a wire until the wire ends, ctx is done, or the user types
// Ctrl-A x. An end of in leaves the wire joined for reading.
func Join(ctx context.Context, wire io.ReadWriteCloser, in io.Reader, out io.Writer) error {
	ended := make(chan error, 2)
	go func() {
		_, err := io.Copy(out, wire)
		ended <- err
	}()
	go func() {
		if err := typed(in, wire); errors.Is(err, errQuit) {
			ended <- nil
		}
	}()
	select {
	case err := <-ended:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}
