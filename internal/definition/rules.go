package definition

import (
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"net/url"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"ingot/internal/flavor"
	"ingot/internal/format"
	"ingot/internal/group"
	"ingot/internal/tree"
)

// The rules of texts, each with where it comes from.

var imageNameRule = rule{
	what: "an image name", form: "lower-case letters and digits, joined by -, . or _",
	// It becomes a file name, a group's name and, by default, a host name.
	pattern: regexp.MustCompile(`^[a-z0-9]+([._-][a-z0-9]+)*$`), max: 63,
}

var distroRule = rule{
	what:   "a distribution",
	values: []string{"debian"},
	later:  []string{"ubuntu", "alpine", "arch", "fedora", "gentoo", "opensuse", "centos", "rocky", "almalinux", "rhel"},
	other:  map[string]string{"Debian": "debian"},
}

// debianReleases are the code names and suites that Debian's archive has.
var debianReleases = []string{
	"bullseye", "bookworm", "trixie", "forky", "sid",
	"oldoldstable", "oldstable", "stable", "testing", "unstable",
}

var releaseRule = rule{
	what: "a release", form: "lower-case letters, digits, - and .",
	pattern: regexp.MustCompile(`^[a-z0-9]+([.-][a-z0-9]+)*$`), max: 64, numbers: true,
}

var archRule = rule{
	what: "an architecture",
	// Debian's official ports and those on the way.
	values: []string{"amd64", "arm64", "armel", "armhf", "i386", "loong64", "mips64el", "ppc64el", "riscv64", "s390x"},
	other: map[string]string{
		"x86_64": "amd64", "x86-64": "amd64", "x64": "amd64", "aarch64": "arm64", "i486": "i386", "i586": "i386", "i686": "i386", "x86": "i386",
		"armv7": "armhf", "armv7l": "armhf", "armv7hl": "armhf", "ppc64le": "ppc64el", "loongarch64": "loong64",
	},
}

var startRule = rule{
	what: "a starting set", values: []string{"minbase", "essential", "standard"},
	other: map[string]string{"minimal": "minbase", "important": "standard", "apt": "minbase"},
}

var suiteRule = rule{
	what: "a suite", form: "letters, digits, - . _ and /, not at the end",
	pattern: regexp.MustCompile(`^[A-Za-z0-9]([A-Za-z0-9._-]|/[A-Za-z0-9])*$`), max: 128, numbers: true,
}

var componentRule = rule{
	what: "a component", form: "letters, digits, - . _ and /",
	pattern: regexp.MustCompile(`^[A-Za-z0-9]([A-Za-z0-9._-]|/[A-Za-z0-9])*$`), max: 128,
}

var archiveURLRule = rule{
	secret: func(s string) bool { return strings.Contains(s, "@") },
	what:   "an archive's address", form: "http://, https:// or file:/// and no spaces",
	pattern: regexp.MustCompile(`^(https?://[^\s/?#]+|file://)(/[^\s?#]*)?$`), max: 1024,
	check: func(s string) string {
		u, err := url.Parse(s)
		switch {
		case err != nil:
			return "is not an address: " + err.Error()
		case u.User != nil:
			return "holds a name or password, which every copy of the image would show; leave it out"
		case u.Scheme == "file" && (u.Host != "" || len(u.Path) < 2):
			return "is not a file address: want file:///PATH"
		}
		return ""
	},
}

// Debian policy 5.6.1: at least two characters, lower-case letters, digits, plus,
// minus and full stops, a letter or digit first.
const pkgNamePattern = `[a-z0-9][a-z0-9+.-]+`

var pkgNameRule = rule{
	what: "a package's name", form: "lower-case letters, digits, + - and .",
	pattern: regexp.MustCompile(`^` + pkgNamePattern + `$`), max: 128,
}

