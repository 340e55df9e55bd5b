package definition

import (
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// told is what a variant is, in a few lines.
func told(d *Definition) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s [%s] for %s\n", d.FullName(), d.Flavor, strings.Join(d.Arch, " "))
	list := func(key string, values []string) {
		if len(values) > 0 {
			fmt.Fprintf(&b, "  %s %s\n", key, strings.Join(values, " "))
		}
	}
	list("packages", d.Packages)
	list("remove", d.Remove)
	if d.Elements != nil {
		list("elements", d.Elements.Names)
		for _, k := range slices.Sorted(maps.Keys(d.Elements.Environment)) {
			list("variable", []string{k, d.Elements.Environment[k]})
		}
	}
	for _, f := range d.Files {
		fmt.Fprintf(&b, "  file %s %q\n", f.Path, *f.Content)
	}
	for _, u := range d.Users {
		fmt.Fprintf(&b, "  user %s %v\n", u.Name, u.Sudo)
	}
	for _, s := range d.Scripts {
		fmt.Fprintf(&b, "  script %s\n", s.Name)
	}
	list("enable", d.Services.Enable)
	list("disable", d.Services.Disable)
	if d.Kernel.None {
		b.WriteString("  no kernel\n")
	} else {
		fmt.Fprintf(&b, "  kernel %s\n", d.Kernel.Package)
	}
	for _, o := range d.Outputs {
		list("output", []string{o.Format})
	}
	return b.String()
}

