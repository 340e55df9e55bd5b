package sign

import (
	"bytes"
	"errors"
	"os"
	"strings"
	"testing"
	"time"
)

func seeds(f *testing.F) {
	f.Helper()
	for _, name := range []string{"sound.asc", "weak-digest.asc", "weak-dsa.asc", "weak-keys.asc"} {
		b, err := os.ReadFile("testdata/" + name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Add([]byte("-----BEGIN PGP SIGNED MESSAGE-----\nHash: SHA256\n\n- -\n-----BEGIN PGP SIGNATURE-----\n\n=twTO\n-----END PGP SIGNATURE-----\n"))
}

// takenApart is a document, its text, and what is hashed of it.
func takenApart(data []byte) (document, string, string, error) {
	d, err := split(bytes.NewReader(data))
	if err != nil {
		return d, "", "", err
	}
	text, err := d.text()
	var signed strings.Builder
	err = errors.Join(err, d.signed(&signed))
	return d, string(text), signed.String(), err
}

// FuzzSplit: what is taken for the signed text is in the file, and a document made
// from it anew is taken apart the same.
func FuzzSplit(f *testing.F) {
	seeds(f)
	f.Fuzz(func(t *testing.T, data []byte) {
		if len(data) > 1<<16 {
			return
		}
		d, text, signed, err := takenApart(data)
		if err != nil {
			return
		}
		if got := strings.TrimSuffix(strings.ReplaceAll(text, "\n", "\r\n"), "\r\n"); got != signed {
			t.Errorf("text %q is not what is hashed, %q", text, signed)
		}
		for line := range strings.Lines(text) {
			if !bytes.Contains(data, []byte(strings.TrimSuffix(line, "\n"))) {
				t.Errorf("line %q is not in the file", line)
			}
		}
		if text == "" || text[0] == '\n' || strings.Contains(text, "\n\n") {
			return // an escaped empty line is not one: the space goes with the line's end
		}
		again := beginMessage + "\nHash: SHA256\n\n"
		for line := range strings.Lines(text) {
			again += "- " + line
		}
		_, armor, _ := bytes.Cut(data, []byte(beginSignature))
		e, text2, signed2, err := takenApart(append([]byte(again+beginSignature), armor...))
		if err != nil || text2 != text || signed2 != signed || !bytes.Equal(e.signature, d.signature) {
			t.Errorf("made anew, %q is %q: %v", text, text2, err)
		}
	})
}

// FuzzVerify: no bytes but the signed ones verify, and none crash.
func FuzzVerify(f *testing.F) {
	keys, err := os.ReadFile("testdata/weak-keys.asc")
	if err != nil {
		f.Fatal(err)
	}
	ring, err := ReadKeyring("weak-keys.asc", keys)
	if err != nil {
		f.Fatal(err)
	}
	seeds(f)
	now := time.Date(2027, 1, 1, 0, 0, 0, 0, time.UTC)
	f.Fuzz(func(t *testing.T, data []byte) {
		if len(data) > 1<<16 {
			return
		}
		if m, err := ring.Clearsigned("F", data, now); err == nil && string(m.Text) != "Suite: weak\n" {
			t.Errorf("verified %q", m.Text)
		}
	})
}

// FuzzReadKeyring: no file crashes it.
func FuzzReadKeyring(f *testing.F) {
	seeds(f)
	f.Fuzz(func(t *testing.T, data []byte) {
		if len(data) > 1<<16 {
			return
		}
		if r, err := ReadKeyring("k", data); err == nil && len(r.Fingerprints()) == 0 {
			t.Error("an empty keyring")
		}
	})
}
