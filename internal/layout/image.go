package layout

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"ingot/internal/blockdevice"
	"ingot/internal/boot"
	"ingot/internal/disk"
	"ingot/internal/fat"
	"ingot/internal/fault"
	"ingot/internal/gpt"
	"ingot/internal/luks"
	"ingot/internal/tree"
	"ingot/internal/verity"
)

// Parts are what a disk is made of.
type Parts struct {
	Tree   tree.Tree
	Reader *tree.Reader // of the tree's contents
	Loader boot.Loader
	// Rooted makes the loader anew with the hash of a root that has hashes, which is known
	// once the tree is; it is as large as Loader. Nil where it does not depend on it.
	Rooted func(hash string) (boot.Loader, error)
	Epoch  int64 // of all that has a time, seconds since 1970
	Free   int64 // bytes free in each file system whose size is not said
	// Unit is what the disk's size must be a multiple of, in bytes, beside its
	// sectors; 0 is anything. A disk whose size the layout says must be one.
	Unit int64
	// Secret reads a secret file that the description names; nil where it names none.
	Secret func(file string) ([]byte, error)
}

// An Image is a whole disk, or several that belong together, planned.
type Image struct {
	Resolved
	Fitted     *blockdevice.Fitted
	Roots      []Root   // in the order of the text
	pieces     []piece  // of tables
	parts      []placed // contents
	containers []*container
	secret     func(file string) ([]byte, error)
}

// A piece is bytes at a place of a disk.
type piece struct {
	disk int
	at   int64
	data []byte
}

// A placed content knows where its bytes go.
type placed struct {
	name    string
	content Content
	device  device
}

// A builder makes one image.
type builder struct {
	Resolved
	Parts
	trees  map[*blockdevice.Mkfs]tree.Tree
	small  map[*blockdevice.Mkfs]planned // planned as small as they can be
	files  map[*blockdevice.Mkfs][]fat.File
	inside map[blockdevice.Node]device         // of containers
	roots  map[*blockdevice.Partition]gpt.GUID // halves of root hashes
	hashed map[*blockdevice.Verity]*verity.Tree
	fitted *blockdevice.Fitted
	image  *Image
	kept   *os.File // the contents of a loader's files in the tree
	pack   string   // what the reader calls it
}

// Compose divides the tree among the file systems, fits the disk around them, and
// plans all that will be written. A disk that is too small is exit code 9.
func (r Resolved) Compose(p Parts) (*Image, error) {
	b := &builder{Resolved: r, Parts: p, small: map[*blockdevice.Mkfs]planned{}, files: map[*blockdevice.Mkfs][]fat.File{}, inside: map[blockdevice.Node]device{}, roots: map[*blockdevice.Partition]gpt.GUID{}, hashed: map[*blockdevice.Verity]*verity.Tree{}}
	var err error
	if err := b.addResident(); err != nil {
		return nil, err
	}
	if b.trees, err = r.divide(b.Tree); err != nil {
		return nil, fmt.Errorf("layout: %w", err)
	}
	needs, err := b.needs()
	if err != nil {
		return nil, err
	}
	if b.fitted, err = r.Fit(needs); err != nil {
		var problem blockdevice.Problem
		if errors.As(err, &problem) {
			return nil, fault.Newf(fault.Preflight, "layout: %w", err).WithHint("give it more room, or leave sizes out and they follow from the content")
		}
		return nil, err
	}
	if err := b.even(needs); err != nil {
		return nil, err
	}
	b.image = &Image{Resolved: r, Fitted: b.fitted, secret: p.Secret}
	for _, step := range []func() error{b.reload, b.fillContainers, b.fillFilesystems, b.fillGroups, b.fillResident, b.fillHashes, b.fillTables} {
		if err := step(); err != nil {
			return nil, err
		}
	}
	return b.image, nil
}

// even makes the disk a multiple of its unit.
func (b *builder) even(needs blockdevice.Needs) (err error) {
	d := b.fitted.Disks[0]
	if b.Unit == 0 || d.Size%b.Unit == 0 {
		return nil
	}
	if d.Disk.Size > 0 {
		return fault.Newf(fault.Definition, "layout: %s has a size of %d bytes, and this format takes multiples of %d", d.Disk.Name, d.Size, b.Unit)
	}
	needs[d.Disk.Name] = (d.Size + b.Unit - 1) / b.Unit * b.Unit
	b.fitted, err = b.Fit(needs)
	return err
}

