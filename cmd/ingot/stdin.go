package main

import (
	"context"
	"io"
)

// interruptible gives what in gives, until ctx ends: a read from a silent pipe or terminal
// would wait for ever, and no signal would be heard.
func interruptible(ctx context.Context, in io.Reader) io.Reader {
	r, w := io.Pipe()
	context.AfterFunc(ctx, func() { _ = w.CloseWithError(ctx.Err()) })
	go func() {
		_, err := io.Copy(w, in)
		_ = w.CloseWithError(err)
	}()
	return r
}
