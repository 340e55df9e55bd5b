package main_test

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ProtonMail/go-crypto/openpgp"
	"github.com/ProtonMail/go-crypto/openpgp/armor"
	"github.com/ProtonMail/go-crypto/openpgp/clearsign"
	"github.com/ProtonMail/go-crypto/openpgp/packet"
)

// An archive is a small archive of a test's own, signed by a key of its own: the
// signatures and digests are right, whatever its packages are.
type archive struct {
	url   string
	key   string // armored public key
	owner *openpgp.Entity

	mu       sync.Mutex
	files    map[string][]byte
	packages []string // stanzas of the index
}

func newArchive(t *testing.T) *archive {
	t.Helper()
	owner, err := openpgp.NewEntity("ingot test archive", "", "archive@example.invalid", &packet.Config{Algorithm: packet.PubKeyAlgoEdDSA})
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	w, err := armor.Encode(&b, openpgp.PublicKeyType, nil)
	if err == nil {
		err = owner.Serialize(w)
	}
	if err == nil {
		err = w.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
	a := &archive{owner: owner, key: b.String() + "\n", files: map[string][]byte{}}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		a.mu.Lock()
		data, ok := a.files[strings.TrimPrefix(r.URL.Path, "/own/")]
		a.mu.Unlock()
		if !ok {
			http.NotFound(w, r)
			return
		}
		_, _ = w.Write(data)
	}))
	t.Cleanup(server.Close)
	a.url = server.URL + "/own"
	return a
}

// A pkg is a package to be made.
type pkg struct {
	name, version string
	fields        string // more of control: "Depends: x\n"
	scripts       map[string]string
	data          []byte // data.tar, or nil for one with a text file
}

// add makes a package of it.
func (a *archive) add(p pkg) {
	control := fmt.Sprintf("Package: %s\nVersion: %s\nArchitecture: amd64\nMaintainer: nobody <nobody@example.invalid>\n%sDescription: a package of ingot's tests\n", p.name, p.version, p.fields)
	members := map[string]string{"control": control}
	for name, text := range p.scripts {
		members[name] = text
	}
	var c tarball
	for name, text := range members {
		c.file("./"+name, text)
	}
	data := p.data
	if data == nil {
		var d tarball
		for _, dir := range []string{"./", "./usr/", "./usr/share/", "./usr/share/" + p.name + "/"} {
			d.add(tar.Header{Typeflag: tar.TypeDir, Name: dir, Mode: 0o755}, "")
		}
		d.file("./usr/share/"+p.name+"/text", "of "+p.name+" "+p.version+"\n")
		data = d.bytes()
	}
	a.put(p, control, ar("debian-binary", []byte("2.0\n"), "control.tar", c.bytes(), "data.tar", data))
}

// put adds a package file.
func (a *archive) put(p pkg, control string, deb []byte) {
	where := fmt.Sprintf("pool/%s_%s_amd64.deb", p.name, p.version)
	a.mu.Lock()
	defer a.mu.Unlock()
	a.files[where] = deb
	head, description, _ := strings.Cut(control, "Description:")
	a.packages = append(a.packages, fmt.Sprintf("%sFilename: %s\nSize: %d\nSHA256: %x\nDescription:%s", head, where, len(deb), sha256.Sum256(deb), description))
}

