package main

import (
	"fmt"
	"io"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"ingot/internal/fault"
	"ingot/internal/server"
	"ingot/internal/token"
)

func newServerTokenCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "token",
		Short: "Say who may read a private tree, or publish to a tree over the network",
		Long: `A token is a secret that a client shows a server: 'ingot pull --token-file'. The
tree keeps its hash, so a token is printed once, when it is made, and lost if it is.`,
	}
	cmd.AddCommand(newTokenAddCommand(), newTokenRemoveCommand(), newTokenListCommand())
	return cmd
}

func newTokenAddCommand() *cobra.Command {
	var publish bool
	var expires string
	cmd := &cobra.Command{
		Use:     "add TREE NAME",
		Short:   "Make a token and print it",
		Long:    "NAME is for people: whose it is. The token is printed on standard output, alone.",
		Example: "  ingot server token add /srv/images ci --publish --expires 90d >ci.token",
		Args:    cobra.ExactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := names(args[1]); err != nil {
				return err
			}
			now, until := time.Now(), time.Time{}
			if expires != "" {
				d, err := days("--expires", expires)
				if err != nil {
					return err
				}
				until = now.Add(d).UTC().Truncate(time.Second)
			}
			right := token.Read
			if publish {
				right = token.Publish
			}
			text, t := token.New(args[1], right, now, until)
			err := setAccess(cmd, args[0], func(l token.List) (token.List, error) {
				l, err := l.Add(t)
				if err != nil {
					return l, fault.Newf(fault.Usage, "%w", err).WithHint("take it back with: ingot server token remove %s %s", fault.File(args[0]), fault.Word(args[1]))
				}
				return l, nil
			})
			if err != nil {
				return err
			}
			_, err = fmt.Fprintln(cmd.OutOrStdout(), text)
			return err
		},
	}
	cmd.Flags().BoolVar(&publish, "publish", false, "it is good for publishing too")
	cmd.Flags().StringVar(&expires, "expires", "", "it is good no longer than: 30d, 8w")
	return cmd
}

func newTokenRemoveCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "remove TREE NAME",
		Short: "Take a token back",
		Long:  "A server notices at the next request.",
		Args:  cobra.ExactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			return setAccess(cmd, args[0], func(l token.List) (token.List, error) {
				l, had := l.Remove(args[1])
				if !had {
					return l, fault.Newf(fault.NotFound, "%s has no token %s", args[0], args[1]).WithHint("see them with: ingot server token list %s", fault.File(args[0]))
				}
				return l, nil
			})
		},
	}
}

// tokensJSON is the object that "server token list --json" prints.
type tokensJSON struct {
	Schema  int         `json:"schema"` // 1
	Tree    string      `json:"tree"`
	Private bool        `json:"private"`
	Tokens  []tokenJSON `json:"tokens"`
}

type tokenJSON struct {
	Name    string    `json:"name"`
	Right   string    `json:"right"`
	Created time.Time `json:"created"`
	Expires time.Time `json:"expires,omitzero"`
}

func newTokenListCommand() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "list TREE",
		Short: "List the tokens of a tree",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			d, err := server.OpenDir(args[0])
			if err != nil {
				return err
			}
			l, err := d.Access()
			if err != nil {
				return err
			}
			out := tokensJSON{Schema: 1, Tree: args[0], Private: l.Private, Tokens: []tokenJSON{}}
			for _, t := range l.Tokens {
				out.Tokens = append(out.Tokens, tokenJSON{t.Name, string(t.Right), t.Created, t.Expires})
			}
			if asJSON {
				return printJSON(cmd, out)
			}
			return out.print(cmd.OutOrStdout(), time.Now())
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print one JSON object")
	return cmd
}

func (o tokensJSON) print(out io.Writer, now time.Time) error {
	open := "open to read"
	if o.Private {
		open = "private"
	}
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintf(w, "%s is %s\n", o.Tree, open)
	for n, t := range o.Tokens {
		if n == 0 {
			_, _ = fmt.Fprintln(w, "NAME\tRIGHT\tMADE\tUNTIL")
		}
		until := "for ever"
		if !t.Expires.IsZero() {
			until = t.Expires.Format(time.DateOnly)
			if !now.Before(t.Expires) {
				until += ", expired"
			}
		}
		_, _ = fmt.Fprintf(w, "%s\t%s\t%s\t%s\n", t.Name, t.Right, t.Created.Format(time.DateOnly), until)
	}
	return w.Flush()
}

func newServerPrivateCommand(private bool) *cobra.Command {
	verb, short := "private", "Give nothing of a tree out without a token"
	if !private {
		verb, short = "public", "Give a tree out to everybody"
	}
	return &cobra.Command{
		Use:   verb + " TREE",
		Short: short,
		Long: `A private tree gives nothing out, neither indexes nor blobs, but to who shows a
token: see 'ingot server token add'. This is what 'ingot serve' does; another web
server does not know of it.`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return setAccess(cmd, args[0], func(l token.List) (token.List, error) {
				l.Private = private
				return l, nil
			})
		},
	}
}

// setAccess changes who may read and publish.
func setAccess(cmd *cobra.Command, tree string, f func(token.List) (token.List, error)) error {
	d, err := server.OpenDir(tree)
	if err != nil {
		return err
	}
	return d.SetAccess(cmd.Context(), f)
}
