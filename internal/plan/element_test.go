package plan

import (
	"strings"
	"testing"

	"ingot/internal/digest"
	"ingot/internal/lock"
	"ingot/internal/relay"
)

// What a script wrote down of the build's own proxy is no use to the image.
func TestWithoutRelay(t *testing.T) {
	text := "# apt\nAcquire::http::Proxy \"" + relay.Proxy + "\";\nAcquire::Retries \"3\";\n"
	for _, c := range []struct{ proxy, text, want string }{
		{"", text, "# apt\nAcquire::Retries \"3\";\n"},
		{"http://proxy.example:8080", text, "# apt\nAcquire::http::Proxy \"http://proxy.example:8080\";\nAcquire::Retries \"3\";\n"},
		{"", "export http_proxy=" + relay.Proxy + "\n", ""},
	} {
		if got := withoutRelay(c.text, c.proxy); got != c.want {
			t.Errorf("got %q, want %q", got, c.want)
		}
	}
}

// Packages are found in what a build could have by what dpkg says of them.
func TestPackageFiles(t *testing.T) {
	sum := digest.Of([]byte("x"))
	files := packageFiles(&lock.Lock{Downloads: []lock.Download{
		{Address: "http://a.example/debian/pool/main/c/cron/cron_3.0pl1-162%2bx_amd64.deb", Size: 7, SHA256: sum},
		{Address: "http://b.example/odd_1~2_all.deb", Size: 8, SHA256: sum},
		{Address: "http://b.example/gone_1_all.deb"},
		{Address: "http://b.example/not-a-package.deb", SHA256: sum},
		{Address: "http://b.example/%zz_1_all.deb", SHA256: sum},
	}})
	var got []string
	for _, w := range []want{{"cron", "3.0pl1-162+x", "amd64"}, {"odd", "1~2", "all"}, {"gone", "1", "all"}} {
		ref := files[w]
		got = append(got, ref.Name+" "+ref.Version+" "+ref.Location)
	}
	if s := strings.Join(got, "\n"); s != "cron 3.0pl1-162+x pool/main/c/cron/cron_3.0pl1-162+x_amd64.deb\nodd 1~2 odd_1~2_all.deb\n  " || len(files) != 2 {
		t.Errorf("%d files:\n%s", len(files), s)
	}
}
