package main_test

import (
	"archive/tar"
	"bytes"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// tampered judges what comes changed from a mirror: nothing of it is used.
func (c *court) tampered(t *testing.T) {
	base := c.project(t, map[string]string{"ingot.yaml": minimal})
	base.must(t, "lock")
	lock := base.read(t, "ingot.lock")
	// A package of the main archive: --mirror is the only place to fetch it from.
	const victim = "coreutils"
	location := ""
	for _, l := range lines(lock) {
		if f := strings.Fields(l); len(f) == 7 && f[0] == victim {
			location = f[6]
		}
	}
	if location == "" {
		t.Fatalf("no %s in the lock", victim)
	}
	deb := func(at func(data []byte) int) func(string, []byte) []byte {
		return func(path string, data []byte) []byte {
			if strings.HasSuffix(path, location) {
				return flip(data, at(data))
			}
			return data
		}
	}
	index := func(change func([]byte) []byte) func(string, []byte) []byte {
		return func(path string, data []byte) []byte {
			if strings.Contains(path, "/bookworm/main/binary-amd64/") {
				return change(data)
			}
			return data
		}
	}
	release := func(change func([]byte) []byte) func(string, []byte) []byte {
		return func(path string, data []byte) []byte {
			if strings.HasSuffix(path, "/dists/bookworm/InRelease") {
				return change(data)
			}
			return data
		}
	}
	half := func(data []byte) []byte { return data[:len(data)/2] }
	controlAt := func(data []byte) int { return bytes.Index(data, []byte("control.tar")) }
	for _, k := range []struct {
		summary string
		locked  bool // the lock is there: only packages are fetched
		alter   func(string, []byte) []byte
		words   []string
	}{
		{"InRelease: a byte of the body", false, release(func(b []byte) []byte { return flip(b, bytes.Index(b, []byte("Codename"))) }), []string{"bookworm/InRelease"}},
		{"InRelease: a digest", false, release(func(b []byte) []byte { return flip(b, bytes.Index(b, []byte("SHA256:"))+20) }), []string{"bookworm/InRelease"}},
		{"InRelease: the signature", false, release(func(b []byte) []byte { return flip(b, len(b)-200) }), []string{"bookworm/InRelease"}},
		{"InRelease: truncated", false, release(half), []string{"bookworm/InRelease"}},
		{"InRelease: more after the signature", false, release(func(b []byte) []byte { return append(bytes.Clone(b), "Suite: evil\n"...) }), []string{"bookworm/InRelease"}},
		{"InRelease: empty", false, release(func([]byte) []byte { return nil }), []string{"bookworm/InRelease"}},
		{"InRelease: of another suite", false, func(path string, data []byte) []byte {
			if !strings.HasSuffix(path, "/dists/bookworm/InRelease") {
				return data
			}
			other, err := os.ReadFile(c.mirror.source.get("/debian/dists/trixie/InRelease").file)
			if err != nil {
				t.Error(err)
			}
			return other
		}, []string{"bookworm/InRelease", "trixie"}},
		{"Packages: a byte", false, index(func(b []byte) []byte { return flip(b, len(b)/2) }), []string{"bookworm/main/binary-amd64/"}},
		{"Packages: truncated", false, index(half), []string{"bookworm/main/binary-amd64/"}},
		{"Packages: longer", false, index(func(b []byte) []byte { return append(bytes.Clone(b), 0) }), []string{"bookworm/main/binary-amd64/"}},
		{"deb: ar header", true, deb(func(b []byte) int { return controlAt(b) + 20 }), []string{location}},
		{"deb: control", true, deb(func(b []byte) int { return controlAt(b) + 60 + 40 }), []string{location}},
		{"deb: data", true, deb(func(b []byte) int { return len(b) / 2 }), []string{location}},
		{"deb: truncated", true, func(path string, b []byte) []byte {
			if strings.HasSuffix(path, location) {
				return half(b)
			}
			return b
		}, []string{location}},
	} {
		t.Run(k.summary, func(t *testing.T) {
			m := c.mirror.source.serve(t)
			m.alter = k.alter
			files := map[string]string{"ingot.yaml": minimal}
			if k.locked {
				files["ingot.lock"] = lock
			}
			p := c.project(t, files).fresh().from(m)
			v := p.refuse(t, 5, k.words, "build", "--to", "out")
			if strings.Contains(v.err, "install: start") {
				t.Error("the build went on")
			}
			if !k.locked {
				if _, err := os.Stat(p.path("ingot.lock")); err == nil {
					t.Error("a lock was written")
				}
			}
			p.nothingMade(t)
			p.storeWhole(t)
			for _, l := range lines(lock) {
				if f := strings.Fields(l); len(f) == 7 && f[0] == victim {
					if found, _ := filepath.Glob(filepath.Join(p.home, "store", "blobs", "*", f[4])); len(found) > 0 && k.locked {
						t.Errorf("the store has %s", found)
					}
					if found, _ := filepath.Glob(filepath.Join(p.cache, "entries", "packages", f[4]+"*")); len(found) > 0 && k.locked {
						t.Errorf("the cache has %s", found)
					}
				}
			}
		})
	}
	t.Run("then right", func(t *testing.T) {
		// The mirror mends itself while it is asked: the second answer is right.
		m := c.mirror.source.serve(t)
		var n atomic.Int32
		m.alter = func(path string, data []byte) []byte {
			if strings.HasSuffix(path, location) && n.Add(1) == 1 {
				return flip(data, 1000)
			}
			return data
		}
		p := c.project(t, map[string]string{"ingot.yaml": minimal, "ingot.lock": lock}).fresh().from(m)
		p.build(t, "--locked")
		p.storeWhole(t)
	})
}

// nothingMade finds what a refused build should not have written.
func (p *project) nothingMade(t *testing.T) {
	t.Helper()
	found, err := os.ReadDir(p.path("out"))
	if err == nil && len(found) > 0 {
		t.Errorf("artifacts were made: %v", found)
	}
	noLeftovers(t, p.cache, "tmp", "work")
}

// hostile judges packages that are what their archive signed, and mean harm.
func (c *court) hostile(t *testing.T) {
	victim := filepath.Join(t.TempDir(), "victim")
	if err := os.WriteFile(victim, []byte("whole"), 0o666); err != nil {
		t.Fatal(err)
	}
	up := strings.Repeat("../", 40)
	reg := func(name string) tar.Header { return tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: 0o644} }
	for _, k := range []struct {
		summary string
		members func(b *tarball)
	}{
		{"dots", func(b *tarball) { b.add(reg("./"+up+strings.TrimPrefix(victim, "/")), "evil") }},
		{"dots after a name", func(b *tarball) { b.add(reg("./usr/"+up+strings.TrimPrefix(victim, "/")), "evil") }},
		{"below an absolute link", func(b *tarball) {
			b.add(tar.Header{Typeflag: tar.TypeSymlink, Name: "./way", Linkname: filepath.Dir(victim), Mode: 0o777}, "")
			b.add(reg("./way/victim"), "evil")
		}},
		{"below a relative link", func(b *tarball) {
			b.add(tar.Header{Typeflag: tar.TypeSymlink, Name: "./way", Linkname: up + strings.TrimPrefix(filepath.Dir(victim), "/"), Mode: 0o777}, "")
			b.add(reg("./way/victim"), "evil")
		}},
		{"a link replaced by a file through it", func(b *tarball) {
			b.add(tar.Header{Typeflag: tar.TypeSymlink, Name: "./victim", Linkname: victim, Mode: 0o777}, "")
			b.add(reg("./victim"), "evil")
		}},
		{"hard link out", func(b *tarball) {
			b.add(tar.Header{Typeflag: tar.TypeLink, Name: "./hard", Linkname: victim}, "")
		}},
		{"hard link by dots", func(b *tarball) {
			b.add(tar.Header{Typeflag: tar.TypeLink, Name: "./hard", Linkname: "./" + up + strings.TrimPrefix(victim, "/")}, "")
		}},
		{"block device", func(b *tarball) {
			b.add(tar.Header{Typeflag: tar.TypeBlock, Name: "./disk", Mode: 0o666, Devmajor: 254, Devminor: 0}, "")
		}},
		{"character device", func(b *tarball) {
			b.add(tar.Header{Typeflag: tar.TypeChar, Name: "./mem", Mode: 0o666, Devmajor: 1, Devminor: 1}, "")
		}},
		{"huge file", func(b *tarball) {
			h := reg("./huge")
			h.Size = 1 << 46
			b.add(h, "a little")
		}},
		{"huge sparse file", func(b *tarball) { b.sparse("./huge", 1<<46) }},
		{"twice", func(b *tarball) {
			b.add(tar.Header{Typeflag: tar.TypeReg, Name: "./twice", Mode: 0o4755}, "one")
			b.add(tar.Header{Typeflag: tar.TypeDir, Name: "./twice", Mode: 0o755}, "")
		}},
	} {
		t.Run(k.summary, func(t *testing.T) {
			var b tarball
			b.add(tar.Header{Typeflag: tar.TypeDir, Name: "./", Mode: 0o755}, "")
			k.members(&b)
			a := newArchive(t)
			a.add(pkg{name: "evil", version: "6.6", fields: "Essential: yes\n", data: b.bytes()})
			a.release(t, time.Now(), 0)
			p := c.project(t, a.definition("")).fresh()
			p.refuse(t, 5, []string{"evil", "6.6"}, "build", "--to", "out")
			p.nothingMade(t)
			p.storeWhole(t)
			if data, err := os.ReadFile(victim); err != nil || string(data) != "whole" {
				t.Fatalf("outside the tree a file was changed: %q, %v", data, err)
			}
			if found, _ := filepath.Glob(filepath.Join(p.cache, "entries", "packages", "*")); len(found) > 0 {
				t.Errorf("it was unpacked into %v", found)
			}
		})
	}
	t.Run("says another name", func(t *testing.T) {
		a := newArchive(t)
		a.add(pkg{name: "honest", version: "1", fields: "Essential: yes\n"})
		a.packages[0] = strings.Replace(a.packages[0], "Package: honest", "Package: bash", 1)
		a.release(t, time.Now(), 0)
		p := c.project(t, a.definition("")).fresh()
		p.refuse(t, 5, []string{"bash", "honest"}, "build", "--to", "out")
		p.nothingMade(t)
	})
	t.Run("not a package", func(t *testing.T) {
		for summary, deb := range map[string][]byte{
			"text":        []byte("<html>welcome</html>"),
			"no control":  ar("debian-binary", []byte("2.0\n"), "data.tar", []byte{}),
			"no data":     ar("debian-binary", []byte("2.0\n"), "control.tar", []byte{}),
			"compression": ar("debian-binary", []byte("2.0\n"), "control.tar.xz", []byte("not xz"), "data.tar.xz", []byte("not xz")),
			"overlong":    []byte("!<arch>\ndebian-binary   0           0     0     100644  9999999999`\n2.0\n"),
		} {
			a := newArchive(t)
			a.put(pkg{name: "evil", version: "1"}, "Package: evil\nVersion: 1\nArchitecture: amd64\nEssential: yes\nDescription: x\n", deb)
			a.release(t, time.Now(), 0)
			p := c.project(t, a.definition("")).fresh()
			v := p.ingot(t, "build", "--to", "out")
			v.check(t, 5, []string{"evil"}, summary)
			p.nothingMade(t)
		}
	})
	t.Run("honest", func(t *testing.T) {
		// The same archive, with Debian's own beside it, gives a good image: it is
		// the packages above that were refused.
		a := newArchive(t)
		a.add(pkg{name: "honest", version: "1", fields: "Depends: bash\n", scripts: map[string]string{
			"postinst": "#!/bin/sh\nset -e\necho \"$1\" >/var/lib/honest\n",
		}})
		a.release(t, time.Now(), 0)
		p := c.project(t, map[string]string{"key.asc": a.key, "ingot.yaml": strings.Replace(minimal, "small", "both", 1) + `packages: [honest]
archives:
  - {url: "` + c.mirror.debian() + `", suites: [bookworm]}
  - {url: "` + a.url + `", suites: [test], key: ./key.asc}
`})
		p.build(t)
		tree := readTar(t, p.path("out/both-amd64.tar"))
		for name, want := range map[string]string{
			"/usr/share/honest/text": "-rw-r--r-- 0:0 of honest 1\n",
			"/var/lib/honest":        "-rw-r--r-- 0:0 configure\n",
		} {
			if got := tree[name].String(); got != want {
				t.Errorf("%s is %q, want %q", name, got, want)
			}
		}
		found := false
		for name, e := range tree {
			if strings.HasPrefix(name, "/etc/apt/sources.list.d/") && strings.Contains(e.content, a.url) {
				found = true
				key := ""
				for _, l := range lines(e.content) {
					if v, ok := strings.CutPrefix(l, "Signed-By: "); ok {
						key = v
					}
				}
				if tree[key].content != a.key {
					t.Errorf("the image's source is signed by %s, which is %q", key, tree[key].content)
				}
			}
		}
		if !found {
			t.Error("the image's own sources do not name the archive")
		}
	})
	t.Run("told as dpkg tells", func(t *testing.T) {
		// The image's own dpkg is the judge: what it says to the scripts of one package
		// is what they were told of the same one while the image was made.
		scripts := map[string]string{}
		for _, name := range []string{"preinst", "postinst"} {
			scripts[name] = "#!/bin/sh\nset -e\n{ echo \"$* in $PWD, umask $(umask)\"; env | grep ^DPKG_ | sort; } >/var/lib/told-" + name + "\n"
		}
		a := newArchive(t)
		a.add(pkg{name: "told", version: "1", fields: "Depends: bash\n", scripts: scripts})
		a.release(t, time.Now(), 0)
		p := c.project(t, map[string]string{"key.asc": a.key, "told.deb": string(a.files["pool/told_1_amd64.deb"]), "again.sh": `#!/bin/sh
set -e
cp -a /var/lib/told-preinst /var/lib/told-postinst /srv
dpkg --purge told
DPKG_COLORS=never dpkg --force-unsafe-io --force-confold -i told.deb
`, "ingot.yaml": strings.Replace(minimal, "small", "told", 1) + `packages: [told]
scripts: [{run: ./again.sh, reads: [told.deb]}]
archives:
  - {url: "` + c.mirror.debian() + `", suites: [bookworm]}
  - {url: "` + a.url + `", suites: [test], key: ./key.asc}
`})
		p.build(t)
		tree := readTar(t, p.path("out/told-amd64.tar"))
		for name := range scripts {
			got, want := tree["/srv/told-"+name].content, tree["/var/lib/told-"+name].content
			if got != want || !strings.Contains(want, "DPKG_RUNNING_VERSION=1.") {
				t.Errorf("%s is told\n%swant\n%s", name, got, want)
			}
		}
	})
}

