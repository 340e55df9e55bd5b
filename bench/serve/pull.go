package main

import (
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"ingot/internal/artifact"
	"ingot/internal/digest"
)

// pullSize is how large the artifact is that clients fetch, in bytes.
const pullSize = 512 << 20

// pulls times a cold "ingot pull" beside wget of the same blob with sha256sum after it, from the same
// server, by http and by https, in turns.
func pulls(ingot, dir string, rounds int) (string, error) {
	tree, made := filepath.Join(dir, "images"), filepath.Join(dir, "made")
	blob, err := offer(ingot, made, tree)
	if err != nil {
		return "", err
	}
	at := &peer{name: "ingot", plain: "127.0.0.1:18483"}
	at.cmd = exec.Command(ingot, "serve", tree, "--listen", at.plain, "--tls-cert", filepath.Join(dir, "cert.pem"), "--tls-key", filepath.Join(dir, "key.pem")) //nolint:noctx // ends with us
	if err := at.start(); err != nil {
		return "", err
	}
	defer func() { _ = at.cmd.Process.Signal(syscall.SIGTERM); _ = at.cmd.Wait() }()
	var b strings.Builder
	fmt.Fprintf(&b, "\n| %d MiB, cold | wget and sha256sum, s | ingot pull, s | ratio |\n|---|---|---|---|\n", pullSize>>20)
	for _, scheme := range []string{"http", "https"} {
		from := scheme + "://" + strings.Replace(at.plain, "127.0.0.1", "localhost", 1)
		var took [2][]float64
		for round := range rounds + 1 {
			for n, argv := range [][]string{
				{"sh", "-euc", `wget -q -O "$0/file" --ca-certificate="$1" "$2" && sha256sum "$0/file" >"$0/sum"`, filepath.Join(dir, "to"), filepath.Join(dir, "cert.pem"), from + "/" + blob},
				{ingot, "-q", "pull", "bench", "--from", from, "--key", filepath.Join(tree, "key.asc"), "--to", filepath.Join(dir, "to")},
			} {
				if err := errors.Join(os.RemoveAll(filepath.Join(dir, "to")), os.RemoveAll(filepath.Join(dir, "home")), os.Mkdir(filepath.Join(dir, "to"), 0o700)); err != nil {
					return b.String(), err
				}
				cmd := exec.Command(argv[0], argv[1:]...) //nolint:noctx // ends by itself
				cmd.Env = append(os.Environ(), "INGOT_HOME="+filepath.Join(dir, "home"), "SSL_CERT_FILE="+filepath.Join(dir, "cert.pem"))
				begin := time.Now()
				if out, err := cmd.CombinedOutput(); err != nil {
					return b.String(), fmt.Errorf("%s: %w\n%s", argv[0], err, out)
				}
				if round > 0 { // the first fills caches
					took[n] = append(took[n], time.Since(begin).Seconds())
				}
			}
		}
		w, i := median(took[0]), median(took[1])
		fmt.Fprintf(&b, "| %s | %.2f | %.2f | %.2f |\n", scheme, w, i, i/w)
		fmt.Fprintf(os.Stderr, "pull by %s: wget %.2f s, ingot %.2f s, %.2f\n", scheme, w, i, i/w)
	}
	return b.String(), nil
}

// offer publishes an artifact of random bytes, and gives its blob's path.
func offer(ingot, made, tree string) (string, error) {
	if err := os.MkdirAll(made, 0o700); err != nil {
		return "", err
	}
	data := make([]byte, pullSize)
	_, _ = rand.Read(data)
	d := digest.Of(data)
	m := artifact.Manifest{
		Schema: 1, Name: "bench", Arch: "amd64", Format: "tar", File: "bench.tar", Size: pullSize, SHA256: d,
		Distro: "debian", Release: "bookworm", Epoch: 1, Lock: d,
	}
	text, err := json.Marshal(m)
	if err != nil {
		return "", err
	}
	name := filepath.Join(made, m.File)
	if err := errors.Join(os.WriteFile(name, data, 0o600), os.WriteFile(name+artifact.ManifestSuffix, text, 0o600)); err != nil {
		return "", err
	}
	cmd := exec.Command(ingot, "-q", "publish", made, "--to", tree) //nolint:noctx // ends by itself
	cmd.Env = append(os.Environ(), "INGOT_HOME="+filepath.Join(made, "home"))
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("publish: %w\n%s", err, out)
	}
	return fmt.Sprintf("blobs/sha256/%.2s/%s", d, d), os.Remove(name)
}
