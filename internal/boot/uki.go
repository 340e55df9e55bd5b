package boot

import (
	"context"
	"fmt"
	"io"
	"strings"

	"ingot/internal/fat"
	"ingot/internal/pe"
)

// A unified kernel image is one program of UEFI that holds all that a boot needs: a stub
// of systemd's, and in its sections the kernel, its initramfs and command line, and what
// system they are of (UAPI group, Unified Kernel Image). One signature covers them all.
// They lie in EFI/Linux on the EFI system partition, where systemd-boot finds them (Boot
// Loader Specification, type #2), and systemd-boot stands in front, so that an image may
// have more than one and updates may add others.
//
// What updates add: where the image has ukify, kernel-install makes unified images of new
// kernels; elsewhere it writes entries of type #1, as for a plain systemd-boot. An image
// with signatures gets neither: nothing in the machine could sign, and a firmware that
// asks for signatures would start nothing any more. Such an image is replaced as a whole.
//
// systemd-boot sorts by a key, then by version, and takes a unified image's from its
// .osrel, IMAGE_ID and IMAGE_VERSION. The key here sorts behind the distribution's own
// name, which is what updates get: so the first entry is the newest of an update's, if
// there is any.

// UkifyPath is the program that makes unified kernel images in a machine.
const UkifyPath = "usr/bin/ukify"

// ukiInstall has kernel-install do for unified images what can be done.
func (p Params) ukiInstall() string {
	switch {
	case p.Signed:
		return "layout=other\n"
	case p.Ukify:
		return "layout=uki\nuki_generator=ukify\n"
	}
	return bls
}

// UKI gives unified kernel images with systemd-boot in front of them: what the EFI system
// partition holds. A signer, if there is one, signs all of them.
func UKI(ctx context.Context, p Params, c Contents, signer *pe.Signer) (Loader, error) {
	l, err := p.systemdBoot(c)
	if err != nil {
		return l, err
	}
	if signer != nil {
		for i, f := range l.esp {
			if strings.HasSuffix(strings.ToLower(f.Path), ".efi") {
				if l.esp[i], err = signedFile(ctx, f, signer); err != nil {
					return l, err
				}
			}
		}
	}
	token, err := p.entryToken()
	if err != nil {
		return l, err
	}
	line, err := p.commandLine()
	if err != nil {
		return l, err
	}
	name := "usr/lib/systemd/boot/efi/linux" + arches[p.Arch].efi + ".efi.stub"
	data, err := readFile(c, name)
	if err != nil {
		return l, fmt.Errorf("boot: the stub of unified kernel images is missing: %w", err)
	}
	stub, err := pe.Parse(data)
	if err != nil {
		return l, fmt.Errorf("boot: /%s: %w", name, err)
	}
	for _, k := range p.Kernels {
		im, err := p.unified(stub, k, token, line, c)
		if err == nil && signer != nil {
			im, err = im.Sign(ctx, signer)
		}
		if err != nil {
			return l, fmt.Errorf("boot: a unified image of kernel %s: %w", k.Version, err)
		}
		l.esp = append(l.esp, fat.File{Path: "EFI/Linux/" + token + "-" + k.Version + ".efi", Size: im.Size(), Open: im.Open})
		if !p.Signed {
			l.room = max(l.room, kernelsToCome*im.Size())
		}
	}
	return l, nil
}

// sbat says which generation of such images this is, for who revokes them (shim's
// SBAT.md); systemd's newer stubs say it themselves.
const sbat = "sbat,1,SBAT Version,sbat,1,https://github.com/rhboot/shim/blob/main/SBAT.md\nuki,1,UKI,uki,1,https://uapi-group.org/specifications/specs/unified_kernel_image/\n"

// unified is the image of one kernel.
func (p Params) unified(stub *pe.Image, k Kernel, token, line string, c Contents) (*pe.Image, error) {
	release := p.Release
	if release != "" && !strings.HasSuffix(release, "\n") {
		release += "\n"
	}
	release += fmt.Sprintf("IMAGE_ID=%s-uki\nIMAGE_VERSION=%s\n", token, k.Version)
	sections := []pe.Section{
		{Name: ".osrel", Data: []byte(release)},
		{Name: ".cmdline", Data: []byte(line)},
		{Name: ".uname", Data: []byte(k.Version)},
	}
	if !stub.Has(".sbat") {
		sections = append(sections, pe.Section{Name: ".sbat", Data: []byte(sbat)})
	}
	streamed := func(name, path string) (pe.Section, error) {
		r, err := c.Open(path)
		if err != nil {
			return pe.Section{}, err
		}
		return pe.Section{Name: name, Size: r.Size(), Open: func() (io.Reader, error) { return c.Open(path) }}, nil
	}
	if k.Initrd != "" {
		initrd, err := streamed(".initrd", k.Initrd)
		if err != nil {
			return nil, err
		}
		sections = append(sections, initrd)
	}
	// The kernel stands last: a stub may start it where it lies, and it then takes more
	// room than it has in the file.
	linux, err := streamed(".linux", k.Image)
	if err != nil {
		return nil, err
	}
	data, err := readFile(c, k.Image)
	if err != nil {
		return nil, err
	}
	program, err := pe.Parse(data)
	if err != nil {
		return nil, fmt.Errorf("/%s is no kernel that UEFI can start: %w", k.Image, err)
	}
	linux.Memory, linux.Code = program.ImageSize(), true
	return stub.Append(append(sections, linux)...)
}

// signedFile is a program with a signature.
func signedFile(ctx context.Context, f fat.File, signer *pe.Signer) (fat.File, error) {
	im, err := pe.Parse(f.Data)
	if err == nil {
		im, err = im.Sign(ctx, signer)
	}
	if err != nil {
		return f, fmt.Errorf("boot: %s: %w", f.Path, err)
	}
	return fat.File{Path: f.Path, Size: im.Size(), Open: im.Open}, nil
}
