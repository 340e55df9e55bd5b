package main

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"ingot/internal/compiler"
	"ingot/internal/fault"
	"ingot/internal/lock"
	"ingot/internal/supply"
)

func newLockCommand() *cobra.Command {
	var f sourceFlags
	var other otherLock
	var update, reseal, asJSON bool
	cmd := &cobra.Command{
		Use:   "lock [FILE] [--update [PACKAGE…]]",
		Short: "Fix every package of a definition",
		Long: `lock writes ingot.lock beside the definition: each package with its exact
version and digest, the indexes they came from, the tools that shape artifacts,
and every file that the definition names. A build reads nothing else.

Without --update, packages that are locked already keep their versions as far as
the archives still offer them. --update moves all of them to the newest, or only
those named; all of them with the files that scripts of elements asked for, which
the next build asks for anew. Groups that the definition names stay and move
likewise.

--like stays close to another lock than the one that is there, and --choose-from
takes packages from another lock alone and reads no index. Both take a lock's file
or a version of a group. --require-latest refuses what is older than the newest.

--offline does what needs no index: packages stay as they are locked while the
definition asks for the same.`,
		Example: `  ingot lock
  ingot lock --update
  ingot lock --update openssl libssl3
  ingot lock --choose-from base=4 --require-latest`,
		GroupID: groupMake,
		RunE: func(cmd *cobra.Command, args []string) error {
			move := compiler.Move{Latest: other.latest}
			if update && other.like != "" {
				return fault.Newf(fault.Usage, "--update and --like are two wishes")
			}
			if update {
				args, move.Packages = splitPackages(args)
				move.All = len(move.Packages) == 0
			} else if len(args) > 1 {
				return fault.Newf(fault.Usage, "lock takes one definition").WithHint("to move packages: ingot lock --update PACKAGE…")
			}
			if reseal {
				return runReseal(args)
			}
			return runLock(cmd, f, &other, args, move, asJSON)
		},
	}
	cmd.ValidArgsFunction = func(_ *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
		if !update {
			return nil, cobra.ShellCompDirectiveDefault
		}
		file, _ := splitPackages(args)
		return lockedNames(file), cobra.ShellCompDirectiveNoFileComp
	}
	f.add(cmd)
	other.add(cmd)
	cmd.Flags().BoolVar(&update, "update", false, "move packages to the newest versions: all, or those named")
	cmd.Flags().BoolVar(&reseal, "reseal", false, "forget what the first build made; the next build is the first again")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print what changed as one JSON object")
	return cmd
}

// lockedNames are the packages in a definition's lock, if it has one.
func lockedNames(file []string) []string {
	path, err := definitionPath(file)
	if err != nil {
		return nil
	}
	l, err := lock.Read(lockName(path))
	if err != nil {
		return nil
	}
	var names []string
	for _, s := range l.Sets {
		for _, r := range s.Refs {
			names = append(names, r.Name)
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// splitPackages tells a definition among the arguments from names of packages.
func splitPackages(args []string) (file, packages []string) {
	if len(args) > 0 {
		if path, err := definitionPath(args[:1]); err == nil && path != "" {
			return args[:1], args[1:]
		}
	}
	return nil, args
}

func runLock(cmd *cobra.Command, f sourceFlags, other *otherLock, args []string, move compiler.Move, asJSON bool) error {
	progress, err := newProgress(cmd)
	if err != nil {
		return err
	}
	defer progress.Close()
	def, path, err := load(args)
	if err != nil {
		return err
	}
	h, err := openHouse(f, progress)
	if err == nil {
		err = h.writable()
	}
	if err != nil {
		return err
	}
	warnOf(def, progress)
	if err := lock.CheckWrite(path); err != nil { // before packages are chosen
		return err
	}
	c := h.compiler(f)
	c.Group = h.groups(&other.repositoryFlags)
	old, err := lock.Read(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	station := old
	if move.All {
		station = nil
	}
	if err := h.furnish(cmd.Context(), def, station); err != nil {
		return err
	}
	done, err := other.read(cmd, h, &move)
	if err != nil {
		return err
	}
	defer done()
	var l *lock.Lock
	if f.offline && move.Stays() { // what the lock has, as far as no index is needed
		l, _, err = c.Settle(cmd.Context(), def, path, false)
	} else {
		l, err = c.Compile(cmd.Context(), def, old, move)
	}
	if err != nil {
		return err
	}
	write := writeLock
	if move.All && old != nil && len(old.Downloads) > 0 {
		// What the next build makes of them is another image, and its first build.
		write = func(path string, l *lock.Lock) error {
			return lock.Update(path, func(*lock.Lock) *lock.Lock { return l })
		}
		progress.Notef("%d files that scripts asked for are asked for anew by the next build", len(old.Downloads))
	}
	if err := write(path, l); err != nil {
		return err
	}
	// From now on 'ingot store gc' keeps what the lock names.
	release, err := supply.Hold(cmd.Context(), h.store, path, l)
	if err != nil {
		return err
	}
	release()
	progress.Close()
	if old == nil {
		old = &lock.Lock{}
		if !asJSON {
			_, err := fmt.Fprintf(cmd.OutOrStdout(), "%s: %s\n", path, contents(l))
			return err
		}
	}
	changes := lock.Compare(old, l)
	if asJSON {
		return printJSON(cmd, changes)
	}
	if len(changes.Changes) == 0 {
		_, err := fmt.Fprintf(cmd.OutOrStdout(), "%s: nothing changed\n", path)
		return err
	}
	_, err = fmt.Fprint(cmd.OutOrStdout(), changes.Text())
	return err
}

// runReseal takes the seals out of a lock and changes nothing else.
func runReseal(args []string) error {
	_, path, err := load(args)
	if err != nil {
		return err
	}
	if _, err := lock.Read(path); err != nil {
		return err
	}
	return lock.Update(path, func(now *lock.Lock) *lock.Lock {
		if now != nil {
			now.Seals = nil
		}
		return now
	})
}

// contents counts what a lock holds.
func contents(l *lock.Lock) string {
	text := ""
	for _, s := range l.Sets {
		if s.IsPart() {
			continue
		}
		text += fmt.Sprintf("%d packages for a %s of %s, ", len(s.Refs), s.Purpose, strings.TrimSpace(s.Arch+" "+s.Flavor))
	}
	return text + fmt.Sprintf("%d tools, lock %s", len(l.Tools), l.Digest().Short())
}
