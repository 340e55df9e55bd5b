package artifact

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/santhosh-tekuri/jsonschema/v6"
	spdxjson "github.com/spdx/tools-golang/json"
	"github.com/spdx/tools-golang/spdx/v2/v2_3"

	"ingot/internal/digest"
	"ingot/internal/distro"
	"ingot/internal/lock"
	"ingot/internal/tree"
)

var update = flag.Bool("update", false, "write the golden files")

func of(s string) digest.Digest { return digest.Of([]byte(s)) }

// web is an image with one of each thing that papers have to say.
func web(t *testing.T) (Image, Output) {
	t.Helper()
	file := tree.Content{Digest: of("hi\n"), Size: 3}
	tr, err := tree.New([]tree.Entry{
		{Kind: tree.Dir, Mode: 0o755}, {Path: "bin", Kind: tree.Symlink, Link: "usr/bin"}, {Path: "dev", Kind: tree.Dir},
		{Path: "dev/null", Kind: tree.Char, Major: 1, Minor: 3}, {Path: "etc", Kind: tree.Dir}, {Path: "etc/a", Kind: tree.File, Content: file},
		{Path: "etc/b", Kind: tree.Hardlink, Link: "etc/a"},
	})
	if err != nil {
		t.Fatal(err)
	}
	bash := distro.Ref{Name: "bash", Version: "5.2.15-2+b7", Arch: "amd64", Archive: "debian", Location: "pool/main/b/bash/bash_5.2.15-2+b7_amd64.deb", Size: 1491024, SHA256: of("bash")}
	cpp := distro.Ref{Name: "libstdc++6", Version: "12.2.0-14", Arch: "amd64", Archive: "debian", Location: "pool/main/g/gcc-12/libstdc++6_12.2.0-14_amd64.deb", Size: 613000, SHA256: of("libstdc++6")}
	tzdata := distro.Ref{Name: "tzdata", Version: "1:2024a-0+deb12u1", Arch: "all", Archive: "updates", Location: "pool/t.deb", Size: 10, SHA256: of("tzdata")}
	tool := distro.Ref{Name: "xz-utils", Version: "5.4.1-0.2", Arch: "amd64", Archive: "debian", Location: "pool/x.deb", Size: 10, SHA256: of("xz")}
	about := map[string]distro.Description{
		"bash": {Purl: "pkg:deb/debian/bash@5.2.15-2%2Bb7?arch=amd64", Source: "bash 5.2.15-2", Maintainer: "Matthias Klose <doko@debian.org>",
			Homepage: "http://tiswww.case.edu/php/chet/bash/bashtop.html", Summary: "GNU Bourne Again SHell", Licences: []string{"GPL-3.0-or-later", "BSD-4-Clause-UC"}, Installed: 7164 << 10},
		"libstdc++6": {Purl: "pkg:deb/debian/libstdc%2B%2B6@12.2.0-14?arch=amd64", Source: "gcc-12 12.2.0-14", Maintainer: "Debian GCC Maintainers (team)", Homepage: "gcc.gnu.org", Licences: []string{"see copyright"}},
		"tzdata":     {},
		"xz-utils":   {Purl: "pkg:deb/debian/xz-utils@5.4.1-0.2?arch=amd64"},
	}
	l := &lock.Lock{
		Definition: of("definition"), Distro: "debian", Release: "bookworm", Epoch: 1700000000,
		Archives: []lock.Archive{
			{Name: "debian", URL: "http://archive.example/debian", Suites: []string{"bookworm"}, Components: []string{"main"}},
			{Name: "updates", URL: "http://archive.example/updates", Suites: []string{"bookworm-updates"}, Components: []string{"main"}, Expired: true},
		},
		Indexes: []lock.Index{{Archive: "debian", Suite: "bookworm", Component: "main", Arch: "amd64", Path: "dists/bookworm/main/binary-amd64/Packages.xz", Date: 1699999999, Size: 8, SHA256: of("index")}},
		Sets: []lock.Set{
			{Arch: "amd64", Purpose: "container"},
			{Arch: "amd64", Purpose: "machine", Flavor: "vmware", Refs: []distro.Ref{tzdata, cpp, bash}},
		},
		Tools: []distro.Ref{tool},
		Files: []lock.File{{Path: "setup.sh", SHA256: of("setup"), Executable: true}, {Path: "site/empty", EmptyDir: true}},
		Seals: []lock.Seal{{Arch: "amd64", Purpose: "machine", Flavor: "vmware", SHA256: tr.Seal()}},
	}
	return Image{
		Name: "web", Flavor: "vmware", Arch: "amd64", Purpose: "machine", Lock: l, Tree: tr, Version: "1.0",
		Describe: func(r distro.Ref) distro.Description { return about[r.Name] },
	}, Output{Format: "qcow2", Files: []File{{Name: FileName("web", "vmware", "amd64", "qcow2"), Size: 400 << 20, SHA256: of("qcow2")}}}
}

