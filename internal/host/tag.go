package host

import (
	"regexp"
	"strings"
)

// Tags say what a volume is: imgbased's, so that either program finds the other's bases
// and layers, and ingot's own for what imgbased does not know. A volume gets imgbased's tag
// in the same write of the group's metadata that takes [TagBuilding] from it, so a volume
// that is not whole is nobody's base or layer.
const (
	TagGroup  = "imgbased:vg"
	TagPool   = "imgbased:pool"
	TagInit   = "imgbased:init"
	TagBase   = "imgbased:base"
	TagLayer  = "imgbased:layer"
	TagVolume = "imgbased:volume"

	TagBuilding = "ingot:building" // not whole
	TagPinned   = "ingot:pinned"
	TagRetired  = "ingot:retired" // being removed
	TagRestart  = "ingot:restart" // was good, failed, and the host has been restarted for it
	tagImage    = "ingot:image="  // and the digest's beginning, of a base and its layers
	tagBad      = "ingot:bad="    // likewise, of the group: an image that did not boot
)

var shortDigest = regexp.MustCompile(`^[0-9a-f]{12}$`)

// ImageTag is the tag that says which image a volume is of.
func ImageTag(digest string) string { return tagImage + digest }

// BadTag is the group's tag that says that an image did not boot.
func BadTag(digest string) string { return tagBad + digest }

// FromTags is a volume as its name and tags tell. Volumes that are neither bases nor layers
// are not ok.
func FromTags(name string, tags []string) (v Volume, ok bool) {
	for _, tag := range tags {
		switch tag {
		case TagBase, TagLayer, TagBuilding:
			ok = true
		}
	}
	n, err := ParseName(name)
	if !ok || err != nil {
		return Volume{}, false
	}
	v = Volume{Name: n}
	for _, tag := range tags {
		switch digest, image := strings.CutPrefix(tag, tagImage); {
		case image && shortDigest.MatchString(digest):
			v.Image = digest
		case tag == TagBuilding:
			v.Building = true
		case tag == TagPinned:
			v.Pinned = true
		case tag == TagRetired:
			v.Retired = true
		case tag == TagRestart:
			v.Restarted = true
		}
	}
	return v, true
}

// BadFromTags are the images that a group's tags say to be bad, in order.
func BadFromTags(tags []string) []string {
	var bad []string
	for _, tag := range tags {
		if digest, ok := strings.CutPrefix(tag, tagBad); ok && shortDigest.MatchString(digest) {
			bad = insert(bad, digest)
		}
	}
	return bad
}
