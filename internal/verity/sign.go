package verity

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
)

// The identifiers of PKCS #7 (RFC 2315) and of algorithms (RFC 8017, RFC 5758).
var (
	oidData       = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 7, 1}
	oidSignedData = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 7, 2}
	oidSHA256     = asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 2, 1}
	oidRSA        = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 1, 1}
	oidECDSA      = asn1.ObjectIdentifier{1, 2, 840, 10045, 4, 3, 2}
)

type contentInfo struct {
	Type    asn1.ObjectIdentifier
	Content signedData `asn1:"explicit,tag:0"`
}

type signedData struct {
	Version int
	Digests []pkix.AlgorithmIdentifier `asn1:"set"`
	Content struct {
		Type asn1.ObjectIdentifier
	}
	Signers []signer `asn1:"set"`
}

type signer struct {
	Version int
	Issuer  struct {
		Name   asn1.RawValue
		Serial *big.Int
	}
	Digest    pkix.AlgorithmIdentifier
	Algorithm pkix.AlgorithmIdentifier
	Signature []byte
}

// A Signer signs root hashes: a key and the certificate that the kernel trusts it by.
type Signer struct {
	key  crypto.Signer
	cert *x509.Certificate
}

// NewSigner reads a key (PKCS #8, PKCS #1 or SEC 1) and its certificate, both in PEM. Keys
// are RSA's, or of an elliptic curve.
func NewSigner(key, certificate []byte) (*Signer, error) {
	block, _ := pem.Decode(key)
	if block == nil {
		return nil, errors.New("verity: the key is no PEM")
	}
	s := &Signer{}
	parsed, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		if parsed, err = x509.ParsePKCS1PrivateKey(block.Bytes); err != nil {
			if parsed, err = x509.ParseECPrivateKey(block.Bytes); err != nil {
				return nil, fmt.Errorf("verity: the key is neither PKCS #8, PKCS #1 nor SEC 1, in PEM of type %q", block.Type)
			}
		}
	}
	switch k := parsed.(type) {
	case *rsa.PrivateKey:
		s.key = k
	case *ecdsa.PrivateKey:
		s.key = k
	default:
		return nil, fmt.Errorf("verity: a key of type %T: want RSA, or an elliptic curve", parsed)
	}
	if block, _ = pem.Decode(certificate); block == nil || block.Type != "CERTIFICATE" {
		return nil, errors.New("verity: the certificate is no PEM of one")
	}
	if s.cert, err = x509.ParseCertificate(block.Bytes); err != nil {
		return nil, fmt.Errorf("verity: the certificate: %w", err)
	}
	if public, ok := s.cert.PublicKey.(interface{ Equal(crypto.PublicKey) bool }); !ok || !public.Equal(s.key.Public()) {
		return nil, errors.New("verity: the certificate is another key's")
	}
	return s, nil
}

// Signature is what the kernel takes beside a root hash: PKCS #7 in DER, detached, without
// attributes and certificates, of the hash in hexadecimal digits. The same key gives the
// same bytes.
func (s *Signer) Signature(rootHash string) ([]byte, error) {
	sum := sha256.Sum256([]byte(rootHash))
	var one signer
	one.Version = 1
	one.Issuer.Name = asn1.RawValue{FullBytes: s.cert.RawIssuer}
	one.Issuer.Serial = s.cert.SerialNumber
	one.Digest = pkix.AlgorithmIdentifier{Algorithm: oidSHA256, Parameters: asn1.NullRawValue}
	one.Algorithm = pkix.AlgorithmIdentifier{Algorithm: oidRSA, Parameters: asn1.NullRawValue}
	if _, ok := s.key.(*ecdsa.PrivateKey); ok {
		one.Algorithm = pkix.AlgorithmIdentifier{Algorithm: oidECDSA}
	}
	var err error
	// Without randomness ECDSA is deterministic (RFC 6979), and RSA is anyway.
	if one.Signature, err = s.key.Sign(nil, sum[:], crypto.SHA256); err != nil {
		return nil, fmt.Errorf("verity: cannot sign: %w", err)
	}
	d := signedData{Version: 1, Digests: []pkix.AlgorithmIdentifier{one.Digest}, Signers: []signer{one}}
	d.Content.Type = oidData
	return asn1.Marshal(contentInfo{oidSignedData, d})
}
