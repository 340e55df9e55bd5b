// Package oci writes images of application containers: the layout of the OCI
// image specification 1.1, as a directory or in a tar archive, and the archives
// that Docker loads.
//
// An image is blobs that name each other by their digests. An index names a
// manifest; the manifest names the configuration and the layers; each layer is a
// tar archive, compressed, that is unpacked over those before it. The
// configuration says what starts in a container, and names each layer again, by
// the digest of the archive before it was compressed. So two images with a layer
// in common have a blob in common, whatever else is in them.
//
// All is derived from what [Image] says: no clock and no random name.
package oci

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"time"

	"ingot/internal/digest"
)

// The media types (image-spec 1.1, media-types.md).
const (
	typeManifest  = "application/vnd.oci.image.manifest.v1+json"
	typeConfig    = "application/vnd.oci.image.config.v1+json"
	typeIndex     = "application/vnd.oci.image.index.v1+json"
	typeLayerGzip = "application/vnd.oci.image.layer.v1.tar+gzip"
	typeLayerZstd = "application/vnd.oci.image.layer.v1.tar+zstd"
	typeLayer     = "application/vnd.oci.image.layer.v1.tar"
)

// An Image is what its documents say.
type Image struct {
	Name   string // what it is called where it is loaded: "web"
	Arch   string // Debian's name
	Epoch  int64  // when it was made, in seconds since 1970
	Run    Run
	Layers []Layer // the lowest first
}

// A Run is what a container of the image starts, and how.
type Run struct {
	Entrypoint  []string
	Command     []string
	Environment map[string]string
	User        string // "name", "1000", "name:group"
	Workdir     string
	Ports       []string // "80/tcp"
	Volumes     []string
	Labels      map[string]string
	StopSignal  string
}

// A Layer is an archive of the image.
type Layer struct {
	Compress string        // "gzip", "zstd" or "" for none
	About    string        // what is in it, for the image's history
	Plain    digest.Digest // of the archive before it was compressed
	Digest   digest.Digest // of the blob
	Size     int64         // of the blob, in bytes
}

// A descriptor names a blob (descriptor.md).
type descriptor struct {
	MediaType   string            `json:"mediaType"`
	Digest      string            `json:"digest"`
	Size        int64             `json:"size"`
	Platform    *platform         `json:"platform,omitempty"`
	Annotations map[string]string `json:"annotations,omitempty"`
}

type platform struct {
	Architecture string `json:"architecture"`
	OS           string `json:"os"`
	Variant      string `json:"variant,omitempty"`
}

type manifest struct {
	SchemaVersion int               `json:"schemaVersion"`
	MediaType     string            `json:"mediaType"`
	Config        descriptor        `json:"config"`
	Layers        []descriptor      `json:"layers"`
	Annotations   map[string]string `json:"annotations,omitempty"`
}

type index struct {
	SchemaVersion int          `json:"schemaVersion"`
	MediaType     string       `json:"mediaType"`
	Manifests     []descriptor `json:"manifests"`
}

// A config is an image's configuration (config.md), which Docker reads too.
type config struct {
	Created string `json:"created"`
	platform
	Config  runConfig `json:"config"`
	RootFS  rootFS    `json:"rootfs"`
	History []history `json:"history"`
}

type runConfig struct {
	User         string              `json:"User,omitempty"`
	ExposedPorts map[string]struct{} `json:"ExposedPorts,omitempty"`
	Env          []string            `json:"Env,omitempty"`
	Entrypoint   []string            `json:"Entrypoint,omitempty"`
	Cmd          []string            `json:"Cmd,omitempty"`
	Volumes      map[string]struct{} `json:"Volumes,omitempty"`
	WorkingDir   string              `json:"WorkingDir,omitempty"`
	Labels       map[string]string   `json:"Labels,omitempty"`
	StopSignal   string              `json:"StopSignal,omitempty"`
}

type rootFS struct {
	Type    string   `json:"type"`
	DiffIDs []string `json:"diff_ids"`
}

type history struct {
	Created   string `json:"created"`
	CreatedBy string `json:"created_by"`
}

// path is where programs are looked for, unless the image says so itself.
const path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// Tag is what follows an image's name where it is loaded.
const Tag = "latest"

func sha(d digest.Digest) string { return "sha256:" + d.String() }

