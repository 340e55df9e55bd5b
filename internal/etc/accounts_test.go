package etc_test

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"ingot/internal/etc"
)

// file makes a file of words: name:number[:rest] with the fields of its kind.
func passwd(words string) string {
	var b strings.Builder
	for _, w := range strings.Fields(words) {
		f := append(strings.Split(w, ":"), "", "", "", "")
		fmt.Fprintf(&b, "%s:x:%s:%s::/home/%s:%s\n", f[0], f[1], f[2], f[0], f[3])
	}
	return b.String()
}

func group(words string) string {
	var b strings.Builder
	for _, w := range strings.Fields(words) {
		f := append(strings.Split(w, ":"), "", "")
		fmt.Fprintf(&b, "%s:x:%s:%s\n", f[0], f[1], f[2])
	}
	return b.String()
}

func ids(m map[uint32]uint32) string {
	var out []string
	for _, k := range slices.Sorted(maps.Keys(m)) {
		out = append(out, fmt.Sprintf("%d>%d", k, m[k]))
	}
	return strings.Join(out, " ")
}

func TestReconcile(t *testing.T) {
	for _, c := range []struct{ what, old, fresh, host, want, remap, conflicts string }{
		{"nothing", "root:0:0", "root:0:0", "root:0:0", "root:0:0", "", ""},
		{"the host's own", "root:0:0", "root:0:0", "root:0:0 ops:1000:1000", "root:0:0 ops:1000:1000", "", ""},
		{"one more in the image", "root:0:0", "root:0:0 www:101:0", "root:0:0", "root:0:0 www:101:0", "", ""},
		{"its number is taken", "", "www:101:0", "mail:101:0", "mail:101:0 www:999:0", "101>999", ""},
		{"and the next is the image's", "", "www:101:0 db:999:0", "mail:101:0", "mail:101:0 www:998:0 db:999:0", "101>998", ""},
		{"a person's number is taken", "", "ops:1000:0", "me:1000:0", "me:1000:0 ops:1001:0", "1000>1001", ""},
		{"the image numbers anew", "a:101:0 b:102:0", "a:102:0 b:101:0", "a:101:0 b:102:0", "a:101:0 b:102:0", "101>102 102>101", ""},
		{"the image has it no more", "a:101:0", "", "a:101:0", "a:101:0", "", ""},
		{"the host deleted it", "a:101:0", "a:101:0", "", "", "", ""},
		{"and its number is another's", "a:101:0", "a:101:0", "b:101:0", "b:101:0", "101>0", ""},
		{"a new one does not get the number of one deleted", "a:999:0", "a:999:0 www:101:0", "m:101:0", "m:101:0 www:998:0", "101>998", ""},
		{"two names of one number", "", "a:101:0 b:101:0", "m:101:0", "m:101:0 a:999:0 b:999:0", "101>999", ""},
		{"shell by the image", "a:1:0:/sh", "a:1:0:/new", "a:1:0:/sh", "a:1:0:/new", "", ""},
		{"shell by the host", "a:1:0:/sh", "a:1:0:/sh", "a:1:0:/mine", "a:1:0:/mine", "", ""},
		{"shell by both", "a:1:0:/sh", "a:1:0:/new", "a:1:0:/mine", "a:1:0:/mine", "", "passwd a shell"},
		{"added by both", "", "a:5:0:/new", "a:6:0:/mine", "a:6:0:/mine", "5>6", "passwd a shell"},
	} {
		got, remap, conflicts, err := etc.Reconcile(etc.Accounts{Passwd: passwd(c.old)}, etc.Accounts{Passwd: passwd(c.fresh)}, etc.Accounts{Passwd: passwd(c.host)})
		said := ""
		for _, x := range conflicts {
			said += x.File + " " + x.Name + " " + x.Field
		}
		if err != nil || got.Passwd != passwd(c.want) || ids(remap.UID) != c.remap || said != c.conflicts {
			t.Errorf("%s: %q, %s, %q, %v", c.what, got.Passwd, ids(remap.UID), said, err)
		}
	}
}

