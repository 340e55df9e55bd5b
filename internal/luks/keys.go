package luks

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/pbkdf2"
	"crypto/sha256"
	"encoding/binary"

	"golang.org/x/crypto/argon2"
	"golang.org/x/crypto/xts"
)

// secrets are all that derives from a seed.
type secrets struct {
	volume     []byte // key
	slotSalt   []byte
	digestSalt []byte
	headSalt   [2][]byte // of the head's two copies
	noise      []byte    // the stripes but the last
}

func derive(o Options) (secrets, error) {
	var s secrets
	salt := append(o.UUID[:], o.Of...)
	for _, part := range []struct {
		name string
		size int
		to   *[]byte
	}{
		{"volume key", keySize, &s.volume},
		{"slot salt", saltSize, &s.slotSalt},
		{"digest salt", saltSize, &s.digestSalt},
		{"salt of the first head", 64, &s.headSalt[0]},
		{"salt of the second head", 64, &s.headSalt[1]},
		{"stripes", 32, &s.noise},
	} {
		var err error
		if *part.to, err = hkdf.Key(sha256.New, o.Seed, salt, "ingot luks2 "+part.name, part.size); err != nil {
			return s, err
		}
	}
	// HKDF itself gives no more than some 8000 bytes.
	block, err := aes.NewCipher(s.noise)
	if err != nil {
		return s, err
	}
	s.noise = make([]byte, keySize*(stripes-1))
	cipher.NewCTR(block, make([]byte, aes.BlockSize)).XORKeyStream(s.noise, s.noise)
	return s, nil
}

// slotKey is what the passphrase opens a key slot with.
func (o *Options) slotKey(salt []byte) ([]byte, error) {
	if o.KDF == PBKDF2 {
		return pbkdf2.Key(sha256.New, string(o.Passphrase), salt, o.Iterations, keySize)
	}
	return argon2.IDKey(o.Passphrase, salt, DefaultTime, uint32(o.Memory/1024), lanes, keySize), nil
}

// slot is a key slot's content: the volume key, split and encrypted.
func (o *Options) slot(s secrets) ([]byte, error) {
	key, err := o.slotKey(s.slotSalt)
	if err != nil {
		return nil, err
	}
	c, err := xts.NewCipher(aes.NewCipher, key)
	if err != nil {
		return nil, err
	}
	out := make([]byte, slotSize)
	copy(out, split(s.volume, s.noise))
	for at := 0; at < keySize*stripes; at += slotSector {
		c.Encrypt(out[at:at+slotSector], out[at:at+slotSector], uint64(at/slotSector))
	}
	return out, nil
}

// split is the anti-forensic splitter of LUKS: stripes of noise, and a last one that
// makes the key of all of them.
func split(key, noise []byte) []byte {
	out := append(make([]byte, 0, len(noise)+len(key)), noise...)
	d := make([]byte, len(key))
	for ; len(noise) > 0; noise = noise[len(key):] {
		for i := range d {
			d[i] ^= noise[i]
		}
		diffuse(d)
	}
	for i := range d {
		d[i] ^= key[i]
	}
	return append(out, d...)
}

// diffuse hashes a stripe, in pieces of the hash's size, each with its number.
func diffuse(d []byte) {
	var number [4]byte
	for i := 0; i < len(d); i += sha256.Size {
		h := sha256.New()
		binary.BigEndian.PutUint32(number[:], uint32(i/sha256.Size))
		h.Write(number[:])
		piece := d[i:min(i+sha256.Size, len(d))]
		h.Write(piece)
		copy(piece, h.Sum(nil))
	}
}
