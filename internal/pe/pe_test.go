package pe

import (
	"bytes"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	debugpe "debug/pe"
	"encoding/binary"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"ingot/internal/judge"
)

// program is a small program of UEFI: headers of 1024 bytes, .text and .data, and symbols
// behind them.
func program() []byte {
	le := binary.LittleEndian
	b := make([]byte, 1024+512+512+36)
	copy(b, "MZ")
	le.PutUint32(b[newHeader:], 0x80)
	h := b[0x80:]
	copy(h, "PE\x00\x00")
	le.PutUint16(h[4:], 0x8664)
	le.PutUint16(h[coffSections:], 2)
	le.PutUint32(h[coffSymbols:], 2048)
	le.PutUint32(h[coffSymbols+4:], 1)
	le.PutUint16(h[coffOptional:], 240)
	le.PutUint16(h[coffOptional+2:], 0x206)
	opt := h[optional:]
	le.PutUint16(opt, magic64)
	le.PutUint32(opt[16:], 0x4000) // entry
	le.PutUint32(opt[sectionAlign:], 0x200)
	le.PutUint32(opt[fileAlign:], 0x200)
	le.PutUint32(opt[imageSize:], 0x5200)
	le.PutUint32(opt[headersSize:], 1024)
	le.PutUint32(opt[checkSum:], 0x1234)
	le.PutUint16(opt[68:], 10) // an EFI application
	le.PutUint32(opt[directories:], 16)
	for i, s := range []struct {
		name         string
		address, raw uint32
	}{{".text", 0x4000, 1024}, {".data", 0x5000, 1536}} {
		at := opt[240+i*sectionHeader:]
		copy(at, s.name)
		le.PutUint32(at[8:], 500)
		le.PutUint32(at[12:], s.address)
		le.PutUint32(at[16:], 512)
		le.PutUint32(at[20:], s.raw)
		le.PutUint32(at[36:], isData|readable)
		copy(b[s.raw:], s.name)
	}
	copy(b[2048:], strings.Repeat("symbol", 6))
	le.PutUint32(b[2048+18:], 18)
	return b
}

func parsed(t testing.TB, data []byte) *Image {
	t.Helper()
	im, err := Parse(data)
	if err != nil {
		t.Fatal(err)
	}
	return im
}

func bytesOf(t testing.TB, im *Image) []byte {
	t.Helper()
	r, err := im.Open()
	if err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(r)
	if err != nil || int64(len(b)) != im.Size() {
		t.Fatalf("%d bytes, said to be %d: %v", len(b), im.Size(), err)
	}
	return b
}

func streamed(text string) func() (io.Reader, error) {
	return func() (io.Reader, error) { return strings.NewReader(text), nil }
}

// sections are what makes a kernel image of a stub.
func sections() []Section {
	return []Section{
		{Name: ".osrel", Data: []byte("ID=debian\n")},
		{Name: ".initrd", Open: streamed(strings.Repeat("i", 5000)), Size: 5000},
		{Name: ".linux", Open: streamed(strings.Repeat("k", 700)), Size: 700, Memory: 9000, Code: true},
	}
}

// What Go's own reader of programs sees.
func TestAppend(t *testing.T) {
	im, err := parsed(t, program()).Append(sections()...)
	if err != nil {
		t.Fatal(err)
	}
	data := bytesOf(t, im)
	f, err := debugpe.NewFile(bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	var got strings.Builder
	for _, s := range f.Sections {
		b, err := s.Data()
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&got, "%s memory %x+%x file %x+%x %x %.9q\n", s.Name, s.VirtualAddress, s.VirtualSize, s.Offset, s.Size, s.Characteristics, b)
	}
	o := f.OptionalHeader.(*debugpe.OptionalHeader64)
	fmt.Fprintf(&got, "image %x, entry %x, data %x, check %x, symbols %x %x, file %x\n", o.SizeOfImage, o.AddressOfEntryPoint, o.SizeOfInitializedData, o.CheckSum, f.PointerToSymbolTable, f.NumberOfSymbols, len(data))
	want := `.text memory 4000+1f4 file 400+200 40000040 ".text\x00\x00\x00\x00"
.data memory 5000+1f4 file 600+200 40000040 ".data\x00\x00\x00\x00"
.osrel memory 6000+a file 800+200 40000040 "ID=debian"
.initrd memory 7000+1388 file a00+1400 40000040 "iiiiiiiii"
.linux memory 9000+2328 file 1e00+400 60000020 "kkkkkkkkk"
image b400, entry 4000, data 1a00, check 0, symbols 0 0, file 2200
`
	if d := cmp.Diff(want, got.String()); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
	if !im.Has(".linux") || im.Has(".lin") || parsed(t, data).ImageSize() != 0xb400 {
		t.Error("it is not what it says")
	}
}

