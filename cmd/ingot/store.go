package main

import (
	"fmt"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"ingot/internal/cache"
	"ingot/internal/fault"
	"ingot/internal/store"
	"ingot/internal/supply"
	"ingot/internal/ui"
)

func newStoreCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "store",
		Short: "See, clean and carry what is kept",
		Long: `The store, in $INGOT_HOME, holds the packages that locks name, as they were
signed. The cache, in $INGOT_CACHE, holds what can be made again from it and may
be emptied at any time.`,
		GroupID: groupKeep,
	}
	cmd.AddCommand(newStoreListCommand(), newStoreGCCommand(), newStoreExportCommand(), newStoreImportCommand())
	return cmd
}

// openStore opens store and cache for verbs that use no network.
func openStore() (*store.Store, *cache.Cache, error) {
	home, cacheDir, err := dirs()
	if err != nil {
		return nil, nil, err
	}
	s, err := store.Open(home)
	if err != nil {
		return nil, nil, err
	}
	c, err := cache.Open(cacheDir)
	return s, c, err
}

// since is the time that lies some days back.
func since(days int) (time.Time, error) {
	if days < 0 {
		return time.Time{}, fault.Newf(fault.Usage, "--keep-days %d is less than none", days)
	}
	return time.Now().Add(-24 * time.Hour * time.Duration(min(days, 100_000))), nil
}

func newStoreGCCommand() *cobra.Command {
	var dry, withCache, asJSON bool
	var days int
	cmd := &cobra.Command{
		Use:   "gc",
		Short: "Remove what no lock needs any more",
		Long: `gc removes the packages that no lock needs. A lock needs its packages as long
as its file lies where it was and says the same; after that they are kept for
some days since a build last used it. Builds may run meanwhile: what they use
stays.

With --cache, entries of the cache that were not used for as long go as well.`,
		Example: `  ingot store gc --dry-run        what would go
  ingot store gc --cache          on a machine that builds now and then
  ingot store gc --keep-days 0    all that no lock file needs now`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cut, err := since(days)
			if err != nil {
				return err
			}
			s, c, err := openStore()
			if err != nil {
				return err
			}
			out := gcJSON{Schema: 1, DryRun: dry, Locks: []lockJSON{}, Cache: []kindJSON{}}
			done, err := s.Collect(cmd.Context(), supply.Keeps(cut), dry)
			if err != nil {
				return err
			}
			for _, r := range done.Refs {
				out.Locks = append(out.Locks, describeLock(s, r))
			}
			out.Removed, out.Freed, out.Kept, out.Size, out.Leased = len(done.Removed), done.Freed, done.Kept, done.Size, done.Leased
			if withCache {
				kinds, err := c.Trim(cut, dry)
				if err != nil {
					return err
				}
				out.Cache = kindsJSON(kinds)
			}
			if asJSON {
				return printJSON(cmd, out)
			}
			return out.print(cmd, withCache)
		},
	}
	cmd.Flags().BoolVar(&dry, "dry-run", false, "remove nothing, say what would go")
	cmd.Flags().BoolVar(&withCache, "cache", false, "remove old entries of the cache as well")
	cmd.Flags().IntVar(&days, "keep-days", supply.KeepDays, "keep what was used in the last so many days")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print one JSON object")
	return cmd
}

// gcJSON is the object that "store gc --json" prints.
type gcJSON struct {
	Schema  int        `json:"schema"` // 1
	DryRun  bool       `json:"dry_run"`
	Locks   []lockJSON `json:"locks"`   // that were dropped
	Removed int        `json:"removed"` // blobs
	Freed   int64      `json:"freed"`   // bytes of them
	Kept    int        `json:"kept"`    // blobs
	Size    int64      `json:"size"`    // bytes of them
	Leased  int        `json:"leased"`  // kept only because a running build uses them
	Cache   []kindJSON `json:"cache"`   // removed, with --cache
}

func (g gcJSON) print(cmd *cobra.Command, withCache bool) error {
	removed := "removed"
	if g.DryRun {
		removed = "would remove"
	}
	w := cmd.OutOrStdout()
	for _, l := range g.Locks {
		if _, err := fmt.Fprintf(w, "dropped: lock %s of %s, last used %s\n", l.Digest[:12], l.name(), l.Used.Format(time.DateOnly)); err != nil {
			return err
		}
	}
	text := fmt.Sprintf("store: %s %s, %s; kept %d, %s", removed, many(g.Removed, "blob"), ui.Size(g.Freed), g.Kept, ui.Size(g.Size))
	if g.Leased > 0 {
		text += fmt.Sprintf("; %d of them only for builds that are running", g.Leased)
	}
	if withCache {
		n, size := total(g.Cache)
		text += fmt.Sprintf("\ncache: %s %s, %s", removed, many(n, "file"), ui.Size(size))
	}
	_, err := fmt.Fprintln(w, text)
	return err
}

// lockJSON is a lock that the store knows.
type lockJSON struct {
	Digest   string    `json:"digest"`
	Path     string    `json:"path,omitempty"` // of its file; none for one that was imported
	Packages int       `json:"packages"`
	Missing  int       `json:"missing"` // of them, not in the store
	Size     int64     `json:"size"`    // bytes of all
	Current  bool      `json:"current"` // its file says still the same
	Used     time.Time `json:"used"`    // by a build
	// KeptUntil is from when on gc drops it, if nobody uses it and it is not
	// current.
	KeptUntil time.Time `json:"kept_until,omitzero"`
}

func (l lockJSON) name() string {
	if l.Path == "" {
		return "an import"
	}
	return l.Path
}

func describeLock(s *store.Store, r store.Ref) lockJSON {
	l := lockJSON{Digest: r.Lock.String(), Path: filepath.Clean(r.Path), Current: supply.Current(r), Used: r.Used.UTC()}
	if r.Path == "" {
		l.Path = ""
	}
	if !l.Current {
		l.KeptUntil = l.Used.AddDate(0, 0, supply.KeepDays)
	}
	for _, n := range r.Needs {
		if n.Size == store.AnySize {
			continue // the list of a seal
		}
		l.Packages++
		l.Size += n.Size
		if !s.Has(n.Digest, n.Size) {
			l.Missing++
		}
	}
	return l
}

// kindJSON is what the cache holds of one kind.
type kindJSON struct {
	Kind    string `json:"kind"`
	Entries int    `json:"entries"`
	Size    int64  `json:"size"` // bytes
}

func kindsJSON(kinds []cache.Kind) []kindJSON {
	out := make([]kindJSON, len(kinds))
	for i, k := range kinds {
		out[i] = kindJSON{k.Name, k.Entries, k.Size}
	}
	return out
}

func total(kinds []kindJSON) (entries int, size int64) {
	for _, k := range kinds {
		entries += k.Entries
		size += k.Size
	}
	return entries, size
}

// many counts things for people.
func many(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}
