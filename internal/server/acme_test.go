package server

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"ingot/internal/judge"
	"ingot/internal/place/placetest"
)

// freePorts are some of loopback that nobody has, for programs that want to be told.
func freePorts(t *testing.T, n int) []int {
	t.Helper()
	var out []int
	for range n {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		out = append(out, l.Addr().(*net.TCPAddr).Port)
	}
	return out
}

// background runs a program until the test ends.
func background(t *testing.T, name string, args ...string) {
	t.Helper()
	cmd := exec.Command(name, args...)
	cmd.Env = append(os.Environ(), "PEBBLE_VA_NOSLEEP=1")
	var said strings.Builder
	cmd.Stdout, cmd.Stderr = &said, &said
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		if t.Failed() {
			t.Logf("%s says\n%s", filepath.Base(name), said.String())
		}
	})
}

// TestACME: Pebble, Let's Encrypt's own authority for tests, gives a certificate after it has asked
// back, by TLS and in plain; and one that was given is not asked for twice.
func TestACME(t *testing.T) {
	judge.Needs(t, judge.Full)
	const module, version = "github.com/letsencrypt/pebble/v2", "v2.10.3"
	pebble := placetest.Program(t, module, version, "cmd/pebble")
	names := placetest.Program(t, module, version, "cmd/pebble-challtestsrv")
	for _, by := range []string{"tls-alpn-01", "http-01"} {
		t.Run(by, func(t *testing.T) {
			_, h := served(t)
			cert, key, trusted := certificate(t)
			l, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			ours := l.Addr().(*net.TCPAddr).Port
			ports := freePorts(t, 5)
			api, management, dns, other := ports[0], ports[1], ports[2], ports[3]
			config := map[string]any{
				"listenAddress": fmt.Sprint("127.0.0.1:", api), "managementListenAddress": fmt.Sprint("127.0.0.1:", management), "certificate": cert, "privateKey": key,
				"tlsPort": ours, "httpPort": ours, "keyAlgorithm": "ecdsa", "profiles": map[string]any{"default": map[string]any{"description": "one", "validityPeriod": 7776000}},
			}
			if by == "http-01" {
				config["tlsPort"] = other // nobody is there
			}
			data, err := json.Marshal(map[string]any{"pebble": config})
			if err != nil {
				t.Fatal(err)
			}
			file := filepath.Join(t.TempDir(), "pebble.json")
			if err := os.WriteFile(file, data, 0o600); err != nil {
				t.Fatal(err)
			}
			background(t, names, "-defaultIPv4", "127.0.0.1", "-defaultIPv6", "", "-dnsserver", fmt.Sprint("127.0.0.1:", dns), "-http01", "", "-https01", "", "-tlsalpn01", "", "-doh", "", "-management", fmt.Sprint("127.0.0.1:", ports[4]))
			background(t, pebble, "-config", file, "-dnsserver", fmt.Sprint("127.0.0.1:", dns))
			client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: trusted}}}
			root := ""
			for root == "" {
				r, err := client.Get(fmt.Sprintf("https://127.0.0.1:%d/roots/0", management))
				if err == nil {
					root = body(r)
				} else {
					time.Sleep(20 * time.Millisecond)
				}
			}
			dir := t.TempDir()
			wish := ACMEWish{Names: []string{"images.test"}, Directory: fmt.Sprintf("https://127.0.0.1:%d/dir", api), Dir: dir, Roots: trusted}
			a, err := NewAuthority(wish)
			if err != nil {
				t.Fatal(err)
			}
			runOn(t, &Service{Handler: a.Handler(h), TLS: a.TLS()}, l)
			if err := a.Obtain(); err != nil {
				t.Fatal(err)
			}
			roots := x509.NewCertPool()
			roots.AppendCertsFromPEM([]byte(root))
			visitor := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots, ServerName: "images.test"}}}
			r, err := visitor.Get(fmt.Sprintf("https://127.0.0.1:%d/key.asc", ours))
			if err != nil {
				t.Fatal(err)
			}
			if _, err := io.Copy(io.Discard, r.Body); err != nil || r.StatusCode != 200 || r.TLS.PeerCertificates[0].DNSNames[0] != "images.test" {
				t.Errorf("%d %v %v", r.StatusCode, r.TLS.PeerCertificates[0].DNSNames, err)
			}
			// Started anew it has the certificate, whether the authority is there or not.
			wish.Directory = "https://127.0.0.1:1/dir"
			again, err := NewAuthority(wish)
			if err != nil {
				t.Fatal(err)
			}
			if err := again.Obtain(); err != nil {
				t.Errorf("started anew: %v", err)
			}
			err = filepath.Walk(dir, func(name string, info os.FileInfo, err error) error {
				if err == nil && info.Mode().IsRegular() && info.Mode().Perm() != 0o600 {
					t.Errorf("%s, which has a key, is %v", name, info.Mode())
				}
				return err
			})
			if err != nil {
				t.Error(err)
			}
			// Nobody else's name is asked for.
			visitor.Transport.(*http.Transport).TLSClientConfig.ServerName = "other.test"
			visitor.CloseIdleConnections()
			if _, err := visitor.Get(fmt.Sprintf("https://127.0.0.1:%d/key.asc", ours)); err == nil {
				t.Error("another name is answered")
			}
		})
	}
}

func TestACMENames(t *testing.T) {
	for name, ok := range map[string]bool{"images.example.org": true, "localhost": false, "*.example.org": false, "a b.c": false, "https://x.y": false, "": false} {
		if _, err := NewAuthority(ACMEWish{Names: []string{name}}); (err == nil) != ok {
			t.Errorf("%q: %v", name, err)
		}
	}
}
