// Package delta makes change sets: one file that turns one exact file into another one, an
// image's old disk or tree into its new one, and nothing else into anything.
//
// Images are made of files at offsets that are multiples of 512 bytes, in tars, or of
// more, on disks. So whatever file an image shares with an older one is found by the hashes of its
// blocks, wherever it lies now, without looking at each byte. Tables that say where files lie
// change a little everywhere: their blocks are written as what is to be added to those at the
// same place, which is nearly all zeros and compresses to nearly nothing. What is left are
// new files.
//
// A change set:
//
//	ingot delta 1
//	{"old":{"sha256":…,"size":…},"new":{…}}   a line
//	zstd: operations
//	SHA-256 of all that stands before, 32 bytes
//
// An operation is a byte and numbers as varints: copy (offset in the old file, length), add
// (offset, length, as many bytes), data (length, as many bytes), zeros (length).
package delta

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"ingot/internal/digest"
	"ingot/internal/fault"
)

// A File is one of the two that a change set is about.
type File struct {
	SHA256 digest.Digest `json:"sha256"`
	Size   int64         `json:"size"`
}

// A Header says what a change set does.
type Header struct {
	Old File `json:"old"`
	New File `json:"new"`
}

const first = "ingot delta 1\n"

// The operations.
const (
	opCopy = iota
	opAdd
	opData
	opZero
)

// maxSize bounds a file that a change set is about.
const maxSize = 1 << 42

// ReadHeader reads what a change set does, and leaves r behind it.
func readHeader(r io.Reader) (Header, error) {
	var h Header
	b := make([]byte, len(first))
	if _, err := io.ReadFull(r, b); err != nil || string(b) != first {
		return h, bad("it is no change set")
	}
	var line []byte
	for one := make([]byte, 1); ; {
		if _, err := io.ReadFull(r, one); err != nil {
			return h, bad("it is cut off")
		}
		if one[0] == '\n' {
			break
		}
		if line = append(line, one[0]); len(line) > 1000 {
			return h, bad("its head is too long")
		}
	}
	d := json.NewDecoder(bytes.NewReader(line))
	d.DisallowUnknownFields()
	if err := d.Decode(&h); err != nil {
		return h, bad("its head: %v", err)
	}
	if h.Old.Size < 0 || h.New.Size < 0 || h.Old.Size > maxSize || h.New.Size > maxSize {
		return h, bad("it claims sizes that no image has")
	}
	return h, nil
}

func (h Header) text() []byte {
	b, err := json.Marshal(h)
	if err != nil {
		panic(err) // it has nothing that JSON could not say
	}
	return append(append([]byte(first), b...), '\n')
}

func bad(format string, args ...any) error {
	return fault.Newf(fault.Verification, "change set: %w", fmt.Errorf(format, args...)).WithHint("get it again from where it was made")
}

var errShort = errors.New("it is cut off or damaged")