// A definition with flavors stands for whole ones.
func TestVariants(t *testing.T) {
	const head = "version: 1\nname: web\ndistro: debian\nrelease: bookworm\noutputs: [qcow2]\n"
	for _, c := range []struct{ name, text, want string }{
		{"none", "", `
web [] for amd64
  kernel linux-image-cloud-amd64
  output qcow2
`},
		{"the design's", `
packages: [nginx]
flavors: {"vmware": {packages: [open-vm-tools], outputs: [vmdk]}, "!kernel": {kernel: none, outputs: [openvz]}}
`, `
web [~kernel,~!vmware is: x86_64] for amd64
  packages nginx
  kernel linux-image-cloud-amd64
  output qcow2
web-vmware [~kernel,vmware is: x86_64] for amd64
  packages nginx open-vm-tools
  kernel linux-image-amd64
  output vmdk
web-no-kernel [!kernel,~!vmware is: x86_64] for amd64
  packages nginx
  no kernel
  output openvz
`},
		{"architectures", `
arch: [amd64, arm64]
packages: [{name: grub-pc, when: "is: x86_64"}]
flavors: {"xen is: x86_64": {packages: [xe-guest-utilities]}}
`, `
web [~!xen is: x86_64] for amd64
  packages grub-pc
  kernel linux-image-cloud-amd64
  output qcow2
web [~!xen is: aarch64] for arm64
  kernel linux-image-cloud-arm64
  output qcow2
web-xen [xen is: x86_64] for amd64
  packages grub-pc xe-guest-utilities
  kernel linux-image-cloud-amd64
  output qcow2
`},
		{"without what is for one architecture", `
arch: [amd64, arm64]
packages: [{name: grub-pc, when: "is: x86_64"}, nginx]
flavors: {xen: {without: {packages: [grub-pc]}}}
`, `
web [~!xen is: x86_64] for amd64
  packages grub-pc nginx
  kernel linux-image-cloud-amd64
  output qcow2
web [~!xen is: aarch64] for arm64
  packages nginx
  kernel linux-image-cloud-arm64
  output qcow2
web-xen [xen is: x86_64] for amd64
  packages nginx
  kernel linux-image-cloud-amd64
  output qcow2
web-xen [xen is: aarch64] for arm64
  packages nginx
  kernel linux-image-cloud-arm64
  output qcow2
`},
		{"included", `
include: [more.yaml]
packages: [{name: curl, when: vmware}]
flavors: {vmware: {packages: [nginx], hostname: here}}
`, `
web [~!vmware,~!xen is: x86_64] for amd64
  packages vim
  kernel linux-image-cloud-amd64
  output qcow2
web-vmware [vmware,~!xen is: x86_64] for amd64
  packages vim curl open-vm-tools nginx
  kernel linux-image-cloud-amd64
  output qcow2
web-xen [~!vmware,xen is: x86_64] for amd64
  packages vim nano
  kernel linux-image-cloud-amd64
  output qcow2
`},
		{"conditions alone, of architectures", `
arch: [amd64, arm64]
files: [{path: /a, content: x, when: "is: aarch64"}]
`, `
web [is: x86_64] for amd64
  kernel linux-image-cloud-amd64
  output qcow2
web [is: aarch64] for arm64
  file /a "x"
  kernel linux-image-cloud-arm64
  output qcow2
`},
		{"adding, taking out and replacing", `
packages: [nginx, curl, {name: ssl-cert, when: ssl}, {name: nano, when: "!ssl"}]
remove: [vim]
files: [{path: /etc/motd, content: one}, {path: /etc/issue, content: two, when: "!vmware"}]
users: [{name: ops}, {name: dev, when: "!vmware,!ssl"}]
scripts: [{run: a.sh}, {run: b.sh, name: late}]
services: {enable: [nginx], disable: [cron]}
flavors:
  vmware:
    packages: [vim, curl=7.88.1-10]
    remove: [nginx]
    files: [{path: /etc/motd, content: three}, {path: /v, content: four, when: ssl}, {path: /w, content: five, when: "!ssl"}]
    users: [{name: ops, sudo: true}]
    services: {enable: [cron], disable: [nginx.service]}
    without: {scripts: [a]}
  "!ssl":
    without: {packages: [curl], files: [/etc/issue], users: [dev], services: [nginx], outputs: [qcow2], scripts: [late, a]}
    outputs: [tar]
`, `
web [~ssl,~!vmware is: x86_64] for amd64
  packages nginx curl ssl-cert
  remove vim
  file /etc/motd "one"
  file /etc/issue "two"
  user ops false
  script a
  script late
  enable nginx
  disable cron
  kernel linux-image-cloud-amd64
  output qcow2
web-vmware [~ssl,vmware is: x86_64] for amd64
  packages ssl-cert vim curl=7.88.1-10
  remove nginx
  file /etc/motd "three"
  file /v "four"
  user ops true
  script late
  enable cron
  disable nginx.service
  kernel linux-image-cloud-amd64
  output qcow2
web-no-ssl [!ssl,~!vmware is: x86_64] for amd64
  packages nginx nano
  remove vim
  file /etc/motd "one"
  user ops false
  disable cron
  kernel linux-image-cloud-amd64
  output tar
`},
		{"elements", `
elements: [cloud-init, {name: growroot, when: kernel}]
environment: {A: one}
flavors: {"!kernel": {kernel: none, outputs: [openvz], elements: [cloud-init], environment: {A: two, B: three}}, vmware: {elements: [pip-cache], without: {elements: [cloud-init]}}}
`, `
web [~kernel,~!vmware is: x86_64] for amd64
  elements cloud-init growroot
  variable A one
  kernel linux-image-cloud-amd64
  output qcow2
web-no-kernel [!kernel,~!vmware is: x86_64] for amd64
  elements cloud-init
  variable A two
  variable B three
  no kernel
  output openvz
web-vmware [~kernel,vmware is: x86_64] for amd64
  elements growroot pip-cache
  variable A one
  kernel linux-image-cloud-amd64
  output qcow2
`},
		{"variables of elements that some have", `
elements: [{name: cloud-init, when: vmware}]
environment: {A: one}
flavors: {vmware: {}, "!kernel": {kernel: none, outputs: [openvz], elements: [pip-cache]}}
`, `
web [~kernel,~!vmware is: x86_64] for amd64
  kernel linux-image-cloud-amd64
  output qcow2
web-vmware [~kernel,vmware is: x86_64] for amd64
  elements cloud-init
  variable A one
  kernel linux-image-cloud-amd64
  output qcow2
web-no-kernel [!kernel,~!vmware is: x86_64] for amd64
  elements pip-cache
  variable A one
  no kernel
  output openvz
`},
		{"declared beside it", `
declared: declared
flavors: {"!logs": {packages: [aa]}}
`, `
web [~logs is: x86_64] for amd64
  kernel linux-image-cloud-amd64
  output qcow2
web-no-logs [!logs is: x86_64] for amd64
  packages aa
  kernel linux-image-cloud-amd64
  output qcow2
`},
	} {
		t.Run(c.name, func(t *testing.T) {
			d := loaded(t, map[string]string{FileName: head + c.text, "a.sh": "#!/bin/sh\n", "b.sh": "#!/bin/sh\n", "declared/flags/logs": "about: keeps logs\n",
				"more.yaml": "packages: [vim]\nflavors: {vmware: {packages: [open-vm-tools], hostname: there}, xen: {packages: [nano]}}\n",
			})
			var got strings.Builder
			for _, v := range d.Variants() {
				got.WriteString(told(v))
				if v.Dir != d.Dir || v.Digest() != d.Digest() {
					t.Errorf("%s is of another file", v.FullName())
				}
			}
			if d := cmp.Diff(strings.TrimPrefix(c.want, "\n"), got.String()); d != "" {
				t.Errorf("-want +got:\n%s", d)
			}
		})
	}
}

