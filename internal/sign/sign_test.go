package sign_test

import (
	"bytes"
	"crypto"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/ProtonMail/go-crypto/openpgp"
	"github.com/ProtonMail/go-crypto/openpgp/armor"
	"github.com/ProtonMail/go-crypto/openpgp/packet"

	"ingot/internal/fault"
	"ingot/internal/sign"
)

const day = 24 * time.Hour

// now is the real time, for gpgv, the judge, knows no other.
var now = time.Now().Truncate(time.Second)

// key makes a key that was born at a time and lives for a while (0: for ever), with
// a subkey that signs, as Debian's archive keys have.
func key(t *testing.T, name string, born time.Time, life time.Duration) *openpgp.Entity {
	t.Helper()
	c := &packet.Config{
		Algorithm: packet.PubKeyAlgoEdDSA, DefaultHash: crypto.SHA512,
		Time: func() time.Time { return born }, KeyLifetimeSecs: uint32(life / time.Second),
	}
	e, err := openpgp.NewEntity(name, "", name+"@example.org", c)
	if err == nil {
		err = e.AddSigningSubkey(c)
	}
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// signature is one signature packet over a text, by a key's subkey, whether that may
// sign at that time or not.
func signature(t *testing.T, by *openpgp.Entity, text string, at time.Time, h crypto.Hash) []byte {
	t.Helper()
	k := by.Subkeys[len(by.Subkeys)-1].PrivateKey
	s := &packet.Signature{
		Version: 4, SigType: packet.SigTypeText, PubKeyAlgo: k.PubKeyAlgo, Hash: h,
		CreationTime: at, IssuerKeyId: &k.KeyId, IssuerFingerprint: k.Fingerprint,
	}
	c := &packet.Config{DefaultHash: h, Time: func() time.Time { return at }}
	hash, err := s.PrepareSign(c)
	if err == nil {
		_, _ = openpgp.NewCanonicalTextHash(hash).Write([]byte(text))
		err = s.Sign(hash, k, c)
	}
	var b bytes.Buffer
	if err == nil {
		err = s.Serialize(&b)
	}
	if err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// armorOf armors signatures.
func armorOf(t *testing.T, signatures ...[]byte) string {
	t.Helper()
	var b bytes.Buffer
	w, err := armor.Encode(&b, "PGP SIGNATURE", nil)
	if err != nil {
		t.Fatal(err)
	}
	_, _ = w.Write(bytes.Join(signatures, nil))
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.String() + "\n"
}

const text = "Origin: Test\nSuite: test\n- a dash\n\nSHA256:\n 00 1 a"

// clear makes a clear-signed document of text.
func clear(t *testing.T, signatures ...[]byte) string {
	t.Helper()
	return "-----BEGIN PGP SIGNED MESSAGE-----\nHash: SHA256\n\n" +
		strings.ReplaceAll(text, "\n- a", "\n- - a") + "\n" + armorOf(t, signatures...)
}

// ring is the keyring of some keys, and the file that gpgv reads it from.
func ring(t *testing.T, keys ...*openpgp.Entity) (*sign.Keyring, string) {
	t.Helper()
	var b bytes.Buffer
	for _, k := range keys {
		if err := k.Serialize(&b); err != nil {
			t.Fatal(err)
		}
	}
	r, err := sign.ReadKeyring("test.gpg", b.Bytes())
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "test.gpg")
	if err := os.WriteFile(path, b.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
	return r, path
}

// gpgv judges a document as apt would use its answer: a good signature that counts, and
// no bad one. It gives the text that it verified. ok is false where gpgv is missing.
func gpgv(t *testing.T, keyring, doc, detached string) (text string, good, ok bool) {
	t.Helper()
	bin, err := exec.LookPath("gpgv")
	if err != nil {
		return "", false, false
	}
	dir := t.TempDir()
	args := []string{"--homedir", dir, "--weak-digest", "SHA1", "--keyring", keyring, "--status-fd", "1"}
	files := []string{filepath.Join(dir, "doc")}
	if err := os.WriteFile(files[0], []byte(doc), 0o644); err != nil {
		t.Fatal(err)
	}
	out := filepath.Join(dir, "out")
	if detached != "" {
		files = []string{filepath.Join(dir, "sig"), files[0]}
		if err := os.WriteFile(files[0], []byte(detached), 0o644); err != nil {
			t.Fatal(err)
		}
	} else {
		args = append(args, "--output", out)
	}
	status, _ := exec.CommandContext(t.Context(), bin, append(args, files...)...).Output() // its status lines tell more than its exit code
	b, _ := os.ReadFile(out)
	s := string(status)
	return string(b), strings.Contains(s, "GOODSIG ") && !strings.Contains(s, "BADSIG ") && !strings.Contains(s, "ERROR"), true
}

func TestSignatures(t *testing.T) {
	born := now.Add(-1000 * day)
	alice := key(t, "alice", born, 0)
	bob := key(t, "bob", born, 0)
	stranger := key(t, "stranger", born, 0)
	expired := key(t, "expired", born, 500*day)
	revoked, halfRevoked := key(t, "revoked", born, 0), key(t, "subkey-revoked", born, 0)
	by := func(e *openpgp.Entity, at time.Time) []byte { return signature(t, e, text, at, crypto.SHA256) }
	byRevoked, byHalf := by(revoked, born.Add(day)), by(halfRevoked, born.Add(day))
	then := &packet.Config{Time: func() time.Time { return now.Add(-10 * day) }}
	if err := revoked.RevokeKey(packet.KeySuperseded, "", then); err != nil {
		t.Fatal(err)
	}
	for i := range halfRevoked.Subkeys {
		if err := halfRevoked.RevokeSubkey(&halfRevoked.Subkeys[i], packet.KeyRetired, "", then); err != nil {
			t.Fatal(err)
		}
	}
	unborn := key(t, "unborn", now.Add(-5*day), 0)
	trusted, file := ring(t, alice, bob, expired, revoked, halfRevoked, unborn)

	recent := now.Add(-day)
	ok := by(alice, recent)
	bad := signature(t, bob, text+"x", recent, crypto.SHA256)
	for _, test := range []struct {
		summary string
		sigs    [][]byte
		signers string
		err     string
		lax     bool // gpgv accepts what we do not
	}{
		{summary: "one good signature", sigs: [][]byte{ok}, signers: "alice"},
		{summary: "two good signatures", sigs: [][]byte{ok, by(bob, recent)}, signers: "alice bob"},
		{summary: "a stranger's signature", sigs: [][]byte{by(stranger, recent)}, err: "not signed by a trusted key: key STRANGER is not in the keyring"},
		{summary: "a stranger's beside a good one", sigs: [][]byte{by(stranger, recent), ok}, signers: "alice"},
		{summary: "a bad signature", sigs: [][]byte{bad}, err: "bad signature by key BOB"},
		{summary: "a bad signature beside a good one", sigs: [][]byte{ok, bad}, err: "bad signature by key BOB"},
		{summary: "a key that is expired now, but was not then", sigs: [][]byte{by(expired, born.Add(day))}, err: "is expired"},
		{summary: "an expired key beside a good one", sigs: [][]byte{by(expired, born.Add(day)), ok}, signers: "alice"},
		{summary: "a revoked key", sigs: [][]byte{byRevoked}, err: "is revoked"},
		{summary: "a revoked subkey", sigs: [][]byte{byHalf}, err: "is revoked"},
		{summary: "a signature of the future", sigs: [][]byte{by(alice, now.Add(2*day))}, err: "signed in the future", lax: true},
		{summary: "a signature older than its key", sigs: [][]byte{signature(t, unborn, text, now.Add(-6*day), crypto.SHA256)}, err: "is newer than its signature"},
		{summary: "no signature", sigs: nil, err: "holds no signature"},
		{summary: "a key among the signatures", sigs: [][]byte{ok, packets(t, stranger)}, err: "packet of type 6 among the signatures", lax: true},
		{summary: "more signatures than one checks", sigs: bytesTimes(ok, 17), err: "more than 16 signatures", lax: true},
	} {
		t.Run(test.summary, func(t *testing.T) {
			doc := clear(t, test.sigs...)
			detached := armorOf(t, test.sigs...)
			for _, form := range []string{"clear-signed", "detached", "detached, binary"} {
				var m sign.Message
				var err error
				want, wantGood, judged := "", false, false
				switch form {
				case "clear-signed":
					m, err = trusted.Clearsigned("F", []byte(doc), now)
					want, wantGood, judged = gpgv(t, file, doc, "")
				case "detached":
					m, err = trusted.Detached("F", []byte(text), []byte(detached), now)
					_, wantGood, judged = gpgv(t, file, text, detached)
				default:
					m, err = trusted.Detached("F", []byte(text), bytes.Join(test.sigs, nil), now)
				}
				if judged && wantGood != (test.err == "" || test.lax) {
					t.Errorf("%s: the judge, gpgv, accepts it: %v", form, wantGood)
				}
				if test.err != "" {
					msg := fmt.Sprint(err)
					for _, e := range []*openpgp.Entity{bob, stranger} {
						msg = strings.ReplaceAll(msg, fmt.Sprintf("%016X", e.Subkeys[len(e.Subkeys)-1].PublicKey.KeyId), strings.ToUpper(e.PrimaryIdentity().UserId.Name))
					}
					if fault.CodeOf(err) != fault.Verification || !strings.Contains(msg, test.err) || m.Text != nil {
						t.Errorf("%s: got %q, %q", form, msg, m.Text)
					}
					continue
				}
				if err != nil {
					t.Errorf("%s: %v", form, err)
					continue
				}
				var names []string
				for _, s := range m.Signers {
					name, _, _ := strings.Cut(s.User, " ")
					names = append(names, name)
				}
				if got := strings.Join(names, " "); got != test.signers {
					t.Errorf("%s: signed by %q, want %q", form, got, test.signers)
				}
				if got := strings.TrimSuffix(string(m.Text), "\n"); got != text {
					t.Errorf("%s: text %q", form, got)
				}
				if judged && want != "" && want != string(m.Text) {
					t.Errorf("%s: text %q, gpgv says %q", form, m.Text, want)
				}
			}
		})
	}
}

func packets(t *testing.T, e *openpgp.Entity) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := e.Serialize(&b); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func bytesTimes(b []byte, n int) [][]byte {
	var all [][]byte
	for range n {
		all = append(all, b)
	}
	return all
}

// TestWeak reads what GnuPG signed with digests and keys that are not believed any more.
func TestWeak(t *testing.T) {
	read := func(name string) []byte {
		b, err := os.ReadFile(filepath.Join("testdata", name))
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	trusted, err := sign.ReadKeyring("weak-keys.asc", read("weak-keys.asc"))
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct{ file, err string }{
		{file: "sound.asc"},
		{file: "weak-digest.asc", err: "signed with the weak digest SHA-1"},
		{file: "weak-key.asc", err: "is a weak RSA key of 1024 bits"},
		{file: "weak-dsa.asc", err: "is a weak DSA key"},
	} {
		m, err := trusted.Clearsigned(test.file, read(test.file), time.Date(2027, 1, 1, 0, 0, 0, 0, time.UTC))
		switch {
		case test.err == "" && (err != nil || string(m.Text) != "Suite: weak\n"):
			t.Errorf("%s: got %q, %v", test.file, m.Text, err)
		case test.err != "" && (fault.CodeOf(err) != fault.Verification || !strings.Contains(err.Error(), test.err)):
			t.Errorf("%s: got %v", test.file, err)
		}
	}
}

// TestFrame changes what is around the signed text. None of it may get through, and
// what is accepted must say what gpgv says.
func TestFrame(t *testing.T) {
	alice := key(t, "alice", now.Add(-100*day), 0)
	trusted, file := ring(t, alice)
	doc := clear(t, signature(t, alice, text, now.Add(-day), crypto.SHA256))
	for _, test := range []struct {
		summary  string
		old, new string
		err      string
		lax      bool // gpgv accepts what we do not
	}{
		{summary: "unchanged"},
		{summary: "carriage returns", old: "\n", new: "\r\n"},
		{summary: "white space at line ends is not signed, and not given out", old: "Suite: test\n", new: "Suite: test \t\n"},
		{summary: "empty lines at the end", old: "-----END PGP SIGNATURE-----\n", new: "-----END PGP SIGNATURE-----\n\n \n"},
		{summary: "no line end at the end", old: "-----END PGP SIGNATURE-----\n", new: "-----END PGP SIGNATURE-----", lax: true},
		{summary: "two digests announced", old: "Hash: SHA256", new: "Hash: SHA512, SHA256"},
		{summary: "changed text", old: "Suite: test", new: "Suite: tent", err: "bad signature"},
		{summary: "a line more", old: "SHA256:\n", new: "SHA256:\n 11 1 b\n", err: "bad signature"},
		{summary: "an empty line more before the signature", old: "\n-----BEGIN PGP SIGNATURE", new: "\n\n-----BEGIN PGP SIGNATURE", err: "bad signature"},
		{summary: "text before", old: "-----BEGIN PGP SIGNED", new: "Suite: evil\n-----BEGIN PGP SIGNED", err: "does not start with a clear-signed message", lax: true},
		{summary: "an empty line before", old: "-----BEGIN PGP SIGNED", new: "\n-----BEGIN PGP SIGNED", err: "does not start", lax: true},
		{summary: "text behind", old: "-----END PGP SIGNATURE-----\n", new: "-----END PGP SIGNATURE-----\nSuite: evil\n", err: "something follows its signature", lax: true},
		{summary: "text in the armor headers", old: "Hash: SHA256\n", new: "Hash: SHA256\nSuite: evil\n", err: "armor header \"Suite: evil\", where only Hash is allowed"},
		{summary: "another header", old: "Hash: SHA256\n", new: "Hash: SHA256\nComment: evil\n", err: "only Hash is allowed"},
		{summary: "no digest announced", old: "Hash: SHA256\n", new: "", err: "announces no digest"},
		{summary: "another digest announced", old: "Hash: SHA256\n", new: "Hash: SHA512\n", err: "uses a digest that its header does not announce"},
		{summary: "an unknown digest announced", old: "Hash: SHA256\n", new: "Hash: SHA256, ROT13\n", err: "unknown digest"},
		{summary: "a dash that is not escaped", old: "- - a dash", new: "- a dash", err: "bad signature"},
		{summary: "a dash without a space", old: "- - a dash", new: "-a dash", err: "starts with a dash that is not escaped"},
		{summary: "another message within", old: "SHA256:\n", new: "SHA256:\n-----BEGIN PGP SIGNED MESSAGE-----\n", err: "starts with a dash that is not escaped"},
		{summary: "a broken checksum", old: "\n=", new: "\n=A", err: "armor is broken"},
		{summary: "no checksum", old: "CHECKSUM", new: ""},
		{summary: "cut in the text", old: "CUT Suite", err: "ends before its signature: it is cut off"},
		{summary: "cut in the signature", old: "CUT \n=", err: "the signature is cut off", lax: true},
		{summary: "cut in the headers", old: "CUT \nOrigin", err: "ends within its armor headers"},
		{summary: "empty", old: "CUT -----BEGIN PGP SIGNED", err: "does not start"},
		{summary: "not signed at all", old: doc, new: text, err: "does not start"},
	} {
		t.Run(test.summary, func(t *testing.T) {
			changed := doc
			if cut, ok := strings.CutPrefix(test.old, "CUT "); ok {
				changed = doc[:strings.Index(doc, cut)]
			} else if test.old == "CHECKSUM" {
				at := strings.Index(doc, "\n=")
				changed = doc[:at] + doc[at+6:]
			} else if test.old != "" {
				changed = strings.ReplaceAll(doc, test.old, test.new)
			}
			if changed == doc && test.summary != "unchanged" {
				t.Fatal("the change changes nothing")
			}
			m, err := trusted.Clearsigned("F", []byte(changed), now)
			judge, good, judged := gpgv(t, file, changed, "")
			if judged && !test.lax && good != (test.err == "") {
				t.Errorf("the judge, gpgv, accepts it: %v", good)
			}
			if test.err != "" {
				if fault.CodeOf(err) != fault.Verification || !strings.Contains(err.Error(), test.err) {
					t.Errorf("got %v", err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if string(m.Text) != text+"\n" {
				t.Errorf("text %q", m.Text)
			}
			trimmed := strings.NewReplacer("\r\n", "\n", " \t\n", "\n").Replace(judge)
			if judged && good && trimmed != string(m.Text) {
				t.Errorf("text %q, gpgv says %q", m.Text, judge)
			}
		})
	}
}

// TestEveryByte changes each byte of a document in turn. What is still accepted must
// mean the same.
func TestEveryByte(t *testing.T) {
	alice := key(t, "alice", now.Add(-100*day), 0)
	trusted, _ := ring(t, alice)
	doc := []byte(clear(t, signature(t, alice, text, now.Add(-day), crypto.SHA256)))
	accepted := 0
	for i := range doc {
		for _, flip := range []byte{0x01, 0x20, 0x80} {
			b := bytes.Clone(doc)
			b[i] ^= flip
			m, err := trusted.Clearsigned("F", b, now)
			if err == nil {
				accepted++
				if string(m.Text) != text+"\n" {
					t.Errorf("byte %d ^ %#x: text %q", i, flip, m.Text)
				}
			} else if fault.CodeOf(err) != fault.Verification {
				t.Errorf("byte %d ^ %#x: %v", i, flip, err)
			}
		}
	}
	for i := range doc {
		if m, err := trusted.Clearsigned("F", doc[:i], now); err == nil && string(m.Text) != text+"\n" {
			t.Errorf("cut at %d: accepted", i)
		}
	}
	t.Logf("%d of %d changed documents still mean the same", accepted, 3*len(doc))
}

func TestReadKeyring(t *testing.T) {
	alice, bob := key(t, "alice", now.Add(-day), 0), key(t, "bob", now.Add(-day), 0)
	pub := func(e *openpgp.Entity) string {
		var b bytes.Buffer
		w, err := armor.Encode(&b, openpgp.PublicKeyType, nil)
		if err == nil {
			err = e.Serialize(w)
		}
		if err == nil {
			err = w.Close()
		}
		if err != nil {
			t.Fatal(err)
		}
		return b.String() + "\n"
	}
	var private bytes.Buffer
	if err := alice.SerializePrivate(&private, nil); err != nil {
		t.Fatal(err)
	}
	both := string(packets(t, alice)) + string(packets(t, bob))
	for _, test := range []struct {
		summary, data string
		n             int
		err           string
	}{
		{summary: "packets", data: both, n: 2},
		{summary: "armor", data: pub(alice), n: 1},
		{summary: "two armored blocks with words between", data: "alice:\n" + pub(alice) + "\nbob:\n" + pub(bob), n: 2},
		{summary: "a key behind packets that belong to none", data: "\xc2\x01\x00" + both, n: 2},
		{summary: "empty", err: "holds no OpenPGP public key"},
		{summary: "words", data: "hello", err: "holds no OpenPGP public key"},
		{summary: "a keybox", data: "\x00\x00\x00\x20\x01\x01\x00\x02KBXf\x00\x00\x00\x00", err: "keybox"},
		{summary: "a signature", data: armorOf(t, signature(t, alice, "x", now, crypto.SHA256)), err: "holds a pgp signature"},
		{summary: "cut armor", data: pub(alice)[:200], err: "holds no OpenPGP public key"},
		{summary: "a private key", data: private.String(), err: "private key"},
	} {
		t.Run(test.summary, func(t *testing.T) {
			r, err := sign.ReadKeyring("k.gpg", []byte(test.data))
			if test.err != "" {
				if fault.CodeOf(err) != fault.Definition || !strings.Contains(err.Error(), "keyring k.gpg: ") || !strings.Contains(err.Error(), test.err) {
					t.Errorf("got %v", err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if got := len(r.Fingerprints()); got != test.n {
				t.Errorf("%d keys, want %d", got, test.n)
			}
		})
	}
}
