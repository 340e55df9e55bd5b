package main

import (
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"ingot/internal/digest"
	"ingot/internal/distro"
	"ingot/internal/distro/debian"
	"ingot/internal/fault"
	"ingot/internal/group"
	"ingot/internal/repository"
	"ingot/internal/supply"
	"ingot/internal/tree"
	"ingot/internal/ui"
)

// committedJSON is the object that "group commit", "group promote" and "group clone"
// print.
type committedJSON struct {
	Schema     int           `json:"schema"` // 1
	Repository string        `json:"repository"`
	Group      string        `json:"group"` // NAME=VERSION
	Version    string        `json:"version"`
	Lock       digest.Digest `json:"lock"`
	Flavors    []string      `json:"flavors"`
	New        bool          `json:"new"` // whether it was written: not if the newest version was this already
	From       string        `json:"from,omitempty"`
	Expires    time.Time     `json:"expires,omitzero"`
	SignedBy   string        `json:"signed_by,omitempty"` // fingerprint
}

// writeFlags are those of verbs that write to a repository.
type writeFlags struct {
	to     string
	sign   string
	change bool
	json   bool
	// expires is how long a version may be taken for the newest; "" is for ever.
	expires string
}

func (f *writeFlags) add(cmd *cobra.Command) {
	cmd.Flags().StringVar(&f.to, "to", "", "`repository` to write to: a directory, s3://BUCKET/PREFIX or oci://HOST/NAME")
	cmd.Flags().StringVar(&f.sign, "sign", "", "sign with the private key in this `file`; INGOT_KEY_PASSPHRASE opens it")
	cmd.Flags().BoolVar(&f.change, "change-flavors", false, "allow other flavors than the version before has")
	cmd.Flags().StringVar(&f.expires, "expires", "", "nobody should take it for the newest later than in: 30d, 8w")
}

// commit gives a candidate a version and prints it.
func (f *writeFlags) commit(cmd *cobra.Command, r *repository.Repository, c repository.Candidate, progress *ui.Progress) error {
	var err error
	if c.Key, err = signer(f.sign); err != nil {
		return err
	}
	if c.Key == nil && r.Keys != nil {
		return fault.Newf(fault.Usage, "keys are known that versions must be signed by, and this one would not be").WithHint("give the private key: --sign FILE")
	}
	c.Change = f.change
	if f.expires != "" {
		d, err := days("--expires", f.expires)
		if err != nil {
			return err
		}
		c.Statement.Expires = now().Add(d).UTC().Truncate(time.Second)
	}
	var bytes int64
	for _, u := range c.Uploads {
		bytes += u.Size
	}
	t := progress.Start(ui.Step{ID: "commit", Name: "commit to " + r.Place.String(), Unit: ui.Bytes, Total: bytes})
	c.Brought = func(u repository.Upload) { t.Add(u.Size) }
	done, err := r.Commit(cmd.Context(), c)
	t.Done(err)
	if err != nil {
		return err
	}
	if err := r.Saw(c.Name, done.Record); err != nil {
		return err
	}
	progress.Close()
	v := done.Record.Version
	out := committedJSON{
		Schema: 1, Repository: r.Place.String(), Group: c.Name + "=" + v.String(), Version: v.String(), Lock: c.Statement.Lock,
		New: !done.Old, From: c.Statement.From, Expires: c.Statement.Expires,
	}
	for _, g := range c.Flavors {
		out.Flavors = append(out.Flavors, g.String())
	}
	if c.Key != nil {
		out.SignedBy = c.Key.Fingerprint()
	}
	if f.json {
		return printJSON(cmd, out)
	}
	note := ""
	if done.Old {
		note = " (as it was: nothing has changed)"
	}
	_, err = fmt.Fprintf(cmd.OutOrStdout(), "%s%s\n", out.Group, note)
	return err
}

