package definition

import (
	"fmt"
	"reflect"
	"strings"

	"ingot/internal/format"
)

// described types say in words what a value is.
type worded interface{ words() string }

func (text[R]) words() string {
	var kind R
	r := kind.rule()
	if r.values != nil {
		return "one of " + code(r.values...)
	}
	return strings.TrimPrefix(strings.TrimPrefix(r.what, "an "), "a ")
}

func (pairs[R]) words() string    { return "map of names and texts" }
func (toggle) words() string      { return "`true` or `false`" }
func (formVersion) words() string { return "the number `1`" }
func (unixID) words() string      { return "number" }
func (size) words() string        { return "size, such as `1GiB`" }
func (span) words() string        { return "duration, such as `60s`" }
func (mode) words() string        { return "octal mode, such as `\"0644\"`" }
func (layoutDoc) words() string   { return "name of a layout, or list of nodes" }

func code(words ...string) string {
	return "`" + strings.Join(words, "`, `") + "`"
}

// wordsOf says in words what a type of document.go takes.
func wordsOf(t reflect.Type) string {
	v := reflect.New(t).Interface()
	if w, ok := v.(worded); ok {
		return w.words()
	}
	if t.Kind() == reflect.Slice {
		return "list; each: " + wordsOf(t.Elem())
	}
	if s, ok := v.(shorthand); ok {
		if s.shortForm() == "none" {
			return "map, or `none`"
		}
		return "map, or just " + s.shortForm()
	}
	return "map"
}

// fieldsBelow are the keys of a map, or of a list's maps.
func fieldsBelow(t reflect.Type) fieldList {
	if t.Kind() == reflect.Slice {
		t = t.Elem()
	}
	if _, ok := reflect.New(t).Interface().(worded); ok || t.Kind() != reflect.Struct {
		return nil
	}
	return fieldsOf(t)
}

// Reference is docs/reference/definition.md: every key with its type, default,
// meaning and an example, made from the decoder's own types.
func Reference() []byte {
	var b strings.Builder
	b.WriteString(referenceHead)
	for _, f := range fieldsOf(documentType) {
		if f.typ == reflect.TypeFor[later]() {
			continue
		}
		if f.title != "" {
			fmt.Fprintf(&b, "## %s\n\n", f.title)
		}
		fmt.Fprintf(&b, "### %s\n\n%s\n\n", f.name, f.doc)
		fmt.Fprintf(&b, "Type: %s.", wordsOf(f.typ))
		switch {
		case f.required:
			b.WriteString(" Required.")
		case f.def != "":
			fmt.Fprintf(&b, " Default: %s.", f.def)
		}
		b.WriteString("\n\n")
		if f.typ == reflect.TypeFor[[]outputDoc]() {
			b.WriteString(formats())
		}
		below := fieldsBelow(f.typ)
		if f.typ == reflect.TypeFor[flavorsDoc]() {
			b.WriteString(flavorsHead)
			below = fieldsOf(reflect.TypeFor[withoutDoc]())
		}
		if below != nil {
			b.WriteString(table(below))
			for _, k := range below {
				if deeper := fieldsBelow(k.typ); deeper != nil && f.typ != reflect.TypeFor[templateDoc]() {
					fmt.Fprintf(&b, "In `%s` stand:\n\n%s", k.name, table(deeper))
				}
			}
		}
		if f.typ == reflect.TypeFor[templateDoc]() {
			b.WriteString(templateHead())
		}
		fmt.Fprintf(&b, "```yaml\n%s\n```\n\n", f.example)
	}
	b.WriteString(laterHead)
	for _, k := range laterKeys("", documentType) {
		fmt.Fprintf(&b, "- `%s`\n", k)
	}
	for _, k := range []struct {
		key   string
		later []string
	}{{"distro", distroRule.later}, {"loader", loaderRule.later}, {"outputs", formatRule.later}} {
		if len(k.later) > 0 {
			fmt.Fprintf(&b, "- of `%s`: %s\n", k.key, code(k.later...))
		}
	}
	return []byte(b.String())
}

