package luks

import (
	"crypto/aes"
	"fmt"
	"io"
	"slices"
	"sync"

	"golang.org/x/crypto/xts"

	"ingot/internal/disk"
)

// A Payload encrypts what is written to a container. Writes begin and end at whole
// sectors and may come from several goroutines.
type Payload struct {
	to     io.WriterAt
	sector int64
	cipher *xts.Cipher

	mu      sync.Mutex
	written []disk.Extent // in order, apart
}

// Payload is the container's payload, encrypted into to, whose offset 0 is the
// payload's own.
func (c *Container) Payload(to io.WriterAt) (*Payload, error) {
	x, err := xts.NewCipher(aes.NewCipher, c.key)
	if err != nil {
		return nil, fmt.Errorf("luks: %w", err)
	}
	return &Payload{to: to, sector: int64(c.sector), cipher: x}, nil
}

// chunk is how many bytes are encrypted and written at once.
const chunk = 256 << 10

var buffers = sync.Pool{New: func() any { return new([chunk]byte) }}

// WriteAt encrypts and writes.
func (p *Payload) WriteAt(b []byte, off int64) (int, error) {
	if off < 0 || off%p.sector != 0 || int64(len(b))%p.sector != 0 {
		return 0, fmt.Errorf("luks: %d bytes at %d are not whole sectors of %d", len(b), off, p.sector)
	}
	buf, _ := buffers.Get().(*[chunk]byte)
	defer buffers.Put(buf)
	done := 0
	for done < len(b) {
		n := min(len(b)-done, chunk)
		for i := 0; i < n; i += int(p.sector) {
			at := off + int64(done+i)
			// A sector's number counts 512 bytes, whatever its size.
			p.cipher.Encrypt(buf[i:i+int(p.sector)], b[done+i:done+i+int(p.sector)], uint64(at/512))
		}
		m, err := p.to.WriteAt(buf[:n], off+int64(done))
		done += m
		if err != nil {
			return done, err
		}
	}
	p.note(disk.Extent{Off: off, Len: int64(len(b))})
	return done, nil
}

// note remembers what was written.
func (p *Payload) note(e disk.Extent) {
	if e.Len == 0 {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	i, _ := slices.BinarySearchFunc(p.written, e.Off, func(w disk.Extent, off int64) int {
		if w.End() < off {
			return -1
		}
		return 1
	})
	j := i
	for j < len(p.written) && p.written[j].Off <= e.End() {
		end := max(e.End(), p.written[j].End())
		e.Off = min(e.Off, p.written[j].Off)
		e.Len = end - e.Off
		j++
	}
	p.written = slices.Replace(p.written, i, j, e)
}

// Fill encrypts zeros wherever nothing was written within the extents: what wrote there
// counted on a device that reads as zero, and this one reads as noise.
func (p *Payload) Fill(extents []disk.Extent) error {
	zeros := make([]byte, chunk)
	for _, e := range disk.Round(extents, p.sector) {
		for at := e.Off; at < e.End(); {
			i, _ := slices.BinarySearchFunc(p.written, at, func(w disk.Extent, off int64) int {
				if w.End() <= off {
					return -1
				}
				return 1
			})
			end := e.End()
			if i < len(p.written) {
				if p.written[i].Off <= at {
					at = p.written[i].End()
					continue
				}
				end = min(end, p.written[i].Off)
			}
			n := min(end-at, chunk)
			if _, err := p.WriteAt(zeros[:n], at); err != nil {
				return err
			}
			at += n
		}
	}
	return nil
}
