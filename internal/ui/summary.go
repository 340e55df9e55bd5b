package ui

import (
	"fmt"
	"io"
	"time"

	"ingot/internal/digest"
)

// An Artifact is a result of a run.
type Artifact struct {
	Format string        `json:"format"`
	Path   string        `json:"path"`
	Size   int64         `json:"size"` // bytes
	SHA256 digest.Digest `json:"sha256"`
}

// A Summary is what a run made and how long it took.
type Summary struct {
	Artifacts []Artifact
	Seconds   float64
}

// WriteTo writes a line for each artifact: path, size, digest and the run's
// seconds. The digest is in full: the line is what people copy.
func (s Summary) WriteTo(w io.Writer) (int64, error) {
	var n int64
	took := Seconds(time.Duration(s.Seconds * float64(time.Second)))
	for _, a := range s.Artifacts {
		k, err := fmt.Fprintf(w, "%s  %s  sha256:%s  %s\n", clean(a.Path), Size(a.Size), a.SHA256, took)
		n += int64(k)
		if err != nil {
			return n, err
		}
	}
	return n, nil
}
