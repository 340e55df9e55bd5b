package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"

	"github.com/spf13/cobra"

	"ingot/internal/catalog"
	"ingot/internal/fault"
	"ingot/internal/input"
	"ingot/internal/server"
	"ingot/internal/sign"
	"ingot/internal/ui"
)

func newServerCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "server",
		Short: "Look after a server tree and its keys",
		Long: `A server tree is what 'ingot publish' makes: plain, signed files, in a directory,
in s3://BUCKET/PREFIX, or at https://HOST where 'ingot serve --publish' runs. These
verbs check it, sign it anew, change its key, and keep versions in it. Tokens, and
whether it is private, are said where it lies.`,
		GroupID: groupServe,
	}
	cmd.AddCommand(newServerVerifyCommand(), newServerSignCommand(), newServerKeyCommand(), newServerRotateCommand(), newServerPinCommand(true), newServerPinCommand(false), newServerTokenCommand(), newServerPrivateCommand(true), newServerPrivateCommand(false))
	return cmd
}

// names refuses words that cannot be a name in a server tree.
func names(words ...string) error {
	for _, w := range words {
		if !catalog.IsName(w) {
			return fault.Newf(fault.Usage, "%q cannot be the name of an image, a channel or a version", w)
		}
	}
	return nil
}

func newServerVerifyCommand() *cobra.Command {
	var key string
	var at signFlags
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "verify TREE",
		Short: "Read a whole server tree and say what is wrong with it",
		Long: `verify reads all of a server tree: the signature and dates of its index, every
blob, every name, the indexes of all dialects and their signatures. It believes
the key given, else the one in $INGOT_HOME/keys/server.asc, else the tree's own
key.asc, and says which.`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			progress, err := newProgress(cmd)
			if err != nil {
				return err
			}
			defer progress.Close()
			place, err := at.place(cmd.Context(), args[0], false)
			if err != nil {
				return err
			}
			ring, err := believed(key, place)
			if err != nil {
				return err
			}
			task := progress.Start(ui.Step{ID: "verify", Name: "verify " + args[0], Unit: ui.Bytes})
			report, err := server.Verify(cmd.Context(), place, ring, &server.Publisher{}, func(total, n int64) {
				task.SetTotal(total)
				task.Add(n)
			})
			task.Done(err)
			progress.Close()
			if err != nil {
				return err
			}
			out := verifyJSON{Schema: 1, Tree: args[0], Keys: ring.Fingerprints(), Serial: report.Catalog.Serial, Expires: report.Catalog.Expires, Images: len(report.Catalog.Images), Blobs: report.Blobs, Size: report.Size, Problems: report.Problems}
			if out.Problems == nil {
				out.Problems = []string{}
			}
			for _, i := range report.Catalog.Images {
				out.Versions += len(i.Versions)
			}
			if asJSON {
				err = printJSON(cmd, out)
			} else {
				err = out.print(cmd)
			}
			if err == nil && len(report.Problems) > 0 {
				err = fault.Newf(fault.Verification, "%s of %s", many(len(report.Problems), "problem"), args[0]).
					WithHint("publish the artifacts again: what is there and right is not copied twice")
			}
			return err
		},
	}
	cmd.Flags().StringVar(&key, "key", "", "believe the public key in this file")
	at.addToken(cmd)
	cmd.Flags().BoolVar(&asJSON, "json", false, "print one JSON object")
	return cmd
}

// believed is the ring by which a tree on this machine is verified.
func believed(path string, place server.Place) (*sign.Keyring, error) {
	if path != "" {
		data, err := input.Read(path, 1<<20)
		if err != nil {
			return nil, fault.Newf(fault.Preflight, "cannot read the key: %w", err)
		}
		return sign.ReadKeyring(path, data)
	}
	own, err := keyFile()
	if err != nil {
		return nil, err
	}
	if data, err := input.Read(own, 1<<20); err == nil {
		k, err := sign.ReadKey(own, data, []byte(environ("INGOT_KEY_PASSPHRASE")), time.Now())
		if err != nil {
			return nil, err
		}
		return k.Keyring()
	}
	data, err := place.Read("key.asc", 1<<20)
	if err != nil {
		return nil, fault.Newf(fault.NotFound, "%s has no key.asc, and no other key is known: %w", place, err).WithHint("name its key with --key")
	}
	return sign.ReadKeyring("key.asc", data)
}

// verifyJSON is the object that "server verify --json" prints.
type verifyJSON struct {
	Schema   int       `json:"schema"` // 1
	Tree     string    `json:"tree"`
	Keys     []string  `json:"keys"` // fingerprints that were believed
	Serial   int64     `json:"serial"`
	Expires  time.Time `json:"expires"`
	Images   int       `json:"images"`
	Versions int       `json:"versions"`
	Blobs    int       `json:"blobs"`
	Size     int64     `json:"size"` // bytes of them
	Problems []string  `json:"problems"`
}

