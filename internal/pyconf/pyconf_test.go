package pyconf

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"ingot/internal/fault"
	"ingot/internal/judge"
)

func TestRefused(t *testing.T) {
	for _, c := range []struct{ in, want, hint string }{
		{"a = 1\nimport subprocess\n", "c:2: there is no module subprocess here", "os, os.path, re"},
		{"import os\nos.system('id')\n", "c:2: os.system is not there", "uname"},
		{"import os\na = os.environ['HOME']\n", "c:2: os.environ is not there", ""},
		{"import os.path\na = os.path.exists('/etc')\n", "c:2: os.path.exists is not there", ""},
		{"a = open('/etc/passwd').read()\n", "c:1: undefined: open", "nothing that reads"},
		{"a = eval('1')\n", "c:1: undefined: eval", ""},
		{"a = __import__('os')\n", "c:1: undefined: __import__", ""},
		{"try:\n    a = 1\nexcept:\n    a = 2\n", "c:1: try is not read", ""},
		{"class A: pass\n", "c:1: class is not read", ""},
		{"exec 'a = 1'\n", "c:1: exec is not read", "not run"},
		{"a = `1`\n", "c:1: a backtick is not read", "repr"},
		{"a = 1 <> 2\n", "c:1: <> is not read", "!="},
		{"a = f'{b}'\n", "c:1: f in front of a text", "%"},
		{"\n\na = {1, 2}\n", "c:3: ", ""},
		{"a = sum(x for x in [1])\n", "c:1: ", ""},
		{"def f(n):\n    return f(n)\na = f(1)\n", "c:2: function f called recursively", ""},
		{"while True: pass\n", "c:1: it does not come to an end", ""},
		{"a = 'x' * 10000000000\n", "c:1: it is repeated too often", ""},
		{"a = 'x'\nfor i in range(60): a = a + a\n", "c:2: a text of 2097152 bytes", ""},
		{"a = []\nfor i in range(60):\n  a.append(1)\n  a.extend(a)\n", "c:4: a list of more than 100000 items", ""},
		{"a = [1]\nfor i in range(60): a += a\n", "c:2: a list of 131072 items", ""},
		{"a = ('y' * 1000000).replace('y', 'x' * 1000000)\n", "c:1: a text of more than", ""},
		{"a = ('x' * 1000000).join(['y'] * 1000)\n", "c:1: a text of more than", ""},
		{"a = getattr('y', 'replace')('y', 'x')\n", "c:1: getattr is not there", ""},
		{"f = 'x'.replace\n", "c:1: a string has no replace that is not called", ""},
		{"l = [1]\nfor i in range(60): l = [l, l]\na = str(l)\n", "c:3: ", ""},
		{"a = 3\nfor i in range(60): a = a * a\n", "c:2: a number of too many digits", ""},
		{"a = 9 ** 99999\n", "c:1: a power of too many digits", ""},
		{"a = '%999999999d' % 1\n", "c:1: a width of more than 1000", ""},
		{"a = range(1000000000)\n", "c:1: a list of more than 100000 items", ""},
		{"b = ['x'] * 1000\na = [b[:] for i in range(10000)]\n", "c:2: it makes more than a configuration may hold", ""},
		{"a = " + strings.Repeat("(", 100) + "\n", "c:1: more than 32 brackets", ""},
		{"a = '{:>5}'.format('x')\n", "c:1: {:>5} is not read", "%"},
		{"a = 1j\n", "c:1: the complex number", ""},
		{"load('x', 'y')\n", "c:1: load is not read", ""},
		{strings.Repeat("#", MaxSize+1), "c: 262145 bytes", ""},
		{"_binary_()\n", "c:1: the name _binary_", ""},
		{"a = '\\xff'\n", "c:1: a text that is not UTF-8", ""},
		{"a = 1\nb = \xff\n", "c:1: not a text in UTF-8", "iconv"},
	} {
		began := time.Now()
		_, err := Eval([]byte(c.in), Options{Name: "c"})
		if err == nil || !strings.HasPrefix(err.Error(), c.want) || !strings.Contains(fault.HintOf(err), c.hint) || fault.CodeOf(err) != fault.Definition {
			t.Errorf("%.60q: %v (%q), want %s", c.in, err, fault.HintOf(err), c.want)
		}
		if took := time.Since(began); took > 20*time.Second {
			t.Errorf("%.60q took %v to be refused", c.in, took)
		}
	}
}

