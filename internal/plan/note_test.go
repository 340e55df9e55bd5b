package plan

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"testing"
	"time"

	"ingot/internal/artifact"
	"ingot/internal/definition"
	"ingot/internal/digest"
	"ingot/internal/fault"
)

// TestFresh looks whether an artifact that something happened to is made again.
func TestFresh(t *testing.T) {
	const name = "web-amd64.tar"
	rewrite := func(path string) error {
		info, err := os.Stat(path)
		if err != nil {
			return err
		}
		return errors.Join(os.WriteFile(path, []byte("Bytes"), 0o644), os.Chtimes(path, time.Time{}, info.ModTime()))
	}
	for _, c := range []struct {
		summary string
		happens func(r *Runner, o *Output) error
		fresh   bool
	}{
		{"nothing", func(*Runner, *Output) error { return nil }, true},
		{"it was read", func(r *Runner, _ *Output) error { _, err := os.ReadFile(filepath.Join(r.To, name)); return err }, true},
		{"its bytes were changed and its time set back", func(r *Runner, _ *Output) error { return rewrite(filepath.Join(r.To, name)) }, false},
		{"its mode was changed", func(r *Runner, _ *Output) error { return os.Chmod(filepath.Join(r.To, name), 0o600) }, false},
		{"it was cut off", func(r *Runner, _ *Output) error { return os.Truncate(filepath.Join(r.To, name), 1) }, false},
		{"it is gone", func(r *Runner, _ *Output) error { return os.Remove(filepath.Join(r.To, name)) }, false},
		{"another file has its name", func(r *Runner, _ *Output) error {
			path := filepath.Join(r.To, name)
			return errors.Join(os.Rename(path, path+".old"), os.WriteFile(path, []byte("bytes"), 0o644))
		}, false},
		{"the manifest is gone", func(r *Runner, _ *Output) error { return os.Remove(filepath.Join(r.To, name+artifact.ManifestSuffix)) }, false},
		{"the SBOM is gone", func(r *Runner, _ *Output) error { return os.Remove(filepath.Join(r.To, name+artifact.SBOMSuffix)) }, false},
		{"the provenance is gone", func(r *Runner, _ *Output) error {
			return os.Remove(filepath.Join(r.To, name+artifact.ProvenanceSuffix))
		}, false},
		{"the manifest was written to", func(r *Runner, _ *Output) error { return rewrite(filepath.Join(r.To, name+artifact.ManifestSuffix)) }, false},
		{"the manifest was written anew as it was", func(r *Runner, _ *Output) error {
			return os.WriteFile(filepath.Join(r.To, name+artifact.ManifestSuffix), []byte("bytes"), 0o644)
		}, true},
		{"the checksums are gone", func(r *Runner, _ *Output) error { return os.Remove(filepath.Join(r.To, artifact.SumsName)) }, false},
		{"another checksum came", func(r *Runner, _ *Output) error {
			return artifact.UpdateSums(r.To, map[string]digest.Digest{"other": digest.Of(nil)})
		}, true},
		{"its checksum is another", func(r *Runner, _ *Output) error {
			return artifact.UpdateSums(r.To, map[string]digest.Digest{name: digest.Of(nil)})
		}, false},
		{"another key is wanted", func(_ *Runner, o *Output) error { o.Key[0] ^= 1; return nil }, false},
		{"it is wanted elsewhere", func(r *Runner, _ *Output) error {
			to := r.To + "2"
			err := os.CopyFS(to, os.DirFS(r.To))
			r.To = to
			return err
		}, false},
		{"the directory is named in another way", func(r *Runner, _ *Output) error { r.To += "/../out/."; return nil }, true},
		{"the note is damaged", func(r *Runner, o *Output) error {
			note, err := r.noteName(*o)
			return errors.Join(err, r.Supply.Cache.Put(note, []byte("{")))
		}, false},
		{"the note is gone", func(r *Runner, _ *Output) error { return os.RemoveAll(filepath.Join(r.Supply.Cache.Dir(), "entries")) }, false},
	} {
		t.Run(c.summary, func(t *testing.T) {
			r := runner(t)
			o := Output{Output: definition.Output{Format: "tar"}, Names: []string{name}, Key: digest.Of([]byte("key"))}
			a := Artifact{Output: o, Path: filepath.Join(r.To, name), Files: []artifact.File{{Name: name, Size: 5, SHA256: digest.Of([]byte("bytes"))}}, Seal: digest.Of([]byte("seal"))}
			beside := map[string]digest.Digest{}
			for _, suffix := range []string{"", artifact.ManifestSuffix, artifact.SBOMSuffix, artifact.ProvenanceSuffix} {
				if err := os.WriteFile(a.Path+suffix, []byte("bytes"), 0o644); err != nil {
					t.Fatal(err)
				}
				beside[name+suffix] = digest.Of([]byte("bytes"))
			}
			if err := artifact.UpdateSums(r.To, beside); err != nil {
				t.Fatal(err)
			}
			delete(beside, name)
			if err := r.remember(a, beside); err != nil {
				t.Fatal(err)
			}
			time.Sleep(10 * time.Millisecond) // the kernel's clock of files goes by ticks
			if err := c.happens(r, &o); err != nil {
				t.Fatal(err)
			}
			got, ok := r.fresh(o)
			if ok != c.fresh {
				t.Errorf("fresh is %v", ok)
			}
			if ok && (!slices.Equal(got.Files, a.Files) || got.Seal != a.Seal) {
				t.Errorf("got %+v, want %+v", got, a)
			}
		})
	}
}

