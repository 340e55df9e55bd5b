package rpm

import (
	"bytes"
	"cmp"
	"compress/gzip"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"

	"ingot/internal/digest"
	"ingot/internal/distro"
)

// A made package is written in memory, so that it can be wrong where rpmbuild
// would not be.
type made struct {
	tags    []madeTag
	payload []byte
	wrap    func([]byte) []byte // compression; nil is none
	tail    []byte              // after the payload
	mangle  func([]byte) []byte // of the whole
}

type madeTag struct {
	tag   tag
	kind  uint32
	count uint32
	data  []byte
}

func word(t tag, s string) madeTag { return madeTag{t, typeString, 1, []byte(s + "\x00")} }

func words(t tag, s ...string) madeTag {
	return madeTag{t, typeStringArray, uint32(len(s)), []byte(strings.Join(s, "\x00") + "\x00")}
}

func numbers[T uint16 | uint32 | uint64](t tag, n ...T) madeTag {
	var b []byte
	var kind uint32
	for _, v := range n {
		switch v := any(v).(type) {
		case uint16:
			kind, b = typeInt16, binary.BigEndian.AppendUint16(b, v)
		case uint32:
			kind, b = typeInt32, binary.BigEndian.AppendUint32(b, v)
		case uint64:
			kind, b = typeInt64, binary.BigEndian.AppendUint64(b, v)
		}
	}
	return madeTag{t, kind, uint32(len(n)), b}
}

func madeHeader(tags []madeTag) []byte {
	var index, store []byte
	for _, t := range tags {
		index = binary.BigEndian.AppendUint32(index, uint32(t.tag))
		index = binary.BigEndian.AppendUint32(index, t.kind)
		index = binary.BigEndian.AppendUint32(index, uint32(len(store)))
		index = binary.BigEndian.AppendUint32(index, t.count)
		store = append(store, t.data...)
	}
	out := append([]byte{}, headerMagic...)
	out = append(out, 0, 0, 0, 0)
	out = binary.BigEndian.AppendUint32(out, uint32(len(tags)))
	out = binary.BigEndian.AppendUint32(out, uint32(len(store)))
	return append(append(out, index...), store...)
}

func (m made) bytes() []byte {
	out := make([]byte, leadSize)
	copy(out, leadMagic)
	out[4] = 3
	out = append(out, madeHeader([]madeTag{word(269, "abc")})...)
	out = append(out, make([]byte, -len(out)&7)...)
	out = append(out, madeHeader(m.tags)...)
	p := append(slices.Clone(m.payload), m.tail...)
	if m.wrap != nil {
		p = m.wrap(p)
	}
	out = append(out, p...)
	if m.mangle != nil {
		out = m.mangle(out)
	}
	return out
}

func gzipped(b []byte) []byte {
	var out bytes.Buffer
	w := gzip.NewWriter(&out)
	_, _ = w.Write(b) // a buffer does not fail
	_ = w.Close()
	return out.Bytes()
}

// A madeFile is a file of a made package: its header's and its payload's side.
type madeFile struct {
	path, user, group, link, caps string
	mode                          uint16
	flags                         uint32
	inode                         uint32
	data                          string
	name                          string // in the payload, where it is not "." and the path
	absent                        bool   // from the payload
	digest                        string // instead of the right one
	size                          int    // in the header, instead of the right one
}