// needs are what contents take.
func (b *builder) needs() (blockdevice.Needs, error) {
	needs := blockdevice.Needs{}
	for _, fs := range b.Filesystems {
		switch fs.Type {
		case "btrfs", "ext2", "ext3", "ext4", "xfs":
			small, err := b.plan(fs, b.trees[fs], thinSize(fs), b.freeIn(fs))
			if err != nil {
				return nil, fmt.Errorf("layout: file system %s: %w", fs.Name, err)
			}
			b.small[fs], needs[fs.Name] = small, small.Size()
		case "vfat":
			files, err := b.plainFiles(fs)
			if err != nil {
				return nil, fmt.Errorf("layout: file system %s: %w", fs.Name, err)
			}
			room, err := fat.Room(files, b.sectorOf(fs.Device))
			if err != nil {
				return nil, fault.Wrap(fault.Preflight, fmt.Errorf("layout: file system %s: %w", fs.Name, err))
			}
			// A FAT16 has some 4100 clusters at the least.
			need := max(4<<20, fat.MinSectors*b.sectorOf(fs.Device), fs.Free+fs.Free/64)
			need += room * 5 / 4 // room for an update of the largest
			if fs == b.ESP() {
				need += b.Loader.Room()
			}
			b.files[fs], needs[fs.Name] = files, need
		case "swap":
			needs[fs.Name] = 1 << 20
		}
	}
	for _, v := range b.Verities {
		needs[v.Name] = b.hashSize(v)
	}
	if p := b.BIOSBoot(); p != nil {
		needs[p.Name] = b.Loader.CoreSize()
	}
	for _, g := range b.Groups {
		for _, v := range g.LVs {
			if v.Type != blockdevice.Thin {
				continue
			}
			// What grows with the file system around the files is little.
			needs[v.Pool.Name] += b.written(v)*21/20 + 32<<20
			if elastic(v.Pool) {
				needs[v.Pool.Name] += b.Free
			}
		}
	}
	return needs, nil
}

// written is how many bytes of a thin volume its smallest file system fills, with
// what it writes to its log in time.
func (b *builder) written(v *blockdevice.LV) int64 {
	const chunk = 64 << 10
	var n int64
	for fs, files := range b.files {
		if fs.Device == blockdevice.Node(v) {
			for _, f := range files {
				n += f.Len() + chunk
			}
		}
	}
	for fs, small := range b.small {
		if fs.Device == blockdevice.Node(v) {
			for _, e := range disk.Round(small.Extents(), chunk) {
				n += e.Len
			}
			n += small.LogBytes()
		}
	}
	return n
}

// thinSize is the size of a file system on a thin volume, which does not follow from
// its content, or 0: what it writes grows with it.
func thinSize(fs *blockdevice.Mkfs) int64 {
	if v, ok := fs.Device.(*blockdevice.LV); ok && v.Type == blockdevice.Thin && v.Size.Form == blockdevice.Absolute {
		return v.Size.Bytes / blockdevice.DefaultExtent * blockdevice.DefaultExtent
	}
	return 0
}

// freeIn is how much room a file system is to have beside its files. One whose
// device has a size of its own gets what that leaves.
func (b *builder) freeIn(fs *blockdevice.Mkfs) int64 {
	switch {
	case b.Hashes(fs) != nil: // nothing is written to it
		return 0
	case fs.Free > 0:
		return fs.Free
	case elastic(fs.Device):
		return b.Free
	}
	return 0
}

// elastic says whether a device takes its size from its content.
func elastic(n blockdevice.Node) bool {
	n, _ = blockdevice.Beneath(n)
	switch d := n.(type) {
	case *blockdevice.LocalLoop:
		return d.Size == 0
	case *blockdevice.Partition:
		return d.Size.Form == blockdevice.ToFit || d.Size.Form != blockdevice.Absolute && elastic(d.Table.Disk)
	case *blockdevice.LV:
		if d.Size.Form == blockdevice.ToFit {
			return true
		}
		if d.Size.Form == blockdevice.Absolute || d.Extents.Form == blockdevice.ExtentsCount {
			return false
		}
		for _, pv := range d.VG.PVs {
			if elastic(pv.Device) {
				return true
			}
		}
	}
	return false
}

