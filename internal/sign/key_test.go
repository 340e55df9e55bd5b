package sign

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"ingot/internal/fault"
	"ingot/internal/judge"
)

// then is when all keys here are made: gpgv, which goes by its own clock, must find it past.
var then = time.Date(2026, 9, 30, 6, 0, 0, 0, time.UTC)

func newKey(t *testing.T) *Key {
	t.Helper()
	k, err := NewKey("ingot image server", then)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// TestSigned: what a key signs, its ring verifies, and gpgv does.
func TestSigned(t *testing.T) {
	k := newKey(t)
	private, err := k.Private()
	if err != nil {
		t.Fatal(err)
	}
	if k, err = ReadKey("k", private, nil, then); err != nil {
		t.Fatal(err)
	}
	ring, err := k.Keyring()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	write := func(name string, data []byte) string {
		t.Helper()
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, data, 0o644); err != nil {
			t.Fatal(err)
		}
		return path
	}
	dearmored := filepath.Join(dir, "key.gpg")
	judgeKeys := func(args ...string) {
		t.Helper()
		judge.Run(t, "gpgv", append([]string{"--keyring", dearmored}, args...)...)
	}
	var packets bytes.Buffer
	if err := k.entity.Serialize(&packets); err != nil {
		t.Fatal(err)
	}
	write("key.gpg", packets.Bytes())
	for _, text := range []string{"{\"a\": 1}\n", "- dashes\n-\n\nFrom here\n", "no line's end", "a\n\n\nb\n"} {
		signed, err := k.Clearsign([]byte(text), then)
		if err != nil {
			t.Fatal(err)
		}
		m, err := ring.Clearsigned("f", signed, then)
		if err != nil || strings.TrimSuffix(string(m.Text), "\n") != strings.TrimSuffix(text, "\n") {
			t.Errorf("%q: %q, %v", text, m.Text, err)
		}
		judgeKeys(write("signed", signed))
		apart, err := k.Detach(strings.NewReader(text), then)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := ring.Detached("f", []byte(text), apart, then); err != nil {
			t.Error(err)
		}
		judgeKeys(write("sig", apart), write("text", []byte(text)))
		if _, err := ring.Detached("f", []byte(text+"x"), apart, then); fault.CodeOf(err) != fault.Verification {
			t.Errorf("a changed text: %v", err)
		}
	}
	other := newKey(t)
	signed, err := other.Clearsign([]byte("x\n"), then)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := ring.Clearsigned("f", signed, then); fault.CodeOf(err) != fault.Verification {
		t.Errorf("another key's: %v", err)
	}
	theirs, err := other.Keyring()
	if err != nil {
		t.Fatal(err)
	}
	both := Join(ring, theirs)
	if got := both.Select(other.Fingerprint()).Fingerprints(); len(got) != 1 || got[0] != other.Fingerprint() {
		t.Errorf("selected %q", got)
	}
	armoredBoth, err := both.Armored()
	if err != nil {
		t.Fatal(err)
	}
	if again, err := ReadKeyring("both", armoredBoth); err != nil || len(again.Fingerprints()) != 2 {
		t.Errorf("both: %v, %v", again, err)
	}
}

func TestReadKey(t *testing.T) {
	k := newKey(t)
	public, err := k.Public()
	if err != nil {
		t.Fatal(err)
	}
	protected := newKey(t)
	if err := protected.entity.EncryptPrivateKeys([]byte("secret"), nil); err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	if err := protected.entity.SerializePrivateWithoutSigning(&b, nil); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		summary, data, passphrase, err, hint string
	}{
		{"a public key", string(public), "", "holds a pgp public key block", "--export-secret-keys"},
		{"nothing", "", "", "unreadable", "--export-secret-keys"},
		{"a text", "hello", "", "unreadable", "--export-secret-keys"},
		{"protected, no passphrase", b.String(), "", "needs a passphrase", "INGOT_KEY_PASSPHRASE"},
		{"protected, another passphrase", b.String(), "x", "not opened by that passphrase", "INGOT_KEY_PASSPHRASE"},
		{"protected", b.String(), "secret", "", ""},
	} {
		t.Run(c.summary, func(t *testing.T) {
			k, err := ReadKey("k", []byte(c.data), []byte(c.passphrase), then)
			if c.err == "" {
				if err != nil || k.Fingerprint() != protected.Fingerprint() {
					t.Errorf("%v, %v", k, err)
				}
				return
			}
			if fault.CodeOf(err) != fault.Preflight || !strings.Contains(err.Error(), c.err) || !strings.Contains(fault.HintOf(err), c.hint) {
				t.Errorf("%v (%s)", err, fault.HintOf(err))
			}
		})
	}
}

// FuzzReadKey: no file crashes it.
func FuzzReadKey(f *testing.F) {
	seeds(f)
	k, err := NewKey("u", then)
	if err != nil {
		f.Fatal(err)
	}
	private, err := k.Private()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(private)
	f.Fuzz(func(t *testing.T, data []byte) {
		if len(data) > 1<<16 {
			return
		}
		_, _ = ReadKey("k", data, []byte("p"), then)
	})
}
