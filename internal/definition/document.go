package definition

import (
	"strings"

	"go.yaml.in/yaml/v4"

	"ingot/internal/spell"
)

// These types are ingot.yaml as it is written. The decoder, the JSON schema and
// docs/reference/definition.md are all made from them: a key, its meaning and
// its default stand here and nowhere else.
//
// Tags: yaml is the key; jsonschema says "required" or "minItems=1"; doc, default
// and example are for the reference; title begins a part of the reference.

type document struct {
	Version formVersion     `yaml:"version" jsonschema:"required" title:"What it is" doc:"The version of this form, the number 1." example:"version: 1"`
	Name    text[imageName] `yaml:"name" jsonschema:"required" doc:"The image's name. Artifacts are called NAME-ARCH.EXT, those of a flavor NAME-FLAVOR-ARCH.EXT." example:"name: web"`
	Distro  text[distro]    `yaml:"distro" jsonschema:"required" doc:"The distribution that packages come from." example:"distro: debian"`
	Release text[release]   `yaml:"release" jsonschema:"required" doc:"A code name or a suite of the distribution. With archives of your own any name is fine." example:"release: bookworm"`
	Arch    []text[arch]    `yaml:"arch" jsonschema:"minItems=1" default:"the architecture of the machine that builds" doc:"The architectures to build for, by Debian's names. Programs of another architecture than this machine's run under an emulator, which needs Linux 6.7 or one that the host has registered." example:"arch: [amd64, arm64]"`
	Include []text[include] `yaml:"include" doc:"Other files of the definition, relative to the file that names them and below the definition's directory. They are read first, in order, then the file that names them: its texts, numbers and flags win, its lists are appended, its maps are merged key by key. A file that is included twice is read once; a circle is an error. Paths in an included file are relative to that file." example:"include: [./common.yaml]"`

	Start      text[start]     `yaml:"start" title:"What is in it" default:"minbase" doc:"The set of packages to begin with: essential is what the distribution marks so and what that needs; minbase adds apt; standard adds what the distribution gives every installation." example:"start: minbase"`
	Archives   []archiveDoc    `yaml:"archives" default:"the distribution's own archives of the release" doc:"Where packages come from. If given, these are all the archives there are, and they are what the image's own package sources say." example:"archives: [{url: \"http://archive.example/debian\", suites: [bookworm, bookworm-backports], components: [main]}]"`
	Packages   []item[pkg]     `yaml:"packages" doc:"Packages to install: a name, name=version for exactly that version, name/suite for the version of a suite. The version of the example stands for one that the archives have." example:"packages: [nginx, \"curl=7.88.1-10\"]"`
	Remove     []item[pkgName] `yaml:"remove" doc:"Packages that must not be installed, though something recommends them or the starting set has them." example:"remove: [nano]"`
	Groups     []groupDoc      `yaml:"groups" doc:"Groups of a repository that the image takes packages from, to the digest: a spec, or a map ([groups](group.md#groups-of-groups)). The lock says which versions they are; ingot lock --update moves to newer ones." example:"groups: [base=4, {spec: \"fixes=:stable\", use: patch}, {spec: docs, use: subtract}]"`
	Recommends toggle          `yaml:"recommends" default:"false" doc:"Whether to install also what packages recommend." example:"recommends: true"`
	Hostname   text[hostname]  `yaml:"hostname" title:"How it is set up" default:"the name" doc:"The machine's name, with or without a domain." example:"hostname: web.example.org"`
	Locale     text[locale]    `yaml:"locale" default:"C.UTF-8" doc:"The system's locale." example:"locale: de_DE.UTF-8"`
	Timezone   text[timezone]  `yaml:"timezone" default:"Etc/UTC" doc:"The system's time zone." example:"timezone: Europe/Paris"`
	Users      []userDoc       `yaml:"users" doc:"Accounts to add or, where a package made them (root), to change." example:"users: [{name: ops, uid: 1000, groups: [sudo], shell: /bin/bash}]"`
	UnixGroups []unixGroupDoc  `yaml:"unix-groups" doc:"Groups to add. A user's own group needs no entry." example:"unix-groups: [{name: media, gid: 2000}]"`
	Files      []fileDoc       `yaml:"files" doc:"Files to put into the image after the packages. Each has either content or source." example:"files: [{path: /etc/motd, content: \"hi\\n\", mode: \"0644\", owner: root, group: root}]"`
	Services   servicesDoc     `yaml:"services" doc:"Which of systemd's units start with the machine." example:"services: {enable: [nginx], disable: [], mask: []}"`
	Conflicts  []conflictDoc   `yaml:"path-conflicts" doc:"Whose file stays where several packages bring one path and none of them says that it replaces the other. Without it such packages are refused." example:"path-conflicts: [{path: /usr/bin/tool, keep: tool-ng}]"`
	Scripts    []scriptDoc     `yaml:"scripts" doc:"Scripts to run in the image while it is built, in order. A script runs again only when it or something it reads has changed; it runs once for each kind of tree (see outputs) that the outputs need. It runs as root, with HOME=/root and TZ=UTC0, and finds INGOT_NAME, INGOT_DISTRO, INGOT_RELEASE, INGOT_ARCH, INGOT_PURPOSE (container, system or machine) and SOURCE_DATE_EPOCH in its environment. The clock is the real one: what is to be the same in every build takes its time from SOURCE_DATE_EPOCH. Its directory holds the script and what it reads, at their paths below the definition's directory, and is removed at the end." example:"scripts: [{name: setup, run: ./setup.sh, reads: [data/], network: false, after: packages}]"`

	Elements    []item[elementName] `yaml:"elements" doc:"Elements of diskimage-builder to take in, with all that they need ([elements](element.md)). They are looked for among ingot's own, in the directory elements beside the definition, in those of the variable ELEMENTS_PATH, and in Debian's package of diskimage-builder, which need not be installed. The operating system is the definition's own: their phases up to post-install.d come after the packages, the later ones after everything else that the definition says." example:"elements: [cloud-init]"`
	Environment pairs[envName]      `yaml:"environment" doc:"Variables that the elements' scripts see. Nothing else of the environment of who builds reaches them." example:"elements: [cloud-init-datasources]\nenvironment: {DIB_CLOUD_INIT_DATASOURCES: NoCloud}"`

	Kernel  kernelDoc   `yaml:"kernel" title:"How it boots" doc:"The kernel of bootable outputs. Instead of keys the word none says that there is no kernel and nothing that boots one; that is for outputs that do not boot by themselves." example:"kernel: {package: linux-image-cloud-amd64, arguments: [quiet], console: ttyS0}"`
	Boot    bootDoc     `yaml:"boot" doc:"How bootable outputs start." example:"boot: {firmware: [bios, uefi], loader: grub}"`
	Layout  layoutDoc   `yaml:"layout" default:"hybrid" doc:"Partitions, volumes and file systems of disk images: the name of a layout, or a list of nodes as diskimage-builder's block-device language has them ([layouts](layout.md))." example:"layout: hybrid"`
	Outputs []outputDoc `yaml:"outputs" title:"What to make and how to judge it" jsonschema:"required,minItems=1" doc:"The artifacts to make, each a format or a map. One build makes them all and shares everything that they have in common." example:"outputs: [{format: qcow2, free: 1GiB}, tar.zst]"`
	Tests   []testDoc   `yaml:"tests" doc:"Commands to run in the booted image with ingot build --test." example:"tests: [{run: \"systemctl is-active nginx\", expect: \"^active\", timeout: 60s}]"`

	Flavors  flavorsDoc      `yaml:"flavors" title:"Flavors" doc:"Variants of the image: for each flavor what it changes. A flavor has its own outputs, else those of the definition; its texts, numbers and flags win, its lists are appended and its maps merged, an entry of a list replaces one of the same name, a package in packages is not removed and one in remove not asked for. Flags are those that ingot or the definition declares ([flavors](flavors.md))." example:"flavors: {\"vmware\": {packages: [open-vm-tools], outputs: [vmdk]}, \"!kernel\": {kernel: none, outputs: [openvz]}}"`
	Declared text[localPath] `yaml:"declared" default:"ingot's own declarations alone" doc:"A directory with declarations of more flags and architectures, in flags/ and architectures/, a small file each ([flavors](flavors.md))." example:"declared: ./declared"`

	Template templateDoc `yaml:"template" title:"Machines from it" doc:"What machines that are made from the image are asked for ([templates](template.md)). No file of the image depends on it." example:"template: {description: \"A web server\", inputs: {memory: {type: size, default: 512MiB, min: 128MiB}, role: {type: enum, values: [web, db], default: web}, cache: {type: size, compute: memory // 4, when: \"role == 'db'\"}, ssh-keys: {type: list, items: ssh-key, default: []}}}"`
}

