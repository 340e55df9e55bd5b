package iso

import (
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"os"

	"ingot/internal/fault"
)

// Write writes the image into an empty file. What holds nothing stays a hole.
func (im *Image) Write(ctx context.Context, f *os.File) error {
	if err := im.write(ctx, f); err != nil {
		return fmt.Errorf("ISO image: %w", err)
	}
	return nil
}

func (im *Image) write(ctx context.Context, f *os.File) error {
	code, err := im.contents(ctx, f)
	if err != nil {
		return err
	}
	end := im.end
	for _, n := range im.files {
		if n.file.Write == nil {
			continue
		}
		n.at = end
		if n.size, err = n.file.Write(ctx, f, n.at*block); err != nil {
			return fmt.Errorf("%s: %w", n.file.Path, err)
		}
		if n.size < 0 || n.size > n.most {
			return fmt.Errorf("%s has %d bytes and room for %d", n.file.Path, n.size, n.most)
		}
		end += blocks(n.size)
	}
	end = (end + 1) &^ 1 // 4096 bytes, which flash memory likes
	uefi, total := end, end
	if v := im.o.UEFI; v != nil {
		if err := v.WriteTo(ctx, io.NewOffsetWriter(f, uefi*block)); err != nil {
			return fmt.Errorf("the volume for UEFI: %w", err)
		}
		total += blocks(v.Size())
	}
	total += runOut
	if total >= 1<<32 {
		return fault.Newf(fault.Preflight, "%d blocks are more than the format can say", total)
	}
	return im.tables(f, total, end, uefi, code)
}

// contents writes all files whose bytes are there, and gives the code for the first
// sector.
func (im *Image) contents(ctx context.Context, f *os.File) (code []byte, err error) {
	for _, n := range im.files {
		data := n.file.Data
		switch {
		case ctx.Err() != nil:
			return nil, ctx.Err()
		case n.file.Write != nil:
			continue
		case n == im.program:
			code, data = im.o.BIOS.At(n.at * block)
			if int64(len(data)) != n.size {
				return nil, fmt.Errorf("%s has %d bytes in place of %d", n.file.Path, len(data), n.size)
			}
			data = append([]byte(nil), data...)
			inform(data, n.at)
		}
		if _, err := f.WriteAt(data, n.at*block); err != nil {
			return nil, err
		}
	}
	return code, nil
}

// tables writes all that says where something is.
func (im *Image) tables(f *os.File, total, end, uefi int64, code []byte) error {
	if err := f.Truncate(total * block); err != nil {
		return err
	}
	var err error
	put := func(at int64, data []byte) {
		if err == nil {
			_, err = f.WriteAt(data, at)
		}
	}
	for _, t := range im.trees {
		put(t.tableL*block, t.table(binary.LittleEndian))
		put(t.tableM*block, t.table(binary.BigEndian))
		for _, d := range im.dirs {
			// A file that has fewer pieces than it might leaves room.
			put(t.at[d]*block, t.directory(d, im.o.Epoch, func(n *node) int64 { return n.size }))
		}
	}
	put(system*block, im.descriptors(total))
	if im.boots() {
		head, tail, terr := im.table(total, end, uefi, code)
		if terr != nil {
			return terr
		}
		put(im.catalog*block, im.entries(uefi))
		put(0, head)
		put(total*block-int64(len(tail)), tail)
	}
	return err
}
