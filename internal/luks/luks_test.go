package luks_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"ingot/internal/disk"
	"ingot/internal/judge"
	"ingot/internal/luks"
)

// The judge is cryptsetup: it reads the head, opens the key slot, and decrypts the
// payload, all without device-mapper. That the kernel does too is for a machine to say.

func options() luks.Options {
	return luks.Options{
		UUID: [16]byte{1, 2, 3, 15: 4}, Label: "a label", Passphrase: []byte("correct horse"),
		Seed: bytes.Repeat([]byte("seed"), 8), Memory: 1 << 20,
	}
}

// write makes a container of a size in a file, with some of its payload.
func write(t *testing.T, o luks.Options, size int64, fill []disk.Extent, data map[int64][]byte) string {
	t.Helper()
	c, err := luks.New(o)
	if err != nil {
		t.Fatal(err)
	}
	name := filepath.Join(t.TempDir(), "container")
	f, err := os.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	p, err := c.Payload(io.NewOffsetWriter(f, luks.HeaderSize))
	if err != nil {
		t.Fatal(err)
	}
	_, err = f.WriteAt(c.Head(), 0)
	err = errors.Join(err, f.Truncate(size))
	for off, b := range data {
		_, e := p.WriteAt(b, off)
		err = errors.Join(err, e)
	}
	if err := errors.Join(err, p.Fill(fill), f.Close()); err != nil {
		t.Fatal(err)
	}
	return name
}

// with runs cryptsetup with a passphrase.
func with(t *testing.T, passphrase string, args ...string) error {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), judge.Path(t, "cryptsetup"), append(args, "--key-file", "-", "--batch-mode")...)
	cmd.Stdin = strings.NewReader(passphrase)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Logf("cryptsetup %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return err
}

func TestHead(t *testing.T) {
	kdf := func(k luks.KDF) func(*luks.Options) { return func(o *luks.Options) { o.KDF, o.Iterations = k, 1000 } }
	for _, test := range []struct {
		name   string
		change func(*luks.Options)
		says   []string
	}{
		{"argon2id", kdf(luks.Argon2id), []string{"Version:       \t2", "UUID:          \t01020300-0000-0000-0000-000000000004", "Label:         \ta label", "aes-xts-plain64", "sector: 512 [bytes]", "Time cost:  4", "Memory:     1024", "Threads:    4", "AF stripes: 4000"}},
		{"pbkdf2", kdf(luks.PBKDF2), []string{"PBKDF:      pbkdf2", "Iterations: 1000"}},
		{"large sectors", func(o *luks.Options) { o.SectorSize = 4096 }, []string{"sector: 4096 [bytes]"}},
		{"bytes of all kinds", func(o *luks.Options) { o.Passphrase = []byte("\x00\n\xff"); o.Label = "" }, []string{"Label:         \t(no label)"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			o := options()
			test.change(&o)
			name := write(t, o, luks.HeaderSize+1<<20, nil, nil)
			dump := judge.Run(t, "cryptsetup", "luksDump", name)
			for _, want := range test.says {
				if !strings.Contains(dump, want) {
					t.Errorf("luksDump does not say %q:\n%s", want, dump)
				}
			}
			if strings.Contains(dump, "WARNING") || strings.Contains(dump, "requirements") {
				t.Errorf("luksDump: %s", dump)
			}
			if err := with(t, string(o.Passphrase), "open", "--test-passphrase", name); err != nil {
				t.Errorf("the passphrase does not open it: %v", err)
			}
			if err := with(t, "wrong", "open", "--test-passphrase", name); err == nil {
				t.Error("a wrong passphrase opens it")
			}
			// The second copy serves where the first is broken.
			f, err := os.OpenFile(name, os.O_RDWR, 0)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := f.WriteAt(make([]byte, 4096), 0); err != nil {
				t.Fatal(err)
			}
			if err := errors.Join(f.Close(), with(t, "", "repair", name), with(t, string(o.Passphrase), "open", "--test-passphrase", name)); err != nil {
				t.Errorf("the second copy: %v", err)
			}
		})
	}
}

