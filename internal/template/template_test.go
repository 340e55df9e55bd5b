package template

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"ingot/internal/fault"
)

func n(v int64) *int64 { return &v }

const key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl me"

var web = &Template{Name: "web", Inputs: []Input{
	{Name: "memory", Kind: Size, Default: int64(512 << 20), Min: n(128 << 20), Max: n(64 << 30)},
	{Name: "role", Kind: Enum, Values: []string{"web", "db"}, Default: "web"},
	{Name: "shared-buffers", Kind: Size, Compute: "memory // 4", When: "role == 'db'"},
	{Name: "tls", Kind: Boolean, Default: true},
	{Name: "port", Kind: Integer, Compute: "443 if tls else 80"},
	{Name: "admin", Kind: SSHKey},
	{Name: "password", Kind: Password, Optional: true, Min: n(8)},
	{Name: "network", Kind: Network, Default: "dhcp"},
	{Name: "sites", Kind: List, Items: String, Pattern: "[a-z.]+", Default: []any{}, Max: n(3)},
	{Name: "load", Kind: Number, Default: 1.5},
	{Name: "region", Kind: String, Default: "eu", ReadOnly: true},
	{Name: "replicas", Kind: Integer, When: "role == 'db'", Default: int64(2), Min: n(1)},
}}

func TestAnswer(t *testing.T) {
	a, err := web.Answer(map[string]any{"admin": key, "role": "db", "tls": "no", "password": "long enough", "network": " 192.0.2.5/24  gateway 192.0.2.1 dns 192.0.2.53,192.0.2.54", "sites": "a.example,b.example"})
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]any{
		"memory": int64(512 << 20), "role": "db", "shared-buffers": int64(128 << 20), "tls": false, "port": int64(80), "admin": key, "password": "long enough",
		"network": "192.0.2.5/24 gateway 192.0.2.1 dns 192.0.2.53,192.0.2.54", "sites": []any{"a.example", "b.example"}, "load": 1.5, "region": "eu", "replicas": int64(2),
	}
	if diff := cmp.Diff(want, a.Values); diff != "" {
		t.Error(diff)
	}
	if !cmp.Equal(a.Secret, []string{"password"}) {
		t.Error(a.Secret)
	}
	a, err = web.Answer(map[string]any{"admin": key})
	if err != nil {
		t.Fatal(err)
	}
	for _, absent := range []string{"shared-buffers", "replicas", "password"} {
		if v, ok := a.Values[absent]; ok {
			t.Errorf("%s is %v", absent, v)
		}
	}
}

// TestAnswerRefuses says everything that is wrong, and shows no secret.
func TestAnswerRefuses(t *testing.T) {
	for _, c := range []struct {
		name string
		v    any
		want string
	}{
		{"memroy", "1GiB", `there is no input "memroy"; did you mean "memory"?`}, {"memory", "64MiB", "64MiB is less than 128MiB"}, {"memory", "1TiB", "1TiB is more than 64GiB"}, {"memory", "lots", `"lots" is not a size`}, {"memory", "-1", "is not a size"},
		{"memory", "99999999999999999GiB", "too large"}, {"role", "bd", `did you mean "db"?`}, {"tls", "perhaps", "neither yes nor no"}, {"port", "80", "not for whoever provisions to change"}, {"region", "us", "not for whoever provisions to change"},
		{"admin", "ssh-rsa nonsense", "not a public key"}, {"admin", "-----BEGIN OPENSSH PRIVATE KEY-----", "this is a private key"}, {"admin", `command="id" ` + key, "options in front"}, {"admin", key + "\n" + key, "one line"},
		{"password", "short", "5 characters is less than 8 characters"}, {"password", "two\nlines", "one line"}, {"network", "192.0.2.5", "neither dhcp nor an address"}, {"network", "192.0.2.5/24 gateway 198.51.100.1", "is not in the network"}, {"network", "dhcp now", "behind dhcp"},
		{"sites", "UPPER", `value 1: "UPPER" does not match`}, {"sites", "a,b,c,d", "4 values is more than 3 values"}, {"replicas", "3", "asked for only when role == 'db'"}, {"load", "nan", "not a number"}, {"role", "a\x00", "without a NUL"},
		{"role", []any{"web"}, "a text belongs here, not a list"}, {"role", strings.Repeat("x", 70000), "70000 bytes are more"},
	} {
		given := map[string]any{"admin": key}
		given[c.name] = c.v
		_, err := web.Answer(given)
		if err == nil || !strings.Contains(err.Error(), c.want) || fault.CodeOf(err) != fault.Usage {
			t.Errorf("%s=%v: %v, want %s", c.name, c.v, err, c.want)
		}
		if err != nil && c.name == "password" && strings.Contains(err.Error(), c.v.(string)) {
			t.Errorf("a password is in %v", err)
		}
	}
	_, err := web.Answer(map[string]any{"memory": "1", "rol": "x"})
	for _, want := range []string{`no input "rol"`, "memory: 1B is less than", "admin: a value is needed (public SSH key)"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v does not say %s", err, want)
		}
	}
}

func TestReadValues(t *testing.T) {
	got, err := ReadValues("v", []byte("memory: 1GiB\nport: 010\ntls: no\nsites: [a.b, 'c, d']\npassword: '$(id) \"x\"'\ntext: |\n  a\n  b\n"))
	want := map[string]any{"memory": "1GiB", "port": "010", "tls": "no", "sites": []any{"a.b", "c, d"}, "password": `$(id) "x"`, "text": "a\nb\n"}
	if err != nil || !cmp.Equal(got, want) {
		t.Errorf("%v %s", err, cmp.Diff(want, got))
	}
	for in, want := range map[string]string{"- a\n": "v:1: values are names", "a: 1\na: 2\n": "v:2: a is said twice", "a: {b: 1}\n": "v:1: a is a value or a list", "a: [": "not YAML", "a: [[1]]\n": "holds values"} {
		if _, err := ReadValues("v", []byte(in)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %s", in, err, want)
		}
	}
	if got, err := ReadValues("v", nil); err != nil || len(got) != 0 {
		t.Errorf("%v %v", got, err)
	}
}

func TestSetValue(t *testing.T) {
	got := map[string]any{}
	for _, arg := range []string{"a=x=y", "b=", "l+=1,2", "l+=3"} {
		if err := SetValue(got, arg); err != nil {
			t.Error(err)
		}
	}
	if want := map[string]any{"a": "x=y", "b": "", "l": []any{"1,2", "3"}}; !cmp.Equal(got, want) {
		t.Error(cmp.Diff(want, got))
	}
	for _, arg := range []string{"a", "=x", "+=x", ""} {
		if err := SetValue(got, arg); fault.CodeOf(err) != fault.Usage {
			t.Errorf("%q: %v", arg, err)
		}
	}
}

func FuzzReadValues(f *testing.F) {
	f.Add([]byte("a: [1, b]\nc: d\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		if given, err := ReadValues("v", data); err == nil {
			_, _ = web.Answer(given)
		}
	})
}

func FuzzParseNetwork(f *testing.F) {
	f.Add("192.0.2.5/24 gateway 192.0.2.1 dns 192.0.2.53")
	f.Add("2001:db8::5/64 gateway 2001:db8::1")
	f.Fuzz(func(t *testing.T, s string) {
		a, err := ParseNetwork(s)
		if err != nil {
			return
		}
		b, err := ParseNetwork(a.String())
		if err != nil || !cmp.Equal(a.String(), b.String()) {
			t.Fatalf("%q is %q, which is %q: %v", s, a, b, err)
		}
	})
}
