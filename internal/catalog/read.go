package catalog

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path"
	"slices"
	"strings"
	"time"

	"ingot/internal/fault"
	"ingot/internal/sign"
)

// MaxSize bounds a catalog, in bytes.
const MaxSize = 256 << 20

// maxLine bounds a line of it: GnuPG cuts those that are longer than 19995 characters
// and finds the signature bad.
const maxLine = 8192

// Sign gives the catalog as a tree holds it: clear-signed.
func (c Catalog) Sign(key *sign.Key, now time.Time) ([]byte, error) {
	text, err := c.Encode()
	if err != nil {
		return nil, err
	}
	return key.Clearsign(text, now)
}

// Encode is the catalog's text.
func (c Catalog) Encode() ([]byte, error) {
	c.Type = Type
	if err := c.check(); err != nil {
		return nil, err
	}
	if c.Images == nil {
		c.Images = []Image{}
	}
	return Marshal(c)
}

// lineLength is from where on a line of JSON is broken.
const lineLength = 160

// Marshal writes JSON that is signed: without white space but for breaks between values, so that
// no line is longer than GnuPG takes if no value is.
func Marshal(v any) ([]byte, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return nil, fmt.Errorf("cannot write an index: %w", err)
	}
	data := b.Bytes()
	out := make([]byte, 0, len(data)+len(data)/lineLength+1)
	text, from, line := false, 0, 0
	for n, c := range data {
		switch {
		case c == '"' && (!text || !escaped(data, n)):
			text = !text
		case c == ',' && !text && n-line > lineLength:
			out = append(append(out, data[from:n+1]...), '\n')
			from, line = n+1, n+1
		}
	}
	return append(out, data[from:]...), nil
}

// escaped says whether an odd number of backslashes stands before a byte.
func escaped(data []byte, at int) bool {
	n := 0
	for at > 0 && data[at-1] == '\\' {
		at--
		n++
	}
	return n%2 == 1
}

// Read verifies a signed catalog by a ring of keys and decodes it. It does not look at
// its dates, see [Catalog.Fresh]. The name is what messages call it.
func Read(name string, data []byte, keys *sign.Keyring, now time.Time) (Catalog, sign.Message, error) {
	return ReadFile(name, bytes.NewReader(data), keys, now)
}

// ReadFile is Read of a catalog that is not in memory: nothing of it is, before its signature is
// known to be good. Nobody may write to the file meanwhile.
func ReadFile(name string, file io.ReadSeeker, keys *sign.Keyring, now time.Time) (Catalog, sign.Message, error) {
	m, err := keys.Statement(name, file, now)
	if err != nil {
		return Catalog{}, m, err
	}
	c, err := Decode(m.Text)
	if err != nil {
		return Catalog{}, m, fault.Newf(fault.Verification, "%s: %w", name, err).
			WithHint("it is signed, so its publisher wrote it: is this ingot older than theirs?")
	}
	return c, m, nil
}

// Skew is how far clients' clocks may be behind a publisher's: dates and signatures of the future
// are refused beyond it.
const Skew = time.Hour

// Fresh says why a catalog should not be believed at a time, or nil.
func (c Catalog) Fresh(now time.Time) error {
	switch {
	case now.After(c.Expires):
		return fault.Newf(fault.Verification, "the index is expired since %s: somebody may be keeping a newer one back", c.Expires.UTC().Format(time.DateTime)).
			WithHint("its publisher runs 'ingot server sign TREE'; is this machine's clock right?")
	case c.Created.After(now.Add(Skew)):
		return fault.Newf(fault.Verification, "the index is of the future (%s)", c.Created.UTC().Format(time.DateTime)).
			WithHint("is this machine's clock right?")
	}
	return nil
}

// isName says whether a word can be a file's name and stand in every dialect's index:
// letters, digits and some punctuation, not beginning with a dot or a dash.
func isName(s string) bool {
	if s == "" || len(s) > 128 || s[0] == '.' || s[0] == '-' {
		return false
	}
	return strings.IndexFunc(s, func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && !strings.ContainsRune("._+-", r)
	}) < 0
}

// IsChannel says whether a word can name a channel: a name that no version has.
func IsChannel(s string) bool {
	_, err := time.Parse(stamp, s)
	return isName(s) && err != nil
}

// IsName says whether a word can name an image, a channel or a version.
func IsName(s string) bool { return isName(s) }

// isText says whether a text is one line for people.
func isText(s string) bool {
	return len(s) <= maxLine/2 && strings.IndexFunc(s, func(r rune) bool { return r < ' ' || r == 0x7f }) < 0
}

