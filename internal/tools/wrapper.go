package tools

import (
	"debug/elf"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// Judges are the outside programs that ingot's tests hold its work against.
var Judges = Set{Name: "judges", Packages: []string{
	"7zip-standalone",
	"btrfs-progs",
	"busybox-static",
	"cpio",
	"cryptsetup-bin",
	"dosfstools",
	"e2fsprogs",
	"erofs-utils",
	"fdisk",
	"gdisk",
	"gpgv",
	"grub-common",
	"grub-efi-amd64-bin",
	"grub-pc-bin",
	"gzip",
	"libarchive-tools",
	"lvm2",
	"mtools",
	"openssl",
	"ovmf",
	"qemu-system-x86",
	"qemu-utils",
	"sbsigntool",
	"seabios",
	"shellcheck",
	"squashfs-tools",
	"syslinux",
	"systemd-boot-efi",
	"tar",
	"thin-provisioning-tools",
	"util-linux",
	"xen-utils-4.20",
	"xfsprogs",
	"xorriso",
	"xz-utils",
	"zstd",
}}

// Wrappers makes a directory of small scripts, one for each program of the tree,
// that run it as the tree's; for PATH. It returns the directory.
func (d Dir) Wrappers() (string, error) {
	dir := d.Path + ".bin"
	if _, err := os.Stat(filepath.Join(dir, ".whole")); err == nil {
		return dir, nil
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", fmt.Errorf("cannot make a directory of programs: %w", err)
	}
	// 7-Zip and Xen keep their programs aside, behind scripts of their names.
	for _, bin := range []string{"usr/bin", "usr/sbin", "usr/lib/7zip", "usr/lib/xen-4.20/bin"} {
		names, err := os.ReadDir(filepath.Join(d.Path, bin))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return "", fmt.Errorf("cannot list programs: %w", err)
		}
		for _, n := range names {
			if err := d.wrap(filepath.Join(d.Path, bin, n.Name()), filepath.Join(dir, n.Name())); err != nil {
				return "", err
			}
		}
	}
	return dir, os.WriteFile(filepath.Join(dir, ".whole"), nil, 0o644)
}

// wrap writes the script of one program. What is no program of this machine, such
// as a shell script, is left out.
func (d Dir) wrap(program, to string) error {
	f, err := elf.Open(program)
	if err != nil {
		return nil //nolint:nilerr // not an ELF file
	}
	static := true
	for _, p := range f.Progs {
		static = static && p.Type != elf.PT_INTERP
	}
	_ = f.Close()
	argv := []string{program}
	if !static {
		// A program such as mtools goes by the name that it was called with.
		argv = append(d.Loader(), "--argv0", filepath.Base(program), program)
	}
	args, env := d.data(filepath.Base(program))
	words := append(append(env, argv...), args...)
	if len(env) > 0 {
		words = append([]string{"env"}, words...)
	}
	for i, a := range words {
		words[i] = "'" + strings.ReplaceAll(a, "'", `'\''`) + "'"
	}
	script := "#!/bin/sh\nexec " + strings.Join(words, " ") + " \"$@\"\n"
	if err := os.WriteFile(to, []byte(script), 0o755); err != nil {
		return fmt.Errorf("cannot write a program's script: %w", err)
	}
	return nil
}

// data are the arguments and variables that tell a program where its files lie in
// the tree: what is compiled into it is for a tree at /.
func (d Dir) data(program string) (args, env []string) {
	if !strings.HasPrefix(program, "qemu-system-") {
		return nil, nil
	}
	for _, dir := range []string{"usr/share/qemu", "usr/share/seabios", "usr/lib/ipxe/qemu"} {
		args = append(args, "-L", filepath.Join(d.Path, dir))
	}
	if modules, _ := filepath.Glob(filepath.Join(d.Path, "usr/lib/*/qemu")); len(modules) > 0 {
		env = []string{"QEMU_MODULE_DIR=" + modules[0]}
	}
	return args, env
}
