package dib

import (
	"maps"
	"math"
	"os"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"

	"ingot/internal/fault"
)

// Parse reads a command line of disk-image-create or ramdisk-image-create: the name
// that it was called by, the arguments behind it, and the caller's environment as
// NAME=VALUE. What is wrong with them is wrong use, exit code 2.
func Parse(name string, args []string, env []string) (Request, error) {
	return parse(name, args, env, nil)
}

// parse is Parse with variables that were declared beside the command line.
func parse(name string, args, env []string, declared map[string]string) (Request, error) {
	r := &reading{said: map[string]string{}, r: Request{Command: name, Ramdisk: name == RamdiskCommand, Args: slices.Clone(args), Declared: declared}}
	caller := environment(env)
	operands, err := getopt(args, imageOptions(), caller["POSIXLY_CORRECT"] != "", func(o *option, value string) error {
		if o.apply == nil {
			return nil
		}
		return o.apply(r, value)
	})
	if err != nil || r.r.Asked != "" {
		return r.r, err
	}
	if r.r.Clear {
		if r.r.InheritEnv {
			return r.r, fault.Newf(fault.Usage, "-c and --inherit-env are two answers").WithHint("choose one")
		}
		for name := range caller {
			if !slices.ContainsFunc(r.env, func(e string) bool { return e == name }) {
				delete(caller, name)
			}
		}
	}
	maps.Copy(caller, declared)
	r.r.Elements = operands
	if err := r.passed(caller); err != nil {
		return r.r, err
	}
	for _, read := range []func(get func(string) string) error{r.what, r.how, r.disk, r.outputs} {
		if err := read(func(variable string) string {
			if v, ok := r.said[variable]; ok {
				return v
			}
			return caller[variable]
		}); err != nil {
			return r.r, err
		}
	}
	q := &r.r
	q.options = r.said
	for _, list := range []*[]string{&q.Args, &q.ElementsPath, &q.Packages, &q.Checksums, &q.Break} {
		if *list == nil {
			*list = []string{} // in JSON an empty list, not nothing
		}
	}
	return r.r, nil
}

// environment is a list of NAME=VALUE as a map; of a name that is there twice the
// first counts, as for getenv.
func environment(env []string) map[string]string {
	out := map[string]string{}
	for _, e := range env {
		name, value, ok := strings.Cut(e, "=")
		if _, there := out[name]; ok && name != "" && !there {
			out[name] = value
		}
	}
	return out
}

// what is what the image is made of.
func (r *reading) what(get func(string) string) error {
	if len(r.r.Elements) == 0 {
		return fault.Newf(fault.Usage, "name at least one element, of which one is a distribution").
			WithHint("such as %q; see %q", r.r.Command+" -o image vm debian-minimal", r.r.Command+" --help")
	}
	for _, e := range r.r.Elements {
		if e == "" || strings.ContainsAny(e, "/\x00 \t\n") || strings.HasPrefix(e, ".") {
			return fault.Newf(fault.Usage, "%q is not the name of an element", printable(e)).
				WithHint("the directories that elements lie in stand in ELEMENTS_PATH")
		}
	}
	for _, dir := range strings.Split(get("ELEMENTS_PATH"), ":") {
		if dir != "" {
			r.r.ElementsPath = append(r.r.ElementsPath, dir)
		}
	}
	r.r.SkipBase = get("SKIP_BASE") == "1"
	if r.r.Ramdisk {
		r.r.RamdiskElement = or(get("RAMDISK_ELEMENT"), "ramdisk")
	}
	r.r.InstallType = or(get("DIB_DEFAULT_INSTALLTYPE"), "source")
	r.r.Arch = or(get("ARCH"), hostArch())
	var err error
	r.r.DebianArch, err = debianArch(r.r.Arch)
	return err
}

// arches are other systems' words for Debian's architectures.
var arches = map[string]string{
	"x86_64": "amd64", "aarch64": "arm64", "ppc64le": "ppc64el", "armv7l": "armhf", "i486": "i386", "i586": "i386", "i686": "i386",
}

// debianArches are those there are, also in diskimage-builder's own lists.
var debianArches = []string{
	"amd64", "arm64", "armel", "armhf", "i386", "loong64", "mips64el", "mipsel", "powerpc", "ppc64", "ppc64el", "riscv64", "s390x",
}

func debianArch(arch string) (string, error) {
	if d, ok := arches[arch]; ok {
		return d, nil
	}
	if slices.Contains(debianArches, arch) {
		return arch, nil
	}
	return "", fault.Newf(fault.Usage, "there is no architecture %q", printable(arch)).WithHint("there are %s", strings.Join(debianArches, ", "))
}

