package seed

import (
	"context"
	"fmt"
	"os"

	"ingot/internal/fat"
	"ingot/internal/iso"
	"ingot/internal/template"
)

// The label by which cloud-init knows a medium, and its time: a seed says none.
const (
	label = "CIDATA"
	epoch = 315532800 // 1980, before which FAT has nothing
)

// Write writes a seed's files into an empty file as the medium of their kind.
func Write(ctx context.Context, f *os.File, kind template.Seed, files []File) error {
	switch kind {
	case template.VFAT:
		return writeFAT(ctx, f, files)
	case template.Ignition, template.Credentials:
		if len(files) != 1 {
			return fmt.Errorf("seed: %d files in one", len(files))
		}
		_, err := f.Write(files[0].Data)
		return err
	default:
		return writeISO(ctx, f, files)
	}
}

func writeISO(ctx context.Context, f *os.File, files []File) error {
	var list []iso.File
	for _, x := range files {
		list = append(list, iso.File{Path: x.Name, Mode: 0o600, Data: x.Data})
	}
	im, err := iso.Plan(list, iso.Options{Label: label, Epoch: epoch})
	if err != nil {
		return fmt.Errorf("seed: %w", err)
	}
	return im.Write(ctx, f)
}

func writeFAT(ctx context.Context, f *os.File, files []File) error {
	var list []fat.File
	size := int64(fat.MinSize)
	for _, x := range files {
		list = append(list, fat.File{Path: x.Name, Data: x.Data})
		size += (int64(len(x.Data)) + 1<<20 - 1) >> 20 << 20
	}
	v, err := fat.Plan(list, fat.Options{Size: size, ID: 0x1A607, Label: label, Epoch: epoch})
	if err != nil {
		return fmt.Errorf("seed: %w", err)
	}
	if err := f.Truncate(size); err != nil {
		return err
	}
	return v.WriteTo(ctx, f)
}
