package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"ingot/internal/catalog"
	"ingot/internal/client"
	"ingot/internal/draft"
	"ingot/internal/fault"
	"ingot/internal/input"
	"ingot/internal/server"
	"ingot/internal/sign"
	"ingot/internal/tools"
	"ingot/internal/ui"
)

// signFlags are those of verbs that change a server tree.
type signFlags struct {
	key   string
	valid string
	token string
}

// treeHelp says in help texts what a server tree may be.
const treeHelp = "the server tree: a directory, s3://BUCKET/PREFIX, or https://HOST[/NAME] where 'ingot serve --publish' runs"

func (f *signFlags) add(cmd *cobra.Command) {
	cmd.Flags().StringVar(&f.key, "sign-key", "", "sign with the private key in this file, not with $INGOT_HOME/keys/server.asc")
	cmd.Flags().StringVar(&f.valid, "valid", "", "how long clients believe the index from now on: 30d, 12h (90d at first)")
	f.addToken(cmd)
}

func (f *signFlags) addToken(cmd *cobra.Command) {
	cmd.Flags().StringVar(&f.token, "token-file", "", "show a server that takes publications the token in this file (or in $INGOT_TOKEN_FILE's)")
}

// isRemote says whether a text names a tree on a server of ingot's.
func isRemote(tree string) bool {
	return strings.HasPrefix(tree, "https://") || strings.HasPrefix(tree, "http://")
}

// place opens the server tree that a text names. Fresh says that it need not be there yet.
func (f *signFlags) place(ctx context.Context, tree string, fresh bool) (server.Place, error) {
	if !isRemote(tree) {
		return server.OpenTree(ctx, tree, environ, fresh)
	}
	address, err := client.Address(tree)
	if err != nil {
		return nil, err
	}
	show, err := bearer(f.token, []string{address})
	if err != nil {
		return nil, err
	}
	return server.OpenRemote(ctx, address, show)
}

// publisher opens a server tree for changing it.
func (f *signFlags) publisher(place server.Place, progress *ui.Progress) (*server.Publisher, error) {
	p := &server.Publisher{Place: place, Waiting: func() { progress.Notef("another ingot publishes to %s: waiting for it", place) }}
	var err error
	if f.valid != "" {
		if p.Valid, err = days("--valid", f.valid); err != nil {
			return nil, err
		}
	}
	p.Key, err = signingKey(f.key, progress)
	return p, err
}

// days reads a time: Go's durations, and days and weeks.
func days(flag, text string) (time.Duration, error) {
	unit := map[string]time.Duration{"d": 24 * time.Hour, "w": 7 * 24 * time.Hour, "y": 365 * 24 * time.Hour}
	for suffix, u := range unit {
		if n, ok := strings.CutSuffix(text, suffix); ok {
			if k, err := strconv.Atoi(n); err == nil && k > 0 && k <= 100_000 {
				return time.Duration(k) * u, nil
			}
		}
	}
	if d, err := time.ParseDuration(text); err == nil && d > 0 {
		return d, nil
	}
	return 0, fault.Newf(fault.Usage, "%s %q is no time", flag, text).WithHint("write 12h, 30d or 8w")
}

// keyFile is where the key lies that signs where no other is named.
func keyFile() (string, error) {
	home, _, err := dirs()
	return filepath.Join(home, "keys", "server.asc"), err
}

// signingKey reads the key that signs server trees, and makes one where there is
// none and none is named.
func signingKey(path string, progress *ui.Progress) (*sign.Key, error) {
	named := path != ""
	if !named {
		var err error
		if path, err = keyFile(); err != nil {
			return nil, err
		}
	}
	data, err := input.Read(path, 1<<20)
	if errors.Is(err, fs.ErrNotExist) && !named {
		return newKey(path, progress)
	}
	if err != nil {
		return nil, fault.Newf(fault.Preflight, "cannot read the signing key: %w", err).WithHint("make one with: ingot server key --new %s", fault.File(path))
	}
	return sign.ReadKey(path, data, []byte(environ("INGOT_KEY_PASSPHRASE")), time.Now())
}

