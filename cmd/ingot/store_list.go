package main

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"ingot/internal/digest"
	"ingot/internal/fault"
	"ingot/internal/store"
	"ingot/internal/ui"
)

// listJSON is the object that "store list --json" prints.
type listJSON struct {
	Schema int        `json:"schema"` // 1
	Store  string     `json:"store"`  // its directory
	Locks  []lockJSON `json:"locks"`
	Blobs  int        `json:"blobs"`
	Size   int64      `json:"size"` // bytes of all blobs
	// Free are the bytes of blobs that no lock names.
	Free    int64    `json:"free"`
	Damaged []string `json:"damaged,omitempty"` // removed, with --verify
	// Packages are the blobs one by one, with --packages.
	Packages []blobJSON `json:"packages,omitzero"`
	Cache    []kindJSON `json:"cache"`
	Place    string     `json:"cache_directory"`
}

// blobJSON is a blob of the store.
type blobJSON struct {
	SHA256  string `json:"sha256"`
	Size    int64  `json:"size"` // bytes
	Name    string `json:"name,omitempty"`
	Version string `json:"version,omitempty"`
	Arch    string `json:"arch,omitempty"`
	Locks   []int  `json:"locks"` // that hold it: places in the list of locks
}

func newStoreListCommand() *cobra.Command {
	var asJSON, verify, packages bool
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List locks, or packages, and the size of store and cache",
		Long: `list says which locks the store knows, when each was last used, and how large
store and cache are; with --packages also which packages it holds, and for which
of the locks. --verify reads every package and compares it with its digest; one that
is damaged is removed, so that the next build fetches it again.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			s, c, err := openStore()
			if err != nil {
				return err
			}
			out := listJSON{Schema: 1, Store: s.Dir(), Place: c.Dir()}
			if verify {
				if out.Damaged, err = damaged(cmd, s); err != nil {
					return err
				}
			}
			if err := out.fill(s, packages); err != nil {
				return err
			}
			kinds, err := c.Kinds()
			if err != nil {
				return err
			}
			out.Cache = kindsJSON(kinds)
			if asJSON {
				err = printJSON(cmd, out)
			} else {
				err = out.print(cmd.OutOrStdout())
			}
			if err == nil && len(out.Damaged) > 0 {
				err = fault.Newf(fault.Verification, "%s of the store, damaged, removed: %s", many(len(out.Damaged), "blob"), strings.Join(out.Damaged, ", ")).
					WithHint("the next build fetches them again; look at the disk's health")
			}
			return err
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print one JSON object")
	cmd.Flags().BoolVar(&packages, "packages", false, "list the packages too")
	cmd.Flags().BoolVar(&verify, "verify", false, "read every package and compare it with its digest")
	return cmd
}

// damaged verifies every blob and gives those that were removed.
func damaged(cmd *cobra.Command, s *store.Store) ([]string, error) {
	blobs, err := s.Blobs()
	if err != nil {
		return nil, err
	}
	var out []string
	for _, b := range blobs {
		if err := cmd.Context().Err(); err != nil {
			return nil, err
		}
		err := s.Verify(b.Digest)
		if fault.CodeOf(err) == fault.Verification {
			out = append(out, b.Digest.String())
		} else if err != nil && s.Has(b.Digest, -1) {
			return nil, err
		}
	}
	return out, nil
}

func (l *listJSON) fill(s *store.Store, packages bool) error {
	refs, err := s.Refs()
	if err != nil {
		return err
	}
	slices.SortStableFunc(refs, func(a, b store.Ref) int { return cmp.Compare(a.Path, b.Path) })
	labels := map[digest.Digest]string{}
	holders := map[digest.Digest][]int{}
	l.Locks = []lockJSON{}
	for i, r := range refs {
		l.Locks = append(l.Locks, describeLock(s, r))
		for _, n := range r.Needs {
			labels[n.Digest] = n.Label
			holders[n.Digest] = append(holders[n.Digest], i)
		}
	}
	blobs, err := s.Blobs()
	if err != nil {
		return err
	}
	l.Blobs = len(blobs)
	if packages {
		l.Packages = []blobJSON{}
	}
	for _, b := range blobs {
		j := blobJSON{SHA256: b.Digest.String(), Size: b.Size, Locks: holders[b.Digest]}
		if w := strings.Fields(labels[b.Digest]); len(w) == 3 {
			j.Name, j.Version, j.Arch = w[0], w[1], w[2]
		}
		if l.Size += b.Size; j.Locks == nil {
			j.Locks = []int{}
			l.Free += b.Size
		}
		if packages {
			l.Packages = append(l.Packages, j)
		}
	}
	slices.SortFunc(l.Packages, func(a, b blobJSON) int {
		return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.Arch, b.Arch), cmp.Compare(a.Version, b.Version), cmp.Compare(a.SHA256, b.SHA256))
	})
	return nil
}

func (l *listJSON) print(out io.Writer) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	if len(l.Packages) > 0 {
		_, _ = fmt.Fprintln(w, "BLOB\tVERSION\tARCH\tSIZE\tHELD BY")
	}
	for _, b := range l.Packages {
		name := b.Name
		if name == "" {
			name = b.SHA256[:12] + "…"
		}
		held := make([]string, len(b.Locks))
		for i, n := range b.Locks {
			held[i] = fmt.Sprint(n + 1)
		}
		_, _ = fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\n", name, dash(b.Version), dash(b.Arch), ui.Size(b.Size), dash(strings.Join(held, " ")))
	}
	if len(l.Packages) > 0 && len(l.Locks) > 0 {
		_, _ = fmt.Fprintln(w)
	}
	if len(l.Locks) > 0 {
		_, _ = fmt.Fprint(w, "\tLOCK\tPACKAGES\tSIZE\tLAST USED\tOF\t\n")
	}
	for i, k := range l.Locks {
		packages := fmt.Sprint(k.Packages)
		if k.Missing > 0 {
			packages += fmt.Sprintf(", %d missing", k.Missing)
		}
		kept := ""
		if !k.Current {
			kept = "kept until " + k.KeptUntil.Format(time.DateOnly)
		}
		_, _ = fmt.Fprintf(w, "%d\t%s\t%s\t%s\t%s\t%s\t%s\n", i+1, k.Digest[:12], packages, ui.Size(k.Size), k.Used.Format(time.DateOnly), k.name(), kept)
	}
	if len(l.Locks)+len(l.Packages) > 0 {
		_, _ = fmt.Fprintln(w)
	}
	_, _ = fmt.Fprintf(w, "store\t%s\t%s\t%s\n", many(l.Blobs, "blob"), ui.Size(l.Size), l.Store)
	if l.Free > 0 {
		_, _ = fmt.Fprintf(w, "\tof no lock\t%s\t'ingot store gc' removes them\n", ui.Size(l.Free))
	}
	n, size := total(l.Cache)
	_, _ = fmt.Fprintf(w, "cache\t%s\t%s\t%s\n", many(n, "file"), ui.Size(size), l.Place)
	for _, k := range l.Cache {
		_, _ = fmt.Fprintf(w, "\t%s\t%s\t%s\n", k.Kind, ui.Size(k.Size), many(k.Entries, "file"))
	}
	return w.Flush()
}

func dash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}
