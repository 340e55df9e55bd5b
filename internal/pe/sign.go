package pe

import (
	"bytes"
	"context"
	"crypto"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/asn1"
	"encoding/binary"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
)

// A Signer signs programs.
type Signer struct {
	key         *rsa.PrivateKey
	certificate *x509.Certificate
}

// NewSigner takes a private key of RSA (PEM: PKCS #8 or PKCS #1) and the certificate that
// belongs to it (PEM or DER). Its errors say nothing of what the key holds.
func NewSigner(key, certificate []byte) (*Signer, error) {
	c, err := ParseCertificate(certificate)
	if err != nil {
		return nil, err
	}
	block, _ := pem.Decode(key)
	if block == nil {
		return nil, errors.New("the key is not in PEM form")
	}
	var private any
	switch block.Type {
	case "PRIVATE KEY":
		private, err = x509.ParsePKCS8PrivateKey(block.Bytes)
	case "RSA PRIVATE KEY":
		private, err = x509.ParsePKCS1PrivateKey(block.Bytes)
	case "ENCRYPTED PRIVATE KEY":
		return nil, errors.New("the key is encrypted, and nobody is asked for a passphrase: openssl pkey takes it off")
	default:
		return nil, errors.New("the key's file holds something else than a private key")
	}
	if err != nil {
		return nil, errors.New("the key is damaged")
	}
	k, ok := private.(*rsa.PrivateKey)
	if !ok {
		return nil, errors.New("the key is not of RSA, the one kind that firmware knows")
	}
	if n := k.N.BitLen(); n < 2048 || n > 4096 {
		return nil, fmt.Errorf("the key has %d bits; firmware takes 2048 to 4096", n)
	}
	if public, ok := c.PublicKey.(*rsa.PublicKey); !ok || !public.Equal(&k.PublicKey) {
		return nil, errors.New("the certificate is not of this key")
	}
	return &Signer{k, c}, nil
}

// ParseCertificate reads a certificate, PEM or DER.
func ParseCertificate(data []byte) (*x509.Certificate, error) {
	if block, _ := pem.Decode(data); block != nil {
		if block.Type != "CERTIFICATE" {
			return nil, errors.New("the certificate's file holds something else than a certificate")
		}
		data = block.Bytes
	}
	c, err := x509.ParseCertificate(data)
	if err != nil {
		return nil, fmt.Errorf("the certificate cannot be read: %w", err)
	}
	return c, nil
}

// Digest is what a signature is about: SHA-256 of the image without its checksum, its
// signatures and where they lie. Open reads the file of it.
func (im *Image) Digest(ctx context.Context) ([]byte, error) {
	h := sha256.New()
	opt := im.pe + optional
	h.Write(im.head[:opt+checkSum])
	h.Write(im.head[opt+checkSum+4 : opt+certificates])
	h.Write(im.head[opt+certificates+8:])
	for _, p := range im.pieces {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		r, err := p.reader()
		if err != nil {
			return nil, err
		}
		n, err := io.Copy(h, r)
		if err != nil {
			return nil, err
		}
		if n != p.len() {
			return nil, fmt.Errorf("pe: a section has %d bytes and was said to have %d", n, p.len())
		}
	}
	return h.Sum(nil), nil
}

// A certificate entry (WIN_CERTIFICATE) of PKCS #7, and what it is aligned to.
const (
	entryRevision = 0x0200
	entryPKCS7    = 0x0002
	entryHeader   = 8
	entryAlign    = 8
)

// Sign gives the image with a signature, in place of those that it has.
func (im *Image) Sign(ctx context.Context, s *Signer) (*Image, error) {
	out, err := im.unsigned()
	if err != nil {
		return nil, err
	}
	digest, err := out.Digest(ctx)
	if err != nil {
		return nil, err
	}
	message, err := s.message(digest)
	if err != nil {
		return nil, err
	}
	le := binary.LittleEndian
	entry := make([]byte, entryHeader, entryHeader+len(message)+entryAlign)
	le.PutUint32(entry, uint32(entryHeader+len(message)))
	le.PutUint16(entry[4:], entryRevision)
	le.PutUint16(entry[6:], entryPKCS7)
	entry = append(entry, message...)
	entry = append(entry, make([]byte, -len(entry)&(entryAlign-1))...)
	place := out.head[out.pe+optional+certificates:]
	le.PutUint32(place, uint32(out.Size()))
	le.PutUint32(place[4:], uint32(len(entry)))
	out.pieces = append(out.pieces, piece{data: entry})
	return out, nil
}

