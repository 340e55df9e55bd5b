package tree

import (
	"encoding/binary"
	"errors"
	"fmt"

	"ingot/internal/digest"
)

// The codec is the form in which entries travel to a sandbox and lie in the
// cache: a version byte, a count, then each entry with a path that shares its
// beginning with the entry before. It is read back only from places that ingot
// wrote and verified, yet decoding is bounded and never panics.

const codecVersion = 2

// AppendEntries encodes entries at the end of b.
func AppendEntries(b []byte, entries []Entry) []byte {
	b = append(b, codecVersion)
	b = binary.AppendUvarint(b, uint64(len(entries)))
	var prev string
	var prevPack, prevOwner string
	for i := range entries {
		e := &entries[i]
		shared := sharedPrefix(prev, e.Path)
		b = binary.AppendUvarint(b, uint64(shared))
		b = appendString(b, e.Path[shared:])
		prev = e.Path
		b = append(b, byte(e.Kind))
		b = binary.AppendUvarint(b, uint64(e.Mode))
		b = binary.AppendUvarint(b, uint64(e.UID))
		b = binary.AppendUvarint(b, uint64(e.GID))
		b = binary.AppendVarint(b, e.Mtime.Sec)
		b = binary.AppendVarint(b, int64(e.Mtime.Nsec))
		b = binary.AppendUvarint(b, uint64(len(e.Xattrs)))
		for _, x := range e.Xattrs {
			b = appendString(b, x.Name)
			b = appendString(b, x.Value)
		}
		b, prevOwner = appendRepeated(b, prevOwner, e.Owner)
		switch e.Kind {
		case Symlink, Hardlink:
			b = appendString(b, e.Link)
		case Char, Block:
			b = binary.AppendUvarint(b, uint64(e.Major))
			b = binary.AppendUvarint(b, uint64(e.Minor))
		case File:
			b = binary.AppendUvarint(b, uint64(e.Content.Size))
			b = append(b, e.Content.Digest[:]...)
			b, prevPack = appendRepeated(b, prevPack, e.Content.Pack)
			b = binary.AppendUvarint(b, uint64(e.Content.Offset))
		case Dir, Fifo:
		}
	}
	return b
}

func sharedPrefix(a, b string) int {
	n := min(len(a), len(b))
	for i := range n {
		if a[i] != b[i] {
			return i
		}
	}
	return n
}

func appendString(b []byte, s string) []byte {
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
}

// appendRepeated writes 0 for "as before", else the string's length plus one
// and the string.
func appendRepeated(b []byte, prev, s string) ([]byte, string) {
	if s == prev {
		return append(b, 0), s
	}
	b = binary.AppendUvarint(b, uint64(len(s))+1)
	return append(b, s...), s
}

var errShort = errors.New("encoded tree is cut short or damaged")

type decoder struct {
	b   string
	err error
}

func (d *decoder) uvarint() uint64 {
	var v uint64
	for i := 0; ; i++ {
		if i >= len(d.b) || i == binary.MaxVarintLen64 {
			d.err, d.b = errShort, ""
			return 0
		}
		c := d.b[i]
		v |= uint64(c&0x7f) << (7 * i)
		if c < 0x80 {
			d.b = d.b[i+1:]
			return v
		}
	}
}

func (d *decoder) varint() int64 {
	u := d.uvarint()
	return int64(u>>1) ^ -int64(u&1)
}

func (d *decoder) bytes(n uint64) string {
	if n > uint64(len(d.b)) {
		d.err, d.b = errShort, ""
		return ""
	}
	s := d.b[:n]
	d.b = d.b[n:]
	return s
}

func (d *decoder) str() string { return d.bytes(d.uvarint()) }

func (d *decoder) repeated(prev string) string {
	n := d.uvarint()
	if n == 0 {
		return prev
	}
	return d.bytes(n - 1)
}

// DecodeEntries reads what [AppendEntries] wrote and gives the rest of b. The
// entries share memory with b.
func DecodeEntries(b string) (entries []Entry, rest string, err error) {
	if b == "" || b[0] != codecVersion {
		return nil, "", fmt.Errorf("encoded tree is not of version %d", codecVersion)
	}
	d := decoder{b: b[1:]}
	n := d.uvarint()
	if n > uint64(len(d.b)) { // an entry takes more than a byte
		return nil, "", errShort
	}
	entries = make([]Entry, 0, n)
	var prev, pack, owner string
	for range n {
		var e Entry
		shared := d.uvarint()
		tail := d.str()
		if shared > uint64(len(prev)) {
			return nil, "", errShort
		}
		if shared == 0 {
			e.Path = tail
		} else {
			e.Path = prev[:shared] + tail
		}
		prev = e.Path
		if k := d.bytes(1); k != "" {
			e.Kind = Kind(k[0])
		}
		e.Mode = uint32(d.uvarint())
		e.UID = uint32(d.uvarint())
		e.GID = uint32(d.uvarint())
		e.Mtime = Time{Sec: d.varint(), Nsec: int32(d.varint())}
		for range d.uvarint() {
			e.Xattrs = append(e.Xattrs, Xattr{Name: d.str(), Value: d.str()})
			if d.err != nil {
				return nil, "", d.err
			}
		}
		owner = d.repeated(owner)
		e.Owner = owner
		switch e.Kind {
		case Symlink, Hardlink:
			e.Link = d.str()
		case Char, Block:
			e.Major, e.Minor = uint32(d.uvarint()), uint32(d.uvarint())
		case File:
			e.Content.Size = int64(d.uvarint())
			copy(e.Content.Digest[:], d.bytes(uint64(len(digest.Digest{}))))
			pack = d.repeated(pack)
			e.Content.Pack = pack
			e.Content.Offset = int64(d.uvarint())
			if e.Content.Size < 0 || e.Content.Offset < 0 {
				return nil, "", errShort
			}
		case Dir, Fifo:
		default:
			return nil, "", errShort
		}
		if d.err != nil {
			return nil, "", d.err
		}
		entries = append(entries, e)
	}
	return entries, d.b, nil
}
