package vm

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"
)

const greeting = `{"QMP": {"version": {"qemu": {"micro": 22, "minor": 2, "major": 7}}, "capabilities": ["oob"]}}`

// speak plays QEMU's side: each row answers one command, in order, with lines in
// which ID stands for the command's.
func speak(t *testing.T, conn net.Conn, rows ...string) {
	t.Helper()
	go func() {
		defer conn.Close()
		fmt.Fprintln(conn, greeting)
		in := bufio.NewScanner(conn)
		for _, row := range append([]string{`{"return": {}, "id": ID}`}, rows...) {
			if !in.Scan() {
				return
			}
			var c struct{ ID json.Number }
			if json.Unmarshal(in.Bytes(), &c) != nil {
				return
			}
			fmt.Fprintln(conn, strings.ReplaceAll(row, "ID", c.ID.String()))
		}
		in.Scan()
	}()
}

func TestMonitor(t *testing.T) {
	for _, row := range []struct{ name, answer, want, err string }{
		{"return", `{"return": "text", "id": ID}`, "text", ""},
		{"an event before it", "{\"event\": \"RESET\", \"data\": {\"guest\": true}}\n{\"return\": \"text\", \"id\": ID}", "text", ""},
		{"another command's answer before it", "{\"return\": \"other\", \"id\": 999}\n{\"return\": \"text\", \"id\": ID}", "text", ""},
		{"refusal", `{"error": {"class": "GenericError", "desc": "no such device"}, "id": ID}`, "", "qemu monitor: try: no such device"},
		{"wrong type", `{"return": 5, "id": ID}`, "", "qemu monitor: try: json: cannot unmarshal number into Go value of type string"},
		{"not JSON", `hello`, "", "qemu monitor: try: qemu monitor: invalid character 'h' looking for beginning of value"},
		{"nothing known", `{"id": ID}`, "", "qemu monitor: try: qemu monitor: a message that is neither greeting, answer nor event"},
		{"too long", strings.Repeat("x", maxMessage+1), "", "qemu monitor: try: qemu monitor: a message of more than 1048576 bytes"},
	} {
		t.Run(row.name, func(t *testing.T) {
			ours, theirs := net.Pipe()
			speak(t, theirs, row.answer)
			var events []string
			m, err := newMonitor(t.Context(), ours, func(name string, _ json.RawMessage) { events = append(events, name) })
			if err != nil {
				t.Fatal(err)
			}
			defer m.Close()
			var got string
			err = m.Execute(t.Context(), "try", nil, &got)
			text := ""
			if err != nil {
				text = err.Error()
			}
			if got != row.want || text != row.err {
				t.Errorf("got %q, error %q; want %q, %q", got, text, row.want, row.err)
			}
			if strings.Contains(row.answer, "RESET") != (len(events) == 1) {
				t.Errorf("events %q", events)
			}
		})
	}
}

func TestMonitorOfQEMUThatIsGone(t *testing.T) {
	ours, theirs := net.Pipe()
	theirs.Close()
	if _, err := newMonitor(t.Context(), ours, nil); !errors.Is(err, errMonitorClosed) {
		t.Errorf("error is %v", err)
	}
}

func TestMonitorObeysContext(t *testing.T) {
	ours, theirs := net.Pipe()
	defer theirs.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	if _, err := newMonitor(ctx, ours, nil); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("error is %v", err)
	}
}

func FuzzParseMessage(f *testing.F) {
	f.Add([]byte(greeting))
	f.Add([]byte(`{"return": {}, "id": 1}`))
	f.Add([]byte(`{"timestamp": {"seconds": 1, "microseconds": 2}, "event": "VSERPORT_CHANGE", "data": {"open": true, "id": "ingot.agent"}}`))
	f.Add([]byte(`{"error": {"class": "GenericError", "desc": "x"}, "id": 18446744073709551615}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := parseMessage(b)
		if err == nil && m.QMP == nil && m.Return == nil && m.Error == nil && m.Event == "" {
			t.Fatalf("%q is no message", b)
		}
		a := &agent{changed: make(chan struct{})}
		a.portChanged(m.Data)
	})
}
