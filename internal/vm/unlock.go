package vm

import (
	"regexp"
)

// asksPassphrase is how a console asks for what opens an encrypted device: Debian's
// initramfs, and systemd.
var asksPassphrase = regexp.MustCompile(`(?i)(unlock disk|passphrase for (disk|key)) .*: *(\(press TAB for no echo\) *)?$`)

// maxAnswers is how often a passphrase is typed: who asks again for more devices than
// this has been told the wrong one.
const maxAnswers = 8

// Unlock types a passphrase wherever the machine's console asks for one.
func (m *Machine) Unlock(passphrase string) {
	asks := make(chan struct{}, maxAnswers)
	answered, left := false, maxAnswers
	stop := m.Watch(func(line string, whole bool) {
		if whole {
			answered = false
			return
		}
		if !answered && left > 0 && asksPassphrase.MatchString(line) {
			answered = true
			left--
			asks <- struct{}{}
		}
	})
	go func() {
		defer stop()
		for {
			select {
			case <-m.Done():
				return
			case <-asks:
				if _, err := m.line.Write([]byte(passphrase + "\n")); err != nil {
					return // a wire that breaks is a machine that ended, which others notice
				}
			}
		}
	}()
}
