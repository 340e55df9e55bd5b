package lock

import (
	"fmt"
	"strings"
	"testing"
)

func TestAddress(t *testing.T) {
	for url, want := range map[string]string{
		"http://m.example/debian": "http://m.example/debian", "https://u:p@m.example:8080/debian": "https://m.example:8080/debian",
		"http://u@m.example": "http://m.example", "http://u:p@q@m.example/a@b": "http://m.example/a@b", "file:///srv/a@b": "file:///srv/a@b",
		"http://u:p@m.example?a@b": "http://m.example?a@b", "/srv/debian": "/srv/debian", "http://m.example/x://u@y": "http://m.example/x://u@y",
	} {
		if got := (Archive{URL: url}).Address(); got != want {
			t.Errorf("%s is shown as %s, want %s", url, got, want)
		}
	}
}

// A comparison with a lock of old does not show what that knows.
func TestCompareShowsNoPassword(t *testing.T) {
	old := Archive{Name: "debian", URL: "http://joe:s3cret@m.example/debian"}
	for _, now := range [][]Archive{nil, {{Name: "debian", URL: "http://n.example/debian"}}} {
		got := fmt.Sprint(compareArchives([]Archive{old}, now), compareArchives(now, []Archive{old}))
		if strings.Contains(got, "s3cret") || !strings.Contains(got, "http://m.example/debian") {
			t.Errorf("it shows %s", got)
		}
	}
	dropped := fmt.Sprint(compareArchives([]Archive{old}, []Archive{{Name: "debian", URL: "http://m.example/debian"}}))
	if want := "[archive debian password in its url -> none]"; dropped != want {
		t.Errorf("it shows %s, want %s", dropped, want)
	}
}
