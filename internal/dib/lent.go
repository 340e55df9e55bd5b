package dib

import (
	"io"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"ingot/internal/definition"
	"ingot/internal/digest"
	"ingot/internal/fault"
)

// Scripts of the host's side see nothing of the machine that builds, but for files that
// somebody lends them: by a variable of which an element documents that it names one, or
// by --file. What they hold is part of the lock, like the elements' own files.

// lending are the variables whose values are paths on the machine that builds: files or
// directories that elements read.
var lending = []string{
	"DIB_ADD_APT_KEYS", "DIB_APT_CONF", "DIB_APT_KEYRING", "DIB_APT_SOURCES", "DIB_DEB_UPDATES_CONF", "DIB_DEBIAN_DEBOOTSTRAP_SCRIPT",
	"DIB_DEV_USER_AUTHORIZED_KEYS", "DIB_DPKG_MANIFEST", "DIB_FAIL2BAN_CONF", "DIB_ILO_FIRMWARE_PATH", "DIB_LOCAL_IMAGE",
	"DIB_OS_CI_YUM_REPOS", "DIB_YUM_MINIMAL_BOOTSTRAP_REPOS", "DIB_YUM_MINIMAL_EXTRA_REPOS", "DIB_YUM_UPDATES_CONF",
}

// lendingPrefix begins the names of variables that may name a file: where
// source-repositories finds a source.
const lendingPrefix = "DIB_REPOLOCATION_"

// lentDir is where scripts find what was named by a relative path.
const lentDir = "/ingot/lent"

// taken are places at the station that are not free for files.
var taken = []string{"/usr", "/proc", "/sys", "/dev", "/ingot/elements", "/ingot/lib", "/ingot/call", "/work", "/tmp/dib_build.ingot", "/tmp/dib_image.ingot", "/bin", "/sbin", "/lib", "/lib64"}

// maxLent bounds all that is lent, in bytes: it is held in memory.
const maxLent = 512 << 20

// Lent reads the files that the request lends to scripts. Variables that name one by a
// relative path name it by another from then on: they are given as a map.
func (r Request) Lent() (files []definition.Lent, variables map[string]string, err error) {
	l := lender{files: map[string]definition.Lent{}}
	variables = map[string]string{}
	for _, name := range slices.Sorted(maps.Keys(r.Environment)) {
		if !slices.Contains(lending, name) && !strings.HasPrefix(name, lendingPrefix) {
			continue
		}
		value := r.Environment[name]
		if from, ok := strings.CutPrefix(value, "file://"); ok {
			value = from
		}
		if strings.Contains(value, "://") || value == "" {
			continue
		}
		if _, err := os.Stat(value); err != nil {
			continue // the element knows what to say of it
		}
		at := filepath.Clean(value)
		if !filepath.IsAbs(value) {
			at = path.Join(lentDir, name, filepath.Base(at))
			variables[name] = at
		}
		if err := l.lend(value, at, name); err != nil {
			return nil, nil, err
		}
	}
	for _, f := range r.Lend {
		from, at, given := strings.Cut(f, ":")
		if !given {
			if at, err = filepath.Abs(from); err != nil {
				return nil, nil, err
			}
		}
		if !path.IsAbs(at) {
			return nil, nil, fault.Newf(fault.Usage, "--file %s: scripts need an absolute path", printable(f))
		}
		if err := l.lend(from, path.Clean(at), "--file"); err != nil {
			return nil, nil, err
		}
	}
	for _, at := range slices.Sorted(maps.Keys(l.files)) {
		files = append(files, l.files[at])
	}
	return files, variables, nil
}

// A lender gathers files by where scripts will find them.
type lender struct {
	files map[string]definition.Lent
	size  int64
}

// lend reads a file, or all files of a directory.
func (l *lender) lend(from, at, who string) error {
	for _, t := range taken {
		if at == t || strings.HasPrefix(at, t+"/") {
			return fault.Newf(fault.Usage, "%s: %s is no place for a file of yours, where scripts run", who, at).
				WithHint("--file %s:/srv/%s puts it elsewhere", from, filepath.Base(from))
		}
	}
	top, err := filepath.EvalSymlinks(from)
	if err != nil {
		return fault.Newf(fault.Definition, "%s: %w", who, err)
	}
	return filepath.WalkDir(top, func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return fault.Newf(fault.Definition, "%s: %w", who, err)
		}
		if d.IsDir() {
			return nil
		}
		info, err := os.Stat(name)
		if err != nil || !info.Mode().IsRegular() {
			return nil //nolint:nilerr // a link that leads nowhere is nobody's file
		}
		data, err := l.read(name, who)
		if err != nil {
			return err
		}
		mode := uint32(0o644)
		if info.Mode()&0o100 != 0 {
			mode = 0o755
		}
		place := at
		if rest, err := filepath.Rel(top, name); err == nil && rest != "." {
			place = path.Join(at, filepath.ToSlash(rest))
		}
		l.files[place] = definition.Lent{Path: place, Mode: mode, Data: data, SHA256: digest.Of(data)}
		return nil
	})
}

func (l *lender) read(name, who string) ([]byte, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, fault.Newf(fault.Definition, "%s: %w", who, err)
	}
	defer func() { _ = f.Close() }() // it was only read
	data, err := io.ReadAll(io.LimitReader(f, maxLent-l.size+1))
	if err != nil {
		return nil, fault.Newf(fault.Definition, "%s: %w", who, err)
	}
	if l.size += int64(len(data)); l.size > maxLent {
		return nil, fault.Newf(fault.Definition, "%s: more than %d MiB are lent to scripts", who, maxLent>>20).
			WithHint("let them fetch it by http: what is fetched is in the lock too")
	}
	return data, nil
}
