package element

import (
	"path"
	"regexp"
	"slices"
	"strings"
)

// A scan is something to find in the lines of scripts.
type scan struct {
	re     *regexp.Regexp
	phases func(Phase) bool // where it is wrong
	rule   string
	text   string // what is wrong; $1 is what was found
	hint   string
}

func inHost(names ...string) func(Phase) bool {
	return func(p Phase) bool { return p.Side == Host && slices.Contains(names, p.Name) }
}

var scans = []scan{
	{regexp.MustCompile(`\$\{?(TARGET_ROOT)\b`), func(p Phase) bool { return p.Name != "root.d" && p.Name != "cleanup.d" },
		RuleNotSet, "$1 is set in root.d and cleanup.d alone", "on the host take TMP_MOUNT_PATH"},
	{regexp.MustCompile(`\$\{?(IMAGE_BLOCK_DEVICES?)\b`), func(p Phase) bool {
		return !slices.Contains([]string{"pre-finalise.d", "finalise.d", "cleanup.d"}, p.Name)
	}, RuleNotSet, "$1 is set from pre-finalise.d on", ""},
	{regexp.MustCompile(`\$\{?(DIB_DEFAULT_INSTALLTYPE)\b`), inHost("root.d"), RuleNotSet, "$1 is set from extra-data.d on", ""},
	{regexp.MustCompile(`\b(get_image_element_array)\b`), func(p Phase) bool { return p.Side == Target },
		RuleNotSet, "the function $1 is there on the host alone", "take IMAGE_ELEMENT"},
}

// dsa finds scripts that make DSA keys among others.
var dsa = regexp.MustCompile(`ssh-keygen\b.*-t\s*dsa\b|\bfor\s+\w+\s+in\b[^;]*\sdsa(?:\s|;|$)`)

// script looks at the lines of a script.
func (l *linter) script(e *Element, at string, p Phase) {
	data, err := readFile(e.FS, at)
	if err != nil {
		return // a program, too large for a text
	}
	keys := strings.Contains(string(data), "ssh-keygen")
	l.lines(data, func(n int, line string) {
		for _, s := range scans {
			m := s.re.FindStringSubmatch(line)
			if m == nil || !s.phases(p) || strings.Contains(line, m[1]+":-") || strings.Contains(line, m[1]+"-}") {
				continue
			}
			l.add(e, at, n, s.rule, strings.ReplaceAll(s.text, "$1", m[1]), s.hint)
		}
		if keys {
			l.keys(e, at, n, line)
		}
	})
}

func (l *linter) keys(e *Element, at string, n int, line string) {
	if dsa.MatchString(line) {
		l.add(e, at, n, RuleDSA, "ssh-keygen of OpenSSH 10 makes no DSA keys, and fails", "leave dsa out")
	}
}

// lines goes through the lines of a shell script that are no comments.
func (l *linter) lines(data []byte, f func(n int, line string)) {
	n := 0
	for line := range strings.Lines(string(data)) {
		n++
		if line = strings.TrimSpace(line); line != "" && line[0] != '#' {
			f(n, line)
		}
	}
}

// driverVariables are read by disk-image-create itself, before or beside scripts.
var driverVariables = regexp.MustCompile(`^(?:export\s+|declare\s+-x\s+)*(FS_TYPE|DIB_IMAGE_SIZE|DIB_IMAGE_EXTRA_SIZE|DIB_BLOCK_DEVICE_CONFIG|DIB_CHECKSUM|DIB_DEFAULT_INSTALLTYPE|` +
	`DIB_JOURNAL_SIZE|DIB_BLOCK_SIZE|DIB_GZIP_BIN|DIB_NO_TMPFS|DIB_MIN_TMPFS|MAX_ONLINE_RESIZE|MKFS_OPTS|ROOT_LABEL|QEMU_IMG_OPTIONS|DOCKER_TARGET|IMAGE_NAME|RAMDISK_ELEMENT)=`)

// environment looks at the snippets of environment.d.
func (l *linter) environment(e *Element) {
	source, ignored := Snippets(l.listing(e, EnvironmentDir))
	for _, i := range ignored {
		if strings.Contains(i.Why, "names in") {
			l.add(e, path.Join(EnvironmentDir, i.Path), 0, RuleName, "this is never sourced: "+i.Why, "")
		}
	}
	for _, name := range source {
		at := path.Join(EnvironmentDir, name)
		data, err := readFile(e.FS, at)
		if err != nil {
			continue
		}
		l.lines(data, func(n int, line string) {
			if m := driverVariables.FindStringSubmatch(line); m != nil {
				l.add(e, at, n, RuleNeverReaches, m[1]+" reaches scripts alone, and not what reads it", "set it where the build is started")
			}
		})
	}
}