func TestAppendRefuses(t *testing.T) {
	im := parsed(t, program())
	whole, err := im.Append(sections()...)
	if err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		summary string
		im      *Image
		more    []Section
		want    string
	}{
		{"a name that is there", im, []Section{{Name: ".text"}}, `section ".text"`},
		{"no name", im, []Section{{}}, `section ""`},
		{"a long name", im, []Section{{Name: ".ninebyte"}}, `section ".ninebyte"`},
		{"room", im, make([]Section, 20), "no room for 20 more sections"},
		{"size", im, []Section{{Name: ".x", Size: 1 << 32, Open: streamed("")}}, "too large"},
		{"twice", whole, []Section{{Name: ".x"}}, "once only"},
	}
	for _, test := range tests {
		if _, err := test.im.Append(test.more...); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: error is %v, want one with %q", test.summary, err, test.want)
		}
	}
	short, err := im.Append(Section{Name: ".x", Size: 10, Open: streamed("short")})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := short.Digest(t.Context()); err == nil {
		t.Error("a section that is too short has a digest")
	}
	broken, err := im.Append(Section{Name: ".x", Size: 10, Open: func() (io.Reader, error) { return nil, errors.New("gone") }})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := broken.Open(); err == nil {
		t.Error("a section that cannot be read can be read")
	}
}

func TestParseRefuses(t *testing.T) {
	le := binary.LittleEndian
	opt := func(b []byte) []byte { return b[0x80+optional:] }
	for summary, spoil := range map[string]func([]byte) []byte{
		"nothing":        func([]byte) []byte { return nil },
		"a script":       func([]byte) []byte { return []byte("#!/bin/sh\n" + strings.Repeat(" ", 100)) },
		"cut off":        func(b []byte) []byte { return b[:300] },
		"far header":     func(b []byte) []byte { le.PutUint32(b[newHeader:], 1<<31); return b },
		"no header":      func(b []byte) []byte { b[0x80] = 0; return b },
		"32 bits":        func(b []byte) []byte { le.PutUint16(opt(b), 0x10B); return b },
		"directories":    func(b []byte) []byte { le.PutUint32(opt(b)[directories:], 4); return b },
		"large headers":  func(b []byte) []byte { le.PutUint32(opt(b)[headersSize:], 1<<20); return b },
		"small headers":  func(b []byte) []byte { le.PutUint32(opt(b)[headersSize:], 256); return b },
		"alignment":      func(b []byte) []byte { le.PutUint32(opt(b)[fileAlign:], 3); return b },
		"no sections":    func(b []byte) []byte { le.PutUint16(b[0x80+coffSections:], 0); return b },
		"no headers":     func(b []byte) []byte { le.PutUint32(opt(b)[headersSize:], 0); return b },
		"small optional": func(b []byte) []byte { le.PutUint16(b[0x80+coffOptional:], 8); return b },
	} {
		if _, err := Parse(spoil(program())); err == nil {
			t.Errorf("%s is a program", summary)
		}
	}
}

// A keyPair is a key with its certificate, as files have them.
type keyPair struct{ key, certificate []byte }

func newPair(t testing.TB, bits int) keyPair {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, bits)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1 << 40), Subject: pkix.Name{CommonName: "test"}, NotBefore: time.Unix(0, 0), NotAfter: time.Unix(1<<33, 0)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return keyPair{pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private}), pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})}
}