// table has the keys of a map.
func table(keys fieldList) string {
	var b strings.Builder
	b.WriteString("| key | type | default | meaning |\n|---|---|---|---|\n")
	for _, k := range keys {
		if k.typ == reflect.TypeFor[later]() {
			continue
		}
		def := k.def
		if k.required {
			def = "required"
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s |\n", k.name, wordsOf(k.typ), def, k.doc)
	}
	return b.String() + "\n"
}

// formats is the table of what outputs can be.
func formats() string {
	var b strings.Builder
	b.WriteString("| format | what it is | files, behind NAME-ARCH | tree | options |\n|---|---|---|---|---|\n")
	for _, f := range format.All() {
		var files, options []string
		for _, suffix := range f.Files {
			if suffix == "" {
				suffix = "/"
			}
			if f.Suffixed {
				suffix += "…"
			}
			files = append(files, "`"+suffix+"`")
		}
		for _, o := range f.Options {
			option := "`" + string(o) + "`"
			switch o {
			case format.Compress:
				option += " (" + strings.Join(f.Compress, ", ") + ")"
			case format.Type:
				option += " (" + strings.Join(f.Types, ", ") + ")"
			default:
			}
			options = append(options, option)
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s | %s |\n", f.Name, f.About, strings.Join(files, ", "), f.Purpose, strings.Join(options, ", "))
	}
	return b.String() + `
The file of openvz has a name of its own, since its readers know it by that: ` + "`DISTRO-VERSION-ARCH-NAME.tar.gz`, such as `debian-12-x86_64-web.tar.gz`" + `.
An Incus image of type unified is the last of its files alone. Where … stands, the compression follows: ` + "`.gz`, `.xz` or `.zst`" + `, or nothing.

Clouds and hypervisors take these:

| where | output | how it gets there |
|---|---|---|
| AWS | ` + "`raw`" + ` | ` + "`aws ec2 import-snapshot`" + ` with the format RAW, then ` + "`register-image`" + ` with ` + "`--boot-mode uefi-preferred`" + ` for a disk that starts both ways |
| Google | ` + "`gce`" + ` | into a bucket, then ` + "`gcloud compute images create --source-uri`" + ` with ` + "`--guest-os-features=UEFI_COMPATIBLE`" + `; the disk has whole GiB |
| Azure | ` + "`{format: vhd, type: azure}`" + ` | as a page blob, then ` + "`az image create --source`" + ` |
| OpenStack | ` + "`openstack`" + ` | the second file is the body of Glance's "create image", the first its data; or its properties, one by one, to ` + "`openstack image create`" + ` |
| VMware | ` + "`ova`" + ` | "Deploy OVF template", or ovftool; Workstation and Fusion open it |
| VirtualBox | ` + "`{format: ova, adapter: ide, network-card: virtio}`" + ` | "Import appliance" |
| XenServer, XCP-ng | ` + "`xva`" + ` | ` + "`xe vm-import filename=`" + ` |
| Xen | ` + "`xen`" + ` | ` + "`xl create NAME.xen.cfg`" + ` in the directory of its files |
| Vagrant | ` + "`vagrant`" + ` | ` + "`vagrant box add --name web`" + `; log-ins need ` + "`users: [{name: vagrant, sudo: true, ssh-keys: [\"…\"]}]`" + ` with a public key that Vagrant has the other half of: its insecure one, or yours by ` + "`config.ssh.private_key_path`" + ` |
| Incus, LXD | ` + "`incus`, `incus-vm`" + ` | ` + "`incus image import METADATA ROOT`" + `, the ` + "`.tar.xz`" + ` first; machines start by UEFI, and from trixie on have the agent that ` + "`incus exec`" + ` talks to |
| systemd | ` + "`nspawn`" + ` | ` + "`machinectl import-tar`" + ` |
| [hosts of bases and layers](host.md) | ` + "`base`" + ` | ` + "`ingot host update`" + ` |
| a network | ` + "`netboot`" + ` | all files into a directory of an HTTP server; iPXE runs ` + "`set base http://SERVER/DIRECTORY/`" + ` and ` + "`chain ${base}NAME.netboot.ipxe`" + `. Another loader gives the kernel ` + "`boot=live components ip=dhcp fetch=http://…/NAME.netboot.squashfs`" + ` |

A machine starts from an appliance's disk by the devices that its papers name, so the kernel must have their drivers: a build without them ends with exit code 9.
Of an *initramfs*, /init is what its kernel starts: the definition's own, else a link to /sbin/init, which the package systemd-sysv brings.

The tree of a *container* holds the packages asked for and nothing that starts them; that of a *system* container also an init, and a
network by DHCP; that of a *machine* also a kernel and what boots it; that of a *live* system a kernel and live-boot, and nothing of a disk,
so no layout is said of it. Outputs with the same kind of tree share it.

`
}

// laterKeys are the keys of a later version.
func laterKeys(prefix string, t reflect.Type) []string {
	var out []string
	for _, f := range fieldsOf(t) {
		if f.typ == reflect.TypeFor[later]() {
			out = append(out, prefix+f.name)
			continue
		}
		if below := fieldsBelow(f.typ); below != nil {
			elem := f.typ
			if elem.Kind() == reflect.Slice {
				elem = elem.Elem()
			}
			out = append(out, laterKeys(prefix+f.name+".", elem)...)
		}
	}
	return out
}

const referenceHead = `# The definition: ingot.yaml

<!-- Made from the types in internal/definition. Change those, then run: go generate ./internal/definition -->

A definition says what an image is, by results and not by steps. Five lines are enough for one that boots:

` + "```yaml" + `
version: 1
name: web
distro: debian
release: bookworm
outputs: [qcow2]
` + "```" + `

` + "`ingot check`" + ` says all that is wrong with a definition at once, each with file, line and column, without a network, and exits 3.
` + "`ingot init`" + ` writes a commented one to start from. ` + "`schema/ingot.schema.json`" + ` lets an editor complete and check while you type.

How it is read:

- It is one YAML document in UTF-8, at most 1 MiB a file, without anchors, aliases, merge keys and tags. An unknown key, a
  key set twice, an empty value and a value of the wrong type are errors.
- Texts are taken by their letters. A text that YAML would take for a number or for true or false must stand in quotes, but for
  ` + "`release`" + ` and ` + "`suites`" + `, where ` + "`1.10`" + ` means just that. ` + "`true`" + ` and ` + "`false`" + ` are the only flags.
- Paths of things to read (` + "`include`, `source`, `run`, `reads`, `key`" + `) are relative to the file that names them and lie below the
  definition's directory; nothing outside is read, and a symbolic link that leads out is an error. Of the files read, only their bytes and whether their
  owner may execute them count.

`

const flavorsHead = `The definition as it stands is a flavor too, with what is declared of each flag that a flavor or a condition names. A flavor may say all that makes one
image: every key but ` + "`version`, `name`, `distro`, `release`, `arch`, `archives`, `include`, `template`, `declared`" + ` and, of course, ` + "`flavors`" + `. Its name in files is made of its flags: ` + "`vmware`, `no-kernel`" + `.
Lists of things that go into an image take conditions as well: ` + "`packages: [{name: open-vm-tools, when: vmware}]`" + `. In ` + "`when`" + ` stand flags and architectures, all of which must hold: ` + "`\"xen,!kernel is: x86_64\"`" + `.

What a flavor does without stands in ` + "`without`" + `:

`

const laterHead = `## Not supported yet

These are known, and refused with exit code 3:

`
