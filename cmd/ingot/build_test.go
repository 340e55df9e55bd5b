package main

import (
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"ingot/internal/digest"
	"ingot/internal/fault"
	"ingot/internal/lock"
)

// TestKeepSeals has the lock's file change between the beginning of a build and its
// end.
func TestKeepSeals(t *testing.T) {
	seal := func(purpose, content string) lock.Seal {
		return lock.Seal{Arch: "amd64", Purpose: purpose, SHA256: digest.Of([]byte(content))}
	}
	ours, theirs := seal("container", "ours"), seal("machine", "theirs")
	for _, c := range []struct {
		summary   string
		meanwhile func(l *lock.Lock)
		want      []lock.Seal
		code      fault.Code
	}{
		{"nothing happens", func(*lock.Lock) {}, []lock.Seal{ours}, fault.Done},
		{"another build seals its own", func(l *lock.Lock) { l.Seals = []lock.Seal{theirs} }, []lock.Seal{ours, theirs}, fault.Done},
		{"another build makes the same", func(l *lock.Lock) { l.Seals = []lock.Seal{ours} }, []lock.Seal{ours}, fault.Done},
		{"another build makes something else", func(l *lock.Lock) { l.Seals = []lock.Seal{seal("container", "theirs")} }, []lock.Seal{seal("container", "theirs")}, fault.Verification},
		{"the lock moves", func(l *lock.Lock) { l.Epoch++ }, nil, fault.Done},
	} {
		path := filepath.Join(t.TempDir(), "ingot.lock")
		l := lock.Lock{Definition: digest.Of([]byte("d")), Request: digest.Of([]byte("r")), Distro: "debian", Release: "bookworm", Epoch: 1731000000, Sets: []lock.Set{{Arch: "amd64", Purpose: "container"}, {Arch: "amd64", Purpose: "machine"}}}
		now := l
		c.meanwhile(&now)
		if err := lock.Write(path, now); err != nil {
			t.Fatal(err)
		}
		if err := keepSeals(&l, path, []lock.Seal{ours}, nil); fault.CodeOf(err) != c.code {
			t.Errorf("%s: %v", c.summary, err)
		}
		got, err := lock.Read(path)
		if err != nil {
			t.Fatal(err)
		}
		if got.Epoch != now.Epoch {
			t.Errorf("%s: the lock is the build's again", c.summary)
		}
		if diff := cmp.Diff(c.want, got.Seals); diff != "" {
			t.Errorf("%s (-want +got):\n%s", c.summary, diff)
		}
		// A lock that is written once more keeps what builds recorded.
		now.Seals = nil
		if err := writeLock(path, &now); err != nil {
			t.Fatal(err)
		}
		if again, err := lock.Read(path); err != nil || !cmp.Equal(again.Seals, c.want) {
			t.Errorf("%s: written again it has the seals %v, %v", c.summary, again.Seals, err)
		}
	}
}
