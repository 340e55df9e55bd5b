package place

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"math/big"
	"time"

	"ingot/internal/fault"
)

const (
	claimDigits = 16
	// claimDies is for how long a claim must be seen to be there before nobody heeds it.
	claimDies = 30 * time.Second
	// claimWaits is how long a writer waits for others at most.
	claimWaits = 2 * time.Minute
)

// A claimant puts up, lists and takes down claims on one object. What it put up, a list
// that begins later has.
type claimant interface {
	put(ctx context.Context, id string) error
	list(ctx context.Context) (ids []string, err error)
	remove(ctx context.Context, id string) error
}

// alone calls f while nobody else calls it for the same object: see the package comment.
func alone(ctx context.Context, c claimant, f func(context.Context) error) error {
	var raw [claimDigits / 2]byte
	_, _ = rand.Read(raw[:]) // never fails
	id := hex.EncodeToString(raw[:])
	seen := map[string]time.Time{} // since when others are there
	began := time.Now()
	for turn := 0; ; turn++ {
		done, err := takeTurn(ctx, c, id, seen, f)
		if done || err != nil {
			return err
		}
		if time.Since(began) > claimWaits {
			return fault.Newf(fault.Busy, "others are writing there all the time")
		}
		// Whoever met each other does not meet again: a random pause, longer each time.
		most := big.NewInt(int64(50*time.Millisecond) << min(turn, 5))
		n, err := rand.Int(rand.Reader, most)
		if err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(time.Duration(n.Int64()) + 10*time.Millisecond):
		}
	}
}

// takeTurn puts up a claim, calls f if it is the only one, and takes it down.
func takeTurn(ctx context.Context, c claimant, id string, seen map[string]time.Time, f func(context.Context) error) (done bool, err error) {
	since := time.Now()
	if err := c.put(ctx, id); err != nil {
		return false, err
	}
	defer func() {
		// Also when the verb was interrupted: others would wait.
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), claimDies)
		defer cancel()
		if e := c.remove(ctx, id); err == nil {
			err = e
		}
	}()
	others, err := c.list(ctx)
	if err != nil {
		return false, err
	}
	for _, o := range others {
		if o == id {
			continue
		}
		first, ok := seen[o]
		switch {
		case !ok:
			seen[o] = since
			return false, nil
		case time.Since(first) < claimDies:
			return false, nil
		}
		// Its writer is gone, and had it not been, it had given up.
		if err := c.remove(ctx, o); err != nil {
			return false, err
		}
	}
	// Too late to be heeded is too late to write.
	left := claimDies/2 - time.Since(since)
	if left <= 0 {
		return false, nil
	}
	ctx, cancel := context.WithTimeout(ctx, left)
	defer cancel()
	return true, f(ctx)
}
