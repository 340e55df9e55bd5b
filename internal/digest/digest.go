// Package digest names content by its SHA-256, the one hash that ingot uses
// for identity: packages, blobs, files, trees, step keys and locks.
package digest

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"hash"
	"io"
)

// A Digest is a SHA-256. The zero value means "none".
type Digest [sha256.Size]byte

// Of is the digest of some bytes.
func Of(b []byte) Digest { return sha256.Sum256(b) }

// Reader is the digest of all that r gives, and how many bytes that was.
func Reader(r io.Reader) (Digest, int64, error) {
	h := sha256.New()
	n, err := io.Copy(h, r)
	return From(h), n, err
}

// From takes the digest out of a running SHA-256.
func From(h hash.Hash) Digest {
	var d Digest
	h.Sum(d[:0])
	return d
}

// Parse reads 64 hexadecimal digits, lower case.
func Parse(s string) (Digest, error) {
	var d Digest
	if len(s) != 2*len(d) {
		return d, fmt.Errorf("digest %q: want 64 hexadecimal digits", s)
	}
	for i := range d {
		high, low := nibbles[s[2*i]], nibbles[s[2*i+1]]
		if high|low > 15 {
			return Digest{}, fmt.Errorf("digest %q: want 64 lower-case hexadecimal digits", s)
		}
		d[i] = high<<4 | low
	}
	return d, nil
}

// nibbles are the values of digits; 255 is none.
var nibbles = func() (t [256]byte) {
	for c := range t {
		t[c] = 255
	}
	for n, c := range []byte("0123456789abcdef") {
		t[c] = byte(n)
	}
	return t
}()

// String is the digest as 64 lower-case hexadecimal digits.
func (d Digest) String() string { return hex.EncodeToString(d[:]) }

// Short is the first twelve digits, for people.
func (d Digest) Short() string { return d.String()[:12] }

// IsZero says whether the digest is "none".
func (d Digest) IsZero() bool { return d == Digest{} }

// MarshalText makes digests plain strings in JSON and YAML.
func (d Digest) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

// UnmarshalText is the reverse of MarshalText.
func (d *Digest) UnmarshalText(b []byte) error {
	p, err := Parse(string(b))
	if err == nil {
		*d = p
	}
	return err
}
