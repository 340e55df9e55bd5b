package dib

import (
	"errors"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"ingot/internal/judge"
)

// The options as util-linux's getopt is told of them: those that diskimage-builder's
// own parser takes.
func theirs() (short string, long []string) {
	for _, o := range imageOptions() {
		if o.ours {
			continue
		}
		colon := ""
		if o.value != "" {
			colon = ":"
		}
		if o.short != 0 {
			short += string(o.short) + colon
		}
		if o.long != "" {
			long = append(long, o.long+colon)
		}
	}
	return short, long
}

// judged is what util-linux's getopt makes of arguments: options in their full form,
// "--", operands; or nothing, where it refuses them.
func judged(t judgeTB, args []string, posixly bool) ([]string, bool) {
	short, long := theirs()
	script := `out=$(getopt -o "$1" -l "$2" -n it -- "${@:3}") || exit 3; eval set -- "$out"; printf '%s\0' "$@"`
	cmd := exec.Command("bash", append([]string{"-c", script, "it", short, strings.Join(long, ",")}, args...)...)
	cmd.Env = []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin"}
	if posixly {
		cmd.Env = append(cmd.Env, "POSIXLY_CORRECT=1")
	}
	out, err := cmd.Output()
	if e, ok := errors.AsType[*exec.ExitError](err); ok && e.ExitCode() == 3 {
		return nil, false
	}
	if err != nil {
		t.Fatalf("getopt: %v", err)
	}
	words := strings.Split(string(out), "\x00")
	return words[:len(words)-1], true
}

type judgeTB interface {
	Fatalf(format string, args ...any)
}

// ours is the same by getopt of this package.
func ours(args []string, posixly bool) ([]string, bool) {
	var options []option
	for _, o := range imageOptions() {
		if !o.ours {
			options = append(options, o)
		}
	}
	var out []string
	operands, err := getopt(args, options, posixly, func(o *option, value string) error {
		out = append(out, o.String())
		if o.value != "" {
			out = append(out, value)
		}
		return nil
	})
	if err != nil {
		return nil, false
	}
	return append(append(out, "--"), operands...), true
}

// TestGetopt holds the reading of a command line against getopt(1).
func TestGetopt(t *testing.T) {
	judge.Path(t, "bash")
	judge.Path(t, "getopt")
	compare := func(t judgeTB, args []string, posixly bool) {
		want, fine := judged(t, args, posixly)
		for i, w := range want { // -h has a long form
			if w == "-h" {
				want[i] = "--help"
			}
		}
		got, ok := ours(args, posixly)
		if ok != fine || !slices.Equal(got, want) {
			t.Fatalf("%q (posixly %v):\ngot  %v %q\nwant %v %q", args, posixly, ok, got, fine, want)
		}
	}
	for _, line := range []string{
		"vm debian", "-a amd64 -o x vm debian", "vm -a amd64 debian -o x", "-aamd64 -ox.qcow2 vm", "-xxun vm", "-xt raw,tar vm", "-xtraw vm",
		"-- -x vm", "vm -- --help", "--image-size 2 vm", "--image-size=2 vm", "--image-s=2 vm", "--image vm", "--image-c d vm", "--mkfs=-q vm",
		"--off vm", "--offline=1 vm", "--m x", "-a", "--image-size", "-z", "--nothing", "-", "- vm", "--", "", "-o= vm", "-o -x vm", "--image-size= vm",
		"-p a,b -p c vm", "--no vm", "--qemu-img-options compat=0.10,x=y vm", "--root vm", "--ra a --ro b --in package --d t",
		"-n-x", "---", "--=x", "-x-x", "--help", "--h", "--v", "-h",
	} {
		compare(t, strings.Fields(line), false)
	}
	compare(t, []string{"vm", "-x", "-a", "arm64"}, true)
	compare(t, []string{"-o", "", "a b", "-x"}, false)
	words := []string{
		"-a", "-x", "-xx", "-o", "-ofoo", "--", "-", "vm", "--image-size", "--image-size=3", "--image-", "--off", "--chec", "--mk", "-p", "a,b",
		"--version", "-tq", "-ut", "--no-tmpfs=", "--logfile", "", "-nxa", "--docker-target=x=y", "a b", "-'", "--in", "-c", "--ro=",
	}
	rapid.Check(t, func(t *rapid.T) {
		args := rapid.SliceOfN(rapid.SampledFrom(words), 0, 6).Draw(t, "args")
		compare(t, args, rapid.Bool().Draw(t, "posixly"))
	})
}

// Options of ingot's own take no abbreviation from those that were there before.
func TestOurOptionsKeepOut(t *testing.T) {
	for _, row := range []struct{ word, want string }{
		{"--in=package", "--install-type"}, {"--inh", "--inherit-env"}, {"--mkfs=x", "--mkfs-options"}, {"--mkfs-j=8", "--mkfs-journal-size"},
		{"--image-e=8", "--image-extra-size"}, {"--l=x", "--logfile"}, {"--loc", "--locked"}, {"--d=x", "--docker-target"}, {"--dr", "--dry-run"},
		{"--env=X", "--env"}, {"--o", "--offline"},
	} {
		var got string
		_, err := getopt([]string{row.word}, imageOptions(), false, func(o *option, _ string) error {
			got = o.String()
			return nil
		})
		if err != nil || got != row.want {
			t.Errorf("%s is %s, want %s: %v", row.word, got, row.want, err)
		}
	}
}
