package lxc

import (
	"fmt"
	"io/fs"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"ingot/internal/tree"
)

func text(files []File) string {
	var b strings.Builder
	for _, f := range files {
		fmt.Fprintf(&b, "%s\n", f.Path)
		for line := range strings.Lines(string(f.Data)) {
			b.WriteString("  " + line)
		}
	}
	return b.String()
}

func TestFiles(t *testing.T) {
	devices, err := tree.New([]tree.Entry{
		{Kind: tree.Dir}, {Path: "dev", Kind: tree.Dir},
		{Path: "dev/null", Kind: tree.Char}, {Path: "dev/sda", Kind: tree.Block}, {Path: "dev/a b;*", Kind: tree.Char}, {Path: "dev/log", Kind: tree.Fifo},
	})
	if err != nil {
		t.Fatal(err)
	}
	const include = "  lxc.include = LXC_TEMPLATE_CONFIG/"
	old := func(name, arch string, includes ...string) string {
		var b strings.Builder
		for level := 1; level <= 4; level++ {
			fmt.Fprintf(&b, "%s.%d\n", name, level)
			for _, i := range includes {
				b.WriteString(include + i + "\n")
			}
			b.WriteString("  lxc.arch = " + arch + "\n")
		}
		return b.String()
	}
	for _, c := range []struct {
		summary string
		meta    Meta
		want    string
	}{
		{
			"the least", Meta{Arch: "i386"}, "config\n" + include + "common.conf\n  lxc.arch = linux32\n" +
				"config-user\n" + include + "common.conf\n" + include + "userns.conf\n  lxc.arch = linux32\n" +
				old("config-user", "linux32", "debian.common.conf", "debian.userns.conf") + old("config", "linux32", "debian.common.conf") +
				"excludes-user\ntemplates\n",
		},
		{
			"all", Meta{Arch: "arm64", Tree: devices, Templates: []string{"etc/hostname", "etc/hosts"}, Expiry: 1797732670, Message: "hello\nyou"},
			"config\n" + include + "common.conf\n  lxc.arch = linux64\n" +
				"config-user\n" + include + "common.conf\n" + include + "userns.conf\n  lxc.arch = linux64\n" +
				old("config-user", "linux64", "debian.common.conf", "debian.userns.conf") + old("config", "linux64", "debian.common.conf") +
				"create-message\n  hello\n  you\nexcludes-user\n  ./dev/a?b??\n  ./dev/null\n  ./dev/sda\nexpiry\n  1797732670\ntemplates\n  /etc/hostname\n  /etc/hosts\n",
		},
	} {
		t.Run(c.summary, func(t *testing.T) {
			if d := cmp.Diff(c.want, text(c.meta.Files())); d != "" {
				t.Errorf("(-want +got):\n%s", d)
			}
		})
	}
}

func TestNamed(t *testing.T) {
	const rest = "127.0.0.1\tlocalhost\n"
	for _, c := range []struct{ summary, host, name, hostname, hosts, want string }{
		{"as ingot writes them", "web", Name, "web\n", rest + "127.0.1.1\tweb\n\n::1 x\n", "etc/hostname\n  LXC_NAME\netc/hosts\n  " + rest + "  127.0.1.1\tLXC_NAME\n  \n  ::1 x\n"},
		{"with a domain", "web.example.org", Name, "web.example.org\n", "127.0.1.1\tweb.example.org web\n", "etc/hostname\n  LXC_NAME\netc/hosts\n  127.0.1.1\tLXC_NAME\n"},
		{"taken away", "web", "", "web\n", rest + "127.0.1.1\tweb\n", "etc/hostname\n  \netc/hosts\n  " + rest},
		{"by somebody else", "web", Name, "other\n", "127.0.1.1\tother\n127.0.1.2\tweb\n", ""},
		{"not there", "web", Name, "", "", ""},
	} {
		t.Run(c.summary, func(t *testing.T) {
			read := func(path string) ([]byte, error) {
				data := map[string]string{"etc/hostname": c.hostname, "etc/hosts": c.hosts}[path]
				if data == "" {
					return nil, fs.ErrNotExist
				}
				return []byte(data), nil
			}
			if d := cmp.Diff(c.want, text(Named(c.host, c.name, read))); d != "" {
				t.Errorf("(-want +got):\n%s", d)
			}
		})
	}
}

func TestIncus(t *testing.T) {
	i := Incus{Name: "web", Distro: "debian", Release: "bookworm", Arch: "amd64", Epoch: 1_750_000_000}
	const head = "metadata.yaml\n  architecture: x86_64\n  creation_date: 1750000000\n"
	const properties = `  properties:
    architecture: "x86_64"
    description: "web: Debian bookworm amd64 (20250615_1506)"
    name: "debian-bookworm-amd64-web-20250615_1506"
    os: "Debian"
    release: "bookworm"
    serial: "20250615_1506"
    variant: "web"
`
	if d := cmp.Diff(head+properties, text(i.Files())); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
	i.Expiry, i.Templates = 1_760_000_000, []File{{"etc/hostname", []byte(InstanceName + "\n")}}
	const templates = "  templates:\n    \"/etc/hostname\":\n      when: [create, copy]\n      template: \"hostname.tpl\"\ntemplates/hostname.tpl\n  {{ container.name }}\n"
	if d := cmp.Diff(head+"  expiry_date: 1760000000\n"+properties+templates, text(i.Files())); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
}
