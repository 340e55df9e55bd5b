package bls

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"ingot/internal/digest"
	"ingot/internal/fault"
	"ingot/internal/host"
	"ingot/internal/input"
)

const (
	listFile    = "files"   // SHA-256, size and name of each of the others; written last
	optionsFile = "options" // the kernel's arguments; the system's title
	maxList     = 4096
)

// A listed is one file of a layer's.
type listed struct {
	sum  digest.Digest
	size int64
	name string
}

// home is a layer's directory.
func home(layer host.Name) string { return kernelsDir + "/" + layer.String() }

// files reads a layer's list.
func (p *Partition) files(layer host.Name) ([]listed, error) {
	data, err := input.ReadIn(p.root, home(layer)+"/"+listFile, maxList)
	if err != nil {
		return nil, err
	}
	text, ok := strings.CutSuffix(string(data), "\nend\n")
	if !ok {
		return nil, errors.New("its list of files breaks off")
	}
	var out []listed
	for _, line := range strings.Split(text, "\n") {
		f := strings.Fields(line)
		if len(f) != 3 {
			return nil, fmt.Errorf("%.80q is no line of a list of files", line)
		}
		sum, err := digest.Parse(f[0])
		if err != nil {
			return nil, err
		}
		size, err := strconv.ParseInt(f[1], 10, 64)
		if err != nil {
			return nil, err
		}
		switch f[2] {
		case "linux", "initrd", optionsFile:
		default:
			return nil, fmt.Errorf("%.80q is no file of a layer's", f[2])
		}
		out = append(out, listed{sum, size, f[2]})
	}
	return out, nil
}

// whole is why a layer's files are not whole.
func (p *Partition) whole(layer host.Name) error {
	files, err := p.files(layer)
	if err != nil {
		return err
	}
	has := map[string]bool{}
	for _, f := range files {
		has[f.name] = true
		info, err := p.root.Stat(home(layer) + "/" + f.name)
		if err != nil {
			return err
		}
		if info.Size() != f.size || !info.Mode().IsRegular() {
			return fmt.Errorf("%s has %d bytes and not %d", f.name, info.Size(), f.size)
		}
		if !p.Deep {
			continue
		}
		if sum, err := p.sum(home(layer) + "/" + f.name); err != nil || sum != f.sum {
			return errors.Join(err, fmt.Errorf("%s is another file than the one that was written", f.name))
		}
	}
	if !has["linux"] || !has[optionsFile] {
		return errors.New("its list of files has no kernel")
	}
	return nil
}

// sum reads a file from the disk.
func (p *Partition) sum(name string) (digest.Digest, error) {
	f, err := input.OpenIn(p.root, name)
	if err != nil {
		return digest.Digest{}, err
	}
	defer f.Close()
	if err := unix.Fadvise(int(f.Fd()), 0, 0, unix.FADV_DONTNEED); err != nil { // else memory would be read back
		return digest.Digest{}, err
	}
	sum, _, err := digest.Reader(f)
	return sum, err
}

// copy puts what starts a layer onto the partition.
func (p *Partition) copy(ctx context.Context, layer host.Name) (err error) {
	start, err := p.Layers.Start(ctx, layer)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, start.Close()) }()
	if err := p.alone(layer); err != nil {
		return err
	}
	options := strings.Join(strings.Fields(start.Arguments), " ") + "\n" + strings.Join(strings.Fields(start.Title), " ") + "\n"
	sources := []struct {
		name string
		from io.Reader
		file *os.File
	}{{name: "linux", from: start.Linux, file: start.Linux}, {name: "initrd", file: start.Initrd}, {name: optionsFile, from: strings.NewReader(options)}}
	var need int64
	for _, s := range sources {
		if s.file != nil {
			info, err := s.file.Stat()
			if err != nil {
				return err
			}
			need += info.Size()
		}
	}
	if err := p.drop(layer); err != nil {
		return err
	}
	if err := p.room(layer, need+1<<16); err != nil {
		return err
	}
	if err := p.root.MkdirAll(home(layer), 0o755); err != nil {
		return err
	}
	var list strings.Builder
	for _, s := range sources {
		if s.name == "initrd" {
			if s.file == nil {
				continue
			}
			s.from = s.file
		}
		size, sum, err := p.put(ctx, home(layer)+"/"+s.name, s.from)
		if err != nil {
			return err
		}
		fmt.Fprintf(&list, "%s %d %s\n", sum, size, s.name)
	}
	if err := p.flush(); err != nil {
		return err
	}
	_, _, err = p.put(ctx, home(layer)+"/"+listFile, strings.NewReader(list.String()+"end\n"))
	return err
}

// alone refuses a layer whose name FAT takes for another's: it knows no case.
func (p *Partition) alone(layer host.Name) error {
	found, err := p.list(kernelsDir)
	if err != nil {
		return err
	}
	for _, d := range found {
		if name := layer.String(); strings.EqualFold(d.Name(), name) && d.Name() != name {
			return fault.Newf(fault.Preflight, "%s and %s are one name on the boot partition", d.Name(), name).WithHint("call the image otherwise, or remove %s", d.Name())
		}
	}
	return nil
}

// room refuses what does not fit.
func (p *Partition) room(layer host.Name, need int64) error {
	var st unix.Statfs_t
	if err := unix.Statfs(p.Dir, &st); err != nil {
		return fmt.Errorf("boot partition %s: %w", p.Dir, err)
	}
	if free := int64(st.Bavail) * int64(st.Bsize); free < need {
		return fault.Newf(fault.Preflight, "the boot partition %s has %d bytes free, and kernel and initramfs of %s need %d", p.Dir, free, layer, need).
			WithHint("\"ingot host gc\" makes room")
	}
	return nil
}

// put writes a file, flushes it, and reads it back.
func (p *Partition) put(ctx context.Context, name string, from io.Reader) (int64, digest.Digest, error) {
	f, err := p.root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return 0, digest.Digest{}, err
	}
	h := sha256.New()
	size, err := io.Copy(io.MultiWriter(f, h), from)
	if err == nil {
		err = ctx.Err()
	}
	if err == nil {
		err = f.Sync()
	}
	if err := errors.Join(err, f.Close()); err != nil {
		return 0, digest.Digest{}, err
	}
	sum, err := p.sum(name)
	if err == nil && sum != digest.From(h) {
		err = fault.Newf(fault.Failed, "%s/%s reads other than it was written", p.Dir, name).WithHint("the disk or its file system is damaged: unmount it, and run fsck.vfat")
	}
	return size, sum, err
}

// drop removes a layer's files: first the list, without which they are not whole.
func (p *Partition) drop(layer host.Name) error {
	err := p.root.Remove(home(layer) + "/" + listFile)
	switch {
	case err == nil:
		if err := p.syncDir(home(layer)); err != nil {
			return err
		}
	case !errors.Is(err, fs.ErrNotExist):
		return err
	}
	if err := p.root.RemoveAll(home(layer)); err != nil {
		return err
	}
	return p.flush()
}
