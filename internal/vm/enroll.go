package vm

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"unicode/utf16"
)

// Firmware keeps its variables in flash, as a volume with a store in it (EDK II,
// VariableFormat.h). Under Secure Boot it starts what a key in the variable db has
// signed; who may change db is said by KEK and PK (UEFI specification 2.10, 32.3). A
// machine of a [Spec] that trusts a certificate has it in all three.

// Names of things in flash, as they lie there.
var (
	guidStore     = [16]byte{0x78, 0x2C, 0xF3, 0xAA, 0x7B, 0x94, 0x9A, 0x43, 0xA1, 0x80, 0x2E, 0x14, 0x4E, 0xC3, 0x77, 0x92} // with authentication
	guidGlobal    = [16]byte{0x61, 0xDF, 0xE4, 0x8B, 0xCA, 0x93, 0xD2, 0x11, 0xAA, 0x0D, 0x00, 0xE0, 0x98, 0x03, 0x2B, 0x8C}
	guidImages    = [16]byte{0xCB, 0xB2, 0x19, 0xD7, 0x3A, 0x3D, 0x96, 0x45, 0xA3, 0xBC, 0xDA, 0xD0, 0x0E, 0x67, 0x65, 0x6F} // of db
	guidEnable    = [16]byte{0xC7, 0x0B, 0xA3, 0xF0, 0x08, 0xAF, 0x56, 0x45, 0x99, 0xC4, 0x00, 0x10, 0x09, 0xC9, 0x3A, 0x44} // of SecureBootEnable
	guidX509      = [16]byte{0xA1, 0x59, 0xC0, 0xA5, 0xE4, 0x94, 0xA7, 0x4A, 0x87, 0xB5, 0xAB, 0x15, 0x5C, 0x2B, 0xF0, 0x72}
	guidOwner     = [16]byte{'i', 'n', 'g', 'o', 't', ' ', 'b', 'o', 'o', 't'}
	variableStart = []byte{0xAA, 0x55}
)

const (
	volumeLength   = 0x30 // u16 in the volume's header: its length
	storeHeader    = 28
	storeFormatted = 0x5A
	storeHealthy   = 0xFE
	variableHeader = 60
	variableThere  = 0x3F
	kept           = 0x03 // attributes: not volatile, for the firmware
	keptAtRuntime  = 0x07
	authenticated  = 0x27 // as keptAtRuntime, by time
)

// maxFlash bounds what a firmware's variables may take, in bytes.
const maxFlash = 16 << 20

// enrolled is [enroll] of a file.
func enrolled(flash io.Reader, certificate []byte) (io.Reader, error) {
	data, err := io.ReadAll(io.LimitReader(flash, maxFlash))
	if err != nil {
		return nil, fmt.Errorf("firmware: %w", err)
	}
	if data, err = enroll(data, certificate); err != nil {
		return nil, fmt.Errorf("firmware: %w", err)
	}
	return bytes.NewReader(data), nil
}

// enroll gives a store of variables in which Secure Boot is on, and a certificate (DER) is
// all that it trusts.
func enroll(flash, certificate []byte) ([]byte, error) {
	le := binary.LittleEndian
	bad := errors.New("the firmware's variables are not of a form that is known here")
	if len(flash) < 1<<12 || string(flash[0x28:0x2C]) != "_FVH" {
		return nil, bad
	}
	store := int(le.Uint16(flash[volumeLength:]))
	if store+storeHeader > len(flash) || !bytes.Equal(flash[store:store+16], guidStore[:]) || flash[store+20] != storeFormatted || flash[store+21] != storeHealthy {
		return nil, bad
	}
	end := store + int(min(le.Uint32(flash[store+16:]), uint32(len(flash))))
	at := store + storeHeader
	for at+variableHeader <= min(end, len(flash)) && bytes.Equal(flash[at:at+2], variableStart) {
		size := int64(variableHeader) + int64(le.Uint32(flash[at+36:])) + int64(le.Uint32(flash[at+40:]))
		if size > int64(len(flash)) {
			return nil, bad
		}
		at = align4(at + int(size))
	}
	entry := append(bytes.Clone(guidOwner[:]), certificate...)
	list := bytes.Clone(guidX509[:])
	list = le.AppendUint32(list, uint32(28+len(entry)))
	list = le.AppendUint32(list, 0)
	list = le.AppendUint32(list, uint32(len(entry)))
	list = append(list, entry...)
	out := bytes.Clone(flash)
	for _, v := range []struct {
		name       string
		guid       [16]byte
		attributes uint32
		data       []byte
	}{
		{"db", guidImages, authenticated, list},
		{"KEK", guidGlobal, authenticated, list},
		{"PK", guidGlobal, authenticated, list},
		{"SecureBootEnable", guidEnable, kept, []byte{1}},
	} {
		b := variable(v.name, v.guid, v.attributes, v.data)
		if at+len(b) > min(end, len(out)) {
			return nil, fmt.Errorf("the firmware's variables have no room for a certificate of %d bytes", len(certificate))
		}
		copy(out[at:], b)
		at = align4(at + len(b))
	}
	return out, nil
}

func align4(n int) int { return (n + 3) &^ 3 }

// variable is a variable as it lies in the store.
func variable(name string, guid [16]byte, attributes uint32, data []byte) []byte {
	le := binary.LittleEndian
	units := append(utf16.Encode([]rune(name)), 0)
	b := append(bytes.Clone(variableStart), variableThere, 0)
	b = le.AppendUint32(b, attributes)
	b = le.AppendUint64(b, 0) // a count that is no longer used
	stamp := make([]byte, 16) // EFI_TIME
	if attributes == authenticated {
		le.PutUint16(stamp, 2000)
		stamp[2], stamp[3] = 1, 1
	}
	b = append(b, stamp...)
	b = le.AppendUint32(b, 0)
	b = le.AppendUint32(b, uint32(2*len(units)))
	b = le.AppendUint32(b, uint32(len(data)))
	b = append(b, guid[:]...)
	for _, u := range units {
		b = le.AppendUint16(b, u)
	}
	return append(b, data...)
}
