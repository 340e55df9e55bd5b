package content

import (
	"archive/tar"
	"debug/elf"
	"encoding/binary"
	"errors"
	"io"
	"os"
	"path"
	"slices"

	"ingot/internal/fault"
)

// elfHead is where a program says which processors it is for (elf(5)): up to e_machine.
const elfHead = 20

// machineOf is what a program's first bytes say; of what is none, elf.EM_NONE.
func machineOf(head []byte) elf.Machine {
	if len(head) < elfHead || string(head[:4]) != elf.ELFMAG {
		return elf.EM_NONE
	}
	var order binary.ByteOrder = binary.LittleEndian
	if elf.Data(head[elf.EI_DATA]) == elf.ELFDATA2MSB {
		order = binary.BigEndian
	}
	return elf.Machine(order.Uint16(head[18:]))
}

// isProgram says whether an archive's file is where programs are.
func isProgram(h *tar.Header, name string) bool {
	return h.Typeflag == tar.TypeReg && h.Mode&0o111 != 0 && h.Size >= elfHead && slices.Contains([]string{"bin", "sbin", "usr/bin", "usr/sbin"}, path.Dir(name))
}

// program looks at one of an image's programs: the first that is no script says what the image
// is for.
func (s *scan) program(r io.Reader) error {
	head := make([]byte, elfHead)
	if _, err := io.ReadFull(r, head); err != nil {
		return err
	}
	s.machine = machineOf(head)
	return nil
}

// older are the processors whose programs others run too.
var older = map[elf.Machine]elf.Machine{elf.EM_X86_64: elf.EM_386, elf.EM_AARCH64: elf.EM_ARM}

// forThis refuses an image whose programs this machine does not run.
func (s *scan) forThis() error {
	f, err := os.Open("/proc/self/exe")
	if err != nil {
		return err
	}
	head := make([]byte, elfHead)
	_, err = io.ReadFull(f, head)
	if err := errors.Join(err, f.Close()); err != nil {
		return err
	}
	own := machineOf(head)
	if s.machine == elf.EM_NONE || own == elf.EM_NONE || s.machine == own || s.machine == older[own] {
		return nil
	}
	return fault.Newf(fault.Preflight, "it is for other machines: its programs are %s, and this one runs %s", s.machine, own).WithHint("take the image for this architecture")
}