var pkgRule = rule{
	what: "a package", form: "name, name=version or name/suite",
	// Versions as deb-version(7) has them: a digit first.
	pattern: regexp.MustCompile(`^` + pkgNamePattern + `(:[a-z0-9][a-z0-9-]*)?(=[0-9][A-Za-z0-9.+~:-]*|/[A-Za-z0-9][A-Za-z0-9._-]*)?$`), max: 256,
	advise: func(s string) string {
		if name, version, ok := strings.Cut(s, " "); ok && name != "" {
			if strings.HasPrefix(strings.TrimSpace(version), "=") {
				return "leave the spaces out"
			}
			return "give each package its own item of the list"
		}
		if strings.ContainsAny(s, "<>") {
			return "only exact versions can be asked for: name=version"
		}
		return ""
	},
}

var hostnameRule = rule{
	what: "a host name", form: "labels of letters, digits and inner -, joined by .",
	// RFC 1123 2.1; Linux keeps at most 64 characters.
	pattern: regexp.MustCompile(`^[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?(\.[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?)*$`), max: 64,
}

var localeRule = rule{
	what: "a locale", form: "such as C.UTF-8 or de_DE.UTF-8",
	pattern: regexp.MustCompile(`^(C|POSIX|[a-z]{2,3}(_[A-Z]{2})?)(\.[A-Z][A-Za-z0-9-]*)?(@[a-z]+)?$`), max: 64,
	advise: func(s string) string {
		if base, codeset, ok := strings.Cut(s, "."); ok && (strings.EqualFold(codeset, "utf8") || strings.EqualFold(codeset, "utf-8")) {
			return "did you mean \"" + strings.ReplaceAll(base, "-", "_") + ".UTF-8\"?"
		}
		if regexp.MustCompile(`^[a-z]{2}-[A-Z]{2}$`).MatchString(s) {
			return "did you mean \"" + strings.ReplaceAll(s, "-", "_") + ".UTF-8\"?"
		}
		return ""
	},
}

var timezoneRule = rule{
	what: "a time zone", form: "such as Etc/UTC or Europe/Paris",
	pattern: regexp.MustCompile(`^[A-Z][A-Za-z0-9_+-]*(/[A-Z][A-Za-z0-9_+-]*){0,2}$`), max: 64,
	check: func(s string) string {
		if knownZone(s) {
			return ""
		}
		return "is unknown"
	},
	near: nearZone,
}

var accountNameRule = rule{
	what: "an account's name", form: "a lower-case letter or _, then lower-case letters, digits, - and _, at most 32",
	// What Debian's adduser takes for accounts of people and of the system, at
	// the length that utmp holds.
	pattern: regexp.MustCompile(`^[a-z_][a-z0-9_-]{0,31}$`),
}

var ownerNameRule = rule{
	what: "an owner", form: "an account's name or its number in quotes",
	pattern: regexp.MustCompile(`^([a-z_][a-z0-9_-]{0,31}|0|[1-9][0-9]{0,9})$`),
	check: func(s string) string {
		if n, err := strconv.ParseUint(s, 10, 64); err == nil && n > maxOwnerID {
			return fmt.Sprintf("is not a number from 0 to %d", maxOwnerID)
		}
		return ""
	},
}

var imagePathRule = rule{
	what: "a path in the image", form: "an absolute path without . or .. or a slash at its end",
	pattern: regexp.MustCompile(`^(/[^/\x00-\x1f\x7f]+)+$`),
	check: func(s string) string {
		if err := tree.CheckPath(s[1:]); err != nil || path.Clean(s) != s {
			return "is not a path in the image: want an absolute path without . or .. or a slash at its end"
		}
		if tree.Reserved(s[1:]) {
			return "has a name that is ingot's own while it builds, and that no image has"
		}
		for _, mount := range []string{"/proc", "/sys", "/dev"} {
			if s == mount || strings.HasPrefix(s, mount+"/") {
				return "lies below " + mount + ", which a running system mounts over"
			}
		}
		return ""
	},
	advise: func(s string) string {
		if c := path.Clean(s); strings.HasPrefix(s, "/") && c != s && !strings.Contains(s, "..") && len(c) > 1 {
			return "did you mean \"" + c + "\"?"
		}
		return ""
	},
}

