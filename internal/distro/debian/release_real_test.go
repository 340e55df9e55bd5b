package debian

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"ingot/internal/fault"
	"ingot/internal/fetch"
	"ingot/internal/judge"
	"ingot/internal/lock"
)

// mirrors are those of this machine's own apt sources.
func mirrors(t *testing.T) Mirrors {
	t.Helper()
	m := Mirrors{Env: os.Getenv("INGOT_MIRROR_DEBIAN"), Host: AptSources("/")}
	if m.Env == "" && len(m.host(mainArchive)) == 0 {
		t.Skip("needs a mirror of Debian: set INGOT_MIRROR_DEBIAN, or run on a machine whose apt sources name one")
	}
	return m
}

// located are the default archives of a release, as one fetches them here.
func located(t *testing.T, release string) []Archive {
	t.Helper()
	keys, err := ArchiveKeys()
	if err != nil {
		t.Fatal(err)
	}
	m := mirrors(t)
	var all []Archive
	for _, a := range DefaultArchives(release) {
		all = append(all, Archive{Archive: a, Roots: m.Roots(a), Keys: keys})
	}
	return all
}

// TestRealUpdate reads Debian's own archives: stable ones as they are, and what is
// expired only when asked to.
func TestRealUpdate(t *testing.T) {
	for _, test := range []struct {
		release string
		want    string
	}{
		{"bookworm", "debian bookworm main amd64; debian bookworm-updates main amd64; debian-security bookworm-security main amd64; "},
		{"trixie", "debian trixie main amd64; debian trixie-updates main amd64; debian-security trixie-security main amd64; "},
		{"sid", "debian sid main amd64; "},
	} {
		t.Run(test.release, func(t *testing.T) {
			dir := t.TempDir()
			u := Updater{Client: &fetch.Client{}, Cache: dir + "/cache", Seen: dir + "/seen", Now: time.Now()}
			archives := located(t, test.release)
			start := time.Now()
			found, err := u.Update(t.Context(), archives, []string{"amd64"})
			if fault.CodeOf(err) == fault.Verification && strings.Contains(err.Error(), "expired") {
				// What the mirror carries is frozen. The refusal is right, and lifted by asking.
				if !strings.Contains(fault.HintOf(err), "check-valid-until") {
					t.Errorf("refused without a word of how to go on: %v; %s", err, fault.HintOf(err))
				}
				t.Logf("refused: %v", err)
				for i := range archives {
					archives[i].AcceptExpired = true
				}
				if found, err = u.Update(t.Context(), archives, []string{"amd64"}); err == nil && !found[0].Expired {
					t.Error("accepted, but not recorded as expired")
				}
			}
			if err != nil {
				t.Fatal(err)
			}
			first := time.Since(start)
			got := ""
			for _, x := range found {
				got += fmt.Sprint(x.Archive, " ", x.Asked, " ", x.Component, " ", x.Arch, "; ")
				if st, err := os.Stat(x.File); err != nil || st.Size() != x.Size {
					t.Errorf("%s: %v", x.File, err)
				}
			}
			if got != test.want {
				t.Errorf("got  %s\nwant %s", got, test.want)
			}
			start = time.Now()
			again, err := u.Update(t.Context(), archives, []string{"amd64"})
			if err != nil || len(again) != len(found) {
				t.Errorf("again: %v", err)
			}
			t.Logf("fetched and verified in %v, again in %v", first.Round(time.Millisecond), time.Since(start).Round(time.Millisecond))
		})
	}
}

