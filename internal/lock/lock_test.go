package lock

import (
	"bytes"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"ingot/internal/definition"
	"ingot/internal/digest"
	"ingot/internal/distro"
	"ingot/internal/fault"
)

func of(s string) digest.Digest { return digest.Of([]byte(s)) }

func ref(name, version, arch string) distro.Ref {
	return distro.Ref{
		Name: name, Version: version, Arch: arch, Archive: "debian", Size: 1234, SHA256: of(name + version + arch),
		Location: "pool/main/" + name[:1] + "/" + name + "/" + name + "_" + version + "_" + arch + ".deb",
	}
}

// sample is a lock with something of everything.
func sample() Lock {
	return Lock{
		Definition: of("definition"), Request: of("request"), Distro: "debian", Release: "bookworm", Epoch: 1731000000,
		Archives: []Archive{
			{Name: "debian", URL: "http://archive.example/debian", Suites: []string{"bookworm", "bookworm-updates"}, Components: []string{"main"}},
			{Name: "own", URL: "https://own.example/", Suites: []string{"stable"}, Components: []string{"main", "extra"}, Key: "keys/own key.asc", Expired: true},
		},
		Indexes: []Index{
			{Archive: "debian", Suite: "bookworm", Component: "main", Arch: "amd64", Path: "dists/bookworm/main/binary-amd64/Packages.xz", Date: 1730900000, Size: 8000000, SHA256: of("index")},
		},
		Files: []File{
			{Path: "setup.sh", SHA256: of("#!/bin/sh\n"), Executable: true},
			{Path: "site/index.html", SHA256: of("hi")},
			{Path: "site/a page é", SHA256: of("")},
			{Path: "site/latest", Link: "index.html"},
			{Path: "site/cache", EmptyDir: true},
		},
		Sets: []Set{
			{Arch: "amd64", Purpose: "machine", Start: "minbase", Asked: []string{"libc6:i386", "bash"}, Refs: []distro.Ref{ref("libc6", "2.36-9+deb12u8", "i386"), ref("libc6", "2.36-9+deb12u8", "amd64"), ref("bash", "5.2.15-2+b7", "amd64")}},
			{Arch: "amd64", Purpose: "container", Refs: []distro.Ref{ref("bash", "5.2.15-2+b7", "amd64")}},
		},
		Tools: []distro.Ref{ref("e2fsprogs", "1:1.47.0-2", "amd64")},
		Seals: []Seal{{Arch: "amd64", Purpose: "machine", SHA256: of("tree")}},
	}
}

func TestFileForm(t *testing.T) {
	got := Encode(sample())
	want, err := os.ReadFile("testdata/sample.lock")
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(string(want), string(got)); d != "" {
		t.Errorf("-want +got:\n%s", d)
	}
	l, err := Decode(want)
	if err != nil {
		t.Fatal(err)
	}
	if again := Encode(*l); !bytes.Equal(again, want) {
		t.Errorf("read and written again:\n%s", cmp.Diff(string(want), string(again)))
	}
	if bash := l.Sets[1].Refs[0]; bash != ref("bash", "5.2.15-2+b7", "amd64") || l.Archives[1].Key != "keys/own key.asc" || !l.Archives[1].Expired {
		t.Errorf("read back %+v", l)
	}
}

// The lines that docs/reference/lock.md shows are lines of a real lock.
func TestReferenceShowsRealLines(t *testing.T) {
	doc, err := os.ReadFile("../../docs/reference/lock.md")
	if err != nil {
		t.Fatal(err)
	}
	_, block, _ := strings.Cut(string(doc), "```text\n")
	block, _, ok := strings.Cut(block, "```")
	real := "\n" + string(Encode(sample()))
	for line := range strings.Lines(block) {
		if !strings.Contains(real, "\n"+line) {
			t.Errorf("no lock has the line %q", line)
		}
	}
	if !ok || len(block) < 500 {
		t.Error("the reference shows no lock")
	}
}

