// Package sign checks OpenPGP signatures, and gives out only what they cover.
//
// A [Keyring] holds the public keys that a signer is trusted by. It verifies a
// clear-signed document ([Keyring.Clearsigned], as InRelease is one) or a document
// with its signature in a file of its own ([Keyring.Detached], as Release and
// Release.gpg). The result is a [Message] whose text is exactly the bytes that were hashed:
// nothing of a file that stands outside of its signature can reach a parser.
//
// The rules are those of gpgv as apt uses it. One good signature by a key of
// the ring suffices; others by unknown, expired or revoked keys, or over weak digests, do
// not count; but a signature by a key of the ring that does not fit the text refuses
// the whole. A key must neither be expired now nor revoked. Stricter than gpgv: nothing
// may stand before or after the clear-signed text, RSA keys have 2048 bits or more, and DSA
// is not believed.
package sign

import (
	"bytes"
	"crypto"
	_ "crypto/sha256" // digests that signatures may use
	_ "crypto/sha512"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/ProtonMail/go-crypto/openpgp"
	"github.com/ProtonMail/go-crypto/openpgp/packet"

	"ingot/internal/fault"
)

// Skew is how far a signature may lie in the future, for clocks that disagree: what
// apt allows for a Release file's date (Acquire::Max-FutureTime).
const Skew = 10 * time.Second

// maxSignatures bounds the work that one document can ask for.
const maxSignatures = 16

// A Message is a verified document.
type Message struct {
	Text    []byte   // what was signed; lines end in a line feed
	Signers []Signer // of its good signatures, one at least
}

// A Signer says whose signature was good.
type Signer struct {
	Fingerprint string // of the primary key, 40 upper-case hexadecimal digits or more
	Key         string // fingerprint of the key that signed: the primary or a subkey
	User        string // the primary user id, for people
	Time        time.Time
	// Text says that it is a signature over a text. A clear-signed document has one, also of
	// [Key.Clearsign]; a file that is signed apart, of [Key.Detach], has none, and can so not be
	// turned into a document.
	Text bool
}

// Clearsigned verifies a clear-signed document. The name is what messages call it;
// now is when. All failures are [fault.Verification].
func (k *Keyring) Clearsigned(name string, data []byte, now time.Time) (Message, error) {
	return k.ClearsignedFile(name, bytes.NewReader(data), now)
}

// ClearsignedFile is Clearsigned of a document that is not to be in memory before it is
// verified. It is read several times, and nobody may write to it meanwhile.
func (k *Keyring) ClearsignedFile(name string, file io.ReadSeeker, now time.Time) (Message, error) {
	d, err := split(file)
	if err != nil {
		return Message{}, fault.Newf(fault.Verification, "%s: %w", name, err)
	}
	signers, err := k.verify(content{d.signed, true}, d.signature, d.hashes, now)
	if err != nil {
		return Message{}, refused(name, err)
	}
	text, err := d.text()
	if err != nil {
		return Message{}, fault.Newf(fault.Verification, "%s: %w", name, err)
	}
	return Message{Text: text, Signers: signers}, nil
}

// Statement is ClearsignedFile of a document of ingot's own: it counts signatures over texts
// alone. So what was signed as a file apart, whatever bytes it has, is no statement of its signer.
func (k *Keyring) Statement(name string, file io.ReadSeeker, now time.Time) (Message, error) {
	m, err := k.ClearsignedFile(name, file, now)
	if err != nil {
		return m, err
	}
	m.Signers = slices.DeleteFunc(m.Signers, func(s Signer) bool { return !s.Text })
	if len(m.Signers) == 0 {
		return Message{}, fault.Newf(fault.Verification, "%s: its signature is one of a file, and not of a document", name).
			WithHint("somebody has put the signature of something else to it: ask its publisher")
	}
	return m, nil
}

// Detached verifies a document by a signature that is apart from it, armored or
// not. Its failures are those of Clearsigned.
func (k *Keyring) Detached(name string, data, signature []byte, now time.Time) (Message, error) {
	signature, err := apart(name, signature)
	if err != nil {
		return Message{}, err
	}
	signers, err := k.verify(content{func(w io.Writer) error {
		_, err := w.Write(data)
		return err
	}, false}, signature, nil, now)
	if err != nil {
		return Message{}, refused(name, err)
	}
	return Message{Text: data, Signers: signers}, nil
}

