package debian

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"os/exec"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"

	"ingot/internal/distro"
)

// many is an index larger than a few of the reader's pieces.
func many(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "Package: p%d\nVersion: %d\nArchitecture: amd64\nDepends: p%d (>= 1)\nDescription: %s\n\n",
			i, i+1, (i+1)%n, strings.Repeat("x", i%3000))
	}
	return b.String()
}

func TestReadIndexCompressed(t *testing.T) {
	const n = 5000
	text := many(n)
	squeeze := map[string]func() []byte{
		"plain": func() []byte { return []byte(text) },
		"gzip": func() []byte {
			var b bytes.Buffer
			w := gzip.NewWriter(&b)
			if _, err := w.Write([]byte(text)); err != nil {
				t.Fatal(err)
			}
			if err := w.Close(); err != nil {
				t.Fatal(err)
			}
			return b.Bytes()
		},
		"zstd": func() []byte {
			w, err := zstd.NewWriter(nil)
			if err != nil {
				t.Fatal(err)
			}
			return w.EncodeAll([]byte(text), nil)
		},
		"xz": func() []byte {
			path, err := exec.LookPath("xz")
			if err != nil {
				t.Skip("xz is not installed: apt-get install xz-utils makes this run")
			}
			cmd := exec.CommandContext(t.Context(), path, "-1")
			cmd.Stdin = strings.NewReader(text)
			out, err := cmd.Output()
			if err != nil {
				t.Fatal(err)
			}
			return out
		},
	}
	for name, make := range squeeze {
		t.Run(name, func(t *testing.T) {
			data := make()
			x, err := ReadIndex(bytes.NewReader(data), Source{Archive: "debian", Suite: "stable", Arch: "amd64"})
			if err != nil {
				t.Fatal(err)
			}
			if x.Len() != n || len(x.rels) != n || len(x.symbols.at) != n {
				t.Errorf("got %d stanzas, %d relations, %d names, want %d of each", x.Len(), len(x.rels), len(x.symbols.at), n)
			}
			u, err := NewUniverse(Options{Arch: "amd64"}, x)
			if err != nil {
				t.Fatal(err)
			}
			g, ok := u.group("p4999")
			if !ok {
				t.Fatal("the last package is not there")
			}
			if got := u.version(u.candidate(u.preferred(g, true))); got != "5000" {
				t.Errorf("the last package has version %q, want 5000", got)
			}
			if name == "plain" {
				return
			}
			for _, cut := range []int{len(data) / 2, len(data) - 1} {
				if _, err := ReadIndex(bytes.NewReader(data[:cut]), Source{}); err == nil {
					t.Errorf("cut off at %d of %d bytes and no error", cut, len(data))
				}
			}
		})
	}
}

func TestReadIndexErrors(t *testing.T) {
	for _, tt := range []struct{ summary, text, want string }{
		{"not a field", "Package: a\nVersion: 1\nwhat\n", "is not a field"},
		{"no name", "Version: 1\n", "has no Package field"},
		{"no version", "Package: a\n", `package "a" has no usable version`},
		{"a bad relation", "Package: a\nVersion: 1\nDepends: b (>= 1\n", "package a 1: Depends: no )"},
		{"a damaged archive", "\xfd7zXZ\x00garbage-garbage-garbage", "xz"},
	} {
		t.Run(tt.summary, func(t *testing.T) {
			_, err := ReadIndex(strings.NewReader(tt.text), Source{Archive: "debian", Suite: "stable", Component: "main", Arch: "amd64"})
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want an error with %q", err, tt.want)
			}
			if err != nil && !strings.HasPrefix(err.Error(), "index of debian stable/main amd64: ") {
				t.Errorf("%v does not name the index", err)
			}
		})
	}
	x, err := ReadIndex(strings.NewReader("Package: a\nVersion: 1\nArchitecture: arm64\n"), Source{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := NewUniverse(Options{Arch: "amd64"}, x); err == nil || !strings.Contains(err.Error(), "arm64") {
		t.Errorf("a package of a foreign architecture: got %v", err)
	}
}

// TestUniverseKeepsItself reads one index twice, as when two suites share it, and
// asks many times: a resolution must leave no trace in the universe.
func TestUniverseKeepsItself(t *testing.T) {
	const text = "Package: a\nDepends: b | c\n\nPackage: b\nConflicts: d\n\nPackage: c\n\nPackage: d\n"
	u := world(t, Options{Arch: "amd64"}, text, text)
	for range 3 {
		for _, tt := range []struct{ packages, want string }{
			{"a", "a b"}, {"d a", "a c d"}, {"a b-", "a c"}, {"b d", "error"}, {"a", "a b"},
		} {
			got := chosen(t, u, distro.Request{Packages: strings.Fields(tt.packages)})
			if !strings.HasPrefix(got, tt.want) {
				t.Errorf("%s: got %s, want %s", tt.packages, got, tt.want)
			}
		}
	}
	if len(u.vers) != 4 {
		t.Errorf("%d versions, want 4: the same in two indexes is one", len(u.vers))
	}
}

func FuzzReadIndex(f *testing.F) {
	f.Add("Package: a\nVersion: 1\nArchitecture: all\nMulti-Arch: foreign\nDepends: b:any | c (>= 2), d:i386\nProvides: e (= 1), f\nBreaks: a:amd64\n", "a b-")
	f.Add("Package: a\r\nVersion: 1\r\n\r\nPackage: A\nVersion: 2\nProvides: a\nConflicts: a\nEssential: yes\n", "?essential")
	f.Add(many(3), "p1 p2=2")
	f.Fuzz(func(t *testing.T, text, tokens string) {
		if len(text) > 1<<12 || len(tokens) > 1<<6 || strings.HasPrefix(text, "\xfd7zXZ") {
			return
		}
		x, err := ReadIndex(strings.NewReader(text), Source{Arch: "amd64"})
		if err != nil {
			return
		}
		u, err := NewUniverse(Options{Arch: "amd64", Foreign: []string{"i386"}}, x, x)
		if err != nil {
			return
		}
		for _, recommends := range []bool{false, true} {
			_, _ = u.Resolve(distro.Request{Arch: "amd64", Packages: strings.Fields(tokens), Recommends: recommends})
		}
	})
}
