package server

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"sync"
	"syscall"
	"time"

	"ingot/internal/catalog"
	"ingot/internal/sign"
)

// An offer is the catalog of a tree as a Handler shows it, read again when it has changed.
type offer struct {
	mu  sync.Mutex
	key tagKey
	c   catalog.Catalog
	err error
	by  string // the fingerprint of the key
}

// Offer gives the tree's catalog, if the key that the tree shows has signed it. That
// is no reason to trust it, and clients do not: it says that the tree is whole.
func (h *Handler) Offer() (catalog.Catalog, error) {
	h.offer.mu.Lock()
	defer h.offer.mu.Unlock()
	f, info, err := h.open(catalog.Path)
	if err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			err = errors.New("the tree has no index yet")
		}
		return catalog.Catalog{}, err
	}
	defer func() { _ = f.Close() }()
	if key := keyOf(info); h.offer.key != key {
		h.offer.c, h.offer.by, h.offer.err = h.read(f)
		h.offer.key = key
		if h.offer.err != nil {
			h.offer.key = tagKey{} // its key may come a moment later
		}
	}
	return h.offer.c, h.offer.err
}

func (h *Handler) read(f io.Reader) (c catalog.Catalog, by string, err error) {
	data, err := io.ReadAll(io.LimitReader(f, catalog.MaxSize+1))
	if err != nil {
		return c, "", fmt.Errorf("cannot read the index: %w", err)
	}
	k, _, err := h.open("key.asc")
	if err != nil {
		return c, "", fmt.Errorf("cannot read the tree's key: %w", err)
	}
	defer func() { _ = k.Close() }()
	key, err := io.ReadAll(io.LimitReader(k, 1<<20))
	if err != nil {
		return c, "", fmt.Errorf("cannot read the tree's key: %w", err)
	}
	ring, err := sign.ReadKeyring("key.asc", key)
	if err != nil {
		return c, "", err
	}
	c, m, err := catalog.Read("the index", data, ring, time.Now().Add(catalog.Skew))
	if err != nil {
		return c, "", err
	}
	return c, m.Signers[0].Fingerprint, nil
}

// Key is the fingerprint of the key that signed what [Handler.Offer] gave last.
func (h *Handler) Key() string {
	h.offer.mu.Lock()
	defer h.offer.mu.Unlock()
	return h.offer.by
}

// Read gives a file of the tree, or of the server that it is a cache of.
func (h *Handler) Read(name string, limit int64) ([]byte, error) {
	f, info, err := h.open(name)
	if h.Through != nil && err != nil && absent(err) {
		r, _, err := h.Through.Open(name)
		if err != nil {
			return nil, err
		}
		defer func() { _ = r.Close() }()
		return io.ReadAll(io.LimitReader(r, limit))
	}
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	if info.Size() > limit {
		return nil, fmt.Errorf("%s is larger than %d bytes", name, limit)
	}
	return io.ReadAll(io.LimitReader(f, limit))
}

// keyOf tells a file from any other, and from what it was before.
func keyOf(info fs.FileInfo) tagKey {
	key := tagKey{0, info.Size(), info.ModTime().UnixNano()}
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		key.ino = st.Ino
	}
	return key
}
