package main_test

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"ingot/internal/element/elementtest"
	"ingot/internal/judge"
)

// A shipped element of diskimage-builder, what it is told, and what is to be in the image
// for it: a line an expectation, see [seen].
type shipped struct {
	element string
	env     []string // NAME=VALUE
	args    []string
	full    bool // takes minutes of its own: not in the sample
	want    string
}

// shippedElements are those that build on one another without getting into each other's
// way: one image has them all.
var shippedElements = []shipped{
	{element: "debian", want: `
		package cloud-init cloud-initramfs-growroot bash-completion openssh-server netplan.io isc-dhcp-client
		absent sysvinit
		file /etc/apt/preferences.d/sysvinit 0644 0:0 Package: sysvinit
		none /usr/sbin/policy-rc.d
		file /etc/machine-id 0444 0:0 uninitialized`},
	{element: "apt-conf", env: []string{"DIB_APT_CONF=/srv/apt.conf"}, args: []string{"--file", "lent/apt.conf:/srv/apt.conf"}, want: `file /etc/apt/apt.conf 0644 0:0 Acquire::Queue-Mode "host";`},
	{element: "apt-sources", env: []string{"DIB_APT_SOURCES=lent/sources.list"}, want: `file /etc/apt/sources.list 0644 0:0 # of mine`},
	{element: "apt-preferences", env: []string{"DIB_DPKG_MANIFEST=lent/manifest"}, want: `
		file /etc/apt/preferences 0600 0:0 Package: tzdata
		file /etc/apt/preferences 0600 0:0 Pin-Priority: 1001`},
	{element: "autoupdates", env: []string{"DIB_DEB_UPDATES_CONF=lent/updates"}, want: `
		package unattended-upgrades
		unit multi-user.target.wants/unattended-upgrades.service
		file /etc/apt/apt.conf.d/50unattended-upgrades 0644 0:0 Unattended-Upgrade::Mail "root";`},
	{element: "cache-url", want: `
		package curl
		file /usr/local/bin/cache-url 0755 0:0 time_cond`},
	{element: "cloud-init", env: []string{"DIB_CLOUD_INIT_ALLOW_SSH_PWAUTH=1"}, want: `
		package cloud-init
		unit cloud-init.target.wants/cloud-config.service
		unit cloud-init.target.wants/cloud-final.service
		unit cloud-init.target.wants/cloud-init-local.service
		unit cloud-init.target.wants/cloud-init.service
		file /etc/cloud/cloud.cfg 0644 0:0 ssh_pwauth: 1
		file /etc/cloud/cloud.cfg 0644 0:0 ssh_genkeytypes:  ['rsa', 'ecdsa', 'ed25519']`},
	{element: "cloud-init-datasources", env: []string{"DIB_CLOUD_INIT_DATASOURCES=Ec2, ConfigDrive"}, want: `
		file /etc/cloud/cloud.cfg.d/91-dib-cloud-init-datasources.cfg 0644 0:0 datasource_list: [  Ec2, ConfigDrive, None ]
		file /etc/cloud/cloud.cfg.d/92-ec2-datasource.cfg 0644 0:0 strict_id: false
		file /etc/cloud/cloud.cfg.d/93-dib-cloud-init-disable-datasource-network-activation.cfg 0644 0:0 disable_network_activation: true`},
	{element: "cloud-init-disable-resizefs", want: `
		lacks /etc/cloud/cloud.cfg ^ - resizefs$
		lacks /etc/cloud/cloud.cfg ^ - growpart$
		file /etc/cloud/cloud.cfge 0644 0:0 cloud_init_modules`},
	{element: "cloud-init-growpart", env: []string{"DIB_CLOUD_INIT_GROWPART_DEVICES=['/', '/var']"}, want: `
		package cloud-guest-utils
		file /etc/cloud/cloud.cfg.d/55-growpart.cfg 0644 0:0     devices: ['/', '/var']`},
	{element: "devuser", env: []string{
		"DIB_DEV_USER_USERNAME=ops", "DIB_DEV_USER_SHELL=/bin/bash", "DIB_DEV_USER_PWDLESS_SUDO=yes", "DIB_DEV_USER_PASSWORD=hunter2",
		"DIB_DEV_USER_AUTHORIZED_KEYS=lent/keys",
	}, want: `
		package sudo
		file /etc/passwd 0644 0:0 ops:x:1000:1000::/home/ops:/bin/bash
		file /etc/shadow 0640 0:42 ops:$y$
		file /etc/sudoers.d/ops 0440 0:0 ops ALL=(ALL) NOPASSWD:ALL
		file /home/ops/.ssh/authorized_keys 0644 1000:1000 ssh-ed25519 AAAA mine`},
	{element: "dhcp-all-interfaces", env: []string{"DIB_DHCP_TIMEOUT=17"}, want: `
		package isc-dhcp-client ifupdown ndisc6
		file /usr/local/sbin/dhcp-all-interfaces.sh 0755 0:0 CONF_TYPE
		file /usr/lib/systemd/system/dhcp-interface@.service 0644 0:0 TimeoutStartSec=34s
		file /etc/dhcp/dhclient.conf 0644 0:0 timeout 17;
		file /etc/udev/rules.d/99-dhcp-all-interfaces.rules 0644 0:0 dhcp-interface@$name.service
		file /etc/network/interfaces 0644 0:0 source /etc/network/interfaces.d/*`},
	{element: "dib-python", env: []string{"DIB_PYTHON_VERSION=3"}, want: `
		package python3
		file /probe/python 0644 0:0 /usr/bin/python3
		none /usr/bin/dib-python`},
	{element: "disable-nouveau", want: `file /etc/modprobe.d/disable-nouveau.conf 0644 0:0 blacklist nouveau`},
	{element: "dkms", full: true, want: `
		package dkms
		file /etc/dkms/framework.conf 0644 0:0 `},
	{element: "dynamic-login", want: `
		file /usr/local/bin/dynamic-login 0755 0:0 rootpwd=
		file /usr/lib/systemd/system/dynamic-login.service 0644 0:0 ExecStart=/usr/local/bin/dynamic-login
		unit multi-user.target.wants/dynamic-login.service`},
	{element: "element-manifest", want: `
		file /etc/dib-manifests/dib-element-manifest 0600 0:0 element-manifest
		side @.d/dib-manifests/dib-element-manifest element-manifest`},
	{element: "enable-serial-console", want: `file /etc/udev/rules.d/99-serial-console.rules 0644 0:0 getty@$name.service`},
	{element: "ensure-venv", want: `package python3-venv`},
	{element: "epel", want: `file /usr/share/pkg-map/epel 0644 0:0 `},
	{element: "fail2ban", env: []string{"DIB_FAIL2BAN_CONF=lent/jail"}, want: `
		package fail2ban
		unit multi-user.target.wants/fail2ban.service
		file /etc/fail2ban/jail.local 0644 0:0 bantime = 2h`},
	{element: "growroot", want: `
		package cloud-utils e2fsprogs
		file /usr/local/sbin/growroot 0755 0:0 ID_PART_ENTRY_DISK
		file /usr/lib/systemd/system/growroot.service 0644 0:0 ExecStart=/usr/local/sbin/growroot
		unit multi-user.target.wants/growroot.service`},
	{element: "growvols", env: []string{"DIB_GROWVOLS_TRIGGER=systemd", "DIB_GROWVOLS_ARGS=/=10%"}, want: `
		package lvm2 xfsprogs parted gdisk
		file /usr/local/sbin/growvols 0755 0:0 #!/usr/bin/python3
		file /etc/default/growvols 0644 0:0 GROWVOLS_ARGS="/=10%"
		unit multi-user.target.wants/growvols.service`},
	{element: "grub2", want: `
		package grub-efi-amd64-signed shim-signed grub-pc-bin
		file /usr/lib/shim/shimx64.efi.signed 0644 0:0 `},
	{element: "ibft-interfaces", want: `
		package open-iscsi
		file /etc/modules-load.d/ibft.conf 0644 0:0 iscsi_ibft
		file /usr/local/sbin/init-ibft-interfaces.sh 0755 0:0 iscsistart
		unit multi-user.target.wants/init-ibft-interfaces.service`},
	{element: "iscsi-boot", full: true, want: `
		package open-iscsi
		file /etc/iscsi/iscsi.initramfs 0644 0:0 ISCSI_AUTO=true`},
	{element: "journal-to-console", want: `file /etc/systemd/journald.conf.d/log-to-console.conf 0644 0:0 ForwardToConsole=true`},
	{element: "local-config", args: []string{"--file", "lent/keys:/root/.ssh/authorized_keys"}, want: `
		file /root/.ssh/authorized_keys 0600 0:0 ssh-ed25519 AAAA mine
		file /etc/apt/apt.conf.d/02-no-proxy 0644 0:0 DIRECT
		none /etc/apt/apt.conf.d/02-use-http-proxy`},
	{element: "nm-dhcp-ib-interfaces", want: `file /etc/NetworkManager/system-connections/infiniband.nmconnection 0600 0:0 id=infiniband`},
	{element: "openstack-ci-mirrors", want: `file /etc/apt/apt.conf.d/99unauthenticated 0644 0:0 APT::Get::AllowUnauthenticated "true";`},
	{element: "pip-and-virtualenv", env: []string{"DIB_INSTALLTYPE_pip_and_virtualenv=package"}, want: `
		package python3-pip python3-virtualenv python3-venv
		none /tmp/get-pip.py`},
	{element: "pip-cache", want: `
		file /probe/pip 0644 0:0 cache /tmp/pip mounted
		none /tmp/pip`},
	{element: "pypi", env: []string{"DIB_PYPI_MIRROR_URL=http://pypi.example/simple"}, want: `
		file /probe/pip 0644 0:0 index-url = http://pypi.example/simple
		none /root/.pip/pip.conf`},
	{element: "select-boot-kernel-initrd", want: `
		file /usr/local/bin/select-boot-kernel-initrd 0755 0:0 img-functions
		file /probe/kernel 0644 0:0 vmlinuz-
		none /usr/lib/diskimage-builder`},
	{element: "selinux-permissive", want: `file /etc/selinux/config 0644 0:0 SELINUX=permissive`},
	{element: "selinux-fixfiles-restore", want: `none /etc/selinux/targeted`},
	{element: "svc-map", want: `
		file /usr/share/svc-map/services 0644 0:0 ours: ssh
		file /probe/service 0644 0:0 ssh`},
	{element: "sysctl", want: `
		file /etc/sysctl.d/net.ipv4.ip_forward.conf 0644 0:0 net.ipv4.ip_forward = 1
		file /usr/local/bin/sysctl-set-value 0755 0:0 `},
	{element: "cleanup-kernel-initrd", want: `like /boot/vmlinuz-`},
	{element: "baremetal", want: `
		like /boot/initrd.img-
		same @.vmlinuz /boot/vmlinuz-
		same @.initrd /boot/initrd.img-`},
	{element: "modprobe", env: []string{"DIB_MODPROBE_BLACKLIST=floppy pcspkr"}, want: `
		file /etc/modprobe.d/blacklist.conf 0644 0:0 blacklist floppy
		file /etc/modprobe.d/blacklist.conf 0644 0:0 blacklist pcspkr`},
	{element: "install-types", want: `file /probe/type 0644 0:0 package`},
	{element: "install-static", want: `
		file /etc/ours.conf 0644 0:0 static
		link /etc/ours.link ours.conf
		none /etc/ours.conf.orig`},
	{element: "base", env: []string{"DIB_CLOUD_INIT_ETC_HOSTS=localhost"}, full: true, want: `
		package open-iscsi apt-transport-https software-properties-common
		file /etc/cloud/cloud.cfg.d/10_etc_hosts.cfg 0644 0:0 manage_etc_hosts: localhost`},
	{element: "posix", full: true, want: `
		package bc ed m4 gawk make patch mailutils man-db cron at
		file /usr/share/pkg-map/posix 0644 0:0 coreutils`},
}

