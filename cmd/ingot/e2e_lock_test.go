package main_test

import (
	"encoding/json"
	"os"
	"strings"
	"testing"
	"time"
)

// definition judges what is said of definitions that cannot be built.
func (c *court) definition(t *testing.T) {
	t.Run("errors", func(t *testing.T) {
		p := c.project(t, map[string]string{"ingot.yaml": `version: 1
name: Bad Name
distro: debain
release: bookworm
pakages: [x]
users: [{name: a, uid: -1}]
outputs: [qcow3, tar, 7]
name: twice
`})
		want := []string{"2:7", "3:9", `did you mean "debian"`, "5:1", `did you mean "packages"`, "6:24", "7:11", `did you mean "qcow2"`, "7:23", "8:1"}
		for _, verb := range []string{"check", "build", "lock", "plan"} {
			p.refuse(t, 3, want, verb)
		}
		v := p.ingot(t, "build", "--json")
		last := lines(v.err)
		var problem struct {
			Code    int
			Message string
		}
		if err := json.Unmarshal([]byte(last[len(last)-1]), &problem); err != nil || problem.Code != 3 {
			t.Errorf("its last line is no object with code 3: %v %s", err, last[len(last)-1])
		}
		if _, err := os.Stat(p.path("ingot.lock")); err == nil {
			t.Error("a lock was written")
		}
	})
	t.Run("missing", func(t *testing.T) {
		c.project(t, nil).refuse(t, 3, []string{"ingot.yaml", "ingot init"}, "build")
	})
	t.Run("source", func(t *testing.T) {
		p := c.project(t, map[string]string{"ingot.yaml": minimal + "files: [{path: /x, source: ../out}, {path: /y, source: ./gone}]\n"})
		p.refuse(t, 3, []string{"6:", "../out", "./gone"}, "check")
	})
	t.Run("unknown package", func(t *testing.T) {
		p := c.project(t, map[string]string{"ingot.yaml": minimal + "packages: [ngnix]\n"})
		p.refuse(t, 4, []string{"ngnix", "hint:", "nginx"}, "build")
		p.write(t, map[string]string{"ingot.yaml": minimal + "packages: [\"bash=1.0\"]\n"})
		p.refuse(t, 4, []string{"bash", "1.0"}, "build")
		artifactsOnly(t, p.dir)
	})
	t.Run("impossible", func(t *testing.T) {
		a := newArchive(t)
		a.add(pkg{name: "base", version: "1", fields: "Essential: yes\n"})
		a.add(pkg{name: "shop", version: "1", fields: "Depends: till (>= 2)\n"})
		a.add(pkg{name: "till", version: "1"})
		a.add(pkg{name: "left", version: "1", fields: "Depends: common-bus\n"})
		a.add(pkg{name: "right", version: "1", fields: "Depends: other-bus\n"})
		a.add(pkg{name: "common-bus", version: "1", fields: "Conflicts: other-bus\n"})
		a.add(pkg{name: "other-bus", version: "1"})
		a.release(t, time.Now(), 0)
		p := c.project(t, a.definition("packages: [shop]\n"))
		p.refuse(t, 4, []string{"shop", "till", ">= 2"}, "build")
		p.write(t, a.definition("packages: [left, right]\n"))
		p.refuse(t, 4, []string{"left", "right", "common-bus", "other-bus"}, "build")
		p.write(t, a.definition("packages: [left]\nremove: [common-bus]\n"))
		p.refuse(t, 4, []string{"left", "common-bus"}, "build")
	})
}

