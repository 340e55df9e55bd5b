package host

import (
	"context"
	"fmt"
)

// A Store is where bases and layers live.
type Store interface {
	// Observe fills in what volumes tell of a host: Volumes, Foreign, Bad, Stuck, Pool, Meta
	// and Booted.
	Observe(ctx context.Context, s *State) error
	// Do does a step that is no loader's. Doing it again is no error.
	Do(ctx context.Context, step Step) error
}

// A Loader is how a boot is chosen.
type Loader interface {
	// Observe fills in what the boot partition tells: Loader, Entries, Kernels, Litter, Boot.
	Observe(ctx context.Context, s *State) error
	// Do does a step of the boot partition's. Doing it again is no error.
	Do(ctx context.Context, step Step) error
}

// A Host is a store and, where there is one, a loader.
type Host struct {
	Store  Store
	Loader Loader // nil is none
}

// Observe looks at all of it.
func (h Host) Observe(ctx context.Context) (State, error) {
	s := State{Volumes: []Volume{}, Foreign: []string{}, Bad: []string{}, Stuck: []int{}, Entries: []Entry{}, Kernels: []Kernel{}, Litter: []string{}}
	if err := h.Store.Observe(ctx, &s); err != nil {
		return s, err
	}
	if h.Loader != nil {
		if err := h.Loader.Observe(ctx, &s); err != nil {
			return s, err
		}
	}
	return s, nil
}

// Do proves a verb's steps and does them, one after the other. Where one fails, or it is
// interrupted, what was done stays, and a repair ends it.
func (h Host) Do(ctx context.Context, s State, steps []Step, say func(Step)) error {
	if err := s.Prove(steps); err != nil {
		return err
	}
	for _, step := range steps {
		if err := ctx.Err(); err != nil {
			return err
		}
		say(step)
		do := h.Store.Do
		if step.loads() {
			do = h.Loader.Do
		}
		if err := do(ctx, step); err != nil {
			return fmt.Errorf("cannot %s: %w", step, err)
		}
	}
	return nil
}
