// Package token is who may read, or publish to, a server tree over the network: a list of
// names with the hashes of their tokens and their rights.
//
// A token is 256 random bits, so a plain SHA-256 of it tells nothing, and nobody guesses one. It is
// shown once, when it is made. The list is a file in the tree, which no server gives out.
package token

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"ingot/internal/catalog"
	"ingot/internal/digest"
)

// Path is where the list lies in a server tree.
const Path = ".tokens"

// MaxSize bounds a list, in bytes.
const MaxSize = 4 << 20

// prefix begins every token, so that people and scanners know one when they see it.
const prefix = "ingot_"

// A Right is what a token is good for.
type Right string

// The rights. Who may publish may read.
const (
	Read    Right = "read"
	Publish Right = "publish"
)

// A Token is one by its hash.
type Token struct {
	Name    string        `json:"name"`
	SHA256  digest.Digest `json:"sha256"`
	Right   Right         `json:"right"`
	Created time.Time     `json:"created"`
	Expires time.Time     `json:"expires,omitzero"`
}

// A List is all tokens of a tree.
type List struct {
	Schema int `json:"schema"` // 1
	// Private says that without a token nothing of the tree is given out.
	Private bool    `json:"private"`
	Tokens  []Token `json:"tokens"`
}

// New makes a token: its text, for who gets it, and what is kept of it.
func New(name string, right Right, now, expires time.Time) (string, Token) {
	var b [32]byte
	_, _ = rand.Read(b[:]) // never fails
	text := prefix + base64.RawURLEncoding.EncodeToString(b[:])
	return text, Token{Name: name, SHA256: sha256.Sum256([]byte(text)), Right: right, Created: now.UTC().Truncate(time.Second), Expires: expires}
}

// Decode reads a list.
func Decode(data []byte) (List, error) {
	var l List
	if err := json.Unmarshal(data, &l); err != nil {
		return List{}, fmt.Errorf("unreadable: %w", err)
	}
	if l.Schema != 1 {
		return List{}, fmt.Errorf("schema %d, where 1 is known", l.Schema)
	}
	seen := map[string]bool{}
	for _, t := range l.Tokens {
		if !catalog.IsName(t.Name) || seen[t.Name] || t.SHA256.IsZero() || t.Right != Read && t.Right != Publish {
			return List{}, fmt.Errorf("token %.140q is there twice, has no digest, or another right than %s and %s", t.Name, Read, Publish)
		}
		seen[t.Name] = true
	}
	return l, nil
}

// Encode is the list's text.
func (l List) Encode() ([]byte, error) {
	l.Schema = 1
	if l.Tokens == nil {
		l.Tokens = []Token{}
	}
	data, err := json.MarshalIndent(l, "", "  ")
	return append(data, '\n'), err
}

// Add gives a list with a token.
func (l List) Add(t Token) (List, error) {
	if slices.ContainsFunc(l.Tokens, func(o Token) bool { return o.Name == t.Name }) {
		return l, fmt.Errorf("there is a token %s already", t.Name)
	}
	l.Tokens = append(slices.Clone(l.Tokens), t)
	return l, nil
}

// Remove gives a list without a token, and whether it had it.
func (l List) Remove(name string) (List, bool) {
	n := len(l.Tokens)
	l.Tokens = slices.DeleteFunc(slices.Clone(l.Tokens), func(t Token) bool { return t.Name == name })
	return l, len(l.Tokens) < n
}

// Find is the token of a text, if it is one of the list and good at a time.
func (l List) Find(text string, now time.Time) (Token, bool) {
	sum := sha256.Sum256([]byte(text))
	var found Token
	ok := false
	for _, t := range l.Tokens {
		if subtle.ConstantTimeCompare(sum[:], t.SHA256[:]) == 1 && (t.Expires.IsZero() || now.Before(t.Expires)) {
			found, ok = t, true
		}
	}
	return found, ok
}

// ReadText reads a token as it stands in a file, alone on its line.
func ReadText(r io.Reader) (string, error) {
	data, err := io.ReadAll(io.LimitReader(r, 4097))
	if err != nil {
		return "", err
	}
	text := strings.TrimSpace(string(data))
	if text == "" || len(data) > 4096 || strings.ContainsFunc(text, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return "", errors.New("it has no token, alone on its line")
	}
	return text, nil
}