// lock judges what keeps a lock and what moves it.
func (c *court) lock(t *testing.T) {
	a := newArchive(t)
	a.add(pkg{name: "base", version: "1", fields: "Essential: yes\n"})
	a.add(pkg{name: "tool", version: "1.0"})
	a.add(pkg{name: "other", version: "1.0"})
	start := time.Now().Add(-time.Hour)
	a.release(t, start, 0)
	p := c.project(t, a.definition("packages: [tool, other]\n"))
	p.must(t, "lock")
	first := p.read(t, "ingot.lock")
	p.write(t, map[string]string{"old.lock": first})
	if !strings.Contains(first, "\n  tool 1.0 amd64 ") {
		t.Fatalf("tool 1.0 is not in the lock:\n%s", first)
	}
	a.add(pkg{name: "tool", version: "2.0"})
	a.add(pkg{name: "other", version: "2.0"})
	a.release(t, start.Add(time.Minute), 0)

	t.Run("keep", func(t *testing.T) {
		p.must(t, "plan", "--locked")
		if p.read(t, "ingot.lock") != first {
			t.Error("plan moved the lock")
		}
		p.must(t, "lock")
		if text := p.read(t, "ingot.lock"); !strings.Contains(text, "\n  tool 1.0 ") || !strings.Contains(text, "\n  other 1.0 ") {
			t.Errorf("lock moved packages without --update:\n%s", text)
		}
	})
	t.Run("update none", func(t *testing.T) {
		before := p.read(t, "ingot.lock")
		p.refuse(t, 4, []string{`package "tol"`, "hint:", `did you mean "tool"?`}, "lock", "--update", "other", "tol")
		if p.read(t, "ingot.lock") != before {
			t.Error("the lock changed")
		}
	})
	t.Run("update one", func(t *testing.T) {
		p.must(t, "lock", "--update", "tool")
		if text := p.read(t, "ingot.lock"); !strings.Contains(text, "\n  tool 2.0 ") || !strings.Contains(text, "\n  other 1.0 ") {
			t.Errorf("lock --update tool:\n%s", text)
		}
		out := p.must(t, "diff", "old.lock", "ingot.lock")
		if !strings.Contains(out, "tool") || !strings.Contains(out, "1.0") || !strings.Contains(out, "2.0") || strings.Contains(out, "other") {
			t.Errorf("diff says:\n%s", out)
		}
		var changes struct{ Schema int }
		parse(t, []byte(p.must(t, "diff", "--json", "old.lock", "ingot.lock")), &changes)
		if changes.Schema != 1 {
			t.Error("diff --json has no schema")
		}
	})
	t.Run("update all", func(t *testing.T) {
		p.must(t, "lock", "--update")
		if text := p.read(t, "ingot.lock"); !strings.Contains(text, "\n  other 2.0 ") {
			t.Errorf("lock --update:\n%s", text)
		}
	})
	t.Run("stale", func(t *testing.T) {
		before := p.read(t, "ingot.lock")
		p.write(t, a.definition("packages: [tool]\n"))
		for _, verb := range []string{"build", "plan"} {
			p.refuse(t, 5, []string{"ingot.lock", "hint:", "ingot lock"}, verb, "--locked")
		}
		if p.read(t, "ingot.lock") != before {
			t.Error("--locked changed the lock")
		}
		p.write(t, a.definition("packages: [tool, other]\nhostname: new\n"))
		p.refuse(t, 5, []string{"ingot.lock"}, "build", "--locked")
		p.write(t, a.definition("packages: [tool, other]\n# only a remark\n"))
		p.refuse(t, 5, []string{"ingot.lock"}, "build", "--locked")
	})
	t.Run("absent", func(t *testing.T) {
		p := c.project(t, a.definition("packages: [tool]\n"))
		p.refuse(t, 5, []string{"ingot.lock"}, "build", "--locked")
		p.refuse(t, 7, []string{"offline"}, "build", "--offline")
		// Offline a lock stays, as a build has it, while no package is to be chosen.
		p.must(t, "lock")
		if out := p.must(t, "lock", "--offline"); out != "ingot.lock: nothing changed\n" {
			t.Errorf("lock --offline: %s", out)
		}
		p.write(t, a.definition("packages: [tool]\nhostname: new\n"))
		p.must(t, "lock", "--offline")
		p.must(t, "plan", "--locked", "--offline")
		p.refuse(t, 7, []string{"offline", "other packages"}, "lock", "--offline", "--update")
		p.write(t, a.definition("packages: [tool, other]\n"))
		p.refuse(t, 7, []string{"offline", "other packages"}, "lock", "--offline")
	})
	t.Run("damaged", func(t *testing.T) {
		p := c.project(t, a.definition("packages: [tool]\n"))
		p.must(t, "lock")
		whole := p.read(t, "ingot.lock")
		for name, text := range map[string]string{
			"version":   strings.Replace(whole, "tool 2.0", "tool 1.0", 1),
			"truncated": whole[:len(whole)/2],
			"merged":    whole + whole,
			"empty":     "",
		} {
			p.write(t, map[string]string{"ingot.lock": text})
			for _, verb := range []string{"build", "plan", "lock"} {
				v := p.ingot(t, verb)
				v.check(t, 5, []string{"ingot.lock"}, name, verb)
			}
			if p.read(t, "ingot.lock") != text {
				t.Errorf("%s: the lock was changed", name)
			}
		}
	})
	t.Run("played back", func(t *testing.T) {
		p := c.project(t, a.definition("packages: [tool]\n")).fresh()
		p.must(t, "lock")
		a.release(t, start, 0)
		p.refuse(t, 5, []string{"InRelease", "older"}, "lock")
		a.release(t, time.Now().Add(48*time.Hour), 0)
		p.refuse(t, 5, []string{"InRelease", "ahead", "clock"}, "lock")
		a.release(t, start.Add(2*time.Minute), 0)
		p.must(t, "lock")
	})
	t.Run("wrong key", func(t *testing.T) {
		files := a.definition("packages: [tool]\n")
		files["key.asc"] = newArchive(t).key
		c.project(t, files).fresh().refuse(t, 5, []string{"InRelease", "hint:"}, "lock")
	})
	t.Run("expired", func(t *testing.T) { c.expired(t, a) })
}

