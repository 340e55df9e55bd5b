package ui

import (
	"fmt"
	"io"
	"os"

	"golang.org/x/term"
)

// A Choice is what the user asked for on the command line.
type Choice struct {
	Progress string // "auto", "plain", "json"
	Color    string // "auto", "always", "never"
	Quiet    bool
	Verbose  bool
}

// Options turns a choice into options for what w is and what the environment
// says. Bars are for a terminal that can move its cursor and is not a CI's;
// NO_COLOR (https://no-color.org), set to anything, takes the colour away.
func (c Choice) Options(w io.Writer, getenv func(string) string) (Options, error) {
	o := Options{Out: w, Mode: Plain, Verbose: c.Verbose}
	f, tty := w.(*os.File)
	tty = tty && term.IsTerminal(int(f.Fd()))
	able := tty && getenv("TERM") != "dumb" && getenv("TERM") != ""
	switch c.Progress {
	case "auto", "":
		if able && getenv("CI") == "" {
			o.Mode = Terminal
		}
	case "plain":
	case "json":
		o.Mode = JSON
	default:
		return o, fmt.Errorf("progress %q is none of auto, plain, json", c.Progress)
	}
	switch c.Color {
	case "auto", "":
		o.Color = able && getenv("NO_COLOR") == ""
	case "always":
		o.Color = true
	case "never":
	default:
		return o, fmt.Errorf("color %q is none of auto, always, never", c.Color)
	}
	if c.Quiet && o.Mode != JSON {
		o.Mode = Quiet
	}
	if tty {
		o.Size = func() (int, int) {
			cols, rows, err := term.GetSize(int(f.Fd()))
			if err != nil || cols <= 0 || rows <= 0 {
				return 80, 24
			}
			return cols, rows
		}
	}
	return o, nil
}
