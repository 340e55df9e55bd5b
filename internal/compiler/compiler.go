// Package compiler makes locks: from a definition and the archives as they are
// now, to all inputs of a build, exact and complete.
//
// A [Compiler] reads indexes only when it must. [Compiler.Settle] decides: a lock
// that fits its definition stays; one whose definition changed in nothing that
// chooses packages is brought up to date from the definition alone; any other is
// resolved anew, keeping the versions it has wherever the archives still offer
// them.
package compiler

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"ingot/internal/definition"
	"ingot/internal/digest"
	"ingot/internal/distro"
	"ingot/internal/distro/debian"
	"ingot/internal/fault"
	"ingot/internal/fetch"
	"ingot/internal/lock"
	"ingot/internal/plan"
	"ingot/internal/spell"
	"ingot/internal/supply"
	"ingot/internal/ui"
)

// A Compiler makes locks.
type Compiler struct {
	Client        *fetch.Client
	Mirrors       debian.Mirrors
	Indexes       string // directory of the cache that keeps indexes
	Seen          string // directory below $INGOT_HOME that remembers dates
	Now           time.Time
	HostArch      string // whose programs the tools tree holds
	AcceptExpired bool   // for all archives
	Progress      *ui.Progress
	Offline       bool // a lock that must read indexes is refused
	// Group reads the version of a group that a spec names; kept, if not nil, says which one that is.
	Group func(ctx context.Context, spec string, kept *lock.Group) (*Version, error)
}

// A Move says which packages may change their versions.
type Move struct {
	All      bool
	Packages []string // or these alone; names of groups too
	// Like, if not nil, is the lock to stay close to in place of the old one: what both have comes in
	// the version that it has there, and nothing is added for it.
	Like *lock.Lock
	// From, if not nil, is what packages are chosen from in place of the archives' indexes.
	From *Snapshot
	// Latest refuses what is older than the newest there is.
	Latest bool
}

// Stays says whether nothing is to move.
func (m Move) Stays() bool {
	return !m.All && len(m.Packages) == 0 && m.Like == nil && m.From == nil && !m.Latest
}

// Compile makes a lock. Old, if not nil, is the lock to stay close to.
func (c *Compiler) Compile(ctx context.Context, def *definition.Definition, old *lock.Lock, move Move) (*lock.Lock, error) {
	if err := known(def, old, move.Packages); err != nil {
		return nil, err
	}
	files, err := lock.Files(def)
	if err != nil {
		return nil, err
	}
	l := &lock.Lock{Definition: def.Digest(), Request: Request(def), Distro: def.Distro, Release: def.Release, Files: files}
	l.Station = def.Station()
	indexes, read, err := c.offers(ctx, def, l, move.From)
	if err != nil {
		return nil, err
	}
	m, err := c.members(ctx, def, l, old, move)
	if err != nil {
		return nil, err
	}
	task := c.Progress.Start(ui.Step{ID: "resolve", Name: "choose packages"})
	err = c.resolve(ctx, def, l, indexes, read, old, move, m)
	if err == nil {
		err = ctx.Err() // whoever asked does not want it any more
	}
	if _, ok := errors.AsType[groupError](err); move.From != nil && fault.CodeOf(err) == fault.NotFound && !ok {
		err = fault.Newf(fault.NotFound, "%w", err).WithHint("there are only the packages of the lock to choose from; it must have been made with that one")
	}
	task.Done(err)
	if err != nil {
		return nil, err
	}
	l.Downloads = downloads(old, l, move)
	return l, nil
}

// offers are the indexes that packages are chosen from, which the lock records.
func (c *Compiler) offers(ctx context.Context, def *definition.Definition, l *lock.Lock, from *Snapshot) ([]debian.IndexFile, map[string]*debian.Index, error) {
	if from != nil {
		return from.indexes(def, c.HostArch, l)
	}
	archives, err := c.archives(def)
	if err != nil {
		return nil, nil, err
	}
	return c.readIndexes(ctx, archives, append(slices.Clone(def.Arch), c.HostArch), l)
}

// downloads are what of an old lock's files that scripts asked for stays in a new one. Where
// all is to move nothing stays, and the next build asks anew. What an archive gave with
// other indexes does not go with these.
func downloads(old, l *lock.Lock, move Move) []lock.Download {
	if old == nil || move.All {
		return nil
	}
	out := slices.Clone(old.Downloads)
	if !slices.Equal(old.Indexes, l.Indexes) {
		out = slices.DeleteFunc(out, func(d lock.Download) bool {
			return strings.Contains(d.Address, "/dists/") || strings.Contains(d.Address, "/pool/")
		})
	}
	return out
}

// known refuses packages to move that are neither locked nor asked for.
func known(def *definition.Definition, old *lock.Lock, move []string) error {
	var locked []string
	if old != nil {
		for _, r := range supply.Packages(old) {
			locked = append(locked, r.Name)
		}
	}
	for _, name := range move {
		asked := slices.ContainsFunc(def.Variants(), func(v *definition.Definition) bool {
			if slices.ContainsFunc(v.Groups, func(g definition.Group) bool { return (lock.Group{Spec: g.Spec}).Name() == name }) {
				return true
			}
			return slices.ContainsFunc(v.Packages, func(token string) bool { return plan.PackageName(token) == name })
		})
		if asked || slices.Contains(locked, name) {
			continue
		}
		err := fault.Newf(fault.NotFound, "package %q cannot be moved: it is neither in the lock nor asked for", name).
			WithHint("name packages and groups as the lock does, without version or architecture")
		if near := spell.Nearest(name, locked); near != "" {
			err = err.WithHint("did you mean %q?", near)
		}
		return err
	}
	return nil
}

// Tools makes a lock of a tools tree: packages of a release, for this machine.
func (c *Compiler) Tools(ctx context.Context, release string, packages []string) (*lock.Lock, error) {
	def := &definition.Definition{Distro: "debian", Release: release}
	l := &lock.Lock{Definition: digest.Of([]byte(strings.Join(packages, " "))), Distro: def.Distro, Release: release}
	archives, err := c.archives(def)
	if err != nil {
		return nil, err
	}
	files, read, err := c.readIndexes(ctx, archives, []string{c.HostArch}, l)
	if err != nil {
		return nil, err
	}
	u, err := universe(files, read, c.HostArch, nil)
	if err != nil {
		return nil, err
	}
	l.Tools, err = resolve(ctx, u, distro.Request{Arch: c.HostArch, Packages: packages})
	return l, err
}
