// Package catalog is the signed index of a server tree: which images it offers, in
// which versions, what files they are of, and which version each channel means.
//
// It is a value. A publisher makes a new one out of the old ([Catalog.Add],
// [Catalog.Promote], [Catalog.Drop]), signs it ([Catalog.Sign]) and puts it in its place; a
// client reads one ([Read]) and believes it only because of its signature, its serial and
// its dates. All that is in it is bounded and every name is one that can be a
// file's, so who reads a catalog may build paths of it.
//
// One clear-signed file holds all, so that no reader can see one half from before
// and one from after a publication:
//
//	ingot/v1/index.asc    in a server tree
//
// Blobs lie by their digest ([File.Path]), so what a catalog names can neither change nor
// be swapped.
package catalog

import (
	"cmp"
	"path"
	"slices"
	"strings"
	"time"

	"ingot/internal/digest"
	"ingot/internal/fault"
)

// Path is where a catalog lies in a server tree.
const Path = "ingot/v1/index.asc"

// Stable is the channel that is meant where none is said.
const Stable = "stable"

// Type is what a catalog says that it is: its key signs documents of other kinds too, and none is
// to be taken for another.
const Type = "ingot-catalog"

// A Catalog is all that a server tree offers.
type Catalog struct {
	Type   string `json:"type"`   // [Type]
	Schema int    `json:"schema"` // 1
	// Tree is a number for the server tree that no other has, and that stays: one key may
	// sign several trees, and what it signs for one is nothing for clients of another.
	Tree string `json:"tree,omitempty"`
	// Serial grows with each publication.
	Serial  int64     `json:"serial"`
	Created time.Time `json:"created"`
	// Expires is from when on nobody should believe it: somebody may be keeping a newer
	// one back.
	Expires time.Time `json:"expires"`
	// Valid is for how many seconds a catalog is believed; who signs the next goes on
	// with it.
	Valid   int64     `json:"valid"`
	Images  []Image   `json:"images"`
	Retired []Retired `json:"retired,omitempty"`
	// Rotations are changes of the key that signs, each signed by the key before it: see
	// [Rotate].
	Rotations []string `json:"rotations,omitempty"`
}

// An Image is what one definition gives for one architecture, in some versions.
type Image struct {
	Name string `json:"name"` // of the definition, with its flavor
	Arch string `json:"arch"` // Debian's name
	// Variant is what indexes without channels call it, where that is not Name: of images that came
	// from another server, whose names count within a distribution and release.
	Variant  string    `json:"variant,omitempty"`
	Channels []Channel `json:"channels"`
	Versions []Version `json:"versions"` // the oldest first
}

// A Channel is a named pointer to a version.
type Channel struct {
	Name    string `json:"name"`
	Version string `json:"version"`
	// Past are versions that it pointed to before, the oldest first.
	Past []string `json:"past,omitempty"`
}

// A Version is an image as it was published once. Artifacts of the same lock may join
// later; nothing else of it changes.
type Version struct {
	Version   string        `json:"version"` // when: 20261130_0552, in UTC
	Published time.Time     `json:"published"`
	Expires   time.Time     `json:"expires,omitzero"`
	Pinned    bool          `json:"pinned,omitempty"` // never dropped for its age or number
	Distro    string        `json:"distro"`
	Release   string        `json:"release"`
	Flavor    string        `json:"flavor,omitempty"` // as the user wrote it
	Epoch     int64         `json:"epoch"`            // the image's clock
	Lock      digest.Digest `json:"lock"`
	Artifacts []Artifact    `json:"artifacts"`
}

// An Artifact is a file, or some that belong together, with its papers.
type Artifact struct {
	Format string `json:"format"`
	Files  []File `json:"files"`  // the first is the artifact's path and names its papers
	Papers []File `json:"papers"` // manifest, bill of materials, provenance
	// Deltas are for clients that have another version.
	Deltas []Delta `json:"deltas,omitempty"`
	// Seal is the digest of the list of the tree's files.
	Seal digest.Digest `json:"seal"`
	// Fingerprint is the digest of metadata and root file system in a row, by which
	// Incus and LXD know an image.
	Fingerprint digest.Digest `json:"fingerprint,omitzero"`
	// Insecure says that a machine of it starts without Secure Boot only.
	Insecure bool `json:"insecure,omitempty"`
	// Disk is what is known of a disk; not of those that were published before it was asked for.
	Disk *Disk `json:"disk,omitempty"`
}

// A Disk is what others than ingot want to know of one.
type Disk struct {
	Size   int64  `json:"size"`   // bytes that a machine sees
	SHA512 string `json:"sha512"` // of the artifact's only file, in hexadecimal digits
}

