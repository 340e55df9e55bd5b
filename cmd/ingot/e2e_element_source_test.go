package main_test

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"encoding/pem"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"ingot/internal/judge"
)

// sources builds an image whose element has sources on servers, by http and by https: a
// file, an archive, and a repository of git's. What came is in the lock, and comes from
// there when the servers have gone.
func (c *court) sources(t *testing.T) {
	site := t.TempDir()
	p := c.project(t, fakeSystem)
	p.write(t, map[string]string{
		"elements/fetches/element-deps": "source-repositories\n",
		"elements/fetches/source-repository-fetches": "# What it is made of.\n" +
			"conf file /etc/ours/one.conf $DIB_TEST_SITE/one.conf\n" +
			"site tar /srv/site $DIB_TEST_SITE/site.tar.gz .\n" +
			"code git /opt/code $DIB_TEST_CODE/code.git v1\n" +
			"packed git /opt/packed $DIB_TEST_CODE/code.git\n",
		"elements/fetches/environment.d/50-fetches": "export DIB_INSTALLTYPE_packed=package\n",
		"elements/fetches/install.d/60-fetch": `#!/bin/bash
set -eu
mkdir -p /probe
cache-url $DIB_TEST_SITE/one.conf /probe/one.conf
cache-url $DIB_TEST_CODE/other.conf /probe/other.conf
curl -sSf $DIB_TEST_CODE/other.conf?token=$DIB_TEST_TOKEN -o /probe/behind-a-token
code=0
cache-url $DIB_TEST_SITE/none /probe/none || code=$?
echo "none $code" >/probe/none.code
`,
	})
	repository(t, site)
	for name, text := range map[string]string{"one.conf": "one\n", "other.conf": "other\n"} {
		if err := os.WriteFile(filepath.Join(site, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	writeArchive(t, filepath.Join(site, "site.tar.gz"), map[string]string{"index.html": "hello\n", "deep/er": "still\n"})
	plain, secure := httptest.NewServer(http.FileServer(http.Dir(site))), httptest.NewTLSServer(http.FileServer(http.Dir(site)))
	defer plain.Close()
	defer secure.Close()
	trust := p.path("trust.pem")
	if err := os.WriteFile(trust, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: secure.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	p.env = []string{"ELEMENTS_PATH=" + p.path("elements"), "INGOT_MIRROR_DEBIAN=" + p.mirror, "DIB_TEST_SITE=" + plain.URL, "DIB_TEST_CODE=" + secure.URL, "DIB_TEST_TOKEN=hunter2", "SSL_CERT_FILE=" + trust}
	args := []string{"disk-image-create", "-n", "-o", "img", "-t", "tar", "tiny", "fetches"}
	p.must(t, args...)
	if err := os.WriteFile(filepath.Join(site, "one.conf"), []byte("newer\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	p.must(t, args...)
	look(t, p, "img").want(t, `file /etc/ours/one.conf 0600 0:0 one`) // as the lock has it
	one := "one"
	if c.full {
		// A lock that is not there any more is made anew, of what is there today.
		if err := os.Remove(p.path("img.lock")); err != nil {
			t.Fatal(err)
		}
		p.must(t, args...)
		one = "newer"
	}
	first := sha256File(t, p.path("img.tar"))
	look(t, p, "img").want(t, `
		package git curl
		file /etc/ours/one.conf 0600 0:0 `+one+`
		file /srv/site/index.html 0644 0:0 hello
		file /srv/site/deep/er 0644 0:0 still
		file /opt/code/site 0644 0:0 first
		file /opt/code/.git/HEAD 0644 0:0 ref: refs/heads/
		none /opt/packed
		none /tmp/in_target.d
		file /probe/one.conf 0600 0:0 `+one+`
		file /probe/behind-a-token 0644 0:0 other
		file /probe/other.conf 0600 0:0 other
		file /probe/none.code 0644 0:0 none 44
		file /etc/dib-source-repositories 0644 0:0 /opt/code
		file /etc/dib-manifests/dib-manifest-git-img 0600 0:0 code git /opt/code`)
	lock := p.read(t, "img.lock")
	for _, want := range []string{plain.URL + "/one.conf\n", plain.URL + "/site.tar.gz\n", "missing " + plain.URL + "/none\n", secure.URL + "/other.conf\n", secure.URL + "/code.git/"} {
		if !strings.Contains(lock, want) {
			t.Errorf("the lock has no %q", want)
		}
	}
	for _, name := range []string{"img.lock", "img.tar.intoto.json", "img.tar.manifest.json", "img.tar.spdx.json"} {
		if text := p.read(t, name); strings.Contains(text, "hunter2") || strings.Contains(text, "token=") {
			t.Errorf("%s has the token", name)
		}
	}
	t.Run("papers", func(t *testing.T) {
		look(t, p, "img").papers(t, p.read(t, "img.tar.manifest.json"))
		if text := p.read(t, "img.tar.intoto.json"); !strings.Contains(text, `"uri": "`+plain.URL+`/site.tar.gz"`) {
			t.Error("the provenance does not name the archive")
		}
	})
	t.Run("locked", func(t *testing.T) {
		// The same from the lock alone: the servers are gone, and so is all that is only
		// cached.
		plain.Close()
		secure.Close()
		p.must(t, "store", "gc", "--cache")
		if err := os.Remove(p.path("img.tar")); err != nil {
			t.Fatal(err)
		}
		p.must(t, append(args, "--locked")...)
		if again := sha256File(t, p.path("img.tar")); again != first {
			t.Errorf("digests %s and %s", first, again)
		}
		p.write(t, map[string]string{"elements/fetches/install.d/70-more": "#!/bin/bash\nset -eu\ncurl -sSf " + secure.URL + "/more\n"})
		p.refuse(t, 5, []string{"img.lock", "does not fit"}, append(args, "--locked")...)
	})
}

// repository makes a repository of git's that a server of plain files can serve.
func repository(t *testing.T, site string) {
	t.Helper()
	work := t.TempDir()
	git := func(dir string, argv ...string) {
		t.Helper()
		cmd := exec.CommandContext(t.Context(), judge.Path(t, "git"), argv...)
		cmd.Dir = dir
		cmd.Env = append(os.Environ(), "GIT_AUTHOR_NAME=a", "GIT_AUTHOR_EMAIL=a@example.org", "GIT_COMMITTER_NAME=a", "GIT_COMMITTER_EMAIL=a@example.org", "GIT_CONFIG_GLOBAL=/dev/null")
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("git %s: %v\n%s", argv, err, out)
		}
	}
	git(work, "init", "-q", "-b", "main")
	for i, text := range []string{"first\n", "second\n"} {
		if err := os.WriteFile(filepath.Join(work, "site"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		git(work, "add", ".")
		git(work, "commit", "-q", "-m", text)
		if i == 0 {
			git(work, "tag", "v1")
		}
	}
	git(site, "clone", "-q", "--bare", work, "code.git")
	git(filepath.Join(site, "code.git"), "update-server-info")
}

// writeArchive writes an archive as people publish sources.
func writeArchive(t *testing.T, name string, files map[string]string) {
	t.Helper()
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	w := tar.NewWriter(z)
	for path, text := range files {
		if err := w.WriteHeader(&tar.Header{Name: path, Mode: 0o644, Size: int64(len(text)), Typeflag: tar.TypeReg}); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write([]byte(text)); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, b.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
}
