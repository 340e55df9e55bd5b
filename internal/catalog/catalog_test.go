package catalog_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"ingot/internal/catalog"
	"ingot/internal/digest"
	"ingot/internal/fault"
	"ingot/internal/sign"
)

var start = time.Date(2026, 11, 30, 5, 52, 30, 0, time.UTC)

// version is one of a lock with artifacts: "lock: format format".
func version(text string) catalog.Version {
	lock, formats, _ := strings.Cut(text, ": ")
	v := catalog.Version{Distro: "debian", Release: "bookworm", Epoch: 1, Lock: digest.Of([]byte(lock))}
	for f := range strings.FieldsSeq(formats) {
		v.Artifacts = append(v.Artifacts, catalog.Artifact{Format: f, Files: []catalog.File{{Name: "f." + f, Size: 3, SHA256: digest.Of([]byte(lock + f))}}})
	}
	return v
}

// text is a catalog's images as text.
func text(c catalog.Catalog) string {
	var b strings.Builder
	for _, i := range c.Images {
		fmt.Fprintf(&b, "%s %s", i.Name, i.Arch)
		for _, k := range i.Channels {
			fmt.Fprintf(&b, " %s=%s", k.Name, k.Version)
			if len(k.Past) > 0 {
				fmt.Fprintf(&b, "(%s)", strings.Join(k.Past, ","))
			}
		}
		b.WriteByte('\n')
		for _, v := range i.Versions {
			fmt.Fprintf(&b, "  %s", v.Version)
			for _, a := range v.Artifacts {
				b.WriteString(" " + a.Format)
			}
			if v.Pinned {
				b.WriteString(" pinned")
			}
			b.WriteByte('\n')
		}
	}
	for _, r := range c.Retired {
		fmt.Fprintf(&b, "retired %s\n", r.Dir)
	}
	return b.String()
}

func TestChanges(t *testing.T) {
	var c catalog.Catalog
	now := start
	add := func(name, channel, v string) catalog.Addition {
		t.Helper()
		var a catalog.Addition
		c, a = c.Add(name, "amd64", channel, version(v), now)
		return a
	}
	want := func(summary, text_ string) {
		t.Helper()
		if d := cmp.Diff(text_, text(c)); d != "" {
			t.Errorf("%s (-want +got):\n%s", summary, d)
		}
	}
	if a := add("web", "stable", "a: qcow2 lxc"); !a.New || a.Joined {
		t.Errorf("the first: %+v", a)
	}
	want("the first", "web amd64 stable=20261130_0552\n  20261130_0552 lxc qcow2\n")
	if a := add("web", "stable", "a: lxc"); a.New || a.Joined {
		t.Errorf("the same again: %+v", a)
	}
	if a := add("web", "stable", "a: incus lxc"); a.New || !a.Joined {
		t.Errorf("more of the same lock: %+v", a)
	}
	want("more of the same lock", "web amd64 stable=20261130_0552\n  20261130_0552 incus lxc qcow2\n")
	add("web", "testing", "b: lxc") // the same minute
	add("db", "stable", "c: lxc")
	now = now.Add(-24 * time.Hour) // and a clock that goes back
	add("web", "testing", "d: lxc")
	want("names grow", "db amd64 stable=20261130_0552\n  20261130_0552 lxc\n"+
		"web amd64 stable=20261130_0552 testing=20261130_0554(20261130_0553)\n  20261130_0552 incus lxc qcow2\n  20261130_0553 lxc\n  20261130_0554 lxc\n")
	before := text(c)
	promoted, moved, err := c.Promote("web", "testing", "stable")
	if err != nil || moved["amd64"] != "20261130_0554" {
		t.Fatal(moved, err)
	}
	if text(c) != before {
		t.Error("a catalog changed that another was made of")
	}
	c = promoted
	for _, k := range []struct{ name, from, err string }{
		{"webb", "testing", "there is no image webb"}, {"web", "none", "has no channel or version none"},
	} {
		if _, _, err := c.Promote(k.name, k.from, "stable"); fault.CodeOf(err) != fault.NotFound || !strings.Contains(err.Error(), k.err) {
			t.Errorf("%v: %v", k, err)
		}
	}
	now = start.Add(100 * 24 * time.Hour)
	kept, gone := c.Drop(catalog.Policy{MaxAge: 24 * time.Hour}, now)
	if len(gone) != 2 {
		t.Errorf("gone %+v", gone)
	}
	c = kept
	want("old ones go, what channels point to stays", "db amd64 stable=20261130_0552\n  20261130_0552 lxc\nweb amd64 stable=20261130_0554 testing=20261130_0554\n  20261130_0554 lxc\n"+
		"retired images/debian/bookworm/amd64/web/20261130_0552\nretired images/debian/bookworm/amd64/web/20261130_0553\n")
	// An expired one goes even from under a channel, which falls back; a pinned one stays.
	v := version("e: lxc")
	v.Expires = now.Add(time.Hour)
	c, _ = c.Add("web", "amd64", "stable", v, now)
	later := now.Add(2 * time.Hour)
	fallen, _ := c.Drop(catalog.Policy{}, later)
	if i, _ := fallen.Image("web", "amd64"); i.Channels[0].Version != "20261130_0554" {
		t.Errorf("the channel did not fall back: %s", text(fallen))
	}
	pinned, err := c.Pin("web", "stable", true)
	if err != nil {
		t.Fatal(err)
	}
	if pinned, gone = pinned.Drop(catalog.Policy{}, later); len(gone) != 0 {
		t.Errorf("a pinned one went: %+v", gone)
	}
	if unpinned, err := pinned.Pin("web", "stable", false); err != nil {
		t.Error(err)
	} else if _, gone := unpinned.Drop(catalog.Policy{Keep: 1}, later); len(gone) != 1 || !gone[0].Expired {
		t.Errorf("an unpinned one stayed: %+v", gone)
	}
}

