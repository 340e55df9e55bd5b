package verity_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"ingot/internal/disk"
	"ingot/internal/judge"
	"ingot/internal/verity"
)

// make writes data and its tree, and gives their files.
func write(t *testing.T, size int64, extents []disk.Extent, o verity.Options) (data, hashes string, tree *verity.Tree) {
	t.Helper()
	data, hashes = filepath.Join(t.TempDir(), "data"), filepath.Join(t.TempDir(), "hashes")
	f, err := os.Create(data)
	if err != nil {
		t.Fatal(err)
	}
	noise := rand.NewChaCha8([32]byte{1})
	for _, e := range extents {
		if _, err := io.CopyN(io.NewOffsetWriter(f, e.Off), noise, e.Len); err != nil {
			t.Fatal(err)
		}
	}
	if err := f.Truncate(size); err != nil {
		t.Fatal(err)
	}
	if tree, err = verity.New(t.Context(), f, size, extents, o); err != nil {
		t.Fatal(err)
	}
	to, err := os.Create(hashes)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(tree.WriteTo(t.Context(), to), to.Close(), f.Close()); err != nil {
		t.Fatal(err)
	}
	return data, hashes, tree
}

func options() verity.Options {
	return verity.Options{UUID: [16]byte{1, 2, 3, 15: 4}, Salt: bytes.Repeat([]byte{0xab}, 32)}
}

// veritysetup makes the same tree, and finds each changed bit.
func TestTree(t *testing.T) {
	for _, test := range []struct {
		size    int64
		extents []disk.Extent
		salt    []byte
	}{
		{8192, []disk.Extent{{Len: 8192}}, options().Salt},
		{128 * 4096, []disk.Extent{{Off: 4096, Len: 5000}}, nil},
		{129 * 4096, []disk.Extent{{Len: 129 * 4096}}, options().Salt},
		{64 << 20, []disk.Extent{{Len: 3 << 20}, {Off: 10 << 20, Len: 1}, {Off: 60<<20 + 4096, Len: 2<<20 + 77}}, bytes.Repeat([]byte{7}, 256)},
		{(16384 + 1) * 4096, []disk.Extent{{Off: 16384 * 4096, Len: 4096}}, options().Salt},
		{200 << 20, nil, options().Salt},
	} {
		t.Run(fmt.Sprint(test.size), func(t *testing.T) {
			o := options()
			o.Salt = test.salt
			data, hashes, tree := write(t, test.size, test.extents, o)
			if info, err := os.Stat(hashes); err != nil || info.Size() != verity.Size(test.size) || tree.Size() != info.Size() {
				t.Errorf("the tree has %d bytes, not %d (%v)", info.Size(), verity.Size(test.size), err)
			}
			judge.Run(t, "veritysetup", "verify", data, hashes, tree.RootHash())
			dump := judge.Run(t, "veritysetup", "dump", hashes)
			if !strings.Contains(dump, "01020300-0000-0000-0000-000000000004") || !strings.Contains(dump, fmt.Sprintf("Data blocks:     \t%d", test.size/4096)) {
				t.Errorf("veritysetup dump: %s", dump)
			}
			salt := fmt.Sprintf("%x", test.salt)
			if salt == "" {
				salt = "-"
			}
			theirs := hashes + "2"
			judge.Run(t, "veritysetup", "format", "--salt", salt, "--uuid", "01020300-0000-0000-0000-000000000004", data, theirs)
			a, err := os.ReadFile(hashes)
			if err != nil {
				t.Fatal(err)
			}
			b, err := os.ReadFile(theirs)
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(a, b) {
				t.Error("veritysetup makes another tree")
			}
			f, err := os.OpenFile(data, os.O_RDWR, 0)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := f.WriteAt([]byte{0x5a}, test.size-100); err != nil {
				t.Fatal(err)
			}
			_ = f.Close()
			if err := exec.CommandContext(t.Context(), judge.Path(t, "veritysetup"), "verify", data, hashes, tree.RootHash()).Run(); err == nil {
				t.Error("veritysetup takes other data")
			}
		})
	}
}

