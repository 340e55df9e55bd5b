package dib

import (
	"maps"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"ingot/internal/element"
	"ingot/internal/fault"
)

// Which of the caller's variables scripts see is a list, not a guess: every DIB_*
// variable, the proxies, and the names below, which are those that diskimage-builder
// and its elements document. --env adds a name, --inherit-env all of them but for
// credentials, which are a list too.

// documentedVariables are the variables without DIB_ in front that diskimage-builder
// and its elements document or read.
var documentedVariables = []string{
	// The driver's own that scripts and the libraries they source look at.
	"ARCH", "ELEMENTS_PATH", "FS_TYPE", "IMAGE_NAME", "MAX_ONLINE_RESIZE", "OVERWRITE_OLD_IMAGE", "QEMU_IMG_OPTIONS",
	"ROOT_LABEL", "RUN_PARTS_REGEX", "SKIP_BASE",
	// What is said of a distribution by who replaces the element that would.
	"DISTRO_NAME", "EFI_BOOT_DIR",
	// Elements' own.
	"BASE_IMAGE_FILE", "BASE_IMAGE_FILE_SUFFIX", "BASE_IMAGE_TAR", // cloud images of fedora, centos, rhel, ubuntu
	"SHA256SUMS", "SIGNATURE_FILE", "SIGNED_BY", // ubuntu, gentoo
	"BUSYBOX",         // ramdisk
	"GENTOO_OVERLAYS", // gentoo
	"GENTOO_EMERGE_DEFAULT_OPTS", "GENTOO_EMERGE_ENV", "GENTOO_PORTAGE_CLEANUP", "GENTOO_PROFILE", "GENTOO_PYTHON_TARGETS",
	"HW_DISCOVERY_URL",       // hwdiscovery
	"NO_SOURCE_REPOSITORIES", // source-repositories
	"PYPI_MIRROR_URL",        // pypi
	"UBOOT_KERNEL_ADDR",      // uboot
	"UBOOT_KERNEL_EP",        // uboot
	"YUM", "YUM_FLAGS",       // yum
	"REG_AUTO_ATTACH",         // rhel-common, and all that follow
	"REG_ACTIVATION_KEY",      //
	"REG_BASE_URL", "REG_ENV", //
	"REG_ENVIRONMENT", "REG_FORCE", "REG_HALT_UNREGISTER", "REG_MACHINE_NAME", "REG_METHOD", "REG_ORG",
	"REG_PASSWORD", "REG_POOL_ID", "REG_RELEASE", "REG_REPOS", "REG_SAT_CERT", "REG_SAT_REPO", "REG_SAT_URL",
	"REG_SERVER_URL", "REG_SERVICE_LEVEL", "REG_TYPE", "REG_USER",
}

// proxies are the names before _proxy, which are read in both cases.
var proxies = []string{"all", "ftp", "http", "https", "no", "rsync"}

// credentials never pass with --inherit-env. Who needs one in a script names it with
// --env.
var credentials = []string{
	"ANSIBLE_VAULT_PASSWORD", "ANSIBLE_VAULT_PASSWORD_FILE",
	"ARM_CLIENT_SECRET", "AZURE_CLIENT_SECRET", "AZURE_STORAGE_CONNECTION_STRING", "AZURE_STORAGE_KEY",
	"AWS_ACCESS_KEY_ID", "AWS_CONTAINER_AUTHORIZATION_TOKEN", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_SHARED_CREDENTIALS_FILE",
	"AWS_WEB_IDENTITY_TOKEN_FILE",
	"CI_DEPLOY_PASSWORD", "CI_JOB_JWT", "CI_JOB_TOKEN", "CI_REGISTRY_PASSWORD", "CI_REPOSITORY_URL",
	"DBUS_SESSION_BUS_ADDRESS", "DIGITALOCEAN_ACCESS_TOKEN", "DOCKER_AUTH_CONFIG", "DOCKER_PASSWORD",
	"GH_ENTERPRISE_TOKEN", "GH_TOKEN", "GITHUB_TOKEN", "GITLAB_TOKEN", "ACTIONS_ID_TOKEN_REQUEST_TOKEN", "ACTIONS_RUNTIME_TOKEN",
	"GIT_ASKPASS", "GNOME_KEYRING_CONTROL", "GOOGLE_APPLICATION_CREDENTIALS", "GOOGLE_CREDENTIALS", "GPG_AGENT_INFO",
	"HCLOUD_TOKEN", "KRB5CCNAME", "KUBECONFIG", "NETRC", "NPM_TOKEN", "NODE_AUTH_TOKEN",
	"OS_APPLICATION_CREDENTIAL_ID", "OS_APPLICATION_CREDENTIAL_SECRET", "OS_AUTH_TOKEN", "OS_PASSWORD", "OS_TOKEN",
	"PGPASSFILE", "PGPASSWORD", "MYSQL_PWD", "PYPI_TOKEN", "REGISTRY_AUTH_FILE", "RESTIC_PASSWORD", "SSHPASS", "SSH_AGENT_PID",
	"SSH_ASKPASS", "SSH_AUTH_SOCK", "SUDO_ASKPASS", "TWINE_PASSWORD", "VAULT_TOKEN", "XAUTHORITY", "XDG_RUNTIME_DIR",
}

