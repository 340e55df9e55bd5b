package fetch

import (
	"net/http"
	"net/url"
)

// bearer shows tokens. It decides for each hop anew, so that a redirect takes no token along.
type bearer struct {
	next http.RoundTripper
	text func(*url.URL) string
}

func (b *bearer) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	if text := b.text(r.URL); text != "" {
		r.Header.Set("Authorization", "Bearer "+text)
	}
	return b.next.RoundTrip(r)
}
