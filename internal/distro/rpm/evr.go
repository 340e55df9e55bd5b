package rpm

import (
	"strconv"
	"strings"

	"ingot/internal/version"
)

// An evr is a version in its three parts. Requirements may leave the release
// out, and then any fits.
type evr struct {
	epoch   uint64
	version string
	release string
}

// parseEVR reads "[epoch:]version[-release]".
func parseEVR(s string) evr {
	var e evr
	if epoch, rest, ok := strings.Cut(s, ":"); ok {
		if n, err := strconv.ParseUint(epoch, 10, 32); err == nil {
			e.epoch, s = n, rest
		}
	}
	if i := strings.LastIndexByte(s, '-'); i >= 0 {
		s, e.release = s[:i], s[i+1:]
	}
	e.version = s
	return e
}

func (e evr) String() string {
	s := e.version
	if e.release != "" {
		s += "-" + e.release
	}
	if e.epoch != 0 {
		s = strconv.FormatUint(e.epoch, 10) + ":" + s
	}
	return s
}

// compare orders two versions; a release counts where both have one.
func (e evr) compare(o evr) int {
	if e.epoch != o.epoch {
		if e.epoch < o.epoch {
			return -1
		}
		return 1
	}
	if c := version.RPM(e.version, o.version); c != 0 || e.release == "" || o.release == "" {
		return c
	}
	return version.RPM(e.release, o.release)
}
