package errand

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/klauspost/compress/zstd"

	"ingot/internal/fault"
	"ingot/internal/input"
	"ingot/internal/ui"
)

// grace is how long a verb that was told to stop may take to undo what it has begun.
const grace = 30 * time.Second

// Run has the host run an errand: it sends what the host lacks, then calls sent, then passes
// on what the verb says. A verb that does not end well is an [*Ended].
func (c *Conn) Run(ctx context.Context, e *Errand, p *ui.Progress, sent func(), to Output) error {
	sending := context.AfterFunc(ctx, c.kill) // a write may wait for a network that is gone
	err := c.send(ctx, e, p)
	if !sending() {
		err = ctx.Err()
	}
	if err != nil {
		return err
	}
	sent()
	if e.Live != nil {
		go func() {
			if _, err := io.Copy(talk{c.wire, sayInput}, e.Live); err == nil {
				_ = c.wire.say(sayWhole, nil) // if it is cut, that is known soon
			}
		}()
	}
	stop := context.AfterFunc(ctx, func() {
		time.AfterFunc(grace, c.kill)  // first: the word may have to wait for what is typed
		_ = c.wire.say(sayCancel, nil) // if it is cut already, that is known soon
	})
	defer stop()
	for {
		f, ok := <-c.wire.frames
		switch {
		case !ok && ctx.Err() != nil:
			return ctx.Err()
		case !ok:
			return c.lost()
		case f.kind == sayOut, f.kind == sayErr:
			w := to.Out
			if f.kind == sayErr {
				w = to.Err
			}
			if _, err := w.Write(f.body); err != nil {
				return fmt.Errorf("cannot pass on what %s says: %w", c.host, err)
			}
		case f.kind == sayExit:
			return c.outcome(f.body)
		default:
			return fmt.Errorf("%s: %q was said while a verb runs", c.host, f.kind)
		}
	}
}

func (c *Conn) outcome(body []byte) error {
	var x exit
	if err := json.Unmarshal(body, &x); err != nil {
		return fmt.Errorf("%s: %w", c.host, err)
	}
	switch {
	case x.Error != "" && x.Hint != "":
		return fault.Newf(x.Code, "%s: %s", c.host, x.Error).WithHint("%s", x.Hint)
	case x.Error != "":
		return fault.Newf(x.Code, "%s: %s", c.host, x.Error)
	case x.Code != fault.Done:
		return &Ended{c.host.String(), x.Code}
	}
	return nil
}

// hear is what the host says next, unless it says that it is over.
func (c *Conn) hear(ctx context.Context, kind byte, v any) error {
	f, err := c.wire.next(ctx)
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case err != nil:
		return c.lost()
	case f.kind == sayExit:
		return c.outcome(f.body)
	case f.kind != kind:
		return fmt.Errorf("%s: %q was said, and not %q", c.host, f.kind, kind)
	case v == nil:
		return nil
	}
	return json.Unmarshal(f.body, v)
}

// send sends an errand, and of its files what the host wants.
func (c *Conn) send(ctx context.Context, e *Errand, p *ui.Progress) error {
	var want []int
	err := c.hear(ctx, sayHello, nil)
	if err == nil {
		named := *e
		named.On = c.host.String()
		err = c.whether(c.wire.sayJSON(sayErrand, named))
	}
	if err == nil {
		err = c.hear(ctx, sayWant, &want)
	}
	if err != nil {
		return err
	}
	var total int64
	for _, i := range want {
		if i < 0 || i >= len(e.Files) {
			return fmt.Errorf("%s wants file %d of %d", c.host, i, len(e.Files))
		}
		total += e.Files[i].Size
	}
	if len(want) > 0 {
		task := p.Start(ui.Step{ID: "send:files", Name: fmt.Sprintf("send %d files", len(want)), Unit: ui.Bytes, Total: total})
		for _, i := range want {
			if err = c.sendFile(ctx, e.Files[i], task); err != nil {
				break
			}
		}
		task.Done(err)
	}
	if err == nil {
		_, err = talk{c.wire, sayInput}.Write(e.Stdin)
		if err == nil && e.Live == nil {
			err = c.wire.say(sayWhole, nil)
		}
		err = c.whether(err)
	}
	return err
}

// whether gives an error of writing its reason: the host may have said it.
func (c *Conn) whether(err error) error {
	if err == nil {
		return nil
	}
	for f := range c.wire.frames {
		if f.kind == sayExit {
			return c.outcome(f.body)
		}
	}
	return c.lost()
}

func (c *Conn) sendFile(ctx context.Context, f File, task *ui.Task) error {
	in, err := input.Open(f.from)
	if err != nil {
		return fmt.Errorf("cannot send a file: %w", err)
	}
	defer in.Close()
	z, err := zstd.NewWriter(talk{c.wire, sayData}, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithWindowSize(4<<20))
	if err != nil {
		return err
	}
	buf := make([]byte, 1<<20)
	for done := int64(0); done < f.Size; {
		if err := ctx.Err(); err != nil {
			return err
		}
		n, err := in.ReadAt(buf[:min(int64(len(buf)), f.Size-done)], done)
		if n == 0 && err != nil {
			if errors.Is(err, io.EOF) {
				err = fault.Newf(fault.Failed, "it became shorter meanwhile")
			}
			return fmt.Errorf("cannot send %s: %w", f.from, err)
		}
		if _, err := z.Write(buf[:n]); err != nil {
			return c.whether(err)
		}
		done += int64(n)
		task.Add(int64(n))
	}
	if err := z.Close(); err != nil {
		return c.whether(err)
	}
	return c.whether(c.wire.say(sayWhole, nil))
}
