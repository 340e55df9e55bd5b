// Package thinpool keeps bases and layers as volumes of an LVM thin pool, by LVM's own
// programs. What a volume is its tags say (see internal/host).
package thinpool

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"ingot/internal/fault"
	"ingot/internal/host"
)

// maxOutput bounds what a program may say, in bytes: lvs says some 500 of each volume.
const maxOutput = 16 << 20

// run runs a program of LVM's or a file system's and gives what it says.
func run(ctx context.Context, program string, args ...string) ([]byte, error) {
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Env = append(os.Environ(), "LC_ALL=C", "LVM_SUPPRESS_FD_WARNINGS=1")
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	// A write of metadata is not to be torn by the terminal's Ctrl-C.
	cmd.Cancel = func() error { return nil }
	var out, said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &said
	err := cmd.Run()
	switch {
	case errors.Is(err, exec.ErrNotFound):
		return nil, fault.Newf(fault.Preflight, "%s: not on this host", program).WithHint("install lvm2 and thin-provisioning-tools, and the programs of the file system")
	case err != nil:
		text := strings.Join(strings.Fields(said.String()), " ")
		return nil, fmt.Errorf("%s: %w: %.500s", program, err, text)
	case out.Len() > maxOutput:
		return nil, fmt.Errorf("%s says %d bytes", program, out.Len())
	}
	return out.Bytes(), nil
}

// A volume is one line of lvs.
type volume struct {
	Group      string `json:"vg_name"`
	GroupTags  string `json:"vg_tags"`
	Name       string `json:"lv_name"`
	Tags       string `json:"lv_tags"`
	Attr       string `json:"lv_attr"`
	Size       string `json:"lv_size"`
	Pool       string `json:"pool_lv"`
	ThinID     string `json:"thin_id"`
	Data       string `json:"data_percent"`
	Metadata   string `json:"metadata_percent"`
	MetaSize   string `json:"lv_metadata_size"`
	Transacted string `json:"transaction_id"`
	Major      string `json:"lv_kernel_major"`
	Minor      string `json:"lv_kernel_minor"`
}

const columns = "vg_name,vg_tags,lv_name,lv_tags,lv_attr,lv_size,pool_lv,thin_id,data_percent,metadata_percent,lv_metadata_size,transaction_id,lv_kernel_major,lv_kernel_minor"

func (v volume) tags() []string {
	return strings.FieldsFunc(v.Tags, func(r rune) bool { return r == ',' })
}

func (v volume) groupTags() []string {
	return strings.FieldsFunc(v.GroupTags, func(r rune) bool { return r == ',' })
}

func (v volume) has(tag string) bool { return slices.Contains(v.tags(), tag) }

// attr is a letter of lv_attr (lvs(8)).
func (v volume) attr(i int) byte {
	if i >= len(v.Attr) {
		return '-'
	}
	return v.Attr[i]
}

func (v volume) isPool() bool   { return v.attr(0) == 't' }
func (v volume) isThin() bool   { return v.attr(0) == 'V' }
func (v volume) writable() bool { return v.attr(1) == 'w' }
func (v volume) active() bool   { return v.attr(4) == 'a' }
func (v volume) skipped() bool  { return v.attr(9) == 'k' }

// on says whether it is a device.
func (v volume) on(major, minor uint32) bool {
	return v.Major == strconv.Itoa(int(major)) && v.Minor == strconv.Itoa(int(minor))
}

// list reads what lvs says.
func list(ctx context.Context, what ...string) ([]volume, error) {
	out, err := run(ctx, "lvs", append([]string{"--reportformat", "json", "--units", "b", "--nosuffix", "-o", columns}, what...)...)
	if err != nil {
		return nil, err
	}
	return parse(out)
}

func parse(out []byte) ([]volume, error) {
	var report struct {
		Report []struct {
			LV []volume `json:"lv"`
		} `json:"report"`
	}
	if err := json.Unmarshal(out, &report); err != nil {
		return nil, fmt.Errorf("what lvs says: %w", err)
	}
	var all []volume
	for _, r := range report.Report {
		all = append(all, r.LV...)
	}
	return all, nil
}