func TestFind(t *testing.T) {
	c, _ := catalog.Catalog{}.Add("web", "amd64", "stable", version("a: lxc"), start)
	c, _ = c.Add("web", "amd64", "testing", version("b: lxc"), start)
	for _, k := range []struct {
		ask, arch, version, err string
		code                    fault.Code
	}{
		{"web", "amd64", "20261130_0552", "", 0},
		{"web@testing", "amd64", "20261130_0553", "", 0},
		{"web@20261130_0553", "amd64", "20261130_0553", "", 0},
		{"web@old", "amd64", "", "has no channel or version old", fault.NotFound},
		{"web", "arm64", "", "there is no image web for arm64", fault.NotFound},
		{"db", "amd64", "", "there is no image db", fault.NotFound},
		{"../web", "amd64", "", "not the name of an image", fault.Usage},
		{"web@", "amd64", "", "not the name of an image", fault.Usage},
		{"", "amd64", "", "not the name of an image", fault.Usage},
	} {
		choice, err := catalog.ParseChoice(k.ask, k.arch)
		var v catalog.Version
		if err == nil {
			_, v, err = c.Find(choice)
		}
		if k.err == "" {
			if err != nil || v.Version != k.version || choice.String() != k.ask {
				t.Errorf("%s: %v, %v", k.ask, v.Version, err)
			}
			continue
		}
		if fault.CodeOf(err) != k.code || !strings.Contains(err.Error(), k.err) {
			t.Errorf("%s: %v", k.ask, err)
		}
	}
}

// whole is a catalog that can be written.
func whole(t testing.TB) catalog.Catalog {
	t.Helper()
	c, _ := catalog.Catalog{}.Add("web", "amd64", "stable", version("a: lxc"), start)
	c.Type, c.Schema, c.Serial, c.Created, c.Expires, c.Valid = catalog.Type, 1, 7, start, start.Add(time.Hour), 3600
	a := &c.Images[0].Versions[0].Artifacts[0]
	a.Deltas = []catalog.Delta{{File: catalog.File{Name: "delta-20261129_0552.vcdiff", Size: 1, SHA256: digest.Of(nil)}, Base: "20261129_0552"}}
	a.Disk = &catalog.Disk{Size: 5, SHA512: strings.Repeat("0f", 64)}
	return c
}