func TestUnfit(t *testing.T) {
	for _, c := range []struct {
		err  error
		hint string
	}{
		{fmt.Errorf("cannot write x: %w", fault.Newf(fault.Preflight, "cpio: /a: it has no place")), "leave it out of the image, or choose another format"},
		{fault.Newf(fault.Preflight, "this kernel has no driver").WithHint("choose another kernel"), "choose another kernel"},
		{fault.Newf(fault.Preflight, "write: %w", syscall.ENOSPC), ""},
		{errors.New("broken"), ""},
	} {
		if err := unfit(c.err); fault.HintOf(err) != c.hint || fault.CodeOf(err) != fault.CodeOf(c.err) || err.Error() != c.err.Error() {
			t.Errorf("%v has the hint %q, want %q", err, fault.HintOf(err), c.hint)
		}
	}
}

func TestNoSpace(t *testing.T) {
	own := fault.Newf(fault.Preflight, "the store is full: %w", syscall.ENOSPC)
	for _, c := range []struct {
		summary string
		err     error
		want    string // "" is another error, that stays as it is
	}{
		{"another error", errors.New("broken"), ""},
		{"another error of the disk", syscall.EIO, ""},
		{"a full disk", fmt.Errorf("step install: %w", syscall.ENOSPC), "no space left: step install: no space left on device"},
		{"a full disk that a program speaks of", errors.New("dpkg: cannot copy: No space left on device"), "no space left: dpkg: cannot copy: No space left on device"},
		{"said already", own, own.Error()},
		{"a script that failed for it", fault.Newf(fault.Failed, "script x exited with code 1: no space left on device"), "no space left: script x exited with code 1: no space left on device"},
		{"a file system without such large files", fmt.Errorf("truncate: %w", syscall.EFBIG), "too large for the file system that it is written to: truncate: file too large"},
		{"a quota that is used up", fmt.Errorf("write: %w", syscall.EDQUOT), "no space left: write: disk quota exceeded"},
	} {
		t.Run(c.summary, func(t *testing.T) {
			err := noSpace(c.err)
			if c.want == "" {
				if err != nil {
					t.Errorf("got %v", err)
				}
				return
			}
			if err == nil || err.Error() != c.want || fault.CodeOf(err) != fault.Preflight || !errors.Is(err, c.err) {
				t.Errorf("got %v with code %d, want %q", err, fault.CodeOf(err), c.want)
			}
		})
	}
}
