package rpm

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
)

// A tag names an entry of a header (rpm's tags.md).
type tag uint32

// The tags read here.
const (
	tagName             tag = 1000
	tagVersion          tag = 1001
	tagRelease          tag = 1002
	tagEpoch            tag = 1003
	tagSummary          tag = 1004
	tagSize             tag = 1009
	tagVendor           tag = 1011
	tagLicense          tag = 1014
	tagPackager         tag = 1015
	tagURL              tag = 1020
	tagArch             tag = 1022
	tagPreIn            tag = 1023
	tagPostIn           tag = 1024
	tagPreUn            tag = 1025
	tagPostUn           tag = 1026
	tagOldFileNames     tag = 1027
	tagFileSizes        tag = 1028
	tagFileModes        tag = 1030
	tagFileRdevs        tag = 1033
	tagFileMtimes       tag = 1034
	tagFileDigests      tag = 1035
	tagFileLinkTos      tag = 1036
	tagFileFlags        tag = 1037
	tagFileUserName     tag = 1039
	tagFileGroupName    tag = 1040
	tagSourceRPM        tag = 1044
	tagTriggerName      tag = 1066
	tagPreInProg        tag = 1085
	tagPostInProg       tag = 1086
	tagFileDevices      tag = 1095
	tagFileInodes       tag = 1096
	tagSourcePackage    tag = 1106
	tagDirIndexes       tag = 1116
	tagBaseNames        tag = 1117
	tagDirNames         tag = 1118
	tagPayloadFormat    tag = 1124
	tagPreTrans         tag = 1151
	tagPostTrans        tag = 1152
	tagPreTransProg     tag = 1153
	tagPostTransProg    tag = 1154
	tagLongFileSizes    tag = 5008
	tagLongSize         tag = 5009
	tagFileCaps         tag = 5010
	tagFileDigestAlgo   tag = 5011
	tagPreInFlags       tag = 5020
	tagPostInFlags      tag = 5021
	tagPreTransFlags    tag = 5024
	tagPostTransFlags   tag = 5025
	tagFileTrigger      tag = 5069
	tagTransFileTrigger tag = 5079
)

// The types of entries.
const (
	typeInt16       = 3
	typeInt32       = 4
	typeInt64       = 5
	typeString      = 6
	typeStringArray = 8
	typeI18N        = 9
)

// Bounds of a header. The first is rpm's own; more than the package's size is
// refused before memory is taken.
const (
	maxIndex = 1 << 16
	leadSize = 96
)

var (
	leadMagic   = []byte{0xed, 0xab, 0xee, 0xdb}
	headerMagic = []byte{0x8e, 0xad, 0xe8, 0x01}
)

// A header is a set of named values: a table of tag, type, offset and count, all
// big-endian, and a store that they point into.
type header struct {
	entries map[tag]headerEntry
	store   []byte
}

type headerEntry struct {
	kind   uint32
	offset uint32
	count  uint32
}

// readHeaders reads what stands before the payload: the lead, which only names
// the format by now, the signature header and the header. It gives the header and
// where the payload begins.
func readHeaders(file io.ReaderAt, size int64) (header, int64, error) {
	lead := make([]byte, leadSize)
	if size < leadSize {
		return header{}, 0, fmt.Errorf("%w: %d bytes are less than its lead", errPackage, size)
	}
	if err := readAt(file, lead, 0); err != nil {
		return header{}, 0, err
	}
	if !bytes.HasPrefix(lead, leadMagic) {
		return header{}, 0, fmt.Errorf("%w: it does not begin as one", errPackage)
	}
	if major := lead[4]; major != 3 && major != 4 {
		return header{}, 0, fmt.Errorf("%w: it has format version %d", errPackage, major)
	}
	_, at, err := readHeader(file, leadSize, size)
	if err != nil {
		return header{}, 0, fmt.Errorf("signature header: %w", err)
	}
	at += -at & 7 // the signature header alone is padded
	h, at, err := readHeader(file, at, size)
	if err != nil {
		return header{}, 0, fmt.Errorf("header: %w", err)
	}
	return h, at, nil
}