// Signatures are verified by sbverify, and differ from run to run in nothing.
func TestSign(t *testing.T) {
	pair, other := newPair(t, 2048), newPair(t, 2048)
	s, err := NewSigner(pair.key, pair.certificate)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	save := func(name string, data []byte) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	certificate := save("certificate", pair.certificate)
	whole, err := parsed(t, program()).Append(sections()...)
	if err != nil {
		t.Fatal(err)
	}
	for name, im := range map[string]*Image{"program": parsed(t, program()), "whole": whole} {
		signed, err := im.Sign(t.Context(), s)
		if err != nil {
			t.Fatal(err)
		}
		data := bytesOf(t, signed)
		path := save(name, data)
		judge.Run(t, "sbverify", "--cert", certificate, path)
		again, err := parsed(t, data).Sign(t.Context(), s)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(bytesOf(t, again), data) {
			t.Errorf("%s: signing what is signed gives other bytes", name)
		}
		sameDigest(t, name, signed, im)
		// What sbsign makes of it has the same digest in it.
		judge.Run(t, "sbsign", "--key", save("key", pair.key), "--cert", certificate, "--output", path+".theirs", save(name+".plain", bytesOf(t, im)))
		theirs, err := os.ReadFile(path + ".theirs")
		if err != nil {
			t.Fatal(err)
		}
		unsigned, err := signed.unsigned()
		if err != nil {
			t.Fatal(err)
		}
		digest, err := unsigned.Digest(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Contains(theirs, digest) {
			t.Errorf("%s: sbsign signs another digest", name)
		}
	}
	if _, err := NewSigner(pair.key, other.certificate); err == nil || !strings.Contains(err.Error(), "not of this key") {
		t.Errorf("another's certificate: %v", err)
	}
}

// sameDigest holds a signed image against the one that it was made of.
func sameDigest(t *testing.T, name string, signed, plain *Image) {
	t.Helper()
	a, err := signed.unsigned()
	if err != nil {
		t.Fatal(err)
	}
	b, err := plain.unsigned()
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(bytesOf(t, a), bytesOf(t, b)) {
		t.Errorf("%s: signing changes more than the signature", name)
	}
}

func TestSignerRefuses(t *testing.T) {
	pair, small := newPair(t, 2048), newPair(t, 1024)
	block := func(kind string) []byte { return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: []byte("x")}) }
	for summary, test := range map[string]struct {
		pair keyPair
		want string
	}{
		"no key":                  {keyPair{nil, pair.certificate}, "not in PEM form"},
		"a certificate for a key": {keyPair{pair.certificate, pair.certificate}, "something else than a private key"},
		"encrypted":               {keyPair{block("ENCRYPTED PRIVATE KEY"), pair.certificate}, "is encrypted"},
		"damaged":                 {keyPair{block("PRIVATE KEY"), pair.certificate}, "is damaged"},
		"small":                   {small, "1024 bits"},
		"no certificate":          {keyPair{pair.key, nil}, "cannot be read"},
		"a key for a certificate": {keyPair{pair.key, pair.key}, "something else than a certificate"},
	} {
		if _, err := NewSigner(test.pair.key, test.pair.certificate); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: error is %v, want one with %q", summary, err, test.want)
		}
	}
}

// Whatever is taken for a program can be changed, or is refused.
func FuzzParse(f *testing.F) {
	f.Add(program())
	f.Add(program()[:1024])
	f.Fuzz(func(t *testing.T, data []byte) {
		im, err := Parse(data)
		if err != nil {
			return
		}
		if more, err := im.Append(sections()...); err == nil {
			bytesOf(t, more)
			if _, err := Parse(bytesOf(t, more)); err != nil {
				t.Errorf("what was added to is no program: %v", err)
			}
		}
		if plain, err := im.unsigned(); err == nil {
			bytesOf(t, plain)
			if _, err := plain.Digest(t.Context()); err != nil {
				t.Error(err)
			}
		}
	})
}
