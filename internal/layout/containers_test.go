package layout_test

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v4"

	"ingot/internal/blockdevice"
	"ingot/internal/digest"
	"ingot/internal/disk"
	"ingot/internal/fault"
	"ingot/internal/judge"
	"ingot/internal/layout"
	"ingot/internal/luks"
	"ingot/internal/qcow2"
)

// encrypted has a root in a container on a partition, with volumes in one, and a
// container on a volume.
const encrypted = `
- local_loop: {name: image0}
- partitioning:
    base: image0
    label: gpt
    partitions:
    - {name: bios, type: bios, size: 1MiB}
    - {name: boot, size: fit, mkfs: {type: ext4, mount: {mount_point: /boot, fstab: {by: uuid}}}}
    - {name: volumes, type: lvm, size: 720MiB}
    - {name: plain, type: lvm, size: 100MiB}
    - name: root
      type: root
      size: 100%
      luks: {name: rootcrypt, label: crypt, passphrase: {file: pass}, seed: {file: seed}, kdf: pbkdf2, mkfs: {type: ext4, label: root, mount: {mount_point: /, fstab: {by: uuid, fsck-passno: 1}}}}
- luks: {name: pvcrypt, base: volumes, passphrase: {file: pass}, seed: {file: seed}, memory: 1MiB, key-file: /etc/keys/pv, discard: true}
- lvm:
    name: l
    pvs: [{name: pv, base: pvcrypt}, {name: pv2, base: plain}]
    vgs: [{name: vg, base: [pv]}, {name: vg2, base: [pv2]}]
    lvs:
    - {name: var, base: vg, size: 304MiB, mkfs: {type: xfs, label: var, mount: {mount_point: /var, fstab: {by: uuid}}}}
    - {name: swap, base: vg, size: 32MiB, mkfs: {type: swap, label: swap, mount: {mount_point: none, fstab: {by: uuid}}}}
    - {name: pool, base: vg, type: thin-pool, size: 160MiB}
    - {name: thin, base: vg, type: thin, thin-pool: pool, size: 1GiB, mkfs: {type: ext4, label: thin, mount: {mount_point: /thin, fstab: {by: uuid}}}}
    - name: home
      base: vg2
      size: 80MiB
      luks: {name: homecrypt, passphrase: {file: pass}, seed: {file: seed}, memory: 1MiB, mkfs: {type: ext4, label: home, mount: {mount_point: /home, fstab: {by: uuid}}}}
`

var secrets = map[string]string{"pass": "correct horse\n", "seed": strings.Repeat("seed", 8)}

func readSecret(name string) ([]byte, error) { return []byte(secrets[name]), nil }

// decrypt makes a container's payload of a copy of it.
func decrypt(t *testing.T, path string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), judge.Path(t, "cryptsetup"), "reencrypt", "--decrypt", "--header", filepath.Join(t.TempDir(), "head"),
		"--force-offline-reencrypt", "--disable-locks", "--batch-mode", "--key-file", "-", path)
	cmd.Stdin = strings.NewReader(strings.TrimSpace(secrets["pass"]))
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("cryptsetup: %v\n%s", err, out)
	}
}

