package disk

// AppendGUID appends an identifier as the formats of Microsoft and VirtualBox keep
// it: the first three fields little endian, the rest as it is written as text.
func AppendGUID(b []byte, id [16]byte) []byte {
	b = append(b, id[3], id[2], id[1], id[0], id[5], id[4], id[7], id[6])
	return append(b, id[8:]...)
}
