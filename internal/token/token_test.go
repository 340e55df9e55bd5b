package token

import (
	"strings"
	"testing"
	"time"
)

func TestList(t *testing.T) {
	now := time.Date(2026, 11, 30, 1, 2, 3, 0, time.UTC)
	reader, r := New("reader", Read, now, time.Time{})
	writer, w := New("writer", Publish, now, now.Add(time.Hour))
	var l List
	var err error
	for _, one := range []Token{r, w} {
		if l, err = l.Add(one); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := l.Add(r); err == nil {
		t.Error("a name is there twice")
	}
	data, err := l.Encode()
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{reader, writer} {
		if strings.Contains(string(data), text) || strings.Contains(string(data), strings.TrimPrefix(text, prefix)) || len(text) < 43 {
			t.Errorf("%s is in the list, or short:\n%s", text, data)
		}
	}
	if l, err = Decode(data); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		text string
		at   time.Time
		name string
	}{
		{reader, now, "reader"}, {reader, now.Add(1e6 * time.Hour), "reader"}, {writer, now, "writer"}, {writer, now.Add(time.Hour), ""},
		{reader + "x", now, ""}, {reader[:20], now, ""}, {"", now, ""}, {r.SHA256.String(), now, ""},
	} {
		if got, _ := l.Find(c.text, c.at); got.Name != c.name {
			t.Errorf("%q at %s is %q, want %q", c.text, c.at, got.Name, c.name)
		}
	}
	l, had := l.Remove("reader")
	if _, ok := l.Find(reader, now); ok || !had {
		t.Error("a token that was removed is good")
	}
}

func TestReadText(t *testing.T) {
	for text, want := range map[string]string{"ingot_a\n": "ingot_a", " x ": "x", "": "", "a b": "", "a\nb": "", "a\x00": "", strings.Repeat("a", 5000): ""} {
		got, err := ReadText(strings.NewReader(text))
		if got != want || (err == nil) != (want != "") {
			t.Errorf("%.20q gives %q, %v", text, got, err)
		}
	}
}

// FuzzDecode: what is read of a list can be written, and is the same then.
func FuzzDecode(f *testing.F) {
	f.Add([]byte(`{"schema":1,"private":true,"tokens":[{"name":"a","sha256":"` + strings.Repeat("ab", 32) + `","right":"read","created":"2026-11-30T00:00:00Z"}]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		l, err := Decode(data)
		if err != nil {
			return
		}
		again, err := l.Encode()
		if err != nil {
			t.Skip("a date that Go reads and does not write: there is nothing to read again")
		}
		if m, err := Decode(again); err != nil || len(m.Tokens) != len(l.Tokens) || m.Private != l.Private {
			t.Errorf("%v %v %v", l, m, err)
		}
	})
}
