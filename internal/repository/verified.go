package repository

import (
	"crypto/sha256"
	"errors"
	"hash"
	"io"

	"ingot/internal/digest"
	"ingot/internal/fault"
	"ingot/internal/place"
)

func newHash() hash.Hash { return sha256.New() }

// verified reads a blob and fails at its end, or as soon as it is too long, where it is
// another.
type verified struct {
	io.ReadCloser
	what Blob
	at   place.Place
	hash hash.Hash
	n    int64
}

func (v *verified) Read(b []byte) (int, error) {
	n, err := v.ReadCloser.Read(b)
	v.n += int64(n)
	v.hash.Write(b[:n])
	end := errors.Is(err, io.EOF)
	if v.n > v.what.Size || end && (v.n != v.what.Size || digest.From(v.hash) != v.what.SHA256) {
		return 0, fault.Newf(fault.Verification, "blob %s of %s was tampered with or is damaged", v.what.SHA256, v.at).
			WithHint("commit the group again from where it was built, or copy the blob from another repository")
	}
	return n, err
}
