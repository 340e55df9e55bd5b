package sign

import (
	"bytes"
	"crypto"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/ProtonMail/go-crypto/openpgp"
	"github.com/ProtonMail/go-crypto/openpgp/armor"
	"github.com/ProtonMail/go-crypto/openpgp/packet"

	"ingot/internal/fault"
)

// A Key is a private key that signs. It is immutable.
type Key struct{ entity *openpgp.Entity }

// profile is how ingot signs: what GnuPG 2.2 and gpgv read too.
func profile(now time.Time) *packet.Config {
	return &packet.Config{
		Algorithm:   packet.PubKeyAlgoEdDSA,
		Curve:       packet.Curve25519,
		DefaultHash: crypto.SHA512,
		Time:        func() time.Time { return now },
	}
}

// NewKey makes a key for signing alone: Ed25519, without a passphrase and without an
// end. The user id is what people see of it.
func NewKey(user string, now time.Time) (*Key, error) {
	e, err := openpgp.NewEntity(user, "", "", profile(now))
	if err != nil {
		return nil, fmt.Errorf("cannot make a key: %w", err)
	}
	e.Subkeys = nil // one to encrypt to is of no use here
	return &Key{e}, nil
}

// ReadKey reads a private key: one armored block, or packets as they are, as
// "gpg --export-secret-keys" writes them. A key that is protected needs its passphrase. What
// cannot be used is a [fault.Preflight].
func ReadKey(name string, data, passphrase []byte, now time.Time) (*Key, error) {
	bad := func(hint, format string, args ...any) error {
		return fault.Newf(fault.Preflight, "key %s: %w", name, fmt.Errorf(format, args...)).WithHint("%s", hint)
	}
	const export = "a signing key is what \"gpg --export-secret-keys --armor FINGERPRINT\" writes"
	var body io.Reader = bytes.NewReader(data)
	if bytes.Contains(data, begin) {
		block, err := armor.Decode(bytes.NewReader(data))
		if err != nil {
			return nil, bad(export, "unreadable armor: %w", err)
		}
		if block.Type != openpgp.PrivateKeyType {
			return nil, bad(export, "holds a %s", strings.ToLower(block.Type))
		}
		body = block.Body
	}
	e, err := openpgp.ReadEntity(packet.NewReader(io.LimitReader(body, 1<<20)))
	if err != nil {
		return nil, bad(export, "unreadable: %w", err)
	}
	if e.PrivateKey == nil {
		return nil, bad(export, "holds no private key")
	}
	if locked(e) {
		if len(passphrase) == 0 {
			return nil, bad("give it in the environment: INGOT_KEY_PASSPHRASE", "needs a passphrase")
		}
		if err := e.DecryptPrivateKeys(passphrase); err != nil {
			return nil, bad("INGOT_KEY_PASSPHRASE holds another", "is not opened by that passphrase")
		}
	}
	if born := e.PrimaryKey.CreationTime; born.After(now) {
		return nil, bad("set this machine's clock", "was made at %s, and this machine's clock says that that is to come", born.UTC().Format(time.DateTime))
	}
	if k, ok := e.SigningKey(now); !ok || k.PrivateKey == nil || k.PrivateKey.Dummy() {
		return nil, bad("make another with 'ingot server key'", "has no part that may sign now: it is expired, revoked, elsewhere, or for another use")
	}
	return &Key{e}, nil
}

func locked(e *openpgp.Entity) bool {
	if e.PrivateKey.Encrypted {
		return true
	}
	for _, s := range e.Subkeys {
		if s.PrivateKey != nil && s.PrivateKey.Encrypted {
			return true
		}
	}
	return false
}

// Fingerprint is the primary key's: upper-case hexadecimal digits.
func (k *Key) Fingerprint() string { return fmt.Sprintf("%X", k.entity.PrimaryKey.Fingerprint) }

// Keyring is the ring of the key alone.
func (k *Key) Keyring() (*Keyring, error) {
	public, err := k.Public()
	if err != nil {
		return nil, err
	}
	return ReadKeyring("key "+k.Fingerprint(), public)
}