// The whole knows all files of all flavors; each flavor its own.
func TestFilesOfFlavors(t *testing.T) {
	d := loaded(t, map[string]string{
		FileName: five + "files: [{path: /a, source: a}]\nflavors: {vmware: {files: [{path: /b, source: b}], without: {files: [/a]}}}\n", "a": "", "b": "",
	})
	got := fmt.Sprint(d.Sources())
	for _, v := range d.Variants() {
		got += fmt.Sprint(v.Sources())
	}
	if got != "[a b][a][b]" {
		t.Errorf("got %s", got)
	}
}

// A condition that holds nowhere is odd, not wrong: an included file may be for others.
func TestConditionThatNeverHolds(t *testing.T) {
	d := loaded(t, map[string]string{FileName: five + "packages: [{name: aa, when: \"is: aarch64\"}]\n"})
	if len(d.Warnings) != 1 || !strings.HasSuffix(d.Warnings[0], FileName+`:6:29: when "is: aarch64" holds for no flavor and architecture of this definition`) {
		t.Errorf("got %q", d.Warnings)
	}
}

// A flavor says what it is, and not what it does: one that is called without a kernel and has
// one is a mistake, if not of ours.
func TestFlavorWithoutKernelThatHasOne(t *testing.T) {
	for says, want := range map[string]string{
		"{}":                                     FileName + `:6:11: flavor "!kernel" has a kernel all the same; say kernel: none in it`,
		"{kernel: none, outputs: [tar]}":         "",
		"{outputs: [tar]}":                       "",
		"{kernel: {package: linux-image-amd64}}": FileName + `:6:11: flavor "!kernel" has a kernel all the same; say kernel: none in it`,
	} {
		d := loaded(t, map[string]string{FileName: five + "flavors: {\"!kernel\": " + says + "}\n"})
		got := strings.Join(d.Warnings, "\n")
		if want == "" && got != "" || !strings.HasSuffix(got, want) {
			t.Errorf("%s: got %q", says, got)
		}
	}
}

func TestManyFlavors(t *testing.T) {
	files := map[string]string{}
	text := five + "declared: declared\nflavors:\n"
	for i := range maxFlavors + 1 {
		files[fmt.Sprintf("declared/flags/f%d", i)] = "sense: prefernot\n"
		text += fmt.Sprintf("  f%d: {packages: [pp%d]}\n", i, i)
	}
	files[FileName] = text
	_, err := Load(filepath.Join(lay(t, files), FileName), Options{HostArch: "amd64"})
	if err == nil || !strings.Contains(err.Error(), "65 flavors: a definition has at most 64") {
		t.Errorf("got %v", err)
	}
}
