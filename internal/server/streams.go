package server

import (
	"bytes"
	"cmp"
	"slices"
	"strings"
	"time"

	"ingot/internal/catalog"
	"ingot/internal/digest"
)

// Simplestreams' files, as Incus and LXD read them.
type (
	streamIndex struct {
		Format  string                 `json:"format"` // index:1.0
		Updated string                 `json:"updated"`
		Index   map[string]streamEntry `json:"index"`
	}
	streamEntry struct {
		DataType string   `json:"datatype"` // image-downloads
		Format   string   `json:"format"`   // products:1.0
		Path     string   `json:"path"`
		Updated  string   `json:"updated"`
		Products []string `json:"products"`
	}
	streamProducts struct {
		ContentID string                   `json:"content_id"`
		DataType  string                   `json:"datatype"`
		Format    string                   `json:"format"`
		Updated   string                   `json:"updated"`
		Products  map[string]streamProduct `json:"products"`
	}
	streamProduct struct {
		Aliases         string                   `json:"aliases"` // with commas
		Arch            string                   `json:"arch"`
		OS              string                   `json:"os"`
		Release         string                   `json:"release"`
		ReleaseTitle    string                   `json:"release_title"`
		Variant         string                   `json:"variant"`
		SupportEOL      string                   `json:"support_eol,omitempty"` // a date
		Requirements    map[string]string        `json:"requirements"`
		LXDRequirements map[string]string        `json:"lxd_requirements"`
		Versions        map[string]streamVersion `json:"versions"`
	}
	streamVersion struct {
		Items map[string]streamItem `json:"items"`
	}
	streamItem struct {
		FileType         string        `json:"ftype"`
		Path             string        `json:"path"`
		SHA256           digest.Digest `json:"sha256"`
		Size             int64         `json:"size"`
		CombinedSquashfs digest.Digest `json:"combined_squashfs_sha256,omitzero"`
		CombinedDisk     digest.Digest `json:"combined_disk-kvm-img_sha256,omitzero"`
		DeltaBase        string        `json:"delta_base,omitempty"` // a version of the product
	}
)

// contentID names the one list of products.
const contentID = "images"

