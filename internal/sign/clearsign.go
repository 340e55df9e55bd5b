package sign

import (
	"bufio"
	"bytes"
	"crypto"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"strings"
)

const (
	beginMessage   = "-----BEGIN PGP SIGNED MESSAGE-----"
	beginSignature = "-----BEGIN PGP SIGNATURE-----"
	endSignature   = "-----END PGP SIGNATURE-----"
)

// Bounds of a clear-signed file, so that who reads one needs little memory before it is known
// whose it is.
const (
	maxClearLine = 64 << 10 // of a line, in bytes; GnuPG takes less than a third
	maxArmor     = 1 << 20  // of all signatures behind the text
)

// A document is a clear-signed file taken apart (RFC 9580, section 7). Its text stays where it
// is, and is read from there each time: it may be large, and nobody has said yet that it is of
// any use. So who has it must be the only one to write there.
type document struct {
	file      io.ReadSeeker
	size      int64 // of the text
	hashes    map[crypto.Hash]bool
	signature []byte // OpenPGP packets
}

// Unverified gives the text of a clear-signed document without asking who signed it: for
// whoever has no key to hold it against, and knows that.
func Unverified(data []byte) ([]byte, error) {
	d, err := split(bytes.NewReader(data))
	if err != nil {
		return nil, err
	}
	return d.text()
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

// A scanner gives the lines of a clear-signed file as cutLine does.
type scanner struct{ r *bufio.Reader }

// scan reads a file from its start.
func scan(file io.ReadSeeker) (scanner, error) {
	_, err := file.Seek(0, io.SeekStart)
	return scanner{bufio.NewReaderSize(file, maxClearLine)}, err
}

// line is the next line, valid until the one after it; ok is false where the file ends
// within it.
func (s scanner) line() (line []byte, ok bool, err error) {
	line, err = s.r.ReadSlice('\n')
	switch {
	case errors.Is(err, io.EOF):
		err = nil
	case errors.Is(err, bufio.ErrBufferFull):
		return nil, false, fmt.Errorf("has a line of more than %d bytes", maxClearLine)
	case err == nil:
		ok = true
		line = line[:len(line)-1]
	}
	return bytes.TrimRight(line, " \t\r"), ok, err
}

// headers reads up to the text, and says which digests are announced.
func (s scanner) headers() (map[crypto.Hash]bool, error) {
	line, ok, err := s.line()
	if err == nil && (!ok || string(line) != beginMessage) {
		err = errors.New("does not start with a clear-signed message")
	}
	hashes := map[crypto.Hash]bool{}
	for err == nil {
		if line, ok, err = s.line(); err == nil && !ok {
			err = errors.New("ends within its armor headers")
		}
		if err != nil || len(line) == 0 {
			break
		}
		names, ok := strings.CutPrefix(string(line), "Hash: ")
		if !ok {
			return nil, fmt.Errorf("armor header %.40q, where only Hash is allowed", line)
		}
		for name := range strings.SplitSeq(names, ",") {
			h, ok := announced[strings.TrimSpace(name)]
			if !ok {
				return nil, fmt.Errorf("unknown digest %.40q announced", name)
			}
			hashes[h] = true
		}
	}
	if err == nil && len(hashes) == 0 {
		err = errors.New("announces no digest")
	}
	return hashes, err
}

// body gives the lines of the text, and stands behind the first line of the signature then.
func (s scanner) body(give func(line []byte) error) error {
	for {
		line, ok, err := s.line()
		if err == nil && !ok {
			err = errors.New("ends before its signature: it is cut off")
		}
		if err != nil {
			return err
		}
		if len(line) > 0 && line[0] == '-' {
			if string(line) == beginSignature {
				return nil
			}
			if line, ok = bytes.CutPrefix(line, []byte("- ")); !ok {
				return fmt.Errorf("line %.40q starts with a dash that is not escaped", line)
			}
		}
		if err := give(line); err != nil {
			return err
		}
	}
}

// split takes a clear-signed file apart. The file must be one such document from its
// first byte to its last; what an attacker could put around it, in headers or
// between unescaped dashes, is refused rather than skipped.
func split(file io.ReadSeeker) (document, error) {
	d := document{file: file}
	s, err := scan(file)
	if err != nil {
		return d, err
	}
	if d.hashes, err = s.headers(); err != nil {
		return d, err
	}
	if err := s.body(func(line []byte) error {
		d.size += int64(len(line)) + 1
		return nil
	}); err != nil {
		return d, err
	}
	armor, err := io.ReadAll(io.LimitReader(s.r, maxArmor+1))
	if err != nil {
		return d, err
	}
	if len(armor) > maxArmor {
		return d, fmt.Errorf("has more than %d bytes of signatures", maxArmor)
	}
	var rest []byte
	if d.signature, rest, err = unarmor(append([]byte(beginSignature+"\n"), armor...)); err != nil {
		return d, err
	}
	if len(bytes.TrimSpace(rest)) > 0 {
		return d, errors.New("something follows its signature")
	}
	return d, nil
}

// lines gives the text's lines once more.
func (d document) lines(give func(line []byte) error) error {
	s, err := scan(d.file)
	if err == nil {
		_, err = s.headers()
	}
	if err != nil {
		return err
	}
	return s.body(give)
}

// signed writes the text as it is hashed: CR LF between lines, none at the end.
func (d document) signed(to io.Writer) error {
	w := bufio.NewWriterSize(to, 64<<10)
	first := true
	err := d.lines(func(line []byte) error {
		if !first {
			_, _ = w.WriteString("\r\n") // errors stay, for the end
		}
		first = false
		_, err := w.Write(line)
		return err
	})
	return errors.Join(err, w.Flush())
}

// text are the lines, each with a line feed, without white space at their ends.
func (d document) text() ([]byte, error) {
	out := make([]byte, 0, d.size)
	err := d.lines(func(line []byte) error {
		out = append(append(out, line...), '\n')
		return nil
	})
	return out, err
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
