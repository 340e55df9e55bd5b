package vm

import (
	"regexp"
)

// Evidence says what shows that a machine works: every expression of Expect
// matches some line of the console, in any order. Without any, [Booted] is it.
type Evidence struct {
	Expect []*regexp.Regexp
}

// A Sign is a line's meaning.
type Sign struct {
	Name    string
	Pattern *regexp.Regexp
}

// Booted is the evidence that is enough when none is asked for: a login prompt,
// or systemd saying that it reached a target that has one.
func Booted() []Sign {
	return []Sign{
		{"login prompt", regexp.MustCompile(`(^|\s)login:$`)},
		{"systemd target", regexp.MustCompile(`Reached target .*(Multi-User|Graphical|Login Prompts)`)},
	}
}

// refused is the sign of a firmware that starts only what is signed.
const refused = "Secure Boot refused"

// Broken is what ends a boot early: each is a place from which a machine does not go on
// by itself. A boot loader's mere "error:" is not among them, as GRUB
// says so of a missing font too; its prompts are.
func Broken() []Sign {
	return []Sign{
		{"kernel panic", regexp.MustCompile(`Kernel panic - not syncing`)},
		{"emergency mode", regexp.MustCompile(`You are in (emergency|rescue) mode|Entering emergency mode|Cannot open access to console, the root account is locked|Give root password for (maintenance|system maintenance)`)},
		{"prompt of the initramfs", regexp.MustCompile(`^\(initramfs\)|Dropping to a shell!|^dracut:.*#|^Dropping to debug shell`)},
		{"systemd gave up", regexp.MustCompile(`systemd\[1\]: .*[Ff]reezing|Freezing execution`)},
		{"GRUB's rescue prompt", regexp.MustCompile(`^grub rescue>|Entering rescue mode`)},
		{"GRUB's prompt", regexp.MustCompile(`^grub>|Minimal BASH-like line editing`)},
		{"GRUB has no kernel", regexp.MustCompile(`error: you need to load the kernel first`)},
		{"firmware found nothing to boot", regexp.MustCompile(`No bootable (device|option)|FATAL: No bootable medium|^Shell>|UEFI Interactive Shell`)},
		{refused, regexp.MustCompile(`Security Violation|bad shim signature|failed to load Boot.*: (Access Denied|Security)`)},
	}
}

// A Proof is the evidence that was found.
type Proof struct {
	Name string `json:"name"` // which: "login prompt", or the expression
	Line string `json:"line"` // the line of the console that showed it, the last if several
}

// A watch reads lines until it knows.
type watch struct {
	wanted []Sign // all of them, or one if any is set
	any    bool
	broken []Sign
	seen   []bool
	left   int
}

func newWatch(e Evidence) *watch {
	j := &watch{broken: Broken()}
	for _, re := range e.Expect {
		j.wanted = append(j.wanted, Sign{re.String(), re})
	}
	if len(j.wanted) == 0 {
		j.wanted, j.any = Booted(), true
	}
	j.seen, j.left = make([]bool, len(j.wanted)), len(j.wanted)
	return j
}

// look takes one line and says what it proves, if anything.
func (j *watch) look(line string) (proof *Proof, broken *Proof) {
	for i, s := range j.wanted {
		if !j.seen[i] && s.Pattern.MatchString(line) {
			j.seen[i] = true
			j.left--
			if j.any || j.left == 0 {
				return &Proof{s.Name, line}, nil
			}
		}
	}
	for _, s := range j.broken {
		if s.Pattern.MatchString(line) {
			return nil, &Proof{s.Name, line}
		}
	}
	return nil, nil
}

// missing names what has not been seen.
func (j *watch) missing() string {
	if j.any {
		return "a login prompt"
	}
	for i, s := range j.wanted {
		if !j.seen[i] {
			return "a line that matches " + s.Name
		}
	}
	return "nothing"
}
