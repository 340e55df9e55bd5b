package store

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"ingot/internal/digest"
	"ingot/internal/draft"
	"ingot/internal/fault"
)

// A Ref is a reference: a lock, and the blobs that it needs, whether they are in
// the store yet or not.
type Ref struct {
	Name string        // of the reference: letters, digits, "-", "_" and "."
	Path string        // of the lock's file, absolute; "" when it came without one
	Lock digest.Digest // the lock's identity
	// Needs is sorted by digest, each once.
	Needs []Need
	Used  time.Time // when it was last written, or found as it should be
}

// A Need is a blob that a reference names.
type Need struct {
	Blob
	Label string // for people: name, version and architecture of a package
}

const (
	refFirst = "ingot reference 1\n"
	maxRef   = 64 << 20 // bytes; a line is some 100
)

// encode is a reference's text, without its name and time.
func (r Ref) encode() []byte {
	var b bytes.Buffer
	b.WriteString(refFirst)
	fmt.Fprintf(&b, "lock %s %s\n", r.Lock, strconv.Quote(r.Path))
	for _, n := range r.Needs {
		fmt.Fprintf(&b, "blob %s %d %s\n", n.Digest, n.Size, strconv.Quote(n.Label))
	}
	fmt.Fprintf(&b, "sum %s\n", digest.Of(b.Bytes()))
	return b.Bytes()
}

var errRef = errors.New("it is damaged")

// decodeRef reads what encode wrote and nothing else.
func decodeRef(text []byte) (Ref, error) {
	var r Ref
	body, sum, ok := cutLast(text)
	if !ok || len(text) > maxRef || sum != "sum "+digest.Of(body).String() {
		return r, errRef
	}
	rest, ok := bytes.CutPrefix(body, []byte(refFirst))
	if !ok {
		return r, fmt.Errorf("%w: it is of another version", errRef)
	}
	for line := range strings.Lines(string(rest)) {
		word, rest, _ := strings.Cut(strings.TrimSuffix(line, "\n"), " ")
		hex, rest, _ := strings.Cut(rest, " ")
		d, err := digest.Parse(hex)
		if err != nil {
			return r, errRef
		}
		switch word {
		case "lock":
			r.Lock = d
			r.Path, err = strconv.Unquote(rest)
		case "blob":
			size, label, _ := strings.Cut(rest, " ")
			n := Need{Blob: Blob{Digest: d}}
			if n.Size, err = strconv.ParseInt(size, 10, 64); err == nil {
				n.Label, err = strconv.Unquote(label)
			}
			r.Needs = append(r.Needs, n)
		default:
			err = errRef
		}
		if err != nil {
			return r, errRef
		}
	}
	return r, nil
}

// cutLast cuts the last line off a text whose lines are all ended.
func cutLast(text []byte) (body []byte, last string, ok bool) {
	text, ok = bytes.CutSuffix(text, []byte("\n"))
	i := bytes.LastIndexByte(text, '\n')
	return text[:i+1], string(text[i+1:]), ok
}

func isRefName(name string) bool {
	for _, c := range []byte(name) {
		if (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && c != '-' && c != '_' && c != '.' {
			return false
		}
	}
	return name != "" && len(name) < 200 && name[0] != '.'
}

func (s *Store) refPath(name string) (string, error) {
	if !isRefName(name) {
		return "", fmt.Errorf("%q is no name of a reference", name)
	}
	return filepath.Join(s.dir, "refs", name), nil
}

// SetRef writes a reference, durably, in place of one of the same name; one that
// says the same already is only marked as used now. In a store on a read-only
// file system it does nothing: nobody collects there.
func (s *Store) SetRef(ctx context.Context, r Ref) error {
	path, err := s.refPath(r.Name)
	if err != nil {
		return err
	}
	r.Needs = slices.Clone(r.Needs)
	slices.SortFunc(r.Needs, func(a, b Need) int {
		return cmp.Or(bytes.Compare(a.Digest[:], b.Digest[:]), cmp.Compare(a.Label, b.Label))
	})
	r.Needs = slices.CompactFunc(r.Needs, func(a, b Need) bool { return a.Digest == b.Digest })
	if err := s.Make(); err != nil {
		return err
	}
	unlock, err := s.lock(ctx, unix.LOCK_SH)
	if err != nil {
		return err
	}
	defer unlock()
	text := r.encode()
	if old, err := os.ReadFile(path); err == nil && bytes.Equal(old, text) {
		now := unix.Timespec{Nsec: unix.UTIME_NOW}
		// Whose time cannot be set is another user's, who uses it himself.
		_ = unix.UtimesNanoAt(unix.AT_FDCWD, path, []unix.Timespec{now, now}, unix.AT_SYMLINK_NOFOLLOW)
		return nil
	}
	if err := draft.Write(path, text, 0o644); err != nil && !errors.Is(err, unix.EROFS) {
		return draft.Explain(fmt.Errorf("cannot write a reference of the store: %w", err), Variable)
	}
	return nil
}

// Ref reads a reference. One that is not there is fs.ErrNotExist, one that is
// damaged a fault.Verification.
func (s *Store) Ref(name string) (Ref, error) {
	path, err := s.refPath(name)
	if err != nil {
		return Ref{}, err
	}
	info, err := os.Stat(path)
	if err != nil {
		return Ref{}, err
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return Ref{}, err
	}
	r, err := decodeRef(text)
	if err != nil {
		return r, fault.Newf(fault.Verification, "cannot read reference %s of the store: %w", path, err).
			WithHint("remove that file and run 'ingot build' for each of your locks, which write it anew, before 'ingot store gc'")
	}
	r.Name, r.Used = name, info.ModTime()
	return r, nil
}

// Refs reads all references, by name. A damaged one is an error: what it named
// must not be collected.
func (s *Store) Refs() ([]Ref, error) {
	files, err := os.ReadDir(filepath.Join(s.dir, "refs"))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("cannot list references of the store: %w", err)
	}
	var out []Ref
	for _, f := range files {
		if !isRefName(f.Name()) {
			continue // a draft
		}
		r, err := s.Ref(f.Name())
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		out = append(out, r)
	}
	return out, nil
}

// RemoveRef removes a reference, and none of the blobs that it names. One that
// is not there is no error.
func (s *Store) RemoveRef(name string) error {
	path, err := s.refPath(name)
	if err != nil {
		return err
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return draft.Explain(fmt.Errorf("cannot remove a reference of the store: %w", err), Variable)
	}
	return nil
}
