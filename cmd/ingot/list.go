package main

import (
	"fmt"
	"io"
	"path"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"ingot/internal/catalog"
	"ingot/internal/fault"
	"ingot/internal/fetch"
	"ingot/internal/ui"
)

type listFlags struct {
	remoteFlags
	arch, channel, format, distro, release string
	versions, json                         bool
}

func newListCommand() *cobra.Command {
	var f listFlags
	cmd := &cobra.Command{
		Use:   "list [PATTERN]",
		Short: "List the images of a server",
		Long: `list shows what an image server offers, by its signed index: for each image and
channel the version, its age, size and formats; with --versions all versions.
PATTERN is a name, with * and ? for any characters.`,
		Example: `  ingot list --from https://images.example --trust-on-first-use
  ingot list 'web*' --arch amd64 --format qcow2
  ingot list web --versions --json`,
		GroupID: groupServe,
		Args:    cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			pattern := "*"
			if len(args) > 0 {
				pattern = args[0]
			}
			return f.run(cmd, pattern)
		},
	}
	f.add(cmd)
	cmd.Flags().StringVar(&f.arch, "arch", "", "only for this architecture")
	cmd.Flags().StringVar(&f.channel, "channel", "", "only what this channel points to")
	cmd.Flags().StringVar(&f.format, "format", "", "only what has an artifact of this format")
	cmd.Flags().StringVar(&f.distro, "distro", "", "only of this distribution")
	cmd.Flags().StringVar(&f.release, "release", "", "only of this release")
	cmd.Flags().BoolVar(&f.versions, "versions", false, "list all versions, not only what channels point to")
	cmd.Flags().BoolVar(&f.json, "json", false, "print one JSON object")
	return cmd
}

// offerJSON is what "list --json" prints.
type offerJSON struct {
	Schema  int         `json:"schema"` // 1
	Server  string      `json:"server"`
	Serial  int64       `json:"serial"`
	Created time.Time   `json:"created"`
	Expires time.Time   `json:"expires"`
	Images  []imageJSON `json:"images"`
}

type imageJSON struct {
	Name     string        `json:"name"`
	Arch     string        `json:"arch"`
	Versions []versionJSON `json:"versions"`
}

type versionJSON struct {
	Version   string    `json:"version"`
	Channels  []string  `json:"channels"` // that point to it
	Published time.Time `json:"published"`
	ImageEnds time.Time `json:"image_expires,omitzero"`
	Pinned    bool      `json:"pinned"`
	Distro    string    `json:"distro"`
	Release   string    `json:"release"`
	Lock      string    `json:"lock"`
	Size      int64     `json:"size"`
	Formats   []string  `json:"formats"`
}

func (f *listFlags) run(cmd *cobra.Command, pattern string) error {
	if _, err := path.Match(pattern, ""); err != nil {
		return fault.Newf(fault.Usage, "%q is no pattern", pattern)
	}
	progress, err := newProgress(cmd)
	if err != nil {
		return err
	}
	defer progress.Close()
	s, err := f.server(progress, func(fetch.Event) {})
	if err != nil {
		return err
	}
	c, err := s.Refresh(cmd.Context())
	progress.Close()
	if err != nil {
		return err
	}
	out := offerJSON{Schema: 1, Server: s.Name(), Serial: c.Serial, Created: c.Created, Expires: c.Expires, Images: f.filter(c, pattern)}
	if f.json {
		return printJSON(cmd, out)
	}
	return out.print(cmd.OutOrStdout(), time.Now())
}

// filter are the images and versions that are asked for.
func (f *listFlags) filter(c catalog.Catalog, pattern string) []imageJSON {
	out := []imageJSON{}
	for _, i := range c.Images {
		if ok, _ := path.Match(pattern, i.Name); !ok || f.arch != "" && f.arch != i.Arch { // the pattern is one
			continue
		}
		j := imageJSON{Name: i.Name, Arch: i.Arch, Versions: []versionJSON{}}
		for _, v := range slices.Backward(i.Versions) {
			w := versionJSON{
				Version: v.Version, Channels: []string{}, Published: v.Published, ImageEnds: v.Expires, Pinned: v.Pinned,
				Distro: v.Distro, Release: v.Release, Lock: v.Lock.String(), Size: v.Size(), Formats: []string{},
			}
			for _, k := range i.Channels {
				if k.Version == v.Version {
					w.Channels = append(w.Channels, k.Name)
				}
			}
			for _, a := range v.Artifacts {
				w.Formats = append(w.Formats, a.Format)
			}
			switch {
			case !f.versions && len(w.Channels) == 0,
				f.channel != "" && !slices.Contains(w.Channels, f.channel),
				f.format != "" && !slices.Contains(w.Formats, f.format),
				f.distro != "" && f.distro != v.Distro,
				f.release != "" && f.release != v.Release:
				continue
			}
			j.Versions = append(j.Versions, w)
		}
		if len(j.Versions) > 0 {
			out = append(out, j)
		}
	}
	return out
}

func (o offerJSON) print(out io.Writer, now time.Time) error {
	if len(o.Images) == 0 {
		_, err := fmt.Fprintln(out, "no such image")
		return err
	}
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintln(w, "IMAGE\tARCH\tCHANNELS\tVERSION\tAGE\tOF\tSIZE\tFORMATS")
	for _, i := range o.Images {
		for _, v := range i.Versions {
			marks := ""
			if v.Pinned {
				marks = ", pinned"
			}
			if !v.ImageEnds.IsZero() && !now.Before(v.ImageEnds) {
				marks += ", expired"
			}
			_, _ = fmt.Fprintf(w, "%s\t%s\t%s\t%s%s\t%s\t%s %s\t%s\t%s\n", i.Name, i.Arch, dash(strings.Join(v.Channels, " ")), v.Version, marks, age(now.Sub(v.Published)),
				v.Distro, v.Release, ui.Size(v.Size), strings.Join(v.Formats, " "))
		}
	}
	return w.Flush()
}

// age is a time for people, roughly.
func age(d time.Duration) string {
	switch {
	case d < time.Minute:
		return "now"
	case d < time.Hour:
		return fmt.Sprintf("%d min", d/time.Minute)
	case d < 48*time.Hour:
		return fmt.Sprintf("%d h", d/time.Hour)
	}
	return fmt.Sprintf("%d d", d/(24*time.Hour))
}
