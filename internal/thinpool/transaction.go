package thinpool

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"ingot/internal/host"
	"ingot/internal/input"
)

// A change of a pool is three writes: the group's metadata say what is to be done (a message)
// under the next transaction's number; the pool does it; the pool gets that number. A power cut
// between them leaves what LVM ends by itself when it changes the group next, or trips over for
// ever:
//
//   - the pool has not done it: a volume that is to be made is listed and cannot be activated
//     (a ghost). The next change makes it real;
//   - it has, and has not got the number: each change tries it again, and the pool refuses to
//     make a snapshot that it has (stuck). The number is all that is missing. A deletion that is
//     tried again LVM takes for done.

// mapped is a name as LVM gives it to device-mapper.
func mapped(parts ...string) string {
	for i, p := range parts {
		parts[i] = strings.ReplaceAll(p, "-", "--")
	}
	return strings.Join(parts, "-")
}

// A kernelPool is a pool as device-mapper has it.
type kernelPool struct {
	name        string // of its device
	transaction int
}

// kernelPool asks device-mapper; a pool that is not active is not found.
func (s *Store) kernelPool(ctx context.Context) (kernelPool, bool, error) {
	out, err := run(ctx, "dmsetup", "status", "--noflush", "--target", "thin-pool")
	if err != nil {
		return kernelPool{}, false, err
	}
	p, ok := findPool(string(out), mapped(s.Group, s.Pool))
	return p, ok, nil
}

// findPool reads "dmsetup status": a line is NAME: START LENGTH thin-pool TRANSACTION …. A pool
// that has volumes has its device below one more, which has the plain name.
func findPool(text, name string) (kernelPool, bool) {
	for line := range strings.Lines(text) {
		device, rest, ok := strings.Cut(line, ": ")
		f := strings.Fields(rest)
		if !ok || device != name && device != name+"-tpool" || len(f) < 4 || f[2] != "thin-pool" {
			continue
		}
		if n, err := strconv.Atoi(f[3]); err == nil {
			return kernelPool{device, n}, true
		}
	}
	return kernelPool{}, false
}

var messagePattern = regexp.MustCompile(`message[0-9]+ \{\s*create = "([^"]+)"\s*\}`)

// findUnmade finds the volumes that a pool is to make in a group's metadata, as text.
func findUnmade(text string) []string {
	var out []string
	for _, m := range messagePattern.FindAllStringSubmatch(text, -1) {
		out = append(out, m[1])
	}
	return out
}

// unmade are the volumes that the pool is to make.
func (s *Store) unmade(ctx context.Context) (out []string, err error) {
	dir, err := os.MkdirTemp("", "ingot-group-")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	file := filepath.Join(dir, "metadata")
	if _, err := run(ctx, "vgcfgbackup", "--file", file, s.Group); err != nil {
		return nil, err
	}
	text, err := input.Read(file, maxOutput)
	return findUnmade(string(text)), err
}

// has says whether a pool has a device: one that it has not got cannot be mapped.
func (p kernelPool) has(ctx context.Context, device int) (bool, error) {
	name := p.name + "-ingot"
	table := fmt.Sprintf("0 8 thin /dev/mapper/%s %d", p.name, device)
	if _, err := run(ctx, "dmsetup", "create", name, "--readonly", "--table", table); err != nil {
		if _, failed := errors.AsType[*exec.ExitError](err); !failed {
			return false, err
		}
		return false, nil
	}
	_, err := run(ctx, "dmsetup", "remove", "--retry", name)
	return true, err
}

// transaction fills in what a power cut left of a change of the pool's.
func (s *Store) transaction(ctx context.Context, all []volume, st *host.State) error {
	i := slices.IndexFunc(all, func(v volume) bool { return v.isPool() && v.Name == s.Pool })
	if i < 0 || !all[i].active() {
		return nil
	}
	group, err := strconv.Atoi(all[i].Transacted)
	if err != nil {
		return nil //nolint:nilerr // LVM does not say it of all that is a pool
	}
	pool, ok, err := s.kernelPool(ctx)
	if err != nil || !ok || pool.transaction == group {
		return err
	}
	unmade, err := s.unmade(ctx)
	if err != nil {
		return err
	}
	for _, v := range all {
		if !slices.Contains(unmade, v.Name) {
			continue
		}
		device, err := strconv.Atoi(v.ThinID)
		if err != nil {
			return fmt.Errorf("device of %s: %w", v.Name, err)
		}
		has, err := pool.has(ctx, device)
		if err != nil {
			return err
		}
		if has {
			st.Stuck = append(st.Stuck, device)
			continue
		}
		for i := range st.Volumes {
			st.Volumes[i].Ghost = st.Volumes[i].Ghost || st.Volumes[i].Name.String() == v.Name
		}
	}
	return nil
}

// unstick gives the pool the number of the transaction that it has done.
func (s *Store) unstick(ctx context.Context) error {
	all, err := s.volumes(ctx)
	if err != nil {
		return err
	}
	i := slices.IndexFunc(all, func(v volume) bool { return v.isPool() && v.Name == s.Pool })
	if i < 0 {
		return fmt.Errorf("there is no pool %s", s.at(s.Pool))
	}
	group, err := strconv.Atoi(all[i].Transacted)
	if err != nil {
		return fmt.Errorf("transaction of %s: %w", s.at(s.Pool), err)
	}
	pool, ok, err := s.kernelPool(ctx)
	if err != nil || !ok || pool.transaction == group {
		return err
	}
	if pool.transaction != group-1 {
		return fmt.Errorf("the pool is at transaction %d, and its group at %d", pool.transaction, group)
	}
	_, err = run(ctx, "dmsetup", "message", pool.name, "0", fmt.Sprintf("set_transaction_id %d %d", pool.transaction, group))
	return err
}
