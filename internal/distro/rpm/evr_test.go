package rpm

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"ingot/internal/version"
)

func TestRelationsOverlap(t *testing.T) {
	read := func(s string) relation {
		part := strings.Fields(s)
		r := relation{name: part[0]}
		if len(part) == 3 {
			r.op = map[string]string{"=": "EQ", "<": "LT", ">": "GT", "<=": "LE", ">=": "GE"}[part[1]]
			r.evr = parseEVR(part[2])
		}
		return r
	}
	for _, c := range []struct {
		required, provided string
		want               bool
	}{
		{"a", "a", true}, {"a", "b", false}, {"a", "a = 1", true}, {"a = 1", "a", true},
		{"a = 1", "a = 1-3", true}, {"a = 1-2", "a = 1-3", false}, {"a >= 1-2", "a = 1-3", true}, {"a > 1-3", "a = 1-3", false},
		{"a < 2", "a = 1:1", false}, {"a >= 1:0", "a = 5", false}, {"a <= 1", "a >= 1", true}, {"a < 1", "a >= 1", false}, {"a < 5", "a > 1", true}, {"a < 1", "a < 9", true},
		{"a < 1.0", "a = 1.0~rc1-1", true},
	} {
		if got := read(c.required).overlaps(read(c.provided)); got != c.want {
			t.Errorf("%q is provided by %q: %t, want %t", c.required, c.provided, got, c.want)
		}
		if got := read(c.provided).overlaps(read(c.required)); got != c.want {
			t.Errorf("%q is provided by %q: %t, want %t", c.provided, c.required, got, c.want)
		}
	}
}

// TestVersionsAgreeWithRPM asks rpm's own comparison about versions made of the
// pieces that matter.
func TestVersionsAgreeWithRPM(t *testing.T) {
	judged(t)
	pieces := []string{"0", "1", "01", "10", "2", "a", "b", "A", "rc", ".", "..", "+", "_", "~", "^", "99999999999999999999"}
	random := rand.New(rand.NewPCG(1, 2))
	draw := func() string {
		var b strings.Builder
		for range 1 + random.IntN(6) {
			b.WriteString(pieces[random.IntN(len(pieces))])
		}
		return b.String()
	}
	const count = 3000
	var pairs [][2]string
	var list strings.Builder
	for range count {
		p := [2]string{draw(), draw()}
		pairs = append(pairs, p)
		fmt.Fprintf(&list, "%s %s\n", p[0], p[1])
	}
	path := filepath.Join(t.TempDir(), "pairs")
	if err := os.WriteFile(path, []byte(list.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	got := strings.Fields(command(t, "rpm", "--eval", `%{lua:for l in io.lines("`+path+`") do
		local i = string.find(l, " ", 1, true)
		print(rpm.vercmp(string.sub(l, 1, i - 1), string.sub(l, i + 1)) .. " ")
	end}`))
	if len(got) != count {
		t.Fatalf("rpm compared %d pairs of %d", len(got), count)
	}
	for i, p := range pairs {
		if want := got[i]; fmt.Sprint(version.RPM(p[0], p[1])) != want {
			t.Errorf("%q and %q compare as %d, rpm says %s", p[0], p[1], version.RPM(p[0], p[1]), want)
		}
	}
}
