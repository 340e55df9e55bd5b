package main_test

import (
	"archive/tar"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"maps"
	"os/exec"
	"path"
	"slices"
	"strconv"
	"strings"
	"testing"

	"ingot/internal/judge"
)

// A census is what files an artifact holds: by path, their type, mode, owner, time
// in whole seconds, target, attributes, digest, and the other names of each.
type census map[string]string

// census reads a tar archive, of which it takes what lies below a directory.
func censusOf(t *testing.T, r io.Reader, below string) census {
	t.Helper()
	out, first := census{}, map[string]string{} // first: of each name of several, the one with the bytes
	clean := func(name string) (string, bool) {
		name = path.Clean("/" + name)
		rest, ok := strings.CutPrefix(name, path.Clean("/"+below))
		return strings.TrimPrefix(rest, "/"), ok
	}
	archive := tar.NewReader(r)
	for {
		h, err := archive.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		name, ok := clean(h.Name)
		if !ok {
			continue
		}
		if h.Typeflag == tar.TypeLink {
			first[name], _ = clean(h.Linkname)
			continue
		}
		what := fmt.Sprintf("%c %04o %d:%d %d", h.Typeflag, h.Mode&0o7777, h.Uid, h.Gid, h.ModTime.Unix())
		switch h.Typeflag {
		case tar.TypeReg:
			sum := sha256.New()
			if _, err := io.Copy(sum, archive); err != nil {
				t.Fatal(err)
			}
			what += fmt.Sprintf(" %d %x", h.Size, sum.Sum(nil))
		case tar.TypeSymlink:
			what += " " + h.Linkname
		case tar.TypeChar, tar.TypeBlock:
			what += fmt.Sprintf(" %d,%d", h.Devmajor, h.Devminor)
		}
		for _, key := range slices.Sorted(maps.Keys(h.PAXRecords)) {
			// Access control lists are no attributes to the programs that judge.
			if x, ok := strings.CutPrefix(key, "SCHILY.xattr."); ok && !strings.HasPrefix(x, "system.") {
				what += fmt.Sprintf(" %s=%q", x, h.PAXRecords[key])
			}
		}
		out[name] = what
	}
	names := map[string][]string{}
	for name, of := range first {
		out[name] = out[of]
		names[of] = append(names[of], name)
	}
	for of, all := range names {
		all = append(all, of)
		slices.Sort(all)
		for _, name := range all {
			out[name] += fmt.Sprintf(" = %q", all)
		}
	}
	return out
}

// censusBy is that of an archive that a program writes to its standard output.
func censusBy(t *testing.T, below string, argv ...string) census {
	t.Helper()
	cmd := exec.CommandContext(context.Background(), judge.Path(t, argv[0]), argv[1:]...)
	r, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	var said strings.Builder
	cmd.Stderr = &said
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	out := censusOf(t, r, below)
	_, _ = io.Copy(io.Discard, r) // what follows the end mark
	if err := cmd.Wait(); err != nil {
		t.Fatalf("%v: %v\n%s", argv, err, said.String())
	}
	return out
}

// censusOfDir is that of a directory that a judge has unpacked.
func censusOfDir(t *testing.T, dir string) census {
	t.Helper()
	return censusBy(t, "", "tar", "--format=pax", "--numeric-owner", "--xattrs", "--xattrs-include=*", "-C", dir, "-c", ".")
}

// sameFiles holds two artifacts against each other, but for paths that are known to
// differ: which they must, for nothing else is a reason to name them.
func sameFiles(t *testing.T, got, want census, but ...string) {
	t.Helper()
	if len(want) < 1000 {
		t.Errorf("only %d files to compare with", len(want))
	}
	differ := 0
	for _, p := range slices.Sorted(maps.Keys(union(got, want))) {
		known := slices.Contains(but, p)
		switch same := got[p] == want[p]; {
		case same && known:
			t.Errorf("/%s is the same in both", p)
		case !same && !known:
			if differ++; differ <= 10 {
				t.Errorf("/%s\nis   %s\nwant %s", p, got[p], want[p])
			}
		}
	}
	if differ > 10 {
		t.Errorf("and %d more", differ-10)
	}
}

// censusOfSeal is that of a seal: what a build says that its tree holds. It has no times.
func censusOfSeal(t *testing.T, text string) census {
	t.Helper()
	types := map[string]byte{"file": tar.TypeReg, "dir": tar.TypeDir, "symlink": tar.TypeSymlink, "char": tar.TypeChar, "block": tar.TypeBlock, "fifo": tar.TypeFifo}
	quoted := func(s *string) string {
		q, err := strconv.QuotedPrefix(*s)
		if err != nil {
			t.Fatalf("%q: %v", *s, err)
		}
		*s = strings.TrimPrefix((*s)[len(q):], " ")
		q, err = strconv.Unquote(q)
		if err != nil {
			t.Fatal(err)
		}
		return strings.TrimPrefix(q, "/")
	}
	out, names := census{}, map[string][]string{}
	for line := range strings.Lines(text) {
		words := strings.SplitN(strings.TrimSuffix(line, "\n"), " ", 4)
		if len(words) < 4 {
			t.Fatalf("a seal has the line %q", line)
		}
		kind, rest := words[0], words[3]
		name := quoted(&rest)
		if kind == "hardlink" {
			of := quoted(&rest)
			names[of] = append(names[of], name)
			continue
		}
		what := fmt.Sprintf("%c %s %s", types[kind], words[1], words[2])
		if kind == "symlink" {
			q, err := strconv.Unquote(rest)
			if err != nil {
				t.Fatal(err)
			}
			what, rest = what+" "+q, ""
		}
		for _, word := range strings.Fields(rest) {
			if key, value, ok := strings.Cut(word, "="); ok {
				if strings.HasPrefix(key, "system.") {
					continue // as above: access control lists are told otherwise
				}
				raw, err := hex.DecodeString(value)
				if err != nil {
					t.Fatal(err)
				}
				word = fmt.Sprintf("%s=%q", key, raw)
			}
			what += " " + strings.Replace(word, ":", ",", 1)
		}
		out[name] = what
	}
	for of, all := range names {
		all = append(all, of)
		slices.Sort(all)
		what := out[of]
		for _, name := range all {
			out[name] = what + fmt.Sprintf(" = %q", all)
		}
	}
	return out
}

// timeless is a census without times.
func (c census) timeless() census {
	out := census{}
	for name, what := range c {
		words := strings.SplitN(what, " ", 5) // type, mode, owner, time
		out[name] = strings.Join(append(words[:3], words[4:]...), " ")
	}
	return out
}

func union(a, b census) census {
	out := maps.Clone(a)
	maps.Copy(out, b)
	return out
}
