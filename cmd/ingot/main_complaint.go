package main

import (
	"encoding/json"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"ingot/internal/fault"
	"ingot/internal/ui"
)

// A complaint writes an error to standard error: for people as "error:" and
// "hint:" lines; with --json also as one JSON object, which is the last line;
// with --progress json, where every line is an object, as that object alone.
type complaint struct {
	w        io.Writer
	json     bool
	onlyJSON bool
	color    bool
}

// errorObject is the JSON form of an error, an event of docs/reference/progress.md.
type errorObject struct {
	Schema  int        `json:"schema"`
	Event   string     `json:"event"` // "error"
	Code    fault.Code `json:"code"`
	Message string     `json:"message"`
	Hint    string     `json:"hint,omitempty"`
	File    string     `json:"file,omitempty"` // of the definition: who asked for what failed
	Line    int        `json:"line,omitempty"`
}

func (c complaint) print(err error) {
	hint := fault.HintOf(err)
	if !c.onlyJSON {
		_, _ = fmt.Fprintf(c.w, "ingot: %s %s\n", c.word("31", "error:"), err)
		if hint != "" {
			_, _ = fmt.Fprintf(c.w, "ingot: %s %s\n", c.word("36", "hint:"), hint)
		}
	}
	if c.json || c.onlyJSON {
		enc := json.NewEncoder(c.w)
		enc.SetEscapeHTML(false)
		at := fault.PositionOf(err)
		_ = enc.Encode(errorObject{ui.SchemaVersion, "error", fault.CodeOf(err), err.Error(), hint, at.File, at.Line})
	}
}

func (c complaint) word(color, s string) string {
	if !c.color {
		return s
	}
	return "\x1b[1;" + color + "m" + s + "\x1b[0m"
}

// colorOf says whether messages may be coloured; a wrong choice is reported
// elsewhere and means no here.
func colorOf(root *cobra.Command, stderr io.Writer) bool {
	o, err := choiceOf(root).Options(stderr, environ)
	return err == nil && o.Color
}