// What lies in containers is whole: cryptsetup decrypts them, and each file system's own
// program reads what comes out.
func TestEncrypted(t *testing.T) {
	t.Setenv("LVM_SUPPRESS_FD_WARNINGS", "1")
	r := resolve(t, encrypted, "amd64")
	p := parts(t, r)
	p.Secret = readSecret
	im, err := r.Compose(p)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("\n%s", im.Draw().Text())
	want := `# device, container, passphrase, options
rootcrypt LABEL=crypt none luks,initramfs
pvcrypt LABEL=pvcrypt /etc/keys/pv luks,discard
homecrypt /dev/mapper/vg2-home none luks
`
	if got := r.Crypttab(); got != want {
		t.Errorf("crypttab:\n%s", got)
	}
	for _, line := range []string{"/home ext4 defaults,x-systemd.device-timeout=0 0 2\n", "/var xfs defaults 0 2\n", "/ ext4 defaults 0 1\n"} {
		if got := r.Fstab(); !strings.Contains(got, line) {
			t.Errorf("fstab has no line %s:\n%s", line, got)
		}
	}
	raw := writeRaw(t, im)
	q := writeQcow2(t, im, qcow2.None)
	judge.Run(t, "qemu-img", "compare", "-f", "raw", "-F", "qcow2", raw, q)

	carve := func(at, length int64) string {
		out := filepath.Join(t.TempDir(), "part")
		copyRange(t, out, raw, disk.Extent{Off: at, Len: length})
		return out
	}
	place := func(node string) disk.Extent {
		_, place := im.Fitted.Place(im.Find(node))
		return place
	}
	for _, node := range []string{"root", "volumes"} {
		e := place(node)
		path := carve(e.Off, e.Len)
		decrypt(t, path)
		if node == "root" {
			judge.Run(t, "e2fsck", "-fn", path)
			continue
		}
		if text := judge.Run(t, "pvck", "--driverloaded", "n", "--dump", "metadata", path); !strings.Contains(text, "vgname vg") {
			t.Errorf("pvck: %s", text)
		}
		for _, v := range im.Fitted.Groups[0].LVs {
			if v.LV.Name != "var" {
				continue
			}
			at := v.Segments[0].Pieces[0].Place.Off - e.Off - 16<<20
			fs := filepath.Join(t.TempDir(), "var")
			copyRange(t, fs, path, disk.Extent{Off: at, Len: v.Size})
			judge.Run(t, "xfs_repair", "-n", fs)
		}
	}
	v := im.Fitted.Groups[1].LVs[0]
	home := carve(v.Segments[0].Pieces[0].Place.Off, v.Size)
	decrypt(t, home)
	judge.Run(t, "e2fsck", "-fn", home)

	// The same again, to the byte; and nothing of the secrets.
	again, err := r.Compose(p)
	if err != nil {
		t.Fatal(err)
	}
	one, err := os.ReadFile(raw)
	if err != nil {
		t.Fatal(err)
	}
	other, err := os.ReadFile(writeRaw(t, again))
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(one, other) {
		t.Error("two images of the same parts differ")
	}
	if bytes.Contains(one, []byte("correct horse")) || bytes.Contains(one, []byte("seedseed")) {
		t.Error("a secret lies on the disk")
	}
	if bytes.Contains(one[place("root").Off:], []byte("file 200 file 200")) {
		t.Error("a file of the root lies on the disk in plain text")
	}
}

func TestSecretsRefused(t *testing.T) {
	for _, test := range []struct {
		name, file, text, want string
		err                    error
		code                   fault.Code
	}{
		{"passphrase", "pass", "\n", "file pass does not hold one line", nil, fault.Preflight},
		{"lines", "pass", "one\ntwo\n", "file pass does not hold one line", nil, fault.Preflight},
		{"seed", "seed", "short", "file seed has 5 bytes: want at least 32", nil, fault.Preflight},
		{"unreadable", "seed", "", "luks crypt: seed: no", errors.New("no"), fault.Failed},
	} {
		t.Run(test.name, func(t *testing.T) {
			text := "- local_loop: {name: d, luks: {name: crypt, passphrase: {file: pass}, seed: {file: seed}, mkfs: {name: fs, type: ext4, mount: {mount_point: /}}}}\n"
			var doc yaml.Node
			if err := yaml.Unmarshal([]byte(text), &doc); err != nil {
				t.Fatal(err)
			}
			c, err := blockdevice.Parse(doc.Content[0], blockdevice.Params{})
			if err != nil {
				t.Fatal(err)
			}
			r, err := layout.Resolve(c, identity)
			if err != nil {
				t.Fatal(err)
			}
			p := parts(t, r)
			p.Secret = func(name string) ([]byte, error) {
				if name == test.file {
					return []byte(test.text), test.err
				}
				return readSecret(name)
			}
			im, err := r.Compose(p)
			if err != nil {
				t.Fatal(err)
			}
			f, err := os.Create(filepath.Join(t.TempDir(), "disk"))
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			raw, err := disk.NewRaw(f, im.Size())
			if err != nil {
				t.Fatal(err)
			}
			if err := im.Write(t.Context(), raw); err == nil || !strings.Contains(err.Error(), test.want) || fault.CodeOf(err) != test.code {
				t.Errorf("error %v with code %d, want %d with %q", err, fault.CodeOf(err), test.code, test.want)
			}
		})
	}
}

