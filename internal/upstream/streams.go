package upstream

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"maps"
	"slices"
	"strings"

	"ingot/internal/catalog"
	"ingot/internal/digest"
	"ingot/internal/fault"
)

// Simplestreams' files, as far as they are of use here.
type (
	index struct {
		Index map[string]struct {
			DataType string   `json:"datatype"`
			Format   string   `json:"format"`
			Path     string   `json:"path"`
			Products []string `json:"products"`
		} `json:"index"`
	}
	products struct {
		Products map[string]product `json:"products"`
	}
	product struct {
		Arch     string                                     `json:"arch"`
		OS       string                                     `json:"os"`
		Release  string                                     `json:"release"`
		Variant  string                                     `json:"variant"`
		Versions map[string]struct{ Items map[string]item } `json:"versions"`
	}
	item struct {
		FileType         string `json:"ftype"`
		Path             string `json:"path"`
		SHA256           string `json:"sha256"`
		Size             int64  `json:"size"`
		CombinedSquashfs string `json:"combined_squashfs_sha256"`
		CombinedDisk     string `json:"combined_disk-kvm-img_sha256"`
	}
)

// streams reads simplestreams. With keys, only what is signed is read: also where a signed index names
// the list beside it that is not.
func (s *Source) streams(ctx context.Context) ([]Offer, error) {
	var top index
	if err := s.stream(ctx, "streams/v1/index.json", &top); err != nil {
		return nil, err
	}
	var out []Offer
	for _, id := range slices.Sorted(maps.Keys(top.Index)) {
		entry := top.Index[id]
		if entry.Format != "products:1.0" || entry.DataType != "image-downloads" || len(entry.Products) == 0 {
			continue
		}
		at, ok := within(entry.Path)
		if !ok {
			s.skip(id, "its path is none")
			continue
		}
		var list products
		if err := s.stream(ctx, strings.TrimSuffix(strings.TrimSuffix(at, ".sjson"), ".json")+".json", &list); err != nil {
			return nil, err
		}
		for _, name := range slices.Sorted(maps.Keys(list.Products)) {
			out = append(out, s.product(name, list.Products[name])...)
			if len(out) > maxOffers {
				return nil, fault.Newf(fault.Verification, "%s: %w", s.shown(), errOffers)
			}
		}
	}
	slices.SortStableFunc(out, func(a, b Offer) int { return cmp.Compare(a.Version.Version, b.Version.Version) })
	return together(out), nil
}

// together makes one offer of those of one version of an image: servers may have containers and
// machines as products of their own.
func together(offers []Offer) []Offer {
	var out []Offer
	at := map[[3]string]int{}
	for _, o := range offers {
		key := [3]string{o.Name, o.Arch, o.Version.Version}
		n, there := at[key]
		if there && !slices.ContainsFunc(o.Version.Artifacts, func(a catalog.Artifact) bool { _, ok := out[n].Version.Artifact(a.Format); return ok }) {
			out[n].Version.Artifacts = append(out[n].Version.Artifacts, o.Version.Artifacts...)
			maps.Copy(out[n].from, o.from)
			continue
		}
		if !there {
			at[key] = len(out)
		}
		out = append(out, o)
	}
	return out
}

// stream reads one of simplestreams' files.
func (s *Source) stream(ctx context.Context, name string, to any) error {
	if s.Keys != nil {
		name = strings.TrimSuffix(name, ".json") + ".sjson"
	}
	text, err := s.get(ctx, name, maxIndex)
	if err != nil {
		return err
	}
	if s.Keys != nil {
		m, err := s.Keys.ClearsignedFile(s.shown()+"/"+name, bytes.NewReader(text), s.now())
		if err != nil {
			return err
		}
		text = m.Text
	}
	if err := json.Unmarshal(text, to); err != nil {
		return fault.Newf(fault.Verification, "%s/%s: unreadable: %w", s.shown(), name, err)
	}
	return nil
}

// product are the versions of a product that Incus or LXD could start.
func (s *Source) product(id string, p product) []Offer {
	distro, arch := strings.ToLower(p.OS), cmp.Or(arches[p.Arch], p.Arch)
	variant := cmp.Or(p.Variant, "default")
	name := imageName(distro, p.Release, plainVariant(variant))
	if !isName(distro, p.Release, arch, name) || !isVariant(variant) {
		s.skip(id, "it has names that ingot does not take")
		return nil
	}
	var out []Offer
	for _, serial := range slices.Sorted(maps.Keys(p.Versions)) {
		v, published, ok := version(serial)
		if !ok {
			s.skip(id+" "+serial, "its version is no date")
			continue
		}
		o := Offer{Name: name, Arch: arch, Variant: variant, Channels: []string{catalog.Stable}, source: s, from: map[string]origin{}}
		o.Version = catalog.Version{Version: v, Published: published, Distro: distro, Release: p.Release, Epoch: published.Unix()}
		if err := o.items(p.Versions[serial].Items); err != nil {
			s.skip(id+" "+serial, "%v", err)
			continue
		}
		if len(o.Version.Artifacts) > 0 {
			out = append(out, o)
		}
	}
	return out
}

// items makes artifacts of a version's files: a container's, and a machine's.
func (o *Offer) items(items map[string]item) error {
	meta, ok := find(items, "incus.tar.xz", "lxd.tar.xz")
	if !ok {
		return nil // of something else than Incus and LXD
	}
	for _, k := range []struct{ format, kind, root, meta string }{
		{"incus", "squashfs", "rootfs.squashfs", "incus.tar.xz"},
		{"incus-vm", "disk-kvm.img", "incus-vm.qcow2", "incus-vm.tar.xz"},
	} {
		root, ok := find(items, k.kind)
		if !ok {
			continue
		}
		whole := meta // the one of several whose digest is of both
		combined := func(i item) string {
			if k.format == "incus" {
				return i.CombinedSquashfs
			}
			return i.CombinedDisk
		}
		for _, i := range items {
			if (i.FileType == "incus.tar.xz" || i.FileType == "lxd.tar.xz") && combined(i) != "" && combined(whole) == "" {
				whole = i
			}
		}
		both, err := digest.Parse(combined(whole))
		if err != nil {
			continue // Incus drops those too
		}
		a := catalog.Artifact{Format: k.format, Fingerprint: both}
		for _, f := range []struct {
			item
			as string
		}{{root, k.root}, {whole, k.meta}} {
			file := catalog.File{Name: o.Name + "-" + o.Arch + "." + f.as, Size: f.Size}
			at, ok := within(f.Path)
			if file.SHA256, err = digest.Parse(f.SHA256); err != nil || !ok || f.Size <= 0 || f.Size > maxFile {
				return errors.New("a file without a place, a size or a digest")
			}
			o.from[file.Name] = origin{url: o.source.URL + "/" + at, size: f.Size}
			a.Files = append(a.Files, file)
		}
		o.Version.Artifacts = append(o.Version.Artifacts, a)
	}
	return nil
}

// find is a file of one of some kinds, the first that is there.
func find(items map[string]item, kinds ...string) (item, bool) {
	for _, kind := range kinds {
		for _, name := range slices.Sorted(maps.Keys(items)) {
			if items[name].FileType == kind {
				return items[name], true
			}
		}
	}
	return item{}, false
}