// hostArch is this machine's architecture in Debian's words.
func hostArch() string {
	if d, ok := map[string]string{"386": "i386", "arm": "armhf", "ppc64le": "ppc64el", "mips64le": "mips64el"}[runtime.GOARCH]; ok {
		return d
	}
	return runtime.GOARCH
}

// how is how it is built and what is said meanwhile.
func (r *reading) how(get func(string) string) error {
	q := &r.r
	trace, err := whole("DIB_DEBUG_TRACE", get("DIB_DEBUG_TRACE"), 0, 1000)
	if err != nil {
		return err
	}
	q.Trace += int(trace)
	q.Offline = get("DIB_OFFLINE") != "" && get("DIB_OFFLINE") != "0"
	q.CacheDir, q.LocksDir = get("DIB_IMAGE_CACHE"), get("DIB_LOCKFILES")
	q.TempDir = or(get("TMPDIR"), get("TMP_DIR"))
	q.Overwrite = !no(get("OVERWRITE_OLD_IMAGE"))
	q.Timestamps = no(get("DIB_NO_TIMESTAMP"))
	q.Quiet = q.Logfile != ""
	if v := get("DIB_QUIET"); v != "" {
		q.Quiet = !no(v)
	}
	if !no(get("DIB_SHOW_IMAGE_USAGE")) {
		if q.Usage = 1; !no(get("DIB_SHOW_IMAGE_USAGE_FULL")) {
			q.Usage = 2
		}
	}
	q.Break = words(get("break"))
	for _, b := range q.Break {
		if err := Breakpoint(b); err != nil {
			return err
		}
	}
	q.BreakCommand, q.BreakOutside = or(get("break_cmd"), "bash"), get("break_outside_target") != ""
	switch v := get("DIB_CHECKSUM"); {
	case no(v):
	case v == "1":
		q.Checksums = []string{"md5", "sha256"}
	default:
		for _, sum := range words(v) {
			if sum != "md5" && sum != "sha256" {
				return fault.Newf(fault.Usage, "DIB_CHECKSUM=%s: want 1, md5, sha256 or md5,sha256", printable(v))
			}
			if !slices.Contains(q.Checksums, sum) {
				q.Checksums = append(q.Checksums, sum)
			}
		}
	}
	return nil
}

// Phases are the phases of a build, in their order.
var Phases = []string{
	"root", "extra-data", "pre-install", "install", "post-install", "post-root", "block-device", "pre-finalise", "finalise", "cleanup",
}

// Breakpoint says whether a build can stop there: a value of break.
func Breakpoint(at string) error {
	phase, before := strings.CutPrefix(at, "before-")
	after := false
	if !before {
		phase, after = strings.CutPrefix(at, "after-")
	}
	phase = strings.TrimSuffix(phase, ".d")
	if (before || after) && slices.Contains(Phases, phase) || at == "after-error" {
		return nil
	}
	return fault.Newf(fault.Usage, "break=%s is no place of a build", printable(at)).
		WithHint("want after-error, or before- or after- and one of %s", strings.Join(Phases, ", "))
}

