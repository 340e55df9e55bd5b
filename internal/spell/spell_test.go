package spell

import (
	"strings"
	"testing"
)

func TestNearest(t *testing.T) {
	for _, row := range []struct {
		words []string
		want  map[string]string
	}{
		{[]string{"packages", "unix-groups", "users", "files", "tar", "tar.gz"}, map[string]string{
			"package": "packages", "pakcages": "packages", "PACKAGES": "packages", "unix_groups": "unix-groups",
			"user": "users", "flies": "files", "rat": "", "tgr": "tar", "xyzzy": "", "": "", strings.Repeat("a", 200): "",
		}},
		{[]string{"init", "check", "lock", "build", "boot", "version"}, map[string]string{
			"biuld": "build", "boots": "boot", "chekc": "check", "Build": "build", "verison": "version",
			"x": "", "": "", "deploy": "", "ini": "init", "luck": "lock",
		}},
		{[]string{"Europe/Paris", "Europe/Berlin", strings.Repeat("Z", 200)}, map[string]string{
			"europe/paris": "Europe/Paris", "Europe/Berlinn": "Europe/Berlin", strings.Repeat("z", 100): "",
		}},
	} {
		for word, want := range row.want {
			if got := Nearest(word, row.words); got != want {
				t.Errorf("%q among %.60q: got %q, want %q", word, row.words, got, want)
			}
		}
	}
}

func TestDistance(t *testing.T) {
	for _, row := range []struct {
		a, b        string
		limit, want int
	}{
		{"nginx", "nginx", 2, 0}, {"ngnix", "nginx", 2, 1}, {"nginx", "ngin", 2, 1}, {"curl", "nginx", 2, 3}, {"", "ab", 2, 2}, {"abc", "", 2, 3},
	} {
		if got := Distance(row.a, row.b, row.limit); got != row.want {
			t.Errorf("%q to %q within %d: %d, want %d", row.a, row.b, row.limit, got, row.want)
		}
	}
}