// A Delta is a file in VCDIFF (RFC 3284) that makes the first file of an artifact out of the first
// file that another version of the image has in that format.
type Delta struct {
	File
	Base string `json:"base"` // that version
}

// A File is one that can be fetched.
type File struct {
	Name   string        `json:"name"` // without a directory
	Size   int64         `json:"size"` // bytes
	SHA256 digest.Digest `json:"sha256"`
}

// Retired is a version that is offered no more and whose files are still there, for
// clients that read an older catalog.
type Retired struct {
	Dir   string    `json:"dir"` // in the tree
	Since time.Time `json:"since"`
	Files []File    `json:"files"`
}

// BlobPath is where a blob lies in a server tree.
func BlobPath(d digest.Digest) string {
	h := d.String()
	return "blobs/sha256/" + h[:2] + "/" + h
}

// Path is where the file's bytes lie in a server tree.
func (f File) Path() string { return BlobPath(f.SHA256) }

// Dir is the directory of a version's files by their names in a server tree.
func (v Version) Dir(i Image) string {
	return path.Join("images", v.Distro, v.Release, i.Arch, i.Name, v.Version)
}

// All are the version's files, papers and deltas too.
func (v Version) All() []File {
	var out []File
	for _, a := range v.Artifacts {
		out = append(out, a.All()...)
	}
	return out
}

// All are the artifact's files, papers and deltas too.
func (a Artifact) All() []File {
	out := slices.Concat(a.Files, a.Papers)
	for _, d := range a.Deltas {
		out = append(out, d.File)
	}
	return out
}

// Artifact is the version's one of a format.
func (v Version) Artifact(format string) (Artifact, bool) {
	i := slices.IndexFunc(v.Artifacts, func(a Artifact) bool { return a.Format == format })
	if i < 0 {
		return Artifact{}, false
	}
	return v.Artifacts[i], true
}

// Size is the bytes of all its artifacts, without papers and deltas.
func (v Version) Size() int64 {
	var n int64
	for _, a := range v.Artifacts {
		for _, f := range a.Files {
			n += f.Size
		}
	}
	return n
}

// Version is the image's one of that name.
func (i Image) Version(name string) (Version, bool) {
	at := slices.IndexFunc(i.Versions, func(v Version) bool { return v.Version == name })
	if at < 0 {
		return Version{}, false
	}
	return i.Versions[at], true
}

// Channel is the version that a channel points to.
func (i Image) Channel(name string) (Version, bool) {
	for _, c := range i.Channels {
		if c.Name == name {
			return i.Version(c.Version)
		}
	}
	return Version{}, false
}

// stamp is how versions are named, to the minute: Incus and LXD read a date of it.
const stamp = "20060102_1504"

// next is the name of the version that follows the newest at a time. The clock may have
// gone back, and a minute may see two: names grow all the same.
func (i Image) next(now time.Time) string {
	at := now.UTC().Truncate(time.Minute)
	if n := len(i.Versions); n > 0 {
		if last, err := time.Parse(stamp, i.Versions[n-1].Version); err == nil && !at.After(last) {
			at = last.Add(time.Minute)
		}
	}
	for _, c := range i.Channels { // what is dropped is not named again
		for _, p := range append(c.Past, c.Version) {
			if last, err := time.Parse(stamp, p); err == nil && !at.After(last) {
				at = last.Add(time.Minute)
			}
		}
	}
	return at.Format(stamp)
}

// clone copies what methods change.
func (c Catalog) clone() Catalog {
	c.Images = slices.Clone(c.Images)
	c.Retired = slices.Clone(c.Retired)
	return c
}

// find is the place of an image, and whether it is there.
func (c Catalog) find(name, arch string) (int, bool) {
	return slices.BinarySearchFunc(c.Images, Image{Name: name, Arch: arch}, compareImages)
}

func compareImages(a, b Image) int {
	return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.Arch, b.Arch))
}

// Image is one of the catalog's.
func (c Catalog) Image(name, arch string) (Image, bool) {
	if at, ok := c.find(name, arch); ok {
		return c.Images[at], true
	}
	return Image{}, false
}

// An Addition is what [Catalog.Add] did.
type Addition struct {
	Image   Image
	Version Version
	// New says that it is a new version; Joined, that an older one of the same lock got
	// artifacts.
	New, Joined bool
}