// lentFiles are what variables of the above name on the machine that builds, and an
// element that asks those above for what they offer to others.
var lentFiles = map[string]string{
	"lent/apt.conf":     "Acquire::Queue-Mode \"host\";\n",
	"lent/sources.list": "# of mine\n",
	"lent/manifest":     `{"packages": [{"package": "tzdata", "version": "2025b-0+deb12u1"}]}` + "\n",
	"lent/updates":      "Unattended-Upgrade::Mail \"root\";\n",
	"lent/keys":         "ssh-ed25519 AAAA mine\n",
	"lent/jail":         "[DEFAULT]\nbantime = 2h\n",

	"elements/asks/element-deps":                           "install-types\n",
	"elements/asks/svc-map":                                "ours:\n  debian: ssh\n  default: other\n",
	"elements/asks/static/etc/ours.conf":                   "static\n",
	"elements/asks/static/etc/ours.conf.orig":              "left out, as rsync -C does\n",
	"elements/asks/environment.d/50-asks":                  "export DIB_INSTALLTYPE_asks=${DIB_INSTALLTYPE_asks:-package}\n",
	"elements/asks/install.d/asks-package-install/60-type": "#!/bin/bash\nmkdir -p /probe\necho package >/probe/type\n",
	"elements/asks/install.d/asks-source-install/60-type":  "#!/bin/bash\nmkdir -p /probe\necho source >/probe/type\n",
	"elements/asks/install.d/61-asks": `#!/bin/bash
set -eu
mkdir -p /probe
readlink -f /usr/bin/dib-python | sed 's/python3[.].*/python3/' >/probe/python
svc-map ours >/probe/service
sysctl-write-value net.ipv4.ip_forward 1
echo "cache $PIP_DOWNLOAD_CACHE $(mountpoint -q /tmp/pip && echo mounted)" >/probe/pip
cat ~/.pip/pip.conf >>/probe/pip
`,
	"elements/asks/post-install.d/61-asks": "#!/bin/bash\nselect-boot-kernel-initrd >/probe/kernel\n",
}

