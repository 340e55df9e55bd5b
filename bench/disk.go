package main

import (
	"syscall"
	"time"
)

// growth samples how full the file system of a directory is, until done is closed, and
// gives by how many bytes it was fuller than at the beginning. What other programs write
// there counts too.
func growth(dir string, done <-chan struct{}) int64 {
	used := func() int64 {
		var s syscall.Statfs_t
		if err := syscall.Statfs(dir, &s); err != nil {
			return 0
		}
		return int64(s.Blocks-s.Bfree) * int64(s.Bsize)
	}
	first := used()
	peak := first
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-done:
			return max(peak, used()) - first
		case <-tick.C:
			peak = max(peak, used())
		}
	}
}
