package machine

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"ingot/internal/draft"
	"ingot/internal/fault"
	"ingot/internal/input"
	"ingot/internal/qcow2"
	"ingot/internal/seed"
	"ingot/internal/sparse"
	"ingot/internal/template"
)

// A Step is one thing that is done to make a machine, and undone by removing its path.
type Step struct {
	Do   string `json:"do"`             // directory, base, disk, seed or record
	Path string `json:"path"`           // what is made
	From string `json:"from,omitempty"` // a base's image; a disk's base
	Size int64  `json:"size,omitempty"` // of a disk, bytes
	// Format is how a base lies in its file.
	Format string `json:"format,omitempty"`
	Files  []Part `json:"files,omitempty"` // of a seed

	files []seed.File
	seed  template.Seed
}

// A Part is a file that a step writes into something, as it may be shown.
type Part struct {
	Name string `json:"name"`
	Text string `json:"text"` // stars for what is secret
}

// A Plan is all that is done to make a machine.
type Plan struct {
	Record Record
	Steps  []Step
	home   Home
}

// image is what is known of a disk image.
type image struct {
	format string
	size   int64 // that a machine sees
	stamp  string
	key    string
}

// CheckImage says whether a machine's disk can start from an image.
func CheckImage(path string) error {
	_, err := lookAt(path)
	return err
}

// lookAt reads what a disk image is.
func lookAt(path string) (image, error) {
	f, err := input.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return image{}, fault.Newf(fault.NotFound, "there is no image %s", path).WithHint("ingot build makes it; --image names another")
	}
	if err != nil {
		return image{}, fmt.Errorf("image: %w", err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return image{}, err
	}
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return image{}, errors.New("image: a file system without numbers of files")
	}
	im := image{format: "raw", size: info.Size(), stamp: fmt.Sprintf("%d %d", info.Size(), info.ModTime().UnixNano())}
	sum := sha256.Sum256(fmt.Appendf(nil, "%d %d %s", st.Dev, st.Ino, im.stamp))
	im.key = hex.EncodeToString(sum[:16])
	head := make([]byte, 104)
	n, err := f.ReadAt(head, 0)
	if err != nil && !errors.Is(err, io.EOF) {
		return image{}, err
	}
	if n >= 32 && string(head[:4]) == "QFI\xfb" {
		im.format, im.size = "qcow2", int64(min(binary.BigEndian.Uint64(head[24:]), 1<<62)) //nolint:gosec // bounded
		if binary.BigEndian.Uint64(head[8:]) != 0 {
			return image{}, fault.Newf(fault.Usage, "image %s stands on another file itself", path).WithHint("qemu-img convert -O qcow2 makes one that is whole")
		}
	}
	if im.size == 0 || im.size%512 != 0 {
		return image{}, fault.Newf(fault.Usage, "image %s: %d bytes are no whole number of sectors", path, im.size).WithHint("a machine's disk starts from a qcow2 or a raw image")
	}
	return im, nil
}

// Plan says all that making a machine will do, and does nothing. What cannot be is found
// here, before anything is touched.
func (h Home) Plan(r Request) (*Plan, error) {
	if err := CheckName(r.Name); err != nil {
		return nil, err
	}
	if _, err := os.Lstat(h.Path(r.Name)); err == nil {
		return nil, fault.Newf(fault.Choice, "machine %s is there already", r.Name).WithHint("choose another name, or ingot machine rm %s", r.Name)
	}
	from, err := filepath.Abs(r.Image)
	if err != nil {
		return nil, err
	}
	im, err := lookAt(from)
	if err != nil {
		return nil, err
	}
	rec := Record{
		Schema: 1, Name: r.Name, Template: r.From, Version: r.Version, Image: from, Stamp: im.stamp, Base: im.key + "." + im.format,
		Memory: 1 << 30, CPUs: 1, Disk: im.size, Inputs: map[string]any{}, Seed: r.Template.Seed,
	}
	for _, in := range r.Template.Inputs {
		if v, ok := r.Answers.Values[in.Name]; ok {
			if rec.Inputs[in.Name] = v; in.Secret() {
				rec.Inputs[in.Name] = in.Show(v)
			}
		}
	}
	said, err := json.Marshal(rec.Inputs)
	if err != nil {
		return nil, err
	}
	id := sha256.Sum256(fmt.Appendf(nil, "machine\x00%s\x00%s\x00%s\x00%s\x00%s", h.Dir, r.Name, r.Version, im.stamp, said))
	rec.Instance = "i-" + hex.EncodeToString(id[:8])
	rec.MAC = fmt.Sprintf("52:54:00:%02x:%02x:%02x", id[8], id[9], id[10])
	id[22], id[24] = id[22]&0x0f|0x80, id[24]&0x3f|0x80
	rec.UUID = fmt.Sprintf("%x-%x-%x-%x-%x", id[16:20], id[20:22], id[22:24], id[24:26], id[26:32])
	tell, shown, err := rec.meant(r.Answers)
	if err != nil {
		return nil, err
	}
	if rec.Disk < im.size {
		return nil, fault.Newf(fault.Usage, "a disk of %s is smaller than the image, which has %s", template.SizeText(rec.Disk), template.SizeText(im.size)).WithHint("leave disk out, or say more")
	}
	if err := rec.fits(h.Dir); err != nil {
		return nil, err
	}
	return h.steps(rec, im, tell, shown)
}

