package draft

import (
	"errors"

	"golang.org/x/sys/unix"

	"ingot/internal/fault"
)

// Explain gives the errors of a place that cannot be written to (full, read-only,
// another user's, taken by something else) the exit code of a failed preflight check and a remedy; variable
// is the environment's name for the place. Other errors, and those that have a code, stay
// as they are.
func Explain(err error, variable string) error {
	if err == nil {
		return nil
	}
	if e, ok := errors.AsType[*fault.Error](err); ok && e != nil {
		return err
	}
	switch {
	case errors.Is(err, unix.ENOSPC), errors.Is(err, unix.EDQUOT):
		return fault.Newf(fault.Preflight, "no space left: %w", err).
			WithHint("free some, run 'ingot store gc --cache', or choose another place with %s", variable)
	case errors.Is(err, unix.ENOTDIR), errors.Is(err, unix.EISDIR), errors.Is(err, unix.ENOTEMPTY), errors.Is(err, unix.ELOOP):
		return (&fault.Error{Code: fault.Preflight, Err: err}).
			WithHint("something else lies in its place: move it away, or choose another place with %s", variable)
	case errors.Is(err, unix.EROFS), errors.Is(err, unix.EACCES), errors.Is(err, unix.EPERM):
		return (&fault.Error{Code: fault.Preflight, Err: err}).
			WithHint("choose a place that you may write to with %s", variable)
	}
	return err
}