func TestPapers(t *testing.T) {
	image, output := web(t)
	papers, err := image.Papers(output)
	if err != nil {
		t.Fatal(err)
	}
	if len(papers) != 3 {
		t.Fatalf("%d papers", len(papers))
	}
	for _, p := range papers {
		golden := filepath.Join("testdata", p.File)
		if *update {
			if err := os.WriteFile(golden, p.Data, 0o666); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(golden)
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(string(want), string(p.Data)); d != "" {
			t.Errorf("%s (run with -update after a look):\n%s", golden, d)
		}
		for _, word := range []string{"archive.example", "hostname", os.TempDir()} {
			if bytes.Contains(p.Data, []byte(word)) {
				t.Errorf("%s holds %q", p.File, word)
			}
		}
	}

	// Neither the order of the lock nor a missing seal changes a word.
	image.Lock.Sets[1].Refs[0], image.Lock.Sets[1].Refs[2] = image.Lock.Sets[1].Refs[2], image.Lock.Sets[1].Refs[0]
	image.Lock.Seals = nil
	again, err := image.Papers(output)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(papers, again); d != "" {
		t.Errorf("the same image has other papers:\n%s", d)
	}
}

// TestSBOM lets the SPDX project's own library judge, and its JSON schema where
// INGOT_SPDX_SCHEMA names a copy of it (schemas/spdx-schema.json of SPDX 2.3).
func TestSBOM(t *testing.T) {
	image, output := web(t)
	papers, err := image.Papers(output)
	if err != nil {
		t.Fatal(err)
	}
	var sbom []byte
	for _, p := range papers {
		if strings.HasSuffix(p.File, SBOMSuffix) {
			sbom = p.Data
		}
	}
	var doc v2_3.Document
	if err := spdxjson.ReadInto(bytes.NewReader(sbom), &doc); err != nil {
		t.Fatal(err)
	}
	if doc.CreationInfo.Created != "2023-11-14T22:13:20Z" || len(doc.Packages) != 4 || len(doc.Relationships) != 4 {
		t.Errorf("read back: created %s, %d packages, %d relationships", doc.CreationInfo.Created, len(doc.Packages), len(doc.Relationships))
	}
	ids := map[string]bool{"DOCUMENT": true}
	for _, p := range doc.Packages {
		id := string(p.PackageSPDXIdentifier)
		if ids[id] {
			t.Errorf("%s is there twice", id)
		}
		ids[id] = true
		if p.PackageName == "bash" && (p.PackageLicenseDeclared != "GPL-3.0-or-later AND BSD-4-Clause-UC" || p.PackageOriginator.Originator != "Matthias Klose (doko@debian.org)" || p.PackageExternalReferences[0].Locator != "pkg:deb/debian/bash@5.2.15-2%2Bb7?arch=amd64") {
			t.Errorf("bash came back as %+v", p)
		}
	}
	for _, r := range doc.Relationships {
		if !ids[string(r.RefA.ElementRefID)] || !ids[string(r.RefB.ElementRefID)] {
			t.Errorf("a relationship of nothing: %+v", r)
		}
	}
	if name := os.Getenv("INGOT_SPDX_SCHEMA"); name != "" {
		schema, err := jsonschema.NewCompiler().Compile(name)
		if err != nil {
			t.Fatal(err)
		}
		var v any
		if err := json.Unmarshal(sbom, &v); err != nil {
			t.Fatal(err)
		}
		if err := schema.Validate(v); err != nil {
			t.Error(err)
		}
	}
}

// TestProvenance holds what the in-toto statement and SLSA provenance
// specifications demand of a statement, read without our own types.
func TestProvenance(t *testing.T) {
	image, output := web(t)
	papers, err := image.Papers(output)
	if err != nil {
		t.Fatal(err)
	}
	type resource struct {
		Name, URI string
		Digest    map[string]string
	}
	var s struct {
		Type          string `json:"_type"`
		Subject       []resource
		PredicateType string
		Predicate     struct {
			BuildDefinition struct {
				BuildType            string
				ExternalParameters   map[string]any
				InternalParameters   map[string]any
				ResolvedDependencies []resource
			}
			RunDetails struct {
				Builder  struct{ ID string }
				Metadata map[string]any
			}
		}
	}
	for _, p := range papers {
		if strings.HasSuffix(p.File, ProvenanceSuffix) {
			if err := json.Unmarshal(p.Data, &s); err != nil {
				t.Fatal(err)
			}
		}
	}
	if s.Type != "https://in-toto.io/Statement/v1" || s.PredicateType != "https://slsa.dev/provenance/v1" {
		t.Errorf("types %q, %q", s.Type, s.PredicateType)
	}
	if len(s.Subject) != 1 || s.Subject[0].Name != "web-vmware-amd64.qcow2" || s.Subject[0].Digest["sha256"] != of("qcow2").String() {
		t.Errorf("subject %+v", s.Subject)
	}
	b := s.Predicate.BuildDefinition
	for _, uri := range []string{b.BuildType, s.Predicate.RunDetails.Builder.ID} {
		if !strings.HasPrefix(uri, "https://") {
			t.Errorf("%q is no URI", uri)
		}
	}
	if len(b.ExternalParameters) == 0 || b.ExternalParameters["definition"] != of("definition").String() {
		t.Errorf("external parameters %v", b.ExternalParameters)
	}
	if d := cmp.Diff([]any{"updates"}, b.InternalParameters["expired"]); d != "" {
		t.Errorf("an expired archive is not recorded: %s", d)
	}
	if len(s.Predicate.RunDetails.Metadata) != 0 {
		t.Errorf("metadata %v: a clock?", s.Predicate.RunDetails.Metadata)
	}
	var names []string
	for _, r := range b.ResolvedDependencies {
		names = append(names, r.Name)
		if _, err := digest.Parse(r.Digest["sha256"]); err != nil {
			t.Errorf("%s: %v", r.Name, err)
		}
	}
	want := []string{"bash=5.2.15-2+b7", "libstdc++6=12.2.0-14", "tzdata=1:2024a-0+deb12u1", "xz-utils=5.4.1-0.2", "debian dists/bookworm/main/binary-amd64/Packages.xz", "setup.sh"}
	if d := cmp.Diff(want, names); d != "" {
		t.Errorf("dependencies: %s", d)
	}
}

func TestFileName(t *testing.T) {
	for want, in := range map[string][4]string{
		"web-amd64.qcow2":          {"web", "", "amd64", "qcow2"},
		"web-vmware-arm64.tar.zst": {"web", "vmware", "arm64", "tar.zst"},
		"web-__xen_ssl-amd64.raw":  {"web", "~!xen,ssl", "amd64", "raw"},
	} {
		if got := FileName(in[0], in[1], in[2], in[3]); got != want {
			t.Errorf("FileName(%v) = %q, want %q", in, got, want)
		}
	}
}

func TestStamp(t *testing.T) {
	image, _ := web(t)
	if _, err := time.Parse(time.RFC3339, image.stamp()); err != nil || !strings.HasSuffix(image.stamp(), "Z") {
		t.Errorf("stamp %q: %v", image.stamp(), err)
	}
}
