package repository

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strconv"
	"strings"
	"time"

	"ingot/internal/fault"
	"ingot/internal/flavor"
	"ingot/internal/group"
	"ingot/internal/place"
	"ingot/internal/sign"
)

// A Candidate is a group that is to get a version.
type Candidate struct {
	Name   string
	Branch group.Version
	// Upstream is what the version begins with; "" counts: 1, 2, 3.
	Upstream string
	// Revision is the one to have if it is free, as of a version that is promoted; its
	// build count goes up until it is.
	Revision *group.Revision

	Statement Statement // its lock, definition and, if it has one, origin
	Flavors   []flavor.Flavor
	Content   Content
	Uploads   []Upload // of all that the content lists
	Key       *sign.Key
	// Change allows other flavors than the newest version of the branch has.
	Change bool
	// Brought hears of each blob that is there; it may be called by several goroutines.
	Brought func(Upload)
}

// A Committed says what a commit did.
type Committed struct {
	Record Record
	// Old says that the newest version of the branch was this very group: nothing was
	// written.
	Old bool
}

// Commit gives a group the next version.
func (r *Repository) Commit(ctx context.Context, c Candidate) (Committed, error) {
	if err := r.check(ctx, true); err != nil {
		return Committed{}, err
	}
	// Before anything is uploaded; decided again at the end.
	x, _, err := r.index(ctx, c.Name)
	if err != nil {
		return Committed{}, err
	}
	_, old, err := r.next(ctx, x, c)
	if err != nil {
		return Committed{}, err
	}
	note, done, err := r.writing(ctx)
	if err != nil {
		return Committed{}, err
	}
	defer done()
	content, err := json.Marshal(c.Content)
	if err != nil {
		return Committed{}, err
	}
	uploads := append(slices.Clone(c.Uploads), UploadOf("the content", content))
	if err := r.upload(ctx, uploads, c.Brought); err != nil {
		return Committed{}, err
	}
	if old != nil { // and whole again, if it was not
		return Committed{*old, true}, nil
	}
	c.Statement.Content = BlobOf(content)
	var out Committed
	var said []byte // the statement
	err = r.change(ctx, c.Name, func(x *Index) (bool, error) {
		// Where the answer to a first writing was lost, it is there already.
		if rec, ok := x.Record(out.Record.Version); ok && rec.Statement == out.Record.Statement && !out.Record.Version.IsZero() {
			return false, nil
		}
		v, old, err := r.next(ctx, x, c)
		if err != nil {
			return false, err
		}
		if old != nil {
			out = Committed{*old, true}
			return false, nil
		}
		s := c.Statement
		s.Schema, s.Name, s.Version, s.Flavors = 1, c.Name, v.Freeze(), nil
		rec := Record{Version: v}
		for _, f := range c.Flavors {
			s.Flavors = append(s.Flavors, f.String())
			rec.Flavors = append(rec.Flavors, x.place(f))
		}
		text, err := s.text(c.Key, r)
		if err != nil {
			return false, err
		}
		rec.Statement, said = BlobOf(text), text
		if err := r.upload(ctx, []Upload{UploadOf("the statement", text)}, nil); err != nil {
			return false, err
		}
		if err := r.stillWriting(ctx, note); err != nil {
			return false, err
		}
		x.Records = append(x.Records, rec)
		out = Committed{Record: rec}
		return true, nil
	})
	if err != nil {
		return out, err
	}
	// Who collected by force may have looked at the index just before, and removed what it now
	// names: it is brought again.
	if r.stillWriting(ctx, note) == nil || out.Old {
		return out, nil
	}
	_, mended, err := r.writing(ctx)
	if err == nil {
		defer mended()
		err = r.upload(ctx, append(uploads, UploadOf("the statement", said)), nil)
	}
	if err != nil {
		return out, fault.Newf(fault.Busy, "%s=%s is there, but somebody has collected in %s meanwhile, and what it is made of may be gone: %w", c.Name, out.Record.Version, r.Place, err).
			WithHint("when he is done, remove that version with 'ingot group rm' and commit again")
	}
	return out, nil
}

// next is the version that a candidate would get, or the newest version if it is that.
func (r *Repository) next(ctx context.Context, x *Index, c Candidate) (v group.Version, old *Record, err error) {
	on := x.on(c.Branch)
	var last *Record
	if len(on) > 0 {
		last = &on[len(on)-1]
		s, believed, err := r.before(ctx, c, *last)
		if err != nil {
			return v, nil, err
		}
		if believed && s.Lock == c.Statement.Lock && !c.renews(s) && sameFlavors(x.flavorsOf(*last), c.Flavors) && (c.Revision == nil || c.isRevisionOf(*last)) {
			return v, last, nil
		}
		if err := c.stable(x.flavorsOf(*last), last.Version); err != nil {
			return v, nil, err
		}
	}
	at := max(r.Now().UnixMilli(), x.newest()+1)
	if c.Revision != nil {
		rev := *c.Revision
		rev.Time = at
		v = c.Branch.At(rev)
		for taken(on, v) {
			if v, err = v.NextBuild(at); err != nil {
				return v, nil, err
			}
		}
		return v, nil, nil
	}
	upstream := c.Upstream
	if upstream == "" {
		upstream = strconv.Itoa(counted(on) + 1)
	}
	// The newest of the same upstream version counts on.
	var same *Record
	for i := range on {
		if rev, _ := on[i].Version.Revision(); rev.Upstream == upstream {
			same = &on[i]
		}
	}
	if same == nil {
		v, err = c.Branch.At(group.Revision{Upstream: upstream, Source: group.Serial{0}}).NextSource(at)
	} else {
		var s Statement
		if s, _, err = r.before(ctx, c, *same); err != nil {
			return v, nil, err
		}
		v = same.Version
		if s.Definition != c.Statement.Definition {
			rev, _ := v.Revision()
			rev.Build = nil
			v, err = c.Branch.At(rev).NextSource(at)
		}
	}
	if err != nil {
		return v, nil, err
	}
	v, err = v.NextBuild(at)
	return v, nil, err
}

