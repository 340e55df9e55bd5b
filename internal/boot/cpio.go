package boot

import "fmt"

// cpio is an archive as kernels take it for an initramfs: a directory and a file in
// it (Linux, Documentation/driver-api/early-userspace/buffer-format.rst).
func cpio(dir, file, text string) []byte {
	var b []byte
	pad := func() {
		for len(b)%4 != 0 {
			b = append(b, 0)
		}
	}
	entry := func(name string, mode, links int, data string) {
		b = append(b, "070701"...)
		for _, v := range []int{0, mode, 0, 0, links, 0, len(data), 0, 0, 0, 0, len(name) + 1, 0} {
			b = fmt.Appendf(b, "%08X", v)
		}
		b = append(append(b, name...), 0)
		pad()
		b = append(b, data...)
		pad()
	}
	entry(dir, 0o40755, 2, "")
	entry(file, 0o100644, 1, text)
	entry("TRAILER!!!", 0, 1, "")
	return b
}
