package vm

import (
	"bytes"
	"encoding/binary"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"ingot/internal/fault"
	"ingot/internal/judge"
)

// header is a qcow2 header with a change.
func header(change func(b []byte)) []byte {
	b := overlayHeader(1 << 30)[:1024]
	if change != nil {
		change(b)
	}
	return b
}

func TestOpenImage(t *testing.T) {
	be := binary.BigEndian
	boot := make([]byte, 1024)
	boot[510], boot[511] = 0x55, 0xaa
	iso := make([]byte, headSize)
	copy(iso[isoAt:], "CD001")
	for _, row := range []struct {
		name    string
		content []byte
		format  Format
		want    string // format and size, or the error
		code    fault.Code
	}{
		{"qcow2", header(nil), "", "qcow2 1073741824", 0},
		{"raw", boot, "", "raw 1024", 0},
		{"ISO image", iso, "", "raw 34816", 0},
		{"ISO image cut short", iso[:headSize-512], "", "neither of a format that is known here nor a disk with a boot sector", fault.Usage},
		{"raw that is said to be", make([]byte, 512), Raw, "raw 512", 0},
		{"neither", make([]byte, 512), "", "neither of a format that is known here nor a disk with a boot sector", fault.Usage},
		{"empty", nil, "", "neither of a format that is known here nor a disk with a boot sector", fault.Usage},
		{"raw cut short", boot[:1000], "", "1000 bytes are no whole number of sectors", fault.Usage},
		{"qcow2 cut short", header(nil)[:80], "", "no whole qcow2 header", fault.Usage},
		{"backing file", header(func(b []byte) { be.PutUint64(b[8:], 512) }), "", "qcow2 has a backing file: not supported", fault.Usage},
		{"data file", header(func(b []byte) { be.PutUint64(b[72:], 4) }), "", "qcow2 has an external data file: not supported", fault.Usage},
		{"encrypted", header(func(b []byte) { be.PutUint32(b[32:], 2) }), "", "qcow2 is encrypted: not supported", fault.Usage},
		{"version", header(func(b []byte) { be.PutUint32(b[4:], 4) }), "", "qcow2 of version 4: not supported", fault.Usage},
		{"huge", header(func(b []byte) { be.PutUint64(b[24:], 1<<63) }), "", "qcow2 of 9223372036854775808 bytes: not supported", fault.Usage},
		{"not what it is said to be", boot, Qcow2, "no qcow2 header", fault.Usage},
		{"unknown format", boot, "qed", `format "qed": not supported`, fault.Usage},
		{"vmdk that is a descriptor", append([]byte("KDMV"), make([]byte, 600)...), "", "vmdk of 0 bytes: not supported", fault.Usage},
		{"vhd of differences", footer(4), "", "vhd of type 4: not supported", fault.Usage},
		{"vhdx cut short", append([]byte("vhdxfile"), make([]byte, 600)...), "", "no region table of a vhdx", fault.Usage},
	} {
		t.Run(row.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "disk")
			if err := os.WriteFile(path, row.content, 0o600); err != nil {
				t.Fatal(err)
			}
			img, err := openImage(Disk{Path: path, Format: row.format})
			if err != nil {
				if want := "disk " + path + ": " + row.want; err.Error() != want || fault.CodeOf(err) != row.code {
					t.Errorf("error is %v, code %d; want %s, %d", err, fault.CodeOf(err), want, row.code)
				}
				return
			}
			defer img.file.Close()
			var size strings.Builder
			size.WriteString(string(img.format))
			if row.want != size.String()+" "+itoa(img.size) {
				t.Errorf("got %s %d, want %s", img.format, img.size, row.want)
			}
		})
	}
	if _, err := openImage(Disk{Path: t.TempDir()}); fault.CodeOf(err) != fault.Usage {
		t.Errorf("a directory: %v", err)
	}
	if _, err := openImage(Disk{Path: t.TempDir() + "/none"}); fault.CodeOf(err) != fault.NotFound {
		t.Errorf("no file: %v", err)
	}
}

