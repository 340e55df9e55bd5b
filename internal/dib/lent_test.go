package dib

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// Scripts find what they are lent where a variable says, or --file.
func TestLent(t *testing.T) {
	dir := t.TempDir()
	t.Chdir(dir)
	for name, mode := range map[string]os.FileMode{"a.conf": 0o600, "run": 0o755, "keys/x.gpg": 0o644, "keys/sub/y.gpg": 0o644, "it's odd": 0o644} {
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(name), mode); err != nil {
			t.Fatal(err)
		}
	}
	for link, target := range map[string]string{"keys/nowhere": "none", "link": "a.conf"} {
		if err := os.Symlink(target, link); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct {
		summary, env string
		lend         []string
		want         string
	}{
		{"nothing", "", nil, ""},
		{"an absolute path", "DIB_APT_CONF=" + dir + "/a.conf", nil, dir + "/a.conf 644 a.conf\n"},
		{"a relative one is found elsewhere", "DIB_APT_CONF=a.conf", nil, "/ingot/lent/DIB_APT_CONF/a.conf 644 a.conf\nDIB_APT_CONF=/ingot/lent/DIB_APT_CONF/a.conf\n"},
		{"a directory", "DIB_ADD_APT_KEYS=keys", nil, "/ingot/lent/DIB_ADD_APT_KEYS/keys/sub/y.gpg 644 keys/sub/y.gpg\n/ingot/lent/DIB_ADD_APT_KEYS/keys/x.gpg 644 keys/x.gpg\nDIB_ADD_APT_KEYS=/ingot/lent/DIB_ADD_APT_KEYS/keys\n"},
		{"a variable that names no file", "DIB_APT_CONF=none", nil, ""},
		{"one of which nobody says that it does", "DIB_OTHER=a.conf", nil, ""},
		{"a source's place", "DIB_REPOLOCATION_x=file://" + dir + "/a.conf", nil, dir + "/a.conf 644 a.conf\n"},
		{"a source of a server", "DIB_REPOLOCATION_x=http://a.example/a.conf", nil, ""},
		{"an option", "", []string{"run:/srv/run", "link:/root/.ssh/authorized_keys"}, "/root/.ssh/authorized_keys 644 a.conf\n/srv/run 755 run\n"},
		{"an option alone", "", []string{"it's odd"}, dir + "/it's odd 644 it's odd\n"},
		{"not among programs", "", []string{"run:/usr/bin/run"}, "error: --file: /usr/bin/run is no place"},
		{"not over the elements", "", []string{"run:/ingot/elements"}, "error: --file: /ingot/elements is no place"},
		{"not outside", "", []string{"run:/srv/../usr/x"}, "error: --file: /usr/x is no place"},
		{"not relative", "", []string{"run:here"}, "error: --file run:here: scripts need an absolute path"},
		{"not what is not there", "", []string{"none"}, "error: --file: "},
	} {
		t.Run(c.summary, func(t *testing.T) {
			r := Request{Environment: map[string]string{}, Lend: c.lend}
			if name, value, ok := strings.Cut(c.env, "="); ok {
				r.Environment[name] = value
			}
			files, variables, err := r.Lent()
			var got strings.Builder
			for _, f := range files {
				fmt.Fprintf(&got, "%s %o %s\n", f.Path, f.Mode, f.Data)
			}
			for name, value := range variables {
				fmt.Fprintf(&got, "%s=%s\n", name, value)
			}
			if err != nil {
				if want, ok := strings.CutPrefix(c.want, "error: "); !ok || !strings.HasPrefix(err.Error(), want) {
					t.Errorf("error %v, want %s", err, c.want)
				}
				return
			}
			if got.String() != c.want {
				t.Errorf("got\n%s\nwant\n%s", got.String(), c.want)
			}
		})
	}
}