func TestDigestIsOfTheMeaning(t *testing.T) {
	a := sample()
	same := map[string]func(l *Lock){
		"seals":      func(l *Lock) { l.Seals = nil },
		"set order":  func(l *Lock) { slices.Reverse(l.Sets) },
		"ref order":  func(l *Lock) { slices.Reverse(l.Sets[0].Refs) },
		"file order": func(l *Lock) { slices.Reverse(l.Files) },
	}
	for name, change := range same {
		b := sample()
		change(&b)
		if a.Digest() != b.Digest() {
			t.Errorf("%s: digest moved", name)
		}
	}
	other := map[string]func(l *Lock){
		"request":       func(l *Lock) { l.Request = of("x") },
		"definition":    func(l *Lock) { l.Definition = of("x") },
		"epoch":         func(l *Lock) { l.Epoch++ },
		"archive order": func(l *Lock) { slices.Reverse(l.Archives) },
		"url":           func(l *Lock) { l.Archives[0].URL += "/" },
		"expired":       func(l *Lock) { l.Archives[1].Expired = false },
		"index date":    func(l *Lock) { l.Indexes[0].Date++ },
		"executable":    func(l *Lock) { l.Files[0].Executable = false },
		"link":          func(l *Lock) { l.Files[3].Link = "x" },
		"version":       func(l *Lock) { l.Sets[0].Refs[0].Version += "1" },
		"archive":       func(l *Lock) { l.Sets[0].Refs[0].Archive = "own" },
		"location":      func(l *Lock) { l.Sets[0].Refs[0].Location += "x" },
		"tools":         func(l *Lock) { l.Tools = nil },
	}
	for name, change := range other {
		b := sample()
		change(&b)
		if a.Digest() == b.Digest() {
			t.Errorf("%s: digest did not move", name)
		}
	}
}

// reseal writes a changed text's sum anew, as a careful editor would.
func reseal(text string) string {
	body := text[:strings.LastIndex(text, "sum ")]
	return body + "sum " + of(body).String() + "\n"
}

