package pyconf

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var updating = flag.Bool("update", false, "record anew what Python 2.7 makes of the programs")

// programs are what Python 2.7 and this package must make the same of.
var programs = []string{
	"a = 1\nb = 'x'\nc = [1, 'y', [2]]\nd = {'k': 1}\ne = 1.5\n",
	"a = 0755\nb = 0x1f\nc = 0o17\nd = -5\n", "a = 'x' 'y'\nb = ('p'\n  'q' \"r\")\n", "a = u'x'\nb = ur'\\d'\nc = r'\\n'\nd = '\\d'\n", "a = '''x\ny'''\nb = \"\"\"it's\"\"\"\n",
	"a = b = 1\nc = d = e = 'x'\n", "a = 7/2\nb = -7/2\nc = 7.0/2\nd = 7//2\ne = -7 % 3\n", "a = 7\na /= 2\nb = 'x'\nb += 'y'\nc = [1]\nd = c\nc += [2]\n",
	"a = '%05d|%-5s|%.2f|%5s|%x|%X|%#x|%o|%e|%g|%%' % (42, 'ab', 3.14159, 'r', 255, 255, 255, 8, 1234.5, 0.0001)\n", "a = '%(n)s-%(m)03d' % {'n': 'x', 'm': 7}\n", "a = '%s' % 'x'\nb = '%s %s' % ('x', [1, 'y'])\nc = '%r' % 'it'\nd = '%c' % 65\n",
	"a = '%+d % d %5.1f|%-6d|%06.2f' % (1, 2, 3.14, 4, -5.5)\n", "a = '%*d' % (5, 42)\n", "a = 2**3\nb = -2**2\nc = 2**3**2\nd = (1+1)**2\ne = 10**len('ab')\n",
	"x = None\na = 'n'\nif x is None: a = 'y'\nif a is not None:\n    b = 1\n", "a = 'n'\nif 1 < 2 < 3: a = 'y'\nif 1 < 3 > 2 and 1 <= 1 < 2: b = 'y'\n", "a = [x for x in range(5) if 1 < x < 4]\n",
	"import os, re\na = os.uname()[4]\narch_libdir = 'lib'\nif re.search('64', os.uname()[4]): arch_libdir = 'lib64'\ndevice_model = '/usr/' + arch_libdir + '/xen/bin/qemu-dm'\n",
	"import os.path\na = os.path.join('/x', 'y', '/z', 'w')\nb = os.path.basename('/a/b/')\nc = os.path.dirname('/a/b')\nd = os.path.splitext('/a.b/c.tar.gz')[1]\ne = os.path.dirname('//a')\n",
	"from os.path import join\nfrom re import sub as s\na = join('x', 'y')\nb = s('a+', r'<\\g<0>>', 'caat')\n", "import re\nm = re.match('(\\w+)-(?P<n>\\d+)', 'vm-12 x')\na = m.group(1)\nb = m.group('n')\nc = int(m.group(2)) * 1024\n",
	"import string\na = string.upper('x')\nb = string.split('a b')\n", "a = ','.join(['x', 'y'])\nb = 'a b'.split()\nc = 'X'.lower()\nd = 'abc'[1:]\ne = 'abc'[::-1]\nf = [1,2,3][-2:]\ng = 'a,b'.split(',')[0]\n",
	"def f(x, y=2):\n    return x * y\na = f(3)\nb = f(3, y=4)\n", "a = []\nfor i in range(3):\n    a.append('disk%d' % i)\n", "i = 0\nwhile i < 5:\n    i += 1\n", "f = lambda x: x + 1\na = f(1)\n",
	"a = 1 if True else 2\nb = 'x' in 'xyz'\nc = 3 if not b else 4\n", "a = str(1) + str(1.5) + str([1, 'x']) + str({'k': 1}) + repr('it')\n", "a = str(0.1)\nb = repr(0.1)\nc = str(1e16)\nd = repr(1e16)\ne = str(123456789.123456789)\nf = repr(1.0)\n",
	"a = True\nb = None\nc = (1, 2)\nd = 5\n", "a = 1L\nb = 0777L\nc = 3\n", "a = [3, 1, 2]\na.sort()\nb = a[0]\na.reverse()\n", "d = {'a': 1}\nb = d.has_key('a') and 'y' or 'n'\nc = d.get('z', 'none')\n", "a = map(lambda x: x * 2, [1, 2])\nb = filter(lambda x: x > 1, [1, 2])\nc = sum([1, 2, 3])\n",
	"a = isinstance('x', str) and 'y' or 'n'\nb = isinstance(1, (str, int)) and 'y' or 'n'\n", "print 'hello', 1\nprint('x')\nprint\na = 1\n", "a = 1; b = 2;\nif a == 1: c = 3; d = 4\n", "a = \\\n  5\nb = [1,\n # comment\n 2]\n", "# -*- coding: utf-8 -*-\r\na = 'x'\r\nb = 2\r\n",
	"vif = ['mac=00:16:3e:00:00:01, bridge=xenbr0']\ndisk = ['file:/vm_disks/$VM_NAME.disk.xm,hda,w']\nmemory = 256\n", "a = '$1$9qAFryp3$XmvqcFN/CJG4AC7jgyVE8'\nb = '`id`'\nc = 'say \"hi\" it\\'s'\nd = '$(reboot)'\n", "a = '\\x41\\101\\0601\\q\\''\n", "a = '{} {0} {n}'\nb = '{0}-{n}'.format('x', n=1)\nc = '{}{}'.format('a', 'b')\nd = '{{}}'.format()\n",
	"a = u'\\u00e9'\nb = 'é'\n", "a = 'x' * 3\nb = [0] * 2\nc = 3 * 'y'\n", "a = 1 + 2 * 3 - 4\nb = (1 + 2) * 3\nc = 1 << 4 | 1\nd = ~5 & 7 ^ 2\n", "a = [i for i in range(3)]\nb = dict([('x', 1)])\nc = {'a': [1, {'b': 2}]}\n", "a = '5' + 'MB'\nb = int('12') + int(3.7)\nc = float('1.5')\nd = len('abc')\ne = max(1, 2)\nf = min([3, 2])\n",
	"a = 1 == 1.0 and 'y' or 'n'\nb = not 1 and 'y' or 'n'\n", "a = 'abc'.replace('b', 'x').upper().startswith('AX') and 1 or 0\n", "a = 10\nif a > 5:\n    b = 'big'\nelif a > 2:\n    b = 'mid'\nelse:\n    b = 'small'\n", "if True:\n\ta = 1\n\tif a:\n\t\tb = 2\n", "a = round(2.5)\nb = round(-2.5)\nc = abs(-3)\n", "disk = [ 'phy:/dev/cdrom,hdc:cdrom,r' , ]\nextra = 'root=/dev/xvda1 ro ' + \\\n 'console=hvc0'\n",
	"kernel_src=\nswap_disk\n", "a = undefined\n", "a = 'x\n", "a = [1\n", "  a = 1\nb = 2\n", "a = 1 +\n", "a = 08\n", "a = 'x' + 1\n", "a = {}['x']\n", "a = '%d' % 'x'\n", "a = '%s %s' % 'x'\n", "a = [1][5]\n", "a = 'x'.nope()\n", "a = int('x')\n", "a = 1/0\n",
}

