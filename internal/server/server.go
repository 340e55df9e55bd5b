// Package server makes server trees and serves them.
//
// A server tree is plain files: any web server, bucket or mirror can offer it as it is,
// and every client of images there is finds in it what it knows:
//
//	ingot/v1/index.asc            ingot's own signed index, see package catalog
//	ingot/v1/rotation-OLD.asc     a new key, signed by the old one
//	key.asc, pks/lookup           the public key; the second for LXC's clients up to 4
//	meta/1.0/index-{system,user}  LXC's image server, version 1, of every level, with .asc
//	streams/v1/                   simplestreams for Incus and LXD: .json, .sjson, .json.gpg
//	index.asc                     disks for virt-builder
//	blobs/sha256/AB/ABCD…         all content, once, by its digest
//	images/…/VERSION/             the same by names, for people and for LXC
//
// All of it is derived from the catalog, which is the one truth: a publisher reads
// it, after it has verified its own signature on it, makes the next one, and writes
// every dialect anew. First all blobs are there, whole and flushed; then one step changes
// what is read ([Place.Switch]). So a client sees the tree before or after, whenever
// a publisher is killed, and two publishers follow each other.
//
// What is offered no more stays for a grace period, because clients keep indexes for a
// while (Incus for an hour) and fetch by them.
package server

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"ingot/internal/catalog"
	"ingot/internal/digest"
	"ingot/internal/fault"
	"ingot/internal/place"
	"ingot/internal/sign"
)

// Grace is how long files stay that no index names any more.
const Grace = 25 * time.Hour

// Valid is how long an index is believed, unless a publisher says otherwise.
const Valid = 90 * 24 * time.Hour

// A Publisher changes one server tree.
type Publisher struct {
	Place Place
	Key   *sign.Key
	Now   func() time.Time // time.Now
	// Valid, when positive, is how long indexes are believed from now on.
	Valid time.Duration
	// Waiting is told that another publisher is at work.
	Waiting func()

	// loaded is the catalog whose signed file has that digest, verified before.
	loaded catalog.Catalog
	digest digest.Digest
}

func (p *Publisher) now() time.Time {
	if p.Now != nil {
		return p.Now()
	}
	return time.Now()
}

// errUnchanged is what a change gives when there is nothing to write.
var errUnchanged = errors.New("unchanged")

// A step makes the next catalog out of the one that is there.
type step func(c catalog.Catalog) (catalog.Catalog, error)

// change reads the catalog under the tree's lock, has it changed, and writes what comes
// of it, unless that is errUnchanged.
func (p *Publisher) change(ctx context.Context, f step) (catalog.Catalog, error) {
	return p.changeAt(ctx, p.timely, f)
}

// changeAt is change where the time of the next catalog, after the one that is there, is what
// clock says.
func (p *Publisher) changeAt(ctx context.Context, clock func(after time.Time) (time.Time, error), f step) (catalog.Catalog, error) {
	key := p.Key
	for tries := 1; ; tries++ {
		c, err := p.tryAt(ctx, clock, f)
		if !errors.Is(err, place.ErrChanged) || tries == mostTries {
			return c, err
		}
		// Where nothing can be locked another publisher was first: its catalog is the one to change.
		p.Key = key // a step may change it
		if tries == 1 && p.Waiting != nil {
			p.Waiting()
		}
	}
}

// mostTries bounds how often a change is made anew because another publisher was first.
const mostTries = 30

func (p *Publisher) tryAt(ctx context.Context, clock func(after time.Time) (time.Time, error), f step) (catalog.Catalog, error) {
	release, err := p.Place.Lock(ctx, func() {
		if p.Waiting != nil {
			p.Waiting()
		}
	})
	if err != nil {
		return catalog.Catalog{}, err
	}
	defer release()
	old, err := p.load()
	if err != nil {
		return old, err
	}
	now, err := clock(old.Created)
	if err != nil {
		return old, err
	}
	if old.Tree == "" {
		old.Tree = rand.Text()
	}
	c, err := f(old)
	if errors.Is(err, errUnchanged) {
		return old, p.settle(old)
	}
	if err != nil {
		return old, err
	}
	if err := ctx.Err(); err != nil {
		return old, err
	}
	c.Schema, c.Serial = 1, old.Serial+1
	c.Created = now
	if p.Valid > 0 {
		c.Valid = int64(p.Valid / time.Second)
	}
	if c.Valid <= 0 {
		c.Valid = int64(Valid / time.Second)
	}
	c.Expires = now.Add(time.Duration(c.Valid) * time.Second)
	files, err := p.state(c)
	if err != nil {
		return old, err
	}
	return c, p.Place.Switch(c.Serial, files)
}

// settle writes the indexes of a catalog that is there anew, where who wrote it died before they
// were.
func (p *Publisher) settle(c catalog.Catalog) error {
	far, ok := p.Place.(interface {
		Settled(serial int64) (bool, error)
	})
	if !ok || c.Serial == 0 {
		return nil
	}
	if settled, err := far.Settled(c.Serial); settled || err != nil {
		return err
	}
	files, err := p.state(c)
	if err != nil {
		return err
	}
	return p.Place.Switch(c.Serial, files)
}

