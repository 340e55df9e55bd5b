package boot

import (
	"bytes"
	"encoding/gob"

	"ingot/internal/fat"
)

// kept is a Loader in the form that a cache keeps.
type kept struct {
	BootImage, CD, Core []byte
	ESP                 []fat.File
	Extlinux            *keptExtlinux
}

// keptExtlinux is an Extlinux in that form.
type keptExtlinux struct {
	Sector, System, Module, GPT, MBR []byte
	Home, InTree                     string
}

// GobEncode lets a cache keep a Loader.
func (l Loader) GobEncode() ([]byte, error) {
	k := kept{BootImage: l.bootImage, CD: l.cd, Core: l.core, ESP: l.esp}
	if x := l.ext; x != nil {
		k.Extlinux = &keptExtlinux{x.sector, x.system, x.module, x.gpt, x.mbr, x.home, x.inTree}
	}
	var b bytes.Buffer
	err := gob.NewEncoder(&b).Encode(k)
	return b.Bytes(), err
}

// GobDecode reads what GobEncode wrote.
func (l *Loader) GobDecode(data []byte) error {
	var k kept
	if err := gob.NewDecoder(bytes.NewReader(data)).Decode(&k); err != nil {
		return err
	}
	*l = Loader{bootImage: k.BootImage, cd: k.CD, core: k.Core, esp: k.ESP}
	if x := k.Extlinux; x != nil {
		l.ext = &Extlinux{sector: x.Sector, system: x.System, module: x.Module, gpt: x.GPT, mbr: x.MBR, home: x.Home, inTree: x.InTree}
		return l.ext.find()
	}
	return nil
}
