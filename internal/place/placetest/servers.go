// Package placetest runs the servers that judge places: versitygw for S3, and
// distribution's registry. Only tests import it.
//
// Both are programs of others, which the Go module proxy brings, each built once and kept in the
// user's cache. They listen on loopback and end with the test.
package placetest

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"
	"golang.org/x/sys/unix"

	"ingot/internal/judge"
)

// A judgeProgram is a server at the version that was tried. With a main of its own it is
// the module's code with fewer drivers of other stores, which take longest to build.
type judgeProgram struct{ module, version, path, main string }

var (
	gateway  = judgeProgram{module: "github.com/versity/versitygw", version: "v1.8.0", path: "cmd/versitygw"}
	registry = judgeProgram{module: "github.com/distribution/distribution/v3", version: "v3.1.2", path: "cmd/registry", main: `package main

import (
	"os"

	"github.com/distribution/distribution/v3/registry"
	_ "github.com/distribution/distribution/v3/registry/storage/driver/filesystem"
)

func main() {
	if registry.RootCmd.Execute() != nil {
		os.Exit(1)
	}
}
`}
)

// A Server is a running one, with what a client's environment must say.
type Server struct {
	Host string            // HOST:PORT
	Env  map[string]string // for clients
}

// Getenv reads the server's environment.
func (s Server) Getenv(name string) string { return s.Env[name] }

// Environ is the environment as exec.Cmd takes it.
func (s Server) Environ() []string {
	var out []string
	for k, v := range s.Env {
		out = append(out, k+"="+v)
	}
	return out
}

var building sync.Mutex

// Program is where a program of the Go module proxy is, for a judge of other things than places.
func Program(t testing.TB, module, version, path string) string {
	t.Helper()
	return program(t, judgeProgram{module: module, version: version, path: path})
}

// program builds one of the servers, if that was not done before.
func program(t testing.TB, p judgeProgram) string {
	t.Helper()
	judge.Needs(t, judge.CI)
	building.Lock()
	defer building.Unlock()
	cache, err := os.UserCacheDir()
	if err != nil {
		cache = os.TempDir()
	}
	dir := filepath.Join(cache, "ingot-judges", p.version)
	file := filepath.Join(dir, filepath.Base(p.path))
	if _, err := os.Stat(file); err == nil {
		return file
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	// Tests of several packages run at once, and one build is enough.
	lock, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		t.Fatal(err)
	}
	defer lock.Close()
	if err := unix.Flock(int(lock.Fd()), unix.LOCK_EX); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(file); err == nil {
		return file
	}
	own, err := os.MkdirTemp(dir, "build")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = os.RemoveAll(own) }()
	args := []string{"install", p.module + "/" + p.path + "@" + p.version}
	if p.main != "" {
		args = []string{"build", "-o", filepath.Base(p.path), "."}
		for name, text := range map[string]string{"main.go": p.main, "go.mod": "module judge\n\ngo 1.26.0\n\nrequire " + p.module + " " + p.version + "\n"} {
			if err := os.WriteFile(filepath.Join(own, name), []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	cmd := exec.CommandContext(t.Context(), "go", args...)
	cmd.Env = append(os.Environ(), "GOBIN="+own, "CGO_ENABLED=0", "GOFLAGS=-mod=mod")
	cmd.Dir = own
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("cannot build the judge %s: %v\n%s", p.module, err, out)
	}
	if err := os.Rename(filepath.Join(own, filepath.Base(p.path)), file); err != nil {
		t.Fatal(err)
	}
	return file
}

// start runs a server on a free port until the test ends.
func start(t testing.TB, cmd func(addr string) *exec.Cmd) string {
	t.Helper()
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := l.Addr().String()
	_ = l.Close()
	c := cmd(addr)
	var said bytes.Buffer
	c.Stdout, c.Stderr = &said, &said
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() { _ = c.Wait(); close(ended) }()
	t.Cleanup(func() { _ = c.Process.Kill(); <-ended })
	var d net.Dialer
	for {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		conn, err := d.DialContext(ctx, "tcp", addr)
		cancel()
		if err == nil {
			_ = conn.Close()
			return addr
		}
		select {
		case <-ended:
			t.Fatalf("the server ended: %s", said.String())
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// S3 runs versitygw on a directory, with a bucket "images", whose objects anybody may read.
func S3(t testing.TB) Server {
	t.Helper()
	file := program(t, gateway)
	// Its marks of files are extended attributes, which not every file system has: those
	// go into files of their own.
	dir := t.TempDir()
	for _, d := range []string{"data", "marks"} {
		if err := os.Mkdir(filepath.Join(dir, d), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	const access, secret = "tester", "a-secret-of-the-test"
	addr := start(t, func(addr string) *exec.Cmd {
		c := exec.CommandContext(context.Background(), file, "--port", addr, "--quiet", "posix", "--sidecar", filepath.Join(dir, "marks"), filepath.Join(dir, "data"))
		c.Env = append(os.Environ(), "ROOT_ACCESS_KEY="+access, "ROOT_SECRET_KEY="+secret)
		return c
	})
	c, err := minio.New(addr, &minio.Options{Creds: credentials.NewStaticV4(access, secret, ""), Region: "us-east-1"})
	if err != nil {
		t.Fatal(err)
	}
	if err := c.MakeBucket(t.Context(), "images", minio.MakeBucketOptions{}); err != nil {
		t.Fatal(err)
	}
	const public = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":"*","Action":"s3:GetObject","Resource":"arn:aws:s3:::images/*"}]}`
	if err := c.SetBucketPolicy(t.Context(), "images", public); err != nil {
		t.Fatal(err)
	}
	return Server{addr, map[string]string{
		"AWS_ENDPOINT_URL": "http://" + addr, "AWS_REGION": "us-east-1",
		"AWS_ACCESS_KEY_ID": access, "AWS_SECRET_ACCESS_KEY": secret,
	}}
}

// OCI runs distribution's registry. One that is stubborn deletes nothing.
func OCI(t testing.TB, stubborn bool) Server {
	t.Helper()
	file := program(t, registry)
	dir := t.TempDir()
	config := filepath.Join(dir, "config.yml")
	addr := start(t, func(addr string) *exec.Cmd {
		text := fmt.Sprintf("version: 0.1\nlog: {level: error}\nstorage:\n  filesystem: {rootdirectory: %s}\n  delete: {enabled: %v}\nhttp: {addr: %q}\n", filepath.Join(dir, "data"), !stubborn, addr)
		if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		c := exec.CommandContext(context.Background(), file, "serve", config)
		c.Env = append(os.Environ(), "OTEL_TRACES_EXPORTER=none")
		return c
	})
	return Server{addr, map[string]string{"HOME": dir}}
}