// disk is what the disk and its root file system are like.
func (r *reading) disk(get func(string) string) (err error) {
	q := &r.r
	q.FSType = or(get("FS_TYPE"), "ext4")
	if q.RootLabel = get("ROOT_LABEL"); q.RootLabel == "" {
		if q.RootLabel = "cloudimg-rootfs"; q.FSType == "xfs" {
			q.RootLabel = "img-rootfs" // xfs has room for 12 characters
		}
	}
	if file, ok := strings.CutPrefix(get("DIB_BLOCK_DEVICE_CONFIG"), "file://"); ok {
		if q.BlockDeviceFile = file; file == "" {
			return fault.Newf(fault.Usage, "DIB_BLOCK_DEVICE_CONFIG=file:// names no file")
		}
	} else {
		q.BlockDevice = get("DIB_BLOCK_DEVICE_CONFIG")
	}
	size, err := whole("DIB_BLOCK_SIZE", get("DIB_BLOCK_SIZE"), 0, 4096)
	if err != nil {
		return err
	}
	q.BlockSize = int(size)
	if v := get("DIB_IMAGE_SIZE"); v != "" {
		// Kibibytes first, as diskimage-builder counts, and up to what is whole for it.
		kib, err := float("DIB_IMAGE_SIZE or --image-size", v, 1<<20, gib)
		if err != nil {
			return err
		}
		if q.ImageSize = roundUp(int64(kib)) << 10; q.ImageSize == 0 {
			return fault.Newf(fault.Usage, "DIB_IMAGE_SIZE or --image-size %s is no size for a disk", printable(v))
		}
	}
	if v := get("DIB_IMAGE_EXTRA_SIZE"); v != "" {
		kib, err := float("DIB_IMAGE_EXTRA_SIZE or --image-extra-size", v, 1<<10, mib)
		if err != nil {
			return err
		}
		bytes := int64(kib) << 10
		q.ExtraSize = &bytes
	}
	if q.JournalSize, err = whole("DIB_JOURNAL_SIZE or --mkfs-journal-size", get("DIB_JOURNAL_SIZE"), 1, 10_240_000>>8); err != nil {
		return err
	}
	if _, err = whole("MAX_ONLINE_RESIZE or --max-online-resize", get("MAX_ONLINE_RESIZE"), 1, math.MaxInt64); err != nil {
		return err
	}
	q.MaxOnlineResize, q.MkfsOptions = get("MAX_ONLINE_RESIZE"), get("MKFS_OPTS")
	q.NoTmpfs = !no(get("DIB_NO_TMPFS"))
	q.MinTmpfs, err = float("DIB_MIN_TMPFS or --min-tmpfs", or(get("DIB_MIN_TMPFS"), "2"), 1, gib)
	return err
}

// no says whether a variable says no: it is empty or 0.
func no(value string) bool { return value == "" || value == "0" }

func or(value, other string) string {
	if value == "" {
		return other
	}
	return value
}

// whole reads a whole number; "" is 0.
func whole(name, value string, least, most int64) (int64, error) {
	if value == "" {
		return 0, nil
	}
	n, err := strconv.ParseInt(value, 10, 64)
	if err != nil || n < least || n > most {
		return 0, fault.Newf(fault.Usage, "%s %s is not a whole number from %d to %d", name, printable(value), least, most)
	}
	return n, nil
}

// The units that a size may say, which awk passes over: others would be taken for
// these, a thousand times too large or too small.
var (
	gib = []string{"", "G", "g", "GB", "GiB"}
	mib = []string{"", "M", "m", "MB", "MiB"}
)

var floatPattern = regexp.MustCompile(`^([0-9]+\.?[0-9]*|\.[0-9]+)([A-Za-z]*)$`)

// float reads a number that may have a fraction and gives it times a factor.
func float(name, value string, times float64, units []string) (float64, error) {
	m := floatPattern.FindStringSubmatch(value)
	if m == nil || !slices.Contains(units, m[2]) {
		return 0, fault.Newf(fault.Usage, "%s %s is not a size: want a number of %s, such as 2.5", name, printable(value), units[len(units)-1])
	}
	n, err := strconv.ParseFloat(m[1], 64)
	if n *= times; err != nil || n > 1<<43 {
		return 0, fault.Newf(fault.Usage, "%s %s is too large", name, printable(value))
	}
	return n, nil
}

// outputs is what comes out.
func (r *reading) outputs(get func(string) string) error {
	q := &r.r
	asked := r.types
	if asked == nil {
		asked = []string{"qcow2"}
	}
	for _, word := range asked {
		if slices.ContainsFunc(q.Outputs, func(o Output) bool { return o.Type == word }) {
			continue
		}
		o, err := outputOf(word)
		if err != nil {
			return err
		}
		q.Outputs = append(q.Outputs, o)
	}
	q.Name = or(get("IMAGE_NAME"), "image")
	if len(asked) == 1 {
		q.Name = strings.TrimSuffix(q.Name, "."+asked[0])
	}
	if q.Name == "" || strings.HasSuffix(q.Name, string(os.PathSeparator)) || strings.ContainsRune(q.Name, 0) {
		return fault.Newf(fault.Usage, "-o %s names no file", printable(get("IMAGE_NAME")))
	}
	_, uncompressed := r.said["COMPRESS_IMAGE"]
	for i := range q.Outputs {
		o := &q.Outputs[i]
		if o.Format == "qcow2" && uncompressed {
			o.Compress = ""
		}
		if o.Format == "docker" {
			o.Tag = or(get("DOCKER_TARGET"), q.Name)
		}
	}
	q.ACIManifest = get("ACI_MANIFEST")
	return qemuOptions(q.Outputs, get("QEMU_IMG_OPTIONS"))
}
