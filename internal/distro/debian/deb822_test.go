package debian

import (
	"fmt"
	"strings"
	"testing"
)

func TestStanzas(t *testing.T) {
	tests := []struct {
		summary, text string
		want          string // a stanza a line: name=value pairs, newlines as ⏎
	}{
		{"nothing", "", ""},
		{"only empty lines", "\n\n\r\n\n", ""},
		{"one without a newline", "A: 1\nB: 2", "A=1 B=2\n"},
		{"two", "A: 1\n\nB: 2\n", "A=1\nB=2\n"},
		{"many empty lines between", "\n\nA: 1\n\n\n\nB: 2\n\n", "A=1\nB=2\n"},
		{"carriage returns", "A: 1\r\nB: 2\r\n\r\nC: 3\r\n", "A=1 B=2\nC=3\n"},
		{"continuation lines", "A: 1\n two\n\tthree\nB:x\n", "A=1⏎ two⏎\tthree B=x\n"},
		{"an empty value", "A:\n x\n", "A=x\n"},
		{"a colon in the value", "A: b:c\n", "A=b:c\n"},
	}
	for _, tt := range tests {
		t.Run(tt.summary, func(t *testing.T) {
			var got strings.Builder
			for s := range Stanzas([]byte(tt.text)) {
				var pairs []string
				err := s.Fields(func(name, value []byte) error {
					pairs = append(pairs, fmt.Sprintf("%s=%s", name, strings.ReplaceAll(string(value), "\n", "⏎")))
					return nil
				})
				if err != nil {
					t.Fatal(err)
				}
				got.WriteString(strings.Join(pairs, " ") + "\n")
			}
			if got.String() != tt.want {
				t.Errorf("got\n%swant\n%s", got.String(), tt.want)
			}
		})
	}
}

func TestStanzaField(t *testing.T) {
	s := Stanza("Package: x\nVersion: 1\nDescription: short\n long\n")
	for _, tt := range []struct {
		name, want string
		ok         bool
	}{
		{"Package", "x", true}, {"version", "1", true}, {"DESCRIPTION", "short\n long", true}, {"Depends", "", false},
	} {
		if got, ok := s.Field(tt.name); got != tt.want || ok != tt.ok {
			t.Errorf("Field(%q) = %q, %v, want %q, %v", tt.name, got, ok, tt.want, tt.ok)
		}
	}
	for _, bad := range []string{" x: 1\n", "no colon\n", ": no name\n"} {
		if err := Stanza(bad).Fields(func(_, _ []byte) error { return nil }); err == nil {
			t.Errorf("%q was taken for a field", bad)
		}
	}
}

func FuzzStanzas(f *testing.F) {
	f.Add("A: 1\n\nB: 2\n x\n")
	f.Add("A: 1\r\n\r\n\r\n:")
	f.Fuzz(func(t *testing.T, text string) {
		if len(text) > 1<<16 {
			return
		}
		total := 0
		for s := range Stanzas([]byte(text)) {
			if len(s) == 0 {
				t.Fatal("an empty stanza")
			}
			total += len(s)
			_, _ = s.Field("A")
			_ = s.Fields(func(name, _ []byte) error {
				if len(name) == 0 {
					t.Fatal("a field without a name")
				}
				return nil
			})
		}
		if total > len(text) {
			t.Fatalf("stanzas hold %d bytes of a text of %d", total, len(text))
		}
	})
}
