package oci

import (
	"strings"

	"ingot/internal/digest"
)

// DockerLayer is what an archive for Docker calls its layers.
const DockerLayer = "%s.tar"

// FinishDocker writes the documents of an archive that "docker load" reads, whose
// layers are written, not compressed: the configuration, which is an OCI image's
// too, and manifest.json, which says where the files are and what the image is
// called. (Docker Image Specification v1.2, "Combined Image JSON + Filesystem
// Changeset Format".)
func (i Image) FinishDocker(to Sink) error {
	config, err := i.Config()
	if err != nil {
		return err
	}
	name := digest.Of(config).String() + ".json"
	type item struct {
		Config   string
		RepoTags []string
		Layers   []string
	}
	m := item{Config: name, RepoTags: []string{i.Name + ":" + Tag}, Layers: []string{}}
	for _, l := range i.Layers {
		m.Layers = append(m.Layers, strings.Replace(DockerLayer, "%s", l.Digest.String(), 1))
	}
	data, err := marshal([]item{m})
	if err != nil {
		return err
	}
	if err := to.File(name, config); err != nil {
		return err
	}
	return to.File("manifest.json", data)
}
