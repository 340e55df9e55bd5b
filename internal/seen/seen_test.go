package seen

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"ingot/internal/digest"
)

func TestJudge(t *testing.T) {
	a, b := digest.Of([]byte("a")), digest.Of([]byte("b"))
	old := Record{Tree: "one", Serial: 5, SHA256: a}
	for _, c := range []struct {
		what string
		old  Record
		now  Record
		want error
	}{
		{"never seen", Record{}, old, nil},
		{"never seen, nothing in it yet", Record{}, Record{SHA256: a}, nil},
		{"the same", old, old, nil},
		{"a newer one", old, Record{Tree: "one", Serial: 6, SHA256: b}, nil},
		{"an older one", old, Record{Tree: "one", Serial: 4, SHA256: b}, ErrOlder},
		{"another of the same serial", old, Record{Tree: "one", Serial: 5, SHA256: b}, ErrOther},
		{"of another tree", old, Record{Tree: "two", Serial: 6, SHA256: b}, ErrTree},
		{"of no tree", old, Record{Serial: 6, SHA256: b}, ErrTree},
	} {
		if err := c.old.Judge(c.now); !errors.Is(err, c.want) {
			t.Errorf("%s: %v", c.what, err)
		}
	}
}

func TestWrite(t *testing.T) {
	path := filepath.Join(t.TempDir(), "seen.json")
	if r, err := Read(path); err != nil || r != (Record{}) {
		t.Errorf("never seen: %+v, %v", r, err)
	}
	want := Record{Schema: 1, Of: "x", Serial: 5, SHA256: digest.Of(nil), Created: time.Unix(5, 0).UTC()}
	if err := want.Write(path); err != nil {
		t.Fatal(err)
	}
	if r, err := Read(path); err != nil || r != want {
		t.Errorf("%+v, %v", r, err)
	}
	if err := os.WriteFile(path, []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Read(path); err == nil {
		t.Error("what is damaged counts as never seen")
	}
}
