package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"ingot/internal/advisory"
	"ingot/internal/difference"
	"ingot/internal/distro/debian"
	"ingot/internal/fault"
	"ingot/internal/fetch"
	"ingot/internal/group"
	"ingot/internal/input"
	"ingot/internal/lock"
	"ingot/internal/repository"
)

// diffFlags are those of "ingot diff".
type diffFlags struct {
	repositoryFlags
	feed   string
	format string
}

func newDiffCommand() *cobra.Command {
	var f diffFlags
	cmd := &cobra.Command{
		Use:   "diff OLD NEW",
		Short: "Say what changed between two locks, or two versions of a group",
		Long: `diff compares two locks and says in words what changed: packages that moved, came
or went, tools, archives, files of the definition.

Of two versions of a group it also says what the packages' changelogs tell, which
files were added, removed and changed, which of them configure, and how sizes
grew. With --feed it says which known vulnerabilities went and which came, by
source package and version: from a file or an address, OSV (JSON or zip) or the
JSON of Debian's security tracker. A flavor in the specs compares that one alone.`,
		Example: `  ingot diff <(git show HEAD:ingot.lock) ingot.lock
  ingot diff web=3 web=4 --feed tracker.json
  ingot diff web=:stable web=:devel --format markdown`,
		GroupID: groupLook,
		Args:    cobra.ExactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			if f.json {
				f.format = "json"
			}
			if !slices.Contains([]string{"text", "json", "markdown", "html"}, f.format) {
				return fault.Newf(fault.Usage, "no format %q", f.format).WithHint("formats are text, json, markdown and html")
			}
			specs := isSpec(args[0])
			if specs != isSpec(args[1]) {
				return fault.Newf(fault.Usage, "%s and %s are not of one kind", args[0], args[1]).WithHint("name two locks, or two versions: NAME=VERSION")
			}
			if specs {
				return f.groups(cmd, args)
			}
			if f.feed != "" || f.format == "markdown" || f.format == "html" {
				return fault.Newf(fault.Usage, "--feed and these formats are for versions of groups").WithHint("commit the locks with 'ingot group commit', then: ingot diff NAME=OLD NAME=NEW")
			}
			return diffLocks(cmd, args, f.format == "json")
		},
	}
	f.addSpec(cmd)
	cmd.Flags().StringVar(&f.feed, "feed", "", "known vulnerabilities: `file` or address of OSV or of Debian's security tracker")
	cmd.Flags().StringVar(&f.format, "format", "text", "text, json, markdown or html")
	_ = cmd.RegisterFlagCompletionFunc("format", cobra.FixedCompletions([]string{"text", "json", "markdown", "html"}, cobra.ShellCompDirectiveNoFileComp))
	return cmd
}

// isSpec says whether an argument names a version of a group rather than a lock's file.
func isSpec(text string) bool {
	if _, err := os.Stat(text); err == nil {
		return false
	}
	s, err := group.ParseSpec(text)
	return err == nil && (s.Version != nil || s.Flavor != nil) || strings.ContainsAny(text, "=[") && !strings.HasSuffix(text, ".lock")
}

// readLock reads a lock that an argument names where a version of a group may stand too.
func readLock(path string) (*lock.Lock, error) {
	f, err := os.Open(path) // also what a shell's <(…) gives
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fault.Newf(fault.NotFound, "there is no lock %s", path).WithHint("a version of a group is NAME=VERSION")
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return lock.ReadFrom(f, path)
}

func diffLocks(cmd *cobra.Command, args []string, asJSON bool) error {
	var locks [2]*lock.Lock
	for i, path := range args {
		var err error
		if locks[i], err = readLock(path); err != nil {
			return err
		}
	}
	c := lock.Compare(locks[0], locks[1])
	if asJSON {
		return printJSON(cmd, c)
	}
	_, err := fmt.Fprint(cmd.OutOrStdout(), c.Text())
	return err
}

func (f *diffFlags) groups(cmd *cobra.Command, args []string) error {
	ctx := cmd.Context()
	r, err := f.open()
	if err != nil {
		return err
	}
	var of [2]*repository.Group
	var found [2][]group.Trove
	for i, text := range args {
		if of[i], found[i], err = f.one(ctx, r, text); err != nil {
			return err
		}
	}
	o := difference.Options{Compare: debian.CompareVersions, Changelog: changelog, FeedName: feedName(f.feed)}
	o.Takes = func(t repository.Tree) bool {
		fl, err := repository.FlavorOf(t.Arch, t.Flavor)
		has := func(x group.Trove) bool { return x.Flavor.Equal(fl) }
		return err == nil && (slices.ContainsFunc(found[0], has) || slices.ContainsFunc(found[1], has))
	}
	if f.feed != "" {
		if o.Feed, err = f.readFeed(ctx, of); err != nil {
			return err
		}
		o.FeedName = o.Feed.Format + " " + feedName(f.feed)
	}
	report, err := difference.Between(ctx, of[0], of[1], o)
	if err != nil {
		return err
	}
	switch f.format {
	case "json":
		return printJSON(cmd, report)
	case "markdown":
		return report.Markdown(cmd.OutOrStdout())
	case "html":
		return report.HTML(cmd.OutOrStdout())
	}
	return report.Text(cmd.OutOrStdout())
}

// changelog reads a changelog as it lies in a package.
func changelog(compressed []byte) ([]difference.Entry, error) {
	list, err := debian.ReadChangelog(compressed)
	out := make([]difference.Entry, len(list))
	for i, e := range list {
		out[i] = difference.Entry{Version: e.Version, Text: e.Text}
	}
	return out, err
}

// maxFeed bounds a feed as it is fetched, in bytes.
const maxFeed = 512 << 20

// readFeed reads what is known of the sources of both groups.
func (f *diffFlags) readFeed(ctx context.Context, of [2]*repository.Group) (*advisory.Feed, error) {
	sources := map[string]bool{}
	for _, g := range of {
		list, err := g.Packages(ctx)
		if err != nil {
			return nil, err
		}
		for _, p := range list {
			sources[p.Source] = true
		}
	}
	data, err := readFeedFile(ctx, f.feed)
	if err != nil {
		return nil, err
	}
	release := advisory.Release{Distro: of[1].Lock.Distro, Release: of[1].Lock.Release}
	return advisory.Read(feedName(f.feed), data, release, debian.CompareVersions, func(s string) bool { return sources[s] })
}

// feedName is what reports and messages call a feed: without what opens it to somebody.
func feedName(from string) string {
	if !strings.Contains(from, "://") {
		return from
	}
	u, err := url.Parse(from)
	if err != nil {
		return "an address that is none"
	}
	u.User, u.RawQuery, u.Fragment = nil, "", ""
	return u.String()
}

func readFeedFile(ctx context.Context, from string) ([]byte, error) {
	if !strings.Contains(from, "://") {
		data, err := input.Read(from, maxFeed)
		if errors.Is(err, fs.ErrNotExist) {
			return nil, fault.Newf(fault.NotFound, "there is no feed %s", from)
		}
		return data, err
	}
	var sink feedSink
	_, err := (&fetch.Client{}).Get(ctx, fetch.Want{Name: "feed", URLs: []string{from}, Max: maxFeed}, &sink)
	return sink.data, err
}

// feedSink keeps a feed on its way.
type feedSink struct{ data []byte }

func (s *feedSink) Write(b []byte) (int, error) { s.data = append(s.data, b...); return len(b), nil }
func (s *feedSink) Reset() error                { s.data = nil; return nil }
