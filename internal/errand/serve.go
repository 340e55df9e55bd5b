package errand

import (
	"context"
	"errors"
	"io"

	"ingot/internal/fault"
)

// A Job is a verb that a host is to run.
type Job struct {
	Dir  string // its working directory; "" is wherever it is
	Args []string
	On   string // how who sent it calls this host
	In   io.Reader
	Output
}

// A Runner runs a verb on this host. It gives the exit code.
type Runner func(context.Context, Job) fault.Code

// An exit is how a verb ended; an Error is what kept it from being run.
type exit struct {
	Code  fault.Code `json:"code"`
	Error string     `json:"error,omitempty"`
	Hint  string     `json:"hint,omitempty"`
}

// Serve runs one errand on this host, which is the one that was sent to: it hears of it on
// in and answers on out. Bundles are kept below dir. When the connection is cut, the verb's
// context ends, and Serve waits for it.
func Serve(ctx context.Context, in io.Reader, out io.Writer, dir string, run Runner) error {
	ctx, cut := context.WithCancelCause(ctx)
	defer cut(nil)
	w := newWire(ctx, in, out, cut)
	defer w.stop()
	if err := w.say(sayHello, nil); err != nil {
		return err
	}
	code, err := serve(ctx, w, dir, cut, run)
	x := exit{Code: code}
	if err != nil {
		x = exit{fault.CodeOf(err), err.Error(), fault.HintOf(err)}
	}
	if cause := context.Cause(ctx); cause != nil && !errors.Is(cause, context.Canceled) {
		return cause // nobody hears it
	}
	return w.sayJSON(sayExit, x)
}

func serve(ctx context.Context, w *wire, dir string, cut func(error), run Runner) (fault.Code, error) {
	var e Errand
	if err := w.hear(ctx, sayErrand, &e); err != nil {
		return 0, err
	}
	if err := e.check(); err != nil {
		return 0, fault.Wrap(fault.Usage, err)
	}
	in := newInbox()
	job := Job{Args: e.Args, On: e.On, In: in, Output: Output{talk{w, sayOut}, talk{w, sayErr}}}
	if e.Bundle == "" {
		if err := w.sayJSON(sayWant, []int{}); err != nil {
			return 0, err
		}
	} else {
		b, err := openBundle(dir, e.Bundle)
		if err != nil {
			return 0, err
		}
		defer b.close()
		if err := b.receive(ctx, w, e.Files); err != nil {
			return 0, err
		}
		job.Dir = b.files()
	}
	go func() {
		for f := range w.frames {
			switch f.kind {
			case sayInput:
				in.put(f.body)
			case sayWhole:
				in.close(io.EOF)
			case sayCancel:
				cut(context.Canceled)
			}
		}
		in.close(io.ErrUnexpectedEOF)
	}()
	return run(ctx, job), nil
}
