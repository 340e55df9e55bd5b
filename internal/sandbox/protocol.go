package sandbox

import (
	"encoding/gob"
	"fmt"
	"net"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// What the two sides say to each other: gob values over one socket, open files
// over a second one, in the order in which the values announce them.

type request struct {
	ID      uint64 // of its reply
	Setup   *setup
	Put     *putRequest
	Run     *runRequest
	Capture *captureRequest
	Read    *readRequest
	Remove  []string
	Stat    string
	Empty   bool   // remove everything
	Listen  int    // on that port of the private loopback; the socket follows the reply
	List    string // a directory
	Cover   *coverRequest
	Look    []string
	Texts   *textsRequest
	Rename  []string // from, to
	Files   int      // how many open files follow on the file socket
}

// setup is the first request: it builds the private root.
type setup struct {
	Dir   string // work directory on disk; "" means tmpfs
	Size  int64  // bound of the tmpfs in bytes; 0 is the kernel's default
	Binds []Bind

	Station *Station
	Foreign *Foreign
}

type putRequest struct {
	Entries []byte   // encoded
	Packs   []string // names of the files that follow, in order
}

type runRequest struct {
	Argv    []string
	Env     []string
	Dir     string
	Network bool
	Extra   int // open files beyond stdin, stdout and stderr
	TTY     bool
	Station bool
	Native  bool
}

type captureRequest struct {
	Pack  string // name of the pack that follows as an open file
	Owner string // owner of what is new or changed
	Epoch int64  // newest time stamp to record, seconds since 1970
}

type readRequest struct{ Path string }

type textsRequest struct{ Dir, Suffix string }

type reply struct {
	ID      uint64
	Err     string
	Errno   int    // what the kernel said, if the error came from it
	Hint    string // of an error that ingot's user can help
	Code    int    // exit code of a program; -1 if a signal ended it
	Signal  int    // that signal
	Entries []byte // of a capture
	Size    int64  // bytes that a capture wrote
	Data    []byte // of a read
	Names   []Name // of a directory
	Spots   []Spot
	Texts   map[string][]byte // of a directory, by name
	Refused string            // why no emulator can be registered
	Files   int               // how many open files follow on the file socket

	files []*os.File
}

// A wire is one side's end.
type wire struct {
	enc   *gob.Encoder
	dec   *gob.Decoder
	conn  *os.File
	files *net.UnixConn
}

func newWire(conn, files *os.File) (*wire, error) {
	fc, err := net.FileConn(files)
	if err != nil {
		return nil, fmt.Errorf("cannot use file socket: %w", err)
	}
	_ = files.Close()
	return &wire{enc: gob.NewEncoder(conn), dec: gob.NewDecoder(conn), conn: conn, files: fc.(*net.UnixConn)}, nil
}

// send sends a request or a reply, and the files that it announces.
func (w *wire) send(message any, files []*os.File) error {
	if err := w.enc.Encode(message); err != nil {
		return err
	}
	return w.sendFiles(files)
}

func (w *wire) close() {
	_ = w.conn.Close()
	_ = w.files.Close()
}

const filesPerMessage = 128 // the kernel takes 253 (SCM_MAX_FD)

func (w *wire) sendFiles(files []*os.File) error {
	for len(files) > 0 {
		n := min(len(files), filesPerMessage)
		fds := make([]int, n)
		for i, f := range files[:n] {
			fds[i] = int(f.Fd())
		}
		if _, _, err := w.files.WriteMsgUnix([]byte{1}, unix.UnixRights(fds...), nil); err != nil {
			return fmt.Errorf("cannot pass open files: %w", err)
		}
		files = files[n:]
	}
	return nil
}

func (w *wire) receiveFiles(n int) ([]*os.File, error) {
	var out []*os.File
	oob := make([]byte, unix.CmsgSpace(4*filesPerMessage))
	for len(out) < n {
		_, oobn, _, _, err := w.files.ReadMsgUnix(make([]byte, 1), oob)
		if err != nil {
			return out, fmt.Errorf("cannot receive open files: %w", err)
		}
		messages, err := syscall.ParseSocketControlMessage(oob[:oobn])
		if err != nil || len(messages) == 0 {
			return out, fmt.Errorf("file socket gave no files: %w", err)
		}
		for _, m := range messages {
			fds, err := syscall.ParseUnixRights(&m)
			if err != nil {
				return out, err
			}
			for _, fd := range fds {
				unix.CloseOnExec(fd)
				out = append(out, os.NewFile(uintptr(fd), "passed"))
			}
		}
	}
	return out, nil
}