// streams are simplestreams' indexes: as they are (.json), with the signature around
// (.sjson) and apart (.json.gpg).
func (p *Publisher) streams(c catalog.Catalog) (map[string][]byte, error) {
	plain, err := streamsPlain(c)
	if err != nil {
		return nil, err
	}
	out := map[string][]byte{}
	for name, data := range plain {
		if strings.HasSuffix(name, ".sjson") {
			if out[name], err = p.Key.Clearsign(data, p.now()); err != nil {
				return nil, err
			}
			continue
		}
		out[name] = data
		if out[name+".gpg"], err = p.Key.Detach(bytes.NewReader(data), p.now()); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// streamsPlain are simplestreams' indexes before they are signed.
func streamsPlain(c catalog.Catalog) (map[string][]byte, error) {
	const dir, index = "streams/v1/", "index"
	updated := c.Created.UTC().Format(time.RFC1123Z)
	products := streamProducts{ContentID: contentID, DataType: "image-downloads", Format: "products:1.0", Updated: updated, Products: streamsProducts(c)}
	names := []string{}
	for name := range products.Products {
		names = append(names, name)
	}
	slices.Sort(names)
	list, err := catalog.Marshal(products)
	if err != nil {
		return nil, err
	}
	out := map[string][]byte{}
	for _, suffix := range []string{".json", ".sjson"} {
		out[dir+contentID+suffix] = list
		if out[dir+index+suffix], err = catalog.Marshal(streamIndex{Format: "index:1.0", Updated: updated, Index: map[string]streamEntry{contentID: {
			DataType: products.DataType, Format: products.Format, Updated: updated, Products: names,
			// A reader that trusts signed files alone goes on to a signed one.
			Path: dir + contentID + suffix,
		}}}); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// streamsProducts are the products: one for each image, release and channel, with the
// versions that the channel points and pointed to. Clients take the newest.
//
// Machines are products of their own, under the same aliases, which count by kind: their metadata
// are another file than containers', and of the version that a delta is made from clients look at
// one file of metadata, whichever comes first.
func streamsProducts(c catalog.Catalog) map[string]streamProduct {
	out := map[string]streamProduct{}
	for _, i := range c.Images {
		for _, k := range i.Channels {
			current, ok := i.Channel(k.Name)
			if !ok {
				continue
			}
			for _, name := range append(slices.Clone(k.Past), k.Version) {
				v, ok := i.Version(name)
				if !ok || v.Version > current.Version {
					continue // the channel went back: nobody should take what is newer
				}
				for _, a := range v.Artifacts {
					items := streamItems(i, v, a)
					if len(items) == 0 {
						continue
					}
					id := strings.Join([]string{v.Distro, v.Release, i.Arch, variant(i, k)}, ":")
					if a.Format == "incus-vm" {
						id += ":vm"
					}
					p, ok := out[id]
					if !ok {
						p = streamProduct{
							Arch: i.Arch, OS: title(v.Distro), Release: v.Release, ReleaseTitle: v.Release, Variant: variant(i, k),
							Versions: map[string]streamVersion{},
						}
					}
					p.Versions[v.Version] = streamVersion{items}
					if v.Version == current.Version || p.Aliases == "" {
						p.Aliases = aliases(i, k, v, v.Release == current.Release && v.Distro == current.Distro)
						p.SupportEOL = ""
						if !v.Expires.IsZero() {
							p.SupportEOL = v.Expires.UTC().Format(time.DateOnly)
						}
						p.Requirements = map[string]string{}
						if a.Insecure {
							p.Requirements["secureboot"] = "false"
						}
					}
					p.LXDRequirements = p.Requirements
					out[id] = p
				}
			}
		}
	}
	return out
}

func title(s string) string { return strings.ToUpper(s[:1]) + s[1:] }

// aliases are the names that clients find a product by: web, debian/bookworm/web; of
// another channel than stable with its name behind. The short one is that of the
// release which the channel has now.
func aliases(i catalog.Image, k catalog.Channel, v catalog.Version, short bool) string {
	name := cmp.Or(i.Variant, i.Name)
	names := []string{v.Distro + "/" + v.Release + "/" + name}
	if name == "default" {
		names = append(names, v.Distro+"/"+v.Release)
	} else if short {
		names = append(names, i.Name)
	}
	if k.Name != catalog.Stable {
		for n := range names {
			names[n] += "/" + k.Name
		}
	}
	return strings.Join(names, ",")
}

// streamItems are an artifact's files for Incus and LXD. Each reads only its own kinds of
// metadata: so these stand there twice.
func streamItems(i catalog.Image, v catalog.Version, a catalog.Artifact) map[string]streamItem {
	out := map[string]streamItem{}
	item := func(kind string, f catalog.File, as string) streamItem {
		return streamItem{FileType: kind, Path: v.Dir(i) + "/" + as, SHA256: f.SHA256, Size: f.Size}
	}
	if a.Fingerprint.IsZero() {
		return nil
	}
	files := map[string]catalog.File{}
	for _, f := range a.Files {
		files[dialectName(a.Format, f.Name)] = f
	}
	for _, who := range []string{"incus", "lxd"} {
		switch {
		case a.Format == "incus" && len(a.Files) == 1:
			out[who+"_combined.tar.gz"] = item(who+"_combined.tar.gz", a.Files[0], a.Files[0].Name)
		case a.Format == "incus":
			meta := item(who+".tar.xz", files["incus.tar.xz"], "incus.tar.xz")
			meta.CombinedSquashfs = a.Fingerprint
			out[who+".tar.xz"] = meta
			out["root.squashfs"] = item("squashfs", files["rootfs.squashfs"], "rootfs.squashfs")
		case a.Format == "incus-vm":
			meta := item(who+".tar.xz", files["incus-vm.tar.xz"], "incus-vm.tar.xz")
			meta.CombinedDisk = a.Fingerprint
			out[who+".tar.xz"] = meta
			out["disk.qcow2"] = item("disk-kvm.img", files["disk.qcow2"], "disk.qcow2")
		}
	}
	for _, d := range a.Deltas {
		delta := item("squashfs.vcdiff", d.File, d.Name)
		delta.DeltaBase = d.Base
		out["root."+d.Base+".vcdiff"] = delta
	}
	return out
}
