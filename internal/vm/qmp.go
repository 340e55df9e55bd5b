package vm

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"sync"
)

// maxMessage bounds one line of QEMU's monitor, in bytes. Real ones stay
// below a few KiB.
const maxMessage = 1 << 20

// A message is one line from QEMU's monitor: a greeting, an answer or an event
// (QEMU's docs/interop/qmp-spec.txt).
type message struct {
	QMP    json.RawMessage `json:"QMP"`
	Return json.RawMessage `json:"return"`
	Error  *qmpError       `json:"error"`
	ID     *uint64         `json:"id"`
	Event  string          `json:"event"`
	Data   json.RawMessage `json:"data"`
}

// A qmpError is QEMU's refusal of a command.
type qmpError struct {
	Class string `json:"class"`
	Desc  string `json:"desc"`
}

func (e *qmpError) Error() string { return e.Desc }

// parseMessage reads one line of the monitor.
func parseMessage(line []byte) (message, error) {
	var m message
	if err := json.Unmarshal(line, &m); err != nil {
		return message{}, fmt.Errorf("qemu monitor: %w", err)
	}
	if m.QMP == nil && m.Return == nil && m.Error == nil && m.Event == "" {
		return message{}, errors.New("qemu monitor: a message that is neither greeting, answer nor event")
	}
	return m, nil
}

// A monitor is a connection to QEMU's machine protocol. Commands may be executed by
// many at once.
type monitor struct {
	conn  io.ReadWriteCloser
	event func(name string, data json.RawMessage)

	mu      sync.Mutex
	next    uint64
	waiting map[uint64]chan message
	err     error         // why reading ended
	ended   chan struct{} // closed then
}

// errMonitorClosed is what commands get once QEMU is gone.
var errMonitorClosed = errors.New("qemu monitor: closed")

// newMonitor takes a fresh connection through the greeting and gives a monitor whose
// events go to event, in order, from one goroutine. It closes conn if it fails.
func newMonitor(ctx context.Context, conn io.ReadWriteCloser, event func(string, json.RawMessage)) (*monitor, error) {
	m := &monitor{conn: conn, event: event, waiting: map[uint64]chan message{}, ended: make(chan struct{})}
	greeted := make(chan struct{})
	go m.read(greeted)
	select {
	case <-greeted:
	case <-m.ended:
		conn.Close()
		return nil, m.err
	case <-ctx.Done():
		conn.Close()
		return nil, ctx.Err()
	}
	if err := m.Execute(ctx, "qmp_capabilities", nil, nil); err != nil {
		conn.Close()
		return nil, err
	}
	return m, nil
}

func (m *monitor) read(greeted chan<- struct{}) {
	lines := bufio.NewScanner(m.conn)
	lines.Buffer(nil, maxMessage)
	err := errMonitorClosed
	hello := false
	for lines.Scan() {
		if len(lines.Bytes()) == 0 {
			continue
		}
		msg, perr := parseMessage(lines.Bytes())
		if perr != nil {
			err = perr
			break
		}
		switch {
		case msg.QMP != nil:
			if !hello {
				hello = true
				close(greeted)
			}
		case msg.Event != "":
			if m.event != nil {
				m.event(msg.Event, msg.Data)
			}
		case msg.ID != nil:
			m.mu.Lock()
			c := m.waiting[*msg.ID]
			delete(m.waiting, *msg.ID)
			m.mu.Unlock()
			if c != nil {
				c <- msg
			}
		}
	}
	if serr := lines.Err(); errors.Is(serr, bufio.ErrTooLong) {
		err = fmt.Errorf("qemu monitor: a message of more than %d bytes", maxMessage)
	}
	m.mu.Lock()
	m.err = err
	m.mu.Unlock()
	close(m.ended)
}

// Execute runs a command and decodes what it returns into result, if that is
// not nil. QEMU's refusal is a *qmpError.
func (m *monitor) Execute(ctx context.Context, command string, arguments, result any) error {
	answer := make(chan message, 1)
	m.mu.Lock()
	m.next++
	id := m.next
	m.waiting[id] = answer
	line, err := json.Marshal(struct {
		Execute   string `json:"execute"`
		Arguments any    `json:"arguments,omitempty"`
		ID        uint64 `json:"id"`
	}{command, arguments, id})
	if err == nil {
		_, err = m.conn.Write(append(line, '\n'))
	}
	m.mu.Unlock()
	if err != nil {
		return fmt.Errorf("qemu monitor: %s: %w", command, err)
	}
	select {
	case msg := <-answer:
		if msg.Error != nil {
			return fmt.Errorf("qemu monitor: %s: %w", command, msg.Error)
		}
		if result == nil {
			return nil
		}
		if err := json.Unmarshal(msg.Return, result); err != nil {
			return fmt.Errorf("qemu monitor: %s: %w", command, err)
		}
		return nil
	case <-m.ended:
		return fmt.Errorf("qemu monitor: %s: %w", command, m.err)
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Close ends the connection; QEMU goes on.
func (m *monitor) Close() error { return m.conn.Close() }
