package fetch

import (
	"cmp"
	"context"
	"slices"

	"golang.org/x/sync/errgroup"
)

// A Job is one of many files.
type Job struct {
	Want Want
	// To opens the sink when the job's turn comes.
	To func() (Sink, error)
	// Done is called once for each sink that To opened: without an error when the
	// file is there, verified, and with one when it is not and the sink is to be thrown
	// away. What it returns ends all. The job's place among those that fetch is
	// held until it returns, so it hands lengthy work to others.
	Done func(Got, error) error
}

// Many fetches files, Client.Parallel at a time and the biggest first, so that the
// last to come is a small one. It returns the first error, after every Done that
// is due was called; the others are then ended.
func (c *Client) Many(ctx context.Context, jobs []Job) error {
	g, inner := errgroup.WithContext(ctx)
	n := c.Parallel
	if n <= 0 {
		n = 16
	}
	g.SetLimit(n)
	order := make([]int, len(jobs))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int {
		return cmp.Compare(jobs[b].Want.bound(), jobs[a].Want.bound())
	})
	for _, i := range order {
		if inner.Err() != nil {
			break
		}
		g.Go(func() error {
			if err := inner.Err(); err != nil {
				return err
			}
			to, err := jobs[i].To()
			if err != nil {
				return err
			}
			got, err := c.Get(inner, jobs[i].Want, to)
			if e := jobs[i].Done(got, err); err == nil {
				err = e
			}
			return err
		})
	}
	if err := g.Wait(); err != nil {
		return err
	}
	return ctx.Err()
}
