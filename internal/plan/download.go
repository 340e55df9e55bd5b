package plan

import (
	"context"
	"errors"
	"io/fs"
	"maps"
	"net/url"
	"os"
	"path"
	"slices"
	"strings"
	"sync"
	"time"

	"ingot/internal/digest"
	"ingot/internal/distro"
	"ingot/internal/distro/debian"
	"ingot/internal/fault"
	"ingot/internal/fetch"
	"ingot/internal/lock"
	"ingot/internal/relay"
	"ingot/internal/store"
)

// downloads are the files that scripts ask for. What the lock names comes from the store,
// and from a mirror if the store has lost it; what it does not name is fetched and noted
// for the lock, unless the build is to take nothing else.
type downloads struct {
	runner *Runner
	plan   *Plan
	pool   map[string]distro.Ref // packages of the lock, by where archives have them

	mu    sync.Mutex
	known map[string]lock.Download
	named map[string]bool // by the lock, or by a result that was kept: those that the lock gets
	used  map[string]bool // since the last result that was kept
	busy  map[string]*asking
	news  bool
	alone bool // somebody has looked around: what comes now is for this run alone

	identity   digest.Digest // of the chain's disk
	identified bool          // a script asked for it since the last result that was kept
}

// An asking is a file that is being found out about.
type asking struct {
	done chan struct{}
	err  error
}

// A use is what of the lock a result was made of, beside what its step's key says.
type use struct {
	Downloads []lock.Download
	Identity  digest.Digest `json:",omitzero"`
}

// newDownloads are those of one chain of a run, of whose chains before this one it goes on
// from what they found: the lock that comes of the run has all of it.
func newDownloads(r *Runner, p *Plan, c Chain, before *Result) *downloads {
	d := &downloads{runner: r, plan: p, identity: p.identity(c), pool: map[string]distro.Ref{}, known: map[string]lock.Download{}, named: map[string]bool{}, used: map[string]bool{}, busy: map[string]*asking{}}
	for _, s := range p.Lock.Sets {
		for _, ref := range s.Refs {
			d.pool[ref.Location] = ref
		}
	}
	for _, k := range slices.Concat(p.Lock.Downloads, before.Downloads) {
		d.known[k.Address], d.named[k.Address] = k, true
	}
	return d
}

// take gives what was used since it was last asked, sorted by address, for a result that is
// kept: the lock gets it, unless somebody looked around before.
func (d *downloads) take() use {
	d.mu.Lock()
	defer d.mu.Unlock()
	out := use{Downloads: []lock.Download{}}
	for _, address := range slices.Sorted(maps.Keys(d.used)) {
		out.Downloads = append(out.Downloads, d.known[address])
		d.name(address)
	}
	if d.identified {
		out.Identity = d.identity
	}
	clear(d.used)
	d.identified = false
	return out
}

// name says that the lock is to name an address; d.mu is held.
func (d *downloads) name(address string) {
	if !d.alone && !d.named[address] {
		d.named[address], d.news = true, true
	}
}

// recall says whether what a step used whose result the cache has is what the lock names. A
// lock that names nothing yet, or no more, gets what is there today: the result is not used.
// Without a network there is nothing newer, and what the step used comes to the lock.
func (d *downloads) recall(u use) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if !u.Identity.IsZero() && u.Identity != d.identity {
		return false
	}
	used := u.Downloads
	offline := d.runner.Supply.Mirrors == nil && !d.runner.Locked
	for _, u := range used {
		if known, ok := d.known[u.Address]; ok && known != u || !ok && !offline {
			return false
		}
	}
	for _, u := range used {
		d.known[u.Address] = u
		d.name(u.Address)
	}
	return true
}

// identify notes that a script was told what is derived from the disk's identity.
func (d *downloads) identify() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.identified = true
}

// leaveAlone says that what is asked for from now on is for this run alone: somebody looks
// around, and what runs after that nobody knows.
func (d *downloads) leaveAlone() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.alone = true
}

// all are the lock's downloads and those that are to come to it, sorted; nil where none are.
func (d *downloads) all() []lock.Download {
	d.mu.Lock()
	defer d.mu.Unlock()
	if !d.news {
		return nil
	}
	return d.list(func(f lock.Download) bool { return d.named[f.Address] })
}

// came are all that the run knows, sorted.
func (d *downloads) came() []lock.Download {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.list(func(lock.Download) bool { return true })
}

func (d *downloads) list(is func(lock.Download) bool) []lock.Download {
	var out []lock.Download
	for _, f := range d.known {
		if is(f) {
			out = append(out, f)
		}
	}
	slices.SortFunc(out, func(a, b lock.Download) int { return strings.Compare(a.Address, b.Address) })
	return out
}

// open gives a file by its address.
func (d *downloads) open(ctx context.Context, address string, q relay.Question) (*os.File, error) {
	if ref, ok := d.packageAt(address); ok {
		if err := d.runner.Supply.Fetch(ctx, []distro.Ref{ref}, noMeter); err != nil {
			return nil, err
		}
		return d.runner.Supply.Store.OpenVerified(ref.SHA256)
	}
	known, err := d.fetched(ctx, address, q)
	switch {
	case err != nil:
		return nil, err
	case known.SHA256.IsZero():
		return nil, fs.ErrNotExist
	}
	return d.runner.Supply.Store.OpenVerified(known.SHA256)
}

// packageAt finds a package of the lock by an address: whichever archive it is asked of,
// its place below the archive's root and its digest are the same.
func (d *downloads) packageAt(address string) (distro.Ref, bool) {
	at := strings.Index(address, "/pool/")
	if at < 0 {
		return distro.Ref{}, false
	}
	place, err := url.PathUnescape(address[at+1:])
	if err != nil {
		return distro.Ref{}, false
	}
	ref, ok := d.pool[place]
	return ref, ok
}