// plainFiles are the files of a file system that knows neither owners nor links.
func (b *builder) plainFiles(fs *blockdevice.Mkfs) ([]fat.File, error) {
	var files []fat.File
	if fs == b.ESP() {
		files = append(files, b.Loader.ESP()...)
	}
	for e := range b.trees[fs].All() {
		if e.Path == "" {
			continue // whose owner and mode are the mount's
		}
		switch e.Kind {
		case tree.Dir, tree.File:
			shown := b.shown(fs, e.Path)
			covered := slices.ContainsFunc(b.Mounts, func(m *blockdevice.Mount) bool { return m.Point == shown })
			if (e.UID != 0 || e.GID != 0 || len(e.Xattrs) > 0) && !covered {
				return nil, fault.Newf(fault.Definition, "a vfat cannot hold %s, which is not simply root's", shown).WithHint("mount a file system there that can, or keep such files elsewhere")
			}
			if e.Kind == tree.Dir {
				files = append(files, fat.File{Path: e.Path, Dir: true})
				continue
			}
			files = append(files, fat.File{Path: e.Path, Size: e.Content.Size, Open: func() (io.Reader, error) { return b.Reader.Content(e.Content) }})
		case tree.Symlink, tree.Hardlink, tree.Char, tree.Block, tree.Fifo:
			return nil, fault.Newf(fault.Definition, "a vfat cannot hold %s, a %s", b.shown(fs, e.Path), e.Kind).WithHint("mount a file system there that can, or keep such files elsewhere")
		}
	}
	return files, nil
}

// shown is a path of a file system as the machine has it.
func (b *builder) shown(fs *blockdevice.Mkfs, path string) string {
	if fs.Mount == nil {
		return "/" + path
	}
	return strings.TrimSuffix(fs.Mount.Point, "/") + "/" + path
}

// fillFilesystems plans each file system for the room that it has. Those of logical
// volumes get their places with their groups.
func (b *builder) fillFilesystems() error {
	for _, fs := range b.Filesystems {
		if under, _ := blockdevice.Beneath(fs.Device); isVolume(under) {
			continue
		}
		_, place := b.fitted.Place(fs.Device)
		c, err := b.content(fs, place.Len, place.Off)
		if err != nil {
			return err
		}
		b.image.parts = append(b.image.parts, placed{fs.Name, c, b.deviceOf(fs.Device)})
	}
	return nil
}

func isVolume(n blockdevice.Node) bool {
	_, ok := n.(*blockdevice.LV)
	return ok
}

// deviceOf is where the bytes of a partition, a disk, or a container on one of these go.
func (b *builder) deviceOf(n blockdevice.Node) device {
	if d, ok := b.inside[n]; ok {
		return d
	}
	on, place := b.fitted.Place(n)
	return whole(place.Len, spot{disk: slices.Index(b.Disks, on), at: place.Off})
}

func (b *builder) content(fs *blockdevice.Mkfs, size, hidden int64) (c Content, err error) {
	switch fs.Type {
	case "btrfs", "ext2", "ext3", "ext4", "xfs":
		plan := b.small[fs]
		// What is left of the last MiB is not worth another plan.
		if size >= plan.Size()+1<<20 && b.Hashes(fs) == nil {
			plan, err = b.plan(fs, b.trees[fs], size, 0)
		}
		c = fsContent{plan, b.Reader}
	case "vfat":
		c, err = b.planFAT(fs, b.files[fs], size, hidden)
	case "swap":
		c = b.swap(fs, size)
	default:
		err = fmt.Errorf("no writer for %s", fs.Type)
	}
	if err == nil && c.Size() > size {
		err = fault.Newf(fault.Preflight, "it needs %d bytes and has %d", c.Size(), size)
	}
	if err != nil {
		return nil, fmt.Errorf("layout: file system %s: %w", fs.Name, err)
	}
	return c, nil
}

// fillGroups writes volume groups around the volumes' contents.
func (b *builder) fillGroups() error {
	for _, g := range b.fitted.Groups {
		contents := map[*blockdevice.LV]placed{}
		for _, fs := range b.Filesystems {
			under, _ := blockdevice.Beneath(fs.Device)
			v, ok := under.(*blockdevice.LV)
			if !ok || v.VG != g.VG {
				continue
			}
			c, err := b.content(fs, b.fitted.Size(fs.Device), 0)
			if err != nil {
				return err
			}
			contents[v] = placed{name: fs.Name, content: c}
		}
		written := func(v *blockdevice.LV) []disk.Extent {
			if p, ok := contents[v]; ok {
				return p.content.Extents()
			}
			return nil
		}
		planned, err := g.LVM(b.lvmID, written, b.Epoch).Plan()
		if err != nil {
			return fault.Newf(fault.Preflight, "layout: %w", err).WithHint("give the pool more room, or its volumes less")
		}
		var pvs []device
		for _, v := range g.PVs {
			pvs = append(pvs, b.deviceOf(v.PV.Device))
		}
		for _, h := range planned.Heads {
			b.image.parts = append(b.image.parts, placed{"volume group " + g.VG.Name, padded(h.Data, b.sectorOf(g.PVs[h.PV].PV.Device)), pvs[h.PV].from(h.At)})
		}
		for _, v := range g.LVs {
			d := volume(planned.Map(v.LV.Name), pvs)
			for _, c := range b.Containers {
				if c.Device == blockdevice.Node(v.LV) {
					d = b.fillContainer(c, d)
				}
			}
			if p, ok := contents[v.LV]; ok {
				p.device = d
				b.image.parts = append(b.image.parts, p)
			}
		}
	}
	return nil
}

