package main

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"strings"
	"syscall"
	"testing"

	"github.com/spf13/cobra"
)

// works is an ingot with a verb that works until it is interrupted, and with
// --stubborn goes on then.
func works() {
	root := newRootCommand()
	stubborn, listens := false, false
	verb := &cobra.Command{Use: "work", RunE: func(cmd *cobra.Command, _ []string) error {
		_, _ = fmt.Fprintln(cmd.OutOrStdout(), "working")
		if listens {
			_, err := io.ReadAll(interruptible(cmd.Context(), cmd.InOrStdin()))
			return fmt.Errorf("cannot read: %w", err)
		}
		<-cmd.Context().Done()
		if stubborn {
			_, _ = fmt.Fprintln(cmd.OutOrStdout(), "stubborn")
			_, _ = cmd.InOrStdin().Read(make([]byte, 1)) // until killed
		}
		return fmt.Errorf("cannot work: %w", cmd.Context().Err())
	}}
	verb.Flags().BoolVar(&stubborn, "stubborn", false, "")
	verb.Flags().BoolVar(&listens, "listens", false, "")
	root.AddCommand(verb)
	os.Exit(execute(context.Background(), root, os.Args, os.Stdin, os.Stdout, os.Stderr))
}

func TestSignals(t *testing.T) {
	// What is heard here is not ignored there, also when nohup runs the tests.
	heard := make(chan os.Signal, 1)
	signal.Notify(heard, syscall.SIGHUP)
	defer signal.Stop(heard)
	for _, c := range []struct {
		name    string
		args    string
		signals []syscall.Signal // each sent after a line of output
		want    string
	}{
		{"INT", "work", []syscall.Signal{syscall.SIGINT}, "exit status 130\ningot: error: interrupted\n"},
		{"TERM", "work", []syscall.Signal{syscall.SIGTERM}, "exit status 130\ningot: error: interrupted\n"},
		{"HUP", "work", []syscall.Signal{syscall.SIGHUP}, "exit status 130\ningot: error: interrupted\n"},
		{"JSON", "--progress=json work", []syscall.Signal{syscall.SIGINT}, "exit status 130\n" + `{"schema":1,"event":"error","code":130,"message":"interrupted"}` + "\n"},
		{"silent input", "work --listens", []syscall.Signal{syscall.SIGINT}, "exit status 130\ningot: error: interrupted\n"},
		{"twice", "work --stubborn", []syscall.Signal{syscall.SIGINT, syscall.SIGTERM}, "signal: terminated\n"},
	} {
		t.Run(c.name, func(t *testing.T) {
			cmd := exec.CommandContext(t.Context(), os.Args[0], strings.Fields(c.args)...)
			cmd.Args[0] = "ingot-works"
			var stderr bytes.Buffer
			cmd.Stderr = &stderr
			stdin, err := cmd.StdinPipe()
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = stdin.Close() }()
			stdout, err := cmd.StdoutPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			lines := bufio.NewScanner(stdout)
			for _, s := range c.signals {
				if !lines.Scan() {
					t.Fatalf("it ended early: %v %s", cmd.Wait(), stderr.Bytes())
				}
				if err := cmd.Process.Signal(s); err != nil {
					t.Fatal(err)
				}
			}
			if got := fmt.Sprintf("%v\n%s", cmd.Wait(), stderr.Bytes()); got != c.want {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}
