package place_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"

	"ingot/internal/fault"
	"ingot/internal/judge"
	"ingot/internal/place"
	"ingot/internal/place/placetest"
)

func noEnv(string) string { return "" }

// places are all kinds of them, each opened as often as it is called: as by other processes.
func places(t *testing.T) map[string]func(t *testing.T) place.Place {
	t.Helper()
	opener := func(text string, env place.Getenv) func(t *testing.T) place.Place {
		return func(t *testing.T) place.Place {
			t.Helper()
			p, err := place.Open(text, env)
			if err != nil {
				t.Fatal(err)
			}
			return p
		}
	}
	out := map[string]func(t *testing.T) place.Place{"directory": opener(filepath.Join(t.TempDir(), "new"), noEnv)}
	if judge.At() == judge.Plain {
		return out // the servers take a minute to build
	}
	s3 := placetest.S3(t)
	// What the client reads itself is the process's environment.
	for k, v := range s3.Env {
		t.Setenv(k, v)
	}
	out["s3"] = opener("s3://images/some/prefix", s3.Getenv)
	oci := placetest.OCI(t, false)
	out["oci"] = opener("oci://"+oci.Host+"/acme/groups", oci.Getenv)
	stubborn := placetest.OCI(t, true)
	out["oci that deletes nothing"] = opener("oci://"+stubborn.Host+"/acme/groups", stubborn.Getenv)
	return out
}

// TestPlaces holds every kind of place to the same.
func TestPlaces(t *testing.T) {
	for name, open := range places(t) {
		t.Run(name, func(t *testing.T) { conform(t, open) })
	}
}

func put(t *testing.T, p place.Place, name, text string, when place.Condition) place.Info {
	t.Helper()
	i, err := p.Put(t.Context(), name, place.Text([]byte(text)), when)
	if err != nil {
		t.Fatalf("put %s: %v", name, err)
	}
	return i
}

func read(t *testing.T, p place.Place, name string) (string, place.Info) {
	t.Helper()
	b, i, err := place.Read(t.Context(), p, name, 1<<20)
	if err != nil {
		t.Fatalf("read %s: %v", name, err)
	}
	return string(b), i
}

func conform(t *testing.T, open func(t *testing.T) place.Place) {
	p := open(t)
	ctx := t.Context()

	// Nothing is there.
	if l, err := p.List(ctx, ""); err != nil || len(l) != 0 {
		t.Fatalf("a new place has %q, %v", l, err)
	}
	if _, err := p.Stat(ctx, "a/b"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("stat of nothing: %v", err)
	}
	if _, _, err := p.Open(ctx, "a/b"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("open of nothing: %v", err)
	}
	if err := p.Remove(ctx, "a/b"); err != nil {
		t.Errorf("remove of nothing: %v", err)
	}

	// What is put is there, also for others, and replaced.
	put(t, p, "a/b", "one", place.Always)
	put(t, p, "a/b", "two", place.Always)
	put(t, p, "a/c", "", place.New)
	put(t, p, "ab", "x", place.New)
	put(t, p, "a/long-name_with.every~sign+that:names,have=@1", "y", place.New)
	q := open(t)
	if text, i := read(t, q, "a/b"); text != "two" || i.Size != 3 {
		t.Errorf("a/b is %q, %+v", text, i)
	}
	if text, _ := read(t, q, "a/c"); text != "" {
		t.Errorf("the empty one is %q", text)
	}
	for prefix, want := range map[string]string{
		"":   "a/b a/c a/long-name_with.every~sign+that:names,have=@1 ab",
		"a":  "a/b a/c a/long-name_with.every~sign+that:names,have=@1 ab",
		"a/": "a/b a/c a/long-name_with.every~sign+that:names,have=@1", "a/b": "a/b", "a/b/": "", "z": "",
	} {
		if l, err := q.List(ctx, prefix); err != nil || strings.Join(l, " ") != want {
			t.Errorf("list %q: %q, %v", prefix, l, err)
		}
	}

	// Conditions.
	first := put(t, p, "index", "1", place.Was(""))
	if _, i, err := place.Read(ctx, q, "index", 100); err != nil || i != first {
		t.Errorf("its mark is %+v, was %+v; %v", i, first, err)
	}
	second := put(t, q, "index", "2", place.Was(first.Mark))
	for what, when := range map[string]place.Condition{"new": place.New, "an old mark": place.Was(first.Mark), "another mark": place.Was("x")} {
		if _, err := p.Put(ctx, "index", place.Text([]byte("3")), when); !errors.Is(err, place.ErrChanged) {
			t.Errorf("put on %s: %v", what, err)
		}
	}
	if _, err := p.Put(ctx, "not there", place.Text(nil), place.New); err == nil {
		t.Error("a name with a space was taken")
	}
	if _, err := p.Put(ctx, "absent", place.Text([]byte("3")), place.Was(second.Mark)); !errors.Is(err, place.ErrChanged) {
		t.Errorf("put on the mark of nothing: %v", err)
	}
	if text, _ := read(t, p, "index"); text != "2" {
		t.Errorf("the index is %q", text)
	}

	// Removed is removed, and may be made anew.
	if err := p.Remove(ctx, "a/b"); err != nil {
		t.Fatal(err)
	}
	if _, err := q.Stat(ctx, "a/b"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("removed, and there: %v", err)
	}
	if l, err := q.List(ctx, "a/b"); err != nil || len(l) != 0 {
		t.Errorf("removed, and listed: %q, %v", l, err)
	}
	put(t, q, "a/b", "two", place.New)
	if text, _ := read(t, p, "a/b"); text != "two" {
		t.Errorf("made anew it is %q", text)
	}

	// Larger than what a client keeps.
	large := strings.Repeat("0123456789abcdef", 3<<16) // 3 MiB
	put(t, p, "large", large, place.New)
	f, i, err := q.Open(ctx, "large")
	if err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(f)
	_ = f.Close()
	if err != nil || string(b) != large || i.Size != int64(len(large)) {
		t.Errorf("the large one has %d bytes, %v", len(b), err)
	}

	// A canceled writing leaves nothing.
	canceled, cancel := context.WithCancel(ctx)
	cancel()
	if _, err := p.Put(canceled, "late", place.Text([]byte("x")), place.New); err == nil {
		t.Error("canceled, it was written")
	}
	if l, err := q.List(ctx, "late"); err != nil || len(l) != 0 {
		t.Errorf("canceled, there is %q, %v", l, err)
	}

	race(t, open)
}