var localPathRule = rule{
	what: "a path beside the definition", form: "a relative path",
	pattern: regexp.MustCompile(`^[^/~\x00-\x1f\x7f][^\x00-\x1f\x7f]*$`),
	check: func(s string) string {
		if slices.Contains(strings.Split(s, "/"), "..") {
			return "leads out with ..; everything that a build reads lies below the definition's directory"
		}
		if strings.Contains(s, `\`) {
			return "has a backslash"
		}
		return ""
	},
	advise: func(s string) string {
		if strings.HasPrefix(s, "/") || strings.HasPrefix(s, "~") {
			return "everything that a build reads lies below the definition's directory"
		}
		return ""
	},
}

var secretPathRule = rule{
	secret: func(s string) bool { return strings.Contains(s, "PRIVATE") }, // people paste the key itself
	what:   "a path of a secret file", form: "a path",
	pattern: regexp.MustCompile(`^[^~\x00-\x1f\x7f][^\x00-\x1f\x7f]*$`),
}

var contentRule = rule{what: "text", max: maxFile}

var sshKeyRule = rule{
	secret: func(string) bool { return true }, // people paste the wrong half of the pair
	what:   "a public SSH key", form: "a line such as \"ssh-ed25519 AAAA… comment\"",
	pattern: regexp.MustCompile(`^[^\x00-\x1f\x7f]*(ssh-|ecdsa-sha2-|sk-)[a-z0-9@.-]+ +AAAA[A-Za-z0-9+/]+={0,2}( [^\x00-\x1f\x7f]*)?$`), max: 16384,
	check: checkSSHKey,
	advise: func(s string) string {
		switch {
		case strings.Contains(s, "PRIVATE KEY"):
			return "this is a private key, which nobody else may have; the public one is in the file ending in .pub"
		case strings.HasSuffix(s, ".pub") || strings.HasPrefix(s, "~") || strings.HasPrefix(s, "/"):
			return "write the file's line, not its name"
		}
		return ""
	},
}

// checkSSHKey looks into the key: RFC 4253 6.6, the blob repeats the type's name
// behind its length.
func checkSSHKey(s string) string {
	fields := strings.Fields(s)
	for i, f := range fields[:len(fields)-1] {
		if !strings.HasPrefix(fields[i+1], "AAAA") {
			continue
		}
		blob, err := base64.StdEncoding.DecodeString(fields[i+1])
		if err != nil {
			return "is not a public SSH key: its base64 text is damaged or cut off"
		}
		if len(blob) < 4+len(f)+16 || binary.BigEndian.Uint32(blob) != uint32(len(f)) || string(blob[4:4+len(f)]) != f ||
			!strings.Contains(f, "-cert-") && !isStrings(blob) {
			return "is not a public SSH key: what it holds is not of type " + f + ", or cut off"
		}
		return ""
	}
	return "is not a public SSH key"
}

// isStrings says whether a key's blob is whole: RFC 4251's strings, one behind the
// other, to its end. Certificates hold other things too.
func isStrings(blob []byte) bool {
	for len(blob) >= 4 {
		n := binary.BigEndian.Uint32(blob)
		if uint64(n) > uint64(len(blob)-4) {
			return false
		}
		blob = blob[4+n:]
	}
	return len(blob) == 0
}

// The forms of crypt(5) that glibc's and Debian's libcrypt read, without the
// ones that are broken (DES, BSDi).
var passwordHashRule = rule{
	secret: func(string) bool { return true }, // people write the password itself
	what:   "a password hash", form: "one of crypt(5): $y$…, $6$…, $5$…, $2b$…",
	pattern: regexp.MustCompile(`^(` +
		`\$(y|gy)\$[./A-Za-z0-9]+\$[./A-Za-z0-9]{1,86}\$[./A-Za-z0-9]{43}|` +
		`\$7\$[./A-Za-z0-9]{11,97}\$[./A-Za-z0-9]{43}|` +
		`\$2[abxy]\$[0-9]{2}\$[./A-Za-z0-9]{53}|` +
		`\$6\$(rounds=[1-9][0-9]{0,8}\$)?[./A-Za-z0-9]{1,16}\$[./A-Za-z0-9]{86}|` +
		`\$5\$(rounds=[1-9][0-9]{0,8}\$)?[./A-Za-z0-9]{1,16}\$[./A-Za-z0-9]{43}|` +
		`\$1\$[./A-Za-z0-9]{1,8}\$[./A-Za-z0-9]{22})$`), max: 256,
	advise: func(s string) string {
		if !strings.HasPrefix(s, "$") {
			return "never write a password itself; \"openssl passwd -6\" makes a hash of one"
		}
		return "is it cut off?"
	},
}

var unitRule = rule{
	what: "a systemd unit", form: "a name such as nginx or nginx.service",
	// systemd.unit(5).
	pattern: regexp.MustCompile(`^[A-Za-z0-9:_.\\-]+(@[A-Za-z0-9:_.\\-]*)?$`), max: 255,
}

var scriptNameRule = rule{
	what: "a step's name", form: "letters, digits, - . and _, a letter or digit first",
	pattern: regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]*$`), max: 64,
}

var afterRule = rule{what: "a part of the build", values: []string{"packages", "files", "services"}}

var argumentRule = rule{
	what: "a kernel argument", form: "one word; quotes around values with spaces",
	pattern: regexp.MustCompile(`^[!-~]+("[ -!#-~]*")?[!-~]*$`), max: 1024,
}

var consoleRule = rule{
	what: "a console", form: "a terminal's name such as ttyS0, or with its speed ttyS0,115200",
	pattern: regexp.MustCompile(`^(tty|hvc|con)[A-Za-z0-9]*(,[0-9a-z]+)?$`), max: 32,
	advise: func(s string) string {
		if t, ok := strings.CutPrefix(s, "/dev/"); ok {
			return "did you mean \"" + printable(t) + "\"?"
		}
		if t, ok := strings.CutPrefix(s, "console="); ok {
			return "did you mean \"" + printable(t) + "\"?"
		}
		return ""
	},
}

var groupSpecRule = rule{
	what: "the spec of a group", form: "NAME, NAME=VERSION, NAME[FLAVOR] or NAME=VERSION[FLAVOR]", max: 512,
	check: func(s string) string {
		spec, err := group.ParseSpec(s)
		switch {
		case err != nil:
			return "is none: " + err.Error()
		case !groupNameRule.pattern.MatchString(spec.Name):
			return "has a name that no group has"
		}
		return ""
	},
}

var groupNameRule = rule{
	what: "the name of a group", form: "letters, digits, - + . and _",
	pattern: regexp.MustCompile(`^[A-Za-z0-9_+][A-Za-z0-9._+-]*$`), max: 64,
}

var groupUseRule = rule{what: "what to do with a group", values: []string{Include, Patch, Subtract}}

var purposeRule = rule{what: "a kind of tree", values: format.Purposes()}

var conditionRule = rule{
	what: "a condition", max: 1024,
	check: func(s string) string {
		if _, err := flavor.ParseCondition(s); err != nil {
			why := "is no condition: " + err.Error()
			if hint := hintOf(err); hint != "" {
				why += "; " + hint
			}
			return why
		}
		return ""
	},
}

var firmwareRule = rule{what: "a firmware", values: []string{"bios", "uefi"}, other: map[string]string{"efi": "uefi", "legacy": "bios", "BIOS": "bios", "UEFI": "uefi"}}

var loaderRule = rule{
	what: "a boot loader", values: []string{"grub", "systemd-boot", "uki", "extlinux", "none"},
	other: map[string]string{"grub2": "grub", "grub-pc": "grub", "grub-efi": "grub", "sd-boot": "systemd-boot", "gummiboot": "systemd-boot", "syslinux": "extlinux", "bootctl": "systemd-boot"},
}

var formatRule = rule{
	what:   "a format",
	values: format.Names(),
	later: []string{
		"uki",
	},
	other: map[string]string{
		"directory": "dir", "rootfs": "dir", "tgz": "tar.gz", "txz": "tar.xz", "tar.zstd": "tar.zst", "tzst": "tar.zst", "gz": "tar.gz", "xz": "tar.xz", "zst": "tar.zst",
		"lxd": "incus", "systemd-nspawn": "nspawn", "machinectl": "nspawn", "initrd": "initramfs", "pxe": "netboot", "ipxe": "netboot", "podman": "oci", "oci-archive": "oci", "docker-archive": "docker", "sqfs": "squashfs", "proxmox": "openvz", "vztmpl": "openvz",
		"img": "raw", "disk": "raw", "wic": "raw", "qcow": "qcow2", "vpc": "vhd", "hyperv": "vhdx", "vmware": "ova", "virtualbox": "vdi", "ovf": "ova", "box": "vagrant", "xenserver": "xva", "xcp-ng": "xva",
		"google": "gce", "gcp": "gce", "ami": "raw", "aws": "raw", "ec2": "raw", "azure": "{format: vhd, type: azure}", "glance": "openstack",
	},
}

var compressionRule = rule{
	what: "a compression", values: []string{"gzip", "xz", "zstd", "zlib", "none"},
	other: map[string]string{"gz": "gzip", "zst": "zstd", "zlib": "gzip"},
}

var formatTypeRule = rule{
	what: "a type of a format", values: formatTypes(),
	other: map[string]string{
		"streamOptimized": "stream-optimized", "stream": "stream-optimized", "monolithicSparse": "sparse", "static": "fixed",
	},
}

// formatTypes are the types of all formats.
func formatTypes() []string {
	var out []string
	for _, f := range format.All() {
		for _, t := range f.Types {
			if !slices.Contains(out, t) {
				out = append(out, t)
			}
		}
	}
	return out
}

var adapterRule = rule{what: "a controller", values: []string{"lsilogic", "buslogic", "ide", "pvscsi"}, other: map[string]string{"scsi": "lsilogic", "lsiLogic": "lsilogic", "sata": "ide"}}

var countRule = rule{what: "a number from 1 to 999", form: "its digits alone", pattern: regexp.MustCompile(`^[1-9][0-9]{0,2}$`), numbers: true}

var networkCardRule = rule{what: "a network card", values: []string{"vmxnet3", "e1000", "e1000e", "virtio"}, other: map[string]string{"virtio-net": "virtio", "VmxNet3": "vmxnet3", "E1000": "e1000"}}

var guestOSRule = rule{
	what: "VMware's name of an operating system", form: "such as debian12_64Guest",
	pattern: regexp.MustCompile(`^[A-Za-z][A-Za-z0-9_-]*Guest$`), max: 64, // VirtualMachineGuestOsIdentifier of the vSphere API
}

var expiryRule = rule{
	what: "an expiry", form: "such as 30d, 4w or \"2027-01-31\"",
	pattern: regexp.MustCompile(`^([1-9][0-9]{0,4}[dw]|[1-9][0-9]{3}-[0-9]{2}-[0-9]{2})$`),
	check: func(s string) string {
		if _, err := time.Parse(time.DateOnly, s); len(s) == len(time.DateOnly) && err != nil {
			return "is not a day of the calendar"
		}
		return ""
	},
}

var messageRule = rule{what: "a message", form: "text without control characters", pattern: regexp.MustCompile(`^[^\x00-\x08\x0b-\x1f\x7f]*$`)}

var wordRule = rule{what: "an argument", form: "text without NUL", pattern: regexp.MustCompile(`^[^\x00]+$`), max: 65536, numbers: true}

var envNameRule = rule{
	what: "a variable's name", form: "letters, digits and _, no digit first",
	pattern: regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`), max: 255, // POSIX.1-2017, XBD 3.235
}

var elementNameRule = rule{
	what: "an element's name", form: "letters, digits, - . _ and +, as its directory is called",
	pattern: regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9._+-]*$`), max: 255,
}

