package plan

import (
	"bytes"
	"context"
	"fmt"
	"os"

	"ingot/internal/sandbox"
	"ingot/internal/tree"
)

// namesFile is where programs look for name servers (resolv.conf(5)).
const namesFile = "etc/resolv.conf"

// What is lent stands between two lines, by which it is known again in a file that a script
// made longer.
const (
	lentBegin = "# Lent by ingot while a script runs.\n"
	lentEnd   = "# What ingot lent ends here.\n"
)

// lendNames gives a script with network the host's name servers for as long as
// it runs.
func (w *worker) lendNames(ctx context.Context, box *sandbox.Box) (restore func() error, err error) {
	data, err := os.ReadFile("/" + namesFile)
	if err != nil {
		return nil, fmt.Errorf("cannot read the host's name servers: %w", err)
	}
	lent := lentBegin + string(bytes.TrimRight(data, "\n")) + "\n" + lentEnd
	old, had := w.tree.Lookup(namesFile)
	if err := box.Remove(ctx, namesFile); err != nil {
		return nil, err
	}
	if err := box.Write(ctx, sandbox.NewFile{Path: namesFile, Mode: 0o644, Data: []byte(lent)}); err != nil {
		return nil, err
	}
	return func() error { return w.takeNamesBack(ctx, box, old, had) }, nil
}

// takeNamesBack puts what the image had in the place of what was lent. What the script wrote
// around it stays; a file that the script made anew is the script's affair.
func (w *worker) takeNamesBack(ctx context.Context, box *sandbox.Box, old tree.Entry, had bool) error {
	now, err := box.Read(ctx, namesFile)
	if err != nil {
		return nil //nolint:nilerr // the script made a link of it, or removed it: its affair
	}
	before, after, lent := cutLent(now)
	if !lent {
		return nil
	}
	if err := box.Remove(ctx, namesFile); err != nil {
		return err
	}
	if len(before)+len(after) > 0 && (!had || old.Kind == tree.File) {
		var own []byte
		if had {
			if own, err = w.read(w.tree, namesFile); err != nil {
				return err
			}
		}
		mode := uint32(0o644)
		if had {
			mode = old.Mode
		}
		return box.Write(ctx, sandbox.NewFile{Path: namesFile, Mode: mode, Data: bytes.Join([][]byte{before, own, after}, nil), Mtime: w.plan.Lock.Epoch})
	}
	if !had {
		return nil
	}
	return box.Put(ctx, []tree.Entry{old}, w.reader)
}

// cutLent gives what stands before and behind what was lent, if that is there.
func cutLent(text []byte) (before, after []byte, lent bool) {
	before, rest, begins := bytes.Cut(text, []byte(lentBegin))
	_, after, ends := bytes.Cut(rest, []byte(lentEnd))
	if !begins || !ends {
		return text, nil, false
	}
	return before, after, true
}
