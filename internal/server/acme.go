package server

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"net"
	"net/http"
	"strings"

	"golang.org/x/crypto/acme"
	"golang.org/x/crypto/acme/autocert"

	"ingot/internal/fault"
)

// An Authority gives certificates by the protocol ACME, as Let's Encrypt does. It asks back whether
// who wants one for a name is who answers there: on port 443 by TLS (tls-alpn-01), else on
// port 80 in plain (http-01). Both lead to one [Service], which speaks both.
type Authority struct {
	manager *autocert.Manager
	names   []string
}

// An ACMEWish says of whom certificates are asked, and for what.
type ACMEWish struct {
	Names     []string // of hosts
	Directory string   // the authority's address; "" is Let's Encrypt
	Email     string   // whom it tells of trouble, or ""
	Dir       string   // where account and certificates are kept, with their keys
	// Roots believe the authority's own certificate; nil means the system's.
	Roots *x509.CertPool
}

// NewAuthority looks at a wish. Certificates come when they are needed, and are renewed a month
// before their end.
func NewAuthority(w ACMEWish) (*Authority, error) {
	for _, n := range w.Names {
		if !strings.Contains(strings.Trim(n, "."), ".") || strings.ContainsAny(n, "*/: ") {
			return nil, fault.Newf(fault.Usage, "no authority certifies %q", n).WithHint("name the host as it is in DNS: images.example.org")
		}
	}
	c := &acme.Client{DirectoryURL: w.Directory, UserAgent: "ingot"}
	if w.Roots != nil {
		c.HTTPClient = &http.Client{Transport: &http.Transport{Proxy: http.ProxyFromEnvironment, TLSClientConfig: &tls.Config{RootCAs: w.Roots, MinVersion: tls.VersionTLS12}}}
	}
	return &Authority{names: w.Names, manager: &autocert.Manager{
		Prompt: autocert.AcceptTOS, Cache: autocert.DirCache(w.Dir), HostPolicy: hosts(w.Names), Email: w.Email, Client: c,
	}}, nil
}

// hosts are those that certificates are asked for. A port behind a name is a proxy's way to
// pass the authority's question on.
func hosts(names []string) autocert.HostPolicy {
	listed := autocert.HostWhitelist(names...)
	return func(ctx context.Context, name string) error {
		if host, _, err := net.SplitHostPort(name); err == nil {
			name = host
		}
		return listed(ctx, name)
	}
}

// TLS is what a service needs.
func (a *Authority) TLS() *tls.Config {
	c := a.manager.TLSConfig()
	c.MinVersion = tls.VersionTLS12
	return c
}

// Handler answers what the authority asks in plain, and passes all else on.
func (a *Authority) Handler(next http.Handler) http.Handler { return a.manager.HTTPHandler(next) }

// Obtain gets all certificates now, so that what is wrong shows before the first client comes.
func (a *Authority) Obtain() error {
	for _, n := range a.names {
		_, err := a.manager.GetCertificate(&tls.ClientHelloInfo{
			ServerName: n, SignatureSchemes: []tls.SignatureScheme{tls.ECDSAWithP256AndSHA256}, SupportedCurves: []tls.CurveID{tls.CurveP256},
			CipherSuites: []uint16{tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256},
		})
		if err != nil {
			return fault.Newf(fault.Unreachable, "no certificate for %s: %w", n, err).WithHint("the name must lead here from the internet, on port 443 or 80")
		}
	}
	return nil
}
