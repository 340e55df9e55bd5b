package plan

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"ingot/internal/artifact"
)

// TestScriptsThatInstall has scripts that install and remove packages, or nothing. Papers
// say what the image has, and a second build makes the same bytes, whatever dpkg logged.
func TestScriptsThatInstall(t *testing.T) {
	f := newFactory(t)
	f.NoCache = true
	papers := func(scripts, one string) (packages []string, manifest, sbom, tar string) {
		t.Helper()
		head, tail, _ := strings.Cut(built["ingot.yaml"], "scripts:")
		outputs := tail[strings.Index(tail, "outputs:"):]
		write(t, f.dir, map[string]string{"ingot.yaml": head + scripts + outputs, "one.sh": "#!/bin/sh\n" + one})
		result, err := f.Run(t.Context(), f.plan(t))
		if err != nil {
			t.Fatal(err)
		}
		read := func(suffix string, into any) {
			data, err := os.ReadFile(filepath.Join(f.To, "web-amd64.tar"+suffix))
			if err == nil {
				err = json.Unmarshal(data, into)
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		var m artifact.Manifest
		read(artifact.ManifestSuffix, &m)
		for _, p := range m.Packages {
			known := "of a file"
			if p.SHA256.IsZero() {
				known = "of no file"
			}
			packages = append(packages, p.Name+" "+p.Version+" "+known)
		}
		var raw, s struct{ Packages json.RawMessage }
		read(artifact.ManifestSuffix, &raw)
		read(artifact.SBOMSuffix, &s)
		for _, a := range result.Artifacts {
			if a.Format == "tar" {
				tar = a.Files[0].SHA256.String()
			}
		}
		return packages, string(raw.Packages), string(s.Packages), tar
	}
	const script = "scripts: [{name: one, run: ./one.sh}]\n"
	own := []string{"shell 1-1 of a file", "system 1-1 of a file"}
	for _, c := range []struct {
		summary, one string
		want         []string
	}{
		{"nothing", ":\n", own},
		{"a package comes", "dpkg -i more\n", []string{"more 1:2-3 of no file", own[0], own[1]}},
		{"a package goes", "dpkg -r system\n", own[:1]},
		{"one for another", "dpkg -r system\ndpkg -i more\n", []string{"more 1:2-3 of no file", own[0]}},
	} {
		got, manifest, sbom, tar := papers(script, c.one)
		if diff := cmp.Diff(c.want, got); diff != "" {
			t.Errorf("%s: packages of the manifest (-want +got):\n%s", c.summary, diff)
		}
		if in := strings.Contains(sbom, "pkg:deb/debian/more@"); in != slices.Contains(c.want, "more 1:2-3 of no file") {
			t.Errorf("%s: the bill of materials has it: %v", c.summary, in)
		}
		if _, _, _, again := papers(script, c.one); again != tar {
			t.Errorf("%s: a second build makes other bytes", c.summary)
		}
		if c.summary != "nothing" {
			continue
		}
		if _, plain, _, _ := papers("", c.one); plain != manifest {
			t.Errorf("a script that changes nothing changes the manifest's packages from %s to %s", plain, manifest)
		}
	}
}
