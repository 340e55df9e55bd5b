package vm

import "testing"

// What asks for a passphrase, as its programs write it, before anything was typed.
func TestAsksPassphrase(t *testing.T) {
	for _, test := range []struct {
		line string
		want bool
	}{
		{"Please unlock disk rootcrypt: ", true},                                                       // cryptsetup-initramfs
		{"Choose the passphrase for disk datacrypt: ", true},                                           // ours
		{"Please enter passphrase for disk some--vg-said (saidcrypt): (press TAB for no echo) ", true}, // systemd 252
		{"Please enter passphrase for disk QEMU_HARDDISK (datacrypt) on /srv: (press TAB for no echo) ", true},
		{"Please enter passphrase for disk home: ", true},
		{"Enter passphrase for key 'id_ed25519': ", true},
		{"Please enter passphrase for disk some--vg-said (saidcrypt): (press TAB for no echo) ****", false}, // answered
		{"Please unlock disk rootcrypt: ok", false},
		{"no passphrase for disks", false},
	} {
		if got := asksPassphrase.MatchString(test.line); got != test.want {
			t.Errorf("%q: %v", test.line, got)
		}
	}
}
