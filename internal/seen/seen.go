// Package seen remembers of what only goes forward how far it was seen to be, so that nobody can
// play an old state back: the index of an image server, the newest version on a branch of
// a repository.
//
// Who remembers is this machine alone: what it sees for the first time it takes as it is.
package seen

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"ingot/internal/digest"
	"ingot/internal/draft"
	"ingot/internal/input"
)

// A Record is a state that was seen and believed.
type Record struct {
	Schema int    `json:"schema"` // 1
	Of     string `json:"of"`     // what it is of, for people
	// Tree tells things apart that one key signs, and that somebody could show in place of
	// each other; "" is where that cannot be.
	Tree    string        `json:"tree,omitempty"`
	Serial  int64         `json:"serial"` // never less than that of a state before
	SHA256  digest.Digest `json:"sha256"` // of what was signed
	Created time.Time     `json:"created"`
}

// What can be wrong with a state, to be told apart by who says it to people.
var (
	ErrOlder = errors.New("it is older than one that was seen before")
	ErrOther = errors.New("it is another one of the same serial than the one that was seen before")
	ErrTree  = errors.New("it is of another tree than the one that was seen before")
)

// Read reads what was seen last; of what was never seen it is the zero record.
func Read(path string) (Record, error) {
	var old Record
	data, err := input.Read(path, 1<<20)
	if errors.Is(err, fs.ErrNotExist) {
		return old, nil
	}
	if err == nil {
		err = json.Unmarshal(data, &old)
	}
	if err != nil {
		return old, fmt.Errorf("cannot read what was seen before: %s: %w", path, err)
	}
	return old, nil
}

// Judge says why a state cannot follow the one that was seen: ErrOlder, ErrOther or ErrTree.
func (old Record) Judge(now Record) error {
	switch {
	case old.Tree != "" && now.Tree != old.Tree:
		return ErrTree
	case now.Serial < old.Serial:
		return ErrOlder
	case now.Serial == old.Serial && old.Serial != 0 && now.SHA256 != old.SHA256:
		return ErrOther
	}
	return nil
}

// Write remembers a state, whole or not at all. Its directory must be there.
func (r Record) Write(path string) error {
	r.Schema = 1
	data, err := json.MarshalIndent(r, "", " ")
	if err != nil {
		return err
	}
	return draft.Explain(draft.Write(path, append(data, '\n'), 0o644), "INGOT_HOME")
}
