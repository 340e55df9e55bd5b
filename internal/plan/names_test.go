package plan

import (
	"path/filepath"
	"strings"
	"testing"
)

// TestLentNames has scripts with network change /etc/resolv.conf, or not: the host's name
// servers are not the image's.
func TestLentNames(t *testing.T) {
	f := newFactory(t)
	for _, c := range []struct{ summary, network, script, want string }{
		{"nothing is done", "true", ":", ""},
		{"a line is added", "true", "append /etc/resolv.conf added", "0644 0:0 added\n"},
		{"a line is added without network", "false", "append /etc/resolv.conf added", "0644 0:0 added\n"},
		{"a file is put, and a line added later", "true", "append /etc/resolv.conf added", "0644 0:0 search example.org\nadded\n"},
	} {
		files := map[string]string{
			"ingot.yaml": strings.Replace(built["ingot.yaml"], "after: files}", "after: files, network: "+c.network+"}", 1),
			"two.sh":     "#!/bin/sh\n" + c.script + "\n",
		}
		if strings.Contains(c.summary, "put") {
			files["ingot.yaml"] = strings.Replace(files["ingot.yaml"], "files:\n", "files:\n  - {path: /etc/resolv.conf, content: \"search example.org\\n\"}\n", 1)
		}
		write(t, f.dir, files)
		if _, err := f.Run(t.Context(), f.plan(t)); err != nil {
			t.Fatal(err)
		}
		if got := content(t, filepath.Join(f.To, "web-amd64.tar"))["/etc/resolv.conf"]; got != c.want {
			t.Errorf("%s: the image has %q, want %q", c.summary, got, c.want)
		}
	}
}
