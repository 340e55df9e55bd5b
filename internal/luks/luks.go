// Package luks makes LUKS2 containers: encrypted devices that cryptsetup opens, written
// without device-mapper and without any other program.
//
// A container is a head of 16 MiB and a payload. The head says, twice and with checksums,
// how the payload is encrypted; it is JSON behind a binary sector. The key of the payload,
// the volume key, lies in a key slot: split into 4000 stripes that are worth nothing
// unless all are there (so that wiping a part of them destroys the key), and encrypted
// with what a slow function makes of a passphrase.
//
//	0        head: 4096 bytes, then JSON up to 16 KiB
//	16 KiB   the same again, with a salt of its own
//	32 KiB   key slot 0: the stripes, encrypted
//	16 MiB   payload: AES in XTS mode, each sector by its number
//
// # What is secret, and what makes the same bytes again
//
// Nothing here is random. The volume key, the salts and the stripes derive (HKDF, RFC 5869)
// from a seed: a secret of at least 32 bytes that whoever makes the image keeps, and that
// is never part of it. Options with the same seed, identity and passphrase give the same
// head. The identity enters the derivation, so two images that are made of one seed have
// two keys: equal sectors of both look different.
//
// Sectors that are never written stay holes, as a device that passes discards on would
// have them: they decrypt to noise, and show which parts of the payload are in use. What
// stands on the payload must not take them for zeros; see [Payload.Fill].
//
// Facts are from the LUKS2 On-Disk Format Specification 1.1 and from what cryptsetup 2.6
// writes.
package luks

import (
	"fmt"
	"strings"
)

const (
	// HeaderSize is what lies before the payload, in bytes.
	HeaderSize = 16 << 20
	// HeadSize is how much of it is written.
	HeadSize = slotStart + slotSize
	// MinSeed is how many bytes a seed has at the least.
	MinSeed = 32
	// MaxPassphrase is how many bytes a passphrase has at the most: what cryptsetup
	// reads from a terminal.
	MaxPassphrase = 512
	// MaxLabel is how many bytes a label has at the most.
	MaxLabel = 47

	maxToken = 64

	copySize    = 16 << 10 // of one copy of the head
	binarySize  = 4096     // of that, what is not JSON
	slotStart   = 2 * copySize
	keySize     = 64 // two keys of AES-256
	stripes     = 4000
	slotSize    = (keySize*stripes + 4095) / 4096 * 4096
	slotSector  = 512 // in which a key slot is encrypted
	saltSize    = 32
	digestSize  = 32
	digestTurns = 1000 // of PBKDF2 for the digest of the volume key, which has no weakness to hide
)

// A KDF is the slow function that makes a key of a passphrase.
type KDF string

// The functions.
const (
	Argon2id KDF = "argon2id" // wants memory as well as time (RFC 9106)
	PBKDF2   KDF = "pbkdf2"   // wants time alone; what else than cryptsetup reads (RFC 8018)
)

// The costs where none are said. They are the same on each machine, as bytes must be:
// 64 MiB is RFC 9106's choice where memory is scarce, as it is in an initramfs.
const (
	DefaultMemory     = 64 << 20
	DefaultTime       = 4
	DefaultIterations = 1_000_000
	LeastIterations   = 1000
	lanes             = 4
)

// Options say what a container is.
type Options struct {
	// UUID names the container; it may not be zero.
	UUID [16]byte
	// Of is what else the keys derive from, for who gives several images one UUID.
	Of []byte
	// Label is at most [MaxLabel] bytes.
	Label string
	// SectorSize is in how many bytes the payload is encrypted at once, which is
	// what a device of it writes at once: 512 or 4096; 0 is 512.
	SectorSize int
	// Passphrase opens the container. It has 1 to [MaxPassphrase] bytes.
	Passphrase []byte
	// Seed is what all keys derive from, together with the UUID: at least [MinSeed]
	// bytes that nobody can guess.
	Seed []byte
	// KDF is the slow function; "" is [Argon2id].
	KDF KDF
	// Memory is how many bytes Argon2id fills: 0 is [DefaultMemory].
	Memory int64
	// Iterations are PBKDF2's: 0 is [DefaultIterations], and [LeastIterations] the least.
	Iterations int
	// Token is the type of a token that the key slot gets, by which others know what the
	// container is for; "" is none.
	Token string
}

func (o *Options) defaults() {
	if o.SectorSize == 0 {
		o.SectorSize = 512
	}
	if o.KDF == "" {
		o.KDF = Argon2id
	}
	if o.Memory == 0 {
		o.Memory = DefaultMemory
	}
	if o.Iterations == 0 {
		o.Iterations = DefaultIterations
	}
}

func (o *Options) check() error {
	switch {
	case o.UUID == [16]byte{}:
		return fmt.Errorf("luks: the UUID is zero")
	case len(o.Label) > MaxLabel || strings.IndexByte(o.Label, 0) >= 0:
		return fmt.Errorf("luks: label %q has more than %d bytes, or a NUL byte", o.Label, MaxLabel)
	case o.SectorSize != 512 && o.SectorSize != 4096:
		return fmt.Errorf("luks: a sector of %d bytes is neither 512 nor 4096", o.SectorSize)
	case len(o.Passphrase) == 0 || len(o.Passphrase) > MaxPassphrase:
		return fmt.Errorf("luks: a passphrase of %d bytes has not from 1 to %d", len(o.Passphrase), MaxPassphrase)
	case len(o.Seed) < MinSeed:
		return fmt.Errorf("luks: a seed of %d bytes has less than %d", len(o.Seed), MinSeed)
	case o.KDF != Argon2id && o.KDF != PBKDF2:
		return fmt.Errorf("luks: no key derivation is called %q: there are %s and %s", o.KDF, Argon2id, PBKDF2)
	case o.Memory < 1<<20 || o.Memory > 4<<30 || o.Memory%1024 != 0:
		return fmt.Errorf("luks: memory of %d bytes is not from 1 MiB to 4 GiB in whole KiB", o.Memory)
	case o.Iterations < LeastIterations || o.Iterations > 1<<31-1:
		return fmt.Errorf("luks: %d iterations are not from %d to %d", o.Iterations, LeastIterations, 1<<31-1)
	case len(o.Token) > maxToken:
		return fmt.Errorf("luks: the type of a token has %d bytes, more than %d", len(o.Token), maxToken)
	}
	return nil
}

// A Container is one that is ready to be written.
type Container struct {
	head   []byte // from the container's start
	sector int
	key    []byte
}

// New makes a container's head. The passphrase's slow function is the cost of it: a
// second of time, and Options.Memory.
func New(o Options) (*Container, error) {
	o.defaults()
	if err := o.check(); err != nil {
		return nil, err
	}
	s, err := derive(o)
	if err != nil {
		return nil, fmt.Errorf("luks: cannot derive keys: %w", err)
	}
	head, err := o.encode(s)
	if err != nil {
		return nil, fmt.Errorf("luks: %w", err)
	}
	return &Container{head, o.SectorSize, s.volume}, nil
}

// Head is what is written at the container's start; the rest of [HeaderSize] bytes is zero.
func (c *Container) Head() []byte { return c.head }
