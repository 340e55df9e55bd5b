package main

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"ingot/internal/fault"
	"ingot/internal/page"
	"ingot/internal/server"
)

type serveFlags struct {
	listen, cert, key, log, metrics string
	connections, perAddress         int
	requests                        float64
	under                           []string
	page, publish                   bool
	acme                            []string
	acmeDirectory, acmeEmail        string
	upstream                        remoteFlags // of --cache-of
	cacheSize                       string
}

func newServeCommand() *cobra.Command {
	var f serveFlags
	cmd := &cobra.Command{
		Use:   "serve TREE",
		Short: "Serve a server tree over HTTP",
		Long: `serve answers requests for the files of a server tree, which 'ingot publish'
makes. With a certificate, from files or by ACME, the address speaks TLS (HTTP/2 and
1.1) and plain HTTP as well, since Incus and LXD ask for images in plain first; what
they get is held to a digest. Without one it speaks plain HTTP.

It prints the address that it listens on, and writes a line for each answer to the
access log. With --metrics another address, which need not be for everybody, has
/metrics for Prometheus and /healthz. With --under, other trees lie under a name on
the same address: private ones, say (see 'ingot server private'). Who comes with a
browser sees the images, and how to use them.

It writes nothing to the trees, but with --publish: then who has a token for that
(see 'ingot server token add') publishes from elsewhere, if he also has the key that
signs the tree, which the server has not.

With --cache-of the tree is a cache of another server's, and need not be there yet:
indexes follow that server's, a blob comes when somebody asks for it first, and both
are verified before they are kept. What is here is served too while that server does
not answer. SIGINT or SIGTERM stops all of it when the answers under way are given,
after 30 s at the latest.`,
		Example: `  ingot serve /srv/images --listen :8443 --tls-cert cert.pem --tls-key key.pem
  ingot serve /srv/images --access-log - --metrics 127.0.0.1:9100
  ingot serve /srv/images --publish --listen :8443 --acme images.example.org
  ingot serve cache --cache-of https://images.example --key server-key.asc`,
		GroupID: groupServe,
		Args:    cobra.ExactArgs(1),
		RunE:    func(cmd *cobra.Command, args []string) error { return f.run(cmd, args[0]) },
	}
	cmd.Flags().StringVar(&f.listen, "listen", "127.0.0.1:8080", "the address: [HOST]:PORT; port 0 takes a free one")
	cmd.Flags().StringVar(&f.cert, "tls-cert", "", "certificate with its chain, PEM")
	cmd.Flags().StringVar(&f.key, "tls-key", "", "the certificate's private key, PEM")
	cmd.Flags().StringArrayVar(&f.acme, "acme", nil, "get certificates for this name of the host by ACME, and agree to the authority's terms; may be repeated")
	cmd.Flags().StringVar(&f.acmeDirectory, "acme-directory", "", "the authority, when it is not Let's Encrypt: the URL of its directory")
	cmd.Flags().StringVar(&f.acmeEmail, "acme-email", "", "whom the authority tells of trouble")
	cmd.Flags().StringVar(&f.log, "access-log", "", "append a line for each answer to this file; - is standard error")
	cmd.Flags().IntVar(&f.connections, "max-connections", 4096, "how many connections there may be at once; more wait")
	cmd.Flags().IntVar(&f.perAddress, "max-connections-per-address", 512, "how many of them one address may have; more are closed; 0 is any number")
	cmd.Flags().Float64Var(&f.requests, "max-requests-per-address", 500, "how many requests a second one address may make; more get 429; 0 is any number")
	cmd.Flags().StringVar(&f.metrics, "metrics", "", "serve metrics for Prometheus on this address, in plain HTTP")
	cmd.Flags().BoolVar(&f.publish, "publish", false, "let those publish who have a token for it and the tree's key")
	cmd.Flags().BoolVar(&f.page, "page", true, "show the images to people who come with a browser")
	cmd.Flags().StringArrayVar(&f.under, "under", nil, "serve another tree under a name: NAME=TREE; may be repeated")
	cmd.Flags().StringArrayVar(&f.upstream.from, "cache-of", nil, "be a cache of this image server: https://HOST; repeat for its mirrors")
	cmd.Flags().StringVar(&f.cacheSize, "cache-size", "", "keep no more than so many bytes of blobs: 50GiB; those go first that nobody asked for longest")
	f.upstream.addKey(cmd)
	cmd.MarkFlagsMutuallyExclusive("cache-of", "publish")
	cmd.MarkFlagsRequiredTogether("tls-cert", "tls-key")
	cmd.MarkFlagsMutuallyExclusive("tls-cert", "acme")
	return cmd
}