// Public is the public key, armored.
func (k *Key) Public() ([]byte, error) {
	return block(openpgp.PublicKeyType, k.entity.Serialize)
}

// Private is the private key, armored and without a passphrase.
func (k *Key) Private() ([]byte, error) {
	return block(openpgp.PrivateKeyType, func(w io.Writer) error { return k.entity.SerializePrivateWithoutSigning(w, nil) })
}

// block is one armored block, with the checksum that GnuPG 2.2 finds its end by.
func block(kind string, write func(io.Writer) error) ([]byte, error) {
	var b bytes.Buffer
	w, err := armor.Encode(&b, kind, nil)
	if err == nil {
		err = errors.Join(write(w), w.Close())
	}
	if err != nil {
		return nil, fmt.Errorf("cannot write a key: %w", err)
	}
	b.WriteByte('\n')
	return b.Bytes(), nil
}

// Clearsign signs a text and puts the signature behind it. White space at the ends of
// its lines is no part of what is signed, and the text ends with a line's end.
func (k *Key) Clearsign(text []byte, now time.Time) ([]byte, error) {
	key, ok := k.entity.SigningKey(now)
	if !ok {
		return nil, errors.New("cannot sign: the key may no longer")
	}
	var b bytes.Buffer
	b.Grow(len(text) + len(text)/16 + 1024)
	b.WriteString(beginMessage + "\nHash: SHA512\n\n")
	h := crypto.SHA512.New()
	for line, rest := []byte(nil), bytes.TrimSuffix(text, []byte("\n")); ; {
		more := false
		line, rest, more = bytes.Cut(rest, []byte("\n"))
		line = bytes.TrimRight(line, " \t\r")
		_, _ = h.Write(line)
		if bytes.HasPrefix(line, []byte("-")) || bytes.HasPrefix(line, []byte("From ")) {
			b.WriteString("- ")
		}
		b.Write(line)
		b.WriteByte('\n')
		if !more {
			break
		}
		_, _ = h.Write([]byte("\r\n"))
	}
	private := key.PrivateKey
	lifetime := uint32(0)
	sig := &packet.Signature{
		Version: private.Version, SigType: packet.SigTypeText, PubKeyAlgo: private.PubKeyAlgo, Hash: crypto.SHA512, CreationTime: now,
		IssuerKeyId: &private.KeyId, IssuerKeyVersion: uint8(private.Version), IssuerFingerprint: private.Fingerprint, SigLifetimeSecs: &lifetime,
	}
	err := sig.Sign(h, private, profile(now))
	if err != nil {
		return nil, fmt.Errorf("cannot sign: %w", err)
	}
	signature, err := block(openpgp.SignatureType, sig.Serialize)
	b.Write(signature)
	return b.Bytes(), err
}

// Detach signs bytes and gives the signature alone, armored.
func (k *Key) Detach(data io.Reader, now time.Time) ([]byte, error) {
	return block(openpgp.SignatureType, func(w io.Writer) error {
		if err := openpgp.DetachSign(w, k.entity, data, profile(now)); err != nil {
			return fmt.Errorf("cannot sign: %w", err)
		}
		return nil
	})
}

// Dearmor gives what an armored block holds: of a key, what gpgv takes for a keyring.
func Dearmor(data []byte) ([]byte, error) {
	b, err := armor.Decode(bytes.NewReader(data))
	if err != nil {
		return nil, fmt.Errorf("unreadable armor: %w", err)
	}
	return io.ReadAll(b.Body)
}

// Armored are the ring's keys, armored: one block.
func (k *Keyring) Armored() ([]byte, error) {
	return block(openpgp.PublicKeyType, func(w io.Writer) error {
		for _, e := range k.entities {
			if err := e.Serialize(w); err != nil {
				return err
			}
		}
		return nil
	})
}

// Select is the ring of those keys that have one of the fingerprints.
func (k *Keyring) Select(fingerprints ...string) *Keyring {
	var out Keyring
	for _, e := range k.entities {
		for _, f := range fingerprints {
			if fmt.Sprintf("%X", e.PrimaryKey.Fingerprint) == f {
				out.entities = append(out.entities, e)
				break
			}
		}
	}
	return &out
}
