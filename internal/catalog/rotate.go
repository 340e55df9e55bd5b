package catalog

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"ingot/internal/fault"
	"ingot/internal/sign"
)

// maxRotations bounds how often a server may have changed its key.
const maxRotations = 32

// A rotation is what an old key signs: which key comes after it.
type rotation struct {
	Type   string   `json:"type"`   // rotationType
	Schema int      `json:"schema"` // 1
	Tree   string   `json:"tree,omitempty"`
	Old    string   `json:"old"` // fingerprint
	New    string   `json:"new"`
	Key    []string `json:"key"` // the new public key, armored, by lines
	// OldKey is the old one, for who knows its fingerprint alone.
	OldKey []string `json:"old_key,omitempty"`
}

const rotationType = "ingot-key-rotation"

// RotationPath is where a server tree says which key came after an old one.
func RotationPath(old string) string { return "ingot/v1/rotation-" + old + ".asc" }

// Rotate is the document by which an old key says that a new one follows it, in one server
// tree.
func Rotate(tree string, old, next *sign.Key, now time.Time) (string, error) {
	public, err := next.Public()
	if err != nil {
		return "", err
	}
	before, err := old.Public()
	if err != nil {
		return "", err
	}
	lines := func(armored []byte) []string { return strings.Split(strings.TrimSuffix(string(armored), "\n"), "\n") }
	r := rotation{rotationType, 1, tree, old.Fingerprint(), next.Fingerprint(), lines(public), lines(before)}
	text, err := json.MarshalIndent(r, "", " ")
	if err != nil {
		return "", fmt.Errorf("cannot write a change of keys: %w", err)
	}
	signed, err := old.Clearsign(append(text, '\n'), now)
	return string(signed), err
}

// RotatedFrom is the fingerprint of the old key in a document of [Rotate], or "". Nothing
// is verified.
func RotatedFrom(document string) string {
	_, text, _ := strings.Cut(document, "\n\n")
	text, _, _ = strings.Cut(text, "-----BEGIN")
	var r rotation
	for _, line := range strings.Split(text, "\n") {
		if v, ok := strings.CutPrefix(strings.TrimSpace(line), `"old": "`); ok {
			r.Old = strings.TrimSuffix(v, `",`)
		}
	}
	if !isName(r.Old) {
		return ""
	}
	return r.Old
}

// RotatedKey is the old key in a document of [Rotate], if it has that fingerprint, which says
// that it is it; nothing else of the document is verified.
func RotatedKey(document []byte, fingerprint string) (*sign.Keyring, error) {
	bad := func(why string) error {
		return fault.Newf(fault.Verification, "the change of keys from %s %s", fingerprint, why).
			WithHint("give its publisher's present key with --key")
	}
	text, err := sign.Unverified(document)
	if err != nil {
		return nil, bad(err.Error())
	}
	var r rotation
	if err := json.Unmarshal(text, &r); err != nil {
		return nil, bad("is unreadable")
	}
	ring, err := sign.ReadKeyring("the old key", []byte(strings.Join(r.OldKey, "\n")+"\n"))
	if err != nil {
		return nil, bad("does not hold that key")
	}
	if ring = ring.Select(fingerprint); len(ring.Fingerprints()) != 1 {
		return nil, bad("holds another key")
	}
	return ring, nil
}

// Rotated verifies a document of [Rotate] by the old keys, and gives the keys that
// follow. The tree is the one that it must be of, where that is known.
func Rotated(tree string, document []byte, old *sign.Keyring, now time.Time) (*sign.Keyring, error) {
	m, err := old.Statement("the change of keys", bytes.NewReader(document), now)
	if err != nil {
		return nil, err
	}
	var r rotation
	if err := json.NewDecoder(bytes.NewReader(m.Text)).Decode(&r); err != nil {
		return nil, fault.Newf(fault.Verification, "the change of keys is unreadable: %w", err)
	}
	if r.Type != rotationType {
		return nil, fault.Newf(fault.Verification, "the change of keys is none: its type is %.40q", r.Type)
	}
	if r.Schema != 1 || len(m.Signers) == 0 || r.Old != m.Signers[0].Fingerprint {
		return nil, fault.Wrap(fault.Verification, errors.New("the change of keys is not signed by the key that it is of"))
	}
	if tree != "" && r.Tree != "" && r.Tree != tree {
		return nil, fault.Wrap(fault.Verification, errors.New("the change of keys is of another server tree"))
	}
	next, err := sign.ReadKeyring("the new key", []byte(strings.Join(r.Key, "\n")+"\n"))
	if err != nil {
		return nil, fault.Newf(fault.Verification, "the change of keys: %w", err)
	}
	if f := next.Fingerprints(); len(f) != 1 || f[0] != r.New {
		return nil, fault.Wrap(fault.Verification, errors.New("the change of keys holds another key than it names"))
	}
	return next, nil
}
