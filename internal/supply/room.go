package supply

import (
	"errors"
	"fmt"
	"math"
	"path/filepath"

	"golang.org/x/sys/unix"

	"ingot/internal/cache"
	"ingot/internal/distro"
	"ingot/internal/fault"
	"ingot/internal/store"
)

// unpackedTimes is how many times larger than its file a package is at least when it
// is unpacked, taken over many: Debian's are three to four times.
const unpackedTimes = 2

// room says before anything is fetched or unpacked when there is no space for it: for
// the packages exactly, for their unpacked form at least.
func (s *Supply) room(missing, unpacked []distro.Ref) error {
	home, err := spaceAt(s.Store.Dir())
	if err != nil {
		return err
	}
	fetched := sizeOf(missing)
	if err := home.hold(fetched, store.Variable); err != nil {
		return err
	}
	place, err := spaceAt(s.Cache.Dir())
	if err != nil {
		return err
	}
	need := sizeOf(unpacked) * unpackedTimes
	if need > 0 && place.id == home.id {
		need += fetched
	}
	return place.hold(need, cache.Variable)
}

func sizeOf(refs []distro.Ref) uint64 {
	var n uint64
	for _, ref := range refs {
		n += uint64(max(0, ref.Size))
	}
	return n
}

// A space is what a file system has left.
type space struct {
	dir  string
	id   unix.Fsid
	free uint64 // bytes, for this user
}

// spaceAt is what the file system of a directory has left, also of one that is yet to be
// made.
func spaceAt(dir string) (space, error) {
	var st unix.Statfs_t
	err, at := unix.Statfs(dir, &st), dir
	for errors.Is(err, unix.ENOENT) && at != filepath.Dir(at) {
		at = filepath.Dir(at)
		err = unix.Statfs(at, &st)
	}
	if err != nil {
		return space{}, fmt.Errorf("cannot tell the free space of %s: %w", dir, err)
	}
	if st.Blocks == 0 { // it knows no bound, or does not tell
		return space{dir, st.Fsid, math.MaxUint64}, nil
	}
	return space{dir, st.Fsid, st.Bavail * uint64(max(0, st.Bsize))}, nil
}

func (s space) hold(bytes uint64, variable string) error {
	if bytes <= s.free {
		return nil
	}
	const mib = 1 << 20
	return fault.Newf(fault.Preflight, "no space: %d MiB are needed in %s, and %d MiB are free", bytes/mib+1, s.dir, s.free/mib).
		WithHint("free some, run 'ingot store gc --cache', or choose another place with %s", variable)
}