func (v verifyJSON) print(cmd *cobra.Command) error {
	for _, p := range v.Problems {
		if _, err := fmt.Fprintf(cmd.OutOrStdout(), "problem: %s\n", p); err != nil {
			return err
		}
	}
	_, err := fmt.Fprintf(cmd.OutOrStdout(), "%s: serial %d, %s in %s, %s, %s; by key %s, good until %s\n", v.Tree, v.Serial,
		many(v.Images, "image"), many(v.Versions, "version"), many(v.Blobs, "blob"), ui.Size(v.Size), v.Keys[0], v.Expires.UTC().Format(time.DateOnly))
	return err
}

func newServerSignCommand() *cobra.Command {
	var f signFlags
	cmd := &cobra.Command{
		Use:   "sign TREE",
		Short: "Sign a server tree anew, so that clients go on believing it",
		Long: `Clients do not believe an index past its date, since somebody may be keeping a
newer one back from them. Each publication moves the date on; where there is none
for long, this verb does, from a timer.`,
		Example: "  ingot server sign /srv/images --valid 30d",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			p, done, err := openTree(cmd, &f, args[0])
			if err != nil {
				return err
			}
			defer done()
			c, err := p.Renew(cmd.Context())
			if err != nil {
				return err
			}
			_, err = fmt.Fprintf(cmd.OutOrStdout(), "serial %d, good until %s\n", c.Serial, c.Expires.Format(time.DateTime))
			return err
		},
	}
	f.add(cmd)
	return cmd
}

func newServerKeyCommand() *cobra.Command {
	var fresh, from string
	cmd := &cobra.Command{
		Use:   "key",
		Short: "Print the public key of server trees, or make another one",
		Long: `key prints the public key that belongs to the signing key in
$INGOT_HOME/keys/server.asc: what clients give to 'ingot pull --key'. With --new
it makes a new key instead, in a file; for 'ingot server rotate', or to be kept
elsewhere.`,
		Example: `  ingot server key > server-key.asc
  ingot server key --new next.asc && ingot server rotate /srv/images next.asc`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			progress, err := newProgress(cmd)
			if err != nil {
				return err
			}
			defer progress.Close()
			var k *sign.Key
			if fresh != "" {
				if _, err := os.Lstat(fresh); !errors.Is(err, fs.ErrNotExist) {
					return fault.Newf(fault.Usage, "%s is there already", fresh).WithHint("a key is never written over: choose another name")
				}
				if k, err = newKey(fresh, progress); err != nil {
					return err
				}
				_, err = fmt.Fprintln(cmd.OutOrStdout(), k.Fingerprint())
				return err
			}
			if k, err = signingKey(from, progress); err != nil {
				return err
			}
			public, err := k.Public()
			if err != nil {
				return err
			}
			progress.Close()
			_, err = cmd.OutOrStdout().Write(public)
			return err
		},
	}
	cmd.Flags().StringVar(&fresh, "new", "", "make a new key in this file, and print its fingerprint")
	cmd.Flags().StringVar(&from, "sign-key", "", "print that of the private key in this file")
	cmd.MarkFlagsMutuallyExclusive("new", "sign-key")
	return cmd
}

func newServerRotateCommand() *cobra.Command {
	var f signFlags
	cmd := &cobra.Command{
		Use:   "rotate TREE NEWKEY",
		Short: "Change the key that signs a server tree",
		Long: `rotate signs a tree with a new private key from now on. The old one, which is
asked for as 'ingot publish' does, signs that the new one follows it, so ingot's
clients that trust the old key go on by themselves. Clients of others need the new
key by hand.`,
		Example: `  ingot server key --new next.asc
  ingot server rotate /srv/images next.asc
  mv next.asc /var/lib/ingot/keys/server.asc`,
		Args: cobra.ExactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			p, done, err := openTree(cmd, &f, args[0])
			if err != nil {
				return err
			}
			defer done()
			next, err := signingKey(args[1], nil)
			if err != nil {
				return err
			}
			if err := p.Rotate(cmd.Context(), next); err != nil {
				return err
			}
			_, err = fmt.Fprintf(cmd.OutOrStdout(), "%s is signed by %s now\n", args[0], next.Fingerprint())
			return err
		},
	}
	f.add(cmd)
	return cmd
}

func newServerPinCommand(pin bool) *cobra.Command {
	var f signFlags
	verb, short, did := "pin", "Keep a version on a server whatever prune is told", "is pinned"
	if !pin {
		verb, short, did = "unpin", "Let prune judge a version again", "is pinned no longer"
	}
	cmd := &cobra.Command{
		Use:   verb + " TREE IMAGE VERSION",
		Short: short,
		Long:  "VERSION is a version, or a channel that points to one.",
		Args:  cobra.ExactArgs(3),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := names(args[1:]...); err != nil {
				return err
			}
			p, done, err := openTree(cmd, &f, args[0])
			if err != nil {
				return err
			}
			defer done()
			if err := p.Pin(cmd.Context(), args[1], args[2], pin); err != nil {
				return err
			}
			_, err = fmt.Fprintf(cmd.OutOrStdout(), "%s@%s %s\n", args[1], args[2], did)
			return err
		},
	}
	f.add(cmd)
	return cmd
}