// shipped builds one image of all those elements that a level has time for, and looks for
// what each was to do; then holds the image's papers against dpkg.
func (c *court) shipped(t *testing.T) {
	c.shippedOf(t, "")
}

// releases does the same with the elements of testing and unstable, byte for byte as
// their package has them, by ELEMENTS_PATH as people set it.
func (c *court) releases(t *testing.T) {
	judge.Needs(t, judge.Full)
	built := map[string]string{}
	for _, release := range []string{"forky", "sid"} { // trixie's are those that ingot takes by itself
		t.Run(release, func(t *testing.T) {
			dir := elementtest.Upstream(t, release)
			sum, err := dirhash(dir)
			if err != nil {
				t.Fatal(err)
			}
			if same := built[sum]; same != "" {
				t.Skipf("its elements are %s's, which ran: releases that differ make this run", same)
			}
			built[sum] = release
			c.shippedOf(t, dir)
		})
	}
}

// dirhash is a digest of the files below a directory.
func dirhash(dir string) (string, error) {
	h := sha256.New()
	err := filepath.WalkDir(dir, func(name string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		data, err := os.ReadFile(name)
		fmt.Fprintf(h, "%s %x\n", strings.TrimPrefix(name, dir), sha256.Sum256(data))
		return err
	})
	return fmt.Sprintf("%x", h.Sum(nil)), err
}

