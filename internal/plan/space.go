package plan

import (
	"strings"
	"syscall"
)

const errNoSpace = syscall.ENOSPC

// saysNoSpace finds a full disk in an error that came out of the sandbox as text.
func saysNoSpace(err error) bool {
	return err != nil && strings.Contains(err.Error(), errNoSpace.Error())
}