// release signs what there is; validity 0 is forever.
func (a *archive) release(t *testing.T, date time.Time, validity time.Duration) {
	t.Helper()
	a.mu.Lock()
	defer a.mu.Unlock()
	var index bytes.Buffer
	z := gzip.NewWriter(&index)
	if _, err := z.Write([]byte(strings.Join(a.packages, "\n"))); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	const name = "main/binary-amd64/Packages.gz"
	a.files["dists/test/"+name] = index.Bytes()
	text := "Origin: ingot\nSuite: test\nCodename: test\nDate: " + date.UTC().Format(time.RFC1123) + "\n"
	if validity != 0 {
		text += "Valid-Until: " + date.Add(validity).UTC().Format(time.RFC1123) + "\n"
	}
	text += "Architectures: amd64\nComponents: main\n" + fmt.Sprintf("SHA256:\n %x %d %s\n", sha256.Sum256(index.Bytes()), index.Len(), name)
	var b bytes.Buffer
	w, err := clearsign.Encode(&b, a.owner.PrivateKey, nil)
	if err == nil {
		_, err = w.Write([]byte(text))
	}
	if err == nil {
		err = w.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
	b.WriteByte('\n')
	a.files["dists/test/InRelease"] = b.Bytes()
}

// definition uses this archive alone; an essential package is all its image has.
func (a *archive) definition(more string) map[string]string {
	return map[string]string{"key.asc": a.key, "ingot.yaml": `version: 1
name: own
distro: debian
release: test
start: essential
kernel: none
outputs: [tar]
archives: [{url: "` + a.url + `", suites: [test], components: [main], key: ./key.asc}]
` + more}
}

// A tarball is a tar archive that may be as wrong as its headers say.
type tarball struct {
	b bytes.Buffer
	w *tar.Writer
}

func (t *tarball) add(h tar.Header, text string) {
	if t.w == nil {
		t.w = tar.NewWriter(&t.b)
	}
	if h.Typeflag == tar.TypeReg && h.Size == 0 {
		h.Size = int64(len(text))
	}
	if err := t.w.WriteHeader(&h); err != nil {
		panic(err)
	}
	_, _ = t.w.Write([]byte(text))
}

func (t *tarball) file(name, text string) {
	mode := int64(0o644)
	if strings.HasPrefix(text, "#!") {
		mode = 0o755
	}
	t.add(tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: mode}, text)
}

// bytes is the archive; a file that is shorter than its header says stays so.
func (t *tarball) bytes() []byte {
	_ = t.w.Close()
	return t.b.Bytes()
}

// ar makes an archive of pairs of names and bytes.
func ar(members ...any) []byte {
	var b bytes.Buffer
	b.WriteString("!<arch>\n")
	for i := 0; i < len(members); i += 2 {
		data := members[i+1].([]byte)
		fmt.Fprintf(&b, "%-16s%-12d%-6d%-6d%-8o%-10d`\n", members[i], 0, 0, 0, 0o100644, len(data))
		b.Write(data)
		if len(data)%2 == 1 {
			b.WriteByte('\n')
		}
	}
	return b.Bytes()
}

// sparse adds a file in GNU tar's sparse form 1.0: a map says that almost all of it
// is a hole.
func (t *tarball) sparse(name string, size int64) {
	body := make([]byte, 512)
	copy(body, fmt.Sprintf("1\n%d\n0\n", size))
	records := ""
	for _, kv := range [][2]string{{"GNU.sparse.major", "1"}, {"GNU.sparse.minor", "0"}, {"GNU.sparse.name", name}, {"GNU.sparse.realsize", fmt.Sprint(size)}} {
		line := " " + kv[0] + "=" + kv[1] + "\n"
		n := len(line) + 1
		for len(fmt.Sprint(n))+len(line) != n {
			n++
		}
		records += fmt.Sprint(n) + line
	}
	raw := func(name string, kind byte, data []byte) {
		h := make([]byte, 512)
		copy(h, name)
		copy(h[100:], "0000644\x000000000\x000000000\x00")
		copy(h[124:], fmt.Sprintf("%011o\x0000000000000\x00", len(data)))
		h[156] = kind
		copy(h[257:], "ustar\x0000")
		copy(h[148:], "        ")
		sum := 0
		for _, b := range h {
			sum += int(b)
		}
		copy(h[148:], fmt.Sprintf("%06o\x00 ", sum))
		t.b.Write(h)
		t.b.Write(data)
		t.b.Write(make([]byte, (512-len(data)%512)%512))
	}
	if err := t.w.Flush(); err != nil {
		panic(err)
	}
	raw("./PaxHeaders/huge", 'x', []byte(records))
	raw("./GNUSparseFile.0/huge", '0', body)
}
