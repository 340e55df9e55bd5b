// Package xlcfg reads and writes xl.cfg(5), the configuration of a Xen guest.
//
// What it reads, and what it takes a text for, is what libxlutil reads: the two are held
// against each other on vectors and on made-up files. It is stricter in one thing: a NUL,
// at which libxlutil would stop reading, is refused. What it writes is the part of the
// language that no version of Xen's reader gets wrong.
//
// A configuration is a value; nothing here opens a file.
package xlcfg

import (
	"math"
	"strconv"
	"strings"
)

// Bounds of what is read.
const (
	MaxSize  = 1 << 20 // bytes of a configuration
	maxDepth = 64      // lists in lists
)

// A Config is the assignments of a configuration. Of a key that is assigned several times
// the last counts, in the place of the first.
type Config struct {
	keys   []string
	values map[string]Value
	// Warnings are what Xen takes for something else than it looks like: line and why.
	Warnings []string
}

// A Value is a text or a list. Numbers are texts: see [Value.Int].
type Value struct {
	Text   string
	List   []Value
	IsList bool
	added  bool // by +=, of which Xen makes no number
}

// Text makes a text.
func Text(s string) Value { return Value{Text: s} }

// List makes a list of texts.
func List(items ...string) Value {
	v := Value{IsList: true}
	for _, i := range items {
		v.List = append(v.List, Text(i))
	}
	return v
}

// Int is a text as Xen reads a number: decimal, octal behind 0, hexadecimal behind 0x, binary behind
// 0b (strtol(3) of glibc since 2.38, which Xen is built with today), with a sign and white space in front. It is not ok of an empty text, of what has anything behind it, or does not
// fit 64 bits.
func (v Value) Int() (n int64, ok bool) {
	if v.IsList || v.added {
		return 0, false
	}
	s := strings.TrimLeft(v.Text, " \t\n\v\f\r")
	negative := strings.HasPrefix(s, "-")
	if negative || strings.HasPrefix(s, "+") {
		s = s[1:]
	}
	base, digits := 10, s
	switch {
	case len(s) > 2 && s[0] == '0' && (s[1] == 'x' || s[1] == 'X'):
		base, digits = 16, s[2:]
	case len(s) > 2 && s[0] == '0' && (s[1] == 'b' || s[1] == 'B'):
		base, digits = 2, s[2:]
	case len(s) > 1 && s[0] == '0':
		base, digits = 8, s[1:]
	}
	u, err := strconv.ParseUint(digits, base, 64)
	switch {
	case err != nil || strings.HasPrefix(digits, "+"):
		return 0, false
	case negative && u <= 1<<63:
		return -int64(u), true //nolint:gosec // the least integer is its own negative
	case !negative && u <= math.MaxInt64:
		return int64(u), true
	}
	return 0, false
}

// Keys are the keys that are set, in the order of the file.
func (c *Config) Keys() []string { return append([]string(nil), c.keys...) }

// Get is the value of a key.
func (c *Config) Get(key string) (Value, bool) {
	v, ok := c.values[key]
	return v, ok
}

// Text is the text of a key, or "" where there is none.
func (c *Config) Text(key string) string { return c.values[key].Text }

// Set sets a key.
func (c *Config) Set(key string, v Value) {
	if c.values == nil {
		c.values = map[string]Value{}
	}
	if _, ok := c.values[key]; !ok {
		c.keys = append(c.keys, key)
	}
	c.values[key] = v
}

// SetText sets a key to a text, unless it is empty: Xen takes an empty root or extra for
// one, and hands the guest a broken command line.
func (c *Config) SetText(key, text string) {
	if text != "" {
		c.Set(key, Text(text))
	}
}

// SetInt sets a key to a number.
func (c *Config) SetInt(key string, n int64) { c.Set(key, Text(strconv.FormatInt(n, 10))) }
