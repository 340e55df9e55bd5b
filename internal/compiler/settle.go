package compiler

import (
	"context"
	"errors"
	"io/fs"
	"slices"

	"ingot/internal/definition"
	"ingot/internal/fault"
	"ingot/internal/lock"
)

// State says how a lock stands to its definition.
type State int

// The states of a lock.
const (
	Fits      State = iota // nothing has changed
	Files                  // the definition changed in nothing that chooses packages
	Stale                  // packages must be chosen anew
	NotLocked              // there is no lock
)

// Compare holds a lock against its definition. It reads the definition's files
// and no network.
func Compare(def *definition.Definition, l *lock.Lock) (State, error) {
	if l == nil {
		return NotLocked, nil
	}
	if l.Request != Request(def) {
		return Stale, nil
	}
	files, err := lock.Files(def)
	if err != nil {
		return Stale, err
	}
	if l.Definition != def.Digest() || !slices.Equal(files, l.Files) {
		return Files, nil
	}
	return Fits, nil
}

// Settle gives the lock to build from, and whether it differs from the one at
// path. A strict build takes a lock that fits and nothing else.
func (c *Compiler) Settle(ctx context.Context, def *definition.Definition, path string, strict bool) (l *lock.Lock, changed bool, err error) {
	old, err := lock.Read(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, false, err
	}
	state, err := Compare(def, old)
	if err != nil {
		return nil, false, err
	}
	if strict && state != Fits {
		why := map[State]string{Files: "the definition or a file that it names changed since", Stale: "what chooses packages in the definition changed since", NotLocked: "it is not there"}[state]
		return nil, false, fault.Newf(fault.Verification, "the lock %s does not fit its definition: %s", path, why).
			WithHint("run 'ingot lock', look at what changed, and commit the lock")
	}
	switch state {
	case Fits:
		return old, false, nil
	case Files:
		l := *old
		l.Definition, l.Seals = def.Digest(), nil
		if l.Files, err = lock.Files(def); err != nil {
			return nil, false, err
		}
		return &l, true, nil
	case Stale, NotLocked:
	}
	l, err = c.Compile(ctx, def, old, Move{})
	return l, true, err
}
