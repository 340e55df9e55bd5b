// Command serve loads ingot serve and nginx in turns, with the same files on the same machine over
// loopback, and prints medians: throughput for many clients, and memory for a connection; and ingot
// pull beside wget and sha256sum.
//
//	serve -ingot PROGRAM -nginx PROGRAM [-out FILE]
package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"math/big"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// A load is what clients ask for.
type load struct {
	name    string
	size    int64
	clients int
	tls     bool
}

var loads = []load{
	{"4 KiB", 4 << 10, 64, false}, {"1 MiB", 1 << 20, 64, false}, {"64 MiB", 64 << 20, 64, false},
	{"4 KiB, TLS", 4 << 10, 64, true}, {"1 MiB, TLS", 1 << 20, 64, true}, {"64 MiB, TLS", 64 << 20, 64, true},
}

// A peer is a server under load.
type peer struct {
	name, plain, secure string // addresses
	cmd                 *exec.Cmd
}

func main() {
	ingot := flag.String("ingot", "", "the program")
	nginx := flag.String("nginx", "/usr/sbin/nginx", "the program")
	rounds := flag.Int("rounds", 5, "how often each is measured")
	seconds := flag.Float64("seconds", 3, "for how long each time")
	idle := flag.Int("connections", 2000, "how many connections memory is measured with")
	out := flag.String("out", "", "also write the table to this file")
	only := flag.String("only", "", "only loads that are called so; pull is the client")
	flag.Parse()
	if *only != "" {
		loads = slices.DeleteFunc(loads, func(l load) bool { return !strings.HasPrefix(l.name, *only) })
	}
	weighs := *only != "pull"
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err == nil {
		limit.Cur = limit.Max
		_ = syscall.Setrlimit(syscall.RLIMIT_NOFILE, &limit)
	}
	text, err := bench(*ingot, *nginx, *rounds, *idle, time.Duration(*seconds*float64(time.Second)), weighs)
	if err == nil && *out != "" {
		err = os.WriteFile(*out, []byte(text), 0o600)
	}
	fmt.Print(text)
	if err != nil {
		log.Fatal(err)
	}
}

