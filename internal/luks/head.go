package luks

import (
	"crypto/pbkdf2"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"fmt"
)

// The JSON of a head. Numbers of 64 bits are texts in it.
type metadata struct {
	Keyslots map[string]keyslot  `json:"keyslots"`
	Tokens   map[string]token    `json:"tokens"`
	Segments map[string]segment  `json:"segments"`
	Digests  map[string]keyproof `json:"digests"`
	Config   struct {
		JSONSize     int64 `json:"json_size,string"`
		KeyslotsSize int64 `json:"keyslots_size,string"`
	} `json:"config"`
}

// A token says what a key slot is for.
type token struct {
	Type     string   `json:"type"`
	Keyslots []string `json:"keyslots"`
}

type keyslot struct {
	Type    string `json:"type"`
	KeySize int    `json:"key_size"`
	AF      struct {
		Type    string `json:"type"`
		Stripes int    `json:"stripes"`
		Hash    string `json:"hash"`
	} `json:"af"`
	Area struct {
		Type       string `json:"type"`
		Offset     int64  `json:"offset,string"`
		Size       int64  `json:"size,string"`
		Encryption string `json:"encryption"`
		KeySize    int    `json:"key_size"`
	} `json:"area"`
	KDF derivation `json:"kdf"`
}

type derivation struct {
	Type       KDF    `json:"type"`
	Hash       string `json:"hash,omitempty"`
	Iterations int    `json:"iterations,omitempty"`
	Time       int    `json:"time,omitempty"`
	Memory     int64  `json:"memory,omitempty"` // KiB
	CPUs       int    `json:"cpus,omitempty"`
	Salt       []byte `json:"salt"`
}

type segment struct {
	Type       string `json:"type"`
	Offset     int64  `json:"offset,string"`
	Size       string `json:"size"`
	Tweak      int64  `json:"iv_tweak,string"`
	Encryption string `json:"encryption"`
	SectorSize int    `json:"sector_size"`
}

type keyproof struct {
	Type       string   `json:"type"`
	Keyslots   []string `json:"keyslots"`
	Segments   []string `json:"segments"`
	Hash       string   `json:"hash"`
	Iterations int      `json:"iterations"`
	Salt       []byte   `json:"salt"`
	Digest     []byte   `json:"digest"`
}

const (
	cipherName = "aes-xts-plain64"
	hashName   = "sha256"
)

func (o *Options) metadata(s secrets) ([]byte, error) {
	proof, err := pbkdf2.Key(sha256.New, string(s.volume), s.digestSalt, digestTurns, digestSize)
	if err != nil {
		return nil, err
	}
	k := keyslot{Type: "luks2", KeySize: keySize}
	k.AF.Type, k.AF.Stripes, k.AF.Hash = "luks1", stripes, hashName
	k.Area.Type, k.Area.Offset, k.Area.Size, k.Area.Encryption, k.Area.KeySize = "raw", slotStart, slotSize, cipherName, keySize
	k.KDF = derivation{Type: o.KDF, Salt: s.slotSalt}
	if o.KDF == PBKDF2 {
		k.KDF.Hash, k.KDF.Iterations = hashName, o.Iterations
	} else {
		k.KDF.Time, k.KDF.Memory, k.KDF.CPUs = DefaultTime, o.Memory/1024, lanes
	}
	m := metadata{
		Keyslots: map[string]keyslot{"0": k},
		Tokens:   map[string]token{},
		Segments: map[string]segment{"0": {"crypt", HeaderSize, "dynamic", 0, cipherName, o.SectorSize}},
		Digests:  map[string]keyproof{"0": {"pbkdf2", []string{"0"}, []string{"0"}, hashName, digestTurns, s.digestSalt, proof}},
	}
	if o.Token != "" {
		m.Tokens["0"] = token{o.Token, []string{"0"}}
	}
	m.Config.JSONSize, m.Config.KeyslotsSize = copySize-binarySize, HeaderSize-slotStart
	text, err := json.Marshal(m)
	if err == nil && len(text) >= copySize-binarySize {
		err = fmt.Errorf("metadata of %d bytes does not fit", len(text))
	}
	return text, err
}

// Places in the binary part of a head.
const (
	atVersion  = 6
	atSize     = 8
	atSequence = 16
	atLabel    = 24
	atHash     = 72
	atSalt     = 104
	atUUID     = 168
	atOffset   = 256
	atChecksum = 448
)

// encode makes both copies of the head and the key slot.
func (o *Options) encode(s secrets) ([]byte, error) {
	text, err := o.metadata(s)
	if err != nil {
		return nil, err
	}
	slot, err := o.slot(s)
	if err != nil {
		return nil, err
	}
	out := make([]byte, slotStart, slotStart+slotSize)
	for i, magic := range []string{"LUKS\xba\xbe", "SKUL\xba\xbe"} {
		b := out[i*copySize : (i+1)*copySize]
		be := binary.BigEndian
		copy(b, magic)
		be.PutUint16(b[atVersion:], 2)
		be.PutUint64(b[atSize:], copySize)
		be.PutUint64(b[atSequence:], 1)
		copy(b[atLabel:], o.Label)
		copy(b[atHash:], hashName)
		copy(b[atSalt:], s.headSalt[i])
		u := o.UUID
		copy(b[atUUID:], fmt.Sprintf("%x-%x-%x-%x-%x", u[:4], u[4:6], u[6:8], u[8:10], u[10:]))
		be.PutUint64(b[atOffset:], uint64(i*copySize))
		copy(b[binarySize:], text)
		sum := sha256.Sum256(b)
		copy(b[atChecksum:], sum[:])
	}
	return append(out, slot...), nil
}