func (i Image) created() string { return time.Unix(i.Epoch, 0).UTC().Format(time.RFC3339) }

// platform is what Go calls an architecture, as the specification wants it.
func (i Image) platform() platform {
	p := platform{OS: "linux", Architecture: i.Arch}
	switch i.Arch {
	case "i386":
		p.Architecture = "386"
	case "armel":
		p.Architecture, p.Variant = "arm", "v5"
	case "armhf":
		p.Architecture, p.Variant = "arm", "v7"
	case "arm64":
		p.Variant = "v8"
	case "ppc64el":
		p.Architecture = "ppc64le"
	case "mips64el":
		p.Architecture = "mips64le"
	}
	return p
}

// Config is the image's configuration, as JSON.
func (i Image) Config() ([]byte, error) {
	r := i.Run
	env := map[string]string{"PATH": path}
	maps.Copy(env, r.Environment)
	c := config{
		Created: i.created(), platform: i.platform(), RootFS: rootFS{Type: "layers", DiffIDs: []string{}}, History: []history{},
		Config: runConfig{
			User: r.User, ExposedPorts: set(r.Ports), Entrypoint: r.Entrypoint, Cmd: r.Command, Volumes: set(r.Volumes),
			WorkingDir: r.Workdir, Labels: r.Labels, StopSignal: r.StopSignal,
		},
	}
	if len(r.Entrypoint)+len(r.Command) == 0 {
		c.Config.Cmd = []string{"/bin/sh"}
	}
	for _, name := range slices.Sorted(maps.Keys(env)) {
		c.Config.Env = append(c.Config.Env, name+"="+env[name])
	}
	for _, l := range i.Layers {
		c.RootFS.DiffIDs = append(c.RootFS.DiffIDs, sha(l.Plain))
		c.History = append(c.History, history{c.Created, "ingot: " + l.About})
	}
	return marshal(c)
}

func set(list []string) map[string]struct{} {
	if len(list) == 0 {
		return nil
	}
	out := map[string]struct{}{}
	for _, s := range list {
		out[s] = struct{}{}
	}
	return out
}

// marshal writes JSON whose keys are always in the same order.
func marshal(v any) ([]byte, error) {
	data, err := json.Marshal(v)
	if err != nil {
		return nil, fmt.Errorf("oci: %w", err)
	}
	return data, nil
}

func described(mediaType string, data []byte) descriptor {
	return descriptor{MediaType: mediaType, Digest: sha(digest.Of(data)), Size: int64(len(data))}
}

// manifest names the configuration and the layers.
func (i Image) manifest(config []byte) ([]byte, error) {
	m := manifest{
		SchemaVersion: 2, MediaType: typeManifest, Config: described(typeConfig, config), Layers: []descriptor{},
		Annotations: map[string]string{"org.opencontainers.image.created": i.created(), "org.opencontainers.image.title": i.Name},
	}
	for _, l := range i.Layers {
		kind := map[string]string{"": typeLayer, "gzip": typeLayerGzip, "zstd": typeLayerZstd}[l.Compress]
		m.Layers = append(m.Layers, descriptor{MediaType: kind, Digest: sha(l.Digest), Size: l.Size})
	}
	return marshal(m)
}

// Finish writes the documents of a layout whose layers are written.
func (i Image) Finish(to Sink) error {
	config, err := i.Config()
	if err != nil {
		return err
	}
	m, err := i.manifest(config)
	if err != nil {
		return err
	}
	p := i.platform()
	d := described(typeManifest, m)
	d.Platform = &p
	// The name that a program which loads the image gives it (annotations.md).
	d.Annotations = map[string]string{"org.opencontainers.image.ref.name": i.Name + ":" + Tag}
	x, err := marshal(index{SchemaVersion: 2, MediaType: typeIndex, Manifests: []descriptor{d}})
	if err != nil {
		return err
	}
	for _, blob := range [][]byte{config, m} {
		if err := to.File(blobDir+digest.Of(blob).String(), blob); err != nil {
			return err
		}
	}
	if err := to.File("index.json", x); err != nil {
		return err
	}
	// What a reader looks for first comes last: it stands for the whole.
	return to.File("oci-layout", []byte(`{"imageLayoutVersion":"1.0.0"}`))
}

// blobDir is where a layout keeps its blobs.
const blobDir = "blobs/sha256/"
