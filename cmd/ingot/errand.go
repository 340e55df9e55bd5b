package main

import (
	"context"
	"errors"
	"os"
	"os/signal"
	"path/filepath"
	"regexp"
	"syscall"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"ingot/internal/errand"
	"ingot/internal/fault"
	"ingot/internal/terminal"
	"ingot/internal/ui"
)

// newErrandCommand is what runs on a host that an errand is sent to.
func newErrandCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "errand",
		Short:   "Run what another host's ingot asks for on standard input",
		Hidden:  true, // that ingot starts it, over ssh
		GroupID: groupOther,
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			home, _, err := dirs()
			if err != nil {
				return err
			}
			signal.Ignore(syscall.SIGPIPE) // a cut connection ends the verb, which then cleans up
			dir := filepath.Join(home, "errands")
			errand.Sweep(dir)
			return errand.Serve(cmd.Context(), cmd.InOrStdin(), cmd.OutOrStdout(), dir, func(ctx context.Context, j errand.Job) fault.Code {
				if j.Dir != "" {
					if err := os.Chdir(j.Dir); err != nil {
						complaint{w: j.Err}.print(err)
						return fault.Failed
					}
				}
				ctx = context.WithValue(ctx, calledHere{}, j.On)
				return fault.Code(execute(ctx, newRootCommand(), append([]string{"ingot"}, j.Args...), j.In, j.Out, j.Err))
			})
		},
	}
}

// calledHere is the key of a context's value: what who sent an errand calls this host.
type calledHere struct{}

// routed is a hint's verb of those that take --on.
var routed = regexp.MustCompile(`\bingot (machine [a-z]+|provision)\b`)

// hintFrom is a hint as it is right where an errand came from: whoever pastes it there means
// this host's machines, and not those of his own that have the same names.
func hintFrom(ctx context.Context, hint string) string {
	on, ok := ctx.Value(calledHere{}).(string)
	if !ok {
		return hint
	}
	return routed.ReplaceAllStringFunc(hint, func(verb string) string { return verb + " --on " + on })
}

// onFlag is the flag of verbs that another host may run.
type onFlag struct{ host string }

func (f *onFlag) add(cmd *cobra.Command) {
	cmd.Flags().StringVar(&f.host, "on", "", "do it on this `host`, over ssh: ssh://[USER@]HOST[:PORT]")
}

func (f *onFlag) said(cmd *cobra.Command) bool { return cmd.Flags().Changed("on") }

// worthSaying is how many bytes a verb without files sends only where it sends the program.
const worthSaying = 64 << 10

// send has the host run an errand, and calls begin when its verb begins. What that says is
// passed on, and its exit code is this verb's.
func send(cmd *cobra.Command, host errand.Host, e *errand.Errand, begin func()) error {
	progress, err := newProgress(cmd)
	if err != nil {
		return err
	}
	defer progress.Close()
	in, ok := cmd.InOrStdin().(*os.File)
	conn, err := host.Dial(cmd.Context(), ok && terminal.Is(in), progress)
	if err != nil {
		return err
	}
	defer conn.Close()
	sent := func() {
		if n := conn.Sent(); e.Bundle != "" || n > worthSaying {
			progress.Notef("%s was sent %s", host, ui.Size(n))
		}
		progress.Close() // before the verb there says something
		begin()
	}
	return conn.Run(cmd.Context(), e, progress, sent, errand.Output{Out: cmd.OutOrStdout(), Err: cmd.ErrOrStderr()})
}

// anywhere gives a verb that reads no file of its caller the flag --on, by which another
// host runs it with all its other flags and arguments.
func anywhere(cmd *cobra.Command) *cobra.Command {
	return anywhereJoined(cmd, func() bool { return false })
}

// anywhereJoined is anywhere of a verb that takes what is typed while it runs, if joined says
// so.
func anywhereJoined(cmd *cobra.Command, joined func() bool) *cobra.Command {
	var on onFlag
	on.add(cmd)
	here := cmd.RunE
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if !on.said(cmd) {
			return here(cmd, args)
		}
		host, err := errand.ParseHost(on.host)
		if err != nil {
			return err
		}
		e := &errand.Errand{Args: verbWords(cmd, args)}
		if joined() {
			return join(cmd, host, e)
		}
		return send(cmd, host, e, func() {})
	}
	return cmd
}

// join is send of a verb that takes what is typed here, on a terminal key by key.
func join(cmd *cobra.Command, host errand.Host, e *errand.Errand) error {
	var failed error
	restore := func() {}
	e.Live = cmd.InOrStdin()
	err := send(cmd, host, e, func() {
		// Not before ssh has asked what it has to ask.
		_, undo, err := rawTerminal(cmd)
		if failed = err; err == nil {
			restore = undo
		}
	})
	restore()
	return errors.Join(failed, err)
}

// verbWords are the words by which somebody would run the same verb on the other host.
func verbWords(cmd *cobra.Command, args []string) []string {
	words := worldWords(cmd)
	var verbs []string
	for c := cmd; c.HasParent(); c = c.Parent() {
		verbs = append([]string{c.Name()}, verbs...)
	}
	words = append(words, verbs...)
	cmd.LocalNonPersistentFlags().VisitAll(func(f *pflag.Flag) {
		if f.Changed && f.Name != "on" {
			words = append(words, flagWord(f))
		}
	})
	return append(append(words, "--"), args...)
}

// worldWords are the global flags that were said. Colours and bars are for the terminal
// here, which the other host does not have.
func worldWords(cmd *cobra.Command) []string {
	var words []string
	cmd.Root().PersistentFlags().VisitAll(func(f *pflag.Flag) {
		if f.Changed {
			words = append(words, flagWord(f))
		}
	})
	return words
}

// flagWord is a flag as somebody writes it.
func flagWord(f *pflag.Flag) string {
	if f.Value.Type() == "bool" && f.Value.String() == "true" {
		return "--" + f.Name
	}
	return "--" + f.Name + "=" + f.Value.String()
}
