package ext4

// NameHash gives the hash of names to tests.
func NameHash(seed []byte, name string) (hash, minor uint32) {
	var s [16]byte
	copy(s[:], seed)
	return newNameHash(s).of(name)
}
