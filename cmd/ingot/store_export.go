package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"ingot/internal/draft"
	"ingot/internal/fault"
	"ingot/internal/input"
	"ingot/internal/lock"
	"ingot/internal/supply"
	"ingot/internal/ui"
)

func newStoreExportCommand() *cobra.Command {
	var f sourceFlags
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "export FILE|- [LOCK…]",
		Short: "Write the packages of locks into one file",
		Long: `export writes a tar with all packages that some locks name, and the locks: what
'ingot build --offline' needs on a machine without network. Without LOCK these
are all locks that the store knows and whose files are still there. What the store
lacks is fetched first. The same locks give the same bytes.`,
		Example: `  ingot store export web.tar ingot.lock
  ingot store export - | ssh builder ingot store import -`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if args[0] == "-" && asJSON {
				return fault.Newf(fault.Usage, "store export: standard output cannot hold both the export and --json")
			}
			return runExport(cmd, f, args[0], args[1:], asJSON)
		},
	}
	f.add(cmd)
	cmd.Flags().BoolVar(&asJSON, "json", false, "print one JSON object")
	return cmd
}

func runExport(cmd *cobra.Command, f sourceFlags, to string, paths []string, asJSON bool) error {
	ctx := cmd.Context()
	if file, ok := cmd.OutOrStdout().(*os.File); ok && to == "-" && term.IsTerminal(int(file.Fd())) {
		return fault.Newf(fault.Usage, "store export: a tar is nothing for a terminal").WithHint("name a file, or send it elsewhere: ingot store export - | …")
	}
	progress, err := newProgress(cmd)
	if err != nil {
		return err
	}
	defer progress.Close()
	h, err := openHouse(f, progress)
	if err != nil {
		return err
	}
	locks, release, err := h.exported(ctx, paths)
	defer release()
	if err != nil {
		return err
	}
	for _, l := range locks {
		if err := h.complete(ctx, l); err != nil {
			return err
		}
	}
	t := progress.Start(ui.Step{ID: "export", Name: "export", Unit: ui.Bytes})
	cargo, err := export(ctx, h, cmd.OutOrStdout(), to, locks, t)
	t.Done(err)
	if err != nil {
		return err
	}
	progress.Close()
	return printCargo(cmd, cargo, to, asJSON)
}

// exported reads the locks to export, and holds their packages until release.
func (h *house) exported(ctx context.Context, paths []string) (locks []*lock.Lock, release func(), err error) {
	var holds []func()
	release = func() {
		for _, f := range holds {
			f()
		}
	}
	if len(paths) == 0 {
		refs, err := h.store.Refs()
		if err != nil {
			return nil, release, err
		}
		for _, r := range refs {
			if supply.Current(r) {
				paths = append(paths, r.Path)
			}
		}
		if len(paths) == 0 {
			return nil, release, fault.Newf(fault.NotFound, "the store knows no lock whose file is still there").WithHint("name one: ingot store export FILE LOCK")
		}
	}
	for _, path := range paths {
		l, err := lock.Read(path)
		if errors.Is(err, fs.ErrNotExist) {
			return nil, release, fault.Newf(fault.NotFound, "there is no lock %s", path)
		}
		if err != nil {
			return nil, release, err
		}
		hold, err := supply.Hold(ctx, h.store, path, l)
		if err != nil {
			return nil, release, err
		}
		holds = append(holds, hold)
		locks = append(locks, l)
	}
	return locks, release, nil
}

// complete fetches what the store lacks of a lock.
func (h *house) complete(ctx context.Context, l *lock.Lock) error {
	s := h.supply(l)
	missing := s.Missing(supply.Packages(l))
	if len(missing) == 0 {
		return nil
	}
	var bytes int64
	for _, r := range missing {
		bytes += r.Size
	}
	t := h.progress.Start(ui.Step{ID: "fetch", Name: "fetch " + many(len(missing), "package"), Unit: ui.Bytes, Total: bytes})
	err := s.Fetch(ctx, missing, supply.Meter{Fetched: t.Add})
	t.Done(err)
	return err
}

