package debian

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"ingot/internal/digest"
	"ingot/internal/draft"
	"ingot/internal/fault"
	"ingot/internal/fetch"
	"ingot/internal/lock"
	"ingot/internal/sign"
)

// An Archive is where packages come from, and whom its indexes must be signed by.
type Archive struct {
	lock.Archive
	// Own is its own URL where URL is that of a mirror which was in force: what it
	// is known by when it is read again, from wherever. "" is URL.
	Own           string
	Roots         []string      // where to fetch it from, best first: see [Mirrors.Roots]
	Keys          *sign.Keyring // that its Release files must be signed by
	AcceptExpired bool          // check-valid-until: false
}

// An Updater reads archives' indexes: it fetches what is new, verifies all of it,
// and keeps it.
type Updater struct {
	Client *fetch.Client
	// Cache is the directory that keeps indexes by their digest. It may be emptied at any
	// time.
	Cache string
	// Seen is the directory that remembers the newest Date of each suite. To lose
	// it is to lose the protection against old indexes played back.
	Seen string
	// Now is the time that signatures and dates are judged at.
	Now time.Time
	// Note is told what a person should know but need not act on. It may be called from
	// several goroutines at once. Nil tells nobody.
	Note func(string)
}

// An IndexFile is a verified package index on this machine's disk.
type IndexFile struct {
	Source            // what its Release says of it; [ReadIndex] wants that
	Path    string    // below the archive's root
	Date    time.Time // of its Release
	Size    int64     // of the compressed file, in bytes
	SHA256  digest.Digest
	File    string // where it lies; compressed as its Path's suffix says
	Expired bool   // its Release was past its Valid-Until, which was accepted
}

// Lock is the index as a lock records it.
func (x IndexFile) Lock() lock.Index {
	return lock.Index{
		Archive: x.Archive, Suite: x.Asked, Component: x.Component, Arch: x.Arch,
		Path: x.Path, Date: x.Date.Unix(), Size: x.Size, SHA256: x.SHA256,
	}
}

// Update gives the package indexes of some archives for some architectures, in the
// order of archives, suites, components and architectures. All suites are read at once; what
// lies in the cache is not fetched again.
//
// Each index is named by a Release file whose signature is by a key of its archive,
// that is the suite asked for, and whose time has come and is not over; its length and
// digest are those that the Release file gives. A suite that has no packages for one of the
// architectures is left out with a note, as apt does; an architecture that no suite has is a
// [fault.NotFound]. What does not verify is a [fault.Verification] and is not kept.
func (u Updater) Update(ctx context.Context, archives []Archive, arches []string) ([]IndexFile, error) {
	if err := os.MkdirAll(u.Cache, 0o755); err != nil {
		return nil, draft.Explain(fmt.Errorf("cannot make a directory of the cache: %w", err), "INGOT_CACHE")
	}
	type task struct {
		archive Archive
		suite   string
		found   []IndexFile
		offers  []string // architectures
	}
	var tasks []*task
	g, inner := errgroup.WithContext(ctx)
	for _, a := range archives {
		for _, suite := range a.Suites {
			t := &task{archive: a, suite: suite}
			tasks = append(tasks, t)
			g.Go(func() (err error) {
				t.found, t.offers, err = u.suite(inner, t.archive, t.suite, arches)
				return err
			})
		}
	}
	if err := g.Wait(); err != nil {
		return nil, err
	}
	var all []IndexFile
	var suites, offers []string
	for _, t := range tasks {
		all, offers = append(all, t.found...), append(offers, t.offers...)
		suites = append(suites, t.suite)
	}
	offers = slices.DeleteFunc(offers, func(arch string) bool { return arch == "all" })
	slices.Sort(offers)
	for _, arch := range arches {
		if !slices.ContainsFunc(all, func(x IndexFile) bool { return x.Arch == arch }) {
			return nil, fault.Newf(fault.NotFound, "no archive has packages for architecture %s in %s", arch, strings.Join(suites, ", ")).
				WithHint("there are: %s", strings.Join(slices.Compact(offers), ", "))
		}
	}
	return all, nil
}