// TestLikePython holds evaluations against what Python 2.7 made of the same programs.
func TestLikePython(t *testing.T) {
	const record = "testdata/python2.json"
	if python, err := exec.LookPath(or(os.Getenv("INGOT_PYTHON2"), "python2.7")); *updating {
		if err != nil {
			t.Fatalf("only Python 2.7 can say: %v", err)
		}
		in, err := json.Marshal(programs)
		if err != nil {
			t.Fatal(err)
		}
		cmd := exec.CommandContext(t.Context(), python, "testdata/record.py")
		cmd.Stdin, cmd.Stderr = bytes.NewReader(in), os.Stderr
		out, err := cmd.Output()
		if err != nil {
			t.Fatal(err)
		}
		var list []json.RawMessage
		if err := json.Unmarshal(out, &list); err != nil {
			t.Fatal(err)
		}
		kept := map[string]json.RawMessage{}
		for i, p := range programs {
			kept[p] = list[i]
		}
		data, err := json.MarshalIndent(kept, "", " ")
		if err == nil {
			err = os.WriteFile(record, append(data, '\n'), 0o644) //nolint:gosec // a file of the repository
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	data, err := os.ReadFile(record)
	if err != nil {
		t.Fatal(err)
	}
	var recorded map[string]map[string]any
	if err := json.Unmarshal(data, &recorded); err != nil {
		t.Fatal(err)
	}
	for _, p := range programs {
		want, ok := recorded[p]
		if !ok {
			t.Errorf("%q was not recorded", p)
			continue
		}
		f, err := Eval([]byte(p), Options{Name: "c"})
		if (err == nil) != (want != nil) {
			t.Errorf("%q: Python says %v, and here it is %v", p, want, err)
			continue
		}
		if err != nil {
			continue
		}
		for name := range want { // what a list's "for" leaves behind is an accident of Python 2
			if strings.Contains(p, "= [") && strings.Contains(p, " for "+name+" in range") && f.Get(name) == nil {
				delete(want, name)
			}
		}
		got := map[string]any{}
		for _, v := range f.Vars {
			if _, ok := v.Value.(bool); ok {
				continue // which ConVirt drops
			}
			if n, ok := v.Value.(int64); ok && want[v.Name] == nil && n > 0 && strings.Contains(p, "L\n") {
				continue // a long, too
			}
			got[v.Name] = v.Value
		}
		if diff := cmp.Diff(want, asJSON(t, got)); diff != "" {
			t.Errorf("%q (-python +ingot):\n%s", p, diff)
		}
	}
}

func or(a, b string) string {
	if a != "" {
		return a
	}
	return b
}

func asJSON(t *testing.T, v any) map[string]any {
	t.Helper()
	data, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	var out map[string]any
	if err := json.Unmarshal(data, &out); err != nil {
		t.Fatal(err)
	}
	return out
}
