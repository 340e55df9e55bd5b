package debian

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"ingot/internal/digest"
	"ingot/internal/draft"
	"ingot/internal/fault"
	"ingot/internal/sign"
)

// checkFresh refuses a release whose time is over or has not come. Its name is for
// messages. expired says that its Valid-Until is past and that this was accepted.
//
// The rules are apt's: a Date may lie ten seconds ahead (Acquire::Max-FutureTime), and a
// Release is good until its Valid-Until and not a second longer.
func (r *Release) checkFresh(name string, now time.Time, acceptExpired bool) (expired bool, err error) {
	if ahead := r.Date.Sub(now); ahead > sign.Skew {
		return false, fault.Newf(fault.Verification, "%s is dated %s, which is %s ahead", name, r.Date.UTC().Format(time.DateTime), about(ahead)).
			WithHint("is this machine's clock right? it says %s UTC", now.UTC().Format(time.DateTime))
	}
	if r.ValidUntil.IsZero() || !now.After(r.ValidUntil) {
		return false, nil
	}
	if acceptExpired {
		return true, nil
	}
	return false, fault.Newf(fault.Verification, "%s expired on %s UTC, %s ago", name, r.ValidUntil.UTC().Format(time.DateTime), about(now.Sub(r.ValidUntil))).
		WithHint("the mirror may be stale: try another; or accept the suite as it is with check-valid-until: false in archives:, or --accept-expired")
}

// about is a duration for people.
func about(d time.Duration) string {
	switch {
	case d < 2*time.Minute:
		return fmt.Sprintf("%d seconds", int(d.Seconds()))
	case d < 2*time.Hour:
		return fmt.Sprintf("%d minutes", int(d.Minutes()))
	case d < 48*time.Hour:
		return fmt.Sprintf("%d hours", int(d.Hours()))
	}
	return fmt.Sprintf("%d days", int(d.Hours()/24))
}

// seen remembers, in a directory of small files, the newest Release of each
// (archive, suite), so that an old one with its good signature cannot be played back.
// An archive is known by its own URL, whatever mirror it is fetched from.
type seen struct{ dir string }

// file is where a suite's newest date stands. Its name is for people; the digest
// in it keeps suites apart.
func (s seen) file(url, suite string) string {
	site := strings.TrimPrefix(strings.TrimPrefix(identity(url), "https://"), "http://")
	name := strings.Map(func(c rune) rune {
		if c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '.' || c == '-' {
			return c
		}
		return '_'
	}, site+"_"+suite)
	return filepath.Join(s.dir, fmt.Sprintf("%.120s-%s", name, digest.Of([]byte(identity(url)+" "+suite)).Short()))
}

// check refuses a date older than the one seen before.
func (s seen) check(name, url, suite string, date time.Time) error {
	path := s.file(url, suite)
	old, err := readSeen(path)
	if err != nil {
		return err
	}
	if !date.Before(old) {
		return nil
	}
	return fault.Newf(fault.Verification, "%s is dated %s, older than the one of %s that was read before", name,
		date.UTC().Format(time.DateTime), old.UTC().Format(time.DateTime)).
		WithHint("the mirror lags behind or plays back old indexes: try another; to go back on purpose, remove %s", path)
}

// keep records a date, unless a newer one stands there. Who only looks, where nothing
// was ever built, has no directory that it would lie in, and leaves none behind.
func (s seen) keep(url, suite string, date time.Time) error {
	err := os.Mkdir(s.dir, 0o755)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil && !errors.Is(err, fs.ErrExist) {
		return draft.Explain(fmt.Errorf("cannot remember the date of an index: %w", err), "INGOT_HOME")
	}
	lock, err := os.Open(s.dir)
	if err != nil {
		return err
	}
	defer func() { _ = lock.Close() }() // which unlocks it
	if err := unix.Flock(int(lock.Fd()), unix.LOCK_EX); err != nil {
		return fmt.Errorf("lock %s: %w", s.dir, err)
	}
	path := s.file(url, suite)
	old, err := readSeen(path)
	if err != nil || !date.After(old) {
		return err
	}
	draft.Sweep(s.dir)
	return draft.Write(path, []byte(date.UTC().Format(time.RFC3339)+"\n"), 0o644)
}

// readSeen is the date in a file; zero when there is none, or none that can be read
// (for a broken file must not stop all builds for ever).
func readSeen(path string) (time.Time, error) {
	b, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return time.Time{}, nil
	}
	if err != nil {
		return time.Time{}, err
	}
	at, err := time.Parse(time.RFC3339, strings.TrimSpace(string(b)))
	if err != nil {
		return time.Time{}, nil //nolint:nilerr // as said above
	}
	return at, nil
}
