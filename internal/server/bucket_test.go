package server

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"ingot/internal/catalog"
	"ingot/internal/fault"
	"ingot/internal/judge"
	"ingot/internal/place"
	"ingot/internal/place/placetest"
)

// breaking is a bucket whose writer dies before its n-th writing.
type breaking struct {
	place.Bucket
	left *atomic.Int64
}

var errDied = errors.New("its writer died")

func (b breaking) dies() error {
	if b.left.Add(-1) < 0 {
		return errDied
	}
	return nil
}

func (b breaking) Put(ctx context.Context, name string, body *io.SectionReader, when place.Condition) (place.Info, error) {
	if err := b.dies(); err != nil {
		return place.Info{}, err
	}
	return b.Bucket.Put(ctx, name, body, when)
}

func (b breaking) Copy(ctx context.Context, from, to string) error {
	if err := b.dies(); err != nil {
		return err
	}
	return b.Bucket.Copy(ctx, from, to)
}

func (b breaking) Remove(ctx context.Context, name string) error {
	// The lease goes, or the next publisher would wait for it to die.
	if err := b.dies(); err != nil && name != leasePath {
		return err
	}
	return b.Bucket.Remove(ctx, name)
}

// bucketStage is a tree in S3.
func bucketStage(t *testing.T, s3 placetest.Server, prefix string) (*stage, func() *Bucket) {
	t.Helper()
	s := newStage(t)
	open := func() *Bucket {
		p, err := OpenTree(t.Context(), "s3://images/"+prefix, s3.Getenv, true)
		if err != nil {
			t.Fatal(err)
		}
		return p.(*Bucket)
	}
	s.Place = open()
	return s, open
}

func TestBucket(t *testing.T) {
	judge.Needs(t, judge.CI)
	s3 := placetest.S3(t)
	for k, v := range s3.Env {
		t.Setenv(k, v)
	}
	get := func(t *testing.T, name string) string {
		t.Helper()
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+s3.Host+"/images/"+name, nil)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		data, err := io.ReadAll(resp.Body)
		if err != nil || resp.StatusCode != http.StatusOK {
			t.Fatalf("%s: %s %v", name, resp.Status, err)
		}
		return string(data)
	}
	one, two := t.TempDir(), t.TempDir()
	lxcPair(t, one, "web", "one")
	lxcPair(t, two, "web", "two")

	t.Run("verbs", func(t *testing.T) {
		s, open := bucketStage(t, s3, "a/tree")
		if out := s.publish(one, "testing"); !out[0].New {
			t.Errorf("%+v", out)
		}
		s.sound()
		if _, err := s.Promote(t.Context(), "web", "testing", "stable"); err != nil {
			t.Fatal(err)
		}
		index := get(t, "a/tree/meta/1.0/index-system.7")
		if want := "debian;bookworm;amd64;web;20260930_0607;/images/debian/bookworm/amd64/web/20260930_0607/\n"; !strings.HasPrefix(index, want) {
			t.Errorf("its index is %q", index)
		}
		if got := get(t, "a/tree/images/debian/bookworm/amd64/web/20260930_0607/rootfs.tar.xz"); got != xzText("root of one") {
			t.Errorf("its root file system is %q", got)
		}
		// What is missing is put right.
		if err := s.Place.Remove("images/debian/bookworm/amd64/web/20260930_0607/meta.tar.xz"); err != nil {
			t.Fatal(err)
		}
		if p := s.problems(); len(p) != 2 { // it, and its signature
			t.Errorf("problems: %q", p)
		}
		s.publish(one, "testing")
		s.sound()
		s.clock = s.clock.Add(time.Minute)
		s.publish(two, "stable")
		s.clock = s.clock.Add(time.Hour)
		if _, err := s.Promote(t.Context(), "web", "stable", "testing"); err != nil {
			t.Fatal(err)
		}
		s.clock = time.Now().Add(time.Hour) // by which objects have their times
		pruned, err := s.Prune(t.Context(), catalog.Policy{Keep: 1}, 0, false)
		if err != nil || len(pruned.Dropped) != 1 || pruned.Removed == 0 {
			t.Errorf("%+v, %v", pruned, err)
		}
		s.sound()
		// Who was faster is not undone.
		slow, fast := *s.Publisher, *s.Publisher
		slow.Place, fast.Place = open(), open()
		_, err = slow.change(t.Context(), func(c catalog.Catalog) (catalog.Catalog, error) {
			c.Serial = 90 // stands for one whose lease was lost
			files, err := fast.state(c)
			if err == nil {
				err = fast.Place.(*Bucket).put(catalog.Path, place.Text(files[catalog.Path]), place.Always)
			}
			return c, err
		})
		if fault.CodeOf(err) != fault.Busy {
			t.Errorf("code %d, %v", fault.CodeOf(err), err)
		}
		if _, err := OpenTree(t.Context(), "oci://host/x", s3.Getenv, true); fault.CodeOf(err) != fault.Usage {
			t.Errorf("a registry: %v", err)
		}
	})

	t.Run("two at once", func(t *testing.T) {
		s, open := bucketStage(t, s3, "b")
		done := make(chan error, 2)
		for _, dir := range []string{one, two} {
			other := *s.Publisher
			other.Place = open()
			go func() {
				artifacts, err := Gather([]string{dir})
				if err == nil {
					_, err = other.Publish(t.Context(), Wish{Artifacts: artifacts})
				}
				done <- err
			}()
		}
		for range 2 {
			if err := <-done; err != nil {
				t.Error(err)
			}
		}
		s.sound()
		if c, err := s.load(); err != nil || c.Serial != 2 || len(c.Images[0].Versions) != 2 {
			t.Errorf("%+v, %v", c, err)
		}
	})

	t.Run("killed", func(t *testing.T) {
		step := int64(20)
		if judge.At() == judge.Full {
			step = 1
		}
		s, open := bucketStage(t, s3, "c")
		s.publish(one, "")
		for n := step; ; n += step {
			s.clock = s.clock.Add(time.Minute)
			dir := t.TempDir()
			lxcPair(t, dir, "web", fmt.Sprint("killed at ", n))
			b := open()
			var left atomic.Int64
			left.Store(n)
			b.place = breaking{b.place, &left}
			dead := *s.Publisher
			dead.Place = b
			artifacts, err := Gather([]string{dir})
			if err != nil {
				t.Fatal(err)
			}
			_, err = dead.Publish(t.Context(), Wish{Artifacts: artifacts})
			if err == nil {
				break // it came to the end
			}
			if !errors.Is(err, errDied) {
				t.Fatalf("at %d: %v", n, err)
			}
			// All that any index names is there.
			for line := range strings.Lines(get(t, "c/meta/1.0/index-user")) {
				at := strings.Split(strings.TrimSpace(line), ";")[5]
				get(t, "c"+at+"rootfs.tar.xz")
				get(t, "c"+at+"meta.tar.xz.asc")
			}
			c, err := s.load()
			if err != nil {
				t.Fatalf("at %d: %v", n, err)
			}
			for d := range c.Blobs() {
				get(t, "c/"+catalog.BlobPath(d))
			}
			s.publish(dir, "")
			s.sound()
		}
	})
}