// export writes to standard output or, whole or not at all, to a file.
func export(ctx context.Context, h *house, stdout io.Writer, to string, locks []*lock.Lock, t *ui.Task) (supply.Cargo, error) {
	if to == "-" {
		return supply.Export(ctx, h.store, io.MultiWriter(stdout, t), locks)
	}
	f, err := draft.CreateOutput(to)
	if err != nil {
		return supply.Cargo{}, draft.Explain(err, "another FILE")
	}
	defer f.Discard()
	cargo, err := supply.Export(ctx, h.store, io.MultiWriter(f, t), locks)
	if err == nil {
		err = f.Publish()
	}
	// The draft's own name says nothing.
	if pe, ok := errors.AsType[*fs.PathError](err); ok && pe.Path == f.Name() {
		err = fmt.Errorf("cannot write %s: %w", to, pe.Err)
	}
	return cargo, draft.Explain(err, "another FILE")
}

func newStoreImportCommand() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "import FILE|-",
		Short: "Read packages that another machine exported",
		Long: `import reads what 'ingot store export' wrote. Every package is held against the
digest that its lock names; the locks themselves come to you with their
definitions. The packages are kept as if a build had used them today.`,
		Example: `  ingot store import web.tar && ingot build --locked --offline`,
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			progress, err := newProgress(cmd)
			if err != nil {
				return err
			}
			defer progress.Close()
			s, _, err := openStore()
			if err != nil {
				return err
			}
			in, name := interruptible(cmd.Context(), cmd.InOrStdin()), "standard input"
			if args[0] != "-" {
				f, err := input.Open(args[0])
				switch {
				case errors.Is(err, fs.ErrNotExist):
					return fault.Newf(fault.NotFound, "there is no file %s", args[0])
				case errors.Is(err, input.ErrKind):
					return (&fault.Error{Code: fault.Usage, Err: err}).WithHint("what is no file comes by standard input: … | ingot store import -")
				case err != nil:
					return err
				}
				defer func() { _ = f.Close() }()
				in, name = f, args[0]
			}
			t := progress.Start(ui.Step{ID: "import", Name: "import", Unit: ui.Bytes})
			cargo, err := supply.Import(cmd.Context(), s, io.TeeReader(in, t))
			t.Done(err)
			if err != nil {
				return fmt.Errorf("%s: %w", name, err)
			}
			progress.Close()
			return printCargo(cmd, cargo, args[0], asJSON)
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print one JSON object")
	return cmd
}

// cargoJSON is the object that "store export --json" and "store import --json"
// print.
type cargoJSON struct {
	Schema int      `json:"schema"` // 1
	File   string   `json:"file"`
	Locks  []string `json:"locks"` // digests
	Blobs  int      `json:"blobs"`
	Size   int64    `json:"size"` // bytes of the blobs
	New    int      `json:"new"`  // blobs that an import brought
}

func printCargo(cmd *cobra.Command, c supply.Cargo, file string, asJSON bool) error {
	out := cargoJSON{Schema: 1, File: file, Locks: []string{}, Blobs: c.Blobs, Size: c.Size, New: c.New}
	for _, l := range c.Locks {
		out.Locks = append(out.Locks, l.Digest().String())
	}
	switch {
	case asJSON:
		return printJSON(cmd, out)
	case cmd.Name() == "import":
		_, err := fmt.Fprintf(cmd.OutOrStdout(), "%s: %s, %s, %s; %d new\n", file, many(len(c.Locks), "lock"), many(c.Blobs, "package"), ui.Size(c.Size), c.New)
		return err
	case file == "-":
		return nil
	}
	_, err := fmt.Fprintf(cmd.OutOrStdout(), "%s: %s, %s, %s\n", file, many(len(c.Locks), "lock"), many(c.Blobs, "package"), ui.Size(c.Size))
	return err
}