// suite reads one suite's Release file and the indexes it names, and says which architectures it
// offers.
func (u Updater) suite(ctx context.Context, a Archive, suite string, arches []string) (found []IndexFile, offers []string, err error) {
	dir, err := suiteDir(suite)
	if err != nil {
		return nil, nil, fault.Newf(fault.Definition, "archive %s: %w", a.Name, err)
	}
	r, expired, err := u.release(ctx, &a, suite, dir)
	if err != nil {
		return nil, nil, err
	}
	base := IndexFile{
		Source: Source{
			Archive: a.Name, Asked: suite, Suite: r.Suite, Codename: r.Codename, Version: r.Version, Origin: r.Origin, Label: r.Label,
			NotAutomatic: r.NotAutomatic, ButAutomaticUpgrades: r.ButAutomaticUpgrades,
		},
		Date: r.Date, Expired: expired,
	}
	wanted, err := u.wanted(a, suite, r, arches)
	if err != nil {
		return nil, nil, err
	}
	found = make([]IndexFile, len(wanted))
	g, inner := errgroup.WithContext(ctx)
	for i, w := range wanted {
		g.Go(func() error {
			x := base
			x.Component, x.Arch = w.component, w.arch
			f, at, err := u.index(inner, a, dir, r.ByHash, w.files)
			x.Path, x.Size, x.SHA256, x.File = join(dir, f.Path), f.Size, f.SHA256, at
			found[i] = x
			return err
		})
	}
	return found, r.Architectures, g.Wait()
}

// suiteDir is where a suite's Release file lies below the archive's root. A suite that
// ends in a slash is such a directory itself: an archive without components.
func suiteDir(suite string) (string, error) {
	flat, ok := strings.CutSuffix(suite, "/")
	if !ok {
		flat = "dists/" + suite
	}
	flat = strings.TrimPrefix(flat, "./")
	if flat == "" || flat == "." {
		return "", nil
	}
	if !soundPath(flat) {
		return "", fmt.Errorf("suite %.80q is not a name", suite)
	}
	return flat, nil
}

// join puts a path below a suite's directory, which may be the root.
func join(dir, path string) string {
	if dir == "" {
		return path
	}
	return dir + "/" + path
}

// release fetches and verifies a suite's Release file. The root that gave it becomes a's
// first, so that its indexes come from the same mirror.
func (u Updater) release(ctx context.Context, a *Archive, suite, dir string) (*Release, bool, error) {
	name := join(dir, "InRelease")
	data, from, err := u.get(ctx, *a, name)
	var m sign.Message
	switch {
	case err == nil:
		m, err = a.Keys.Clearsigned(a.about(name), data, u.Now)
	case fetch.IsMissing(err):
		// An archive of the old kind has its signature in a file apart.
		var sig []byte
		missing := err
		name = join(dir, "Release")
		if data, from, err = u.get(ctx, *a, name); fetch.IsMissing(err) {
			return nil, false, fault.Newf(fault.Unreachable, "%w", missing).
				WithHint("has %s a suite %s? The definition's archives say where it lies and which suites it has", a.Name, suite)
		}
		if err == nil {
			sig, _, err = u.get(ctx, *a, name+".gpg")
		}
		if err == nil {
			m, err = a.Keys.Detached(a.about(name), data, sig, u.Now)
		}
	}
	if err != nil {
		return nil, false, err
	}
	if i := slices.IndexFunc(a.Roots, func(r string) bool { return from == r }); i > 0 {
		a.Roots = append([]string{from}, slices.Delete(slices.Clone(a.Roots), i, i+1)...)
	}
	r, err := ParseRelease(m.Text)
	if err == nil {
		err = r.checkSuite(suite)
	}
	if err != nil {
		return nil, false, fault.Newf(fault.Verification, "%s %w", a.about(name), err)
	}
	expired, err := r.checkFresh(a.about(name), u.Now, a.AcceptExpired)
	if err != nil {
		return nil, false, err
	}
	if expired {
		u.note("%s expired on %s UTC and is used all the same", a.about(name), r.ValidUntil.UTC().Format(time.DateTime))
	}
	s, own := seen{u.Seen}, cmp.Or(a.Own, a.URL)
	// Once each mirror had a record, and what stands there was seen all the same.
	for _, url := range []string{own, a.URL} {
		if err := s.check(a.about(name), url, suite, r.Date); err != nil {
			return nil, false, err
		}
	}
	return r, expired, s.keep(own, suite, r.Date)
}

func (a Archive) about(name string) string { return name + " of archive " + a.Name }

func (u Updater) note(format string, args ...any) {
	if u.Note != nil {
		u.Note(fmt.Sprintf(format, args...))
	}
}

