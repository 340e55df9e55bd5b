package server

import (
	"crypto/tls"
	"os"
	"sync"
	"time"

	"ingot/internal/fault"
)

// Certificate gives a certificate from files, and reads them again when they have
// changed: who renews it need not start the service anew. Files that are broken then do
// not take the good certificate's place.
func Certificate(cert, key string) (func(*tls.ClientHelloInfo) (*tls.Certificate, error), error) {
	pair, err := tls.LoadX509KeyPair(cert, key)
	if err != nil {
		return nil, fault.Newf(fault.Preflight, "cannot use the certificate %s with the key %s: %w", cert, key, err).
			WithHint("both are PEM files, and the certificate is of that key")
	}
	stamp := func() [2]time.Time {
		var out [2]time.Time
		for n, name := range []string{cert, key} {
			if info, err := os.Stat(name); err == nil {
				out[n] = info.ModTime()
			}
		}
		return out
	}
	var mu sync.Mutex
	current, of := &pair, stamp()
	return func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
		now := stamp()
		mu.Lock()
		defer mu.Unlock()
		if now != of {
			of = now
			if pair, err := tls.LoadX509KeyPair(cert, key); err == nil {
				current = &pair
			}
		}
		return current, nil
	}, nil
}
