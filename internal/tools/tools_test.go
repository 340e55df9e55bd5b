package tools

import (
	"context"
	"io"
	"os"
	"path/filepath"
	"testing"
	"time"

	"ingot/internal/cache"
	"ingot/internal/compiler"
	"ingot/internal/digest"
	"ingot/internal/distro"
	"ingot/internal/fault"
	"ingot/internal/fetch"
	"ingot/internal/lock"
	"ingot/internal/store"
	"ingot/internal/supply"
)

// A distribution of empty packages.
type empty struct{ distro.Distro }

func (empty) Inspect(_ context.Context, ref distro.Ref, _ io.ReaderAt) (distro.Package, error) {
	return distro.Package{Ref: ref}, nil
}

func (empty) Unpack(_ context.Context, p distro.Package, _ io.ReaderAt, _ distro.Pack) (distro.Unpacked, error) {
	return distro.Unpacked{Package: p}, nil
}

// A collection that runs while a tools tree is fetched leaves its packages, and so
// does one that runs later.
func TestToolsAreHeld(t *testing.T) {
	ctx := context.Background()
	home := t.TempDir()
	s, err := store.Open(home)
	if err != nil {
		t.Fatal(err)
	}
	c, err := cache.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	here := []byte("a package that is here")
	set := Set{Name: "few", Packages: []string{"here", "there"}}
	l := lock.Lock{
		Definition: digest.Of([]byte("definition")), Request: digest.Of([]byte(Release + " here there")), Distro: "debian", Release: Release, Epoch: 1731000000,
		Archives: []lock.Archive{{Name: "debian", URL: "http://archive.example/debian", Suites: []string{Release}, Components: []string{"main"}}},
		Tools: []distro.Ref{
			{Name: "here", Version: "1", Arch: "all", Archive: "debian", Location: "here.deb", Size: int64(len(here)), SHA256: digest.Of(here)},
			{Name: "there", Version: "1", Arch: "all", Archive: "debian", Location: "there.deb", Size: 1, SHA256: digest.Of([]byte("x"))},
		},
	}
	if err := os.Mkdir(filepath.Join(home, "tools"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := lock.Write(filepath.Join(home, "tools", "few.lock"), l); err != nil {
		t.Fatal(err)
	}
	p, err := s.Create()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.Write(here); err != nil {
		t.Fatal(err)
	}
	if err := p.Commit(digest.Of(here)); err != nil {
		t.Fatal(err)
	}
	var during func()
	k := Keeper{Home: home, Cache: c, Compiler: &compiler.Compiler{HostArch: "amd64"}, Supply: func(*lock.Lock) *supply.Supply {
		return &supply.Supply{Store: s, Cache: c, Client: &fetch.Client{}, Distro: empty{}, Mirrors: func(string) []string {
			during()
			return []string{"file:///no/such/mirror"}
		}}
	}}
	fetches := 0
	for _, during = range []func(){func() {
		fetches++
		if done, err := s.Collect(ctx, func(store.Ref) bool { return false }, false); err != nil || done.Leased != 1 {
			t.Errorf("while it is fetched: %+v, %v", done, err)
		}
	}, func() { fetches++ }} {
		if _, err := k.Dir(ctx, set); fault.CodeOf(err) == fault.Done {
			t.Fatal("a package came from nowhere")
		}
	}
	if fetches < 2 {
		t.Errorf("%d fetches", fetches)
	}
	if done, err := s.Collect(ctx, supply.Keeps(time.Now().Add(time.Hour)), false); err != nil || done.Kept != 1 {
		t.Errorf("later: %+v, %v", done, err)
	}
}