// meant takes from the answers what means the machine, and gives what it is told: as it is,
// and as it may be shown.
func (rec *Record) meant(a *template.Answers) (tell, shown seed.Machine, err error) {
	tell = seed.Machine{ID: rec.Instance, Hostname: rec.Name, MAC: rec.MAC, Network: template.NetworkAnswer{DHCP: true}, User: "admin", Inputs: map[string]any{}}
	if rec.Seed == template.Credentials {
		tell.User = "root" // which every image has
	}
	shown = tell
	shown.Inputs = map[string]any{}
	for name, v := range a.Values {
		switch v := v.(type) {
		case int64:
			switch name {
			case "memory":
				rec.Memory = v
			case "cpus":
				rec.CPUs = int(min(v, 1<<20))
			case "disk":
				rec.Disk = (v + 511) / 512 * 512
			}
		case string:
			switch name {
			case "hostname":
				tell.Hostname = v
			case "user":
				tell.User = v
			case "network":
				if tell.Network, err = template.ParseNetwork(v); err != nil {
					return tell, shown, err
				}
			case "password":
				if tell.Hash, err = seed.Hash(v); err != nil {
					return tell, shown, err
				}
			}
		case []any:
			if name == "ssh-keys" {
				for _, k := range v {
					tell.Keys = append(tell.Keys, fmt.Sprint(k))
				}
			}
		}
		if name == "password" {
			continue // the machine has its hash
		}
		tell.Inputs[name], shown.Inputs[name] = v, rec.Inputs[name]
	}
	inputs := shown.Inputs
	shown = tell
	if shown.Inputs = inputs; shown.Hash != "" {
		shown.Hash = "********"
	}
	switch {
	case rec.Memory < 64<<20 || rec.Memory%(1<<20) != 0:
		err = fault.Newf(fault.Usage, "memory %s: want whole MiB, at least 64", template.SizeText(rec.Memory))
	case rec.CPUs < 1 || rec.CPUs > 255:
		err = fault.Newf(fault.Usage, "cpus %d: want 1 to 255", rec.CPUs)
	case CheckName(tell.Hostname) != nil:
		err = fault.Newf(fault.Usage, "hostname %q is not a host's name", tell.Hostname).WithHint("small letters, digits and - in between")
	case CheckName(tell.User) != nil:
		err = fault.Newf(fault.Usage, "user %q is not an account's name", tell.User).WithHint("small letters, digits and - in between")
	}
	return tell, shown, err
}

// fits says whether the host has the memory at all, and room for what is written now.
func (rec *Record) fits(dir string) error {
	var info unix.Sysinfo_t
	if err := unix.Sysinfo(&info); err == nil {
		if total := int64(info.Totalram) * int64(info.Unit); rec.Memory > total { //nolint:gosec // a host's memory
			return fault.Newf(fault.Preflight, "memory %s is more than this host has, %s", template.SizeText(rec.Memory), template.SizeText(total>>20<<20))
		}
	}
	for {
		var st unix.Statfs_t
		err := unix.Statfs(dir, &st)
		if errors.Is(err, fs.ErrNotExist) && dir != "/" {
			dir = filepath.Dir(dir)
			continue
		}
		if free := int64(st.Bavail) * int64(st.Bsize); err == nil && free < 16<<20 { //nolint:gosec // a file system's size
			return fault.Newf(fault.Preflight, "%s has %s left: a machine begins with 16MiB", dir, template.SizeText(free))
		}
		return nil
	}
}

