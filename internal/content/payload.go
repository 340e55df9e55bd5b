package content

import (
	"archive/tar"
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"debug/elf"
	"errors"
	"fmt"
	"hash"
	"io"
	"os"
	"path"
	"strings"

	"github.com/klauspost/compress/zstd"
	"github.com/mikelolasagasti/xz"

	"ingot/internal/boot"
	"ingot/internal/digest"
	"ingot/internal/fault"
	"ingot/internal/input"
	"ingot/internal/rootfs"
	"ingot/internal/tree"
)

// A hashing reader hashes what is read of it.
type hashing struct {
	io.Reader
	h hash.Hash
}

func newHash(r io.Reader) *hashing {
	h := sha256.New()
	return &hashing{io.TeeReader(r, h), h}
}

func (h *hashing) sum() digest.Digest { return digest.From(h.h) }

// A Payload is the archive of a root file system, as a file: tar, or that compressed by zstd,
// gzip or xz.
type Payload struct {
	Path   string
	Digest digest.Digest // of the file
	Size   int64         // of the file
	Blocks int64         // bytes of the root file system, in blocks of 4096
	Start  int64         // bytes of the newest kernel with its initramfs
	Name   string        // NAME-VERSION-RELEASE, as the image says of itself, or ""
}

// maxImage bounds what a payload unpacks to, in bytes.
const maxImage = 1 << 40

// Open reads an archive to its end, and says what it is: what is not whole, is no archive, is for
// other machines, or has nothing to boot, is found here. Progress tells bytes of the file that were read.
func Open(ctx context.Context, name string, progress func(n int64)) (*Payload, error) {
	p := &Payload{Path: name}
	s := scan{sizes: map[string]int64{}, kernels: []tree.Entry{{Kind: tree.Dir}, {Path: "boot", Kind: tree.Dir}}}
	sum, size, err := p.each(ctx, progress, s.archive)
	if err != nil {
		return nil, err
	}
	p.Digest, p.Size, p.Blocks, p.Name = sum, size, s.blocks, s.name()
	t, err := tree.New(s.kernels)
	if err != nil {
		return nil, err
	}
	found := boot.Kernels(t)
	if len(found) == 0 || found[0].Initrd == "" {
		return nil, fault.Newf(fault.Failed, "%s has no kernel with an initramfs in /boot, so no layer of it could be booted", name).
			WithHint("build the output 'base'")
	}
	p.Start = s.sizes[found[0].Image] + s.sizes[found[0].Initrd]
	return p, nil
}

// each opens the file and gives its archive to a reader, then reads the rest.
func (p *Payload) each(ctx context.Context, progress func(n int64), use func(io.Reader) error) (digest.Digest, int64, error) {
	f, err := input.Open(p.Path)
	if err != nil {
		return digest.Digest{}, 0, fault.Newf(fault.NotFound, "image: %w", err)
	}
	defer f.Close()
	h := newHash(&counting{ctx, f, progress})
	size := int64(0)
	buffered := bufio.NewReaderSize(h, 1<<20)
	err = func() error {
		r, stop, err := decompress(buffered)
		if err != nil {
			return err
		}
		defer stop()
		if err := use(r); err != nil {
			return err
		}
		if _, err := io.Copy(io.Discard, r); err != nil { // to the archive's end: the compressor's checksum
			return err
		}
		_, err = io.Copy(io.Discard, buffered)
		return err
	}()
	if ctx.Err() != nil {
		return digest.Digest{}, 0, ctx.Err()
	}
	if err != nil {
		return digest.Digest{}, 0, fmt.Errorf("%s: %w", p.Path, err)
	}
	if info, err := f.Stat(); err == nil {
		size = info.Size()
	}
	return h.sum(), size, nil
}

// counting is a file whose reading is told and can be interrupted.
type counting struct {
	ctx  context.Context
	f    *os.File
	read func(int64)
}

func (c *counting) Read(b []byte) (int, error) {
	if err := c.ctx.Err(); err != nil {
		return 0, err
	}
	n, err := c.f.Read(b)
	c.read(int64(n))
	return n, err
}

