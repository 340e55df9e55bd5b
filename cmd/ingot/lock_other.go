package main

import (
	"context"

	"github.com/spf13/cobra"

	"ingot/internal/compiler"
	"ingot/internal/distro"
	"ingot/internal/lock"
	"ingot/internal/supply"
)

// An otherLock is what "ingot lock" goes by beside the definition and its own lock.
type otherLock struct {
	repositoryFlags
	like, choose string
	latest       bool
}

func (o *otherLock) add(cmd *cobra.Command) {
	cmd.Flags().StringVar(&o.like, "like", "", "stay close to this `lock` or version of a group: what both have comes in its version, as far as there is that")
	cmd.Flags().StringVar(&o.choose, "choose-from", "", "choose from the packages of this `lock` or version of a group alone; no index is read")
	cmd.Flags().BoolVar(&o.latest, "require-latest", false, "refuse packages that are older than the newest there are")
	o.addPlace(cmd)
	o.addFresh(cmd)
}

// read reads the locks that were named, and what the packages to choose from say of themselves. What
// it brought into the store stays there until done is called.
func (o *otherLock) read(cmd *cobra.Command, h *house, move *compiler.Move) (done func(), err error) {
	done = func() {}
	if o.like != "" {
		if move.Like, _, err = o.lock(cmd, h, o.like, false); err != nil {
			return nil, err
		}
	}
	if o.choose == "" {
		return done, nil
	}
	l, done, err := o.lock(cmd, h, o.choose, true)
	if err != nil {
		return nil, err
	}
	move.From = &compiler.Snapshot{Lock: l}
	if move.From.Packages, err = h.controls(cmd.Context(), l); err != nil {
		done()
		return nil, err
	}
	return done, nil
}

// lock reads a lock's file or that of a version of a group; all says that its packages are to be in the store.
func (o *otherLock) lock(cmd *cobra.Command, h *house, text string, all bool) (l *lock.Lock, done func(), err error) {
	done = func() {}
	if !isSpec(text) {
		l, err := readLock(text)
		return l, done, err
	}
	r, err := o.open()
	if err != nil {
		return nil, nil, err
	}
	g, _, err := o.one(cmd.Context(), r, text)
	if err != nil || !all {
		if err == nil {
			l = g.Lock
		}
		return l, done, err
	}
	done, err = bring(cmd.Context(), h.store, g, func(int64) {})
	return g.Lock, done, err
}

// controls is what the packages of a lock say of themselves; those that are not here are fetched.
func (h *house) controls(ctx context.Context, l *lock.Lock) ([]distro.Package, error) {
	s := h.supply(l)
	refs := compiler.Refs(l)
	list, missing, err := s.Controls(ctx, refs)
	if err != nil || len(missing) == 0 {
		return list, err
	}
	if err := s.Fetch(ctx, missing, supply.Meter{Fetched: func(int64) {}}); err != nil {
		return nil, err
	}
	list, _, err = s.Controls(ctx, refs)
	return list, err
}