func (h Home) steps(rec Record, im image, tell, shown seed.Machine) (*Plan, error) {
	files, err := tell.Files(rec.Seed)
	if err != nil {
		return nil, err
	}
	visible, err := shown.Files(rec.Seed)
	if err != nil {
		return nil, err
	}
	in := func(name string) string { return filepath.Join(h.Path(rec.Name), name) }
	base := filepath.Join(h.Dir, basesDir, rec.Base)
	p := &Plan{home: h, Steps: []Step{
		{Do: "directory", Path: h.Path(rec.Name)},
		{Do: "base", Path: base, From: rec.Image, Format: im.format},
		{Do: "disk", Path: in(diskFile), From: base, Size: rec.Disk, Format: im.format},
	}}
	part := func(path string, visible, files []seed.File) {
		s := Step{Do: "seed", Path: path, files: files, seed: rec.Seed}
		for _, f := range visible {
			s.Files = append(s.Files, Part{f.Name, string(f.Data)})
		}
		p.Steps = append(p.Steps, s)
	}
	if rec.medium() != "" {
		part(in(rec.medium()), visible, files)
	} else {
		p.Steps = append(p.Steps, Step{Do: "directory", Path: in(firmwareDir)})
		for i, f := range files {
			part(filepath.Join(in(firmwareDir), f.Name), visible[i:i+1], files[i:i+1])
			rec.Firmware = append(rec.Firmware, f.Name)
		}
	}
	p.Record, p.Steps = rec, append(p.Steps, Step{Do: "record", Path: in(recordFile)})
	return p, nil
}

// Do makes the machine. If a step fails, exactly what was made is removed again.
func (p *Plan) Do(ctx context.Context) (err error) {
	if err := os.MkdirAll(filepath.Join(p.home.Dir, basesDir), 0o700); err != nil {
		return fault.Wrap(fault.Preflight, fmt.Errorf("cannot keep machines: %w", err))
	}
	unlock, err := p.home.lock()
	if err != nil {
		return err
	}
	defer unlock()
	var made []string
	defer func() {
		for i := len(made) - 1; err != nil && i >= 0; i-- {
			err = errors.Join(err, os.Remove(made[i]))
		}
	}()
	for _, s := range p.Steps {
		if err := ctx.Err(); err != nil {
			return err
		}
		did, err := p.step(ctx, s)
		if did {
			made = append(made, s.Path)
		}
		if err != nil {
			return fmt.Errorf("machine %s: %s %s: %w", p.Record.Name, s.Do, s.Path, err)
		}
	}
	return draft.SyncDir(p.home.Path(p.Record.Name))
}

// step does one step, and says whether there is something now that was not there before.
func (p *Plan) step(ctx context.Context, s Step) (did bool, err error) {
	switch s.Do {
	case "directory":
		err := os.Mkdir(s.Path, 0o700)
		if errors.Is(err, fs.ErrExist) {
			return false, fault.Newf(fault.Choice, "it is there already")
		}
		return err == nil, err
	case "base":
		return share(s.From, s.Path)
	case "record":
		rec := p.Record
		rec.Made = time.Now().UTC().Truncate(time.Second)
		rec.Inputs = maps.Clone(rec.Inputs)
		data, err := json.MarshalIndent(rec, "", " ")
		if err != nil {
			return false, err
		}
		err = draft.Write(s.Path, append(data, '\n'), 0o600)
		return err == nil, err
	}
	f, err := os.OpenFile(s.Path, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return false, err
	}
	if s.Do == "disk" {
		// By a name that stays right when the whole home is moved.
		err = qcow2.CreateBacked(f, s.Size, "../"+basesDir+"/"+filepath.Base(s.From), s.Format)
	} else {
		err = seed.Write(ctx, f, s.seed, s.files)
	}
	return true, errors.Join(err, f.Close())
}

// share gives an image a second name that lasts as long as machines stand on it, whatever
// becomes of the first. On another file system it is copied, where that can be by reference.
func share(from, to string) (bool, error) {
	if _, err := os.Lstat(to); err == nil {
		return false, nil
	}
	err := os.Link(from, to)
	if err == nil {
		return true, nil
	}
	in, err := input.Open(from)
	if err != nil {
		return false, err
	}
	defer in.Close()
	info, err := in.Stat()
	if err != nil {
		return false, err
	}
	out, err := draft.Create(filepath.Dir(to))
	if err != nil {
		return false, err
	}
	defer out.Discard()
	if err := unix.IoctlFileClone(int(out.Fd()), int(in.Fd())); err != nil {
		if err := sparse.Copy(out.File, 0, in, 0, info.Size(), nil); err != nil {
			return false, err
		}
	}
	err = out.Publish(to, 0o400)
	return err == nil, err
}

// lock keeps two from making and sweeping bases at once.
func (h Home) lock() (func(), error) {
	f, err := os.OpenFile(filepath.Join(h.Dir, ".lock"), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return func() { _ = f.Close() }, nil
}