// TestReconcileGroups follows a group's number into passwd, and merges members.
func TestReconcileGroups(t *testing.T) {
	old := etc.Accounts{Passwd: passwd("root:0:0"), Group: group("root:0 sudo:27:a,b video:44:a"), Shadow: "root:*:1::::::\n", GShadow: "sudo:!::a,b\n"}
	fresh := etc.Accounts{Passwd: passwd("root:0:0 www:101:105"), Group: group("root:0 sudo:27:a,b,new video:44: www:105"), Shadow: "root:*:2::::::\nwww:!:2::::::\n", GShadow: "sudo:!::a,b,new\nwww:!::\n"}
	host := etc.Accounts{Passwd: passwd("root:0:0 me:1000:1000"), Group: group("root:0 sudo:27:b,me video:44:a,me mine:105"), Shadow: "root:$y$hash:1::::::\nme:$y$mine:1::::::\n", GShadow: "sudo:!::b,me\n"}
	got, remap, conflicts, err := etc.Reconcile(old, fresh, host)
	want := etc.Accounts{
		Passwd:  passwd("root:0:0 me:1000:1000 www:101:999"),
		Group:   group("root:0 sudo:27:b,me,new video:44:me mine:105 www:999"),
		Shadow:  "root:$y$hash:2::::::\nme:$y$mine:1::::::\nwww:!:2::::::\n",
		GShadow: "sudo:!::b,me,new\nwww:!::\n",
	}
	if err != nil || got != want || len(conflicts) > 0 || ids(remap.GID) != "105>999" || len(remap.UID) > 0 {
		t.Errorf("%+v\nwant %+v\n%v, %v, %v", got, want, remap, conflicts, err)
	}
	tr, err := remap.Apply(build(t, "a=1 b=2@105"))
	if err != nil || text(tr) != "a=1 b=2@105" {
		t.Errorf("numbers of groups are given to users: %s, %v", text(tr), err)
	}
}

func FuzzReconcile(f *testing.F) {
	f.Add("root:x:0:0::/:/sh\n", "root:x:0:0::/:/sh\na:x:1:1:::\n", "+::::::\nroot:x:0:0:\n::\n", "a:x:1:b\n")
	f.Fuzz(func(t *testing.T, old, fresh, host, groups string) {
		a := etc.Accounts{Passwd: host, Group: groups, Shadow: host, GShadow: groups}
		got, remap, _, err := etc.Reconcile(etc.Accounts{Passwd: old, Group: groups}, etc.Accounts{Passwd: fresh, Group: fresh}, a)
		if err != nil {
			return
		}
		for from, to := range remap.UID {
			if from == to {
				t.Errorf("%d is mapped to itself", from)
			}
		}
		// Nobody of the host's changes his number, and whoever is there is there once.
		users := map[string]string{}
		for line := range strings.Lines(got.Passwd) {
			if f := strings.Split(strings.TrimSuffix(line, "\n"), ":"); len(f) == 7 && !strings.ContainsAny((f[0] + "+")[:1], "+-#") {
				if _, twice := users[f[0]]; !twice {
					users[f[0]] = f[2]
				}
			}
		}
		for line := range strings.Lines(host) {
			f := strings.Split(strings.TrimSuffix(line, "\n"), ":")
			if len(f) == 7 && !strings.ContainsAny((f[0] + "+")[:1], "+-#") && users[f[0]] == "" && f[2] != "" {
				t.Errorf("%q is gone from %q", f[0], got.Passwd)
			}
		}
		// Once reconciled, the same image changes nothing.
		again, _, _, err := etc.Reconcile(etc.Accounts{Passwd: fresh, Group: fresh}, etc.Accounts{Passwd: fresh, Group: fresh}, got)
		if err == nil && (again.Passwd != got.Passwd || again.Group != got.Group) {
			t.Errorf("again: %q, and before %q", again.Passwd, got.Passwd)
		}
	})
}