// shippedOf is the same with the elements of a directory, or those that ingot fetches.
func (c *court) shippedOf(t *testing.T, dir string) {
	full := judge.At() == judge.Full
	p := c.project(t, lentFiles)
	if err := os.Symlink("ours.conf", p.path("elements/asks/static/etc/ours.link")); err != nil {
		t.Fatal(err)
	}
	path := p.path("elements")
	if dir != "" {
		path += ":" + dir
	}
	p.env = []string{"ELEMENTS_PATH=" + path, "DIB_RELEASE=bookworm", "DIB_APT_SOURCES_CONF=default:deb http://ftp.debian.org/debian bookworm main", "INGOT_MIRROR_DEBIAN=" + p.mirror}
	args := []string{"disk-image-create", "-n", "-o", "all", "-t", "tar", "asks"}
	for _, s := range shippedElements {
		if s.full && !full {
			continue
		}
		p.env = append(p.env, s.env...)
		args = append(append(args, s.args...), s.element)
	}
	p.must(t, args...)
	l := look(t, p, "all")
	for _, s := range shippedElements {
		t.Run(s.element, func(t *testing.T) {
			if s.full && !full {
				t.Skip("INGOT_TEST=full runs this")
			}
			l.want(t, s.want)
		})
	}
	t.Run("papers", func(t *testing.T) {
		sums(t, p.dir)
		l.papers(t, p.read(t, "all.tar.manifest.json"))
		for _, name := range []string{"all.lock", "all.request", "all.tar.manifest.json", "all.tar.spdx.json", "all.tar.intoto.json"} {
			if name != "all.request" && strings.Contains(p.read(t, name), "hunter2") {
				t.Errorf("%s shows the password", name)
			}
		}
	})
}