// timely is the time of a catalog that follows one of another time. Clocks that are set by a
// network go back a little, and an index then has its date from the one before. One that went
// back by more is wrong, or was: what is signed by it clients may never believe.
func (p *Publisher) timely(after time.Time) (time.Time, error) {
	now := p.now().UTC().Truncate(time.Second)
	if !now.Before(after) {
		return now, nil
	}
	if after.Sub(now) <= catalog.Skew {
		return after, nil
	}
	return now, fault.Newf(fault.Preflight, "the index of %s is of %s, and this machine's clock says %s", p.Place, after.UTC().Format(time.DateTime), now.Format(time.DateTime)).
		WithHint("set this machine's clock; if it is right now and was wrong then, sign the tree by it with: ingot server sign %s", fault.File(fmt.Sprint(p.Place)))
}

// load reads the tree's catalog and verifies it by the publisher's key: what somebody
// else wrote there is not signed anew. A signature of the future is one of a clock that went
// back since, see timely.
func (p *Publisher) load() (catalog.Catalog, error) {
	data, err := p.Place.Read(catalog.Path, catalog.MaxSize)
	if errors.Is(err, fs.ErrNotExist) {
		return catalog.Catalog{}, nil
	}
	if err != nil {
		return catalog.Catalog{}, fmt.Errorf("cannot read the tree's index: %w", err)
	}
	d := digest.Of(data)
	if p.loaded.Serial > 0 && d == p.digest {
		return p.loaded, nil // a catalog is never changed, so it may be read once
	}
	ring, err := p.Key.Keyring()
	if err != nil {
		return catalog.Catalog{}, err
	}
	c, _, err := readOwn("the index of "+p.Place.String(), data, ring, p.now())
	if err != nil {
		return c, fault.Newf(fault.Verification, "%w", err).
			WithHint("the tree was signed by another key than %s: name that one with --sign-key, or change keys with 'ingot server rotate'", p.Key.Fingerprint())
	}
	p.loaded, p.digest = c, d
	return c, nil
}

// readOwn verifies a tree's index by its own key, also one of a clock that was ahead.
func readOwn(name string, data []byte, ring *sign.Keyring, now time.Time) (catalog.Catalog, sign.Message, error) {
	c, m, err := catalog.Read(name, data, ring, now)
	if at := sign.Ahead(err); !at.IsZero() {
		c, m, err = catalog.Read(name, data, ring, at)
	}
	return c, m, err
}

// state is every small file of a tree: all indexes in all dialects, signed.
func (p *Publisher) state(c catalog.Catalog) (map[string][]byte, error) {
	now := p.now()
	files := map[string][]byte{}
	public, err := p.Key.Public()
	if err != nil {
		return nil, err
	}
	files["key.asc"] = public
	files["pks/lookup"] = public
	signed, err := c.Sign(p.Key, now)
	if err != nil {
		return nil, err
	}
	files[catalog.Path] = signed
	for _, r := range c.Rotations {
		if old := catalog.RotatedFrom(r); old != "" {
			files[catalog.RotationPath(old)] = []byte(r)
		}
	}
	signatures := map[digest.Digest][]byte{} // most levels' indexes are the same
	for name, data := range lxcIndexes(c) {
		asc := signatures[digest.Of(data)]
		if asc == nil {
			if asc, err = p.Key.Detach(bytes.NewReader(data), now); err != nil {
				return nil, err
			}
			signatures[digest.Of(data)] = asc
		}
		files[name], files[name+".asc"] = data, asc
	}
	streams, err := p.streams(c)
	if err != nil {
		return nil, err
	}
	for name, data := range streams {
		files[name] = data
	}
	files[builderIndex], err = p.Key.Clearsign(builderPlain(c), now)
	return files, err
}

// Renew signs the tree's catalog anew, with a new date until which it is believed, and by
// this machine's clock, whatever time it was signed at before.
func (p *Publisher) Renew(ctx context.Context) (catalog.Catalog, error) {
	clock := func(time.Time) (time.Time, error) { return p.now().UTC().Truncate(time.Second), nil }
	return p.changeAt(ctx, clock, func(c catalog.Catalog) (catalog.Catalog, error) {
		if c.Serial == 0 {
			return c, noTree(p.Place)
		}
		return c, p.resign(ctx, c)
	})
}

func noTree(p Place) error {
	return fault.Newf(fault.NotFound, "%s is no server tree: it has no index", p).WithHint("make one with: ingot publish ARTIFACT --to %s", fault.File(fmt.Sprint(p)))
}

// Promote moves a channel of an image to where another one points, or to a version.
// It gives the version for each architecture.
func (p *Publisher) Promote(ctx context.Context, name, from, to string) (map[string]string, error) {
	var moved map[string]string
	_, err := p.change(ctx, func(c catalog.Catalog) (catalog.Catalog, error) {
		if c.Serial == 0 {
			return c, noTree(p.Place)
		}
		var err error
		c, moved, err = c.Promote(name, from, to)
		return c, err
	})
	return moved, err
}

// Pin pins a version of an image, or takes the pin away.
func (p *Publisher) Pin(ctx context.Context, name, version string, pinned bool) error {
	_, err := p.change(ctx, func(c catalog.Catalog) (catalog.Catalog, error) {
		if c.Serial == 0 {
			return c, noTree(p.Place)
		}
		return c.Pin(name, version, pinned)
	})
	return err
}