// secrets pass where an element documents them, and are shown nowhere.
var secrets = []string{
	"DIB_DEV_USER_PASSWORD", "DIB_MANILA_USER_PASSWORD", "DIB_NVIDIA_VGPU_CLIENT_TOKEN", "DIB_RHSM_PASSWORD", "REG_ACTIVATION_KEY", "REG_PASSWORD",
}

// Documented says whether a variable of the caller's passes to scripts by itself.
func Documented(name string) bool {
	if strings.HasPrefix(name, "DIB_") || slices.Contains(documentedVariables, name) {
		return true
	}
	before, isProxy := strings.CutSuffix(strings.ToLower(name), "_proxy")
	return isProxy && slices.Contains(proxies, before) && (name == strings.ToLower(name) || name == strings.ToUpper(name))
}

// passed decides which of the caller's variables pass to scripts.
func (r *reading) passed(caller map[string]string) error {
	q := &r.r
	q.Environment = map[string]string{}
	for name, value := range caller {
		switch {
		case !identifier(name) || element.BuildSets(name):
		case Documented(name) || q.InheritEnv && !slices.Contains(credentials, name):
			q.Environment[name] = value
		}
	}
	for name, value := range q.Declared {
		if !element.BuildSets(name) {
			q.Environment[name] = value
		}
	}
	for _, e := range r.env {
		name, value, given := strings.Cut(e, "=")
		switch {
		case !identifier(name):
			return fault.Newf(fault.Usage, "--env %s: want NAME or NAME=VALUE", printable(name))
		case element.BuildSets(name):
			return fault.Newf(fault.Usage, "--env %s: every build sets this variable itself", printable(name))
		case !given:
			var set bool
			if value, set = caller[name]; !set {
				continue
			}
		}
		q.Environment[name] = value
		caller[name] = value
	}
	for name, value := range q.Environment {
		if isSecret(name, value) {
			q.Secrets = append(q.Secrets, name)
		}
	}
	slices.Sort(q.Secrets)
	for i, a := range q.Args {
		for _, e := range r.env {
			if name, _, given := strings.Cut(e, "="); given && slices.Contains(q.Secrets, name) && strings.HasSuffix(a, e) {
				q.Args[i] = strings.TrimSuffix(a, e) + name + "=" + hidden
			}
		}
		if mirrorHides(q.Mirror) && strings.HasSuffix(a, q.Mirror) {
			q.Args[i] = strings.TrimSuffix(a, q.Mirror) + hidden
		}
	}
	return nil
}

// hidden stands where a secret would.
const hidden = "(hidden)"

// Shown is the request as it may be shown: the values of secrets are hidden.
func (r Request) Shown() Request {
	r.Environment, r.Declared = maps.Clone(r.Environment), maps.Clone(r.Declared)
	for _, name := range r.Secrets {
		r.Environment[name] = hidden
		if _, there := r.Declared[name]; there {
			r.Declared[name] = hidden
		}
	}
	if mirrorHides(r.Mirror) {
		r.Mirror = hidden
	}
	return r
}

// mirrorHides says whether a mirror's address may have a name or password in it.
func mirrorHides(address string) bool { return strings.Contains(address, "@") }

// isSecret says whether a variable is one that is shown nowhere.
func isSecret(name, value string) bool {
	return slices.Contains(secrets, name) || slices.Contains(credentials, name) || hasUser(value)
}

// hasUser says whether a value is a URL with a password in it.
func hasUser(value string) bool {
	if !strings.Contains(value, "://") {
		return false
	}
	u, err := url.Parse(value)
	if err != nil || u.User == nil {
		return false
	}
	_, password := u.User.Password()
	return password
}

func identifier(name string) bool {
	for i, c := range name {
		if c != '_' && (c < 'A' || c > 'Z') && (c < 'a' || c > 'z') && (i == 0 || c < '0' || c > '9') {
			return false
		}
	}
	return name != ""
}

