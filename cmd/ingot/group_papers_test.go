package main

import (
	"encoding/json"
	"testing"

	"github.com/google/go-cmp/cmp"

	"ingot/internal/artifact"
	"ingot/internal/digest"
	"ingot/internal/distro"
	"ingot/internal/format"
	"ingot/internal/lock"
	"ingot/internal/repository"
)

// TestPapersFromTheGroup has an image with other packages than the lock chose: what its
// group keeps gives the same papers.
func TestPapersFromTheGroup(t *testing.T) {
	of := func(name string) distro.Ref {
		return distro.Ref{Name: name, Version: "1-1", Arch: "all", Archive: "debian", Location: "pool/" + name + ".deb", Size: 7, SHA256: digest.Of([]byte(name))}
	}
	l := &lock.Lock{Distro: "debian", Release: "bookworm", Sets: []lock.Set{{Arch: "amd64", Purpose: format.Container, Refs: []distro.Ref{of("kept"), of("removed")}}}}
	about := func(ref distro.Ref) distro.Description {
		return distro.Description{Purl: "pkg:deb/debian/" + ref.Name, Source: ref.Name + " 1-1", Maintainer: "Nobody", Licences: []string{"MIT"}, Installed: 3}
	}
	for _, c := range []struct {
		summary string
		found   []distro.Ref
		network []string
	}{
		{"the lock's set", nil, nil},
		{"another", []distro.Ref{of("kept"), {Name: "brought", Version: "1:2-3", Arch: "all"}}, []string{"setup"}},
		{"none", []distro.Ref{}, nil},
	} {
		image := artifact.Image{Name: "web", Arch: "amd64", Purpose: format.Container, Lock: l, Version: thisVersion().Version, Found: c.found, Network: c.network, Describe: about}
		made := keptOf(image)
		kept, err := json.Marshal(repository.Tree{Arch: made.Arch, Purpose: made.Purpose, Found: made.Found, Network: made.Network})
		if err != nil {
			t.Fatal(err)
		}
		var tree repository.Tree
		if err := json.Unmarshal(kept, &tree); err != nil {
			t.Fatal(err)
		}
		var list []repository.Package
		for _, ref := range l.Sets[0].Refs {
			list = append(list, repository.InstalledOf(ref, about(ref)).Package)
		}
		again := imageOf(&repository.Group{Lock: l, Statement: repository.Statement{Name: "web"}}, tree, list)
		o := artifact.Output{Format: "tar", Files: []artifact.File{{Name: "web-amd64.tar"}}}
		if diff := cmp.Diff(image.SBOM(o), again.SBOM(o)); diff != "" {
			t.Errorf("%s: bill of materials (-built +group):\n%s", c.summary, diff)
		}
		if diff := cmp.Diff(image.Provenance(o), again.Provenance(o)); diff != "" {
			t.Errorf("%s: provenance (-built +group):\n%s", c.summary, diff)
		}
	}
}