func (*document) advise(key string) string {
	switch key {
	case "suite", "codename":
		return `did you mean "release"?`
	case "distribution", "os":
		return `did you mean "distro"?`
	case "architecture", "architectures", "arches":
		return `did you mean "arch"?`
	case "repositories", "mirrors", "sources":
		return `did you mean "archives"?`
	case "formats", "output":
		return `did you mean "outputs"?`
	}
	return ""
}

type archiveDoc struct {
	URL             text[archiveURL]  `yaml:"url" jsonschema:"required" doc:"The archive's root, where dists lies: http, https or file. A password does not belong here, as the image shows it."`
	Suites          []text[suite]     `yaml:"suites" jsonschema:"minItems=1" default:"the release" doc:"The suites to take packages from."`
	Components      []text[component] `yaml:"components" jsonschema:"minItems=1" default:"[main]" doc:"The components of the suites."`
	Key             text[localPath]   `yaml:"key" default:"the distribution's own keys" doc:"An OpenPGP keyring that the archive is signed by, armored or not."`
	CheckValidUntil toggle            `yaml:"check-valid-until" default:"true" doc:"Whether an index past its Valid-Until is refused. Saying false is recorded in the lock and the provenance."`
	At              *yaml.Node        `yaml:"-"`
}

type groupDoc struct {
	Spec    text[groupSpec] `yaml:"spec" jsonschema:"required" doc:"What names the group: NAME, NAME=VERSION, NAME[FLAVOR] or NAME=VERSION[FLAVOR]. Without a flavor it is the one that suits the image's."`
	Use     text[groupUse]  `yaml:"use" default:"include" doc:"include: all of its packages are in the image. patch: what the image has anyway comes in the group's version. subtract: its packages do not come with groups that are included, unless something in the image needs them."`
	Purpose text[purpose]   `yaml:"purpose" default:"the kind of the tree at hand, else the only one that the group has" doc:"Which of the group's sets is meant: container, system, machine or live."`
	When    text[condition] `yaml:"when" doc:"The flavor or architecture that it is for, such as vmware, \"!kernel\" or \"is: x86_64\"; without it it is for all."`
	At      *yaml.Node      `yaml:"-"`
}