// DetachedReader is Detached of a document that is too long for memory. It is read from
// its start, once for each signature.
func (k *Keyring) DetachedReader(name string, data io.ReadSeeker, signature []byte, now time.Time) ([]Signer, error) {
	signature, err := apart(name, signature)
	if err != nil {
		return nil, err
	}
	signers, err := k.verify(content{func(w io.Writer) error {
		if _, err := data.Seek(0, io.SeekStart); err != nil {
			return err
		}
		_, err := io.Copy(w, data)
		return err
	}, false}, signature, nil, now)
	if err != nil {
		return nil, refused(name, err)
	}
	return signers, nil
}

// A content writes what is hashed; canonical says that its lines end as a text signature
// wants it.
type content struct {
	write     func(io.Writer) error
	canonical bool
}

// apart is a signature without its armor.
func apart(name string, signature []byte) ([]byte, error) {
	if bytes.HasPrefix(signature, []byte("-----")) {
		b, rest, err := unarmor(signature)
		if err != nil {
			return nil, fault.Newf(fault.Verification, "the signature of %s: %w", name, err)
		}
		if len(bytes.TrimSpace(rest)) > 0 {
			return nil, fault.Newf(fault.Verification, "the signature of %s: something follows it", name)
		}
		signature = b
	}
	return signature, nil
}

func refused(name string, err error) error {
	f := fault.Newf(fault.Verification, "%s: %w", name, err)
	if errors.Is(err, errUntrusted) {
		return f.WithHint("if you trust that signer, give its public key with the archive's key:")
	}
	return f
}

// errUntrusted says that no signature was by a key of the ring.
var errUntrusted = errors.New("not signed by a trusted key")

// IsUntrusted says whether an error is that no signature was by a key of the ring.
func IsUntrusted(err error) bool { return errors.Is(err, errUntrusted) }

// verify checks all signatures over a document. hashes are the digests that a
// clear-signed document announces; nil announces nothing.
func (k *Keyring) verify(document content, signatures []byte, hashes map[crypto.Hash]bool, now time.Time) ([]Signer, error) {
	var good []Signer
	var notes []string
	var ahead time.Time
	packets := packet.NewOpaqueReader(bytes.NewReader(signatures))
	for n := 0; ; n++ {
		op, err := packets.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, fmt.Errorf("unreadable signature: %w", err)
		}
		if op.Tag != 2 {
			return nil, fmt.Errorf("packet of type %d among the signatures", op.Tag)
		}
		if n == maxSignatures {
			return nil, fmt.Errorf("more than %d signatures", maxSignatures)
		}
		p, err := op.Parse()
		if err != nil {
			notes = append(notes, fmt.Sprintf("one signature is unreadable (%v)", err))
			continue
		}
		sig, ok := p.(*packet.Signature)
		if !ok {
			return nil, errors.New("something other than a signature among the signatures")
		}
		signer, note, err := k.judge(document, sig, hashes, now)
		switch {
		case err != nil:
			return nil, err
		case note != "":
			notes = append(notes, note)
			if sig.CreationTime.After(now) && sig.CreationTime.After(ahead) {
				if _, ours := k.find(sig); ours {
					ahead = sig.CreationTime
				}
			}
		default:
			good = append(good, signer)
		}
	}
	if len(good) > 0 {
		return good, nil
	}
	if len(notes) == 0 {
		return nil, errors.New("holds no signature")
	}
	return nil, &untrusted{strings.Join(notes, ", "), ahead}
}

// An untrusted error says why no signature counts, and when a key of the ring signed that could
// not have yet.
type untrusted struct {
	notes string
	ahead time.Time
}

func (u *untrusted) Error() string   { return errUntrusted.Error() + ": " + u.notes }
func (u *untrusted) Is(e error) bool { return e == errUntrusted } //nolint:errorlint // it is that one itself

// Ahead is the time of a signature by a key of the ring which was refused because this machine's
// clock has not come there yet. Zero is that there was none.
func Ahead(err error) time.Time {
	if u, ok := errors.AsType[*untrusted](err); ok {
		return u.ahead
	}
	return time.Time{}
}

