// Package upstream reads image servers of others, so that their images can be published anew: LXC's
// image server, version 1, and simplestreams as Incus and LXD read it.
//
// A [Source] says what a server offers ([Source.List]), each a version of an image with the
// addresses of its files, and brings one ([Offer.Bring]): whole, and verified as far as the server allows. With
// simplestreams the signed list has the size and digest of each file; of LXC's, each file has a signature of
// its own. Without keys there is nothing but TLS to believe, which has to be said ([Source.Plain]).
//
// What comes from there is foreign: all of it is bounded, and no name of it gets to where it could
// lead out of a directory.
package upstream

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"strings"
	"time"

	"ingot/internal/catalog"
	"ingot/internal/digest"
	"ingot/internal/fault"
	"ingot/internal/fetch"
	"ingot/internal/sign"
)

// Bounds of what a server says.
const (
	maxIndex     = 128 << 20
	maxSignature = 1 << 20
	maxFile      = 64 << 30 // whose size nobody says
	maxOffers    = 200_000
)

// A Source is an image server.
type Source struct {
	URL   string // without a slash at its end
	Fetch *fetch.Client
	Keys  *sign.Keyring // that sign there, or nil
	Plain bool          // without keys, believe what comes by TLS
	Now   func() time.Time
	// Skipped is told of what was passed over, and why.
	Skipped func(what, why string)
}

// An Offer is a version of an image.
type Offer struct {
	Name, Arch string
	Variant    string // what indexes without channels call the image
	Channels   []string
	// Version has the digests that the server says; others are zero until the files are here.
	Version catalog.Version
	from    map[string]origin // by a file's name
	source  *Source
}

// An origin is where a file comes from.
type origin struct {
	url       string
	signature string // or ""
	size      int64  // or -1
}

// now is the source's clock.
func (s *Source) now() time.Time {
	if s.Now != nil {
		return s.Now()
	}
	return time.Now()
}

func (s *Source) skip(what, format string, args ...any) {
	if s.Skipped != nil {
		s.Skipped(what, fmt.Sprintf(format, args...))
	}
}

// Check refuses a source that nothing would be verified of.
func (s *Source) Check() error {
	switch {
	case s.Keys != nil:
		return nil
	case !s.Plain:
		return fault.Newf(fault.Verification, "no key of %s is known", s.shown()).
			WithHint("give the public key that signs there with --key FILE, or believe what comes by TLS with --unsigned")
	case !strings.HasPrefix(s.URL, "https://"):
		return fault.Newf(fault.Verification, "%s is not https: without a key, nothing of it could be believed", s.shown()).WithHint("give the key that signs there with --key FILE")
	}
	return nil
}

// shown is the address for people, without a user's name and password.
func (s *Source) shown() string {
	u, err := url.Parse(s.URL)
	if err != nil {
		return "(unreadable address)"
	}
	u.User = nil
	return u.String()
}

// List says what the server offers, by simplestreams where it has that, else by LXC's index; or by
// the one that is named. Of each image, older versions come first.
func (s *Source) List(ctx context.Context, kind string) ([]Offer, error) {
	if err := s.Check(); err != nil {
		return nil, err
	}
	switch kind {
	case "simplestreams":
		return s.streams(ctx)
	case "lxc":
		return s.lxc(ctx)
	}
	out, err := s.streams(ctx)
	if !fetch.IsMissing(err) {
		return out, err
	}
	out, err = s.lxc(ctx)
	if fetch.IsMissing(err) {
		return nil, fault.Newf(fault.Unreachable, "%s is no image server that ingot knows: %w", s.shown(), err).
			WithHint("it has neither streams/v1 nor meta/1.0")
	}
	return out, err
}

// get fetches a small file.
func (s *Source) get(ctx context.Context, name string, most int64) ([]byte, error) {
	var b fetch.Buffer
	_, err := s.Fetch.Get(ctx, fetch.Want{Name: name, URLs: []string{s.URL + "/" + name}, Max: most}, &b)
	if err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}

