package errand

import (
	"bufio"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"
)

// What is said on a connection: a byte that says what, four that say how much, and that.
const (
	sayHello  = 'h' // the host is there
	sayErrand = 'e' // an Errand, without its Stdin
	sayInput  = 'i' // a part of its Stdin
	sayWant   = 'w' // which of its files the host lacks
	sayData   = 'd' // a part of such a file, as zstd
	sayWhole  = 'f' // its end
	sayOut    = 'o' // the verb, on standard output
	sayErr    = 'r' // the verb, on standard error
	sayExit   = 'x' // its exit code
	sayCancel = 'c' // have the verb stop, as by Ctrl-C
	sayAlive  = 'k' // nothing but that somebody is there
)

const (
	piece    = 64 << 10 // of data in one frame
	maxFrame = 64 << 20 // the list of an errand's files is the longest
)

// How often each side says that it is there, and after what silence the other is gone: a
// connection may be cut without a word. A test has less patience.
var (
	beat    = 5 * time.Second
	silence = 60 * time.Second
)

var errSilent = errors.New("nothing was heard for too long")

type frame struct {
	kind byte
	body []byte
}

// A wire is one end of a connection.
type wire struct {
	mu   sync.Mutex
	out  io.Writer
	sent int64 // bytes

	frames chan frame // closed at the connection's end, of which err says why
	err    error
	stop   context.CancelFunc

	silence time.Duration
}

// newWire begins to read and to say that this side is there, until ctx ends. cut is called
// when the other side is gone.
func newWire(ctx context.Context, in io.Reader, out io.Writer, cut func(error)) *wire {
	w := &wire{out: out, frames: make(chan frame), silence: silence}
	t := time.NewTicker(beat)
	ctx, w.stop = context.WithCancel(ctx)
	go w.read(ctx, in, cut)
	go func() {
		defer t.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-t.C:
				_ = w.say(sayAlive, nil) // reading finds out too
			}
		}
	}()
	return w
}

func (w *wire) read(ctx context.Context, in io.Reader, cut func(error)) {
	defer close(w.frames)
	b := bufio.NewReaderSize(in, piece)
	// Armed only while this side waits: one that is busy itself is no silence.
	alarm := time.AfterFunc(w.silence, func() { cut(errSilent) })
	defer alarm.Stop()
	for {
		alarm.Reset(w.silence)
		f, err := readFrame(b)
		alarm.Stop()
		if err != nil {
			if errors.Is(err, io.EOF) {
				err = io.ErrUnexpectedEOF
			}
			w.err = err
			cut(err)
			return
		}
		if f.kind == sayAlive {
			continue
		}
		select {
		case w.frames <- f:
		case <-ctx.Done():
			w.err = ctx.Err()
			return
		}
	}
}

func readFrame(r io.Reader) (frame, error) {
	var head [5]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return frame{}, err
	}
	n := binary.BigEndian.Uint32(head[1:])
	if n > maxFrame {
		return frame{}, fmt.Errorf("%d bytes in one piece", n)
	}
	f := frame{kind: head[0], body: make([]byte, n)}
	_, err := io.ReadFull(r, f.body)
	return f, err
}

func (w *wire) say(kind byte, body []byte) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	head := [5]byte{kind}
	binary.BigEndian.PutUint32(head[1:], uint32(len(body))) //nolint:gosec // bounded by who calls
	n, err := w.out.Write(append(head[:], body...))
	w.sent += int64(n)
	return err
}

func (w *wire) sayJSON(kind byte, v any) error {
	b, err := json.Marshal(v)
	if err == nil && len(b) > maxFrame {
		err = fmt.Errorf("%d bytes are more than goes in one piece", len(b))
	}
	if err != nil {
		return err
	}
	return w.say(kind, b)
}

// next waits for what the other side says.
func (w *wire) next(ctx context.Context) (frame, error) {
	select {
	case f, ok := <-w.frames:
		if !ok {
			return f, w.err
		}
		return f, nil
	case <-ctx.Done():
		return frame{}, context.Cause(ctx)
	}
}

// hear waits for one kind of thing and reads it.
func (w *wire) hear(ctx context.Context, kind byte, v any) error {
	f, err := w.next(ctx)
	if err != nil {
		return err
	}
	if f.kind != kind {
		return fmt.Errorf("%q was said, and not %q", f.kind, kind)
	}
	if v == nil {
		return nil
	}
	return json.Unmarshal(f.body, v)
}

// A talk writes on a wire, in pieces of one kind.
type talk struct {
	w    *wire
	kind byte
}

func (t talk) Write(p []byte) (n int, err error) {
	for len(p) > 0 {
		part := p[:min(len(p), piece)]
		if err := t.w.say(t.kind, part); err != nil {
			return n, err
		}
		n, p = n+len(part), p[len(part):]
	}
	return n, nil
}

// A listen reads pieces from a wire until one of the kind end.
type listen struct {
	ctx       context.Context //nolint:containedctx // of one call, as io.Reader has none
	w         *wire
	kind, end byte
	rest      []byte
	done      bool
}

func (l *listen) Read(p []byte) (int, error) {
	for len(l.rest) == 0 && !l.done {
		f, err := l.w.next(l.ctx)
		switch {
		case err != nil:
			return 0, err
		case f.kind == l.end:
			l.done = true
		case f.kind == l.kind:
			l.rest = f.body
		default:
			return 0, fmt.Errorf("%q was said amid a file", f.kind)
		}
	}
	if len(l.rest) == 0 {
		return 0, io.EOF
	}
	n := copy(p, l.rest)
	l.rest = l.rest[n:]
	return n, nil
}