func (*groupDoc) advise(key string) string {
	switch key {
	case "name", "gid":
		return `groups of the image's users are "unix-groups"; a group of packages has a spec`
	case "group", "version":
		return `did you mean "spec"?`
	case "mode":
		return `did you mean "use"?`
	}
	return ""
}

func (g *groupDoc) shortForm() string { return "a spec" }

func (g *groupDoc) short(d *decoder, n *yaml.Node) {
	d.keys = append(d.keys, "spec")
	g.Spec.decode(d, n)
	d.keys = d.keys[:len(d.keys)-1]
}

type userDoc struct {
	Name         text[accountName]   `yaml:"name" jsonschema:"required" doc:"The account's name."`
	UID          unixID              `yaml:"uid" default:"the next free one from 1000" doc:"The user id, 0 to 65533."`
	Groups       []text[accountName] `yaml:"groups" doc:"Further groups that the user is in. They must exist once packages and unix-groups are there."`
	Shell        text[imagePath]     `yaml:"shell" default:"/bin/bash" doc:"The login shell, which the image must have. A user whom a package made keeps the one that he has unless another is said."`
	Home         text[imagePath]     `yaml:"home" default:"/home/NAME, or what an account has that is there" doc:"The home directory. It is made if it is not there."`
	SSHKeys      []text[sshKey]      `yaml:"ssh-keys" doc:"Public keys that may log in, as lines of authorized_keys."`
	PasswordHash text[passwordHash]  `yaml:"password-hash" default:"no password" doc:"A hash as crypt(5) describes them, such as mkpasswd or openssl passwd -6 prints."`
	Sudo         toggle              `yaml:"sudo" default:"false" doc:"Whether the user may become root by sudo without a password. The package sudo comes along."`
	When         text[condition]     `yaml:"when" doc:"The flavor or architecture that it is for, such as vmware, \"!kernel\" or \"is: x86_64\"; without it it is for all."`
	At           *yaml.Node          `yaml:"-"`
}

