package errand

import (
	"bytes"
	"sync"
)

// An inbox is what came for a verb that has not read it yet. Who puts something in never
// waits: behind it there may be the word to stop.
type inbox struct {
	mu   sync.Mutex
	more *sync.Cond
	b    bytes.Buffer
	end  error // once nothing follows
}

func newInbox() *inbox {
	i := &inbox{}
	i.more = sync.NewCond(&i.mu)
	return i
}

func (i *inbox) put(p []byte) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.b.Write(p)
	i.more.Broadcast()
}

// close says what comes after all that was put; the first to say so counts.
func (i *inbox) close(end error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.end == nil {
		i.end = end
	}
	i.more.Broadcast()
}

func (i *inbox) Read(p []byte) (int, error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	for i.b.Len() == 0 && i.end == nil {
		i.more.Wait()
	}
	if i.b.Len() == 0 {
		return 0, i.end
	}
	return i.b.Read(p)
}
