package definition

import (
	"slices"
	"strings"
	"testing"
	"time"
	_ "time/tzdata" // where the host has no zones
)

// Which texts each rule takes; those behind the bar are refused.
func TestRules(t *testing.T) {
	for _, c := range []struct {
		r     *rule
		texts string // by spaces; ␣ stands for a space
	}{
		{&imageNameRule, "web w 1 a-b a.b a_b debian-12.5 | W -a a- a--b a..b a/b é"},
		{&releaseRule, "bookworm 12 1.10 noble testing-2 | Bookworm b/c -a"},
		{&suiteRule, "bookworm bookworm-updates stable/updates 1.10 | a/ /a a//b ␣"},
		{&archiveURLRule, "http://archive.example https://archive.example/debian/ http://[::1]:80/x file:///srv/mirror | ftp://a.example archive.example http:// http://me@a.example/ http://a.example/?q file://host/x file:///"},
		{&pkgNameRule, "nginx g++ lib3.0-x 0ad | x Nginx -a a_b a=1"},
		{&pkgRule, "nginx nginx=1.2-3 nginx=1:1.2~rc1+b1 nginx/bookworm-backports libc6:i386 libc6:i386=2.36-9 | nginx= nginx=x1 nginx=1␣2 nginx/ nginx: nginx>1 n*"},
		{&hostnameRule, "web web.example.org W1 a--b 007 | -a a- a_b a..b .a " + strings.Repeat("a", 65)},
		{&localeRule, "C C.UTF-8 POSIX de_DE.UTF-8 ca_ES.UTF-8@valencia de_DE sr_RS@latin | utf8 de-DE de_DE.utf8 DE_de de_DE.UTF-8␣x"},
		{&timezoneRule, "UTC Etc/UTC Europe/Paris America/Argentina/Buenos_Aires Etc/GMT+1 US/Eastern EST5EDT America/Coyhaique | Etc/A Europe Europe/Pari europe/paris /Etc/UTC Etc/ ../x Etc/../UTC"},
		{&accountNameRule, "ops www-data _apt a1_b " + strings.Repeat("a", 32) + " | Ops 1a -a a.b a$ é " + strings.Repeat("a", 33)},
		{&ownerNameRule, "root 0 1000 65534 www-data | 01 -1 Root 65535 70000 123456 99999999999"},
		{&imagePathRule, "/etc/motd /a /a␣b/c /é /.stations /x/.station /.ingot-scripts | /.station /.station/x /.ingot-script/a / etc /a/ /a//b /a/./b /a/../b /dev/null /proc /sys/x /" + strings.Repeat("x", 256)},
		{&localPathRule, "a ./a a/b a/ .hidden ..a a␣b | /a ~/a ../a a/../b a/.. a\\b"},
		{&unitRule, "nginx nginx.service getty@tty1.service a-b.timer dev-sda.device x@ | a␣b a/b a@b@c @x"},
		{&scriptNameRule, "setup 10-setup a.b_c | -a .a a/b a␣b"},
		{&argumentRule, "quiet console=ttyS0,115200 a=\"b␣c\" net.ifnames=0 | a␣b é"},
		{&consoleRule, "ttyS0 ttyAMA0 hvc0 ttyS0,115200n8 | /dev/ttyS0 S0 tty␣S0"},
		{&passwordHashRule, hash + " $1$salt$0123456789012345678901 $2b$12$" + strings.Repeat("a", 53) + " $y$j9T$salt$" + strings.Repeat("b", 43) + " | * ! x hunter2 $6$salt$short $6$salt $y$... $9$a$b"},
		{&expectRule, "^active a|b (?i)x | ( [a * \\"},
		{&commandRule, "true a␣b | ␣ ␣␣"},
	} {
		good, bad, _ := strings.Cut(c.texts, " | ")
		for i, list := range []string{good, bad} {
			for s := range strings.FieldsSeq(list) {
				s = strings.ReplaceAll(s, "␣", " ")
				if why, _ := c.r.refuse(s); (why != "") != (i == 1) {
					t.Errorf("%s %q: %q", c.r.what, s, why)
				}
			}
		}
	}
}

// What was probably meant by a time zone that there is not.
func TestNearZones(t *testing.T) {
	for zone, want := range map[string]string{
		"Europe/Pariss": "Europe/Paris", "europe/paris": "Europe/Paris", "Paris": "Europe/Paris", "New York": "America/New_York",
		"utc": "Etc/UTC", "Middle-earth/Bree": "",
	} {
		why, suggestion := timezoneRule.refuse(zone)
		if suggestion != want || why == "" || (want != "") != strings.HasSuffix(why, `; did you mean "`+want+`"?`) {
			t.Errorf("%s: %q, suggested %q; want %q", zone, why, suggestion, want)
		}
	}
}

// Each zone of the list is one to Go's own copy of the tz database, which knows
// none that is not on it.
func TestZonesExist(t *testing.T) {
	if n := len(zones()); n < 500 || !slices.IsSorted(zones()) {
		t.Fatalf("%d zones, sorted: %v", n, slices.IsSorted(zones()))
	}
	for _, z := range zones() {
		if _, err := time.LoadLocation(z); err != nil || timezoneRule.pattern.FindString(z) != z {
			t.Errorf("%s: %v", z, err)
		}
	}
}

func TestSSHKeys(t *testing.T) {
	for key, good := range map[string]bool{
		publicKey:                                       true,
		publicKey + " me@example.org and more":          true,
		`no-pty,command="echo hi" ` + publicKey:         true,
		publicKey[:len(publicKey)-8]:                    false,
		strings.Replace(publicKey, "ed25519", "rsa", 1): false,
		publicKey + "\nssh-rsa AAAA":                    false,
		"ssh-ed25519":                                   false,
		"ssh-ed25519 AAAA":                              false,
		"AAAAC3NzaC1lZDI1NTE5AAAA":                      false,
	} {
		if why, _ := sshKeyRule.refuse(key); (why == "") != good {
			t.Errorf("%q: %q", key, why)
		}
	}
}

func TestSizes(t *testing.T) {
	for s, want := range map[string]int64{
		"0": 0, "17": 17, "17B": 17, "1kB": 1000, "10MB": 10e6, "1GB": 1e9, "2TB": 2e12,
		"1KiB": 1 << 10, "512MiB": 512 << 20, "1GiB": 1 << 30, "16TiB": 16 << 40,
	} {
		if got, why := parseSize(s); got != want || why != "" {
			t.Errorf("%s: %d, %q", s, got, why)
		}
	}
	for _, s := range []string{"", "x", "1.5GiB", "-1", "1 GiB", "1gib", "17TiB", "999999999999999999TiB", "9999999999999999999", "1KB"} {
		if got, why := parseSize(s); why == "" {
			t.Errorf("%q is taken for %d", s, got)
		}
	}
}
