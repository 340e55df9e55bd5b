package vm

import (
	"io"
	"sync"
	"unicode/utf8"
)

// Bounds of what is kept of a console, however much a guest prints.
const (
	keptLines = 400
	maxLine   = 1024 // bytes; a longer line is split
)

// A console takes what a machine prints on its serial port and gives it as
// lines of plain text: escape sequences are dropped, and a cursor that jumps ends
// the line, since firmware and boot loaders draw so.
type console struct {
	mu    sync.Mutex
	log   io.Writer // raw bytes, or nil
	plain plain
	lines []string // the last keptLines
	watch []func(line string, whole bool)
}

// Write takes raw bytes. It never fails; a log that fails is given up.
func (c *console) Write(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.log != nil {
		if _, err := c.log.Write(p); err != nil {
			c.log = nil
		}
	}
	c.plain.feed(p, func(line string) {
		c.tell(line, true)
		if line == "" && (len(c.lines) == 0 || c.lines[len(c.lines)-1] == "") {
			return
		}
		if len(c.lines) == keptLines {
			c.lines = append(c.lines[:0], c.lines[1:]...)
		}
		c.lines = append(c.lines, line)
	})
	// A prompt has no end of line.
	if line := c.plain.line(); line != "" {
		c.tell(line, false)
	}
	return len(p), nil
}

func (c *console) tell(line string, whole bool) {
	for _, f := range c.watch {
		if f != nil {
			f(line, whole)
		}
	}
}

// Watch calls f with each line, those kept first; a line that is not whole yet comes
// again each time it grows. f must not block. The returned function ends it.
func (c *console) Watch(f func(line string, whole bool)) (stop func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, line := range c.lines {
		f(line, true)
	}
	if line := c.plain.line(); line != "" {
		f(line, false)
	}
	i := len(c.watch)
	c.watch = append(c.watch, f)
	return func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.watch[i] = nil
	}
}

// Tee sends raw bytes to w from now on, beside the log.
func (c *console) Tee(w io.Writer) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.log == nil {
		c.log = w
		return
	}
	c.log = io.MultiWriter(c.log, w)
}

// forget drops what was said: the machine restarted, and it proves nothing any more.
func (c *console) forget() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.lines, c.plain = nil, plain{}
}

// Last gives up to n of the last lines that say something.
func (c *console) Last(n int) []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	all := c.lines
	if line := c.plain.line(); line != "" {
		all = append(all[:len(all):len(all)], line)
	}
	var out []string
	for i := len(all) - 1; i >= 0 && len(out) < n; i-- {
		if all[i] != "" {
			out = append(out, all[i])
		}
	}
	for i, j := 0, len(out)-1; i < j; i, j = i+1, j-1 {
		out[i], out[j] = out[j], out[i]
	}
	return out
}

// plain turns a terminal's byte stream into lines of text. Its state spans
// calls, so that a sequence may be cut anywhere.
type plain struct {
	text  []byte
	state escape
	back  bool // a carriage return came: what follows writes over the line
}

type escape int

const (
	ground    escape = iota
	escaped          // after ESC
	sequence         // in a control sequence, ESC [
	command          // in an operating system command and the like, ESC ]
	commanded        // there, after ESC
	charset          // after ESC ( and the like: one byte follows
)

func (p *plain) line() string { return trim(p.text) }

func (p *plain) feed(b []byte, line func(string)) {
	end := func() {
		line(trim(p.text))
		p.text, p.back = p.text[:0], false
	}
	for _, c := range b {
		switch p.state {
		case ground:
			switch {
			case c == 0x1b:
				p.state = escaped
			case c == '\n':
				end()
			case c == '\r':
				p.back = true
			case c == '\b':
				if len(p.text) > 0 {
					p.text = p.text[:len(p.text)-1]
				}
			case c == '\t' || c >= 0x20 && c != 0x7f:
				if p.back {
					// "\r" alone draws over a line, as progress does; keep what was
					// said before as a line of its own.
					if len(p.text) > 0 {
						end()
					}
					p.back = false
				}
				if c == '\t' {
					c = ' '
				}
				p.text = append(p.text, c)
				if len(p.text) >= maxLine {
					end()
				}
			}
		case escaped:
			switch c {
			case '[':
				p.state = sequence
			case ']', 'P', 'X', '^', '_':
				p.state = command
			case '(', ')', '*', '+', '#', '%', ' ':
				p.state = charset
			case 0x1b:
			default:
				p.state = ground
			}
		case sequence:
			switch {
			case c >= 0x40 && c <= 0x7e:
				p.state = ground
				// Cursor to a place or a line, or a screen cleared.
				if (c == 'H' || c == 'f' || c == 'J' || c == 'd' || c == 'E' || c == 'F') && len(p.text) > 0 {
					end()
				}
			case c == 0x1b:
				p.state = escaped
			case c == '\n':
				// No such sequence: a line was cut.
				p.state = ground
				end()
			}
		case command:
			switch c {
			case 0x07:
				p.state = ground
			case 0x1b:
				p.state = commanded
			case '\n':
				p.state = ground
				end()
			}
		case commanded:
			p.state = ground
			if c != '\\' {
				p.state = escaped
			}
		case charset:
			p.state = ground
		}
	}
}

// trim gives a line as valid text without blanks at its end.
func trim(b []byte) string {
	for len(b) > 0 && b[len(b)-1] == ' ' {
		b = b[:len(b)-1]
	}
	if utf8.Valid(b) {
		return string(b)
	}
	out := make([]rune, 0, len(b))
	for len(b) > 0 {
		r, n := utf8.DecodeRune(b)
		out = append(out, r)
		b = b[n:]
	}
	return string(out)
}
