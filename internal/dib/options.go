package dib

import (
	"slices"
	"strings"
	"time"

	"ingot/internal/fault"
)

// A reading is a command line that is being read: what options said, which wins
// over the variables of the environment.
type reading struct {
	r     Request
	said  map[string]string // by the name of the variable that says the same
	types []string
	env   []string // --env, as given
}

// say is an option that says what a variable says too.
func say(variable string) func(*reading, string) error {
	return func(r *reading, value string) error {
		r.said[variable] = value
		return nil
	}
}

// yes is an option without a value that sets a variable to 1.
func yes(variable string) func(*reading, string) error {
	return func(r *reading, _ string) error {
		r.said[variable] = "1"
		return nil
	}
}

// sets is an option without a value that sets a field.
func sets(field func(*Request) *bool) func(*reading, string) error {
	return func(r *reading, _ string) error {
		*field(&r.r) = true
		return nil
	}
}

// asked is an option that asks for something else than an image. The first wins.
func asked(what string) func(*reading, string) error {
	return func(r *reading, _ string) error {
		if r.r.Asked == "" {
			r.r.Asked = what
		}
		return nil
	}
}

// imageOptions are those of disk-image-create and ramdisk-image-create, in the order
// of help.
func imageOptions() []option {
	return []option{
		{short: 'a', value: "ARCH", about: "the image's architecture: amd64, arm64, armhf, … (this machine's)", apply: say("ARCH")},
		{short: 'o', value: "NAME", about: "name the output; it may be a path (image)", apply: say("IMAGE_NAME")},
		{short: 't', value: "TYPES", about: "types of image, with commas between (qcow2)", apply: func(r *reading, v string) error {
			r.types = strings.Split(v, ",")
			return nil
		}},
		{short: 'x', about: "show what scripts run; twice: also what their helpers run", apply: func(r *reading, _ string) error {
			r.r.Trace++
			return nil
		}},
		{short: 'u', about: "write qcow2 without compression: larger, sooner ready", apply: func(r *reading, _ string) error {
			r.said["COMPRESS_IMAGE"] = ""
			return nil
		}},
		{short: 'c', about: "take nothing from the environment", apply: sets(func(r *Request) *bool { return &r.Clear })},
		{short: 'n', about: "do not add the element base", apply: yes("SKIP_BASE")},
		{short: 'p', value: "PACKAGES", about: "install these packages too, after install.d; commas between; may be repeated", apply: func(r *reading, v string) error {
			r.r.Packages = append(r.r.Packages, words(v)...)
			return nil
		}},
		{long: "logfile", value: "FILE", about: "append what scripts say to a file; the terminal stays quiet unless DIB_QUIET=0", apply: func(r *reading, v string) error {
			r.r.Logfile = v
			return nil
		}},
		{long: "checksum", about: "write FILE.md5 and FILE.sha256 for every output", apply: yes("DIB_CHECKSUM")},
		{long: "image-size", value: "GIB", about: "size of the disk in GiB, such as 2.5 (what the content needs)", apply: say("DIB_IMAGE_SIZE")},
		{long: "image-extra-size", value: "MIB", about: "free space beside the content in MiB", ours: true, apply: say("DIB_IMAGE_EXTRA_SIZE")},
		{long: "image-cache", value: "DIR", about: "where downloads are kept (~/.cache/image-create)", apply: say("DIB_IMAGE_CACHE")},
		{long: "max-online-resize", value: "BLOCKS", about: "how far the root file system can grow while mounted", apply: say("MAX_ONLINE_RESIZE")},
		{long: "min-tmpfs", value: "GIB", about: "accepted for scripts: ingot builds without a tmpfs", apply: say("DIB_MIN_TMPFS")},
		{long: "mkfs-journal-size", value: "MIB", about: "the root file system's journal (64)", ours: true, apply: say("DIB_JOURNAL_SIZE")},
		{long: "mkfs-options", value: "OPTIONS", about: "more options of mkfs for the root file system, as one word", apply: say("MKFS_OPTS")},
		{long: "no-tmpfs", about: "accepted for scripts: ingot builds without a tmpfs", apply: yes("DIB_NO_TMPFS")},
		{long: "offline", about: "use the network for nothing", apply: yes("DIB_OFFLINE")},
		{long: "qemu-img-options", value: "K=V,…", about: "what qemu-img's -o would be told of the output's format", apply: say("QEMU_IMG_OPTIONS")},
		{long: "root-label", value: "LABEL", about: "label of the root file system (cloudimg-rootfs; img-rootfs on xfs)", apply: say("ROOT_LABEL")},
		{long: "ramdisk-element", value: "ELEMENT", about: "the element that makes ramdisks (ramdisk)", apply: say("RAMDISK_ELEMENT")},
		{long: "install-type", value: "TYPE", about: "install from source or package where elements can do both (source)", apply: say("DIB_DEFAULT_INSTALLTYPE")},
		{long: "docker-target", value: "NAME:TAG", about: "name of the docker image (NAME of -o)", apply: say("DOCKER_TARGET")},
		{short: 'h', long: "help", about: "show this", apply: asked("help")},
		{long: "version", about: "show the version", apply: asked("version")},

		{long: "env", value: "NAME[=VALUE]", about: "let a variable of the environment pass to scripts, or set it; may be repeated", ours: true, apply: func(r *reading, v string) error {
			r.env = append(r.env, v)
			return nil
		}},
		{long: "inherit-env", about: "let all variables pass but for credentials", ours: true, apply: sets(func(r *Request) *bool { return &r.InheritEnv })},
		{long: "file", value: "PATH[:AT]", about: "lend a file or a directory to scripts of the host's side, who find it there or at AT; may be repeated", ours: true, apply: func(r *reading, v string) error {
			r.r.Lend = append(r.r.Lend, v)
			return nil
		}},
		{long: "script-timeout", value: "TIME", about: "end a script that runs longer, such as 30m", ours: true, apply: func(r *reading, v string) (err error) {
			if r.r.ScriptTimeout, err = time.ParseDuration(v); err != nil || r.r.ScriptTimeout <= 0 {
				return fault.Newf(fault.Usage, "--script-timeout %s is not a time: want such as 90s or 30m", printable(v))
			}
			return nil
		}},
		{long: "compat", about: "read lists of packages as diskimage-builder does also where that is a mistake", ours: true, apply: sets(func(r *Request) *bool { return &r.Compat })},
		{long: "mirror", value: "URL", about: "fetch Debian's packages from this mirror", ours: true, apply: func(r *reading, v string) error {
			r.r.Mirror = v
			return nil
		}},
		{long: "accept-expired", about: "take package indexes past their Valid-Until", ours: true, apply: sets(func(r *Request) *bool { return &r.AcceptExpired })},
		{long: "no-cache", about: "run every script again; packages in the store are kept", ours: true, apply: sets(func(r *Request) *bool { return &r.NoCache })},
		{long: "locked", about: "take nothing that the lock does not name", ours: true, apply: sets(func(r *Request) *bool { return &r.Locked })},
		{long: "dry-run", about: "show what was understood, build nothing", ours: true, apply: sets(func(r *Request) *bool { return &r.DryRun })},
		{long: "json", about: "print results as one JSON object", ours: true, apply: sets(func(r *Request) *bool { return &r.JSON })},
		{long: "progress", value: "HOW", about: "auto, plain or json", ours: true, apply: func(r *reading, v string) error {
			r.r.Progress = v
			return progress(v)
		}},
	}
}

// progress says whether there is such a way to show progress.
func progress(how string) error {
	if !slices.Contains([]string{"auto", "plain", "json"}, how) {
		return fault.Newf(fault.Usage, "--progress %s: want auto, plain or json", printable(how))
	}
	return nil
}

// words are the words of a list with commas or white space between.
func words(s string) []string {
	return strings.FieldsFunc(s, func(c rune) bool { return c == ',' || c == ' ' || c == '\t' || c == '\n' })
}