func readHeader(file io.ReaderAt, at, size int64) (header, int64, error) {
	intro := make([]byte, 16)
	if at+int64(len(intro)) > size {
		return header{}, 0, fmt.Errorf("%w: it ends early", errPackage)
	}
	if err := readAt(file, intro, at); err != nil {
		return header{}, 0, err
	}
	if !bytes.HasPrefix(intro, headerMagic) {
		return header{}, 0, fmt.Errorf("%w: no header where one should be", errPackage)
	}
	n, length := binary.BigEndian.Uint32(intro[8:]), binary.BigEndian.Uint32(intro[12:])
	at += int64(len(intro))
	end := at + 16*int64(n) + int64(length)
	if n > maxIndex || end > size {
		return header{}, 0, fmt.Errorf("%w: %d entries with %d bytes do not fit", errPackage, n, length)
	}
	data := make([]byte, end-at)
	if err := readAt(file, data, at); err != nil {
		return header{}, 0, err
	}
	h := header{entries: make(map[tag]headerEntry, n), store: data[16*n:]}
	for i := range n {
		b := data[16*i:]
		t := tag(binary.BigEndian.Uint32(b))
		if _, ok := h.entries[t]; ok {
			return header{}, 0, fmt.Errorf("%w: tag %d is there twice", errPackage, t)
		}
		h.entries[t] = headerEntry{kind: binary.BigEndian.Uint32(b[4:]), offset: binary.BigEndian.Uint32(b[8:]), count: binary.BigEndian.Uint32(b[12:])}
	}
	return h, end, nil
}

// readAt fills b: that the bytes lie within the file's size has been checked, so
// an end is the reader's failure.
func readAt(file io.ReaderAt, b []byte, at int64) error {
	if n, err := file.ReadAt(b, at); n < len(b) {
		return fmt.Errorf("cannot read the package at %d: %w", at, err)
	}
	return nil
}

func (h header) has(t tag) bool {
	_, ok := h.entries[t]
	return ok
}

// words gives the strings of an entry, or none.
func (h header) words(t tag) ([]string, error) {
	e, ok := h.entries[t]
	if !ok {
		return nil, nil
	}
	count := e.count
	switch e.kind {
	case typeString:
		count = 1
	case typeStringArray, typeI18N:
	default:
		return nil, fmt.Errorf("%w: tag %d is of type %d, not strings", errPackage, t, e.kind)
	}
	rest := h.store
	if int64(e.offset) > int64(len(rest)) || int64(count) > int64(len(rest)) { // each takes its NUL
		return nil, fmt.Errorf("%w: tag %d leads out of its header", errPackage, t)
	}
	rest = rest[e.offset:]
	out := make([]string, 0, min(int(count), len(rest)))
	for range count {
		i := bytes.IndexByte(rest, 0)
		if i < 0 {
			return nil, fmt.Errorf("%w: tag %d ends without a NUL", errPackage, t)
		}
		out = append(out, string(rest[:i]))
		rest = rest[i+1:]
	}
	return out, nil
}

// word gives the first string of an entry, or "". In a translated entry the
// first is the untranslated one.
func (h header) word(t tag) (string, error) {
	w, err := h.words(t)
	if err != nil || len(w) == 0 {
		return "", err
	}
	return w[0], nil
}

// numbers gives the numbers of an entry, or none.
func (h header) numbers(t tag) ([]uint64, error) {
	e, ok := h.entries[t]
	if !ok {
		return nil, nil
	}
	width := map[uint32]int64{typeInt16: 2, typeInt32: 4, typeInt64: 8}[e.kind]
	if width == 0 {
		return nil, fmt.Errorf("%w: tag %d is of type %d, not numbers", errPackage, t, e.kind)
	}
	end := int64(e.offset) + width*int64(e.count)
	if end > int64(len(h.store)) {
		return nil, fmt.Errorf("%w: tag %d leads out of its header", errPackage, t)
	}
	out := make([]uint64, e.count)
	for i := range out {
		b := h.store[int64(e.offset)+width*int64(i):]
		switch width {
		case 2:
			out[i] = uint64(binary.BigEndian.Uint16(b))
		case 4:
			out[i] = uint64(binary.BigEndian.Uint32(b))
		default:
			out[i] = binary.BigEndian.Uint64(b)
		}
	}
	return out, nil
}

// number gives the first number of an entry, or 0.
func (h header) number(t tag) (uint64, error) {
	n, err := h.numbers(t)
	if err != nil || len(n) == 0 {
		return 0, err
	}
	return n[0], nil
}
