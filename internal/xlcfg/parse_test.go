package xlcfg

import (
	"encoding/json"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"ingot/internal/fault"
)

// vectors are configurations and what libxlutil made of them.
type vectors struct {
	Cfg []struct {
		In     string
		OK     bool
		Values map[string]json.RawMessage
	}
}

// TestVectors reads what libxlutil read: the file that INGOT_XLCFG_VECTORS names, else the
// one that is kept here.
func TestVectors(t *testing.T) {
	name := os.Getenv("INGOT_XLCFG_VECTORS")
	if name == "" {
		name = "testdata/xlcfg.json"
	}
	data, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	var v vectors
	if err := json.Unmarshal(data, &v); err != nil {
		t.Fatal(err)
	}
	if len(v.Cfg) == 0 {
		t.Fatal("no vectors")
	}
	for _, c := range v.Cfg {
		got, err := Parse("cfg", []byte(c.In))
		if (err == nil) != c.OK {
			t.Errorf("%q: libxlutil says ok=%v, and here it is %v", c.In, c.OK, err)
			continue
		}
		if err != nil {
			continue
		}
		if len(got.Keys()) != len(c.Values) {
			t.Errorf("%q: keys %q, and libxlutil has %d", c.In, got.Keys(), len(c.Values))
		}
		for key, raw := range c.Values {
			value, ok := got.Get(key)
			if !ok {
				t.Errorf("%q: no key %s", c.In, key)
				continue
			}
			want, have := plain(t, raw), plain(t, asVector(t, value))
			if diff := cmp.Diff(want, have); diff != "" {
				t.Errorf("%q: %s (-libxlutil +ingot):\n%s", c.In, key, diff)
			}
		}
	}
}

func plain(t *testing.T, raw []byte) any {
	t.Helper()
	var v any
	if err := json.Unmarshal(raw, &v); err != nil {
		t.Fatal(err)
	}
	return v
}

// asVector is a value as the vectors have it.
func asVector(t *testing.T, v Value) []byte {
	t.Helper()
	var out any
	if v.IsList {
		items := []any{}
		for _, i := range v.List {
			if i.IsList {
				items = append(items, nil)
			} else {
				items = append(items, i.Text)
			}
		}
		out = items
	} else {
		m := map[string]any{"string": v.Text, "long": nil}
		if n, ok := v.Int(); ok {
			m["long"] = n
		}
		out = m
	}
	data, err := json.Marshal(out)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func TestMessages(t *testing.T) {
	for _, c := range []struct{ in, want, hint string }{
		{"a = 1\nb = True\n", `vm.cfg:2: unexpected "True"`, "lower case"},
		{"a = -1\n", `vm.cfg:1: unexpected "-1"`, "without a sign"},
		{"a = u'x'\n", `vm.cfg:1: "u" where a text, a number or a list belongs`, "Python"},
		{"a = 'x\n", `vm.cfg:1: a text that its line does not end: unexpected "'x"`, `\n`},
		{"a = [1,\n2\n", "vm.cfg:1: a list that nothing ends", "]"},
		{"a = 'x'\na += [1]\n", "vm.cfg:2: a is a list in one place and a text in another", "lists to lists"},
		{"a = 1\r\n", "vm.cfg:1: a carriage return", "dos2unix"},
		{"# x", "vm.cfg:1: a comment without an end of its line", "end the last line"},
		{"a = 'x\x00'\n", "vm.cfg:1: a NUL byte: not a text", ""},
		{"a = '\\x41'\n", `vm.cfg:1: \x in a text means nothing to Xen`, "character itself"},
		{"a = " + strings.Repeat("[", 100), "vm.cfg:1: more than 64 lists in lists", ""},
		{"a = 1 b\n", `vm.cfg:1: "b" where the end of the line belongs`, ""},
		{strings.Repeat("#", MaxSize+1), "vm.cfg: 1048577 bytes, and a guest's configuration has at most 1048576", ""},
	} {
		_, err := Parse("vm.cfg", []byte(c.in))
		if err == nil || err.Error() != c.want || !strings.Contains(fault.HintOf(err), c.hint) || fault.CodeOf(err) != fault.Definition {
			t.Errorf("%.40q: %v (%q, %d), want %s", c.in, err, fault.HintOf(err), fault.CodeOf(err), c.want)
		}
	}
}

func TestWarnings(t *testing.T) {
	c, err := Parse("vm.cfg", []byte("a='x\\101y'\n"))
	if err != nil || c.Text("a") != "xy" || len(c.Warnings) != 1 || !strings.Contains(c.Warnings[0], `1: Xen's reader drops \101`) {
		t.Errorf("%v %v", c, err)
	}
	c, err = Parse("vm.cfg", []byte("a=1\n#"))
	if err != nil || len(c.Warnings) != 1 || !strings.Contains(c.Warnings[0], "2: Xen's reader passes over '#'") {
		t.Errorf("%v %v", c, err)
	}
}

// FuzzParse holds that what is read can be written and is then read the same.
func FuzzParse(f *testing.F) {
	for _, s := range []string{"a=1\n", "a=['x',[1]]\nb+='\\n'\n", "#\n;;a='\\101'", "a=[\n1 #\n,]\n"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		c, err := Parse("f", data)
		if err != nil {
			return
		}
		out, err := c.Write()
		if err != nil {
			t.Fatal(err)
		}
		again, err := Parse("f", []byte(out))
		if err != nil {
			t.Fatalf("%q: %v", out, err)
		}
		c.Warnings = nil
		if diff := cmp.Diff(c, again, cmp.AllowUnexported(Config{}), cmpopts.IgnoreUnexported(Value{})); diff != "" {
			t.Fatal(diff)
		}
	})
}
