package sandbox

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"ingot/internal/tree"
)

// atStation is a box with a station whose programs are this machine's own.
func atStation(t *testing.T) *Box {
	t.Helper()
	box, err := New(t.Context(), Options{Station: &Station{
		Programs: "/", Tree: "/build/mnt", Aside: map[string]string{"build": "/build"},
		Files: map[string][]byte{"/usr/local/sbin/greet": []byte("#!/bin/sh\necho hello\n")},
	}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = box.Close() })
	dir := func(path string) tree.Entry { return tree.Entry{Path: path, Kind: tree.Dir, Mode: 0o755} }
	if err := box.Put(t.Context(), []tree.Entry{dir(Aside), dir(Aside + "/build"), dir(Aside + "/build/mnt"), dir("etc")}, nil); err != nil {
		t.Fatal(err)
	}
	return box
}

// sh runs a shell program at the station.
func (b *Box) sh(ctx context.Context, text string) (string, error) {
	out, err := b.Output(ctx, Command{Argv: []string{"/bin/sh", "-euc", text}, Env: []string{"PATH=/usr/local/sbin:/usr/sbin:/usr/bin"}, Station: true}, nil)
	return string(out), err
}

func captured(t *testing.T, b *Box) (tree.Tree, string) {
	t.Helper()
	name := filepath.Join(t.TempDir(), "pack")
	pack, err := os.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	defer pack.Close()
	got, _, err := b.Capture(t.Context(), pack, "pack", "step", 1<<40)
	if err != nil {
		t.Fatal(err)
	}
	return got, name
}

// What scripts do to the image and beside it is captured; what they mount, and what they
// leave elsewhere at the station, is not. Another box goes on from there.
func TestStation(t *testing.T) {
	b := atStation(t)
	out, err := b.sh(t.Context(), `greet
cd /build/mnt
echo image >etc/x
echo aside >../note
mkdir -p /root/cache covered
mount --bind /root/cache covered
echo hidden >covered/y
echo lost >/tmp/z
if touch /usr/z 2>/dev/null; then echo the programs can be written; fi
sleep 1000 &
`)
	if err != nil || out != "hello\n" {
		t.Fatalf("error %v, output %q", err, out)
	}
	got, pack := captured(t, b)
	var paths []string
	for e := range got.All() {
		paths = append(paths, e.Path)
	}
	want := " " + Aside + " " + Aside + "/build " + Aside + "/build/mnt " + Aside + "/build/note covered etc etc/x"
	if s := strings.Join(paths, " "); s != want {
		t.Errorf("captured %q, want %q", s, want)
	}
	next := atStation(t)
	r := tree.NewReader(packs(pack))
	defer r.Close()
	if err := next.Put(t.Context(), got.Entries(), r); err != nil {
		t.Fatal(err)
	}
	if out, err := next.sh(t.Context(), "cat /build/mnt/etc/x /build/note; ls /build/mnt/covered"); err != nil || out != "image\naside\n" {
		t.Errorf("error %v, output %q", err, out)
	}
	names, err := next.List(t.Context(), Aside+"/build")
	if err != nil || len(names) != 2 || names[1].Name != "note" || !names[1].Mode.IsRegular() {
		t.Errorf("listed %v, error %v", names, err)
	}
}

// While a program of the station runs, the box does other things, and the program sees
// them.
func TestAttended(t *testing.T) {
	b := atStation(t)
	l, err := b.Listen(t.Context(), 3128)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	// The program asks, and waits for the answer.
	served := make(chan error, 1)
	go func() {
		conn, err := l.Accept()
		if err != nil {
			served <- err
			return
		}
		defer conn.Close()
		err = b.Write(t.Context(), NewFile{Path: "etc/made", Mode: 0o644, Data: []byte("meanwhile\n")})
		if err == nil {
			_, err = b.Read(t.Context(), "etc/made")
		}
		_, _ = io.WriteString(conn, "done\n")
		served <- err
	}()
	out, err := b.Output(t.Context(), Command{
		Argv: []string{"/bin/bash", "-euc", "exec 3<>/dev/tcp/127.0.0.1/3128; cat <&3; cat /build/mnt/etc/made"}, Station: true,
	}, nil)
	if err != nil || string(out) != "done\nmeanwhile\n" {
		t.Errorf("error %v, output %q", err, out)
	}
	if err := <-served; err != nil {
		t.Error(err)
	}
	if err := b.Run(t.Context(), Command{Argv: []string{"/bin/sh", "-c", "exit 3"}, Station: true}); err != nil {
		var exit *ExitError
		if !errors.As(err, &exit) || exit.Code != 3 {
			t.Error(err)
		}
	}
}

// A covered program is another one for who sees the image from the station, and the same
// in the image. Links lead to nothing outside of it.
func TestCover(t *testing.T) {
	b := atStation(t)
	ctx := t.Context()
	if err := b.Write(ctx, NewFile{Path: "etc/tool", Mode: 0o755, Data: []byte("the image's\n")}); err != nil {
		t.Fatal(err)
	}
	see := func(want string) {
		t.Helper()
		if out, err := b.sh(ctx, "cat /build/mnt/etc/tool"); err != nil || out != want {
			t.Errorf("error %v, output %q, want %q", err, out, want)
		}
	}
	for range 2 {
		if err := b.Cover(ctx, "/usr/local/sbin/greet", "etc/tool", true); err != nil {
			t.Fatal(err)
		}
		see("#!/bin/sh\necho hello\n")
	}
	if data, err := b.Read(ctx, "etc/tool"); err != nil || string(data) != "the image's\n" {
		t.Errorf("error %v, the image has %q", err, data)
	}
	for range 2 {
		if err := b.Cover(ctx, "/usr/local/sbin/greet", "etc/tool", false); err != nil {
			t.Fatal(err)
		}
		see("the image's\n")
	}
	if _, err := b.sh(ctx, "ln -s /proc/version /build/mnt/etc/out"); err != nil {
		t.Fatal(err)
	}
	if err := b.Cover(ctx, "/usr/local/sbin/greet", "etc/out", true); err == nil {
		t.Error("a link that leads out of the image was covered")
	}
	if err := b.Cover(ctx, "/usr/local/sbin/greet", "../x", true); err == nil {
		t.Error("a path that leads out of the image was covered")
	}
}
