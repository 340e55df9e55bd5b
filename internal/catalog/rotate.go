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
	Schema int      `json:"schema"` // 1
	Tree   string   `json:"tree,omitempty"`
	Old    string   `json:"old"` // fingerprint
	New    string   `json:"new"`
	Key    []string `json:"key"` // the new public key, armored, by lines
}

// RotationPath is where a server tree says which key came after an old one.
func RotationPath(old string) string { return "ingot/v1/rotation-" + old + ".asc" }

// Rotate is the document by which an old key says that a new one follows it, in one server
// tree.
func Rotate(tree string, old, next *sign.Key, now time.Time) (string, error) {
	public, err := next.Public()
	if err != nil {
		return "", err
	}
	r := rotation{1, tree, old.Fingerprint(), next.Fingerprint(), strings.Split(strings.TrimSuffix(string(public), "\n"), "\n")}
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

// Rotated verifies a document of [Rotate] by the old keys, and gives the keys that
// follow. The tree is the one that it must be of, where that is known.
func Rotated(tree string, document []byte, old *sign.Keyring, now time.Time) (*sign.Keyring, error) {
	m, err := old.Clearsigned("the change of keys", document, now)
	if err != nil {
		return nil, err
	}
	var r rotation
	if err := json.NewDecoder(bytes.NewReader(m.Text)).Decode(&r); err != nil {
		return nil, fault.Newf(fault.Verification, "the change of keys is unreadable: %w", err)
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
