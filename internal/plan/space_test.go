package plan

import (
	"errors"
	"syscall"
	"testing"
	"testing/synctest"
)

// What does not fit beside an output that is being written waits for it, and is held against
// what is left then.
func TestRoom(t *testing.T) {
	for _, c := range []struct {
		summary string
		left    int64 // when the first is done
		want    error
	}{
		{"there is room afterwards", 70, nil},
		{"there is none", 40, syscall.ENOSPC},
	} {
		t.Run(c.summary, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				free := int64(100)
				fits := func(n int64) error {
					if n > free {
						return syscall.ENOSPC
					}
					return nil
				}
				r := newRoom()
				give, err := r.take(60, 60, fits)
				if err != nil {
					t.Fatal(err)
				}
				small, err := r.take(20, 20, fits)
				if err != nil {
					t.Fatal("beside it: ", err)
				}
				small()
				second := make(chan error, 1)
				go func() {
					give, err := r.take(60, 60, fits)
					if err == nil {
						give()
					}
					second <- err
				}()
				synctest.Wait()
				if len(second) > 0 {
					t.Error("it did not wait: ", <-second)
				}
				free = c.left
				give()
				if err := <-second; !errors.Is(err, c.want) {
					t.Errorf("got %v, want %v", err, c.want)
				}
			})
		})
	}
}
