package relay

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// Program is where the station has ingot by another name: what is started by this path
// calls the build.
const Program = "/ingot/call"

// Covers are programs of the image that the build may stand before, under their names.
var Covers = []string{"apt-get", "grub-install", "grub-probe", "grub-mkrelpath"}

// A Call is what a program of the station does. What it writes is the program's output,
// what it returns its exit code.
type Call func(ctx context.Context, c Calling, out io.Writer) int

// A Calling is who calls.
type Calling struct {
	Args []string // of the program, without its name
	Dir  string
	Env  []string
}

// maxCalling bounds the arguments and variables of a call, in bytes.
const maxCalling = 4 << 20

// lines of an answer begin with what they are.
const (
	outputLine = 'o'
	exitLine   = 'e'
)

// Main takes over a process that was started as [Program]: "/ingot/call NAME ARGUMENTS…".
// Every program that serves a relay calls it first, as sandbox.Main.
func Main() {
	name, args := "", []string(nil)
	switch base := filepath.Base(os.Args[0]); {
	case os.Args[0] == Program && len(os.Args) > 1:
		name, args = os.Args[1], os.Args[2:]
	case slices.Contains(Covers, base):
		name, args = base, os.Args[1:]
	default:
		return
	}
	code, err := call(name, args, os.Stdout)
	if err != nil {
		fmt.Fprintf(os.Stderr, "%s: cannot reach the build: %v\n", name, err)
		code = 1
	}
	os.Exit(code)
}

// call passes a program's arguments on.
func call(name string, args []string, out io.Writer) (int, error) {
	dir, err := os.Getwd()
	if err != nil {
		dir = "/"
	}
	body, err := json.Marshal(Calling{Args: args, Dir: dir, Env: os.Environ()})
	if err != nil {
		return 0, err
	}
	conn, err := (&net.Dialer{}).DialContext(context.Background(), "tcp", fmt.Sprintf("127.0.0.1:%d", Port))
	if err != nil {
		return 0, err
	}
	defer func() { _ = conn.Close() }()
	q, err := http.NewRequestWithContext(context.Background(), http.MethodPost, "http://127.0.0.1/"+name, strings.NewReader(string(body)))
	if err != nil {
		return 0, err
	}
	if err := q.Write(conn); err != nil {
		return 0, err
	}
	answer, err := http.ReadResponse(bufio.NewReader(conn), q)
	if err != nil {
		return 0, err
	}
	defer func() { _ = answer.Body.Close() }()
	if answer.StatusCode != http.StatusOK {
		text, _ := io.ReadAll(io.LimitReader(answer.Body, 4096))
		return 0, fmt.Errorf("%s: %s", answer.Status, strings.TrimSpace(string(text)))
	}
	return copyAnswer(out, answer.Body)
}

// copyAnswer prints a call's output and gives its exit code.
func copyAnswer(out io.Writer, in io.Reader) (code int, err error) {
	r := bufio.NewReader(in)
	for {
		line, err := r.ReadString('\n')
		if err != nil || line == "" {
			return 0, fmt.Errorf("the build ended early: %w", err)
		}
		if line[0] == exitLine {
			_, err := fmt.Sscan(line[1:], &code)
			return code, err
		}
		if _, err := io.WriteString(out, line[1:]); err != nil {
			return 0, err
		}
	}
}

// serveCall runs a call and streams what it says.
func (r *Relay) serveCall(w http.ResponseWriter, q *http.Request) {
	f, ok := r.Calls[strings.TrimPrefix(q.URL.Path, "/")]
	if !ok {
		r.refuse(w, http.StatusNotFound, "%s: no such call", q.URL.Path)
		return
	}
	var c Calling
	if err := json.NewDecoder(io.LimitReader(q.Body, maxCalling)).Decode(&c); err != nil {
		r.refuse(w, http.StatusBadRequest, "%s: %v", q.URL.Path, err)
		return
	}
	out := &lineWriter{to: w}
	code := f(q.Context(), c, out)
	out.end()
	_, _ = fmt.Fprintf(w, "%c%d\n", exitLine, code)
}

// A lineWriter sends whole lines at once, each with what it is.
type lineWriter struct {
	to   http.ResponseWriter
	rest []byte
}

func (l *lineWriter) Write(b []byte) (int, error) {
	l.rest = append(l.rest, b...)
	for {
		line, rest, ok := strings.Cut(string(l.rest), "\n")
		if !ok {
			return len(b), nil
		}
		if _, err := fmt.Fprintf(l.to, "%c%s\n", outputLine, line); err != nil {
			return 0, err
		}
		_ = http.NewResponseController(l.to).Flush()
		l.rest = []byte(rest)
	}
}

func (l *lineWriter) end() {
	if len(l.rest) > 0 {
		_, _ = l.Write([]byte("\n"))
	}
}