// Variables are what the request says to every script: what passes of the caller's
// environment, and what options and defaults say. The driver adds what depends on
// the build: its directories, the elements, the layout.
func (r Request) Variables() map[string]string {
	out := maps.Clone(r.Environment)
	if out == nil {
		out = map[string]string{}
	}
	yes := func(b bool) string {
		if b {
			return "1"
		}
		return "0"
	}
	set := map[string]string{
		"LC_ALL": "C", "HOME": "/root", "USER": "root", "LOGNAME": "root", "ARCH": r.Arch, "IMAGE_NAME": r.Name, "IMAGE_TYPE": "qcow2", "FS_TYPE": r.FSType,
		"DIB_ARGS": strings.Join(r.Args, " "), "DIB_ENV": r.DIBEnv(), "DIB_DEBUG_TRACE": strconv.Itoa(r.Trace),
		"DIB_CHECKSUM": "0", "DIB_NO_TMPFS": yes(r.NoTmpfs), "DIB_MIN_TMPFS": strconv.FormatFloat(r.MinTmpfs, 'f', -1, 64),
		"DIB_OFFLINE": "", "OUT_IMAGE_PATH": "",
	}
	if r.Offline {
		set["DIB_OFFLINE"] = "1"
	}
	if len(r.Checksums) > 0 {
		set["DIB_CHECKSUM"] = strings.Join(r.Checksums, ",")
	}
	if r.SkipBase {
		set["SKIP_BASE"] = "1"
	}
	if r.Ramdisk {
		set["RAMDISK_ELEMENT"] = r.RamdiskElement
	}
	if r.ImageSize != 0 {
		set["DIB_IMAGE_SIZE"] = strconv.FormatFloat(float64(r.ImageSize)/(1<<30), 'f', -1, 64)
	}
	if r.ExtraSize != nil {
		set["DIB_IMAGE_EXTRA_SIZE"] = strconv.FormatFloat(float64(*r.ExtraSize)/(1<<20), 'f', -1, 64)
	}
	if r.JournalSize != 0 {
		set["DIB_JOURNAL_SIZE"] = strconv.FormatInt(r.JournalSize, 10)
	}
	if r.MaxOnlineResize != "" {
		set["MAX_ONLINE_RESIZE"] = r.MaxOnlineResize
	}
	for name, value := range r.options { // they win over the caller's variables
		if _, passed := out[name]; passed || name == "DIB_IMAGE_CACHE" || name == "DOCKER_TARGET" {
			out[name] = value
		}
	}
	maps.Copy(out, set)
	return out
}

// Snippets are the files that diskimage-builder itself puts beside those of elements,
// by their paths in the hooks. What they export is there from extra-data.d on.
func (r Request) Snippets() map[string]string {
	return map[string]string{
		"environment.d/11-dib-install-type.bash": "export DIB_DEFAULT_INSTALLTYPE=${DIB_DEFAULT_INSTALLTYPE:-" + shellWord(r.InstallType) + "}\n",
	}
}

// DIBEnv is what DIB_ENV holds: the caller's DIB_* variables as bash would declare
// them, for a shell to read again. Secrets are left out.
func (r Request) DIBEnv() string {
	var lines []string
	for _, name := range slices.Sorted(maps.Keys(r.Environment)) {
		if strings.HasPrefix(name, "DIB_") && !isSecret(name, r.Environment[name]) {
			lines = append(lines, "declare -x "+name+"="+doubleQuoted(r.Environment[name]))
		}
	}
	return strings.Join(lines, "\n")
}

// doubleQuoted is a text as bash reads it back between double quotes.
func doubleQuoted(s string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`, `$`, `\$`, "`", "\\`").Replace(s) + `"`
}

// Roots are the elements from which the others follow: those named, and those that
// diskimage-builder adds by itself. A ramdisk gets its element, everything but what
// has -n gets base, and "vm" without a block-device-* element beside it gets the one
// that its architecture starts from.
func (r Request) Roots() []string {
	var out []string
	if r.Ramdisk {
		out = append(out, r.RamdiskElement)
	}
	if !r.SkipBase {
		out = append(out, "base")
	}
	out = append(out, r.Elements...)
	isDevice := func(e string) bool { return strings.HasPrefix(e, "block-device-") }
	if slices.Contains(r.Elements, "vm") && !slices.ContainsFunc(r.Elements, isDevice) {
		if r.DebianArch == "arm64" {
			return append(out, "block-device-efi")
		}
		return append(out, "block-device-mbr")
	}
	return out
}
