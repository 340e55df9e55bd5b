package thinpool

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"slices"
	"strconv"
	"strings"

	"ingot/internal/fault"
	"ingot/internal/host"
)

// Do implements [host.Store].
func (s *Store) Do(ctx context.Context, step host.Step) error {
	switch step.Do {
	case host.Adopt:
		return s.adopt(ctx, step.From)
	case host.Condemn:
		return s.group(ctx, "--addtag", host.BadTag(step.Image))
	case host.Absolve:
		return s.group(ctx, "--deltag", host.BadTag(step.Image))
	case host.Unstick:
		return s.unstick(ctx)
	default:
		return s.doVolume(ctx, step)
	}
}

// doVolume does a step of one volume's.
func (s *Store) doVolume(ctx context.Context, step host.Step) error {
	all, err := s.volumes(ctx)
	if err != nil {
		return err
	}
	i := slices.IndexFunc(all, func(v volume) bool { return v.Name == step.Name.String() })
	if step.Do == host.Create || step.Do == host.Snapshot {
		if i >= 0 { // what was broken off
			if !all[i].has(host.TagBuilding) {
				return fault.Newf(fault.Choice, "%s is there already", step.Name)
			}
			if err := s.remove(ctx, all[i]); err != nil {
				return err
			}
		}
		return s.make(ctx, step)
	}
	if i < 0 {
		if step.Do == host.Delete {
			return nil
		}
		return fault.Newf(fault.NotFound, "there is no volume %s", s.at(step.Name.String()))
	}
	v := all[i]
	switch step.Do {
	case host.Seal:
		return s.seal(ctx, v)
	case host.Fill:
		return s.fill(ctx, v)
	case host.Merge:
		known, err := s.identify(ctx, v)
		if err != nil || !known {
			return err
		}
		return s.carryOver(ctx, v, step.Of)
	case host.Finish:
		return s.change(ctx, v, "--deltag", host.TagBuilding, "--addtag", host.TagLayer)
	case host.Retire:
		return s.change(ctx, v, "--addtag", host.TagRetired)
	case host.Keep:
		return s.change(ctx, v, "--deltag", host.TagRetired)
	case host.Pin:
		return s.change(ctx, v, "--addtag", host.TagPinned)
	case host.Unpin:
		return s.change(ctx, v, "--deltag", host.TagPinned)
	case host.Restart:
		return s.change(ctx, v, "--addtag", host.TagRestart)
	case host.Settle:
		return s.change(ctx, v, "--deltag", host.TagRestart)
	case host.Delete:
		return s.remove(ctx, v)
	default:
		return fmt.Errorf("a thin pool knows no step %q", step.Do)
	}
}

// adopt tags group, pool and the volume that the first base is made of.
func (s *Store) adopt(ctx context.Context, from string) error {
	if err := s.group(ctx, "--addtag", host.TagGroup); err != nil {
		return err
	}
	if err := s.lvm(ctx, "lvchange", "--addtag", host.TagPool, s.at(s.Pool)); err != nil {
		return err
	}
	return s.lvm(ctx, "lvchange", "--addtag", host.TagInit, from)
}

func (s *Store) group(ctx context.Context, args ...string) error {
	return s.lvm(ctx, "vgchange", append(args, s.Group)...)
}

// change is one write of the group's metadata.
func (s *Store) change(ctx context.Context, v volume, args ...string) error {
	return s.lvm(ctx, "lvchange", append(args, s.at(v.Name))...)
}

// make makes a volume that is tagged as not whole from its first moment.
func (s *Store) make(ctx context.Context, step host.Step) error {
	args := []string{"-y", "--name", step.Name.String(), "--addtag", host.TagBuilding, "--setactivationskip", "n"}
	if step.Image != "" {
		args = append(args, "--addtag", host.ImageTag(step.Image))
	}
	if step.Do == host.Create {
		args = append(args, "--thin", "--virtualsize", strconv.FormatInt(step.Size, 10)+"b", s.at(s.Pool))
	} else {
		from := step.From
		if from == "" {
			from = s.at(step.Of.String())
		}
		args = append(args, "--snapshot", from)
	}
	return s.lvm(ctx, "lvcreate", args...)
}

// seal makes a base nobody's to write; that it is whole is the last write.
func (s *Store) seal(ctx context.Context, v volume) error {
	if v.writable() {
		if err := s.change(ctx, v, "--permission", "r"); err != nil {
			return err
		}
	}
	if !v.skipped() {
		if err := s.change(ctx, v, "--setactivationskip", "y"); err != nil {
			return err
		}
	}
	if v.active() {
		if err := s.change(ctx, v, "--activate", "n"); err != nil {
			return err
		}
	}
	if !v.has(host.TagBuilding) && (v.has(host.TagBase) || v.has(host.TagLayer)) {
		return nil
	}
	return s.change(ctx, v, "--deltag", host.TagBuilding, "--addtag", host.TagBase)
}

// remove removes a volume.
func (s *Store) remove(ctx context.Context, v volume) error {
	return s.lvm(ctx, "lvremove", "-y", s.at(v.Name))
}

// filesystem is the type of what a device has, or "".
func filesystem(ctx context.Context, device string) (string, error) {
	out, err := run(ctx, "blkid", "--probe", "--output", "value", "--match-tag", "TYPE", device)
	if exit, ok := errors.AsType[*exec.ExitError](err); ok && exit.ExitCode() == 2 { // blkid(8): nothing found
		return "", nil
	}
	return strings.TrimSpace(string(out)), err
}

// identify gives the file system of a snapshot an identity of its own: two with one UUID
// cannot both be mounted by it, and XFS mounts no second one at all. A volume without a
// file system has none to give, which it says.
func (s *Store) identify(ctx context.Context, v volume) (known bool, err error) {
	if !v.active() {
		if err := s.change(ctx, v, "--activate", "y", "--ignoreactivationskip"); err != nil {
			return false, err
		}
	}
	device := "/dev/" + s.at(v.Name)
	kind, err := filesystem(ctx, device)
	if err != nil {
		return false, err
	}
	switch kind {
	case "":
		return false, nil
	case "ext2", "ext3", "ext4":
		if _, err := run(ctx, "e2fsck", "-f", "-y", device); err != nil {
			if exit, ok := errors.AsType[*exec.ExitError](err); !ok || exit.ExitCode() != 1 { // 1: it mended what a running system leaves
				return false, err
			}
		}
		_, err = run(ctx, "tune2fs", "-U", "random", device)
		return true, err
	default:
		return false, fault.Newf(fault.Preflight, "%s has a file system of type %q, which is given no new identity", v.Name, kind).WithHint("layers are of ext4")
	}
}