// newKey makes a key and writes it where it was not yet.
func newKey(path string, progress *ui.Progress) (*sign.Key, error) {
	k, err := sign.NewKey("ingot image server", time.Now())
	if err != nil {
		return nil, err
	}
	private, err := k.Private()
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, draft.Explain(fmt.Errorf("cannot keep the signing key: %w", err), "INGOT_HOME")
	}
	// Two publishers at once make one key: who comes second reads the first's.
	fresh, err := draft.Create(filepath.Dir(path))
	if err != nil {
		return nil, draft.Explain(err, "INGOT_HOME")
	}
	defer fresh.Discard()
	if _, err := fresh.Write(private); err != nil {
		return nil, draft.Explain(err, "INGOT_HOME")
	}
	if err := fresh.Sync(); err != nil {
		return nil, err
	}
	won, err := fresh.PublishNew(path, 0o600)
	if err != nil {
		return nil, draft.Explain(err, "INGOT_HOME")
	}
	if !won {
		data, err := input.Read(path, 1<<20)
		if err != nil {
			return nil, err
		}
		return sign.ReadKey(path, data, []byte(environ("INGOT_KEY_PASSPHRASE")), time.Now())
	}
	progress.Warnf("made a new signing key, %s, in %s: keep a copy of it in a safe place", k.Fingerprint(), path)
	return k, draft.SyncDir(filepath.Dir(path))
}

type publishFlags struct {
	signFlags
	to, channel, as, expires string
	delta, json              bool
}

func newPublishCommand() *cobra.Command {
	var f publishFlags
	cmd := &cobra.Command{
		Use:   "publish ARTIFACT… --to TREE",
		Short: "Put artifacts onto an image server",
		Long: `publish puts artifacts with their papers into a server tree: a directory that
'ingot serve', any web server or a mirror offers as it is; s3://BUCKET/PREFIX,
which clients read by http; or https://HOST where 'ingot serve --publish' runs, for
who has a token for it. ARTIFACT is a file that
'ingot build' made, or a directory with several. Each image gets a new version,
which its channel points to from then on.

The tree is for many clients at once: ingot's own, LXC's template "download",
Incus and LXD (simplestreams). All its indexes are signed by the key in
$INGOT_HOME/keys/server.asc, which the first publication makes.

Clients see the tree before or after a publication, never between.`,
		Example: `  ingot publish out --to /srv/images
  ingot publish out/web-amd64.qcow2 --to /srv/images --channel testing
  ingot publish out --to s3://images/public
  ingot publish out --to https://images.example --token-file ci.token
  ingot promote web testing stable --to /srv/images`,
		GroupID: groupServe,
		Args:    cobra.MinimumNArgs(1),
		RunE:    func(cmd *cobra.Command, args []string) error { return f.run(cmd, args) },
	}
	f.add(cmd)
	cmd.Flags().StringVar(&f.to, "to", "", treeHelp)
	cmd.Flags().StringVar(&f.channel, "channel", catalog.Stable, "the channel that points to it then")
	cmd.Flags().StringVar(&f.as, "as", "", "call the image so, not by its definition's name")
	cmd.Flags().StringVar(&f.expires, "expires", "", "nobody should use it later than in: 30d, 8w")
	cmd.Flags().BoolVar(&f.delta, "delta", false, "also a delta from what the channel has, by which LXD and Incus refresh")
	cmd.Flags().BoolVar(&f.json, "json", false, "print one JSON object")
	_ = cmd.MarkFlagRequired("to")
	return cmd
}

func (f *publishFlags) wish(args []string) (server.Wish, error) {
	w := server.Wish{Channel: f.channel, As: f.as}
	for flag, name := range map[string]string{"--channel": f.channel, "--as": f.as} {
		if name != "" && !catalog.IsName(name) {
			return w, fault.Newf(fault.Usage, "%s %q cannot be a name", flag, name).WithHint("write letters, digits and . _ + -")
		}
	}
	if err := channelName(f.channel); err != nil {
		return w, err
	}
	if f.expires != "" {
		d, err := days("--expires", f.expires)
		if err != nil {
			return w, err
		}
		w.Expires = time.Now().Add(d).UTC().Truncate(time.Second)
	}
	var err error
	w.Artifacts, err = server.Gather(args)
	return w, err
}