// Another lock is another key, also where the layout says the container's identity: one key
// for two images would show which of their sectors are the same.
func TestKeyOfEachLock(t *testing.T) {
	for _, said := range []string{"", "uuid: 0b5a1d5e-7d25-4f0c-9a33-6f1c6e0c2f11, "} {
		text := "- local_loop: {name: d, luks: {name: crypt, " + said + "passphrase: {file: pass}, seed: {file: seed}, memory: 1MiB, mkfs: {name: fs, type: ext4, uuid: 2c1d4e9a-3f41-4b77-8a54-0d7a52b9f0aa, mount: {mount_point: /}}}}\n"
		var payloads [][]byte
		for _, id := range []digest.Digest{identity, digest.Of([]byte("another lock")), identity} {
			r, err := layout.Resolve(resolve(t, text, "amd64").Config, id)
			if err != nil {
				t.Fatal(err)
			}
			p := parts(t, r)
			p.Secret = readSecret
			im, err := r.Compose(p)
			if err != nil {
				t.Fatal(err)
			}
			name := filepath.Join(t.TempDir(), "disk")
			f, err := os.Create(name)
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			raw, err := disk.NewRaw(f, im.Size())
			if err == nil {
				err = im.Write(t.Context(), raw)
			}
			if err != nil {
				t.Fatal(err)
			}
			// The first KiB of an ext4 is nobody's.
			first := make([]byte, 1024)
			if _, err := f.ReadAt(first, luks.HeaderSize); err != nil {
				t.Fatal(err)
			}
			payloads = append(payloads, first)
		}
		if bytes.Equal(payloads[0], payloads[1]) || !bytes.Equal(payloads[0], payloads[2]) {
			t.Errorf("%q: of two locks the same: %v; of one: %v", said, bytes.Equal(payloads[0], payloads[1]), bytes.Equal(payloads[0], payloads[2]))
		}
	}
}

// Without secrets in the definition a container is open to everybody, says so, and comes
// with what gives it a key when a machine starts for the first time.
func TestFirstStart(t *testing.T) {
	text := strings.ReplaceAll(strings.ReplaceAll(encrypted, "passphrase: {file: pass}, seed: {file: seed}, ", ""), ", label: crypt", ", label: 'my root'")
	r := resolve(t, text, "amd64")
	if s := r.Secrets(); len(s) != 0 {
		t.Errorf("secrets %q", s)
	}
	p := parts(t, r)
	p.Secret = readSecret
	im, err := r.Compose(p)
	if err != nil {
		t.Fatal(err)
	}
	raw := writeRaw(t, im)
	for _, name := range []string{"root", "volumes"} {
		_, at := im.Fitted.Place(im.Find(name))
		path := filepath.Join(t.TempDir(), name)
		copyRange(t, path, raw, at)
		if dump := judge.Run(t, "cryptsetup", "luksDump", path); !strings.Contains(dump, "  0: ingot-first-start\n\tKeyslot:    0\n") {
			t.Errorf("%s has no token:\n%s", name, dump)
		}
		// What the script in the initramfs does first.
		key := filepath.Join(t.TempDir(), "public")
		if err := os.WriteFile(key, []byte(layout.PublicPassphrase), 0o600); err != nil {
			t.Fatal(err)
		}
		judge.Run(t, "cryptsetup", "open", "--disable-locks", "--test-passphrase", "--key-slot", "0", "--key-file", key, path)
	}
	files := map[string]string{}
	for _, f := range r.Files() {
		files[f.Path] = string(f.Data)
		if strings.HasPrefix(string(f.Data), "#!") {
			if f.Mode != 0o755 {
				t.Errorf("%s has mode %o", f.Path, f.Mode)
			}
			script := filepath.Join(t.TempDir(), "script")
			if err := os.WriteFile(script, f.Data, 0o600); err != nil {
				t.Fatal(err)
			}
			judge.Run(t, "shellcheck", "--shell=sh", "--exclude=SC1091,SC2154", script) // what initramfs-tools has
		}
	}
	const list = `rootcrypt - pbkdf2 1000000 - - my root
pvcrypt /etc/keys/pv argon2id 4 1024 - pvcrypt
homecrypt - argon2id 4 1024 vg2/home homecrypt
`
	if got := files["etc/ingot/luks-first-start"]; got != list {
		t.Errorf("list:\n%s", got)
	}
	if !strings.Contains(files["usr/lib/ingot/luks-first-start"], "public=\""+layout.PublicPassphrase+"\"") {
		t.Error("the script knows another passphrase than the writer")
	}
	want := `# device, container, passphrase, options
rootcrypt LABEL=my\040root none luks,initramfs,keyscript=/usr/lib/ingot/luks-passphrase
pvcrypt LABEL=pvcrypt /etc/keys/pv luks,discard
homecrypt /dev/mapper/vg2-home none luks
`
	if got := files["etc/crypttab"]; got != want {
		t.Errorf("crypttab:\n%s", got)
	}
	if !slices.Contains(r.Packages("bookworm"), "cryptsetup-initramfs") {
		t.Error("nothing puts cryptsetup into the initramfs")
	}
}
