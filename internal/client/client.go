// Package client finds images on image servers and brings them here, and believes
// nothing that it has not verified.
//
// A [Server] is one, by the addresses of its mirrors. [Server.Refresh] gets its catalog: from
// the first mirror whose catalog is signed by a key that is known, neither expired nor
// older than one that was seen before. [Server.Pull] then brings blobs: each has the size
// and digest that the catalog says, or is not there. So no mirror, cache or network in between
// is trusted.
//
// A key is known because somebody gave it ([Trust]), or because it was pinned: the first
// time that a server is used, its key is kept, and later it must be that one, or one that it
// says follows it. To trust whatever key a server shows on first use is possible, when it is asked
// for.
//
// What a server has said before, and its key, lie in one directory a server; the first
// of its addresses is its name there.
package client

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"ingot/internal/catalog"
	"ingot/internal/digest"
	"ingot/internal/draft"
	"ingot/internal/fault"
	"ingot/internal/fetch"
	"ingot/internal/input"
	"ingot/internal/seen"
	"ingot/internal/sign"
)

// A Trust says by what a server's key becomes known.
type Trust struct {
	Keys        *sign.Keyring // these keys, or nil
	Fingerprint string        // the key of this fingerprint, as the server gives it; or ""
	FirstUse    bool          // whatever key the server gives, if none is known yet
}

// A Server is an image server.
type Server struct {
	Mirrors []string // its addresses, the best first; the first is its name
	Trust   Trust
	Dir     string // where keys and what was seen of all servers are kept
	Fetch   *fetch.Client
	Now     func() time.Time // time.Now
	// Pinned is told of the key that is believed from now on, because the server was
	// used first, or because it follows an older one.
	Pinned func(fingerprint, why string)
}

// Address makes an address of what people write: a URL, HOST:PORT, or a directory.
func Address(text string) (string, error) {
	bad := fault.Newf(fault.Usage, "%q is not the address of an image server", text).WithHint("write https://HOST/, http://HOST/ or a directory")
	if text == "" || strings.ContainsAny(text, " \t\n\x00") {
		return "", bad
	}
	if strings.Contains(text, "://") {
		u, err := url.Parse(text)
		if err != nil || u.Scheme != "http" && u.Scheme != "https" && u.Scheme != "file" || u.Host == "" && u.Scheme != "file" || u.RawQuery != "" || u.Fragment != "" {
			return "", bad
		}
		return strings.TrimRight(text, "/"), nil
	}
	if info, err := os.Stat(text); err == nil && info.IsDir() {
		abs, err := filepath.Abs(text)
		return (&url.URL{Scheme: "file", Path: abs}).String(), err
	}
	if strings.ContainsAny(text, "/@") || !strings.ContainsAny(text, ".:") && text != "localhost" {
		return "", bad
	}
	return "https://" + text, nil
}

func (s *Server) now() time.Time {
	if s.Now != nil {
		return s.Now()
	}
	return time.Now()
}

// Name is what messages and programs call the server: its first address, without a user's
// name and password.
func (s *Server) Name() string { return show(s.Mirrors[0]) }

func show(address string) string {
	u, err := url.Parse(address)
	if err != nil {
		return "(unreadable address)"
	}
	u.User = nil
	return u.String()
}

// Key is a name for files about the server: no other server has it.
func (s *Server) Key() string {
	name := strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= '0' && r <= '9' || r == '.' || r == '-' {
			return r
		}
		return '_'
	}, strings.ToLower(s.Name()))
	return name[:min(len(name), 80)] + "-" + digest.Of([]byte(s.Name())).String()[:12]
}

// dir is where the server's key and what was seen of it lie.
func (s *Server) dir() string { return filepath.Join(s.Dir, s.Key()) }

// lock keeps other processes from judging the same server at the same time. It waits for
// them, as long as the context lasts.
func (s *Server) lock(ctx context.Context) (func(), error) {
	if err := os.MkdirAll(s.dir(), 0o755); err != nil {
		return nil, draft.Explain(fmt.Errorf("cannot keep the server's key: %w", err), "INGOT_HOME")
	}
	f, err := os.OpenFile(filepath.Join(s.dir(), "lock"), os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return nil, draft.Explain(err, "INGOT_HOME")
	}
	if err := Wait(ctx, f); err != nil {
		_ = f.Close()
		return nil, err
	}
	return func() { _ = f.Close() }, nil
}

