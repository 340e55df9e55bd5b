package main

import (
	"context"
	"fmt"
	"os"
	"path"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"ingot/internal/catalog"
	"ingot/internal/client"
	"ingot/internal/fault"
	"ingot/internal/fetch"
	"ingot/internal/server"
	"ingot/internal/ui"
	others "ingot/internal/upstream"
)

type mirrorFlags struct {
	signFlags
	remoteFlags
	to, kind                       string
	image, distro, release, format string
	arches                         []string
	latest                         int
	unsigned, dry, json            bool
}

func newMirrorCommand() *cobra.Command {
	var f mirrorFlags
	cmd := &cobra.Command{
		Use:   "mirror URL --to TREE",
		Short: "Copy the images of another server, verified and signed anew",
		Long: `mirror copies images of another image server into a server tree: of ingot's, of
simplestreams (Incus and LXD), or of LXC's. All of it is verified: by the server's
signed index, or, of LXC's, by the signature of each file. What is there already is
not fetched again, so a timer keeps a mirror up to date.

Versions keep their names, and channels point to what they point to there; of
servers that have none, stable is the newest. Images of others are called
DISTRO-RELEASE-VARIANT, and their clients find them as they did there.`,
		Example: `  ingot mirror https://images.example --key server-key.asc --to /srv/images
  ingot mirror https://lxc.example --kind lxc --key lxc.asc --arch amd64 --to tree
  ingot mirror https://incus.example --unsigned --image '*-default' --to tree`,
		GroupID: groupServe,
		Args:    cobra.ExactArgs(1),
		RunE:    func(cmd *cobra.Command, args []string) error { return f.run(cmd, args[0]) },
	}
	f.signFlags.add(cmd)
	cmd.Flags().StringVar(&f.to, "to", "", treeHelp)
	cmd.Flags().StringVar(&f.kind, "kind", "", "what the server is: ingot, simplestreams or lxc; else the first of them that it is")
	cmd.Flags().StringVar(&f.remoteFlags.key, "key", "", "believe this public key: a file, or of ingot's servers a fingerprint")
	cmd.Flags().BoolVar(&f.firstUse, "trust-on-first-use", false, "of ingot's servers, believe and remember whatever key is shown, if none is known")
	cmd.Flags().BoolVar(&f.unsigned, "unsigned", false, "without a key, believe what comes by TLS")
	cmd.Flags().StringVar(&f.image, "image", "", "only images of this name, with * and ?")
	cmd.Flags().StringVar(&f.distro, "distro", "", "only those of this distribution")
	cmd.Flags().StringVar(&f.release, "release", "", "only those of this release")
	cmd.Flags().StringVar(&f.format, "format", "", "only artifacts of this format: lxc, incus, incus-vm, qcow2")
	cmd.Flags().StringArrayVar(&f.arches, "arch", nil, "only those for this architecture; may be repeated")
	cmd.Flags().IntVar(&f.latest, "latest", 0, "only the newest so many versions of each; 0 is all")
	cmd.Flags().BoolVar(&f.dry, "dry-run", false, "copy nothing, say what would be")
	cmd.Flags().BoolVar(&f.json, "json", false, "print one JSON object")
	_ = cmd.MarkFlagRequired("to")
	return cmd
}

// an offered version, and how it comes here.
type offered struct {
	image    catalog.Image
	channels []string
	version  catalog.Version
	bring    func(ctx context.Context, v catalog.Version, dir string) (catalog.Version, error)
}

// mirrorJSON is the object that "mirror --json" prints.
type mirrorJSON struct {
	Schema int            `json:"schema"` // 1
	Tree   string         `json:"tree"`
	DryRun bool           `json:"dry_run"`
	Images []mirroredJSON `json:"images"`
}

type mirroredJSON struct {
	Name    string   `json:"name"`
	Arch    string   `json:"arch"`
	Version string   `json:"version"`
	Formats []string `json:"formats"`
	New     bool     `json:"new"` // it was not there as it is there now
}

func (f *mirrorFlags) run(cmd *cobra.Command, from string) error {
	if !slices.Contains([]string{"", "ingot", "simplestreams", "lxc"}, f.kind) {
		return fault.Newf(fault.Usage, "--kind %q is none", f.kind).WithHint("write ingot, simplestreams or lxc")
	}
	if _, err := path.Match(f.image, ""); err != nil || f.latest < 0 {
		return fault.Newf(fault.Usage, "--image or --latest cannot be read").WithHint("write a name with * and ?, and a number")
	}
	progress, err := newProgress(cmd)
	if err != nil {
		return err
	}
	defer progress.Close()
	f.from = []string{from}
	offers, err := f.offers(cmd.Context(), progress)
	if err != nil {
		return err
	}
	offers = f.choose(offers)
	if len(offers) == 0 {
		return fault.Newf(fault.NotFound, "%s offers no such image", from).WithHint("leave filters out; --dry-run says what there is")
	}
	if isRemote(f.to) && f.signFlags.token == "" {
		// The one of the environment is shown to the server that is read.
		return fault.Newf(fault.Usage, "%s asks for a token", f.to).WithHint("name the file with it: --token-file")
	}
	place, err := f.place(cmd.Context(), f.to, !f.dry)
	if err != nil && (!f.dry || fault.CodeOf(err) != fault.NotFound) {
		return err
	}
	out := mirrorJSON{Schema: 1, Tree: f.to, DryRun: f.dry, Images: []mirroredJSON{}}
	var p *server.Publisher
	if err == nil {
		if p, err = f.publisher(place, progress); err != nil {
			return err
		}
	}
	task := progress.Start(ui.Step{ID: "mirror", Name: "mirror " + many(len(offers), "version"), Unit: ui.Items, Total: int64(len(offers))})
	for _, o := range offers {
		done, err := f.take(cmd.Context(), p, o)
		if err != nil {
			task.Done(err)
			return err
		}
		task.Add(1)
		out.Images = append(out.Images, done)
	}
	task.Done(nil)
	progress.Close()
	if f.json {
		return printJSON(cmd, out)
	}
	return out.print(cmd)
}

