package boot

import (
	"bytes"
	"context"
	"encoding/binary"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"ingot/internal/judge"
)

func madeExtlinux(t *testing.T) *Extlinux {
	t.Helper()
	judge.Path(t, "syslinux")
	l, err := MakeLoader(t.Context(), judge.Tools{T: t}, LoaderOptions{Arch: "amd64", Loader: Syslinux, Places: Places{BootDir: "/boot"}})
	if err != nil {
		t.Fatal(err)
	}
	return l.Extlinux()
}

// Told the places that syslinux itself found for its files, ingot writes what syslinux
// wrote.
func TestExtlinuxAsSyslinux(t *testing.T) {
	x := madeExtlinux(t)
	le := binary.LittleEndian
	p := x.patches
	sectors := []int64{int64(le.Uint32(x.sector[p.First0:]))}
	for list := x.system[p.Sectors:]; le.Uint16(list[8:]) > 0; list = list[extentSize:] {
		for i := range int64(le.Uint16(list[8:])) {
			sectors = append(sectors, int64(le.Uint64(list))+i)
		}
	}
	for i := range 2 {
		sectors = append(sectors, int64(le.Uint64(x.system[int(p.Aux)+8*i:])))
	}
	x.home = ""
	sector, system, err := x.Install(sectors, 2048)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(system, x.system) {
		t.Error("ldlinux.sys is another")
	}
	if !bytes.Equal(sector[:bytesPerSector], x.sector[:bytesPerSector]) || !bytes.Equal(sector[sectorCode:], x.sector[sectorCode:]) {
		t.Error("the code of the first sector is another")
	}
	if got := le.Uint32(sector[hiddenSectors:]); got != 2048 {
		t.Errorf("%d sectors are in front of the partition", got)
	}
	// In pieces.
	for i := range sectors {
		sectors[i] = 5000 + int64(i) + int64(i/8)*100
	}
	x.home = "/boot/extlinux"
	if _, system, err = x.Install(sectors, 2048); err != nil {
		t.Fatal(err)
	}
	if got := le.Uint64(system[p.Sectors:]); got != 5001 || le.Uint16(system[p.Sectors+8:]) != 7 || le.Uint64(system[p.Sectors+10:]) != 5108 || le.Uint16(system[p.Sectors+18:]) != 8 {
		t.Errorf("pieces are %x", system[p.Sectors:][:30])
	}
	if !bytes.HasPrefix(system[p.Dir:], []byte("/boot/extlinux\x00")) || sum(system, p.area) != le.Uint32(system[p.area+patchSum:]) {
		t.Error("the directory or the checksum is wrong")
	}
	if _, _, err := x.Install(sectors[1:], 2048); err == nil {
		t.Error("too few sectors are enough")
	}
	x.home = strings.Repeat("x", 256)
	if _, _, err := x.Install(sectors, 2048); err == nil {
		t.Error("a directory of 256 bytes is taken")
	}
	// A cache keeps it.
	kept, err := Loader{ext: madeExtlinux(t)}.GobEncode()
	if err != nil {
		t.Fatal(err)
	}
	var l Loader
	if err := l.GobDecode(kept); err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(madeExtlinux(t), l.Extlinux(), cmp.AllowUnexported(Extlinux{}, extPatches{})); d != "" {
		t.Errorf("from a cache (-made +kept):\n%s", d)
	}
}

// spoilt gives a system file with other bytes.
type spoilt struct {
	judge.Tools
	spoil func([]byte) []byte
}

func (s spoilt) Run(ctx context.Context, argv []string, stdin []byte, inputs map[string][]byte, outputs []string) (map[string][]byte, error) {
	out, err := s.Tools.Run(ctx, argv, stdin, inputs, outputs)
	if data, ok := out["ldlinux.sys"]; ok {
		out["ldlinux.sys"] = s.spoil(data)
	}
	return out, err
}

func TestExtlinuxRefusesOthers(t *testing.T) {
	x := madeExtlinux(t)
	for summary, spoil := range map[string]func([]byte) []byte{
		"empty":     func([]byte) []byte { return nil },
		"cut off":   func(b []byte) []byte { return b[:1024] },
		"no magic":  func(b []byte) []byte { b[x.patches.area] = 0; return b },
		"other sum": func(b []byte) []byte { b[x.patches.area+patchSum]++; return b },
		"far":       func(b []byte) []byte { b[x.patches.area+patchExtended+1] = 0xFF; return b },
	} {
		_, err := MakeLoader(t.Context(), spoilt{judge.Tools{T: t}, spoil}, LoaderOptions{Arch: "amd64", Loader: Syslinux})
		if err == nil || !strings.Contains(err.Error(), "not of a Syslinux") {
			t.Errorf("%s: %v", summary, err)
		}
	}
}

func TestExtlinuxFiles(t *testing.T) {
	p := params()
	p.Loader, p.Timeout, p.Arguments = Syslinux, 2, []string{"quiet"}
	files, err := Files(p)
	if err != nil {
		t.Fatal(err)
	}
	want := `boot/extlinux/ 755
boot/extlinux/extlinux.conf 644
SERIAL 0 115200
DEFAULT linux
PROMPT 1
TIMEOUT 20
LABEL linux
  MENU LABEL Debian GNU/Linux 12
  LINUX /boot/vmlinuz
  APPEND root=UUID=9c2b3f30-2ed2-8679-99a3-30743c848fdc ro console=tty0 console=ttyS0,115200 quiet
  INITRD /boot/initrd.img
boot/vmlinuz -> vmlinuz-6.1.0-50-cloud-amd64
boot/initrd.img -> initrd.img-6.1.0-50-cloud-amd64
`
	if d := cmp.Diff(want, text(files, "boot/")); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
	p.Places.BootDir, p.Timeout, p.Console, p.Kernels = "", 0, "tty0", kernels[1:]
	if files, err = Files(p); err != nil {
		t.Fatal(err)
	}
	want = `boot/extlinux/extlinux.conf 644
DEFAULT linux
PROMPT 0
TIMEOUT 0
LABEL linux
  MENU LABEL Debian GNU/Linux 12
  LINUX /vmlinuz
  APPEND root=UUID=9c2b3f30-2ed2-8679-99a3-30743c848fdc ro console=tty0 quiet
boot/vmlinuz -> vmlinuz-6.1.0-9-amd64
`
	if d := cmp.Diff(want, text(files, "boot/extlinux/extlinux.conf")+text(files, "boot/vmlinuz")); d != "" {
		t.Errorf("/boot of its own (-want +got):\n%s", d)
	}
}