// judge checks one signature. A note says why it does not count; an error refuses the
// document.
func (k *Keyring) judge(document content, sig *packet.Signature, hashes map[crypto.Hash]bool, now time.Time) (Signer, string, error) {
	if sig.SigType != packet.SigTypeBinary && sig.SigType != packet.SigTypeText {
		return Signer{}, "", fmt.Errorf("a signature of type %#x, which is not one over a document", uint8(sig.SigType))
	}
	if sig.IssuerKeyId == nil {
		return Signer{}, "one signature does not say whose it is", nil
	}
	id := fmt.Sprintf("%016X", *sig.IssuerKeyId)
	key, ok := k.find(sig)
	if !ok {
		return Signer{}, "key " + id + " is not in the keyring", nil
	}
	if note := weak(key.PublicKey, sig); note != "" {
		return Signer{}, "key " + id + " " + note, nil
	}
	if hashes != nil && !hashes[sig.Hash] {
		return Signer{}, "", fmt.Errorf("the signature by key %s uses a digest that its header does not announce", id)
	}
	h, err := sig.PrepareVerify()
	if err != nil {
		return Signer{}, fmt.Sprintf("key %s: %v", id, err), nil
	}
	feed := io.Writer(h)
	if sig.SigType == packet.SigTypeText && !document.canonical {
		feed = openpgp.NewCanonicalTextHash(h)
	}
	if err := document.write(feed); err != nil {
		return Signer{}, "", fmt.Errorf("cannot read it: %w", err)
	}
	if err := key.PublicKey.VerifySignature(h, sig); err != nil {
		return Signer{}, "", fmt.Errorf("bad signature by key %s: the text was changed after it was signed", id)
	}
	if note := timely(key, sig, now); note != "" {
		return Signer{}, "key " + id + " " + note, nil
	}
	user := ""
	if _, uid := key.Entity.PrimarySelfSignature(); uid != nil {
		user = uid.Name
	}
	return Signer{
		Fingerprint: fmt.Sprintf("%X", key.Entity.PrimaryKey.Fingerprint),
		Key:         fmt.Sprintf("%X", key.PublicKey.Fingerprint),
		User:        user,
		Time:        sig.CreationTime,
		Text:        sig.SigType == packet.SigTypeText,
	}, "", nil
}

// strong are the digests that are believed.
var strong = []crypto.Hash{crypto.SHA256, crypto.SHA384, crypto.SHA512, crypto.SHA3_256, crypto.SHA3_512}

// weak says why a signature's algorithms are not believed, or "".
func weak(key *packet.PublicKey, sig *packet.Signature) string {
	if !slices.Contains(strong, sig.Hash) {
		return fmt.Sprintf("signed with the weak digest %v", sig.Hash)
	}
	if key.PubKeyAlgo == packet.PubKeyAlgoDSA {
		return "is a weak DSA key"
	}
	if key.PubKeyAlgo == packet.PubKeyAlgoRSA || key.PubKeyAlgo == packet.PubKeyAlgoRSASignOnly {
		if bits, err := key.BitLength(); err != nil || bits < 2048 {
			return fmt.Sprintf("is a weak RSA key of %d bits", bits)
		}
	}
	return ""
}

// timely says why a key or signature is not valid at a time, or "".
func timely(key openpgp.Key, sig *packet.Signature, now time.Time) string {
	if late := sig.CreationTime.Sub(now); late > 0 && late <= Skew {
		now = sig.CreationTime
	}
	sub := key.PublicKey != key.Entity.PrimaryKey
	self, user := key.Entity.PrimarySelfSignature()
	switch {
	case self == nil || key.SelfSignature == nil:
		return "has no valid self-signature"
	case sig.CreationTime.After(now):
		return fmt.Sprintf("signed in the future (%s); is this machine's clock right?", sig.CreationTime.UTC().Format(time.DateTime))
	case len(key.Entity.Revocations) > 0, sub && len(key.Revocations) > 0, user != nil && len(user.Revocations) > 0:
		return "is revoked"
	case sig.CreationTime.Before(key.PublicKey.CreationTime):
		return "is newer than its signature"
	case key.Entity.PrimaryKey.KeyExpired(self, now), sub && key.PublicKey.KeyExpired(key.SelfSignature, now):
		return "is expired"
	case sig.SigExpired(now):
		return "signed for a time that is over"
	}
	for _, n := range sig.Notations {
		if n.IsCritical {
			return fmt.Sprintf("signed with a critical notation that is not known (%q)", n.Name)
		}
	}
	return ""
}