// get fetches a small file whose digest is not known, and says which root it came from.
func (u Updater) get(ctx context.Context, a Archive, name string) ([]byte, string, error) {
	var b fetch.Buffer
	urls := Locate(a.Roots, name)
	got, err := u.Client.Get(ctx, fetch.Want{Name: name, URLs: urls, Max: maxRelease}, &b)
	if err != nil {
		return nil, "", err
	}
	for i, url := range urls {
		if identity(url) == got.URL {
			return b.Bytes(), a.Roots[i], nil
		}
	}
	return b.Bytes(), a.Roots[0], nil
}

// A wantedIndex is an index to be had, in one of several compressions, best first.
type wantedIndex struct {
	component, arch string
	files           []ReleaseFile
}

// suffixes of compressed indexes, best first. gzip is read four times as fast as xz (0.26
// s against 1.2 s of processor time for Debian stable's main index), and 38 % longer: whoever
// has more than 30 Mbit/s is done sooner with it.
var suffixes = []string{".gz", ".xz", ".zst", ""}

// wanted chooses the indexes of a release.
func (u Updater) wanted(a Archive, suite string, r *Release, arches []string) ([]wantedIndex, error) {
	var all []wantedIndex
	pick := func(component, arch, stem string) bool {
		w := wantedIndex{component: component, arch: arch}
		for _, s := range suffixes {
			if f, ok := r.File(stem + s); ok && f.Size <= maxIndex {
				w.files = append(w.files, f)
			}
		}
		if len(w.files) > 0 {
			all = append(all, w)
		}
		return len(w.files) > 0
	}
	if strings.HasSuffix(suite, "/") {
		for _, arch := range arches {
			if !pick("", arch, "Packages") {
				return nil, fault.Newf(fault.NotFound, "suite %s of archive %s has no package index", suite, a.Name)
			}
		}
		return all, nil
	}
	for _, c := range a.Components {
		if !r.hasComponent(c) {
			return nil, fault.Newf(fault.NotFound, "suite %s of archive %s has no component %q", suite, a.Name, c).
				WithHint("it has: %s", strings.Join(r.Components, ", "))
		}
		if r.AllApart {
			pick(c, "all", c+"/binary-all/Packages")
		}
		for _, arch := range arches {
			if !slices.Contains(r.Architectures, arch) || !pick(c, arch, c+"/binary-"+arch+"/Packages") {
				u.note("suite %s of archive %s has no packages for architecture %s in %s", suite, a.Name, arch, c)
			}
		}
	}
	return all, nil
}

// index gives one index from the cache, or fetches it into it.
func (u Updater) index(ctx context.Context, a Archive, dir string, byHash bool, files []ReleaseFile) (ReleaseFile, string, error) {
	for _, f := range files {
		at := filepath.Join(u.Cache, f.SHA256.String())
		if ok, err := holds(at, f); ok || err != nil {
			return f, at, err
		}
	}
	var first error
	for _, f := range files {
		at := filepath.Join(u.Cache, f.SHA256.String())
		name := join(dir, f.Path)
		var urls []string
		for _, root := range a.Roots {
			if byHash {
				under := name[:strings.LastIndexByte("/"+name, '/')]
				urls = append(urls, Locate([]string{root}, under+"by-hash/SHA256/"+f.SHA256.String())...)
			}
			urls = append(urls, Locate([]string{root}, name)...)
		}
		_, err := u.Client.Save(ctx, fetch.Want{Name: name, URLs: urls, Size: f.Size, SHA256: f.SHA256}, at)
		if err == nil {
			return f, at, nil
		}
		if first == nil {
			first = err
		}
		if !fetch.IsMissing(err) {
			return f, "", err
		}
	}
	return ReleaseFile{}, "", first
}

// holds says whether a cached file is the one that a release names. One that is not is
// removed: the cache is not synced, and a power cut may have emptied it.
func holds(at string, f ReleaseFile) (bool, error) {
	// A pipe would wait for its other end, and no file can replace a directory.
	if info, err := os.Lstat(at); err == nil && !info.Mode().IsRegular() {
		return false, os.RemoveAll(at)
	}
	file, err := os.Open(at)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	defer func() { _ = file.Close() }()
	if sum, n, err := digest.Reader(file); err != nil || sum == f.SHA256 && n == f.Size {
		return err == nil, err
	}
	return false, os.Remove(at)
}