func TestRead(t *testing.T) {
	key, err := sign.NewKey("k", start)
	if err != nil {
		t.Fatal(err)
	}
	ring, err := key.Keyring()
	if err != nil {
		t.Fatal(err)
	}
	c := whole(t)
	signed, err := c.Sign(key, start)
	if err != nil {
		t.Fatal(err)
	}
	got, _, err := catalog.Read("the index", signed, ring, start)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(c, got); d != "" {
		t.Error(d)
	}
	for _, k := range []struct {
		at  time.Time
		err string
	}{{start, ""}, {start.Add(-30 * time.Minute), ""}, {start.Add(-2 * time.Hour), "of the future"}, {start.Add(2 * time.Hour), "expired since"}} {
		err := got.Fresh(k.at)
		if (err == nil) != (k.err == "") || err != nil && (fault.CodeOf(err) != fault.Verification || !strings.Contains(err.Error(), k.err)) {
			t.Errorf("at %v: %v", k.at, err)
		}
	}
	// What a signer may not say, whoever they are.
	plain, err := c.Encode()
	if err != nil {
		t.Fatal(err)
	}
	for _, k := range []struct{ old, new, err string }{
		{`"schema":1`, `"schema":2`, "schema 2"},
		{`"serial":7`, `"serial":0`, "serial 0"},
		{`"name":"web"`, `"name":"../web"`, "is no name"},
		{`"name":"web"`, `"name":".web"`, "is no name"},
		{`"name":"web"`, `"name":"we\u0000b"`, "is no name"},
		{`"arch":"amd64"`, `"arch":"a;b"`, "is no name"},
		{`"name":"f.lxc"`, `"name":"../../etc/passwd"`, "no file's name"},
		{`"name":"f.lxc"`, `"name":".."`, "no file's name"},
		{`"size":3`, `"size":-1`, "no file's name"},
		{`"size":3`, `"size":1125899906842625`, "no file's name"},
		{`"release":"bookworm"`, `"release":"a/b"`, "is no name"},
		{`"version":"20261130_0552"`, `"version":"20261130_0553"`, "points to no version"},
		{`"images":[`, `"images":[{},`, "an image without a version"},
		{`"type":"ingot-catalog"`, `"type":"ingot-key-rotation"`, "of the type"},
		{`"type":"ingot-catalog",`, ``, "of the type"},
		{`"serial":7`, `"serial":7,"serial":8`, "there twice"},
		{`"serial":7`, `"serial":7.0`, "no whole number"},
		{`"serial":7`, `"serial":07`, "no whole number"},
		{`"serial":7`, `"serial":7,"x":` + strings.Repeat("[", 100), "within each other"},
		{`"serial":7`, `"serial":7,"x":1-1`, "no value"},
		{`"serial":7`, "\"serial\":7,\"x\":\"\n\"", "control character"},
		{"}\n", "} {}", "something follows"},
		{`"base":"20261129_0552"`, `"base":"../x"`, "a delta from version"},
		{`"sha512":"0`, `"sha512":"\n`, "SHA-512"},
		{`"name":"delta-`, `"name":"../delta-`, "no file's name"},
		{`"serial":7`, `"serial":"x"`, "unreadable"},
	} {
		s := strings.Replace(string(plain), k.old, k.new, 1)
		if k.old == "}\n" {
			s = strings.TrimSuffix(string(plain), "\n") + " {}"
		}
		if _, err := catalog.Decode([]byte(s)); err == nil || !strings.Contains(err.Error(), k.err) {
			t.Errorf("%s: %v", k.new, err)
		}
	}
}

// TestDecode: what another JSON writer makes of a catalog is the same catalog.
func TestDecode(t *testing.T) {
	c := whole(t)
	plain, err := c.Encode()
	if err != nil {
		t.Fatal(err)
	}
	var loose map[string]any
	if err := json.Unmarshal(plain, &loose); err != nil {
		t.Fatal(err)
	}
	loose["later"] = map[string]any{"a": []any{1.5e-3, nil, true, "\"\\"}, "b": map[string]any{}}
	loose["images"].([]any)[0].(map[string]any)["also"] = []int{}
	indented, err := json.MarshalIndent(loose, " ", "\t")
	if err != nil {
		t.Fatal(err)
	}
	escaped := strings.ReplaceAll(string(indented), "stable", `st\u0061ble`)
	got, err := catalog.Decode([]byte(escaped))
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(c, got); d != "" {
		t.Error(d)
	}
	for n := range plain[:len(plain)-2] {
		if _, err := catalog.Decode(plain[:n]); err == nil {
			t.Errorf("cut at %d it is taken", n)
		}
	}
}

