package squashfs

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"sync"

	"github.com/klauspost/compress/zlib"
	"github.com/klauspost/compress/zstd"
)

// A codec compresses blocks. It is used by several goroutines at a time.
type codec struct {
	id       uint16 // the superblock's
	compress func(to, data []byte) ([]byte, error)
}

func codecOf(name string) (codec, error) {
	switch name {
	case "gzip":
		var writers sync.Pool
		return codec{1, func(to, data []byte) ([]byte, error) {
			b := bytes.NewBuffer(to)
			w, ok := writers.Get().(*zlib.Writer)
			if ok {
				w.Reset(b)
			} else {
				w = zlib.NewWriter(b)
			}
			_, err := w.Write(data)
			if err == nil {
				err = w.Close()
			}
			writers.Put(w)
			return b.Bytes(), err
		}}, nil
	case "zstd":
		// A reader's window is as large as a block.
		e, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedBetterCompression), zstd.WithWindowSize(blockSize), zstd.WithEncoderCRC(false), zstd.WithSingleSegment(true))
		if err != nil {
			return codec{}, err
		}
		return codec{6, func(to, data []byte) ([]byte, error) { return e.EncodeAll(data, to), nil }}, nil
	}
	return codec{}, fmt.Errorf("squashfs: no compression %q", name)
}

// block compresses a block of data, unless it is smaller as it is. The size is as
// the format writes it.
func (c codec) block(data []byte) ([]byte, uint32, error) {
	small, err := c.compress(make([]byte, 0, len(data)), data)
	if err != nil {
		return nil, 0, err
	}
	if len(small) < len(data) {
		return small, uint32(len(small)), nil
	}
	return data, uint32(len(data)) | uncompressed, nil
}

// meta adds a metadata block: a header with its size, and its bytes.
func (c codec) meta(to, data []byte) ([]byte, error) {
	small, err := c.compress(nil, data)
	if err != nil {
		return to, err
	}
	if len(small) < len(data) {
		return append(binary.LittleEndian.AppendUint16(to, uint16(len(small))), small...), nil
	}
	return append(binary.LittleEndian.AppendUint16(to, uint16(len(data))|rawMeta), data...), nil
}
