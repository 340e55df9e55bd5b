package vm

import (
	"context"
	"os"
	"path/filepath"
	"testing"

	"ingot/internal/disk"
	"ingot/internal/qcow2"
)

func TestFirmwareOf(t *testing.T) {
	const size = 1 << 20
	sectors := func(sector int, code byte) []byte {
		b := make([]byte, size)
		b[0], b[510], b[511] = code, 0x55, 0xaa
		if sector > 0 {
			copy(b[sector:], "EFI PART")
		}
		return b
	}
	iso := sectors(512, 0)
	copy(iso[isoAt:], isoMagic)
	for _, c := range []struct {
		name string
		disk []byte
		want Firmware
	}{
		{"a GPT with a program", sectors(512, 0xeb), BIOS},
		{"a GPT without one", sectors(512, 0), UEFI},
		{"an MBR", sectors(0, 0xeb), BIOS},
		{"an MBR without a program", sectors(0, 0), BIOS},
		{"large sectors", sectors(4096, 0), UEFI},
		{"an iso", iso, BIOS},
	} {
		t.Run(c.name, func(t *testing.T) {
			raw := filepath.Join(t.TempDir(), "disk")
			if err := os.WriteFile(raw, c.disk, 0o600); err != nil {
				t.Fatal(err)
			}
			if got := FirmwareOf(Disk{Path: raw}); got != c.want {
				t.Errorf("raw starts by %s, want %s", got, c.want)
			}
			if c.name == "an iso" {
				return
			}
			for _, compression := range []qcow2.Compression{qcow2.None, qcow2.Zlib, qcow2.Zstd} {
				if got := FirmwareOf(Disk{Path: packed(t, c.disk, compression)}); got != c.want {
					t.Errorf("a qcow2 of compression %d starts by %s, want %s", compression, got, c.want)
				}
			}
		})
	}
	if got := FirmwareOf(Disk{Path: "nothing"}); got != BIOS {
		t.Errorf("what is not there starts by %s", got)
	}
}

// packed is a qcow2 of a disk.
func packed(t *testing.T, content []byte, compression qcow2.Compression) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "disk.qcow2")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	im, err := qcow2.Create(f, int64(len(content)), []disk.Extent{{Len: int64(len(content))}}, qcow2.Options{Compression: compression})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := im.WriteAt(content, 0); err != nil {
		t.Fatal(err)
	}
	if err := im.Finish(context.Background()); err != nil {
		t.Fatal(err)
	}
	return path
}

// What a stranger's qcow2 says of its tables ends in no panic.
func FuzzFirmwareOf(f *testing.F) {
	f.Add(header(func([]byte) {}))
	f.Fuzz(func(t *testing.T, b []byte) {
		path := filepath.Join(t.TempDir(), "disk")
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
		FirmwareOf(Disk{Path: path})
	})
}
