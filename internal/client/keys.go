package client

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"
	"slices"

	"ingot/internal/catalog"
	"ingot/internal/digest"
	"ingot/internal/draft"
	"ingot/internal/fault"
	"ingot/internal/fetch"
	"ingot/internal/input"
	"ingot/internal/sign"
)

// pinned is the ring of the server's key as it is known, or nil.
func (s *Server) pinned() (*sign.Keyring, error) {
	data, err := input.Read(filepath.Join(s.dir(), "key.asc"), 1<<20)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("cannot read the server's key: %w", err)
	}
	return sign.ReadKeyring("the key of "+s.Name(), data)
}

// known are the keys by which a catalog of the server is verified.
func (s *Server) known(ctx context.Context, mirror string) (*sign.Keyring, error) {
	if s.Trust.Keys != nil {
		return s.Trust.Keys, nil
	}
	pinned, err := s.pinned()
	if err != nil {
		return nil, err
	}
	want := s.Trust.Fingerprint
	if pinned != nil && (want == "" || slices.Contains(pinned.Fingerprints(), want)) {
		return pinned, nil
	}
	if want == "" && !s.Trust.FirstUse {
		return nil, fault.Newf(fault.Verification, "no key of %s is known", s.Name()).
			WithHint("give its publisher's with --key FILE or --key FINGERPRINT ('ingot server key' prints it there), or take what the server shows with --trust-on-first-use")
	}
	data, err := s.small(ctx, mirror, "key.asc", 1<<20)
	if err != nil {
		return nil, err
	}
	ring, err := sign.ReadKeyring(show(mirror)+"/key.asc", data)
	if err != nil {
		return nil, fault.Newf(fault.Verification, "%w", err)
	}
	if want == "" {
		return ring, nil
	}
	if one := ring.Select(want); len(one.Fingerprints()) > 0 {
		return one, nil
	}
	// It may be an older one: then what it said of the next one holds it.
	document, err := s.small(ctx, mirror, catalog.RotationPath(want), 1<<20)
	if err == nil {
		ring, err = catalog.RotatedKey(document, want)
	}
	if err != nil && !fetch.IsMissing(err) {
		return nil, err
	}
	if err != nil {
		return nil, fault.Newf(fault.Verification, "%s shows another key than %s", show(mirror), want).
			WithHint("ask its publisher which key it has now")
	}
	return ring, nil
}

// Believed are the fingerprints of the keys by which the catalog of the last
// [Server.Refresh] is believed: the one that was known, those that followed it, and last the
// one that signed it.
func (s *Server) Believed() []string { return s.chain }

// Believes says whether what was believed by some keys is believed now too: whether one of them
// is a key that was given, or the one that is remembered. Nobody is asked.
func (s *Server) Believes(chain []string) (bool, error) {
	known := []string{s.Trust.Fingerprint}
	if s.Trust.Keys != nil {
		known = s.Trust.Keys.Fingerprints()
	} else if s.Trust.Fingerprint == "" {
		pinned, err := s.pinned()
		if err != nil || pinned == nil {
			return false, err
		}
		known = pinned.Fingerprints()
	}
	return slices.ContainsFunc(known, func(k string) bool { return slices.Contains(chain, k) }), nil
}

// maxFollowed bounds how many changes of keys are followed at once.
const maxFollowed = 32

// rotated follows the changes of keys from those that are known to the one that signed
// a catalog. failed is why those that are known do not do.
func (s *Server) rotated(ctx context.Context, mirror string, keys *sign.Keyring, index io.ReadSeeker, failed error) (*sign.Keyring, []string, sign.Message, catalog.Catalog, error) {
	var chain []string
	refuse := func(err error) (*sign.Keyring, []string, sign.Message, catalog.Catalog, error) {
		return nil, nil, sign.Message{}, catalog.Catalog{}, err
	}
	unknown := fault.Newf(fault.Verification, "%w", failed).
		WithHint("if its publisher has changed keys without a word of the old one, give the new key with --key")
	if !sign.IsUntrusted(failed) {
		return refuse(unknown)
	}
	before, err := s.seen()
	if err != nil {
		return refuse(err)
	}
	for range maxFollowed {
		var next *sign.Keyring
		for _, old := range keys.Fingerprints() {
			document, err := s.small(ctx, mirror, catalog.RotationPath(old), 1<<20)
			if fetch.IsMissing(err) {
				continue
			}
			if err != nil {
				return refuse(err)
			}
			if next, err = catalog.Rotated(before.Tree, document, keys, s.now().Add(catalog.Skew)); err != nil {
				return refuse(fault.Newf(fault.Verification, "%s: %w", show(mirror), err).
					WithHint("the mirror is damaged, or somebody changes what it sends: try another with --from, or ask the publisher for the new key and give it with --key"))
			}
			chain = append(chain, catalog.RotatedFrom(string(document)))
			break
		}
		if next == nil {
			return refuse(unknown)
		}
		c, m, err := catalog.ReadFile("the index of "+show(mirror), index, next, s.now().Add(catalog.Skew))
		if err == nil {
			return next, chain, m, c, nil
		}
		if !sign.IsUntrusted(err) {
			return refuse(err)
		}
		keys = next
	}
	return refuse(unknown)
}

// remember keeps what was seen, and pins the key that signed. d is the digest of the text.
func (s *Server) remember(c catalog.Catalog, m sign.Message, d digest.Digest, keys *sign.Keyring, why string) error {
	signer := m.Signers[0].Fingerprint
	pinned, err := s.pinned()
	if err != nil && s.Trust.Keys == nil {
		return err
	}
	if pinned == nil || len(pinned.Fingerprints()) != 1 || pinned.Fingerprints()[0] != signer {
		armored, err := keys.Select(signer).Armored()
		if err != nil {
			return err
		}
		if err := draft.Write(filepath.Join(s.dir(), "key.asc"), armored, 0o644); err != nil {
			return draft.Explain(err, "INGOT_HOME")
		}
		if s.Pinned != nil {
			s.Pinned(signer, why)
		}
	}
	return s.state(c, d).Write(s.seenPath())
}
