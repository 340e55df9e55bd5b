package plan

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"time"

	"ingot/internal/artifact"
	"ingot/internal/cache"
	"ingot/internal/digest"
	"ingot/internal/distro"
	"ingot/internal/relay"
	"ingot/internal/sandbox"
	"ingot/internal/supply"
	"ingot/internal/tree"
)

// A worker runs the steps of one chain. Its tree is what the steps so far made;
// the box, where there is one, holds the same tree made real.
type worker struct {
	*Runner
	plan     *Plan
	chain    Chain
	delivery *supply.Delivery // of the chain's packages, where some step needs them
	packages []distro.Package // what they say of themselves
	told     sync.WaitGroup   // of what tells how the delivery goes
	reader   *tree.Reader
	tree     tree.Tree
	box      *sandbox.Box
	filled   bool              // the box has the tree
	dir      *cache.Work       // of a box on disk
	pack     *cache.Pending    // of the step that runs
	packs    map[string]string // of the steps that ran: their names, by those while they were filled
	log      func(line string)
	tools    *toolbox
	about    func() (artifact.Image, error) // what papers say of the tree, found out once
	room     *room                          // of the outputs
	sealing  sync.Mutex
	list     []byte // of the seal, until it lies beside an artifact

	side       []tree.Entry // files that scripts of elements left beside the image
	station    *station     // of an element build
	authority  *relay.Authority
	downs      *downloads
	times      []ScriptTime
	first      digest.Digest // the key of the first step whose work is in no result yet, or none
	lightSince time.Time     // when the last result of a light step was kept
	lightTook  time.Duration // and how long that took
	started    time.Time
}

// newWorker runs a chain, and has its plan's tools tree until it is closed.
func newWorker(r *Runner, p *Plan, c Chain) *worker {
	tools := &toolbox{runner: r, refs: p.Lock.Tools, arch: r.HostArch, epoch: p.Lock.Epoch}
	return &worker{Runner: r, plan: p, chain: c, reader: tree.NewReader(r.Supply.Cache), tools: tools, room: newRoom()}
}

// timed notes how long a script took.
func (w *worker) timed(phase, name string, took time.Duration) {
	w.times = append(w.times, ScriptTime{phase, name, took})
}

func (w *worker) close() {
	w.dropBox()
	if w.tools != nil {
		w.tools.close()
	}
	if w.delivery != nil {
		w.delivery.Close()
		w.told.Wait()
	}
	_ = w.reader.Close()
}

func (w *worker) dropBox() {
	if w.station != nil {
		w.station.stop()
		w.station = nil
	}
	if w.box != nil {
		_ = w.box.Close()
		w.box, w.filled = nil, false
	}
	if w.dir != nil {
		w.dir.Remove()
		w.dir = nil
	}
}

// start starts a sandbox with nothing in it.
func (w *worker) start(ctx context.Context) error {
	w.dropBox()
	var o sandbox.Options
	if !fitsMemory(w.expected()) {
		dir, err := w.Supply.Cache.Work()
		if err != nil {
			return err
		}
		w.dir, o.Dir = dir, dir.Path
	}
	var err error
	if o.Foreign, err = w.foreignTo(ctx, w.chain.Arch); err != nil {
		return err
	}
	if w.plan.Definition.Elements != nil {
		if o.Station, err = w.stationOptions(ctx); err != nil {
			return err
		}
	}
	box, err := sandbox.New(ctx, o)
	if err != nil {
		w.dropBox()
		return err
	}
	w.box, w.started = box, time.Now()
	if o.Station != nil {
		return w.openStation(ctx)
	}
	return nil
}

// Box is a sandbox with the tree as it is now.
func (w *worker) Box(ctx context.Context) (*sandbox.Box, error) {
	if w.box == nil {
		if err := w.start(ctx); err != nil {
			return nil, err
		}
	}
	if !w.filled {
		if err := w.box.Put(ctx, w.tree.Entries(), w.reader); err != nil {
			return nil, err
		}
		w.filled = true
		if _, hooks := w.tree.Lookup(asideHooks); w.station != nil && hooks {
			return w.box, errors.Join(w.putScripts(ctx), w.remount(ctx))
		}
	}
	return w.box, nil
}

// expected is about how many bytes the tree will have: packages unpack to three
// to five times their size, and the definition brings its own.
func (w *worker) expected() int64 {
	n := w.tree.Size() + w.plan.sourceSize()
	if w.tree.Len() == 0 {
		for _, ref := range w.chain.Set.Refs {
			n += 5 * ref.Size
		}
	}
	return n
}

// fitsMemory says whether a tree of that many bytes may be held in a tmpfs: in
// half of what the kernel says is available, with room for what scripts add.
func fitsMemory(size int64) bool {
	data, err := os.ReadFile("/proc/meminfo")
	if err != nil {
		return false
	}
	for line := range strings.Lines(string(data)) {
		var kib int64
		if _, err := fmt.Sscanf(line, "MemAvailable: %d kB", &kib); err == nil {
			return size*3/2+(64<<20) < kib<<10/2
		}
	}
	return false
}