// TestKinds: what a key has signed as something else is no catalog.
func TestKinds(t *testing.T) {
	key, err := sign.NewKey("k", start)
	if err != nil {
		t.Fatal(err)
	}
	ring, err := key.Keyring()
	if err != nil {
		t.Fatal(err)
	}
	refused := func(what string, err error) {
		t.Helper()
		if fault.CodeOf(err) != fault.Verification {
			t.Errorf("%s: %v", what, err)
		}
	}
	rotation, err := catalog.Rotate("", key, key, start)
	if err != nil {
		t.Fatal(err)
	}
	_, _, err = catalog.Read("f", []byte(rotation), ring, start)
	refused("a change of keys as a catalog", err)
	signed, err := whole(t).Sign(key, start)
	if err != nil {
		t.Fatal(err)
	}
	_, err = catalog.Rotated("", signed, ring, start)
	refused("a catalog as a change of keys", err)
	// A file that somebody has had signed, with the bytes that a clear-signed text is hashed as.
	text, err := whole(t).Encode()
	if err != nil {
		t.Fatal(err)
	}
	file := strings.ReplaceAll(strings.TrimSuffix(string(text), "\n"), "\n", "\r\n")
	asc, err := key.Detach(strings.NewReader(file), start)
	if err != nil {
		t.Fatal(err)
	}
	forged := "-----BEGIN PGP SIGNED MESSAGE-----\nHash: SHA512\n\n" + string(text) + string(asc)
	if m, err := ring.Clearsigned("f", []byte(forged), start); err != nil || m.Signers[0].Text {
		t.Fatalf("the forgery is none: %+v %v", m.Signers, err)
	}
	_, _, err = catalog.Read("f", []byte(forged), ring, start)
	refused("a file as a catalog", err)
}

// TestMarshal: lines are short where values are, and a reader finds the same.
func TestMarshal(t *testing.T) {
	odd := []string{`a"b`, `back\`, `\",`, strings.Repeat(`,"`, 300), "", "ü,\n"}
	v := map[string]any{"a": append(odd, odd...), "b": make([]int, 5000)}
	data, err := catalog.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(data)) {
		if len(line) > 160+1300 {
			t.Errorf("a line of %d bytes", len(line))
		}
	}
	var got struct {
		A []string
		B []int
	}
	if err := json.Unmarshal(data, &got); err != nil || len(got.B) != 5000 || !slices.Equal(got.A, append(odd, odd...)) {
		t.Errorf("%q, %v", got.A, err)
	}
}

func TestRotate(t *testing.T) {
	a, err := sign.NewKey("a", start)
	if err != nil {
		t.Fatal(err)
	}
	b, err := sign.NewKey("b", start)
	if err != nil {
		t.Fatal(err)
	}
	document, err := catalog.Rotate("t", a, b, start)
	if err != nil {
		t.Fatal(err)
	}
	if got := catalog.RotatedFrom(document); got != a.Fingerprint() {
		t.Errorf("from %q", got)
	}
	old, err := a.Keyring()
	if err != nil {
		t.Fatal(err)
	}
	next, err := catalog.Rotated("t", []byte(document), old, start)
	if err != nil || next.Fingerprints()[0] != b.Fingerprint() {
		t.Errorf("%v, %v", next, err)
	}
	for summary, bad := range map[string]string{
		"by another key": mustRotate(t, b, a), "changed": strings.Replace(document, a.Fingerprint(), b.Fingerprint(), 1), "nothing": "",
	} {
		if _, err := catalog.Rotated("t", []byte(bad), old, start); fault.CodeOf(err) != fault.Verification {
			t.Errorf("%s: %v", summary, err)
		}
	}
}

func mustRotate(t *testing.T, a, b *sign.Key) string {
	t.Helper()
	d, err := catalog.Rotate("t", a, b, start)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// FuzzDecode: what is decoded can be written and is the same then, and no text crashes it.
func FuzzDecode(f *testing.F) {
	plain, err := whole(f).Encode()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(plain)
	f.Add([]byte(`{"type":"ingot-catalog","schema":1,"serial":1,"images":[]}`))
	f.Add([]byte(`{"type":"ingot-catalog","schema":1,"serial":1,"retired":[{"dir":"images/a"}]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		if len(data) > 1<<16 {
			return
		}
		c, err := catalog.Decode(data)
		if err != nil {
			return
		}
		again, err := c.Encode()
		if err != nil {
			t.Fatal(err)
		}
		d, err := catalog.Decode(again)
		if err != nil {
			t.Fatal(err)
		}
		if text(c) != text(d) {
			t.Errorf("%s\nis\n%s", text(c), text(d))
		}
		_ = catalog.RotatedFrom(string(data))
	})
}