func bench(ingot, nginx string, rounds, idle int, d time.Duration, weighs bool) (string, error) {
	dir, err := os.MkdirTemp("", "bench-serve-")
	if err != nil {
		return "", err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	paths, err := files(filepath.Join(dir, "tree"))
	if err != nil {
		return "", err
	}
	if err := certificate(dir); err != nil {
		return "", err
	}
	pulled, err := pulls(ingot, dir, rounds)
	if err != nil || !weighs {
		return pulled, err
	}
	peers := []*peer{{name: "nginx"}, {name: "ingot"}}
	for n, start := range []func(*peer, string, string) error{startNginx, startIngot} {
		if err := start(peers[n], []string{nginx, ingot}[n], dir); err != nil {
			return "", err
		}
		defer func() { _ = peers[n].cmd.Process.Signal(syscall.SIGTERM); _ = peers[n].cmd.Wait() }()
	}
	var b strings.Builder
	fmt.Fprintf(&b, "| load, 64 clients | nginx, MB/s | ingot, MB/s | ratio |\n|---|---|---|---|\n")
	for _, l := range loads {
		got := map[string][]float64{}
		for round := range rounds + 1 {
			for _, p := range peers {
				rate, err := p.press(l, paths[l.size], d)
				if err != nil {
					return b.String(), fmt.Errorf("%s, %s: %w", p.name, l.name, err)
				}
				if round > 0 { // the first fills caches
					got[p.name] = append(got[p.name], rate)
				}
			}
		}
		n, i := median(got["nginx"]), median(got["ingot"])
		fmt.Fprintf(&b, "| %s | %.0f | %.0f | %.2f |\n", l.name, n/1e6, i/1e6, i/n)
		fmt.Fprintf(os.Stderr, "%s: nginx %.0f MB/s, ingot %.0f MB/s, %.2f\n", l.name, n/1e6, i/1e6, i/n)
	}
	fmt.Fprintf(&b, "\n| memory for a connection, of %d | nginx, KiB | ingot, KiB |\n|---|---|---|\n", idle)
	for _, secure := range []bool{false, true} {
		for _, taking := range []bool{false, true} {
			var kib [2]float64
			for n, p := range peers {
				if kib[n], err = p.weigh(idle, secure, taking, paths); err != nil {
					return b.String(), fmt.Errorf("%s: %w", p.name, err)
				}
			}
			what := map[bool]string{false: "idle", true: "in the middle of 64 MiB"}[taking] + map[bool]string{true: ", TLS"}[secure]
			fmt.Fprintf(&b, "| %s | %.1f | %.1f |\n", what, kib[0], kib[1])
			fmt.Fprintf(os.Stderr, "%s: nginx %.1f KiB, ingot %.1f KiB\n", what, kib[0], kib[1])
		}
	}
	return b.String() + pulled, nil
}

// files makes blobs of the sizes that loads are of.
func files(tree string) (map[int64]string, error) {
	out := map[int64]string{}
	for _, l := range loads {
		name := fmt.Sprintf("blobs/sha256/00/%064d", l.size)
		out[l.size] = "/" + name
		to := filepath.Join(tree, name)
		data := make([]byte, l.size)
		_, _ = rand.Read(data)
		if err := errors.Join(os.MkdirAll(filepath.Dir(to), 0o755), os.WriteFile(to, data, 0o644)); err != nil { //nolint:gosec // nginx's workers read it
			return nil, err
		}
	}
	for dir := filepath.Dir(tree); strings.HasPrefix(filepath.Base(dir), "bench-serve-"); dir = filepath.Dir(dir) {
		if err := os.Chmod(dir, 0o755); err != nil { //nolint:gosec // as above
			return nil, err
		}
	}
	return out, nil
}

func certificate(dir string) error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	c := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour), DNSNames: []string{"localhost"}}
	der, err := x509.CreateCertificate(rand.Reader, c, c, &key.PublicKey, key)
	if err != nil {
		return err
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return err
	}
	return errors.Join(os.WriteFile(filepath.Join(dir, "cert.pem"), pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600),
		os.WriteFile(filepath.Join(dir, "key.pem"), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private}), 0o600))
}

func startNginx(p *peer, program, dir string) error {
	p.plain, p.secure = "127.0.0.1:18480", "127.0.0.1:18481"
	config := filepath.Join(dir, "nginx.conf")
	text := fmt.Sprintf(`daemon off; worker_processes auto; pid %[1]s/pid; error_log /dev/null; worker_rlimit_nofile 60000;
events { worker_connections 8192; }
http { access_log off; sendfile on; tcp_nopush on; keepalive_requests 100000000; default_type application/octet-stream; 
ssl_protocols TLSv1.3; ssl_certificate %[1]s/cert.pem; ssl_certificate_key %[1]s/key.pem;
server { listen %[2]s; listen %[3]s ssl; root %[1]s/tree; } }`, dir, p.plain, p.secure)
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		return err
	}
	p.cmd = exec.CommandContext(context.Background(), program, "-c", config)
	return p.start()
}

func startIngot(p *peer, program, dir string) error {
	p.plain, p.secure = "127.0.0.1:18482", "127.0.0.1:18482"
	p.cmd = exec.CommandContext(context.Background(), program, "serve", filepath.Join(dir, "tree"), "--listen", p.plain, "--tls-cert", filepath.Join(dir, "cert.pem"), "--tls-key", filepath.Join(dir, "key.pem"),
		"--max-connections", "8192", "--max-connections-per-address", "0", "--max-requests-per-address", "0")
	return p.start()
}

func (p *peer) start() error {
	p.cmd.Stderr = os.Stderr
	if err := p.cmd.Start(); err != nil {
		return err
	}
	for range 200 {
		if c, err := net.Dial("tcp", p.plain); err == nil { //nolint:noctx // loopback
			return c.Close()
		}
		time.Sleep(20 * time.Millisecond)
	}
	return fmt.Errorf("%s does not listen", p.name)
}

// dial opens a connection. TLS is of version 1.3, with AES of 128 bits.
func (p *peer) dial(secure bool) (net.Conn, error) {
	if !secure {
		return net.Dial("tcp", p.plain) //nolint:noctx // loopback
	}
	return tls.Dial("tcp", p.secure, &tls.Config{InsecureSkipVerify: true, MinVersion: tls.VersionTLS13}) //nolint:gosec,noctx // our own, on loopback
}

