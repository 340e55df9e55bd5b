package boot

import (
	"bytes"
	"encoding/gob"

	"ingot/internal/fat"
)

// kept is a GRUB in the form that a cache keeps.
type kept struct {
	BootImage, CD, Core []byte
	ESP                 []fat.File
}

// GobEncode lets a cache keep a Loader.
func (l Loader) GobEncode() ([]byte, error) {
	var b bytes.Buffer
	err := gob.NewEncoder(&b).Encode(kept{l.bootImage, l.cd, l.core, l.esp})
	return b.Bytes(), err
}

// GobDecode reads what GobEncode wrote.
func (l *Loader) GobDecode(data []byte) error {
	var k kept
	if err := gob.NewDecoder(bytes.NewReader(data)).Decode(&k); err != nil {
		return err
	}
	*l = Loader{bootImage: k.BootImage, cd: k.CD, core: k.Core, esp: k.ESP}
	return nil
}
