// Package fault is how ingot says what went wrong: an error with the exit code
// of the process and, where there is one, the remedy.
//
// A room wraps what it can name ([Newf], [Wrap]); cmd/ingot prints the message
// behind "error:" and the hint behind "hint:" and exits with [CodeOf]. An error
// without a code exits 1. The codes are the one table of docs/reference/exit-codes.md.
package fault

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"unicode"
)

// A Code is an exit code of the process.
type Code int

// The exit codes. They are part of the command line's contract.
const (
	Done         Code = 0
	Failed       Code = 1
	Usage        Code = 2   // wrong use of the command line
	Definition   Code = 3   // the definition is invalid
	NotFound     Code = 4   // no such package, flavor, image or version
	Verification Code = 5   // a signature, digest or freshness check failed
	Busy         Code = 6   // locked by another ingot
	Unreachable  Code = 7   // a mirror or server did not answer
	Health       Code = 8   // a boot or health test failed
	Preflight    Code = 9   // no space, or a check before work failed
	Choice       Code = 10  // a choice is needed
	Interrupted  Code = 130 // the user or a supervisor stopped it
)

// An Error carries a code and an optional hint around a cause.
type Error struct {
	Code Code
	Hint string // one line that tells what to do, or empty
	Err  error
}

func (e *Error) Error() string { return e.Err.Error() }

// Unwrap gives the cause to errors.Is and errors.As.
func (e *Error) Unwrap() error { return e.Err }

// Newf makes an error with a code; the format may hold one %w.
func Newf(code Code, format string, args ...any) *Error {
	return &Error{Code: code, Err: fmt.Errorf(format, args...)}
}

// Wrap puts a code on err; a nil err stays nil, and an err that has a code
// already keeps it.
func Wrap(code Code, err error) error {
	if err == nil {
		return nil
	}
	if e, ok := errors.AsType[*Error](err); ok && e != nil {
		return err
	}
	return &Error{Code: code, Err: err}
}

// WithHint returns the error with a remedy; the format is Sprintf's.
func (e *Error) WithHint(format string, args ...any) *Error {
	c := *e
	c.Hint = fmt.Sprintf(format, args...)
	return &c
}

// A Position is where somebody asked for what went wrong: a line of a file, as he would
// name it. The zero one is nowhere.
type Position struct {
	File string
	Line int // from 1
}

// A Located is an error that says who asked for what failed.
type Located struct {
	Position
	Err error
}

// Error is the cause behind its position.
func (l *Located) Error() string { return fmt.Sprintf("%s:%d: %v", l.File, l.Line, l.Err) }

// Unwrap gives the cause to errors.Is and errors.As.
func (l *Located) Unwrap() error { return l.Err }

// At puts a position on err. A nil err stays nil, one that has a position keeps that,
// which is nearer to the cause, and nowhere adds nothing.
func (p Position) At(err error) error {
	if err == nil || p.Line == 0 {
		return err
	}
	if _, there := errors.AsType[*Located](err); there {
		return err
	}
	return &Located{p, err}
}

// PositionOf is the position in an error's chain, or nowhere.
func PositionOf(err error) Position {
	if l, ok := errors.AsType[*Located](err); ok {
		return l.Position
	}
	return Position{}
}

// CodeOf is the exit code that an error asks for. The outermost code wins.
func CodeOf(err error) Code {
	if err == nil {
		return Done
	}
	if e, ok := errors.AsType[*Error](err); ok {
		return e.Code
	}
	if errors.Is(err, context.Canceled) {
		return Interrupted
	}
	return Failed
}

// HintOf is the outermost hint in an error's chain, or empty.
func HintOf(err error) string {
	for err != nil {
		e, ok := errors.AsType[*Error](err)
		if !ok {
			return ""
		}
		if e.Hint != "" {
			return e.Hint
		}
		err = e.Err
	}
	return ""
}

// Word is a text as one word of a command line in a hint: as it is, or in quotes, so
// that a POSIX shell into which somebody pastes it reads the same.
func Word(text string) string {
	plain := func(r rune) bool {
		return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("_@%+=:,./-", r) || r > 0x7f && unicode.IsPrint(r)
	}
	if text != "" && strings.IndexFunc(text, func(r rune) bool { return !plain(r) }) < 0 {
		return text
	}
	if strings.IndexFunc(text, unicode.IsControl) < 0 {
		return "'" + strings.ReplaceAll(text, "'", `'\''`) + "'"
	}
	// What moves a terminal's cursor cannot be shown as it is; printf(1) makes it again.
	var b strings.Builder
	for _, c := range []byte(text) {
		if c < 0x80 && plain(rune(c)) {
			b.WriteByte(c)
		} else {
			fmt.Fprintf(&b, `\%03o`, c)
		}
	}
	return `"$(printf '` + strings.ReplaceAll(b.String(), "%", "%%") + `')"`
}

// File is the path of a file as a [Word] that no program takes for an option.
func File(path string) string {
	if strings.HasPrefix(path, "-") {
		path = "./" + path
	}
	return Word(path)
}
