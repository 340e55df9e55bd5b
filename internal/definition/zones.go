package definition

import (
	_ "embed"
	"os"
	"path"
	"slices"
	"strings"
	"sync"

	"ingot/internal/spell"
)

// The names of the tz database, release 2025c, old ones ("backward") included, as
// Go's own copy of it has them. All releases of Debian draw on these; since
// trixie the old ones are in tzdata-legacy.
//
//go:generate sh -c "unzip -Z1 $(go env GOROOT)/lib/time/zoneinfo.zip | grep -v '/$' | LC_ALL=C sort >zones.txt"
//go:embed zones.txt
var zoneNames string

var zones = sync.OnceValue(func() []string { return strings.Fields(zoneNames) })

// knownZone says whether there is such a time zone. One that is younger than this
// program may be known to the host; the image's own tzdata has the last word.
func knownZone(name string) bool {
	if _, ok := slices.BinarySearch(zones(), name); ok {
		return true
	}
	info, err := os.Stat(path.Join("/usr/share/zoneinfo", name))
	return err == nil && info.Mode().IsRegular()
}

// nearZone is the zone that was probably meant, also by its city alone, or "".
func nearZone(name string) string {
	name = strings.ReplaceAll(name, " ", "_")
	for _, z := range zones() {
		if strings.EqualFold(path.Base(z), name) {
			return z
		}
	}
	return spell.Nearest(name, zones())
}