var labelNameRule = rule{
	what: "a label's name", form: "letters, digits, - . _ and /",
	pattern: regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._/-]*$`), max: 255,
}

var pairValueRule = rule{what: "text", form: "text without NUL", pattern: regexp.MustCompile(`^[^\x00]*$`), max: 65536, numbers: true}

var runUserRule = rule{
	what: "a user", form: "name, number, user:group in names or numbers", numbers: true,
	pattern: regexp.MustCompile(`^([a-z_][a-z0-9_-]{0,31}|[0-9]{1,10})(:([a-z_][a-z0-9_-]{0,31}|[0-9]{1,10}))?$`),
}

var portRule = rule{
	what: "a port", form: "a number from 1 to 65535, and after a slash tcp, udp or sctp", numbers: true,
	pattern: regexp.MustCompile(`^([1-9][0-9]{0,3}|[1-5][0-9]{4}|6[0-4][0-9]{3}|65[0-4][0-9]{2}|655[0-2][0-9]|6553[0-5])(/(tcp|udp|sctp))?$`),
	advise: func(s string) string {
		if strings.Contains(s, ":") {
			return "which port of the host leads there is said by who starts a container"
		}
		return ""
	},
}

// signalPattern has the signals of signal(7).
var signalPattern = regexp.MustCompile(`^([1-9]|[1-5][0-9]|6[0-4]|SIG(ABRT|ALRM|BUS|CHLD|CONT|FPE|HUP|ILL|INT|IO|KILL|PIPE|POLL|PROF|PWR|QUIT|SEGV|STKFLT|STOP|SYS|TERM|TRAP|TSTP|TTIN|TTOU|URG|USR1|USR2|VTALRM|WINCH|XCPU|XFSZ|RTMIN(\+([1-9]|1[0-5]))?|RTMAX(-([1-9]|1[0-4]))?))$`)

var signalRule = rule{
	what: "a signal", form: "such as SIGTERM, SIGRTMIN+3 or a number", numbers: true,
	pattern: signalPattern,
	advise: func(s string) string {
		if up := "SIG" + strings.TrimPrefix(strings.ToUpper(s), "SIG"); up != s && signalPattern.MatchString(up) {
			return "did you mean \"" + up + "\"?"
		}
		return ""
	},
}

var commandRule = rule{what: "a command", form: "at least one character that is not a space", pattern: regexp.MustCompile(`\S`), max: 65536}

var expectRule = rule{
	what: "a regular expression", max: 4096,
	check: func(s string) string {
		if _, err := regexp.Compile(s); err != nil {
			return "is not a regular expression: " + strings.TrimPrefix(err.Error(), "error parsing regexp: ")
		}
		return ""
	},
}

// One type for each rule, so that a field's type says which texts it takes.
type (
	imageName    struct{}
	distro       struct{}
	release      struct{}
	arch         struct{}
	include      struct{}
	start        struct{}
	suite        struct{}
	component    struct{}
	archiveURL   struct{}
	pkg          struct{}
	pkgName      struct{}
	hostname     struct{}
	locale       struct{}
	timezone     struct{}
	accountName  struct{}
	ownerName    struct{}
	imagePath    struct{}
	localPath    struct{}
	secretPath   struct{}
	content      struct{}
	sshKey       struct{}
	passwordHash struct{}
	unit         struct{}
	scriptName   struct{}
	groupSpec    struct{}
	groupName    struct{}
	groupUse     struct{}
	purpose      struct{}
	after        struct{}
	argument     struct{}
	console      struct{}
	condition    struct{}
	firmware     struct{}
	loader       struct{}
	formatName   struct{}
	compression  struct{}
	formatType   struct{}
	adapter      struct{}
	count        struct{}
	networkCard  struct{}
	guestOS      struct{}
	expiry       struct{}
	message      struct{}
	word         struct{}
	envName      struct{}
	elementName  struct{}
	labelName    struct{}
	pairValue    struct{}
	runUser      struct{}
	port         struct{}
	signal       struct{}
	command      struct{}
	expect       struct{}
)

func (imageName) rule() *rule    { return &imageNameRule }
func (distro) rule() *rule       { return &distroRule }
func (release) rule() *rule      { return &releaseRule }
func (arch) rule() *rule         { return &archRule }
func (include) rule() *rule      { return &localPathRule }
func (start) rule() *rule        { return &startRule }
func (suite) rule() *rule        { return &suiteRule }
func (component) rule() *rule    { return &componentRule }
func (archiveURL) rule() *rule   { return &archiveURLRule }
func (pkg) rule() *rule          { return &pkgRule }
func (pkgName) rule() *rule      { return &pkgNameRule }
func (hostname) rule() *rule     { return &hostnameRule }
func (locale) rule() *rule       { return &localeRule }
func (timezone) rule() *rule     { return &timezoneRule }
func (accountName) rule() *rule  { return &accountNameRule }
func (ownerName) rule() *rule    { return &ownerNameRule }
func (imagePath) rule() *rule    { return &imagePathRule }
func (localPath) rule() *rule    { return &localPathRule }
func (secretPath) rule() *rule   { return &secretPathRule }
func (content) rule() *rule      { return &contentRule }
func (sshKey) rule() *rule       { return &sshKeyRule }
func (passwordHash) rule() *rule { return &passwordHashRule }
func (unit) rule() *rule         { return &unitRule }
func (scriptName) rule() *rule   { return &scriptNameRule }
func (groupSpec) rule() *rule    { return &groupSpecRule }
func (groupName) rule() *rule    { return &groupNameRule }
func (groupUse) rule() *rule     { return &groupUseRule }
func (purpose) rule() *rule      { return &purposeRule }
func (after) rule() *rule        { return &afterRule }
func (argument) rule() *rule     { return &argumentRule }
func (console) rule() *rule      { return &consoleRule }
func (condition) rule() *rule    { return &conditionRule }
func (firmware) rule() *rule     { return &firmwareRule }
func (loader) rule() *rule       { return &loaderRule }
func (formatName) rule() *rule   { return &formatRule }
func (compression) rule() *rule  { return &compressionRule }
func (formatType) rule() *rule   { return &formatTypeRule }
func (adapter) rule() *rule      { return &adapterRule }
func (count) rule() *rule        { return &countRule }
func (networkCard) rule() *rule  { return &networkCardRule }
func (guestOS) rule() *rule      { return &guestOSRule }
func (expiry) rule() *rule       { return &expiryRule }
func (message) rule() *rule      { return &messageRule }
func (word) rule() *rule         { return &wordRule }
func (envName) rule() *rule      { return &envNameRule }
func (elementName) rule() *rule  { return &elementNameRule }
func (labelName) rule() *rule    { return &labelNameRule }
func (pairValue) rule() *rule    { return &pairValueRule }
func (runUser) rule() *rule      { return &runUserRule }
func (port) rule() *rule         { return &portRule }
func (signal) rule() *rule       { return &signalRule }
func (command) rule() *rule      { return &commandRule }
func (expect) rule() *rule       { return &expectRule }