func TestDamageIsFound(t *testing.T) {
	good := string(Encode(sample()))
	replace := func(old, with string) string {
		if !strings.Contains(good, old) {
			t.Fatalf("the sample has no %q", old)
		}
		return strings.Replace(good, old, with, 1)
	}
	digits := regexp.MustCompile(`[0-9a-f]{12,}`) // of digests; # in what is wanted
	for _, c := range []struct{ name, text, want string }{
		{"empty", "", `lock does not begin with "ingot lock 1"`},
		{"other file", "version: 1\n", `lock does not begin with "ingot lock 1"`},
		{"cut in half", good[:len(good)/2], "lock is cut off: its last line is no sum"},
		{"cut by a byte", good[:len(good)-1], "lock is cut off: its last line is no sum"},
		{"cut by the last line", good[:strings.LastIndex(good, "sum ")], "lock is cut off: its last line is no sum"},
		{"something behind", good + "\n", "lock is cut off: its last line is no sum"},
		{"a version edited", replace("5.2.15-2+b7", "5.2.15-2+b8"), "lock is damaged or was edited by hand: the sum on its last line is not that of the lines above, #…"},
		{"the seal edited", replace("seal amd64 machine ", "seal amd64 container "), "lock is damaged or was edited by hand: the sum on its last line is not that of the lines above, #…"},
		{"a line gone", replace("distro debian\n", ""), "lock is damaged or was edited by hand: the sum on its last line is not that of the lines above, #…"},
		{"a version edited, sum right", reseal(replace("5.2.15-2+b7", "5.2.15-2+b8")), "lock is damaged or was edited by hand: its digest is #, not #"},
		{"line ends of DOS", strings.ReplaceAll(good, "\n", "\r\n"), "lock has lines that end as DOS ends them, as git writes them with core.autocrlf: 'ingot.lock -text' in .gitattributes keeps it from that"},
		{"order changed, sum right", reseal(replace("distro debian\nrelease bookworm\n", "release bookworm\ndistro debian\n")), "lock is not written as ingot writes it"},
		{"number not plain, sum right", reseal(replace(" 1234 ", " +1234 ")), "lock is not written as ingot writes it"},
		{"time wrong, sum right", reseal(replace("2024-11-07T17:20:00Z", "2024-11-07T17:20:01Z")), "lock is not written as ingot writes it"},
		{"conflict", replace("distro debian\n", "<<<<<<< HEAD\ndistro debian\n"), "lock has the marks of a merge conflict"},
		{"unknown word", reseal(replace("distro debian", "distrx debian")), `lock is wrong on line 5: unknown word "distrx"`},
		{"word missing", reseal(replace("epoch 1731000000 2024-11-07T17:20:00Z", "epoch 1731000000")), "lock is wrong on line 7: epoch has 1 words, want 2"},
		{"bad digest", reseal(replace("definition ", "definition x")), `lock is wrong on line 3: digest "x#": want 64 hexadecimal digits`},
		{"climbing location", reseal(replace("pool/main/b/bash", "pool/../../bash")), `lock has package bash in a bad place: path "pool/../../bash/bash_5.2.15-2+b7_amd64.deb" has a part ".."`},
		{"climbing file", reseal(replace("site/index.html", "../index.html")), `lock has a bad file: path "../index.html" has a part ".."`},
		{"bad version", reseal(replace("bash 5.2.15-2+b7", "bash five")), `lock has package bash with the version "five" in set amd64 container`},
		{"unknown archive", reseal(replace(" own\n", " their\n")), "lock is damaged or was edited by hand: its digest is #, not #"},
	} {
		_, err := Decode([]byte(c.text))
		if err == nil {
			t.Errorf("%s: taken", c.name)
			continue
		}
		got := digits.ReplaceAllString(err.Error(), "#")
		if got != c.want {
			t.Errorf("%s:\n got %s\nwant %s", c.name, got, c.want)
		}
		if fault.CodeOf(err) != fault.Verification {
			t.Errorf("%s: exit code %d", c.name, fault.CodeOf(err))
		}
	}
}

// Every byte of the file counts: one changed anywhere is found.
func TestEveryByteCounts(t *testing.T) {
	good := Encode(sample())
	for i := range good {
		for _, flip := range []byte{1, 0x20} {
			bad := slices.Clone(good)
			bad[i] ^= flip
			if _, err := Decode(bad); err == nil {
				t.Fatalf("byte %d (%q) changed to %q was taken", i, good[i], bad[i])
			}
		}
		if _, err := Decode(good[:i]); err == nil {
			t.Fatalf("the first %d bytes were taken", i)
		}
	}
}

func TestNewerFormIsNotDamage(t *testing.T) {
	_, err := Decode([]byte("ingot lock 2\nwhatever\n"))
	if err == nil || fault.CodeOf(err) != fault.Failed || err.Error() != "lock is of form 2, and this ingot reads form 1" {
		t.Errorf("got %v", err)
	}
}

