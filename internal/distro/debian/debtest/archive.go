package debtest

import (
	"bytes"
	"crypto"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ProtonMail/go-crypto/openpgp"
	"github.com/ProtonMail/go-crypto/openpgp/clearsign"
	"github.com/ProtonMail/go-crypto/openpgp/packet"

	"ingot/internal/digest"
)

// A Signer makes Release files believed.
type Signer struct {
	Entity *openpgp.Entity
	Config *packet.Config
	Key    []byte // a keyring that holds its public key
}

// NewSigner makes a key that exists since a time, which is the time of its
// signatures too.
func NewSigner(t testing.TB, since time.Time) *Signer {
	t.Helper()
	c := &packet.Config{Algorithm: packet.PubKeyAlgoEdDSA, DefaultHash: crypto.SHA256, Time: func() time.Time { return since }}
	e, err := openpgp.NewEntity("Test Archive", "", "test@example.org", c)
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	if err := e.Serialize(&b); err != nil {
		t.Fatal(err)
	}
	return &Signer{e, c, b.Bytes()}
}

// Sign gives a text with its signature around it, as an InRelease file is.
func (s *Signer) Sign(t testing.TB, text string) []byte {
	t.Helper()
	var b bytes.Buffer
	w, err := clearsign.Encode(&b, s.Entity.PrivateKey, s.Config)
	if err == nil {
		_, err = w.Write([]byte(text))
	}
	if err == nil {
		err = w.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
	b.WriteString("\n")
	return b.Bytes()
}

// An Archive is one suite, "test", with the component main for amd64, behind a
// server on loopback.
type Archive struct {
	URL    string
	Signer *Signer
	Fields string // more lines of its Release file
	mu     sync.Mutex
	files  map[string][]byte
	asked  int
}

// NewArchive starts an archive without packages.
func NewArchive(t testing.TB, by *Signer) *Archive {
	t.Helper()
	a := &Archive{Signer: by, files: map[string][]byte{}}
	server := httptest.NewServer(a)
	t.Cleanup(server.Close)
	a.URL = server.URL + "/debian"
	return a
}

// ServeHTTP gives the archive's files.
func (a *Archive) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.asked++
	data, ok := a.files[strings.TrimPrefix(r.URL.Path, "/debian/")]
	if !ok {
		http.NotFound(w, r)
		return
	}
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(data))
}

// Asked is how many requests came since the last call.
func (a *Archive) Asked() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	n := a.asked
	a.asked = 0
	return n
}

// Change replaces a file of the archive.
func (a *Archive) Change(path string, change func([]byte) []byte) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.files[path] = change(slices.Clone(a.files[path]))
}

// Index is the path of the archive's package index.
const Index = "dists/test/main/binary-amd64/Packages.gz"

// Offer has the archive offer these packages and no others from a time on. Packages
// that it offered before stay in its pool.
func (a *Archive) Offer(t testing.TB, date time.Time, debs ...Deb) {
	t.Helper()
	a.mu.Lock()
	defer a.mu.Unlock()
	var index strings.Builder
	for _, d := range debs {
		ref := d.Ref("")
		fmt.Fprintf(&index, "%sFilename: %s\nSize: %d\nSHA256: %s\n\n", d.Stanza(), ref.Location, ref.Size, ref.SHA256)
		a.files[ref.Location] = d.Bytes()
	}
	packed := Compress(".gz", []byte(index.String()))
	a.files[Index] = packed
	a.files["dists/test/InRelease"] = a.Signer.Sign(t, fmt.Sprintf("Origin: Test\nSuite: test\nCodename: test\nDate: %s\nArchitectures: amd64\nComponents: main\n%sSHA256:\n %s %d %s\n",
		date.UTC().Format(time.RFC1123), a.Fields, digest.Of(packed), len(packed), strings.TrimPrefix(Index, "dists/test/")))
}
