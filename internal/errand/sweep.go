package errand

import (
	"os"
	"path/filepath"
	"time"
)

// programsDir is where bring.sh keeps programs, below the directory of errands.
const programsDir = "programs"

// keptFor is how long a program stays that no errand asks for.
const keptFor = 30 * 24 * time.Hour

// Sweep removes programs of errands that no other host's ingot has asked for in a month. It
// fails silently: the next sweep finds what this one left.
func Sweep(dir string) {
	programs, err := os.ReadDir(filepath.Join(dir, programsDir))
	if err != nil {
		return
	}
	for _, p := range programs {
		if info, err := p.Info(); err == nil && info.Mode().IsRegular() && time.Since(info.ModTime()) > keptFor {
			_ = os.Remove(filepath.Join(dir, programsDir, p.Name()))
		}
	}
}
