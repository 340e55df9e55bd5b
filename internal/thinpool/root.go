package thinpool

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// rootDevice is the device that the root file system is on.
func rootDevice() (major, minor uint32, err error) {
	var st unix.Stat_t
	if err := unix.Stat("/", &st); err != nil {
		return 0, 0, fmt.Errorf("/: %w", err)
	}
	return unix.Major(st.Dev), unix.Minor(st.Dev), nil
}
