package thinpool

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// LVM writes a group's metadata and flushes nothing. So a power cut could lose a change that
// others followed, on the boot partition of another disk too; and it may lose the text of the
// metadata of which it keeps the header, after which there is only what was written before that.

// lvm changes the group by a program of LVM's, and has that on the disks.
func (s *Store) lvm(ctx context.Context, program string, args ...string) error {
	_, err := run(ctx, program, args...)
	return errors.Join(err, s.flush("/sys/class/block", "/dev"))
}

// flush flushes the devices that the group's volumes lie on, of those that are active.
func (s *Store) flush(blocks, devices string) error {
	below, err := s.below(blocks)
	for _, name := range below {
		err = errors.Join(err, flushDevice(filepath.Join(devices, strings.ReplaceAll(name, "!", "/")))) // as sysfs writes it
	}
	return err
}

// below are the names of the devices that device-mapper has the group's on.
func (s *Store) below(blocks string) ([]string, error) {
	all, err := filepath.Glob(filepath.Join(blocks, "dm-*"))
	if err != nil {
		return nil, err
	}
	own := map[string]bool{}
	for _, dir := range all {
		name, err := os.ReadFile(filepath.Join(dir, "dm/name"))
		if err != nil {
			continue // it is gone
		}
		rest, ok := strings.CutPrefix(string(name), mapped(s.Group)+"-")
		own[filepath.Base(dir)] = ok && !strings.HasPrefix(rest, "-") // which would be of another group
	}
	var out []string
	for _, dir := range all {
		if !own[filepath.Base(dir)] {
			continue
		}
		slaves, err := filepath.Glob(filepath.Join(dir, "slaves/*"))
		if err != nil {
			return nil, err
		}
		for _, slave := range slaves {
			if name := filepath.Base(slave); !own[name] {
				out = append(out, name)
			}
		}
	}
	slices.Sort(out)
	return slices.Compact(out), nil
}

func flushDevice(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("flush: %w", err)
	}
	defer f.Close()
	if err := f.Sync(); err != nil {
		return fmt.Errorf("flush %s: %w", path, err)
	}
	return nil
}