// Size is the size in bytes of the disk that is started from.
func (im *Image) Size() int64 { return im.SizeOf(0) }

// SizeOf is the size in bytes of a disk, by its number among the layout's.
func (im *Image) SizeOf(n int) int64 { return im.Fitted.Disks[n].Size }

// Extents are the ranges that Write writes of the disk that is started from.
func (im *Image) Extents() []disk.Extent { return im.ExtentsOf(0) }

// ExtentsOf are the ranges of a disk that Write writes.
func (im *Image) ExtentsOf(n int) []disk.Extent {
	var out []disk.Extent
	for _, p := range im.pieces {
		if p.disk == n {
			out = append(out, disk.Extent{Off: p.at, Len: int64(len(p.data))})
		}
	}
	for _, p := range im.parts {
		// What has no place is found when it is written.
		extents, _ := p.device.extents(n, p.content.Extents())
		out = append(out, extents...)
	}
	return disk.Round(out, im.Disks[n].BlockSize)
}

// payloads are what encrypts the bytes of containers.
func (im *Image) payloads(d []disk.Disk) (map[*container]*luks.Payload, error) {
	out := map[*container]*luks.Payload{}
	for _, c := range im.containers {
		p, err := c.made.Payload(deviceWriter{d, out, c.on})
		if err != nil {
			return nil, err
		}
		out[c] = p
	}
	return out, nil
}

// encrypted are the parts of containers' payloads that are written.
func (im *Image) encrypted() (map[*container][]disk.Extent, error) {
	out := map[*container][]disk.Extent{}
	for _, p := range im.parts {
		for _, e := range p.content.Extents() {
			err := p.device.each(e, func(s stretch) error {
				if s.in != nil {
					out[s.in] = append(out[s.in], disk.Extent{Off: s.at, Len: s.Len})
				}
				return nil
			})
			if err != nil {
				return nil, err
			}
		}
	}
	return out, nil
}

// Write writes the image to empty disks of its sizes, in the order of the layout's.
func (im *Image) Write(ctx context.Context, d ...disk.Disk) error {
	if len(d) != len(im.Disks) {
		return fmt.Errorf("layout: %d disks cannot take an image of %d", len(d), len(im.Disks))
	}
	for i := range d {
		if d[i].Size() < im.SizeOf(i) {
			return fmt.Errorf("layout: a disk of %d bytes cannot take an image of %d", d[i].Size(), im.SizeOf(i))
		}
	}
	if err := im.unlock(); err != nil {
		return err
	}
	payloads, err := im.payloads(d)
	if err != nil {
		return err
	}
	encrypted, err := im.encrypted()
	if err != nil {
		return err
	}
	for _, w := range im.inOrder() {
		if err := w.write(ctx, d, payloads); err != nil {
			return fmt.Errorf("layout: cannot write %s: %w", w.name, err)
		}
	}
	for _, c := range im.containers {
		if err := payloads[c].Fill(encrypted[c]); err != nil {
			return fmt.Errorf("layout: cannot write %s: %w", c.node.Name, err)
		}
	}
	return nil
}

// A work is something to write, and where it begins.
type work struct {
	name  string
	disk  int
	at    int64
	write func(ctx context.Context, d []disk.Disk, payloads map[*container]*luks.Payload) error
}

// inOrder is all there is to write, as it lies on the disks: a file that is written from
// its beginning to its end is hashed on the way.
func (im *Image) inOrder() []work {
	var out []work
	for _, p := range im.pieces {
		out = append(out, work{"partition tables", p.disk, p.at, func(_ context.Context, d []disk.Disk, _ map[*container]*luks.Payload) error {
			_, err := d[p.disk].WriteAt(p.data, p.at)
			return err
		}})
	}
	for _, p := range im.parts {
		w := work{name: p.name, write: func(ctx context.Context, d []disk.Disk, payloads map[*container]*luks.Payload) error {
			return p.content.WriteTo(ctx, deviceWriter{d, payloads, p.device})
		}}
		for n := range im.Disks {
			if extents, _ := p.device.extents(n, p.content.Extents()); len(extents) > 0 {
				w.disk, w.at = n, slices.MinFunc(extents, func(a, b disk.Extent) int { return cmp.Compare(a.Off, b.Off) }).Off
				break
			}
		}
		out = append(out, w)
	}
	slices.SortStableFunc(out, func(a, b work) int { return cmp.Or(cmp.Compare(a.disk, b.disk), cmp.Compare(a.at, b.at)) })
	return out
}