// ask asks for a file and reads the head of the answer.
func ask(c net.Conn, r *bufio.Reader, path string) error {
	if _, err := io.WriteString(c, "GET "+path+" HTTP/1.1\r\nHost: localhost\r\n\r\n"); err != nil {
		return err
	}
	for n := 0; ; n++ {
		line, err := r.ReadSlice('\n')
		if err != nil {
			return err
		}
		if n == 0 && !bytes.HasPrefix(line, []byte("HTTP/1.1 200")) {
			return fmt.Errorf("it answers %q", line)
		}
		if len(line) <= 2 {
			return nil
		}
	}
}

// press has clients fetch a file as often as they can, and gives the bytes a second.
func (p *peer) press(l load, path string, d time.Duration) (float64, error) {
	var total atomic.Int64
	var wg sync.WaitGroup
	errs := make(chan error, l.clients)
	begin := time.Now()
	end := begin.Add(d)
	for range l.clients {
		wg.Go(func() {
			c, err := p.dial(l.tls)
			if err != nil {
				errs <- err
				return
			}
			defer func() { _ = c.Close() }()
			r := bufio.NewReaderSize(c, 4<<10)
			buf := make([]byte, 256<<10)
			for time.Now().Before(end) {
				if err := ask(c, r, path); err != nil {
					errs <- err
					return
				}
				for left := l.size; left > 0 && time.Now().Before(end); {
					n, err := r.Read(buf[:min(left, int64(len(buf)))])
					if err != nil {
						errs <- err
						return
					}
					left -= int64(n)
					total.Add(int64(n))
				}
			}
		})
	}
	wg.Wait()
	select {
	case err := <-errs:
		return 0, err
	default:
	}
	return float64(total.Load()) / time.Since(begin).Seconds(), nil
}

// weigh opens connections, each of which has had an answer, or has one under way of which it takes
// no more than the first bytes; and gives the KiB of memory for each, by which the server is larger.
func (p *peer) weigh(n int, secure, taking bool, paths map[int64]string) (float64, error) {
	before := memory(p.cmd.Process.Pid)
	var conns []net.Conn
	defer func() {
		for _, c := range conns {
			_ = c.Close()
		}
		time.Sleep(time.Second)
	}()
	for range n {
		c, err := p.dial(secure)
		if err != nil {
			return 0, err
		}
		conns = append(conns, c)
		size := int64(4 << 10)
		if taking {
			size = 64 << 20
		}
		r := bufio.NewReaderSize(c, 4<<10)
		if err := ask(c, r, paths[size]); err != nil {
			return 0, err
		}
		if !taking {
			if _, err := io.CopyN(io.Discard, r, size); err != nil {
				return 0, err
			}
		}
	}
	time.Sleep(2 * time.Second)
	return float64(memory(p.cmd.Process.Pid)-before) / float64(n) / 1024, nil
}

// memory is the proportional set size of a process and its children, in bytes.
func memory(pid int) int64 {
	var sum int64
	stats, _ := filepath.Glob("/proc/[0-9]*/stat")
	for _, stat := range stats {
		data, err := os.ReadFile(stat) //nolint:gosec // of /proc
		if err != nil {
			continue
		}
		fields := strings.Fields(string(data[bytes.LastIndexByte(data, ')')+1:]))
		own := filepath.Base(filepath.Dir(stat))
		if own != strconv.Itoa(pid) && (len(fields) < 2 || fields[1] != strconv.Itoa(pid)) {
			continue
		}
		rollup, err := os.ReadFile(filepath.Join("/proc", own, "smaps_rollup")) //nolint:gosec // of /proc
		if err != nil {
			continue
		}
		for line := range strings.Lines(string(rollup)) {
			if rest, ok := strings.CutPrefix(line, "Pss:"); ok {
				kib, _ := strconv.ParseInt(strings.Fields(rest)[0], 10, 64)
				sum += kib << 10
			}
		}
	}
	return sum
}

func median(v []float64) float64 {
	slices.Sort(v)
	return v[len(v)/2]
}