// network judges all that can come from a mirror. Those that stall cost nothing but
// waiting, so they are asked while the others are.
func (c *court) network(t *testing.T) {
	base := c.project(t, map[string]string{"ingot.yaml": minimal})
	base.must(t, "lock")
	locked := map[string]string{"ingot.yaml": minimal, "ingot.lock": base.read(t, "ingot.lock")}
	start := func(t *testing.T, k badMirror) func(*testing.T) {
		m := c.mirror.source.serve(t)
		m.answer = k.answer
		files := locked
		if !k.locked {
			files = map[string]string{"ingot.yaml": minimal}
		}
		p := c.project(t, files).fresh().from(m)
		done := make(chan verdict, 1)
		go func() { done <- p.ingot(t, "build", "--to", "out") }()
		return func(t *testing.T) {
			v := <-done
			v.check(t, 7, append(k.words, "hint:"), "build")
			if strings.Contains(v.complaint(), "goroutine") || len(v.complaint()) > 2000 {
				t.Errorf("not readable:\n%s", v.complaint())
			}
			p.nothingMade(t)
			p.storeWhole(t)
		}
	}
	waiting := map[string]func(*testing.T){
		"stalls at indexes":  start(t, badMirror{false, stall, []string{"InRelease", "nothing came"}}),
		"stalls at packages": start(t, badMirror{true, debs(stall), []string{"pool/", ".deb", "nothing came"}}),
	}
	t.Run("tampered", c.tampered)
	t.Run("hostile", c.hostile)
	for summary, k := range map[string]badMirror{
		"nothing there":             {false, status(404), []string{"InRelease", "404"}},
		"no packages there":         {true, debs(status(404)), []string{"pool/", ".deb", "404"}},
		"broken":                    {true, debs(status(500)), []string{"pool/", ".deb", "500"}},
		"captive page for indexes":  {false, page, []string{"InRelease", "page"}},
		"captive page for packages": {true, debs(page), []string{"pool/", ".deb", "page"}},
		"login":                     {false, status(511), []string{"InRelease", "login"}},
	} {
		t.Run(summary, func(t *testing.T) { start(t, k)(t) })
	}
	t.Run("nobody there", func(t *testing.T) {
		m := c.mirror.source.serve(t)
		m.close()
		p := c.project(t, map[string]string{"ingot.yaml": minimal}).fresh().from(m)
		p.refuse(t, 7, []string{"InRelease", "hint:"}, "build")
	})
	t.Run("cuts off, stalls once, is busy", func(t *testing.T) {
		m := c.mirror.source.serve(t)
		var cuts, busy atomic.Int32
		var stalled atomic.Bool
		m.answer = debs(func(w http.ResponseWriter, r *http.Request) bool {
			if busy.Add(1) <= 3 {
				w.Header().Set("Retry-After", "1")
				w.WriteHeader(http.StatusServiceUnavailable)
				return true
			}
			k := m.source.get(r.URL.Path)
			if r.Header.Get("Range") != "" || k.err != nil || k.code != http.StatusOK || !strings.HasPrefix(r.URL.Path, "/debian/") {
				return false
			}
			data, err := os.ReadFile(k.file)
			if err != nil || len(data) < 400<<10 {
				return false
			}
			cuts.Add(1)
			w.Header().Set("Content-Length", fmt.Sprint(len(data)))
			w.Header().Set("Accept-Ranges", "bytes")
			_, _ = w.Write(data[:len(data)*2/3])
			if !stalled.Swap(true) {
				w.(http.Flusher).Flush()
				<-r.Context().Done()
			}
			panic(http.ErrAbortHandler)
		})
		p := c.project(t, locked).fresh().from(m)
		p.build(t, "--locked")
		resumed := 0
		for _, r := range m.requests() {
			if strings.HasPrefix(r, "/debian/") && strings.HasSuffix(r, ".deb range") {
				resumed++
			}
		}
		if n := int(cuts.Load()); n < 10 || resumed != n {
			t.Errorf("%d packages were cut off and %d taken up again", n, resumed)
		}
		p.storeWhole(t)
	})
	for summary, f := range waiting {
		t.Run(summary, f)
	}
}

// A badMirror answers as it should not, or says that it did not answer.
type badMirror struct {
	locked bool // the lock is there: only packages are fetched
	answer func(http.ResponseWriter, *http.Request) bool
	words  []string
}

// debs answers so for packages alone.
func debs(answer func(http.ResponseWriter, *http.Request) bool) func(http.ResponseWriter, *http.Request) bool {
	return func(w http.ResponseWriter, r *http.Request) bool {
		return strings.HasSuffix(r.URL.Path, ".deb") && answer(w, r)
	}
}

func page(w http.ResponseWriter, _ *http.Request) bool {
	w.Header().Set("Content-Type", "text/html")
	fmt.Fprint(w, "<!DOCTYPE html><html><title>Welcome to our hotel</title></html>")
	return true
}

func stall(w http.ResponseWriter, r *http.Request) bool {
	w.WriteHeader(http.StatusOK)
	w.(http.Flusher).Flush()
	<-r.Context().Done()
	return true
}

func status(code int) func(http.ResponseWriter, *http.Request) bool {
	return func(w http.ResponseWriter, _ *http.Request) bool { w.WriteHeader(code); return true }
}
