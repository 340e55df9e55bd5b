package debian

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os/exec"
	"strings"
	"testing"
)

// versions are compared with each other, each pair in both directions.
var versions = strings.Fields(`
	0 00 1 1-0 1-1 01-1 1.0 1.0-1 1.0-1+b1 1.0-1~bpo12+1 1.0~rc1 1.0~rc1-1 1.0~~ 1.0~ 1.0+dfsg 1.0+dfsg-2 1.0a 1.0.
	0:1 1:0.1 1:1 2:1.0-1 10 9 1.10 1.9 1.09 1a 1b 1A 1+ 1- 1.-1 1.0-a 1.0-~ 2.36-9+deb12u13 2.36-9+deb12u9
	7.88.1-10+deb12u14 20230101 1:2:3 0~git20200101.abcdef-1 1.0-1.1 1.0-1-1 99999999999999999999 99999999999999999998`)

func TestCompareVersionsAsDpkg(t *testing.T) {
	dpkg, err := exec.LookPath("dpkg")
	if err != nil {
		t.Skip("dpkg, the judge, is not installed: apt-get install dpkg makes this run")
	}
	var pairs [][2]string
	for i, a := range versions {
		for _, b := range versions[i+1:] {
			pairs = append(pairs, [2]string{a, b})
		}
	}
	// dpkg takes two milliseconds a pair: judge a sample of them.
	rnd := rand.New(rand.NewPCG(1, 2))
	rnd.Shuffle(len(pairs), func(i, j int) { pairs[i], pairs[j] = pairs[j], pairs[i] })
	for _, p := range pairs[:min(len(pairs), 400)] {
		got := CompareVersions(p[0], p[1])
		if back := CompareVersions(p[1], p[0]); signOf(back) != -signOf(got) {
			t.Errorf("%s and %s compare %d, and turned round %d", p[0], p[1], got, back)
		}
		_, err0 := ParseVersion(p[0])
		_, err1 := ParseVersion(p[1])
		if err0 != nil || err1 != nil {
			continue // dpkg refuses to order these
		}
		op := map[int]string{-1: "lt", 0: "eq", 1: "gt"}[signOf(got)]
		if err := exec.CommandContext(context.Background(), dpkg, "--compare-versions", p[0], op, p[1]).Run(); err != nil {
			t.Errorf("dpkg denies that %s %s %s", p[0], op, p[1])
		}
	}
}

func TestParseVersionAsDpkg(t *testing.T) {
	tests := []struct {
		version string
		ok      bool
		parts   string
	}{
		{"1", true, "||1|"},
		{"1:2-3", true, "|1|2|3"},
		{"1-2-3", true, "||1-2|3"},
		{"0:1.0~rc1+b2-0.1", true, "|0|1.0~rc1+b2|0.1"},
		{"1:2:3-4", true, "|1|2:3|4"},
		{"", false, ""},
		{":1", false, ""},
		{"1:", false, ""},
		{"-1", false, ""},
		{"1-", false, ""},
		{"a1", false, ""},
		{"x:1", false, ""},
		{"1_2", false, ""},
		{"1-2:3", false, ""},
		{"1 2", false, ""},
		{"2147483648:1", false, ""},
	}
	for _, tt := range tests {
		v, err := ParseVersion(tt.version)
		if (err == nil) != tt.ok {
			t.Errorf("ParseVersion(%q): %v, want ok %v", tt.version, err, tt.ok)
			continue
		}
		if err != nil {
			continue
		}
		if got := fmt.Sprintf("|%s|%s|%s", v.Epoch, v.Upstream, v.Revision); got != tt.parts {
			t.Errorf("ParseVersion(%q) = %s, want %s", tt.version, got, tt.parts)
		}
		if v.String() != tt.version {
			t.Errorf("ParseVersion(%q) prints as %q", tt.version, v)
		}
	}
}

func FuzzCompareVersions(f *testing.F) {
	for i := range versions[1:] {
		f.Add(versions[i], versions[i+1], versions[0])
	}
	f.Fuzz(func(t *testing.T, a, b, c string) {
		if len(a)+len(b)+len(c) > 1<<10 {
			return
		}
		ab, ba := CompareVersions(a, b), CompareVersions(b, a)
		if signOf(ab) != -signOf(ba) {
			t.Fatalf("%q and %q: %d and %d", a, b, ab, ba)
		}
		if bc := CompareVersions(b, c); ab <= 0 && bc <= 0 && CompareVersions(a, c) > 0 {
			t.Fatalf("not an order: %q %q %q", a, b, c)
		}
		if v, err := ParseVersion(a); err == nil && v.String() != a {
			t.Fatalf("%q prints as %q", a, v)
		}
	})
}

func signOf(n int) int {
	switch {
	case n < 0:
		return -1
	case n > 0:
		return 1
	}
	return 0
}
