package element

import (
	"fmt"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"ingot/internal/fault"
	"ingot/internal/judge"
)

func TestSources(t *testing.T) {
	h := merged(t, open(t, elements(t, "e", `
		a/source-repository-a = # what it is\n\nglean git /tmp/glean https://host/path/glean  # the newest\nkey tar /tmp/k https://host/k-$VERSION.tar.gz .
		a/source-repository-a~ = never git
		a/source-repository-b = b file /opt/b.iso ${BASE:-https://other}/b.iso\n
	`)), "a")
	lines, err := h.Sources()
	if err != nil || len(lines) != 3 || lines[0].Line != 3 || lines[2].File != "a/source-repository-b" || lines[2].Element != "a" {
		t.Fatalf("%+v, %v", lines, err)
	}
	for _, row := range []struct {
		line      int
		env, want string
	}{
		{0, "", "{glean git /tmp/glean https://host/path/glean master source}"},
		{0, "DIB_REPOREF_glean=v2 DIB_REPOLOCATION_glean=/srv/glean DIB_GITREPOBASE=git://mine", "{glean git /tmp/glean /srv/glean v2 source}"},
		{0, "DIB_GITREPOBASE=git://mine/", "{glean git /tmp/glean git://mine/path/glean master source}"},
		{0, "DIB_INSTALLTYPE_glean=package", "{glean git /tmp/glean https://host/path/glean master package}"},
		{0, "DIB_REPOTYPE_glean=file DIB_DEFAULT_INSTALLTYPE=package", "{glean file /tmp/glean https://host/path/glean master package}"},
		{1, "VERSION=1.2", "{key tar /tmp/k https://host/k-1.2.tar.gz . source}"},
		{2, "", "{b file /opt/b.iso https://other/b.iso  source}"},
		{2, "BASE=https://this", "{b file /opt/b.iso https://this/b.iso  source}"},
	} {
		env := map[string]string{}
		for _, v := range strings.Fields(row.env) {
			k, v, _ := strings.Cut(v, "=")
			env[k] = v
		}
		r, err := lines[row.line].Expand(env)
		if got := fmt.Sprint(r); got != row.want || err != nil {
			t.Errorf("%s with %s: %s, %v, want %s", lines[row.line].Raw, row.env, got, err, row.want)
		}
	}
	_, err = lines[1].Expand(nil)
	wantFault(t, err, fault.Definition, `a/source-repository-a:4: cannot read "key tar /tmp/k https://host/k-$VERSION.tar.gz ." without a shell: the variable VERSION is not set`)
	_, err = SourceLine{Raw: "x svn /a b", File: "f", Line: 1}.Expand(nil)
	wantFault(t, err, fault.Definition, `f:1: "x svn /a b" is not NAME TYPE PATH LOCATION [REF]`)
}