// qemu-img is the judge of the overlay.
func TestOverlayIsSound(t *testing.T) {
	tool, err := exec.LookPath("qemu-img")
	if err != nil {
		t.Skip("qemu-img judges this: ./test.sh brings it, or the package qemu-utils")
	}
	for _, size := range []int64{512, 1 << 20, perL1, perL1 + 512, 5 << 40, maxDisk} {
		path := filepath.Join(t.TempDir(), "overlay.qcow2")
		if err := os.WriteFile(path, overlayHeader(size), 0o600); err != nil {
			t.Fatal(err)
		}
		for _, args := range [][]string{{"check", path}, {"info", path}} {
			out, err := exec.CommandContext(t.Context(), tool, args...).CombinedOutput()
			if err != nil {
				t.Errorf("%d bytes: %v: %v\n%s", size, args, err, out)
			}
			if args[0] == "info" && !strings.Contains(string(out), "("+itoa(size)+" bytes)") {
				t.Errorf("%d bytes: qemu-img says\n%s", size, out)
			}
		}
	}
}

func TestMedium(t *testing.T) {
	iso := make([]byte, headSize)
	copy(iso[isoAt:], "CD001")
	for _, row := range []struct {
		content []byte
		as      Medium
		want    Medium
	}{
		{iso, "", CD},
		{iso, USB, USB},
		{iso, HardDisk, HardDisk},
		{header(nil), "", HardDisk},
		{header(nil), USB, USB},
	} {
		path := filepath.Join(t.TempDir(), "file")
		if err := os.WriteFile(path, row.content, 0o600); err != nil {
			t.Fatal(err)
		}
		img, err := openImage(Disk{Path: path, As: row.as})
		if err != nil {
			t.Fatal(err)
		}
		if img.as != row.want {
			t.Errorf("%.4q as %q is %q, want %q", row.content, row.as, img.as, row.want)
		}
		if err := img.file.Close(); err != nil {
			t.Error(err)
		}
	}
}

// footer is a VHD's, of a type.
func footer(kind byte) []byte {
	b := make([]byte, 512)
	copy(b, "conectix")
	b[63] = kind
	return b
}

// qemu-img makes what other hypervisors have; the formats are known by their content.
func TestForeignDisks(t *testing.T) {
	for _, row := range []struct {
		format  Format
		options string
	}{
		{VMDK, "subformat=monolithicSparse"}, {VMDK, "subformat=streamOptimized"}, {VHD, "subformat=dynamic,force_size=on"}, {VHD, "subformat=fixed,force_size=on"},
		{VHDX, "subformat=dynamic"}, {VHDX, "subformat=fixed"}, {VDI, "static=off"},
	} {
		path := filepath.Join(t.TempDir(), "disk")
		judge.Run(t, "qemu-img", "create", "-q", "-f", string(row.format), "-o", row.options, path, "117M")
		img, err := openImage(Disk{Path: path})
		if err != nil {
			t.Errorf("%s %s: %v", row.format, row.options, err)
			continue
		}
		img.file.Close()
		if img.format != row.format || img.size != 117<<20 {
			t.Errorf("%s %s is taken for a %s of %d bytes", row.format, row.options, img.format, img.size)
		}
	}
}

func FuzzForeignSize(f *testing.F) {
	f.Add([]byte("KDMV"))
	f.Add(footer(2))
	region := make([]byte, 512<<10)
	copy(region, "vhdxfile")
	copy(region[192<<10:], "regi\x00\x00\x00\x00\x01")
	copy(region[192<<10+16:], vhdxMetadata)
	f.Add(region)
	f.Fuzz(func(t *testing.T, b []byte) {
		for _, format := range []Format{VMDK, VHD, VHDX, VDI} {
			size, err := sizeOf(format, bytes.NewReader(b), b[:min(len(b), 1024)])
			if err == nil && (size <= 0 || size > maxDisk || size%512 != 0) {
				t.Fatalf("%s: a disk of %d bytes", format, size)
			}
		}
	})
}

func FuzzQcow2Size(f *testing.F) {
	f.Add(header(nil))
	f.Add(header(nil)[:72])
	f.Add([]byte("QFI\xfb"))
	f.Fuzz(func(t *testing.T, b []byte) {
		size, err := qcow2Size(b[:min(len(b), 1024)])
		if err == nil && (size <= 0 || size > maxDisk || size%512 != 0) {
			t.Fatalf("a disk of %d bytes", size)
		}
	})
}
