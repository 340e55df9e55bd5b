// Package place keeps named objects where a person says: in a directory, in a bucket
// of S3, in a repository of an OCI registry. It knows nothing of what they are.
//
//	/srv/groups              a directory; so is ./groups or file:///srv/groups
//	s3://BUCKET/PREFIX       whatever speaks S3
//	oci://HOST[:PORT]/NAME   whatever speaks the OCI distribution protocol
//
// An object is there whole or not at all, whoever dies while it is written. That is
// all that most objects need: they are named by what they hold and never change. The few that
// do change (the index of a group, a channel) are written on condition: [New], that nobody
// has written them, or [Was], that nobody has since they were read. Who loses gets
// [ErrChanged], reads again and decides anew, so that writers never undo each other's work.
//
// How a condition is kept:
//
//   - A directory is locked (flock(2)) while it is looked at and renamed into.
//   - S3 has If-None-Match and If-Match, but servers that speak S3 are not all atomic
//     about them (the one that judges us is not), and a registry has nothing: the last writer of a
//     tag wins. There a writer first puts up a claim, a small object of its own beside the other, and
//     writes only when it then sees no other; who sees another takes its own down and tries again.
//     Of two that do so at once, each sees the other or one does. A claim that nobody takes down (its
//     writer died) counts for nothing once it was seen for claimDies; whoever holds one gives up
//     after half of that. So two both write only if one of them stands still for longer
//     than that between two lines of code. Registries that delete nothing keep what was
//     removed as a tag to a manifest that says so.
//
// Credentials come from where the other programs of a place have them, the environment and the
// user's files, never from arguments, and are in no message.
package place

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"strings"

	"ingot/internal/digest"
	"ingot/internal/fault"
)

// A Place is where objects lie. It is safe for several goroutines and processes.
type Place interface {
	// String is the place as a person writes it.
	String() string
	// Remote says that others than this machine's users may write there.
	Remote() bool
	// Open opens an object for reading, and gives no mark; one that is not there is fs.ErrNotExist.
	Open(ctx context.Context, name string) (io.ReadCloser, Info, error)
	// Stat looks for an object, and gives no mark; one that is not there is fs.ErrNotExist.
	Stat(ctx context.Context, name string) (Info, error)
	// Put writes an object, whole or not at all. Where the condition does not hold it is
	// ErrChanged; what is written on condition is small, since others wait. An error that is not ErrChanged may come although the object was written:
	// when the answer was lost.
	Put(ctx context.Context, name string, body *io.SectionReader, when Condition) (Info, error)
	// Remove removes an object; one that is not there is no error.
	Remove(ctx context.Context, name string) error
	// List gives the names of the objects that begin with a prefix, sorted.
	List(ctx context.Context, prefix string) ([]string, error)
}

// An Info says what is known of an object.
type Info struct {
	Size int64
	// Mark is the digest of the bytes, for those who write on condition: Read and Put give it, what has
	// not been read has none. Entity tags and the times of files would not do: a server of S3 that judges us gives the
	// bytes of one writing with the tag of the next, and who wrote on that tag what he made of those bytes would undo the other's work.
	Mark string
}

// A Condition says when an object may be written.
type Condition struct {
	kind conditionKind
	mark string
}

type conditionKind uint8

const (
	always conditionKind = iota
	whenNew
	whenSame
)

// The conditions without a mark.
var (
	Always = Condition{}              // whatever is there
	New    = Condition{kind: whenNew} // if nothing is there
)

// Was is the condition that what is there is what bore the mark. The mark of nothing, "",
// is [New].
func Was(mark string) Condition {
	if mark == "" {
		return New
	}
	return Condition{kind: whenSame, mark: mark}
}

// holds says whether the condition holds for what is there; nil is nothing.
func (c Condition) holds(there *Info) bool {
	switch c.kind {
	case whenNew:
		return there == nil
	case whenSame:
		return there != nil && there.Mark == c.mark
	default:
		return true
	}
}

// ErrChanged says that an object is not what a condition wants.
var ErrChanged = errors.New("it was changed meanwhile")

// Text is a body of some bytes.
func Text(b []byte) *io.SectionReader {
	return io.NewSectionReader(bytes.NewReader(b), 0, int64(len(b)))
}

// Read reads a whole object of bounded size.
func Read(ctx context.Context, p Place, name string, most int64) ([]byte, Info, error) {
	f, info, err := p.Open(ctx, name)
	if err != nil {
		return nil, Info{}, err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, most+1))
	if err != nil {
		return nil, Info{}, fmt.Errorf("cannot read %s of %s: %w", name, p, err)
	}
	if int64(len(b)) > most {
		return nil, Info{}, fault.Newf(fault.Verification, "%s of %s is larger than %d bytes", name, p, most)
	}
	info.Mark = digest.Of(b).String()
	return b, info, nil
}

// Getenv reads a variable of the environment.
type Getenv func(name string) string

// Open opens the place that a text names: see the package comment. Nothing is made and
// nobody is asked yet.
func Open(text string, env Getenv) (Place, error) {
	scheme, rest, ok := strings.Cut(text, "://")
	switch {
	case text == "":
		return nil, fault.Newf(fault.Usage, "a place has no name").WithHint("%s", placeHint)
	case !ok:
		return openDirectory(text)
	case scheme == "file" && filepath.IsAbs(rest):
		return openDirectory(rest)
	case strings.Contains(rest, "@"):
		// Not repeated: it may be a password.
		return nil, fault.Newf(fault.Usage, "a place of %s:// holds an @", bounded(scheme)).
			WithHint("no credentials there: they come from the environment or from the files that other programs use")
	case scheme == "s3":
		return openS3(rest, env)
	case scheme == "oci":
		return openOCI(rest, env)
	}
	return nil, fault.Newf(fault.Usage, "%q is no place", bounded(text)).WithHint("%s", placeHint)
}

const placeHint = "a place is a directory, s3://BUCKET/PREFIX or oci://HOST/NAME"

// maxName bounds a name, so that each place can hold it.
const maxName = 200

// CheckName refuses what is no name of an object: parts of letters, digits and
// some signs, with slashes between them, none beginning with a point.
func CheckName(name string) error {
	bad := func(why string) error { return fmt.Errorf("%q is no name of an object: %s", bounded(name), why) }
	if len(name) > maxName {
		return bad("it is too long")
	}
	for part := range strings.SplitSeq(name, "/") {
		if part == "" || part[0] == '.' {
			return bad("a part of it is empty or begins with a point")
		}
		for _, c := range []byte(part) {
			if (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && !strings.ContainsRune("._-+~:,=@", rune(c)) {
				return bad(fmt.Sprintf("it has %q in it", c))
			}
		}
	}
	return nil
}

func bounded(s string) string {
	if len(s) > 100 {
		return s[:100] + "..."
	}
	return s
}
