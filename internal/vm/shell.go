package vm

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/crypto/ssh"

	"ingot/internal/fault"
	"ingot/internal/terminal"
)

// A Key is a key pair that lets one run of ingot into one machine by SSH. It
// was made for that and dies with it.
type Key struct {
	private ed25519.PrivateKey
	signer  ssh.Signer
}

// NewKey makes a key from random bytes (crypto/rand.Reader).
func NewKey(random io.Reader) (Key, error) {
	_, private, err := ed25519.GenerateKey(random)
	if err != nil {
		return Key{}, fmt.Errorf("ssh key: %w", err)
	}
	signer, err := ssh.NewSignerFromKey(private)
	if err != nil {
		return Key{}, fmt.Errorf("ssh key: %w", err)
	}
	return Key{private, signer}, nil
}

// Save writes the key, and the machine's own keys, into a directory as OpenSSH's
// programs read them, and gives the words that begin a command line of ssh.
func (k Key) Save(dir string, a Access) ([]string, error) {
	block, err := ssh.MarshalPrivateKey(k.private, "ingot")
	if err != nil {
		return nil, fmt.Errorf("ssh key: %w", err)
	}
	var known bytes.Buffer
	for _, host := range a.keys {
		fmt.Fprintf(&known, "[127.0.0.1]:%d %s", a.Port, ssh.MarshalAuthorizedKey(host))
	}
	key, hosts := filepath.Join(dir, "key"), filepath.Join(dir, "known_hosts")
	if err := os.WriteFile(key, pem.EncodeToMemory(block), 0o600); err != nil {
		return nil, fmt.Errorf("ssh key: %w", err)
	}
	if err := os.WriteFile(hosts, known.Bytes(), 0o600); err != nil {
		return nil, fmt.Errorf("ssh key: %w", err)
	}
	return []string{"ssh", "-p", fmt.Sprint(a.Port), "-i", key, "-o", "UserKnownHostsFile=" + hosts, "root@127.0.0.1"}, nil
}

// Access is how a machine's SSH server is reached.
type Access struct {
	Port uint16          // of the host's loopback
	keys []ssh.PublicKey // the server's own
}

// prepareSSH lets a public key in as root, starts the server if it waits, and
// prints the server's own keys. It exits 3 if there is no server.
const prepareSSH = `
[ -x /usr/sbin/sshd ] || exit 3
umask 077
mkdir -p /root/.ssh
echo '%s' >>/root/.ssh/authorized_keys
for unit in ssh.service sshd.service ssh.socket sshd.socket; do
	systemctl -q is-active $unit && found=1
done
[ "$found" ] || systemctl start ssh.service || systemctl start sshd.service || exit 4
cat /etc/ssh/ssh_host_*_key.pub
`

// SSHPort is the port of a guest's SSH server; Spec.Forward must name it.
const SSHPort = 22

// Admit lets a key into the machine as root, through the agent, so that neither a
// key nor a password need be in the image. The machine must be [Machine.Ready].
func (m *Machine) Admit(ctx context.Context, k Key) (Access, error) {
	a := Access{Port: m.Port(SSHPort)}
	if a.Port == 0 {
		return a, errors.New("the machine was started without a port for SSH")
	}
	public := strings.TrimSpace(string(ssh.MarshalAuthorizedKey(k.signer.PublicKey())))
	r, err := m.Run(ctx, fmt.Sprintf(prepareSSH, public+" ingot"), time.Minute)
	switch {
	case err != nil:
		return a, err
	case r.Exit == 3:
		return a, fault.Newf(fault.Health, "boot of %s: the image has no SSH server", m.name()).
			WithHint("add openssh-server to the definition's packages, or use --console")
	case r.Exit != 0:
		return a, fault.Newf(fault.Health, "boot of %s: its SSH server does not start: %s", m.name(), strings.TrimSpace(r.Output))
	}
	for line := range strings.Lines(r.Output) {
		if key, _, _, _, err := ssh.ParseAuthorizedKey([]byte(line)); err == nil {
			a.keys = append(a.keys, key)
		}
	}
	if len(a.keys) == 0 {
		return a, fault.Newf(fault.Health, "boot of %s: its SSH server has no keys in /etc/ssh", m.name()).
			WithHint("run \"ssh-keygen -A\" in the image's first boot")
	}
	return a, nil
}