// Add gives a catalog with a version of an image in a channel. What is there already
// is not added twice: a version of the same lock, that the channel points to, gets
// the artifacts that it lacks.
func (c Catalog) Add(name, arch, channel string, v Version, now time.Time) (Catalog, Addition) {
	c = c.clone()
	at, ok := c.find(name, arch)
	if !ok {
		c.Images = slices.Insert(c.Images, at, Image{Name: name, Arch: arch})
	}
	i := &c.Images[at]
	i.Versions, i.Channels = slices.Clone(i.Versions), slices.Clone(i.Channels)
	if old, ok := i.Channel(channel); ok {
		if joined, n, same := old.join(v); same {
			k := slices.IndexFunc(i.Versions, func(v Version) bool { return v.Version == old.Version })
			i.Versions[k] = joined
			return c, Addition{Image: *i, Version: joined, Joined: n > 0}
		}
	}
	v.Version, v.Published = i.next(now), now.UTC().Truncate(time.Second)
	slices.SortFunc(v.Artifacts, func(a, b Artifact) int { return cmp.Compare(a.Format, b.Format) })
	i.Versions = append(i.Versions, v)
	i.point(channel, v.Version)
	return c, Addition{Image: *i, Version: v, New: true}
}

// Take gives a catalog with a version of another server's, under the name that it has there: the
// image's, of which Name, Arch and Variant count, and its channels point to it then. A version that is
// there gets the artifacts that it lacks, and keeps those that it has.
func (c Catalog) Take(image Image, channels []string, v Version) (Catalog, Addition) {
	c = c.clone()
	at, ok := c.find(image.Name, image.Arch)
	if !ok {
		c.Images = slices.Insert(c.Images, at, Image{Name: image.Name, Arch: image.Arch})
	}
	i := &c.Images[at]
	i.Versions, i.Channels, i.Variant = slices.Clone(i.Versions), slices.Clone(i.Channels), image.Variant
	done := Addition{}
	k, there := slices.BinarySearchFunc(i.Versions, v.Version, func(v Version, name string) int { return cmp.Compare(v.Version, name) })
	if there {
		old := i.Versions[k]
		old.Artifacts = slices.Clone(old.Artifacts)
		for _, a := range v.Artifacts {
			if _, ok := old.Artifact(a.Format); !ok {
				old.Artifacts = append(old.Artifacts, a)
				done.Joined = true
			}
		}
		v = old
	} else {
		v.Artifacts = slices.Clone(v.Artifacts)
		i.Versions = slices.Insert(i.Versions, k, v)
		done.New = true
	}
	slices.SortFunc(v.Artifacts, func(a, b Artifact) int { return cmp.Compare(a.Format, b.Format) })
	i.Versions[k] = v
	for _, channel := range channels {
		if now, ok := i.Channel(channel); !ok || now.Version != v.Version {
			i.point(channel, v.Version)
			done.Joined = done.Joined || !done.New
		}
	}
	done.Image, done.Version = *i, v
	return c, done
}

// join adds to v what it lacks of another of the same lock, and says how much that
// was; same is false if the two cannot be one.
func (v Version) join(o Version) (joined Version, n int, same bool) {
	if v.Lock != o.Lock {
		return v, 0, false
	}
	v.Artifacts = slices.Clone(v.Artifacts)
	for _, a := range o.Artifacts {
		there, ok := v.Artifact(a.Format)
		switch {
		case ok && !slices.Equal(there.Files, a.Files):
			return v, 0, false
		case ok:
		default:
			n++
			v.Artifacts = append(v.Artifacts, a)
		}
	}
	slices.SortFunc(v.Artifacts, func(a, b Artifact) int { return cmp.Compare(a.Format, b.Format) })
	return v, n, true
}

// maxPast bounds what a channel remembers.
const maxPast = 100

// point moves a channel.
func (i *Image) point(channel, version string) {
	at, ok := slices.BinarySearchFunc(i.Channels, channel, func(c Channel, name string) int { return cmp.Compare(c.Name, name) })
	if !ok {
		i.Channels = slices.Insert(i.Channels, at, Channel{Name: channel, Version: version})
		return
	}
	k := &i.Channels[at]
	if k.Version == version {
		return
	}
	past := slices.DeleteFunc(slices.Clone(k.Past), func(p string) bool { return p == version || p == k.Version })
	k.Past = append(past, k.Version)
	k.Past = k.Past[max(0, len(k.Past)-maxPast):]
	k.Version = version
}

// NotFound is the error about an image that is not there.
func (c Catalog) NotFound(name string) error {
	var names []string
	for _, i := range c.Images {
		if !slices.Contains(names, i.Name) {
			names = append(names, i.Name)
		}
	}
	f := fault.Newf(fault.NotFound, "there is no image %s", name)
	if len(names) == 0 {
		return f.WithHint("there is none at all yet: 'ingot publish' puts one there")
	}
	if len(names) > 8 {
		names = append(names[:8], "…")
	}
	return f.WithHint("there are %s", strings.Join(names, ", "))
}