func (*userDoc) advise(key string) string {
	if spell.Nearest(key, []string{"password", "passwd", "plain-password", "plain-text-password"}) != "" {
		return `a plain password would stand in every copy of the definition; write password-hash with what "openssl passwd -6" prints`
	}
	switch key {
	case "authorized-keys", "authorized_keys", "ssh-authorized-keys", "ssh_authorized_keys":
		return `did you mean "ssh-keys"?`
	}
	return ""
}

type unixGroupDoc struct {
	Name text[accountName] `yaml:"name" jsonschema:"required" doc:"The group's name."`
	GID  unixID            `yaml:"gid" default:"the next free one from 1000" doc:"The group id, 0 to 65533. A group that is there gets it; files that packages gave to the group keep the number."`
	When text[condition]   `yaml:"when" doc:"The flavor or architecture that it is for, such as vmware, \"!kernel\" or \"is: x86_64\"; without it it is for all."`
	At   *yaml.Node        `yaml:"-"`
}

type fileDoc struct {
	Path    text[imagePath] `yaml:"path" jsonschema:"required" doc:"Where the file lies in the image, absolute."`
	Content text[content]   `yaml:"content" doc:"The file's text."`
	Source  text[localPath] `yaml:"source" doc:"A file or a directory to copy, relative to the file that names it. No file may be larger than 64 GiB, here or as a script leaves it."`
	Mode    mode            `yaml:"mode" default:"0644, or 0755 for what is executable" doc:"Permission bits in octal and in quotes. Not for a directory, whose files keep whether they are executable."`
	Owner   text[ownerName] `yaml:"owner" default:"root" doc:"A user's name or number."`
	Group   text[ownerName] `yaml:"group" default:"root" doc:"A group's name or number."`
	When    text[condition] `yaml:"when" doc:"The flavor or architecture that it is for, such as vmware, \"!kernel\" or \"is: x86_64\"; without it it is for all."`
	At      *yaml.Node      `yaml:"-"`
}

type conflictDoc struct {
	Path text[imagePath] `yaml:"path" jsonschema:"required" doc:"A file, or a directory that it lies in."`
	Keep text[pkgName]   `yaml:"keep" jsonschema:"required" doc:"The package whose file stays; the others' lists of files lose it."`
	When text[condition] `yaml:"when" doc:"The flavor or architecture that it is for, such as vmware, \"!kernel\" or \"is: x86_64\"; without it it is for all."`
	At   *yaml.Node      `yaml:"-"`
}

type servicesDoc struct {
	Enable  []item[unit] `yaml:"enable" doc:"Units to start. They must be in the image."`
	Disable []item[unit] `yaml:"disable" doc:"Units not to start unless something asks for them. They must be in the image."`
	Mask    []item[unit] `yaml:"mask" doc:"Units never to start."`
}

type scriptDoc struct {
	Name    text[scriptName]  `yaml:"name" default:"the script's file name without its suffix" doc:"What the step is called."`
	Run     text[localPath]   `yaml:"run" jsonschema:"required" doc:"The script, relative to the file that names it: a text that begins with #! and its interpreter, or a program."`
	Reads   []text[localPath] `yaml:"reads" doc:"Files and directories that the script may read. It runs in a directory that holds them, read-only, at their paths below the definition's directory. A symbolic link among them must lead to something among them."`
	Network toggle            `yaml:"network" default:"false" doc:"Whether the script may use the network, the services on this machine's loopback among it. What it fetches is then not locked."`
	After   text[after]       `yaml:"after" default:"packages" doc:"Which part the script follows: packages, files or services."`
	When    text[condition]   `yaml:"when" doc:"The flavor or architecture that it is for, such as vmware, \"!kernel\" or \"is: x86_64\"; without it it is for all."`
	At      *yaml.Node        `yaml:"-"`
}

type kernelDoc struct {
	None      bool             `yaml:"-"`
	Package   text[pkgName]    `yaml:"package" default:"linux-image-cloud-amd64 on amd64; linux-image-amd64 of a live system, and where an output is a vmdk or vdi; else the architecture's own" doc:"The kernel's package. Those for the cloud drive virtual machines of clouds only."`
	Arguments []text[argument] `yaml:"arguments" doc:"Arguments on the kernel's command line, beside those that booting needs."`
	Console   text[console]    `yaml:"console" default:"ttyS0 on amd64, else the architecture's own" doc:"The serial console for messages and login."`
	At        *yaml.Node       `yaml:"-"`
}

func (k *kernelDoc) shortForm() string { return "none" }