// TestSet holds what a key that is given does: it takes the place of what the file says, and
// what is computed from it follows.
func TestSet(t *testing.T) {
	const src = "memory = 256\nmaxmem = memory * 2\narch = 'x' + 'y'\nif memory > 500:\n    big = 'yes'\nbuild = '1'\nbuild += '2'\n"
	f, err := Eval([]byte(src), Options{Name: "c", Set: map[string]any{"memory": int64(512), "arch": "mine", "new": "$(id)", "build": "9"}, Keep: []string{"arch"}})
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, v := range f.Vars {
		got = append(got, fmt.Sprintf("%s=%v literal=%v line=%d %s", v.Name, v.Value, v.Literal, v.Line, v.Source))
	}
	want := []string{
		"memory=512 literal=true line=1 256", "maxmem=1024 literal=false line=2 memory * 2", "arch=xy literal=false line=3 'x' + 'y'", "big=yes literal=false line=5 'yes'",
		"build=9 literal=true line=6 '1'", "new=$(id) literal=true line=0 ",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestNotes(t *testing.T) {
	f, err := Eval([]byte("a = True\nb = (1, 2)\nc = None\nd = 1 << 80\nimport os\nx = os\n"), Options{Name: "c"})
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"c:1: a is true; ConVirt drops True and False, and here they stay", "c:2: b is a tuple, which no configuration can have: it is left out", "c:4: d is a number of more than 64 bits, which no configuration can have: it is left out"}
	if diff := cmp.Diff(want, f.Notes); diff != "" || f.Get("a") != true || len(f.Vars) != 1 {
		t.Errorf("%v\n%s", f.Vars, diff)
	}
}

func TestMachine(t *testing.T) {
	f, err := Eval([]byte("import os\na = os.uname()[1] + os.uname()[4]\n"), Options{Name: "c", Machine: Machine{Node: "n", Arch: "i686"}})
	if err != nil || f.Text("a") != "ni686" {
		t.Errorf("%v %v", f, err)
	}
}

func TestExpression(t *testing.T) {
	known := map[string]any{"memory": int64(512), "role": "db", "keys": []any{"a"}}
	for _, c := range []struct {
		in   string
		want any
	}{{"memory * 2", int64(1024)}, {"role == 'db' and memory > 256", true}, {"'%s-%02d' % (role, 3)", "db-03"}, {"keys + ['b']", []any{"a", "b"}}, {"None", nil}} {
		if got, err := Expression(c.in, known); err != nil || !cmp.Equal(got, c.want) {
			t.Errorf("%s: %v %v", c.in, got, err)
		}
	}
	if _, err := Expression("nope + 1", known); err == nil || !strings.Contains(err.Error(), "undefined: nope") {
		t.Error(err)
	}
}

// corpus is what must survive everywhere.
var corpus = []string{"it's", `say "hi"`, "$(reboot)", "`id`", "${HOME}", "a\nb", `\`, `\n`, "$1$9qAFryp3$XmvqcFN/CJG4AC7jgyVE8", "é", "\x01\x7f", "%s", "a;b", "\r\n\t", "# x", ""}

// TestWrite reads back what is written, here and by Python 3.
func TestWrite(t *testing.T) {
	var vars []Var
	for i, s := range corpus {
		vars = append(vars, Var{Name: fmt.Sprintf("a%d", i), Value: s}, Var{Name: fmt.Sprintf("b%d", i), Value: []any{s, int64(-3), 1.5, true, []any{s}, map[string]any{s: s}}})
	}
	text, err := WriteVars(vars)
	if err != nil {
		t.Fatal(err)
	}
	f, err := Eval([]byte(text), Options{Name: "c"})
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range vars {
		if diff := cmp.Diff(v.Value, f.Get(v.Name)); diff != "" {
			t.Errorf("%s: %s", v.Name, diff)
		}
	}
	python := judge.Path(t, "python3")
	const check = `import sys, ast
for line in sys.stdin.read().split('\n')[:-1]:
    k, v = line.split(' = ', 1)
    ast.literal_eval(v)
`
	cmd := exec.CommandContext(t.Context(), python, "-c", check)
	cmd.Env = []string{"PYTHONUTF8=1", "PATH=/usr/bin:/bin"}
	if tree := os.Getenv("INGOT_JUDGES"); tree != "" && strings.HasPrefix(python, tree) {
		cmd.Env = append(cmd.Env, "PYTHONHOME="+tree+"/usr") // a tree is not where Python was built for
	}
	cmd.Stdin = strings.NewReader(text)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("Python 3 does not read it: %v %s", err, out)
	}
}

func TestWriteAnyText(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := strings.ReplaceAll(rapid.String().Draw(t, "s"), "\x00", "")
		f, err := Eval([]byte("a = "+Quote(s)+"\n"), Options{Name: "c"})
		if err != nil || f.Text("a") != s {
			t.Fatalf("%q: %v %v", s, f, err)
		}
	})
}

func FuzzEval(f *testing.F) {
	for _, p := range programs {
		f.Add([]byte(p))
	}
	f.Fuzz(func(t *testing.T, src []byte) {
		got, err := Eval(src, Options{Name: "c", Set: map[string]any{"a": "x"}})
		if err != nil {
			return
		}
		text, err := WriteVars(got.Vars)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := Eval([]byte(text), Options{Name: "w"}); err != nil {
			t.Fatalf("%q: %v", text, err)
		}
	})
}
