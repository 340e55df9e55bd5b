package supply

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"sync"

	"golang.org/x/sync/errgroup"

	"ingot/internal/cache"
	"ingot/internal/distro"
)

// A Delivery is packages on their way: what the store lacks is fetched and
// verified, many at a time, and what the cache lacks is unpacked, one a core, in the
// background, until all are there, one fails or the delivery is closed.
//
// What packages say of themselves is known long before all their files are unpacked.
// Whoever sees from it what he needs first asks for that, and it goes before the rest.
type Delivery struct {
	supply *Supply
	meter  Meter
	cancel context.CancelFunc
	stored chan struct{} // closed when all is fetched
	ended  chan struct{} // closed when nothing goes on any more

	mu      sync.Mutex
	change  *sync.Cond
	parcels []parcel
	places  map[distro.Ref]int
	arrived []int // in the store, in that order
	asked   []int
	left    int   // not unpacked yet
	over    bool  // nothing goes on any more
	err     error // why, if something is missing
}

// A parcel is one package of a delivery.
type parcel struct {
	pkg       distro.Unpacked // as far as it is known
	busy      bool            // somebody works on it
	inspected bool
	unpacked  bool
}

// Deliver begins to bring packages. The caller closes the delivery.
func (s *Supply) Deliver(ctx context.Context, refs []distro.Ref, m Meter) *Delivery {
	d := &Delivery{supply: s, meter: m, stored: make(chan struct{}), ended: make(chan struct{}), places: map[distro.Ref]int{}}
	d.change = sync.NewCond(&d.mu)
	var unique []distro.Ref
	for _, ref := range refs {
		if _, ok := d.places[ref]; !ok {
			d.places[ref] = len(unique)
			unique = append(unique, ref)
			d.parcels = append(d.parcels, parcel{pkg: distro.Unpacked{Package: distro.Package{Ref: ref}}})
		}
	}
	d.left = len(unique)
	packed := slices.DeleteFunc(slices.Clone(unique), func(ref distro.Ref) bool {
		return s.Cache.Has(treeName(ref)) && s.Cache.Has(packName(ref))
	})
	inner, cancel := context.WithCancel(ctx)
	d.cancel = cancel
	g, inner := errgroup.WithContext(inner)
	stop := context.AfterFunc(inner, d.wake)
	// Fetching must not wait for unpacking: the queue holds all.
	ready := make(chan int, len(unique))
	g.Go(func() error {
		defer close(ready)
		err := s.fetch(inner, unique, packed, ready, m)
		if err == nil {
			close(d.stored)
		}
		return err
	})
	g.Go(func() error {
		for i := range ready {
			d.mu.Lock()
			d.arrived = append(d.arrived, i)
			d.mu.Unlock()
			d.wake()
		}
		return nil
	})
	for range runtime.GOMAXPROCS(0) {
		g.Go(func() error { return d.work(inner) })
	}
	go func() {
		err := g.Wait()
		stop()
		if ctx.Err() != nil {
			err = context.Cause(ctx)
		}
		d.mu.Lock()
		d.over, d.err = true, err
		d.mu.Unlock()
		close(d.ended)
		d.wake()
	}()
	return d
}

// Close ends what still goes on.
func (d *Delivery) Close() {
	d.cancel()
	<-d.ended
}

// Finish waits until all packages are there, and what was fetched is on the disk.
func (d *Delivery) Finish() error {
	<-d.ended
	return d.err
}

// Fetched waits until all packages are in the store, and on the disk.
func (d *Delivery) Fetched() error {
	select {
	case <-d.stored:
		return nil
	case <-d.ended:
	}
	select { // both: what failed came after
	case <-d.stored:
		return nil
	default:
		return d.err
	}
}

// Err is why the delivery ended early, if it did.
func (d *Delivery) Err() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.err
}

// Packages gives what packages say of themselves, in the order of refs.
func (d *Delivery) Packages(ctx context.Context, refs []distro.Ref) ([]distro.Package, error) {
	out := make([]distro.Package, len(refs))
	return out, d.wait(ctx, refs, func(i int, p *parcel) bool {
		out[i] = p.pkg.Package
		return p.inspected
	})
}

// Unpacked gives packages with their files, in the order of refs.
func (d *Delivery) Unpacked(ctx context.Context, refs []distro.Ref) ([]distro.Unpacked, error) {
	d.mu.Lock()
	for _, ref := range refs {
		if i, ok := d.places[ref]; ok {
			d.asked = append(d.asked, i)
		}
	}
	d.mu.Unlock()
	out := make([]distro.Unpacked, len(refs))
	return out, d.wait(ctx, refs, func(i int, p *parcel) bool {
		out[i] = p.pkg
		return p.unpacked
	})
}

// wait waits until there says yes to each of refs, or nothing will come any more.
func (d *Delivery) wait(ctx context.Context, refs []distro.Ref, there func(i int, p *parcel) bool) error {
	defer context.AfterFunc(ctx, d.wake)()
	d.mu.Lock()
	defer d.mu.Unlock()
	for i, ref := range refs {
		at, ok := d.places[ref]
		if !ok {
			return fmt.Errorf("package %s %s is no part of this delivery", ref.Name, ref.Version)
		}
		for !there(i, &d.parcels[at]) {
			switch {
			case ctx.Err() != nil:
				return context.Cause(ctx)
			case d.over:
				return d.err
			}
			d.change.Wait()
		}
	}
	return nil
}

// wake lets everybody who waits look again.
func (d *Delivery) wake() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.change.Broadcast()
}

// work inspects and unpacks until all is done or the context ends.
func (d *Delivery) work(ctx context.Context) error {
	for {
		p, err := d.next(ctx)
		if err != nil || p == nil {
			return err
		}
		pkg, cached := p.pkg, false
		if p.inspected {
			pkg, err = d.supply.unpack(ctx, pkg.Package)
		} else if pkg, err = d.supply.cached(p.pkg.Ref); err == nil {
			cached = true
		} else if errors.Is(err, cache.ErrMissing) {
			pkg.Package, err = d.supply.inspect(ctx, p.pkg.Ref)
		}
		if err != nil {
			return err
		}
		d.mu.Lock()
		unpacked := p.inspected || cached
		*p = parcel{pkg: pkg, inspected: true, unpacked: unpacked}
		if unpacked {
			d.left--
		}
		d.mu.Unlock()
		d.wake()
		if unpacked && d.meter.Unpacked != nil {
			d.meter.Unpacked(pkg.Ref, cached)
		}
	}
}

// next takes the parcel to work on, nil when all are done.
func (d *Delivery) next(ctx context.Context) (*parcel, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for ctx.Err() == nil {
		if d.left == 0 {
			return nil, nil //nolint:nilnil // nothing is left, which is no error
		}
		if p := d.pick(); p != nil {
			p.busy = true
			return p, nil
		}
		d.change.Wait()
	}
	return nil, ctx.Err()
}

// pick chooses: first all that have come are inspected, then those unpacked that somebody waits
// for.
func (d *Delivery) pick() *parcel {
	for _, i := range d.arrived {
		if p := &d.parcels[i]; !p.inspected && !p.busy {
			return p
		}
	}
	for _, list := range [][]int{d.asked, d.arrived} {
		for _, i := range list {
			if p := &d.parcels[i]; p.inspected && !p.busy && !p.unpacked {
				return p
			}
		}
	}
	return nil
}