// offers are what the server has, older versions first.
func (f *mirrorFlags) offers(ctx context.Context, progress *ui.Progress) ([]offered, error) {
	s, err := f.server(progress, func(fetch.Event) {})
	if err != nil {
		return nil, err
	}
	var out []offered
	if f.kind == "" || f.kind == "ingot" {
		c, err := s.Refresh(ctx)
		if err == nil {
			return f.ours(s, c), nil
		}
		// Who knows no key of it, or gave another's, may mean a server of another kind.
		if f.kind == "ingot" || !f.foreign(ctx, s) {
			return nil, err
		}
	}
	u := &others.Source{URL: s.Mirrors[0], Fetch: s.Fetch, Keys: s.Trust.Keys, Plain: f.unsigned, Skipped: func(what, why string) {
		progress.Notef("passed over %.200q: %s", what, why)
	}}
	found, err := u.List(ctx, f.kind)
	for _, o := range found {
		out = append(out, offered{catalog.Image{Name: o.Name, Arch: o.Arch, Variant: o.Variant}, o.Channels, o.Version, o.Bring})
	}
	return out, err
}

// foreign says whether a server has no catalog of ingot's.
func (f *mirrorFlags) foreign(ctx context.Context, s *client.Server) bool {
	var b fetch.Buffer
	_, err := s.Fetch.Get(ctx, fetch.Want{Name: catalog.Path, URLs: []string{s.Mirrors[0] + "/" + catalog.Path}, Max: catalog.MaxSize}, &b)
	return fetch.IsMissing(err)
}

// ours are the versions of one of ingot's servers.
func (f *mirrorFlags) ours(s *client.Server, c catalog.Catalog) []offered {
	var out []offered
	for _, i := range c.Images {
		for _, v := range i.Versions {
			if !v.Expires.IsZero() && !time.Now().Before(v.Expires) {
				continue
			}
			v.Pinned = false // that is for each tree to say
			o := offered{image: i, version: v}
			for _, k := range i.Channels {
				if k.Version == v.Version {
					o.channels = append(o.channels, k.Name)
				}
			}
			o.bring = func(ctx context.Context, v catalog.Version, dir string) (catalog.Version, error) {
				_, err := s.Pull(ctx, v.All(), dir, false)
				return v, err
			}
			out = append(out, o)
		}
	}
	return out
}

// choose filters offers.
func (f *mirrorFlags) choose(all []offered) []offered {
	var out []offered
	newest := map[string]int{}
	for _, o := range slices.Backward(all) {
		v := &o.version
		if name, _ := path.Match(f.image, o.image.Name); f.image != "" && !name || f.distro != "" && f.distro != v.Distro || f.release != "" && f.release != v.Release ||
			len(f.arches) > 0 && !slices.Contains(f.arches, o.image.Arch) {
			continue
		}
		if f.format != "" {
			a, ok := v.Artifact(f.format)
			if !ok {
				continue
			}
			v.Artifacts = []catalog.Artifact{a}
		}
		id := o.image.Name + " " + o.image.Arch
		if newest[id]++; f.latest > 0 && newest[id] > f.latest {
			continue
		}
		out = append(out, o)
	}
	slices.Reverse(out)
	return out
}

// take brings a version and publishes it, unless it is there.
func (f *mirrorFlags) take(ctx context.Context, p *server.Publisher, o offered) (mirroredJSON, error) {
	out := mirroredJSON{Name: o.image.Name, Arch: o.image.Arch, Version: o.version.Version, Formats: []string{}, New: true}
	for _, a := range o.version.Artifacts {
		out.Formats = append(out.Formats, a.Format)
	}
	if p != nil {
		there, err := p.Has(o.image, o.channels, o.version)
		out.New = !there
		if there || err != nil {
			return out, err
		}
	}
	if f.dry {
		return out, nil
	}
	dir, err := os.MkdirTemp("", "ingot-mirror-")
	if err != nil {
		return out, err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	v, err := o.bring(ctx, o.version, dir)
	if err == nil {
		_, err = p.Take(ctx, server.Incoming{Image: o.image, Channels: o.channels, Version: v, Dir: dir})
	}
	return out, err
}

func (o mirrorJSON) print(cmd *cobra.Command) error {
	fresh := 0
	for _, i := range o.Images {
		if !i.New {
			continue
		}
		fresh++
		if _, err := fmt.Fprintf(cmd.OutOrStdout(), "%s for %s, %s\n", i.Name, i.Arch, i.Version); err != nil {
			return err
		}
	}
	what := "copied"
	if o.DryRun {
		what = "would be copied"
	}
	_, err := fmt.Fprintf(cmd.OutOrStdout(), "%s %s, %d there already\n", many(fresh, "version"), what, len(o.Images)-fresh)
	return err
}
