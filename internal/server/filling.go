package server

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"sync"

	"ingot/internal/catalog"
	"ingot/internal/draft"
)

// A filling is a blob on its way into a tree, which others read meanwhile. Its last byte is kept back
// until it is there and right.
type filling struct {
	want catalog.File

	mu    sync.Mutex
	news  sync.Cond
	file  *os.File // where it comes, for who reads; nil before it begins
	users int      // who may read the file
	have  int64    // bytes that came, from the start
	round int      // how often it began anew
	over  bool
	err   error // why it did not come, when it is over
}

func newFilling(f catalog.File) *filling {
	g := &filling{want: f}
	g.news.L = &g.mu
	return g
}

// errAnew says that bytes which were given out turned out wrong.
var errAnew = errors.New("the file is fetched anew, since what came was wrong")

// into has what is fetched go to a draft.
func (g *filling) into(w io.Writer) *fillSink { return &fillSink{g, w} }

// A fillSink is where fetching puts a filling's bytes.
type fillSink struct {
	*filling
	to io.Writer
}

func (s *fillSink) Write(p []byte) (int, error) {
	n, err := s.to.Write(p)
	s.mu.Lock()
	defer s.mu.Unlock()
	if d, ok := s.to.(*draft.File); ok && s.file == nil && err == nil {
		// A handle of its own: the draft's is closed when it gets its name.
		s.file, err = os.Open(fmt.Sprintf("/proc/self/fd/%d", d.Fd()))
	}
	s.have += int64(n)
	s.news.Broadcast()
	return n, err
}

// Reset begins anew. Who has read some of it learns that it was nothing.
func (s *fillSink) Reset() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.have = 0
	s.round++
	s.news.Broadcast()
	d, ok := s.to.(*draft.File)
	if !ok {
		return errors.ErrUnsupported
	}
	if err := d.Truncate(0); err != nil {
		return err
	}
	_, err := d.Seek(0, io.SeekStart)
	return err
}

// end says that the blob is in the tree, or why it is not.
func (g *filling) end(err error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.over, g.err = true, err
	g.news.Broadcast()
	g.tidy()
}

// use says that somebody reads, or does no more.
func (g *filling) use(n int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.users += n
	g.tidy()
}

// tidy closes the file that nobody needs.
func (g *filling) tidy() {
	if g.over && g.users == 0 && g.file != nil {
		_ = g.file.Close()
		g.file = nil
	}
}

// A filled reads a filling; what has not come yet it waits for.
type filled struct {
	size  int64
	begin func() *filling                   // what it reads
	open  func() (io.ReadSeekCloser, error) // the blob, when it is there
	g     *filling                          // since somebody reads
	at    int64
	whole io.ReadSeekCloser // the blob
	round int
	begun bool
	waits func(on bool) // told when nothing is there to be read, and when something is again; or nil
}

// wait waits until something at the reader's place can be read, and says how much, and where unless that
// is the blob.
func (f *filled) wait() (int64, io.ReaderAt, error) {
	g := f.g
	g.mu.Lock()
	defer g.mu.Unlock()
	waited := false
	defer func() {
		if waited {
			f.waits(false)
		}
	}()
	for {
		switch {
		case f.begun && f.round != g.round: // also when the right ones are there by now
			return 0, nil, errAnew
		case g.over && g.err != nil:
			return 0, nil, g.err
		case g.over && g.file != nil: // which is the blob, even where that has gone meanwhile
			return g.want.Size - f.at, g.file, nil
		case g.over:
			return g.want.Size - f.at, nil, nil
		}
		if n := min(g.have, g.want.Size-1) - f.at; n > 0 && g.file != nil {
			f.begun, f.round = true, g.round
			return n, g.file, nil
		}
		if !waited && f.waits != nil {
			waited = true
			f.waits(true)
		}
		g.news.Wait()
	}
}

func (f *filled) Read(p []byte) (int, error) {
	if f.at >= f.size {
		return 0, io.EOF
	}
	if len(p) == 0 {
		return 0, nil
	}
	for tries := 1; f.whole == nil; tries++ {
		if f.g == nil {
			f.g = f.begin()
			f.g.use(1)
		}
		n, from, err := f.wait()
		if err != nil {
			return 0, err
		}
		if from != nil {
			n, err := from.ReadAt(p[:min(int64(len(p)), n)], f.at)
			f.at += int64(n)
			if n > 0 {
				err = nil
			}
			return n, err
		}
		f.whole, err = f.open()
		if errors.Is(err, fs.ErrNotExist) && tries < 3 { // it came, and made room for others: once more
			f.g.use(-1)
			f.g, f.begun, f.whole = nil, false, nil
			continue
		}
		if err != nil {
			f.whole = nil
			return 0, err
		}
	}
	if _, err := f.whole.Seek(f.at, io.SeekStart); err != nil {
		return 0, err
	}
	n, err := f.whole.Read(p)
	f.at += int64(n)
	return n, err
}

func (f *filled) Seek(offset int64, whence int) (int64, error) {
	switch whence {
	case io.SeekCurrent:
		offset += f.at
	case io.SeekEnd:
		offset += f.size
	}
	if offset < 0 {
		return 0, errors.New("a place before the file's start")
	}
	f.at = offset
	return offset, nil
}

func (f *filled) Close() error {
	if f.g != nil {
		f.g.use(-1)
	}
	if f.whole != nil {
		return f.whole.Close()
	}
	return nil
}