func TestCheck(t *testing.T) {
	for _, c := range []struct {
		want   string
		change func(l *Lock)
	}{
		{"", func(*Lock) {}},
		{"has no digest of its definition", func(l *Lock) { l.Definition = digest.Digest{} }},
		{"has an epoch out of range: -1", func(l *Lock) { l.Epoch = -1 }},
		{"has archive debian twice", func(l *Lock) { l.Archives = append(l.Archives, l.Archives[0]) }},
		{`has archive debian with the address "http://a b"`, func(l *Lock) { l.Archives[0].URL = "http://a b" }},
		{"has archive debian without suites", func(l *Lock) { l.Archives[0].Suites = nil }},
		{`has package bash of archive "x", which it does not have`, func(l *Lock) { l.Sets[1].Refs[0].Archive = "x" }},
		{"has package bash:amd64 twice in set amd64 container", func(l *Lock) { l.Sets[1].Refs = append(l.Sets[1].Refs, l.Sets[1].Refs[0]) }},
		{`has a package with the name "Bash" in set amd64 container`, func(l *Lock) { l.Sets[1].Refs[0].Name = "Bash" }},
		{`has a package with the name "bash\nx" in set amd64 container`, func(l *Lock) { l.Sets[1].Refs[0].Name = "bash\nx" }},
		{`has package bash with the version "1 2" in set amd64 container`, func(l *Lock) { l.Sets[1].Refs[0].Version = "1 2" }},
		{`has package bash with the version "1.0-" in set amd64 container`, func(l *Lock) { l.Sets[1].Refs[0].Version = "1.0-" }},
		{"has package bash without a proper size and digest in set amd64 container", func(l *Lock) { l.Sets[1].Refs[0].Size = -5 }},
		{"has set amd64 machine twice", func(l *Lock) { l.Sets[1].Purpose = "machine" }},
		{`has a set of unknown kind: "amd64 toaster"`, func(l *Lock) { l.Sets[1].Purpose = "toaster" }},
		{`has file "site/index.html" twice or without a name`, func(l *Lock) { l.Files[0].Path = "site/index.html" }},
		{`has file "setup.sh", which is not one kind of thing`, func(l *Lock) { l.Files[0].Link = "x" }},
		{`has a seal of "arm64 machine", but no such set`, func(l *Lock) { l.Seals[0].Arch = "arm64" }},
		{"", func(l *Lock) {
			l.Distro = "fedora"
			l.Sets[1].Refs[0].Name, l.Sets[1].Refs[0].Version = "NetworkManager", "1:1.50.0^git1-1.fc41"
		}},
	} {
		l := sample()
		c.change(&l)
		got := ""
		if err := l.Check(); err != nil {
			got = err.Error()
		}
		if got != c.want {
			t.Errorf("got %q, want %q", got, c.want)
		}
		if l.Files[0].Link != "" {
			continue // the file form cannot say it
		}
		// What Check takes, Decode takes, and the other way round.
		_, err := Decode(Encode(l))
		if (err == nil) != (c.want == "") {
			t.Errorf("%q: Decode says %v", c.want, err)
		}
	}
}

