package supply

import (
	"context"
	"errors"
	"io"
	"runtime"
	"strings"
	"testing"
	"time"

	"ingot/internal/distro"
	"ingot/internal/distro/debian"
	"ingot/internal/fault"
)

// A gated distribution unpacks a package only when it is let to.
type gated struct {
	distro.Distro
	gate chan error // one to take for each package: nil, or how it fails
}

func (g *gated) Unpack(ctx context.Context, p distro.Package, file io.ReaderAt, pack distro.Pack) (distro.Unpacked, error) {
	select {
	case err := <-g.gate:
		if err != nil {
			return distro.Unpacked{}, err
		}
	case <-ctx.Done():
		return distro.Unpacked{}, ctx.Err()
	}
	return g.Distro.Unpack(ctx, p, file, pack)
}

func delivering(t *testing.T, n int) (*archive, *gated, *Delivery) {
	t.Helper()
	a := newArchive(t, n)
	s := supplyIn(t, t.TempDir(), a)
	g := &gated{Distro: debian.Debian{}, gate: make(chan error, n)}
	s.Distro = g
	d := s.Deliver(t.Context(), a.refs, Meter{})
	t.Cleanup(d.Close)
	return a, g, d
}

func TestDeliveryFails(t *testing.T) {
	broken := errors.New("broken")
	a, g, d := delivering(t, 4)
	if err := d.Fetched(); err != nil {
		t.Fatal(err)
	}
	waiting := make(chan error)
	go func() {
		_, err := d.Unpacked(t.Context(), a.refs)
		waiting <- err
	}()
	g.gate <- broken
	if err := <-waiting; !errors.Is(err, broken) {
		t.Errorf("who waits hears %v", err)
	}
	if err := d.Finish(); !errors.Is(err, broken) || !errors.Is(d.Err(), broken) {
		t.Errorf("the delivery ends with %v", err)
	}
	for range 100 { // whichever channel a select would choose
		if err := d.Fetched(); err != nil {
			t.Fatalf("all was fetched, and it says %v", err)
		}
	}
}

func TestDeliveryLacksAPackage(t *testing.T) {
	a := newArchive(t, 4)
	delete(a.debs, a.refs[3].Location)
	d := supplyIn(t, t.TempDir(), a).Deliver(t.Context(), a.refs, Meter{})
	defer d.Close()
	_, err := d.Unpacked(t.Context(), a.refs[3:])
	if fault.CodeOf(err) == fault.Done || !errors.Is(d.Fetched(), d.Finish()) || !strings.Contains(err.Error(), a.refs[3].Name) {
		t.Errorf("it ends with %v; fetched: %v", err, d.Fetched())
	}
}

func TestDeliveryClosed(t *testing.T) {
	a, _, d := delivering(t, 8)
	waiting := make(chan error)
	go func() {
		_, err := d.Unpacked(t.Context(), a.refs)
		waiting <- err
	}()
	d.Close()
	if err := <-waiting; !errors.Is(err, context.Canceled) {
		t.Errorf("who waits hears %v", err)
	}
	// The test server has goroutines of its own.
	var now int
	for range 100 {
		buf := make([]byte, 1<<20)
		stacks := string(buf[:runtime.Stack(buf, true)])
		if now = strings.Count(stacks, "supply.(*Delivery)") + strings.Count(stacks, "supply.(*Supply)"); now == 0 {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Errorf("%d goroutines of the delivery go on", now)
}