// Dial opens an SSH connection to the machine as root, whose server must hold one of the
// keys that the agent named. It tries again while the guest's network comes
// up, until ctx is done.
func (a Access) Dial(ctx context.Context, k Key) (*ssh.Client, error) {
	config := &ssh.ClientConfig{
		User: "root",
		Auth: []ssh.AuthMethod{ssh.PublicKeys(k.signer)},
		HostKeyCallback: func(_ string, _ net.Addr, key ssh.PublicKey) error {
			for _, known := range a.keys {
				if bytes.Equal(known.Marshal(), key.Marshal()) {
					return nil
				}
			}
			return errors.New("the server's key is not the machine's")
		},
		HostKeyAlgorithms: a.algorithms(),
		Timeout:           20 * time.Second,
	}
	address := fmt.Sprintf("127.0.0.1:%d", a.Port)
	for {
		client, err := dialOnce(ctx, address, config)
		if err == nil {
			return client, nil
		}
		t := time.NewTimer(time.Second)
		select {
		case <-t.C:
		case <-ctx.Done():
			t.Stop()
			if errors.Is(ctx.Err(), context.DeadlineExceeded) {
				return nil, fault.Newf(fault.Health, "ssh to the machine: %w", err).
					WithHint("the guest's network may not be up: see it with --console")
			}
			return nil, ctx.Err()
		}
	}
}

// algorithms are those of the known keys; an RSA key signs in newer ways too.
func (a Access) algorithms() []string {
	var out []string
	for _, k := range a.keys {
		if k.Type() == ssh.KeyAlgoRSA {
			out = append(out, ssh.KeyAlgoRSASHA512, ssh.KeyAlgoRSASHA256)
			continue
		}
		out = append(out, k.Type())
	}
	return out
}

func dialOnce(ctx context.Context, address string, config *ssh.ClientConfig) (*ssh.Client, error) {
	dialer := net.Dialer{Timeout: config.Timeout}
	conn, err := dialer.DialContext(ctx, "tcp", address)
	if err != nil {
		return nil, err
	}
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	defer stop()
	// QEMU accepts at once; whether the guest answers shows only here.
	if err := conn.SetDeadline(time.Now().Add(config.Timeout)); err != nil {
		conn.Close()
		return nil, err
	}
	c, channels, requests, err := ssh.NewClientConn(conn, address, config)
	if err != nil {
		conn.Close()
		return nil, err
	}
	if err := conn.SetDeadline(time.Time{}); err != nil {
		_ = c.Close()
		return nil, err
	}
	return ssh.NewClient(c, channels, requests), nil
}

// A Terminal is where a shell is shown.
type Terminal struct {
	In       io.Reader
	Out, Err io.Writer
	Type     string // $TERM; "" if it is no terminal: then the shell gets none either
	Size     terminal.Size
	Resized  <-chan terminal.Size // or nil
}

// Shell runs root's shell over a connection until it ends. Its exit status
// that is not 0 is an *ssh.ExitError.
func Shell(ctx context.Context, client *ssh.Client, t Terminal) error {
	session, err := client.NewSession()
	if err != nil {
		return fmt.Errorf("ssh session: %w", err)
	}
	defer session.Close()
	stop := context.AfterFunc(ctx, func() { session.Close() })
	defer stop()
	// Not session.Stdin: Wait would wait for a read from the terminal.
	in, err := session.StdinPipe()
	if err != nil {
		return fmt.Errorf("ssh session: %w", err)
	}
	session.Stdout, session.Stderr = t.Out, t.Err
	if t.Type != "" {
		modes := ssh.TerminalModes{ssh.ECHO: 1}
		if err := session.RequestPty(t.Type, t.Size.Height, t.Size.Width, modes); err != nil {
			return fmt.Errorf("ssh session: %w", err)
		}
	}
	if err := session.Shell(); err != nil {
		return fmt.Errorf("ssh session: %w", err)
	}
	go func() {
		_, _ = io.Copy(in, t.In) //nolint:errcheck // a session that ended says so in Wait
		in.Close()
	}()
	done := make(chan struct{})
	defer close(done)
	go func() {
		for {
			select {
			case size, ok := <-t.Resized:
				if !ok {
					return
				}
				_ = session.WindowChange(size.Height, size.Width) //nolint:errcheck // cosmetic
			case <-done:
				return
			}
		}
	}()
	err = session.Wait()
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return err
}
