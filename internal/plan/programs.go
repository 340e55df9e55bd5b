package plan

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"ingot/internal/artifact"
	"ingot/internal/digest"
	"ingot/internal/distro"
	"ingot/internal/supply"
	"ingot/internal/tree"
)

// StationPackages are the programs that scripts find beside the image: what every Debian
// machine has, and what diskimage-builder asks its host to have.
var StationPackages = []string{
	"base-files", "base-passwd", "bash", "bzip2", "ca-certificates", "coreutils", "cpio", "curl", "dash", "debianutils", "diffutils", "dosfstools", "dpkg",
	"e2fsprogs", "file", "findutils", "gawk", "genisoimage", "git", "gnupg", "gpgv", "grep", "gzip", "hostname", "jq", "kmod", "libc-bin", "mount", "mtools", "ncurses-bin",
	"openssl", "perl-base", "procps", "python3-minimal", "rsync", "sed", "tar", "util-linux", "uuid-runtime", "xz-utils", "zstd",
}

// Programs gives the directory of a station's programs, which is made if it is not there.
func (r *Runner) Programs(ctx context.Context, refs []distro.Ref) (string, error) {
	return r.programs(ctx, refs, 0)
}

// programs lays out the tools tree as a directory, for stations to show; it is made once
// and kept in the cache.
func (r *Runner) programs(ctx context.Context, refs []distro.Ref, epoch int64) (string, error) {
	base, err := r.Supply.Cache.Sub("stations")
	if err != nil {
		return "", err
	}
	path := filepath.Join(base, digest.Of([]byte(strings.Join(refIDs(refs), "\n"))).String()[:24])
	if _, err := os.Stat(path); err == nil || !errors.Is(err, fs.ErrNotExist) {
		return path, err
	}
	pkgs, err := r.Supply.Unpacked(ctx, refs, supply.Meter{})
	if err != nil {
		return "", fmt.Errorf("tools tree: %w", err)
	}
	laid, err := r.Distro.Lay(pkgs, r.HostArch, epoch)
	if err != nil {
		return "", fmt.Errorf("tools tree: %w", err)
	}
	reader := tree.NewReader(r.Supply.Cache)
	defer func() { _ = reader.Close() }()
	if laid, err = linked(laid); err != nil {
		return "", fmt.Errorf("tools tree: %w", err)
	}
	if err := artifact.WriteDir(ctx, path, laid, reader); err != nil {
		return "", fmt.Errorf("tools tree: %w", err)
	}
	return path, nil
}

// linked makes the few links that scripts of packages would have made and that other
// scripts count on.
func linked(t tree.Tree) (tree.Tree, error) {
	var set []tree.Entry
	for link, target := range map[string]string{"usr/bin/awk": "gawk", "usr/bin/which": "which.debianutils", "usr/bin/pager": "more", "usr/bin/mkisofs": "genisoimage"} {
		_, taken := t.Lookup(link)
		if _, ok := t.Lookup("usr/bin/" + target); ok && !taken {
			set = append(set, tree.Entry{Path: link, Kind: tree.Symlink, Mode: 0o777, Link: target})
		}
	}
	for _, dir := range []string{"usr/local", "usr/local/bin", "usr/local/sbin"} {
		if _, ok := t.Lookup(dir); !ok {
			set = append(set, tree.Entry{Path: dir, Kind: tree.Dir, Mode: 0o755})
		}
	}
	return t.Apply(tree.Delta{Set: set})
}
