// Command ingot defines, locks, builds and boots operating-system images.
//
// A verb is one file here: it parses flags, calls one room of internal/ and
// prints. Results go to standard output, all else to standard error. What went
// wrong is an error with an exit code, see internal/fault; this file alone turns
// errors into text and codes.
package main

import (
	"context"
	"errors"
	"io"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"ingot/internal/errand"
	"ingot/internal/fault"
	"ingot/internal/relay"
	"ingot/internal/sandbox"
)

func main() {
	sandbox.Main() // the inside of a box is this program again
	relay.Main()   // a program of a build calls the build
	os.Exit(run(os.Args, os.Stdin, os.Stdout, os.Stderr))
}

// run is the program: it gives the exit code.
func run(args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	return execute(context.Background(), newRootCommand(), throughDoor(args), stdin, stdout, stderr)
}

// execute runs one command and gives its exit code. The first SIGINT, SIGTERM or
// SIGHUP cancels the verb's context, which cleans up and ends with 130; a second
// one kills.
func execute(ctx context.Context, root *cobra.Command, args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	signals := []os.Signal{syscall.SIGINT, syscall.SIGTERM}
	if !signal.Ignored(syscall.SIGHUP) { // by nohup
		signals = append(signals, syscall.SIGHUP)
	}
	caught := make(chan os.Signal, 1)
	signal.Notify(caught, signals...)
	defer signal.Stop(caught)
	go func() {
		select {
		case <-caught:
			signal.Stop(caught) // before the verb hears of it
			cancel()
		case <-ctx.Done():
		}
	}()

	root.SetArgs(args[1:])
	root.SetIn(stdin)
	root.SetOut(stdout)
	root.SetErr(stderr)
	unwritten := watchHelp(root)
	err := root.ExecuteContext(ctx)
	if err == nil {
		err = *unwritten
	}
	if err == nil {
		return int(fault.Done)
	}
	if there, ok := errors.AsType[*errand.Ended](err); ok {
		return int(there.Code) // and said what was wrong
	}
	if ctx.Err() != nil && errors.Is(err, context.Canceled) {
		err = fault.Newf(fault.Interrupted, "interrupted")
	} else if ctx.Err() != nil {
		// What failed because a child died of the same signal.
		err = fault.Newf(fault.Interrupted, "interrupted: %w", err)
	}
	if hint := hintFrom(ctx, fault.HintOf(err)); hint != fault.HintOf(err) {
		err = &fault.Error{Code: fault.CodeOf(err), Hint: hint, Err: err}
	}
	complaint{stderr, saysJSON(args), progressIsJSON(args), colorOf(root, stderr)}.print(err)
	return int(fault.CodeOf(err))
}

// saysJSON and progressIsJSON look at the bare arguments, because a wrong flag
// stops their parsing.
func saysJSON(args []string) bool {
	return slices.Contains(options(args), "--json")
}

func progressIsJSON(args []string) bool {
	o := options(args)
	i := slices.Index(o, "--progress")
	return slices.Contains(o, "--progress=json") || i >= 0 && i+1 < len(o) && o[i+1] == "json"
}

func options(args []string) []string {
	if i := slices.Index(args, "--"); i >= 0 {
		return args[:i]
	}
	return args
}

// environ reads a variable of the environment; an unset one is empty.
func environ(name string) string { return strings.TrimSpace(os.Getenv(name)) }