// decompress finds out what an archive is compressed by.
func decompress(r *bufio.Reader) (io.Reader, func(), error) {
	head, _ := r.Peek(6) // a shorter file is none of them
	switch {
	case bytes.HasPrefix(head, []byte{0x28, 0xb5, 0x2f, 0xfd}): // RFC 8878
		d, err := zstd.NewReader(r, zstd.WithDecoderMaxWindow(128<<20))
		if err != nil {
			return nil, nil, err
		}
		return d, d.Close, nil
	case bytes.HasPrefix(head, []byte{0x1f, 0x8b}): // RFC 1952
		d, err := gzip.NewReader(r)
		return d, func() {}, err
	case bytes.HasPrefix(head, []byte("\xfd7zXZ\x00")):
		d, err := xz.NewReader(r, 0)
		return d, func() {}, err
	}
	return r, func() {}, nil
}

// A scan is what is asked of an archive before it is unpacked.
type scan struct {
	blocks  int64
	kernels []tree.Entry
	sizes   map[string]int64
	nvr     string // imgbased's own
	release string // os-release(5)
	system  bool
	machine elf.Machine // of its programs, where one was seen
}

const (
	nvrFile   = "usr/share/imgbase/build/meta/nvr"
	osRelease = "usr/lib/os-release"
	maxText   = 64 << 10
)

func (s *scan) archive(r io.Reader) error {
	t := tar.NewReader(r)
	for {
		h, err := t.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return fmt.Errorf("unreadable archive: %w", err)
		}
		name := strings.TrimPrefix(path.Clean("/"+h.Name), "/")
		if s.blocks += (h.Size+4095)&^4095 + 512; s.blocks > maxImage {
			return fmt.Errorf("it unpacks to more than %d bytes", int64(maxImage))
		}
		switch {
		case h.Typeflag == tar.TypeReg && path.Dir(name) == "boot":
			s.kernels = append(s.kernels, tree.Entry{Path: name, Kind: tree.File})
			s.sizes[name] = h.Size
		case s.machine == elf.EM_NONE && isProgram(h, name):
			if err := s.program(t); err != nil {
				return err
			}
		case name == "sbin", name == "usr/sbin", name == "etc":
			s.system = true
		case name == nvrFile || name == osRelease:
			if h.Typeflag != tar.TypeReg || h.Size > maxText {
				continue
			}
			text, err := io.ReadAll(t)
			if err != nil {
				return err
			}
			if name == nvrFile {
				s.nvr = strings.TrimSpace(string(text))
			} else {
				s.release = string(text)
			}
		}
	}
	if !s.system {
		return fault.Newf(fault.Failed, "it is no archive of a root file system").WithHint("build the output 'base'")
	}
	return s.forThis()
}

// name is what the image says that it is called: imgbased's name, else os-release(5)'s
// IMAGE_ID and IMAGE_VERSION.
func (s *scan) name() string {
	if s.nvr != "" {
		return s.nvr
	}
	v := variables(s.release)
	if v["IMAGE_ID"] == "" || v["IMAGE_VERSION"] == "" {
		return ""
	}
	return v["IMAGE_ID"] + "-" + strings.ReplaceAll(v["IMAGE_VERSION"], "-", ".") + "-1"
}

// variables reads os-release(5).
func variables(text string) map[string]string {
	out := map[string]string{}
	for line := range strings.Lines(text) {
		if key, v, ok := strings.Cut(strings.TrimSpace(line), "="); ok && !strings.HasPrefix(key, "#") {
			out[key] = strings.Trim(v, `"'`)
		}
	}
	return out
}

// Fill unpacks the archive. It must be the file that was opened.
func (p *Payload) Fill(ctx context.Context, root *os.Root, progress func(n int64)) error {
	sum, _, err := p.each(ctx, progress, func(r io.Reader) error {
		return rootfs.Unpack(root, r, rootfs.Options{Devices: true, Owners: true})
	})
	if err != nil {
		return err
	}
	if sum != p.Digest {
		return fault.Newf(fault.Verification, "%s is another file than the one that was verified", p.Path)
	}
	return nil
}
