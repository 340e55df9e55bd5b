package fetch

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"golang.org/x/sync/errgroup"

	"ingot/internal/digest"
)

const (
	// rangeSize is how much one of several requests for a file brings.
	rangeSize = 4 << 20
	// rangesAtOnce is how many requests for one file run at a time; as many pieces are in
	// memory.
	rangesAtOnce = 4
	// rangesFrom is the size of files from which on several requests are made.
	rangesFrom = 4 * rangeSize
)

// errNoRanges says that a server gives whole files only.
var errNoRanges = errors.New("it gives no parts of files")

// GetParallel is Get for a file that keeps what came (see [Kept]), by several requests at a time
// where the file is large: one connection is often slower than the way that it goes.
//
// Pieces are written and hashed in their order, so what is in the file is always its
// beginning, from which Get and GetParallel go on alike. Where no server gives parts, or the
// end is wrong, Get takes over.
func (c *Client) GetParallel(ctx context.Context, w Want, to *os.File) (Got, error) {
	if w.SHA256.IsZero() || w.Max > 0 || w.Size < rangesFrom || len(w.URLs) == 0 || strings.HasPrefix(w.URLs[0], "file:") {
		return c.Get(ctx, w, Kept(to))
	}
	t := &transfer{client: c, want: w, to: Kept(to), hash: sha256.New()}
	if err := t.begin(); err != nil {
		return Got{}, fmt.Errorf("fetch %s: %w", w.Name, err)
	}
	if w.Size-t.n < 2*rangeSize { // little is left
		return c.Get(ctx, w, Kept(to))
	}
	err := t.pieces(ctx)
	switch {
	case ctx.Err() != nil:
		return Got{}, context.Cause(ctx)
	case err == nil && digest.From(t.hash) == w.SHA256:
		c.tell(Event{Name: w.Name, Done: t.n, Total: t.n, Over: true})
		return Got{URL: clean(w.URLs[0]), Size: t.n, SHA256: w.SHA256}, nil
	case err == nil:
		// Somebody's piece was wrong, and nobody knows whose.
		c.tell(Event{Name: w.Name, Done: 0, Total: w.Size, Note: "the pieces do not make the file: fetching it anew, in one"})
		if err := t.reset(); err != nil {
			return Got{}, fmt.Errorf("fetch %s: %w", w.Name, err)
		}
	}
	var local *writeError
	if errors.As(err, &local) {
		return Got{}, full(w.Name, local.error)
	}
	return c.Get(ctx, w, Kept(to))
}

// A writeError is one of writing here.
type writeError struct{ error }

// pieces fetches what is missing, in pieces.
func (t *transfer) pieces(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	type piece struct{ done chan []byte }
	order := make(chan piece, rangesAtOnce-1) // and one that is waited for
	first, size := t.n, t.want.Size
	g.Go(func() error {
		defer close(order)
		for from := first; from < size; from += rangeSize {
			p := piece{make(chan []byte, 1)}
			select {
			case order <- p:
			case <-ctx.Done():
				return ctx.Err()
			}
			g.Go(func() error {
				w := t.want
				w.part, w.whole, w.Size, w.SHA256 = from, size, min(rangeSize, size-from), digest.Digest{}
				var b Buffer
				b.b = make([]byte, 0, w.Size)
				quiet := &Client{
					of:        t.client,
					Transport: t.client.client().Transport, Attempts: t.client.Attempts, Stall: t.client.Stall, Backoff: t.client.Backoff,
					Jitter: t.client.Jitter, Sleep: t.client.Sleep, Now: t.client.Now, Progress: func(e Event) {
						if e.Note != "" {
							t.client.tell(Event{Name: w.Name, Done: from, Total: size, Note: e.Note})
						}
					},
				}
				if _, err := quiet.Get(ctx, w, &b); err != nil {
					return err
				}
				p.done <- b.Bytes()
				return nil
			})
		}
		return nil
	})
	g.Go(func() error {
		if _, err := t.to.(kept).Seek(first, io.SeekStart); err != nil {
			return &writeError{err}
		}
		for p := range order {
			select {
			case data := <-p.done:
				if _, err := t.to.Write(data); err != nil {
					return &writeError{err}
				}
				t.hash.Write(data)
				t.n += int64(len(data))
				t.client.tell(Event{Name: t.want.Name, Done: t.n, Total: size})
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		return nil
	})
	return g.Wait()
}
