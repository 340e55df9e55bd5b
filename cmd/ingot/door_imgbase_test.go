package main

import "testing"

func TestImgbaseSizes(t *testing.T) {
	for text, want := range map[string]int64{"128": 128 << 20, "128m": 128 << 20, "1G": 1 << 30, "1GiB": 1 << 30, "4096b": 4096, "8s": 4096, "1T": 1 << 40} {
		if got, err := sizeOf(text); err != nil || got != want {
			t.Errorf("%s: %d, %v", text, got, err)
		}
	}
	for _, text := range []string{"", "m", "1x", "-1", "1.5G", "999999999T", "99999999999"} {
		if got, err := sizeOf(text); err == nil {
			t.Errorf("%q is taken for %d", text, got)
		}
	}
	for unit, want := range map[string]string{"b": "1048577", "k": "1024", "m": "1", "M": "1", "g": "0"} {
		if got, err := inUnit(1<<20+1, unit); err != nil || got != want {
			t.Errorf("%s: %s, %v", unit, got, err)
		}
	}
	if _, err := inUnit(1, "parsec"); err == nil {
		t.Error("an unknown unit is taken")
	}
}
