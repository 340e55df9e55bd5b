package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"time"

	"ingot/internal/catalog"
	"ingot/internal/client"
	"ingot/internal/draft"
	"ingot/internal/fault"
	"ingot/internal/input"
	"ingot/internal/ui"
)

// cached is an image in the cache, locked.
type cached struct {
	Version string         `json:"version"`
	Expires time.Time      `json:"expires,omitzero"` // from when on its publisher wants nobody to use it
	Files   []catalog.File `json:"files"`            // root file system and metadata
	Keys    []string       `json:"keys"`             // by which it was believed: see client.Server.Believed
	dir     string
	release func()
}

func (c cached) path(n int) string { return filepath.Join(c.dir, c.Files[n].Name) }

// image brings the image into the cache, or finds it there.
func (o *lxcOptions) image(ctx context.Context, progress *ui.Progress) (cached, error) {
	k := cached{release: func() {}}
	for _, word := range []string{o.dist, o.release, o.arch} {
		if !catalog.IsName(word) {
			return k, fault.Newf(fault.Usage, "%q is no name of a distribution, a release or an architecture", word)
		}
	}
	choice, err := catalog.ParseChoice(o.variant, o.arch)
	if err != nil {
		return k, err
	}
	if k.dir, err = o.cacheDir(choice); err != nil {
		return k, err
	}
	if o.flush {
		if err := os.RemoveAll(k.dir); err != nil {
			return k, err
		}
	}
	if err := os.MkdirAll(k.dir, 0o755); err != nil {
		return k, draft.Explain(err, "LXC_CACHE_PATH")
	}
	lock, err := os.OpenFile(filepath.Join(k.dir, "lock"), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return k, draft.Explain(err, "LXC_CACHE_PATH")
	}
	k.release = func() { _ = lock.Close() }
	if err := client.Wait(ctx, lock); err != nil {
		return k, err
	}
	if o.force {
		return k, o.load(&k, progress)
	}
	err = o.refresh(ctx, progress, choice, &k)
	if fault.CodeOf(err) == fault.Unreachable && !o.flush {
		if e := o.load(&k, progress); e == nil {
			progress.Warnf("%v; using version %s, which is cached", err, k.Version)
			return k, nil
		}
	}
	return k, err
}

// cacheDir is where an image is cached: of each server by itself, and what was believed
// without a key apart from what was verified.
func (o *lxcOptions) cacheDir(choice catalog.Choice) (string, error) {
	_, base, err := o.homes()
	if err != nil {
		return "", err
	}
	server := client.Server{Mirrors: strings.Fields(o.server)}
	if len(server.Mirrors) == 0 {
		return "", errNoServer()
	}
	if server.Mirrors[0], err = client.Address(server.Mirrors[0]); err != nil {
		return "", err
	}
	name := server.Key()
	if o.noValidate {
		name += "-unvalidated"
	}
	return filepath.Join(base, name, o.dist, o.release, o.arch, choice.String()), nil
}

// refresh asks the server and brings what it has.
func (o *lxcOptions) refresh(ctx context.Context, progress *ui.Progress, choice catalog.Choice, k *cached) error {
	s, err := o.remote(progress)
	if err != nil {
		return err
	}
	defer o.forget(s)
	c, err := s.Refresh(ctx)
	if err != nil {
		return err
	}
	i, v, err := c.FindVariant(choice, o.dist, o.release)
	if err != nil {
		return err
	}
	a, ok := v.Artifact("lxc")
	if !ok || len(a.Files) != 2 || v.Distro != o.dist || v.Release != o.release {
		return fault.Newf(fault.NotFound, "couldn't find a matching image: %s is %s %s", i.Name, v.Distro, v.Release).WithHint("--list shows what there is for LXC")
	}
	k.Version, k.Expires, k.Files, k.Keys = v.Version, v.Expires, a.Files, s.Believed()
	if err := k.usable(time.Now()); err != nil {
		return err
	}
	if _, err := s.Pull(ctx, a.Files, k.dir, true); err != nil {
		return err
	}
	data, err := json.Marshal(k)
	if err != nil {
		return err
	}
	return draft.Write(filepath.Join(k.dir, "image.json"), data, 0o644)
}

// usable refuses an image past its date.
func (k *cached) usable(now time.Time) error {
	if k.Expires.IsZero() || now.Before(k.Expires) {
		return nil
	}
	return fault.Newf(fault.Verification, "version %s is expired since %s", k.Version, k.Expires.UTC().Format(time.DateTime)).
		WithHint("ask its publisher for a newer one; --list shows what there is")
}

// load takes what is cached, if it is still what was verified, by a key that is believed now.
func (o *lxcOptions) load(k *cached, progress *ui.Progress) error {
	k.Version, k.Expires, k.Files, k.Keys = "", time.Time{}, nil, nil
	data, err := input.Read(filepath.Join(k.dir, "image.json"), 1<<20)
	if err == nil {
		err = json.Unmarshal(data, k)
	}
	if err == nil && len(k.Files) != 2 {
		err = errors.New("it is not whole")
	}
	if err != nil {
		return fault.Newf(fault.NotFound, "the image is not cached: %w", err).WithHint("leave --force-cache out")
	}
	if err := k.usable(time.Now()); err != nil {
		return err
	}
	if !o.noValidate {
		s, err := o.remote(progress)
		if err != nil {
			return err
		}
		if ok, err := s.Believes(k.Keys); err != nil || !ok {
			return cmp.Or(err, error(fault.Newf(fault.Verification, "version %s in the cache was verified by another key (%s) than the one that is believed now", k.Version, strings.Join(k.Keys, ", ")).
				WithHint("leave --force-cache out: then the server is asked")))
		}
	}
	for n, f := range k.Files {
		if !catalog.IsName(f.Name) {
			return fault.Newf(fault.Verification, "the cache names no file")
		}
		if same, err := client.Is(k.path(n), f); err != nil || !same {
			return fault.Newf(fault.Verification, "%s in the cache is damaged", f.Name).WithHint("--flush-cache has it fetched again")
		}
	}
	return nil
}
