package main

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"ingot/internal/fault"
)

// exitCodes is the table of docs/reference/exit-codes.md and of "ingot help
// exit-codes". A test holds it complete and the document equal to it.
var exitCodes = []struct {
	code    fault.Code
	meaning string
	example string
}{
	{fault.Done, "done", ""},
	{fault.Failed, "failed", "a script of the definition ended with an error"},
	{fault.Usage, "wrong use of the command line", "an unknown verb or flag"},
	{fault.Definition, "the definition is invalid", "an unknown key, with file, line and column"},
	{fault.NotFound, "no such package, flavor, image or version", "packages that cannot be installed together"},
	{fault.Verification, "verification failed", "a signature, digest or date that is wrong; a lock or seal that differs"},
	{fault.Busy, "locked by another ingot", ""},
	{fault.Unreachable, "a mirror or server did not answer", ""},
	{fault.Health, "a boot or health test failed", ""},
	{fault.Preflight, "no space, or a check before work failed", "no subordinate ids for this user"},
	{fault.Choice, "a choice is needed", "a conflict that has several answers"},
	{fault.Interrupted, "interrupted", "by Ctrl-C or a supervisor"},
}

// newExitCodesTopic is a help topic, not a verb: it cannot be run.
func newExitCodesTopic() *cobra.Command {
	var b strings.Builder
	b.WriteString("ingot ends with one of these codes:\n\n")
	for _, e := range exitCodes {
		fmt.Fprintf(&b, "  %3d  %s", e.code, e.meaning)
		if e.example != "" {
			fmt.Fprintf(&b, ":\n       %s", e.example)
		}
		b.WriteByte('\n')
	}
	b.WriteString(`
An error is a line "ingot: error: ..." on standard error, often followed by a
line "ingot: hint: ..." that says what to do. With --json the last line of
standard error is the same as one JSON object.`)
	return &cobra.Command{Use: "exit-codes", Short: "What the exit code says", Long: b.String()}
}
