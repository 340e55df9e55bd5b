package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"ingot/internal/distro/debian/debtest"
	"ingot/internal/fault"
	"ingot/internal/lock"
	"ingot/internal/supply"
)

// TestVariantsAtTheShell asks the verbs for flavors of a definition, with packages that
// are made up.
func TestVariantsAtTheShell(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("INGOT_HOME", filepath.Join(dir, "home"))
	t.Setenv("INGOT_CACHE", filepath.Join(dir, "cache"))
	now := time.Now().Add(-time.Hour)
	a := debtest.NewArchive(t, debtest.NewSigner(t, now))
	deb := func(name, fields string) debtest.Deb {
		return debtest.Deb{Name: name, Version: "1", Arch: hostArch(), Fields: fields}
	}
	a.Offer(t, now, deb("base-files", "Essential: yes"), deb("open-vm-tools", ""), deb("openssl", "Depends: libssl"), deb("libssl", ""))
	for name, text := range map[string]string{
		"key.asc": string(a.Signer.Key),
		"ingot.yaml": fmt.Sprintf("version: 1\nname: web\ndistro: debian\nrelease: test\nstart: essential\noutputs: [tar]\narchives: [{url: %q, key: ./key.asc}]\n"+
			"packages: [openssl]\nflavors: {vmware: {packages: [open-vm-tools]}, \"!ssl\": {without: {packages: [openssl]}, outputs: [tar.zst]}, \"!ipv6\": {hostname: other}}\n", a.URL),
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	t.Chdir(dir)
	ingot := func(args ...string) (stdout, stderr string, code fault.Code) {
		var out, errs bytes.Buffer
		code = fault.Code(run(append([]string{"ingot"}, args...), strings.NewReader(""), &out, &errs))
		return out.String(), errs.String(), code
	}
	if out, _, _ := ingot("check"); !strings.HasSuffix(out, "as tar; flavors vmware, no-ssl, no-ipv6\n") {
		t.Errorf("check says %s", out)
	}
	out, talk, code := ingot("lock")
	for _, want := range []string{"3 packages for a container of ARCH ~ipv6,~ssl,~!vmware", "4 packages for a container of ARCH ~ipv6,~ssl,vmware", "1 packages for a container of ARCH ~ipv6,!ssl,~!vmware"} {
		if want = strings.ReplaceAll(want, "ARCH", hostArch()); !strings.Contains(out, want) || code != fault.Done {
			t.Fatalf("lock: code %d, says %s, not %q\n%s", code, out, want, talk)
		}
	}
	for _, c := range []struct {
		args []string
		code fault.Code
		want string // of outputs, or of the error
	}{
		{nil, fault.Done, "web-ARCH.tar"},
		{[]string{"web[vmware]"}, fault.Done, "web-vmware-ARCH.tar"},
		{[]string{"[vmware]"}, fault.Done, "web-vmware-ARCH.tar"},
		{[]string{".[!ssl]"}, fault.Done, "web-no-ssl-ARCH.tar.zst"},
		{[]string{"ingot.yaml[!ssl]"}, fault.Done, "web-no-ssl-ARCH.tar.zst"},
		{[]string{"--flavor", "!ssl", "--flavor", "vmware"}, fault.Done, "web-vmware-ARCH.tar web-no-ssl-ARCH.tar.zst"},
		{[]string{"--all-flavors"}, fault.Done, "web-ARCH.tar web-vmware-ARCH.tar web-no-ssl-ARCH.tar.zst web-no-ipv6-ARCH.tar"},
		{[]string{"--all-flavors", "--output", "tar"}, fault.Done, "web-ARCH.tar web-vmware-ARCH.tar web-no-ipv6-ARCH.tar"},
		{[]string{"--all-flavors", "--flavor", "vmware"}, fault.Usage, "are two wishes"},
		{[]string{"web[vmwrae]"}, fault.NotFound, "did you mean vmware?"},
		{[]string{"web[!ssl,vmware]"}, fault.NotFound, "closest: "},
		{[]string{"web[!!ssl]"}, fault.Usage, "in front of a flag"},
		{[]string{"wab[vmware]"}, fault.NotFound, "the one here is web"},
		{[]string{"--flavor", "vmware", "--output", "tar.zst"}, fault.Usage, `no output "tar.zst"`},
	} {
		out, talk, code := ingot(append([]string{"plan"}, c.args...)...)
		var outputs []string
		for line := range strings.Lines(out) {
			if _, name, ok := strings.Cut(line, "  output "); ok {
				outputs = append(outputs, strings.TrimSpace(name))
			}
		}
		got := strings.Join(outputs, " ")
		if code != fault.Done {
			got = talk
		}
		want := strings.ReplaceAll(c.want, "ARCH", hostArch())
		if code != c.code || code == fault.Done && got != want || !strings.Contains(got, want) {
			t.Errorf("plan %q: code %d, %s; want %d, %s", c.args, code, got, c.code, want)
		}
	}
	out, _, _ = ingot("plan", "--all-flavors", "--json")
	if strings.Count(out, `"shared":true`) != 1 || strings.Count(out, `"flavor":"`) != 4 {
		t.Errorf("two flavors share their packages, and the others nothing: %s", out)
	}
	if out, _, _ := ingot("__complete", "build", "--flavor", ""); !strings.HasPrefix(out, "~ipv6,~ssl,~!vmware\n~ipv6,~ssl,vmware\n~ipv6,!ssl,~!vmware\n!ipv6,~ssl,~!vmware\n") {
		t.Errorf("a shell completes with %q", out)
	}
	// Why a package is there is read from the indexes that the lock was made from while nobody
	// has fetched the packages, and from these when the cache has lost the indexes.
	why := func() {
		t.Helper()
		for _, c := range []struct {
			args []string
			code fault.Code
			want string
		}{
			{[]string{"libssl"}, fault.Done, "libssl 1 in container, ARCH ~ipv6,~ssl,~!vmware"},
			{[]string{"libssl"}, fault.Done, "  through openssl > libssl\n  openssl depends libssl\n"},
			{[]string{"openssl"}, fault.Done, "  asked for: openssl\n"},
			{[]string{"base-files"}, fault.Done, "  of the starting set essential\n"},
			{[]string{"open-vm-tools", "--all-flavors"}, fault.Done, "open-vm-tools is not in container, ARCH ~ipv6,!ssl,~!vmware\n"},
			{[]string{"open-vm-tools", "web[vmware]"}, fault.Done, "  asked for: open-vm-tools\n"},
			{[]string{"openssll"}, fault.NotFound, "did you mean openssl?"},
			{[]string{"libssl", "--json", "--offline"}, fault.Done, `"through":["openssl","libssl"],"by":[{"package":"openssl","kind":"depends","relation":"libssl","met":["libssl"]}]`},
		} {
			out, talk, code := ingot(append([]string{"why"}, c.args...)...)
			if want := strings.ReplaceAll(c.want, "ARCH", hostArch()); code != c.code || !strings.Contains(out+talk, want) {
				t.Errorf("why %q: code %d\n%s%s\nwant %s", c.args, code, out, talk, want)
			}
		}
	}
	why()
	if err := os.RemoveAll(filepath.Join(os.Getenv("INGOT_CACHE"), "indexes")); err != nil {
		t.Fatal(err)
	}
	if _, talk, code := ingot("why", "libssl"); code != fault.NotFound || !strings.Contains(talk, "3 packages of "+hostArch()+" container ~ipv6,~ssl,~!vmware are not in the store") {
		t.Errorf("why without packages and indexes: code %d\n%s", code, talk)
	}
	l, err := lock.Read("ingot.lock")
	if err != nil {
		t.Fatal(err)
	}
	h, err := openHouse(sourceFlags{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := h.supply(l).Fetch(t.Context(), supply.Packages(l), supply.Meter{}); err != nil {
		t.Fatal(err)
	}
	why()
	if _, talk, code := ingot("boot", "some.qcow2", "--flavor", "vmware"); code != fault.Usage || !strings.Contains(talk, "is an artifact") {
		t.Errorf("boot of an artifact: code %d, %s", code, talk)
	}
}
