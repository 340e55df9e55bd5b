package main_test

import (
	"maps"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"ingot/internal/judge"
)

// locked are the packages of a lock's sets, each with the words behind its version, and the groups
// that they are of.
func (p *project) locked(t *testing.T, name string) (packages, groups map[string]string) {
	packages, groups = map[string]string{}, map[string]string{}
	set := false
	for line := range strings.Lines(p.read(t, name)) {
		if !strings.HasPrefix(line, "  ") {
			set = strings.HasPrefix(line, "set ")
		}
		if w := strings.Fields(line); set && len(w) >= 7 {
			packages[w[0]] = strings.Join(w[1:7], " ")
			if len(w) == 8 {
				groups[w[0]] = w[7]
			}
		}
	}
	return packages, groups
}

// composed makes groups of the two versions that a repository has of a group: without an index and
// without a network, on machines that have nothing.
func (p *project) composed(t *testing.T, from []string) {
	repo := p.path("groups")
	define := func(name, more string) string { return strings.Replace(minimal, "small", name, 1) + more }
	p.write(t, map[string]string{
		"whole/ingot.yaml":   define("whole", "groups: [small=1]\n"),
		"patched/ingot.yaml": define("patched", "groups: [small=1, {spec: small=2, use: patch}]\n"),
		"less/ingot.yaml":    define("less", "groups: [small=1, {spec: small=2, use: subtract}]\n"),
		"need/ingot.yaml":    define("need", "packages: [ca-certificates]\ngroups: [small=1, {spec: small=2, use: subtract}]\n"),
		"both/ingot.yaml":    define("both", "groups: [small=1, small=2]\n"),
		"none/ingot.yaml":    define("none", "groups: [small=9]\n"),
		"arm/ingot.yaml":     define("arm", "groups: [\"small[is: aarch64]\"]\n"),
		"flag/ingot.yaml":    define("flag", "groups: [\"small[vmwrae]\"]\n"),
	})
	machine := func(name string) *project {
		q := p.fresh()
		q.mirror, q.home, q.cache = "", filepath.Join(p.dir, ".home-"+name), filepath.Join(p.dir, ".cache-"+name)
		q.env = append(slices.Clone(q.env), "INGOT_REPOSITORY="+repo)
		return q
	}
	q := machine("composed")
	lock := func(name string, more ...string) []string {
		return slices.Concat([]string{"lock", name, "--offline", "--choose-from", "small=2"}, from, more)
	}
	first, _ := p.locked(t, "old/ingot.lock")
	second, _ := p.locked(t, "ingot.lock")

	// All of a group, to the digest, and with nothing of the other one that there is to choose from.
	q.must(t, lock("whole")...)
	got, groups := q.locked(t, "whole/ingot.lock")
	if !maps.Equal(got, first) || len(groups) != len(first) {
		t.Errorf("it has %d packages, %d of them of the group, which has %d", len(got), len(groups), len(first))
	}
	// What a version patches comes in that, and nothing besides.
	q.must(t, lock("patched")...)
	got, groups = q.locked(t, "patched/ingot.lock")
	moved := 0
	for name, was := range first {
		want, by := was, "small"
		if now, ok := second[name]; ok {
			want, by = now, "small-2"
		}
		if want != was {
			moved++
		}
		if got[name] != want || groups[name] != by {
			t.Errorf("%s is %q of %q, want %q of %q", name, got[name], groups[name], want, by)
		}
	}
	if moved == 0 || len(got) != len(first) {
		t.Errorf("%d packages are patched, and there are %d, not %d", moved, len(got), len(first))
	}
	// Less another: what is asked for and what needs it stays, and that is told.
	q.must(t, lock("less")...)
	if got, _ := q.locked(t, "less/ingot.lock"); got["ca-certificates"] != "" || got["openssl"] != "" || got["dpkg"] != first["dpkg"] {
		t.Errorf("it has %q, %q and %q", got["ca-certificates"], got["openssl"], got["dpkg"])
	}
	v := q.ingot(t, lock("need")...)
	if got, _ := q.locked(t, "need/ingot.lock"); v.code != 0 || got["openssl"] != first["openssl"] || !strings.Contains(v.err, "openssl (ca-certificates depends it)") {
		t.Errorf("exit code %d, openssl is %q:\n%s", v.code, got["openssl"], v.err)
	}

	// Another machine builds from the lock and the packages in the repository: no index of the repository
	// is read, and no archive asked.
	index := regexp.MustCompile(`(?m)^group small include small=1 /\S+/1-1-1 [0-9a-f]{64}$`)
	if !index.MatchString(q.read(t, "whole/ingot.lock")) {
		t.Error("the lock does not name the version")
	}
	b := machine("builds")
	b.must(t, "build", "--locked", "--offline", "--to", "composed", "whole")
	if out := b.must(t, "why", "bash", "whole", "--offline"); !strings.Contains(out, "  group small=/images.example@acme:devel/1-1-1 includes it\n") {
		t.Errorf("why:\n%s", out)
	}
	if text := b.read(t, "composed/whole-amd64.tar.intoto.json"); !strings.Contains(text, `"name": "small=/images.example@acme:devel/1-1-1"`) {
		t.Error("the provenance does not name the group")
	}
	// An outside program sees the very packages installed.
	judge.Run(t, "tar", "--extract", "--file", p.path("composed/whole-amd64.tar"), "--directory", p.dir, "./var/lib/dpkg/status")
	var status []string
	for name, words := range first {
		version, _, _ := strings.Cut(words, " ")
		status = append(status, name+"="+version)
	}
	slices.Sort(status)
	listed := strings.Fields(judge.Run(t, "dpkg-query", "--admindir", p.path("var/lib/dpkg"), "--show", "--showformat", "${Package}=${Version}\n"))
	slices.Sort(listed)
	if !slices.Equal(listed, status) {
		t.Errorf("dpkg sees\n%s\nwant\n%s", listed, status)
	}

	if p.c.full {
		// A version of its own, which needs the other one no more.
		b.must(t, "group", "commit", "whole", "--to", p.path("own"))
		if out := b.must(t, "group", "show", "whole", "--from", p.path("own")); !strings.Contains(out, "small=/images.example@acme:devel/1-1-1") {
			t.Errorf("show:\n%s", out)
		}
		c := machine("again")
		c.env = nil
		c.must(t, "group", "checkout", "whole", "whole-again", "--from", p.path("own"))
		c.must(t, "build", "--locked", "--offline", "--to", "composed-again", "whole-again")
		if b.read(t, "composed/SHA256SUMS") != c.read(t, "composed-again/SHA256SUMS") {
			t.Error("built from its own version, it is another")
		}
	}

	q.refuse(t, 10, []string{"groups have different packages of one name", "of small-2", "use: patch"}, lock("both")...)
	q.refuse(t, 4, []string{"group small=9", "was not found"}, lock("none")...)
	q.refuse(t, 4, []string{"was not found", "closest flavors: [is: x86_64]"}, lock("arm")...)
	q.refuse(t, 4, []string{`no flag "vmwrae"`, "did you mean vmware?"}, lock("flag")...)
	q.refuse(t, 5, []string{"not signed by a trusted key"}, "lock", "whole", "--offline", "--choose-from", "ingot.lock", "--update", "--from", repo, "--key", "theirs.asc")
	p.write(t, map[string]string{"whole/ingot.yaml": define("whole", "groups: [small=2]\n")})
	q.refuse(t, 5, []string{"does not fit its definition"}, "build", "--locked", "--offline", "whole")
}