// What was written is there when it is decrypted.
func TestPayload(t *testing.T) {
	for _, sector := range []int{512, 4096} {
		o := options()
		o.SectorSize = sector
		const size = 4 << 20
		want := make([]byte, size)
		data := map[int64][]byte{}
		for _, e := range []disk.Extent{{Off: 0, Len: 8192}, {Off: 1 << 20, Len: 600 << 10}, {Off: size - 4096, Len: 4096}} {
			for i := e.Off; i < e.End(); i++ {
				want[i] = byte(i>>9) ^ byte(i)
			}
			data[e.Off] = want[e.Off:e.End()]
		}
		name := write(t, o, luks.HeaderSize+size, []disk.Extent{{Len: size}}, data)
		head := filepath.Join(t.TempDir(), "head")
		if err := with(t, string(o.Passphrase), "reencrypt", "--decrypt", "--header", head, "--force-offline-reencrypt", name); err != nil {
			t.Fatal(err)
		}
		got, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got[:size], want) {
			t.Errorf("sectors of %d: the payload is another one when it is decrypted", sector)
		}
	}
}

// One seed, one head; anything else, another key.
func TestSame(t *testing.T) {
	head := func(change func(*luks.Options)) []byte {
		o := options()
		change(&o)
		c, err := luks.New(o)
		if err != nil {
			t.Fatal(err)
		}
		return c.Head()
	}
	payload := func(change func(*luks.Options)) []byte {
		o := options()
		change(&o)
		name := write(t, o, luks.HeaderSize+4096, []disk.Extent{{Len: 4096}}, nil)
		b, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		return b[luks.HeaderSize:]
	}
	same := func(*luks.Options) {}
	if !bytes.Equal(head(same), head(same)) {
		t.Error("two heads of one seed differ")
	}
	for name, change := range map[string]func(*luks.Options){
		"seed": func(o *luks.Options) { o.Seed = bytes.Repeat([]byte("Seed"), 8) },
		"UUID": func(o *luks.Options) { o.UUID[0]++ },
		"Of":   func(o *luks.Options) { o.Of = []byte("another lock") },
	} {
		if bytes.Equal(payload(change), payload(same)) {
			t.Errorf("another %s gives the same payload", name)
		}
	}
	if bytes.Contains(head(same), options().Seed[:16]) || bytes.Contains(head(same), options().Passphrase) {
		t.Error("a secret lies in the head")
	}
}

func TestFill(t *testing.T) {
	o := options()
	o.KDF, o.Iterations = luks.PBKDF2, 1000
	c, err := luks.New(o)
	if err != nil {
		t.Fatal(err)
	}
	var log recorder
	p, err := c.Payload(&log)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range []disk.Extent{{Off: 4096, Len: 4096}, {Off: 1 << 20, Len: 512}, {Off: 1<<20 + 1024, Len: 512}, {Off: 1<<20 + 512, Len: 512}} {
		if _, err := p.WriteAt(make([]byte, e.Len), e.Off); err != nil {
			t.Fatal(err)
		}
	}
	log = nil
	if err := p.Fill([]disk.Extent{{Off: 0, Len: 10000}, {Off: 1<<20 + 512, Len: 2048}, {Off: 9000, Len: 10}}); err != nil {
		t.Fatal(err)
	}
	want, _ := json.Marshal([]disk.Extent{{Off: 0, Len: 4096}, {Off: 8192, Len: 2048}, {Off: 1<<20 + 1536, Len: 1024}})
	if got, _ := json.Marshal(disk.Round(log, 1)); string(got) != string(want) {
		t.Errorf("filled %s, want %s", got, want)
	}
	if _, err := p.WriteAt(make([]byte, 100), 0); err == nil {
		t.Error("a part of a sector was written")
	}
}

// A recorder keeps where was written.
type recorder []disk.Extent

func (r *recorder) WriteAt(b []byte, off int64) (int, error) {
	*r = append(*r, disk.Extent{Off: off, Len: int64(len(b))})
	return len(b), nil
}

func TestRefused(t *testing.T) {
	for want, change := range map[string]func(*luks.Options){
		"UUID":       func(o *luks.Options) { o.UUID = [16]byte{} },
		"label":      func(o *luks.Options) { o.Label = strings.Repeat("x", 48) },
		"sector":     func(o *luks.Options) { o.SectorSize = 1024 },
		"passphrase": func(o *luks.Options) { o.Passphrase = nil },
		"seed":       func(o *luks.Options) { o.Seed = o.Seed[:31] },
		"derivation": func(o *luks.Options) { o.KDF = "scrypt" },
		"memory":     func(o *luks.Options) { o.Memory = 8 << 30 },
		"iterations": func(o *luks.Options) { o.Iterations = 10 },
	} {
		o := options()
		change(&o)
		if _, err := luks.New(o); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want one of the %s", err, want)
		}
	}
}
