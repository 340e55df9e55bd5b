package client

import (
	"net"
	"net/url"

	"ingot/internal/fault"
)

// Bearer is whom a token is shown to: the hosts of a server's mirrors, by the scheme that was
// named, and nobody else. Over plain HTTP it goes to this machine alone.
func Bearer(mirrors []string, token string) (func(*url.URL) string, error) {
	hosts := map[string]bool{}
	for _, m := range mirrors {
		u, err := url.Parse(m)
		if err != nil {
			return nil, err
		}
		if u.Scheme == "http" && !isLoopback(u.Hostname()) {
			return nil, fault.Newf(fault.Usage, "a token for %s would go over the network in plain", show(m)).WithHint("use https")
		}
		hosts[u.Scheme+"://"+u.Host] = true
	}
	return func(u *url.URL) string {
		if hosts[u.Scheme+"://"+u.Host] {
			return token
		}
		return ""
	}, nil
}

func isLoopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}
