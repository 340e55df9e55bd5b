package seed

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.yaml.in/yaml/v4"

	"ingot/internal/judge"
	"ingot/internal/template"
)

// corpus is what must survive literally.
var corpus = []string{"it's", `say "hi"`, "$(reboot)", "`id`", "${HOME}", "a\nb", `\`, `\n`, "$1$9qAFryp3$XmvqcFN/CJG4AC7jgyVE8", "é", "\x01\x7f", "%s", "a;b", "\r\n\t", "# x", "", "'''", "<&>", "- a: [b", "\u2028"}

func TestHash(t *testing.T) {
	for _, password := range []string{"secret", "it's $(reboot)", "é", strings.Repeat("long ", 30), "x"} {
		got, err := Hash(password)
		if err != nil {
			t.Fatal(err)
		}
		salt := strings.Split(got, "$")[2]
		want := strings.TrimSpace(judge.Run(t, "openssl", "passwd", "-6", "-salt", salt, password))
		if got != want {
			t.Errorf("%q: %s, and openssl says %s", password, got, want)
		}
		if again, err := Hash(password); err != nil || again == got {
			t.Errorf("two hashes have one salt: %s", got)
		}
	}
}

func machineOf(inputs map[string]any) Machine {
	return Machine{ID: "i-1", Hostname: "web1", MAC: "52:54:00:01:02:03", Network: template.NetworkAnswer{DHCP: true}, User: "admin", Hash: "$6$x$y", Keys: []string{"ssh-ed25519 AAAA it's"}, Inputs: inputs}
}

// TestFiles reads the seed as YAML, which cloud-init does.
func TestFiles(t *testing.T) {
	for _, text := range corpus {
		m := machineOf(map[string]any{"text": text, "list": []any{text, "b"}, "n": int64(5), "b": true})
		m.Keys = []string{text}
		files, err := m.Files(template.ISO)
		if err != nil {
			t.Fatal(err)
		}
		read := map[string]map[string]any{}
		for _, f := range files {
			var v map[string]any
			if err := yaml.Unmarshal(f.Data, &v); err != nil {
				t.Fatalf("%q: %s: %v\n%s", text, f.Name, err, f.Data)
			}
			read[f.Name] = v
		}
		user, _ := read["user-data"]["users"].([]any)[0].(map[string]any)
		if keys := user["ssh_authorized_keys"]; !cmp.Equal(keys, []any{text}) || user["lock_passwd"] != false {
			t.Errorf("%q: the user is %v", text, user)
		}
		written, _ := read["user-data"]["write_files"].([]any)[0].(map[string]any)
		data, err := base64.StdEncoding.DecodeString(written["content"].(string))
		if err != nil {
			t.Fatal(err)
		}
		var inputs map[string]any
		if err := json.Unmarshal(data, &inputs); err != nil || inputs["text"] != text {
			t.Errorf("%q became %v: %v", text, inputs, err)
		}
		if read["meta-data"]["instance-id"] != "i-1" || read["network-config"]["version"] != 2 {
			t.Errorf("%v", read)
		}
	}
}

// TestShell has a shell source the inputs.
func TestShell(t *testing.T) {
	for _, text := range corpus {
		if text == "\r\n\t" {
			continue // printf would be read back without its end
		}
		file := filepath.Join(t.TempDir(), "inputs")
		if err := os.WriteFile(file, Shell(map[string]any{"some-text": text, "list": []any{text, "b"}}), 0o600); err != nil {
			t.Fatal(err)
		}
		out, err := exec.CommandContext(t.Context(), "sh", "-eu", "-c", `. "$1"; printf '%s' "$INPUT_SOME_TEXT"`, "sh", file).Output()
		if err != nil || string(out) != text {
			t.Errorf("%q became %q: %v", text, out, err)
		}
	}
}

func TestStaticNetwork(t *testing.T) {
	m := machineOf(nil)
	var err error
	if m.Network, err = template.ParseNetwork("192.0.2.5/24 gateway 192.0.2.1 dns 192.0.2.53"); err != nil {
		t.Fatal(err)
	}
	files, err := m.Files(template.ISO)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{`"addresses": [` + "\n    \"192.0.2.5/24\"", `"to": "0.0.0.0/0"`, `"via": "192.0.2.1"`, `"macaddress": "52:54:00:01:02:03"`} {
		if !strings.Contains(string(files[1].Data), want) {
			t.Errorf("no %s in\n%s", want, files[1].Data)
		}
	}
}

// TestWrite has another program read the CD.
func TestWrite(t *testing.T) {
	file := filepath.Join(t.TempDir(), "seed.iso")
	f, err := os.Create(file)
	if err != nil {
		t.Fatal(err)
	}
	files, err := machineOf(map[string]any{"a": "b"}).Files(template.ISO)
	if err != nil {
		t.Fatal(err)
	}
	if err := Write(context.Background(), f, template.ISO, files); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	if out := judge.Run(t, "xorriso", "-indev", file, "-pvd_info"); !strings.Contains(out, "Volume Id    : CIDATA") {
		t.Errorf("xorriso says\n%s", out)
	}
	for _, want := range files {
		if out := judge.Run(t, "bsdtar", "-xOf", file, want.Name); out != string(want.Data) {
			t.Errorf("%s is\n%s", want.Name, out)
		}
	}
}
