package debian

import (
	_ "embed"

	"ingot/internal/sign"
)

//go:embed keys/debian-archive-keyring.pgp
var archiveKeys []byte

// ArchiveKeys is the built-in keyring: the keys that Debian signs its archives
// with, those of bullseye, bookworm and trixie, of their security archives and their
// stable releases. keys/README.md says where they come from.
func ArchiveKeys() (*sign.Keyring, error) {
	return sign.ReadKeyring("of Debian (built in)", archiveKeys)
}
