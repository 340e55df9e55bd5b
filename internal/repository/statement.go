package repository

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"ingot/internal/digest"
	"ingot/internal/fault"
	"ingot/internal/group"
	"ingot/internal/sign"
)

// A Statement says what a version of a group is. It is JSON, clear-signed if it is
// signed.
type Statement struct {
	Schema  int           `json:"schema"` // 1
	Name    string        `json:"name"`
	Version string        `json:"version"` // frozen: with its time
	Lock    digest.Digest `json:"lock"`    // the group's identity
	// Definition is the digest of the definition, which counts sources of a version.
	Definition digest.Digest `json:"definition"`
	Flavors    []string      `json:"flavors"`
	Content    Blob          `json:"content"`
	// From is the version, frozen, that this one was promoted or cloned from.
	From string `json:"from,omitempty"`
	// Expires is until when its publisher lets it be taken for the newest of its branch.
	Expires time.Time `json:"expires,omitzero"`
	// Signers are who signed it, of those that are trusted; it is not a part of the file.
	Signers []sign.Signer `json:"-"`
	Signed  bool          `json:"-"` // by somebody, known or not
}

// maxStatement bounds a statement's file.
const maxStatement = 1 << 20

const signedFirst = "-----BEGIN PGP SIGNED MESSAGE-----"

// statement reads the statement of a record and holds it against it: nothing else of the
// repository is believed before.
func (r *Repository) statement(ctx context.Context, name string, rec Record) (Statement, error) {
	var s Statement
	what := fmt.Sprintf("the statement of %s=%s", name, rec.Version)
	if rec.Statement.Size > maxStatement {
		return s, fault.Newf(fault.Verification, "%s claims a size of %d bytes", what, rec.Statement.Size)
	}
	text, err := r.Read(ctx, rec.Statement)
	if err != nil {
		return s, fmt.Errorf("%s: %w", what, err)
	}
	signed := bytes.HasPrefix(text, []byte(signedFirst))
	var signers []sign.Signer
	switch {
	case r.Keys != nil && !signed:
		return s, fault.Newf(fault.Verification, "%s is not signed, and keys were given that it must be signed by", what).
			WithHint("sign it: 'ingot group promote' with --sign, or commit it again")
	case r.Keys != nil:
		m, err := r.Keys.Clearsigned(what, text, r.Now())
		if err != nil {
			return s, err
		}
		text, signers = m.Text, m.Signers
	case signed:
		if text, err = sign.Unverified(text); err != nil {
			return s, fault.Newf(fault.Verification, "%s: %w", what, err)
		}
	}
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	if err := d.Decode(&s); err != nil || s.Schema != 1 {
		return s, fault.Newf(fault.Verification, "%s is none that this ingot understands", what).WithHint("use a newer ingot")
	}
	v, err := group.ThawVersion(s.Version)
	if err != nil || s.Name != name || !v.Equal(rec.Version) || v.Freeze() != rec.Version.Freeze() {
		return s, fault.Newf(fault.Verification, "%s is of another version, %s=%s: the index was tampered with", what, s.Name, s.Version)
	}
	s.Signed, s.Signers = signed, signers
	return s, nil
}

// text is the statement's file.
func (s Statement) text(key *sign.Key, r *Repository) ([]byte, error) {
	b, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		return nil, err
	}
	b = append(b, '\n')
	if key == nil {
		return b, nil
	}
	return key.Clearsign(b, r.Now())
}

// SignedBy says who signed a statement, for people.
func (s Statement) SignedBy() string {
	var names []string
	for _, g := range s.Signers {
		names = append(names, strings.TrimSpace(g.User+" "+g.Fingerprint))
	}
	switch {
	case len(names) > 0:
		return strings.Join(names, ", ")
	case s.Signed:
		return "somebody: no key was given to hold it against"
	}
	return "nobody"
}

// Origin is the version that this one was promoted or cloned from.
func (s Statement) Origin() (group.Version, bool) {
	v, err := group.ThawVersion(s.From)
	return v, s.From != "" && err == nil
}
