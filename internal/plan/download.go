package plan

import (
	"context"
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
	used  map[string]bool // since the last result that was kept
	busy  map[string]*sync.Once
	news  bool
}

// newDownloads are those of one chain of a run, of whose chains before this one it goes on
// from what they found: the lock that comes of the run has all of it.
func newDownloads(r *Runner, p *Plan, before *Result) *downloads {
	d := &downloads{runner: r, plan: p, pool: map[string]distro.Ref{}, known: map[string]lock.Download{}, used: map[string]bool{}, busy: map[string]*sync.Once{}}
	for _, s := range p.Lock.Sets {
		for _, ref := range s.Refs {
			d.pool[ref.Location] = ref
		}
	}
	for _, k := range slices.Concat(p.Lock.Downloads, before.Downloads) {
		d.known[k.Address] = k
	}
	return d
}

// take gives what was used since it was last asked, sorted by address.
func (d *downloads) take() []lock.Download {
	d.mu.Lock()
	defer d.mu.Unlock()
	out := []lock.Download{}
	for _, address := range slices.Sorted(maps.Keys(d.used)) {
		out = append(out, d.known[address])
	}
	clear(d.used)
	return out
}

// recall notes what a step used whose result the cache has, and says whether that is
// what the lock names.
func (d *downloads) recall(used []lock.Download) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, u := range used {
		if known, ok := d.known[u.Address]; ok && known != u || !ok && d.runner.Locked {
			return false
		}
	}
	for _, u := range used {
		if _, ok := d.known[u.Address]; !ok {
			d.known[u.Address], d.news = u, true
		}
	}
	return true
}

// all are the lock's downloads and those that came to them, sorted; nil where none came.
func (d *downloads) all() []lock.Download {
	d.mu.Lock()
	defer d.mu.Unlock()
	if !d.news {
		return nil
	}
	out := slices.Collect(maps.Values(d.known))
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

// fetched gives what is known of an address; what is not yet is found out, once.
func (d *downloads) fetched(ctx context.Context, address string, q relay.Question) (lock.Download, error) {
	d.mu.Lock()
	once := d.busy[address]
	if once == nil {
		once = &sync.Once{}
		d.busy[address] = once
	}
	d.mu.Unlock()
	var err error
	once.Do(func() { err = d.bring(ctx, address, q) })
	d.mu.Lock()
	defer d.mu.Unlock()
	known, ok := d.known[address]
	d.used[address] = true
	if err == nil && !ok {
		err = fault.Newf(fault.Unreachable, "%s could not be had", address)
	}
	return known, err
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
	if !ok {
		d.known[address] = lock.Download{Address: address, Size: got.Size, SHA256: got.SHA256}
		d.news = true
	}
	if err != nil {
		d.known[address] = lock.Download{Address: address}
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
		rest, ok := strings.CutPrefix(address, strings.TrimSuffix(a.URL, "/")+"/")
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