// race has writers count in one object, each with the others: no count is lost.
func race(t *testing.T, open func(t *testing.T) place.Place) {
	const writers, each = 3, 4
	var all sync.WaitGroup
	errs := make(chan error, writers)
	for range writers {
		p := open(t)
		all.Go(func() {
			for range each {
				if err := countUp(t.Context(), p); err != nil {
					errs <- err
					return
				}
			}
		})
	}
	all.Wait()
	close(errs)
	for err := range errs {
		t.Error(err)
	}
	if text, _ := read(t, open(t), "count"); text != strconv.Itoa(writers*each) {
		t.Errorf("%d writers counted to %s, each by %d", writers, text, each)
	}
}

func countUp(ctx context.Context, p place.Place) error {
	for {
		n, mark := 0, ""
		b, i, err := place.Read(ctx, p, "count", 100)
		switch {
		case err == nil:
			if n, err = strconv.Atoi(string(b)); err != nil {
				return err
			}
			mark = i.Mark
		case !errors.Is(err, fs.ErrNotExist):
			return err
		}
		_, err = p.Put(ctx, "count", place.Text([]byte(strconv.Itoa(n+1))), place.Was(mark))
		if !errors.Is(err, place.ErrChanged) {
			return err
		}
	}
}

func TestNames(t *testing.T) {
	for _, name := range []string{"", "/", "a/", "/a", "a//b", ".", "..", "a/../b", ".hidden", "a/.b", "a b", "a\x00b", "é", "a\\b", strings.Repeat("x", 201)} {
		if place.CheckName(name) == nil {
			t.Errorf("%q is a name", name)
		}
	}
}

func TestOpen(t *testing.T) {
	for text, code := range map[string]fault.Code{
		"": fault.Usage, "ftp://x/y": fault.Usage, "s3://": fault.Usage, "s3:///x": fault.Usage, "oci://": fault.Usage, "oci://host": fault.Usage,
		"oci://host/name:tag": fault.Usage, "oci://host/Name": fault.Usage, "file://relative": fault.Usage,
		"s3://key:secret@bucket/x": fault.Usage, "oci://user:secret@host/x": fault.Usage,
		"s3://bucket": fault.Done, "s3://bucket/a/b/": fault.Done, "oci://host:5000/a/b": fault.Done, "some/directory": fault.Done, "file:///srv": fault.Done,
	} {
		p, err := place.Open(text, noEnv)
		if fault.CodeOf(err) != code {
			t.Errorf("%q: %v", text, err)
		}
		if err != nil && strings.Contains(err.Error()+fault.HintOf(err), "secret") {
			t.Errorf("%q: the message tells the secret: %v", text, err)
		}
		if err == nil && strings.Contains(text, "://") && strings.TrimPrefix(strings.TrimSuffix(text, "/"), "file://") != p.String() {
			t.Errorf("%q became %q", text, p)
		}
	}
}

// TestSecrets asks servers that refuse, and that do not answer: no message tells what was
// sent.
func TestSecrets(t *testing.T) {
	s3 := placetest.S3(t)
	oci := placetest.OCI(t, false)
	dir := t.TempDir()
	const secret = "hunter2-hunter2"
	t.Setenv("AWS_ACCESS_KEY_ID", "tester")
	t.Setenv("AWS_SECRET_ACCESS_KEY", secret)
	config := fmt.Sprintf(`{"auths":{"127.0.0.1:1":{"auth":"dXNlcjpodW50ZXIyLWh1bnRlcjI="},%q:{"auth":"dXNlcjpodW50ZXIyLWh1bnRlcjI="}}}`, oci.Host)
	if err := os.WriteFile(filepath.Join(dir, "config.json"), []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		text string
		env  map[string]string
		code fault.Code
	}{
		{"s3://images/x", map[string]string{"AWS_ENDPOINT_URL": "http://" + s3.Host}, fault.Preflight},
		{"s3://images/x", map[string]string{"AWS_ENDPOINT_URL": "http://127.0.0.1:1"}, fault.Unreachable},
		{"oci://127.0.0.1:1/x", map[string]string{"DOCKER_CONFIG": dir}, fault.Unreachable},
	} {
		p, err := place.Open(c.text, func(name string) string { return c.env[name] })
		if err != nil {
			t.Fatal(err)
		}
		ctx := t.Context()
		_, statErr := p.Stat(ctx, "a")
		_, putErr := p.Put(ctx, "a", place.Text([]byte("x")), place.New)
		_, listErr := p.List(ctx, "")
		for what, err := range map[string]error{"stat": statErr, "put": putErr, "list": listErr} {
			if fault.CodeOf(err) != c.code {
				t.Errorf("%s at %s: code %d: %v", what, c.text, fault.CodeOf(err), err)
			}
			if text := fmt.Sprint(err, fault.HintOf(err)); strings.Contains(text, secret) || strings.Contains(text, "Signature=") || strings.Contains(text, "aHVudGVy") {
				t.Errorf("%s at %s tells the secret: %s", what, c.text, text)
			}
		}
	}
}