// unsigned is the image without signatures, and with an end that one can follow.
func (im *Image) unsigned() (*Image, error) {
	out := &Image{head: bytes.Clone(im.head), pe: im.pe, pieces: append([]piece{}, im.pieces...)}
	place := out.head[out.pe+optional+certificates:][:8]
	if at := int64(binary.LittleEndian.Uint32(place)); at != 0 {
		last := &out.pieces[len(out.pieces)-1]
		keep := at - (im.Size() - last.len())
		if keep < 0 || keep > last.len() || last.open != nil {
			return nil, errors.New("pe: the program's signatures do not stand at its end")
		}
		last.data = last.data[:keep]
	}
	clear(place)
	clear(out.head[out.pe+optional+checkSum:][:4])
	if pad := -out.Size() & (entryAlign - 1); pad > 0 {
		out.pieces = append(out.pieces, piece{data: make([]byte, pad)})
	}
	return out, nil
}

// Names of things in the message (Authenticode's, and RFC 8017's and 2315's).
var (
	oidSignedData   = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 7, 2}
	oidContentType  = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 3}
	oidDigest       = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 4}
	oidRSA          = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 1, 1}
	oidSHA256       = asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 2, 1}
	oidIndirectData = asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 311, 2, 1, 4}
	oidImageData    = asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 311, 2, 1, 15}
)

// DER's tags.
const (
	tagOctets   = 0x04
	tagSequence = 0x30
	tagSet      = 0x31
	tagContext0 = 0xA0 // constructed; [1] and so on follow
	tagText0    = 0x80 // primitive, [0]
)

// der is an element of DER.
func der(tag byte, parts ...[]byte) []byte {
	body := bytes.Join(parts, nil)
	out := []byte{tag}
	switch n := len(body); {
	case n < 0x80:
		out = append(out, byte(n))
	case n < 0x100:
		out = append(out, 0x81, byte(n))
	case n < 0x10000:
		out = append(out, 0x82, byte(n>>8), byte(n))
	default:
		out = append(out, 0x83, byte(n>>16), byte(n>>8), byte(n))
	}
	return append(out, body...)
}

// oid is a name's element.
func oid(name asn1.ObjectIdentifier) []byte {
	b, _ := asn1.Marshal(name) // of these names, all of which have a form
	return b
}

// algorithm is a name with the parameters that these have: none.
func algorithm(name asn1.ObjectIdentifier) []byte {
	return der(tagSequence, oid(name), []byte{0x05, 0x00})
}

// message is a PKCS #7 message that says: this digest is signed by this certificate's key.
func (s *Signer) message(digest []byte) ([]byte, error) {
	version1 := []byte{0x02, 0x01, 0x01}
	// Authenticode wants a link to a file that means nothing.
	obsolete := []byte{}
	for _, c := range "<<<Obsolete>>>" {
		obsolete = append(obsolete, 0, byte(c))
	}
	imageData := der(tagSequence, []byte{0x03, 0x01, 0x00}, der(tagContext0, der(tagContext0+2, der(tagText0, obsolete))))
	content := [][]byte{
		der(tagSequence, oid(oidImageData), imageData),
		der(tagSequence, algorithm(oidSHA256), der(tagOctets, digest)),
	}
	// The digest in the attributes is of the content without its own tag and length.
	inner := sha256.Sum256(bytes.Join(content, nil))
	attributes := [][]byte{
		der(tagSequence, oid(oidContentType), der(tagSet, oid(oidIndirectData))),
		der(tagSequence, oid(oidDigest), der(tagSet, der(tagOctets, inner[:]))),
	}
	hash := sha256.Sum256(der(tagSet, attributes...))
	signature, err := rsa.SignPKCS1v15(nil, s.key, crypto.SHA256, hash[:])
	if err != nil {
		return nil, errors.New("pe: the key does not sign")
	}
	c := s.certificate
	serial, err := asn1.Marshal(c.SerialNumber)
	if err != nil {
		return nil, fmt.Errorf("pe: the certificate's number: %w", err)
	}
	signer := der(tagSequence, version1, der(tagSequence, c.RawIssuer, serial), algorithm(oidSHA256),
		der(tagContext0, attributes...), algorithm(oidRSA), der(tagOctets, signature))
	signed := der(tagSequence, version1, der(tagSet, algorithm(oidSHA256)),
		der(tagSequence, oid(oidIndirectData), der(tagContext0, der(tagSequence, content...))),
		der(tagContext0, c.Raw), der(tagSet, signer))
	return der(tagSequence, oid(oidSignedData), der(tagContext0, signed)), nil
}
