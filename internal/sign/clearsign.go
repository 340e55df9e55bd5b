package sign

import (
	"bytes"
	"crypto"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
)

const (
	beginMessage   = "-----BEGIN PGP SIGNED MESSAGE-----"
	beginSignature = "-----BEGIN PGP SIGNATURE-----"
	endSignature   = "-----END PGP SIGNATURE-----"
)

// A document is a clear-signed file taken apart (RFC 9580, section 7).
type document struct {
	text      []byte // lines that end in a line feed, without white space at their ends
	signed    []byte // the same as it is hashed: CR LF between lines, none at the end
	hashes    map[crypto.Hash]bool
	signature []byte // OpenPGP packets
}

// Unverified gives the text of a clear-signed document without asking who signed it: for
// whoever has no key to hold it against, and knows that.
func Unverified(data []byte) ([]byte, error) {
	d, err := split(data)
	return d.text, err
}

// announced are the digests that a Hash header may name.
var announced = map[string]crypto.Hash{
	"MD5": crypto.MD5, "SHA1": crypto.SHA1, "RIPEMD160": crypto.RIPEMD160,
	"SHA224": crypto.SHA224, "SHA256": crypto.SHA256, "SHA384": crypto.SHA384, "SHA512": crypto.SHA512,
	"SHA3-256": crypto.SHA3_256, "SHA3-512": crypto.SHA3_512,
}

// cutLine splits off one line, without its line feed and the white space before
// it: what a text signature leaves out.
func cutLine(data []byte) (line, rest []byte, ok bool) {
	line, rest, ok = bytes.Cut(data, []byte("\n"))
	return bytes.TrimRight(line, " \t\r"), rest, ok
}

// split takes a clear-signed file apart. The file must be one such document from its
// first byte to its last; what an attacker could put around it, in headers or
// between unescaped dashes, is refused rather than skipped.
func split(data []byte) (document, error) {
	var d document
	line, rest, ok := cutLine(data)
	if !ok || string(line) != beginMessage {
		return d, errors.New("does not start with a clear-signed message")
	}
	for {
		if line, rest, ok = cutLine(rest); !ok {
			return d, errors.New("ends within its armor headers")
		}
		if len(line) == 0 {
			break
		}
		names, ok := strings.CutPrefix(string(line), "Hash: ")
		if !ok {
			return d, fmt.Errorf("armor header %.40q, where only Hash is allowed", line)
		}
		for name := range strings.SplitSeq(names, ",") {
			h, ok := announced[strings.TrimSpace(name)]
			if !ok {
				return d, fmt.Errorf("unknown digest %.40q announced", name)
			}
			if d.hashes == nil {
				d.hashes = map[crypto.Hash]bool{}
			}
			d.hashes[h] = true
		}
	}
	if d.hashes == nil {
		return d, errors.New("announces no digest")
	}
	d.text = make([]byte, 0, len(rest))
	d.signed = make([]byte, 0, len(rest)+len(rest)/32)
	for first := true; ; first = false {
		at := rest
		if line, rest, ok = cutLine(rest); !ok {
			return d, errors.New("ends before its signature: it is cut off")
		}
		if len(line) > 0 && line[0] == '-' {
			if string(line) == beginSignature {
				rest = at
				break
			}
			if line, ok = bytes.CutPrefix(line, []byte("- ")); !ok {
				return d, fmt.Errorf("line %.40q starts with a dash that is not escaped", line)
			}
		}
		if !first {
			d.signed = append(d.signed, '\r', '\n')
		}
		d.signed = append(d.signed, line...)
		d.text = append(append(d.text, line...), '\n')
	}
	var err error
	if d.signature, rest, err = unarmor(rest); err != nil {
		return d, err
	}
	if len(bytes.TrimSpace(rest)) > 0 {
		return d, errors.New("something follows its signature")
	}
	return d, nil
}

// unarmor reads an armored signature, which must be the first thing in data, and
// returns what follows. The checksum may be missing (RFC 9580 does without) but not wrong.
func unarmor(data []byte) (signature, rest []byte, err error) {
	line, rest, ok := cutLine(data)
	if !ok || string(line) != beginSignature {
		return nil, nil, errors.New("not an armored signature")
	}
	for { // armor headers say nothing of use: Version, Comment
		if line, rest, ok = cutLine(rest); !ok {
			return nil, nil, errors.New("the signature is cut off")
		}
		if len(line) == 0 {
			break
		}
		if !bytes.Contains(line, []byte(": ")) {
			return nil, nil, fmt.Errorf("unreadable armor header %.40q in the signature", line)
		}
	}
	var text []byte
	sum := ""
	for {
		line, rest, ok = cutLine(rest)
		if string(line) == endSignature {
			break
		}
		if !ok {
			return nil, nil, errors.New("the signature is cut off")
		}
		switch {
		case sum != "" && len(line) > 0:
			return nil, nil, errors.New("the signature goes on behind its checksum")
		case len(line) == 5 && line[0] == '=':
			sum = string(line[1:])
		default:
			text = append(text, line...)
		}
	}
	signature, err = base64.StdEncoding.Strict().DecodeString(string(text))
	if err != nil {
		return nil, nil, fmt.Errorf("the signature's armor is broken: %w", err)
	}
	if sum != "" {
		c := crc24(signature)
		if sum != base64.StdEncoding.EncodeToString([]byte{byte(c >> 16), byte(c >> 8), byte(c)}) {
			return nil, nil, errors.New("the signature's armor is broken: its checksum is wrong")
		}
	}
	return signature, rest, nil
}

// crc24 is the checksum of OpenPGP's armor (RFC 4880, section 6.1).
func crc24(data []byte) uint32 {
	crc := uint32(0xb704ce)
	for _, b := range data {
		crc ^= uint32(b) << 16
		for range 8 {
			crc <<= 1
			if crc&0x1000000 != 0 {
				crc ^= 0x1864cfb
			}
		}
	}
	return crc & 0xffffff
}