// TestGpgvJudges changes real InRelease files in every part and compares with gpgv on
// the same keys: what is accepted, gpgv accepts, and says the same of it.
func TestGpgvJudges(t *testing.T) {
	gpgv, err := exec.LookPath("gpgv")
	if err != nil {
		t.Skip("gpgv, the judge, is not installed: apt-get install gpgv makes this run")
	}
	keys, err := ArchiveKeys()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	ring := filepath.Join(dir, "keys.gpg")
	if err := os.WriteFile(ring, archiveKeys, 0o644); err != nil {
		t.Fatal(err)
	}
	verify := func(dir string, doc []byte) (text string, good bool) {
		in, out := filepath.Join(dir, "in"), filepath.Join(dir, "out")
		if err := errors.Join(os.WriteFile(in, doc, 0o644), os.RemoveAll(out)); err != nil {
			t.Error(err)
		}
		status, _ := exec.CommandContext(t.Context(), gpgv, "--homedir", dir, "--weak-digest", "SHA1", "--keyring", ring,
			"--status-fd", "1", "--output", out, in).Output() // its status lines tell more than its exit code
		b, _ := os.ReadFile(out)
		return string(b), bytes.Contains(status, []byte("GOODSIG ")) && !bytes.Contains(status, []byte("BADSIG ")) && !bytes.Contains(status, []byte("ERROR"))
	}
	m := mirrors(t)
	places := 3 // in each part
	if judge.At() == judge.Full {
		places = 40
	}
	var all sync.WaitGroup
	defer all.Wait()
	for _, suite := range []string{"bookworm", "bookworm-updates", "bookworm-security", "trixie", "trixie-security", "testing", "unstable"} {
		all.Go(func() {
			a := lock.Archive{Name: "debian", URL: mainURL, Suites: []string{suite}}
			if strings.HasSuffix(suite, "-security") {
				a.URL = securityURL
			}
			doc, err := download(t, Locate(m.Roots(a), "dists/"+suite+"/InRelease")[0])
			if err != nil {
				t.Errorf("%s: %v", suite, err)
				return
			}
			dir := t.TempDir()
			now := time.Now()
			check := func(what string, doc []byte, must bool) (accepted bool) {
				m, err := keys.Clearsigned(suite, doc, now)
				text, good := verify(dir, doc)
				if err == nil && !good {
					t.Errorf("%s, %s: accepted, but not by gpgv", suite, what)
				}
				if err == nil && !bytes.Equal(trimLines([]byte(text)), m.Text) {
					t.Errorf("%s, %s: not the text that gpgv gives", suite, what)
				}
				if must && (err != nil || !good) {
					t.Errorf("%s, %s: %v; accepted by gpgv: %v", suite, what, err, good)
				}
				if err != nil && fault.CodeOf(err) != fault.Verification {
					t.Errorf("%s, %s: %v", suite, what, err)
				}
				return err == nil
			}
			check("as it is", doc, true)
			check("with carriage returns", bytes.ReplaceAll(doc, []byte("\n"), []byte("\r\n")), true)
			body := bytes.Index(doc, []byte("\n\n")) + 2
			signature := bytes.Index(doc, []byte("-----BEGIN PGP SIGNATURE-----"))
			parts := []struct {
				name     string
				from, to int
			}{{"header", 0, body}, {"body", body, signature - 1}, {"signature", signature, len(doc) - 1}}
			for _, part := range parts {
				for i := range places {
					at := part.from + (part.to-part.from)*i/places + i%2
					if doc[at] == '\n' {
						at--
					}
					b := bytes.Clone(doc)
					b[at] ^= 1
					if check(fmt.Sprintf("%s changed at %d", part.name, at), b, false) && part.name == "body" {
						t.Errorf("%s: a body changed at %d is accepted", suite, at)
					}
					if check(fmt.Sprintf("cut in the %s at %d", part.name, at), doc[:at], false) {
						t.Errorf("%s: cut at %d, it is accepted", suite, at)
					}
				}
			}
			if check("with something behind it", append(bytes.Clone(doc), "Suite: evil\n"...), false) ||
				check("with something before it", append([]byte("Suite: evil\n"), doc...), false) ||
				check("twice", append(bytes.Clone(doc), doc...), false) {
				t.Errorf("%s: something around it is accepted", suite)
			}
		})
	}
}

// trimLines drops the white space at line ends, which signatures do not cover.
func trimLines(text []byte) []byte {
	var b []byte
	for line := range bytes.Lines(text) {
		b = append(append(b, bytes.TrimRight(line, " \t\r\n")...), '\n')
	}
	return b
}

// download is a file as net/http alone gives it.
func download(t *testing.T, url string) ([]byte, error) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		return nil, err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode != http.StatusOK {
		return nil, errors.New(resp.Status)
	}
	return io.ReadAll(resp.Body)
}
