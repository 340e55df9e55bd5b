package debian

import (
	"strings"
	"testing"
)

func TestParseRelations(t *testing.T) {
	tests := []struct {
		field, want string // want: groups by ", ", alternatives by " | "; "error: …" holds a part of the message
	}{
		{"", ""},
		{"a", "a"},
		{" a , b ", "a, b"},
		{"a|b,c", "a | b, c"},
		{"libc6 (>= 2.36)", "libc6 (>= 2.36)"},
		{"libc6(>=2.36)", "libc6 (>= 2.36)"},
		{"a (<< 1), b (>> 1), c (<= 1), d (= 1:2-3)", "a (<< 1), b (>> 1), c (<= 1), d (= 1:2-3)"},
		{"a (< 1), b (> 1), c (1)", "a (<= 1), b (>= 1), c (= 1)"},
		{"python3:any (>= 3.9~)", "python3:any (>= 3.9~)"},
		{"libc6:i386", "libc6:i386"},
		{"a,\n b |\n c", "a, b | c"},
		{"a, ", "a"},
		{"a | ", "a"},
		{"a (>= 1", "error: no )"},
		{"a (>= )", "error: no version"},
		{", a", "error: no name"},
		{":any", "error: no name"},
		{"a b", "error: unexpected"},
		{"a [amd64]", "error: unexpected"},
		{"a <!nocheck>", "error: unexpected"},
		{"a )", "error: unexpected"},
	}
	for _, tt := range tests {
		got := ""
		all, err := ParseRelations(tt.field)
		if err != nil {
			got = "error: " + err.Error()
		}
		for i, group := range all {
			if i > 0 {
				got += ", "
			}
			for j, r := range group {
				if j > 0 {
					got += " | "
				}
				got += r.String()
			}
		}
		if part, isErr := strings.CutPrefix(tt.want, "error: "); isErr {
			if err == nil || !strings.Contains(err.Error(), part) {
				t.Errorf("%q: got %q, want an error with %q", tt.field, got, part)
			}
		} else if got != tt.want {
			t.Errorf("%q: got %q, want %q", tt.field, got, tt.want)
		}
	}
}

func TestSatisfied(t *testing.T) {
	for _, tt := range []struct {
		relation, version string
		want              bool
	}{
		{"a", "1", true}, {"a", "", true},
		{"a (>= 1)", "1", true}, {"a (>= 1)", "0.9", false}, {"a (>= 1)", "", false},
		{"a (<< 1)", "1~rc1", true}, {"a (<< 1)", "1", false},
		{"a (>> 1)", "1-1", true}, {"a (<= 1)", "1-0", true}, {"a (= 1)", "1.0", false}, {"a (= 1)", "0:1", true},
	} {
		all, err := ParseRelations(tt.relation)
		if err != nil {
			t.Fatal(err)
		}
		if got := all[0][0].Satisfied(tt.version); got != tt.want {
			t.Errorf("%q is satisfied by %q: %v, want %v", tt.relation, tt.version, got, tt.want)
		}
	}
}

func FuzzParseRelations(f *testing.F) {
	f.Add("a (>= 1) | b:any, c (<< 2)")
	f.Add("a | , b")
	f.Fuzz(func(t *testing.T, field string) {
		if len(field) > 1<<14 {
			return
		}
		all, err := ParseRelations(field)
		if err != nil {
			return
		}
		for _, group := range all {
			for _, r := range group {
				if r.Name == "" && r.Arch == "" {
					t.Fatalf("a relation without a name in %q", field)
				}
				if (r.Op == OpAny) != (r.Version == "") {
					t.Fatalf("%+v in %q", r, field)
				}
			}
		}
	})
}