func (k *kernelDoc) short(d *decoder, n *yaml.Node) {
	if n.Value == "none" {
		k.None = true
		return
	}
	d.problem(n, "kernel wants keys and values or none, not %s; a package is kernel: {package: %s}", described(n), printable(n.Value))
}

type bootDoc struct {
	Firmware []text[firmware] `yaml:"firmware" jsonschema:"minItems=1" default:"[bios, uefi], as far as the layout and the loader start by them" doc:"Which firmware starts the image: bios, uefi or both from the same file."`
	Loader   text[loader]     `yaml:"loader" default:"grub" doc:"The boot loader of disks. grub starts by BIOS and by UEFI and reads kernels where the distribution puts them, in /boot. systemd-boot starts by UEFI; kernels lie on the EFI system partition too, with an entry each, and kernel-install looks after them when the image's own updates bring new ones (releases since bookworm); an extended boot loader partition (XBOOTLDR) has no place there, since systemd-boot reads it as a vfat alone and dpkg cannot keep kernels on one. uki is systemd-boot with unified kernel images: one program for each kernel, with its initramfs and command line; updates add unified images where the image has the package systemd-ukify (releases since trixie), else entries as systemd-boot's. extlinux is Syslinux's, starts by BIOS, and reads /boot on a partition with ext4; it starts the newest kernel, to which the distribution keeps a link (releases since bookworm). none puts nothing on the disk: the kernel is started from outside of it, by a hypervisor (the output xen, ingot boot --kernel); the layout is then whole-disk if none is given."`
	Secure   toggle           `yaml:"secure" default:"false" doc:"Whether the image starts under Secure Boot, with shim and GRUB as the distribution signed them, or with shim and systemd-boot (releases since trixie). Without Secure Boot it starts as well."`
	Sign     signDoc          `yaml:"sign" default:"no signature" doc:"Signs what starts, with a key of your own that the machines' firmware trusts. Needs loader uki. The image's bytes then depend on the key too, though not on chance: one key makes one signature. A signed image brings no kernels of its own updates to start; it is replaced as a whole."`
	Timeout  span             `yaml:"timeout" default:"no time: the first entry starts at once" doc:"How long the boot menu waits for somebody, such as 5s: whole seconds, up to 900s."`
}

type signDoc struct {
	Key         text[secretPath] `yaml:"key" jsonschema:"required" doc:"The private key's file, in PEM form: RSA of 2048 to 4096 bits, without a passphrase. A relative path begins where the file lies that names it. It is read when an image is written, and nothing of it is kept: not in the lock, a cache or a log."`
	Certificate text[localPath]  `yaml:"certificate" jsonschema:"required" doc:"The certificate of the key, PEM or DER, which is in the lock: it decides the signature's bytes. Both are made by openssl req -x509 -newkey rsa:2048 -nodes -days 3650 -subj /CN=NAME -keyout KEY -out CERTIFICATE."`
	At          *yaml.Node       `yaml:"-"`
}

type layoutDoc struct {
	At *yaml.Node `yaml:"-"`
}

// decode takes the value as it is: what it means depends on the architecture.
func (l *layoutDoc) decode(_ *decoder, n *yaml.Node) { l.At = n }