// A looked is an image and the files beside it.
type looked struct {
	p      *project
	name   string
	tree   map[string]entry
	status string
}

func look(t *testing.T, p *project, name string) looked {
	t.Helper()
	tree := readTar(t, p.path(name+".tar"))
	return looked{p, name, tree, tree["/var/lib/dpkg/status"].content}
}

// installed is dpkg's record of a package that is installed.
func (l looked) installed(name string) bool {
	return regexp.MustCompile(`(?m)^Package: ` + regexp.QuoteMeta(name) + "\n(.+\n)*?Status: install ok installed$").MatchString(l.status)
}

// want holds the image against lines of these kinds:
//
//	package NAME…           is installed
//	absent NAME…            is not
//	file PATH MODE UID:GID TEXT  is a file that has TEXT
//	lacks PATH PATTERN      is a file in which no line matches
//	link PATH TARGET        is a symbolic link
//	none PATH               is not there
//	like PREFIX             exactly one path begins so
//	unit WANTS/UNIT         is enabled
//	side NAME TEXT          lies beside the image and has TEXT
//	same NAME PREFIX        lies beside it and is what that one file of the image is
//
// An @ in a NAME is the image's.
func (l looked) want(t *testing.T, text string) {
	t.Helper()
	for line := range strings.Lines(text) {
		line = strings.TrimLeft(strings.TrimSuffix(line, "\n"), "\t")
		if line == "" {
			continue
		}
		kind, rest, _ := strings.Cut(line, " ")
		if got := l.seen(t, kind, rest); got != "" {
			t.Errorf("%s: %s", line, got)
		}
	}
}