func newGroupCommitCommand() *cobra.Command {
	var f writeFlags
	var b buildFlags
	var label, upstream string
	cmd := &cobra.Command{
		Use:   "commit [FILE]",
		Short: "Put what was built into a repository, under the next version",
		Long: `commit gives the lock of a definition, as it was built last, the next version on a
label or branch: each of its flavors and sets, each file of these. The packages go
into the repository as they were signed, with the definition and all it names.

Versions count 1, 2, 3, or begin with --upstream: then the second number counts
changes of the definition and the third new builds of it. A lock that is the
newest version already gets no other.`,
		Example: `  ingot build && ingot group commit
  ingot group commit --to s3://images/groups --label images.example@acme:devel
  ingot group commit --upstream 1.4`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			b.locked = true // this verb changes no lock
			progress, err := newProgress(cmd)
			if err != nil {
				return err
			}
			defer progress.Close()
			branch, err := branchOf(or(or(label, environ(labelVariable)), ownLabel))
			if err != nil {
				return err
			}
			if upstream != "" {
				if _, err := group.ParseRevision(upstream + "-1"); err != nil {
					return fault.Newf(fault.Usage, "--upstream: %w", err)
				}
			}
			place, err := openPlace(f.to)
			if err != nil {
				return err
			}
			def, lockPath, err := load(args)
			if err != nil {
				return err
			}
			h, err := openHouse(b.sourceFlags, progress)
			if err == nil {
				err = h.writable()
			}
			if err != nil {
				return err
			}
			b.wish.Variants = def.Variants() // a version has all flavors
			p, _, err := b.plan(cmd.Context(), h, def, lockPath)
			if err != nil {
				return err
			}
			release, err := supply.Hold(cmd.Context(), h.store, lockPath, p.Lock)
			if err != nil {
				return err
			}
			defer release()
			built := repository.Built{Definition: def, Lock: p.Lock, Store: h.store, Contents: tree.NewReader(h.cache), Changelog: debian.Changelog}
			defer func() { _ = built.Contents.Close() }()
			runner := b.runner(h, p)
			var refs []distro.Ref
			for _, c := range p.Chains {
				t, ok := runner.Tree(c)
				if !ok {
					return fault.Newf(fault.NotFound, "the tree of set %s is not here", c.Set.Name()).WithHint("run 'ingot build' first, with --all-flavors if there are several")
				}
				image, err := runner.Image(cmd.Context(), p.Of(c), c, t)
				if err != nil {
					return err
				}
				built.Trees = append(built.Trees, keptOf(image))
				for _, ref := range c.Set.Refs {
					if !hasRef(refs, ref) {
						refs = append(refs, ref)
					}
				}
			}
			s := h.supply(p.Lock)
			built.Describe = s.Distro.Describe
			if built.Packages, err = s.Unpacked(cmd.Context(), refs, supply.Meter{}); err != nil {
				return err
			}
			if err := h.complete(cmd.Context(), p.Lock); err != nil {
				return err
			}
			c, err := repository.Gather(built)
			if err != nil {
				return err
			}
			c.Branch, c.Upstream = branch, upstream
			r, err := repositoryAt(place)
			if err != nil {
				return err
			}
			if r.Keys, err = (&repositoryFlags{}).trusted(); err != nil {
				return err
			}
			return f.commit(cmd, r, c, progress)
		},
	}
	f.add(cmd)
	b.add(cmd)
	cmd.Flags().StringVar(&label, "label", "", "`label` HOST@NAMESPACE:TAG or branch of the version; INGOT_LABEL, else "+ownLabel)
	cmd.Flags().StringVar(&upstream, "upstream", "", "what the `version` begins with")
	cmd.Flags().BoolVar(&f.json, "json", false, "print one JSON object")
	return cmd
}

func hasRef(refs []distro.Ref, ref distro.Ref) bool {
	for _, r := range refs {
		if r.SHA256 == ref.SHA256 {
			return true
		}
	}
	return false
}