// Wait locks an open file, when others have let go of it, as long as the context lasts.
func Wait(ctx context.Context, f *os.File) error {
	for {
		err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		if err == nil {
			return nil
		}
		if !errors.Is(err, unix.EWOULDBLOCK) && !errors.Is(err, unix.EINTR) {
			return fmt.Errorf("cannot lock %s: %w", f.Name(), err)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(50 * time.Millisecond):
		}
	}
}

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
	if s.Trust.Fingerprint == "" && pinned != nil {
		return pinned, nil
	}
	if s.Trust.Fingerprint == "" && !s.Trust.FirstUse {
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
	if want := s.Trust.Fingerprint; want != "" {
		if ring = ring.Select(want); len(ring.Fingerprints()) == 0 {
			return nil, fault.Newf(fault.Verification, "%s shows another key than %s", show(mirror), want).
				WithHint("ask its publisher which key it has now")
		}
	}
	return ring, nil
}

// small fetches a small file whose digest nobody knows.
func (s *Server) small(ctx context.Context, mirror, name string, most int64) ([]byte, error) {
	var b fetch.Buffer
	_, err := s.Fetch.Get(ctx, fetch.Want{Name: name, URLs: []string{mirror + "/" + name}, Max: most}, &b)
	if err != nil {
		return nil, s.explain(err)
	}
	return b.Bytes(), nil
}

// explain gives errors of fetching a remedy that is one here.
func (s *Server) explain(err error) error {
	hint := ""
	switch fault.CodeOf(err) {
	case fault.Unreachable:
		hint = "is that the address of an image server, and is it up? --from may be given several times, for its mirrors"
		if fetch.IsMissing(err) {
			hint = "is " + s.Name() + " an image server? its catalog is " + catalog.Path
		}
	case fault.Verification:
		hint = "nothing of it was kept; the mirror is damaged or somebody changes what it sends: try another with --from"
	case fault.Preflight:
		hint = "make room there, or choose another directory with --to; what came so far is kept"
	default:
		return err
	}
	return fault.Newf(fault.CodeOf(err), "%w", err).WithHint("%s", hint)
}

// Refresh gets the server's catalog, from the first mirror that has one to believe. What is
// known of the server then is that it had this one.
func (s *Server) Refresh(ctx context.Context) (catalog.Catalog, error) {
	release, err := s.lock(ctx)
	if err != nil {
		return catalog.Catalog{}, err
	}
	defer release()
	var first error
	for _, mirror := range s.Mirrors {
		c, err := s.from(ctx, mirror)
		if err == nil {
			return c, nil
		}
		if ctx.Err() != nil {
			return c, ctx.Err()
		}
		// What lies weighs more than what is silent.
		if first == nil || fault.CodeOf(first) == fault.Unreachable && fault.CodeOf(err) == fault.Verification {
			first = err
		}
	}
	return catalog.Catalog{}, first
}

// from gets the catalog from one mirror.
func (s *Server) from(ctx context.Context, mirror string) (catalog.Catalog, error) {
	keys, err := s.known(ctx, mirror)
	if err != nil {
		return catalog.Catalog{}, err
	}
	data, err := s.small(ctx, mirror, catalog.Path, catalog.MaxSize)
	if err != nil {
		return catalog.Catalog{}, err
	}
	name := "the index of " + show(mirror)
	c, m, err := catalog.Read(name, data, keys, s.now().Add(catalog.Skew))
	why := "it is used for the first time"
	if err != nil {
		if keys, m, c, err = s.rotated(ctx, mirror, keys, data, err); err != nil {
			return c, err
		}
		why = "the old key says that it follows"
	}
	if err := c.Fresh(s.now()); err != nil {
		return c, fault.Newf(fault.Verification, "%s: %w", show(mirror), err)
	}
	if err := s.judge(mirror, c, digest.Of(m.Text)); err != nil {
		return c, err
	}
	return c, s.remember(c, m, keys, why)
}

