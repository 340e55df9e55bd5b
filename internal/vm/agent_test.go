package vm

import (
	"bufio"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestParseAnswer(t *testing.T) {
	for _, row := range []struct{ line, want string }{
		{"hello 1", `{hello 1 "" 0 0}`},
		{"hello 2", "agent: speaks version 2"},
		{"hello", `agent: "hello" is no answer`},
		{"out 7 b25lCg==", `{out 7 "one\n" 0 0}`},
		{"out 7 b25", `agent: "out 7 b25" is no answer`},
		{"out 7", `agent: "out 7" is no answer`},
		{"done 7 124 0", `{done 7 "" 124 0}`},
		{"done 7 256 0", `agent: "done 7 256 0" is no answer`},
		{"done 7 0 -1", `agent: "done 7 0 -1" is no answer`},
		{"done -1 0 0", `agent: "done -1 0 0" is no answer`},
		{"", `agent: "" is no answer`},
		{"judge login:", `agent: "judge login:" is no answer`},
	} {
		a, err := parseAnswer(row.line)
		got := fmt.Sprintf("{%s %d %q %d %d}", a.verb, a.id, a.data, a.status, a.size)
		if err != nil {
			got = err.Error()
		}
		if got != row.want {
			t.Errorf("%q: got %s, want %s", row.line, got, row.want)
		}
	}
}

func FuzzParseAnswer(f *testing.F) {
	for _, s := range []string{"hello 1", "out 7 b25lCg==", "done 7 124 99", "done 1 2"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, line string) {
		a, err := parseAnswer(line)
		if err == nil && (a.status < 0 || a.status > 255 || a.size < 0 || len(a.data) > len(line)) {
			t.Fatalf("%q gives %+v", line, a)
		}
	})
}

// A fake guest: an agent whose answers the test chooses.
func fakeGuest(t *testing.T, answer func(id string) string) *agent {
	t.Helper()
	ours, theirs := net.Pipe()
	t.Cleanup(func() { ours.Close(); theirs.Close() })
	go func() {
		fmt.Fprint(theirs, "half a li\nhello 1\n")
		in := bufio.NewScanner(theirs)
		for in.Scan() {
			fmt.Fprint(theirs, answer(strings.Fields(in.Text())[1]))
		}
	}()
	return newAgent(ours)
}

func TestAgentRun(t *testing.T) {
	long := base64.StdEncoding.EncodeToString([]byte(strings.Repeat("x", 1500)))
	for _, row := range []struct {
		name   string
		answer func(id string) string
		want   string
	}{
		{"output and status", func(id string) string { return "out " + id + " b25l\nout " + id + " Cg==\ndone " + id + " 3 4\n" }, `"one\n" 3 false`},
		{"another command's lines", func(id string) string { return "out 99 b25l\ndone 99 1 3\ndone " + id + " 0 0\n" }, `"" 0 false`},
		{"truncated by the guest", func(id string) string { return "out " + id + " b25l\ndone " + id + " 0 9999\n" }, `"one" 0 true`},
		{"more than was agreed", func(id string) string {
			return strings.Repeat("out "+id+" "+long+"\n", 800) + "done " + id + " 0 1200000\n"
		}, "1048576 bytes 0 true"},
		{"restart", func(string) string { return "hello 1\n" }, errAgentLost.Error()},
		{"a line without end", func(string) string { return strings.Repeat("x", maxAnswer+1) }, errAgentLost.Error()},
	} {
		t.Run(row.name, func(t *testing.T) {
			a := fakeGuest(t, row.answer)
			r, err := a.run(t.Context(), "x", time.Minute)
			out := fmt.Sprintf("%q", r.Output)
			if len(r.Output) > 100 {
				out = fmt.Sprintf("%d bytes", len(r.Output))
			}
			got := fmt.Sprintf("%s %d %v", out, r.Exit, r.Truncated)
			if err != nil {
				got = err.Error()
			}
			if got != row.want {
				t.Errorf("got %s, want %s", got, row.want)
			}
		})
	}
}

func TestAgentLosesItsPort(t *testing.T) {
	var a *agent
	asked := make(chan struct{})
	a = fakeGuest(t, func(string) string { close(asked); return "" })
	if err := a.present(t.Context()); err != nil {
		t.Fatal(err)
	}
	go func() {
		<-asked
		a.portChanged(json.RawMessage(`{"id": "another", "open": false}`))
		a.portChanged(json.RawMessage(`{"id": "ingot.agent", "open": false}`))
	}()
	if _, err := a.run(t.Context(), "reboot", time.Minute); !errors.Is(err, errAgentLost) {
		t.Errorf("error is %v", err)
	}
}

// TestInvite: a guest that takes long to open the port finds it plugged in long enough, and one that does so
// fast waits for nothing.
func TestInvite(t *testing.T) {
	for _, row := range []struct {
		name        string
		boot, opens time.Duration // until it heeds ports, and from then on until it opens one
		within      time.Duration
	}{
		{"fast", 10 * time.Second, time.Second, 16 * time.Second},
		{"slow", 90 * time.Second, 12 * time.Second, 150 * time.Second},
		{"slower than anything", 5 * time.Minute, 50 * time.Second, 10 * time.Minute},
	} {
		t.Run(row.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				ours, theirs := net.Pipe()
				defer theirs.Close()
				far, near := net.Pipe()
				defer far.Close()
				a := newAgent(near)
				began := time.Now()
				go func() {
					fmt.Fprintln(theirs, greeting)
					var plugged *time.Timer
					in := bufio.NewScanner(theirs)
					for in.Scan() {
						var c struct {
							Execute string
							ID      json.Number
						}
						if json.Unmarshal(in.Bytes(), &c) != nil {
							return
						}
						switch {
						case c.Execute == "device_del" && plugged != nil:
							plugged.Stop()
						case c.Execute == "device_add" && time.Since(began) >= row.boot: // what came before is not seen
							plugged = time.AfterFunc(row.opens, func() { a.portChanged(json.RawMessage(`{"id": "ingot.agent", "open": true}`)) })
						}
						fmt.Fprintf(theirs, "{\"return\": {}, \"id\": %s}\n", c.ID)
					}
				}()
				m, err := newMonitor(ctx, ours, func(string, json.RawMessage) {})
				if err != nil {
					t.Fatal(err)
				}
				defer m.Close()
				go a.invite(ctx, m)
				limit, end := context.WithTimeout(ctx, time.Hour)
				defer end()
				if err := a.await(limit, func() bool { return a.open }); err != nil || time.Since(began) > row.within {
					t.Errorf("it opened the port after %v: %v", time.Since(began), err)
				}
			})
		})
	}
}
