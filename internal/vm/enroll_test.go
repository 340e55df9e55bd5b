package vm

import (
	"bytes"
	"os"
	"testing"

	"ingot/internal/judge"
)

func TestEnrollRefuses(t *testing.T) {
	flash, err := os.ReadFile(judge.File(t, "/usr/share/OVMF/OVMF_VARS_4M.fd"))
	if err != nil {
		t.Fatal(err)
	}
	certificate := bytes.Repeat([]byte{7}, 900)
	mine, err := enroll(flash, certificate)
	if err != nil {
		t.Fatal(err)
	}
	if len(mine) != len(flash) || bytes.Count(mine, certificate) != 3 {
		t.Errorf("%d bytes with the certificate %d times", len(mine), bytes.Count(mine, certificate))
	}
	// A second time is behind the first.
	if again, err := enroll(mine, certificate); err != nil || bytes.Count(again, certificate) != 6 {
		t.Errorf("%d times, %v", bytes.Count(again, certificate), err)
	}
	for summary, spoil := range map[string]func([]byte) []byte{
		"empty":       func([]byte) []byte { return nil },
		"zeros":       func(b []byte) []byte { clear(b); return b },
		"other store": func(b []byte) []byte { b[0x48]++; return b },
		"unformatted": func(b []byte) []byte { b[0x48+20] = 0xFF; return b },
		"far store":   func(b []byte) []byte { b[volumeLength], b[volumeLength+1] = 0xFF, 0xFF; return b[:1<<13] },
		"a variable without end": func(b []byte) []byte {
			copy(b[0x48+storeHeader:], append([]byte{0xAA, 0x55}, bytes.Repeat([]byte{0xFE}, 58)...))
			return b
		},
	} {
		if _, err := enroll(spoil(bytes.Clone(flash)), certificate); err == nil {
			t.Errorf("%s: taken", summary)
		}
	}
	if _, err := enroll(flash, bytes.Repeat([]byte{7}, 1<<20)); err == nil {
		t.Error("a certificate that is too large is taken")
	}
}
