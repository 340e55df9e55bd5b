package server

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"strings"
	"sync"
	"time"

	"ingot/internal/draft"
	"ingot/internal/fault"
	"ingot/internal/token"
)

// Access is the list of tokens of a tree; a tree without one is open to read, and nobody
// publishes to it over the network.
func (d *Dir) Access() (token.List, error) {
	data, err := d.Read(token.Path, token.MaxSize)
	if errors.Is(err, fs.ErrNotExist) {
		return token.List{}, nil
	}
	if err != nil {
		return token.List{}, fmt.Errorf("cannot read the tree's tokens: %w", err)
	}
	l, err := token.Decode(data)
	if err != nil {
		return l, fault.Newf(fault.Preflight, "%s of the tree: %w", token.Path, err).WithHint("remove the file, and make tokens anew: 'ingot server token add'")
	}
	return l, nil
}

// SetAccess changes the list of tokens, while no publisher is at work.
func (d *Dir) SetAccess(ctx context.Context, f func(token.List) (token.List, error)) error {
	release, err := d.Lock(ctx, func() {})
	if err != nil {
		return err
	}
	defer release()
	l, err := d.Access()
	if err != nil {
		return err
	}
	if l, err = f(l); err != nil {
		return err
	}
	data, err := l.Encode()
	if err != nil {
		return err
	}
	return explain(draft.Write(d.at(token.Path), data, 0o644)) // a server of another user reads it
}

// access is the list of tokens as a Handler knows it, read again when it has changed.
type access struct {
	mu   sync.Mutex
	key  tagKey
	list token.List
}

// tokens are those of the tree.
func (h *Handler) tokens() (token.List, error) {
	h.access.mu.Lock()
	defer h.access.mu.Unlock()
	f, info, err := h.open(token.Path)
	if errors.Is(err, fs.ErrNotExist) {
		h.access.key, h.access.list = tagKey{}, token.List{}
		return token.List{}, nil
	}
	if err != nil {
		return token.List{}, err
	}
	defer func() { _ = f.Close() }()
	if key := keyOf(info); h.access.key != key {
		data, err := io.ReadAll(io.LimitReader(f, token.MaxSize))
		if err != nil {
			return token.List{}, err
		}
		l, err := token.Decode(data)
		if err != nil {
			return token.List{}, err
		}
		h.access.key, h.access.list = key, l
	}
	return h.access.list, nil
}

// shown is the token that a request shows, or "": as bearer, or as the password of whatever user,
// for programs that know only that.
func shown(r *http.Request) string {
	if kind, text, ok := strings.Cut(r.Header.Get("Authorization"), " "); ok && strings.EqualFold(kind, "Bearer") {
		return strings.TrimSpace(text)
	}
	_, password, _ := r.BasicAuth()
	return password
}

// admit says whether a request may have what a right is needed for, and answers it if not. A tree
// whose list cannot be read is closed. Where there are tokens, what others get is for nobody else.
func (h *Handler) admit(w http.ResponseWriter, r *http.Request, need token.Right) bool {
	l, err := h.tokens()
	if err != nil {
		http.Error(w, "cannot read the tree's tokens", http.StatusInternalServerError)
		return false
	}
	text := shown(r)
	if text != "" && r.TLS == nil && h.Secure {
		http.Error(w, "a token came without TLS, so others may have read it: make another, and use https", http.StatusForbidden)
		return false
	}
	if need == token.Read && !l.Private {
		return true
	}
	w.Header().Set("Cache-Control", "private, no-store")
	w.Header().Set("Vary", "Authorization")
	t, ok := l.Find(text, time.Now())
	switch {
	case ok && (t.Right == need || t.Right == token.Publish):
		return true
	case ok:
		http.Error(w, "this token is not one to publish with", http.StatusForbidden)
	default:
		w.Header().Add("WWW-Authenticate", `Bearer realm="ingot"`)
		w.Header().Add("WWW-Authenticate", `Basic realm="ingot", charset="UTF-8"`)
		http.Error(w, "a token is needed", http.StatusUnauthorized)
	}
	return false
}