// A Store is a thin pool. Make one by [Open] or [OpenVolume].
type Store struct {
	Group, Pool string
	// Contents are what volumes are filled with and what is carried over; nil is nothing.
	Contents Contents
}

// Open finds the host's pool: the one that has imgbased's tag.
func Open(ctx context.Context) (*Store, error) {
	all, err := list(ctx)
	if err != nil {
		return nil, err
	}
	return find(all)
}

func find(all []volume) (*Store, error) {
	var found *Store
	for _, v := range all {
		if !v.isPool() || !v.has(host.TagPool) || !slices.Contains(v.groupTags(), host.TagGroup) {
			continue
		}
		if found != nil {
			return nil, fault.Newf(fault.Choice, "%s/%s and %s/%s are both tagged as the host's pool", found.Group, found.Pool, v.Group, v.Name).
				WithHint("take the tag %s off one of them: lvchange --deltag %s GROUP/POOL", host.TagPool, host.TagPool)
		}
		found = &Store{Group: v.Group, Pool: v.Name}
	}
	if found == nil {
		return nil, fault.Newf(fault.Preflight, "this host has no bases and layers: no thin pool is tagged %s", host.TagPool).
			WithHint("\"imgbase layout --init NAME-VERSION-RELEASE --from GROUP/VOLUME\" begins with a thin volume")
	}
	return found, nil
}

// OpenVolume gives the pool of a thin volume: GROUP/VOLUME, or a device's path.
func OpenVolume(ctx context.Context, from string) (s *Store, name string, err error) {
	all, err := list(ctx, "--", from)
	if err != nil {
		return nil, "", fault.Wrap(fault.NotFound, err)
	}
	if len(all) != 1 || !all[0].isThin() || all[0].Pool == "" {
		return nil, "", fault.Newf(fault.Preflight, "%s is no thin volume", from).WithHint("lvconvert --type thin makes one of a plain volume (lvmthin(7))")
	}
	return &Store{Group: all[0].Group, Pool: all[0].Pool}, all[0].Group + "/" + all[0].Name, nil
}

// Path is a volume's device.
func (s *Store) Path(n host.Name) string { return "/dev/" + s.Group + "/" + n.String() }

func (s *Store) at(name string) string { return s.Group + "/" + name }

// volumes are those of the group.
func (s *Store) volumes(ctx context.Context) ([]volume, error) { return list(ctx, "--", s.Group) }

// Observe implements [host.Store].
func (s *Store) Observe(ctx context.Context, st *host.State) error {
	all, err := s.volumes(ctx)
	if err != nil {
		return err
	}
	major, minor, err := rootDevice()
	if err != nil {
		return err
	}
	if err := s.read(all, st, major, minor); err != nil {
		return err
	}
	return s.transaction(ctx, all, st)
}

// read fills in what the list of volumes says.
func (s *Store) read(all []volume, st *host.State, major, minor uint32) error {
	for _, v := range all {
		if v.isPool() && v.Name == s.Pool {
			st.Bad = host.BadFromTags(v.groupTags())
			st.Pool = room(v.Size, v.Data)
			st.Meta = room(v.MetaSize, v.Metadata)
			continue
		}
		h, ok := host.FromTags(v.Name, v.tags())
		if !ok || !v.isThin() || v.Pool != s.Pool {
			st.Foreign = append(st.Foreign, v.Name)
			continue
		}
		size, err := strconv.ParseInt(v.Size, 10, 64)
		if err != nil {
			return fmt.Errorf("size of %s: %w", v.Name, err)
		}
		h.Size, h.Writable = size, v.writable()
		st.Volumes = append(st.Volumes, h)
		if v.on(major, minor) {
			st.Booted = h.Name
		}
	}
	slices.SortFunc(st.Volumes, func(a, b host.Volume) int { return a.Name.Compare(b.Name) })
	return nil
}

// room is what is free of a size of which so many percent are used.
func room(size, used string) host.Room {
	n, err := strconv.ParseInt(size, 10, 64)
	percent, err2 := strconv.ParseFloat(used, 64)
	if err != nil || err2 != nil || percent < 0 || percent > 100 {
		return host.Room{}
	}
	return host.Room{Size: n, Free: n - int64(float64(n)*percent/100)}
}