// channelName refuses channels that are called as versions are: who asks for that version must
// get it.
func channelName(name string) error {
	if catalog.IsName(name) && !catalog.IsChannel(name) {
		return fault.Newf(fault.Usage, "%q is the name of a version", name).WithHint("call the channel otherwise: stable, testing")
	}
	return nil
}

func (f *publishFlags) run(cmd *cobra.Command, args []string) error {
	progress, err := newProgress(cmd)
	if err != nil {
		return err
	}
	defer progress.Close()
	w, err := f.wish(args)
	if err != nil {
		return err
	}
	place, err := f.place(cmd.Context(), f.to, true)
	if err != nil {
		return err
	}
	p, err := f.publisher(place, progress)
	if err != nil {
		return err
	}
	if f.delta {
		if w.Differ, err = differ(progress); err != nil {
			return err
		}
	}
	task := progress.Start(ui.Step{ID: "publish", Name: "publish " + many(len(w.Artifacts), "artifact"), Unit: ui.Bytes, Total: w.Size()})
	w.Progress = task.Add
	published, err := p.Publish(cmd.Context(), w)
	task.Done(err)
	progress.Close()
	if err != nil {
		return err
	}
	out := publishJSON{Schema: 1, Tree: f.to, Key: p.Key.Fingerprint(), Images: []publishedJSON{}}
	for _, i := range published {
		j := publishedJSON{Name: i.Name, Arch: i.Arch, Channel: f.channel, Version: i.Version.Version, New: i.New, Joined: i.Joined, Size: i.Version.Size(), Formats: []string{}}
		for _, a := range i.Version.Artifacts {
			j.Formats = append(j.Formats, a.Format)
			for _, d := range a.Deltas {
				j.Deltas = append(j.Deltas, d.Base)
			}
		}
		out.Images = append(out.Images, j)
	}
	if f.json {
		return printJSON(cmd, out)
	}
	return out.print(cmd)
}

// differ makes deltas by the program of a tools tree.
func differ(progress *ui.Progress) (server.Differ, error) {
	h, err := openHouse(sourceFlags{}, progress)
	if err != nil {
		return nil, err
	}
	dir, err := h.cache.Sub("deltas")
	return tools.VCDIFF{Tools: h.keeper(), Dir: dir, Note: progress.Notef}, err
}

// publishJSON is the object that "publish --json" prints.
type publishJSON struct {
	Schema int             `json:"schema"` // 1
	Tree   string          `json:"tree"`
	Key    string          `json:"key"` // fingerprint
	Images []publishedJSON `json:"images"`
}

type publishedJSON struct {
	Name    string   `json:"name"`
	Arch    string   `json:"arch"`
	Channel string   `json:"channel"`
	Version string   `json:"version"`
	New     bool     `json:"new"`    // it is a new version
	Joined  bool     `json:"joined"` // artifacts joined a version that was there
	Size    int64    `json:"size"`
	Formats []string `json:"formats"`
	// Deltas are from which versions a delta makes this one, with --delta.
	Deltas []string `json:"deltas,omitempty"`
}

func (p publishJSON) print(cmd *cobra.Command) error {
	for _, i := range p.Images {
		what := "is there already"
		switch {
		case i.New:
			what = "new version"
		case i.Joined:
			what = "more of it"
		}
		if len(i.Deltas) > 0 {
			what += ", with a delta from " + strings.Join(i.Deltas, ", ")
		}
		if _, err := fmt.Fprintf(cmd.OutOrStdout(), "%s@%s for %s: %s, %s: %s (%s)\n", i.Name, i.Channel, i.Arch, i.Version, what, strings.Join(i.Formats, " "), ui.Size(i.Size)); err != nil {
			return err
		}
	}
	_, err := fmt.Fprintf(cmd.OutOrStdout(), "signed by %s\n", p.Key)
	return err
}
