package machine

import (
	"encoding/gob"
	"fmt"
	"io"

	"ingot/internal/template"
)

// A Request is a machine that is wished for: answers have it all. It may be carried out on
// another host than it was made on, by the same program.
type Request struct {
	Name     string
	Template *template.Template
	Answers  *template.Answers
	From     string // the definition's path
	Version  string // its digest
	Image    string // the disk image, qcow2 or raw
}

func init() { gob.Register([]any{}) } // a list's answer; answers of other kinds are known

// Encode writes a request so that [DecodeRequest] gives the same, each answer of its own
// type, which JSON would not keep.
func (r Request) Encode(w io.Writer) error {
	if err := gob.NewEncoder(w).Encode(r); err != nil {
		return fmt.Errorf("cannot write what is asked for: %w", err)
	}
	return nil
}

// DecodeRequest reads what Encode wrote.
func DecodeRequest(in io.Reader) (Request, error) {
	r := Request{}
	if err := gob.NewDecoder(in).Decode(&r); err != nil {
		return r, fmt.Errorf("cannot read what is asked for: %w", err)
	}
	if r.Template == nil || r.Answers == nil {
		return r, fmt.Errorf("cannot read what is asked for: it has no template")
	}
	return r, nil
}