// pack makes a package "made 1-1 noarch" of files.
func pack(files []madeFile, more ...madeTag) made {
	m := made{tags: []madeTag{word(tagName, "made"), word(tagVersion, "1"), word(tagRelease, "1"), word(tagArch, noarch), numbers(tagFileDigestAlgo, uint32(digestSHA256))}}
	n := len(files)
	base, dirs, digests, links, users, groups, caps := make([]string, n), make([]string, n), make([]string, n), make([]string, n), make([]string, n), make([]string, n), make([]string, n)
	index, sizes, mtimes, flags, devices, inodes := make([]uint32, n), make([]uint32, n), make([]uint32, n), make([]uint32, n), make([]uint32, n), make([]uint32, n)
	modes, rdevs := make([]uint16, n), make([]uint16, n)
	for i, f := range files {
		cut := strings.LastIndexByte(f.path, '/') + 1
		dirs[i], base[i] = f.path[:cut], f.path[cut:]
		index[i], sizes[i], mtimes[i], flags[i], devices[i], inodes[i] = uint32(i), uint32(len(f.data)), 1000, f.flags, 1, f.inode
		if f.inode == 0 {
			inodes[i] = uint32(1000 + i)
		}
		modes[i], links[i], caps[i] = f.mode, f.link, f.caps
		users[i], groups[i] = cmp.Or(f.user, "root"), cmp.Or(f.group, "root")
		body := f.data
		if f.link != "" {
			body, sizes[i] = f.link, uint32(len(f.link))
		}
		if f.mode&0o170000 == 0o100000 {
			digests[i] = digest.Of([]byte(f.data)).String()
		}
		if f.digest != "" {
			digests[i] = f.digest
		}
		if f.size != 0 {
			sizes[i] = uint32(f.size)
		}
		name := "." + f.path
		if f.name != "" {
			name = f.name
		}
		if f.inode != 0 && i+1 < n && files[i+1].inode == f.inode { // the last name brings the bytes
			body = ""
		}
		if !f.absent {
			m.payload = append(m.payload, newc(name, body)...)
		}
	}
	if n > 0 {
		m.tags = append(m.tags, words(tagBaseNames, base...), words(tagDirNames, dirs...), numbers(tagDirIndexes, index...), numbers(tagFileSizes, sizes...), numbers(tagFileModes, modes...),
			numbers(tagFileRdevs, rdevs...), numbers(tagFileMtimes, mtimes...), words(tagFileDigests, digests...), words(tagFileLinkTos, links...), numbers(tagFileFlags, flags...),
			words(tagFileUserName, users...), words(tagFileGroupName, groups...), numbers(tagFileDevices, devices...), numbers(tagFileInodes, inodes...), words(tagFileCaps, caps...))
	}
	m.tags = append(m.tags, more...)
	m.payload = append(m.payload, newc(cpioTrailer, "")...)
	return m
}

func newc(name, body string) []byte {
	out := fmt.Appendf(nil, "070701%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%s\x00", 1, 0, 0, 0, 1, 0, len(body), 0, 0, 0, 0, len(name)+1, 0, name)
	out = append(out, make([]byte, -len(out)&3)...)
	out = append(out, body...)
	return append(out, make([]byte, -len(out)&3)...)
}

// stripped is the form of packages with large files.
func stripped(index int, body string) []byte {
	out := fmt.Appendf(nil, "07070X%08x\x00\x00", index)
	out = append(out, body...)
	return append(out, make([]byte, -len(out)&3)...)
}

// A memoryPack keeps contents in memory.
type memoryPack struct{ bytes.Buffer }

func (p *memoryPack) Name() string { return "pack" }
func (p *memoryPack) Size() int64  { return int64(p.Len()) }

func madeRef(data []byte) distro.Ref {
	return distro.Ref{Name: "made", Version: "1-1", Arch: noarch, Size: int64(len(data)), SHA256: digest.Of(data)}
}

func unpackMade(t *testing.T, m made) (distro.Unpacked, *memoryPack, error) {
	t.Helper()
	data := m.bytes()
	p := &memoryPack{}
	u, err := readPackage(t, madeRef(data), bytes.NewReader(data), p)
	return u, p, err
}

// readPackage inspects and unpacks.
func readPackage(t *testing.T, ref distro.Ref, file io.ReaderAt, pack distro.Pack) (distro.Unpacked, error) {
	t.Helper()
	p, err := Family{}.Inspect(t.Context(), ref, file)
	if err != nil {
		return distro.Unpacked{}, err
	}
	return Family{}.Unpack(t.Context(), p, file, pack)
}

// asked adds packages to what Configure is asked for.
func asked(in distro.Install, us []distro.Unpacked) distro.Install {
	at := map[distro.Ref]distro.Unpacked{}
	for _, u := range us {
		in.Packages = append(in.Packages, u.Package)
		at[u.Ref] = u
	}
	in.Unpacked = func(_ context.Context, refs []distro.Ref) ([]distro.Unpacked, error) {
		var out []distro.Unpacked
		for _, ref := range refs {
			out = append(out, at[ref])
		}
		return out, nil
	}
	return in
}
