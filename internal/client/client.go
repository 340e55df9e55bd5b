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

	chain []string // of keys by which the catalog is believed: see Believed
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
		if fetch.IsRefused(err) {
			hint = "its publisher gives tokens: name the file with yours with --token-file, or in the environment: INGOT_TOKEN_FILE"
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
	index, err := s.index(ctx, mirror)
	if err != nil {
		return catalog.Catalog{}, err
	}
	defer func() { _ = index.Close() }()
	var chain []string
	c, m, err := catalog.ReadFile("the index of "+show(mirror), index, keys, s.now().Add(catalog.Skew))
	why := "it is used for the first time"
	if err != nil {
		if keys, chain, m, c, err = s.rotated(ctx, mirror, keys, index, err); err != nil {
			return c, err
		}
		why = "the old key says that it follows"
	}
	if err := c.Fresh(s.now()); err != nil {
		return c, fault.Newf(fault.Verification, "%s: %w", show(mirror), err)
	}
	d := digest.Of(m.Text)
	if err := s.judge(mirror, c, d); err != nil {
		return c, err
	}
	s.chain = append(chain, m.Signers[0].Fingerprint)
	return c, s.remember(c, m, d, keys, why)
}

// index fetches a mirror's catalog into a file without a name: it may be large, and nobody has
// said yet that it is believed.
func (s *Server) index(ctx context.Context, mirror string) (*os.File, error) {
	f, err := os.CreateTemp(s.dir(), ".index-*")
	if err != nil {
		return nil, draft.Explain(fmt.Errorf("cannot keep the server's index: %w", err), "INGOT_HOME")
	}
	_ = os.Remove(f.Name())
	w := fetch.Want{Name: catalog.Path, URLs: []string{mirror + "/" + catalog.Path}, Max: catalog.MaxSize}
	if _, err := s.Fetch.Get(ctx, w, fetch.File(f)); err != nil {
		_ = f.Close()
		return nil, s.explain(err)
	}
	return f, nil
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

// File gets a small file of the server, as its first mirror that answers has it. Nothing of it is
// verified; one that is not there is fs.ErrNotExist.
func (s *Server) File(ctx context.Context, name string, most int64) ([]byte, error) {
	var first error
	for _, mirror := range s.Mirrors {
		data, err := s.small(ctx, mirror, name, most)
		if err == nil {
			return data, nil
		}
		if fetch.IsMissing(err) {
			err = fmt.Errorf("%s: %w", name, fs.ErrNotExist)
		}
		if first == nil {
			first = err
		}
	}
	return nil, first
}

// Blob gets a blob of the server from any of its mirrors; what comes is the right one, or an error.
func (s *Server) Blob(ctx context.Context, f catalog.File, to fetch.Sink) error {
	_, err := s.Fetch.Get(ctx, s.want(f), to)
	return s.explain(err)
}