// before reads the statement of a version that a candidate follows. It counts whoever signed
// it; but only one that is believed, and signed if the candidate is to be, can be the
// candidate's own.
func (r *Repository) before(ctx context.Context, c Candidate, rec Record) (s Statement, believed bool, err error) {
	s, err = r.statement(ctx, c.Name, rec)
	if fault.CodeOf(err) == fault.NotFound { // collected by force: nobody's any more, and no reason to keep others out
		return s, false, nil
	}
	if err == nil || r.Keys == nil || fault.CodeOf(err) != fault.Verification {
		return s, err == nil && (c.Key == nil || s.Signed), err
	}
	s, err = (&Repository{Place: r.Place, Now: r.Now}).statement(ctx, c.Name, rec)
	return s, false, err
}

// renews says that the candidate may be taken for the newest for longer than a version.
func (c *Candidate) renews(s Statement) bool {
	return !c.Statement.Expires.IsZero() && c.Statement.Expires.Sub(s.Expires) > 24*time.Hour
}

func (c *Candidate) isRevisionOf(r Record) bool {
	rev, _ := r.Version.Revision()
	return rev.Upstream == c.Revision.Upstream
}

func taken(on []Record, v group.Version) bool {
	return slices.ContainsFunc(on, func(r Record) bool { return r.Version.Equal(v) })
}

// counted is the greatest upstream version that is a number.
func counted(on []Record) int {
	most := 0
	for _, r := range on {
		v, _ := r.Version.Revision()
		if n, err := strconv.Atoi(v.Upstream); err == nil && n > most && n < 1<<30 {
			most = n
		}
	}
	return most
}

func sameFlavors(a, b []flavor.Flavor) bool {
	return len(a) == len(b) && !slices.ContainsFunc(a, func(f flavor.Flavor) bool { return !slices.ContainsFunc(b, f.Equal) })
}

// stable refuses other flavors than the version before has: whoever asks for one of
// them would find an old version all of a sudden.
func (c *Candidate) stable(before []flavor.Flavor, version group.Version) error {
	if c.Change || sameFlavors(before, c.Flavors) {
		return nil
	}
	var parts []string
	tell := func(what string, of, other []flavor.Flavor) {
		var names []string
		for _, f := range of {
			if !slices.ContainsFunc(other, f.Equal) {
				names = append(names, "["+f.String()+"]")
			}
		}
		if len(names) > 0 {
			parts = append(parts, what+" "+strings.Join(names, ", "))
		}
	}
	tell("new:", c.Flavors, before)
	tell("missing:", before, c.Flavors)
	return fault.Newf(fault.Choice, "%s has other flavors than %s: %s", c.Name, version, strings.Join(parts, "; ")).
		WithHint("build all flavors, or say --change-flavors if that is meant")
}

// stale is how old a note of somebody who writes or collects may be before he is taken for
// dead.
const stale = 24 * time.Hour

const collecting = "collecting"

// writing notes that somebody writes, so that nobody collects, until done is called.
func (r *Repository) writing(ctx context.Context) (name string, done func(), err error) {
	var id [8]byte
	_, _ = rand.Read(id[:]) // never fails
	name = "writing/" + hex.EncodeToString(id[:])
	if _, err := r.Place.Put(ctx, name, place.Text(r.note()), place.Always); err != nil {
		return "", nil, err
	}
	done = func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Minute)
		defer cancel()
		_ = r.Place.Remove(ctx, name) // else it grows stale
	}
	busy, err := r.noted(ctx, collecting)
	if err == nil && busy {
		err = fault.Newf(fault.Busy, "somebody collects in %s", r.Place).WithHint("try again when he is done; after a crash, 'ingot group gc --force' ends it")
	}
	if err != nil {
		done()
		return "", nil, err
	}
	return name, done, nil
}

// stillWriting refuses to go on where a collector has taken the note away: by force, because
// much time has gone by, or because the clocks of two machines differ. What was brought may be gone.
func (r *Repository) stillWriting(ctx context.Context, note string) error {
	_, err := r.Place.Stat(ctx, note)
	if errors.Is(err, fs.ErrNotExist) {
		return fault.Newf(fault.Busy, "somebody has collected in %s since this began", r.Place).
			WithHint("try again; if it happens again, compare the clocks of both machines")
	}
	return err
}

func (r *Repository) note() []byte { return []byte(strconv.FormatInt(r.Now().Unix(), 10) + "\n") }

// noted says whether a note is there and not stale.
func (r *Repository) noted(ctx context.Context, name string) (bool, error) {
	text, _, err := place.Read(ctx, r.Place, name, 100)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	sec, err := strconv.ParseInt(strings.TrimSpace(string(text)), 10, 64)
	if err != nil {
		return false, fmt.Errorf("%s of %s is no note: %w", name, r.Place, err)
	}
	return r.Now().Sub(time.Unix(sec, 0)) < stale, nil
}