// fetched gives what is known of an address; what is not yet is found out, by one of those
// who ask at once. Who asks after that failed asks anew: scripts try again, and servers
// recover.
func (d *downloads) fetched(ctx context.Context, address string, q relay.Question) (lock.Download, error) {
	for {
		d.mu.Lock()
		a, another := d.busy[address]
		if !another {
			a = &asking{done: make(chan struct{})}
			d.busy[address] = a
		}
		d.mu.Unlock()
		if another {
			select {
			case <-a.done:
			case <-ctx.Done():
				return lock.Download{}, context.Cause(ctx)
			}
			if errors.Is(a.err, context.Canceled) {
				continue // who asked went away: that is no answer
			}
		} else {
			a.err = d.bring(ctx, address, q)
			d.mu.Lock()
			delete(d.busy, address)
			d.mu.Unlock()
			close(a.done)
		}
		d.mu.Lock()
		defer d.mu.Unlock()
		if a.err == nil {
			d.used[address] = true
		}
		return d.known[address], a.err
	}
}

func (d *downloads) bring(ctx context.Context, address string, q relay.Question) error {
	d.mu.Lock()
	known, ok := d.known[address]
	d.mu.Unlock()
	s := d.runner.Supply
	if ok && (known.SHA256.IsZero() || s.Store.Has(known.SHA256, known.Size)) {
		return nil
	}
	if !ok && d.runner.Locked {
		return fault.Newf(fault.Verification, "the lock does not name %s, and this build takes nothing else", address).
			WithHint("build once without --locked, look at what came to the lock, and commit it")
	}
	if s.Mirrors == nil {
		return fault.Newf(fault.Unreachable, "%s is not in the store, and this run is offline", address)
	}
	want := fetch.Want{Name: address, Max: maxDownload}
	if strings.Contains(address, "#") {
		want.Request = q.Request
	}
	if ok {
		want.Max, want.Size, want.SHA256 = 0, known.Size, known.SHA256
	}
	got, err := d.get(ctx, want, d.roots(address))
	if err != nil && !fetch.IsMissing(err) {
		return err
	}
	if err == nil && !ok {
		if err := d.fresh(address, got.SHA256); err != nil {
			return err
		}
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	switch {
	case ok && err != nil:
		return fault.Newf(fault.Unreachable, "the lock names %s, and it is not there any more: %w", address, err)
	case ok:
	case err != nil:
		d.known[address] = lock.Download{Address: address}
	default:
		d.known[address] = lock.Download{Address: address, Size: got.Size, SHA256: got.SHA256}
	}
	return nil
}

// fresh refuses an archive's index that is past its Valid-Until when it comes to the lock
// (https://wiki.debian.org/DebianRepository/Format). Who signed it, the image's apt sees.
func (d *downloads) fresh(address string, sum digest.Digest) error {
	name := path.Base(address)
	if name != "InRelease" && name != "Release" {
		return nil
	}
	data, err := os.ReadFile(d.runner.Supply.Store.Path(sum))
	if err != nil {
		return err
	}
	for line := range strings.Lines(string(data)) {
		text, ok := strings.CutPrefix(line, "Valid-Until:")
		if !ok {
			continue
		}
		until, err := time.Parse(time.RFC1123, strings.TrimSpace(text))
		if err != nil || time.Now().After(until) {
			if d.runner.AcceptExpired {
				d.runner.Progress.Warnf("%s is past its Valid-Until, which was accepted", address)
				return nil
			}
			return fault.Newf(fault.Verification, "%s is past its Valid-Until: %s", address, strings.TrimSpace(text)).
				WithHint("the mirror is behind, or somebody holds it back; --accept-expired takes it all the same")
		}
	}
	return nil
}

// get fetches a file into the store from the first place that answers: what it does not
// have, nobody has. Scripts ask for much that is nowhere.
func (d *downloads) get(ctx context.Context, want fetch.Want, places []string) (got fetch.Got, err error) {
	s := d.runner.Supply
	for _, place := range places {
		blob, createErr := s.Store.Create()
		if createErr != nil {
			return got, createErr
		}
		want.URLs = []string{place}
		if got, err = s.Client.Get(ctx, want, sink{blob}); err == nil {
			return got, blob.Commit(got.SHA256)
		}
		blob.Discard()
		if fetch.IsMissing(err) || ctx.Err() != nil {
			break
		}
	}
	return got, err
}

// maxDownload bounds a file that a script asks for, in bytes.
const maxDownload = 16 << 30

// roots are where a file may be fetched from: the mirrors of the archive that the address
// is of, and else the address itself.
func (d *downloads) roots(address string) []string {
	placed, place, known := debian.Placed(address)
	for _, a := range d.plan.Lock.Archives {
		rest, ok := strings.CutPrefix(address, strings.TrimSuffix(a.Address(), "/")+"/")
		if !ok && known && a.Name == placed {
			rest, ok = place, true
		}
		if !ok {
			continue
		}
		var out []string
		for _, root := range d.runner.Supply.Mirrors(a.Name) {
			out = append(out, strings.TrimSuffix(root, "/")+"/"+rest)
		}
		return out
	}
	place, _, _ = strings.Cut(address, "#")
	return []string{place}
}

// sink lets a transfer write a blob.
type sink struct{ *store.Pending }

// Reset empties the blob, for a transfer that begins again.
func (s sink) Reset() error { return s.Restart() }