// The tree does not depend on cores.
func TestSame(t *testing.T) {
	extents := []disk.Extent{{Len: 90 << 20}}
	_, _, one := write(t, 100<<20, extents, options())
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	_, _, other := write(t, 100<<20, extents, options())
	if one.RootHash() != other.RootHash() {
		t.Error("two trees of the same data differ")
	}
}

func TestSignature(t *testing.T) {
	for name, args := range map[string][]string{
		"rsa":   {"rsa:2048"},
		"ecdsa": {"ec", "-pkeyopt", "ec_paramgen_curve:P-256"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			in := func(name string) string { return filepath.Join(dir, name) }
			judge.Run(t, "openssl", append([]string{"req", "-x509", "-nodes", "-batch", "-subj", "/CN=a signer", "-keyout", in("key"), "-out", in("cert"), "-newkey"}, args...)...)
			read := func(name string) []byte {
				b, err := os.ReadFile(in(name))
				if err != nil {
					t.Fatal(err)
				}
				return b
			}
			s, err := verity.NewSigner(read("key"), read("cert"))
			if err != nil {
				t.Fatal(err)
			}
			hash := strings.Repeat("0123456789abcdef", 4)
			one, err := s.Signature(hash)
			if err != nil {
				t.Fatal(err)
			}
			other, err := s.Signature(hash)
			if err != nil || !bytes.Equal(one, other) {
				t.Errorf("two signatures differ (%v)", err)
			}
			if err := errors.Join(os.WriteFile(in("sig"), one, 0o600), os.WriteFile(in("hash"), []byte(hash), 0o600), os.WriteFile(in("other"), []byte(hash[1:]), 0o600)); err != nil {
				t.Fatal(err)
			}
			verify := func(content string) error {
				return exec.CommandContext(t.Context(), judge.Path(t, "openssl"), "smime", "-verify", "-binary", "-inform", "der", "-in", in("sig"), "-content", in(content), "-certfile", in("cert"), "-nointern", "-noverify").Run()
			}
			if err := verify("hash"); err != nil {
				t.Errorf("openssl does not take it: %v", err)
			}
			if verify("other") == nil {
				t.Error("openssl takes it for another hash")
			}
			if name == "rsa" {
				theirs := in("theirs")
				judge.Run(t, "openssl", "smime", "-sign", "-nocerts", "-noattr", "-binary", "-in", in("hash"), "-inkey", in("key"), "-signer", in("cert"), "-outform", "der", "-out", theirs)
				if !bytes.Equal(read("theirs"), one) {
					t.Error("openssl makes another signature")
				}
			}
			if _, err := verity.NewSigner(read("cert"), read("cert")); err == nil {
				t.Error("a certificate is a key")
			}
			if _, err := verity.NewSigner(read("key"), read("key")); err == nil {
				t.Error("a key is a certificate")
			}
		})
	}
}

func FuzzSigner(f *testing.F) {
	f.Add([]byte("-----BEGIN PRIVATE KEY-----\nMC4=\n-----END PRIVATE KEY-----\n"), []byte("-----BEGIN CERTIFICATE-----\nMC4=\n-----END CERTIFICATE-----\n"))
	f.Fuzz(func(t *testing.T, key, cert []byte) {
		if s, err := verity.NewSigner(key, cert); err == nil {
			if _, err := s.Signature("00"); err != nil {
				t.Skip("a key and a certificate that do not fit: there is nothing to judge")
			}
		}
	})
}

func TestRefused(t *testing.T) {
	for _, size := range []int64{0, 4096, 8193, 1 << 50} {
		if _, err := verity.New(t.Context(), strings.NewReader(""), size, nil, options()); err == nil {
			t.Errorf("%d bytes are taken", size)
		}
	}
	o := options()
	o.Salt = make([]byte, 257)
	if _, err := verity.New(t.Context(), strings.NewReader(""), 8192, nil, o); err == nil {
		t.Error("a long salt is taken")
	}
	if _, err := verity.New(t.Context(), strings.NewReader("short"), 8192, []disk.Extent{{Len: 8192}}, options()); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("short data: %v", err)
	}
}
