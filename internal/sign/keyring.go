package sign

import (
	"bytes"
	"fmt"
	"io"
	"iter"
	"slices"
	"strings"

	"github.com/ProtonMail/go-crypto/openpgp"
	"github.com/ProtonMail/go-crypto/openpgp/armor"
	"github.com/ProtonMail/go-crypto/openpgp/packet"

	"ingot/internal/fault"
)

// maxKeys bounds how many keys one keyring may hold.
const maxKeys = 1000

// A Keyring is a set of trusted public keys. It is immutable.
type Keyring struct{ entities openpgp.EntityList }

// ReadKeyring reads public keys: one or several armored blocks (.asc), or OpenPGP
// packets as they are (.gpg, .pgp). Keys that it cannot read are left out; a file
// without any is a [fault.Definition].
func ReadKeyring(name string, data []byte) (*Keyring, error) {
	bad := func(format string, args ...any) error {
		return fault.Newf(fault.Definition, "keyring %s: %w", name, fmt.Errorf(format, args...)).
			WithHint("a keyring is what \"gpg --export\" writes, with or without --armor")
	}
	if len(data) > 12 && string(data[8:12]) == "KBXf" {
		return nil, bad("is a GnuPG keybox, which only GnuPG reads")
	}
	var all openpgp.EntityList
	if !bytes.Contains(data, begin) {
		all = readEntities(data)
	}
	for block := range armored(data) {
		b, err := armor.Decode(bytes.NewReader(block))
		if err != nil {
			return nil, bad("unreadable armor: %w", err)
		}
		if b.Type != openpgp.PublicKeyType {
			return nil, bad("holds a %s", strings.ToLower(b.Type))
		}
		packets, err := io.ReadAll(b.Body)
		if err != nil {
			return nil, bad("unreadable armor: %w", err)
		}
		if all = append(all, readEntities(packets)...); len(all) > maxKeys {
			break
		}
	}
	if len(all) == 0 {
		return nil, bad("holds no OpenPGP public key")
	}
	if len(all) > maxKeys {
		return nil, bad("holds more than %d keys", maxKeys)
	}
	for _, e := range all {
		if e.PrivateKey != nil {
			return nil, bad("holds a private key")
		}
	}
	return &Keyring{all}, nil
}

var begin = []byte("-----BEGIN PGP ")

// armored are the armored blocks of a file, each from its first line on.
func armored(data []byte) iter.Seq[[]byte] {
	return func(yield func([]byte) bool) {
		for {
			at := bytes.Index(data, begin)
			if at < 0 {
				return
			}
			data = data[at:]
			block := data
			if next := bytes.Index(data[1:], begin); next >= 0 {
				block = data[:1+next]
			}
			data = data[len(block):]
			if !yield(block) {
				return
			}
		}
	}
}

// readEntities reads keys one after another, and goes on behind those that it does not
// understand, as GnuPG does: a ring may hold keys older or newer than this program.
func readEntities(data []byte) openpgp.EntityList {
	var all openpgp.EntityList
	packets := packet.NewReader(bytes.NewReader(data))
	for len(all) <= maxKeys {
		e, err := openpgp.ReadEntity(packets)
		if err == nil {
			all = append(all, e)
			continue
		}
		// Go on at the next primary key.
		for {
			p, err := packets.Next()
			if err != nil {
				return all
			}
			if pk, ok := p.(*packet.PublicKey); ok && !pk.IsSubkey {
				packets.Unread(p)
				break
			}
		}
	}
	return all
}

// Join is the ring of all keys of some rings.
func Join(rings ...*Keyring) *Keyring {
	var all Keyring
	for _, r := range rings {
		all.entities = append(all.entities, r.entities...)
	}
	return &all
}

// Fingerprints are those of the primary keys, in the ring's order: upper-case
// hexadecimal digits.
func (k *Keyring) Fingerprints() []string {
	var all []string
	for _, e := range k.entities {
		all = append(all, fmt.Sprintf("%X", e.PrimaryKey.Fingerprint))
	}
	return all
}

// find is the key of the ring that made a signature, if it may sign. A primary key
// without usage flags may, as in GnuPG; a subkey needs the flag, for with it comes
// the cross-signature that proves it willing.
func (k *Keyring) find(sig *packet.Signature) (openpgp.Key, bool) {
	keys := k.entities.KeysById(*sig.IssuerKeyId)
	i := slices.IndexFunc(keys, func(key openpgp.Key) bool {
		if fp := sig.IssuerFingerprint; fp != nil && !bytes.Equal(fp, key.PublicKey.Fingerprint) {
			return false
		}
		s := key.SelfSignature
		switch {
		case s == nil:
			return false
		case key.PublicKey == key.Entity.PrimaryKey && !s.FlagsValid:
			return true
		}
		return s.FlagsValid && s.FlagSign
	})
	if i < 0 {
		return openpgp.Key{}, false
	}
	return keys[i], true
}
