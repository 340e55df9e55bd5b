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
}

func (p *Publisher) now() time.Time {
	if p.Now != nil {
		return p.Now()
	}
	return time.Now()
}

// errUnchanged is what a change gives when there is nothing to write.
var errUnchanged = errors.New("unchanged")

// change reads the catalog under the tree's lock, has it changed, and writes what comes
// of it, unless that is errUnchanged.
func (p *Publisher) change(ctx context.Context, f func(c catalog.Catalog) (catalog.Catalog, error)) (catalog.Catalog, error) {
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
	if old.Tree == "" {
		old.Tree = rand.Text()
	}
	c, err := f(old)
	if errors.Is(err, errUnchanged) {
		return old, nil
	}
	if err != nil {
		return old, err
	}
	if err := ctx.Err(); err != nil {
		return old, err
	}
	now := p.now().UTC().Truncate(time.Second)
	c.Schema, c.Serial = 1, old.Serial+1
	if now.Before(old.Created) {
		now = old.Created // the clock went back; a client must not think that the index did
	}
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

// load reads the tree's catalog and verifies it by the publisher's key: what somebody
// else wrote there is not signed anew.
func (p *Publisher) load() (catalog.Catalog, error) {
	data, err := p.Place.Read(catalog.Path, catalog.MaxSize)
	if errors.Is(err, fs.ErrNotExist) {
		return catalog.Catalog{}, nil
	}
	if err != nil {
		return catalog.Catalog{}, fmt.Errorf("cannot read the tree's index: %w", err)
	}
	ring, err := p.Key.Keyring()
	if err != nil {
		return catalog.Catalog{}, err
	}
	c, _, err := catalog.Read("the index of "+p.Place.String(), data, ring, p.now())
	if err != nil {
		return c, fault.Newf(fault.Verification, "%w", err).
			WithHint("the tree was signed by another key than %s: name that one with --sign-key, or change keys with 'ingot server rotate'", p.Key.Fingerprint())
	}
	return c, nil
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
	return files, nil
}

// Renew signs the tree's catalog anew, with a new date until which it is believed.
func (p *Publisher) Renew(ctx context.Context) (catalog.Catalog, error) {
	return p.change(ctx, func(c catalog.Catalog) (catalog.Catalog, error) {
		if c.Serial == 0 {
			return c, noTree(p.Place)
		}
		return c, p.resign(ctx, c)
	})
}

func noTree(p Place) error {
	return fault.Newf(fault.NotFound, "%s is no server tree: it has no index", p).WithHint("'ingot publish ARTIFACT --to %s' makes one", p)
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