func TestSubstitute(t *testing.T) {
	env := map[string]string{"A": "1", "E": "", "_b2": "2"}
	for _, row := range []struct{ text, want, err string }{
		{"plain", "plain", ""},
		{"$A-$_b2 ${A}x", "1-2 1x", ""},
		{"${N:-d}${N-d}${E:-d}${E-d}", "ddd", ""},
		{"${N:-${M:-$A}}", "1", ""},
		{`"$A b" '$A' \$A "a\b\"" ${N:-"a } b"}`, `1 b $A $A a\b" a } b`, ""},
		{"$ $", "$ $", ""},
		{"$N", "", "the variable N is not set"},
		{"${N}", "", "the variable N is not set"},
		{"$(date)", "", "has a meaning for shells alone"},
		{"`date`", "", "has a meaning for shells alone"},
		{"a; b", "", "has a meaning for shells alone"},
		{"${A%x}", "", "has a form that only shells know"},
		{"${A:-x", "", "a brace has no end"},
		{"'x", "", "a quote has no end"},
		{`"x`, "", "a quote has no end"},
		{`x\`, "", "a backslash"},
		{"$1", "", "what follows a $"},
	} {
		got, err := Substitute(row.text, env)
		if got != row.want || (err == nil) != (row.err == "") || err != nil && !strings.Contains(err.Error(), row.err) {
			t.Errorf("%s: %q, %v, want %q, %q", row.text, got, err, row.want, row.err)
		}
	}
}

// What is put into a text is what bash would put there.
func FuzzSubstitute(f *testing.F) {
	for _, s := range []string{"$A-${B:-x}", `"${A-'y'}" \$A`, "${E:-${A}}", "a$", `"\n\$"`, "${N:-'}'}", "${N:-\"'\"}"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		got, err := Substitute(text, map[string]string{"A": "1", "E": "", "B": "two"})
		if err != nil || !strings.Contains(text, "$") || strings.ContainsAny(strings.ReplaceAll(text, "${", ""), " *?[]~#={!") {
			return // where bash does more with a text than to put values into it
		}
		for _, r := range text {
			if r <= ' ' || r > '~' {
				return
			}
		}
		cmd := exec.CommandContext(t.Context(), judge.Path(t, "bash"), "-uc", `IFS=; printf %s `+text)
		cmd.Env = []string{"A=1", "E=", "B=two"}
		out, err := cmd.Output()
		if err != nil {
			return
		}
		if want := string(out); want != got {
			t.Errorf("%q: got %q, bash says %q", text, got, want)
		}
	})
}

func TestInstallTypes(t *testing.T) {
	h := merged(t, open(t, elements(t, "e", `
		a/install.d/a-tool-source-install/10-build 0755 = s
		a/install.d/a-tool-source-install/.keep = s
		a/install.d/a-tool-package-install/10-fetch 0755 = p
		a/install.d/b-source-install/20-b 0755 = b
		a/install.d/05-first 0755 = f
	`)), "a")
	for _, row := range []struct{ env, want string }{
		{"", "05-first 10-build 20-b"},
		{"DIB_DEFAULT_INSTALLTYPE=package", "05-first 10-fetch"},
		{"DIB_INSTALLTYPE_a_tool=package", "05-first 10-fetch 20-b"},
		{"DIB_INSTALLTYPE_a_tool=none", "05-first 20-b"},
		{"DIB_DEFAULT_INSTALLTYPE=package DIB_INSTALLTYPE_b=source", "05-first 10-fetch 20-b"},
	} {
		env := map[string]string{}
		for _, v := range strings.Fields(row.env) {
			k, v, _ := strings.Cut(v, "=")
			env[k] = v
		}
		var got []string
		for _, s := range h.InstallTypes(env).Phase("install.d") {
			got = append(got, s.Name)
			if s.Element != "a" || !s.File.Mode.IsRegular() {
				t.Errorf("%+v", s)
			}
		}
		if !slices.Equal(got, strings.Fields(row.want)) {
			t.Errorf("%s: %q, want %s", row.env, got, row.want)
		}
	}
}

func FuzzSources(f *testing.F) {
	f.Add("# x\n\nglean git /tmp/glean https://host/path\nx file /opt/x ${A:-b}/x ref", "git://mine")
	f.Fuzz(func(t *testing.T, text, base string) {
		for _, l := range ParseSources([]byte(text), "f") {
			r, err := l.Expand(map[string]string{"A": base, "DIB_GITREPOBASE": base})
			if err == nil && (r.Name == "" || strings.ContainsAny(r.Name+r.Path+r.Ref, " ")) {
				t.Errorf("%q: %+v", l.Raw, r)
			}
		}
	})
}

func FuzzWords(f *testing.F) {
	f.Add("base\r\n  vm \n\n# x\rlast")
	f.Fuzz(func(t *testing.T, text string) {
		list, _ := words([]byte(text), "f")
		line := 0
		for _, w := range list {
			if w.Text == "" || w.Text != strings.TrimSpace(w.Text) || strings.ContainsAny(w.Text, "\r\n") || w.Line <= line {
				t.Errorf("%q: %+v", text, list)
			}
			line = w.Line
		}
	})
}
