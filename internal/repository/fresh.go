package repository

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"ingot/internal/digest"
	"ingot/internal/fault"
	"ingot/internal/group"
	"ingot/internal/seen"
)

// An index is signed by nobody, so whoever can write to a place can leave versions out of it.
// What a reader can hold against that are statements, whose times are signed: on each branch he
// remembers the newest version that he has believed, and takes nothing older for the newest unless
// that one is still there; and a publisher may say until when a version is to be taken for the newest.

// Fresh holds what a spec names against what was seen before, and remembers it. Named says that the
// spec names this very version, so that its date means nothing: an old group builds for
// ever. Without keys there is nobody to believe, and nothing is remembered.
func (r *Repository) Fresh(ctx context.Context, x *Index, g *Group, named bool) error {
	if r.Keys == nil || r.Seen == "" {
		return nil
	}
	branch := g.Record.Version.Branch()
	path := r.seenPath(x.Name, branch)
	old, err := seen.Read(path)
	if err != nil {
		return err
	}
	if r.Accept {
		return r.remember(path, x.Name, g.Record)
	}
	if err := g.Statement.expired(r.Now()); err != nil && !named {
		return fault.Newf(fault.Verification, "%s %w", g, err).
			WithHint("somebody may be keeping a newer one back; name the version, %s, or say --accept-older", g)
	}
	switch err := old.Judge(r.state(x.Name, g.Record)); {
	case err == nil:
		return r.remember(path, x.Name, g.Record)
	case errors.Is(err, seen.ErrOther):
		return fault.Newf(fault.Verification, "%s is another version of the same time than the one that was seen before", g).
			WithHint("somebody signs with the key of its publisher, or its repository was made anew: ask; --accept-older takes it")
	}
	// An older one was asked for: what was seen is there, or what followed it.
	on := x.on(branch)
	if slices.ContainsFunc(on, func(rec Record) bool {
		return old.Judge(r.state(x.Name, rec)) == nil && rec.Statement.SHA256 == old.SHA256
	}) {
		return nil
	}
	for i := 0; i < min(len(on), maxTried); i++ {
		rec := on[len(on)-1-i]
		if old.Judge(r.state(x.Name, rec)) != nil {
			break
		}
		if _, err := r.statement(ctx, x.Name, rec); err == nil {
			return r.remember(path, x.Name, rec)
		}
	}
	return fault.Newf(fault.Verification, "%s lacks the newest version of %s on %s that was seen before, of %s", r.Place, x.Name, branch, old.Created.UTC().Format(time.DateTime)).
		WithHint("somebody keeps it back or plays an old state back; if its publisher removed it, say --accept-older once")
}

// maxTried bounds how many statements are looked at for one that is believed.
const maxTried = 16

// Saw remembers a version that was written.
func (r *Repository) Saw(name string, rec Record) error {
	if r.Keys == nil || r.Seen == "" {
		return nil
	}
	path := r.seenPath(name, rec.Version.Branch())
	old, err := seen.Read(path)
	if err != nil || old.Judge(r.state(name, rec)) != nil {
		return err
	}
	return r.remember(path, name, rec)
}

// forget lets versions that were removed here be gone.
func (r *Repository) forget(name string, versions []group.Version) error {
	if r.Seen == "" {
		return nil
	}
	for _, v := range versions {
		path := r.seenPath(name, v.Branch())
		old, err := seen.Read(path)
		if err != nil {
			return err
		}
		if rev, _ := v.Revision(); rev.Time != old.Serial {
			continue
		}
		if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

// state is a version as it is remembered.
func (r *Repository) state(name string, rec Record) seen.Record {
	rev, _ := rec.Version.Revision()
	return seen.Record{
		Of: r.Place.String() + " " + name + "=" + rec.Version.String(), Serial: rev.Time,
		SHA256: rec.Statement.SHA256, Created: time.UnixMilli(rev.Time).UTC(),
	}
}

func (r *Repository) remember(path, name string, rec Record) error {
	if err := os.MkdirAll(r.Seen, 0o755); err != nil {
		return fmt.Errorf("cannot remember what was seen: %w", err)
	}
	return r.state(name, rec).Write(path)
}

// seenPath is where the newest version of a branch is remembered.
func (r *Repository) seenPath(name string, branch group.Version) string {
	id := digest.Of([]byte(r.Place.String() + "\n" + name + "\n" + branch.String()))
	return filepath.Join(r.Seen, id.String()[:32]+".json")
}

// expired says that a version is past the date that its publisher gave it.
func (s Statement) expired(now time.Time) error {
	if s.Expires.IsZero() || now.Before(s.Expires) {
		return nil
	}
	return fmt.Errorf("is past its date, %s", s.Expires.UTC().Format(time.DateTime))
}