type outputDoc struct {
	Format text[formatName] `yaml:"format" jsonschema:"required" doc:"What is written: one of the formats below."`
	Free   size             `yaml:"free" default:"512MiB" doc:"Free space in a disk image's file systems whose size nothing says; the root of a hybrid, efi or bios layout grows on first boot anyway. A whole number with kB, MB, GB, TB (thousands) or KiB, MiB, GiB, TiB (1024), or bytes."`

	Compress text[compression] `yaml:"compress" default:"the first of those in the table" doc:"How it is compressed, one of those in the table: gzip is read everywhere, zstd and xz make less."`
	Type     text[formatType]  `yaml:"type" default:"the first of those in the table" doc:"Which kind of the format. incus: split, in metadata and a root file system, or one unified file. vagrant: for the provider libvirt or virtualbox. vmdk: sparse, for machines to write to, or stream-optimized, compressed, to hand over. vhd: dynamic, fixed, or fixed and sized for azure."`
	Adapter  text[adapter]     `yaml:"adapter" default:"lsilogic; pvscsi in an ova" doc:"The controller that the disk says it hangs on: lsilogic, buslogic, ide or pvscsi. The kernel of an ova must have its driver: linux-image-cloud-amd64 has those of pvscsi and ide."`
	CPUs     text[count]       `yaml:"cpus" default:"1" doc:"How many processors an appliance's machine has."`
	Memory   size              `yaml:"memory" default:"1GiB" doc:"How much memory an appliance's machine has; for openstack, how much it must have."`
	Card     text[networkCard] `yaml:"network-card" default:"vmxnet3" doc:"The network card of an appliance's machine: vmxnet3, e1000, e1000e or virtio. The kernel must have its driver: linux-image-cloud-amd64 has those of vmxnet3 and virtio."`
	Hardware text[count]       `yaml:"hardware" default:"14, that of ESXi 6.7" doc:"The version of VMware's virtual hardware that an appliance needs; older products refuse it."`
	GuestOS  text[guestOS]     `yaml:"guest-os" default:"one that release and hardware both know" doc:"VMware's name of the operating system, such as debian12_64Guest."`
	Expiry   text[expiry]      `yaml:"expiry" default:"never" doc:"When the image should no longer be used: days or weeks after the date of the lock's packages, such as 30d or 4w, or a day in quotes, such as \"2027-01-31\"."`
	Message  text[message]     `yaml:"create-message" default:"nothing" doc:"What LXC says to who makes a container of the image."`

	Entrypoint  []text[word]      `yaml:"entrypoint" doc:"The program that a container runs, and its first arguments."`
	Command     []text[word]      `yaml:"command" default:"[/bin/sh], where there is no entrypoint" doc:"The program that a container runs, or the arguments of the entrypoint, where who starts it says nothing else."`
	Environment pairs[envName]    `yaml:"environment" default:"PATH alone" doc:"Variables of the program's environment."`
	User        text[runUser]     `yaml:"user" default:"root" doc:"Whom the program runs as: a name or number, and after a colon a group's."`
	Workdir     text[imagePath]   `yaml:"workdir" default:"/" doc:"The directory that the program starts in."`
	Ports       []text[port]      `yaml:"ports" doc:"Ports that the program listens on, such as 80 or 53/udp."`
	Volumes     []text[imagePath] `yaml:"volumes" doc:"Directories that hold a container's own data."`
	Labels      pairs[labelName]  `yaml:"labels" doc:"Names and values for whoever looks after containers."`
	StopSignal  text[signal]      `yaml:"stop-signal" default:"SIGTERM" doc:"The signal that asks the program to end."`

	When text[condition] `yaml:"when" doc:"The flavor or architecture that it is for, such as vmware, \"!kernel\" or \"is: x86_64\"; without it it is for all."`
	At   *yaml.Node      `yaml:"-"`
}

func (*outputDoc) advise(key string) string {
	words := map[string]string{
		"compression": "compress", "expire": "expiry", "expires": "expiry", "create_message": "create-message", "message": "create-message",
		"provider": "type", "cpu": "cpus", "vcpus": "cpus", "ram": "memory", "nic": "network-card", "controller": "adapter", "vmx": "hardware", "os-type": "guest-os",
		"cmd": "command", "env": "environment", "variables": "environment", "working-dir": "workdir", "working_dir": "workdir", "working-directory": "workdir",
		"expose": "ports", "exposed-ports": "ports", "port": "ports", "volume": "volumes", "label": "labels", "annotations": "labels",
		"stopsignal": "stop-signal", "stop_signal": "stop-signal", "uid": "user",
	}
	folded := strings.ToLower(key)
	if word, ok := words[folded]; ok {
		return `did you mean "` + word + `"?`
	}
	return ""
}

func (o *outputDoc) shortForm() string { return "a format" }

func (o *outputDoc) short(d *decoder, n *yaml.Node) {
	d.keys = append(d.keys, "output")
	o.Format.decode(d, n)
	d.keys = d.keys[:len(d.keys)-1]
}

type testDoc struct {
	Run     text[command]   `yaml:"run" jsonschema:"required" doc:"A command line for the image's shell, run as root. It must exit 0 unless expect is given."`
	Expect  text[expect]    `yaml:"expect" doc:"A regular expression (RE2, several lines) that the command's output must match."`
	Timeout span            `yaml:"timeout" default:"60s" doc:"How long the command may take, such as 60s or 1m30s."`
	When    text[condition] `yaml:"when" doc:"The flavor or architecture that it is for, such as vmware, \"!kernel\" or \"is: x86_64\"; without it it is for all."`
	At      *yaml.Node      `yaml:"-"`
}