// maxFollowed bounds how many changes of keys are followed at once.
const maxFollowed = 32

// rotated follows the changes of keys from those that are known to the one that signed
// a catalog. failed is why those that are known do not do.
func (s *Server) rotated(ctx context.Context, mirror string, keys *sign.Keyring, data []byte, failed error) (*sign.Keyring, sign.Message, catalog.Catalog, error) {
	refuse := func() (*sign.Keyring, sign.Message, catalog.Catalog, error) {
		return nil, sign.Message{}, catalog.Catalog{}, fault.Newf(fault.Verification, "%w", failed).
			WithHint("if its publisher has changed keys without a word of the old one, give the new key with --key")
	}
	if !sign.IsUntrusted(failed) {
		return refuse()
	}
	before, err := s.seen()
	if err != nil {
		return nil, sign.Message{}, catalog.Catalog{}, err
	}
	tree := before.Tree
	for range maxFollowed {
		var next *sign.Keyring
		for _, old := range keys.Fingerprints() {
			document, err := s.small(ctx, mirror, catalog.RotationPath(old), 1<<20)
			if fetch.IsMissing(err) {
				continue
			}
			if err != nil {
				return nil, sign.Message{}, catalog.Catalog{}, err
			}
			if next, err = catalog.Rotated(tree, document, keys, s.now().Add(catalog.Skew)); err != nil {
				return nil, sign.Message{}, catalog.Catalog{}, fault.Newf(fault.Verification, "%s: %w", show(mirror), err).
					WithHint("the mirror is damaged, or somebody changes what it sends: try another with --from, or ask the publisher for the new key and give it with --key")
			}
			break
		}
		if next == nil {
			return refuse()
		}
		c, m, err := catalog.Read("the index of "+show(mirror), data, next, s.now().Add(catalog.Skew))
		if err == nil {
			return next, m, c, nil
		}
		if !sign.IsUntrusted(err) {
			return nil, m, c, err
		}
		keys = next
	}
	return refuse()
}

// seen is what was seen of the server last; its serial is 0 if nothing was.
func (s *Server) seen() (seen.Record, error) { return seen.Read(s.seenPath()) }

func (s *Server) seenPath() string { return filepath.Join(s.dir(), "seen.json") }

// state is a catalog as it is remembered.
func (s *Server) state(c catalog.Catalog, text digest.Digest) seen.Record {
	return seen.Record{Of: s.Name(), Tree: c.Tree, Serial: c.Serial, SHA256: text, Created: c.Created}
}

// judge refuses a catalog of another tree, one that is older than one that was seen, or another
// one of the same serial.
func (s *Server) judge(mirror string, c catalog.Catalog, d digest.Digest) error {
	old, err := s.seen()
	if err != nil {
		return err
	}
	switch err := old.Judge(s.state(c, d)); {
	case errors.Is(err, seen.ErrTree):
		return fault.Newf(fault.Verification, "%s has the index of another server tree than the one that was seen before", show(mirror)).
			WithHint("its publisher's key signs that one too, and somebody may show it in place of this; if its publisher began anew, remove %s", s.seenPath())
	case errors.Is(err, seen.ErrOlder):
		return fault.Newf(fault.Verification, "%s has an older index (serial %d of %s) than one that was seen before (%d of %s)", show(mirror),
			c.Serial, c.Created.UTC().Format(time.DateTime), old.Serial, old.Created.UTC().Format(time.DateTime)).
			WithHint("the mirror is behind, or somebody plays an old state back: try again later, or another mirror; if its publisher began anew, remove %s", s.seenPath())
	case errors.Is(err, seen.ErrOther):
		return fault.Newf(fault.Verification, "%s has another index of serial %d than the one that was seen before", show(mirror), c.Serial).
			WithHint("two trees are published with one key, or somebody has the key: ask its publisher")
	}
	return nil
}

// remember keeps what was seen, and pins the key that signed.
func (s *Server) remember(c catalog.Catalog, m sign.Message, keys *sign.Keyring, why string) error {
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
	return s.state(c, digest.Of(m.Text)).Write(s.seenPath())
}