// Promote gives a catalog where, for all architectures of an image, a channel points to
// what another one points to, or to a version. It says which version that is for each.
func (c Catalog) Promote(name, from, to string) (Catalog, map[string]string, error) {
	c = c.clone()
	moved := map[string]string{}
	found := false
	for n := range c.Images {
		i := &c.Images[n]
		if i.Name != name {
			continue
		}
		found = true
		v, ok := i.Channel(from)
		if !ok {
			v, ok = i.Version(from)
		}
		if !ok {
			continue
		}
		i.Channels = slices.Clone(i.Channels)
		i.point(to, v.Version)
		moved[i.Arch] = v.Version
	}
	if !found {
		return c, nil, c.NotFound(name)
	}
	if len(moved) == 0 {
		return c, nil, fault.Newf(fault.NotFound, "image %s has no channel or version %s", name, from).
			WithHint("'ingot list' shows channels and versions")
	}
	return c, moved, nil
}

// Pin gives a catalog where a version, of all architectures, is pinned or no longer.
func (c Catalog) Pin(name, version string, pinned bool) (Catalog, error) {
	c = c.clone()
	there, done := false, false
	for n := range c.Images {
		i := &c.Images[n]
		if i.Name != name {
			continue
		}
		there = true
		v, ok := i.Channel(version)
		if !ok {
			v, ok = i.Version(version)
		}
		if !ok {
			continue
		}
		i.Versions = slices.Clone(i.Versions)
		for k := range i.Versions {
			if i.Versions[k].Version == v.Version {
				i.Versions[k].Pinned, done = pinned, true
			}
		}
	}
	if !there {
		return c, c.NotFound(name)
	}
	if !done {
		return c, fault.Newf(fault.NotFound, "image %s has no channel or version %s", name, version).
			WithHint("'ingot list --versions' shows them")
	}
	return c, nil
}

// A Policy says which versions stay.
type Policy struct {
	Keep   int           // the newest so many of each image; 0 is all
	MaxAge time.Duration // since publication; 0 is for ever
	Only   string        // images of that name alone; "" is all
}

// Drop gives a catalog without what a policy and versions' own dates let go, and
// says what went. A version that is pinned, or that a channel points to, stays,
// unless it is expired and not pinned: nobody should get that.
func (c Catalog) Drop(p Policy, now time.Time) (Catalog, []Gone) {
	c = c.clone()
	var gone []Gone
	var images []Image
	for _, i := range c.Images {
		if p.Only != "" && i.Name != p.Only {
			images = append(images, i)
			continue
		}
		var keep []Version
		for n, v := range i.Versions {
			expired := !v.Expires.IsZero() && !now.Before(v.Expires)
			pointed := slices.ContainsFunc(i.Channels, func(k Channel) bool { return k.Version == v.Version })
			old := p.MaxAge > 0 && now.Sub(v.Published) > p.MaxAge
			many := p.Keep > 0 && len(i.Versions)-n > p.Keep
			if v.Pinned || !expired && (pointed || !old && !many) {
				keep = append(keep, v)
				continue
			}
			gone = append(gone, Gone{i.Name, i.Arch, v.Version, v.Size(), expired})
			c.Retired = append(c.Retired, Retired{Dir: v.Dir(i), Since: now.UTC().Truncate(time.Second), Files: v.All()})
		}
		i.Versions = keep
		i.Channels = i.remaining()
		if len(keep) > 0 {
			images = append(images, i)
		}
	}
	c.Images = images
	return c, gone
}

// Gone is a version that was dropped.
type Gone struct {
	Name, Arch, Version string
	Size                int64
	Expired             bool
}

// remaining are the channels that still point somewhere: to their version, else to the
// newest that they pointed to before.
func (i Image) remaining() []Channel {
	there := func(v string) bool { _, ok := i.Version(v); return ok }
	var out []Channel
	for _, k := range i.Channels {
		k.Past = slices.DeleteFunc(slices.Clone(k.Past), func(p string) bool { return !there(p) })
		if !there(k.Version) {
			if len(k.Past) == 0 {
				continue
			}
			k.Version, k.Past = k.Past[len(k.Past)-1], k.Past[:len(k.Past)-1]
		}
		out = append(out, k)
	}
	return out
}

// Blobs are the sizes of all blobs that the catalog names, what is retired too.
func (c Catalog) Blobs() map[digest.Digest]int64 {
	out := map[digest.Digest]int64{}
	for _, i := range c.Images {
		for _, v := range i.Versions {
			for _, f := range v.All() {
				out[f.SHA256] = f.Size
			}
		}
	}
	for _, r := range c.Retired {
		for _, f := range r.Files {
			out[f.SHA256] = f.Size
		}
	}
	return out
}