func TestWriteAndRead(t *testing.T) {
	path := filepath.Join(t.TempDir(), FileName)
	if _, err := Read(path); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no file: %v", err)
	}
	if err := Write(path, sample()); err != nil {
		t.Fatal(err)
	}
	bad := sample()
	bad.Epoch = -1
	if err := Write(path, bad); err == nil {
		t.Error("an impossible lock was written")
	}
	l, err := Read(path)
	if err != nil || l.Epoch != 1731000000 {
		t.Fatalf("read %+v, %v", l, err)
	}
	if list, _ := os.ReadDir(filepath.Dir(path)); len(list) != 1 {
		t.Errorf("left behind: %v", list)
	}
	if info, _ := os.Stat(path); info.Mode().Perm() != 0o644 {
		t.Errorf("mode %v", info.Mode())
	}
	if err := os.WriteFile(path, []byte("ingot lock 1\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err = Read(path)
	if err == nil || !strings.HasPrefix(err.Error(), path+": lock is cut off") || fault.CodeOf(err) != fault.Verification || fault.HintOf(err) == "" {
		t.Errorf("got %v, code %d, hint %q", err, fault.CodeOf(err), fault.HintOf(err))
	}
	pipe := path + ".pipe"
	if err := unix.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	for path, what := range map[string]string{pipe: "pipe", filepath.Dir(path): "directory"} {
		_, err = Read(path)
		if err == nil || err.Error() != "cannot read the lock: read "+path+": it is a "+what+", not a file" || fault.CodeOf(err) != fault.Verification || fault.HintOf(err) == "" {
			t.Errorf("got %v, code %d, hint %q", err, fault.CodeOf(err), fault.HintOf(err))
		}
	}
}

func TestFiles(t *testing.T) {
	dir := t.TempDir()
	for path, text := range map[string]string{
		"ingot.yaml":     "version: 1\nname: x\ndistro: debian\nrelease: bookworm\noutputs: [tar]\nfiles: [{path: /srv/site, source: site}]\nscripts: [{run: ./setup.sh}]\n",
		"site/a/b.txt":   "b",
		"site/empty/.no": "",
		"setup.sh":       "#!/bin/sh\n",
	} {
		p := filepath.Join(dir, path)
		if err := errors.Join(os.MkdirAll(filepath.Dir(p), 0o755), os.WriteFile(p, []byte(text), 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	err := errors.Join(os.Remove(filepath.Join(dir, "site/empty/.no")), os.Chmod(filepath.Join(dir, "setup.sh"), 0o700), os.Symlink("a/b.txt", filepath.Join(dir, "site/c")))
	if err != nil {
		t.Fatal(err)
	}
	def, err := definition.Load(dir, definition.Options{HostArch: "amd64"})
	if err != nil {
		t.Fatal(err)
	}
	got, err := Files(def)
	if err != nil {
		t.Fatal(err)
	}
	want := []File{
		{Path: "setup.sh", SHA256: of("#!/bin/sh\n"), Executable: true},
		{Path: "site/a/b.txt", SHA256: of("b")},
		{Path: "site/c", Link: "a/b.txt"},
		{Path: "site/empty", EmptyDir: true},
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("-want +got:\n%s", d)
	}
}

func TestCompare(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(l *Lock)
		want   string
	}{
		{"nothing", func(l *Lock) { l.Seals = nil }, "nothing changed\n"},
		{"a package in both sets", func(l *Lock) {
			l.Sets[0].Refs[2] = ref("bash", "5.2.15-2+b8", "amd64")
			l.Sets[1].Refs[0] = ref("bash", "5.2.15-2+b8", "amd64")
		}, "bash 5.2.15-2+b7 -> 5.2.15-2+b8\n"},
		{"a package in one set", func(l *Lock) { l.Sets[0].Refs[2] = ref("bash", "5.2.15-2+b8", "amd64") }, "bash 5.2.15-2+b7 -> 5.2.15-2+b8 (amd64 machine)\n"},
		{"added and removed", func(l *Lock) {
			l.Sets[0].Refs = append(l.Sets[0].Refs[:2], ref("nginx", "1.22.1-9", "amd64"))
			l.Sets[1].Refs = []distro.Ref{ref("nginx", "1.22.1-9", "amd64")}
		}, "removed bash 5.2.15-2+b7\nadded nginx 1.22.1-9\n"},
		{"one architecture of two", func(l *Lock) { l.Sets[0].Refs[0] = ref("libc6", "2.36-9+deb12u9", "i386") }, "libc6:i386 2.36-9+deb12u8 -> 2.36-9+deb12u9 (amd64 machine)\n"},
		{"built again", func(l *Lock) { l.Sets[0].Refs[2].SHA256 = of("again") }, "bash 5.2.15-2+b7 (same version, other file; amd64 machine)\n"},
		{"tools apart", func(l *Lock) { l.Tools = []distro.Ref{ref("e2fsprogs", "1:1.47.0-3", "amd64")} }, "tool e2fsprogs 1:1.47.0-2 -> 1:1.47.0-3\n"},
		{"archives", func(l *Lock) {
			l.Archives[0].Suites = append(l.Archives[0].Suites, "bookworm-backports")
			l.Archives[1].Expired = false
		}, "archive debian suites bookworm bookworm-updates -> bookworm bookworm-updates bookworm-backports\narchive own valid-until waived -> kept\n"},
		{"archive added", func(l *Lock) { l.Archives[1].Name = "third" }, "removed archive own https://own.example/ stable main extra\nadded archive third https://own.example/ stable main extra\n"},
		{"epoch and index", func(l *Lock) {
			l.Epoch += 86400
			l.Indexes[0].Date += 86400
			l.Indexes[0].SHA256 = of("newer")
		}, "epoch 2024-11-07T17:20:00Z -> 2024-11-08T17:20:00Z\nindex debian bookworm main amd64 2024-11-06T13:33:20Z -> 2024-11-07T13:33:20Z\n"},
		{"definition and files", func(l *Lock) {
			l.Definition = of("other")
			l.Files[0].SHA256 = of("other")
			l.Files = l.Files[:4]
		}, "definition changed\nfile setup.sh changed\nremoved file site/cache\n"},
		{"sets", func(l *Lock) {
			l.Sets = append(l.Sets, Set{Arch: "arm64", Purpose: "machine", Refs: []distro.Ref{ref("bash", "5.2.15-2+b7", "arm64")}})
		}, "added set arm64 machine (1 packages)\n"},
	} {
		before, after := sample(), sample()
		c.change(&after)
		got := Compare(&before, &after)
		if d := cmp.Diff(c.want, got.Text()); d != "" {
			t.Errorf("%s: -want +got:\n%s", c.name, d)
		}
	}
	before, after := sample(), sample()
	after.Sets[0].Refs[2] = ref("bash", "5.2.15-2+b8", "amd64")
	b, err := json.Marshal(Compare(&before, &after))
	if err != nil {
		t.Fatal(err)
	}
	want := `{"schema":1,"old":"` + before.Digest().String() + `","new":"` + after.Digest().String() +
		`","changes":[{"part":"package","action":"changed","name":"bash","old":"5.2.15-2+b7","new":"5.2.15-2+b8","sets":["amd64 machine"]}]}`
	if string(b) != want {
		t.Errorf("got %s\nwant %s", b, want)
	}
}

func FuzzDecode(f *testing.F) {
	f.Add(Encode(sample()))
	f.Add(Encode(grouped()))
	f.Add(Encode(flavored()))
	f.Add(Encode(Lock{Definition: of("x"), Distro: "debian", Release: "sid"}))
	f.Add([]byte("ingot lock 1\n"))
	f.Add([]byte("ingot lock 1\nfile \"\\x41\" \"b c\"\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) > 1<<16 {
			return
		}
		if l, err := Decode(b); err == nil && !bytes.Equal(Encode(*l), b) {
			t.Fatal("taken, and written otherwise")
		}
		// Behind the sum, which no fuzzer guesses: what the parser and Check
		// take comes back as it was.
		p := newParser(string(b))
		for p.next() {
			if p.line() != nil {
				return
			}
		}
		if p.l.Check() != nil {
			return
		}
		text := Encode(*p.l)
		again, err := Decode(text)
		if err != nil {
			t.Fatalf("%v\n%s", err, text)
		}
		if !bytes.Equal(Encode(*again), text) || again.Digest() != p.l.Digest() {
			t.Fatalf("not the same again:\n%s", text)
		}
	})
}

// BenchmarkDecode reads a lock of four sets with a thousand packages each.
func BenchmarkDecode(b *testing.B) {
	l := sample()
	l.Sets, l.Seals = nil, nil
	for _, arch := range []string{"amd64", "arm64"} {
		for _, purpose := range []string{"container", "machine"} {
			s := Set{Arch: arch, Purpose: purpose}
			for i := range 1000 {
				s.Refs = append(s.Refs, ref("package"+string(rune('a'+i%26))+strings.Repeat("x", i/26+1), "1.0-1", arch))
			}
			l.Sets = append(l.Sets, s)
		}
	}
	text := Encode(l)
	b.SetBytes(int64(len(text)))
	for b.Loop() {
		if _, err := Decode(text); err != nil {
			b.Fatal(err)
		}
	}
}

// A lock is as private as the user's other files.
func TestWriteHonoursTheUmask(t *testing.T) {
	old := syscall.Umask(0o077)
	defer syscall.Umask(old)
	path := filepath.Join(t.TempDir(), "ingot.lock")
	if err := Write(path, sample()); err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
}

func TestUpdate(t *testing.T) {
	path := filepath.Join(t.TempDir(), "ingot.lock")
	if err := Update(path, func(now *Lock) *Lock {
		if now != nil {
			t.Errorf("there is a lock: %v", now)
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Lstat(path); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("nothing became a file: %v", err)
	}
	l := sample()
	l.Sets, l.Seals = nil, nil
	many := []string{"amd64", "arm64", "armel", "armhf", "i386", "mips64el", "ppc64el", "s390x"}
	for _, arch := range many {
		l.Sets = append(l.Sets, Set{Arch: arch, Purpose: "machine"})
	}
	if err := Write(path, l); err != nil {
		t.Fatal(err)
	}
	// Many add something of their own at once.
	errs := make(chan error)
	for _, arch := range many {
		go func() {
			errs <- Update(path, func(now *Lock) *Lock {
				now.Seals = append(now.Seals, Seal{Arch: arch, Purpose: "machine", SHA256: of("tree")})
				return now
			})
		}()
	}
	for range many {
		if err := <-errs; err != nil {
			t.Error(err)
		}
	}
	got, err := Read(path)
	if err != nil || len(got.Seals) != len(many) {
		t.Errorf("%v, %v", got, err)
	}
	if err := os.WriteFile(path, []byte("no lock"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := Update(path, func(*Lock) *Lock { t.Error("a damaged lock was changed"); return nil }); fault.CodeOf(err) != fault.Verification {
		t.Errorf("a damaged lock: %v", err)
	}
}

func TestWriteFollowsLinks(t *testing.T) {
	for _, c := range []struct{ summary, link, file string }{
		{"beside", "real.lock", "real.lock"},
		{"elsewhere", "locks/real.lock", "locks/real.lock"},
		{"a link to a link", "other.lock", "real.lock"},
		{"up from a directory that is a link", "linked/../real.lock", "deep/real.lock"},
	} {
		for _, there := range []bool{false, true} {
			dir := t.TempDir()
			path, file := filepath.Join(dir, "ingot.lock"), filepath.Join(dir, c.file)
			if err := errors.Join(os.Mkdir(filepath.Join(dir, "locks"), 0o755), os.MkdirAll(filepath.Join(dir, "deep", "er"), 0o755), os.Symlink("deep/er", filepath.Join(dir, "linked")),
				os.Symlink("real.lock", filepath.Join(dir, "other.lock")), os.Symlink(c.link, path)); err != nil {
				t.Fatal(err)
			}
			l := sample()
			if there {
				if err := os.WriteFile(file, Encode(l), 0o600); err != nil {
					t.Fatal(err)
				}
				l.Epoch++
			}
			if err := Write(path, l); err != nil {
				t.Fatal(err)
			}
			if to, err := os.Readlink(path); err != nil || to != c.link {
				t.Errorf("%s: the link leads to %q, %v", c.summary, to, err)
			}
			if got, err := os.ReadFile(file); err != nil || !bytes.Equal(got, Encode(l)) {
				t.Errorf("%s: the file is not the lock: %v", c.summary, err)
			}
		}
	}
	dir := t.TempDir()
	if err := os.Symlink("ingot.lock", filepath.Join(dir, "ingot.lock")); err != nil {
		t.Fatal(err)
	}
	if err := Write(filepath.Join(dir, "ingot.lock"), sample()); err == nil {
		t.Error("a link to itself was written")
	}
}
