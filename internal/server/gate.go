package server

import (
	"container/list"
	"io"
	"net"
	"net/http"
	"net/netip"
	"sync"
)

// A gate bounds how many connections there are, in all and from one address. Those
// beyond the first bound wait in the kernel, and idle ones make room for them; those beyond the
// second are closed.
type gate struct {
	net.Listener
	perAddress int // 0 is any number
	metrics    *Metrics

	free chan struct{} // has one for each connection

	mu      sync.Mutex
	waiting int // that found no room
	by      map[netip.Prefix]int
	idle    *list.List // of net.Conn, the longest idle first
	at      map[net.Conn]*list.Element
}

func newGate(l net.Listener, most, perAddress int, m *Metrics) *gate {
	return &gate{Listener: l, perAddress: perAddress, metrics: m, free: make(chan struct{}, most), by: map[netip.Prefix]int{}, idle: list.New(), at: map[net.Conn]*list.Element{}}
}

// neighbour is whose connections and requests are counted together: an address, and of IPv6 the
// network that one customer has.
func neighbour(a netip.Addr) netip.Prefix {
	a = a.Unmap().WithZone("")
	bits := a.BitLen()
	if a.Is6() {
		bits = 64
	}
	p, err := a.Prefix(bits)
	if err != nil {
		return netip.Prefix{}
	}
	return p
}

// neighbourOf is that of "HOST:PORT".
func neighbourOf(address string) netip.Prefix {
	a, err := netip.ParseAddrPort(address)
	if err != nil {
		return netip.Prefix{}
	}
	return neighbour(a.Addr())
}

func (g *gate) Accept() (net.Conn, error) {
	select {
	case g.free <- struct{}{}:
	default:
		g.wait()
	}
	for {
		c, err := g.Listener.Accept()
		if err != nil {
			<-g.free
			return nil, err
		}
		who := neighbourOf(c.RemoteAddr().String())
		if !g.enter(who) {
			g.metrics.refuse("connections of one address")
			_ = c.Close()
			continue
		}
		g.metrics.connection(1)
		return &admitted{Conn: c, leave: sync.OnceFunc(func() {
			g.metrics.connection(-1)
			g.left(who)
			<-g.free
		})}, nil
	}
}

// wait waits for room, and has an idle connection make some.
func (g *gate) wait() {
	g.mu.Lock()
	g.waiting++
	if first := g.idle.Front(); first != nil {
		g.end(first)
	}
	g.mu.Unlock()
	g.free <- struct{}{}
	g.mu.Lock()
	g.waiting--
	g.mu.Unlock()
}

// end closes an idle connection. Who was about to ask again on it notices, and opens another.
func (g *gate) end(e *list.Element) {
	c := g.idle.Remove(e).(net.Conn)
	delete(g.at, c)
	go func() { _ = c.Close() }() // what TLS says at the end may take a while
}

func (g *gate) enter(who netip.Prefix) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.perAddress > 0 && g.by[who] >= g.perAddress {
		return false
	}
	g.by[who]++
	return true
}

func (g *gate) left(who netip.Prefix) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.by[who]--; g.by[who] <= 0 {
		delete(g.by, who)
	}
}

// state is told by net/http of what a connection does.
func (g *gate) state(c net.Conn, s http.ConnState) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if e, ok := g.at[c]; ok && s != http.StateIdle {
		g.idle.Remove(e)
		delete(g.at, c)
	}
	if _, ok := g.at[c]; ok || s != http.StateIdle {
		return
	}
	e := g.idle.PushBack(c)
	g.at[c] = e
	if g.waiting > 0 {
		g.end(e)
	}
}

// An admitted connection leaves the gate when it is closed.
type admitted struct {
	net.Conn
	leave func()
}

func (c *admitted) Close() error {
	err := c.Conn.Close()
	c.leave()
	return err
}

// ReadFrom lets the kernel copy files.
func (c *admitted) ReadFrom(r io.Reader) (int64, error) {
	if t, ok := c.Conn.(io.ReaderFrom); ok {
		return t.ReadFrom(r)
	}
	return io.Copy(struct{ io.Writer }{c.Conn}, r)
}
