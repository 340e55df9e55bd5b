package server

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"time"

	"ingot/internal/fault"
	"ingot/internal/place"
)

// A lease keeps other publishers out of a tree that lies where nothing can be locked: an object
// that only one can have made, and that its holder writes anew all the time. One that stays the same
// for leaseDies, as another sees it by a clock of its own, is its holder's no more; a
// holder that could not renew it for half of that gives up before. Should two all the same believe that
// they hold it, the catalog takes the first one's publication alone.
type lease struct {
	place place.Place
	ctx   context.Context //nolint:containedctx // ends with the lease
	end   context.CancelCauseFunc
	id    string
	mark  string
	done  chan struct{} // it is renewed no more
	lost  error         // why, once it is done, somebody else may have it
}

const (
	leasePath  = "ingot/v1/lease"
	leaseDies  = 40 * time.Second
	leaseRenew = leaseDies / 8
	leasePoll  = 500 * time.Millisecond
)

// takeLease waits for the lease, as long as the context lasts, and calls wait before it does.
func takeLease(ctx context.Context, p place.Place, wait func()) (*lease, error) {
	l := &lease{place: p, id: rand.Text(), done: make(chan struct{})}
	var seen string // the mark of another's
	var since time.Time
	for tries := 0; ; tries++ {
		when := place.New
		if seen != "" && time.Since(since) > leaseDies {
			when = place.Was(seen)
		}
		began := time.Now()
		info, err := p.Put(ctx, leasePath, l.text(0), when)
		switch {
		case err == nil:
			l.mark = info.Mark
			l.ctx, l.end = context.WithCancelCause(ctx)
			go l.keep(began)
			return l, nil
		case fault.CodeOf(err) == fault.Busy: // others ask for it too, all the time
		case !errors.Is(err, place.ErrChanged):
			return nil, fmt.Errorf("cannot lock the server tree: %w", err)
		}
		if tries == 0 {
			wait()
		}
		_, info, err = place.Read(ctx, p, leasePath, 1000)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			continue // it was given back just now
		case err != nil:
			return nil, fmt.Errorf("cannot lock the server tree: %w", err)
		case info.Mark != seen:
			seen, since = info.Mark, time.Now()
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(leasePoll):
		}
	}
}

// text is the lease's, different each time.
func (l *lease) text(n int) *io.SectionReader {
	return place.Text(fmt.Appendf(nil, "%s %d\n", l.id, n))
}

// keep renews the lease until it ends, and ends what is done under it if that fails.
func (l *lease) keep(last time.Time) {
	defer close(l.done)
	for n := 1; ; n++ {
		select {
		case <-l.ctx.Done():
			return
		case <-time.After(leaseRenew):
		}
		began := time.Now()
		ctx, cancel := context.WithDeadline(l.ctx, last.Add(leaseDies/2))
		info, err := l.place.Put(ctx, leasePath, l.text(n), place.Was(l.mark))
		cancel()
		switch {
		case err == nil:
			l.mark, last = info.Mark, began
		case errors.Is(err, place.ErrChanged), time.Since(last) > leaseDies/2-leaseRenew:
			l.lost = fault.Newf(fault.Unreachable, "the server tree could not be kept locked: %w", err).WithHint("run the command again")
			l.end(l.lost)
			return
		}
	}
}

// release gives the lease back.
func (l *lease) release() {
	l.end(nil)
	<-l.done
	if l.lost != nil {
		return
	}
	// Also when the verb was interrupted: others would wait.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(l.ctx), leaseDies/2)
	defer cancel()
	_ = l.place.Remove(ctx, leasePath) // else it dies by itself
}
