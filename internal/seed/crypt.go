package seed

import (
	"bytes"
	"crypto/rand"
	"crypto/sha512"
	"encoding/base64"
	"strings"
)

// Hash is a password's hash for crypt(3), by SHA-512 with a salt of its own: what
// "openssl passwd -6" prints.
func Hash(password string) (string, error) {
	salt := make([]byte, 12)
	if _, err := rand.Read(salt); err != nil {
		return "", err
	}
	text := strings.NewReplacer("+", ".", "=", "").Replace(base64.StdEncoding.EncodeToString(salt))
	return "$6$" + text + "$" + sha512crypt(password, text), nil
}

const rounds = 5000

// sha512crypt is the method of crypt(5), by the description that came with it: "Unix crypt
// using SHA-256 and SHA-512".
func sha512crypt(password, salt string) string {
	p, s := []byte(password), []byte(salt)
	b := sha512.Sum512(bytes.Join([][]byte{p, s, p}, nil))
	a := sha512.New()
	a.Write(p)
	a.Write(s)
	for n := len(p); n > 0; n -= 64 {
		a.Write(b[:min(n, 64)])
	}
	for n := len(p); n > 0; n >>= 1 {
		if n&1 != 0 {
			a.Write(b[:])
		} else {
			a.Write(p)
		}
	}
	sum := a.Sum(nil)
	repeated := func(of []byte, times, length int) []byte {
		h := sha512.New()
		for range times {
			h.Write(of)
		}
		d := h.Sum(nil)
		out := make([]byte, 0, length+64)
		for len(out) < length {
			out = append(out, d...)
		}
		return out[:length]
	}
	dp := repeated(p, len(p), len(p))
	ds := repeated(s, 16+int(sum[0]), len(s))
	for i := range rounds {
		h := sha512.New()
		if i&1 != 0 {
			h.Write(dp)
		} else {
			h.Write(sum)
		}
		if i%3 != 0 {
			h.Write(ds)
		}
		if i%7 != 0 {
			h.Write(dp)
		}
		if i&1 != 0 {
			h.Write(sum)
		} else {
			h.Write(dp)
		}
		sum = h.Sum(nil)
	}
	const digits = "./0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
	var out strings.Builder
	write := func(v uint, n int) {
		for range n {
			out.WriteByte(digits[v&63])
			v >>= 6
		}
	}
	// Triples of bytes whose places rotate.
	x, y, z := 0, 21, 42
	for range 21 {
		write(uint(sum[x])<<16|uint(sum[y])<<8|uint(sum[z]), 4)
		x, y, z = y+1, z+1, x+1
	}
	write(uint(sum[63]), 2)
	return out.String()
}
