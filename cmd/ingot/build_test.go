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

// Two builds of one lock at once each add what their scripts asked for.
func TestKeepDownloads(t *testing.T) {
	file := func(address, text string) lock.Download {
		return lock.Download{Address: "http://a.example/" + address, Size: int64(len(text)), SHA256: digest.Of([]byte(text))}
	}
	before, ours, theirs, both := file("before", "b"), file("ours", "o"), file("theirs", "t"), file("both", "1")
	path := filepath.Join(t.TempDir(), "ingot.lock")
	l := lock.Lock{Definition: digest.Of([]byte("d")), Request: digest.Of([]byte("r")), Distro: "debian", Release: "bookworm", Epoch: 1731000000, Downloads: []lock.Download{before}}
	now := l
	now.Downloads = []lock.Download{before, both, theirs}
	if err := lock.Write(path, now); err != nil {
		t.Fatal(err)
	}
	if err := keepDownloads(&l, path, []lock.Download{before, file("both", "2"), ours}); err != nil {
		t.Fatal(err)
	}
	got, err := lock.Read(path)
	if err != nil {
		t.Fatal(err)
	}
	want := []lock.Download{before, both, ours, theirs}
	if d := cmp.Diff(want, got.Downloads); d != "" {
		t.Errorf("-want +got:\n%s", d)
	}
	if d := cmp.Diff(want, l.Downloads); d != "" {
		t.Errorf("the build's own: -want +got:\n%s", d)
	}
	// 'ingot lock' chooses packages anew, and knows nothing of what scripts asked for.
	now.Downloads = nil
	if err := writeLock(path, &now); err != nil {
		t.Fatal(err)
	}
	if got, err = lock.Read(path); err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(want, got.Downloads); d != "" {
		t.Errorf("written again: -want +got:\n%s", d)
	}
	now.Epoch++
	if err := writeLock(path, &now); err != nil {
		t.Fatal(err)
	}
	if got, err = lock.Read(path); err != nil || got.Epoch != now.Epoch {
		t.Errorf("another lock was not written: %v", err)
	}
}