// seen says what is otherwise.
func (l looked) seen(t *testing.T, kind, rest string) string {
	t.Helper()
	first, more, _ := strings.Cut(rest, " ")
	switch kind {
	case "package", "absent":
		for name := range strings.FieldsSeq(rest) {
			if l.installed(name) != (kind == "package") {
				return name + " is " + map[bool]string{true: "installed", false: "not installed"}[kind == "absent"]
			}
		}
	case "file":
		f := strings.SplitN(rest, " ", 4)
		e, ok := l.tree[f[0]]
		mode, _ := strconv.ParseUint(f[1], 8, 32)
		if got := fmt.Sprintf("%04o %d:%d", e.mode.Perm(), e.uid, e.gid); !ok || e.link != "" || uint64(e.mode.Perm()) != mode || got != f[1]+" "+f[2] {
			return "it is " + got + " (there: " + strconv.FormatBool(ok) + ")"
		}
		if !strings.Contains(e.content, f[3]) {
			return "it is\n" + tail(e.content, 20)
		}
	case "lacks":
		e, ok := l.tree[first]
		if m := regexp.MustCompile("(?m)" + more).FindString(e.content); !ok || m != "" {
			return fmt.Sprintf("it has %q (there: %v)", m, ok)
		}
	case "link":
		if e := l.tree[first]; e.link != more {
			return "it is " + e.String()
		}
	case "none":
		if e, ok := l.tree[first]; ok {
			return "it is " + tail(e.String(), 3)
		}
	case "like":
		if n := l.alike(first); len(n) != 1 {
			return strings.Join(n, " ")
		}
	case "unit":
		_, unit, _ := strings.Cut(rest, "/")
		e := l.tree["/etc/systemd/system/"+rest]
		if !strings.HasSuffix(e.link, "/systemd/system/"+unit) {
			return "it is " + e.String()
		}
		if _, there := l.tree["/usr/lib/systemd/system/"+unit]; !there && l.tree["/lib"].link != "usr/lib" {
			return "it leads nowhere"
		}
	case "side":
		if text := l.p.read(t, strings.ReplaceAll(first, "@", l.name)); !strings.Contains(text, more) {
			return "it is\n" + tail(text, 10)
		}
	case "same":
		n := l.alike(more)
		if len(n) != 1 {
			return strings.Join(n, " ")
		}
		if text := l.p.read(t, strings.ReplaceAll(first, "@", l.name)); text != l.tree[n[0]].content {
			return fmt.Sprintf("it is another file, of %d bytes", len(text))
		}
	default:
		return "no such expectation"
	}
	return ""
}

// alike are the paths that begin with a text.
func (l looked) alike(prefix string) []string {
	var out []string
	for path := range l.tree {
		if strings.HasPrefix(path, prefix) {
			out = append(out, path)
		}
	}
	slices.Sort(out)
	return out
}

// papers holds the manifest against dpkg's records of the tree: each package that is
// there, and none that is not, with the file that it came from.
func (l looked) papers(t *testing.T, manifest string) {
	t.Helper()
	var m struct {
		Packages []struct{ Name, Version, Arch, SHA256 string }
	}
	if err := json.Unmarshal([]byte(manifest), &m); err != nil {
		t.Fatal(err)
	}
	var got, want []string
	for _, p := range m.Packages {
		got = append(got, p.Name+" "+p.Version+" "+p.Arch)
		if p.SHA256 == "" {
			t.Errorf("%s: its file is not known", p.Name)
		}
	}
	field := func(stanza, name string) string {
		m := regexp.MustCompile(`(?m)^` + name + `: (.*)$`).FindStringSubmatch(stanza)
		if m == nil {
			return ""
		}
		return m[1]
	}
	for stanza := range strings.SplitSeq(l.status, "\n\n") {
		if strings.HasSuffix(field(stanza, "Status"), " installed") {
			want = append(want, field(stanza, "Package")+" "+field(stanza, "Version")+" "+field(stanza, "Architecture"))
		}
	}
	slices.Sort(got)
	slices.Sort(want)
	if len(want) < 100 || !slices.Equal(got, want) {
		t.Errorf("the manifest has\n%s\ndpkg has\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// The reference says of each of them what it was told and looked at for.
func TestShippedReference(t *testing.T) {
	text, err := os.ReadFile("../../docs/reference/elements-debian.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range shippedElements {
		when := "sample"
		if s.full {
			when = "full"
		}
		if !regexp.MustCompile("(?m)^\\| (`[a-z0-9-]+`, )*`" + regexp.QuoteMeta(s.element) + "`.*\\| " + when + " \\|$").MatchString(string(text)) {
			t.Errorf("%s is not there, or is said to be judged otherwise than at level %s", s.element, when)
		}
	}
}
