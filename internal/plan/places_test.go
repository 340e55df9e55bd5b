package plan

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"ingot/internal/artifact"
	"ingot/internal/distro"
	"ingot/internal/fault"
)

// TestPlaces builds where something is in the way. What ingot has not made stays, and
// nothing runs.
func TestPlaces(t *testing.T) {
	f := newFactory(t)
	if _, err := f.Run(t.Context(), f.plan(t)); err != nil {
		t.Fatal(err)
	}
	made := f.To
	papers := func(to string) error { // with a directory that is what it was once
		var all error
		names, err := filepath.Glob(made + "/*.*")
		for _, name := range append(names, made+"/"+artifact.SumsName) {
			data, err := os.ReadFile(name)
			all = errors.Join(all, err, os.WriteFile(filepath.Join(to, filepath.Base(name)), data, 0o600))
		}
		return errors.Join(all, err, os.Mkdir(to+"/web-amd64", 0o755), os.WriteFile(to+"/web-amd64/old", nil, 0o600))
	}
	for _, c := range []struct {
		summary string
		happens func(to string) error
		code    fault.Code
		want    string // what the error says
		stays   string // a path below to
	}{
		{"a directory of somebody's", func(to string) error {
			return errors.Join(os.Mkdir(to+"/web-amd64", 0o755), os.WriteFile(to+"/web-amd64/thesis", nil, 0o600))
		}, fault.Choice, "web-amd64 is there already, and nothing says that ingot made it", "web-amd64/thesis"},
		{"a directory of somebody's, with papers of another", func(to string) error {
			return errors.Join(os.Mkdir(to+"/web-amd64", 0o755), os.WriteFile(to+"/web-amd64/thesis", nil, 0o600),
				os.WriteFile(to+"/web-amd64.manifest.json", []byte(`{"schema":1,"file":"other-amd64","format":"dir"}`), 0o600))
		}, fault.Choice, "nothing says that ingot made it", "web-amd64/thesis"},
		{"a link to a directory", func(to string) error {
			return errors.Join(os.Mkdir(to+"/elsewhere", 0o755), os.Symlink("elsewhere", to+"/web-amd64"))
		}, fault.Choice, "web-amd64 is there already, and is not a directory", "web-amd64"},
		{"a file where a directory goes", func(to string) error { return os.WriteFile(to+"/web-amd64", nil, 0o600) }, fault.Choice, "is not a directory", "web-amd64"},
		{"an empty directory", func(to string) error { return os.Mkdir(to+"/web-amd64", 0o755) }, fault.Done, "", ""},
		{"a directory where a file goes", func(to string) error { return os.Mkdir(to+"/web-amd64.tar", 0o755) }, fault.Choice, "web-amd64.tar is a directory, and a file goes there", "web-amd64.tar"},
		{"a directory where a paper goes", func(to string) error { return os.Mkdir(to+"/web-amd64.tar.spdx.json", 0o755) }, fault.Choice, "web-amd64.tar.spdx.json is a directory", "web-amd64.tar.spdx.json"},
		{"a directory where a seal goes", func(to string) error { return os.Mkdir(to+"/web-amd64.container.seal", 0o755) }, fault.Choice, "web-amd64.container.seal is a directory", "web-amd64.container.seal"},
		{"a directory where checksums go", func(to string) error { return os.Mkdir(to+"/SHA256SUMS", 0o755) }, fault.Choice, "SHA256SUMS: it is a directory", "SHA256SUMS"},
		{"a pipe where checksums go", func(to string) error { return unix.Mkfifo(to+"/SHA256SUMS", 0o600) }, fault.Choice, "SHA256SUMS: it is a pipe", "SHA256SUMS"},
		{"checksums without end", func(to string) error {
			return errors.Join(os.WriteFile(to+"/SHA256SUMS", nil, 0o600), os.Truncate(to+"/SHA256SUMS", 1<<40))
		}, fault.Choice, "larger than 16 MiB", "SHA256SUMS"},
		{"a file where the artifacts go", func(to string) error { return errors.Join(os.Remove(to), os.WriteFile(to, nil, 0o600)) }, fault.Preflight, "cannot make the directory of the artifacts", ""},
		{"a link to nothing where the artifacts go", func(to string) error { return errors.Join(os.Remove(to), os.Symlink("nowhere", to)) }, fault.Preflight, "cannot make the directory of the artifacts", ""},
		{"what ingot made", papers, fault.Done, "", ""},
		{"what ingot made, and its seal and other papers are gone", func(to string) error {
			return errors.Join(papers(to), os.Remove(to+"/web-amd64.container.seal"), os.Remove(to+"/web-amd64.spdx.json"), os.Remove(to+"/"+artifact.SumsName))
		}, fault.Done, "", ""},
		// So it is when a build is killed between the two.
		{"papers without their directory", func(to string) error {
			return errors.Join(papers(to), os.RemoveAll(to+"/web-amd64"))
		}, fault.Done, "", ""},
	} {
		t.Run(c.summary, func(t *testing.T) {
			f.To = filepath.Join(t.TempDir(), "out")
			if err := errors.Join(os.Mkdir(f.To, 0o755), c.happens(f.To)); err != nil {
				t.Fatal(err)
			}
			got, err := f.Run(t.Context(), f.plan(t))
			if fault.CodeOf(err) != c.code || err != nil && (!strings.Contains(err.Error(), c.want) || fault.HintOf(err) == "") {
				t.Errorf("code %d, %v, hint %q; want %d and %q", fault.CodeOf(err), err, fault.HintOf(err), c.code, c.want)
			}
			if err != nil && got != nil {
				t.Error("something ran")
			}
			if _, err := os.Lstat(filepath.Join(f.To, c.stays)); err != nil && c.stays != "" {
				t.Error(err)
			}
			if c.code == fault.Done {
				if _, err := os.Stat(f.To + "/web-amd64/etc/motd"); err != nil {
					t.Error(err)
				}
			}
		})
	}
}

// describing is called when papers are made.
type describing struct {
	distro.Distro
	called func()
}

func (d describing) Describe(p distro.Package) distro.Description {
	d.called()
	return d.Distro.Describe(p)
}

// TestPapersFirst looks what is there when the papers of a directory are made: it must not
// yet be, since without them it is nobody's, and a build that is killed here would leave
// it in the way of the next.
func TestPapersFirst(t *testing.T) {
	f := newFactory(t)
	p := f.plan(t)
	p.Chains[0].Outputs = p.Chains[0].Outputs[1:]
	calls := 0
	f.Supply.Distro = describing{f.Supply.Distro, func() {
		calls++
		if _, err := os.Lstat(f.To + "/web-amd64"); err == nil {
			t.Error("the directory is there before its papers")
		}
	}}
	if _, err := f.Run(t.Context(), p); err != nil || calls == 0 {
		t.Errorf("%v; %d packages were described", err, calls)
	}
}
