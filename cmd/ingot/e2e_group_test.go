package main_test

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"ingot/internal/digest"
	"ingot/internal/judge"
	"ingot/internal/place/placetest"
	"ingot/internal/sign"
)

// keys writes a key pair, armored: NAME.key and NAME.asc, and NAME.gpg for gpgv.
func (p *project) keys(t *testing.T, name string) {
	t.Helper()
	k, err := sign.NewKey(name, time.Now().Add(-time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	secret, err := k.Private()
	if err != nil {
		t.Fatal(err)
	}
	public, err := k.Public()
	if err != nil {
		t.Fatal(err)
	}
	plain, err := sign.Dearmor(public)
	if err != nil {
		t.Fatal(err)
	}
	p.write(t, map[string]string{name + ".key": string(secret), name + ".asc": string(public), name + ".gpg": string(plain)})
}

// groups commits what was built, finds it again in every kind of repository, and builds it
// on machines that have nothing, without a network.
func (c *court) groups(t *testing.T) {
	// The first version has the stable release alone.
	stable := "archives: [{url: \"" + c.mirror.debian() + "\", suites: [bookworm], components: [main]}]\n"
	p := c.project(t, map[string]string{
		"ingot.yaml": minimal + stable + "packages: [ca-certificates]\nfiles: [{path: /etc/motd, content: \"hi\\n\"}, {path: /srv, source: ./site}]\nscripts: [{name: setup, run: ./setup.sh}]\n",
		"setup.sh":   "#!/bin/sh\necho made >/etc/made\n", "site/index.html": "<p>hi\n",
	})
	p.keys(t, "ours")
	p.keys(t, "theirs")
	repo := p.path("groups")
	to := []string{"--to", repo, "--label", "images.example@acme:devel", "--sign", "ours.key"}
	p.refuse(t, 5, []string{"it is not there"}, append([]string{"group", "commit"}, to...)...)
	p.must(t, "build", "--to", "out")
	p.must(t, append([]string{"group", "commit"}, to...)...)

	old := p.read(t, "groups/groups/small/index")

	// A second version, of another definition, with what updates and security bring.
	p.write(t, map[string]string{"ingot.yaml": strings.Replace(strings.Replace(p.read(t, "ingot.yaml"), "hi\\n", "hello\\n", 1), stable, "", 1)})
	p.must(t, "lock", "--update")
	p.must(t, "build", "--to", "out2")
	var made struct {
		Version string
		New     bool
	}
	decode(t, p.must(t, append([]string{"group", "commit", "--json"}, to...)...), &made)
	if made.Version != "/images.example@acme:devel/2-1-1" || !made.New {
		t.Errorf("the second is %+v", made)
	}
	from := []string{"--from", repo, "--key", "ours.asc"}
	group := func(args ...string) []string { return append(append([]string{"group"}, args...), from...) }
	if out := p.must(t, group("find", "small=1", "small")...); out != "small=/images.example@acme:devel/1-1-1[is: x86_64]\nsmall=/images.example@acme:devel/2-1-1[is: x86_64]\n" {
		t.Errorf("found:\n%s", out)
	}

	t.Run("offline", func(t *testing.T) {
		// A machine that has nothing, and a mirror that has nothing either.
		q := p.fresh()
		q.mirror = ""
		q.must(t, group("checkout", "small=1", "old")...)
		q.must(t, "build", "--locked", "--offline", "--to", "again", "old")
		if a, b := p.read(t, "out/small-amd64.tar"), q.read(t, "again/small-amd64.tar"); digest.Of([]byte(a)) != digest.Of([]byte(b)) {
			t.Error("built from the repository, it has other bytes")
		}
		if p.read(t, "out/SHA256SUMS") != q.read(t, "again/SHA256SUMS") {
			t.Error("its papers differ")
		}
		q.refuse(t, 10, []string{"is not empty"}, group("checkout", "small=1", "old")...)
	})

	t.Run("choose from", func(t *testing.T) {
		// Another definition gets the very packages of the version, without an index and a network.
		q := p.fresh()
		q.mirror = ""
		q.write(t, map[string]string{"other/ingot.yaml": minimal, "more/ingot.yaml": minimal + "packages: [nginx]\n"})
		q.must(t, append([]string{"lock", "other", "--offline", "--choose-from", "small=1", "--require-latest"}, from...)...)
		lines := 0
		for line := range strings.Lines(q.read(t, "other/ingot.lock")) {
			if strings.HasPrefix(line, "  ") && strings.HasSuffix(line, ".deb\n") {
				lines++
				if !strings.Contains(q.read(t, "old/ingot.lock"), line) {
					t.Errorf("not of the version: %s", line)
				}
			}
		}
		if lines < 50 {
			t.Errorf("only %d packages", lines)
		}
		q.refuse(t, 4, []string{"nginx", "of the lock to choose from"}, append([]string{"lock", "more", "--offline", "--choose-from", "small=1"}, from...)...)
	})

	t.Run("composed", func(t *testing.T) { p.composed(t, from) })

	t.Run("difference", func(t *testing.T) { p.difference(t, from) })

	t.Run("files", func(t *testing.T) {
		// Every line of the seal beside the artifact, and each is somebody's.
		var files struct {
			Files []struct{ Path, Line, Owner string }
		}
		decode(t, p.must(t, group("files", "small=1", "--json")...), &files)
		var lines strings.Builder
		owners := map[string]string{}
		for _, f := range files.Files {
			lines.WriteString(f.Line + "\n")
			kind, name, _ := strings.Cut(f.Owner, ":")
			if kind != "deb" && kind != "step" || name == "" {
				t.Errorf("%s is of %q", f.Path, f.Owner)
			}
			owners[f.Path] = f.Owner
		}
		if lines.String() != p.read(t, "out/small-amd64.container.seal") {
			t.Error("the files of the version are not those of the seal")
		}
		for path, want := range map[string]string{"/usr/bin/dpkg": "deb:dpkg", "/etc/motd": "step:files", "/etc/made": "step:script setup", "/srv/index.html": "step:files", "/var/lib/dpkg/info/bash.list": "deb:bash"} {
			if owners[path] != want {
				t.Errorf("%s is of %q, want %q", path, owners[path], want)
			}
		}
	})

	t.Run("papers", func(t *testing.T) {
		// From the group they are what the build wrote.
		for kind, suffix := range map[string]string{"sbom": ".spdx.json", "provenance": ".intoto.json"} {
			if got, want := p.must(t, group("papers", "small=1", "out/small-amd64.tar", "--kind", kind)...), p.read(t, "out/small-amd64.tar"+suffix); got != want {
				t.Errorf("the %s from the group is another: %.300s\nwant %.300s", kind, got, want)
			}
		}
	})

	t.Run("signed", func(t *testing.T) {
		// An outside program agrees about the signature of each statement.
		statements := 0
		blobs, _ := filepath.Glob(filepath.Join(repo, "blobs", "*", "*"))
		for _, b := range blobs {
			text, err := os.ReadFile(b)
			if err != nil {
				t.Fatal(err)
			}
			if bytes.HasPrefix(text, []byte("-----BEGIN PGP SIGNED MESSAGE-----")) {
				statements++
				judge.Run(t, "gpgv", "--keyring", p.path("ours.gpg"), b)
			}
		}
		if statements != 2 {
			t.Errorf("%d statements are signed", statements)
		}
		p.refuse(t, 5, []string{"not signed by a trusted key"}, "group", "show", "small", "--from", repo, "--key", "theirs.asc")
		q := p.fresh()
		q.must(t, "group", "show", "small", "--from", repo)
	})

	t.Run("delta", func(t *testing.T) {
		p.must(t, group("delta", "small=1", "small=2", "--to", "1-2.delta")...)
		p.must(t, "group", "apply", "1-2.delta", "out/small-amd64.tar", "applied.tar")
		judge.Run(t, "cmp", p.path("applied.tar"), p.path("out2/small-amd64.tar"))
		old, set := len(p.read(t, "out2/small-amd64.tar")), len(p.read(t, "1-2.delta"))
		if float64(set) > 0.15*float64(old) {
			t.Errorf("the change set has %d bytes, the new tree %d", set, old)
		}
		p.refuse(t, 5, []string{"not the file that the change set was made from"}, "group", "apply", "1-2.delta", "out2/small-amd64.tar", "not.tar")
		p.refuse(t, 5, []string{"no change set"}, "group", "apply", "ingot.lock", "out/small-amd64.tar", "not.tar")
		p.refuse(t, 4, []string{"small=7 was not found"}, group("delta", "small=1", "small=7", "--to", "not.tar")...)
		p.refuse(t, 4, []string{"there is no file"}, group("delta", "none.tar", "none.tar", "--to", "not.tar")...)
		if _, err := os.Stat(p.path("not.tar")); err == nil {
			t.Error("something was written")
		}
	})

	t.Run("remote", func(t *testing.T) {
		s3, oci := placetest.S3(t), placetest.OCI(t, false)
		q := p.fresh()
		q.env = append(q.env, s3.Environ()...)
		for _, place := range []string{"s3://images/groups", "oci://" + oci.Host + "/acme/groups"} {
			v := q.ingot(t, append(group("promote", "small=1", "images.example@acme:stable"), "--to", place, "--sign", "ours.key", "--progress", "json")...)
			v.check(t, 0, nil, "promote")
			for _, secret := range []string{s3.Env["AWS_SECRET_ACCESS_KEY"], "Signature="} {
				if strings.Contains(v.out+v.err, secret) {
					t.Errorf("%s: it tells %q", place, secret)
				}
			}
			q.refuse(t, 5, []string{"no key is known"}, "group", "show", "small", "--from", place)
			dir := "from-" + place[:3]
			q.must(t, "group", "checkout", "small", dir, "--from", place, "--key", "ours.asc")
			if q.read(t, dir+"/ingot.lock") != q.read(t, "old/ingot.lock") {
				t.Errorf("%s gives another lock", place)
			}
			q.must(t, "group", "rm", "small=1", "--from", place, "--label", "images.example@acme:stable")
			q.must(t, "group", "gc", "--from", place)
			q.refuse(t, 4, []string{`no group "small"`}, "group", "show", "small", "--from", place, "--unsigned")
		}
	})

	t.Run("fresh", func(t *testing.T) {
		// Whoever can write there plays the state of before the second version back.
		q := p.fresh()
		q.home = filepath.Join(p.dir, ".seen")
		q.must(t, group("show", "small")...)
		now := p.read(t, "groups/groups/small/index")
		p.write(t, map[string]string{"groups/groups/small/index": old})
		q.refuse(t, 5, []string{"lacks the newest version", "--accept-older"}, group("show", "small")...)
		q.must(t, append(group("show", "small"), "--accept-older")...)
		q.must(t, group("show", "small")...)
		p.write(t, map[string]string{"groups/groups/small/index": now})
		// A date says until when a version is taken for the newest, and no more.
		q.must(t, append(group("promote", "small", "images.example@acme:dated"), "--sign", "ours.key", "--expires", "1ns")...)
		dated := append(group("show", "small"), "--label", "images.example@acme:dated")
		q.refuse(t, 5, []string{"is past its date", "--accept-older"}, dated...)
		q.must(t, append(dated, "--accept-older")...)
		q.must(t, append(group("show", "small=2"), "--label", "images.example@acme:dated")...)
		q.must(t, append(group("rm", "small=2"), "--label", "images.example@acme:dated")...)
	})

	t.Run("wrong", func(t *testing.T) {
		p.refuse(t, 4, []string{"was not found", "closest flavors: [is: x86_64]"}, group("find", "small[is: aarch64]")...)
		p.refuse(t, 2, []string{"Debian's name", "aarch64"}, group("find", "small[is: arm64]")...)
		p.refuse(t, 4, []string{`no flag "vmwrae"`, "did you mean vmware?"}, group("find", "small[vmwrae]")...)
		p.refuse(t, 4, []string{"small=7 was not found"}, group("find", "small=7")...)
		p.refuse(t, 4, []string{`no group "smal"`, "it has small"}, group("show", "smal")...)
		p.refuse(t, 2, []string{"more than one ="}, group("show", "small=1=2")...)
		p.must(t, append(group("promote", "small=1", "images.example@acme:stable"), "--sign", "ours.key")...)
		if out := p.must(t, append(group("clone", "small=images.example@acme:devel/1", "customer"), "--sign", "ours.key")...); out != "small=/images.example@acme:devel//customer/1-1-1\n" {
			t.Errorf("cloned: %s", out)
		}
		p.refuse(t, 10, []string{"is on several labels"}, group("show", "small")...)
		p.refuse(t, 2, []string{"would not be", "--sign"}, group("promote", "small=:devel", "images.example@acme:other")...)

		// A package that was changed, and one that is gone.
		lock := p.read(t, "ingot.lock")
		var name, sum string
		for line := range strings.Lines(lock) {
			if w := strings.Fields(line); len(w) == 7 && w[0] == "bash" {
				name, sum = w[0], w[4]
			}
		}
		blob := filepath.Join(repo, "blobs", sum[:2], sum)
		data, err := os.ReadFile(blob)
		if err != nil {
			t.Fatal(err)
		}
		changed := slices.Clone(data)
		changed[len(changed)/2] ^= 1
		if err := os.WriteFile(blob, changed, 0o600); err != nil {
			t.Fatal(err)
		}
		at := []string{"--label", "images.example@acme:devel"}
		q := p.fresh()
		q.home = filepath.Join(p.dir, ".empty")
		q.refuse(t, 5, []string{name, sum, "tampered"}, append(group("checkout", "small", "no1"), at...)...)
		if err := os.Remove(blob); err != nil {
			t.Fatal(err)
		}
		q.refuse(t, 4, []string{name, "lacks blob", sum}, append(group("checkout", "small", "no2"), at...)...)
	})
}

func decode(t *testing.T, text string, into any) {
	t.Helper()
	if err := json.Unmarshal([]byte(text), into); err != nil {
		t.Fatalf("%v: %.300s", err, text)
	}
}

// difference judges what 'ingot diff' says of two versions: a stable release, and the same with
// its security updates.
func (p *project) difference(t *testing.T, from []string) {
	diff := func(args ...string) string {
		return p.must(t, append(append([]string{"diff", "small=1", "small=2"}, args...), from...)...)
	}
	type vulnerability struct{ ID, Source string }
	var report struct {
		Packages []struct{ Action, Name, Old, New string }
		Sources  []struct {
			Name, Old, New string
			CVEs           []string
			Entries        []struct{ Version string }
		}
		Files []struct {
			Action, Path, Owner string
			Config              bool
		}
		Vulnerabilities struct{ Fixed, Introduced, Remaining []vulnerability }
	}
	decode(t, diff("--format", "json"), &report)

	// The packages that changed are those whose lines in the locks do.
	versions := func(lock string) map[string]string {
		out, set := map[string]string{}, false
		for line := range strings.Lines(lock) {
			if !strings.HasPrefix(line, "  ") {
				set = strings.HasPrefix(line, "set ")
			}
			if w := strings.Fields(line); set && len(w) == 7 {
				out[w[0]] = w[1]
			}
		}
		return out
	}
	old, now := versions(p.read(t, "old/ingot.lock")), versions(p.read(t, "ingot.lock"))
	changed := 0
	for name, v := range now {
		if old[name] != v {
			changed++
		}
	}
	if changed == 0 || len(report.Packages) < changed {
		t.Fatalf("%d packages changed, %d are told", changed, len(report.Packages))
	}
	for _, x := range report.Packages {
		if old[x.Name] != x.Old || now[x.Name] != x.New {
			t.Errorf("%+v: the locks have %q and %q", x, old[x.Name], now[x.Name])
		}
	}

	// What the changelogs of the images themselves tell, read by tar and gzip.
	mentioned := map[string][]string{}
	for _, s := range report.Sources {
		for _, x := range report.Packages {
			log := "./usr/share/doc/" + x.Name + "/changelog.Debian.gz"
			if !strings.Contains(judge.Run(t, "tar", "-tf", p.path("out2/small-amd64.tar")), log+"\n") {
				continue
			}
			text := judge.Run(t, "sh", "-c", "tar -xOf "+p.path("out2/small-amd64.tar")+" "+log+" | gzip -dc")
			if !strings.HasPrefix(text, s.Name+" (") {
				continue
			}
			text, _, found := strings.Cut(text, "\n"+s.Name+" ("+s.Old+")")
			if !found {
				t.Logf("the changelog of %s does not go back to %s", s.Name, s.Old)
				continue
			}
			var want []string
			for _, m := range regexp.MustCompile(`CVE-[0-9]{4}-[0-9]{4,}`).FindAllString(text, -1) {
				if !slices.Contains(want, m) {
					want = append(want, m)
				}
			}
			slices.Sort(want)
			got := slices.Sorted(slices.Values(s.CVEs))
			if !slices.Equal(got, want) {
				t.Errorf("%s %s to %s: CVEs %q, its changelog has %q", s.Name, s.Old, s.New, got, want)
			}
			mentioned[s.Name] = want
			break
		}
	}
	total := 0
	for _, l := range mentioned {
		total += len(l)
	}
	if total == 0 {
		t.Fatal("no changelog mentions a CVE: this judges nothing")
	}

	// Feeds in both published forms, made of these: each is fixed by the new version, one
	// came with it, one both have, one is of another release.
	var fixed []string
	tracker := map[string]any{}
	var osv []any
	release := func(name, status, fixed string) map[string]any {
		return map[string]any{"releases": map[string]any{name: map[string]any{"status": status, "fixed_version": fixed, "urgency": "high"}}}
	}
	advisory := func(id, source string, events ...map[string]string) any {
		return map[string]any{"id": id, "upstream": []string{strings.TrimPrefix(id, "DEBIAN-")}, "affected": []any{map[string]any{
			"package": map[string]any{"ecosystem": "Debian:12", "name": source},
			"ranges":  []any{map[string]any{"type": "ECOSYSTEM", "events": events}},
		}}}
	}
	var last struct{ name, new string }
	for _, s := range report.Sources {
		list := map[string]any{"CVE-1999-0001": release("trixie", "open", ""), "CVE-1999-0002": release("bookworm", "open", "")}
		for _, id := range mentioned[s.Name] {
			list[id] = release("bookworm", "resolved", s.New)
			osv = append(osv, advisory("DEBIAN-"+id, s.Name, map[string]string{"introduced": "0"}, map[string]string{"fixed": s.New}))
			fixed = append(fixed, s.Name+" "+id)
		}
		tracker[s.Name] = list
		last.name, last.new = s.Name, s.New
	}
	osv = append(osv, advisory("DEBIAN-CVE-1999-0003", last.name, map[string]string{"introduced": last.new}))
	slices.Sort(fixed)
	for name, feed := range map[string]any{"tracker.json": tracker, "osv.json": osv} {
		text, err := json.Marshal(feed)
		if err != nil {
			t.Fatal(err)
		}
		p.write(t, map[string]string{name: string(text)})
		decode(t, diff("--format", "json", "--feed", name), &report)
		var got []string
		for _, v := range report.Vulnerabilities.Fixed {
			got = append(got, v.Source+" "+v.ID)
		}
		slices.Sort(got)
		if !slices.Equal(got, fixed) {
			t.Errorf("%s: fixed %q, want %q", name, got, fixed)
		}
		introduced, remaining := 0, len(report.Sources)
		if name == "osv.json" {
			introduced, remaining = 1, 0
		}
		if len(report.Vulnerabilities.Introduced) != introduced || len(report.Vulnerabilities.Remaining) != remaining {
			t.Errorf("%s: introduced %v, remaining %v", name, report.Vulnerabilities.Introduced, report.Vulnerabilities.Remaining)
		}
	}

	// Files: the one of the definition, as configuration.
	found := false
	for _, f := range report.Files {
		found = found || f.Path == "/etc/motd" && f.Action == "changed" && f.Config && f.Owner == "step:files"
	}
	if !found {
		t.Error("/etc/motd is not told")
	}
	for _, format := range []string{"text", "markdown", "html"} {
		if out := diff("--format", format, "--feed", "tracker.json"); !strings.Contains(out, "CVE-1999-0002") || !strings.Contains(out, "/etc/motd") {
			t.Errorf("%s: %.500s", format, out)
		}
	}
	p.refuse(t, 5, []string{"feed ingot.yaml"}, append([]string{"diff", "small=1", "small=2", "--feed", "ingot.yaml"}, from...)...)
	p.refuse(t, 4, []string{"no feed"}, append([]string{"diff", "small=1", "small=2", "--feed", "none.json"}, from...)...)
	p.refuse(t, 2, []string{"not of one kind"}, append([]string{"diff", "small=1", "ingot.lock"}, from...)...)
}
