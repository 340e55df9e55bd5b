package rpm

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"ingot/internal/distro"
	"ingot/internal/sandbox"
	"ingot/internal/tree"
)

// recorder stands in for the tools tree's rpm: it says in which order.
type recorder struct {
	order string
	got   []string
	err   error
}

func (r *recorder) Run(_ context.Context, _ []string, _ []byte, inputs map[string][]byte, _ []string) (map[string][]byte, error) {
	r.got = slices.Sorted(maps.Keys(inputs))
	return map[string][]byte{"order": []byte(r.order), "var/lib/rpm/rpmdb.sqlite": []byte("database")}, r.err
}

// configure installs made packages into an empty box.
func configure(t *testing.T, r *recorder, packages ...made) (tree.Tree, string, error) {
	t.Helper()
	p := newPack(t)
	var us []distro.Unpacked
	for _, m := range packages {
		data := m.bytes()
		ref := madeRef(data)
		h, _, err := readHeaders(bytes.NewReader(data), int64(len(data)))
		if err != nil {
			t.Fatal(err)
		}
		if ref.Name, err = h.word(tagName); err != nil {
			t.Fatal(err)
		}
		u, err := readPackage(t, ref, bytes.NewReader(data), p)
		if err != nil {
			t.Fatal(err)
		}
		us = append(us, u)
	}
	box, err := sandbox.New(t.Context(), sandbox.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = box.Close() }()
	contents := tree.NewReader(packs{"pack": p.File.Name()})
	defer func() { _ = contents.Close() }()
	var log strings.Builder
	if err := (Family{Tools: r}).Configure(t.Context(), box, asked(distro.Install{
		First: true, Contents: contents, Arch: "amd64", Epoch: 2000, Early: map[string]string{"etc/early": "1\n"},
		Log: func(line string) { fmt.Fprintln(&log, line) },
	}, us)); err != nil {
		return tree.Tree{}, log.String(), err
	}
	made, _, err := box.Capture(t.Context(), newPack(t).File, "step", "step:install", 2000)
	return made, log.String(), err
}

// named is a made package under another name.
func named(name string, files []madeFile, more ...madeTag) made {
	m := pack(files, more...)
	m.tags[0] = word(tagName, name)
	return m
}

func TestConfigurePutsFilesInRPMsOrder(t *testing.T) {
	r := &recorder{order: "7 users noarch\n3 other noarch\n9 last noarch\n"}
	got, log, err := configure(t, r,
		named("last", []madeFile{
			{path: "/srv", mode: dirMode | 0o700},
			{path: "/srv/mine", mode: fileMode | 0o6755, data: "x", user: "ada", group: "staff"},
			{path: "/srv/theirs", mode: fileMode | 0o6755, data: "x", user: "bob", group: "staff"},
			{path: "/srv/pipe", mode: 0o010000 | 0o600},
			{path: "/etc/early", mode: fileMode | 0o640, flags: flagConfig | flagNoReplace, data: "2\n"},
		}),
		named("other", []madeFile{{path: "/srv", mode: dirMode | 0o755}, {path: "/srv/other", mode: fileMode | 0o644, data: "o"}}),
		named("users", []madeFile{
			{path: "/etc/passwd", mode: fileMode | 0o644, data: "root:x:0:0::/:\nada:x:7:8::/:\nbroken\n"},
			{path: "/etc/group", mode: fileMode | 0o644, data: "staff:x:50:\n"},
		}),
	)
	if err != nil {
		t.Fatal(err)
	}
	var text strings.Builder
	for e := range got.All() {
		fmt.Fprintf(&text, "%s %04o %d:%d /%s %s\n", e.Kind, e.Mode, e.UID, e.GID, e.Path, e.Owner)
	}
	want := `dir 0755 0:0 / step:install
dir 0755 0:0 /dev step:install
dir 0755 0:0 /etc step:install
file 0644 0:0 /etc/early step:install
file 0640 0:0 /etc/early.rpmnew rpm:last
file 0644 0:0 /etc/group rpm:users
file 0644 0:0 /etc/passwd rpm:users
dir 0755 0:0 /proc step:install
dir 0700 0:0 /srv rpm:last
file 6755 7:50 /srv/mine rpm:last
file 0644 0:0 /srv/other rpm:other
fifo 0600 0:0 /srv/pipe rpm:last
file 2755 0:50 /srv/theirs rpm:last
dir 0755 0:0 /var step:install
dir 0755 0:0 /var/lib step:install
dir 0755 0:0 /var/lib/rpm step:install
file 0644 0:0 /var/lib/rpm/rpmdb.sqlite step:install
`
	if diff := cmp.Diff(want, text.String()); diff != "" {
		t.Errorf("tree (-want +got):\n%s", diff)
	}
	if want := "package last: user bob does not exist, root is used\n"; log != want {
		t.Errorf("log is %q, want %q", log, want)
	}
	if want := []string{"00000.rpm", "00001.rpm", "00002.rpm"}; !slices.Equal(r.got, want) {
		t.Errorf("rpm was given %q, want %q", r.got, want)
	}
}

func TestConfigureRefusesWhatItCannotDo(t *testing.T) {
	files := []madeFile{{path: "/a", mode: fileMode | 0o644, data: "a"}}
	for _, c := range []struct {
		name, want string
		recorder   recorder
		made       made
	}{
		{"Lua", "a %post scriptlet for rpm's own <lua>", recorder{}, pack(files, word(tagPostIn, "x"), word(tagPostInProg, "<lua>"))},
		{"expanded", "a %pre scriptlet that rpm expands first", recorder{}, pack(files, word(tagPreIn, "x"), numbers(tagPreInFlags, uint32(1)))},
		{"triggers", "has triggers", recorder{}, pack(files, words(tagTriggerName, "b"))},
		{"file triggers", "has file triggers", recorder{}, pack(files, words(tagFileTrigger, "/usr"))},
		{"rpm says no", "cannot install these packages together: file conflict", recorder{err: errors.New("file conflict")}, pack(files)},
		{"rpm forgets one", "did not record package made noarch", recorder{}, pack(files)},
		{"rpm says something else", "lists its database with", recorder{order: "what\n"}, pack(files)},
		{"no interpreter", "%pre scriptlet: ", recorder{order: "1 made noarch\n"}, pack(files, word(tagPreIn, "x"))},
	} {
		t.Run(c.name, func(t *testing.T) {
			if _, _, err := configure(t, &c.recorder, c.made); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error is %v, want one with %q", err, c.want)
			}
		})
	}
	if err := (Family{}).Configure(t.Context(), nil, distro.Install{}); err == nil {
		t.Error("Configure without tools succeeds")
	}
}

func TestConfigureLogsPostThatFails(t *testing.T) {
	_, log, err := configure(t, &recorder{order: "1 made noarch\n"}, pack([]madeFile{{path: "/a", mode: fileMode | 0o644, data: "a"}}, word(tagPostIn, "x"), word(tagPostInProg, "/bin/sh")))
	if err != nil || !strings.Contains(log, "package made: its %post scriptlet failed: cannot start /bin/sh") {
		t.Errorf("error is %v, log %q", err, log)
	}
}
