package version_test

import (
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"ingot/internal/version"
)

func TestRPM(t *testing.T) {
	for _, c := range []struct {
		a, b string
		want int
	}{
		{"1.0", "1.0", 0}, {"1.0", "2.0", -1}, {"2.0.1", "2.0", 1}, {"2.0.1a", "2.0.1", 1}, {"5.5p1", "5.5p10", -1},
		{"10xyz", "10.1xyz", -1}, {"xyz10", "xyz10.1", -1}, {"xyz.4", "8", -1}, {"xyz.4", "2", -1}, {"5.5p2", "5.6p1", -1},
		{"6.0.rc1", "6.0", 1}, {"10b2", "10a1", 1}, {"1.0aa", "1.0a", 1}, {"10.0001", "10.1", 0}, {"10.0001", "10.0039", -1},
		{"4.999.9", "5.0", -1}, {"20101121", "20101122", -1}, {"2_0", "2.0", 0}, {"a+", "a_", 0}, {"+", "_", 0}, {"", "", 0}, {"", "1", -1},
		{"1.0~rc1", "1.0", -1}, {"1.0~rc1", "1.0~rc1", 0}, {"1.0~rc1~git123", "1.0~rc1", -1}, {"1.0~rc1", "1.0arc1", -1}, {"~", "", -1},
		{"1.0^", "1.0", 1}, {"1.0^git1", "1.0", 1}, {"1.0^git1", "1.0.1", -1}, {"1.0^git1", "1.0^git2", -1}, {"1.0^20160102", "1.0^20160101^git1", 1},
		{"1.0~rc1^git1", "1.0~rc1", 1}, {"1.0^git1~pre", "1.0^git1", -1}, {"00012", "12", 0}, {"9999999999999999999999", "10000000000000000000000", -1},
		{"1.é", "1.", 0},
	} {
		if got := version.RPM(c.a, c.b); got != c.want {
			t.Errorf("%q and %q compare as %d, want %d", c.a, c.b, got, c.want)
		}
		if got := version.RPM(c.b, c.a); got != -c.want {
			t.Errorf("%q and %q compare as %d, want %d", c.b, c.a, got, -c.want)
		}
	}
}

// TestUAPI replays the examples of the specification (UAPI.10, version 1.0).
func TestUAPI(t *testing.T) {
	for _, c := range []struct {
		a, b string
		want int
	}{
		{"11", "11", 0}, {"systemd-123", "systemd-123", 0}, {"bar-123", "foo-123", -1}, {"123a", "123", 1}, {"123.a", "123", 1},
		{"123.a", "123.b", -1}, {"123a", "123.a", 1}, {"11α", "11β", 0}, {"B", "a", -1}, {"", "0", -1}, {"0.", "0", 1}, {"0.0", "0", 1},
		{"0", "~", 1}, {"", "~", 1}, {"1_", "1", 0}, {"_1", "1", 0}, {"1_", "1.2", -1}, {"1_2_3", "1.3.3", 1}, {"1+", "1", 0}, {"+1", "1", 0},
		{"1+", "1.2", -1}, {"1+2+3", "1.3.3", 1},
		// and what its rules say beside them
		{"0a", "a", 0}, {"01", "1", 0}, {"a1", "a0", 1}, {"1-1", "1^1", -1}, {"1^1", "1.1", -1}, {"1~~", "1~", -1}, {"ab", "a0b", 1},
		{"99999999999999999999", "100000000000000000000", -1},
	} {
		if got := version.UAPI(c.a, c.b); got != c.want {
			t.Errorf("%q and %q compare as %d, want %d", c.a, c.b, got, c.want)
		}
		if got := version.UAPI(c.b, c.a); got != -c.want {
			t.Errorf("%q and %q compare as %d, want %d", c.b, c.a, got, -c.want)
		}
	}
	rising := []string{"122.1", "123~rc1-1", "123", "123-a", "123-a.1", "123-1", "123-1.1", "123^post1", "123.a-1", "123.1-1", "123a-1", "124-1"}
	for i, a := range rising {
		for j, b := range rising {
			if got, want := version.UAPI(a, b), max(-1, min(1, i-j)); got != want {
				t.Errorf("%q and %q compare as %d, want %d", a, b, got, want)
			}
		}
	}
}

var orders = map[string]func(a, b string) int{"UAPI": version.UAPI, "RPM": version.RPM}

// law holds an order to what sorting needs of three versions.
func law(t *testing.T, name string, a, b, c string) {
	t.Helper()
	compare := orders[name]
	three := []string{a, b, c}
	slices.SortFunc(three, compare)
	a, b, c = three[0], three[1], three[2]
	for _, p := range [][2]string{{a, b}, {b, c}, {a, c}} {
		x, y := compare(p[0], p[1]), compare(p[1], p[0])
		if x > 0 || x != -y || x < -1 {
			t.Errorf("%s: %q, %q, %q in order, and %q and %q compare as %d and %d", name, a, b, c, p[0], p[1], x, y)
		}
	}
	if ab, bc, ac := compare(a, b), compare(b, c), compare(a, c); ac != min(ab, bc) || compare(a, a) != 0 {
		t.Errorf("%s: %q, %q, %q compare as %d, %d, and the outer two as %d", name, a, b, c, ab, bc, ac)
	}
}

func TestTotalOrder(t *testing.T) {
	pieces := []string{"0", "1", "01", "10", "2", "a", "b", "A", "rc", ".", "..", "-", "+", "_", "~", "^", "é", "99999999999999999999"}
	random := rand.New(rand.NewPCG(1, 2))
	draw := func() string {
		var b strings.Builder
		for range random.IntN(6) {
			b.WriteString(pieces[random.IntN(len(pieces))])
		}
		return b.String()
	}
	for name := range orders {
		for range 20000 {
			if law(t, name, draw(), draw(), draw()); t.Failed() {
				return
			}
		}
	}
}

func FuzzTotalOrder(f *testing.F) {
	f.Add("1.0", "1.0~rc1", "1.0^1")
	f.Add("0a", "a", "0+0")
	f.Add("\xff", "1\x001", "")
	f.Fuzz(func(t *testing.T, a, b, c string) {
		for name := range orders {
			law(t, name, a, b, c)
		}
	})
}