// check holds a catalog to what this package promises.
func (c Catalog) check() error {
	if c.Type != Type {
		return fmt.Errorf("of the type %.40q, where %q is wanted", c.Type, Type)
	}
	if c.Schema != 1 {
		return fmt.Errorf("schema %d, where 1 is known", c.Schema)
	}
	if c.Serial < 1 {
		return fmt.Errorf("serial %d", c.Serial)
	}
	if c.Tree != "" && !isName(c.Tree) {
		return fmt.Errorf("tree %.140q", c.Tree)
	}
	if !slices.IsSortedFunc(c.Images, compareImages) {
		return errors.New("its images are not in order")
	}
	for n, i := range c.Images {
		if n > 0 && compareImages(i, c.Images[n-1]) == 0 {
			return fmt.Errorf("image %s for %s is there twice", i.Name, i.Arch)
		}
		if err := i.check(); err != nil {
			return fmt.Errorf("image %.140q for %.140q: %w", i.Name, i.Arch, err)
		}
	}
	if len(c.Rotations) > maxRotations {
		return fmt.Errorf("more than %d changes of keys", maxRotations)
	}
	for _, r := range c.Rotations {
		if len(r) > maxLine*2 {
			return errors.New("a change of keys that is too long")
		}
	}
	for _, r := range c.Retired {
		if r.Dir != path.Clean(r.Dir) || !strings.HasPrefix(r.Dir, "images/") || slices.ContainsFunc(strings.Split(r.Dir, "/"), func(s string) bool { return !isName(s) }) {
			return fmt.Errorf("retired directory %.140q", r.Dir)
		}
		if err := checkFiles(r.Files); err != nil {
			return err
		}
	}
	return nil
}

func (i Image) check() error {
	if !isName(i.Name) || !isName(i.Arch) {
		return errors.New("is no name")
	}
	if name, channel, some := strings.Cut(i.Variant, "@"); i.Variant != "" && (!isName(name) || some && !isName(channel)) {
		return fmt.Errorf("variant %.140q", i.Variant)
	}
	if len(i.Versions) == 0 {
		return errors.New("has no version")
	}
	for n, v := range i.Versions {
		if n > 0 && v.Version <= i.Versions[n-1].Version {
			return errors.New("its versions are not in order")
		}
		if err := v.check(); err != nil {
			return fmt.Errorf("version %.140q: %w", v.Version, err)
		}
	}
	for n, k := range i.Channels {
		if !isName(k.Name) || n > 0 && k.Name <= i.Channels[n-1].Name || len(k.Past) > maxPast {
			return fmt.Errorf("channel %.140q", k.Name)
		}
		if _, ok := i.Version(k.Version); !ok {
			return fmt.Errorf("channel %s points to no version", k.Name)
		}
		if slices.ContainsFunc(k.Past, func(p string) bool { return !isName(p) }) {
			return fmt.Errorf("channel %s", k.Name)
		}
	}
	return nil
}

func (v Version) check() error {
	for _, name := range []string{v.Version, v.Distro, v.Release} {
		if !isName(name) {
			return fmt.Errorf("%.140q is no name", name)
		}
	}
	if !isText(v.Flavor) || len(v.Artifacts) == 0 {
		return errors.New("has no artifact, or an unreadable flavor")
	}
	names := map[string]bool{}
	for _, a := range v.Artifacts {
		if !isName(a.Format) || len(a.Files) == 0 {
			return fmt.Errorf("artifact %.140q", a.Format)
		}
		if err := checkFiles(a.All()); err != nil {
			return err
		}
		if d := a.Disk; d != nil && (d.Size < 0 || len(d.SHA512) != 128 || strings.Trim(d.SHA512, "0123456789abcdef") != "") {
			return fmt.Errorf("artifact %s is of a disk without a size or SHA-512", a.Format)
		}
		for _, d := range a.Deltas {
			if !isName(d.Base) || d.Base == v.Version {
				return fmt.Errorf("a delta from version %.140q", d.Base)
			}
		}
		for _, f := range a.All() {
			if names[f.Name] {
				return fmt.Errorf("file %s is there twice", f.Name)
			}
			names[f.Name] = true
		}
	}
	return nil
}

func checkFiles(files []File) error {
	for _, f := range files {
		if !isName(f.Name) || f.Size < 0 || f.Size > 1<<50 || f.SHA256.IsZero() {
			return fmt.Errorf("file %.140q is no file's name, or has no size or digest", f.Name)
		}
	}
	return nil
}