// expired judges suites past their Valid-Until.
func (c *court) expired(t *testing.T, a *archive) {
	a.release(t, time.Now().Add(-30*24*time.Hour), 7*24*time.Hour)
	t.Run("own", func(t *testing.T) {
		text := a.definition("")
		p := c.project(t, text).fresh()
		p.refuse(t, 5, []string{"InRelease", "expired", "check-valid-until"}, "lock")
		v := p.ingot(t, "lock", "--accept-expired")
		if v.code != 0 || !strings.Contains(v.err, "Valid-Until") {
			t.Errorf("--accept-expired: exit code %d, and it is not loud:\n%s", v.code, v.err)
		}
		if !strings.Contains(p.read(t, "ingot.lock"), "\n  expired\n") {
			t.Error("the lock does not record it")
		}
	})
	t.Run("sid", func(t *testing.T) {
		k := c.mirror.source.get("/debian/dists/sid/InRelease")
		if k.err != nil || k.code != 200 {
			t.Fatalf("the mirror's sid: %v %d", k.err, k.code)
		}
		text, err := os.ReadFile(k.file)
		if err != nil {
			t.Fatal(err)
		}
		isExpired := false
		for _, l := range lines(string(text)) {
			if v, ok := strings.CutPrefix(l, "Valid-Until: "); ok {
				at, err := time.Parse("Mon, 02 Jan 2006 15:04:05 MST", v)
				if err != nil {
					t.Fatal(err)
				}
				isExpired = time.Now().After(at)
			}
		}
		definition := strings.Replace(minimal, "bookworm", "sid", 1)
		p := c.project(t, map[string]string{"ingot.yaml": definition}).fresh()
		if isExpired {
			p.refuse(t, 5, []string{"sid", "expired", "check-valid-until", "--accept-expired"}, "lock")
		}
		p.write(t, map[string]string{"ingot.yaml": definition + "archives: [{url: \"" + c.mirror.debian() + "\", suites: [sid], check-valid-until: false}]\n"})
		b := p.build(t)
		recorded := strings.Contains(p.read(t, "ingot.lock"), "\n  expired\n")
		var statement struct {
			Predicate struct {
				BuildDefinition struct{ InternalParameters struct{ Expired []string } }
			}
		}
		parse(t, []byte(p.read(t, b.Artifacts[0].Provenance)), &statement)
		inProvenance := len(statement.Predicate.BuildDefinition.InternalParameters.Expired) > 0
		if recorded != isExpired || inProvenance != isExpired {
			t.Errorf("expired: %v, in the lock: %v, in the provenance: %v", isExpired, recorded, inProvenance)
		}
	})
}