// isName refuses what cannot be a name in a catalog.
func isName(words ...string) bool {
	for _, w := range words {
		if !catalog.IsName(w) {
			return false
		}
	}
	return true
}

// arches are other names of architectures than Debian's.
var arches = map[string]string{
	"x86_64": "amd64", "i686": "i386", "aarch64": "arm64", "armv7l": "armhf", "ppc64le": "ppc64el",
}

// version is the name of a version in a catalog: those of LXC's server have a colon.
func version(serial string) (name string, published time.Time, ok bool) {
	plain := strings.ReplaceAll(serial, ":", "")
	at, err := time.Parse("20060102_1504", plain)
	if err == nil {
		return plain, at, true
	}
	// Ubuntu's are days, with a number behind when there are several.
	if len(plain) >= 8 && isName(plain) {
		if at, err = time.Parse("20060102", plain[:8]); err == nil {
			return plain, at, true
		}
	}
	return "", time.Time{}, false
}

// imageName is what a catalog calls an image: there a name is of one distribution and release.
func imageName(distro, release, variant string) string {
	return strings.Join([]string{distro, release, variant}, "-")
}

// within is a path of the server's that stays on it; it may not say where else it leads.
func within(p string) (string, bool) {
	clean := strings.TrimPrefix(path.Clean("/"+p), "/")
	if clean == "" || strings.ContainsAny(p, "?#%\\\x00\r\n ") || strings.Contains("/"+p+"/", "/../") {
		return "", false
	}
	return clean, true
}

// Bring fetches the files of an offer's version, or of some artifacts of it, into a directory and
// verifies them. The version it gives has all digests.
func (o Offer) Bring(ctx context.Context, v catalog.Version, dir string) (catalog.Version, error) {
	artifacts := make([]catalog.Artifact, 0, len(v.Artifacts))
	locks := sha256.New()
	for _, a := range v.Artifacts {
		files := make([]catalog.File, 0, len(a.Files))
		for _, f := range a.Files {
			got, err := o.bring(ctx, f, filepath.Join(dir, f.Name))
			if err != nil {
				return v, err
			}
			files = append(files, got)
			_, _ = fmt.Fprintf(locks, "%s %s\n", f.Name, got.SHA256)
		}
		a.Files = files
		artifacts = append(artifacts, a)
	}
	v.Artifacts = artifacts
	// Nothing is known of what it was built from, so it stands for itself.
	v.Lock = digest.From(locks)
	return v, nil
}

func (o Offer) bring(ctx context.Context, f catalog.File, to string) (catalog.File, error) {
	from, ok := o.from[f.Name]
	if !ok {
		return f, fmt.Errorf("%s comes from nowhere", f.Name)
	}
	out, err := os.OpenFile(to, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return f, err
	}
	defer func() { _ = out.Close() }()
	want := fetch.Want{Name: f.Name, URLs: []string{from.url}, Size: f.Size, SHA256: f.SHA256}
	if !f.SHA256.IsZero() {
		_, err = o.source.Fetch.GetParallel(ctx, want, out)
		return f, err
	}
	want.Size, want.Max = 0, maxFile
	if _, err = o.source.Fetch.Get(ctx, want, fetch.File(out)); err != nil {
		return f, err
	}
	if o.source.Keys != nil {
		if err := o.detached(ctx, f.Name, from.signature, out); err != nil {
			return f, err
		}
	}
	if _, err := out.Seek(0, io.SeekStart); err != nil {
		return f, err
	}
	f.SHA256, f.Size, err = digest.Reader(out)
	return f, err
}

// detached verifies a file by its signature on the server.
func (o Offer) detached(ctx context.Context, name, at string, file io.ReadSeeker) error {
	if at == "" {
		return fault.Newf(fault.Verification, "%s has no signature", name)
	}
	var b fetch.Buffer
	_, err := o.source.Fetch.Get(ctx, fetch.Want{Name: name + ".asc", URLs: []string{at}, Max: maxSignature}, &b)
	if err != nil {
		return err
	}
	_, err = o.source.Keys.DetachedReader(name, file, b.Bytes(), o.source.now())
	return err
}

var errOffers = errors.New("it offers too much")