func (f *serveFlags) run(cmd *cobra.Command, tree string) error {
	if f.connections < 1 {
		return fault.Newf(fault.Usage, "--max-connections %d is less than one", f.connections)
	}
	if f.perAddress < 0 || f.requests < 0 || f.requests > 1e6 {
		return fault.Newf(fault.Usage, "a limit of an address is a number up to a million, and 0 is none")
	}
	progress, err := newProgress(cmd)
	if err != nil {
		return err
	}
	defer progress.Close()
	cache, err := f.cache(cmd, progress) // before a directory is made
	if err != nil {
		return err
	}
	h, err := f.open(tree, "")
	if err != nil {
		return err
	}
	defer func() { _ = h.Close() }()
	if h.Through = cache; cache != nil {
		if cache.Dir, err = server.OpenDir(tree); err != nil {
			return err
		}
		if err := cache.Start(cmd.Context()); err != nil {
			return err
		}
	}
	site := &server.Site{Top: h, Under: map[string]http.Handler{}}
	for _, one := range f.under {
		name, path, ok := strings.Cut(one, "=")
		if !ok || path == "" {
			return fault.Newf(fault.Usage, "--under %q is not NAME=TREE", one)
		}
		if err := server.SiteName(name); err != nil {
			return err
		}
		other, err := f.open(path, "/"+name)
		if err != nil {
			return err
		}
		defer func() { _ = other.Close() }()
		site.Under[name] = other
	}
	s := &server.Service{Handler: site, Connections: f.connections, PerAddress: f.perAddress, Requests: f.requests}
	authority, err := f.secure(s)
	if err != nil {
		return err
	}
	scheme := "http"
	if s.TLS != nil {
		scheme = "https"
	}
	log, end, err := f.openLog(cmd.ErrOrStderr())
	if err != nil {
		return err
	}
	defer end()
	s.Log = log
	l, err := listen(cmd, "--listen", f.listen)
	if err != nil {
		return err
	}
	also := ""
	if f.metrics != "" {
		s.Metrics = server.NewMetrics()
		s.Metrics.Offer = h.Offer
		at, end, err := f.count(cmd, s.Metrics)
		if err != nil {
			return err
		}
		defer end()
		also = at
	}
	if _, err := fmt.Fprintf(cmd.OutOrStdout(), "%s://%s/\n%s", scheme, l.Addr(), also); err != nil {
		return err
	}
	if authority != nil {
		go func() {
			if err := authority.Obtain(); err != nil && cmd.Context().Err() == nil {
				_, _ = fmt.Fprintf(cmd.ErrOrStderr(), "warning: %v\nhint: %s\n", err, fault.HintOf(err))
			}
		}()
	}
	return s.Serve(cmd.Context(), l)
}

// secure gives a service its certificates: from files, or from an authority.
func (f *serveFlags) secure(s *server.Service) (*server.Authority, error) {
	switch {
	case f.cert != "":
		pair, err := server.Certificate(f.cert, f.key)
		if err != nil {
			return nil, err
		}
		s.TLS = &tls.Config{MinVersion: tls.VersionTLS12, GetCertificate: pair, NextProtos: []string{"h2", "http/1.1"}}
	case len(f.acme) > 0:
		home, _, err := dirs()
		if err != nil {
			return nil, err
		}
		a, err := server.NewAuthority(server.ACMEWish{Names: f.acme, Directory: f.acmeDirectory, Email: f.acmeEmail, Dir: filepath.Join(home, "acme")})
		if err != nil {
			return nil, err
		}
		s.TLS, s.Handler = a.TLS(), a.Handler(s.Handler)
		return a, nil
	case f.acmeDirectory != "" || f.acmeEmail != "":
		return nil, fault.Newf(fault.Usage, "no name is said to get a certificate for").WithHint("name the host with --acme")
	}
	return nil, nil
}

// open opens a tree to serve it.
func (f *serveFlags) open(tree, base string) (*server.Handler, error) {
	open := server.OpenDir
	if f.publish || len(f.upstream.from) > 0 && base == "" {
		open = server.CreateDir
	}
	dir, err := open(tree)
	if err != nil {
		return nil, err
	}
	h, err := server.NewHandler(tree)
	if err != nil {
		return nil, fmt.Errorf("cannot open the server tree: %w", err)
	}
	h.Secure = f.cert != "" || len(f.acme) > 0
	if f.publish {
		h.Intake = dir
	}
	if f.page {
		h.Page = &page.Pages{Source: h, Base: base}
	}
	return h, nil
}

func listen(cmd *cobra.Command, flag, address string) (net.Listener, error) {
	var c net.ListenConfig
	l, err := c.Listen(cmd.Context(), "tcp", address)
	if err != nil {
		return nil, fault.Newf(fault.Preflight, "cannot listen on %s: %w", address, err).WithHint("choose another address with %s", flag)
	}
	return l, nil
}

// count serves metrics on an address of their own, until the end.
func (f *serveFlags) count(cmd *cobra.Command, m *server.Metrics) (at string, end func(), err error) {
	l, err := listen(cmd, "--metrics", f.metrics)
	if err != nil {
		return "", nil, err
	}
	ctx, cancel := context.WithCancel(cmd.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = (&server.Service{Handler: m, Connections: 64}).Serve(ctx, l) // it only ever counted
	}()
	return fmt.Sprintf("metrics: http://%s/metrics\n", l.Addr()), func() {
		cancel()
		<-ended
	}, nil
}

// openLog opens the access log.
func (f *serveFlags) openLog(stderr io.Writer) (io.Writer, func(), error) {
	switch f.log {
	case "":
		return nil, func() {}, nil
	case "-":
		return stderr, func() {}, nil
	}
	file, err := os.OpenFile(f.log, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o644)
	if err != nil {
		return nil, nil, fault.Newf(fault.Preflight, "cannot open the access log: %w", err)
	}
	return file, func() { _ = file.Close() }, nil
}
